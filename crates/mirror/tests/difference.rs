//! Which watches fire when a whole tree takes the place of another.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use expect_test::{Expect, expect};
use outpost_mirror::fire_difference;
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
    fire_difference(&old.tree, &new.tree, &old.watches, &mut |watcher, event| {
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
