//! Greeting: what happens to a connection that may speak TLS before a worker owns it.
//!
//! It has threads of its own, so that a storm of clients that come back takes no time from those that are being
//! served. Each newcomer passes three stations. Its hello is waited for: that costs little and is soon over. Its
//! turn is waited for, in the order in which the hellos came. Then hands are shaken, by at most so many at one time
//! (`netty.server.outstandingHandshake.limit`). Whoever has left meanwhile is noticed before any cryptography is
//! done for it. Then it moves to a worker, and its certificate, if it showed one, says who it is.
//!
//! Which certificates are shown and trusted is not decided here.

mod socket;

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use outpost_wire::Id;
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::limits::{HANDOVER_MAX, HANDSHAKES_WAITING_MAX};
use crate::reached::Limit;
use crate::serve::service::Service;
use crate::serve::workers::{Newcomer, Workers};
use crate::serve::x509::NoIdentity;
use crate::stats::{Handshakes, Stats};
use crate::tls::{OtherHost, Peer, ServerTls, check_host, explain, name_of};

pub use socket::Socket;

/// A connection over TLS.
pub type Secured = TlsStream<Socket>;

/// The first byte of every hello: the record's type. As the first byte of a request's length it would
/// announce more than 350 million bytes.
const HELLO: u8 = 0x16;
/// How long a client's turn may be in coming.
const TURN_LONGEST: Duration = Duration::from_secs(30);
/// How long shaking hands may take, as for Java's (`SslHandler`).
const HANDSHAKE_LONGEST: Duration = Duration::from_secs(10);

/// What may come through a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Requests as they are.
    Plain,
    /// TLS and nothing else (`secureClientPort`).
    Secure,
    /// Either (`client.portUnification`).
    Either,
}

/// How newcomers are greeted.
#[derive(Clone)]
pub struct GreetingSettings {
    /// Which certificates are shown and believed.
    pub tls: Arc<ServerTls>,
    /// Handshakes in work at one time.
    pub limit: usize,
    /// Threads that shake hands.
    pub threads: NonZeroUsize,
}

/// Why a newcomer was not let in.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it sent no hello in time")]
    Silent,
    #[error("it left")]
    Left,
    #[error("its turn did not come in time")]
    NoTurn,
    #[error("the handshake did not end in time")]
    Slow,
    #[error("{}", explain::io(.0).unwrap_or_else(|| .0.to_string()))]
    Failed(#[from] io::Error),
    #[error("{0}")]
    OtherHost(#[from] OtherHost),
    #[error("{0}")]
    Nobody(#[from] NoIdentity),
}

/// The threads that greet.
pub struct Greeters {
    queues: Vec<mpsc::Sender<Arrival>>,
    next: AtomicUsize,
    stats: Arc<Stats>,
}

/// A connection on its way to be greeted.
struct Arrival {
    stream: std::net::TcpStream,
    door: Door,
    newcomer: Newcomer,
    _waiting: Waiting,
}

/// One of those that are not greeted yet.
struct Waiting(Arc<Handshakes>);

impl Waiting {
    /// One more, if there are fewer than may be.
    fn enter(stats: &Arc<Handshakes>) -> Option<Waiting> {
        let before = stats.outstanding.fetch_add(1, Ordering::Relaxed);
        // Leaves again when dropped.
        let waiting = Waiting(Arc::clone(stats));
        (before < HANDSHAKES_WAITING_MAX as u64).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Greeters {
    /// Starts the threads. Each ends when these `Greeters` are dropped; whoever it has not greeted by then is
    /// closed.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(
        settings: &GreetingSettings,
        service: &Arc<Service>,
        workers: &Arc<Workers>,
    ) -> io::Result<(Greeters, Vec<JoinHandle<()>>)> {
        let turns = Arc::new(Semaphore::new(settings.limit.min(HANDSHAKES_WAITING_MAX)));
        let mut queues = Vec::with_capacity(settings.threads.get());
        let mut threads = Vec::with_capacity(settings.threads.get());
        for index in 0..settings.threads.get() {
            let (queue, arrivals) = mpsc::channel(HANDOVER_MAX);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let host = Host {
                settings: settings.clone(),
                turns: Arc::clone(&turns),
                service: Arc::clone(service),
                workers: Arc::clone(workers),
            };
            let work = move || {
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, greet_all(Rc::new(host), arrivals));
                // Without waiting for a name service that does not answer.
                runtime.shutdown_background();
            };
            queues.push(queue);
            threads.push(
                thread::Builder::new()
                    .name(format!("greeter-{index}"))
                    .spawn(work)?,
            );
        }
        let greeters = Greeters {
            queues,
            next: AtomicUsize::new(0),
            stats: Arc::clone(&service.stats),
        };
        Ok((greeters, threads))
    }

    /// Sees to a connection that came through `door`. It is closed at once when too many wait already, so that
    /// it can try another server.
    pub async fn greet(&self, stream: TcpStream, door: Door, newcomer: Newcomer) {
        let peer = newcomer.peer;
        let Some(waiting) = Waiting::enter(&self.stats.handshakes) else {
            self.stats
                .handshakes
                .exceeded
                .fetch_add(1, Ordering::Relaxed);
            self.stats.reached.note(Limit::Handshakes, peer);
            return;
        };
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
        let Ok(stream) = stream.into_std() else {
            return;
        };
        let arrival = Arrival {
            stream,
            door,
            newcomer,
            _waiting: waiting,
        };
        if self.queues[index].send(arrival).await.is_err() {
            tracing::error!(greeter = index, "a greeter has ended");
        }
    }
}

/// Greets until nobody can come any more.
async fn greet_all(host: Rc<Host>, mut arrivals: mpsc::Receiver<Arrival>) {
    let mut greetings = JoinSet::new();
    loop {
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => {
                    let host = Rc::clone(&host);
                    greetings.spawn_local(async move { host.greet(arrival).await });
                }
                // Nobody has a session yet: they are closed and go elsewhere.
                None => return,
            },
            Some(_) = greetings.join_next() => {}
        }
    }
}

/// What one thread greets with.
struct Host {
    settings: GreetingSettings,
    turns: Arc<Semaphore>,
    service: Arc<Service>,
    workers: Arc<Workers>,
}

impl Host {
    async fn greet(&self, arrival: Arrival) {
        let Arrival {
            stream,
            door,
            newcomer,
            _waiting: waiting,
        } = arrival;
        let peer = newcomer.peer;
        let Ok(stream) = TcpStream::from_std(stream) else {
            return;
        };
        let speaks_tls = match self.look(&stream, door).await {
            Ok(speaks_tls) => speaks_tls,
            // Without TLS having been spoken, there is nothing that has failed.
            Err(_) if door == Door::Either => return,
            Err(why) => return self.note_refused(&newcomer, &why),
        };
        if !speaks_tls {
            drop(waiting);
            self.workers.hand_over(stream, newcomer).await;
            return;
        }
        match self.shake_hands(stream, peer.ip()).await {
            Ok((stream, ids)) => {
                drop(waiting);
                self.workers
                    .hand_over_secured(stream, newcomer.known_as(ids))
                    .await;
            }
            Err(why) => self.note_refused(&newcomer, &why),
        }
    }

    /// How long a client may take for its hello.
    fn hello_timeout(&self) -> Duration {
        self.settings.tls.settings().detection_timeout
    }

    /// Whether the client wants TLS. One that says nothing at a port for both is left to the worker's patience.
    async fn look(&self, stream: &TcpStream, door: Door) -> Result<bool, Refused> {
        let mut first = [0];
        let looked = timeout(self.hello_timeout(), stream.peek(&mut first)).await;
        match (door, looked) {
            (Door::Either, Err(_)) => Ok(false),
            (_, Err(_)) => Err(Refused::Silent),
            (_, Ok(Err(error))) => Err(error.into()),
            (_, Ok(Ok(0))) => Err(Refused::Left),
            (Door::Either, Ok(Ok(_))) => Ok(first == [HELLO]),
            (_, Ok(Ok(_))) => Ok(true),
        }
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        address: IpAddr,
    ) -> Result<(Box<Secured>, Vec<Id>), Refused> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), Socket::new(stream));
        let hello = timeout(self.hello_timeout(), hello).await;
        let hello = hello.map_err(|_| Refused::Silent)??;
        let turn = timeout(TURN_LONGEST, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| Refused::NoTurn)?;
        if poll_fn(|cx| Poll::Ready(hello.io.is_left(cx))).await {
            return Err(Refused::Left);
        }
        let accept = hello.into_stream(self.settings.tls.current());
        let stream = timeout(HANDSHAKE_LONGEST, accept).await;
        let stream = Box::new(stream.map_err(|_| Refused::Slow)??);
        let ids = self.identify(&stream, address).await?;
        let handshakes = &self.service.stats.handshakes;
        handshakes.done.fetch_add(1, Ordering::Relaxed);
        if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
            handshakes.resumed.fetch_add(1, Ordering::Relaxed);
        }
        Ok((stream, ids))
    }

    /// Who the client is by the certificate that it showed. Nobody, if it showed none and need not have.
    async fn identify(&self, stream: &Secured, address: IpAddr) -> Result<Vec<Id>, Refused> {
        let shown = stream.get_ref().1.peer_certificates();
        let Some(certificate) = shown.and_then(<[_]>::first) else {
            return Ok(Vec::new());
        };
        if self.settings.tls.settings().host_names.clients {
            self.check_host(certificate, address).await?;
        }
        match &self.service.settings.auth.x509 {
            Some(rules) => Ok(rules.ids(certificate, SystemTime::now())?),
            None => Ok(Vec::new()),
        }
    }

    /// Whether a client comes from where its certificate says. The name service is asked only where the address
    /// alone does not do; the client keeps its turn meanwhile, so no more ask than may shake hands.
    async fn check_host(
        &self,
        certificate: &CertificateDer<'_>,
        address: IpAddr,
    ) -> Result<(), OtherHost> {
        let mut peer = Peer {
            address,
            names: Vec::new(),
        };
        let by_address = check_host(certificate, &peer);
        let may_ask = self.settings.tls.settings().host_names.reverse_lookup;
        if by_address.is_ok() || !may_ask {
            return by_address;
        }
        peer.names.extend(name_of(address).await);
        check_host(certificate, &peer)
    }

    fn note_refused(&self, newcomer: &Newcomer, why: &Refused) {
        let stats = &self.service.stats;
        stats.auth_failed.fetch_add(1, Ordering::Relaxed);
        if !matches!(why, Refused::Nobody(_)) {
            stats.handshakes.failed.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(why, Refused::NoTurn) {
            stats.reached.note(Limit::Handshakes, newcomer.peer);
        }
        tracing::debug!(peer = %newcomer.peer, %why, "no handshake");
    }
}
