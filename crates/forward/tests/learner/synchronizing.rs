//! DIFF, TRUNC, SNAP and the history behind them.

use std::time::Duration;

use expect_test::expect;
use outpost_forward::learner::Settings;
use outpost_wire::quorum::PacketType;

use crate::master::*;
use crate::script::{
    INIT_TIMEOUT, PACKET_BYTES_MAX, Pieces, Run, SYNC_TIMEOUT, Step, check, observer,
};

#[test]
fn p1_an_empty_diff_leaves_the_last_zxid_where_it_was() {
    let last = z(5, 0x10);
    let script = registered(
        6,
        [
            diff(z(6, 0)),
            new_leader(6),
            up_to_date(),
            // Follows our own last zxid, not the one in DIFF or NEWLEADER.
            inform(last + 1, &failed()),
        ],
    );
    check(
        observer(last),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            sends Ack 0x600000000 null
            sends Ack 0x600000000 null
            up to date
            committed 0x500000011 Error
            follows, leader at 0x600000000
        "#]],
    );
}

#[test]
fn a_diff_brings_history_as_proposal_and_commit_then_what_was_committed_meanwhile() {
    let script = registered(
        5,
        [
            diff(z(5, 0x12)),
            proposal(z(5, 0x11), &create("/a", 1)),
            commit(z(5, 0x11)),
            proposal(z(5, 0x12), &failed()),
            commit(z(5, 0x12)),
            inform(z(5, 0x13), &set("/a", "x")),
            packet(
                PacketType::NewLeader,
                z(5, 0),
                Some(b"server.1=a:1:2;3\nversion=0"),
            ),
            inform(z(5, 0x14), &delete("/a")),
            up_to_date(),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        committed 0x500000011 Create
        committed 0x500000012 Error
        committed 0x500000013 SetData
        sends Ack 0x500000000 null
        committed 0x500000014 Delete
        sends Ack 0x500000000 null
        up to date with server.1=a:1:2;3
        version=0
        follows, leader at 0x500000014
    "#]],
    );
}

#[test]
fn a_diff_crosses_epochs() {
    let script = registered(
        7,
        [
            diff(z(7, 1)),
            proposal(z(5, 0x11), &create("/a", 1)),
            commit(z(5, 0x11)),
            proposal(z(7, 1), &create("/b", 2)),
            commit(z(7, 1)),
            new_leader(7),
            up_to_date(),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        committed 0x500000011 Create
        committed 0x700000001 Create
        sends Ack 0x700000000 null
        sends Ack 0x700000000 null
        up to date
        follows, leader at 0x700000001
    "#]],
    );
}

#[test]
fn p1_a_diff_with_a_hole_ends_at_the_hole_and_starts_over() {
    let script = registered(
        5,
        [
            diff(z(5, 0x13)),
            proposal(z(5, 0x11), &create("/a", 1)),
            commit(z(5, 0x11)),
            proposal(z(5, 0x13), &create("/b", 2)),
            commit(z(5, 0x13)),
            new_leader(5),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            committed 0x500000011 Create
            ends, to start over: the master's history goes on with 0x500000013, ours ends at 0x500000011: starting over from a snapshot
        "#]],
    );
}

#[test]
fn p1_a_diff_that_starts_with_what_we_have_is_refused() {
    let script = registered(
        5,
        [
            diff(z(5, 0x10)),
            proposal(z(5, 0x10), &create("/a", 1)),
            commit(z(5, 0x10)),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            ends, to start over: the master's history goes on with 0x500000010, ours ends at 0x500000010: starting over from a snapshot
        "#]],
    );
}

#[test]
fn an_inform_supersedes_the_uncommitted_proposal_of_the_same_zxid() {
    // ZOOKEEPER-1551: leaders up to 3.4.5 send observers what is not committed yet.
    let script = registered(
        5,
        [
            diff(z(5, 0x10)),
            proposal(z(5, 0x11), &create("/a", 1)),
            proposal(z(5, 0x12), &create("/b", 2)),
            inform(z(5, 0x11), &create("/a", 1)),
            commit(z(5, 0x12)),
            new_leader(5),
            up_to_date(),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        committed 0x500000011 Create
        committed 0x500000012 Create
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        follows, leader at 0x500000012
    "#]],
    );
}

#[test]
fn p1_a_proposal_that_is_not_committed_before_uptodate_is_forgotten() {
    let script = registered(
        5,
        [
            diff(z(5, 0x10)),
            proposal(z(5, 0x11), &create("/never", 1)),
            new_leader(5),
            up_to_date(),
            commit(z(5, 0x11)),
            inform(z(5, 0x11), &create("/a", 1)),
        ],
    );
    check(
        observer(z(5, 0x10)),
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
fn p1_a_commit_that_is_not_of_the_oldest_proposal_is_refused() {
    let script = registered(
        5,
        [
            diff(z(5, 0x12)),
            proposal(z(5, 0x11), &create("/a", 1)),
            proposal(z(5, 0x12), &create("/b", 2)),
            commit(z(5, 0x12)),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        ends: the master broke the protocol: COMMIT of 0x500000012, but 0x500000011 is the oldest
    "#]],
    );
}

#[test]
fn p1_a_commit_without_a_proposal_is_refused() {
    let script = registered(5, [diff(z(5, 0x11)), commit(z(5, 0x11))]);
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        ends: the master broke the protocol: COMMIT of 0x500000011 without a proposal
    "#]],
    );
}

#[test]
fn p1_history_before_diff_or_snap_is_refused() {
    let script = registered(
        5,
        [
            proposal(z(5, 0x11), &create("/a", 1)),
            commit(z(5, 0x11)),
            diff(z(5, 0x11)),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        ends: the master broke the protocol: transaction 0x500000011 before DIFF or SNAP
    "#]],
    );
}

#[test]
fn p1_a_master_that_says_neither_diff_nor_snap_has_not_brought_us_up_to_date() {
    let script = registered(6, [new_leader(6), up_to_date()]);
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            ends: the master broke the protocol: NewLeader out of its place
        "#]],
    );
    let script = [packet(PacketType::NewLeader, z(6, 3), None), up_to_date()];
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            ends: the master broke the protocol: UpToDate out of its place
        "#]],
    );
}

#[test]
fn p1_uptodate_before_newleader_is_refused() {
    let script = registered(6, [diff(z(5, 0x10)), up_to_date()]);
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            ends: the master broke the protocol: UpToDate out of its place
        "#]],
    );
}

#[test]
fn p9_no_ack_of_ours_makes_a_leader_of_a_master_before_3_4_6() {
    // While it has no quorum it says NEWLEADER twice: as a proposal, and as the end of the history.
    let script = elected(6, [diff(z(5, 0x10)), new_leader(6), new_leader(6)]);
    let settings = observer(z(5, 0x10));
    check(
        settings.clone(),
        &script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        synchronizes
    "#]],
    );
    let confirmed = [&script[..], &[ping(z(6, 0)), up_to_date()]].concat();
    check(
        settings.clone(),
        confirmed,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x600000000 null
        sends Ack 0x600000000 null
        up to date
        follows, leader at 0x500000010
    "#]],
    );
    let in_office = [&script[..], &[inform(z(6, 1), &failed()), up_to_date()]].concat();
    check(
        settings.clone(),
        in_office,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x600000000 null
        committed 0x600000001 Error
        sends Ack 0x600000000 null
        up to date
        follows, leader at 0x600000001
    "#]],
    );
    let unasked = [&script[..], &[up_to_date()]].concat();
    check(
        settings,
        unasked,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        ends: the master broke the protocol: UpToDate out of its place
    "#]],
    );
}

#[test]
fn masters_that_announce_a_membership_count_voters_only_and_get_their_ack_at_once() {
    let membership = packet(
        PacketType::NewLeader,
        z(6, 0),
        Some(b"server.1=a:1:2;3\nversion=0"),
    );
    let script = elected(6, [diff(z(5, 0x10)), membership]);
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x600000000 null
        synchronizes
    "#]],
    );
}

#[test]
fn p9_a_second_newleader_is_not_acknowledged() {
    let script = registered(
        6,
        [diff(z(5, 0x10)), new_leader(6), new_leader(6), up_to_date()],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x600000000 null
        sends Ack 0x600000000 null
        up to date
        follows, leader at 0x500000010
    "#]],
    );
    // Of another epoch it is none.
    let script = registered(6, [diff(z(5, 0x10)), new_leader(6), new_leader(7)]);
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x600000000 null
        ends: the master broke the protocol: NewLeader out of its place
    "#]],
    );
}

#[test]
fn p1_history_is_handed_on_when_a_quorum_has_confirmed_it_and_not_before() {
    let history = [
        diff(z(5, 0x12)),
        proposal(z(5, 0x11), &create("/a", 1)),
        commit(z(5, 0x11)),
        proposal(z(5, 0x12), &failed()),
        commit(z(5, 0x12)),
    ];
    // A leader that was elected, and whose quorum has yet to say so.
    let mut script = registered(6, history);
    script.push(new_leader(6));
    check(
        observer(z(5, 0x10)),
        script.clone(),
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x600000000 null
        synchronizes
    "#]],
    );
    let confirmed = [script.clone(), vec![up_to_date()]].concat();
    check(
        observer(z(5, 0x10)),
        confirmed,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x600000000 null
        sends Ack 0x600000000 null
        committed 0x500000011 Create
        committed 0x500000012 Error
        up to date
        follows, leader at 0x500000012
    "#]],
    );
    // It commits something of its own, which only a leader in office can.
    let in_office = [script, vec![inform(z(6, 1), &failed())]].concat();
    check(
        observer(z(5, 0x10)),
        in_office,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x600000000 null
        committed 0x500000011 Create
        committed 0x500000012 Error
        committed 0x600000001 Error
        synchronizes
    "#]],
    );
}

#[test]
fn p6_more_history_than_may_wait_for_its_confirmation_is_fetched_as_a_snapshot() {
    let long: &'static str = "x".repeat(PACKET_BYTES_MAX - 200).leak();
    let proposals = (0x11..0x11 + 66).flat_map(|counter| {
        let zxid = z(5, counter);
        [proposal(zxid, &set("/a", long)), commit(zxid)]
    });
    let history = std::iter::once(diff(z(6, 0))).chain(proposals);
    let script = registered(6, history);
    let run = Run::of(observer(z(5, 0x10)), &script, Pieces::Packets);
    assert!(
        run.ended.starts_with("ends, to start over: "),
        "{}",
        run.ended
    );
    assert_eq!(run.events, [""; 0]);
}

#[test]
fn a_master_that_asks_us_to_go_back_has_lost_history_or_is_behind_or_cannot_tell() {
    let script = |ours: i64| registered(5, [trunc(ours - 1)]);
    // The leader.
    check(
        observer(z(5, 0x10)),
        script(z(5, 0x10)),
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        ends, to start over: the leader's history ends at 0x50000000f, ours at 0x500000010: it has lost transactions that clients have seen; starting over from a snapshot
    "#]],
    );
    // A follower: another master will do.
    let of_a_follower = Settings {
        master: None,
        ..observer(z(5, 0x10))
    };
    check(
        of_a_follower,
        script(z(5, 0x10)),
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        ends: the master is behind: its history ends at 0x50000000f, ours at 0x500000010
    "#]],
    );
    // A snapshot that was taken before the epoch's first transaction, a leader of 3.4.
    let fresh = registered(5, [trunc(z(4, 0x99))]);
    check(
        observer(z(5, 0)),
        fresh,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000000 ffffffff
        ends, to start over: the master cannot continue from 0x500000000: starting over from a snapshot
    "#]],
    );
}

#[test]
fn a_synchronisation_begins_once() {
    let script = registered(5, [diff(z(5, 0x10)), snap(z(5, 0x10))]);
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        ends: the master broke the protocol: Snap after the synchronisation began
    "#]],
    );
}

#[test]
fn going_back_behind_what_we_have_means_starting_over() {
    let script = registered(5, [trunc(z(5, 0xf)), proposal(z(5, 0x10), &failed())]);
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            ends, to start over: the leader's history ends at 0x50000000f, ours at 0x500000010: it has lost transactions that clients have seen; starting over from a snapshot
        "#]],
    );
}

#[test]
fn going_back_to_where_we_are_is_a_diff() {
    let script = registered(
        5,
        [
            trunc(z(5, 0x10)),
            proposal(z(5, 0x11), &failed()),
            commit(z(5, 0x11)),
            new_leader(5),
            up_to_date(),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        committed 0x500000011 Error
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        follows, leader at 0x500000011
    "#]],
    );
}

#[test]
fn a_snapshot_replaces_what_we_had_and_is_handed_over_at_uptodate() {
    let script = registered(
        6,
        [
            snap(z(6, 2)),
            tree(&[("/a", "x", 2), ("/a/b", "y", 0)]),
            new_leader(6),
            inform(z(6, 3), &create("/c", 2)),
            up_to_date(),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            sends Ack 0x600000000 null
            sends Ack 0x600000000 null
            snapshot at 0x600000003, sessions [0x9]
              / = , 2 children until 0x600000003
              /a/ = x, 2 children until 0x0
              /a/b/ = y, 0 children until 0x0
              /c/ = new, 0 children until 0x600000003
            up to date
            follows, leader at 0x600000003
        "#]],
    );
}

#[test]
fn p1_a_fuzzy_snapshot_becomes_exact_by_what_follows_it() {
    let script = registered(
        6,
        [
            snap(z(6, 2)),
            // What came with 4 and 5 is in it already, what came with 3 partly: the parent was written
            // before, the child after.
            tree(&[("", "", 2), ("/p", "x", 0), ("/p/a", "new", 0)]),
            // Contained in the snapshot for sure.
            proposal(z(6, 1), &create("/p", 1)),
            commit(z(6, 1)),
            proposal(z(6, 2), &delete("/p")),
            commit(z(6, 2)),
            // The znode is there already; its parent must still count it.
            proposal(z(6, 3), &create("/p/a", 1)),
            commit(z(6, 3)),
            // The znode is gone already; its parent must still know of it.
            inform(z(6, 4), &create("/gone", 2)),
            inform(z(6, 5), &delete("/gone")),
            inform(z(6, 6), &delete("/gone")),
            inform(z(6, 7), &set("/gone", "y")),
            new_leader(6),
            up_to_date(),
            inform(z(6, 8), &set("/p/a", "z")),
        ],
    );
    check(
        observer(0),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x0 ffffffff
            sends Ack 0x600000000 null
            sends Ack 0x600000000 null
            snapshot at 0x600000007, sessions [0x9]
              / = , 2 children until 0x600000006
              /p/ = x, 1 children until 0x600000003
              /p/a/ = new, 0 children until 0x0
            up to date
            committed 0x600000008 SetData
            follows, leader at 0x600000008
        "#]],
    );
}

#[test]
fn p1_a_snapshot_with_a_hole_behind_it_is_refused() {
    let script = registered(
        6,
        [
            snap(z(6, 2)),
            tree(&[]),
            inform(z(6, 4), &create("/a", 1)),
            new_leader(6),
        ],
    );
    check(
        observer(0),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x0 ffffffff
            ends, to start over: the master's history goes on with 0x600000004, ours ends at 0x600000002: starting over from a snapshot
        "#]],
    );
}

#[test]
fn p1_nothing_of_a_snapshot_that_does_not_end_is_handed_over() {
    let Step::Bytes(mut stream) = tree(&[("/a", "x", 0)]) else {
        unreachable!("a stream is bytes")
    };
    stream.truncate(stream.len() - 1);
    let script = registered(
        6,
        [snap(z(6, 2)), Step::Bytes(stream), Step::Wait(INIT_TIMEOUT)],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        ends: the master was silent for 20000 ms
    "#]],
    );
}

#[test]
fn p1_a_snapshot_without_its_signature_is_refused() {
    let Step::Bytes(mut stream) = tree(&[("/a", "x", 0)]) else {
        unreachable!("a stream is bytes")
    };
    if let Some(last) = stream.last_mut() {
        *last ^= 1;
    }
    let script = registered(6, [snap(z(6, 2)), Step::Bytes(stream), new_leader(6)]);
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        ends: the master sent a malformed packet: snapshot signature: unknown value 0
    "#]],
    );
}

#[test]
fn a_znode_of_a_snapshot_whose_parent_is_missing_is_refused() {
    let script = registered(6, [snap(z(6, 2)), tree(&[("/a/b", "x", 0)]), new_leader(6)]);
    check(
        observer(0),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x0 ffffffff
        ends: the master broke the protocol: snapshot: snapshot has "/a/b" without its parent
    "#]],
    );
}

#[test]
fn a_virgin_ensemble_has_nothing_to_send() {
    let script = registered(
        1,
        [
            diff(0),
            new_leader(1),
            up_to_date(),
            inform(z(1, 1), &failed()),
        ],
    );
    check(
        observer(0),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x0 ffffffff
        sends Ack 0x100000000 null
        sends Ack 0x100000000 null
        up to date
        committed 0x100000001 Error
        follows, leader at 0x100000001
    "#]],
    );
}

#[test]
fn a_snapshot_may_be_older_than_the_epochs_first_transaction() {
    let script = registered(
        6,
        [
            snap(z(6, 0)),
            tree(&[]),
            new_leader(6),
            up_to_date(),
            inform(z(6, 1), &failed()),
        ],
    );
    check(
        observer(0),
        script,
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x0 ffffffff
            sends Ack 0x600000000 null
            sends Ack 0x600000000 null
            snapshot at 0x600000000, sessions [0x9]
              / = , 0 children until 0x0
            up to date
            committed 0x600000001 Error
            follows, leader at 0x600000001
        "#]],
    );
}

#[test]
fn a_ping_before_newleader_is_not_answered_because_the_ack_must_come_next() {
    let script = registered(
        5,
        [
            ping(z(5, 0x11)),
            diff(z(5, 0x10)),
            Step::Touch(7),
            ping(z(5, 0x11)),
            new_leader(5),
            ping(z(5, 0x11)),
            up_to_date(),
            // The touch was not forgotten.
            ping(z(5, 0x11)),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        sends Ping 0x500000011 [0x7/6000ms]
        follows, leader at 0x500000011
    "#]],
    );
}

#[test]
fn a_membership_in_newleader_counts_if_it_is_longer_than_a_byte() {
    for data in [None, Some(&b""[..]), Some(b"x")] {
        let newleader = packet(PacketType::NewLeader, z(5, 0), data);
        let script = registered(5, [diff(z(5, 0x10)), newleader, up_to_date()]);
        let run = Run::of(observer(z(5, 0x10)), &script, Pieces::Packets);
        assert_eq!(run.events, ["up to date"]);
    }
}

#[test]
fn a_reconfiguration_in_the_history_is_a_transaction_like_others() {
    let script = registered(
        5,
        [
            diff(z(5, 0x12)),
            proposal(z(5, 0x11), &reconfig("version=1")),
            commit(z(5, 0x11)),
            activate(z(5, 0x12), 2, &reconfig("version=2")),
            new_leader(5),
            up_to_date(),
        ],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        committed 0x500000011 Reconfig
        committed 0x500000012 Reconfig
        sends Ack 0x500000000 null
        sends Ack 0x500000000 null
        up to date
        follows, leader at 0x500000012
    "#]],
    );
}

#[test]
fn the_master_may_be_silent_for_init_limit_until_uptodate_and_for_sync_limit_afterwards() {
    let almost = |limit: Duration| Step::Wait(limit - Duration::from_millis(1));
    let script = registered(
        5,
        [
            almost(INIT_TIMEOUT),
            diff(z(5, 0x10)),
            almost(INIT_TIMEOUT),
            new_leader(5),
            almost(INIT_TIMEOUT),
            up_to_date(),
            almost(SYNC_TIMEOUT),
            ping(z(5, 0x10)),
            Step::Wait(SYNC_TIMEOUT),
        ],
    );
    check(
        observer(z(5, 0x10)),
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

#[test]
fn synchronizing_ends_in_silence_after_init_limit() {
    let script = registered(
        5,
        [diff(z(5, 0x10)), new_leader(5), Step::Wait(INIT_TIMEOUT)],
    );
    check(
        observer(z(5, 0x10)),
        script,
        expect![[r#"
        sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
        sends AckEpoch 0x500000010 ffffffff
        sends Ack 0x500000000 null
        ends: the master was silent for 20000 ms
    "#]],
    );
}

#[test]
fn a_master_of_an_unknown_server_is_as_good_as_another() {
    let settings = Settings {
        master: None,
        ..observer(z(5, 0x10))
    };
    check(
        settings,
        following(
            z(5, 0x10),
            [activate(z(5, 0x11), 2, &reconfig("version=1"))],
        ),
        expect![[r#"
            sends ObserverInfo 0x0 server 10 speaks 0x10000, configuration 0, in 20 bytes
            sends AckEpoch 0x500000010 ffffffff
            sends Ack 0x500000000 null
            sends Ack 0x500000000 null
            up to date
            committed 0x500000011 Reconfig
            follows, leader at 0x500000011
        "#]],
    );
}
