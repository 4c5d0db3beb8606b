//! What the ensemble has committed, as a plain tree that remembers all of its past.
//!
//! Written from the protocol's description and not from the mirror's code, so that the two can disagree. It is
//! slow where the mirror is fast and obvious where the mirror is clever: each znode is a list of versions, and a
//! question names the zxid it is asked of.
//!
//! Two things are out of its reach because every server decides them on its own: the text and times of
//! `/zookeeper/config`, and the data of the znodes that count a quota's usage.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use outpost_wire::proto::EventType;
use outpost_wire::txn::{CreateKind, CreateTxn, SubTxn, Txn, TxnEntry, TxnHeader};
use outpost_wire::{Acl, ErrorCode, Id, Perms, SessionId, Stat, StatPersisted, Zxid};

/// Mark of a container in a znode's owner.
const CONTAINER: i64 = i64::MIN;
/// Top byte of the owner of a znode with a time to live.
const TTL_MARK: i64 = 0xff;

/// A znode as it was between two transactions.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) data: Option<Arc<[u8]>>,
    pub(crate) acl: Arc<[Acl]>,
    pub(crate) stat: StatPersisted,
    pub(crate) children: Arc<BTreeSet<BString>>,
}

impl Node {
    /// The metadata that clients are shown.
    pub(crate) fn shown(&self) -> Stat {
        let stat = &self.stat;
        let count = self.children.len() as i32;
        let marked =
            stat.ephemeral_owner == CONTAINER || (stat.ephemeral_owner >> 56) & 0xff == TTL_MARK;
        Stat {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            version: stat.version,
            cversion: stat.cversion.wrapping_mul(2).wrapping_sub(count),
            aversion: stat.aversion,
            ephemeral_owner: if marked { 0 } else { stat.ephemeral_owner },
            data_length: self.data.as_ref().map_or(0, |data| data.len() as i32),
            num_children: count,
            pzxid: stat.pzxid,
        }
    }
}

/// A znode from one zxid on, until its next version; `None` where there is none.
#[derive(Debug)]
struct Version {
    zxid: Zxid,
    node: Option<Node>,
}

/// Which of ZooKeeper's two tables of watches a change looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Data and existence; recursive watches above see it too.
    Data,
    /// The list of children.
    Child,
    /// The znode went: both tables, and whoever stands in both is told once. Recursive watches above see it too.
    Both,
}

/// One change as watches see it.
#[derive(Debug, Clone)]
pub(crate) struct Trigger {
    pub(crate) tables: Tables,
    pub(crate) kind: EventType,
    pub(crate) path: BString,
    /// Who may not read this is not told.
    pub(crate) acl: Arc<[Acl]>,
}

/// What became of a transaction, as the reply to its request has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Failed(ErrorCode),
    Created { path: BString, stat: Stat },
    Deleted,
    DataSet(Stat),
    AclSet(Stat),
    Checked,
    SessionCreated { timeout_ms: i32 },
    SessionClosed,
    Multi(Vec<SubOutcome>),
}

/// What became of one operation of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubOutcome {
    /// Its type, by number; that of an error if the multi failed.
    pub(crate) kind: i32,
    pub(crate) outcome: Outcome,
}

/// One committed transaction and what it did.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) header: TxnHeader,
    pub(crate) outcome: Outcome,
    /// In the order in which they fire.
    pub(crate) triggers: Vec<Trigger>,
    /// Where in the recorded history it was committed.
    pub(crate) record: usize,
    /// Its header, record and digest.
    pub(crate) bytes: bytes::Bytes,
}

/// The tree after every committed transaction.
#[derive(Debug)]
pub(crate) struct Model {
    nodes: HashMap<BString, Vec<Version>>,
    /// Sessions with their timeouts: who was there from which zxid on, and who was not.
    sessions: HashMap<SessionId, Vec<(Zxid, Option<i32>)>>,
    /// The ephemeral znodes that every session has now.
    ephemerals: HashMap<SessionId, BTreeSet<BString>>,
    steps: Vec<Step>,
}

/// The root's only name here.
pub(crate) fn root() -> BString {
    BString::from("/")
}

/// The path of the parent; the root is its own.
pub(crate) fn parent(path: &BStr) -> BString {
    match path.rfind_byte(b'/') {
        Some(slash) if slash > 0 => BString::from(&path[..slash]),
        _ => root(),
    }
}

fn name(path: &BStr) -> BString {
    let slash = path.rfind_byte(b'/').map_or(0, |slash| slash + 1);
    BString::from(&path[slash..])
}

/// Whether `path` lies below `top`.
pub(crate) fn is_below(path: &BStr, top: &BStr) -> bool {
    match path.strip_prefix(top.as_bytes()) {
        Some(rest) => !rest.is_empty() && (top == "/" || rest.starts_with(b"/")),
        None => false,
    }
}

impl Model {
    /// What every ensemble starts with.
    pub(crate) fn new() -> Model {
        let mut model = Model {
            nodes: HashMap::new(),
            sessions: HashMap::new(),
            ephemerals: HashMap::new(),
            steps: Vec::new(),
        };
        let open: Arc<[Acl]> = Acl::open().into();
        let mut plant = |path: &str, children: &[&str]| {
            let node = Node {
                data: Some(Arc::from(&b""[..])),
                acl: Arc::clone(&open),
                stat: StatPersisted::default(),
                children: Arc::new(children.iter().map(|&name| BString::from(name)).collect()),
            };
            model.put(&BString::from(path), Zxid::ZERO, Some(node));
        };
        plant("/", &["zookeeper"]);
        plant("/zookeeper", &["config", "quota"]);
        plant("/zookeeper/quota", &[]);
        plant("/zookeeper/config", &[]);
        model
    }

    /// Adds the next committed transaction, which stands in the recorded history at `record`.
    ///
    /// # Errors
    /// When it does not follow or cannot be applied: then the ensemble itself contradicts itself.
    pub(crate) fn commit(&mut self, record: usize, bytes: &bytes::Bytes) -> Result<(), String> {
        let entry = TxnEntry::decode(bytes).map_err(|error| error.to_string())?;
        let last = self.last_zxid();
        if !entry.header.zxid.follows(last) {
            return Err(format!("{} does not follow {last}", entry.header.zxid));
        }
        let mut applying = Applying {
            model: self,
            header: entry.header,
            triggers: Vec::new(),
        };
        let outcome = applying.txn(&entry.txn)?;
        let triggers = applying.triggers;
        self.steps.push(Step {
            header: entry.header,
            outcome,
            triggers,
            record,
            bytes: bytes.clone(),
        });
        Ok(())
    }

    /// Everything that was committed, oldest first.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What was committed after `from` and not after `to`.
    pub(crate) fn steps_between(&self, from: Zxid, to: Zxid) -> &[Step] {
        let place = |zxid| self.steps.partition_point(|step| step.header.zxid <= zxid);
        let (from, to) = (place(from), place(to));
        &self.steps[from.min(to)..to]
    }

    /// The transaction with this zxid.
    pub(crate) fn step(&self, zxid: Zxid) -> Option<&Step> {
        let found = self
            .steps
            .binary_search_by_key(&zxid, |step| step.header.zxid);
        found.ok().map(|place| &self.steps[place])
    }

    /// The newest transaction; zero before there is one.
    pub(crate) fn last_zxid(&self) -> Zxid {
        self.steps.last().map_or(Zxid::ZERO, |s| s.header.zxid)
    }

    /// The znode as it was after `zxid`. The root is found by both of its names.
    pub(crate) fn node(&self, path: &BStr, zxid: Zxid) -> Option<&Node> {
        let path = if path.is_empty() {
            BStr::new("/")
        } else {
            path
        };
        let versions = self.nodes.get(path)?;
        let newer = versions.partition_point(|version| version.zxid <= zxid);
        versions.get(newer.checked_sub(1)?)?.node.as_ref()
    }

    /// Every path that ever was, in no order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &BString> {
        self.nodes.keys()
    }

    /// Every session that there was after `zxid`, with its timeout, in ascending order.
    pub(crate) fn sessions(&self, zxid: Zxid) -> Vec<(SessionId, i32)> {
        let mut sessions: Vec<(SessionId, i32)> = self
            .sessions
            .keys()
            .filter_map(|&session| Some((session, self.session(session, zxid)?)))
            .collect();
        sessions.sort_unstable();
        sessions
    }

    /// The timeout of a session as it was after `zxid`; `None` if there was no such session.
    pub(crate) fn session(&self, session: SessionId, zxid: Zxid) -> Option<i32> {
        let versions = self.sessions.get(&session)?;
        let newer = versions.partition_point(|(since, _)| *since <= zxid);
        versions.get(newer.checked_sub(1)?)?.1
    }

    /// A change of the tree with this zxid; a second one of the same transaction takes the first one's place.
    fn put(&mut self, path: &BString, zxid: Zxid, node: Option<Node>) {
        let versions = self.nodes.entry(path.clone()).or_default();
        match versions.last_mut() {
            Some(last) if last.zxid == zxid => last.node = node,
            _ => versions.push(Version { zxid, node }),
        }
    }

    fn newest(&self, path: &BStr) -> Option<&Node> {
        self.node(path, Zxid(i64::MAX))
    }
}

/// One transaction on its way into the model.
struct Applying<'m> {
    model: &'m mut Model,
    header: TxnHeader,
    triggers: Vec<Trigger>,
}

impl Applying<'_> {
    fn txn(&mut self, txn: &Txn<'_>) -> Result<Outcome, String> {
        match txn {
            Txn::Create(create) => self.create(create),
            Txn::Delete { path } => self.delete(path),
            Txn::SetData {
                path,
                data,
                version,
            } => self.set_data(path, *data, *version),
            Txn::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            Txn::Check { .. } => Ok(Outcome::Checked),
            Txn::CreateSession { timeout_ms } => Ok(self.create_session(*timeout_ms)),
            Txn::CloseSession { paths } => self.close_session(paths.as_deref()),
            Txn::Error { error } => Ok(Outcome::Failed(*error)),
            Txn::Multi(txns) => self.multi(txns),
        }
    }

    fn create(&mut self, txn: &CreateTxn<'_>) -> Result<Outcome, String> {
        let TxnHeader {
            session,
            zxid,
            time,
            ..
        } = self.header;
        let path = txn.path.to_owned();
        if self.model.newest(txn.path).is_some() {
            return Err(format!("{path} is created, and is there"));
        }
        let above = parent(txn.path);
        let mut holder = self.holder(&above)?;
        let count = match txn.parent_cversion {
            -1 => holder.stat.cversion.wrapping_add(1),
            told => told,
        };
        if count > holder.stat.cversion {
            holder.stat.cversion = count;
            holder.stat.pzxid = zxid;
        }
        Arc::make_mut(&mut holder.children).insert(name(txn.path));
        let ephemeral_owner = match txn.kind {
            CreateKind::Persistent => 0,
            CreateKind::Ephemeral => session.0,
            CreateKind::Container => CONTAINER,
            CreateKind::Ttl(ttl_ms) => TTL_MARK << 56 | ttl_ms,
        };
        let node = Node {
            data: txn.data.map(Arc::from),
            acl: txn.acl.clone().into(),
            stat: StatPersisted {
                czxid: zxid,
                mzxid: zxid,
                pzxid: zxid,
                ctime: time,
                mtime: time,
                ephemeral_owner,
                ..StatPersisted::default()
            },
            children: Arc::default(),
        };
        if txn.kind == CreateKind::Ephemeral {
            let own = self.model.ephemerals.entry(session).or_default();
            own.insert(path.clone());
        }
        self.trigger(Tables::Data, EventType::NodeCreated, &path, &node.acl);
        self.trigger(
            Tables::Child,
            EventType::NodeChildrenChanged,
            &above,
            &holder.acl,
        );
        let stat = node.shown();
        self.model.put(&path, zxid, Some(node));
        self.model.put(&above, zxid, Some(holder));
        Ok(Outcome::Created { path, stat })
    }

    fn delete(&mut self, path: &BStr) -> Result<Outcome, String> {
        let zxid = self.header.zxid;
        let Some(node) = self.model.newest(path).cloned() else {
            return Err(format!("{path} is deleted, and is not there"));
        };
        if !node.children.is_empty() {
            return Err(format!("{path} is deleted, and has children"));
        }
        let above = parent(path);
        let mut holder = self.holder(&above)?;
        holder.stat.pzxid = holder.stat.pzxid.max(zxid);
        Arc::make_mut(&mut holder.children).remove(&name(path));
        let owner = SessionId(node.stat.ephemeral_owner);
        if let Some(own) = self.model.ephemerals.get_mut(&owner) {
            own.remove(path);
        }
        let path = path.to_owned();
        self.trigger(Tables::Both, EventType::NodeDeleted, &path, &node.acl);
        self.trigger(
            Tables::Child,
            EventType::NodeChildrenChanged,
            &above,
            &holder.acl,
        );
        self.model.put(&path, zxid, None);
        self.model.put(&above, zxid, Some(holder));
        Ok(Outcome::Deleted)
    }

    fn set_data(
        &mut self,
        path: &BStr,
        data: Option<&[u8]>,
        version: i32,
    ) -> Result<Outcome, String> {
        let TxnHeader { zxid, time, .. } = self.header;
        let path = path.to_owned();
        let mut node = self.holder(&path)?;
        node.data = data.map(Arc::from);
        node.stat.version = version;
        node.stat.mzxid = zxid;
        node.stat.mtime = time;
        self.trigger(Tables::Data, EventType::NodeDataChanged, &path, &node.acl);
        let stat = node.shown();
        self.model.put(&path, zxid, Some(node));
        Ok(Outcome::DataSet(stat))
    }

    fn set_acl(&mut self, path: &BStr, acl: &[Acl], version: i32) -> Result<Outcome, String> {
        let path = path.to_owned();
        let mut node = self.holder(&path)?;
        node.acl = acl.into();
        node.stat.aversion = version;
        let stat = node.shown();
        self.model.put(&path, self.header.zxid, Some(node));
        Ok(Outcome::AclSet(stat))
    }

    fn create_session(&mut self, timeout_ms: i32) -> Outcome {
        let TxnHeader { session, zxid, .. } = self.header;
        let versions = self.model.sessions.entry(session).or_default();
        versions.push((zxid, Some(timeout_ms)));
        Outcome::SessionCreated { timeout_ms }
    }

    /// The leader's list goes in its order; what it leaves out goes too.
    fn close_session(&mut self, paths: Option<&[&BStr]>) -> Result<Outcome, String> {
        let TxnHeader { session, zxid, .. } = self.header;
        for path in paths.unwrap_or_default() {
            self.delete(path)?;
        }
        let rest = self.model.ephemerals.remove(&session).unwrap_or_default();
        if paths.is_some() && !rest.is_empty() {
            return Err(format!("{session} is closed, and {rest:?} are not listed"));
        }
        for path in rest {
            self.delete(path.as_bstr())?;
        }
        let versions = self.model.sessions.entry(session).or_default();
        versions.push((zxid, None));
        Ok(Outcome::SessionClosed)
    }

    fn multi(&mut self, txns: &[SubTxn<'_>]) -> Result<Outcome, String> {
        let failing = txns
            .iter()
            .position(|sub| matches!(sub.txn, Txn::Error { .. }));
        let mut outcomes = Vec::with_capacity(txns.len());
        for (place, sub) in txns.iter().enumerate() {
            let (kind, outcome) = match (failing, &sub.txn) {
                (None, txn) => (sub.kind, self.txn(txn)?),
                (Some(_), Txn::Error { error }) => (-1, Outcome::Failed(*error)),
                (Some(failing), _) if place < failing => (-1, Outcome::Failed(ErrorCode::OK)),
                (Some(_), _) => (-1, Outcome::Failed(ErrorCode::RUNTIME_INCONSISTENCY)),
            };
            outcomes.push(SubOutcome { kind, outcome });
        }
        Ok(Outcome::Multi(outcomes))
    }

    fn holder(&self, path: &BString) -> Result<Node, String> {
        let node = self.model.newest(path.as_bstr()).cloned();
        node.ok_or_else(|| format!("{path} is changed, and is not there"))
    }

    fn trigger(&mut self, tables: Tables, kind: EventType, path: &BString, acl: &Arc<[Acl]>) {
        self.triggers.push(Trigger {
            tables,
            kind,
            path: path.clone(),
            acl: Arc::clone(acl),
        });
    }
}

/// Whether the data of this znode is each server's own affair.
pub(crate) fn is_kept_by_each_server(path: &BStr) -> bool {
    path == "/zookeeper/config" || path.ends_with(b"/zookeeper_stats")
}

/// Whether everybody may read under this ACL: `None` where it depends on who asks.
pub(crate) fn everybody_reads(acl: &[Acl]) -> Option<bool> {
    let mut readers = acl
        .iter()
        .filter(|entry| entry.perms.intersects(Perms::READ));
    if acl.is_empty() || readers.clone().any(|entry| entry.id == Id::anyone()) {
        Some(true)
    } else if readers.next().is_none() {
        Some(false)
    } else {
        None
    }
}
