//! Clients that are held while the link is lost: what becomes of what they had sent, and of what they ask meanwhile.

use std::time::{Duration, Instant};

use bstr::BStr;
use outpost_forward::Origin;
use outpost_mirror::WatcherId;
use outpost_wire::quorum::PacketType;
use outpost_wire::{OpCode, Zxid};

use crate::master::*;
use crate::running::*;

/// The snapshot from which these links start; it knows the session 9.
const LAST: i64 = z(5, 2);

/// A link that is attached, its master, and what carries it.
fn attached(master: &Master) -> (Running, Connection) {
    let running = Running::holding(master);
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(LAST);
    assert_eq!(running.next(), "attached");
    (running, connection)
}

#[test]
fn p5_a_write_that_is_in_the_history_of_the_next_link_is_answered_and_one_that_is_not_ends_its_connection()
 {
    let master = Master::new();
    let (running, mut connection) = attached(&master);
    running.submit_of(5, OpCode::SetData, 1);
    running.submit_of(6, OpCode::SetData, 1);
    running.submit_of(7, OpCode::SetData, 1);
    for _ in 0..3 {
        connection.expect(PacketType::Request);
    }
    drop(connection);
    let (mut connection, presented) = master.accept(5);
    assert_eq!(presented, Zxid(LAST));
    connection.say([
        diff(z(5, 4)),
        proposal(z(5, 3), &set("/a", "y").of(5, 1)),
        commit(z(5, 3)),
        proposal(z(5, 4), &set("/a", "z").of(6, 1)),
        commit(z(5, 4)),
        new_leader(5),
    ]);
    connection.confirm();
    assert_eq!(running.next(), "committed cxid 1 at 0x500000003");
    assert_eq!(running.next(), "committed cxid 1 at 0x500000004");
    assert_eq!(running.next(), "unknown cxid 1");
    assert_eq!(running.next(), "attached again");
}

#[test]
fn p2_nothing_of_a_client_is_sent_before_it_is_known_what_has_become_of_what_it_sent_earlier() {
    let master = Master::new();
    let (running, mut connection) = attached(&master);
    running.submit(OpCode::SetData, 1);
    assert_eq!(connection.asked(), "SetData 1 of 0x5");
    drop(connection);
    let (mut connection, _) = master.accept(5);
    running.submit(OpCode::SetData, 2);
    // The history keeps the apply thread busy beyond UPTODATE.
    running.dawdle(true);
    connection.say([
        diff(z(5, 3)),
        proposal(z(5, 3), &set("/a", "y").of(6, 6)),
        commit(z(5, 3)),
    ]);
    running.wait_until_dawdling();
    connection.say([new_leader(5)]);
    connection.confirm();
    // What is ready to be sent has been sent when the second answer is here.
    for _ in 0..2 {
        connection.say([ping(z(5, 3))]);
        assert_eq!(connection.asked(), "Ping");
    }
    running.dawdle(false);
    assert_eq!(running.next(), "unknown cxid 1");
    assert_eq!(running.next(), "attached again");
    assert_eq!(running.next(), "not forwarded for 5");
}

#[test]
fn p2_what_was_asked_while_held_is_sent_afterwards_and_under_the_same_leader_its_session_is_claimed_first()
 {
    for (epoch, claims) in [(5, true), (6, false)] {
        let master = Master::new();
        let (running, connection) = attached(&master);
        drop(connection);
        let (mut connection, _) = master.accept(epoch);
        running.submit_of(9, OpCode::SetData, 1);
        running.submit_of(9, OpCode::SetData, 2);
        connection.follow_in(epoch, LAST);
        assert_eq!(running.next(), "attached again");
        if claims {
            // With the timeout negotiated here: leases count on it (P7).
            assert_eq!(connection.asked(), "Revalidate 0x9/4000ms");
            assert_eq!(connection.asked(), "Sync 0 of 0x9");
            // Nothing of the session is sent before the leader has said that it is ours, not even a sync; what others
            // ask is not kept waiting.
            running.submit_of(9, OpCode::Sync, 3);
            running.submit_of(8, OpCode::Sync, 4);
            assert_eq!(connection.asked(), "Sync 4 of 0x8");
            connection.say([revalidated(9, true)]);
        }
        assert_eq!(connection.asked(), "SetData 1 of 0x9");
        assert_eq!(connection.asked(), "SetData 2 of 0x9");
        let next = if claims { z(epoch, 3) } else { z(epoch, 1) };
        if claims {
            assert_eq!(connection.asked(), "Sync 3 of 0x9");
            // The fence's, and that of the other session.
            connection.answer();
            connection.answer();
            assert_eq!(running.next(), "synced cxid 4 at 0x500000002");
        }
        connection.say([inform(next, &set("/a", "y").of(9, 1))]);
        assert_eq!(
            running.next(),
            format!("committed cxid 1 at {}", Zxid(next)),
            "and nobody hears of the link's own question"
        );
    }
}

#[test]
fn p2_what_waits_for_the_leaders_word_on_its_session_is_not_sent_if_that_is_no_or_if_its_client_has_left()
 {
    for ours in [true, false] {
        let master = Master::new();
        let (running, connection) = attached(&master);
        drop(connection);
        let (mut connection, _) = master.accept(5);
        running.submit_for(Origin(1), 9, OpCode::SetData, 1);
        running.submit_for(Origin(2), 9, OpCode::SetData, 1);
        connection.follow(LAST);
        assert_eq!(running.next(), "attached again");
        assert_eq!(connection.asked(), "Revalidate 0x9/4000ms");
        running.clerk.cut(Origin(1));
        connection.say([revalidated(9, ours)]);
        assert_eq!(running.next(), "not forwarded for 1");
        match ours {
            true => assert_eq!(connection.asked_besides_syncs(), "SetData 1 of 0x9"),
            false => assert_eq!(running.next(), "not forwarded for 2"),
        }
    }
}

#[test]
fn p2_what_waits_for_the_leaders_word_when_the_link_is_lost_is_asked_on_the_next_one_in_its_order()
{
    let master = Master::new();
    let (running, connection) = attached(&master);
    drop(connection);
    let (mut connection, _) = master.accept(5);
    for cxid in 1..=3 {
        running.submit_of(9, OpCode::SetData, cxid);
    }
    connection.follow(LAST);
    assert_eq!(running.next(), "attached again");
    assert_eq!(connection.asked(), "Revalidate 0x9/4000ms");
    drop(connection);
    let (mut connection, _) = master.accept(5);
    running.submit_of(9, OpCode::SetData, 4);
    connection.follow(LAST);
    assert_eq!(running.next(), "attached again");
    assert_eq!(connection.asked_besides_syncs(), "Revalidate 0x9/4000ms");
    connection.say([revalidated(9, true)]);
    for cxid in 1..=4 {
        assert_eq!(
            connection.asked_besides_syncs(),
            format!("SetData {cxid} of 0x9")
        );
    }
}

#[test]
fn what_waits_is_counted_wherever_it_stands_until_it_is_sent() {
    let master = Master::new();
    let (running, connection) = attached(&master);
    assert_eq!(running.waiting_bytes(), 0);
    drop(connection);
    let (mut connection, _) = master.accept(5);
    running.submit_of(9, OpCode::SetData, 1);
    running.submit_of(9, OpCode::SetData, 2);
    assert_eq!(running.waiting_bytes(), 2 * BODY.len(), "for the link");
    connection.follow(LAST);
    assert_eq!(running.next(), "attached again");
    assert_eq!(connection.asked(), "Revalidate 0x9/4000ms");
    assert_eq!(running.waiting_bytes(), 2 * BODY.len(), "for that answer");
    drop(connection);
    let (mut connection, _) = master.accept(5);
    assert_eq!(running.waiting_bytes(), 2 * BODY.len(), "once more");
    connection.follow(LAST);
    assert_eq!(running.next(), "attached again");
    assert_eq!(connection.asked_besides_syncs(), "Revalidate 0x9/4000ms");
    connection.say([revalidated(9, true)]);
    assert_eq!(connection.asked_besides_syncs(), "SetData 1 of 0x9");
    assert_eq!(connection.asked_besides_syncs(), "SetData 2 of 0x9");
    assert_eq!(running.waiting_bytes(), 0);
}

#[test]
fn p2_what_was_asked_while_held_is_not_sent_for_a_client_that_is_gone() {
    let master = Master::new();
    let (running, connection) = attached(&master);
    drop(connection);
    let (mut connection, _) = master.accept(6);
    running.submit_for(GONE, 9, OpCode::SetData, 1);
    running.submit_for(GONE, 8, OpCode::CloseSession, 2);
    running.revalidate(GONE, 7);
    running.submit_of(5, OpCode::SetData, 3);
    connection.follow_in(6, LAST);
    assert_eq!(running.next(), "attached again");
    for _ in 0..3 {
        assert_eq!(running.next(), "not forwarded for 404");
    }
    assert_eq!(connection.asked(), "SetData 3 of 0x5");
}

#[test]
fn p2_syncs_that_wait_together_share_one_question_and_none_comes_behind_a_write_of_its_session() {
    let master = Master::new();
    let (running, connection) = attached(&master);
    drop(connection);
    let (mut connection, _) = master.accept(6);
    running.submit_of(5, OpCode::Sync, 1);
    running.submit_of(6, OpCode::Sync, 2);
    running.submit_of(7, OpCode::SetData, 3);
    running.submit_of(6, OpCode::SetData, 4);
    running.submit_of(6, OpCode::Sync, 5);
    running.submit_of(5, OpCode::Sync, 6);
    connection.follow_in(6, LAST);
    assert_eq!(running.next(), "attached again");
    assert_eq!(connection.asked(), "SetData 3 of 0x7");
    let first = connection.asked();
    assert!(first.starts_with("Sync"), "{first}");
    assert_eq!(connection.asked(), "SetData 4 of 0x6");
    let second = connection.asked();
    assert!(second.starts_with("Sync"), "{second}");
    connection.answer();
    connection.say([inform(z(6, 1), &set("/a", "y").of(6, 4))]);
    connection.answer();
    let handed_up: Vec<_> = (0..5).map(|_| running.next()).collect();
    assert_eq!(
        handed_up,
        [
            "synced cxid 1 at 0x500000002",
            "synced cxid 2 at 0x500000002",
            // Sent before the other, and never answered.
            "unknown cxid 3",
            "committed cxid 4 at 0x600000001",
            "synced cxid 5 at 0x600000001"
        ]
    );
    assert_eq!(running.next(), "synced cxid 6 at 0x600000001");
}

#[test]
fn syncs_that_were_lost_with_their_link_are_asked_again_with_one_question() {
    let master = Master::new();
    let (running, mut connection) = attached(&master);
    for session in [5, 6] {
        running.submit_of(session, OpCode::Sync, 1);
        let asked = connection.asked();
        assert!(asked.starts_with("Sync"), "{asked}");
    }
    drop(connection);
    let (mut connection, _) = master.accept(5);
    connection.follow(LAST);
    let asked = connection.asked();
    assert!(asked.starts_with("Sync"), "{asked}");
    connection.answer();
    assert_eq!(running.next(), "attached again");
    for _ in 0..2 {
        assert_eq!(running.next(), "synced cxid 1 at 0x500000002");
    }
}

#[test]
fn p2_a_lost_sync_is_answered_before_a_later_write_of_its_session_that_the_history_brings() {
    let master = Master::new();
    let (running, mut connection) = attached(&master);
    running.submit(OpCode::Sync, 1);
    running.submit(OpCode::SetData, 2);
    for _ in 0..2 {
        connection.expect(PacketType::Request);
    }
    drop(connection);
    let (mut connection, _) = master.accept(5);
    connection.say([
        diff(z(5, 3)),
        proposal(z(5, 3), &set("/a", "y").of(5, 2)),
        commit(z(5, 3)),
        new_leader(5),
    ]);
    connection.confirm();
    assert_eq!(running.next(), "synced cxid 1 at 0x500000002");
    assert_eq!(running.next(), "committed cxid 2 at 0x500000003");
    assert_eq!(running.next(), "attached again");
}

#[test]
fn p2_a_sync_makes_this_link_the_owner_of_nobodys_session() {
    let master = Master::new();
    let running = Running::holding(&master);
    let (mut connection, _) = master.accept(5);
    // A leader since 3.5.
    let new_leader = |epoch| {
        let membership = b"server.1=a:1:2;3\nversion=0";
        packet(PacketType::NewLeader, z(epoch, 0), Some(membership))
    };
    connection.say([snap(LAST), tree(&[("/a", "x", 0)]), new_leader(5)]);
    connection.confirm();
    connection.answer();
    assert_eq!(running.next(), "attached");
    running.submit(OpCode::Sync, 1);
    assert_eq!(connection.asked(), "Sync 1 of 0x0");
    drop(connection);
    let (mut connection, _) = master.accept(6);
    running.clerk.touch(9);
    connection.say([diff(LAST), new_leader(6)]);
    connection.confirm();
    assert_eq!(connection.asked(), "Ping 0x9");
    assert_eq!(connection.asked(), "Sync 0 of 0x0", "proves the touch");
    assert_eq!(connection.asked(), "Sync 1 of 0x0", "the lost one");
}

#[test]
fn what_a_client_that_came_back_was_waiting_for_is_asked_again() {
    let master = Master::new();
    let (running, mut connection) = attached(&master);
    running.revalidate(Origin(9), 9);
    assert_eq!(connection.asked(), "Revalidate 0x9/4000ms");
    drop(connection);
    let (mut connection, _) = master.accept(6);
    connection.follow_in(6, LAST);
    assert_eq!(connection.asked(), "Revalidate 0x9/4000ms");
    connection.say([revalidated(9, true)]);
    assert_eq!(running.next(), "attached again");
    assert_eq!(running.next(), "revalidated 0x9 true");
}

#[test]
fn p7_touches_are_sent_right_behind_uptodate_and_count_when_a_sync_behind_them_comes_back() {
    let master = Master::new();
    let (running, connection) = attached(&master);
    drop(connection);
    let (mut connection, _) = master.accept(5);
    running.clerk.touch(9);
    connection.follow(LAST);
    assert_eq!(running.next(), "attached again");
    assert_eq!(connection.asked(), "Ping 0x9");
    let asked = connection.asked();
    assert!(asked.starts_with("Sync"), "{asked}");
    connection.answer();
    assert_eq!(running.next(), "touches proven");
}

#[test]
fn p7_a_link_counts_from_its_uptodate_however_late_that_is_applied() {
    let master = Master::new();
    let running = Running::holding(&master);
    let (mut connection, _) = master.accept(5);
    running.dawdle(true);
    connection.say([snap(LAST), tree(&[("/a", "x", 0)]), new_leader(5)]);
    connection.confirm();
    // What is asked from now on may have reached the leader now.
    let now = Instant::now();
    running.dawdle(false);
    assert_eq!(running.next(), "attached");
    assert!(running.attached_at() <= now);
}

#[test]
fn p7_a_follower_that_is_our_master_is_asked_two_pings_after_the_touches() {
    let master = Master::new();
    let running = Running::behind_a_follower(&master);
    let (mut connection, _) = master.accept(5);
    running.clerk.touch(9);
    connection.follow_snapshot(LAST);
    assert_eq!(running.next(), "attached");
    assert_eq!(connection.asked(), "Ping 0x9");
    for _ in 0..2 {
        connection.say([ping(LAST)]);
        assert_eq!(connection.asked(), "Ping");
    }
    let asked = connection.asked();
    assert!(asked.starts_with("Sync"), "{asked}");
    connection.answer();
    assert_eq!(running.next(), "touches proven");
}

#[test]
fn p8_a_hold_that_ends_while_a_master_is_sought_or_synchronises_lets_everybody_go() {
    for synchronizing in [false, true] {
        let master = Master::new();
        let running = Running::start_with(&master, |settings| {
            settings.hold = Duration::from_millis(300);
        });
        let (mut connection, _) = master.accept(5);
        connection.follow_snapshot(LAST);
        assert_eq!(running.next(), "attached");
        running.submit(OpCode::SetData, 1);
        assert_eq!(connection.asked(), "SetData 1 of 0x5");
        drop(connection);
        let mut begun = synchronizing.then(|| {
            let (mut connection, _) = master.accept(5);
            connection.say([diff(LAST)]);
            connection
        });
        running.wait_for_losses(1);
        running.submit_of(6, OpCode::SetData, 2);
        assert_eq!(running.next(), "unknown cxid 1");
        assert_eq!(running.next(), "gave up: HoldOver");
        let mut connection = match begun.take() {
            Some(mut connection) => {
                connection.say([new_leader(5)]);
                connection.confirm();
                connection
            }
            None => {
                let (mut connection, _) = master.accept(5);
                connection.follow(LAST);
                connection
            }
        };
        assert_eq!(running.next(), "attached");
        // Nothing of what waited is sent.
        running.submit_of(7, OpCode::SetData, 3);
        assert_eq!(connection.asked(), "SetData 3 of 0x7");
    }
}

#[test]
fn p8_the_hold_ends_although_its_link_was_gone_before_clients_were_served() {
    let master = Master::new();
    let running = Running::start_with(&master, |settings| {
        settings.hold = Duration::from_millis(500);
    });
    let (mut connection, _) = master.accept(5);
    // The apply thread takes the snapshot over, and has not come to UPTODATE when the link is lost.
    running.dawdle(true);
    connection.follow_snapshot(LAST);
    drop(connection);
    // The first life is over when the loss is counted, and then nobody answers.
    while running
        .link
        .status()
        .losses_by_label()
        .iter()
        .all(|(_, n)| *n == 0)
    {
        std::thread::yield_now();
    }
    running.dawdle(false);
    assert_eq!(running.next(), "attached");
    assert_eq!(running.next(), "gave up: HoldOver");
}

#[test]
fn p5_a_hold_that_is_over_when_the_link_is_back_takes_no_answer_from_the_new_link() {
    let master = Master::new();
    let running = Running::start_with(&master, |settings| {
        settings.hold = Duration::from_millis(500);
    });
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(LAST);
    assert_eq!(running.next(), "attached");
    drop(connection);
    let (mut connection, _) = master.accept(6);
    // The link is back in time, and the snapshot is taken over too late.
    running.dawdle(true);
    connection.say([snap(z(6, 0)), tree(&[("/a", "x", 0)]), new_leader(6)]);
    connection.confirm();
    running.wait_until_hold_is_over();
    running.dawdle(false);
    let mut next = running.next();
    if next.starts_with("replaced") {
        next = running.next();
    }
    assert_eq!(next, "gave up: HoldOver");
    while running.next() != "attached" {}
    running.submit(OpCode::Sync, 1);
    let asked = connection.asked();
    assert!(asked.starts_with("Sync"), "{asked}");
    // The answer to what the link itself asked with UPTODATE.
    connection.answer();
    connection.say([inform(z(6, 1), &failed().of(8, 8))]);
    connection.answer();
    assert_eq!(running.next(), "synced cxid 1 at 0x600000001");
}

#[test]
fn p3_a_snapshot_that_comes_while_clients_are_held_fires_what_it_changes_and_ends_who_waits_for_a_write()
 {
    let master = Master::new();
    let (running, mut connection) = attached(&master);
    running
        .mirror
        .read()
        .watches()
        .leave_data(BStr::new("/a"), WatcherId(77));
    running.submit(OpCode::SetData, 1);
    assert_eq!(connection.asked(), "SetData 1 of 0x5");
    drop(connection);
    let (mut connection, _) = master.accept(5);
    let stream = [snap(z(5, 9)), tree(&[("/b", "new", 0)]), new_leader(5)];
    connection.say(stream);
    connection.confirm();
    assert_eq!(running.next(), "unknown cxid 1");
    assert_eq!(running.next(), "NodeDeleted of /a for 77");
    assert_eq!(running.next(), "replaced at 0x500000009");
    assert_eq!(running.next(), "attached again");
}

#[test]
fn p4_a_snapshot_that_is_older_than_what_clients_have_seen_lets_everybody_go() {
    let master = Master::new();
    let (running, connection) = attached(&master);
    drop(connection);
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(z(5, 1));
    assert_eq!(running.next(), "gave up: BackInTime");
    assert_eq!(running.next(), "replaced at 0x500000001");
    assert_eq!(running.next(), "attached");
}

#[test]
fn p1_a_mirror_that_turns_out_to_differ_when_the_link_is_gone_already_is_fetched_anew() {
    let master = Master::new();
    let (running, mut connection) = attached(&master);
    running.dawdle(true);
    connection.say([inform(z(5, 3), &failed())]);
    running.wait_until_dawdling();
    // A deletion of what is not there. The end of the connection is found first.
    connection.say([inform(z(5, 4), &delete("/nothing"))]);
    drop(connection);
    running.wait_for_losses(1);
    running.dawdle(false);
    assert_eq!(running.next(), "gave up: Diverged");
    let (mut connection, presented) = master.accept(5);
    assert_eq!(presented, Zxid::ZERO);
    connection.follow_snapshot(z(5, 4));
    assert_eq!(running.next(), "replaced at 0x500000004");
    assert_eq!(running.next(), "attached");
}

#[test]
fn p9_a_region_that_comes_back_at_once_asks_the_leader_after_a_few_hundred_sessions_at_a_time() {
    const SESSIONS: i64 = 1_000;
    const AT_ONCE: i64 = 256;
    let master = Master::new();
    let running = Running::start_with(&master, |settings| {
        settings.request_queue_max = 2_000;
        settings.in_flight_max = 10_000;
    });
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(LAST);
    assert_eq!(running.next(), "attached");
    for session in 0..SESSIONS {
        running.revalidate(Origin(1), 1_000 + session);
    }
    let mut asked = 0;
    while asked < SESSIONS {
        let until = (asked + AT_ONCE).min(SESSIONS);
        for session in asked..until {
            assert_eq!(
                connection.asked_besides_syncs(),
                format!("Revalidate {:#x}/4000ms", 1_000 + session)
            );
        }
        // Whatever was sent was sent ahead of the answer to this.
        connection.say([ping(LAST)]);
        assert_eq!(connection.asked_besides_syncs(), "Ping");
        connection.say((asked..until).map(|session| revalidated(1_000 + session, true)));
        asked = until;
    }
}

#[test]
fn p1_a_history_that_does_not_fit_the_mirror_attaches_nobody() {
    let master = Master::new();
    let (running, connection) = attached(&master);
    drop(connection);
    let (mut connection, _) = master.accept(5);
    running.submit(OpCode::Sync, 1);
    // UPTODATE is here before the apply thread has found out.
    connection.say([
        diff(z(5, 3)),
        proposal(z(5, 3), &delete("/nothing")),
        commit(z(5, 3)),
        new_leader(5),
        up_to_date(),
    ]);
    assert_eq!(running.next(), "gave up: Diverged");
    let (mut connection, presented) = master.accept(5);
    assert_eq!(presented, Zxid::ZERO);
    connection.follow_snapshot(z(5, 3));
    assert_eq!(running.next(), "replaced at 0x500000003");
    assert_eq!(running.next(), "attached");
}
