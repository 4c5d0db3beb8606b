//! A tree with watches whose life is written down as text.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)] // Each test file uses a part of this.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bstr::{BStr, ByteSlice};
use outpost_mirror::{
    Applied, DigestCheck, Tree, TreeBuilder, TreeOptions, TxnResult, WatchEvent, WatcherId, Watches,
};
use outpost_wire::txn::{CreateKind, CreateTxn, SubTxn, Txn, TxnEntry, TxnHeader};
use outpost_wire::{Acl, ErrorCode, Id, OpCode, Perms, SessionId, Stat, Xid, Zxid};

/// Leader's clock at zxid 0; every transaction is one second later than the one before.
pub const TIME: i64 = 1_700_000_000_000;
/// The session that asks unless told otherwise.
pub const SESSION: i64 = 0x5e5;

/// One transaction before it gets its zxid.
#[derive(Clone, Debug)]
pub struct Step {
    pub session: i64,
    pub kind: i32,
    pub txn: Txn<'static>,
}

impl Step {
    pub fn by(self, session: i64) -> Step {
        Step { session, ..self }
    }

    pub fn entry(&self, zxid: i64) -> TxnEntry<'static> {
        let header = TxnHeader {
            session: SessionId(self.session),
            cxid: Xid(1),
            zxid: Zxid(zxid),
            time: TIME + 1000 * zxid,
            kind: self.kind,
        };
        TxnEntry {
            header,
            txn: self.txn.clone(),
            digest: None,
        }
    }
}

fn step(kind: OpCode, txn: Txn<'static>) -> Step {
    Step {
        session: SESSION,
        kind: kind.code(),
        txn,
    }
}

fn path(path: &'static str) -> &'static BStr {
    BStr::new(path)
}

pub fn create_with(
    kind: OpCode,
    at: &'static str,
    data: Option<&'static str>,
    acl: Vec<Acl>,
    create_kind: CreateKind,
    parent_cversion: i32,
) -> Step {
    let data = data.map(str::as_bytes);
    let create = CreateTxn {
        path: path(at),
        data,
        acl,
        kind: create_kind,
        parent_cversion,
    };
    step(kind, Txn::Create(create))
}

pub fn create(at: &'static str, data: &'static str) -> Step {
    create_with(
        OpCode::Create,
        at,
        Some(data),
        Acl::open(),
        CreateKind::Persistent,
        -1,
    )
}

pub fn create_acl(at: &'static str, acl: Vec<Acl>) -> Step {
    create_with(
        OpCode::Create,
        at,
        Some(""),
        acl,
        CreateKind::Persistent,
        -1,
    )
}

pub fn ephemeral(at: &'static str, session: i64) -> Step {
    create_with(
        OpCode::Create2,
        at,
        Some(""),
        Acl::open(),
        CreateKind::Ephemeral,
        -1,
    )
    .by(session)
}

pub fn delete(at: &'static str) -> Step {
    step(OpCode::Delete, Txn::Delete { path: path(at) })
}

pub fn set_data(at: &'static str, data: &'static str, version: i32) -> Step {
    let data = Some(data.as_bytes());
    step(
        OpCode::SetData,
        Txn::SetData {
            path: path(at),
            data,
            version,
        },
    )
}

pub fn set_null(at: &'static str, version: i32) -> Step {
    step(
        OpCode::SetData,
        Txn::SetData {
            path: path(at),
            data: None,
            version,
        },
    )
}

pub fn set_acl(at: &'static str, acl: Vec<Acl>, version: i32) -> Step {
    step(
        OpCode::SetAcl,
        Txn::SetAcl {
            path: path(at),
            acl,
            version,
        },
    )
}

pub fn check_version(at: &'static str, version: i32) -> Step {
    step(
        OpCode::Check,
        Txn::Check {
            path: path(at),
            version,
        },
    )
}

pub fn error(error: ErrorCode) -> Step {
    step(OpCode::Error, Txn::Error { error })
}

pub fn multi(steps: impl IntoIterator<Item = Step>) -> Step {
    let sub = |step: Step| SubTxn {
        kind: step.kind,
        txn: step.txn,
    };
    step(
        OpCode::Multi,
        Txn::Multi(steps.into_iter().map(sub).collect()),
    )
}

pub fn create_session(session: i64, timeout_ms: i32) -> Step {
    step(OpCode::CreateSession, Txn::CreateSession { timeout_ms }).by(session)
}

pub fn close_session(session: i64, paths: Option<&[&'static str]>) -> Step {
    let paths = paths.map(|paths| paths.iter().map(|at| path(at)).collect());
    step(OpCode::CloseSession, Txn::CloseSession { paths }).by(session)
}

pub fn read_only(who: &str) -> Vec<Acl> {
    vec![Acl {
        perms: Perms::READ,
        id: Id::new("digest", who),
    }]
}

/// A tree and its watches. Transactions get the zxids 1, 2, 3 and so on.
pub struct World {
    pub tree: Tree,
    pub watches: Watches,
    pub next: i64,
    pub log: String,
}

impl World {
    pub fn new() -> World {
        World::of(Tree::new())
    }

    pub fn with_extended_types() -> World {
        World::of(Tree::with_options(TreeOptions {
            extended_types: true,
            ..TreeOptions::default()
        }))
    }

    pub fn of(tree: Tree) -> World {
        let next = tree.last_zxid().0 + 1;
        World {
            tree,
            watches: Watches::new(),
            next,
            log: String::new(),
        }
    }

    /// Applies a transaction and writes down its result and the events it fired.
    pub fn apply(&mut self, step: &Step) -> Applied {
        let entry = step.entry(self.next);
        self.next += 1;
        let mut events = String::new();
        let applied = self
            .tree
            .apply(&entry, &self.watches, &mut |watcher, event| {
                writeln!(events, "    {}", show_event(watcher, event)).unwrap();
            });
        writeln!(self.log, "{}", show_applied(&applied)).unwrap();
        self.log.push_str(&events);
        applied
    }

    pub fn replay(&mut self, step: &Step) -> Applied {
        let applied = self.tree.replay(&step.entry(self.next));
        self.next += 1;
        writeln!(self.log, "{}", show_applied(&applied)).unwrap();
        applied
    }

    /// Applies transactions that are no part of what is tested.
    pub fn prepare(&mut self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            let applied = self.apply(&step);
            assert_eq!(applied.diverged, None);
        }
        self.log.clear();
    }

    pub fn watcher(&self, id: u64) -> Watcher<'_> {
        Watcher {
            watches: &self.watches,
            id: WatcherId(id),
        }
    }
}

/// Leaves watches.
pub struct Watcher<'a> {
    watches: &'a Watches,
    id: WatcherId,
}

impl Watcher<'_> {
    pub fn data(self, at: &str) -> Self {
        self.watches.leave_data(BStr::new(at), self.id);
        self
    }

    pub fn child(self, at: &str) -> Self {
        self.watches.leave_child(BStr::new(at), self.id);
        self
    }

    pub fn persistent(self, at: &str) -> Self {
        self.watches.leave_persistent(BStr::new(at), self.id);
        self
    }

    pub fn recursive(self, at: &str) -> Self {
        self.watches.leave_recursive(BStr::new(at), self.id);
        self
    }
}

pub fn show_event(watcher: WatcherId, event: &WatchEvent<'_>) -> String {
    let mut text = format!("{} <- {:?} {}", watcher.0, event.kind, event.path);
    if event.acl != Acl::open() {
        write!(text, " for {}", show_acl(event.acl)).unwrap();
    }
    text
}

pub fn show_acl(acl: &[Acl]) -> String {
    let one = |entry: &Acl| format!("{}:{}:{}", entry.id.scheme, entry.id.id, entry.perms.0);
    acl.iter().map(one).collect::<Vec<_>>().join(",")
}

pub fn show_stat(stat: &Stat) -> String {
    let mut text = format!(
        "c{} m{} p{} v{}/{}/{} {}b {}ch",
        stat.czxid.0,
        stat.mzxid.0,
        stat.pzxid.0,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.data_length,
        stat.num_children
    );
    if stat.ephemeral_owner != 0 {
        write!(text, " owner {:#x}", stat.ephemeral_owner).unwrap();
    }
    text
}

pub fn show_applied(applied: &Applied) -> String {
    let mut text = format!("{} type {}:", applied.zxid.0, applied.kind);
    write!(text, "{}", show_result(applied.error, &applied.result)).unwrap();
    if applied.digest != DigestCheck::NotSent {
        write!(text, " {:?}", applied.digest).unwrap();
    }
    if let Some(divergence) = &applied.diverged {
        write!(text, " DIVERGED: {divergence}").unwrap();
    }
    text
}

fn show_result(error: ErrorCode, result: &TxnResult) -> String {
    let mut text = String::new();
    if !error.is_ok() {
        write!(text, " {error}").unwrap();
    }
    match result {
        TxnResult::None => {}
        TxnResult::Create { path, stat } => {
            write!(text, " created {path} {}", show_stat(stat)).unwrap();
        }
        TxnResult::Delete => text.push_str(" deleted"),
        TxnResult::SetData(stat) => write!(text, " data set {}", show_stat(stat)).unwrap(),
        TxnResult::SetAcl(stat) => write!(text, " acl set {}", show_stat(stat)).unwrap(),
        TxnResult::Check => text.push_str(" checked"),
        TxnResult::CreateSession {
            session,
            timeout_ms,
        } => {
            write!(text, " session {session} of {timeout_ms} ms").unwrap();
        }
        TxnResult::CloseSession { session } => write!(text, " session {session} closed").unwrap(),
        TxnResult::Multi(results) => {
            for sub in results {
                let shown = show_result(sub.error, &sub.result);
                write!(text, "\n  type {}:{shown}", sub.kind).unwrap();
            }
        }
    }
    text
}

/// Every znode in the order of paths, one a line, those of an empty tree only if they have changed.
pub fn show_tree(tree: &Tree) -> String {
    let mut lines = BTreeSet::new();
    let walked = tree.for_each_node(|path, data, _, stat| {
        let node = tree.node(path).unwrap();
        let shown = if path.is_empty() {
            "/"
        } else {
            path.to_str().unwrap()
        };
        let data = data.map_or("null".into(), |data| format!("{:?}", data.as_bstr()));
        let mut line = format!("{shown} {data} {}", show_stat(&node.stat()));
        if !node.acl_is_open() {
            write!(line, " for {}", show_acl(node.acl())).unwrap();
        }
        if stat.czxid != Zxid::ZERO || stat.pzxid != Zxid::ZERO || stat.mzxid != Zxid::ZERO {
            lines.insert(line);
        }
        Ok::<(), std::fmt::Error>(())
    });
    walked.unwrap();
    let mut text = lines.into_iter().collect::<Vec<_>>().join("\n");
    for (session, timeout_ms) in tree.sessions() {
        write!(text, "\nsession {session} of {timeout_ms} ms").unwrap();
    }
    text
}

/// The same tree, written as a snapshot and loaded again.
pub fn reload(tree: &Tree) -> Tree {
    let mut builder = TreeBuilder::with_options(tree.last_zxid(), tree.options());
    for (&session, &timeout_ms) in tree.sessions() {
        builder.session(session, timeout_ms);
    }
    for (id, acl) in tree.acls() {
        builder.acl(id, acl.to_vec());
    }
    tree.for_each_node(|path, data, acl, stat| builder.node(path, data, acl, *stat))
        .unwrap();
    builder.finish()
}

/// Everything about a tree that must survive a snapshot.
pub fn describe(tree: &Tree) -> String {
    let mut text = show_tree(tree);
    write!(
        text,
        "\nzxid {} digest {:x} nodes {} size {} ephemerals {}",
        tree.last_zxid(),
        tree.digest(),
        tree.node_count(),
        tree.approximate_data_size(),
        tree.ephemerals_count()
    )
    .unwrap();
    for owner in tree.ephemeral_owners() {
        let paths: BTreeSet<_> = tree.ephemerals_of(owner).collect();
        write!(text, "\n{owner} owns {paths:?}").unwrap();
    }
    for quota in tree.quotas() {
        write!(text, "\n{quota:?}").unwrap();
    }
    text
}
