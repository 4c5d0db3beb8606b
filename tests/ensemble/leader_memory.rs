//! What an observer does to its leader's memory by being killed, stopped, cut off, silenced and starved, again
//! and again, while other clients go on writing through another server (P9).
//!
//! A leader keeps a handler for each learner, and with it a queue without a bound of everything that the learner
//! has not been sent. What is left of those when an observer is gone, or does not read, is held against what
//! was there before: counted by the leader's own virtual machine, right behind a full collection.
//!
//! `OUTPOST_TESTS_ABUSE=long` does the same a thousand times; `cargo xtask abuse` runs that.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use outpost_tests::crowd::script::Writing;
use outpost_tests::crowd::{Crowd, Plan};
use outpost_tests::ensemble::Server;
use outpost_tests::jvm::{self, Heap};
use outpost_tests::raw::RawClient;
use outpost_tests::{Relay, Settings, Version, four_letter, wait};
use outpost_wire::proto::CreateMode;

use crate::region::{Region, SESSION_TIMEOUT_MS};

/// Until something that must happen counts as not happening.
const LIMIT: Duration = Duration::from_secs(90);
/// Longer than any loss of these tests.
const HOLD: Duration = Duration::from_secs(60);
/// What a leader has for each learner.
const HANDLER: &str = "org.apache.zookeeper.server.quorum.LearnerHandler";
/// What waits in a handler's queue.
const PACKET: &str = "org.apache.zookeeper.server.quorum.QuorumPacket";
/// How the names of its threads begin: one reads from a learner, one sends to it.
const THREADS: [&str; 2] = ["LearnerHandler-", "Sender-"];
/// Transactions that a leader remembers for learners that come back (`commitLogCount`).
const REMEMBERED: usize = 500;
/// The session timeout of the observer's clients: short, as a session that its client has lost keeps the link
/// alive in the leader's memory that it was last used over.
const CLIENT_TIMEOUT_MS: i32 = 4_000;
/// Data of a write in calm times.
const SMALL: &[u8] = &[1; 100];
/// Data of a write in a burst: together more than the kernel takes off the leader's hands.
const LARGE: &[u8] = &[2; 1000];
/// Bytes a second of a starved link.
const STARVED_RATE: u64 = 10_000;
/// Writes sent at once.
const BATCH: usize = 100;
/// Writes of others after which they count as going on.
const GOING_ON: u64 = 5;
/// A leader's learners: one follower, one observer.
const LEARNERS: u64 = 2;
/// Packets that those who go on writing may have under way when they are counted.
const IN_WORK_MAX: u64 = 50;
/// What a leader's heap may differ by. At rest it differs by 30 KiB from one moment to the next, and a leader since
/// 3.6 gathers 1024 digests, 72 bytes each, over its first 131 072 transactions. A handler that was forgotten
/// would take 16 KiB for its two buffers alone, and its queue a kilobyte for each transaction of a burst.
const GROWTH_BYTES_MAX: u64 = 384 << 10;

/// How often everything happens.
#[derive(Debug, Clone, Copy)]
struct Abuse {
    kills: usize,
    flaps: usize,
    cuts: usize,
    stops: usize,
    silences: usize,
    starvations: usize,
    /// Transactions during a stop or a starvation.
    burst: usize,
}

impl Abuse {
    /// Two losses that come quickly.
    const FIRST: Self = Self {
        kills: 1,
        flaps: 1,
        cuts: 0,
        stops: 0,
        silences: 0,
        starvations: 0,
        burst: 0,
    };
    const SHORT: Self = Self {
        kills: 2,
        flaps: 10,
        cuts: 2,
        stops: 1,
        silences: 1,
        starvations: 1,
        burst: 5_000,
    };
    const LONG: Self = Self {
        kills: 100,
        flaps: 1_000,
        cuts: 100,
        stops: 6,
        silences: 10,
        starvations: 2,
        burst: 100_000,
    };

    /// What `OUTPOST_TESTS_ABUSE` asks for.
    fn from_env() -> Self {
        match std::env::var("OUTPOST_TESTS_ABUSE").as_deref() {
            Err(_) | Ok("" | "short") => Self::SHORT,
            Ok("long") => Self::LONG,
            Ok(other) => panic!("OUTPOST_TESTS_ABUSE is `short` or `long`, not `{other}`"),
        }
    }

    /// How often the observer loses its link.
    fn losses(self) -> usize {
        self.kills + self.flaps + self.cuts + self.stops + self.silences + self.starvations
    }
}

/// What a leader holds at one moment.
#[derive(Debug)]
struct Footprint(Heap);

impl Footprint {
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn handlers(&self) -> u64 {
        self.0.of(HANDLER).count
    }

    /// Those that are queued, and those that the leader remembers.
    fn packets(&self) -> u64 {
        self.0.of(PACKET).count
    }

    fn growth_since(&self, before: &Self) -> String {
        self.0.growth_since(&before.0, 15)
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, handlers, packets) = (self.bytes(), self.handlers(), self.packets());
        write!(
            f,
            "{bytes} bytes live, {handlers} handlers, {packets} packets"
        )
    }
}

/// A leader, its one follower through which others write, and an observer that behaves badly.
struct Victim {
    region: Region,
    leader: u64,
    goodbyes: Goodbyes,
    others: Others,
    /// Clients of the observer.
    crowd: Crowd,
    began: Instant,
}

impl Victim {
    fn start(version: Version) -> Self {
        let settings = Settings {
            // The leader and one through which others write.
            voters: 2,
            heap_mb: 128,
            ..Settings::of(version)
        };
        let region = Region::with(settings, HOLD);
        let leader = region.ensemble.wait_for_leader();
        let mut client = region.voter();
        let own = (0..2).map(|number| format!("/own/{number}"));
        let mut paths = vec!["/others".to_owned(), "/burst".into(), "/own".into()];
        paths.extend(own.flat_map(|own| Writing::to_create(&own)));
        for path in paths {
            client
                .create(&path, SMALL, CreateMode::Persistent)
                .expect("a new path");
        }
        client.close().expect("nothing is lost");
        let mut client = region.local();
        client.sync();
        client.close().expect("nothing is lost");
        Self {
            goodbyes: Goodbyes::of(region.ensemble.server(leader)),
            others: Others::start(follower(&region, leader)),
            crowd: Crowd::start((0..2).map(|number| plan(&region, number)).collect()),
            leader,
            region,
            began: Instant::now(),
        }
    }

    fn leader(&self) -> &Server {
        self.region.ensemble.server(self.leader)
    }

    fn process_id(&self) -> u32 {
        let process = self.leader().process_id();
        process.expect("the leader is running")
    }

    fn say(&self, what: &str) {
        println!("{:8.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// Lets `act` cost the observer its link, `undo` give it back, and waits until it has everything again.
    fn lose(&mut self, act: impl FnOnce(&mut Region), undo: impl FnOnce(&mut Region)) {
        let said = self.goodbyes.count();
        act(&mut self.region);
        self.wait_for_goodbye_behind(said);
        self.others.wait_until_they_go_on();
        undo(&mut self.region);
        self.wait_until_level();
    }

    fn wait_for_goodbye_behind(&mut self, said: usize) {
        let goodbyes = &mut self.goodbyes;
        wait::until("the leader to let go of the observer", LIMIT, || {
            (goodbyes.count() > said).then_some(())
        });
    }

    /// The observer has what the leader has committed only now.
    fn wait_until_level(&self) {
        let zxid = four_letter::zxid(self.leader().client_address());
        let zxid = zxid.expect("the leader serves");
        self.region.observer.wait_for_zxid(zxid + 1);
    }

    fn suffer(&mut self, abuse: Abuse) {
        self.repeat("killed and started again", abuse.kills, |victim| {
            let start_again = |region: &mut Region| region.observer.start_again();
            victim.lose(|region| region.observer.kill(), start_again);
        });
        let heal = |region: &mut Region| region.every_relay(Relay::heal);
        self.repeat("flapped", abuse.flaps, |victim| {
            victim.lose(|region| region.every_relay(Relay::flap), |_| {});
        });
        self.repeat("cut", abuse.cuts, |victim| {
            victim.lose(|region| region.every_relay(Relay::cut), heal);
        });
        self.repeat("stopped until the leader let go", abuse.stops, |victim| {
            victim.stop(abuse.burst);
        });
        let silences = abuse.silences;
        self.repeat("silenced until the leader let go", silences, |victim| {
            victim.lose(|region| region.every_relay(Relay::stall), heal);
        });
        self.repeat("starved", abuse.starvations, |victim| {
            victim.starve(abuse.burst);
        });
    }

    fn repeat(&mut self, what: &str, times: usize, act: impl Fn(&mut Self)) {
        (0..times).for_each(|_| act(self));
        if times > 0 {
            self.say(&format!("{times} times {what}"));
            // Its clients have found their way back too.
            self.crowd
                .wait_for_everybody("a write", LIMIT, |_, before, now| {
                    now.written > before.written
                });
        }
    }

    /// A burst of transactions while the observer's process stands still, more than the leader remembers.
    fn stop(&mut self, transactions: usize) {
        let said = self.goodbyes.count();
        self.region.observer.pause();
        self.write("/burst", LARGE, transactions);
        self.wait_for_goodbye_behind(said);
        self.others.wait_until_they_go_on();
        self.region.observer.resume();
        self.wait_until_level();
    }

    /// A burst of transactions while next to nothing gets through to the observer.
    fn starve(&mut self, transactions: usize) {
        let said = self.goodbyes.count();
        let throttle = |rate| move |relay: &Relay| relay.throttle(rate);
        self.region.every_relay(throttle(Some(STARVED_RATE)));
        let began = Instant::now();
        std::thread::scope(|scope| {
            let burst = scope.spawn(|| self.write("/burst", LARGE, transactions));
            let goodbyes = &mut Goodbyes::of(self.leader());
            wait::until("the leader to let go of the observer", LIMIT, || {
                (goodbyes.count() > said).then_some(())
            });
            let footprint = Footprint(Heap::live(self.process_id()));
            self.say(&format!(
                "the leader let go after {:?}: {footprint}",
                began.elapsed()
            ));
            burst.join().expect("nothing is lost");
            self.say("the burst is written");
        });
        self.others.wait_until_they_go_on();
        self.region.every_relay(throttle(None));
        self.wait_until_level();
    }

    /// More is written than the link carries, but so little more that the leader hears of the observer often enough
    /// and never gives up. Returns once the observer has.
    fn trickle(&self) {
        self.region
            .every_relay(|relay| relay.throttle(Some(STARVED_RATE)));
        let mut client = self.through_the_follower();
        let batch = vec!["/burst".to_owned(); BATCH / 10];
        let mut written = 0;
        wait::until("the observer to give the link up", LIMIT, || {
            client.set_data_at_once(&batch, LARGE);
            written += batch.len();
            // 50 kB/s where 10 kB/s get through.
            std::thread::sleep(Duration::from_millis(200));
            let metrics = self.region.observer.metrics();
            let given_up = metrics.get("outpost_link_losses_total{reason=\"congested\"}");
            given_up.filter(|times| *times > 0.0)
        });
        let footprint = Footprint(Heap::live(self.process_id()));
        self.say(&format!(
            "given up after {written} large transactions: {footprint}"
        ));
        client.close().expect("nothing is lost");
        self.region.every_relay(|relay| relay.throttle(None));
        self.wait_until_level();
    }

    fn through_the_follower(&self) -> RawClient {
        RawClient::connect(follower(&self.region, self.leader), SESSION_TIMEOUT_MS)
    }

    /// Writes through the follower.
    fn write(&self, path: &str, data: &[u8], transactions: usize) {
        let mut client = self.through_the_follower();
        let batch = vec![path.to_owned(); BATCH];
        for _ in 0..transactions.div_ceil(BATCH) {
            client.set_data_at_once(&batch, data);
        }
        client.close().expect("nothing is lost");
    }

    /// What the leader holds once everything has come to rest: it remembers small writes only, has nothing in
    /// work, and was given time to end what ends.
    fn at_rest(&self) -> Footprint {
        self.write("/burst", SMALL, 2 * REMEMBERED);
        self.wait_until_level();
        let leader = self.leader().client_address();
        wait::until("nothing in work at the leader", LIMIT, || {
            (four_letter::outstanding(leader)? == 0).then_some(())
        });
        let process_id = self.process_id();
        for name in THREADS {
            wait::until(&format!("as many {name} as learners"), LIMIT, || {
                (jvm::threads(process_id, name) == LEARNERS as usize).then_some(())
            });
        }
        if self.region.ensemble.settings().version == Version::V3_3_6 {
            return Footprint(Heap::live(process_id));
        }
        // A handler can be reached after its thread has ended: it owns the sessions of clients that have not come
        // back, until these expire.
        let forgotten = wait::within(LIMIT, || {
            let footprint = Footprint(Heap::live(process_id));
            (footprint.handlers() == LEARNERS).then_some(footprint)
        });
        forgotten.unwrap_or_else(|| Footprint(Heap::live(process_id)))
    }

    /// Nothing went wrong behind the scenes.
    fn end(self) {
        let leads = self.region.ensemble.leader();
        assert_eq!(leads, Some(self.leader), "the ensemble has changed leaders");
        let written = self.others.stop();
        println!("{written} writes of others, none lost");
        self.crowd.stop();
    }
}

fn follower(region: &Region, leader: u64) -> SocketAddr {
    let servers = region.ensemble.servers().iter();
    let mut followers = servers.filter(|server| server.id != leader);
    followers.next().expect("two voters").client_address()
}

fn plan(region: &Region, number: usize) -> Plan {
    Plan {
        name: format!("writer-{number}"),
        servers: vec![region.observer.client_address()],
        timeout_ms: CLIENT_TIMEOUT_MS,
        pace: Duration::from_millis(50),
        outstanding_max: 1,
        comes_back_within: Duration::from_millis(100),
        set_watches_2: false,
        script: Writing::script(&format!("/own/{number}")),
    }
}

/// How often the leader has said in its log that it is done with a learner.
struct Goodbyes {
    log: PathBuf,
    read: u64,
    /// The last line so far, if it has no end yet.
    line: Vec<u8>,
    count: usize,
}

impl Goodbyes {
    fn of(server: &Server) -> Self {
        Self {
            log: server.log(),
            read: 0,
            line: Vec::new(),
            count: 0,
        }
    }

    fn count(&mut self) -> usize {
        let mut text = std::mem::take(&mut self.line);
        let mut log = File::open(&self.log).expect("the leader's log can be read");
        log.seek(SeekFrom::Start(self.read))
            .and_then(|_| log.read_to_end(&mut text))
            .map(|read| self.read += read as u64)
            .expect("the leader's log can be read");
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        self.line = text.split_off(whole);
        let text = String::from_utf8_lossy(&text);
        self.count += text.matches("******* GOODBYE").count();
        self.count
    }
}

/// A client that writes through another server all the time, and loses nothing.
struct Others {
    written: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Others {
    fn start(server: SocketAddr) -> Self {
        let (written, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, end) = (Arc::clone(&written), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut client = RawClient::connect(server, SESSION_TIMEOUT_MS);
            while !end.load(Ordering::Acquire) {
                client.set_data("/others", SMALL).expect("it is there");
                count.fetch_add(1, Ordering::AcqRel);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self {
            written,
            over,
            thread,
        }
    }

    fn wait_until_they_go_on(&self) {
        let before = self.written.load(Ordering::Acquire);
        wait::until("others to go on writing", LIMIT, || {
            assert!(!self.thread.is_finished(), "others cannot write, see above");
            (self.written.load(Ordering::Acquire) >= before + GOING_ON).then_some(())
        });
    }

    fn stop(self) -> u64 {
        self.over.store(true, Ordering::Release);
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.written.load(Ordering::Acquire)
    }
}

/// Abuses a leader of `version`, and returns what it held before and after.
fn abused(version: Version, abuse: Abuse) -> (Footprint, Footprint) {
    let mut victim = Victim::start(version);
    // What a leader loads when it first loses a learner is no growth.
    victim.suffer(Abuse::FIRST);
    let before = victim.at_rest();
    victim.say(&format!("before: {before}"));
    let goodbyes = victim.goodbyes.count();
    victim.suffer(abuse);
    let after = victim.at_rest();
    victim.say(&format!("after:  {after}"));
    print!("{}", after.growth_since(&before));
    let links = victim.goodbyes.count() - goodbyes;
    let losses = abuse.losses();
    victim.say(&format!("{links} links for {losses} losses"));
    // The link may also have been lost to a machine with too much to do, but that is the exception.
    assert!(
        links <= 2 * losses,
        "{losses} losses made {links} handlers come and go"
    );
    victim.end();
    (before, after)
}

fn a_leader_is_left_as_it_was(version: Version) {
    let (before, after) = abused(version, Abuse::from_env());
    assert_eq!(
        after.handlers(),
        LEARNERS,
        "handlers of learners that are gone: {after}"
    );
    let (packets_before, packets) = (before.packets(), after.packets());
    assert!(
        packets <= packets_before + IN_WORK_MAX,
        "{packets} packets, {packets_before} before the abuse"
    );
    let growth = after.bytes().saturating_sub(before.bytes());
    assert!(
        growth <= GROWTH_BYTES_MAX,
        "the leader's heap has grown by {growth} bytes:\n{}",
        after.growth_since(&before)
    );
}

#[test]
fn p9_an_observer_that_comes_and_goes_leaves_a_leader_of_3_9_5_as_it_was() {
    a_leader_is_left_as_it_was(Version::V3_9_5);
}

#[test]
fn p9_an_observer_that_comes_and_goes_leaves_a_leader_of_3_4_14_as_it_was() {
    a_leader_is_left_as_it_was(Version::V3_4_14);
}

#[test]
fn p9_a_link_that_is_too_slow_for_what_is_written_is_given_up_before_the_leader_has_to_remember_it_all()
 {
    let victim = Victim::start(Version::V3_9_5);
    victim.trickle();
    let after = victim.at_rest();
    victim.say(&format!("after:  {after}"));
    victim.end();
    assert_eq!(after.handlers(), LEARNERS, "{after}");
}

#[test]
fn p9_an_observer_that_comes_and_goes_costs_a_leader_of_3_3_6_one_handler_for_each_loss() {
    // That leader forgets no observer and queues every transaction for all it has ever had (ZOOKEEPER-1361): its
    // memory grows with each loss, and nothing an observer does can change that. What is the observer's: that
    // it makes no more links than it loses, and that each of their threads and sockets ends.
    let abuse = Abuse {
        silences: 0,
        starvations: 0,
        ..Abuse::SHORT
    };
    let (before, after) = abused(Version::V3_3_6, abuse);
    let handlers = after.handlers() - before.handlers();
    assert!(
        handlers <= 2 * abuse.losses() as u64,
        "{handlers} handlers more than before"
    );
}
