//! Which runs are made, and what is shown of one that fails.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Runs by default: what a continuous integration has time for.
const DEFAULT: Range<u64> = 0..2_000;

/// How long one run may take, of real time. Its clock stands while anything is left to do, so a world in which two
/// tasks wake each other for ever never ends; no run of those that end takes more than a few seconds.
const STUCK: Duration = Duration::from_secs(300);
/// Failing runs that are shown in full; of the others only the number is told.
const SHOWN: usize = 3;

/// Calls `judge` with every seed, on all cores.
///
/// # Panics
/// When runs fail, with the way to play them again.
pub(crate) fn for_each(judge: impl Fn(u64) -> Result<(), String> + Sync) {
    let seeds = asked_for();
    let next = AtomicU64::new(seeds.start);
    let began = Instant::now();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let at_work = AtWork::new(cores);
    let play = |core: usize| {
        let mut failures = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                at_work.ends(core);
                return failures;
            }
            at_work.begins(core, seed);
            // A run that panics is one that fails; nothing of it is used afterwards.
            let verdict = catch_unwind(AssertUnwindSafe(|| judge(seed)));
            match verdict {
                Ok(Ok(())) => {}
                Ok(Err(why)) => failures.push((seed, why)),
                Err(_) => failures.push((seed, "a panic, see above".to_owned())),
            }
        }
    };
    let mut failures: Vec<(u64, String)> = thread::scope(|scope| {
        let play = &play;
        let threads: Vec<_> = (0..cores)
            .map(|core| scope.spawn(move || play(core)))
            .collect();
        scope.spawn(|| at_work.watch());
        let played = threads
            .into_iter()
            .map(|thread| thread.join().expect("caught"));
        played.flatten().collect()
    });
    failures.sort();
    let (runs, took) = (seeds.end - seeds.start, began.elapsed());
    eprintln!(
        "{runs} runs in {took:.1?}, of which {} fail",
        failures.len()
    );
    for (seed, why) in &failures {
        let first = why.lines().next().unwrap_or_default();
        eprintln!("seed {seed}: {first}");
    }
    for (seed, why) in failures.iter().take(SHOWN) {
        eprintln!("\nseed {seed}: {why}");
    }
    let again = failures.first().map(|(seed, _)| {
        format!("OUTPOST_SIM_SEEDS={seed} cargo test -p outpost-tests --test simulation")
    });
    assert_eq!(again, None, "plays the first of them again");
}

/// What each core is at, for the one that watches.
struct AtWork {
    runs: Mutex<Vec<Option<(u64, Instant)>>>,
    changed: Condvar,
}

impl AtWork {
    fn new(cores: usize) -> AtWork {
        // Whoever has not begun yet must not pass for one that has ended.
        let waiting = Some((u64::MAX, Instant::now()));
        AtWork {
            runs: Mutex::new(vec![waiting; cores]),
            changed: Condvar::new(),
        }
    }

    fn begins(&self, core: usize, seed: u64) {
        self.runs()[core] = Some((seed, Instant::now()));
    }

    fn ends(&self, core: usize) {
        self.runs()[core] = None;
        self.changed.notify_all();
    }

    /// Ends the process when a run does not end by itself: a thread cannot be ended from outside.
    fn watch(&self) {
        let mut runs = self.runs();
        while runs.iter().any(Option::is_some) {
            let stuck = |run: &&(u64, Instant)| run.1.elapsed() > STUCK;
            if let Some((seed, _)) = runs.iter().flatten().find(stuck) {
                eprintln!(
                    "seed {seed}: time has stood still for {STUCK:?}; OUTPOST_SIM_SEEDS={seed}"
                );
                std::process::exit(1);
            }
            let waited = self.changed.wait_timeout(runs, STUCK / 10);
            runs = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Option<(u64, Instant)>>> {
        // Nobody panics while holding it.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn asked_for() -> Range<u64> {
    let Ok(text) = std::env::var("OUTPOST_SIM_SEEDS") else {
        return DEFAULT;
    };
    let number = |text: &str| {
        text.trim()
            .parse::<u64>()
            .expect("OUTPOST_SIM_SEEDS: 7 or 0..100")
    };
    match text.split_once("..") {
        Some((start, end)) => number(start)..number(end),
        None => number(&text)..number(&text) + 1,
    }
}
