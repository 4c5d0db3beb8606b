//! Which watches fire when a whole tree takes the place of another.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use bstr::BStr;
use expect_test::{Expect, expect};
use outpost_mirror::{Difference, Tree, WatcherId, Watches};
use outpost_wire::proto::{EventType, WatcherType};
use outpost_wire::txn::{CreateKind, Txn};
use outpost_wire::{Acl, OpCode, StatPersisted};
use proptest::prelude::*;
use support::*;

/// Leaves watches on a tree with `/a`, `/a/b` and `/a/b/c`, and puts one in its place that has seen
/// `steps` in addition.
fn check(leave: impl FnOnce(&World), steps: impl IntoIterator<Item = Step>, expected: &Expect) {
    let start = || [create("/a", "x"), create("/a/b", ""), create("/a/b/c", "")];
    let (mut old, mut new) = (World::new(), World::new());
    old.prepare(start());
    new.prepare(start().into_iter().chain(steps));
    leave(&old);
    let mut fired = String::new();
    let difference = Difference::survey(&old.tree, &new.tree);
    difference.fire(&old.tree, &new.tree, &old.watches, &mut |watcher, event| {
        assert_eq!(event.zxid, new.tree.last_zxid());
        fired += &format!("{}\n", show_event(watcher, event));
    });
    expected.assert_eq(&fired);
}

#[test]
fn equal_trees_fire_nothing() {
    check(
        |world| {
            world
                .watcher(1)
                .data("/a")
                .child("/a")
                .data("/none")
                .recursive("/");
        },
        [],
        &expect![""],
    );
}

#[test]
fn each_kind_of_difference_is_told() {
    let leave = |world: &World| {
        world
            .watcher(1)
            .data("/a")
            .child("/a")
            .data("/new")
            .data("/a/b/c")
            .child("/a/b/c");
        world.watcher(2).child("/").data("/a/b").child("/a/b");
    };
    check(
        leave,
        [
            set_data("/a", "y", 1),
            create("/new", ""),
            delete("/a/b/c"),
            create("/a/x", ""),
        ],
        &expect![[r#"
            1 <- NodeDeleted /a/b/c
            2 <- NodeChildrenChanged /
            1 <- NodeDataChanged /a
            1 <- NodeChildrenChanged /a
            2 <- NodeChildrenChanged /a/b
            1 <- NodeCreated /new
        "#]],
    );
}

#[test]
fn many_changes_of_one_znode_are_told_once() {
    check(
        |world| {
            world.watcher(1).persistent("/a");
        },
        [
            set_data("/a", "1", 1),
            create("/a/x", ""),
            delete("/a/x"),
            set_data("/a", "2", 2),
        ],
        &expect![[r#"
            1 <- NodeDataChanged /a
            1 <- NodeChildrenChanged /a
        "#]],
    );
}

#[test]
fn another_znode_of_the_same_name_is_told_as_deleted_and_created() {
    check(
        |world| {
            world.watcher(1).data("/a/b/c");
            world.watcher(2).persistent("/a/b/c");
        },
        [delete("/a/b/c"), create("/a/b/c", "")],
        &expect![[r#"
            1 <- NodeDeleted /a/b/c
            2 <- NodeDeleted /a/b/c
            2 <- NodeCreated /a/b/c
        "#]],
    );
}

#[test]
fn a_recursive_watch_is_told_of_everything_below_children_before_their_parents_when_they_go() {
    check(
        |world| {
            world.watcher(1).recursive("/a");
            world.watcher(2).recursive("/").data("/a/b/c");
        },
        [
            delete("/a/b/c"),
            delete("/a/b"),
            create("/a/n", ""),
            create("/a/n/m", ""),
            set_data("/", "r", 1),
        ],
        &expect![[r#"
            1 <- NodeDeleted /a/b/c
            2 <- NodeDeleted /a/b/c
            1 <- NodeDeleted /a/b
            2 <- NodeDeleted /a/b
            2 <- NodeDataChanged /
            1 <- NodeCreated /a/n
            2 <- NodeCreated /a/n
            1 <- NodeCreated /a/n/m
            2 <- NodeCreated /a/n/m
        "#]],
    );
}

#[test]
fn an_event_carries_the_acl_that_decides_who_may_see_it() {
    check(
        |world| {
            world.watcher(1).data("/a").data("/new");
        },
        [
            set_acl("/a", read_only("bob"), 1),
            set_data("/a", "y", 1),
            create_acl("/new", read_only("eve")),
        ],
        &expect![[r#"
            1 <- NodeDataChanged /a for digest:bob:1
            1 <- NodeCreated /new for digest:eve:1
        "#]],
    );
}

#[test]
fn a_child_that_came_and_went_or_is_another_one_changes_the_list_of_children() {
    check(
        |world| {
            world.watcher(1).child("/a").child("/a/b").child("/");
        },
        [
            create("/a/x", ""),
            delete("/a/x"),
            delete("/a/b/c"),
            create("/a/b/c", ""),
        ],
        &expect![[r#"
            1 <- NodeChildrenChanged /a
            1 <- NodeChildrenChanged /a/b
        "#]],
    );
}

#[test]
fn children_that_leave_no_trace_in_their_parents_stat_are_told() {
    let grown = create_with(
        OpCode::Create,
        "/a/x",
        None,
        Acl::open(),
        CreateKind::Persistent,
        i32::MIN,
    );
    check(
        |world| {
            world.watcher(1).child("/a").recursive("/");
        },
        [grown],
        &expect![[r#"
            1 <- NodeChildrenChanged /a
            1 <- NodeCreated /a/x
        "#]],
    );
}

#[test]
fn a_new_znode_with_children_is_told_as_created_and_then_grown() {
    check(
        |world| {
            world.watcher(1).persistent("/n").persistent("/a/b");
            world.watcher(2).recursive("/n").data("/n");
        },
        [
            multi([create("/n", ""), create("/n/m", "")]),
            delete("/a/b/c"),
            delete("/a/b"),
            create("/a/b", ""),
            create("/a/b/x", ""),
            delete("/a/b/x"),
        ],
        &expect![[r#"
            1 <- NodeDeleted /a/b
            1 <- NodeCreated /a/b
            1 <- NodeChildrenChanged /a/b
            1 <- NodeCreated /n
            2 <- NodeCreated /n
            1 <- NodeChildrenChanged /n
            2 <- NodeCreated /n/m
        "#]],
    );
}

#[test]
fn watches_left_after_the_survey_fire_and_those_removed_do_not() {
    let (mut old, mut new) = (World::new(), World::new());
    old.prepare([create("/a", "")]);
    new.prepare([create("/a", ""), set_data("/a", "", 1), create("/a/b", "")]);
    old.watcher(1).recursive("/").data("/a");
    let difference = Difference::survey(&old.tree, &new.tree);
    old.watches.remove_watcher(WatcherId(1));
    old.watcher(2).child("/a");
    old.watcher(3).recursive("/a");
    let fired = fired_by(&difference, &old.tree, &new.tree, &old.watches);
    let shown: String = fired
        .iter()
        .map(|(watcher, kind, path, _)| format!("{watcher} <- {kind:?} {path}\n"))
        .collect();
    expect![[r#"
        3 <- NodeDataChanged /a
        2 <- NodeChildrenChanged /a
        3 <- NodeCreated /a/b
    "#]]
    .assert_eq(&shown);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Flag {
    /// Left by `getData`, or by `exists` wherever there is no znode.
    Data,
    Child,
    Persistent,
    Recursive,
}

type Watch = (u64, &'static str, Flag);
type Event = (u64, EventType, String, Vec<Acl>);

fn leave(watches: &Watches, (watcher, path, flag): Watch) {
    let (path, watcher) = (BStr::new(path), WatcherId(watcher));
    match flag {
        Flag::Data => watches.leave_data(path, watcher),
        Flag::Child => watches.leave_child(path, watcher),
        Flag::Persistent => watches.leave_persistent(path, watcher),
        Flag::Recursive => watches.leave_recursive(path, watcher),
    }
}

fn remove(watches: &Watches, (watcher, path, flag): Watch) {
    let kind = match flag {
        Flag::Data => WatcherType::Data,
        Flag::Child => WatcherType::Children,
        Flag::Persistent => WatcherType::Persistent,
        Flag::Recursive => WatcherType::PersistentRecursive,
    };
    watches.remove(BStr::new(path), WatcherId(watcher), kind);
}

fn fired_by(difference: &Difference, old: &Tree, new: &Tree, watches: &Watches) -> Vec<Event> {
    let mut fired = Vec::new();
    difference.fire(old, new, watches, &mut |watcher, event| {
        assert_eq!(event.zxid, new.last_zxid());
        fired.push((
            watcher.0,
            event.kind,
            event.path.to_string(),
            event.acl.to_vec(),
        ));
    });
    fired
}

/// A tree as the model sees it. The root's path is `/`.
type Seen = BTreeMap<String, (StatPersisted, usize, Vec<Acl>)>;

fn seen(tree: &Tree) -> Seen {
    let mut seen = Seen::new();
    tree.for_each_node(|path, _, _, stat| {
        let node = tree.node(path).unwrap();
        let path = match path.to_string() {
            root if root.is_empty() => "/".to_owned(),
            path => path,
        };
        let told = (*stat, node.children().len(), node.acl().to_vec());
        seen.insert(path, told);
        Ok::<(), std::fmt::Error>(())
    })
    .unwrap();
    seen
}

/// The same comparison in one step, and as simple as can be: every path, and every watch for each event.
struct Model {
    watches: BTreeSet<Watch>,
    fired: Vec<Event>,
}

impl Model {
    fn compare(&mut self, old: &Seen, new: &Seen) {
        let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let same = |path: &str| {
            let czxid = |seen: &Seen| seen.get(path).map(|(stat, ..)| stat.czxid);
            czxid(old) == czxid(new)
        };
        for path in paths.iter().rev() {
            if let Some((.., acl)) = old.get(*path)
                && !same(path)
            {
                self.tell(EventType::NodeDeleted, path, acl);
            }
        }
        for path in paths {
            let Some((stat, children, acl)) = new.get(path) else {
                continue;
            };
            let grown = match old.get(path) {
                Some((before, children_before, _)) if same(path) => {
                    if before.mzxid != stat.mzxid {
                        self.tell(EventType::NodeDataChanged, path, acl);
                    }
                    (before.pzxid, children_before) != (stat.pzxid, children)
                }
                _ => {
                    self.tell(EventType::NodeCreated, path, acl);
                    stat.pzxid != stat.czxid || *children > 0
                }
            };
            if grown {
                self.tell(EventType::NodeChildrenChanged, path, acl);
            }
        }
    }

    fn tell(&mut self, kind: EventType, path: &str, acl: &[Acl]) {
        let sees = |&(_, at, flag): &Watch| match flag {
            Flag::Data => at == path && kind != EventType::NodeChildrenChanged,
            Flag::Child => {
                at == path
                    && matches!(
                        kind,
                        EventType::NodeChildrenChanged | EventType::NodeDeleted
                    )
            }
            Flag::Persistent => at == path,
            Flag::Recursive => {
                let below = at == "/"
                    || path
                        .strip_prefix(at)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                below && kind != EventType::NodeChildrenChanged
            }
        };
        let watchers: BTreeSet<u64> = self
            .watches
            .iter()
            .filter(|watch| sees(watch))
            .map(|watch| watch.0)
            .collect();
        self.watches
            .retain(|watch| !(sees(watch) && matches!(watch.2, Flag::Data | Flag::Child)));
        let event = |watcher| (watcher, kind, path.to_owned(), acl.to_vec());
        self.fired.extend(watchers.into_iter().map(event));
    }
}

/// `-` comes before the slash and `0` right behind it.
const PATHS: [&str; 12] = [
    "/a", "/a-", "/a0", "/b", "/a/a", "/a/a-", "/a/b", "/a/a/a", "/a/a/b", "/a/a/a/a", "/a0/a",
    "/b/a",
];

/// Something to try: what a tree does not allow is left out.
fn some_steps(max: usize) -> impl Strategy<Value = Vec<Step>> {
    let acl = || prop::sample::select(vec![Acl::open(), read_only("bob"), read_only("eve")]);
    let path = || prop::sample::select(&PATHS[..]);
    let one = prop_oneof![
        4 => (path(), acl()).prop_map(|(path, acl)| create_acl(path, acl)),
        3 => path().prop_map(delete),
        2 => path().prop_map(|path| set_data(path, "x", 1)),
        1 => Just(set_data("/", "x", 1)),
        1 => (path(), acl()).prop_map(|(path, acl)| set_acl(path, acl, 1)),
    ];
    prop::collection::vec(one, 0..max)
}

fn some_watches(max: usize) -> impl Strategy<Value = Vec<Watch>> {
    let flag = prop::sample::select(vec![
        Flag::Data,
        Flag::Child,
        Flag::Persistent,
        Flag::Recursive,
    ]);
    let path = prop_oneof![1 => Just("/"), 9 => prop::sample::select(&PATHS[..])];
    prop::collection::vec((0..4u64, path, flag), 0..max)
}

fn try_all(world: &mut World, steps: &[Step]) {
    for step in steps {
        let allowed = match &step.txn {
            Txn::Create(create) => world.tree.node(create.path).is_none(),
            Txn::Delete { path } => world
                .tree
                .node(path)
                .is_some_and(|node| node.children().len() == 0),
            _ => true,
        };
        if allowed {
            // What lacks a znode or a parent takes a zxid and nothing else.
            world.apply(step);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_steps_fire_what_one_comparison_of_everything_fires(
        history in some_steps(40),
        undone in some_steps(4),
        missed in some_steps(30),
        before in some_watches(12),
        between in some_watches(6),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let (mut old, mut new) = (World::new(), World::new());
        try_all(&mut old, &history);
        try_all(&mut old, &undone);
        try_all(&mut new, &history);
        new.next += 10;
        try_all(&mut new, &missed);
        // As it comes from a leader: in other places.
        let new = reload(&new.tree);
        let watches = Watches::new();

        let mut model = Model { watches: before.iter().copied().collect(), fired: Vec::new() };
        before.iter().for_each(|&watch| leave(&watches, watch));
        let difference = Difference::survey(&old.tree, &new);
        between.iter().for_each(|&watch| leave(&watches, watch));
        model.watches.extend(&between);
        for index in removed.iter().filter(|_| !before.is_empty()) {
            let watch = before[index.index(before.len())];
            remove(&watches, watch);
            model.watches.remove(&watch);
        }

        model.compare(&seen(&old.tree), &seen(&new));
        let fired = fired_by(&difference, &old.tree, &new, &watches);
        prop_assert_eq!(fired, model.fired);
        let left = Watches::new();
        model.watches.iter().for_each(|&watch| leave(&left, watch));
        prop_assert_eq!(watches.by_path(), left.by_path(), "the same watches are left");
        prop_assert_eq!(watches.count(), left.count(), "the same watches are left");
    }
}
