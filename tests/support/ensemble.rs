//! A real ZooKeeper ensemble on the loopback address: one JVM per voter, each with its own directory,
//! configuration and log.
//!
//! Observers are no part of it: see [`crate::observer`]. What the old versions need on a current JDK stands in
//! the poms under `servers/`.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::permits::Permit;
use crate::ports::free_port;
use crate::process::Process;
use crate::run_dir::{RunDir, source_dir};
use crate::{four_letter, jars, wait};

/// How long an ensemble may take until a leader serves. Generous: two cores may be starting other JVMs.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A ZooKeeper release that the suites run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Version {
    V3_3_6,
    V3_4_5,
    V3_4_14,
    V3_5_10,
    V3_6_4,
    V3_7_2,
    V3_8_6,
    V3_9_5,
}

impl Version {
    /// The newest release, for everything that is not about versions.
    pub const NEWEST: Self = Self::V3_9_5;

    /// The release's number, as Maven writes it.
    pub fn number(self) -> &'static str {
        match self {
            Self::V3_3_6 => "3.3.6",
            Self::V3_4_5 => "3.4.5",
            Self::V3_4_14 => "3.4.14",
            Self::V3_5_10 => "3.5.10",
            Self::V3_6_4 => "3.6.4",
            Self::V3_7_2 => "3.7.2",
            Self::V3_8_6 => "3.8.6",
            Self::V3_9_5 => "3.9.5",
        }
    }

    /// From 3.5 on a server line may carry the client address.
    pub fn has_client_address_in_server_line(self) -> bool {
        self >= Self::V3_5_10
    }
}

/// How an ensemble is set up. `Settings::default()` is three voters of the newest release.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The release of every voter.
    pub version: Version,
    /// Number of voters; their ids are 1, 2, 3 …
    pub voters: usize,
    /// Observer ids that the voters' configuration names, counted on from the voters' ids.
    ///
    /// Needed only with `reconfig`: a Java observer that learns a configuration without itself stops being one.
    pub listed_observers: usize,
    /// `tickTime` in milliseconds.
    pub tick_time_ms: u32,
    /// `initLimit` in ticks.
    pub init_limit: u32,
    /// `syncLimit` in ticks.
    pub sync_limit: u32,
    /// `reconfigEnabled` (3.5.3+).
    pub reconfig: bool,
    /// `extendedTypesEnabled`: TTL nodes (3.5.4+). Voters and observers must agree on it.
    pub extended_types: bool,
    /// `DigestAuthenticationProvider.superDigest`: who may do everything.
    pub super_digest: Option<String>,
    /// Maximal heap of each JVM.
    pub heap_mb: u32,
    /// Further lines for every voter's and every observer's `zoo.cfg`.
    pub lines: Vec<String>,
    /// Further arguments of every voter's JVM.
    pub java_arguments: Vec<String>,
    /// For each voter in turn a further line for its `zoo.cfg` alone.
    pub lines_by_voter: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: Version::NEWEST,
            voters: 3,
            listed_observers: 0,
            tick_time_ms: 500,
            init_limit: 40,
            sync_limit: 10,
            reconfig: false,
            extended_types: false,
            super_digest: None,
            heap_mb: 256,
            lines: Vec::new(),
            java_arguments: Vec::new(),
            lines_by_voter: Vec::new(),
        }
    }
}

impl Settings {
    /// Three voters of `version`.
    pub fn of(version: Version) -> Self {
        Self {
            version,
            ..Self::default()
        }
    }

    /// Everything that the tests use of `super`: the digest of `super:secret`.
    pub fn super_secret(mut self) -> Self {
        self.super_digest = Some(SUPER_DIGEST.to_owned());
        self
    }

    /// The lines of a `zoo.cfg` that do not depend on the server.
    pub(crate) fn common_lines(&self) -> String {
        let mut text = format!(
            "tickTime={}\ninitLimit={}\nsyncLimit={}\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n",
            self.tick_time_ms, self.init_limit, self.sync_limit
        );
        // Speed only: tests check no durability of Java's, and the disk is shared.
        text.push_str("forceSync=no\npreAllocSize=1024\n");
        if self.reconfig {
            text.push_str("reconfigEnabled=true\nstandaloneEnabled=false\n");
        }
        if self.extended_types {
            text.push_str("extendedTypesEnabled=true\n");
        }
        if let Some(digest) = &self.super_digest {
            let _ = writeln!(text, "DigestAuthenticationProvider.superDigest={digest}");
        }
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

/// `super:secret`, as `DigestAuthenticationProvider.generateDigest` writes it.
const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

/// The ports of one member.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Where a leader waits for learners.
    pub quorum: u16,
    /// Where votes are exchanged.
    pub election: u16,
    /// Where clients are served.
    pub client: u16,
}

impl Ports {
    /// Three ports that nobody uses.
    pub fn free() -> Self {
        Self {
            quorum: free_port(),
            election: free_port(),
            client: free_port(),
        }
    }
}

/// One voter.
#[derive(Debug)]
pub struct Server {
    /// The id in `myid`.
    pub id: u64,
    /// Where it listens.
    pub ports: Ports,
    dir: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Server {
    /// Where clients are served.
    pub fn client_address(&self) -> SocketAddr {
        loopback(self.ports.client)
    }

    /// Where it waits for learners while it leads.
    pub fn quorum_address(&self) -> SocketAddr {
        loopback(self.ports.quorum)
    }

    /// `leader`, `follower` or nothing while it does not serve.
    pub fn mode(&self) -> Option<String> {
        four_letter::mode(self.client_address())
    }

    /// Its transaction logs, oldest first.
    ///
    /// # Panics
    /// When its data directory cannot be read.
    pub fn log_files(&self) -> Vec<PathBuf> {
        let dir = self.dir.join("data/version-2");
        let entries = fs::read_dir(&dir)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", dir.display()));
        let mut logs: Vec<(u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let first = u64::from_str_radix(name.strip_prefix("log.")?, 16).ok()?;
                Some((first, entry.path()))
            })
            .collect();
        logs.sort();
        logs.into_iter().map(|(_, path)| path).collect()
    }

    /// Copies everything that the server has written, which is not to run meanwhile: what an operator would call a
    /// backup.
    ///
    /// # Panics
    /// When the files cannot be copied.
    pub fn back_up(&self) {
        self.copy_data("data/version-2", "backup");
    }

    /// Puts the backup in the place of everything that the server has written since.
    ///
    /// # Panics
    /// When the files cannot be copied.
    pub fn restore(&self) {
        self.copy_data("backup", "data/version-2");
    }

    /// Puts this snapshot, and nothing else, in the place of everything that the server has written. It is not to run
    /// meanwhile.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn begin_with_snapshot(&self, zxid: u64, snapshot: &[u8]) {
        let dir = self.dir.join("data/version-2");
        let write = || -> std::io::Result<()> {
            fs::remove_dir_all(&dir)?;
            fs::create_dir_all(&dir)?;
            fs::write(dir.join(format!("snapshot.{zxid:x}")), snapshot)
        };
        write().unwrap_or_else(|error| panic!("cannot write to {}: {error}", dir.display()));
    }

    fn copy_data(&self, from: &str, to: &str) {
        let (from, to) = (self.dir.join(from), self.dir.join(to));
        let copy = || -> std::io::Result<()> {
            let _ = fs::remove_dir_all(&to);
            fs::create_dir_all(&to)?;
            for entry in fs::read_dir(&from)? {
                let entry = entry?;
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
            Ok(())
        };
        copy().unwrap_or_else(|error| panic!("cannot copy {}: {error}", from.display()));
    }

    /// The file with everything it has printed.
    pub fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// The process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running ensemble. Dropped, it kills its servers and, unless the test is failing, removes their files.
#[derive(Debug)]
pub struct Ensemble {
    settings: Settings,
    servers: Vec<Server>,
    listed: Vec<(u64, Ports)>,
    taken: Mutex<Vec<u64>>,
    // After the servers, so that the files go after the processes that write them.
    dir: RunDir,
    _permit: Permit,
}

impl Ensemble {
    /// Starts an ensemble with the default settings for `version` and `voters` voters.
    pub fn start(version: Version, voters: usize) -> Self {
        Self::with(Settings {
            voters,
            ..Settings::of(version)
        })
    }

    /// Starts an ensemble and returns when a leader serves and every voter follows it.
    ///
    /// # Panics
    /// When that has not come about after 90 seconds.
    pub fn with(settings: Settings) -> Self {
        let permit = Permit::acquire();
        let dir = RunDir::new(settings.version.number());
        let servers: Vec<Server> = (1..=settings.voters as u64)
            .map(|id| Server {
                id,
                ports: Ports::free(),
                dir: dir.path().join(format!("server-{id}")),
                process: Mutex::new(None),
            })
            .collect();
        let first_observer = settings.voters as u64 + 1;
        let listed = (first_observer..first_observer + settings.listed_observers as u64)
            .map(|id| (id, Ports::free()))
            .collect();
        let ensemble = Self {
            settings,
            servers,
            listed,
            taken: Mutex::default(),
            _permit: permit,
            dir,
        };
        for server in &ensemble.servers {
            ensemble.write_files(server);
            ensemble.start_server(server.id);
        }
        ensemble.wait_until_all_serve();
        ensemble
    }

    /// How it was set up.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The voters, in the order of their ids.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Ids and ports that the configuration names as observers.
    pub fn listed_observers(&self) -> &[(u64, Ports)] {
        &self.listed
    }

    /// Marks a listed observer as running; false if it was marked before.
    pub(crate) fn take_listed(&self, id: u64) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = !taken.contains(&id);
        if fresh {
            taken.push(id);
        }
        fresh
    }

    /// The voter with this id.
    ///
    /// # Panics
    /// When there is none.
    pub fn server(&self, id: u64) -> &Server {
        self.servers
            .iter()
            .find(|server| server.id == id)
            .unwrap_or_else(|| panic!("no voter {id}"))
    }

    /// The directory with everyone's configuration, data and log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The voters' client addresses, as a client's connect string.
    pub fn connect_string(&self) -> String {
        let addresses: Vec<String> = self
            .servers
            .iter()
            .map(|server| server.client_address().to_string())
            .collect();
        addresses.join(",")
    }

    /// Starts a voter that is not running. Returns at once: see [`Self::wait_until_all_serve`].
    pub fn start_server(&self, id: u64) {
        let server = self.server(id);
        let mut process = server.process();
        assert!(
            process
                .as_ref()
                .is_none_or(|process| process.ended().is_some()),
            "voter {id} runs already"
        );
        let config = server.dir.join("zoo.cfg");
        let mut command = java_server(self.settings.version, self.settings.heap_mb, &config);
        // As the JVM takes them from its environment, so that they stand before the name of the class.
        if !self.settings.java_arguments.is_empty() {
            command.env("JAVA_TOOL_OPTIONS", self.settings.java_arguments.join(" "));
        }
        *process = Some(Process::start(
            &format!("voter {id}"),
            &command,
            &server.log(),
        ));
    }

    /// Restarts all voters; while none of them runs, `act` does something to each.
    pub fn restart_all(&self, act: impl Fn(&Server)) {
        self.servers.iter().for_each(|server| self.kill(server.id));
        self.servers.iter().for_each(act);
        self.servers
            .iter()
            .for_each(|server| self.start_server(server.id));
        self.wait_until_all_serve();
    }

    /// SIGKILL: the server is gone, its sockets are reset.
    pub fn kill(&self, id: u64) {
        self.server(id).process().take();
    }

    /// SIGSTOP: the server falls silent with its sockets open.
    pub fn pause(&self, id: u64) {
        self.with_process(id, Process::pause);
    }

    /// SIGCONT.
    pub fn resume(&self, id: u64) {
        self.with_process(id, Process::resume);
    }

    /// The voter that says it leads.
    pub fn leader(&self) -> Option<u64> {
        self.servers
            .iter()
            .find(|server| {
                let running = server.process().is_some();
                running && server.mode().is_some_and(|mode| mode == "leader")
            })
            .map(|server| server.id)
    }

    /// Waits until someone leads, and says who.
    pub fn wait_for_leader(&self) -> u64 {
        wait::until("a leader", START_LIMIT, || {
            self.panic_if_a_server_ended();
            self.leader()
        })
    }

    /// Waits until one voter leads and all the others that were started follow.
    pub fn wait_until_all_serve(&self) {
        let what = format!(
            "all voters of {} to serve, see {}",
            self.settings.version.number(),
            self.dir().display()
        );
        wait::until(&what, START_LIMIT, || {
            self.panic_if_a_server_ended();
            let running = self
                .servers
                .iter()
                .filter(|server| server.process().is_some());
            let modes: Option<Vec<String>> = running.map(Server::mode).collect();
            let leaders = modes?
                .iter()
                .filter(|mode| *mode == "leader" || *mode == "standalone")
                .count();
            (leaders == 1).then_some(())
        });
    }

    /// The `server.N` lines, with each voter's host and quorum port replaced by what `quorum_address` says.
    pub(crate) fn server_lines(&self, quorum_address: impl Fn(&Server) -> SocketAddr) -> String {
        let mut text = String::new();
        for server in &self.servers {
            let Ports {
                election, client, ..
            } = server.ports;
            let quorum = quorum_address(server);
            let _ = write!(text, "server.{}={quorum}:{election}", server.id);
            if self.settings.version.has_client_address_in_server_line() {
                let _ = write!(text, ":participant;127.0.0.1:{client}");
            }
            text.push('\n');
        }
        for (id, ports) in &self.listed {
            text.push_str(&self.observer_line(*id, *ports));
        }
        text
    }

    /// The `server.N` line of an observer.
    pub(crate) fn observer_line(&self, id: u64, ports: Ports) -> String {
        let Ports {
            quorum,
            election,
            client,
        } = ports;
        let address = match self.settings.version.has_client_address_in_server_line() {
            true => format!(";127.0.0.1:{client}"),
            false => String::new(),
        };
        format!("server.{id}=127.0.0.1:{quorum}:{election}:observer{address}\n")
    }

    fn write_files(&self, server: &Server) {
        let data = server.dir.join("data");
        fs::create_dir_all(&data).expect("the run directory can be written");
        fs::write(data.join("myid"), server.id.to_string())
            .expect("the run directory can be written");
        let mut text = self.settings.common_lines();
        let _ = writeln!(text, "dataDir={}", data.display());
        let lines = &self.settings.lines;
        if !lines.iter().any(|line| line.starts_with("admin.")) {
            text.push_str("admin.enableServer=false\n");
        }
        if !self.settings.version.has_client_address_in_server_line() {
            let _ = writeln!(
                text,
                "clientPort={}\nclientPortAddress=127.0.0.1",
                server.ports.client
            );
        }
        let index = server.id as usize - 1;
        if let Some(line) = self.settings.lines_by_voter.get(index) {
            let _ = writeln!(text, "{line}");
        }
        text.push_str(&self.server_lines(Server::quorum_address));
        fs::write(server.dir.join("zoo.cfg"), text).expect("the run directory can be written");
    }

    fn with_process(&self, id: u64, act: impl Fn(&Process)) {
        match &*self.server(id).process() {
            Some(process) => act(process),
            None => panic!("voter {id} is not running"),
        }
    }

    fn panic_if_a_server_ended(&self) {
        for server in &self.servers {
            if let Some(process) = &*server.process()
                && let Some(status) = process.ended()
            {
                panic!(
                    "voter {} ended with {status}:\n{}",
                    server.id,
                    process.log_tail(30)
                );
            }
        }
    }
}

/// The command that runs a Java server of `version` with a configuration file.
pub(crate) fn java_server(version: Version, heap_mb: u32, config: &Path) -> Command {
    let mut java = java(heap_mb);
    java.arg(format!(
        "-Dlog4j.configuration=file:{}",
        source_dir().join("servers/log4j.properties").display()
    ));
    let mut class_path = jars::zookeeper(version.number());
    // The provider is a jar of its own.
    let text = fs::read_to_string(config).unwrap_or_default();
    if text.contains("PrometheusMetricsProvider") {
        let more = jars::zookeeper(&format!("{}-prometheus", version.number()));
        class_path = format!("{class_path}:{more}");
    }
    // logback comes first: it is to be found before the other one.
    if text.contains("audit.enable=true") {
        let more = jars::zookeeper(&format!("{}-logback", version.number()));
        class_path = format!("{more}:{class_path}");
        let dir = config.parent().unwrap_or(config);
        java.arg("-Dslf4j.provider=ch.qos.logback.classic.spi.LogbackServiceProvider")
            .arg(format!("-Dzookeeper.log.dir={}", dir.display()))
            .arg(format!(
                "-Dlogback.configurationFile={}",
                source_dir().join("servers/logback.xml").display()
            ));
    }
    java.arg("-cp").arg(class_path);
    java.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(config);
    java
}

/// A small JVM: little heap, the simple collector and compiler.
pub(crate) fn java(heap_mb: u32) -> Command {
    let mut java = Command::new("java");
    java.arg(format!("-Xmx{heap_mb}m"));
    java.args([
        "-XX:+UseSerialGC",
        // No garbage stays behind a full collection, so that what is counted there is alive.
        "-XX:MarkSweepDeadRatio=0",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-Xshare:auto",
    ]);
    java.args([
        "-Djava.net.preferIPv4Stack=true",
        "-Dzookeeper.jmx.log4j.disable=true",
    ]);
    java
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
