//! One client of a crowd: its connection, what it waits for, and its watches.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bstr::{BStr, ByteSlice};
use fastrand::Rng;
use outpost_wire::proto::{
    AddWatchMode, ConnectRequest, ConnectResponse, EventType, ReplyHeader, RequestHeader,
    SetWatches, SetWatches2, WatcherEvent,
};
use outpost_wire::{ErrorCode, OpCode, Reader, Record, SessionId, Writer, Xid, Zxid, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::history::{Entry, History, Loss, Op, Path, Shown, What};
use super::{Plan, Tally};
use crate::raw::{Session, hex};

/// How long a server may take until a connection stands and a session is granted, at least.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Watches that were left and have not fired.
#[derive(Debug, Default)]
struct Watches {
    data: BTreeSet<Path>,
    exist: BTreeSet<Path>,
    child: BTreeSet<Path>,
    persistent: BTreeSet<Path>,
    recursive: BTreeSet<Path>,
}

pub(super) struct Client {
    plan: Plan,
    tally: Arc<Tally>,
    stopped: watch::Receiver<bool>,
    rng: Rng,
    history: History,
    session: Option<Session>,
    next_xid: i32,
    last_zxid: Zxid,
    next_server: usize,
    /// Sent and not answered, pings apart: their answers may come before those of others.
    outstanding: VecDeque<(Xid, Op)>,
    pings: usize,
    watches: Watches,
    finale: Finale,
}

/// What a client does at its end, so that it has seen all there is to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finale {
    NotYet,
    /// The last sync is out.
    Syncing,
    /// A ping behind it shows that everything before it was read.
    Pinging,
    Done,
}

/// One connection with a session.
struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Connection {
    /// Waits for more bytes. Cancelled, it loses nothing.
    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The frames that have arrived whole.
    fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some(frame) = frame::split(&self.input[at..], 64 << 20)
            .unwrap_or_else(|error| panic!("{error} in a server's frames"))
        {
            frames.push(frame.to_vec());
            at += 4 + frame.len();
        }
        self.input.drain(..at);
        frames
    }

    async fn send(&mut self, header: Option<RequestHeader>, body: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).with_length(|writer| {
            if let Some(header) = header {
                header.write(writer);
            }
            writer.raw(body);
        });
        self.stream.write_all(&bytes).await
    }
}

impl Client {
    pub(super) fn new(plan: Plan, tally: Arc<Tally>, stopped: watch::Receiver<bool>) -> Self {
        let history = History {
            client: plan.name.clone(),
            entries: Vec::new(),
        };
        Self {
            plan,
            tally,
            stopped,
            rng: Rng::new(),
            history,
            session: None,
            next_xid: 1,
            last_zxid: Zxid(0),
            next_server: 0,
            outstanding: VecDeque::new(),
            pings: 0,
            watches: Watches::default(),
            finale: Finale::NotYet,
        }
    }

    /// Works until it is stopped; a client that has no connection then does not look for one.
    pub(super) async fn live(mut self) -> History {
        loop {
            if let Some(connection) = self.open().await {
                let loss = self.serve(connection).await;
                self.lost(loss);
                if loss == Loss::Left {
                    return self.history;
                }
            }
            if *self.stopped.borrow() && self.finale == Finale::Done {
                return self.history;
            }
            let most = self.plan.comes_back_within.as_millis();
            let pause = self.rng.u64(..=u64::try_from(most).unwrap_or(u64::MAX));
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    fn note(&mut self, what: What) {
        let at = Instant::now();
        self.history.entries.push(Entry { at, what });
    }

    fn lost(&mut self, loss: Loss) {
        self.note(What::Lost(loss));
        self.outstanding.clear();
        self.pings = 0;
        if loss != Loss::Left {
            self.tally.losses.fetch_add(1, Ordering::AcqRel);
        }
        if self.finale != Finale::Done {
            self.finale = Finale::NotYet;
        }
    }

    fn timeout(&self) -> Duration {
        let granted = self.session.as_ref().map(|session| session.timeout_ms);
        let timeout_ms = granted.unwrap_or(self.plan.timeout_ms);
        Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
    }

    /// Connects, opens the session and sets the watches again.
    async fn open(&mut self) -> Option<Connection> {
        self.note(What::Tried);
        let server = self.plan.servers[self.next_server % self.plan.servers.len()];
        self.next_server += 1;
        let limit = self.timeout().max(CONNECT_LIMIT);
        let connection = timeout(limit, self.handshake(server)).await;
        let (mut connection, response) = connection.ok()?.ok()?;
        let Some(session) = response else {
            self.lost(Loss::Expired);
            self.session = None;
            self.watches = Watches::default();
            self.plan.script.begin_anew();
            return None;
        };
        let again = self.session.is_some();
        let session_id = session.id;
        self.session = Some(session);
        self.note(What::Opened {
            session: session_id,
            again,
        });
        if again && self.set_watches_again(&mut connection).await.is_err() {
            self.lost(Loss::Closed);
            return None;
        }
        Some(connection)
    }

    /// The session that is granted; `None` inside means that it is gone for good.
    async fn handshake(&mut self, server: SocketAddr) -> io::Result<(Connection, Option<Session>)> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let mut connection = Connection {
            stream,
            input: Vec::new(),
        };
        let known = self.session.clone().unwrap_or(Session {
            id: SessionId(0),
            password: vec![0; 16],
            timeout_ms: self.plan.timeout_ms,
        });
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            time_out: known.timeout_ms,
            session_id: known.id,
            passwd: Some(&known.password),
            read_only: Some(false),
        };
        connection.send(None, &request.encode()).await?;
        loop {
            connection.fill().await?;
            if let Some(frame) = connection.frames().first() {
                let response = ConnectResponse::decode("ConnectResponse", frame)
                    .unwrap_or_else(|error| panic!("{error} in a connect response {}", hex(frame)));
                let session = (response.time_out > 0).then(|| Session {
                    id: response.session_id,
                    password: response.passwd.unwrap_or_default().to_vec(),
                    timeout_ms: response.time_out,
                });
                return Ok((connection, session));
            }
        }
    }

    async fn set_watches_again(&mut self, connection: &mut Connection) -> io::Result<()> {
        let Watches {
            data,
            exist,
            child,
            persistent,
            recursive,
        } = &self.watches;
        let all = [data, exist, child, persistent, recursive];
        if all.iter().all(|watches| watches.is_empty()) {
            return Ok(());
        }
        let [data, exist, child, persistent, recursive] = all.map(names);
        let (op, body) = if self.plan.set_watches_2 {
            let request = SetWatches2 {
                relative_zxid: self.last_zxid,
                data_watches: data,
                exist_watches: exist,
                child_watches: child,
                persistent_watches: persistent,
                persistent_recursive_watches: recursive,
            };
            (OpCode::SetWatches2, request.encode())
        } else {
            let request = SetWatches {
                relative_zxid: self.last_zxid,
                data_watches: data,
                exist_watches: exist,
                child_watches: child,
            };
            (OpCode::SetWatches, request.encode())
        };
        let xid = Xid::SET_WATCHES;
        let header = RequestHeader { xid, op: op.code() };
        self.asked(xid, Op::SetWatches);
        connection.send(Some(header), &body).await
    }

    fn asked(&mut self, xid: Xid, op: Op) {
        if op == Op::Ping {
            self.pings += 1;
        } else {
            self.outstanding.push_back((xid, op.clone()));
        }
        self.note(What::Asked { xid, op });
    }

    async fn ask(&mut self, connection: &mut Connection, op: Op) -> io::Result<()> {
        let xid = match op {
            Op::Ping => Xid::PING,
            _ => {
                self.next_xid += 1;
                Xid(self.next_xid - 1)
            }
        };
        let (code, body) = op.encode();
        self.asked(xid, op);
        let op = code.code();
        connection
            .send(Some(RequestHeader { xid, op }), &body)
            .await
    }

    /// Asks and listens until the connection ends.
    async fn serve(&mut self, mut connection: Connection) -> Loss {
        let mut heard = tokio::time::Instant::now();
        // Spread, so that a thousand clients do not speak in one moment.
        let pace_ms = u64::try_from(self.plan.pace.as_millis()).unwrap_or(u64::MAX);
        let mut due = heard + Duration::from_millis(self.rng.u64(..=pace_ms));
        let mut ping = heard;
        loop {
            let silent = heard + self.timeout() * 2 / 3;
            let mut stopped = self.stopped.clone();
            let stopping = *stopped.borrow_and_update();
            if stopping && self.finale == Finale::Done {
                return Loss::Left;
            }
            let outcome = tokio::select! {
                biased;
                filled = connection.fill() => match filled {
                    Ok(()) => {
                        heard = tokio::time::Instant::now();
                        for frame in connection.frames() {
                            self.hear(&frame);
                        }
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                () = sleep_until(silent) => return Loss::Silent,
                () = sleep_until(ping) => {
                    ping = tokio::time::Instant::now() + self.timeout() / 3;
                    self.ask(&mut connection, Op::Ping).await
                }
                () = sleep_until(due) => {
                    due = (due + self.plan.pace).max(tokio::time::Instant::now());
                    self.go_on(&mut connection, stopping).await
                }
                changed = stopped.changed(), if !stopping => {
                    if changed.is_err() {
                        return Loss::Left;
                    }
                    Ok(())
                }
            };
            if outcome.is_err() {
                return Loss::Closed;
            }
        }
    }

    /// The next request of the script, or of the finale.
    async fn go_on(&mut self, connection: &mut Connection, stopping: bool) -> io::Result<()> {
        if !stopping {
            if self.outstanding.len() >= self.plan.outstanding_max {
                return Ok(());
            }
            return match self.plan.script.next(&mut self.rng) {
                Some(op) => self.ask(connection, op).await,
                None => Ok(()),
            };
        }
        if !self.outstanding.is_empty() || self.pings > 0 {
            return Ok(());
        }
        match self.finale {
            Finale::NotYet => {
                self.finale = Finale::Syncing;
                self.ask(connection, Op::Sync).await
            }
            Finale::Syncing => {
                self.finale = Finale::Pinging;
                self.ask(connection, Op::Ping).await
            }
            Finale::Pinging | Finale::Done => {
                self.finale = Finale::Done;
                Ok(())
            }
        }
    }

    fn hear(&mut self, frame: &[u8]) {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::read(&mut reader)
            .unwrap_or_else(|error| panic!("{error} in a reply {}", hex(frame)));
        match header.xid {
            Xid::NOTIFICATION => self.hear_event(&header, reader.rest()),
            Xid::PING => {
                self.pings = self.pings.saturating_sub(1);
                self.answered(&header, Shown::default());
            }
            _ => self.hear_reply(&header, reader.rest()),
        }
    }

    fn hear_reply(&mut self, header: &ReplyHeader, body: &[u8]) {
        let Some((xid, op)) = self.outstanding.pop_front() else {
            panic!(
                "{}: nothing was asked, yet {header:?} comes",
                self.plan.name
            );
        };
        assert!(
            xid == header.xid,
            "P2: {} awaits the reply to {xid:?} {op:?} and gets {header:?}",
            self.plan.name
        );
        let shown = match header.err {
            ErrorCode::OK => op.shown(body).unwrap_or_else(|error| {
                panic!("{error} in a reply to {op:?}: {header:?} {}", hex(body))
            }),
            _ => Shown::default(),
        };
        self.tally.answered.fetch_add(1, Ordering::AcqRel);
        if op.is_write() {
            self.tally.written.fetch_add(1, Ordering::AcqRel);
        }
        self.leave_watch(&op, header.err);
        self.plan.script.answered(&op, header.err);
        self.answered(header, shown);
    }

    fn answered(&mut self, header: &ReplyHeader, shown: Shown) {
        // Refusals of what a server does not know carry -1.
        self.last_zxid = self.last_zxid.max(header.zxid);
        let ReplyHeader { xid, zxid, err } = *header;
        self.note(What::Answered {
            xid,
            zxid,
            err,
            shown,
        });
    }

    fn leave_watch(&mut self, op: &Op, err: ErrorCode) {
        let there = err.is_ok();
        let watches = &mut self.watches;
        match op {
            Op::GetData { path, watch: true } if there => watches.data.insert(path.clone()),
            Op::Exists { path, watch: true } if there => watches.data.insert(path.clone()),
            Op::Exists { path, watch: true } if err == ErrorCode::NO_NODE => {
                watches.exist.insert(path.clone())
            }
            Op::GetChildren { path, watch: true } if there => watches.child.insert(path.clone()),
            Op::AddWatch { path, mode } if there => match mode {
                AddWatchMode::Persistent => watches.persistent.insert(path.clone()),
                AddWatchMode::PersistentRecursive => watches.recursive.insert(path.clone()),
            },
            _ => false,
        };
    }

    fn hear_event(&mut self, header: &ReplyHeader, body: &[u8]) {
        let event = WatcherEvent::decode("WatcherEvent", body)
            .unwrap_or_else(|error| panic!("{error} in a notification {}", hex(body)));
        let path: Path = event.path.to_str_lossy().into();
        let watches = &mut self.watches;
        match EventType::from_code(event.kind) {
            Some(EventType::NodeChildrenChanged) => {
                watches.child.remove(&path);
            }
            Some(EventType::NodeDeleted) => {
                watches.data.remove(&path);
                watches.exist.remove(&path);
                watches.child.remove(&path);
            }
            Some(EventType::NodeCreated | EventType::NodeDataChanged) => {
                watches.data.remove(&path);
                watches.exist.remove(&path);
            }
            None => panic!("an event of kind {}", event.kind),
        }
        self.tally.events.fetch_add(1, Ordering::AcqRel);
        let kind = event.kind;
        let zxid = (header.zxid.0 > 0).then_some(header.zxid);
        self.note(What::Fired { kind, path, zxid });
    }
}

fn names(paths: &BTreeSet<Path>) -> Vec<&BStr> {
    paths.iter().map(|path| path.as_bytes().as_bstr()).collect()
}
