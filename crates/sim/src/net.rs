//! An ensemble that can be reached: at ports on the loopback with a distance to whoever connects, or on a
//! network in memory.
//!
//! One task owns the [`Ensemble`] and two more carry each learner's packets, one per direction.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bstr::BString;
use outpost_wire::membership::Membership;
use outpost_wire::{ErrorCode, ServerId, Zxid};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::ensemble::{Ensemble, EnsembleSettings, Uncommitted};
use crate::fabric::Fabric;
use crate::leader::{Leader, Output};
use crate::learner::LearnerKey;
use crate::line::{self, Inward, Outward};
use crate::ports::{FabricPorts, Ports, TcpPorts};
use crate::settings::LeaderSettings;

/// Packets from learners that may wait for the ensemble; their connections wait when it is full.
const INWARD_MAX: usize = 1_024;
/// Packets taken before what they led to is sent.
const INWARD_AT_ONCE: usize = 256;
/// Commands that may wait; whoever gives one more waits.
const COMMANDS_MAX: usize = 64;

/// What a server of ensembles is told at its start.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Number of servers, all of them voters, with ids from 1 on.
    pub voters: u16,
    /// The ensemble's time at the start, ms since 1970; `None` for the wall clock's.
    pub started_ms: Option<i64>,
    /// How leaders behave.
    pub leader: LeaderSettings,
    /// How long an election takes.
    pub election: Duration,
    /// How long a packet travels, each way.
    pub wan_delay: Duration,
    /// Packets that may be on their way to one learner, the history behind a DIFF included. A learner
    /// that lets more pile up is cut off.
    pub link_packets_max: usize,
    /// Their bytes, likewise; snapshots do not count.
    pub link_bytes_max: usize,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            voters: 3,
            started_ms: None,
            leader: LeaderSettings::default(),
            election: Duration::from_millis(300),
            wan_delay: Duration::ZERO,
            link_packets_max: 100_000,
            link_bytes_max: 64 << 20,
        }
    }
}

/// Something to do with the ensemble, at a time in ms since 1970.
type Command = Box<dyn FnOnce(&mut Ensemble, i64) + Send>;

/// A running ensemble. It ends when this is dropped.
#[derive(Debug)]
pub struct EnsembleServer {
    membership: Membership,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl EnsembleServer {
    /// Binds a quorum port for every server and runs the ensemble on the current runtime. As with
    /// ZooKeeper only the leader listens: the others' ports refuse. Election ports are taken, and
    /// nobody ever listens there.
    ///
    /// # Errors
    /// When no ports can be had.
    pub async fn start(options: ServerOptions) -> io::Result<EnsembleServer> {
        let (ports, membership) = TcpPorts::reserve(options.voters)?;
        let mut driver = Driver::new(options, membership, ports);
        driver.listen()?;
        Ok(driver.start())
    }

    /// The same on a network in memory, where every server has a host of its own. Then nothing of the ensemble
    /// depends on chance, nor on any clock but the runtime's, if [`ServerOptions::started_ms`] says when it is.
    pub fn start_on(fabric: &Fabric, options: ServerOptions) -> EnsembleServer {
        let (ports, membership) = FabricPorts::new(options.voters, fabric.clone());
        Driver::new(options, membership, ports).start()
    }

    /// The servers with their addresses. It does not change.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The same as `server.N` lines, for a configuration file.
    pub fn membership_text(&self) -> String {
        self.membership.to_text()
    }

    /// Does something with the ensemble, at a time in ms since 1970. `None` if it has ended.
    pub async fn with<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Ensemble, i64) -> R + Send + 'static,
    ) -> Option<R> {
        let (answer, answered) = oneshot::channel();
        let command: Command = Box::new(move |ensemble, now_ms| {
            // Fails when the asker does not wait any more.
            let _ = answer.send(act(ensemble, now_ms));
        });
        self.commands.send(command).await.ok()?;
        answered.await.ok()
    }

    /// Who leads now; nobody while an election is held.
    pub async fn leader(&self) -> Option<ServerId> {
        self.with(|ensemble, _| ensemble.leader().map(Leader::id))
            .await?
    }

    /// Ends the leadership and elects `next`, or whoever comes after the leader. Nothing committed is
    /// lost. False if that cannot be.
    pub async fn elect(&self, next: Option<ServerId>) -> bool {
        let elect = move |ensemble: &mut Ensemble, now_ms| {
            ensemble.elect(now_ms, next, Uncommitted::Committed)
        };
        self.with(elect).await.unwrap_or(false)
    }

    /// Sets a znode's data, creating it if need be, as a client of another server would.
    ///
    /// # Errors
    /// As [`Ensemble::write_as_someone_else`].
    pub async fn write_as_someone_else(&self, path: &str, data: &[u8]) -> Result<Zxid, ErrorCode> {
        let (path, data) = (BString::from(path), data.to_vec());
        self.with(move |ensemble, now_ms| {
            ensemble.write_as_someone_else(now_ms, path.as_ref(), Some(&data))
        })
        .await
        .unwrap_or(Err(ErrorCode::RUNTIME_INCONSISTENCY))
    }

    /// Ends the ensemble: every connection is cut.
    pub async fn stop(self) {
        drop(self.commands);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the simulated ensemble ended badly");
        }
    }
}

/// The ensemble's time: the wall clock at the start, and from there on the runtime's.
struct Clock {
    started: Instant,
    started_ms: i64,
}

impl Clock {
    fn new(started_ms: Option<i64>) -> Clock {
        let since_1970 = || SystemTime::now().duration_since(UNIX_EPOCH);
        Clock {
            started: Instant::now(),
            started_ms: started_ms.unwrap_or_else(|| millis(since_1970().unwrap_or_default())),
        }
    }

    fn now_ms(&self) -> i64 {
        self.started_ms + millis(self.started.elapsed())
    }

    fn instant(&self, at_ms: i64) -> Instant {
        let since_start_ms = u64::try_from(at_ms - self.started_ms).unwrap_or(0);
        self.started + Duration::from_millis(since_start_ms)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The task that owns the ensemble.
struct Driver<P> {
    ensemble: Ensemble,
    clock: Clock,
    options: ServerOptions,
    ports: P,
    links: BTreeMap<LearnerKey, Link>,
    /// Ends with the driver, and so do all connections.
    tasks: JoinSet<()>,
    inward: mpsc::Sender<(LearnerKey, Inward)>,
    arrivals: mpsc::Receiver<(LearnerKey, Inward)>,
}

/// One learner's connection.
struct Link {
    outward: Outward,
    reader: AbortHandle,
    writer: AbortHandle,
}

impl<P: Ports> Driver<P> {
    fn new(options: ServerOptions, membership: Membership, ports: P) -> Driver<P> {
        let clock = Clock::new(options.started_ms);
        let settings = EnsembleSettings {
            membership,
            leader: options.leader.clone(),
            election_ms: millis(options.election),
        };
        let (inward, arrivals) = mpsc::channel(INWARD_MAX);
        Driver {
            ensemble: Ensemble::new(clock.now_ms(), settings),
            clock,
            options,
            ports,
            links: BTreeMap::new(),
            tasks: JoinSet::new(),
            inward,
            arrivals,
        }
    }

    fn start(self) -> EnsembleServer {
        let (commands, to_do) = mpsc::channel(COMMANDS_MAX);
        EnsembleServer {
            membership: self.ensemble.membership().clone(),
            commands,
            task: tokio::spawn(self.run(to_do)),
        }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            self.send_outputs();
            if let Err(error) = self.listen() {
                tracing::warn!(%error, "the simulated leader cannot listen; trying again");
            }
            let timeout = self
                .ensemble
                .next_timeout_ms()
                .map(|at_ms| self.clock.instant(at_ms));
            tokio::select! {
                // In one order always, so that one course of events leads to the same next one always.
                biased;
                () = line::sleep_until_some(timeout) => {
                    self.ensemble.handle_timeout(self.clock.now_ms());
                }
                command = commands.recv() => match command {
                    Some(command) => command(&mut self.ensemble, self.clock.now_ms()),
                    None => return,
                },
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                accepted = self.ports.accept() => match accepted {
                    Ok(stream) => self.connected(stream),
                    Err(error) => tracing::warn!(%error, "a learner could not connect"),
                },
                Some(arrival) = self.arrivals.recv() => self.arrived(arrival),
            }
        }
    }

    /// Listens where the leader's port is, and nowhere else.
    fn listen(&mut self) -> io::Result<()> {
        self.ports.listen(self.ensemble.leader().map(Leader::id))
    }

    fn connected(&mut self, stream: P::Stream) {
        let Some(server) = self.ports.listening() else {
            return;
        };
        let Some(key) = self.ensemble.connect(self.clock.now_ms(), server) else {
            return;
        };
        let options = &self.options;
        let (outward, queue) = Outward::new(
            options.wan_delay,
            options.link_packets_max,
            options.link_bytes_max,
        );
        let (reader, writer) = tokio::io::split(stream);
        let reading = line::read_packets(key, reader, options.wan_delay, self.inward.clone());
        let writing = line::write_outputs(key, writer, queue, self.inward.clone());
        let reader = self.tasks.spawn(reading);
        let writer = self.tasks.spawn(writing);
        self.links.insert(
            key,
            Link {
                outward,
                reader,
                writer,
            },
        );
    }

    fn arrived(&mut self, first: (LearnerKey, Inward)) {
        let now_ms = self.clock.now_ms();
        let mut next = Some(first);
        let mut taken = 0;
        while let Some((key, arrival)) = next {
            match arrival {
                Inward::Packet(packet) => self.ensemble.handle_packet(now_ms, key, &packet),
                Inward::Gone => self.cut(key),
            }
            taken += 1;
            next = match taken < INWARD_AT_ONCE {
                true => self.arrivals.try_recv().ok(),
                false => None,
            };
        }
    }

    fn send_outputs(&mut self) {
        while let Some((key, output)) = self.ensemble.poll_output() {
            let Some(link) = self.links.get(&key) else {
                continue;
            };
            let closes = output == Output::Close;
            if link.outward.send(output).is_err() {
                tracing::warn!(
                    ?key,
                    "a learner does not drain its connection; it is cut off"
                );
                self.cut(key);
            } else if closes && let Some(link) = self.links.remove(&key) {
                // The writer ends by itself, when what is travelling has arrived.
                link.reader.abort();
            }
        }
    }

    /// Ends a connection at once, with all that waits for it.
    fn cut(&mut self, key: LearnerKey) {
        self.ensemble.disconnect(key);
        if let Some(link) = self.links.remove(&key) {
            link.reader.abort();
            link.writer.abort();
        }
    }
}
