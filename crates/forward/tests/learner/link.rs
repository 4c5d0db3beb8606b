//! A whole link, with its threads, against a master that follows a script on a real socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use outpost_forward::losses::{CaughtUp, Outcome};
use outpost_forward::recorder::Direction;
use outpost_forward::{
    Answers, Attached, Attachment, Candidates, GaveUp, Link, LinkSettings, Origin, Pending,
    Request, Tally, View,
};
use outpost_mirror::{Applied, Mirror, Tree, TreeOptions, WatchEvent, WatcherId};
use outpost_wire::membership::Membership;
use outpost_wire::quorum::{ForwardedRequest, PacketType, QuorumPacket};
use outpost_wire::{OpCode, ServerId, SessionId, Xid, Zxid};

use crate::master::*;
use crate::script::{Step, bytes_of};

/// How long something may take that should come at once.
const LIMIT: Duration = Duration::from_secs(20);

/// Whoever this is has left.
const GONE: Origin = Origin(404);

/// A leader whose every connection is one that the test has accepted.
struct Master {
    listener: TcpListener,
}

impl Master {
    fn new() -> Master {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        Master { listener }
    }

    fn members(&self) -> Membership {
        let port = self.listener.local_addr().expect("bound").port();
        Membership::parse(format!("server.3=127.0.0.1:{port}:1:participant").as_bytes())
            .expect("members")
    }

    /// The next life of the link, registered: the connection, and the zxid that it presents.
    fn accept(&self, epoch: i64) -> (Connection, Zxid) {
        let (stream, _) = self.listener.accept().expect("a learner");
        stream.set_read_timeout(Some(LIMIT)).expect("set");
        let mut connection = Connection {
            stream,
            input: BytesMut::new(),
        };
        let hello = connection.expect(PacketType::ObserverInfo);
        assert_eq!(hello.zxid, Zxid::ZERO);
        connection.say([leader_info(epoch)]);
        let presented = connection.expect(PacketType::AckEpoch).zxid;
        (connection, presented)
    }
}

struct Connection {
    stream: TcpStream,
    input: BytesMut,
}

impl Connection {
    fn say(&mut self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            let bytes = match step {
                Step::Packet(packet) => bytes_of(&packet),
                Step::Bytes(bytes) => bytes,
                _ => unreachable!("masters send packets and bytes"),
            };
            self.stream.write_all(&bytes).expect("sent");
        }
    }

    /// The next packet; `None` when the learner has closed the connection.
    fn hear(&mut self) -> Option<QuorumPacket> {
        loop {
            if let Some(packet) = QuorumPacket::take(&mut self.input, 1 << 20).expect("a packet") {
                return Some(packet);
            }
            let mut bytes = [0; 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(read) => self.input.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the learner says nothing: {error}"),
            }
        }
    }

    fn expect(&mut self, kind: PacketType) -> QuorumPacket {
        let packet = self.hear().expect("the learner goes on");
        assert_eq!(packet.packet_type(), Some(kind));
        packet
    }

    /// A synchronisation without a difference, both ACKs, and the answer to the first question.
    fn follow(&mut self, last: i64) {
        let epoch = last >> 32;
        self.say([diff(last), new_leader(epoch)]);
        self.confirm();
        self.answer();
    }

    fn confirm(&mut self) {
        self.expect(PacketType::Ack);
        self.say([up_to_date()]);
        self.expect(PacketType::Ack);
        // With UPTODATE a link asks for a sign that comes behind everything else.
        let request = self.expect(PacketType::Request).data.expect("data");
        let request = ForwardedRequest::read(&request).expect("a request");
        let (session, op) = (request.session, request.op);
        assert_eq!((session, op), (SessionId::NONE, OpCode::Sync.code()));
    }

    fn answer(&mut self) {
        self.say([packet(PacketType::Sync, 0, None)]);
    }

    /// As [`Connection::follow`], with a snapshot.
    fn follow_snapshot(&mut self, last: i64) {
        let epoch = last >> 32;
        self.say([snap(last), tree(&[("/a", "x", 0)]), new_leader(epoch)]);
        self.confirm();
        self.answer();
    }

    /// Waits until the learner has closed the connection.
    fn expect_end(&mut self) {
        while self.hear().is_some() {}
    }
}

/// Writes down what is handed up, and can be made to dawdle.
struct Clerk {
    attachment: AtomicU64,
    log: mpsc::SyncSender<String>,
    dawdles: AtomicBool,
    touched: std::sync::Mutex<Vec<u8>>,
}

impl Clerk {
    fn note(&self, what: String) {
        // Fails when the test is over.
        let _ = self.log.try_send(what);
    }
}

impl Answers for Clerk {
    fn attached(&self, attached: Attached) {
        let before = self
            .attachment
            .swap(attached.attachment.0, Ordering::AcqRel);
        let again = attached.held.is_some();
        assert_eq!(again, before == attached.attachment.0);
        self.note(if again { "attached again" } else { "attached" }.into());
    }
    fn held(&self, until: Instant) {
        if until > Instant::now() {
            self.note("held".into());
        }
    }
    fn hold_over(&self) {}
    fn gave_up(&self, why: GaveUp) {
        self.note(format!("gave up: {why:?}"));
    }
    fn replaced(&self, tree: &Tree) {
        // The first one replaces nothing.
        if self.attachment.load(Ordering::Acquire) != 0 {
            self.note(format!("replaced at {}", tree.last_zxid()));
        }
    }
    fn fired(&self, _: WatcherId, _: &WatchEvent<'_>) {}
    fn committed(&self, pending: &Pending, applied: &Applied, _: View<'_>) {
        self.note(format!(
            "committed cxid {} at {}",
            pending.cxid, applied.zxid
        ));
    }
    fn synced(&self, pending: &Pending, view: View<'_>) {
        self.note(format!(
            "synced cxid {} at {}",
            pending.cxid,
            view.tree.last_zxid()
        ));
    }
    fn revalidated(&self, _: Origin, session: SessionId, valid: bool, _: View<'_>) {
        self.note(format!("revalidated {session} {valid}"));
    }
    fn session_closed(&self, _: SessionId) {}
    fn fate_unknown(&self, pending: &Pending) {
        self.note(format!("unknown cxid {}", pending.cxid));
    }
    fn batch_done(&self) {
        while self.dawdles.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    fn touches_proven(&self, _: Instant) {
        self.note("touches proven".into());
    }
    fn take_touched(&self, _: Instant, table: &mut Vec<u8>) {
        table.append(&mut self.touched.lock().expect("not poisoned"));
    }
    fn is_there(&self, origin: Origin) -> bool {
        origin != GONE
    }
    fn not_forwarded(&self, origin: Origin) {
        self.note(format!("not forwarded for {}", origin.0));
    }
}

/// A link to the scripted master.
struct Running {
    link: Link,
    thread: Option<JoinHandle<()>>,
    mirror: Arc<Mirror>,
    clerk: Arc<Clerk>,
    log: mpsc::Receiver<String>,
}

impl Running {
    fn start(master: &Master) -> Running {
        Running::start_with(master, |_| {})
    }

    fn start_with(master: &Master, adapt: impl FnOnce(&mut LinkSettings)) -> Running {
        let mut settings = LinkSettings {
            server_id: ServerId(10),
            connect_timeout: LIMIT,
            init_timeout: LIMIT,
            sync_timeout: LIMIT,
            silence_timeout: LIMIT,
            hold: Duration::ZERO,
            packet_bytes_max: 1 << 20,
            retry_first: Duration::from_millis(1),
            retry_longest: Duration::from_millis(5),
            retry_longest_held: Duration::from_millis(5),
            reconnect_delay: Duration::ZERO,
            request_queue_max: 100,
            in_flight_max: 100,
            apply_queue_max: 100,
            apply_queue_bytes_max: 1 << 20,
            tree: TreeOptions::default(),
        };
        adapt(&mut settings);
        let (sender, log) = mpsc::sync_channel(10_000);
        let clerk = Arc::new(Clerk {
            attachment: AtomicU64::new(0),
            log: sender,
            dawdles: AtomicBool::new(false),
            touched: std::sync::Mutex::default(),
        });
        let mirror = Arc::new(Mirror::new());
        let candidates = Candidates::new(master.members(), None, false);
        let answers = Arc::clone(&clerk) as Arc<_>;
        let (link, thread) =
            Link::start(settings, candidates, Arc::clone(&mirror), answers).expect("threads");
        Running {
            link,
            thread: Some(thread),
            mirror,
            clerk,
            log,
        }
    }

    /// The next that was handed up.
    fn next(&self) -> String {
        self.log
            .recv_timeout(LIMIT)
            .expect("something is handed up")
    }

    fn submit(&self, op: OpCode, cxid: i32) {
        let attachment = Attachment(self.clerk.attachment.load(Ordering::Acquire));
        let permit = self.link.try_reserve().expect("room");
        permit.submit(Request::Forward {
            attachment,
            pending: Pending {
                origin: Origin(1),
                session: SessionId(5),
                cxid: Xid(cxid),
                op,
            },
            body: Bytes::from_static(b"body"),
            authinfo: None,
        });
    }

    fn last_zxid(&self) -> Zxid {
        self.mirror.read().last_zxid()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.clerk.dawdles.store(false, Ordering::Relaxed);
        self.link.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

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
    let (stream, _) = master.listener.accept().expect("a learner");
    let mut connection = Connection {
        stream,
        input: BytesMut::new(),
    };
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
    running.submit(OpCode::SetData, 6);
    let request = connection.expect(PacketType::Request);
    let data = request.data.expect("a request has data");
    let request = ForwardedRequest::read(&data).expect("a request");
    assert_eq!(request.cxid, Xid(6));
}

#[test]
fn p9_a_mirror_that_cannot_keep_up_leaves_before_the_leader_queues_for_it() {
    let master = Master::new();
    let running = Running::start_with(&master, |settings| {
        settings.sync_timeout = Duration::from_millis(400);
        settings.apply_queue_max = 10;
    });
    let (mut connection, _) = master.accept(5);
    connection.follow_snapshot(z(5, 2));
    assert_eq!(running.next(), "attached");
    running.clerk.dawdles.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let mut next = z(5, 3);
    // The learner reads on, or is gone: this never waits for long.
    while connection.stream.write_all(&bytes_of_inform(next)).is_ok() {
        next += 1;
        assert!(began.elapsed() < LIMIT, "it neither keeps up nor leaves");
        std::thread::sleep(Duration::from_millis(1));
    }
    running.clerk.dawdles.store(false, Ordering::Relaxed);
    assert_eq!(running.next(), "gave up: HoldOver");
    // It comes back with all that it had taken.
    let (mut connection, presented) = master.accept(5);
    assert!(presented > Zxid(z(5, 10)), "{presented}");
    connection.follow(presented.0);
    assert_eq!(running.next(), "attached");
}

fn bytes_of_inform(zxid: i64) -> Vec<u8> {
    match inform(zxid, &failed()) {
        Step::Packet(packet) => bytes_of(&packet),
        _ => unreachable!("INFORM is a packet"),
    }
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
