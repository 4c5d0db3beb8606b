//! What an ensemble has committed, read from its voters' transaction logs: the history that every client's
//! own is held against.
//!
//! Committed is what a majority has logged. The rest may stay in the log of a voter that once led: when it comes
//! back with a snapshot of another epoch, ZooKeeper does not cut its log. Only logs are read, no snapshots: they must
//! reach back to the first transaction, as those of a fresh ensemble do.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bstr::{BStr, ByteSlice};
use outpost_wire::files::LogReader;
use outpost_wire::proto::EventType;
use outpost_wire::txn::{CreateKind, Txn, TxnEntry};
use outpost_wire::{ErrorCode, SessionId, Xid, Zxid};

use crate::Ensemble;

/// Longest transaction that a log of these tests may hold, in bytes.
const TXN_BYTES_MAX: usize = 4 << 20;

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Its place in history.
    pub zxid: Zxid,
    /// OK, or why the leader refused it.
    pub err: ErrorCode,
}

/// A znode as it was from one transaction to the next that touched it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Transaction that created it.
    pub czxid: Zxid,
    /// Transaction that last set its data.
    pub mzxid: Zxid,
    /// Transaction that last created or deleted a child.
    pub pzxid: Zxid,
    /// How often the data was set.
    pub version: i32,
}

/// Something that watches tell of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub zxid: Zxid,
    /// What.
    pub kind: EventType,
    /// Where.
    pub path: String,
}

/// The committed history of an ensemble.
#[derive(Debug, Default)]
pub struct Committed {
    last: Zxid,
    requests: HashMap<(SessionId, Xid), Vec<Verdict>>,
    /// By path: the znode from each zxid on; `None` while it is not there.
    states: HashMap<String, Vec<(Zxid, Option<State>)>>,
    /// By path: what watches of it are told, in order.
    changes: HashMap<String, Vec<Change>>,
    /// What recursive watches are told, of all paths in order.
    all: Vec<Change>,
    /// When a session was closed or expired.
    closed: HashMap<SessionId, Zxid>,
    ephemerals: HashMap<SessionId, Vec<String>>,
}

impl Committed {
    /// Reads the logs of all voters.
    ///
    /// # Panics
    /// When a log cannot be read, or two voters hold different transactions of one zxid.
    pub fn of(ensemble: &Ensemble) -> Self {
        let mut txns: BTreeMap<Zxid, (Vec<u8>, usize)> = BTreeMap::new();
        for server in ensemble.servers() {
            // One server may have logged a transaction again that it was sent again.
            let logs = server.log_files();
            let of_server: BTreeMap<Zxid, Vec<u8>> =
                logs.iter().flat_map(|path| read_log(path)).collect();
            for (zxid, txn) in of_server {
                let (known, logged) = txns.entry(zxid).or_insert_with(|| (txn.clone(), 0));
                assert!(
                    is_same(known, &txn),
                    "two transactions bear the zxid {zxid}"
                );
                *logged += 1;
            }
        }
        let majority = ensemble.servers().len() / 2 + 1;
        let mut committed = Self::default();
        for (bytes, _) in txns.values().filter(|(_, logged)| *logged >= majority) {
            let entry = TxnEntry::decode(bytes);
            let entry = entry.unwrap_or_else(|error| panic!("a transaction in a log: {error}"));
            committed.apply(&entry);
        }
        committed
    }

    /// The last transaction.
    pub fn last(&self) -> Zxid {
        self.last
    }

    /// How many requests of clients were decided on.
    pub fn len(&self) -> usize {
        self.requests.values().map(Vec::len).sum()
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// What became of a request: more than one verdict means that it was sent more than once.
    pub fn verdicts(&self, session: SessionId, xid: Xid) -> &[Verdict] {
        self.requests
            .get(&(session, xid))
            .map_or(&[], Vec::as_slice)
    }

    /// The znode as of `zxid`, `None` when it was not there.
    pub fn state(&self, path: &str, zxid: Zxid) -> Option<State> {
        let states = self.states.get(path)?;
        let until = states.partition_point(|(from, _)| *from <= zxid);
        states[..until].last().and_then(|(_, state)| *state)
    }

    /// What watches of this path are told of what comes after `zxid`.
    pub fn changes_after(&self, path: &str, zxid: Zxid) -> &[Change] {
        let changes = self.changes.get(path).map_or(&[][..], Vec::as_slice);
        &changes[changes.partition_point(|change| change.zxid <= zxid)..]
    }

    /// What a recursive watch of `root` is told of what comes after `zxid`.
    pub fn changes_below(&self, root: &str, zxid: Zxid) -> impl Iterator<Item = &Change> {
        let from = self.all.partition_point(|change| change.zxid <= zxid);
        self.all[from..]
            .iter()
            .filter(move |change| is_at_or_below(&change.path, root))
    }

    /// The transaction that closed or expired this session, if it came to that.
    pub fn closed(&self, session: SessionId) -> Option<Zxid> {
        self.closed.get(&session).copied()
    }

    /// Takes the next transaction into account.
    pub fn apply(&mut self, entry: &TxnEntry<'_>) {
        let header = &entry.header;
        self.last = header.zxid;
        // 0: asked for by the leader, or by a server for its client.
        if header.cxid.0 > 0 {
            let err = match &entry.txn {
                Txn::Error { error } => *error,
                Txn::Multi(ops) => error_of(ops.iter().map(|op| &op.txn)),
                _ => ErrorCode::OK,
            };
            let zxid = header.zxid;
            let verdicts = self.requests.entry((header.session, header.cxid));
            verdicts.or_default().push(Verdict { zxid, err });
        }
        match &entry.txn {
            Txn::Multi(ops) if error_of(ops.iter().map(|op| &op.txn)).is_ok() => {
                for op in ops {
                    self.change(header.zxid, header.session, &op.txn);
                }
            }
            Txn::Multi(_) => {}
            txn => self.change(header.zxid, header.session, txn),
        }
    }

    fn change(&mut self, zxid: Zxid, session: SessionId, txn: &Txn<'_>) {
        match txn {
            Txn::Create(create) => {
                self.create(zxid, &text(create.path));
                if create.kind == CreateKind::Ephemeral {
                    let of_session = self.ephemerals.entry(session).or_default();
                    of_session.push(text(create.path));
                }
            }
            Txn::Delete { path } => self.delete(zxid, &text(path)),
            Txn::SetData { path, version, .. } => self.set_data(zxid, &text(path), *version),
            Txn::CloseSession { paths } => self.close(zxid, session, paths.as_deref()),
            Txn::SetAcl { .. }
            | Txn::Check { .. }
            | Txn::CreateSession { .. }
            | Txn::Error { .. }
            | Txn::Multi(_) => {}
        }
    }

    fn create(&mut self, zxid: Zxid, path: &str) {
        let state = State {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            version: 0,
        };
        self.become_(zxid, path, Some(state));
        self.tell(zxid, EventType::NodeCreated, path);
        self.children_of_parent(zxid, path);
    }

    fn delete(&mut self, zxid: Zxid, path: &str) {
        // A session's end names ephemerals that may have been deleted before it.
        if self.state(path, zxid).is_none() {
            return;
        }
        self.become_(zxid, path, None);
        self.tell(zxid, EventType::NodeDeleted, path);
        self.children_of_parent(zxid, path);
    }

    fn set_data(&mut self, zxid: Zxid, path: &str, version: i32) {
        if let Some(state) = self.state(path, zxid) {
            let state = State {
                mzxid: zxid,
                version,
                ..state
            };
            self.become_(zxid, path, Some(state));
        }
        self.tell(zxid, EventType::NodeDataChanged, path);
    }

    fn close(&mut self, zxid: Zxid, session: SessionId, paths: Option<&[&BStr]>) {
        self.closed.insert(session, zxid);
        let known = self.ephemerals.remove(&session).unwrap_or_default();
        let paths = match paths {
            Some(paths) => paths.iter().map(|path| text(path)).collect(),
            None => known,
        };
        for path in paths {
            self.delete(zxid, &path);
        }
    }

    fn children_of_parent(&mut self, zxid: Zxid, path: &str) {
        let parent = match path.rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((parent, _)) => parent,
        };
        if let Some(state) = self.state(parent, zxid) {
            let state = State {
                pzxid: zxid,
                ..state
            };
            self.become_(zxid, parent, Some(state));
        }
        self.tell(zxid, EventType::NodeChildrenChanged, parent);
    }

    fn become_(&mut self, zxid: Zxid, path: &str, state: Option<State>) {
        let states = self.states.entry(path.to_owned()).or_default();
        states.push((zxid, state));
    }

    fn tell(&mut self, zxid: Zxid, kind: EventType, path: &str) {
        let change = Change {
            zxid,
            kind,
            path: path.to_owned(),
        };
        // Recursive watches see the children themselves.
        if kind != EventType::NodeChildrenChanged {
            self.all.push(change.clone());
        }
        let changes = self.changes.entry(path.to_owned()).or_default();
        changes.push(change);
    }
}

fn is_at_or_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || root == "/")
}

fn text(path: &BStr) -> String {
    path.to_str_lossy().into_owned()
}

/// The first error that is one: those behind it only say that they were not tried.
fn error_of<'a>(mut txns: impl Iterator<Item = &'a Txn<'a>>) -> ErrorCode {
    let error = txns.find_map(|txn| match txn {
        Txn::Error { error } if !error.is_ok() => Some(*error),
        _ => None,
    });
    error.unwrap_or(ErrorCode::OK)
}

/// Whether two logs hold the same transaction. One may have it without its digest, and the operations of a
/// multi that failed may be marked as failed or not.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one == other
        || match (TxnEntry::decode(one), TxnEntry::decode(other)) {
            (Ok(one), Ok(other)) => one.header == other.header,
            _ => false,
        }
}

fn read_log(path: &Path) -> Vec<(Zxid, Vec<u8>)> {
    let file = std::fs::read(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    // A server that was killed before its first transaction leaves an empty file.
    if file.is_empty() {
        return Vec::new();
    }
    let reader = LogReader::new(&file, TXN_BYTES_MAX);
    let reader = reader.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    reader
        .map(|entry| {
            let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let decoded = TxnEntry::decode(entry.txn);
            let decoded = decoded.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (decoded.header.zxid, entry.txn.to_vec())
        })
        .collect()
}
