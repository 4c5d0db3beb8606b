//! A whole link, with its threads, at a master on a real socket that does what a test says.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use outpost_forward::{
    Answers, Attached, Attachment, Candidates, Forward, GaveUp, Link, LinkSettings, Network,
    Origin, Pending, Request, View,
};
use outpost_mirror::{Applied, Mirror, Tree, TreeOptions, WatchEvent, WatcherId};
use outpost_wire::membership::Membership;
use outpost_wire::quorum::{ForwardedRequest, PacketType, QuorumPacket};
use outpost_wire::{OpCode, Reader, ServerId, SessionId, Xid, Zxid};

use crate::master::*;
use crate::script::{Step, bytes_of_step};

/// How long something may take that should come at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What every request asks.
pub(crate) const BODY: &[u8] = b"body";

/// Whoever this is has left.
pub(crate) const GONE: Origin = Origin(404);

/// A leader whose every connection is one that the test has accepted.
pub(crate) struct Master {
    pub(crate) listener: TcpListener,
}

impl Master {
    pub(crate) fn new() -> Master {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        Master { listener }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().expect("bound").port()
    }

    fn members(&self) -> Membership {
        let text = format!("server.3=127.0.0.1:{}:1:participant", self.port());
        Membership::parse(text.as_bytes()).expect("members")
    }

    /// The next connection, about which nothing has been said.
    pub(crate) fn connection(&self) -> Connection {
        let (stream, _) = self.listener.accept().expect("a learner");
        stream.set_read_timeout(Some(LIMIT)).expect("set");
        Connection {
            stream,
            input: BytesMut::new(),
        }
    }

    /// The next life of the link, registered: the connection, and the zxid that it presents.
    pub(crate) fn accept(&self, epoch: i64) -> (Connection, Zxid) {
        let mut connection = self.connection();
        let hello = connection.expect(PacketType::ObserverInfo);
        assert_eq!(hello.zxid, Zxid::ZERO);
        // A leader in office.
        connection.say([leader_info(epoch), ping(z(epoch, 0))]);
        let presented = connection.expect(PacketType::AckEpoch).zxid;
        (connection, presented)
    }
}

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    input: BytesMut,
}

impl Connection {
    pub(crate) fn say(&mut self, steps: impl IntoIterator<Item = Step>) {
        let bytes: Vec<u8> = steps.into_iter().flat_map(|s| bytes_of_step(&s)).collect();
        self.stream.write_all(&bytes).expect("sent");
    }

    /// The next packet; `None` when the learner has closed the connection.
    pub(crate) fn hear(&mut self) -> Option<QuorumPacket> {
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

    pub(crate) fn expect(&mut self, kind: PacketType) -> QuorumPacket {
        let packet = self.hear().expect("the learner goes on");
        assert_eq!(packet.packet_type(), Some(kind));
        packet
    }

    /// The next packet as text: what it asks, and of whom.
    pub(crate) fn asked(&mut self) -> String {
        let packet = self.hear().expect("the learner goes on");
        let kind = packet.packet_type().expect("a known type");
        let data = packet.data.unwrap_or_default();
        match kind {
            PacketType::Request => {
                let request = ForwardedRequest::read(&data).expect("a request");
                let op = OpCode::from_code(request.op).expect("an operation");
                format!("{op:?} {} of {}", request.cxid, request.session)
            }
            PacketType::Revalidate => {
                let mut reader = Reader::new(&data);
                let session = SessionId(reader.long("session").expect("a session"));
                let timeout_ms = reader.int("timeout").expect("a timeout");
                format!("Revalidate {session}/{timeout_ms}ms")
            }
            PacketType::Ping => {
                let mut reader = Reader::new(&data);
                let sessions = data.chunks(12).map(|_| {
                    let session = SessionId(reader.long("session").expect("a session"));
                    reader.int("timeout").expect("a timeout");
                    format!(" {session}")
                });
                format!("{kind:?}{}", sessions.collect::<String>())
            }
            _ => format!("{kind:?}"),
        }
    }

    /// The same, of the next packet that is no SYNC.
    pub(crate) fn asked_besides_syncs(&mut self) -> String {
        loop {
            let asked = self.asked();
            if !asked.starts_with("Sync") {
                return asked;
            }
        }
    }

    /// A synchronisation without a difference, both ACKs, and the answer to the first question.
    pub(crate) fn follow(&mut self, last: i64) {
        self.follow_in(last >> 32, last);
    }

    /// The same under a leader of a newer epoch.
    pub(crate) fn follow_in(&mut self, epoch: i64, last: i64) {
        self.say([diff(last), new_leader(epoch)]);
        self.confirm();
        self.answer();
    }

    pub(crate) fn confirm(&mut self) {
        self.expect(PacketType::Ack);
        self.say([up_to_date()]);
        self.expect(PacketType::Ack);
        // With UPTODATE a link asks for a sign that comes behind everything else.
        assert_eq!(self.asked(), "Sync 0 of 0x0");
    }

    /// The answer to the oldest SYNC.
    pub(crate) fn answer(&mut self) {
        self.say([packet(PacketType::Sync, 0, None)]);
    }

    /// As [`Connection::follow`], with a snapshot.
    pub(crate) fn follow_snapshot(&mut self, last: i64) {
        let epoch = last >> 32;
        self.say([snap(last), tree(&[("/a", "x", 0)]), new_leader(epoch)]);
        self.confirm();
        self.answer();
    }

    /// Waits until the learner has closed the connection.
    pub(crate) fn expect_end(&mut self) {
        while self.hear().is_some() {}
    }
}

/// Writes down what is handed up, and can be made to dawdle.
pub(crate) struct Clerk {
    pub(crate) attachment: AtomicU64,
    log: mpsc::SyncSender<String>,
    /// Neither a batch nor the taking over of a snapshot comes to its end.
    dawdles: AtomicBool,
    is_dawdling: AtomicBool,
    hold_is_over: AtomicBool,
    /// When the last attachment says that it began.
    attached_at: Mutex<Option<Instant>>,
    /// What is sent as touches with the next chance.
    pub(crate) touched: Mutex<Vec<u8>>,
    cut: Mutex<HashSet<Origin>>,
}

impl Clerk {
    fn note(&self, what: String) {
        // Fails when the test is over.
        let _ = self.log.try_send(what);
    }

    fn dawdle(&self) {
        while self.dawdles.load(Ordering::Acquire) {
            self.is_dawdling.store(true, Ordering::Release);
            std::thread::sleep(Duration::from_millis(5));
        }
        self.is_dawdling.store(false, Ordering::Release);
    }

    pub(crate) fn cut(&self, origin: Origin) {
        self.cut.lock().expect("not poisoned").insert(origin);
    }

    /// A client shows itself.
    pub(crate) fn touch(&self, session: i64) {
        let mut touched = self.touched.lock().expect("not poisoned");
        touched.extend(session.to_be_bytes());
        touched.extend(6_000_i32.to_be_bytes());
    }
}

impl Answers for Clerk {
    fn attached(&self, attached: Attached) {
        let before = self
            .attachment
            .swap(attached.attachment.0, Ordering::AcqRel);
        let again = attached.held.is_some();
        assert_eq!(again, before == attached.attachment.0);
        *self.attached_at.lock().expect("not poisoned") = Some(attached.at);
        self.note(if again { "attached again" } else { "attached" }.into());
    }
    // Told by both threads.
    fn held(&self, _: Instant) {}
    fn hold_over(&self) {
        self.hold_is_over.store(true, Ordering::Release);
    }
    fn gave_up(&self, why: GaveUp) {
        self.note(format!("gave up: {why:?}"));
    }
    fn replaced(&self, tree: &Tree) {
        self.dawdle();
        // The first one replaces nothing.
        if self.attachment.load(Ordering::Acquire) != 0 {
            self.note(format!("replaced at {}", tree.last_zxid()));
        }
    }
    fn fired(&self, watcher: WatcherId, event: &WatchEvent<'_>) {
        self.note(format!(
            "{:?} of {} for {}",
            event.kind, event.path, watcher.0
        ));
    }
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
        self.cut(pending.origin);
        self.note(format!("unknown cxid {}", pending.cxid));
    }
    fn batch_done(&self) {
        self.dawdle();
    }
    fn touches_proven(&self, _: Instant) {
        self.note("touches proven".into());
    }
    fn take_touched(&self, _: Instant, table: &mut Vec<u8>) {
        table.append(&mut self.touched.lock().expect("not poisoned"));
    }
    fn is_there(&self, origin: Origin) -> bool {
        let cut = self.cut.lock().expect("not poisoned");
        origin != GONE && !cut.contains(&origin)
    }
    fn not_forwarded(&self, origin: Origin, _: Option<&Pending>) {
        self.note(format!("not forwarded for {}", origin.0));
    }
}

/// A link to the scripted master.
pub(crate) struct Running {
    pub(crate) link: Link,
    thread: Option<JoinHandle<()>>,
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) clerk: Arc<Clerk>,
    log: mpsc::Receiver<String>,
}

impl Running {
    pub(crate) fn start(master: &Master) -> Running {
        Running::start_with(master, |_| {})
    }

    /// One that holds its clients for longer than any test takes.
    pub(crate) fn holding(master: &Master) -> Running {
        Running::start_with(master, |settings| settings.hold = LIMIT * 10)
    }

    pub(crate) fn start_with(master: &Master, adapt: impl FnOnce(&mut LinkSettings)) -> Running {
        let candidates = Candidates::new(master.members(), None, false);
        Running::start_at(candidates, None, adapt)
    }

    /// One whose master is a follower's observer master.
    pub(crate) fn behind_a_follower(master: &Master) -> Running {
        let candidates = Candidates::new(master.members(), Some(master.port()), false);
        Running::start_at(candidates, None, |settings| settings.hold = LIMIT * 10)
    }

    /// One that finds its master in another network.
    pub(crate) fn in_network(network: Arc<dyn Network>) -> Running {
        let members = b"server.3=leader:2888:3888:participant";
        let members = Membership::parse(members).expect("members");
        Running::start_at(Candidates::new(members, None, false), Some(network), |_| {})
    }

    fn start_at(
        candidates: Candidates,
        network: Option<Arc<dyn Network>>,
        adapt: impl FnOnce(&mut LinkSettings),
    ) -> Running {
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
            is_dawdling: AtomicBool::new(false),
            hold_is_over: AtomicBool::new(false),
            attached_at: Mutex::default(),
            touched: Mutex::default(),
            cut: Mutex::default(),
        });
        let mirror = Arc::new(Mirror::new());
        let answers = Arc::clone(&clerk) as Arc<_>;
        let (link, thread) = match network {
            None => Link::start(settings, candidates, Arc::clone(&mirror), answers),
            Some(network) => {
                let mirror = Arc::clone(&mirror);
                let (link, life, apply) =
                    Link::assemble(settings, candidates, mirror, answers, network);
                life.start(apply).map(|thread| (link, thread))
            }
        }
        .expect("threads");
        Running {
            link,
            thread: Some(thread),
            mirror,
            clerk,
            log,
        }
    }

    /// The next that was handed up.
    pub(crate) fn next(&self) -> String {
        self.log
            .recv_timeout(LIMIT)
            .expect("something is handed up")
    }

    pub(crate) fn submit(&self, op: OpCode, cxid: i32) {
        self.submit_of(5, op, cxid);
    }

    /// A request of this session, whose connection has the same number.
    pub(crate) fn submit_of(&self, session: i64, op: OpCode, cxid: i32) {
        let origin = Origin(u64::try_from(session).expect("a number"));
        self.submit_for(origin, session, op, cxid);
    }

    pub(crate) fn submit_for(&self, origin: Origin, session: i64, op: OpCode, cxid: i32) {
        let permit = self.link.try_reserve().expect("room");
        permit.submit(Request::Forward(Forward {
            attachment: self.attachment(),
            pending: Pending {
                origin,
                session: SessionId(session),
                cxid: Xid(cxid),
                op,
            },
            body: Bytes::from_static(BODY).into(),
            authinfo: None,
            timeout_ms: 4_000,
        }));
    }

    /// Bytes of what waits to be sent.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let bytes = self.link.status().waiting_bytes.load(Ordering::Relaxed);
        usize::try_from(bytes).expect("few")
    }

    /// A client comes back with this session.
    pub(crate) fn revalidate(&self, origin: Origin, session: i64) {
        let permit = self.link.try_reserve().expect("room");
        permit.submit(Request::Revalidate {
            attachment: self.attachment(),
            origin,
            session: SessionId(session),
            timeout_ms: 4_000,
        });
    }

    pub(crate) fn attached_at(&self) -> Instant {
        let at = *self.clerk.attached_at.lock().expect("not poisoned");
        at.expect("it was attached")
    }

    fn attachment(&self) -> Attachment {
        Attachment(self.clerk.attachment.load(Ordering::Acquire))
    }

    pub(crate) fn last_zxid(&self) -> Zxid {
        self.mirror.read().last_zxid()
    }

    /// The apply thread stops behind its next batch, or in the middle of taking a snapshot over; or goes on.
    pub(crate) fn dawdle(&self, dawdles: bool) {
        self.clerk.dawdles.store(dawdles, Ordering::Release);
    }

    pub(crate) fn wait_until_dawdling(&self) {
        until(|| self.clerk.is_dawdling.load(Ordering::Acquire));
    }

    pub(crate) fn wait_until_hold_is_over(&self) {
        until(|| self.clerk.hold_is_over.load(Ordering::Acquire));
    }

    /// Waits until the link thread has noticed so many losses.
    pub(crate) fn wait_for_losses(&self, losses: u64) {
        until(|| {
            let counted = self.link.status().losses_by_label();
            counted.iter().map(|(_, count)| count).sum::<u64>() >= losses
        });
    }

    /// Tells it to stop and waits until both of its threads have ended.
    pub(crate) fn stop(&mut self) {
        self.link.stop();
        let thread = self.thread.take().expect("not stopped yet");
        let (ended, has_ended) = mpsc::sync_channel(1);
        std::thread::spawn(move || ended.send(thread.join().is_ok()));
        let well = has_ended.recv_timeout(LIMIT).expect("it ends");
        assert!(well, "a thread of it ended in a panic");
    }
}

fn until(mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LIMIT, "it does not come to that");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.dawdle(false);
        self.link.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}
