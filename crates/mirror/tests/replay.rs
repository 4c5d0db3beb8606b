//! A snapshot that was written while transactions went on, and those transactions once more.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use bstr::BStr;
use expect_test::{Expect, expect};
use outpost_mirror::{Applied, LoadError, TreeBuilder};
use outpost_wire::txn::CreateKind;
use outpost_wire::{Acl, Id, OpCode, Perms, StatPersisted, Zxid};
use support::*;

/// Loads the state after the first `zxid` of `steps`, but with the znodes of `newer` as they are at the
/// end, as a snapshot written meanwhile may have them; then replays all steps after `zxid`.
fn fuzzy(steps: &[Step], zxid: i64, newer: &[&str]) -> (World, World) {
    let (mut early, mut late) = (World::new(), World::new());
    early.prepare(steps[..zxid as usize].iter().cloned());
    late.prepare(steps.iter().cloned());

    let mut builder = TreeBuilder::new(Zxid(zxid));
    for (&session, &timeout_ms) in early.tree.sessions() {
        builder.session(session, timeout_ms);
    }
    for (id, acl) in early.tree.acls() {
        builder.acl(id, acl.to_vec());
    }
    let is_newer = |path: &BStr| newer.iter().any(|newer| path == *newer);
    early
        .tree
        .for_each_node(|path, data, acl, stat| match is_newer(path) {
            false => builder.node(path, data, acl, *stat),
            true => Ok(()),
        })
        .unwrap();
    late.tree
        .for_each_node(|path, data, acl, stat| match is_newer(path) {
            true => builder.node(path, data, if acl == -1 { -1 } else { 1000 + acl }, *stat),
            false => Ok(()),
        })
        .unwrap();
    let mut world = World::of(builder.finish());
    for step in &steps[zxid as usize..] {
        let applied = world.replay(step);
        assert_eq!(applied.diverged, None);
    }
    (world, late)
}

/// The replayed tree must be the one that the leader has.
fn check(steps: &[Step], zxid: i64, newer: &[&str]) {
    let (replayed, leader) = fuzzy(steps, zxid, newer);
    assert_eq!(describe(&replayed.tree), describe(&leader.tree));
}

fn create2(path: &'static str, parent_cversion: i32) -> Step {
    let kind = CreateKind::Persistent;
    create_with(
        OpCode::Create2,
        path,
        Some("x"),
        Acl::open(),
        kind,
        parent_cversion,
    )
}

#[test]
fn a_child_that_is_there_already_still_counts_at_its_parent() {
    let steps = [create2("/p", 1), create2("/p/a", 1), create2("/p/b", 2)];
    check(&steps, 1, &["/p/a", "/p/b"]);
    check(&steps, 1, &["/p/b"]);
}

#[test]
fn a_child_that_is_gone_already_still_raises_its_parents_pzxid() {
    // The parent was written before the child was deleted, the child was to be written after.
    let steps = [create2("/p", 1), create2("/p/a", 1), delete("/p/a")];
    check(&steps, 2, &["/p/a"]);
}

#[test]
fn an_old_count_does_not_turn_the_parent_back() {
    let steps = [
        create2("/p", 1),
        create2("/p/a", 1),
        delete("/p/a"),
        create2("/p/b", 2),
    ];
    check(&steps, 1, &["/p"]);
    check(&steps, 1, &["/p", "/p/b"]);
}

#[test]
fn an_acl_missing_from_the_table_denies_until_it_is_replayed() {
    let steps = [create2("/p", 1), create_acl("/p/a", read_only("bob"))];
    check(&steps, 1, &["/p/a"]);
    let steps = [create2("/p", 1), set_acl("/p", read_only("bob"), 1)];
    check(&steps, 1, &["/p"]);

    let mut builder = TreeBuilder::new(Zxid(1));
    builder
        .node(BStr::new(""), Some(b""), 99, StatPersisted::default())
        .unwrap();
    let tree = builder.finish();
    let acl = tree.node(BStr::new("/")).unwrap().acl();
    let rules = outpost_mirror::AclRules::default();
    assert!(!outpost_mirror::allows(
        acl,
        Perms::ALL,
        &[Id::new("digest", "bob")],
        &rules
    ));
    assert_eq!(reload(&tree).node(BStr::new("/")).unwrap().acl(), acl);
}

#[test]
fn changes_of_a_znode_that_is_gone_are_passed_over() {
    let steps = [
        create2("/a", 1),
        set_data("/a", "1", 1),
        set_acl("/a", read_only("bob"), 1),
        delete("/a"),
    ];
    check(&steps, 1, &["/a"]);
}

#[test]
fn a_closed_sessions_ephemerals_may_be_gone_already() {
    let steps = [
        create_session(7, 1000),
        ephemeral("/a", 7),
        ephemeral("/b", 7),
        close_session(7, Some(&["/b", "/a"])),
    ];
    check(&steps, 3, &["/a"]);
    check(&steps, 3, &["/a", "/b"]);
    check(&steps, 1, &["/a", "/b"]);
}

#[test]
fn a_znode_that_was_deleted_and_made_again_ends_as_the_leader_has_it() {
    // What is below the new znode comes with the snapshot, and the old znode's delete is replayed.
    let steps = [
        create2("/p", 1),
        delete("/p"),
        create2("/p", 2),
        create2("/p/a", 1),
        create2("/p/b", 2),
    ];
    check(&steps, 1, &["/p", "/p/a"]);
    check(&steps, 1, &["/p", "/p/a", "/p/b"]);
}

#[test]
fn what_the_snapshot_shows_is_not_replayed() {
    let mut world = World::new();
    world.prepare([
        create("/a", ""),
        set_data("/a", "1", 1),
        set_data("/a", "2", 2),
    ]);
    let before = describe(&world.tree);
    let again: Applied = world.tree.replay(&set_data("/a", "1", 1).entry(2));
    assert_eq!((again.diverged, again.error.0), (None, 0));
    assert_eq!(describe(&world.tree), before);
}

fn check_load(paths: &[&str], expected: &Expect) {
    let mut builder = TreeBuilder::new(Zxid(1));
    let mut load = || -> Result<(), LoadError> {
        for path in paths {
            builder.node(BStr::new(*path), Some(b"x"), -1, StatPersisted::default())?;
        }
        Ok(())
    };
    expected.assert_eq(&load().map_or_else(|error| error.to_string(), |()| "loaded".into()));
}

#[test]
fn a_snapshot_out_of_order_is_refused() {
    check_load(&["", "/a", "/a/b", "/c"], &expect!["loaded"]);
    check_load(
        &["/a"],
        &expect![[r#"snapshot starts with "/a" instead of the root"#]],
    );
    check_load(
        &["/"],
        &expect![[r#"snapshot starts with "/" instead of the root"#]],
    );
    check_load(
        &["", "/a/b"],
        &expect![[r#"snapshot has "/a/b" without its parent"#]],
    );
    check_load(
        &["", "a"],
        &expect![[r#"snapshot has "a" without its parent"#]],
    );
    check_load(&["", "/a", "/a"], &expect![[r#"snapshot has "/a" twice"#]]);
    check_load(&["", "/"], &expect![[r#"snapshot has "/" twice"#]]);
    check_load(&["", ""], &expect![[r#"snapshot has "" twice"#]]);
}

#[test]
fn a_loaded_tree_equals_the_one_that_was_written() {
    let mut world = World::new();
    world.prepare([
        create_session(7, 1000),
        create("/a", "data"),
        create_acl("/a/b", read_only("bob")),
        create_acl("/a/b/c", read_only("bob")),
        ephemeral("/a/e", 7),
        set_null("/a", 1),
        create("/zookeeper/quota/a", ""),
        create("/zookeeper/quota/a/zookeeper_limits", "count=5,bytes=-1"),
        create("/zookeeper/quota/a/zookeeper_stats", "count=0,bytes=0"),
    ]);
    let loaded = reload(&world.tree);
    assert_eq!(describe(&loaded), describe(&world.tree));
    assert_eq!(loaded.acls().count(), world.tree.acls().count());
}

#[test]
fn an_acl_that_no_znode_has_is_not_kept() {
    let mut builder = TreeBuilder::new(Zxid(1));
    builder.acl(1, read_only("bob"));
    builder.acl(2, read_only("bob"));
    builder.acl(3, read_only("eve"));
    builder
        .node(BStr::new(""), None, 2, StatPersisted::default())
        .unwrap();
    let tree = builder.finish();
    assert_eq!(
        tree.acls()
            .map(|(_, acl)| show_acl(acl))
            .collect::<Vec<_>>(),
        ["digest:bob:1"]
    );
}
