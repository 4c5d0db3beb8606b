//! Which transaction fires which watch, and how watches come and go.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use bstr::{BStr, BString};
use expect_test::{Expect, expect};
use outpost_mirror::{WatchSummary, WatcherId, Watches};
use outpost_wire::proto::{AddWatchMode, WatcherType};
use outpost_wire::{Acl, ErrorCode};
use support::*;

/// Applies `steps` to a world where watches were left, and compares the events.
fn check(world: World, steps: impl IntoIterator<Item = Step>, expected: &Expect) {
    let mut world = world;
    for step in steps {
        world.apply(&step);
    }
    let events = world.log.lines().filter(|line| line.contains("<-"));
    let text: String = events.map(|line| format!("{}\n", line.trim())).collect();
    expected.assert_eq(&text);
}

/// `/a` and `/a/b`, before anybody watches.
fn world() -> World {
    let mut world = World::new();
    world.prepare([create("/a", "x"), create("/a/b", "x")]);
    world
}

fn count(watches: &Watches) -> usize {
    watches.count()
}

#[test]
fn a_one_shot_data_watch_fires_once_on_set_data() {
    let world = world();
    world.watcher(1).data("/a");
    check(
        world,
        [set_data("/a", "1", 1), set_data("/a", "2", 2)],
        &expect![[r#"
            1 <- NodeDataChanged /a
        "#]],
    );
}

#[test]
fn an_exists_watch_fires_when_the_znode_is_created() {
    let world = world();
    world.watcher(1).data("/a/c");
    check(
        world,
        [create("/a/c", ""), set_data("/a/c", "1", 1)],
        &expect![[r#"
            1 <- NodeCreated /a/c
        "#]],
    );
}

#[test]
fn a_child_watch_fires_once_when_a_child_comes_or_goes_but_not_when_it_changes() {
    let world = world();
    world.watcher(1).child("/a");
    world.watcher(2).child("/a");
    check(
        world,
        [set_data("/a/b", "1", 1), delete("/a/b"), create("/a/b", "")],
        &expect![[r#"
            1 <- NodeChildrenChanged /a
            2 <- NodeChildrenChanged /a
        "#]],
    );
}

#[test]
fn the_parent_of_a_top_level_znode_is_told_as_a_slash() {
    let world = world();
    world.watcher(1).child("/");
    world.watcher(2).child("");
    check(
        world,
        [create("/c", "")],
        &expect![[r#"
        1 <- NodeChildrenChanged /
    "#]],
    );
}

#[test]
fn data_and_child_watch_of_one_watcher_tell_of_a_delete_once() {
    let world = world();
    world.watcher(1).data("/a/b").child("/a/b");
    world.watcher(2).child("/a/b");
    world.watcher(3).data("/a/b");
    world.watcher(4).persistent("/a/b");
    world.watcher(5).recursive("/a").child("/a/b");
    check(
        world,
        [delete("/a/b"), create("/a/b", "")],
        &expect![[r#"
            1 <- NodeDeleted /a/b
            2 <- NodeDeleted /a/b
            3 <- NodeDeleted /a/b
            4 <- NodeDeleted /a/b
            5 <- NodeDeleted /a/b
            4 <- NodeCreated /a/b
            5 <- NodeCreated /a/b
        "#]],
    );
}

#[test]
fn a_persistent_watch_sees_its_znode_and_its_children_come_and_go_and_nothing_below() {
    let world = world();
    world.watcher(1).persistent("/a");
    check(
        world,
        [
            set_data("/a", "1", 1),
            set_data("/a/b", "1", 1),
            create("/a/b/c", ""),
            create("/a/d", ""),
            delete("/a/d"),
            delete("/a/b/c"),
            delete("/a/b"),
            delete("/a"),
            create("/a", ""),
        ],
        &expect![[r#"
            1 <- NodeDataChanged /a
            1 <- NodeChildrenChanged /a
            1 <- NodeChildrenChanged /a
            1 <- NodeChildrenChanged /a
            1 <- NodeDeleted /a
            1 <- NodeCreated /a
        "#]],
    );
}

#[test]
fn a_recursive_watch_sees_everything_below_but_never_children_changed() {
    let world = world();
    world.watcher(1).recursive("/a");
    world.watcher(2).recursive("/");
    check(
        world,
        [
            set_data("/a", "1", 1),
            create("/a/b/c", ""),
            set_data("/a/b/c", "1", 1),
            delete("/a/b/c"),
            create("/ab", ""),
            set_data("/", "1", 1),
        ],
        &expect![[r#"
            1 <- NodeDataChanged /a
            2 <- NodeDataChanged /a
            1 <- NodeCreated /a/b/c
            2 <- NodeCreated /a/b/c
            1 <- NodeDataChanged /a/b/c
            2 <- NodeDataChanged /a/b/c
            1 <- NodeDeleted /a/b/c
            2 <- NodeDeleted /a/b/c
            2 <- NodeCreated /ab
            2 <- NodeDataChanged /
        "#]],
    );
}

#[test]
fn recursive_and_child_watch_of_one_watcher_both_tell() {
    let world = world();
    world.watcher(1).recursive("/a").child("/a");
    check(
        world,
        [create("/a/c", "")],
        &expect![[r#"
        1 <- NodeCreated /a/c
        1 <- NodeChildrenChanged /a
    "#]],
    );
}

#[test]
fn however_many_watches_match_a_watcher_is_told_once() {
    let world = world();
    world
        .watcher(1)
        .data("/a/b")
        .persistent("/a/b")
        .recursive("/a/b")
        .recursive("/a")
        .recursive("/");
    check(
        world,
        [set_data("/a/b", "1", 1), set_data("/a/b", "2", 2)],
        &expect![[r#"
            1 <- NodeDataChanged /a/b
            1 <- NodeDataChanged /a/b
        "#]],
    );
}

#[test]
fn set_acl_and_sessions_and_errors_and_failed_multis_fire_nothing() {
    let world = world();
    world.watcher(1).persistent("/a").recursive("/");
    check(
        world,
        [
            set_acl("/a", read_only("bob"), 1),
            create_session(1, 1000),
            close_session(1, Some(&[])),
            error(ErrorCode::NO_NODE),
            multi([create("/c", ""), error(ErrorCode::NO_NODE)]),
            multi([check_version("/a", 1)]),
        ],
        &expect![""],
    );
}

#[test]
fn a_multi_fires_the_events_of_each_operation_in_order() {
    let world = world();
    world.watcher(1).recursive("/").child("/a").data("/a");
    check(
        world,
        [multi([
            create("/a/c", ""),
            set_data("/a", "1", 1),
            delete("/a/c"),
            set_data("/a", "2", 2),
        ])],
        &expect![[r#"
            1 <- NodeCreated /a/c
            1 <- NodeChildrenChanged /a
            1 <- NodeDataChanged /a
            1 <- NodeDeleted /a/c
            1 <- NodeDataChanged /a
        "#]],
    );
}

#[test]
fn closing_a_session_deletes_its_ephemerals_in_the_leaders_order() {
    let mut world = world();
    world.prepare([
        ephemeral("/a/x", 7),
        ephemeral("/a/y", 7),
        ephemeral("/a/z", 7),
    ]);
    world.watcher(1).recursive("/a");
    check(
        world,
        [close_session(7, Some(&["/a/z", "/a/x"]))],
        &expect![[r#"
            1 <- NodeDeleted /a/z
            1 <- NodeDeleted /a/x
            1 <- NodeDeleted /a/y
        "#]],
    );
}

#[test]
fn an_event_carries_the_acl_of_the_znode_that_it_tells_of() {
    let mut world = world();
    world.prepare([
        create_acl("/p", read_only("parent")),
        create_acl("/p/c", read_only("child")),
    ]);
    world
        .watcher(1)
        .persistent("/p")
        .persistent("/p/c")
        .persistent("/p/n");
    check(
        world,
        [
            set_data("/p/c", "", 1),
            delete("/p/c"),
            create_acl("/p/n", read_only("new")),
            set_acl("/p/n", Acl::open(), 1),
            set_data("/p/n", "", 1),
            delete("/p/n"),
        ],
        &expect![[r#"
            1 <- NodeDataChanged /p/c for digest:child:1
            1 <- NodeDeleted /p/c for digest:child:1
            1 <- NodeChildrenChanged /p for digest:parent:1
            1 <- NodeCreated /p/n for digest:new:1
            1 <- NodeChildrenChanged /p for digest:parent:1
            1 <- NodeDataChanged /p/n
            1 <- NodeDeleted /p/n
            1 <- NodeChildrenChanged /p for digest:parent:1
        "#]],
    );
}

#[test]
fn replay_fires_nothing_and_leaves_the_watches() {
    let mut world = world();
    world.watcher(1).data("/a").child("/a");
    world.replay(&set_data("/a", "1", 1));
    world.replay(&create("/a/c", ""));
    assert_eq!(count(&world.watches), 2);
}

#[test]
fn every_watch_is_counted_once_for_each_table() {
    let world = World::new();
    let watches = &world.watches;
    world.watcher(1).data("/a").data("/a");
    assert_eq!(count(watches), 1);
    world.watcher(1).child("/a");
    assert_eq!(count(watches), 2);
    world.watcher(1).persistent("/a").recursive("/a");
    assert_eq!(count(watches), 2);
    world.watcher(2).persistent("/a");
    assert_eq!(count(watches), 4);
    world.watcher(2).recursive("/b");
    assert_eq!(count(watches), 5);
    let summary = WatchSummary {
        watchers: 2,
        paths: 2,
        watches: 3,
    };
    assert_eq!(watches.summary(), summary);
    let paths = |paths: &[&str]| {
        paths
            .iter()
            .map(|&path| BString::from(path))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        watches.by_watcher().into_iter().collect::<Vec<_>>(),
        [
            (WatcherId(1), paths(&["/a"])),
            (WatcherId(2), paths(&["/a", "/b"]))
        ]
    );
    assert_eq!(
        watches.by_path().into_iter().collect::<Vec<_>>(),
        [
            ("/a".into(), vec![WatcherId(1), WatcherId(2)]),
            ("/b".into(), vec![WatcherId(2)])
        ]
    );
}

#[test]
fn a_child_watch_is_counted_but_not_listed() {
    let world = World::new();
    world.watcher(1).child("/a");
    assert_eq!(count(&world.watches), 1);
    assert_eq!(world.watches.summary(), WatchSummary::default());
    assert!(world.watches.by_path().is_empty() && world.watches.by_watcher().is_empty());
}

#[test]
fn each_type_of_watch_is_found_and_removed_alone() {
    use WatcherType::{Any, Children, Data, Persistent, PersistentRecursive};
    let all = [Children, Data, Any, Persistent, PersistentRecursive];
    let path = BStr::new("/a");
    let id = WatcherId(1);
    let leave = |watches: &Watches, kind| match kind {
        Children => watches.leave_child(path, id),
        Data => watches.leave_data(path, id),
        Persistent => watches.leave(path, id, AddWatchMode::Persistent),
        PersistentRecursive => watches.leave(path, id, AddWatchMode::PersistentRecursive),
        Any => {}
    };
    for left in all {
        for asked in all {
            let watches = Watches::new();
            leave(&watches, left);
            let there = left != Any && (asked == left || asked == Any);
            assert_eq!(watches.check(path, id, asked), there, "{left:?} {asked:?}");
            assert_eq!(watches.remove(path, id, asked), there, "{left:?} {asked:?}");
            assert!(!watches.check(path, id, asked), "{left:?} {asked:?}");
            let remaining = if there || left == Any {
                0
            } else {
                1 + usize::from(left == Persistent)
            };
            assert_eq!(watches.count(), remaining, "{left:?} {asked:?}");
        }
    }
    let watches = Watches::new();
    all.into_iter().for_each(|kind| leave(&watches, kind));
    assert!(watches.remove(path, id, Data) && watches.check(path, id, Persistent));
    assert!(!watches.check(path, WatcherId(2), Any) && !watches.remove(path, WatcherId(2), Any));
    assert!(watches.remove(path, id, Any));
    assert_eq!(watches.count(), 0);
}

#[test]
fn codes_of_the_wire_are_those_of_zookeeper() {
    for (code, mode) in [
        (0, Some(AddWatchMode::Persistent)),
        (1, Some(AddWatchMode::PersistentRecursive)),
        (2, None),
        (-1, None),
    ] {
        assert_eq!(AddWatchMode::from_code(code), mode);
    }
    for (code, kind) in [
        (0, None),
        (1, Some(WatcherType::Children)),
        (2, Some(WatcherType::Data)),
        (3, Some(WatcherType::Any)),
        (4, Some(WatcherType::Persistent)),
        (5, Some(WatcherType::PersistentRecursive)),
        (6, None),
    ] {
        assert_eq!(WatcherType::from_code(code), kind);
    }
}

#[test]
fn a_closed_connection_leaves_no_watch_behind() {
    let mut world = world();
    for id in 1..=40 {
        world
            .watcher(id)
            .data("/a")
            .persistent("/a")
            .recursive("/a/b")
            .child("/zookeeper");
    }
    let per_watcher = count(&world.watches) / 40;
    for id in 1..=39 {
        world.watches.remove_watcher(WatcherId(id));
        assert_eq!(count(&world.watches), per_watcher * (40 - id as usize));
    }
    world.apply(&set_data("/a/b", "", 1));
    assert_eq!(
        world.log.lines().filter(|line| line.contains("<-")).count(),
        1
    );
    world.watches.remove_watcher(WatcherId(40));
    world.watches.remove_watcher(WatcherId(40));
    assert_eq!(count(&world.watches), 0);
    assert!(world.watches.by_watcher().is_empty());
}

#[test]
fn a_path_with_many_watchers_tells_each_of_them_once() {
    let mut world = world();
    for id in 0..1000 {
        world.watcher(id).data("/a").child("/a");
    }
    world.watcher(7).persistent("/a");
    let mut told = Vec::new();
    let entry = delete("/a/b").entry(world.next);
    world.tree.apply(&entry, &world.watches, &mut |watcher, _| {
        told.push(watcher.0);
    });
    assert_eq!(told, (0..1000).collect::<Vec<_>>());
    told.clear();
    let entry = delete("/a").entry(world.next + 1);
    world.tree.apply(&entry, &world.watches, &mut |watcher, _| {
        told.push(watcher.0);
    });
    assert_eq!(told, (0..1000).collect::<Vec<_>>());
    assert_eq!(
        count(&world.watches),
        2,
        "only the persistent watch is left"
    );
}
