//! How observers come to have the leader's tree, and to keep it.

use crate::world::{World, path};
use outpost_mirror::TxnResult;
use outpost_sim::LeaderSettings;
use outpost_wire::proto::CreateRequest;
use outpost_wire::{Acl, OpCode, SessionId};

fn create(world: &mut World, session: SessionId, at: &str) -> TxnResult {
    let request = CreateRequest {
        path: path(at),
        data: Some(b"x"),
        acl: Some(Acl::open()),
        flags: 0,
    };
    world
        .write(session, OpCode::Create, &request)
        .expect("created")
}

#[test]
fn an_observer_attaches_with_a_snapshot_and_its_writes_come_back() {
    let mut world = World::attached(LeaderSettings::default());
    let session = world.create_session(0, 0x0a00_0000_0000_0001, 10_000);
    create(&mut world, session, "/a");
    create(&mut world, session, "/a/b");
    assert_eq!(world.observers[0].snapshots, 1);
    assert_eq!(world.observers[0].applied.len(), 3);
    world.assert_equal_trees();
}
