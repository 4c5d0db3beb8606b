//! An ensemble on real sockets: ports on the loopback, and a distance to whoever connects.
//!
//! One task owns the [`Ensemble`] and two more carry each learner's packets, one per direction.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bstr::BString;
use outpost_wire::membership::{Address, Member, Membership, Role};
use outpost_wire::{ErrorCode, ServerId, Zxid};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::ensemble::{Ensemble, EnsembleSettings, Uncommitted};
use crate::leader::{Leader, Output};
use crate::learner::LearnerKey;
use crate::line::{self, Inward, Outward};
use crate::settings::LeaderSettings;

/// Packets from learners that may wait for the ensemble; their connections wait when it is full.
const INWARD_MAX: usize = 1_024;
/// Packets taken before what they led to is sent.
const INWARD_AT_ONCE: usize = 256;
/// Commands that may wait; whoever gives one more waits.
const COMMANDS_MAX: usize = 64;
/// How long nobody is accepted after that has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;

/// What a server of ensembles is told at its start.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Number of servers, all of them voters, with ids from 1 on.
    pub voters: u16,
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
        let mut ports = BTreeMap::new();
        let mut membership = Membership::default();
        for id in (1..=i64::from(options.voters)).map(ServerId) {
            let port = Port::reserve()?;
            membership.members.insert(id, port.member(id));
            ports.insert(id, port);
        }
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let mut driver = Driver::new(options, membership.clone(), ports);
        driver.listen()?;
        let task = tokio::spawn(driver.run(commands));
        Ok(EnsembleServer {
            membership,
            commands: sender,
            task,
        })
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

/// A server's quorum port: its own, whether or not it listens there.
struct Port {
    address: SocketAddr,
    /// Bound and silent, so that connecting is refused; `None` while the server listens.
    silent: Option<TcpSocket>,
    /// Keeps the election port from being given to anybody else.
    election: TcpSocket,
}

impl Port {
    fn reserve() -> io::Result<Port> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let silent = bind(any)?;
        let address = silent.local_addr()?;
        Ok(Port {
            address,
            silent: Some(silent),
            election: bind(any)?,
        })
    }

    fn member(&self, id: ServerId) -> Member {
        let address = Address {
            host: self.address.ip().to_string(),
            quorum_port: self.address.port(),
            election_port: self
                .election
                .local_addr()
                .map_or(0, |address| address.port()),
        };
        Member {
            id,
            addresses: vec![address],
            role: Role::Participant,
            client: None,
            secure_client: None,
        }
    }

    fn listen(&mut self) -> io::Result<TcpListener> {
        let socket = match self.silent.take() {
            Some(socket) => socket,
            None => bind(self.address)?,
        };
        socket.listen(BACKLOG)
    }

    /// To be called once the listener is gone. If it fails, [`Port::listen`] binds anew.
    fn fall_silent(&mut self) {
        self.silent = bind(self.address).ok();
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the last leadership may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The ensemble's time: the wall clock at the start, and from there on the runtime's.
struct Clock {
    started: Instant,
    started_ms: i64,
}

impl Clock {
    fn new() -> Clock {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            started: Instant::now(),
            started_ms: millis(since_1970),
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
struct Driver {
    ensemble: Ensemble,
    clock: Clock,
    options: ServerOptions,
    ports: BTreeMap<ServerId, Port>,
    listening: Option<(ServerId, TcpListener)>,
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

impl Driver {
    fn new(
        options: ServerOptions,
        membership: Membership,
        ports: BTreeMap<ServerId, Port>,
    ) -> Driver {
        let clock = Clock::new();
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
            listening: None,
            links: BTreeMap::new(),
            tasks: JoinSet::new(),
            inward,
            arrivals,
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
                accepted = accept(self.listening.as_ref()) => match accepted {
                    Ok(socket) => self.connected(socket),
                    Err(error) => tracing::warn!(%error, "a learner could not connect"),
                },
                Some(arrival) = self.arrivals.recv() => self.arrived(arrival),
                command = commands.recv() => match command {
                    Some(command) => command(&mut self.ensemble, self.clock.now_ms()),
                    None => return,
                },
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                () = line::sleep_until_some(timeout) => {
                    self.ensemble.handle_timeout(self.clock.now_ms());
                }
            }
        }
    }

    /// Listens where the leader's port is, and nowhere else.
    fn listen(&mut self) -> io::Result<()> {
        let leader = self.ensemble.leader().map(Leader::id);
        let listening = self.listening.as_ref().map(|(server, _)| *server);
        if leader == listening {
            return Ok(());
        }
        if let Some((server, listener)) = self.listening.take() {
            drop(listener);
            if let Some(port) = self.ports.get_mut(&server) {
                port.fall_silent();
            }
        }
        if let Some(leader) = leader
            && let Some(port) = self.ports.get_mut(&leader)
        {
            self.listening = Some((leader, port.listen()?));
        }
        Ok(())
    }

    fn connected(&mut self, socket: TcpStream) {
        let Some((server, _)) = &self.listening else {
            return;
        };
        let Some(key) = self.ensemble.connect(self.clock.now_ms(), *server) else {
            return;
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a learner's socket cannot be set up");
        }
        let options = &self.options;
        let (outward, queue) = Outward::new(
            options.wan_delay,
            options.link_packets_max,
            options.link_bytes_max,
        );
        let (reader, writer) = socket.into_split();
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

async fn accept(listening: Option<&(ServerId, TcpListener)>) -> io::Result<TcpStream> {
    match listening {
        Some((_, listener)) => match listener.accept().await {
            Ok((socket, _)) => Ok(socket),
            Err(error) => {
                // Out of file descriptors, most likely, and so it stays for a while.
                sleep(ACCEPT_PAUSE).await;
                Err(error)
            }
        },
        None => std::future::pending().await,
    }
}
