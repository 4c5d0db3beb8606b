//! What stands around a test of attacks: Outpost as a process of its own, whose memory and open files are nobody
//! else's, attached to a simulated ensemble; and calm clients, who must not notice anything.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use outpost_sim::ServerOptions;
use outpost_tests::metrics::Metrics;
use outpost_tests::observer::outpost_binary;
use outpost_tests::offenders::allow_open_files;
use outpost_tests::ports::free_port;
use outpost_tests::process::Process;
use outpost_tests::raw::RawClient;
use outpost_tests::run_dir::RunDir;
use outpost_tests::{four_letter, wait};
use outpost_wire::proto::CreateMode;

use crate::stage::{Site, TIMEOUT_MS, zoo_cfg};

/// How long something may take on a machine that is busy with an attack.
pub(crate) const SIEGE_LIMIT: Duration = Duration::from_secs(60);
/// Clients that work all the time, and as many that wait for something to happen.
const CALM: usize = 8;
/// Whoever attacks with 10,000 sockets needs as many, and so does the server.
const OPEN_FILES: u64 = 12_000;
/// What is shown of what is held for clients.
const HELD: [&str; 4] = [
    "num_alive_connections",
    "watch_count",
    "outstanding_requests",
    "outpost_client_sessions",
];

/// An Outpost that is going to be attacked.
pub(crate) struct Siege {
    // In this order: clients, server, ensemble.
    calm: Calm,
    outpost: Process,
    open_files: usize,
    pub(crate) address: SocketAddr,
    pub(crate) secure: SocketAddr,
    metrics: SocketAddr,
    pub(crate) site: Site,
    _dir: RunDir,
}

impl Siege {
    /// With further lines in its configuration; `secureClientPort` is there to be used in them.
    pub(crate) fn with(lines: impl FnOnce(u16) -> Vec<String>) -> Siege {
        allow_open_files(OPEN_FILES);
        let mut options = ServerOptions::default();
        options.leader.tick_ms = 500;
        // It gets as little of the processor as everybody else.
        options.leader.sync_limit = 100;
        let site = Site::with(options);
        let dir = RunDir::new("siege");
        let [client, secure, metrics] = [free_port(), free_port(), free_port()];
        let mut all = vec![
            format!("clientPort={client}"),
            format!("metricsProvider.httpPort={metrics}"),
            "tickTime=500".to_owned(),
        ];
        all.extend(lines(secure));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let file = dir.path().join("zoo.cfg");
        let text = zoo_cfg(dir.path(), &site.membership().to_text(), &all);
        fs::write(&file, text).expect("the configuration is written");
        let mut command = Command::new(outpost_binary());
        command.arg("run").arg(&file).args(["--id", "10"]);
        let outpost = Process::start("Outpost", &command, &dir.path().join("outpost.log"));
        let [address, secure, metrics] =
            [client, secure, metrics].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        wait::until("Outpost to serve", SIEGE_LIMIT, || {
            let ended = outpost.ended();
            assert!(ended.is_none(), "{ended:?}: {}", outpost.log_tail(20));
            (four_letter::mode(address)? == "observer").then_some(())
        });
        let calm = Calm::start(address);
        Siege {
            calm,
            open_files: open_files(&outpost),
            outpost,
            address,
            secure,
            metrics,
            site,
            _dir: dir,
        }
    }

    /// With the defaults of production, but for the connections of one address: tests have few addresses.
    pub(crate) fn new() -> Siege {
        Siege::with(|_| Vec::new())
    }

    /// Every calm client has gone all its rounds while the attack stood.
    pub(crate) fn everybody_goes_on(&self) {
        self.calm.wait_for_rounds(10);
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::read(self.metrics).expect("metrics are shown while it is attacked")
    }

    /// Connections beside those of the calm.
    pub(crate) fn strangers(&self) -> u64 {
        let all = self.metrics().sum("num_alive_connections") as u64;
        all.saturating_sub(2 * CALM as u64)
    }

    /// No connection is left of them, and no socket.
    pub(crate) fn wait_until_strangers_are_gone(&self) {
        wait::until("the strangers to be gone", SIEGE_LIMIT, || {
            (self.strangers() == 0).then_some(())
        });
        wait::until("their sockets to be gone", SIEGE_LIMIT, || {
            (open_files(&self.outpost) <= self.open_files).then_some(())
        });
    }

    /// What it holds in memory now, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.outpost.resident_bytes()
    }

    /// The attack is over: nobody has lost a connection or a session by it, nothing is held for those who are gone, the
    /// ensemble has come to no harm.
    pub(crate) fn end(mut self) {
        self.everybody_goes_on();
        self.calm.stop();
        wait::until("nothing to be held for anybody", SIEGE_LIMIT, || {
            let metrics = self.metrics();
            let held = HELD.iter().all(|gauge| metrics.sum(gauge) == 0.0);
            held.then_some(())
        });
        assert!(self.outpost.ended().is_none(), "Outpost has ended");
        self.site.assert_unharmed();
    }
}

fn open_files(process: &Process) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", process.id()));
    files.expect("the process runs").count()
}

/// Clients that were there before the attack, each on the one connection that it has.
struct Calm {
    rounds: Arc<Vec<AtomicU64>>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    sleepers: Vec<RawClient>,
}

impl Calm {
    fn start(address: SocketAddr) -> Calm {
        let rounds: Arc<Vec<AtomicU64>> = Arc::new((0..CALM).map(|_| AtomicU64::new(0)).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let workers = (0..CALM).map(|number| {
            let (rounds, stop) = (Arc::clone(&rounds), Arc::clone(&stop));
            let mut client = RawClient::connect(address, TIMEOUT_MS);
            let path = format!("/calm-{number}");
            let created = client.create(&path, b"", CreateMode::Ephemeral);
            created.expect("a new path");
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    go_round(&mut client, &path);
                    rounds[number].fetch_add(1, Ordering::Release);
                }
                client.close().expect("its session is there to be closed");
            })
        });
        let workers = workers.collect();
        let sleepers = (0..CALM).map(|number| {
            let mut client = RawClient::connect(address, TIMEOUT_MS);
            let path = format!("/calm-{number}");
            client.exists(&path, true).expect("it is there");
            client
        });
        let sleepers = sleepers.collect();
        Calm {
            rounds,
            stop,
            workers,
            sleepers,
        }
    }

    fn rounds(&self) -> Vec<u64> {
        let each = self.rounds.iter();
        each.map(|rounds| rounds.load(Ordering::Acquire)).collect()
    }

    fn wait_for_rounds(&self, further: u64) {
        let before = self.rounds();
        wait::until("every calm client to go on", SIEGE_LIMIT, || {
            let ended = self.workers.iter().any(JoinHandle::is_finished);
            assert!(!ended, "a calm client has lost its connection, see above");
            let now = self.rounds();
            let mut pairs = before.iter().zip(&now);
            pairs
                .all(|(before, now)| *now >= before + further)
                .then_some(())
        });
    }

    fn stop(&mut self) {
        for mut sleeper in self.sleepers.drain(..) {
            // The change of the first round has woken it; its session is still the same.
            sleeper.event().expect("it was told");
            sleeper.close().expect("its session is there to be closed");
        }
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            worker.join().expect("a calm client was not disturbed");
        }
    }
}

/// A watch, the write that fires it, and reads that show both.
fn go_round(client: &mut RawClient, path: &str) {
    let (_, before) = client.get_data(path.as_bytes(), true).expect("it is there");
    let stat = client.set_data(path, b"x").expect("written");
    assert_eq!(stat.version, before.version + 1);
    assert_eq!(client.take_events().len(), 1, "the watch has fired once");
    let (_, after) = client
        .get_data(path.as_bytes(), false)
        .expect("it is there");
    assert_eq!(after.version, stat.version);
}
