//! One client, as its own connection and the apply thread share it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering,
};
use std::time::{Duration, Instant, SystemTime};

use outpost_forward::{Origin, clock};
use outpost_mirror::WatcherId;
use outpost_wire::{Id, OpCode, SessionId, Xid, Zxid};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::serve::auth::address_id;
use crate::serve::outboxes::Share;
use crate::serve::pipeline::Pipeline;
use crate::serve::request_throttle::Standing;
use crate::serve::sasl::Login;
use crate::serve::validate::EphemeralBudget;

/// One client connection. The connection's task and the apply thread both hold it; what they share is
/// under one lock, always taken after the tree's.
pub struct Client {
    /// Number of the connection, never used twice; also the one that leaves its watches.
    pub origin: Origin,
    /// The other end.
    pub peer: SocketAddr,
    /// Where it came in.
    pub port: Port,
    /// When it was accepted.
    pub established: SystemTime,
    /// The same, by a clock that only goes forward; the times below are milliseconds after it, and one more, so that
    /// zero says that there is none.
    accepted: Instant,
    /// When something came from the client.
    heard: AtomicU64,
    /// When the leader was asked about the session.
    asked: AtomicU64,
    /// From when the session's lease runs.
    leased: AtomicU64,
    wake: Notify,
    session: AtomicI64,
    timeout_ms: AtomicI32,
    /// Whether only this server knows the session.
    local: AtomicBool,
    /// Whether it is served read-only.
    read_only: AtomicBool,
    touched: AtomicBool,
    /// A [`Cause`], or 0.
    cut: AtomicU8,
    draining: AtomicBool,
    /// Bytes taken out of the outbox that are being written.
    unsent: AtomicUsize,
    /// Memory of the read buffer, in bytes.
    input: AtomicUsize,
    /// Whether it speaks TLS.
    over_tls: AtomicBool,
    /// Its part of what all clients leave unread.
    pub share: Share,
    /// Already among those to be woken after the batch.
    given: AtomicBool,
    state: Mutex<ClientState>,
}

/// Where a connection came in. Connections are listed by it, and those of one port do not see those of the other, as
/// in a Java server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// `clientPort`, also with TLS (`client.portUnification`).
    Plain,
    /// `secureClientPort`.
    Secure,
}

/// Why this server ends a connection of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// The link did not come back within the hold time.
    Hold = 1,
    /// The leader could have expired the session by now.
    Lease,
    /// It cannot be known what has become of a write.
    UnknownFate,
    /// The session has ended.
    Expired,
    /// The session is at another server now.
    Moved,
    /// The leader's history ends before what clients have seen.
    BackInTime,
    /// The mirror differed from the leader's tree.
    Diverged,
    /// The session came back on another connection here.
    Replaced,
    /// The client has been silent for so long that it may have gone elsewhere, and its request was not forwarded.
    Left,
    /// The leader did not make the session.
    Refused,
    /// The client does not read what it is sent.
    Unread,
    /// An answer of the leader came out of order.
    OutOfOrder,
    /// The process is shutting down.
    ShuttingDown,
    /// It was served read-only, and the link is back.
    ReadWrite,
    /// All clients leave too much unread, and it leaves most.
    UnreadMost,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 15] = [
        Cause::Hold,
        Cause::Lease,
        Cause::UnknownFate,
        Cause::Expired,
        Cause::Moved,
        Cause::BackInTime,
        Cause::Diverged,
        Cause::Replaced,
        Cause::Left,
        Cause::Refused,
        Cause::Unread,
        Cause::OutOfOrder,
        Cause::ShuttingDown,
        Cause::ReadWrite,
        Cause::UnreadMost,
    ];

    /// A short name for metrics, one for each variant.
    pub fn label(self) -> &'static str {
        match self {
            Cause::Hold => "hold",
            Cause::Lease => "lease",
            Cause::UnknownFate => "unknown_fate",
            Cause::Expired => "expired",
            Cause::Moved => "moved",
            Cause::BackInTime => "back_in_time",
            Cause::Diverged => "diverged",
            Cause::Replaced => "replaced",
            Cause::Left => "left",
            Cause::Refused => "refused",
            Cause::Unread => "unread",
            Cause::OutOfOrder => "out_of_order",
            Cause::ShuttingDown => "shutting_down",
            Cause::ReadWrite => "read_write",
            Cause::UnreadMost => "unread_most",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Hold => "the link to the ensemble did not come back in time",
            Cause::Lease => "the leader could have expired its session by now",
            Cause::UnknownFate => "the fate of its request cannot be known",
            Cause::Expired => "its session has ended",
            Cause::Moved => "its session has moved to another server",
            Cause::BackInTime => "the leader's history ends before what it has seen",
            Cause::Diverged => "the mirror differed from the leader's tree",
            Cause::Replaced => "its session came back on another connection",
            Cause::Left => "it was silent for so long that it may have gone elsewhere",
            Cause::Refused => "the leader refused its session",
            Cause::Unread => "it does not read what it is sent",
            Cause::OutOfOrder => "an answer of the leader came out of order",
            Cause::ShuttingDown => "the server is shutting down",
            Cause::ReadWrite => "it was served read-only, which is over",
            Cause::UnreadMost => "all clients leave too much unread, and it leaves most",
        })
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No connect request yet.
    Connecting,
    /// The leader was asked about the session; nothing is read meanwhile.
    Waiting {
        /// What the response says, if the connect request had that byte: the response mirrors the presence.
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
    /// How far it has come with logging in, if it has begun.
    pub login: Option<Box<Login>>,
    /// Keeps the session's ephemerals within what one transaction can carry.
    pub ephemerals: EphemeralBudget,
    /// Whether it is not read on because of what all clients have in work.
    pub waits: bool,
    /// How it stands towards the request throttle.
    pub throttle: Standing,
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
    /// Bytes of the frames received.
    pub bytes_received: u64,
    /// Bytes given to the socket.
    pub bytes_sent: u64,
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
            bytes_received: 0,
            bytes_sent: 0,
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
            port: Port::Plain,
            established: SystemTime::now(),
            accepted: clock::now(),
            heard: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            leased: AtomicU64::new(0),
            wake: Notify::new(),
            session: AtomicI64::new(0),
            timeout_ms: AtomicI32::new(0),
            local: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            cut: AtomicU8::new(0),
            draining: AtomicBool::new(false),
            unsent: AtomicUsize::new(0),
            input: AtomicUsize::new(0),
            over_tls: AtomicBool::new(false),
            share: Share::default(),
            given: AtomicBool::new(false),
            state: Mutex::new(ClientState {
                out: Vec::new(),
                phase: Phase::Connecting,
                pipeline: Pipeline::default(),
                ids: Arc::from([address_id(peer.ip())]),
                login: None,
                ephemerals: EphemeralBudget::default(),
                waits: false,
                throttle: Standing::default(),
                figures: Figures::default(),
            }),
        }
    }

    /// The same, with what was found out about it before it came here.
    pub fn known_as(mut self, port: Port, ids: Vec<Id>) -> Client {
        self.port = port;
        let state = self.state.get_mut();
        state.ids = state.ids.iter().cloned().chain(ids).collect();
        self
    }

    /// The same, with its part of what all clients leave unread.
    pub fn with_share(mut self, share: Share) -> Client {
        self.share = share;
        self
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

    /// Whether it is served read-only.
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// It is served read-only as long as it is here.
    pub fn make_read_only(&self) {
        self.read_only.store(true, Ordering::Relaxed);
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

    /// Bytes taken out of the outbox that are being written; all of them count until the last one is.
    pub fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }

    /// So many bytes are being written now.
    pub fn note_unsent(&self, bytes: usize) {
        // Mostly none before and after: a load leaves the cache line shared.
        if self.unsent() != bytes {
            self.unsent.store(bytes, Ordering::Relaxed);
        }
    }

    /// Memory that its read buffer takes, in bytes.
    pub fn input(&self) -> usize {
        self.input.load(Ordering::Relaxed)
    }

    /// Its read buffer takes so many bytes now.
    pub fn note_input(&self, bytes: usize) {
        if self.input() != bytes {
            self.input.store(bytes, Ordering::Relaxed);
        }
    }

    /// Whether it speaks TLS.
    pub fn is_over_tls(&self) -> bool {
        self.over_tls.load(Ordering::Relaxed)
    }

    /// It speaks TLS.
    pub fn note_tls(&self) {
        self.over_tls.store(true, Ordering::Relaxed);
    }

    /// When it was accepted, by a clock that only goes forward.
    pub fn accepted(&self) -> Instant {
        self.accepted
    }

    /// Something came from the client.
    pub fn note_heard(&self, now: Instant) {
        self.heard.store(self.mark(now), Ordering::Relaxed);
    }

    /// When something came from the client last, or when it was accepted.
    pub fn heard(&self) -> Instant {
        self.instant(&self.heard).unwrap_or(self.accepted)
    }

    /// The leader is about to be asked to make the session, or whether it may be here.
    pub fn note_asked(&self, now: Instant) {
        self.asked.store(self.mark(now), Ordering::Relaxed);
    }

    /// How long the leader's word on the session has taken by now.
    pub fn waited(&self, now: Instant) -> Duration {
        let asked = self.instant(&self.asked).unwrap_or(now);
        now.saturating_duration_since(asked)
    }

    /// The leader's word on the session has come, through a link that was there since `attached`. What it was
    /// asked has reached it after that, and after it was asked here: from then on the lease runs.
    pub fn begin_lease(&self, attached: Option<Instant>) {
        let from = self.instant(&self.asked).max(attached);
        self.extend_lease(from.unwrap_or(self.accepted));
    }

    /// The leader has been told that the session is alive by something that was sent then.
    pub fn extend_lease(&self, sent: Instant) {
        self.leased.fetch_max(self.mark(sent), Ordering::Relaxed);
    }

    /// Until when the leader cannot expire the session; `None` where it does not know the session, or not yet.
    pub fn lease_ends(&self) -> Option<Instant> {
        let from = self.instant(&self.leased)?;
        let timeout_ms = u64::try_from(self.timeout_ms()).unwrap_or(0);
        (!self.is_local()).then_some(from + Duration::from_millis(timeout_ms))
    }

    /// A moment as it is kept: rounded down, so that a lease is never too long.
    fn mark(&self, when: Instant) -> u64 {
        let since = when.saturating_duration_since(self.accepted);
        u64::try_from(since.as_millis()).map_or(u64::MAX, |ms| ms + 1)
    }

    fn instant(&self, mark: &AtomicU64) -> Option<Instant> {
        let ms = mark.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.accepted + Duration::from_millis(ms))
    }

    /// Ends the connection at once; what was not written yet is dropped.
    pub fn cut(&self, cause: Cause) {
        let first = self
            .cut
            .compare_exchange(0, cause as u8, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            tracing::debug!(session = %self.session(), peer = %self.peer, %cause, "client cut off");
            self.wake.notify_one();
        }
    }

    /// Why the connection is to end at once, if it is.
    pub fn cut_cause(&self) -> Option<Cause> {
        let code = self.cut.load(Ordering::Acquire);
        Cause::ALL.into_iter().find(|cause| *cause as u8 == code)
    }

    /// Whether the connection is to end at once.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire) != 0
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
