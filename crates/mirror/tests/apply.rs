//! What each type of transaction does to the tree, and what it answers.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use bstr::BStr;
use expect_test::{Expect, expect};
use outpost_mirror::{DigestCheck, Divergence, Tree, TreeOptions, Watches};
use outpost_wire::txn::{CreateKind, CreateTxn, Txn, TxnDigest, TxnEntry};
use outpost_wire::{Acl, ErrorCode, OpCode, SessionId, Zxid};
use support::*;

/// Applies `steps` to the initial tree and compares results and tree.
fn check(steps: impl IntoIterator<Item = Step>, expected: &Expect) {
    check_in(World::new(), steps, expected);
}

fn check_in(mut world: World, steps: impl IntoIterator<Item = Step>, expected: &Expect) {
    for step in steps {
        world.apply(&step);
    }
    expected.assert_eq(&format!("{}{}\n", world.log, show_tree(&world.tree)));
}

#[test]
fn the_initial_tree_is_that_of_every_ensemble() {
    let tree = Tree::new();
    assert_eq!(tree.digest(), 0x51c6_d660);
    assert_eq!(tree.node_count(), 5);
    assert_eq!(tree.last_zxid(), Zxid::ZERO);
    assert_eq!(tree.get_all_children_number(BStr::new("/")), Some(3));
    let mut lines = String::new();
    tree.for_each_node(|path, data, acl, stat| {
        let node = tree.node(path).unwrap();
        lines += &format!(
            "{path:?} {data:?} acl {acl} {} {stat:?}\n",
            show_stat(&node.stat())
        );
        Ok::<(), std::fmt::Error>(())
    })
    .unwrap();
    expect![[r#"
        "" Some([]) acl -1 c0 m0 p0 v0/-1/0 0b 1ch StatPersisted { czxid: 0x0, mzxid: 0x0, ctime: 0, mtime: 0, version: 0, cversion: 0, aversion: 0, ephemeral_owner: 0, pzxid: 0x0 }
        "/zookeeper" Some([]) acl -1 c0 m0 p0 v0/-2/0 0b 2ch StatPersisted { czxid: 0x0, mzxid: 0x0, ctime: 0, mtime: 0, version: 0, cversion: 0, aversion: 0, ephemeral_owner: 0, pzxid: 0x0 }
        "/zookeeper/quota" Some([]) acl -1 c0 m0 p0 v0/0/0 0b 0ch StatPersisted { czxid: 0x0, mzxid: 0x0, ctime: 0, mtime: 0, version: 0, cversion: 0, aversion: 0, ephemeral_owner: 0, pzxid: 0x0 }
        "/zookeeper/config" Some([]) acl 2 c0 m0 p0 v0/0/-1 0b 0ch StatPersisted { czxid: 0x0, mzxid: 0x0, ctime: 0, mtime: 0, version: 0, cversion: 0, aversion: -1, ephemeral_owner: 0, pzxid: 0x0 }
    "#]].assert_eq(&lines);
    assert_eq!(
        tree.acls()
            .map(|(id, acl)| (id, show_acl(acl)))
            .collect::<Vec<_>>(),
        [(2, "world:anyone:1".into())]
    );
}

#[test]
fn both_names_of_the_root_name_the_root_and_nothing_else_is_an_alias() {
    let mut world = World::new();
    world.prepare([create("/a", ""), create("/a/b", "")]);
    let found = |path: &str| world.tree.node(BStr::new(path)).is_some();
    for path in ["", "/", "/a", "/a/b"] {
        assert!(found(path), "{path:?}");
    }
    for path in [
        "a", "a/b", "//", "/a/", "//a", "/a//b", "/a/b/", "/b", "/A", "/a/b/c",
    ] {
        assert!(!found(path), "{path:?}");
    }
}

#[test]
fn digests_sent_by_a_3_9_leader_are_reached() {
    // The first create on an ensemble of 3.9.3, as it was sent to an observer.
    let hex = "4da205d5d0ee0000000000010000000100000002000001a205d5d0fc00000001000000032f6c77\
               000000026869000000010000001f00000005776f726c6400000006616e796f6e650000000001\
               0000000200000001a7b7df19";
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let entry = TxnEntry::decode(&bytes).unwrap();
    let mut tree = Tree::new();
    let applied = tree.apply(&entry, &Watches::new(), &mut |_, _| {});
    assert_eq!(applied.digest, DigestCheck::Matches);
    assert_eq!(tree.digest(), 0x1_a7b7_df19);
}

#[test]
fn a_digest_that_differs_is_reported_with_both_values() {
    let digest = |version| {
        Some(TxnDigest {
            version,
            tree_digest: 7,
        })
    };
    let apply = |tree: &mut Tree, version| {
        let mut entry = create_session(1, 1000).entry(1);
        entry.digest = digest(version);
        tree.apply(&entry, &Watches::new(), &mut |_, _| {}).digest
    };
    let differs = DigestCheck::Differs {
        ours: 0x51c6_d660,
        theirs: 7,
    };
    assert_eq!(apply(&mut Tree::new(), 2), differs);
    assert_eq!(apply(&mut Tree::new(), 1), DigestCheck::NotSent);
    let options = TreeOptions {
        compare_digests: false,
        ..TreeOptions::default()
    };
    assert_eq!(
        apply(&mut Tree::with_options(options), 2),
        DigestCheck::NotSent
    );
}

#[test]
fn create_makes_a_znode_and_counts_it_at_its_parent() {
    check(
        [
            create("/a", "hi"),
            create_with(
                OpCode::Create2,
                "/a/b",
                None,
                Acl::open(),
                CreateKind::Persistent,
                1,
            ),
            create_with(
                OpCode::CreateContainer,
                "/a/c",
                Some(""),
                read_only("bob"),
                CreateKind::Container,
                2,
            ),
            ephemeral("/a/e", 0xabc),
        ],
        &expect![[r#"
            1 type 1: created /a c1 m1 p1 v0/0/0 2b 0ch
            2 type 15: created /a/b c2 m2 p2 v0/0/0 0b 0ch
            3 type 19: created /a/c c3 m3 p3 v0/0/0 0b 0ch
            4 type 15: created /a/e c4 m4 p4 v0/0/0 0b 0ch owner 0xabc
            / "" c0 m0 p1 v0/0/0 0b 2ch
            /a "hi" c1 m1 p4 v0/3/0 2b 3ch
            /a/b null c2 m2 p2 v0/0/0 0b 0ch
            /a/c "" c3 m3 p3 v0/0/0 0b 0ch for digest:bob:1
            /a/e "" c4 m4 p4 v0/0/0 0b 0ch owner 0xabc
        "#]],
    );
}

#[test]
fn a_ttl_znode_has_an_owner_only_where_extended_types_are_off() {
    let ttl = || {
        create_with(
            OpCode::CreateTtl,
            "/t",
            Some(""),
            Acl::open(),
            CreateKind::Ttl(5000),
            1,
        )
    };
    check(
        [ttl()],
        &expect![[r#"
        1 type 21: created /t c1 m1 p1 v0/0/0 0b 0ch owner 0xff00000000001388
        / "" c0 m0 p1 v0/0/0 0b 2ch
        /t "" c1 m1 p1 v0/0/0 0b 0ch owner 0xff00000000001388
    "#]],
    );
    let world = World::with_extended_types();
    check_in(
        world,
        [ttl()],
        &expect![[r#"
        1 type 21: created /t c1 m1 p1 v0/0/0 0b 0ch
        / "" c0 m0 p1 v0/0/0 0b 2ch
        /t "" c1 m1 p1 v0/0/0 0b 0ch
    "#]],
    );
    let mut world = World::with_extended_types();
    world.apply(&ttl());
    let owner = world
        .tree
        .node(BStr::new("/t"))
        .unwrap()
        .persisted()
        .ephemeral_owner;
    assert_eq!(owner, 0xff00_0000_0000_1388_u64 as i64);
    assert_eq!(world.tree.ephemerals_count(), 0);
}

#[test]
fn the_parents_count_is_taken_from_the_txn_and_only_if_it_is_larger() {
    let with = |path, parent_cversion| {
        let kind = CreateKind::Persistent;
        create_with(
            OpCode::Create,
            path,
            Some(""),
            Acl::open(),
            kind,
            parent_cversion,
        )
    };
    check(
        [
            with("/a", 7),
            with("/b", 7),
            with("/c", 3),
            with("/d", -1),
            with("/e", i32::MIN),
        ],
        &expect![[r#"
            1 type 1: created /a c1 m1 p1 v0/0/0 0b 0ch
            2 type 1: created /b c2 m2 p2 v0/0/0 0b 0ch
            3 type 1: created /c c3 m3 p3 v0/0/0 0b 0ch
            4 type 1: created /d c4 m4 p4 v0/0/0 0b 0ch
            5 type 1: created /e c5 m5 p5 v0/0/0 0b 0ch
            / "" c0 m0 p4 v0/10/0 0b 6ch
            /a "" c1 m1 p1 v0/0/0 0b 0ch
            /b "" c2 m2 p2 v0/0/0 0b 0ch
            /c "" c3 m3 p3 v0/0/0 0b 0ch
            /d "" c4 m4 p4 v0/0/0 0b 0ch
            /e "" c5 m5 p5 v0/0/0 0b 0ch
        "#]],
    );
}

#[test]
fn delete_raises_the_parents_pzxid_and_leaves_its_count() {
    check(
        [
            create("/a", ""),
            create("/a/b", "x"),
            delete("/a/b"),
            create("/a/b", "y"),
        ],
        &expect![[r#"
            1 type 1: created /a c1 m1 p1 v0/0/0 0b 0ch
            2 type 1: created /a/b c2 m2 p2 v0/0/0 1b 0ch
            3 type 2: deleted
            4 type 1: created /a/b c4 m4 p4 v0/0/0 1b 0ch
            / "" c0 m0 p1 v0/0/0 0b 2ch
            /a "" c1 m1 p4 v0/3/0 0b 1ch
            /a/b "y" c4 m4 p4 v0/0/0 1b 0ch
        "#]],
    );
}

#[test]
fn set_data_takes_the_version_from_the_txn() {
    check(
        [
            create("/a", "x"),
            set_data("/a", "longer", 7),
            set_null("/a", 0),
            set_data("/", "r", 1),
        ],
        &expect![[r#"
            1 type 1: created /a c1 m1 p1 v0/0/0 1b 0ch
            2 type 5: data set c1 m2 p1 v7/0/0 6b 0ch
            3 type 5: data set c1 m3 p1 v0/0/0 0b 0ch
            4 type 5: data set c0 m4 p1 v1/0/0 1b 2ch
            / "r" c0 m4 p1 v1/0/0 1b 2ch
            /a null c1 m3 p1 v0/0/0 0b 0ch
        "#]],
    );
}

#[test]
fn set_acl_changes_nothing_but_the_acl_and_its_version() {
    check(
        [
            create("/a", "x"),
            set_acl("/a", read_only("bob"), 1),
            set_acl("/a", Acl::open(), 2),
        ],
        &expect![[r#"
            1 type 1: created /a c1 m1 p1 v0/0/0 1b 0ch
            2 type 7: acl set c1 m1 p1 v0/0/1 1b 0ch
            3 type 7: acl set c1 m1 p1 v0/0/2 1b 0ch
            / "" c0 m0 p1 v0/0/0 0b 2ch
            /a "x" c1 m1 p1 v0/0/2 1b 0ch
        "#]],
    );
    let mut world = World::new();
    world.prepare([create("/a", "x"), set_acl("/a", read_only("bob"), 1)]);
    assert_eq!(world.tree.acls().count(), 2);
    world.prepare([set_acl("/a", Acl::open(), 2)]);
    assert_eq!(
        world.tree.acls().count(),
        1,
        "an ACL outlived its last znode"
    );
}

#[test]
fn an_error_and_a_check_change_nothing_but_the_zxid() {
    check(
        [
            error(ErrorCode::BAD_VERSION),
            multi([check_version("/x", 3)]),
        ],
        &expect![[r#"
            1 type -1: BAD_VERSION(-103)
            2 type 14:
              type 13: checked

        "#]],
    );
    let mut world = World::new();
    world.apply(&error(ErrorCode::NO_NODE));
    assert_eq!(world.tree.last_zxid(), Zxid(1));
    assert_eq!(world.tree.digest(), Tree::new().digest());
}

#[test]
fn each_result_of_a_multi_is_that_right_after_its_operation() {
    check(
        [multi([
            create("/a", "1"),
            set_data("/a", "22", 1),
            check_version("/a", 2),
            create("/a/b", ""),
            set_data("/a", "333", 2),
            delete("/a/b"),
        ])],
        &expect![[r#"
            1 type 14:
              type 1: created /a c1 m1 p1 v0/0/0 1b 0ch
              type 5: data set c1 m1 p1 v1/0/0 2b 0ch
              type 13: checked
              type 1: created /a/b c1 m1 p1 v0/0/0 0b 0ch
              type 5: data set c1 m1 p1 v2/1/0 3b 1ch
              type 2: deleted
            / "" c0 m0 p1 v0/0/0 0b 2ch
            /a "333" c1 m1 p1 v2/2/0 3b 0ch
        "#]],
    );
}

#[test]
fn a_multi_that_failed_changes_nothing_but_the_zxid() {
    check(
        [multi([
            create("/a", ""),
            delete("/b"),
            error(ErrorCode::NO_NODE),
            error(ErrorCode::RUNTIME_INCONSISTENCY),
            create("/c", ""),
        ])],
        &expect![[r#"
            1 type 14: NO_NODE(-101)
              type -1:
              type -1:
              type -1: NO_NODE(-101)
              type -1: RUNTIME_INCONSISTENCY(-2)
              type -1: RUNTIME_INCONSISTENCY(-2)

        "#]],
    );
}

#[test]
fn an_operation_that_no_leader_puts_into_a_multi_stops_all_of_it() {
    for step in [
        set_acl("/", Acl::open(), 1),
        create_session(1, 1),
        multi([]),
    ] {
        let mut world = World::new();
        let kind = step.kind;
        let applied = world.apply(&multi([create("/a", ""), step]));
        assert_eq!(
            applied.diverged,
            Some(Divergence::UnexpectedInMulti { kind })
        );
        assert_eq!(world.tree.node_count(), 5);
    }
}

#[test]
fn a_multi_that_cannot_be_applied_tells_its_first_error() {
    check(
        [multi([
            create("/a", ""),
            delete("/none"),
            create("/a", ""),
            create("/b", ""),
        ])],
        &expect![[r#"
            1 type 14: NO_NODE(-101)
              type 1: created /a c1 m1 p1 v0/0/0 0b 0ch
              type 2: NO_NODE(-101)
              type 1: NODE_EXISTS(-110)
              type 1: created /b c1 m1 p1 v0/0/0 0b 0ch DIVERGED: change or delete of /none, which does not exist
            / "" c0 m0 p1 v0/3/0 0b 3ch
            /a "" c1 m1 p1 v0/0/0 0b 0ch
            /b "" c1 m1 p1 v0/0/0 0b 0ch
        "#]],
    );
}

#[test]
fn equal_names_under_many_parents_are_told_apart() {
    let mut tree = Tree::new();
    let mut replay = |path: &str, zxid| {
        let entry = create("/", "").entry(zxid);
        if let Txn::Create(txn) = &entry.txn {
            let txn = Txn::Create(CreateTxn {
                path: BStr::new(path),
                ..txn.clone()
            });
            tree.replay(&TxnEntry { txn, ..entry });
        }
    };
    for n in 0..2000 {
        replay(&format!("/p{n}"), 2 * n + 1);
        replay(&format!("/p{n}/same"), 2 * n + 2);
    }
    for n in 0..2000 {
        let child = format!("/p{n}/same");
        assert_eq!(
            tree.node(BStr::new(&child)).unwrap().stat().czxid,
            Zxid(2 * n + 2)
        );
    }
}

#[test]
fn sessions_come_and_go_by_transactions() {
    check(
        [
            create_session(1, 4000),
            create_session(2, 6000),
            create_session(1, 8000),
            close_session(2, None),
            close_session(3, Some(&[])),
        ],
        &expect![[r#"
            1 type -10: session 0x1 of 4000 ms
            2 type -10: session 0x2 of 6000 ms
            3 type -10: session 0x1 of 8000 ms
            4 type -11: session 0x2 closed
            5 type -11: session 0x3 closed

            session 0x1 of 8000 ms
        "#]],
    );
}

#[test]
fn closing_a_session_deletes_what_the_leader_lists_and_what_is_left() {
    let prepare = || {
        let mut world = World::new();
        world.prepare([
            create_session(1, 4000),
            create("/p", ""),
            ephemeral("/p/a", 1),
            ephemeral("/p/b", 1),
            ephemeral("/other", 2),
            create("/plain", ""),
        ]);
        world
    };
    for paths in [
        None,
        Some(&["/p/b", "/p/a"][..]),
        Some(&[][..]),
        Some(&["/gone", "/p/a"][..]),
    ] {
        let mut world = prepare();
        world.apply(&close_session(1, paths));
        assert_eq!(world.tree.ephemerals_count(), 1, "{paths:?}");
        assert_eq!(
            world
                .tree
                .node(BStr::new("/p"))
                .unwrap()
                .stat()
                .num_children,
            0
        );
        assert!(world.tree.sessions().is_empty());
    }
    // The list is right even about what belongs to another session here.
    let mut world = prepare();
    world.apply(&close_session(1, Some(&["/other", "/p/a", "/p/b"])));
    assert_eq!(world.tree.ephemerals_count(), 0);
    assert_eq!(world.tree.ephemerals_of(SessionId(2)).count(), 0);
}

#[test]
fn what_cannot_be_applied_is_named_and_the_zxid_advances() {
    check(
        [
            create("/a/b", ""),
            create("no-slash", ""),
            create("/zookeeper", ""),
            create("/", ""),
            delete("/a/b"),
            delete("/a"),
            set_data("/a", "", 1),
            set_acl("/a", Acl::open(), 1),
            create("/a", ""),
            create("/a/b", ""),
            create("/a/b/c", ""),
            delete("/a"),
        ],
        &expect![[r#"
            1 type 1: NO_NODE(-101) DIVERGED: create or delete of /a/b, whose parent does not exist
            2 type 1: NO_NODE(-101) DIVERGED: create or delete of no-slash, whose parent does not exist
            3 type 1: NODE_EXISTS(-110) DIVERGED: create of /zookeeper, which exists
            4 type 1: NODE_EXISTS(-110) DIVERGED: create of /, which exists
            5 type 2: NO_NODE(-101) DIVERGED: create or delete of /a/b, whose parent does not exist
            6 type 2: NO_NODE(-101) DIVERGED: change or delete of /a, which does not exist
            7 type 5: NO_NODE(-101) DIVERGED: change or delete of /a, which does not exist
            8 type 7: NO_NODE(-101) DIVERGED: change or delete of /a, which does not exist
            9 type 1: created /a c9 m9 p9 v0/0/0 0b 0ch
            10 type 1: created /a/b c10 m10 p10 v0/0/0 0b 0ch
            11 type 1: created /a/b/c c11 m11 p11 v0/0/0 0b 0ch
            12 type 2: deleted DIVERGED: delete of /a, which has children
            / "" c0 m0 p12 v0/5/0 0b 1ch
        "#]],
    );
}

#[test]
fn a_transaction_that_is_not_newer_than_the_last_one_is_not_applied() {
    let mut world = World::new();
    world.prepare([create("/a", ""), create("/b", "")]);
    let before = describe(&world.tree);
    for zxid in [1, 2] {
        let entry = create("/c", "").entry(zxid);
        let applied = world.tree.apply(&entry, &world.watches, &mut |_, _| {});
        let (zxid, last) = (Zxid(zxid), Zxid(2));
        assert_eq!(applied.diverged, Some(Divergence::NotNewer { zxid, last }));
    }
    assert_eq!(describe(&world.tree), before);
}

#[test]
fn the_configuration_is_set_outside_any_transaction() {
    let mut world = World::new();
    let digest = world.tree.digest();
    for text in ["server.1=a:1:2\nversion=100000000", "short"] {
        world.tree.set_config(text.as_bytes(), 0x1_0000_0000, TIME);
        let node = world.tree.node(BStr::new("/zookeeper/config")).unwrap();
        let stat = node.stat();
        assert_eq!(node.data(), Some(text.as_bytes()));
        assert_eq!((stat.version, stat.aversion, stat.mtime), (-1, -1, TIME));
        assert_eq!((stat.mzxid, stat.czxid), (Zxid(0x1_0000_0000), Zxid(0)));
        assert_eq!(show_acl(node.acl()), "world:anyone:1");
    }
    assert_eq!(
        (world.tree.digest(), world.tree.last_zxid()),
        (digest, Zxid::ZERO)
    );

    // Ensembles of 3.4 have no such znode.
    world.prepare([delete("/zookeeper/config")]);
    let cversion = |tree: &Tree| {
        tree.node(BStr::new("/zookeeper"))
            .unwrap()
            .persisted()
            .cversion
    };
    let before = cversion(&world.tree);
    world.tree.set_config(b"again", 7, TIME);
    assert_eq!(
        world
            .tree
            .node(BStr::new("/zookeeper/config"))
            .unwrap()
            .data(),
        Some(&b"again"[..])
    );
    assert_eq!(cversion(&world.tree), before);
    assert_eq!(
        world.tree.approximate_data_size(),
        reload(&world.tree).approximate_data_size()
    );
}

#[test]
fn a_subtree_is_counted_without_its_top() {
    let mut world = World::new();
    world.prepare([
        create("/a", ""),
        create("/a/b", ""),
        create("/a/b/c", ""),
        create("/ab", ""),
    ]);
    for (path, count) in [
        ("/", Some(7)),
        ("", Some(8)),
        ("/a", Some(2)),
        ("/a/b", Some(1)),
        ("/ab", Some(0)),
        ("/x", None),
    ] {
        assert_eq!(
            world.tree.get_all_children_number(BStr::new(path)),
            count,
            "{path:?}"
        );
    }
}
