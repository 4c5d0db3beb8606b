//! Walks of a tree in steps, with transactions between them: what downstream learners and snapshot files
//! are made of.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::VecDeque;

use bstr::{BStr, BString, ByteSlice};
use outpost_mirror::{Tree, TreeBuilder, TreeReplaced, TreeWalk, Walked, Watches};
use outpost_wire::txn::CreateKind;
use outpost_wire::{Acl, OpCode, SessionId};
use proptest::prelude::*;
use support::*;

fn populated() -> World {
    let mut world = World::new();
    world.prepare([
        create("/a", "1"),
        create("/a/b", "2"),
        create("/a/b/c", "3"),
        create("/d", "4"),
    ]);
    world
}

fn whole(tree: &Tree) -> Vec<BString> {
    let mut paths = Vec::new();
    tree.for_each_node(|path, _, _, _| {
        paths.push(path.to_owned());
        Ok::<(), std::fmt::Error>(())
    })
    .unwrap();
    paths
}

#[test]
fn a_walk_in_steps_of_any_size_visits_what_a_walk_at_once_visits() {
    let world = populated();
    for znodes_max in [1, 2, 3, 100] {
        let mut walk = TreeWalk::start(&world.tree);
        let (mut paths, mut steps) = (Vec::new(), 0);
        loop {
            let before = paths.len();
            let walked = walk
                .step(&world.tree, znodes_max, |path, _, _, _| {
                    paths.push(path.to_owned());
                })
                .unwrap();
            assert!(paths.len() - before <= znodes_max);
            steps += 1;
            if walked == Walked::Wholly {
                break;
            }
        }
        assert_eq!(paths, whole(&world.tree));
        assert!(steps >= paths.len() / znodes_max);
        let again = walk.step(&world.tree, 10, |path, _, _, _| panic!("{path} again"));
        assert_eq!(again, Ok(Walked::Wholly));
    }
}

#[test]
fn a_walk_ends_when_another_tree_takes_the_place() {
    let mut world = populated();
    let mut walk = TreeWalk::start(&world.tree);
    world.tree = reload(&world.tree);
    assert_eq!(
        walk.step(&world.tree, 10, |_, _, _, _| {}),
        Err(TreeReplaced)
    );
}

#[test]
fn who_took_the_place_of_a_deleted_znode_is_not_visited_under_its_path() {
    let mut world = World::new();
    world.prepare([create("/a", ""), create("/a/x", ""), create("/a/y", "")]);
    world.prepare([
        delete("/zookeeper/quota"),
        delete("/zookeeper/config"),
        delete("/zookeeper"),
    ]);
    let mut walk = TreeWalk::start(&world.tree);
    let mut paths = Vec::new();
    walk.step(&world.tree, 2, |path, _, _, _| paths.push(path.to_owned()))
        .unwrap();
    assert_eq!(paths, ["", "/a"]);
    world.prepare([delete("/a/x"), delete("/a/y"), delete("/a")]);
    // As many znodes as there were places, so that every place is taken again.
    world.prepare([
        create("/b", ""),
        create("/b/p", ""),
        create("/b/q", ""),
        create("/b/r", ""),
    ]);
    walk.step(&world.tree, 10, |path, _, _, _| paths.push(path.to_owned()))
        .unwrap();
    assert_eq!(paths, ["", "/a"]);
}

#[test]
fn the_configuration_is_not_visited_in_the_place_of_a_deleted_znode() {
    let mut world = World::new();
    world.prepare([
        delete("/zookeeper/config"),
        create("/a", ""),
        create("/a/x", ""),
    ]);
    let mut walk = TreeWalk::start(&world.tree);
    let mut paths = Vec::new();
    while !paths.contains(&BString::from("/a")) {
        walk.step(&world.tree, 1, |path, _, _, _| paths.push(path.to_owned()))
            .unwrap();
    }
    world.prepare([delete("/a/x")]);
    world
        .tree
        .set_config(b"made outside any transaction", 1, TIME);
    walk.step(&world.tree, 10, |path, _, _, _| paths.push(path.to_owned()))
        .unwrap();
    assert!(!paths.contains(&"/a/config".into()), "{paths:?}");
}

const SESSIONS: [i64; 2] = [0xa, 0xb];
const PATHS: [&str; 9] = [
    "/a",
    "/b",
    "/a/a",
    "/a/b",
    "/b/a",
    "/a/a/a",
    "/a/a/b",
    "/zookeeper/x",
    "/a/a/b/a",
];

/// What somebody asks a leader for.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Create(&'static str, Option<i64>, bool),
    Delete(&'static str),
    SetData(&'static str, &'static str),
    SetAcl(&'static str, bool),
    CloseSession(i64),
    /// Deletes and creates in one multi.
    Again(&'static str),
}

fn acl(open: bool) -> Vec<Acl> {
    if open { Acl::open() } else { read_only("bob") }
}

/// The transaction that a leader with this tree makes of a wish, if it grants it.
fn leaders_txn(tree: &Tree, wish: Wish) -> Option<Step> {
    let stat = |path: &str| Some(tree.node(BStr::new(path))?.persisted());
    let parent = |path: &str| stat(&path[..path.rfind('/')?]).filter(|p| p.ephemeral_owner == 0);
    let children = |path: &str| Some(tree.node(BStr::new(path))?.children().len());
    let created = |path, owner: Option<i64>, open, count| {
        let kind = if owner.is_some() {
            CreateKind::Ephemeral
        } else {
            CreateKind::Persistent
        };
        let op = if open {
            OpCode::Create
        } else {
            OpCode::Create2
        };
        create_with(op, path, Some("x"), acl(open), kind, count).by(owner.unwrap_or(1))
    };
    match wish {
        Wish::Create(path, owner, open) => {
            let parent = parent(path).filter(|_| stat(path).is_none())?;
            Some(created(path, owner, open, parent.cversion + 1))
        }
        Wish::Delete(path) => (children(path)? == 0).then(|| delete(path)),
        Wish::SetData(path, data) => Some(set_data(path, data, stat(path)?.version + 1)),
        Wish::SetAcl(path, open) => Some(set_acl(path, acl(open), stat(path)?.aversion + 1)),
        Wish::CloseSession(session) => {
            let paths: Vec<_> = tree.ephemerals_of(SessionId(session)).collect();
            let listed = |path: &&&str| paths.iter().any(|owned| *owned == **path);
            let list: Vec<_> = PATHS.iter().rev().filter(listed).copied().collect();
            assert_eq!(list.len(), paths.len());
            Some(close_session(session, Some(&list)))
        }
        Wish::Again(path) => {
            let count = parent(path)?.cversion + 1;
            let is_leaf = children(path)? == 0;
            is_leaf.then(|| multi([delete(path), created(path, None, true, count)]))
        }
    }
}

fn a_wish() -> impl Strategy<Value = Wish> {
    let path = || prop::sample::select(&PATHS[..]);
    let session = || prop::sample::select(&SESSIONS[..]);
    let data = prop::sample::select(vec!["", "y", "longer"]);
    prop_oneof![
        8 => (path(), prop::option::weighted(0.3, session()), any::<bool>())
            .prop_map(|(path, owner, open)| Wish::Create(path, owner, open)),
        4 => path().prop_map(Wish::Delete),
        2 => (path(), data).prop_map(|(path, data)| Wish::SetData(path, data)),
        1 => (path(), any::<bool>()).prop_map(|(path, open)| Wish::SetAcl(path, open)),
        1 => session().prop_map(Wish::CloseSession),
        1 => path().prop_map(Wish::Again),
    ]
}

/// Applies the txn of the next wish, if there is one, and returns it with its zxid.
fn grant(tree: &mut Tree, wishes: &mut VecDeque<Wish>) -> Option<(Step, i64)> {
    let wish = wishes.pop_front()?;
    let step = leaders_txn(tree, wish)?;
    let zxid = tree.last_zxid().0 + 1;
    let applied = tree.apply(&step.entry(zxid), &Watches::new(), &mut |_, _| {});
    assert_eq!(applied.diverged, None, "the leader of this test errs");
    Some((step, zxid))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_fuzzy_walk_and_the_transactions_since_make_the_leaders_tree(
        wishes in prop::collection::vec(a_wish(), 1..80),
        before in 0..40_usize,
        txns_between in prop::collection::vec(0..6_usize, 40),
    ) {
        let mut wishes = VecDeque::from(wishes);
        let mut leader = Tree::new();
        for _ in 0..before {
            grant(&mut leader, &mut wishes);
        }
        let mut walk = TreeWalk::start(&leader);
        let mut builder = TreeBuilder::new(walk.zxid());
        for (&session, &timeout_ms) in leader.sessions() {
            builder.session(session, timeout_ms);
        }
        for (id, acl) in leader.acls() {
            builder.acl(id, acl.to_vec());
        }
        let mut since = Vec::new();
        let mut txns_between = txns_between.into_iter();
        let mut refused = None;
        while walk.step(&leader, 1, |path, data, acl, stat| {
            let added = builder.node(path, data, acl, *stat);
            refused = refused.take().or(added.err().map(|error| (path.to_str_lossy().into_owned(), error)));
        }).unwrap() == Walked::Partly {
            for _ in 0..txns_between.next().unwrap_or(0) {
                since.extend(grant(&mut leader, &mut wishes));
            }
        }
        prop_assert_eq!(refused, None);
        let mut learner = builder.finish();
        for (step, zxid) in since {
            learner.replay(&step.entry(zxid));
        }
        prop_assert_eq!(describe(&learner), describe(&leader));
    }
}
