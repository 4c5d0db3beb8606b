//! Sessions: who keeps them alive, who may use them, what goes with them.

use outpost_sim::{LeaderSettings, Uncommitted};
use outpost_wire::proto::{
    CreateRequest, CreateTtlRequest, DeleteRequest, SetAclRequest, SetDataRequest, SyncRequest,
};
use outpost_wire::{Acl, ErrorCode, Id, OpCode, Perms, Record, SessionId};

use crate::world::{World, path};

const SESSION: i64 = 0x0a00_0000_0000_0001;

fn create(
    world: &mut World,
    observer: usize,
    session: SessionId,
    at: &str,
    flags: i32,
) -> ErrorCode {
    let request = CreateRequest {
        path: path(at),
        data: None,
        acl: Some(Acl::open()),
        flags,
    };
    let op = if flags == 4 {
        OpCode::CreateContainer
    } else {
        OpCode::Create
    };
    world
        .ask(observer, session, op, &request.encode())
        .expect("an answer")
        .error
}

fn exists(world: &World, at: &str) -> bool {
    world.leader().tree().node(path(at)).is_some()
}

#[test]
fn p7_a_session_that_nobody_touches_expires_with_its_ephemerals_and_not_before_its_timeout() {
    let mut world = World::attached(LeaderSettings::default());
    let session = world.create_session(0, SESSION, 6_000);
    create(&mut world, 0, session, "/e", 1);
    world.observers[0].touched.clear();
    world.advance(5_999);
    assert!(exists(&world, "/e"));
    world.advance(2_001);
    assert!(!exists(&world, "/e"));
    let (header, _) = world.observers[0].applied.last().expect("a transaction");
    assert_eq!(
        (header.kind, header.session, header.cxid.0),
        (OpCode::CloseSession.code(), session, 0)
    );
    assert_eq!(
        create(&mut world, 0, session, "/a", 0),
        ErrorCode::SESSION_EXPIRED
    );
    world.assert_equal_trees();
}

#[test]
fn a_session_that_is_touched_in_pings_lives_on() {
    let mut world = World::attached(LeaderSettings::default());
    let session = world.create_session(0, SESSION, 6_000);
    create(&mut world, 0, session, "/e", 1);
    world.advance(60_000);
    assert!(exists(&world, "/e"));
    assert!(
        world.observers[0].is_following(),
        "an observer that answers is not silent"
    );
}

#[test]
fn a_session_that_is_closed_takes_its_ephemerals_with_it() {
    let mut world = World::attached(LeaderSettings::default());
    let session = world.create_session(0, SESSION, 6_000);
    create(&mut world, 0, session, "/e", 1);
    create(&mut world, 0, session, "/p", 0);
    world.ask(0, session, OpCode::CloseSession, &[]);
    assert!(!exists(&world, "/e") && exists(&world, "/p"));
    assert!(world.leader().tree().sessions().is_empty());
    world.assert_equal_trees();
}

#[test]
fn a_session_is_used_only_where_it_was_revalidated_last() {
    let mut world = World::attached(LeaderSettings::default());
    let other = world.add_observer();
    world.attach(other);
    let session = world.create_session(0, SESSION, 6_000);
    assert_eq!(
        create(&mut world, other, session, "/a", 0),
        ErrorCode::SESSION_MOVED
    );

    world.observers[other].revalidate(session, 6_000);
    world.settle();
    assert_eq!(world.observers[other].revalidated, [(session, true)]);
    assert_eq!(create(&mut world, other, session, "/a", 0), ErrorCode::OK);
    assert_eq!(
        create(&mut world, 0, session, "/b", 0),
        ErrorCode::SESSION_MOVED
    );
}

#[test]
fn after_a_reconnect_a_session_has_moved_until_it_is_revalidated() {
    let mut world = World::attached(LeaderSettings::default());
    let session = world.create_session(0, SESSION, 6_000);
    world.detach(0);
    world.attach(0);
    assert_eq!(
        create(&mut world, 0, session, "/a", 0),
        ErrorCode::SESSION_MOVED
    );
    world.observers[0].revalidate(session, 6_000);
    world.settle();
    assert_eq!(create(&mut world, 0, session, "/a", 0), ErrorCode::OK);
}

#[test]
fn an_unknown_session_is_not_valid() {
    let mut world = World::attached(LeaderSettings::default());
    world.observers[0].revalidate(SessionId(99), 6_000);
    world.settle();
    assert_eq!(world.observers[0].revalidated, [(SessionId(99), false)]);
}

#[test]
fn after_an_election_every_session_has_its_whole_timeout_and_belongs_to_nobody() {
    let mut world = World::attached(LeaderSettings::default());
    let other = world.add_observer();
    let session = world.create_session(0, SESSION, 6_000);
    world.observers[0].touched.clear();
    world.advance(5_000);
    world
        .ensemble
        .elect(world.now_ms, None, Uncommitted::Committed);
    world.settle();
    world.advance(5_000);
    assert!(world.leader().tree().sessions().contains_key(&session));
    world.attach(0);
    world.attach(other);
    assert_eq!(create(&mut world, other, session, "/a", 0), ErrorCode::OK);
    assert_eq!(
        create(&mut world, 0, session, "/b", 0),
        ErrorCode::SESSION_MOVED
    );
}

#[test]
fn a_sync_is_answered_when_what_was_proposed_before_it_is_committed() {
    let settings = LeaderSettings {
        commit_delay_ms: 50,
        ..LeaderSettings::default()
    };
    let mut world = World::attached(settings);
    let sync = SyncRequest { path: path("/") }.encode();
    world.observers[0].submit(SessionId(99), OpCode::Sync, &sync);
    world.settle();
    assert_eq!(
        world.observers[0].synced, 1,
        "nothing was proposed, and the session does not matter"
    );

    world
        .ensemble
        .write_as_someone_else(world.now_ms, path("/a"), None)
        .expect("proposed");
    world.observers[0].submit(SessionId(99), OpCode::Sync, &sync);
    world.advance(49);
    assert_eq!(world.observers[0].synced, 1);
    world.advance(1);
    assert_eq!(world.observers[0].synced, 2);
    assert!(world.observers[0].tree.node(path("/a")).is_some());
}

#[test]
fn a_container_goes_when_it_has_lost_its_last_child_and_a_ttl_znode_when_its_time_is_over() {
    let mut settings = LeaderSettings::default();
    settings.tree.extended_types = true;
    let mut world = World::attached(settings);
    let session = world.create_session(0, SESSION, 20_000);
    create(&mut world, 0, session, "/used", 4);
    create(&mut world, 0, session, "/used/child", 0);
    create(&mut world, 0, session, "/unused", 4);
    let (acl, data) = (Some(Acl::open()), None);
    let ttl = CreateTtlRequest {
        path: path("/t"),
        data,
        acl,
        flags: 5,
        ttl: 90_000,
    };
    world.ask(0, session, OpCode::CreateTtl, &ttl.encode());
    world.advance(60_000);
    assert!(exists(&world, "/used") && exists(&world, "/t"));

    let delete = DeleteRequest {
        path: path("/used/child"),
        version: -1,
    };
    world.ask(0, session, OpCode::Delete, &delete.encode());
    world.advance(60_000);
    assert!(!exists(&world, "/used") && exists(&world, "/unused") && !exists(&world, "/t"));
    world.assert_equal_trees();
}

#[test]
fn others_write_too_and_their_session_outlives_elections() {
    let mut world = World::attached(LeaderSettings::default());
    for data in [&b"one"[..], b"two"] {
        let written = world
            .ensemble
            .write_as_someone_else(world.now_ms, path("/a"), Some(data));
        assert!(written.is_ok());
        world.settle();
        let node = world.observers[0].tree.node(path("/a")).expect("written");
        assert_eq!(node.data(), Some(data));
        world
            .ensemble
            .elect(world.now_ms, None, Uncommitted::Committed);
        world.settle();
        world.attach(0);
    }
    assert_eq!(world.leader().tree().sessions().len(), 1);
    world.advance(120_000);
    assert!(
        world.leader().tree().sessions().is_empty(),
        "nobody touched it"
    );
    let written = world
        .ensemble
        .write_as_someone_else(world.now_ms, path("/a"), None);
    assert!(written.is_ok());
    let none = world
        .ensemble
        .write_as_someone_else(world.now_ms, path("/no/a"), None);
    assert_eq!(none, Err(ErrorCode::NO_NODE));
}

#[test]
fn a_new_acl_counts_for_later_requests_only_once_it_is_committed() {
    let settings = LeaderSettings {
        commit_delay_ms: 50,
        ..LeaderSettings::default()
    };
    let mut world = World::attached(settings);
    world
        .ensemble
        .write_as_someone_else(world.now_ms, path("/a"), None)
        .expect("proposed");
    let session = SessionId(SESSION);
    let acl = Some(vec![Acl {
        perms: Perms::READ,
        id: Id::anyone(),
    }]);
    let read_only = SetAclRequest {
        path: path("/a"),
        acl,
        version: -1,
    }
    .encode();
    let set = SetDataRequest {
        path: path("/a"),
        data: None,
        version: -1,
    }
    .encode();
    let observer = &mut world.observers[0];
    observer.submit(session, OpCode::CreateSession, &6_000_i32.to_be_bytes());
    observer.submit(session, OpCode::SetAcl, &read_only);
    let early = observer.submit(session, OpCode::SetData, &set);
    world.settle();
    world.advance(50);
    let late = world.observers[0].submit(session, OpCode::SetData, &set);
    world.settle();
    world.advance(50);
    let error_of = |cxid| {
        world.observers[0]
            .answer(session, cxid)
            .map(|applied| applied.error)
    };
    assert_eq!(
        (error_of(early), error_of(late)),
        (Some(ErrorCode::OK), Some(ErrorCode::NO_AUTH))
    );
}

#[test]
fn a_write_of_the_same_session_sees_those_before_it_although_none_is_committed() {
    let settings = LeaderSettings {
        commit_delay_ms: 50,
        ..LeaderSettings::default()
    };
    let mut world = World::attached(settings);
    let session = SessionId(SESSION);
    let observer = &mut world.observers[0];
    observer.submit(session, OpCode::CreateSession, &6_000_i32.to_be_bytes());
    let new = CreateRequest {
        path: path("/a"),
        data: None,
        acl: Some(Acl::open()),
        flags: 1,
    };
    observer.submit(session, OpCode::Create, &new.encode());
    for version in [0, 1] {
        let set = SetDataRequest {
            path: path("/a"),
            data: None,
            version,
        };
        observer.submit(session, OpCode::SetData, &set.encode());
    }
    observer.submit(session, OpCode::CloseSession, &[]);
    world.settle();
    world.advance(50);
    let errors: Vec<ErrorCode> = world.observers[0]
        .applied
        .iter()
        .map(|(_, a)| a.error)
        .collect();
    assert_eq!(errors, [ErrorCode::OK; 5]);
    assert!(!exists(&world, "/a"), "an ephemeral outlived its session");
    world.assert_equal_trees();
}
