//! What goes wrong, and when: a schedule drawn from the seed.
//!
//! Each run has its own few kinds of trouble rather than a little of everything: where links are cut twice a
//! second, nobody ever sees what a lost leader does to clients that are at ease.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use outpost_sim::{Ensemble, Leader, Uncommitted, Way, Weather};
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::{OpCode, ServerId, SessionId, Xid};
use tokio::time::{Instant, sleep};

use crate::history::What;
use crate::world::World;

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The leader dies; what it had proposed is committed by the next one.
    LeaderDies,
    /// The leader dies, and what it had proposed is lost.
    ProposalsLost,
    /// Too few servers are up for a while.
    NoQuorum,
    /// The link is cut, often in the middle of a packet.
    Cut,
    /// The link is cut again and again.
    Flapping,
    /// Nothing arrives for a while, in one direction or both.
    Silence,
    /// The way becomes longer or shorter.
    Distance,
    /// Learners get snapshots for a while, exact ones or such as are taken while the leader goes on.
    Snapshots,
    /// Commits take longer or shorter.
    SlowCommits,
    /// The leader's digests are wrong for a while.
    WrongDigests,
    /// The mirror applies nothing for a while.
    SlowMirror,
    /// A session is closed at another server.
    SessionEnds,
    /// Others write a lot at once.
    Rush,
}

const ALL: [Trouble; 13] = [
    Trouble::LeaderDies,
    Trouble::ProposalsLost,
    Trouble::NoQuorum,
    Trouble::Cut,
    Trouble::Flapping,
    Trouble::Silence,
    Trouble::Distance,
    Trouble::Snapshots,
    Trouble::SlowCommits,
    Trouble::WrongDigests,
    Trouble::SlowMirror,
    Trouble::SessionEnds,
    Trouble::Rush,
];

/// Whoever makes trouble.
pub(crate) struct Chaos {
    world: Rc<World>,
    rng: Rng,
    kinds: Vec<Trouble>,
    /// Longest pause between two troubles, ms.
    pause_ms: u64,
}

impl Chaos {
    /// Decides what kinds of trouble this run has.
    pub(crate) fn new(world: Rc<World>, mut rng: Rng) -> Chaos {
        let mut kinds = ALL.to_vec();
        rng.shuffle(&mut kinds);
        kinds.truncate(rng.usize(1..=5));
        let pause_ms = [300, 2_000, 6_000][rng.usize(..3)];
        Chaos {
            world,
            rng,
            kinds,
            pause_ms,
        }
    }

    /// Makes trouble for so long, then puts everything right again.
    pub(crate) async fn rage(mut self, duration: Duration) {
        let began = Instant::now();
        self.note(format!("kinds of trouble: {:?}", self.kinds));
        while began.elapsed() < duration {
            let pause = self.ms(0..self.pause_ms);
            sleep(pause).await;
            let trouble = self.kinds[self.rng.usize(..self.kinds.len())];
            self.make(trouble).await;
        }
        self.put_right().await;
    }

    fn note(&self, what: impl Into<String>) {
        self.world.recorder.note(What::Fault(what.into()));
    }

    fn ms(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }

    async fn make(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::LeaderDies => self.depose(Uncommitted::Committed).await,
            Trouble::ProposalsLost => self.depose(Uncommitted::Lost).await,
            Trouble::NoQuorum => self.no_quorum().await,
            Trouble::Cut => self.cut(),
            Trouble::Flapping => self.flap().await,
            Trouble::Silence => self.silence().await,
            Trouble::Distance => self.distance(),
            Trouble::Snapshots => self.snapshots().await,
            Trouble::SlowCommits => self.slow_commits().await,
            Trouble::WrongDigests => self.wrong_digests().await,
            Trouble::SlowMirror => self.slow_mirror().await,
            Trouble::SessionEnds => self.session_ends().await,
            Trouble::Rush => self.rush().await,
        }
    }

    async fn depose(&mut self, uncommitted: Uncommitted) {
        let elect =
            move |ensemble: &mut Ensemble, now_ms| ensemble.elect(now_ms, None, uncommitted);
        if self.world.ensemble(elect).await {
            self.note(format!("the leader dies; its proposals: {uncommitted:?}"));
        }
    }

    async fn no_quorum(&mut self) {
        self.note("two of three servers go down");
        self.world
            .ensemble(|ensemble, now_ms| {
                for id in 1..=2 {
                    ensemble.stop(now_ms, ServerId(id));
                }
            })
            .await;
        let down = self.ms(100..8_000);
        sleep(down).await;
        self.note("they are up again");
        self.everybody_up().await;
    }

    async fn everybody_up(&self) {
        let start = |ensemble: &mut Ensemble, now_ms| {
            for id in 1..=3 {
                ensemble.start(now_ms, ServerId(id));
            }
        };
        self.world.ensemble(start).await;
    }

    fn cut(&mut self) {
        let way = self.way();
        let bytes = match self.rng.u8(0..3) {
            0 => 0,
            1 => self.rng.usize(1..100),
            _ => self.rng.usize(1..5_000),
        };
        self.note(format!("links are cut after {bytes} bytes {way:?}"));
        for line in self.world.fabric.lines() {
            line.cut_after(way, bytes);
        }
    }

    async fn flap(&mut self) {
        for _ in 0..self.rng.u8(2..12) {
            self.cut();
            let pause = self.ms(5..700);
            sleep(pause).await;
        }
    }

    fn way(&mut self) -> Way {
        match self.rng.bool() {
            true => Way::Out,
            false => Way::Back,
        }
    }

    async fn silence(&mut self) {
        let (held_out, held_back) =
            [(true, true), (true, false), (false, true)][self.rng.usize(..3)];
        let longest = [1_000, 5_000, 15_000][self.rng.usize(..3)];
        let duration = self.ms(100..longest);
        self.note(format!(
            "nothing arrives for {duration:?} (at the leader: {held_out}, from it: {held_back})"
        ));
        self.weather(|weather| (weather.held_out, weather.held_back) = (held_out, held_back));
        sleep(duration).await;
        self.note("it arrives again");
        self.weather(|weather| (weather.held_out, weather.held_back) = (false, false));
    }

    fn distance(&mut self) {
        let longest = [2, 50, 300][self.rng.usize(..3)];
        let (out, back) = (self.ms(0..longest), self.ms(0..longest));
        self.note(format!("the way is {out:?} long, {back:?} back"));
        self.weather(|weather| (weather.latency_out, weather.latency_back) = (out, back));
    }

    fn weather(&self, change: impl FnOnce(&mut Weather)) {
        let mut weather = self.world.fabric.weather();
        change(&mut weather);
        self.world.fabric.set_weather(weather);
    }

    async fn snapshots(&mut self) {
        let fuzzy_txns = [0, 3, 30][self.rng.usize(..3)];
        self.note(format!(
            "learners get snapshots, {fuzzy_txns} transactions old"
        ));
        self.settings(true, fuzzy_txns).await;
        for _ in 0..self.rng.u8(1..3) {
            self.cut();
            let pause = self.ms(100..4_000);
            sleep(pause).await;
        }
        self.note("they get what they lack");
        self.settings(false, 0).await;
    }

    async fn settings(&self, force_snapshot: bool, fuzzy_txns: usize) {
        let change = move |ensemble: &mut Ensemble, _| {
            ensemble.change_settings(|settings| {
                settings.force_snapshot = force_snapshot;
                settings.fuzzy_txns = fuzzy_txns;
            });
        };
        self.world.ensemble(change).await;
    }

    async fn slow_commits(&mut self) {
        let longest = [5, 100, 1_500][self.rng.usize(..3)];
        let delay_ms = self.rng.i64(0..longest);
        self.note(format!("commits take {delay_ms} ms"));
        self.commits_take(delay_ms).await;
    }

    async fn commits_take(&self, delay_ms: i64) {
        let change = move |ensemble: &mut Ensemble, _| {
            ensemble.change_settings(|settings| settings.commit_delay_ms = delay_ms);
        };
        self.world.ensemble(change).await;
    }

    async fn wrong_digests(&mut self) {
        let until = Instant::now() + self.ms(10..8_000);
        self.note("digests are wrong");
        while Instant::now() < until {
            let spoil = |ensemble: &mut Ensemble, _| {
                if let Some(leader) = ensemble.leader_mut() {
                    leader.spoil_next_digest();
                }
            };
            self.world.ensemble(spoil).await;
            sleep(Duration::from_millis(20)).await;
        }
        self.note("they are right again");
    }

    async fn slow_mirror(&mut self) {
        let longest = [100, 3_000, 20_000][self.rng.usize(..3)];
        let duration = self.ms(10..longest);
        self.note(format!("nothing is applied for {duration:?}"));
        self.world.gate.shut();
        let until = Instant::now() + duration;
        while Instant::now() < until {
            sleep(Duration::from_millis(10)).await;
            // Nobody else looks while the apply loop does not run.
            self.world.look_out();
        }
        self.world.gate.open();
        self.note("it is applied again");
    }

    async fn session_ends(&mut self) {
        let choice = self.rng.usize(..);
        let close = move |ensemble: &mut Ensemble, now_ms| {
            let leader = ensemble.leader_mut()?;
            let sessions: Vec<SessionId> = leader.tree().sessions().keys().copied().collect();
            let session = *sessions.get(choice % sessions.len().max(1))?;
            // The session has just moved there, or the server could not speak for it.
            leader.move_session(session, ServerId(1));
            submit(leader, now_ms, session, OpCode::CloseSession, &[]);
            Some(session)
        };
        if let Some(session) = self.world.ensemble(close).await {
            self.note(format!("session {session} is closed at another server"));
        }
    }

    async fn rush(&mut self) {
        let writes = self.rng.usize(1..100);
        self.note(format!("others write {writes} times"));
        for number in 0..writes {
            let path = ["/a", "/b/x", "/others", "/c"][self.rng.usize(..4)];
            let write = move |ensemble: &mut Ensemble, now_ms| {
                let data = format!("other/{number}");
                // Fails without a leader, or where there is no parent.
                let _ = ensemble.write_as_someone_else(now_ms, path.into(), Some(data.as_bytes()));
            };
            self.world.ensemble(write).await;
            if self.rng.u8(0..4) == 0 {
                let pause = self.ms(0..50);
                sleep(pause).await;
            }
        }
    }

    async fn put_right(&mut self) {
        self.note("everything is put right");
        self.world.gate.open();
        self.world.fabric.set_weather(Weather::default());
        self.settings(false, 0).await;
        self.commits_take(0).await;
        self.everybody_up().await;
    }
}

fn submit(leader: &mut Leader, now_ms: i64, session: SessionId, op: OpCode, body: &[u8]) {
    let request = ForwardedRequest {
        session,
        cxid: Xid(0),
        op: op.code(),
        body,
    };
    leader.submit(now_ms, ServerId(1), request, Some(&[]));
}
