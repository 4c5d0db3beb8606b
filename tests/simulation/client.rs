//! Simulated clients: what a client library does, and an application on top of it that asks for whatever comes to
//! mind.
//!
//! A client keeps what libraries keep (its session, the newest zxid it has seen, the watches it has left) and
//! comes back with that when its connection ends. It believes in nothing: every reply must be the one to its
//! oldest open request, or the run fails here. Everything else about what it is told is the checkers' business.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bstr::{BStr, BString};
use bytes::{Buf, Bytes, BytesMut};
use fastrand::Rng;
use outpost_sim::{Ensemble, Leader, Line, PipeEnd, Way};
use outpost_wire::proto::{
    AddWatchMode, ConnectResponse, CreateMode, EventType, ReplyHeader, WatcherType,
};
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::{Acl, ErrorCode, Reader, Record, ServerId, SessionId, Xid, Zxid, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::history::{AtClient, AtElsewhere, Closer, Conn, Reply, Request, What};
use crate::talk;
use crate::world::World;

/// Longest frame that a reply can be here.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Replies that may be outstanding before a client waits for some of them.
const OPEN_MAX: usize = 40;
/// Setting watches again.
const SET_WATCHES: Xid = Xid(-8);
/// Signs of life.
const PING: Xid = Xid(-2);

/// The server that clients go to when they do not come here.
const ELSEWHERE: ServerId = ServerId(1);

/// How one client behaves.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// Its session timeout, ms.
    pub(crate) timeout_ms: i32,
    /// Longest pause between two bursts of requests, ms.
    pub(crate) pause_ms: u64,
    /// Most requests sent at once.
    pub(crate) burst: usize,
    /// How long bytes travel to the observer and back.
    pub(crate) latency: Duration,
    /// Mean time until it breaks its connection on its own account, ms; 0 for never.
    pub(crate) breaks_ms: u64,
    /// Whether its xids go on counting on the next connection of a session (as the Java library's do) or begin
    /// again at 1 (as others' do).
    pub(crate) counts_on: bool,
    /// Of a hundred requests, how many are writes.
    pub(crate) writes: u8,
    /// Whether it creates sequential znodes: their names are never used again, so the tree grows with them.
    pub(crate) sequences: bool,
    /// Of ten connections it loses, behind how many it goes to another server for a while.
    pub(crate) wanders: u8,
    /// Of a thousand requests, how many end the session.
    pub(crate) closes: u16,
}

/// What is asked of all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Do as you like.
    Play,
    /// Have one more write done, then end.
    Settle,
    /// End, whatever you are at.
    Leave,
}

/// Tells all clients what is asked of them. (A watch channel would wake them in an order of its own.)
#[derive(Clone, Default)]
pub(crate) struct Director(Rc<Asked>);

struct Asked {
    act: Cell<Act>,
    changed: Notify,
}

impl Default for Asked {
    fn default() -> Asked {
        Asked {
            act: Cell::new(Act::Play),
            changed: Notify::new(),
        }
    }
}

impl Director {
    pub(crate) fn ask(&self, act: Act) {
        self.0.act.set(act);
        self.0.changed.notify_waiters();
    }

    fn asked(&self) -> Act {
        self.0.act.get()
    }

    /// Waits until something else is asked than `known`.
    async fn asks_other_than(&self, known: Act) -> Act {
        loop {
            let changed = self.0.changed.notified();
            let asked = self.asked();
            if asked != known {
                return asked;
            }
            changed.await;
        }
    }
}

/// A client, from its first connection to its last.
pub(crate) struct Client {
    world: Rc<World>,
    director: Director,
    habits: Habits,
    rng: Rng,
    session: SessionId,
    last_zxid: Zxid,
    next_xid: i32,
    watched: Watched,
}

/// The watches a client counts on.
#[derive(Debug, Default)]
struct Watched {
    data: BTreeSet<BString>,
    exist: BTreeSet<BString>,
    child: BTreeSet<BString>,
    persistent: BTreeSet<BString>,
    recursive: BTreeSet<BString>,
}

impl Client {
    pub(crate) fn new(world: Rc<World>, director: Director, habits: Habits, rng: Rng) -> Client {
        Client {
            world,
            director,
            habits,
            rng,
            session: SessionId::NONE,
            last_zxid: Zxid::ZERO,
            next_xid: 1,
            watched: Watched::default(),
        }
    }

    /// Lives until it is told to end. True if it came to a good end: asked to settle, it had a last write done.
    pub(crate) async fn live(mut self) -> bool {
        loop {
            let asked = self.director.asked();
            if asked == Act::Leave {
                return false;
            }
            match Connection::open(&mut self, asked).run().await {
                Left::Settled => return true,
                Left::Ended(_) => self.away().await,
                // The observer still takes it for present, so going elsewhere at once would be too soon.
                Left::Unnoticed => self.rest(20..600).await,
            }
        }
    }

    async fn away(&mut self) {
        self.rest(20..600).await;
        if self.rng.u8(0..10) < self.habits.wanders && self.session != SessionId::NONE {
            self.wander().await;
        }
    }

    async fn rest(&mut self, ms: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.rng.u64(ms))).await;
    }

    /// Takes the session to another server for a while and writes there.
    async fn wander(&mut self) {
        let (session, timeout_ms) = (self.session, self.habits.timeout_ms);
        let come = move |leader: &mut Leader, now_ms| {
            leader.touch(now_ms, session, timeout_ms) && leader.move_session(session, ELSEWHERE)
        };
        match self.leader(come).await {
            // That server has no leader either.
            None => return,
            Some(false) => return self.forget(),
            Some(true) => self.note_elsewhere(AtElsewhere::Came),
        }
        for _ in 0..self.rng.u8(1..4) {
            self.write_elsewhere().await;
            self.rest(0..300).await;
        }
        let newest = |leader: &mut Leader, _| leader.history().last().map(|(zxid, _)| zxid);
        if let Some(Some(zxid)) = self.leader(newest).await {
            self.last_zxid = self.last_zxid.max(zxid);
            self.note_elsewhere(AtElsewhere::Left { zxid });
        }
    }

    async fn write_elsewhere(&mut self) {
        let session = self.session;
        let xid = self.next_xid();
        let (path, data) = (
            BString::from("/a"),
            Some(Bytes::from(format!("else/{}", xid.0))),
        );
        let version = -1;
        let (op, body) = talk::forwarded(&match self.rng.bool() {
            true => Request::SetData {
                path,
                data,
                version,
            },
            false => Request::Delete { path, version },
        });
        let write = move |leader: &mut Leader, now_ms| {
            let request = ForwardedRequest {
                session,
                cxid: xid,
                op: op.code(),
                body: &body,
            };
            let outcome = leader.submit(now_ms, ELSEWHERE, request, Some(&[]))?;
            Some(outcome.zxid)
        };
        if let Some(Some(zxid)) = self.leader(write).await {
            self.note_elsewhere(AtElsewhere::Wrote { xid, zxid });
        }
    }

    fn note_elsewhere(&self, what: AtElsewhere) {
        let recorder = &self.world.recorder;
        recorder.note(What::Elsewhere(self.session, what));
    }

    /// Does something with the leader; `None` while there is none.
    async fn leader<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Leader, i64) -> R + Send + 'static,
    ) -> Option<R> {
        let act = |ensemble: &mut Ensemble, now_ms| {
            ensemble.leader_mut().map(|leader| act(leader, now_ms))
        };
        self.world.ensemble(act).await
    }

    fn next_xid(&mut self) -> Xid {
        let xid = Xid(self.next_xid);
        self.next_xid += 1;
        xid
    }

    fn patience(&self) -> Duration {
        // As the Java library: two thirds of the timeout without a word, and another server is tried.
        Duration::from_millis(u64::try_from(self.habits.timeout_ms).unwrap_or(0)) * 2 / 3
    }

    /// The session is over; the next one begins with nothing.
    fn forget(&mut self) {
        self.session = SessionId::NONE;
        self.last_zxid = Zxid::ZERO;
        self.next_xid = 1;
        self.watched = Watched::default();
    }
}

/// Why a connection is left.
enum Left {
    /// The observer has ended it, or the line is cut.
    Ended(Closer),
    /// The client has ended it in a way that the observer does not see.
    Unnoticed,
    /// The last write is done.
    Settled,
}

/// One connection of a client.
struct Connection<'a> {
    client: &'a mut Client,
    conn: Conn,
    end: PipeEnd,
    line: Line,
    input: BytesMut,
    /// Requests without a reply, oldest first; pings apart.
    open: VecDeque<(Xid, Request)>,
    pings: usize,
    asked: Act,
    /// The session is being closed.
    closing: bool,
    /// The last write has been sent.
    last_write: Option<Xid>,
    heard: Instant,
    spoke: Instant,
}

impl<'a> Connection<'a> {
    fn open(client: &'a mut Client, asked: Act) -> Connection<'a> {
        let conn = client.world.next_conn();
        let (end, line) = client.world.connect(client.habits.latency);
        let now = Instant::now();
        if !client.habits.counts_on {
            client.next_xid = 1;
        }
        Connection {
            client,
            conn,
            end,
            line,
            input: BytesMut::new(),
            open: VecDeque::new(),
            pings: 0,
            asked,
            closing: false,
            last_write: None,
            heard: now,
            spoke: now,
        }
    }

    fn note(&self, what: AtClient) {
        let what = What::Client(self.conn, what);
        self.client.world.recorder.note(what);
    }

    /// From the connect request to the end.
    async fn run(mut self) -> Left {
        let left = match self.connect().await {
            Ok(()) => self.converse().await,
            Err(left) => Err(left),
        };
        if self.closing {
            // Whatever became of that, the application is done with the session.
            self.client.forget();
        }
        let Err(left) = left else {
            unreachable!("a conversation goes on until something ends it");
        };
        let by = match left {
            Left::Ended(by) => by,
            Left::Unnoticed | Left::Settled => Closer::Client,
        };
        self.note(AtClient::Closed { by });
        left
    }

    /// Asks for the session.
    async fn connect(&mut self) -> Result<(), Left> {
        let Client {
            session,
            last_zxid,
            habits,
            ..
        } = self.client;
        let (session, last_zxid_seen, timeout_ms) = (*session, *last_zxid, habits.timeout_ms);
        self.note(AtClient::Connecting {
            session,
            last_zxid_seen,
            timeout_ms,
        });
        let request = talk::connect(session, last_zxid_seen, timeout_ms);
        self.send(&request).await?;
        let deadline = self.heard + self.client.patience();
        let answer = loop {
            if let Some(frame) = self.take_frame() {
                break frame;
            }
            tokio::select! {
                biased;
                read = self.end.read_buf(&mut self.input) => heard(&read)?,
                () = sleep_until(deadline) => return Err(Left::Ended(Closer::Client)),
            }
        };
        let answer: ConnectResponse<'_> = talk::record(&answer);
        if answer.session_id == SessionId::NONE {
            self.note(AtClient::Refused { session });
            self.client.forget();
            return Err(Left::Ended(Closer::Server));
        }
        self.note(AtClient::Connected {
            session: answer.session_id,
            timeout_ms: answer.time_out,
        });
        self.client.session = answer.session_id;
        let now = Instant::now();
        (self.heard, self.spoke) = (now, now);
        if let Some(again) = self.client.watched.again(last_zxid_seen) {
            self.ask(SET_WATCHES, again).await?;
        }
        Ok(())
    }

    /// Asks and listens until something ends it.
    async fn converse(&mut self) -> Result<(), Left> {
        let mut next = Instant::now() + self.pause();
        let breaks = self.breaks();
        loop {
            while let Some(frame) = self.take_frame() {
                self.receive(&frame)?;
            }
            let patience = self.client.patience();
            let pings = self.spoke + patience / 2;
            tokio::select! {
                biased;
                read = self.end.read_buf(&mut self.input) => {
                    heard(&read)?;
                    self.heard = Instant::now();
                }
                asked = self.client.director.asks_other_than(self.asked) => {
                    if asked == Act::Leave {
                        return Err(Left::Ended(Closer::Client));
                    }
                    self.asked = asked;
                    next = Instant::now();
                }
                () = sleep_until(self.heard + patience) => {
                    return Err(Left::Ended(Closer::Client));
                }
                () = sleep_until(breaks), if self.asked == Act::Play => self.break_off().await?,
                () = sleep_until(next), if !self.closing => {
                    self.act().await?;
                    next = Instant::now() + self.pause();
                }
                () = sleep_until(pings), if !self.closing => {
                    self.pings += 1;
                    self.ask(PING, Request::Ping).await?;
                }
            }
        }
    }

    fn pause(&mut self) -> Duration {
        let Client { rng, habits, .. } = &mut *self.client;
        // Many short pauses and few long ones.
        let longest = rng.u64(1..=habits.pause_ms);
        Duration::from_millis(rng.u64(0..longest))
    }

    fn breaks(&mut self) -> Instant {
        const NEVER: Duration = Duration::from_secs(86_400);
        let Client { rng, habits, .. } = &mut *self.client;
        let after = match habits.breaks_ms {
            0 => NEVER,
            mean => Duration::from_millis(rng.u64(0..mean * 2)),
        };
        Instant::now() + after
    }

    /// Loses the connection in one of the ways in which connections are lost.
    async fn break_off(&mut self) -> Result<(), Left> {
        match self.client.rng.u8(0..4) {
            0 => self.line.cut(),
            1 => {
                let bytes = self.client.rng.usize(1..200);
                self.line.cut_after(Way::Back, bytes);
            }
            2 => {
                // Nothing gets through any more, and nobody is told.
                self.line.hold(Way::Out, true);
                self.line.hold(Way::Back, true);
                return Err(Left::Unnoticed);
            }
            _ => {}
        }
        Err(Left::Ended(Closer::Client))
    }

    /// Sends some requests.
    async fn act(&mut self) -> Result<(), Left> {
        if self.asked == Act::Settle {
            if self.last_write.is_none() {
                let xid = self.next_xid();
                self.last_write = Some(xid);
                let create = self.create("/settled", CreateMode::PersistentSequential, xid);
                self.ask(xid, create).await?;
            }
            return Ok(());
        }
        let burst = self.client.rng.usize(1..=self.client.habits.burst);
        for _ in 0..burst.min(OPEN_MAX.saturating_sub(self.open.len())) {
            let xid = self.next_xid();
            let request = self.choose(xid);
            let closes = request == Request::CloseSession;
            self.ask(xid, request).await?;
            if closes {
                // Nothing is sent behind it.
                self.closing = true;
                return Ok(());
            }
        }
        Ok(())
    }

    fn next_xid(&mut self) -> Xid {
        self.client.next_xid()
    }

    async fn ask(&mut self, xid: Xid, request: Request) -> Result<(), Left> {
        let bytes = talk::request(xid, &request);
        self.note(AtClient::Sent {
            xid,
            request: request.clone(),
        });
        if request != Request::Ping {
            self.open.push_back((xid, request));
        }
        self.spoke = Instant::now();
        self.send(&bytes).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Left> {
        // An error shows when reading, behind what has still arrived.
        let _ = self.end.write_all(bytes).await;
        Ok(())
    }

    fn take_frame(&mut self) -> Option<Bytes> {
        let frame = frame::split(&self.input, FRAME_BYTES_MAX).expect("a frame of sane length")?;
        let length = frame.len();
        self.input.advance(4);
        Some(self.input.split_to(length).freeze())
    }

    fn receive(&mut self, frame: &[u8]) -> Result<(), Left> {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::read(&mut reader).expect("a reply's header");
        match header.xid {
            Xid::NOTIFICATION => {
                let (kind, path) = talk::event(reader.rest());
                self.client.watched.fired(kind, path.as_ref());
                self.note(AtClient::Event {
                    kind,
                    path,
                    zxid: header.zxid,
                });
                Ok(())
            }
            PING => {
                assert!(self.pings > 0, "{:?}: an answer to no ping", self.conn);
                self.pings -= 1;
                self.note(AtClient::Replied {
                    xid: header.xid,
                    zxid: header.zxid,
                    error: header.err,
                    reply: Reply::Nothing,
                });
                Ok(())
            }
            _ => self.reply(header, reader.rest()),
        }
    }

    fn reply(&mut self, header: ReplyHeader, body: &[u8]) -> Result<(), Left> {
        let ReplyHeader { xid, zxid, err } = header;
        let (expected, request) = self.open.pop_front().expect("a reply to something");
        assert_eq!(xid, expected, "{:?}: the reply to {request:?}", self.conn);
        let reply = talk::reply(&request, err, body);
        if zxid > Zxid::ZERO {
            self.client.last_zxid = self.client.last_zxid.max(zxid);
        }
        self.client.watched.replied(&request, err);
        self.note(AtClient::Replied {
            xid,
            zxid,
            error: err,
            reply,
        });
        if request == Request::CloseSession {
            self.client.forget();
            return Err(Left::Ended(Closer::Client));
        }
        match self.last_write {
            Some(last) if last == xid && err.is_ok() => Err(Left::Settled),
            _ => Ok(()),
        }
    }

    /// Whatever comes to mind.
    fn choose(&mut self, xid: Xid) -> Request {
        let Client { rng, habits, .. } = &mut *self.client;
        if rng.u16(0..1_000) < habits.closes {
            return Request::CloseSession;
        }
        match rng.u8(0..100) < habits.writes {
            true => self.choose_write(xid),
            false => self.choose_read(),
        }
    }

    fn choose_write(&mut self, xid: Xid) -> Request {
        match self.client.rng.u8(0..10) {
            0 => {
                let ops = self.client.rng.usize(1..4);
                let ops = (0..ops).map(|_| self.choose_simple_write(xid)).collect();
                Request::Multi(ops)
            }
            1 => {
                let (path, version) = (self.path(), self.version());
                Request::Multi(vec![
                    Request::Check { path, version },
                    self.choose_simple_write(xid),
                ])
            }
            2 => Request::Sync { path: self.path() },
            _ => self.choose_simple_write(xid),
        }
    }

    fn choose_simple_write(&mut self, xid: Xid) -> Request {
        let path = self.path();
        match self.client.rng.u8(0..10) {
            0..=3 => Request::SetData {
                path,
                data: self.data(xid),
                version: self.version(),
            },
            4 | 5 => Request::Delete {
                path,
                version: self.version(),
            },
            _ => {
                let sequences = self.client.habits.sequences;
                let mode = match self.client.rng.u8(0..10) {
                    0 | 1 => CreateMode::Ephemeral,
                    2 if sequences => CreateMode::EphemeralSequential,
                    3 if sequences => CreateMode::PersistentSequential,
                    4 => CreateMode::Container,
                    _ => CreateMode::Persistent,
                };
                let path = path.to_string();
                self.create(&path, mode, xid)
            }
        }
    }

    fn create(&self, path: &str, mode: CreateMode, xid: Xid) -> Request {
        Request::Create {
            path: path.into(),
            data: self.data(xid),
            acl: Acl::open(),
            mode,
        }
    }

    /// Tells whose write it was.
    fn data(&self, xid: Xid) -> Option<Bytes> {
        let Conn(conn) = self.conn;
        Some(Bytes::from(format!("{conn}/{}", xid.0)))
    }

    fn version(&mut self) -> i32 {
        match self.client.rng.u8(0..4) {
            0 => self.client.rng.i32(0..3),
            _ => -1,
        }
    }

    fn choose_read(&mut self) -> Request {
        let path = self.path();
        let watch = self.client.rng.u8(0..3) == 0;
        match self.client.rng.u8(0..20) {
            0..=6 => Request::GetData { path, watch },
            7..=11 => Request::Exists { path, watch },
            12..=16 => Request::GetChildren { path, watch },
            17 | 18 => Request::AddWatch {
                path,
                mode: match self.client.rng.bool() {
                    true => AddWatchMode::Persistent,
                    false => AddWatchMode::PersistentRecursive,
                },
            },
            _ => Request::RemoveWatches {
                path,
                kind: match self.client.rng.u8(0..3) {
                    0 => WatcherType::Data,
                    1 => WatcherType::Children,
                    _ => WatcherType::Any,
                },
            },
        }
    }

    /// One of a few, so that clients meet.
    fn path(&mut self) -> BString {
        const TOPS: [&str; 4] = ["/a", "/b", "/c", "/d"];
        const BELOW: [&str; 3] = ["x", "y", "z"];
        let rng = &mut self.client.rng;
        let top = TOPS[rng.usize(..TOPS.len())];
        match rng.u8(0..5) {
            0 | 1 => top.into(),
            2 | 3 => format!("{top}/{}", BELOW[rng.usize(..BELOW.len())]).into(),
            _ if rng.u8(0..4) == 0 => "/".into(),
            _ => format!("{top}/x/{}", BELOW[rng.usize(..BELOW.len())]).into(),
        }
    }
}

fn heard(read: &std::io::Result<usize>) -> Result<(), Left> {
    match read {
        Ok(0) => Err(Left::Ended(Closer::Server)),
        Ok(_) => Ok(()),
        // The line was cut.
        Err(_) => Err(Left::Ended(Closer::Client)),
    }
}

impl Watched {
    /// A request was answered: which watches stand now.
    fn replied(&mut self, request: &Request, error: ErrorCode) {
        match request {
            Request::GetData { path, watch: true } if error.is_ok() => {
                self.data.insert(path.clone());
            }
            Request::Exists { path, watch: true } if error.is_ok() => {
                self.data.insert(path.clone());
            }
            Request::Exists { path, watch: true } if error == ErrorCode::NO_NODE => {
                self.exist.insert(path.clone());
            }
            Request::GetChildren { path, watch: true } if error.is_ok() => {
                self.child.insert(path.clone());
            }
            Request::AddWatch { path, mode } if error.is_ok() => {
                match mode {
                    AddWatchMode::Persistent => self.persistent.insert(path.clone()),
                    AddWatchMode::PersistentRecursive => self.recursive.insert(path.clone()),
                };
            }
            Request::RemoveWatches { path, kind } if error.is_ok() => self.removed(path, *kind),
            _ => {}
        }
    }

    fn removed(&mut self, path: &BString, kind: WatcherType) {
        if kind != WatcherType::Children {
            self.data.remove(path);
            self.exist.remove(path);
        }
        if kind != WatcherType::Data {
            self.child.remove(path);
        }
        if kind == WatcherType::Any {
            self.persistent.remove(path);
            self.recursive.remove(path);
        }
    }

    /// A watch that fires once is gone when it has.
    fn fired(&mut self, kind: EventType, path: &BStr) {
        if kind != EventType::NodeChildrenChanged {
            self.data.remove(path);
            self.exist.remove(path);
        }
        if kind != EventType::NodeDataChanged && kind != EventType::NodeCreated {
            self.child.remove(path);
        }
    }

    /// The request that sets them again, if there are any.
    fn again(&self, relative_zxid: Zxid) -> Option<Request> {
        let listed = |paths: &BTreeSet<BString>| paths.iter().cloned().collect::<Vec<_>>();
        let Watched {
            data,
            exist,
            child,
            persistent,
            recursive,
        } = self;
        let all = [data, exist, child, persistent, recursive];
        all.iter()
            .any(|paths| !paths.is_empty())
            .then(|| Request::SetWatches {
                relative_zxid,
                data: listed(data),
                exist: listed(exist),
                child: listed(child),
                persistent: listed(persistent),
                recursive: listed(recursive),
            })
    }
}
