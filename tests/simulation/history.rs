//! What happened in one simulated run, in the order in which it happened.
//!
//! Everybody who can see something writes it down here: the clients what they sent and received, the ensemble
//! what it decided and what reached it, the observer when it lost its link and when it had one again, and whoever
//! makes trouble what trouble that was. The world runs on one thread, so the order of the records is the order of
//! events, also of those that happen at one moment.
//!
//! Records are plain data. A checker reads them after the run and needs nothing else; nothing here refers to the
//! system under test.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bstr::BString;
use bytes::Bytes;
use outpost_sim::{Deed, Uncommitted, Witness};
use outpost_wire::proto::{AddWatchMode, CreateMode, EventType, WatcherType};
use outpost_wire::quorum::PacketType;
use outpost_wire::txn::TxnEntry;
use outpost_wire::{Acl, ErrorCode, OpCode, SessionId, Stat, Xid, Zxid};
use tokio::time::Instant;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// Since the start of the run.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// Who saw it, and what it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// A client, at its own end of a connection.
    Client(Conn, AtClient),
    /// A client that has taken its session to another server of the ensemble for a while.
    Elsewhere(SessionId, AtElsewhere),
    /// The ensemble. What is on its way to the observer or from it is not here yet, or not here any more.
    Leader(AtLeader),
    /// The observer.
    Observer(AtObserver),
    /// What was done to the world, for those who read a failed run.
    Fault(String),
}

/// One connection of one client: a number that no other connection of the run has. A session may have several,
/// one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Conn(pub(crate) u32);

/// What a client sees and does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AtClient {
    /// Opened the connection and sent its connect request.
    Connecting {
        /// The session to go on with; [`SessionId::NONE`] for a new one.
        session: SessionId,
        /// The newest zxid it has seen in this session, on any connection.
        last_zxid_seen: Zxid,
        timeout_ms: i32,
    },
    /// The session is its own.
    Connected { session: SessionId, timeout_ms: i32 },
    /// The session it wanted to go on with is gone for good.
    Refused { session: SessionId },
    /// Sent a request.
    Sent { xid: Xid, request: Request },
    /// Received the reply to a request.
    Replied {
        xid: Xid,
        zxid: Zxid,
        error: ErrorCode,
        /// [`Reply::Nothing`] whenever there is an error, but for a multi.
        reply: Reply,
    },
    /// Received a watch event.
    Event {
        kind: EventType,
        path: BString,
        /// Of the transaction that fired it; -1 from servers before 3.9.
        zxid: Zxid,
    },
    /// The connection is over; nothing comes on it any more.
    Closed { by: Closer },
}

/// What a client does at another server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AtElsewhere {
    /// It is there; from now on its session is that server's.
    Came,
    /// It has sent a write there, and the leader has proposed this transaction for it.
    Wrote { xid: Xid, zxid: Zxid },
    /// It leaves, and has seen this much.
    Left { zxid: Zxid },
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closer {
    /// The client, or the network between it and the observer.
    Client,
    /// The observer.
    Server,
}

/// A request, or one operation of a multi.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    /// `Create2`, `CreateContainer` or `CreateTtl`: the answer has a stat.
    Create {
        /// Without the number that the leader appends to a sequential one.
        path: BString,
        data: Option<Bytes>,
        acl: Vec<Acl>,
        mode: CreateMode,
    },
    Delete {
        path: BString,
        version: i32,
    },
    SetData {
        path: BString,
        data: Option<Bytes>,
        version: i32,
    },
    /// Only inside a multi.
    Check {
        path: BString,
        version: i32,
    },
    Multi(Vec<Request>),
    /// Every read may leave a watch that fires once.
    Exists {
        path: BString,
        watch: bool,
    },
    GetData {
        path: BString,
        watch: bool,
    },
    /// `GetChildren2`: the answer has a stat.
    GetChildren {
        path: BString,
        watch: bool,
    },
    Sync {
        path: BString,
    },
    AddWatch {
        path: BString,
        mode: AddWatchMode,
    },
    RemoveWatches {
        path: BString,
        kind: WatcherType,
    },
    /// `SetWatches2`: what the client had watched on its last connection. Always the first request of a
    /// connection that goes on with a session, if there are any.
    SetWatches {
        /// The newest zxid the client had seen then.
        relative_zxid: Zxid,
        data: Vec<BString>,
        exist: Vec<BString>,
        child: Vec<BString>,
        persistent: Vec<BString>,
        recursive: Vec<BString>,
    },
    Ping,
    CloseSession,
}

/// What stands in a reply behind its header.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    Nothing,
    Created {
        path: BString,
        stat: Stat,
    },
    Stat(Stat),
    Data {
        data: Option<Bytes>,
        stat: Stat,
    },
    Children {
        names: Vec<BString>,
        stat: Stat,
    },
    Synced {
        path: BString,
    },
    /// One for each operation. Those of a multi that failed are all errors.
    Multi(Vec<SubReply>),
}

/// What became of one operation of a multi.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SubReply {
    Created { path: BString, stat: Stat },
    Deleted,
    Stat(Stat),
    Checked,
    Error(ErrorCode),
}

/// What happens at the ensemble.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AtLeader {
    /// A leader takes office. Its first transaction has this epoch.
    Elected { epoch: u32 },
    /// The leader is gone, and with it every connection to it.
    Fallen {
        /// Whether proposals that were not committed yet are lost for good; otherwise the next leader commits
        /// them.
        uncommitted_lost: bool,
    },
    /// A transaction is part of history for good. They come in the order of their zxids.
    Committed(Transaction),
    /// A session's time is over. The transaction that closes it comes later.
    Expired { session: SessionId },
    /// The observer has connected and said what it has.
    Presented { link: Link, last_zxid: Zxid },
    /// What it lacks is on its way, and with it the word that it is up to date after that.
    Synchronizing {
        link: Link,
        by: SyncKind,
        zxid: Zxid,
    },
    /// A packet of the observer has arrived.
    Received { link: Link, packet: Received },
    /// The observer has sent what would hurt a real ensemble, or what is no packet at all.
    Harmed { link: Link, how: String },
    /// The connection has ended at this side.
    Gone { link: Link },
}

/// One connection of the observer to the ensemble, by number; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Link(pub(crate) u64);

/// How the observer is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncKind {
    Diff,
    Trunc,
    Snap,
}

/// A packet of the observer that the leader looks into while it follows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Received {
    Request {
        session: SessionId,
        cxid: Xid,
        /// By number: it may be one that nobody knows.
        op: i32,
    },
    Revalidate {
        session: SessionId,
        timeout_ms: i32,
        /// What the leader answers.
        valid: bool,
    },
    /// The sessions that have shown themselves since the last PING; in ascending order. From now on each lives at
    /// least for another timeout of its own, in ms.
    Ping { touched: Vec<(SessionId, i32)> },
}

/// A committed transaction: header, record and, where there is one, digest.
#[derive(Clone, PartialEq)]
pub(crate) struct Transaction {
    pub(crate) zxid: Zxid,
    pub(crate) session: SessionId,
    pub(crate) cxid: Xid,
    pub(crate) kind: Option<OpCode>,
    pub(crate) bytes: Bytes,
}

impl Transaction {
    fn new(bytes: Bytes) -> Transaction {
        let header = match TxnEntry::decode(&bytes) {
            Ok(entry) => entry.header,
            Err(error) => panic!("the simulated leader has written no transaction: {error}"),
        };
        Transaction {
            zxid: header.zxid,
            session: header.session,
            cxid: header.cxid,
            kind: OpCode::from_code(header.kind),
            bytes,
        }
    }

    /// Whole, to be replayed.
    pub(crate) fn entry(&self) -> TxnEntry<'_> {
        match TxnEntry::decode(&self.bytes) {
            Ok(entry) => entry,
            Err(error) => panic!("the simulated leader has written no transaction: {error}"),
        }
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TxnEntry { header, txn, .. } = self.entry();
        write!(
            f,
            "{} by {} cxid {}: {txn:?}",
            header.zxid, header.session, header.cxid.0
        )
    }
}

/// What happens at the observer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AtObserver {
    /// The link is lost; the reason as the log has it.
    Lost { reason: String },
    /// The mirror has caught up; clients are served, or served on.
    Attached {
        /// The newest transaction of the mirror.
        zxid: Zxid,
    },
    /// A snapshot has taken the place of the mirror's tree while clients were held. Where it is not recorded,
    /// that counts as done with the next [`AtObserver::Attached`].
    TookOver {
        /// The newest transaction of the tree that went.
        from: Zxid,
        /// That of the tree that came.
        to: Zxid,
    },
    /// Clients are not served any more and their connections are closed.
    GaveUp { reason: String },
    /// Somebody has looked into the mirror.
    Seen(Sight),
    /// Somebody has looked at a queue or a table that a peer can fill.
    Gauge {
        name: String,
        /// How much it holds.
        value: u64,
        /// How much it may hold.
        bound: u64,
        /// What it may hold when every connection is closed and nothing is on its way.
        at_rest: u64,
    },
}

/// The mirror at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sight {
    /// The newest transaction it has applied.
    pub(crate) zxid: Zxid,
    /// Every znode but `/zookeeper` and those below it, in ascending order of their paths.
    pub(crate) znodes: Vec<Znode>,
    /// Every global session with its timeout in ms, in ascending order.
    pub(crate) sessions: Vec<(SessionId, i32)>,
}

/// A znode as the mirror has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Znode {
    pub(crate) path: BString,
    pub(crate) data: Option<Bytes>,
    pub(crate) acl: Vec<Acl>,
    pub(crate) stat: Stat,
}

/// Writes the history. All clones write the same one.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    began: Instant,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Recorder {
    /// An empty history that begins now.
    pub(crate) fn new() -> Recorder {
        Recorder {
            began: Instant::now(),
            records: Arc::default(),
        }
    }

    /// Writes down what happens at this moment.
    pub(crate) fn note(&self, what: What) {
        let at = self.began.elapsed();
        self.with(|records| records.push(Record { at, what }));
    }

    /// Whoever writes down what the ensemble does.
    pub(crate) fn witness(&self) -> Witness {
        let recorder = self.clone();
        Witness::new(move |deed| {
            if let Deed::Synchronizes {
                learner, presented, ..
            } = deed
            {
                recorder.note(What::Leader(AtLeader::Presented {
                    link: Link(learner.0),
                    last_zxid: presented,
                }));
            }
            recorder.note(What::Leader(deed.into()));
        })
    }

    /// The history as far as it has come; what is recorded from now on is a new one.
    pub(crate) fn take(&self) -> Vec<Record> {
        self.with(std::mem::take)
    }

    fn with<R>(&self, act: impl FnOnce(&mut Vec<Record>) -> R) -> R {
        act(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<Deed> for AtLeader {
    fn from(deed: Deed) -> AtLeader {
        match deed {
            Deed::TookOffice { epoch } => AtLeader::Elected { epoch },
            Deed::LeftOffice { uncommitted } => AtLeader::Fallen {
                uncommitted_lost: uncommitted == Uncommitted::Lost,
            },
            Deed::Committed { bytes, .. } => AtLeader::Committed(Transaction::new(bytes)),
            Deed::Expired(session) => AtLeader::Expired { session },
            Deed::Synchronizes {
                learner, by, zxid, ..
            } => AtLeader::Synchronizing {
                link: Link(learner.0),
                by: match by {
                    PacketType::Diff => SyncKind::Diff,
                    PacketType::Trunc => SyncKind::Trunc,
                    _ => SyncKind::Snap,
                },
                zxid,
            },
            Deed::Requested {
                learner,
                session,
                cxid,
                op,
            } => AtLeader::Received {
                link: Link(learner.0),
                packet: Received::Request { session, cxid, op },
            },
            Deed::Revalidated {
                learner,
                session,
                timeout_ms,
                valid,
            } => AtLeader::Received {
                link: Link(learner.0),
                packet: Received::Revalidate {
                    session,
                    timeout_ms,
                    valid,
                },
            },
            Deed::Touched {
                learner,
                sessions: mut touched,
            } => {
                // The observer's order is that of a hash table, and means nothing.
                touched.sort_unstable();
                AtLeader::Received {
                    link: Link(learner.0),
                    packet: Received::Ping { touched },
                }
            }
            Deed::Harmed { learner, how } => AtLeader::Harmed {
                link: Link(learner.0),
                how,
            },
            Deed::Parted(learner) => AtLeader::Gone {
                link: Link(learner.0),
            },
        }
    }
}
