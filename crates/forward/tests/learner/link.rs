//! The lives of a link, one after the other. What happens to clients that are held meanwhile stands in `holding.rs`.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use outpost_forward::losses::{CaughtUp, Outcome};
use outpost_forward::network::{Connecting, LinkStream, Network};
use outpost_forward::recorder::Direction;
use outpost_forward::{Origin, Tally};
use outpost_wire::quorum::{PacketType, QuorumPacket};
use outpost_wire::{OpCode, Zxid};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::master::*;
use crate::running::*;
use crate::script::{Step, bytes_of_step};

#[test]
fn p1_the_next_life_presents_what_the_last_one_has_applied() {
    let master = Master::new();
    let running = Running::start(&master);
    let (mut connection, presented) = master.accept(5);
    assert_eq!(presented, Zxid::ZERO);
    connection.follow_snapshot(z(5, 2));
    // The last of them comes right before the end of the connection.
    connection.say([inform(z(5, 3), &failed()), inform(z(5, 4), &failed())]);
    drop(connection);
    let (mut connection, presented) = master.accept(5);
    assert_eq!(presented, Zxid(z(5, 4)));
    connection.follow(z(5, 4));
    assert_eq!(
        [running.next(), running.next(), running.next()],
        ["attached", "gave up: HoldOver", "attached"]
    );
}

#[test]
fn p1_after_a_hole_or_a_truncation_the_next_lives_ask_for_a_snapshot_until_there_is_one() {
    for step in [trunc(z(5, 1)), inform(z(5, 4), &failed())] {
        let master = Master::new();
        let running = Running::start(&master);
        let (mut connection, _) = master.accept(5);
        connection.follow_snapshot(z(5, 2));
        drop(connection);
        let (mut connection, presented) = master.accept(5);
        assert_eq!(presented, Zxid(z(5, 2)));
        if let Step::Packet(packet) = &step
            && packet.packet_type() == Some(PacketType::Inform)
        {
            connection.say([diff(z(5, 4))]);
        }
        connection.say([step]);
        connection.expect_end();
        // A life that ends before its snapshot is whole does not change that.
        let (mut connection, presented) = master.accept(5);
        assert_eq!(presented, Zxid::ZERO);
        connection.say([snap(z(5, 9))]);
        drop(connection);
        let (mut connection, presented) = master.accept(5);
        assert_eq!(presented, Zxid::ZERO);
        assert_eq!(
            running.last_zxid(),
            Zxid(z(5, 2)),
            "half a snapshot changes nothing"
        );
        connection.follow_snapshot(z(5, 9));
        drop(connection);
        let (_connection, presented) = master.accept(5);
        assert_eq!(presented, Zxid(z(5, 9)));
    }
}

#[test]
fn p4_a_mirror_that_turns_out_not_to_be_trusted_is_told_of_although_clients_were_given_up_before() {
    let master = Master::new();
    let running = Running::start(&master);
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(z(5, 2));
    drop(connection);
    let (mut connection, _) = master.accept(5);
    connection.say([trunc(z(5, 1))]);
    connection.expect_end();
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(z(5, 1));
    assert_eq!(
        [running.next(), running.next(), running.next()],
        ["attached", "gave up: HoldOver", "gave up: BackInTime"]
    );
    // Once more when the older tree comes.
    assert_eq!(
        [running.next(), running.next(), running.next()],
        ["gave up: BackInTime", "replaced at 0x500000001", "attached"]
    );
}

#[test]
fn p1_a_leader_of_an_epoch_that_is_over_is_not_followed() {
    let master = Master::new();
    let running = Running::start(&master);
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(z(5, 2));
    drop(connection);
    assert_eq!(
        [running.next(), running.next()],
        ["attached", "gave up: HoldOver"]
    );
    // A deposed leader answers, and is left before it is told anything.
    let mut connection = master.connection();
    connection.expect(PacketType::ObserverInfo);
    connection.say([leader_info(4)]);
    assert_eq!(connection.hear(), None);
    let (mut connection, _) = master.accept(6);
    connection.follow(z(5, 2));
    assert_eq!(running.next(), "attached");
}

#[test]
fn p5_requests_in_flight_are_answered_by_their_transactions_and_unknown_when_the_link_goes() {
    let master = Master::new();
    let running = Running::start(&master);
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(z(5, 2));
    assert_eq!(running.next(), "attached");
    running.submit(OpCode::SetData, 1);
    running.submit(OpCode::Sync, 2);
    running.submit(OpCode::SetData, 3);
    running.submit(OpCode::SetData, 4);
    for _ in 0..4 {
        connection.expect(PacketType::Request);
    }
    let sync = packet(PacketType::Sync, 0, None);
    // Transactions of `master.rs` are of session 5, with cxid 1.
    connection.say([inform(z(5, 3), &set("/a", "y")), sync]);
    assert_eq!(running.next(), "committed cxid 1 at 0x500000003");
    assert_eq!(running.next(), "synced cxid 2 at 0x500000003");
    assert_eq!(running.link.status().in_flight.load(Ordering::Relaxed), 2);
    drop(connection);
    let mut unknown = [running.next(), running.next()];
    unknown.sort();
    assert_eq!(unknown, ["unknown cxid 3", "unknown cxid 4"]);
    assert_eq!(running.next(), "gave up: HoldOver");
    assert_eq!(running.link.status().in_flight.load(Ordering::Relaxed), 0);
    // What was made under the link that is gone is not sent over the next.
    running.submit(OpCode::SetData, 5);
    let (mut connection, _) = master.accept(5);
    connection.follow(z(5, 3));
    assert_eq!(running.next(), "attached");
    running.submit_for(Origin(6), 5, OpCode::SetData, 6);
    assert_eq!(connection.asked(), "SetData 6 of 0x5");
}

#[test]
fn p9_a_mirror_that_cannot_keep_up_leaves_before_the_leader_queues_for_it() {
    let master = Master::new();
    let mut running = Running::start_with(&master, |settings| {
        settings.sync_timeout = Duration::from_millis(400);
        settings.apply_queue_max = 10;
    });
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(z(5, 2));
    assert_eq!(running.next(), "attached");
    running.dawdle(true);
    let began = Instant::now();
    let mut next = z(5, 3);
    // The learner reads on, or is gone: this never waits for long.
    while connection.stream.write_all(&bytes_of_inform(next)).is_ok() {
        next += 1;
        assert!(began.elapsed() < LIMIT, "it neither keeps up nor leaves");
        std::thread::sleep(Duration::from_millis(1));
    }
    running.dawdle(false);
    assert_eq!(running.next(), "gave up: HoldOver");
    // It comes back with all that it had taken.
    let (mut connection, presented) = master.accept(5);
    assert!(presented > Zxid(z(5, 10)), "{presented}");
    connection.follow(presented.0);
    assert_eq!(running.next(), "attached");
    // What was not queued any more has given its room back (P6).
    running.stop();
    let kept = &running.link.status().apply_queue_bytes;
    assert_eq!(kept.load(Ordering::Relaxed), 0);
}

fn bytes_of_inform(zxid: i64) -> Vec<u8> {
    bytes_of_step(&inform(zxid, &failed()))
}

#[test]
fn p6_a_link_that_is_told_to_stop_leaves_its_master_and_ends() {
    let master = Master::new();
    let running = Running::start(&master);
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(z(5, 2));
    assert_eq!(running.next(), "attached");
    running.link.stop();
    connection.expect_end();
    let mirror = Arc::clone(&running.mirror);
    drop(running);
    assert_eq!(
        Arc::strong_count(&mirror),
        1,
        "somebody still holds the mirror"
    );
}

#[test]
fn p6_a_link_that_is_told_to_stop_ends_in_whatever_state_it_is() {
    // Nobody listens.
    let master = Master::new();
    let mut running = Running::start(&master);
    drop(master);
    running.stop();

    // A master takes the connection and says nothing.
    let master = Master::new();
    let mut running = Running::start(&master);
    let _connection = master.connection();
    running.stop();

    // It begins a DIFF; a snapshot.
    for step in [diff(z(5, 2)), snap(z(5, 2))] {
        let master = Master::new();
        let mut running = Running::start(&master);
        let (mut connection, _) = master.accept(5);
        connection.say([step]);
        running.stop();
    }

    // Between two lives.
    let master = Master::new();
    let mut running = Running::start_with(&master, |settings| {
        settings.reconnect_delay = LIMIT * 1_000;
    });
    drop(master.accept(5));
    running.wait_for_losses(1);
    running.stop();
}

#[test]
fn a_master_of_3_3_that_says_everything_at_once_is_asked_like_any_other() {
    let master = Master::new();
    let running = Running::start(&master);
    let mut connection = master.connection();
    connection.expect(PacketType::ObserverInfo);
    connection.say([
        packet(PacketType::NewLeader, z(2, 3), None),
        snap(z(2, 3)),
        tree(&[("/a", "x", 0)]),
        up_to_date(),
    ]);
    connection.expect(PacketType::Ack);
    assert_eq!(connection.asked(), "Sync 0 of 0x0");
    assert_eq!(running.next(), "attached");
    running.submit(OpCode::SetData, 1);
    assert_eq!(connection.asked(), "SetData 1 of 0x5");
}

#[test]
fn p8_clients_that_are_held_are_let_go_when_the_link_is_told_to_stop() {
    for synchronizes in [false, true] {
        let master = Master::new();
        let mut running = Running::holding(&master);
        let (mut connection, _) = master.accept(5);
        connection.follow_snapshot(z(5, 2));
        assert_eq!(running.next(), "attached");
        drop(connection);
        running.wait_for_losses(1);
        let connection = synchronizes.then(|| master.accept(5));
        running.stop();
        assert_eq!(running.next(), "gave up: Stopped");
        drop(connection);
    }
}

#[test]
fn a_master_that_always_has_something_to_say_is_answered_and_asked_all_the_same() {
    let flood = Arc::new(Flood::default());
    let running = Running::in_network(Arc::clone(&flood) as Arc<dyn Network>);
    assert_eq!(running.next(), "attached");
    running.submit(OpCode::SetData, 1);
    until("the request is sent", || {
        let mut sent = BytesMut::from(&flood.sent.lock().expect("not poisoned")[..]);
        let packets = std::iter::from_fn(|| QuorumPacket::take(&mut sent, 1 << 20).ok()?);
        let mut requests = packets.filter(|packet| {
            let request = packet.packet_type() == Some(PacketType::Request);
            request
                && !packet
                    .data
                    .as_deref()
                    .unwrap_or_default()
                    .starts_with(&[0; 8])
        });
        requests.next().is_some()
    });
}

/// A master from which there is always something to read, and which takes whatever is written.
#[derive(Default)]
struct Flood {
    sent: Arc<Mutex<Vec<u8>>>,
}

struct FloodStream {
    says: Vec<u8>,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Network for Flood {
    fn connect<'a>(&'a self, _: &'a str, _: u16) -> Connecting<'a> {
        let last = z(5, 2);
        let steps = [
            leader_info(5),
            ping(last),
            snap(last),
            tree(&[("/a", "x", 0)]),
            new_leader(5),
            up_to_date(),
        ];
        let says = steps.iter().flat_map(bytes_of_step).collect();
        let sent = Arc::clone(&self.sent);
        Box::pin(async move { Ok(Box::new(FloodStream { says, sent }) as Box<dyn LinkStream>) })
    }
}

impl AsyncRead for FloodStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.says.is_empty() {
            self.says = bytes_of_step(&ping(z(5, 2))).repeat(10);
        }
        let taken = self.says.len().min(buffer.remaining());
        buffer.put_slice(&self.says[..taken]);
        self.says.drain(..taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FloodStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // What is looked for comes early.
        let mut sent = self.sent.lock().expect("not poisoned");
        if sent.len() < 10 << 20 {
            sent.extend_from_slice(bytes);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Waits until it holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn p8_a_mirror_is_not_level_before_what_the_leader_had_queued_behind_uptodate_is_applied() {
    let master = Master::new();
    let running = Running::start(&master);
    let status = running.link.status();
    let (mut connection, _) = master.accept(5);
    connection.say([snap(z(5, 2)), tree(&[("/a", "x", 0)]), new_leader(5)]);
    connection.confirm();
    // As much as was committed while the snapshot travelled: whatever is known of is applied, and more comes.
    for counter in 3..10 {
        let zxid = z(5, counter);
        connection.say([inform(zxid, &failed())]);
        until("the transaction is applied", || {
            status.applied_zxid() == Zxid(zxid)
        });
        assert!(!status.was_level(), "level at {}", Zxid(zxid));
        assert!(status.lag() > Duration::ZERO);
    }
    connection.answer();
    until("the answer is handed on", || status.was_level());
    assert_eq!(status.lag(), Duration::ZERO);
    assert!(status.round_trip().is_some());
}

#[test]
fn the_history_of_losses_tells_how_a_link_ended_and_what_came_of_it() {
    let master = Master::new();
    let running = Running::start_with(&master, |settings| settings.hold = LIMIT);
    let status = running.link.status();
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(z(5, 2));
    assert_eq!(running.next(), "attached");
    assert_eq!(status.detached_for(), None);
    connection.say([ping(z(5, 2))]);
    connection.expect(PacketType::Ping);
    drop(connection);
    let (mut connection, _) = master.accept(5);
    let open = &status.loss_reports(&Tally::default())[0].loss;
    assert_eq!((open.number, open.label), (1, "closed"));
    assert_eq!((open.epoch, open.applied), (5, Zxid(z(5, 2))));
    assert_eq!(open.outcome, Outcome::Open);
    let last = open.recording.packets.last().expect("packets");
    assert_eq!(
        (last.name(), last.direction),
        ("PING".into(), Direction::Sent)
    );
    assert!(open.followed.is_some() && status.detached_for().is_some());
    // A master that leaves before it has said UPTODATE.
    connection.say([diff(z(5, 4))]);
    drop(connection);
    let (mut connection, _) = master.accept(5);
    let missed = [3, 4].map(|counter| inform(z(5, counter), &failed()));
    connection.say(
        [diff(z(5, 4))]
            .into_iter()
            .chain(missed)
            .chain([new_leader(5)]),
    );
    connection.confirm();
    until("the link is attached again", || {
        status.reattach.view().count == 1
    });
    until("its state says so", || status.detached_for().is_none());
    let losses = status.loss_reports(&Tally::default());
    let told: Vec<(u64, bool)> = losses
        .iter()
        .map(|report| (report.loss.number, report.loss.followed.is_some()))
        .collect();
    assert_eq!(told, [(2, false), (1, true)]);
    for report in &losses {
        assert!(
            matches!(
                report.loss.outcome,
                Outcome::Reattached {
                    kept: Some(0),
                    by: CaughtUp::Diff(2),
                    ..
                }
            ),
            "{report:?}"
        );
        assert_eq!(report.given_up_after, None);
    }
    assert!(status.losses_by_label().contains(&("closed", 2)));
}
