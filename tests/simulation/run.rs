//! One run, from a seed to a history that has been judged.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::{JoinError, JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use crate::chaos::Chaos;
use crate::checkers::{self, Settings};
use crate::client::{Act, Client, Director, Habits};
use crate::history::Record;
use crate::sabotage::Sabotage;
use crate::world::{Nature, TICK, World};

/// How long the observer may take to attach, and everything else that is simply to happen when nothing is wrong.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Longest way between a client and the observer, and a little for timers that are as coarse as a millisecond.
const CLIENT_TRANSIT: Duration = Duration::from_millis(5 + 5);
/// The same between the ensemble and the observer.
const LINK_TRANSIT: Duration = Duration::from_millis(300 + 5);

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) nature: Nature,
    pub(crate) history: Vec<Record>,
    /// Something that was simply to happen, and has not.
    pub(crate) verdict: Result<(), String>,
}

/// Runs the world that belongs to a seed.
pub(crate) fn run(seed: u64) -> Outcome {
    run_with(seed, None)
}

/// Which promises are broken in the same world, where the observer may have a bug.
pub(crate) fn broken_promises(seed: u64, sabotage: Option<Sabotage>) -> Vec<&'static str> {
    let outcome = run_with(seed, sabotage);
    let broken = checkers::check_all(&outcome.history, outcome.settings());
    broken.iter().map(|violation| violation.promise).collect()
}

fn run_with(seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let nature = Nature {
        sabotage,
        ..nature(&mut rng)
    };
    let (history, verdict) = on_one_thread(&mut rng, |rng| live(&nature, rng));
    Outcome {
        nature,
        history,
        verdict,
    }
}

/// Lives a life on this thread and on a clock that stands while anything is left to do.
pub(crate) fn on_one_thread<L: Future>(rng: &mut Rng, life: impl FnOnce(Rng) -> L) -> L::Output {
    // What the observer leaves to chance.
    fastrand::seed(rng.u64(..));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let local = LocalSet::new();
    runtime.block_on(local.run_until(life(rng.fork())))
}

fn nature(rng: &mut Rng) -> Nature {
    let holds = [0, 500, 2_000, 10_000, 10_000, 60_000];
    Nature {
        hold: Duration::from_millis(holds[rng.usize(..holds.len())]),
        history_max: [5, 50, 500][rng.usize(..3)],
        election: Duration::from_millis([0, 300, 3_000][rng.usize(..3)]),
        commit_delay_ms: [0, 1, 20][rng.usize(..3)],
        sabotage: None,
    }
}

fn habits(rng: &mut Rng) -> Habits {
    let counts_on = rng.bool();
    Habits {
        timeout_ms: [4_000, 6_000, 10_000, 30_000][rng.usize(..4)],
        pause_ms: [150, 1_000, 4_000][rng.usize(..3)],
        burst: [1, 2, 8][rng.usize(..3)],
        latency: Duration::from_millis([0, 0, 1, 5][rng.usize(..4)]),
        breaks_ms: [0, 0, 1_000, 10_000][rng.usize(..4)],
        counts_on,
        writes: [5, 30, 90][rng.usize(..3)],
        wanders: [0, 0, 3, 8][rng.usize(..4)],
        sequences: true,
        closes: [0, 0, 5, 50][rng.usize(..4)],
    }
}

async fn live(nature: &Nature, mut rng: Rng) -> (Vec<Record>, Result<(), String>) {
    let world = Rc::new(World::new(nature));
    let verdict = play(&world, &mut rng).await;
    let recorder = world.recorder.clone();
    let ended = match Rc::try_unwrap(world) {
        Ok(world) => world.end(LIMIT).await,
        // A client hangs; then the verdict says so.
        Err(_) => Ok(()),
    };
    (recorder.take(), verdict.and(ended))
}

async fn play(world: &Rc<World>, rng: &mut Rng) -> Result<(), String> {
    if !world.catches_up(LIMIT).await {
        return Err("the observer does not attach".to_owned());
    }
    let director = Director::default();
    let mut clients = JoinSet::new();
    for _ in 0..rng.usize(1..=5) {
        let client = Client::new(Rc::clone(world), director.clone(), habits(rng), rng.fork());
        clients.spawn_local(client.live());
    }
    let duration = Duration::from_millis(rng.u64(5_000..30_000));
    Chaos::new(Rc::clone(world), rng.fork())
        .rage(duration)
        .await;

    let caught_up = world.catches_up(LIMIT).await;
    world.look();
    if !caught_up {
        return Err("nothing is wrong any more, and the observer does not catch up".to_owned());
    }
    // Nobody is left waiting for ever.
    director.ask(Act::Settle);
    let settled = timeout(LIMIT, async {
        let mut all = true;
        while let Some(settled) = clients.join_next().await {
            all &= settled.map_err(told)?;
        }
        Ok::<bool, String>(all)
    });
    let settled = settled.await.unwrap_or(Ok(false));
    director.ask(Act::Leave);
    if !settled? {
        return Err(
            "nothing is wrong any more, and a client does not get its write done".to_owned(),
        );
    }
    at_rest(world).await
}

/// What a client says that could not make sense of an answer; the history says how it came to that.
fn told(error: JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a client: {}", text.unwrap_or("see its panic above"))
}

/// Nothing is kept for clients that are gone.
pub(crate) async fn at_rest(world: &World) -> Result<(), String> {
    let mut waited = Duration::ZERO;
    loop {
        let held: Vec<_> = world
            .gauges()
            .into_iter()
            .filter(|gauge| gauge.1 > 0)
            .collect();
        if held.is_empty() {
            world.gauge();
            return Ok(());
        }
        if waited > LIMIT {
            world.gauge();
            return Err(format!("all clients are gone, and this is kept: {held:?}"));
        }
        waited += Duration::from_millis(500);
        sleep(Duration::from_millis(500)).await;
    }
}

/// Records shown of a run that fails.
const TAIL: usize = 60;

impl Outcome {
    /// Whether every promise was kept.
    ///
    /// # Errors
    /// The first that was not, with the end of the history.
    pub(crate) fn judge(&self, seed: u64) -> Result<(), String> {
        if std::env::var_os("OUTPOST_SIM_HISTORY").is_some() {
            for (place, record) in self.history.iter().enumerate() {
                eprintln!("{seed} {}", shown(place, record));
            }
        }
        let why = match (self.checked(), &self.verdict) {
            (Ok(()), Ok(())) => return Ok(()),
            (Err(broken), _) => broken,
            (Ok(()), Err(why)) => why.clone(),
        };
        let from = self.history.len().saturating_sub(TAIL);
        let tail = self.history.iter().enumerate().skip(from);
        let tail: Vec<_> = tail.map(|(place, record)| shown(place, record)).collect();
        Err(format!("{why}\n{:?}\n{}", self.nature, tail.join("\n")))
    }
}

impl Outcome {
    fn settings(&self) -> Settings {
        Settings {
            hold: self.nature.hold,
            link_timeout: TICK * 2,
            client_transit: CLIENT_TRANSIT,
            link_transit: LINK_TRANSIT,
        }
    }

    /// What the checkers say, with the records that they point at.
    fn checked(&self) -> Result<(), String> {
        checkers::check(&self.history, self.settings()).map_err(|violation| {
            let mut text = violation.to_string();
            for &place in &violation.records {
                if let Some(record) = self.history.get(place) {
                    text = format!("{text}\n{}", shown(place, record));
                }
            }
            text
        })
    }
}

fn shown(place: usize, record: &Record) -> String {
    let mut text = format!("{:?}", record.what);
    if text.len() > 300 {
        text.truncate(text.floor_char_boundary(300));
        text.push_str(" …");
    }
    format!("{place:6} {:>10.3?} {text}", record.at)
}
