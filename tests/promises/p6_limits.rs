//! P6: every limit that a client can meet holds, is counted, and leaves the others alone.

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bstr::BStr;
use outpost::reached::Limit;
use outpost::serve::client::Cause;
use outpost_tests::raw::RawClient;
use outpost_wire::proto::{
    AddWatchMode, GetChildrenRequest, GetDataRequest, MultiOp, MultiRequest, SetDataRequest,
    SetWatches,
};
use outpost_wire::{ErrorCode, OpCode, Xid, Zxid};

use crate::p6_bounds::{Deaf, wait_until_nothing_is_held};
use crate::stage::{LIMIT, Observer, Site, until};

impl Observer {
    /// How often a limit was met, as Prometheus is told.
    fn met(&self, limit: Limit) -> f64 {
        let label = limit.label();
        self.gauge(&format!("outpost_limit_reached_total{{limit=\"{label}\"}}"))
    }

    fn closed(&self, cause: Cause) -> u64 {
        let closed = self.service.stats.closed();
        let of_cause = closed.0.iter().find(|(label, _)| *label == cause.label());
        of_cause.expect("every cause is counted").1
    }
}

fn get(path: &str) -> GetDataRequest<'_> {
    GetDataRequest {
        path: BStr::new(path),
        watch: false,
    }
}

fn set(path: &str) -> SetDataRequest<'_> {
    SetDataRequest {
        path: BStr::new(path),
        data: Some(b"x"),
        version: -1,
    }
}

/// The server ends the connection without a word.
fn assert_closed(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(LIMIT)).expect("set");
    // A reset is an end as well.
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
}

#[test]
fn p6_connections_above_a_limit_are_closed_and_there_is_room_again_when_others_go() {
    for (line, limit) in [
        ("maxClientCnxns=2", Limit::ConnectionsPerAddress),
        ("maxCnxns=2", Limit::Connections),
    ] {
        let site = Site::new();
        let observer = site.observer_with(&[line]);
        let first = observer.client();
        // Half open: it never says anything.
        let second = TcpStream::connect(observer.address).expect("connected");
        until("both to be here", LIMIT, || {
            (observer.service.clients.len() == 2).then_some(())
        });
        let mut third = TcpStream::connect(observer.address).expect("accepted by the system");
        assert_closed(&mut third);
        assert_eq!(observer.met(limit), 1.0, "{line}");
        if limit == Limit::Connections {
            assert_eq!(observer.gauge("outpost_connections_max"), 2.0);
        }
        drop(second);
        let fourth = observer.client();
        first.close().expect("served all the time");
        fourth.close().expect("served");
    }
}

#[test]
fn p6_reads_between_two_writes_are_answered_only_up_to_the_bound_on_what_is_unread() {
    const READS: usize = 300;
    const SIZE: usize = 500_000;
    const OUTBOX: usize = 4 << 20;
    // Nothing is committed but by an election, so that all requests are in line before the first is answered.
    let site = Site::with_commit_delay(600_000);
    site.write("/other", b"");
    site.write("/large", &vec![b'x'; SIZE]);
    let session = site.make_session(0x0a00_0000_0000_0001);
    let observer = site.observer_with(&[&format!("outpost.outboxBytes={OUTBOX}")]);
    let mut client = RawClient::reopen(observer.address, &session, Zxid(0)).expect("taken back");
    let standing = proposed(&site);
    client.send(OpCode::SetData, &set("/other")).expect("sent");
    for _ in 0..READS {
        client.send(OpCode::GetData, &get("/large")).expect("sent");
    }
    client.send(OpCode::SetData, &set("/other")).expect("sent");
    until("all to be in line", LIMIT, || {
        let here = observer.service.clients.of_session(session.id)?;
        let in_line = here.state().pipeline.len();
        (in_line == READS + 2).then_some(())
    });
    wait_for_proposals(&site, standing, 2);
    let answered = || observer.service.stats.pushed.load(Ordering::Relaxed);
    let before = answered();
    site.elect();
    until("the client to be cut off", LIMIT, || {
        (observer.closed(Cause::Unread) == 1).then_some(())
    });
    let answered = usize::try_from(answered() - before).expect("few");
    assert!(
        answered <= OUTBOX / SIZE + 2,
        "{answered} answers were made, although nobody reads them"
    );
    assert_eq!(observer.met(Limit::Outbox), 1.0);
    drop(client);
    wait_until_nothing_is_held(&observer);
}

#[test]
fn p6_when_all_together_leave_too_much_unread_somebody_is_cut_who_leaves_much_and_others_are_served()
 {
    const TOTAL: usize = 2_500_000;
    let site = Site::new();
    let observer = site.observer_with(&[
        "jute.maxbuffer=600000",
        "outpost.outboxBytes=2000000",
        &format!("outpost.outboxBytesTotal={TOTAL}"),
    ]);
    observer.wait_for(site.write("/large", &vec![b'x'; 500_000]));
    let mut reader = observer.client();
    // Each is sent more than a megabyte beyond what the system keeps for it, so that three are too many.
    let deaf: Vec<Deaf> = std::iter::repeat_with(|| {
        let mut deaf = Deaf::connect(&site, &observer);
        deaf.send_at_once(OpCode::GetData, &get("/large"), 40);
        deaf
    })
    .take(3)
    .collect();
    until("one of them to be cut off", LIMIT, || {
        (observer.closed(Cause::UnreadMost) > 0).then_some(())
    });
    until("no more than that to be unread", LIMIT, || {
        let clients = observer.service.clients.all();
        let unread: usize = clients.iter().map(|client| client.share.bytes()).sum();
        (unread <= TOTAL).then_some(())
    });
    assert!(observer.met(Limit::OutboxTotal) >= 1.0);
    let (data, _) = reader.get_data(b"/large", false).expect("served as ever");
    assert_eq!(data.map(|data| data.len()), Some(500_000));
    reader.close().expect("served");
    drop(deaf);
    wait_until_nothing_is_held(&observer);
}

fn children(path: &str) -> GetChildrenRequest<'_> {
    GetChildrenRequest {
        path: BStr::new(path),
        watch: true,
    }
}

#[test]
fn p6_a_reply_above_its_bound_is_refused_and_leaves_no_watch_and_the_connection_goes_on() {
    const REPLY: usize = 1 << 20;
    let site = Site::new();
    let observer = site.observer_with(&[
        "jute.maxbuffer=900000",
        &format!("outpost.replyBytes={REPLY}"),
    ]);
    site.write("/large", &vec![b'x'; 600_000]);
    site.write("/short", b"");
    site.write("/short/child", b"");
    let made = site.ensemble(|ensemble, now_ms| {
        let mut write = |path: &str| {
            let path = path.as_bytes().into();
            ensemble
                .write_as_someone_else(now_ms, path, None)
                .expect("written")
        };
        write("/long");
        (0..4_000)
            .map(|number| write(&format!("/long/{number:0300}")))
            .last()
    });
    observer.wait_for(made.expect("children"));
    let mut client = observer.client();
    for op in [OpCode::GetChildren, OpCode::GetChildren2] {
        let reply = client.request(op, &children("/long"));
        assert_eq!(reply.err(), ErrorCode::MARSHALLING_ERROR, "{op:?}");
        assert!(client.request(op, &children("/short")).err().is_ok());
    }
    assert_eq!(observer.watch_count(), 1, "of the list that was told");
    let reads = |path, count| MultiRequest {
        ops: vec![MultiOp::GetData(get(path)); count],
    };
    let reply = client.request(OpCode::MultiRead, &reads("/large", 2));
    assert_eq!(reply.err(), ErrorCode::MARSHALLING_ERROR);
    let reply = client.request(OpCode::MultiRead, &reads("/large", 1));
    assert!(reply.err().is_ok());
    assert_eq!(observer.met(Limit::Reply), 3.0);
    client.close().expect("served as before");
}

#[test]
fn p6_a_watch_above_a_bound_is_refused_and_one_that_is_there_is_not() {
    for (line, limit) in [
        ("outpost.watchesPerSession=3", Limit::WatchesPerSession),
        ("outpost.watches=3", Limit::Watches),
    ] {
        let site = Site::new();
        let observer = site.observer_with(&[line]);
        site.write("/a", b"");
        observer.wait_for(site.write("/a/b", b""));
        let mut client = observer.client();
        client.get_data(b"/a", true).expect("the first");
        client.exists("/c", true).expect_err("the second");
        client
            .add_watch("/a/b", AddWatchMode::PersistentRecursive.code())
            .expect("the third");
        let refused = Some(ErrorCode::BAD_ARGUMENTS);
        assert_eq!(client.get_data(b"/", true).err(), refused, "{line}");
        assert_eq!(client.exists("/d", true).err(), refused, "{line}");
        assert_eq!(client.get_children(b"/", true).err(), refused, "{line}");
        let persistent = AddWatchMode::Persistent.code();
        assert_eq!(client.add_watch("/e", persistent).err(), refused, "{line}");
        assert_eq!(observer.met(limit), 4.0, "{line}");
        assert_eq!(observer.watch_count(), 3);
        client.get_data(b"/a", true).expect("it is there already");
        client.get_data(b"/", false).expect("without a watch");
        // One that fires makes room for another.
        observer.wait_for(site.write("/a", b"new"));
        client.get_data(b"/", true).expect("there is room");
        let others = observer.client().get_data(b"/", true).err();
        let expected = refused.filter(|_| limit == Limit::Watches);
        assert_eq!(others, expected, "another client with {line}");
    }
}

#[test]
fn p6_a_client_that_brings_too_many_watches_along_is_closed_and_leaves_none() {
    for (line, limit) in [
        ("outpost.watchesPerSession=3", Limit::WatchesPerSession),
        ("outpost.watches=3", Limit::Watches),
    ] {
        let site = Site::new();
        let observer = site.observer_with(&[line]);
        let bring = |paths: &[&'static str]| {
            let watches = SetWatches {
                relative_zxid: Zxid(0),
                data_watches: Vec::new(),
                exist_watches: paths.iter().map(|path| BStr::new(*path)).collect(),
                child_watches: Vec::new(),
            };
            let mut client = observer.client();
            let reply = client.try_request(OpCode::SetWatches, &watches);
            reply.map(|reply| (reply, client))
        };
        let (reply, client) = bring(&["/a", "/b", "/c"]).expect("as many as may be");
        assert!(reply.err().is_ok());
        client.close().expect("served");
        assert!(bring(&["/a", "/b", "/c", "/d"]).is_err(), "{line}");
        wait_until_nothing_is_held(&observer);
        assert_eq!(observer.met(limit), 1.0, "{line}");
    }
}

/// An ensemble that commits nothing but by an election, an observer with these lines, and three clients of it.
fn throttled(lines: &[&str]) -> (Site, Observer, [RawClient; 3]) {
    let site = Site::with_commit_delay(600_000);
    site.write("/a", b"");
    let sessions = [1, 2, 3].map(|number| site.make_session(0x0a00_0000_0000_0000 + number));
    let observer = site.observer_with(lines);
    let clients = sessions
        .map(|session| RawClient::reopen(observer.address, &session, Zxid(0)).expect("taken back"));
    (site, observer, clients)
}

fn proposed(site: &Site) -> i64 {
    site.leader(|leader, _| leader.last_proposed()).0
}

/// Waits until the leader has proposed so many transactions since it stood at `before`: an election commits them.
fn wait_for_proposals(site: &Site, before: i64, count: i64) {
    until("the leader to propose them", LIMIT, || {
        (proposed(site) >= before + count).then_some(())
    });
}

/// One client fills the throttle, and the other finds no place for its write.
fn fill(site: &Site, observer: &Observer, one: &mut RawClient, other: &mut RawClient) {
    let before = proposed(site);
    for _ in 0..3 {
        one.send(OpCode::SetData, &set("/a")).expect("sent");
    }
    wait_for_proposals(site, before, 3);
    other.send(OpCode::SetData, &set("/a")).expect("sent");
    until("the other to wait", LIMIT, || {
        (observer.met(Limit::RequestThrottle) == 1.0).then_some(())
    });
}

#[test]
fn p6_with_the_request_throttle_full_writes_wait_whosever_they_are_and_reads_go_on() {
    let lines = ["request_throttle_max_requests=3"];
    let (site, observer, [mut one, mut other, mut reader]) = throttled(&lines);
    fill(&site, &observer, &mut one, &mut other);
    assert_eq!(observer.gauge("outstanding_requests"), 3.0);
    for _ in 0..10 {
        reader
            .get_data(b"/a", true)
            .expect("nothing is ahead of it");
        reader.ping();
    }
    assert_eq!(observer.gauge("request_throttle_wait_count"), 1.0);
    site.elect();
    // Its epoch begins with nothing proposed.
    let before = proposed(&site) >> 32 << 32;
    for _ in 0..3 {
        assert!(one.reply().expect("answered").err().is_ok());
    }
    assert!(one.get_data(b"/a", false).is_ok());
    // Now the other has a place.
    wait_for_proposals(&site, before, 1);
    site.elect();
    assert!(other.reply().expect("answered").err().is_ok());
    assert_eq!(observer.gauge("request_throttle_queue_time_ms_count"), 4.0);
    drop((one, other, reader));
    wait_until_nothing_is_held(&observer);
}

#[test]
fn p6_a_client_that_fills_the_throttle_and_is_cut_leaves_its_places_to_others() {
    let lines = ["request_throttle_max_requests=3"];
    let (site, observer, [mut one, mut other, _]) = throttled(&lines);
    fill(&site, &observer, &mut one, &mut other);
    let before = proposed(&site);
    one.abandon();
    wait_for_proposals(&site, before, 1);
    site.elect();
    assert!(other.reply().expect("answered").err().is_ok());
}

#[test]
fn p5_a_request_that_has_waited_for_too_long_is_answered_and_not_forwarded() {
    let lines = [
        "request_throttle_max_requests=3",
        "throttled_op_wait_time=1",
    ];
    let (site, observer, [mut one, mut other, _]) = throttled(&lines);
    fill(&site, &observer, &mut one, &mut other);
    other.send(OpCode::GetData, &get("/a")).expect("sent");
    site.elect();
    let refused = other.reply().expect("answered").err();
    assert_eq!(refused, ErrorCode::THROTTLED_OP);
    assert!(other.reply().expect("in its turn").err().is_ok());
    assert_eq!(observer.gauge("throttled_ops"), 1.0);
    for _ in 0..3 {
        assert!(one.reply().expect("answered").err().is_ok());
    }
    let (_, stat) = other.get_data(b"/a", false).expect("it is there");
    assert_eq!(stat.version, 3, "as often as it was written");
}

#[test]
fn p5_requests_of_a_client_that_leaves_while_they_wait_are_dropped() {
    let lines = ["request_throttle_max_requests=3"];
    let (site, observer, [mut one, mut other, third]) = throttled(&lines);
    fill(&site, &observer, &mut one, &mut other);
    other.send(OpCode::SetData, &set("/a")).expect("sent");
    until("both to be here", LIMIT, || {
        let clients = observer.service.clients.all();
        clients
            .iter()
            .any(|client| client.state().throttle.waits())
            .then_some(())
    });
    other.abandon();
    until("it to be forgotten", LIMIT, || {
        (observer.service.clients.len() == 2).then_some(())
    });
    let dropped = observer.gauge("stale_requests_dropped");
    assert!(dropped >= 1.0, "{dropped}");
    site.elect();
    for _ in 0..3 {
        assert!(one.reply().expect("answered").err().is_ok());
    }
    assert_eq!(one.get_data(b"/a", false).expect("there").1.version, 3);
    drop(third);
}

#[test]
fn p6_through_a_narrow_throttle_everything_comes_that_many_send() {
    const CLIENTS: usize = 20;
    const WRITES: usize = 40;
    for line in [
        "request_throttle_drop_stale=true",
        "request_throttle_drop_stale=false",
    ] {
        let site = Site::with_commit_delay(1);
        let observer = site.observer_with(&["request_throttle_max_requests=2", line]);
        observer.wait_for(site.write("/a", b""));
        let mut clients: Vec<RawClient> = (0..CLIENTS).map(|_| observer.client()).collect();
        for client in &mut clients {
            for _ in 0..WRITES {
                client.send(OpCode::SetData, &set("/a")).expect("sent");
                client.send(OpCode::GetData, &get("/a")).expect("sent");
            }
        }
        for client in &mut clients {
            for _ in 0..WRITES {
                assert!(client.reply().expect("answered").err().is_ok());
                assert!(client.reply().expect("answered").err().is_ok());
                assert!(observer.service.outstanding.requests() <= 2);
            }
        }
        let (_, stat) = clients[0].get_data(b"/a", false).expect("it is there");
        assert_eq!(stat.version as usize, CLIENTS * WRITES);
    }
}

#[test]
fn p6_a_client_that_takes_one_answer_slowly_for_longer_than_its_timeout_is_not_taken_for_gone() {
    const SIZE: usize = 900_000;
    const READS: usize = 30;
    const SLICES: usize = 90;
    let site = Site::new();
    let observer = site.observer_with(&["minSessionTimeout=6000", "maxSessionTimeout=6000"]);
    observer.wait_for(site.write("/large", &vec![b'x'; SIZE]));
    let mut slow = Deaf::connect(&site, &observer);
    let reads = MultiRequest {
        ops: vec![MultiOp::GetData(get("/large")); READS],
    };
    slow.send(OpCode::MultiRead, &reads);
    let mut slice = vec![0; READS * SIZE / SLICES];
    for number in 0..SLICES {
        slow.stream
            .read_exact(&mut slice)
            .unwrap_or_else(|error| panic!("slice {number} of {SLICES}: {error}"));
        let ping = [Xid::PING.0.to_be_bytes(), OpCode::Ping.code().to_be_bytes()];
        slow.send_frame(&ping.concat());
        // Nine seconds altogether: nothing is concluded from that but that it is longer than the timeout.
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(observer.service.clients.len(), 1);
    assert!(observer.service.clients.all()[0].lease_ends().is_some());
}
