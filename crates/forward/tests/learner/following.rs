//! Steady state.

use std::time::Duration;

use expect_test::expect;
use outpost_wire::OpCode;
use outpost_wire::quorum::{PacketType, QuorumPacket};

use crate::master::*;
use crate::script::{PACKET_BYTES_MAX, SYNC_TIMEOUT, Step, check, observer};

const LAST: i64 = z(5, 0x10);

#[test]
fn transactions_come_out_in_order_and_are_not_acknowledged() {
    let script = following(
        LAST,
        [
            inform(LAST + 1, &create("/a", 1)),
            inform(LAST + 2, &failed()),
            inform(LAST + 3, &delete("/a")),
        ],
    );
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        committed 0x500000011 Create
        committed 0x500000012 Error
        committed 0x500000013 Delete
        follows, leader at 0x500000013
    "#]],
    );
}

#[test]
fn p1_a_gap_ends_the_link_and_nothing_behind_it_comes_out() {
    let script = following(
        LAST,
        [
            inform(LAST + 2, &create("/a", 1)),
            inform(LAST + 1, &create("/b", 1)),
        ],
    );
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        ends: the master broke the protocol: transaction 0x500000012 cannot follow 0x500000010
    "#]],
    );
}

#[test]
fn p1_a_transaction_that_comes_twice_ends_the_link() {
    let script = following(
        LAST,
        [inform(LAST + 1, &failed()), inform(LAST + 1, &failed())],
    );
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        committed 0x500000011 Error
        ends: the master broke the protocol: transaction 0x500000011 cannot follow 0x500000011
    "#]],
    );
}

#[test]
fn p1_a_transaction_of_an_older_epoch_ends_the_link() {
    let script = following(LAST, [inform(z(4, 0x11), &failed())]);
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        ends: the master broke the protocol: transaction 0x400000011 cannot follow 0x500000010
    "#]],
    );
}

#[test]
fn p1_the_zxid_that_counts_is_the_one_in_the_transaction() {
    let Step::Packet(mut lying) = inform(LAST + 1, &failed()) else {
        unreachable!("INFORM is a packet")
    };
    lying.zxid = outpost_wire::Zxid(LAST + 9);
    let script = following(LAST, [lying.into(), inform(LAST + 2, &failed())]);
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        committed 0x500000011 Error
        committed 0x500000012 Error
        follows, leader at 0x500000012
    "#]],
    );
}

#[test]
fn a_ping_is_answered_with_an_empty_table_and_not_with_null() {
    check(
        observer(LAST),
        following(LAST, [ping(LAST)]),
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        sends Ping 0x500000010 []
        follows, leader at 0x500000010
    "#]],
    );
}

#[test]
fn a_ping_is_answered_with_every_touch_since_the_last_one() {
    let script = following(
        LAST,
        [
            Step::Touch(0x0a01),
            Step::Touch(0x0a02),
            ping(LAST),
            Step::Touch(0x0a01),
            ping(LAST),
        ],
    );
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        sends Ping 0x500000010 [0xa01/6000ms 0xa02/6000ms]
        sends Ping 0x500000010 [0xa01/6000ms]
        follows, leader at 0x500000010
    "#]],
    );
}

#[test]
fn p8_a_ping_tells_how_far_the_leader_is() {
    let script = following(LAST, [ping(LAST + 5), ping(0), inform(LAST + 1, &failed())]);
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        sends Ping 0x500000015 []
        sends Ping 0x0 []
        committed 0x500000011 Error
        follows, leader at 0x500000015
    "#]],
    );
}

#[test]
fn p9_nothing_is_acknowledged_but_newleader_and_uptodate() {
    let script = following(
        LAST,
        [
            proposal(LAST + 1, &create("/a", 1)),
            commit(LAST + 1),
            new_leader(5),
            up_to_date(),
            inform(LAST + 1, &create("/a", 1)),
        ],
    );
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        committed 0x500000011 Create
        follows, leader at 0x500000011
    "#]],
    );
}

#[test]
fn a_reconfiguration_that_keeps_the_leader_keeps_the_link() {
    let script = following(
        LAST,
        [
            activate(LAST + 1, 3, &reconfig("version=1")),
            inform(LAST + 2, &failed()),
        ],
    );
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        committed 0x500000011 Reconfig
        committed 0x500000012 Error
        follows, leader at 0x500000012
    "#]],
    );
}

#[test]
fn a_reconfiguration_that_changes_the_leader_is_delivered_before_the_link_ends() {
    let script = following(
        LAST,
        [
            activate(LAST + 1, 2, &reconfig("version=1")),
            inform(LAST + 2, &failed()),
        ],
    );
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        committed 0x500000011 Reconfig
        ends: the ensemble is handing over to server 2
    "#]],
    );
}

#[test]
fn a_reconfiguration_without_its_leader_ends_the_link() {
    let short = packet(PacketType::InformAndActivate, LAST + 1, Some(&[0; 7]));
    check(
        observer(LAST),
        following(LAST, [short]),
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        ends: the master sent a malformed packet: suggestedLeader: 1 more bytes needed
    "#]],
    );
}

#[test]
fn packets_that_nobody_knows_are_ignored() {
    let unknown = QuorumPacket {
        kind: 99,
        ..QuorumPacket::new(PacketType::Ping, outpost_wire::Zxid(LAST), None)
    };
    let strange = packet(PacketType::FollowerInfo, LAST, Some(b"what"));
    let script = following(LAST, [unknown.into(), strange, inform(LAST + 1, &failed())]);
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        committed 0x500000011 Error
        follows, leader at 0x500000011
    "#]],
    );
}

#[test]
fn a_packet_without_the_data_it_needs_ends_the_link() {
    for kind in [
        PacketType::Inform,
        PacketType::InformAndActivate,
        PacketType::Revalidate,
    ] {
        let script = following(LAST, [packet(kind, LAST + 1, None)]);
        let run = crate::script::Run::of(observer(LAST), &script, crate::script::Pieces::Packets);
        let name = format!("{kind:?}").to_uppercase();
        assert_eq!(
            run.ended,
            format!("ends: the master broke the protocol: {name} without data")
        );
    }
}

#[test]
fn p6_a_packet_above_the_limit_ends_the_link_before_it_arrives() {
    let longest = i32::try_from(PACKET_BYTES_MAX).expect("fits");
    check(
        observer(LAST),
        following(LAST, [announced(PacketType::Inform, longest)]),
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            sends Ack 0x500000000 null
            sends Ack 0x500000000 null
            up to date
            follows, leader at 0x500000010
        "#]],
    );
    check(
        observer(LAST),
        following(LAST, [announced(PacketType::Inform, longest + 1)]),
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            sends Ack 0x500000000 null
            sends Ack 0x500000000 null
            up to date
            ends: the master sent a malformed packet: QuorumPacket.data: length 1048577 is not between 0 and 1048576
        "#]],
    );
    check(
        observer(LAST),
        following(LAST, [announced(PacketType::Inform, -2)]),
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            sends Ack 0x500000000 null
            sends Ack 0x500000000 null
            up to date
            ends: the master sent a malformed packet: QuorumPacket.data: length -2 is not between 0 and 1048576
        "#]],
    );
}

#[test]
fn a_transaction_that_is_cut_off_ends_the_link() {
    let script = following(LAST, [packet(PacketType::Inform, LAST + 1, Some(&[0; 31]))]);
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        ends: the master sent a malformed packet: TxnHeader.type: 1 more bytes needed
    "#]],
    );
}

#[test]
fn a_sync_stands_in_line_with_the_transactions_around_it() {
    let sync = packet(PacketType::Sync, 0, None);
    let script = following(
        LAST,
        [
            Step::Submit(OpCode::Sync, b"/path", Some("ann")),
            inform(LAST + 1, &failed()),
            sync,
            inform(LAST + 2, &failed()),
        ],
    );
    check(
        observer(LAST),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            sends Ack 0x500000000 null
            sends Ack 0x500000000 null
            up to date
            sends Request 0xffffffffffffffff Sync cxid 1 of session 0x7, body "/path" of digest:ann
            committed 0x500000011 Error
            synced
            committed 0x500000012 Error
            follows, leader at 0x500000012
        "#]],
    );
}

#[test]
fn requests_are_sent_in_the_order_made_with_the_identities_of_their_session() {
    let script = following(
        LAST,
        [
            Step::Submit(OpCode::CreateSession, b"\0\0\x17\x70", None),
            Step::Submit(OpCode::SetData, b"body as it came", Some("ann")),
            Step::Revalidate(0x0a01),
            Step::Submit(OpCode::Delete, b"", Some("bob")),
        ],
    );
    check(
        observer(LAST),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            sends Ack 0x500000000 null
            sends Ack 0x500000000 null
            up to date
            sends Request 0xffffffffffffffff CreateSession cxid 1 of session 0x7, body "\0\0\x17p"
            sends Request 0xffffffffffffffff SetData cxid 2 of session 0x7, body "body as it came" of digest:ann
            sends Revalidate 0xffffffffffffffff 0xa01/6000ms
            sends Request 0xffffffffffffffff Delete cxid 3 of session 0x7, body "" of digest:bob
            follows, leader at 0x500000010
        "#]],
    );
}

#[test]
fn the_leaders_word_on_a_session_comes_out() {
    let script = following(
        LAST,
        [revalidated(0x0a01, true), revalidated(0x0a02, false)],
    );
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        revalidated 0xa01 true
        revalidated 0xa02 false
        follows, leader at 0x500000010
    "#]],
    );
}

#[test]
fn a_master_that_falls_silent_is_given_up_after_sync_limit() {
    let almost = Step::Wait(SYNC_TIMEOUT - Duration::from_millis(1));
    let script = following(LAST, [almost, ping(LAST), Step::Wait(SYNC_TIMEOUT)]);
    check(
        observer(LAST),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        sends Ping 0x500000010 []
        ends: the master was silent for 10000 ms
    "#]],
    );
}
