//! From OBSERVERINFO to the first packet of the synchronisation.

use std::time::Duration;

use expect_test::expect;
use outpost_forward::learner::Settings;
use outpost_wire::quorum::PacketType;

use crate::master::*;
use crate::script::{INIT_TIMEOUT, Step, check, observer};

#[test]
fn p9_it_presents_no_epoch_and_no_membership_and_its_epoch_ack_counts_for_nothing() {
    check(
        observer(z(5, 0x10)),
        registered(6, []),
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        synchronizes
    "#]],
    );
}

#[test]
fn a_fresh_mirror_asks_for_a_snapshot_by_presenting_zxid_zero() {
    check(
        observer(0),
        registered(6, []),
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x0 ffffffff
        synchronizes
    "#]],
    );
}

#[test]
fn a_master_of_an_epoch_that_is_over_is_refused() {
    check(
        observer(z(5, 0x10)),
        registered(4, []),
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        ends: the master offers epoch 4, but epoch 5 has been seen
    "#]],
    );
}

#[test]
fn p1_an_epoch_counts_as_seen_even_if_nothing_was_committed_in_it() {
    let settings = Settings {
        accepted_epoch: 7,
        ..observer(z(5, 0x10))
    };
    check(
        settings.clone(),
        registered(6, []),
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        ends: the master offers epoch 6, but epoch 7 has been seen
    "#]],
    );
    check(
        settings,
        registered(7, []),
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        synchronizes
    "#]],
    );
}

#[test]
fn a_master_that_answers_with_anything_else_is_given_up() {
    for kind in [
        PacketType::Diff,
        PacketType::UpToDate,
        PacketType::Ping,
        PacketType::Ack,
    ] {
        let script = [packet(kind, 0, None), leader_info(1)];
        let run = crate::script::Run::of(observer(0), &script, crate::script::Pieces::Packets);
        assert_eq!(
            run.ended,
            format!("ends: the master broke the protocol: {kind:?} in answer to OBSERVERINFO")
        );
        assert_eq!(run.sent.len(), 1, "{kind:?}");
    }
}

#[test]
fn an_answer_of_unknown_type_is_given_up_by_its_number() {
    let mut unknown = leader_info(1);
    if let Step::Packet(packet) = &mut unknown {
        packet.kind = 77;
    }
    check(
        observer(0),
        [unknown],
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        ends: the master broke the protocol: packet of unknown type 77 in answer to OBSERVERINFO
    "#]],
    );
}

#[test]
fn a_master_of_3_3_is_recognized_by_its_first_packet_and_gets_one_ack_at_the_end() {
    let script = [
        packet(PacketType::NewLeader, z(2, 3), None),
        snap(z(2, 3)),
        tree(&[("/a", "old", 0)]),
        ping(z(2, 3)),
        inform(z(2, 4), &create("/b", -1)),
        up_to_date(),
        inform(z(2, 5), &delete("/b")),
    ];
    check(
        observer(0),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends Ack 0x200000000 null
        snapshot at 0x200000004, sessions [0x9]
          / = , 1 children until 0x200000004
          /a/ = old, 0 children until 0x0
          /b/ = new, 0 children until 0x200000004
        up to date
        committed 0x200000005 Delete
        follows, leader at 0x200000005
    "#]],
    );
}

#[test]
fn a_master_known_to_be_of_3_3_is_told_our_last_zxid_at_once() {
    let settings = Settings {
        master_is_legacy: true,
        ..observer(z(2, 3))
    };
    let script = [
        packet(PacketType::NewLeader, z(2, 4), None),
        diff(z(2, 4)),
        proposal(z(2, 4), &create("/b", -1)),
        commit(z(2, 4)),
        up_to_date(),
    ];
    check(
        settings,
        script,
        expect![[r#"
        sends ObserverInfo 0x200000003 server 10 speaks 0x10000, configuration 0, in 20 bytes
        committed 0x200000004 Create
        sends Ack 0x200000000 null
        up to date
        follows, leader at 0x200000004
    "#]],
    );
}

#[test]
fn p9_no_ack_of_ours_makes_a_leader_of_a_master_of_3_3() {
    let settings = Settings {
        master_is_legacy: true,
        ..observer(z(2, 3))
    };
    let newleader = || packet(PacketType::NewLeader, z(3, 0), None);
    let script = [
        newleader(),
        diff(z(2, 4)),
        proposal(z(2, 4), &create("/b", -1)),
        commit(z(2, 4)),
        // It waits for its acknowledgements, like any other proposal.
        newleader(),
        up_to_date(),
    ];
    // UPTODATE says nothing about the history either (P1).
    check(
        settings.clone(),
        &script,
        expect![[r#"
        sends ObserverInfo 0x200000003 server 10 speaks 0x10000, configuration 0, in 20 bytes
        synchronizes
    "#]],
    );
    let confirmed = [&script[..], &[ping(z(3, 0)), ping(z(3, 0))]].concat();
    check(
        settings.clone(),
        confirmed,
        expect![[r#"
        sends ObserverInfo 0x200000003 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends Ack 0x300000000 null
        committed 0x200000004 Create
        up to date
        sends Ping 0x300000000 []
        follows, leader at 0x300000000
    "#]],
    );
    let in_office = [&script[..], &[inform(z(3, 1), &delete("/b"))]].concat();
    check(
        settings.clone(),
        in_office,
        expect![[r#"
        sends ObserverInfo 0x200000003 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends Ack 0x300000000 null
        committed 0x200000004 Create
        committed 0x300000001 Delete
        up to date
        follows, leader at 0x300000001
    "#]],
    );
    let early = [&script[..5], &[ping(z(3, 0)), up_to_date()]].concat();
    check(
        settings,
        early,
        expect![[r#"
        sends ObserverInfo 0x200000003 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends Ack 0x300000000 null
        committed 0x200000004 Create
        up to date
        follows, leader at 0x200000004
    "#]],
    );
}

#[test]
fn a_stale_master_of_3_3_is_refused_too() {
    let script = [packet(PacketType::NewLeader, z(1, 9), None)];
    check(
        observer(z(2, 3)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        ends: the master offers epoch 1, but epoch 2 has been seen
    "#]],
    );
}

#[test]
fn a_master_that_does_not_answer_is_given_up_after_init_limit() {
    let almost = INIT_TIMEOUT - Duration::from_millis(1);
    check(
        observer(0),
        [Step::Wait(almost)],
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        waits for an answer
    "#]],
    );
    check(
        observer(0),
        [Step::Wait(INIT_TIMEOUT)],
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        ends: the master was silent for 20000 ms
    "#]],
    );
}
