//! How observers come to have the leader's tree, and keep it.

use outpost_forward::Lost;
use outpost_mirror::TxnResult;
use outpost_sim::{LeaderSettings, Uncommitted};
use outpost_wire::proto::CreateRequest;
use outpost_wire::{Acl, ErrorCode, OpCode, ServerId, SessionId, Zxid};

use crate::workload::Workload;
use crate::world::{World, contents, path};

const SESSION: i64 = 0x0a00_0000_0000_0001;

fn create(world: &mut World, session: SessionId, at: &str) -> Result<TxnResult, ErrorCode> {
    let request = CreateRequest {
        path: path(at),
        data: Some(b"x"),
        acl: Some(Acl::open()),
        flags: 0,
    };
    world.write(session, OpCode::Create, &request)
}

fn create_all(world: &mut World, session: SessionId, name: &str, count: usize) {
    for n in 0..count {
        create(world, session, &format!("/{name}{n}")).expect("created");
    }
}

#[test]
fn an_observer_attaches_with_a_snapshot_and_its_writes_come_back() {
    let mut world = World::attached(LeaderSettings::default());
    let session = world.create_session(0, SESSION, 10_000);
    create_all(&mut world, session, "a", 3);
    assert_eq!(
        create(&mut world, session, "/a0"),
        Err(ErrorCode::NODE_EXISTS)
    );
    assert_eq!(world.observers[0].snapshots, 1);
    assert_eq!(world.observers[0].applied.len(), 5);
    world.assert_equal_trees();
}

#[test]
fn an_observer_that_was_away_is_sent_only_what_it_missed() {
    let mut world = World::attached(LeaderSettings::default());
    let other = world.add_observer();
    world.attach(other);
    let session = world.create_session(0, SESSION, 10_000);
    world.detach(other);
    create_all(&mut world, session, "a", 20);
    world.attach(other);
    assert_eq!(world.observers[other].snapshots, 1);
    assert_eq!(world.observers[other].applied.len(), 21);
    world.assert_equal_trees();
}

#[test]
fn an_observer_that_missed_more_than_the_history_is_sent_a_snapshot() {
    let settings = LeaderSettings {
        history_max: 10,
        ..LeaderSettings::default()
    };
    let mut world = World::attached(settings);
    let other = world.add_observer();
    world.attach(other);
    let session = world.create_session(0, SESSION, 10_000);
    world.detach(other);
    create_all(&mut world, session, "a", 20);
    world.attach(other);
    assert_eq!(world.observers[other].snapshots, 2);
    world.assert_equal_trees();
}

#[test]
fn a_leader_that_is_told_so_sends_snapshots_even_when_nothing_is_missing() {
    let settings = LeaderSettings {
        force_snapshot: true,
        ..LeaderSettings::default()
    };
    let mut world = World::attached(settings);
    let session = world.create_session(0, SESSION, 10_000);
    create_all(&mut world, session, "a", 3);
    world.detach(0);
    world.attach(0);
    assert_eq!(world.observers[0].snapshots, 2);
    world.assert_equal_trees();
}

#[test]
fn p1_an_election_ends_the_old_leaders_links_and_loses_nothing_committed() {
    let mut world = World::attached(LeaderSettings::default());
    let session = world.create_session(0, SESSION, 10_000);
    create_all(&mut world, session, "before", 3);
    let before = contents(world.leader().tree());

    assert!(
        world
            .ensemble
            .elect(world.now_ms, Some(ServerId(1)), Uncommitted::Committed)
    );
    world.settle();
    assert!(matches!(world.observers[0].lost, Some(Lost::Closed)));
    assert_eq!(
        (world.leader().id(), world.leader().epoch()),
        (ServerId(1), 2)
    );
    assert_eq!(contents(world.leader().tree()), before);

    world.attach(0);
    assert_eq!(world.observers[0].snapshots, 1, "a diff suffices");
    create_all(&mut world, session, "after", 3);
    assert_eq!(world.observers[0].tree.last_zxid(), Zxid(0x2_0000_0003));
    world.assert_equal_trees();
}

#[test]
fn a_diff_crosses_epochs() {
    let mut world = World::attached(LeaderSettings::default());
    let other = world.add_observer();
    world.attach(other);
    let session = world.create_session(0, SESSION, 10_000);
    world.detach(other);
    create_all(&mut world, session, "one", 3);
    world
        .ensemble
        .elect(world.now_ms, None, Uncommitted::Committed);
    world.settle();
    world.attach(0);
    create_all(&mut world, session, "two", 3);
    world.attach(other);
    assert_eq!(world.observers[other].snapshots, 1);
    world.assert_equal_trees();
}

#[test]
fn p1_proposals_that_an_election_loses_were_never_seen() {
    let settings = LeaderSettings {
        commit_delay_ms: 50,
        ..LeaderSettings::default()
    };
    for (uncommitted, survives) in [(Uncommitted::Lost, false), (Uncommitted::Committed, true)] {
        let mut world = World::attached(settings.clone());
        let outcome = world
            .ensemble
            .write_as_someone_else(world.now_ms, path("/late"), None);
        assert!(outcome.is_ok());
        world.settle();
        assert_eq!(
            world.observers[0].applied.len(),
            0,
            "nothing is committed yet"
        );
        world.ensemble.elect(world.now_ms, None, uncommitted);
        world.settle();
        world.attach(0);
        assert_eq!(
            world.observers[0].tree.node(path("/late")).is_some(),
            survives
        );
        world.assert_equal_trees();
    }
}

#[test]
fn while_an_election_lasts_nobody_listens() {
    let mut world = World::new(LeaderSettings::default());
    let mut settings = world.settings.clone();
    settings.election_ms = 500;
    world.ensemble = outpost_sim::Ensemble::new(world.now_ms, settings);
    world
        .ensemble
        .elect(world.now_ms, Some(ServerId(2)), Uncommitted::Committed);
    world.advance(499);
    for server in 1..=3 {
        assert_eq!(world.ensemble.connect(world.now_ms, ServerId(server)), None);
    }
    world.advance(1);
    assert!(world.ensemble.connect(world.now_ms, ServerId(2)).is_some());
}

#[test]
fn a_minority_leads_nobody_until_a_quorum_is_up_again() {
    let mut world = World::attached(LeaderSettings::default());
    world.ensemble.stop(world.now_ms, ServerId(1));
    world.settle();
    assert!(
        world.observers[0].is_following(),
        "the leader still has a quorum"
    );
    world.ensemble.stop(world.now_ms, ServerId(3));
    world.settle();
    assert!(matches!(world.observers[0].lost, Some(Lost::Closed)));
    assert!(world.ensemble.leader().is_none());
    assert!(
        !world
            .ensemble
            .elect(world.now_ms, Some(ServerId(2)), Uncommitted::Lost)
    );
    world.ensemble.start(world.now_ms, ServerId(1));
    world.attach(0);
    assert!(world.observers[0].is_following());
}

#[test]
fn a_leader_that_goes_down_is_followed_by_another() {
    let mut world = World::attached(LeaderSettings::default());
    world.ensemble.stop(world.now_ms, ServerId(3));
    world.settle();
    assert_eq!(world.leader().id(), ServerId(1));
    world.attach(0);
    assert!(world.observers[0].is_following());
}

#[test]
fn an_observer_ahead_of_the_leader_is_told_to_go_back_and_starts_over() {
    let mut world = World::attached(LeaderSettings::default());
    let session = world.create_session(0, SESSION, 10_000);
    create_all(&mut world, session, "a", 3);
    world.detach(0);
    world.observers[0].tree.set_last_zxid(Zxid(0x1_0000_0009));
    world.attach(0);
    let to = Zxid(0x1_0000_0004);
    match &world.observers[0].lost {
        Some(Lost::Truncated { to: told, .. }) => assert_eq!(*told, to),
        other => panic!("lost by {other:?}"),
    }
    world.attach(0);
    assert_eq!(world.observers[0].snapshots, 2);
    world.assert_equal_trees();
}

#[test]
fn p1_trees_and_digests_agree_through_any_workload() {
    for seed in 0..20 {
        let mut world = World::attached(LeaderSettings::default());
        Workload::new(seed).run(&mut world, 300);
        world.assert_equal_trees();
    }
}

#[test]
fn p1_a_fuzzy_snapshot_ends_in_the_leaders_tree() {
    for seed in 0..20 {
        let settings = LeaderSettings {
            fuzzy_txns: 60,
            ..LeaderSettings::default()
        };
        let mut world = World::attached(settings);
        let other = world.add_observer();
        let mut workload = Workload::new(seed);
        workload.run(&mut world, 200);
        world.attach(other);
        assert!(world.observers[other].is_following(), "seed {seed}");
        assert_eq!(world.observers[other].snapshots, 1);
        world.assert_equal_trees();
        workload.run(&mut world, 50);
        world.assert_equal_trees();
    }
}

#[test]
fn p1_requests_behind_a_slow_quorum_are_decided_as_behind_a_fast_one() {
    for seed in 0..10 {
        let tree_after = |commit_delay_ms| {
            let settings = LeaderSettings {
                commit_delay_ms,
                ..LeaderSettings::default()
            };
            let mut world = World::attached(settings);
            Workload::new(seed)
                .without_set_acl()
                .run_without_waiting(&mut world, 200);
            world.advance(commit_delay_ms);
            world.assert_equal_trees();
            contents(world.leader().tree())
        };
        assert_eq!(tree_after(0), tree_after(40), "seed {seed}");
    }
}

#[test]
fn without_digests_transactions_carry_none() {
    let settings = LeaderSettings {
        digests: false,
        ..LeaderSettings::default()
    };
    let mut world = World::attached(settings);
    Workload::new(7).run(&mut world, 50);
    let none = outpost_mirror::DigestCheck::NotSent;
    assert!(
        world.observers[0]
            .applied
            .iter()
            .all(|(_, applied)| applied.digest == none)
    );
    world.assert_equal_trees();
}

#[test]
fn a_failed_request_alone_has_no_digest() {
    let mut world = World::attached(LeaderSettings::default());
    Workload::new(8).run(&mut world, 300);
    let applied = &world.observers[0].applied;
    assert!(
        applied
            .iter()
            .any(|(header, _)| header.kind == OpCode::Error.code())
    );
    for (header, applied) in applied {
        let compared = applied.digest == outpost_mirror::DigestCheck::Matches;
        assert_eq!(compared, header.kind != OpCode::Error.code(), "{header:?}");
    }
}

#[test]
fn the_same_calls_have_the_same_outcome() {
    let history = |seed| {
        let mut world = World::attached(LeaderSettings::default());
        Workload::new(seed).run(&mut world, 100);
        let history: Vec<_> = world
            .leader()
            .history()
            .map(|(_, bytes)| bytes.clone())
            .collect();
        history
    };
    assert_eq!(history(1), history(1));
    assert_ne!(history(1), history(2));
}
