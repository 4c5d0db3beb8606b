//! The tree against a model of it that is as simple as can be: a map from path to znode, and a list of
//! watches. Random transactions and watches must leave both the same.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, ByteSlice};
use outpost_mirror::{Tree, WatcherId, Watches};
use outpost_wire::proto::{EventType, WatcherType};
use outpost_wire::txn::{CreateKind, Txn};
use outpost_wire::{Acl, ErrorCode, OpCode, Perms, SessionId, Stat, StatPersisted, Zxid};
use proptest::prelude::*;
use support::*;

#[derive(Clone)]
struct ModelNode {
    data: Option<Vec<u8>>,
    acl: Vec<Acl>,
    stat: StatPersisted,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Flag {
    Data,
    Child,
    Persistent,
    Recursive,
}

type Event = (u64, EventType, String);

/// Keyed by path, the root's being empty.
#[derive(Default)]
struct Model {
    nodes: BTreeMap<String, ModelNode>,
    sessions: BTreeMap<SessionId, i32>,
    watches: BTreeSet<(u64, String, Flag)>,
    events: Vec<Event>,
}

fn parent_of(path: &str) -> String {
    path[..path.rfind('/').unwrap()].into()
}

impl Model {
    fn new() -> Model {
        let mut model = Model::default();
        Tree::new()
            .for_each_node(|path, data, _, stat| {
                let acl = Tree::new().node(path).unwrap().acl().to_vec();
                let data = data.map(<[u8]>::to_vec);
                model.nodes.insert(
                    path.to_string(),
                    ModelNode {
                        data,
                        acl,
                        stat: *stat,
                    },
                );
                Ok::<(), std::fmt::Error>(())
            })
            .unwrap();
        model
    }

    fn children<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let below = self
            .nodes
            .keys()
            .filter_map(move |key| key.strip_prefix(path)?.strip_prefix('/'));
        below.filter(|name| !name.contains('/'))
    }

    fn apply(&mut self, step: &Step, zxid: i64) {
        match &step.txn {
            Txn::Multi(subs) => {
                if !subs.iter().any(|sub| matches!(sub.txn, Txn::Error { .. })) {
                    for sub in subs {
                        let step = Step {
                            kind: sub.kind,
                            txn: sub.txn.clone(),
                            ..step.clone()
                        };
                        self.apply(&step, zxid);
                    }
                }
            }
            Txn::Create(create) => {
                let path = create.path.to_string();
                let parent_path = parent_of(&path);
                let Some(parent) = self.nodes.get_mut(&parent_path) else {
                    return;
                };
                let count = match create.parent_cversion {
                    -1 => parent.stat.cversion + 1,
                    count => count,
                };
                if count > parent.stat.cversion {
                    parent.stat.cversion = count;
                    parent.stat.pzxid = Zxid(zxid);
                }
                if let Some(known) = self.nodes.get_mut(&path) {
                    known.acl = create.acl.clone();
                    return;
                }
                let stat = StatPersisted {
                    czxid: Zxid(zxid),
                    mzxid: Zxid(zxid),
                    pzxid: Zxid(zxid),
                    ctime: TIME + 1000 * zxid,
                    mtime: TIME + 1000 * zxid,
                    ephemeral_owner: match create.kind {
                        CreateKind::Ephemeral => step.session,
                        CreateKind::Container => i64::MIN,
                        _ => 0,
                    },
                    ..StatPersisted::default()
                };
                let data = create.data.map(<[u8]>::to_vec);
                self.nodes.insert(
                    path.clone(),
                    ModelNode {
                        data,
                        acl: create.acl.clone(),
                        stat,
                    },
                );
                self.trigger(
                    &[Flag::Data, Flag::Persistent],
                    &path,
                    EventType::NodeCreated,
                );
                self.children_changed(&parent_path);
            }
            Txn::Delete { path } => self.delete(&path.to_string(), zxid),
            Txn::SetData {
                path,
                data,
                version,
            } => {
                let Some(node) = self.nodes.get_mut(path.to_str().unwrap()) else {
                    return;
                };
                node.data = data.map(<[u8]>::to_vec);
                node.stat.version = *version;
                node.stat.mzxid = Zxid(zxid);
                node.stat.mtime = TIME + 1000 * zxid;
                let flags = [Flag::Data, Flag::Persistent];
                self.trigger(&flags, path.to_str().unwrap(), EventType::NodeDataChanged);
            }
            Txn::SetAcl { path, acl, version } => {
                let Some(node) = self.nodes.get_mut(path.to_str().unwrap()) else {
                    return;
                };
                node.acl.clone_from(acl);
                node.stat.aversion = *version;
            }
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(SessionId(step.session), *timeout_ms);
            }
            Txn::CloseSession { paths } => {
                for path in paths.iter().flatten() {
                    self.delete(&path.to_string(), zxid);
                }
                for path in self.ephemerals(step.session) {
                    self.delete(&path, zxid);
                }
                self.sessions.remove(&SessionId(step.session));
            }
            Txn::Check { .. } | Txn::Error { .. } => {}
        }
    }

    /// Makes an error of each creation in `step` whose parent is ephemeral, as a leader does.
    fn leave_out_children_of_ephemerals(&self, step: &mut Step) {
        let mut ephemeral: BTreeSet<String> = SESSIONS
            .iter()
            .flat_map(|session| self.ephemerals(*session))
            .collect();
        let mut check = |txn: &mut Txn<'static>| {
            let Txn::Create(create) = txn else { return };
            if ephemeral.contains(&parent_of(&create.path.to_string())) {
                let error = ErrorCode::NO_CHILDREN_FOR_EPHEMERALS;
                *txn = Txn::Error { error };
            } else if create.kind == CreateKind::Ephemeral {
                ephemeral.insert(create.path.to_string());
            }
        };
        match &mut step.txn {
            Txn::Multi(subs) => subs.iter_mut().for_each(|sub| check(&mut sub.txn)),
            txn => check(txn),
        }
    }

    fn ephemerals(&self, session: i64) -> Vec<String> {
        let owned = self
            .nodes
            .iter()
            .filter(move |(_, node)| node.stat.ephemeral_owner == session);
        owned.map(|(path, _)| path.clone()).collect()
    }

    fn delete(&mut self, path: &str, zxid: i64) {
        let parent_path = parent_of(path);
        let Some(parent) = self.nodes.get_mut(&parent_path) else {
            return;
        };
        parent.stat.pzxid = parent.stat.pzxid.max(Zxid(zxid));
        if self.nodes.remove(path).is_none() {
            return;
        }
        let below = format!("{path}/");
        self.nodes.retain(|key, _| !key.starts_with(&below));
        let flags = [Flag::Data, Flag::Child, Flag::Persistent];
        self.trigger(&flags, path, EventType::NodeDeleted);
        self.children_changed(&parent_path);
    }

    fn children_changed(&mut self, parent: &str) {
        let parent = if parent.is_empty() { "/" } else { parent };
        self.trigger(
            &[Flag::Child, Flag::Persistent],
            parent,
            EventType::NodeChildrenChanged,
        );
    }

    fn trigger(&mut self, flags: &[Flag], path: &str, kind: EventType) {
        let recursive = kind != EventType::NodeChildrenChanged;
        let is_above = |top: &str| {
            top == path || top == "/" || path.strip_prefix(top).is_some_and(|r| r.starts_with('/'))
        };
        let told = self.watches.iter().filter(|(_, at, flag)| {
            (at == path && flags.contains(flag))
                || (recursive && *flag == Flag::Recursive && is_above(at))
        });
        let told: BTreeSet<u64> = told.map(|(watcher, _, _)| *watcher).collect();
        self.events.extend(
            told.into_iter()
                .map(|watcher| (watcher, kind, path.to_string())),
        );
        let one_shot = |flag: Flag| matches!(flag, Flag::Data | Flag::Child);
        self.watches
            .retain(|(_, at, flag)| at != path || !one_shot(*flag) || !flags.contains(flag));
    }

    /// Watches as ZooKeeper counts them, in two tables.
    fn watch_count(&self) -> usize {
        let tables = |flag: Flag| match flag {
            Flag::Data | Flag::Recursive => vec![0],
            Flag::Child => vec![1],
            Flag::Persistent => vec![0, 1],
        };
        let pairs = self.watches.iter().flat_map(|(watcher, path, flag)| {
            tables(*flag)
                .into_iter()
                .map(move |table| (watcher, path, table))
        });
        pairs.collect::<BTreeSet<_>>().len()
    }

    fn digest(&self) -> u64 {
        let counted = self
            .nodes
            .iter()
            .filter(|(path, _)| !path.starts_with("/zookeeper/"));
        counted.fold(0, |sum, (path, node)| {
            sum.wrapping_add(node_digest(path, node))
        })
    }

    fn check(&self, tree: &Tree) {
        let mut count = 0;
        tree.for_each_node(|path, data, _, stat| {
            let node = &self.nodes[path.to_str().unwrap()];
            assert_eq!((data, stat), (node.data.as_deref(), &node.stat), "{path}");
            count += 1;
            Ok::<(), std::fmt::Error>(())
        })
        .unwrap();
        assert_eq!(count, self.nodes.len());
        for (path, expected) in &self.nodes {
            let node = tree.node(BStr::new(path)).unwrap();
            let children: BTreeSet<_> =
                node.children().map(|name| name.to_str().unwrap()).collect();
            assert_eq!(children, self.children(path).collect());
            assert_eq!(node.children().len(), children.len());
            assert_eq!(node.stat(), expected.stat(children.len()), "{path}");
            assert_eq!(
                (node.data(), node.acl()),
                (expected.data.as_deref(), &*expected.acl)
            );
        }
        let closed = self
            .nodes
            .values()
            .map(|node| &*node.acl)
            .filter(|acl| *acl != Acl::open());
        assert_eq!(
            tree.acls().map(|(_, acl)| acl).collect::<BTreeSet<_>>(),
            closed.collect()
        );
        assert_eq!(tree.node_count(), self.nodes.len() + 1);
        assert_eq!(tree.sessions(), &self.sessions);
        assert_eq!(
            tree.digest(),
            self.digest(),
            "incremental and computed from scratch"
        );
        let owned = SESSIONS.map(|session| self.ephemerals(session).len());
        assert_eq!(
            SESSIONS.map(|s| tree.ephemerals_of(SessionId(s)).count()),
            owned
        );
        assert_eq!(tree.ephemerals_count(), owned.iter().sum());
        let sizes = self.nodes.iter().map(|(path, node)| {
            let data = node.data.as_ref().map_or(0, Vec::len);
            if path.is_empty() {
                1 + 2 * data
            } else {
                path.len() + data
            }
        });
        assert_eq!(tree.approximate_data_size(), sizes.sum::<usize>() as u64);
    }
}

impl ModelNode {
    fn stat(&self, num_children: usize) -> Stat {
        let StatPersisted {
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            aversion,
            pzxid,
            ..
        } = self.stat;
        let owner = self.stat.ephemeral_owner;
        Stat {
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            cversion: 2 * self.stat.cversion - num_children as i32,
            aversion,
            ephemeral_owner: if owner == i64::MIN { 0 } else { owner },
            data_length: self.data.as_ref().map_or(0, Vec::len) as i32,
            num_children: num_children as i32,
            pzxid,
        }
    }
}

fn node_digest(path: &str, node: &ModelNode) -> u64 {
    let mut bytes = path.as_bytes().to_vec();
    bytes.extend(node.data.iter().flatten());
    let stat = &node.stat;
    for long in [
        stat.czxid.0,
        stat.mzxid.0,
        stat.pzxid.0,
        stat.ctime,
        stat.mtime,
    ] {
        bytes.extend(long.to_be_bytes());
    }
    for int in [stat.version, stat.cversion, stat.aversion] {
        bytes.extend(int.to_be_bytes());
    }
    bytes.extend(stat.ephemeral_owner.to_be_bytes());
    u64::from(crc32fast::hash(&bytes))
}

/// The last one asks for multis, and is never closed.
const SESSIONS: [i64; 3] = [0xa, 0xb, SESSION];
const PATHS: [&str; 11] = [
    "/a",
    "/b",
    "/a/a",
    "/a/b",
    "/ab",
    "/b/a",
    "/a/a/a",
    "/a/a/b",
    "/a/a/b/a",
    "/zookeeper/x",
    "/zookeeper/x/y",
];

/// What happens to both.
#[derive(Clone)]
enum Op {
    Txn(Step),
    Leave(u64, &'static str, Flag),
    Remove(u64, &'static str, Flag),
    Gone(u64),
}

impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Op::Txn(step) => write!(f, "{:x} {:?}", step.session, step.txn),
            Op::Leave(watcher, path, flag) => write!(f, "{watcher} leaves {flag:?} on {path}"),
            Op::Remove(watcher, path, flag) => write!(f, "{watcher} removes {flag:?} on {path}"),
            Op::Gone(watcher) => write!(f, "{watcher} is gone"),
        }
    }
}

fn a_path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&PATHS[..])
}

fn an_acl() -> impl Strategy<Value = Vec<Acl>> {
    let admin = Acl {
        perms: Perms::ADMIN,
        ..Acl::open()[0].clone()
    };
    prop::sample::select(vec![
        Acl::open(),
        read_only("bob"),
        read_only("eve"),
        vec![],
        vec![admin],
    ])
}

fn some_data() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![
        None,
        Some(""),
        Some("x"),
        Some("y"),
        Some("longer data"),
    ])
}

fn a_create() -> impl Strategy<Value = Step> {
    let kinds = vec![
        (OpCode::Create, CreateKind::Persistent),
        (OpCode::Create2, CreateKind::Ephemeral),
        (OpCode::CreateContainer, CreateKind::Container),
    ];
    let session = prop::sample::select(&SESSIONS[..2]);
    let parent_cversion = prop_oneof![3 => Just(-1), 1 => 0..6];
    (
        a_path(),
        some_data(),
        an_acl(),
        prop::sample::select(kinds),
        parent_cversion,
        session,
    )
        .prop_map(|(path, data, acl, (op, kind), parent_cversion, session)| {
            create_with(op, path, data, acl, kind, parent_cversion).by(session)
        })
}

fn a_sub_txn() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => a_create(),
        3 => a_path().prop_map(delete),
        3 => (a_path(), some_data(), 0..9).prop_map(|(path, data, version)| match data {
            Some(data) => set_data(path, data, version),
            None => set_null(path, version),
        }),
        1 => a_path().prop_map(|path| check_version(path, 1)),
    ]
}

fn a_txn() -> impl Strategy<Value = Step> {
    let session = || prop::sample::select(&SESSIONS[..2]);
    let failing = prop::option::weighted(0.2, Just(error(ErrorCode::NO_NODE)));
    let list = prop::option::of(prop::collection::vec(a_path(), 0..4));
    prop_oneof![
        12 => a_sub_txn(),
        2 => (a_path(), an_acl(), 0..9).prop_map(|(path, acl, version)| set_acl(path, acl, version)),
        3 => (prop::collection::vec(a_sub_txn(), 0..5), failing)
            .prop_map(|(subs, failing)| multi(subs.into_iter().chain(failing))),
        1 => (session(), 1..9).prop_map(|(session, timeout)| create_session(session, timeout)),
        1 => (session(), list).prop_map(|(session, list)| close_session(session, list.as_deref())),
        1 => Just(error(ErrorCode::BAD_VERSION)),
    ]
}

fn an_op() -> impl Strategy<Value = Op> {
    let flag = || {
        prop::sample::select(vec![
            Flag::Data,
            Flag::Child,
            Flag::Persistent,
            Flag::Recursive,
        ])
    };
    let watched = || prop_oneof![8 => a_path(), 1 => Just("/")];
    prop_oneof![
        12 => a_txn().prop_map(Op::Txn),
        6 => (0..4u64, watched(), flag()).prop_map(|(id, path, flag)| Op::Leave(id, path, flag)),
        1 => (0..4u64, watched(), flag()).prop_map(|(id, path, flag)| Op::Remove(id, path, flag)),
        1 => (0..4u64).prop_map(Op::Gone),
    ]
}

/// Operations as a leader could send them: none creates a znode below an ephemeral one. Where there was
/// one, closing a session would have two outcomes, as no order is laid down among its ephemerals.
fn some_ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(an_op(), 1..60).prop_map(|mut ops| {
        let (mut model, mut zxid) = (Model::new(), 0);
        for op in &mut ops {
            if let Op::Txn(step) = op {
                zxid += 1;
                model.leave_out_children_of_ephemerals(step);
                model.apply(step, zxid);
            }
        }
        ops
    })
}

fn leave(watches: &Watches, watcher: WatcherId, path: &BStr, flag: Flag) {
    match flag {
        Flag::Data => watches.leave_data(path, watcher),
        Flag::Child => watches.leave_child(path, watcher),
        Flag::Persistent => watches.leave_persistent(path, watcher),
        Flag::Recursive => watches.leave_recursive(path, watcher),
    }
}

fn kind_of(flag: Flag) -> WatcherType {
    match flag {
        Flag::Data => WatcherType::Data,
        Flag::Child => WatcherType::Children,
        Flag::Persistent => WatcherType::Persistent,
        Flag::Recursive => WatcherType::PersistentRecursive,
    }
}

/// Runs `ops` on both, and compares them after each.
fn run(ops: &[Op]) -> Tree {
    let (mut tree, watches, mut model) = (Tree::new(), Watches::new(), Model::new());
    let mut zxid = 0;
    for op in ops {
        match op {
            Op::Txn(step) => {
                zxid += 1;
                let mut events = Vec::new();
                tree.apply(&step.entry(zxid), &watches, &mut |watcher, event| {
                    assert_eq!(event.zxid, Zxid(zxid));
                    events.push((watcher.0, event.kind, event.path.to_string()));
                });
                model.apply(step, zxid);
                // Ephemerals that a leader leaves out of its list go in no particular order.
                if matches!(step.txn, Txn::CloseSession { .. }) {
                    let sort = |events: &mut Vec<Event>| {
                        events
                            .sort_by(|a, b| (&a.2, a.1.code(), a.0).cmp(&(&b.2, b.1.code(), b.0)));
                    };
                    sort(&mut events);
                    sort(&mut model.events);
                }
                assert_eq!(events, std::mem::take(&mut model.events));
                model.check(&tree);
            }
            Op::Leave(watcher, path, flag) => {
                leave(&watches, WatcherId(*watcher), BStr::new(path), *flag);
                model.watches.insert((*watcher, path.to_string(), *flag));
            }
            Op::Remove(watcher, path, flag) => {
                let was_there = model.watches.remove(&(*watcher, path.to_string(), *flag));
                let (watcher, path) = (WatcherId(*watcher), BStr::new(path));
                assert_eq!(watches.check(path, watcher, kind_of(*flag)), was_there);
                assert_eq!(watches.remove(path, watcher, kind_of(*flag)), was_there);
            }
            Op::Gone(watcher) => {
                watches.remove_watcher(WatcherId(*watcher));
                model.watches.retain(|(other, _, _)| other != watcher);
            }
        }
        assert_eq!(watches.count(), model.watch_count());
    }
    tree
}

/// Replays the transactions of `ops` on a tree loaded from a snapshot that shows the first half of them.
fn replay_second_half(ops: &[Op]) -> Tree {
    let steps: Vec<_> = ops
        .iter()
        .filter_map(|op| match op {
            Op::Txn(step) => Some(step),
            _ => None,
        })
        .collect();
    let (first, second) = steps.split_at(steps.len() / 2);
    let mut tree = Tree::new();
    let mut zxid = 0;
    let mut next = || {
        zxid += 1;
        zxid
    };
    for step in first {
        tree.apply(&step.entry(next()), &Watches::new(), &mut |_, _| {});
    }
    let mut tree = reload(&tree);
    for step in second {
        tree.replay(&step.entry(next()));
    }
    tree
}

/// A quota on `/a`, before anything happens to it.
fn with_quota(ops: &[Op]) -> Vec<Op> {
    let quota = [
        create("/zookeeper/quota/a", ""),
        create("/zookeeper/quota/a/zookeeper_limits", "count=9,bytes=9"),
        create("/zookeeper/quota/a/zookeeper_stats", ""),
    ];
    quota
        .into_iter()
        .map(Op::Txn)
        .chain(ops.iter().cloned())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tree_and_watches_do_what_the_model_does(ops in some_ops()) {
        let tree = run(&ops);
        prop_assert_eq!(describe(&reload(&tree)), describe(&tree));
        prop_assert_eq!(describe(&replay_second_half(&ops)), describe(&tree));
    }

    #[test]
    fn usage_of_a_quota_kept_step_by_step_equals_usage_counted_anew(
        ops in some_ops()
    ) {
        let tree = replay_second_half(&with_quota(&ops));
        prop_assert_eq!(describe(&reload(&tree)), describe(&tree));
        prop_assert_eq!(tree.quotas().len(), 1);
    }
}
