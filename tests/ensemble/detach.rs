//! The link to the ensemble is lost in every way there is, while clients read, write, watch and hold ephemerals
//! all the time. Their histories are held against what the ensemble has committed.
//!
//! With Outpost nobody loses a connection who has no write on its way at that moment. A Java observer closes
//! its clients at every loss: with it the same suites say that histories are right nevertheless.

use std::time::{Duration, Instant};

use outpost_tests::committed::Committed;
use outpost_tests::crowd::judge::{Gaps, judge};
use outpost_tests::crowd::script::{
    Board, Holding, Remembering, Stirring, Syncing, Watching, Writing,
};
use outpost_tests::crowd::{Count, Crowd, History, Loss, Plan, Script};
use outpost_tests::ensemble::Server;
use outpost_tests::ports::free_port;
use outpost_tests::raw::RawClient;
use outpost_tests::tree_dump::assert_same_tree;
use outpost_tests::{
    Ensemble, Observer, ObserverKind, ObserverSettings, Relay, Settings, Version, wait,
};
use outpost_wire::proto::{AddWatchMode, CreateMode};

use crate::region::{IMPATIENT, Region, SESSION_TIMEOUT_MS, patient};

/// The session timeout of those whose lease ends while the link is silent for longer.
const SHORT_TIMEOUT_MS: i32 = 4_000;
/// Longer than any loss of these tests.
const HOLD: Duration = Duration::from_secs(50);
/// Until a client counts as standing still.
const LIMIT: Duration = Duration::from_secs(60);
/// Violations that a failure shows.
const VIOLATIONS_SHOWN: usize = 5;

/// What a client may suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Asks the leader for nothing that could be done twice: never loses its connection.
    Steady,
    /// Loses its connection if a write was on its way, and only then.
    Writer,
    /// Has a session so short that it may end with the link.
    Short,
    /// Speaks with voters and is judged by nobody.
    Far,
}

impl Part {
    fn of(name: &str) -> Self {
        match name.split('-').next() {
            Some("writer") => Self::Writer,
            Some("short") => Self::Short,
            Some("far") => Self::Far,
            _ => Self::Steady,
        }
    }
}

/// A crowd before an observer whose link is lost again and again.
struct Siege {
    region: Region,
    crowd: Crowd,
    snapshots: f64,
    /// What was done when, so that a violation can be placed.
    deeds: Vec<(Instant, String)>,
}

/// How many of which clients stand before the observer.
struct Cast {
    watching: usize,
    lasting: bool,
    writing: usize,
    holding: usize,
    syncing: usize,
    short: usize,
    read_pace: Duration,
    stir_pace: Duration,
}

impl Cast {
    /// A dozen.
    fn dozen(version: Version) -> Self {
        Self {
            watching: 3,
            lasting: version >= Version::V3_6_4,
            writing: 3,
            holding: 2,
            syncing: 1,
            short: 1,
            read_pace: Duration::from_millis(10),
            // Before 3.6 a leader remembers 500 transactions: who has missed more gets a snapshot.
            stir_pace: Duration::from_millis(if version < Version::V3_6_4 { 120 } else { 40 }),
        }
    }

    /// Creates what the clients look at and write to, and waits until the observer shows it.
    fn prepare(&self, ensemble: &Ensemble, observer: &Observer) -> Board {
        let board = Board::new("/board", 8);
        let written = (0..self.writing).flat_map(|n| Writing::to_create(&written(n)));
        let roots = ["/written", "/held"].map(str::to_owned).into_iter();
        let boards = board.to_create().map(ToString::to_string);
        let leader = ensemble.server(ensemble.wait_for_leader());
        let mut client = RawClient::connect(leader.client_address(), SESSION_TIMEOUT_MS);
        for path in boards.chain(roots).chain(written) {
            client
                .create(&path, b"", CreateMode::Persistent)
                .expect("a new path");
        }
        client.close().expect("nothing is lost yet");
        RawClient::connect(observer.client_address(), SESSION_TIMEOUT_MS).sync();
        board
    }

    fn plans(&self, board: &Board, observer: &Observer, voters: &Ensemble) -> Vec<Plan> {
        let mut parts: Vec<(String, Script)> = Vec::new();
        for n in 0..self.watching {
            parts.push((format!("watcher-{n}"), Watching::script(board, n * 7)));
        }
        if self.lasting {
            let of_one = Remembering::script(board, &board.steady[0], AddWatchMode::Persistent);
            parts.push(("lasting-one".into(), of_one));
            let of_all = Remembering::script(board, &board.root, AddWatchMode::PersistentRecursive);
            parts.push(("lasting-all".into(), of_all));
        }
        for n in 0..self.writing {
            parts.push((format!("writer-{n}"), Writing::script(&written(n))));
        }
        for n in 0..self.holding {
            parts.push((
                format!("holder-{n}"),
                Holding::script(&format!("/held/{n}")),
            ));
        }
        for n in 0..self.syncing {
            parts.push((format!("syncer-{n}"), Syncing::script(board)));
        }
        for n in 0..self.short {
            let own = format!("/held/short-{n}");
            parts.push((format!("short-{n}"), Holding::script(&own)));
        }
        parts.push(("far".into(), Stirring::script(board)));
        parts
            .into_iter()
            .map(|(name, script)| self.plan(name, script, observer, voters))
            .collect()
    }

    fn plan(&self, name: String, script: Script, observer: &Observer, voters: &Ensemble) -> Plan {
        let part = Part::of(&name);
        let servers = match part {
            Part::Far => voters
                .servers()
                .iter()
                .map(Server::client_address)
                .collect(),
            _ => vec![observer.client_address()],
        };
        Plan {
            name,
            servers,
            timeout_ms: match part {
                // Short, so that it soon leaves a voter that has fallen silent.
                Part::Short | Part::Far => SHORT_TIMEOUT_MS,
                Part::Steady | Part::Writer => SESSION_TIMEOUT_MS,
            },
            pace: match part {
                Part::Far => self.stir_pace,
                Part::Writer => Duration::from_millis(60),
                Part::Steady | Part::Short => self.read_pace,
            },
            outstanding_max: 3,
            comes_back_within: Duration::from_millis(200),
            set_watches_2: voters.settings().version >= Version::V3_6_4,
            script,
        }
    }
}

/// Leaders that forget nothing. Ticks are short, so that losses are soon noticed.
fn settings(version: Version) -> Settings {
    Settings {
        version,
        sync_limit: 4,
        lines: ["commitLogCount=50000", IMPATIENT]
            .map(str::to_owned)
            .to_vec(),
        ..Settings::default()
    }
}

impl Siege {
    fn lay(settings: Settings, cast: &Cast) -> Self {
        Self::before(Region::with(settings, HOLD), cast)
    }

    fn before(region: Region, cast: &Cast) -> Self {
        let board = cast.prepare(&region.ensemble, &region.observer);
        let plans = cast.plans(&board, &region.observer, &region.ensemble);
        let siege = Self {
            snapshots: snapshots(&region.observer),
            crowd: Crowd::start(plans),
            region,
            deeds: Vec::new(),
        };
        siege.everybody_goes_on();
        siege
    }

    /// Does something, and returns once the link stands again and everybody was answered.
    fn endure(&mut self, what: &str, act: impl FnOnce(&Self)) {
        println!("{what}");
        self.deeds.push((Instant::now(), what.to_owned()));
        act(self);
        self.region.every_relay(Relay::heal);
        self.region.ensemble.wait_until_all_serve();
        self.everybody_goes_on();
    }

    /// Everybody is answered, and whoever writes has written.
    fn everybody_goes_on(&self) {
        self.crowd
            .wait_for_everybody("another answer", LIMIT, went_on);
    }

    /// While the link is lost: whoever only reads is answered all the same.
    fn reads_go_on(&self) {
        if !self.region.holds_clients() {
            return;
        }
        let read_on = |name: &str, before: Count, now: Count| {
            let reads = Part::of(name) == Part::Steady && !name.starts_with("syncer");
            !reads || now.answered > before.answered + 5
        };
        self.crowd
            .wait_for_everybody("answers without a leader", LIMIT, read_on);
    }

    fn kill_the_leader(&mut self) {
        let mut killed = 0;
        self.endure("the leader is killed", |siege| {
            killed = siege.region.ensemble.wait_for_leader();
            siege.region.ensemble.kill(killed);
            siege.reads_go_on();
        });
        self.region.ensemble.start_server(killed);
        self.region.ensemble.wait_until_all_serve();
    }

    fn pause_the_leader(&mut self, length: Duration) {
        self.endure("the leader is paused", |siege| {
            let leader = siege.region.ensemble.wait_for_leader();
            siege.region.ensemble.pause(leader);
            siege.reads_go_on();
            last(length);
            siege.region.ensemble.resume(leader);
        });
    }

    /// Does `how` to the follower that the observer is attached to, and returns its id once the observer is attached
    /// to another; the follower is well again then.
    fn lose_the_observer_master(&mut self, what: &str, how: fn(&Self, u64)) -> u64 {
        let master = wait::until("a learner master", LIMIT, || self.region.learner_master());
        self.endure(what, |siege| {
            how(siege, master);
            siege.reads_go_on();
            wait::until("the observer to find another master", LIMIT, || {
                let found = siege.region.learner_master();
                found.filter(|found| *found != master)
            });
        });
        master
    }

    fn lose_every_link(&mut self, what: &str, how: fn(&Relay), length: Duration) {
        let what = format!("{what} for {length:?}");
        self.endure(&what, |siege| {
            siege.region.every_relay(how);
            siege.reads_go_on();
            last(length);
        });
    }

    fn flap(&mut self, times: usize, every: Duration) {
        self.endure("links flap", |siege| {
            for _ in 0..times {
                siege.region.every_relay(Relay::flap);
                last(every);
            }
        });
    }

    fn far_away(&mut self, delay: Duration) {
        self.region.every_relay(|relay| relay.delay(delay));
        self.endure("links are long", |_| ());
        self.flap(3, Duration::from_secs(1));
        self.lose_every_link("long links are cut", Relay::cut, Duration::from_secs(1));
        self.region.every_relay(|relay| relay.delay(Duration::ZERO));
    }

    /// Everybody leaves, and what they have seen is judged.
    fn lift(self) -> Vec<History> {
        let histories = self.crowd.stop();
        let observer = self.region.observer.client_address();
        let leader = self.region.ensemble.wait_for_leader();
        let leader = self.region.ensemble.server(leader).client_address();
        assert_same_tree(observer, leader);
        let committed = Committed::of(&self.region.ensemble);
        let gaps = match snapshots(&self.region.observer) > self.snapshots {
            true => Gaps::PerhapsBySnapshots,
            false => Gaps::FilledByTransactions,
        };
        let mut complaints = Vec::new();
        for history in &histories {
            if Part::of(&history.client) != Part::Far {
                let violations = judge(history, &committed, gaps);
                complaints.extend(
                    violations
                        .into_iter()
                        .map(|one| (one.at, one.client, one.text)),
                );
            }
            if self.region.holds_clients() {
                complaints.extend(undeserved_losses(history));
            }
        }
        let answers: usize = histories.iter().map(History::answers).sum();
        let events: usize = histories.iter().map(History::events).sum();
        println!(
            "{answers} answers, {events} watch events, {} writes committed, {gaps:?}",
            committed.len()
        );
        say_what_was_counted(&self.region.observer);
        assert!(events > 0, "no watch was told of anything");
        fail_with(&complaints, &self.deeds);
        histories
    }
}

/// For whoever reads the log: what the observer itself says about what it went through.
fn say_what_was_counted(observer: &Observer) {
    if observer.kind() == ObserverKind::Java {
        return;
    }
    let metrics = observer.metrics();
    let names = [
        "outpost_link_losses_total",
        "outpost_clients_kept_total",
        "outpost_clients_closed_total",
        "outpost_writes_resolved_total",
        "outpost_snapshots_total",
    ];
    for (name, value) in names.iter().flat_map(|name| metrics.beginning(name)) {
        println!("{name} {value}");
    }
}

/// Whoever writes has written, and the others were answered.
fn went_on(name: &str, before: Count, now: Count) -> bool {
    match Part::of(name) {
        Part::Writer | Part::Far => now.written > before.written + 1,
        Part::Steady | Part::Short => now.answered > before.answered + 1,
    }
}

/// Where a writer writes.
fn written(number: usize) -> String {
    format!("/written/{number}")
}

/// The length of a fault, not a wait for anything.
fn last(length: Duration) {
    std::thread::sleep(length);
}

fn snapshots(observer: &Observer) -> f64 {
    match observer.kind() {
        ObserverKind::Outpost => observer.metrics().sum("outpost_snapshots_total"),
        // Its clients set their watches again after each loss, and are told of differences in any case.
        ObserverKind::Java => 0.0,
    }
}

/// Connections that this client should not have lost.
fn undeserved_losses(history: &History) -> Vec<(Instant, String, String)> {
    let part = Part::of(&history.client);
    let disconnects = history.disconnects().into_iter();
    let undeserved = disconnects.filter(|lost| match part {
        Part::Steady => true,
        Part::Writer => lost.loss != Loss::Closed || !lost.with_a_write(),
        Part::Short | Part::Far => false,
    });
    undeserved
        .map(|lost| {
            let text = format!(
                "the connection ends ({:?}) with {:?} unanswered",
                lost.loss, lost.unanswered
            );
            (lost.at, history.client.clone(), text)
        })
        .collect()
}

fn fail_with(complaints: &[(Instant, String, String)], deeds: &[(Instant, String)]) {
    if complaints.is_empty() {
        return;
    }
    let mut message = format!("{} violations:", complaints.len());
    for (at, client, text) in complaints.iter().take(VIOLATIONS_SHOWN) {
        let deed = deeds.iter().rfind(|(began, _)| began <= at);
        let when = deed.map_or_else(String::new, |(began, deed)| {
            format!(" {:?} after \"{deed}\"", at.duration_since(*began))
        });
        message.push_str(&format!("\n  {client}{when}: {text}"));
    }
    panic!("{message}");
}

/// Every way in which a link can be lost, one after the other; at last it falls silent for so long.
fn everything_happens(version: Version, silence: Duration) {
    let mut siege = Siege::lay(settings(version), &Cast::dozen(version));
    let seconds = Duration::from_secs;
    siege.kill_the_leader();
    siege.lose_every_link("links are cut", Relay::cut, seconds(1));
    siege.pause_the_leader(seconds(5));
    siege.lose_every_link("links fall silent", Relay::stall, seconds(2));
    siege.flap(6, seconds(1));
    siege.far_away(Duration::from_millis(150));
    siege.lose_every_link("links fall silent", Relay::stall, silence);
    siege.kill_the_leader();
    siege.lift();
}

#[test]
fn p1_to_p5_hold_and_nobody_is_closed_whatever_happens_to_the_link_to_3_9() {
    everything_happens(Version::V3_9_5, Duration::from_secs(30));
}

#[test]
fn p1_to_p5_hold_and_nobody_is_closed_whatever_happens_to_the_link_to_3_5() {
    everything_happens(Version::V3_5_10, Duration::from_secs(6));
}

#[test]
fn p1_to_p5_hold_and_nobody_is_closed_whatever_happens_to_the_link_to_3_4() {
    everything_happens(Version::V3_4_14, Duration::from_secs(12));
}

#[test]
fn p1_to_p5_hold_and_nobody_is_closed_when_every_gap_is_filled_by_a_snapshot() {
    let mut settings = settings(Version::NEWEST);
    settings.lines.push("forceSnapshotSync=true".to_owned());
    let mut siege = Siege::lay(settings, &Cast::dozen(Version::NEWEST));
    let (before, seconds) = (siege.snapshots, Duration::from_secs);
    siege.kill_the_leader();
    siege.lose_every_link("links are cut", Relay::cut, seconds(1));
    siege.flap(3, seconds(1));
    siege.lose_every_link("links fall silent", Relay::stall, seconds(2));
    let came = snapshots(&siege.region.observer) - before;
    assert!(
        came >= 6.0 || !siege.region.holds_clients(),
        "only {came} snapshots"
    );
    siege.lift();
}

#[test]
fn p3_five_hundred_clients_with_watches_outlive_three_leaders() {
    let cast = Cast {
        watching: 500,
        lasting: true,
        writing: 8,
        holding: 4,
        syncing: 2,
        short: 0,
        read_pace: Duration::from_millis(250),
        stir_pace: Duration::from_millis(50),
    };
    let mut siege = Siege::lay(settings(Version::NEWEST), &cast);
    for _ in 0..3 {
        siege.kill_the_leader();
    }
    let held = siege.region.holds_clients();
    let histories = siege.lift();
    let disconnects = histories.iter().flat_map(History::disconnects);
    let expired = disconnects.filter(|lost| lost.loss == Loss::Expired);
    assert!(expired.count() == 0 || !held, "a session has expired");
}

/// An observer that reaches followers only, each through a relay at the one port that it knows for all; and the
/// relays to the ports at which a Java observer hears of elections, which are never cut.
fn behind_observer_masters() -> (Region, Vec<Relay>) {
    let masters: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let settings = Settings {
        lines_by_voter: masters
            .iter()
            .map(|port| format!("observerMasterPort={port}"))
            .collect(),
        ..patient(settings(Version::NEWEST))
    };
    let ensemble = Ensemble::with(settings.super_secret());
    let port = free_port();
    let masters = ensemble.servers().iter().zip(masters);
    // Every voter has a loopback address of its own, as the observer sees it.
    let to_host_of = |server: &Server, port, target| {
        let host = [127, 0, 1, u8::try_from(server.id).expect("a small id")];
        Relay::start_at((host, port).into(), ([127, 0, 0, 1], target).into())
    };
    let relays = masters.map(|(server, master)| (server.id, to_host_of(server, port, master)));
    let relays = relays.collect();
    let elections = ensemble.servers().iter().map(|server| {
        let port = server.ports.election;
        to_host_of(server, port, port)
    });
    let elections = elections.collect();
    let settings = ObserverSettings::default().line(format!("observerMasterPort={port}"));
    let region = Region::behind(relays, ensemble, HOLD, settings);
    (region, elections)
}

#[test]
fn p1_to_p5_hold_and_nobody_is_closed_when_an_observer_master_is_lost() {
    let (region, _elections) = behind_observer_masters();
    let mut siege = Siege::before(region, &Cast::dozen(Version::NEWEST));
    siege.lose_the_observer_master("the observer's master is cut off", |siege, id| {
        siege.region.relay(id).cut();
    });
    siege.lose_the_observer_master("the observer's master falls silent", |siege, id| {
        siege.region.relay(id).stall();
    });
    let killed = siege.lose_the_observer_master("the observer's master dies", |siege, id| {
        siege.region.ensemble.kill(id);
    });
    siege.region.ensemble.start_server(killed);
    siege.region.ensemble.wait_until_all_serve();
    siege.kill_the_leader();
    siege.lift();
}
/// How far memory may have grown after all the flaps: allocators keep a little of what was freed.
const GROWTH_BYTES_MAX: u64 = 6 << 20;
/// What a lost link could leave behind, by the beginning of its name.
const QUEUES: [&str; 7] = [
    "outpost_apply_queue_",
    "outpost_requests_in_flight",
    "outpost_client_sessions",
    "outpost_large_request_bytes",
    "outstanding_requests",
    "num_alive_connections",
    "watch_count",
];
/// How many threads and descriptors may have come on top: the runtime starts and ends threads as it likes.
const COMES_AND_GOES_MAX: f64 = 3.0;

/// What is waiting or held in an observer.
#[derive(Debug)]
struct Held {
    queues: Vec<(String, f64)>,
    threads: f64,
    descriptors: f64,
    bytes: u64,
}

impl Held {
    fn by(observer: &Observer) -> Self {
        let metrics = observer.metrics();
        let queues = QUEUES.iter().flat_map(|name| metrics.beginning(name));
        Self {
            queues: queues
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            threads: metrics.sum("process_threads"),
            descriptors: metrics.sum("process_open_fds"),
            bytes: observer.running().resident_bytes(),
        }
    }

    /// Nothing waits and nobody is connected.
    fn is_at_rest(&self) -> bool {
        self.queues.iter().all(|(_, value)| *value == 0.0)
    }

    fn is_no_more_than(&self, before: &Self) -> bool {
        self.is_at_rest()
            && self.threads <= before.threads + COMES_AND_GOES_MAX
            && self.descriptors <= before.descriptors + COMES_AND_GOES_MAX
            && self.bytes <= before.bytes + GROWTH_BYTES_MAX
    }
}

/// An observer whose link can be cut.
struct Flapping {
    observer: Observer,
    relays: Vec<(u64, Relay)>,
}

impl Flapping {
    fn start(ensemble: &Ensemble) -> Self {
        let relays = Relay::before_all(ensemble);
        let settings = ObserverSettings::default().through(&relays);
        let settings = settings.line(format!("outpost.hold={}", HOLD.as_millis()));
        let observer = Observer::start(ensemble, ObserverKind::from_env(), &settings);
        Self { observer, relays }
    }

    fn attachments(&self) -> f64 {
        self.observer.metrics().sum("outpost_attachments_total")
    }
}

#[test]
fn p6_two_hundred_flaps_leave_nothing_behind() {
    if ObserverKind::from_env() == ObserverKind::Java {
        // It tells no such numbers.
        return;
    }
    let ensemble = Ensemble::with(patient(settings(Version::NEWEST)));
    // Side by side, because a link that flaps comes back more slowly.
    let observers = [(); 4].map(|()| Flapping::start(&ensemble));
    let cast = Cast {
        watching: 1,
        writing: 1,
        holding: 1,
        syncing: 1,
        short: 0,
        ..Cast::dozen(Version::NEWEST)
    };
    let board = cast.prepare(&ensemble, &observers[0].observer);
    let flap = |times| {
        flap_under_crowds(&observers, times, |observer| {
            cast.plans(&board, observer, &ensemble)
        });
    };
    // Whatever is allocated once and kept has been allocated after these.
    flap(5);
    let before = observers.each_ref().map(|one| {
        wait::until("an observer at rest", LIMIT, || {
            Some(Held::by(&one.observer)).filter(Held::is_at_rest)
        })
    });
    let counted = before.iter().all(|held| held.queues.len() >= QUEUES.len());
    assert!(counted, "gauges are missing: {before:?}");
    flap(50);
    for (one, before) in observers.iter().zip(&before) {
        let after = wait::within(LIMIT, || {
            let now = Held::by(&one.observer);
            now.is_no_more_than(before).then_some(now)
        });
        let after = after.unwrap_or_else(|| {
            let now = Held::by(&one.observer);
            panic!("before: {before:?}\nafter: {now:?}")
        });
        println!("before: {before:?}\nafter: {after:?}");
        say_what_was_counted(&one.observer);
    }
}

/// All links flap so many times, each time as soon as every observer is attached again, while crowds are at work.
fn flap_under_crowds(observers: &[Flapping], times: usize, plans: impl Fn(&Observer) -> Vec<Plan>) {
    let crowds = observers
        .iter()
        .map(|one| Crowd::start(plans(&one.observer)));
    let crowds: Vec<Crowd> = crowds.collect();
    for _ in 0..times {
        let before: Vec<f64> = observers.iter().map(Flapping::attachments).collect();
        for (_, relay) in observers.iter().flat_map(|one| &one.relays) {
            relay.flap();
        }
        for (one, before) in observers.iter().zip(before) {
            wait::until("an observer to attach again", LIMIT, || {
                (one.attachments() > before).then_some(())
            });
        }
    }
    for crowd in crowds {
        crowd.wait_for_everybody("another answer", LIMIT, went_on);
        crowd.stop();
    }
    for one in observers {
        wait::until("nobody to be connected", LIMIT, || {
            let connected = one.observer.metrics().sum("outpost_client_sessions");
            (connected == 0.0).then_some(())
        });
    }
}
