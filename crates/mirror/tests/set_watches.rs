//! Watches that a client brings along: what it missed is told, the rest is left.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use bstr::BStr;
use expect_test::expect;
use outpost_mirror::{SetWatches, WatcherId};
use outpost_wire::Zxid;
use support::*;

fn paths(paths: &'static [&'static str]) -> Vec<&'static BStr> {
    paths.iter().map(|path| BStr::new(*path)).collect()
}

#[test]
fn each_list_is_compared_as_datatree_set_watches_does() {
    let mut world = World::new();
    // /old is as the client knows it, /set and /grown are not, /gone is gone.
    world.prepare([
        create("/old", ""),
        create("/set", ""),
        create("/grown", ""),
        create("/gone", ""),
    ]);
    world.prepare([
        set_data("/set", "", 1),
        create("/grown/child", ""),
        delete("/gone"),
    ]);
    let all = paths(&["/old", "/set", "/grown", "/gone"]);
    let persistent = paths(&["/old", "/gone"]);
    let lists = SetWatches {
        data: &all,
        exist: &all,
        child: &all,
        persistent: &persistent,
        persistent_recursive: &persistent,
    };
    let missed = world
        .tree
        .set_watches(&world.watches, WatcherId(1), Zxid(4), &lists);
    let lines: String = missed
        .iter()
        .map(|(kind, path)| format!("{kind:?} {path}\n"))
        .collect();
    expect![[r#"
        NodeDataChanged /set
        NodeDeleted /gone
        NodeCreated /old
        NodeCreated /set
        NodeCreated /grown
        NodeChildrenChanged /grown
        NodeDeleted /gone
    "#]]
    .assert_eq(&lines);
    // Data: /old, /grown and, as an exists watch, /gone. Child: /old, /set. Persistent on two.
    let listed: Vec<_> = world.watches.by_path().into_keys().collect();
    assert_eq!(listed, ["/gone", "/grown", "/old"]);
    assert_eq!(world.watches.count(), 6);
}

#[test]
fn a_change_in_the_very_zxid_that_the_client_has_seen_is_no_news() {
    let mut world = World::new();
    world.prepare([create("/a", ""), create("/a/b", "")]);
    let list = paths(&["/a"]);
    let lists = SetWatches {
        data: &list,
        child: &list,
        ..SetWatches::default()
    };
    for (seen, events) in [(0, 2), (1, 1), (2, 0), (3, 0)] {
        let missed = world
            .tree
            .set_watches(&world.watches, WatcherId(1), Zxid(seen), &lists);
        assert_eq!(missed.len(), events, "seen {seen}");
    }
}
