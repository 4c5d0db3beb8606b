//! The server under test: an observer attached to a real ensemble, in Java or Outpost, from the same `zoo.cfg`.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ensemble::{Ensemble, Ports, Settings, Version, java_server};
use crate::metrics::Metrics;
use crate::ports::free_port;
use crate::process::Process;
use crate::relay::Relay;
use crate::run_dir::{RunDir, profile_dir};
use crate::{four_letter, wait};

/// The line of `zoo.cfg` with which a Java server tells Prometheus its metrics.
pub const PROMETHEUS: &str =
    "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";

/// How long an observer may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Which program plays the observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObserverKind {
    /// `QuorumPeerMain` of Apache ZooKeeper: the reference.
    Java,
    /// `outpost run`.
    Outpost,
}

impl ObserverKind {
    /// The one that `OUTPOST_TESTS_OBSERVER` names, `java` or `outpost`; Outpost when it is unset.
    ///
    /// # Panics
    /// On any other value.
    pub fn from_env() -> Self {
        match std::env::var("OUTPOST_TESTS_OBSERVER").as_deref() {
            Err(_) | Ok("" | "outpost") => Self::Outpost,
            Ok("java") => Self::Java,
            Ok(other) => panic!("OUTPOST_TESTS_OBSERVER is `java` or `outpost`, not `{other}`"),
        }
    }
}

/// How an observer is set up beyond what its ensemble says.
#[derive(Debug, Clone, Default)]
pub struct ObserverSettings {
    /// The Java observer's release; none: the ensemble's own.
    pub java_version: Option<Version>,
    /// Further lines for its `zoo.cfg`.
    pub lines: Vec<String>,
    /// For each voter's id the address that stands in for its host and quorum port.
    pub quorum_addresses: Vec<(u64, SocketAddr)>,
    /// Further environment of the process.
    pub environment: Vec<(String, String)>,
    /// A file that is `/etc/hosts` to Outpost alone.
    pub hosts: Option<PathBuf>,
    /// Outpost gives up a silent link when it does by default, as for an operator; else it is as patient as a Java
    /// observer, unless a line says otherwise.
    pub default_patience: bool,
}

impl ObserverSettings {
    /// Adds a line to `zoo.cfg`.
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Sends the observer's link to each voter through its relay.
    pub fn through(mut self, relays: &[(u64, Relay)]) -> Self {
        self.quorum_addresses = relays
            .iter()
            .map(|(id, relay)| (*id, relay.address()))
            .collect();
        self
    }
}

/// A running observer. Dropped, it is killed.
#[derive(Debug)]
pub struct Observer {
    /// Its server id.
    pub id: u64,
    kind: ObserverKind,
    ports: Ports,
    metrics_port: u16,
    command: CommandLine,
    process: Option<Process>,
    ensemble_dir: PathBuf,
    // Last, so that the files go after the process that writes them.
    dir: RunDir,
}

/// What is needed to start the same observer again.
#[derive(Debug)]
struct CommandLine {
    config: PathBuf,
    java_version: Version,
    heap_mb: u32,
    environment: Vec<(String, String)>,
    hosts: Option<PathBuf>,
}

impl Observer {
    /// Starts an observer of `ensemble` and returns when it serves.
    ///
    /// It takes the first id that the ensemble lists as an observer and that this function has not given
    /// away, else one that the ensemble has never heard of.
    ///
    /// # Panics
    /// When it has not come to serve after 60 seconds.
    pub fn start(ensemble: &Ensemble, kind: ObserverKind, settings: &ObserverSettings) -> Self {
        let observer = Self::start_without_waiting(ensemble, kind, settings);
        observer.wait_until_it_serves();
        observer
    }

    /// Starts an observer and returns at once.
    pub fn start_without_waiting(
        ensemble: &Ensemble,
        kind: ObserverKind,
        settings: &ObserverSettings,
    ) -> Self {
        let (id, ports) = next_member(ensemble);
        let dir = RunDir::new(&format!("observer-{id}"));
        let metrics_port = free_port();
        let config = write_files(&dir, ensemble, settings, id, ports, metrics_port);
        let command = CommandLine {
            config,
            java_version: settings.java_version.unwrap_or(ensemble.settings().version),
            heap_mb: ensemble.settings().heap_mb,
            environment: settings.environment.clone(),
            hosts: settings.hosts.clone(),
        };
        let mut observer = Self {
            id,
            kind,
            ports,
            metrics_port,
            command,
            process: None,
            ensemble_dir: ensemble.dir().to_owned(),
            dir,
        };
        observer.start_again();
        observer
    }

    /// Which program it is.
    pub fn kind(&self) -> ObserverKind {
        self.kind
    }

    /// Where it serves clients.
    pub fn client_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.client))
    }

    /// Where it tells Prometheus; a Java observer does so only with [`PROMETHEUS`] among its lines.
    pub fn metrics_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.metrics_port))
    }

    /// What it tells Prometheus now.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn metrics(&self) -> Metrics {
        Metrics::read(self.metrics_address())
            .unwrap_or_else(|error| panic!("observer {} shows no metrics: {error}", self.id))
    }

    /// The same as a client's connect string.
    pub fn connect_string(&self) -> String {
        self.client_address().to_string()
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.command.config
    }

    /// Whether it says that it serves as an observer.
    pub fn serves(&self) -> bool {
        four_letter::mode(self.client_address()).is_some_and(|mode| mode == "observer")
    }

    /// Waits until it serves.
    pub fn wait_until_it_serves(&self) {
        wait::until(
            &format!("observer {} to serve", self.id),
            START_LIMIT,
            || {
                self.panic_if_it_ended();
                self.serves().then_some(())
            },
        );
    }

    /// Waits until it has applied `zxid`.
    pub fn wait_for_zxid(&self, zxid: u64) {
        wait::until(
            &format!("observer {} to reach zxid {zxid:#x}", self.id),
            START_LIMIT,
            || four_letter::zxid(self.client_address()).filter(|applied| *applied >= zxid),
        );
    }

    /// Starts it anew after it was killed or terminated.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "observer {} runs already", self.id);
        let log = self.dir.path().join("observer.log");
        self.process = Some(Process::start(
            &format!("observer {}", self.id),
            &self.command(),
            &log,
        ));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGTERM; how it ended.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        let process = self
            .process
            .take()
            .unwrap_or_else(|| panic!("observer {} is not running", self.id));
        process.terminate(limit)
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.running().pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.running().resume();
    }

    /// The running process.
    ///
    /// # Panics
    /// When it was killed.
    pub fn running(&self) -> &Process {
        self.process
            .as_ref()
            .unwrap_or_else(|| panic!("observer {} is not running", self.id))
    }

    fn command(&self) -> Command {
        let CommandLine {
            config,
            java_version,
            heap_mb,
            environment,
            hosts,
        } = &self.command;
        let mut command = match self.kind {
            ObserverKind::Java => java_server(*java_version, *heap_mb, config),
            ObserverKind::Outpost => {
                let mut outpost = match hosts {
                    Some(hosts) => with_hosts(hosts, &outpost_binary()),
                    None => Command::new(outpost_binary()),
                };
                outpost.arg("run").arg(config);
                outpost
            }
        };
        // Variables of the tests are no settings of Outpost's.
        let ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("OUTPOST_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        command
    }

    fn panic_if_it_ended(&self) {
        if let Some(process) = &self.process
            && let Some(status) = process.ended()
        {
            panic!(
                "observer {} ended with {status}:\n{}",
                self.id,
                process.log_tail(40)
            );
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(process) = &self.process {
                eprintln!(
                    "the last of observer {}'s log:\n{}",
                    self.id,
                    process.log_tail(25)
                );
            }
            eprintln!("the ensemble's logs are in {}", self.ensemble_dir.display());
        }
    }
}

/// The Outpost to test: `OUTPOST_BIN`, else the one that was built beside this test executable.
///
/// # Panics
/// When there is none.
pub fn outpost_binary() -> PathBuf {
    let path = match std::env::var_os("OUTPOST_BIN") {
        Some(path) => PathBuf::from(path),
        None => profile_dir().join("outpost"),
    };
    assert!(
        path.is_file(),
        "{} does not exist: build it with `cargo build -p outpost`",
        path.display()
    );
    path
}

/// A program that sees another file as `/etc/hosts`, and nobody else does.
pub fn with_hosts(hosts: &Path, program: &Path) -> Command {
    const SCRIPT: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount", "sh", "-c", SCRIPT]);
    unshare.arg(hosts).arg(program);
    unshare
}

fn next_member(ensemble: &Ensemble) -> (u64, Ports) {
    // Ids of unlisted observers start far from any voter's, and stay below 255, where extended types end.
    static NEXT_UNLISTED: AtomicU64 = AtomicU64::new(0);
    for (id, ports) in ensemble.listed_observers() {
        if ensemble.take_listed(*id) {
            return (*id, *ports);
        }
    }
    (
        100 + NEXT_UNLISTED.fetch_add(1, Ordering::Relaxed) % 150,
        Ports::free(),
    )
}

fn write_files(
    dir: &RunDir,
    ensemble: &Ensemble,
    settings: &ObserverSettings,
    id: u64,
    ports: Ports,
    metrics_port: u16,
) -> PathBuf {
    let data = dir.path().join("data");
    fs::create_dir_all(&data).expect("the run directory can be written");
    fs::write(data.join("myid"), id.to_string()).expect("the run directory can be written");
    let mut text = ensemble.settings().common_lines();
    let _ = writeln!(text, "dataDir={}\npeerType=observer", data.display());
    if !settings.lines.iter().any(|line| line.starts_with("admin.")) {
        text.push_str("admin.enableServer=false\n");
    }
    // Outpost serves metrics without being asked, at a port that everyone would share.
    let _ = writeln!(text, "metricsProvider.httpPort={metrics_port}");
    if !ensemble
        .settings()
        .version
        .has_client_address_in_server_line()
    {
        let _ = writeln!(
            text,
            "clientPort={}\nclientPortAddress=127.0.0.1",
            ports.client
        );
    }
    for line in &settings.lines {
        let _ = writeln!(text, "{line}");
    }
    if !settings.default_patience && !text.contains("outpost.linkTimeout") {
        // A machine that stops for a second is to cost no link but where a test says so.
        let Settings {
            tick_time_ms,
            sync_limit,
            ..
        } = ensemble.settings();
        let _ = writeln!(text, "outpost.linkTimeout={}", tick_time_ms * sync_limit);
    }
    text.push_str(&ensemble.server_lines(|server| {
        let relayed = settings
            .quorum_addresses
            .iter()
            .find(|(id, _)| *id == server.id);
        relayed.map_or(server.quorum_address(), |(_, address)| *address)
    }));
    if !ensemble
        .listed_observers()
        .iter()
        .any(|(listed, _)| *listed == id)
    {
        text.push_str(&ensemble.observer_line(id, ports));
    }
    let path = dir.path().join("zoo.cfg");
    fs::write(&path, text).expect("the run directory can be written");
    path
}
