//! P6: whatever a peer can fill has a bound, and nothing outlives its peer's socket.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bstr::BStr;
use bytes::Bytes;
use outpost::limits::{OUTBOX_BYTES_PAUSE, PIPELINE_REQUESTS_MAX};
use outpost_forward::{
    Answers, Attached, Attachment, Candidates, Forward, GaveUp, Link, LinkSettings, Origin,
    Pending, Request, View,
};
use outpost_mirror::{Applied, Mirror, Tree, TreeOptions, WatchEvent, WatcherId};
use outpost_sim::ServerOptions;
use outpost_tests::offenders;
use outpost_tests::raw::RawClient;
use outpost_wire::proto::{
    AddWatchMode, AddWatchRequest, ConnectRequest, CreateMode, CreateRequest, GetDataRequest,
    SetDataRequest,
};
use outpost_wire::{Acl, OpCode, Record, ServerId, SessionId, Xid, Zxid};
use tokio::net::TcpSocket;

use crate::stage::{EndsOnDrop, LIMIT, Observer, Site, TIMEOUT_MS, until};

fn set(path: &str) -> SetDataRequest<'_> {
    SetDataRequest {
        path: BStr::new(path),
        data: Some(b"x"),
        version: -1,
    }
}

/// Nothing is held for anybody: no connection, no watch, no request.
pub(crate) fn wait_until_nothing_is_held(observer: &Observer) {
    until("nothing to be held", LIMIT, || {
        let held = (
            observer.service.clients.len(),
            observer.watch_count(),
            observer.status().in_flight.load(Ordering::Relaxed),
        );
        (held == (0, 0, 0)).then_some(())
    });
    for gauge in [
        "num_alive_connections",
        "watch_count",
        "outstanding_requests",
        "outpost_client_sessions",
        "outpost_requests_in_flight",
        "outpost_apply_queue_events",
        "outpost_apply_queue_bytes",
    ] {
        let value = observer.gauge(gauge);
        assert!(value == 0.0, "{gauge} is {value}");
    }
}

#[test]
fn p6_nothing_is_left_of_two_hundred_clients_that_came_and_went_in_every_way() {
    let site = Site::with_commit_delay(1);
    let observer = site.observer();
    observer.wait_for(site.write("/a", b""));
    // A connection holds the service; what is left of one can be counted.
    wait_until_nothing_is_held(&observer);
    let idle = Arc::strong_count(&observer.service);
    for number in 0..200 {
        if number % 10 == 0 {
            // Says half a connect request.
            let mut client = RawClient::tcp(observer.address).expect("connected");
            client.send_bytes(&[0, 0, 0, 45, 0]).expect("sent");
            continue;
        }
        let mut client = observer.client();
        client.get_data(b"/a", true).expect("there");
        client.get_children(b"/", true).expect("there");
        client
            .add_watch("/a", AddWatchMode::PersistentRecursive.code())
            .expect("left");
        match number % 3 {
            0 => client.close().expect("closed"),
            1 => _ = client.abandon(),
            _ => {
                // Goes while its requests are on their way and in line.
                for _ in 0..20 {
                    client.send(OpCode::SetData, &set("/a")).expect("sent");
                    let path = BStr::new("/a");
                    let get = GetDataRequest { path, watch: true };
                    client.send(OpCode::GetData, &get).expect("sent");
                }
                client.abandon();
            }
        }
    }
    wait_until_nothing_is_held(&observer);
    until("every connection's task to end", LIMIT, || {
        (Arc::strong_count(&observer.service) == idle).then_some(())
    });
    assert_eq!(
        observer
            .service
            .stats
            .outbox_overflows
            .load(Ordering::Relaxed),
        0
    );
}

/// Counts what a link hands up.
#[derive(Default)]
struct Counting {
    attachment: AtomicU64,
    unknown: AtomicUsize,
    committed: AtomicUsize,
}

impl Answers for Counting {
    fn attached(&self, attached: Attached) {
        self.attachment
            .store(attached.attachment.0, Ordering::Release);
    }
    fn held(&self, _: Instant) {}
    fn hold_over(&self) {}
    fn gave_up(&self, _: GaveUp) {
        self.attachment.store(0, Ordering::Release);
    }
    fn replaced(&self, _: &Tree) {}
    fn fired(&self, _: WatcherId, _: &WatchEvent<'_>) {}
    fn committed(&self, _: &Pending, _: &Applied, _: View<'_>) {
        self.committed.fetch_add(1, Ordering::Relaxed);
    }
    fn synced(&self, _: &Pending, _: View<'_>) {}
    fn revalidated(&self, _: Origin, _: SessionId, _: bool, _: View<'_>) {}
    fn session_closed(&self, _: SessionId) {}
    fn fate_unknown(&self, _: &Pending) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }
    fn batch_done(&self) {}
    fn touches_proven(&self, _: Instant) {}
    fn take_touched(&self, _: Instant, _: &mut Vec<u8>) {}
    fn is_there(&self, _: Origin) -> bool {
        true
    }
    fn not_forwarded(&self, _: Origin, _: Option<&Pending>) {}
}

fn link_settings() -> LinkSettings {
    LinkSettings {
        server_id: ServerId(10),
        connect_timeout: LIMIT,
        init_timeout: LIMIT,
        sync_timeout: LIMIT,
        silence_timeout: LIMIT,
        hold: Duration::ZERO,
        packet_bytes_max: 4 << 20,
        // Somebody who loses fifty links has little patience.
        retry_first: Duration::from_millis(1),
        retry_longest: Duration::from_millis(5),
        retry_longest_held: Duration::from_millis(5),
        reconnect_delay: Duration::ZERO,
        request_queue_max: 100,
        in_flight_max: 1_000,
        apply_queue_max: 1_000,
        apply_queue_bytes_max: 1 << 20,
        tree: TreeOptions::default(),
    }
}

#[test]
fn p6_nothing_is_left_of_fifty_links_that_were_lost_with_writes_in_flight() {
    const IN_FLIGHT: usize = 20;
    // Nothing is ever committed, so all that is asked for is in flight when the link goes.
    let site = Site::with_commit_delay(600_000);
    let (members, links) = site.remote_members();
    let (mirror, answers) = (Arc::new(Mirror::new()), Arc::new(Counting::default()));
    let candidates = Candidates::new(members, None, false);
    let (link, thread) = Link::start(
        link_settings(),
        candidates,
        Arc::clone(&mirror),
        Arc::clone(&answers) as Arc<_>,
    )
    .expect("threads");
    for loss in 1..=50 {
        let attachment = until("the link to attach", LIMIT, || {
            let number = answers.attachment.load(Ordering::Acquire);
            (number != 0).then_some(Attachment(number))
        });
        for number in 0..IN_FLIGHT {
            let pending = Pending {
                origin: Origin(1),
                session: SessionId(1),
                cxid: Xid(i32::try_from(number).expect("few")),
                op: OpCode::CreateSession,
            };
            let permit = until("room for a request", LIMIT, || link.try_reserve());
            permit.submit(Request::Forward(Forward {
                attachment,
                pending,
                body: Bytes::from_static(&[0, 0, 0x4e, 0x20]).into(),
                authinfo: None,
                timeout_ms: 20_000,
            }));
        }
        until("the requests to be on their way", LIMIT, || {
            let in_flight = link.status().in_flight.load(Ordering::Relaxed);
            (in_flight == IN_FLIGHT as u64).then_some(())
        });
        for relay in &links {
            relay.flap();
        }
        until("the link to be given up", LIMIT, || {
            let unknown = answers.unknown.load(Ordering::Relaxed);
            // What is in flight is given up on first.
            let over = answers.attachment.load(Ordering::Acquire) != attachment.0;
            (unknown == loss * IN_FLIGHT && over).then_some(())
        });
        assert_eq!(link.status().in_flight.load(Ordering::Relaxed), 0);
    }
    assert_eq!(link.status().losses.load(Ordering::Relaxed), 50);
    assert_eq!(answers.committed.load(Ordering::Relaxed), 0);
    until("the leader to have one learner at most", LIMIT, || {
        let learners = site.leader(|leader, _| leader.following().count());
        (learners <= 1).then_some(())
    });
    link.stop();
    thread.join().expect("the link's thread ends");
    assert_eq!(
        Arc::strong_count(&mirror),
        1,
        "somebody still holds the mirror"
    );
    assert_eq!(
        Arc::strong_count(&answers),
        1,
        "somebody still holds the answers"
    );
}

/// A client whose kernel has hardly any room for what it does not read.
pub(crate) struct Deaf {
    pub(crate) stream: TcpStream,
}

impl Deaf {
    pub(crate) fn connect(site: &Site, observer: &Observer) -> Deaf {
        let stream = site.runtime.block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(4 << 10).expect("set");
            let stream = socket.connect(observer.address).await.expect("connected");
            stream.into_std().expect("a socket of the standard library")
        });
        stream.set_nonblocking(false).expect("set");
        stream.set_read_timeout(Some(LIMIT)).expect("set");
        let mut deaf = Deaf { stream };
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(0),
            time_out: TIMEOUT_MS,
            session_id: SessionId(0),
            passwd: Some(&[0; 16]),
            read_only: Some(false),
        };
        deaf.send_frame(&connect.encode());
        deaf.read_frame();
        deaf
    }

    pub(crate) fn send<'r>(&mut self, op: OpCode, record: &impl Record<'r>) {
        self.send_at_once(op, record, 1);
    }

    /// So many times, and all before the server can have cut it off for what came first.
    pub(crate) fn send_at_once<'r>(&mut self, op: OpCode, record: &impl Record<'r>, times: usize) {
        let request = offenders::request(op, record);
        self.stream.write_all(&request.repeat(times)).expect("sent");
    }

    pub(crate) fn send_frame(&mut self, frame: &[u8]) {
        let length = u32::try_from(frame.len()).expect("short");
        self.stream.write_all(&length.to_be_bytes()).expect("sent");
        self.stream.write_all(frame).expect("sent");
    }

    fn read_frame(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect("answered");
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer).expect("answered");
        answer
    }
}

#[test]
fn p6_a_client_that_never_reads_is_cut_at_its_bound_while_others_are_served() {
    const OUTBOX: usize = (1 << 20) + (64 << 10);
    let site = Site::new();
    let observer = site.observer_with(&[
        "jute.maxbuffer=65536",
        &format!("outpost.outboxBytes={OUTBOX}"),
    ]);
    let path = format!("/p/{}", "x".repeat(8_000));
    site.write("/p", b"");
    observer.wait_for(site.write(&path, b""));
    let mut deaf = Deaf::connect(&site, &observer);
    let watch = AddWatchRequest {
        path: BStr::new("/p"),
        mode: AddWatchMode::PersistentRecursive.code(),
    };
    deaf.send(OpCode::AddWatch, &watch);
    deaf.read_frame();
    let (done, told) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let ends = EndsOnDrop(&done);
        // One that reads what it is sent is told everything.
        let listener = scope.spawn(|| {
            let mut client = observer.client();
            client
                .add_watch("/p", AddWatchMode::PersistentRecursive.code())
                .expect("left");
            while !done.load(Ordering::Relaxed) {
                client.exists("/p", false).expect("there");
                told.fetch_add(client.take_events().len(), Ordering::Relaxed);
            }
        });
        until("the listener to watch", LIMIT, || {
            (observer.watch_count() == 2).then_some(())
        });
        let overflows = &observer.service.stats.outbox_overflows;
        let mut writes = 0;
        while overflows.load(Ordering::Relaxed) == 0 {
            assert!(writes < 4_000, "nobody was cut");
            let path = path.clone();
            let written = site.ensemble(move |ensemble, now_ms| {
                let mut last = Zxid(0);
                for _ in 0..50 {
                    let path = path.as_bytes().into();
                    last = ensemble
                        .write_as_someone_else(now_ms, path, Some(b"x"))
                        .expect("written");
                }
                last
            });
            writes += 50;
            observer.wait_for(written);
            for client in observer.service.clients.all() {
                let waiting = client.state().out.len();
                assert!(waiting <= OUTBOX, "{waiting} bytes wait for a client");
            }
            // What comes at once is less than may wait for it.
            until("the listener to be told", LIMIT, || {
                (told.load(Ordering::Relaxed) == writes).then_some(())
            });
        }
        eprintln!("cut after {writes} events of {} bytes", path.len());
        until("the deaf client to be gone", LIMIT, || {
            (observer.service.clients.len() == 1).then_some(())
        });
        drop(ends);
        listener.join().expect("the listener goes on");
        assert_eq!(overflows.load(Ordering::Relaxed), 1);
    });
    drop(deaf);
    wait_until_nothing_is_held(&observer);
}

#[test]
fn p6_answers_that_are_not_read_stop_the_questions_and_are_all_there_when_they_are() {
    const READS: usize = 60;
    const SIZE: usize = 500_000;
    // What the sending side's kernel may hold, what is being written, and what waits behind that.
    const UNREAD_BYTES_MAX: usize = (8 << 20) + 2 * (OUTBOX_BYTES_PAUSE + SIZE);
    let site = Site::new();
    let observer = site.observer();
    observer.wait_for(site.write("/large", &vec![b'x'; SIZE]));
    let mut client = Deaf::connect(&site, &observer);
    for _ in 0..READS {
        let path = BStr::new("/large");
        client.send(OpCode::GetData, &GetDataRequest { path, watch: false });
    }
    let reads = || observer.service.stats.sum(|worker| &worker.reads);
    until("the first answers", LIMIT, || (reads() > 0).then_some(()));
    for read in 0..READS {
        let unread = usize::try_from(reads()).expect("few").saturating_sub(read);
        assert!(
            unread * SIZE <= UNREAD_BYTES_MAX,
            "{unread} answers were made, and nobody reads them"
        );
        assert!(client.read_frame().len() > SIZE);
    }
}

#[test]
fn p6_a_client_that_writes_faster_than_the_leader_commits_waits_and_loses_nothing() {
    const WRITES: usize = 3 * PIPELINE_REQUESTS_MAX;
    let mut options = ServerOptions::default();
    options.leader.commit_delay_ms = 5;
    // The leader says nothing but what it is asked: no PING wakes anybody by chance.
    options.leader.tick_ms = 600_000;
    let site = Site::with(options);
    let lines = ["outpost.maxWritesInFlight=50", "syncLimit=1000"];
    let observer = site.observer_with(&lines);
    let mut client = observer.client();
    client
        .create("/a", b"", CreateMode::Persistent)
        .expect("created");
    for _ in 0..WRITES {
        client.send(OpCode::SetData, &set("/a")).expect("sent");
    }
    let mut most = 0;
    for round in 1..=WRITES {
        let in_flight = observer.status().in_flight.load(Ordering::Relaxed);
        most = most.max(in_flight);
        for client in observer.service.clients.all() {
            let line = client.state().pipeline.len();
            assert!(line <= PIPELINE_REQUESTS_MAX, "{line} requests in line");
        }
        let reply = client.reply().expect("answered");
        let set: outpost_wire::proto::SetDataResponse = reply.record();
        assert_eq!(set.stat.version as usize, round);
    }
    // Requests are taken from the queue some at a time.
    assert!(most <= 50 + 256, "{most} requests were in flight");
}

#[test]
fn p6_a_half_open_client_costs_nothing_after_its_session_timeout() {
    let site = Site::new();
    let observer = site.observer_with(&["nio.sessionlessCnxnTimeout=300"]);
    // Long enough that it is not over before the session is there.
    let silent = observer.client_with(2_000);
    let mut speechless = RawClient::tcp(observer.address).expect("connected");
    speechless.send_bytes(&[0, 0]).expect("sent");
    until("both to be given up", LIMIT, || {
        observer.service.clients.is_empty().then_some(())
    });
    let stats = &observer.service.stats;
    assert_eq!(stats.stale_expired.load(Ordering::Relaxed), 1);
    assert_eq!(stats.sessionless_expired.load(Ordering::Relaxed), 1);
    drop((silent, speechless));
}

#[test]
fn p6_a_client_that_only_ends_its_own_direction_is_buried() {
    let site = Site::new();
    let observer = site.observer();
    let client = observer.client();
    let mut stream = TcpStream::connect(observer.address).expect("connected");
    stream.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(stream.read(&mut [0; 16]).expect("closed"), 0);
    until("it to be buried", LIMIT, || {
        (observer.service.clients.len() == 1).then_some(())
    });
    client.close().expect("closed");
    wait_until_nothing_is_held(&observer);
}

#[test]
fn p6_creates_of_one_session_that_fill_the_ensemble_are_not_held_here() {
    // What a client makes is the leader's; here only the tree grows, and shrinks again with the session.
    let site = Site::new();
    let observer = site.observer();
    let before = observer.service.mirror.read().node_count();
    let mut client = observer.client();
    for number in 0..500 {
        let path = format!("/e{number}");
        let create = CreateRequest {
            path: BStr::new(&path),
            data: None,
            acl: Some(Acl::open()),
            flags: CreateMode::Ephemeral.code(),
        };
        client.send(OpCode::Create, &create).expect("sent");
    }
    for _ in 0..500 {
        assert!(client.reply().expect("answered").err().is_ok());
    }
    client.close().expect("closed");
    assert_eq!(observer.service.mirror.read().node_count(), before);
    wait_until_nothing_is_held(&observer);
}
