//! One client, as its own connection and the apply thread share it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};
use std::time::{Instant, SystemTime};

use outpost_forward::{Origin, clock};
use outpost_mirror::WatcherId;
use outpost_wire::{Id, OpCode, SessionId, Xid, Zxid};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::serve::auth::address_id;
use crate::serve::pipeline::Pipeline;
use crate::serve::validate::EphemeralBudget;

/// One client connection. The connection's task and the apply thread both hold it; what they share is
/// under one lock, always taken after the tree's.
pub struct Client {
    /// Number of the connection, never used twice; also the one that leaves its watches.
    pub origin: Origin,
    /// The other end.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub established: SystemTime,
    wake: Notify,
    session: AtomicI64,
    timeout_ms: AtomicI32,
    /// Whether only this server knows the session.
    local: AtomicBool,
    touched: AtomicBool,
    cut: AtomicBool,
    draining: AtomicBool,
    /// Already among those to be woken after the batch.
    given: AtomicBool,
    state: Mutex<ClientState>,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No connect request yet.
    Connecting,
    /// The leader was asked about the session; nothing is read meanwhile.
    Waiting {
        /// As the connect request had it: the response mirrors the presence.
        read_only: Option<bool>,
    },
    /// Served.
    Open,
    /// What is in the outbox is still written, then the connection ends.
    Ending,
}

/// What the connection and the apply thread share.
pub struct ClientState {
    /// Everything on its way to the client, in the order in which it became true (P3).
    pub out: Vec<u8>,
    /// How far the connection has come.
    pub phase: Phase,
    /// Requests that wait.
    pub pipeline: Pipeline,
    /// Who the client is, from now on.
    pub ids: Arc<[Id]>,
    /// Keeps the session's ephemerals within what one transaction can carry.
    pub ephemerals: EphemeralBudget,
    /// Figures that `cons` shows.
    pub figures: Figures,
}

/// Figures about one connection, since it was accepted or they were reset.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Last operation.
    pub last_op: Option<OpCode>,
    /// Xid of the last request with one above zero.
    pub last_cxid: Option<Xid>,
    /// Zxid of the last reply.
    pub last_zxid: Zxid,
    /// When the last reply was made.
    pub last_response: Option<Instant>,
    /// Latencies of all replies, ms.
    pub latency: Latency,
}

/// Latencies, in milliseconds from receiving a request to its reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// Of the last reply.
    pub last: u64,
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// Sum over all replies.
    pub sum: u64,
    /// Number of replies.
    pub count: u64,
}

impl Latency {
    /// Counts `replies` that took `ms` each.
    pub fn note(&mut self, ms: u64, replies: u64) {
        self.min = if self.count == 0 {
            ms
        } else {
            self.min.min(ms)
        };
        self.max = self.max.max(ms);
        self.last = ms;
        self.sum += ms * replies;
        self.count += replies;
    }

    /// The mean; zero before the first reply.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64
        }
    }
}

impl Figures {
    /// Counts the answer to a forwarded request.
    pub fn note_answer(&mut self, zxid: Zxid, ms: u64) {
        self.sent += 1;
        self.latency.note(ms, 1);
        self.last_zxid = zxid;
        self.last_response = Some(clock::now());
    }

    /// Notes that the session was made: a Java server shows that as the first request.
    pub fn note_session_made(&mut self, zxid: Zxid) {
        self.last_op = Some(OpCode::CreateSession);
        self.last_cxid = Some(Xid(0));
        self.last_zxid = zxid;
        self.last_response = Some(clock::now());
    }
}

impl Default for Figures {
    fn default() -> Figures {
        Figures {
            received: 0,
            sent: 0,
            last_op: None,
            last_cxid: None,
            last_zxid: Zxid::ZERO,
            last_response: None,
            latency: Latency::default(),
        }
    }
}

impl Client {
    /// A connection that was just accepted.
    pub fn new(origin: Origin, peer: SocketAddr) -> Client {
        Client {
            origin,
            peer,
            established: SystemTime::now(),
            wake: Notify::new(),
            session: AtomicI64::new(0),
            timeout_ms: AtomicI32::new(0),
            local: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            given: AtomicBool::new(false),
            state: Mutex::new(ClientState {
                out: Vec::new(),
                phase: Phase::Connecting,
                pipeline: Pipeline::default(),
                ids: Arc::from([address_id(peer.ip())]),
                ephemerals: EphemeralBudget::default(),
                figures: Figures::default(),
            }),
        }
    }

    /// Locks what the connection and the apply thread share. Only ever after the tree's lock, and
    /// never two clients at once.
    pub fn state(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock()
    }

    /// This connection as one that leaves watches.
    pub fn watcher(&self) -> WatcherId {
        WatcherId(self.origin.0)
    }

    /// Its session; [`SessionId::NONE`] before it has one.
    pub fn session(&self) -> SessionId {
        SessionId(self.session.load(Ordering::Relaxed))
    }

    /// The session's negotiated timeout, ms.
    pub fn timeout_ms(&self) -> i32 {
        self.timeout_ms.load(Ordering::Relaxed)
    }

    /// Gives it a session.
    pub fn set_session(&self, session: SessionId, timeout_ms: i32, local: bool) {
        self.timeout_ms.store(timeout_ms, Ordering::Relaxed);
        self.local.store(local, Ordering::Relaxed);
        self.session.store(session.0, Ordering::Relaxed);
    }

    /// Whether only this server knows the session.
    pub fn is_local(&self) -> bool {
        self.local.load(Ordering::Relaxed)
    }

    /// The session becomes one that the whole ensemble knows.
    pub fn make_global(&self) {
        self.local.store(false, Ordering::Relaxed);
    }

    /// Notes that the client has shown itself.
    pub fn touch(&self) {
        // Mostly set already: a load leaves the cache line shared.
        if !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the client has shown itself since the last call.
    pub fn take_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed) && self.touched.swap(false, Ordering::Relaxed)
    }

    /// Ends the connection at once; what was not written yet is dropped.
    pub fn cut(&self, reason: &str) {
        if !self.cut.swap(true, Ordering::AcqRel) {
            tracing::debug!(session = %self.session(), peer = %self.peer, reason, "client cut off");
            self.wake.notify_one();
        }
    }

    /// Whether the connection is to end at once.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Ends the connection when everything it has sent is answered.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether the connection is to end when everything it has sent is answered.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Notes that something was given to this client in the present batch. True the first time.
    pub fn note_given(&self) -> bool {
        !self.given.load(Ordering::Relaxed) && !self.given.swap(true, Ordering::AcqRel)
    }

    /// Wakes the connection's task, after a batch.
    pub fn wake(&self) {
        self.given.store(false, Ordering::Release);
        self.wake.notify_one();
    }

    /// Waits until somebody has something for this connection.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}
