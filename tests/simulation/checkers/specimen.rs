//! Small histories, written by hand: what the checkers' own tests bend.

use std::time::Duration;

use bstr::{BStr, BString};
use bytes::Bytes;
use outpost_wire::proto::{CreateMode, EventType};
use outpost_wire::txn::{CreateKind, CreateTxn, SubTxn, Txn, TxnEntry, TxnHeader};
use outpost_wire::{Acl, ErrorCode, OpCode, SessionId, Stat, Xid, Zxid};

use super::{Settings, check};
use crate::history::{
    AtClient, AtLeader, AtObserver, Closer, Conn, Link, Received, Record, Reply, Request, SyncKind,
    Transaction, What,
};

/// Leader's wall clock in every transaction.
pub(crate) const TIME: i64 = 7;
/// Of every session, ms.
pub(crate) const TIMEOUT_MS: i32 = 30_000;
/// Sessions of the ensemble's other clients.
pub(crate) const OTHER: SessionId = SessionId(0x0200_0000_0000_0001);

pub(crate) const SETTINGS: Settings = Settings {
    hold: Duration::from_secs(12),
    link_timeout: Duration::from_secs(4),
    client_transit: Duration::ZERO,
    link_transit: Duration::ZERO,
};

/// One client's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) conn: Conn,
    pub(crate) session: SessionId,
}

/// A history that is being written.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) records: Vec<Record>,
    now: Duration,
    pub(crate) last: Zxid,
    link: Link,
    conns: u32,
}

impl Story {
    /// A leader, and the observer attached to it.
    pub(crate) fn new() -> Story {
        let mut story = Story {
            records: Vec::new(),
            now: Duration::ZERO,
            last: Zxid::ZERO,
            link: Link(0),
            conns: 0,
        };
        story.elect(1);
        story.attach(SyncKind::Snap);
        story
    }

    pub(crate) fn note(&mut self, what: What) -> usize {
        self.records.push(Record { at: self.now, what });
        self.records.len() - 1
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    pub(crate) fn leader(&mut self, seen: AtLeader) -> usize {
        self.note(What::Leader(seen))
    }

    pub(crate) fn observer(&mut self, seen: AtObserver) -> usize {
        self.note(What::Observer(seen))
    }

    pub(crate) fn elect(&mut self, epoch: u32) {
        self.leader(AtLeader::Elected { epoch });
        self.last = self.last.max(Zxid::of_epoch(epoch));
    }

    /// The link ends, and the observer sees it.
    pub(crate) fn lose(&mut self) -> usize {
        let link = self.link;
        self.leader(AtLeader::Gone { link });
        let reason = "cut".to_owned();
        self.observer(AtObserver::Lost { reason })
    }

    /// The observer comes back with everything up to `last_zxid`; it gets the rest in this way.
    pub(crate) fn reattach(&mut self, by: SyncKind, last_zxid: Zxid) -> usize {
        self.link = Link(self.link.0 + 1);
        let (link, zxid) = (self.link, self.last);
        self.leader(AtLeader::Presented { link, last_zxid });
        self.leader(AtLeader::Synchronizing { link, by, zxid });
        self.observer(AtObserver::Attached { zxid })
    }

    fn attach(&mut self, by: SyncKind) {
        self.reattach(by, Zxid::ZERO);
    }

    /// A transaction that a leader has written: header, record and digest.
    pub(crate) fn committed(&mut self, bytes: &Bytes) -> Zxid {
        let header = TxnEntry::decode(bytes).expect("a leader wrote it").header;
        self.leader(AtLeader::Committed(Transaction {
            zxid: header.zxid,
            session: header.session,
            cxid: header.cxid,
            kind: OpCode::from_code(header.kind),
            bytes: bytes.clone(),
        }));
        self.last = header.zxid;
        self.last
    }

    /// A transaction of this session and cxid.
    pub(crate) fn commit(&mut self, session: SessionId, cxid: i32, txn: Txn<'_>) -> Zxid {
        self.last = Zxid(self.last.0 + 1);
        let header = TxnHeader {
            session,
            cxid: Xid(cxid),
            zxid: self.last,
            time: TIME,
            kind: kind_of(&txn).code(),
        };
        let entry = TxnEntry {
            header,
            txn,
            digest: None,
        };
        self.committed(&Bytes::from(entry.encode()))
    }

    /// Somebody else creates a znode without data.
    pub(crate) fn plant(&mut self, path: &str) -> Zxid {
        self.commit(OTHER, 0, create(path, b""))
    }

    /// Somebody else sets a znode's data.
    pub(crate) fn touch(&mut self, path: &str, data: &[u8], version: i32) -> Zxid {
        self.commit(OTHER, 0, set(path, data, version))
    }

    pub(crate) fn received(&mut self, packet: Received) -> usize {
        let link = self.link;
        self.leader(AtLeader::Received { link, packet })
    }

    /// A client with a new session.
    pub(crate) fn client(&mut self) -> Client {
        self.conns += 1;
        let client = Client {
            conn: Conn(self.conns),
            session: SessionId(0x0a00_0000_0000_0000 + i64::from(self.conns)),
        };
        self.connecting(client, SessionId::NONE, Zxid::ZERO);
        self.forward_as(client.session, 0, OpCode::CreateSession);
        let timeout_ms = TIMEOUT_MS;
        self.commit(client.session, 0, Txn::CreateSession { timeout_ms });
        self.connected(client);
        client
    }

    /// The next connection of a session.
    pub(crate) fn reopen(&mut self, session: SessionId, last_zxid_seen: Zxid) -> Client {
        self.conns += 1;
        let client = Client {
            conn: Conn(self.conns),
            session,
        };
        self.connecting(client, session, last_zxid_seen);
        self.revalidate(session);
        self.connected(client);
        client
    }

    pub(crate) fn revalidate(&mut self, session: SessionId) -> usize {
        self.received(Received::Revalidate {
            session,
            timeout_ms: TIMEOUT_MS,
            valid: true,
        })
    }

    pub(crate) fn connecting(
        &mut self,
        client: Client,
        session: SessionId,
        last_zxid_seen: Zxid,
    ) -> usize {
        let timeout_ms = TIMEOUT_MS;
        self.at(
            client,
            AtClient::Connecting {
                session,
                last_zxid_seen,
                timeout_ms,
            },
        )
    }

    pub(crate) fn connected(&mut self, client: Client) -> usize {
        let (session, timeout_ms) = (client.session, TIMEOUT_MS);
        self.at(
            client,
            AtClient::Connected {
                session,
                timeout_ms,
            },
        )
    }

    pub(crate) fn at(&mut self, client: Client, seen: AtClient) -> usize {
        self.note(What::Client(client.conn, seen))
    }

    pub(crate) fn send(&mut self, client: Client, xid: i32, request: Request) -> usize {
        let xid = Xid(xid);
        self.at(client, AtClient::Sent { xid, request })
    }

    /// The leader gets a client's request.
    pub(crate) fn forward(&mut self, client: Client, xid: i32, op: OpCode) -> usize {
        self.forward_as(client.session, xid, op)
    }

    pub(crate) fn forward_as(&mut self, session: SessionId, cxid: i32, op: OpCode) -> usize {
        self.received(Received::Request {
            session,
            cxid: Xid(cxid),
            op: op.code(),
        })
    }

    pub(crate) fn reply(&mut self, client: Client, xid: i32, zxid: Zxid, reply: Reply) -> usize {
        self.replied(client, xid, zxid, ErrorCode::OK, reply)
    }

    pub(crate) fn fail(&mut self, client: Client, xid: i32, zxid: Zxid, error: ErrorCode) -> usize {
        self.replied(client, xid, zxid, error, Reply::Nothing)
    }

    fn replied(
        &mut self,
        client: Client,
        xid: i32,
        zxid: Zxid,
        error: ErrorCode,
        reply: Reply,
    ) -> usize {
        let xid = Xid(xid);
        self.at(
            client,
            AtClient::Replied {
                xid,
                zxid,
                error,
                reply,
            },
        )
    }

    /// A ping and its reply.
    pub(crate) fn ping(&mut self, client: Client, zxid: Zxid) -> usize {
        self.send(client, Xid::PING.0, Request::Ping);
        self.reply(client, Xid::PING.0, zxid, Reply::Nothing)
    }

    /// A request that is answered at once.
    pub(crate) fn ask(
        &mut self,
        client: Client,
        xid: i32,
        request: Request,
        zxid: Zxid,
        reply: Reply,
    ) -> usize {
        self.send(client, xid, request);
        self.reply(client, xid, zxid, reply)
    }

    pub(crate) fn event(
        &mut self,
        client: Client,
        kind: EventType,
        path: &str,
        zxid: Zxid,
    ) -> usize {
        let path = BString::from(path);
        self.at(client, AtClient::Event { kind, path, zxid })
    }

    pub(crate) fn close(&mut self, client: Client, by: Closer) -> usize {
        self.at(client, AtClient::Closed { by })
    }

    /// Every promise is kept.
    #[track_caller]
    pub(crate) fn holds(&self) {
        if let Err(violation) = check(&self.records, SETTINGS) {
            panic!("{violation}\n{}", tell(&self.records));
        }
    }

    /// This promise is the first one found broken.
    #[track_caller]
    pub(crate) fn breaks(&self, promise: &str) {
        match check(&self.records, SETTINGS) {
            Ok(()) => panic!("{promise} holds\n{}", tell(&self.records)),
            Err(violation) => assert_eq!(violation.promise, promise, "{violation}"),
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        check(&self.records, SETTINGS).is_err()
    }

    /// The same history with something else in it.
    pub(crate) fn bent(&self, bend: impl FnOnce(&mut Vec<Record>)) -> Story {
        let mut story = self.clone();
        bend(&mut story.records);
        story
    }

    /// The same history without this record.
    pub(crate) fn without(&self, place: usize) -> Story {
        self.bent(|records| drop(records.remove(place)))
    }

    /// The same history with this record twice.
    pub(crate) fn twice(&self, place: usize) -> Story {
        self.bent(|records| records.insert(place, records[place].clone()))
    }

    /// The same history with two records in each other's place; each keeps its moment.
    pub(crate) fn swapped(&self, one: usize, other: usize) -> Story {
        self.bent(|records| {
            records.swap(one, other);
            let at = records[one].at;
            records[one].at = records[other].at;
            records[other].at = at;
        })
    }
}

fn tell(records: &[Record]) -> String {
    let lines = records.iter().enumerate();
    lines
        .map(|(place, Record { at, what })| format!("{place} {at:?} {what:?}\n"))
        .collect()
}

fn kind_of(txn: &Txn<'_>) -> OpCode {
    match txn {
        Txn::Create(_) => OpCode::Create2,
        Txn::Delete { .. } => OpCode::Delete,
        Txn::SetData { .. } => OpCode::SetData,
        Txn::SetAcl { .. } => OpCode::SetAcl,
        Txn::Check { .. } => OpCode::Check,
        Txn::CreateSession { .. } => OpCode::CreateSession,
        Txn::CloseSession { .. } => OpCode::CloseSession,
        Txn::Error { .. } => OpCode::Error,
        Txn::Multi(_) => OpCode::Multi,
    }
}

pub(crate) fn create<'a>(path: &'a str, data: &'a [u8]) -> Txn<'a> {
    Txn::Create(CreateTxn {
        path: BStr::new(path),
        data: Some(data),
        acl: Acl::open(),
        kind: CreateKind::Persistent,
        parent_cversion: -1,
    })
}

pub(crate) fn set<'a>(path: &'a str, data: &'a [u8], version: i32) -> Txn<'a> {
    Txn::SetData {
        path: BStr::new(path),
        data: Some(data),
        version,
    }
}

pub(crate) fn delete(path: &str) -> Txn<'_> {
    let path = BStr::new(path);
    Txn::Delete { path }
}

pub(crate) fn multi<'a>(txns: Vec<Txn<'a>>) -> Txn<'a> {
    let sub = |txn: Txn<'a>| SubTxn {
        kind: kind_of(&txn).code(),
        txn,
    };
    Txn::Multi(txns.into_iter().map(sub).collect())
}

/// Stat of a znode without children that was created and last set by these transactions.
pub(crate) fn stat(czxid: Zxid, mzxid: Zxid, version: i32, data_length: i32) -> Stat {
    Stat {
        czxid,
        mzxid,
        pzxid: czxid,
        ctime: TIME,
        mtime: TIME,
        version,
        data_length,
        ..Stat::default()
    }
}

pub(crate) fn data(bytes: &[u8], stat: Stat) -> Reply {
    let data = Some(Bytes::copy_from_slice(bytes));
    Reply::Data { data, stat }
}

pub(crate) fn get(path: &str, watch: bool) -> Request {
    let path = BString::from(path);
    Request::GetData { path, watch }
}

pub(crate) fn exists(path: &str, watch: bool) -> Request {
    let path = BString::from(path);
    Request::Exists { path, watch }
}

pub(crate) fn list(path: &str, watch: bool) -> Request {
    let path = BString::from(path);
    Request::GetChildren { path, watch }
}

pub(crate) fn set_data(path: &str, data: &[u8]) -> Request {
    Request::SetData {
        path: BString::from(path),
        data: Some(Bytes::copy_from_slice(data)),
        version: -1,
    }
}

pub(crate) fn create_node(path: &str, data: &[u8], mode: CreateMode) -> Request {
    Request::Create {
        path: BString::from(path),
        data: Some(Bytes::copy_from_slice(data)),
        acl: Acl::open(),
        mode,
    }
}
