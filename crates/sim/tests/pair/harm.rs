//! Learners that do not keep to the protocol.

use bytes::Bytes;
use outpost_mirror::DigestCheck;
use outpost_sim::{Harm, LeaderSettings, LearnerKey, Output, Uncommitted};
use outpost_wire::quorum::{LearnerInfo, PROTOCOL_VERSION, PacketType, QuorumPacket};
use outpost_wire::{OpCode, ServerId, Writer, Zxid};

use crate::world::World;

const SESSION: i64 = 0x0a00_0000_0000_0001;

fn observer_info(server_id: i64, config_version: i64) -> QuorumPacket {
    let info = LearnerInfo {
        server_id: ServerId(server_id),
        protocol_version: PROTOCOL_VERSION,
        config_version,
    };
    let mut data = Vec::new();
    info.write(&mut Writer::new(&mut data));
    QuorumPacket::new(
        PacketType::ObserverInfo,
        Zxid::ZERO,
        Some(Bytes::from(data)),
    )
}

fn packet(kind: PacketType, zxid: i64, data: Option<&'static [u8]>) -> QuorumPacket {
    QuorumPacket::new(kind, Zxid(zxid), data.map(Bytes::from_static))
}

/// Sends packets on a connection of their own; true if it was closed.
fn is_closed_by(world: &mut World, packets: &[QuorumPacket]) -> (LearnerKey, bool) {
    let server = world.leader().id();
    let key = world
        .ensemble
        .connect(world.now_ms, server)
        .expect("the leader listens");
    for packet in packets {
        world.ensemble.handle_packet(world.now_ms, key, packet);
    }
    let mut closed = false;
    while let Some((to, output)) = world.ensemble.poll_output() {
        closed |= to == key && output == Output::Close;
    }
    (key, closed)
}

#[test]
fn a_learner_that_breaks_the_protocol_is_closed() {
    let hello = observer_info(10, 0);
    let ack_epoch = packet(PacketType::AckEpoch, 0, Some(&[0xff; 4]));
    let ack = packet(PacketType::Ack, 1 << 32, None);
    let ping = |data| packet(PacketType::Ping, 0, data);
    let follower = packet(
        PacketType::FollowerInfo,
        0,
        hello.data.as_ref().map(|_| &[0; 20][..]),
    );
    let cases: [(&str, Vec<QuorumPacket>, bool); 9] = [
        (
            "all is well",
            vec![
                hello.clone(),
                ack_epoch.clone(),
                ack.clone(),
                ping(Some(b"")),
            ],
            false,
        ),
        ("a follower", vec![follower], true),
        ("no OBSERVERINFO", vec![ack_epoch.clone()], true),
        ("a newer membership", vec![observer_info(10, 1)], true),
        ("no ACKEPOCH", vec![hello.clone(), ack.clone()], true),
        (
            "PING before ACK",
            vec![hello.clone(), ack_epoch.clone(), ping(Some(b""))],
            true,
        ),
        (
            "PING of null",
            vec![hello.clone(), ack_epoch.clone(), ack.clone(), ping(None)],
            true,
        ),
        (
            "PING cut off",
            vec![
                hello.clone(),
                ack_epoch.clone(),
                ack.clone(),
                ping(Some(b"x")),
            ],
            true,
        ),
        (
            "REQUEST cut off",
            vec![
                hello,
                ack_epoch,
                ack,
                packet(PacketType::Request, -1, Some(b"x")),
            ],
            true,
        ),
    ];
    for (name, packets, closed) in cases {
        let mut world = World::new(LeaderSettings::default());
        assert_eq!(is_closed_by(&mut world, &packets).1, closed, "{name}");
    }
}

#[test]
fn a_silent_learner_is_closed_when_its_time_is_over() {
    let mut world = World::new(LeaderSettings::default());
    let (_, closed) = is_closed_by(&mut world, &[observer_info(10, 0)]);
    assert!(!closed);
    let mut closed_at = None;
    for now_ms in [world.now_ms + 19_999, world.now_ms + 20_000] {
        world.ensemble.handle_timeout(now_ms);
        while let Some((_, output)) = world.ensemble.poll_output() {
            if output == Output::Close {
                closed_at = Some(now_ms - world.now_ms);
            }
        }
    }
    assert_eq!(closed_at, Some(20_000));
}

#[test]
fn p9_a_body_that_cannot_be_read_stops_all_commits_until_the_next_election() {
    let mut world = World::attached(LeaderSettings::default());
    let session = world.create_session(0, SESSION, 10_000);
    assert!(world.ask(0, session, OpCode::Delete, &[0, 0]).is_none());
    assert!(matches!(
        world.leader().harm(),
        Some(Harm::UndecodableBody { op: 2, .. })
    ));
    assert!(
        world.ask(0, session, OpCode::CloseSession, &[]).is_none(),
        "something is committed"
    );

    world
        .ensemble
        .elect(world.now_ms, None, Uncommitted::Committed);
    world.settle();
    world.attach(0);
    assert!(world.ask(0, session, OpCode::CloseSession, &[]).is_some());
}

#[test]
fn p9_a_voters_id_and_the_acknowledgement_of_a_transaction_are_noticed() {
    let mut world = World::new(LeaderSettings::default());
    is_closed_by(&mut world, &[observer_info(2, 0)]);
    assert_eq!(world.leader().harm(), Some(&Harm::VoterId(ServerId(2))));

    let mut world = World::new(LeaderSettings::default());
    let ack_epoch = packet(PacketType::AckEpoch, 0, Some(&[0xff; 4]));
    let ack = packet(PacketType::Ack, 1 << 32, None);
    let vote = packet(PacketType::Ack, (1 << 32) + 1, None);
    is_closed_by(&mut world, &[observer_info(10, 0), ack_epoch, ack, vote]);
    assert_eq!(
        world.leader().harm(),
        Some(&Harm::TxnAck(Zxid((1 << 32) + 1)))
    );
}

#[test]
fn p9_an_observer_of_ours_does_no_harm() {
    let mut world = World::attached(LeaderSettings::default());
    world.create_session(0, SESSION, 10_000);
    world.advance(60_000);
    world
        .ensemble
        .elect(world.now_ms, None, Uncommitted::Committed);
    world.settle();
    world.attach(0);
    world.advance(10_000);
    assert_eq!(world.leader().harm(), None);
}

#[test]
fn packets_on_a_connection_to_an_earlier_leader_go_nowhere() {
    let mut world = World::new(LeaderSettings::default());
    let server = world.leader().id();
    let key = world
        .ensemble
        .connect(world.now_ms, server)
        .expect("the leader listens");
    world
        .ensemble
        .elect(world.now_ms, Some(server), Uncommitted::Committed);
    assert_eq!(world.ensemble.poll_output(), Some((key, Output::Close)));
    world
        .ensemble
        .handle_packet(world.now_ms, key, &observer_info(10, 0));
    assert_eq!(world.ensemble.poll_output(), None);
    let next = world
        .ensemble
        .connect(world.now_ms, server)
        .expect("the leader listens");
    assert_ne!(next, key, "a key was given twice");
}

#[test]
fn p1_a_spoilt_digest_is_noticed_by_the_learners_tree_and_only_once() {
    let mut world = World::attached(LeaderSettings::default());
    let session = world.create_session(0, SESSION, 10_000);
    world.observers[0].tolerates_digests = true;
    world
        .ensemble
        .leader_mut()
        .expect("a leader")
        .spoil_next_digest();
    for spoilt in [true, false] {
        let body = 10_000_i32.to_be_bytes();
        let applied = world
            .ask(0, session, OpCode::CreateSession, &body)
            .expect("applied");
        let differs = matches!(applied.digest, DigestCheck::Differs { .. });
        assert_eq!(differs, spoilt);
    }
    world.assert_equal_trees();
}
