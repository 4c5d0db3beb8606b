//! P5: a write is acknowledged only from the committed transaction that carries its session and cxid; one whose
//! fate cannot be known ends its connection.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bstr::BStr;
use outpost_sim::Uncommitted;
use outpost_tests::raw::RawClient;
use outpost_wire::proto::{CreateMode, CreateRequest, SyncRequest};
use outpost_wire::{Acl, OpCode, Zxid};

use crate::stage::{EndsOnDrop, LIMIT, Observer, Site, assert_closed, until};

fn create(path: &str) -> CreateRequest<'_> {
    CreateRequest {
        path: BStr::new(path),
        data: None,
        acl: Some(Acl::open()),
        flags: CreateMode::Persistent.code(),
    }
}

pub(crate) fn wait_for_requests_in_flight(observer: &Observer, count: u64) {
    until("requests to be on their way", LIMIT, || {
        let in_flight = observer.status().in_flight.load(Ordering::Relaxed);
        (in_flight == count).then_some(())
    });
}

#[test]
fn p5_a_write_in_flight_when_the_leader_goes_is_answered_if_the_next_one_has_it_and_else_ends_its_connection()
 {
    for (uncommitted, survives) in [(Uncommitted::Lost, false), (Uncommitted::Committed, true)] {
        // Nothing is committed in this test's time unless the next leader does it.
        let site = Site::with_commit_delay(600_000);
        let session = site.make_session(0x0a00_0000_0000_0001);
        let observer = site.observer();
        let mut client =
            RawClient::reopen(observer.address, &session, Zxid(0)).expect("taken back");
        let before = site.leader(|leader, _| leader.last_proposed());
        client.send(OpCode::Create, &create("/fate")).expect("sent");
        until("the leader to propose it", LIMIT, || {
            (site.leader(|leader, _| leader.last_proposed()) > before).then_some(())
        });
        site.ensemble(move |ensemble, now_ms| ensemble.elect(now_ms, None, uncommitted));
        if survives {
            let created = client
                .reply()
                .expect("its transaction is known in the DIFF");
            assert!(created.header.err.is_ok(), "{:?}", created.header);
        } else {
            assert_closed(&mut client, "a request that was lost with its leader");
        }
        wait_for_requests_in_flight(&observer, 0);
        until("the next leader to be followed", LIMIT, || {
            let attachments = observer.status().attachments.load(Ordering::Relaxed);
            (attachments == 2).then_some(())
        });
        let there = observer
            .service
            .mirror
            .read()
            .node("/fate".into())
            .is_some();
        assert_eq!(there, survives);
    }
}

#[test]
fn p5_when_the_link_is_cut_a_sync_in_flight_is_sent_again_and_a_write_ends_its_connection_unanswered()
 {
    let site = Site::new();
    let observer = site.remote_observer(&["syncLimit=60"]);
    let (mut writer, mut syncer) = (observer.client(), observer.client());
    for link in &observer.links {
        link.stall();
    }
    writer.send(OpCode::Create, &create("/fate")).expect("sent");
    let sync = SyncRequest {
        path: BStr::new("/"),
    };
    syncer.send(OpCode::Sync, &sync).expect("sent");
    wait_for_requests_in_flight(&observer, 2);
    for link in &observer.links {
        link.cut();
    }
    for link in &observer.links {
        link.heal();
    }
    assert_closed(&mut writer, "a write that the leader may still have");
    let synced = syncer.reply().expect("a sync does no harm twice");
    assert!(synced.header.err.is_ok(), "{:?}", synced.header);
    let mut client = observer.client();
    client
        .create("/after", b"", CreateMode::Persistent)
        .expect("created");
}

/// Names of znodes below `/w` that writers have asked for.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) asked: BTreeSet<String>,
    pub(crate) acknowledged: BTreeSet<String>,
}

/// Three clients write while leaders change, each time in the midst of it: some writes are always on their way.
pub(crate) fn write_through_elections(site: &Site, observer: &Observer) -> Names {
    observer
        .client()
        .create("/w", b"", CreateMode::Persistent)
        .expect("created");
    let done = AtomicBool::new(false);
    let mut names = Names::default();
    thread::scope(|scope| {
        let ends = EndsOnDrop(&done);
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let done = &done;
                scope.spawn(move || write_names(observer, writer, done))
            })
            .collect();
        for _ in 0..4 {
            let goal = observer.status().txns_applied.load(Ordering::Relaxed) + 100;
            until("writes to be made", LIMIT, || {
                let applied = observer.status().txns_applied.load(Ordering::Relaxed);
                (applied > goal).then_some(())
            });
            site.ensemble(|ensemble, now_ms| ensemble.elect(now_ms, None, Uncommitted::Lost));
            observer.wait_for(site.write("/elected", b""));
        }
        drop(ends);
        for writer in writers {
            let theirs = writer.join().expect("the writer goes on");
            names.asked.extend(theirs.asked);
            names.acknowledged.extend(theirs.acknowledged);
        }
    });
    let count = names.acknowledged.len();
    assert!(count > 100, "only {count} writes");
    names
}

/// Makes one znode after another, several requests at a time.
fn write_names(observer: &Observer, writer: usize, done: &AtomicBool) -> Names {
    let mut names = Names::default();
    let mut number = 0;
    while !done.load(Ordering::Relaxed) {
        let mut client = observer.client();
        'connected: while !done.load(Ordering::Relaxed) {
            let mut sent = Vec::new();
            for _ in 0..5 {
                number += 1;
                let name = format!("{writer}-{number}");
                let path = format!("/w/{name}");
                names.asked.insert(name.clone());
                match client.send(OpCode::Create, &create(&path)) {
                    Ok(xid) => sent.push((xid, name)),
                    Err(_) => break 'connected,
                }
            }
            for (xid, name) in sent {
                let Ok(reply) = client.reply() else {
                    break 'connected;
                };
                assert_eq!(reply.header.xid, xid, "another request's answer");
                // A name is used once, so nothing else can have made it.
                assert!(reply.err().is_ok(), "{name}: {:?}", reply.header);
                names.acknowledged.insert(name);
            }
        }
    }
    names
}

/// What the leader has below `/w`.
pub(crate) fn names_made(site: &Site) -> BTreeSet<String> {
    site.leader(|leader, _| {
        let parent = leader.tree().node("/w".into()).expect("made");
        parent.children().map(ToString::to_string).collect()
    })
}

#[test]
fn p5_what_is_acknowledged_is_committed_once_and_what_is_not_may_be_either_through_elections() {
    let site = Site::with_commit_delay(2);
    let observer = site.observer();
    let names = write_through_elections(&site, &observer);
    let made = names_made(&site);
    let lost: Vec<_> = names.acknowledged.difference(&made).collect();
    assert!(lost.is_empty(), "acknowledged and not committed: {lost:?}");
    let invented: Vec<_> = made.difference(&names.asked).collect();
    assert!(invented.is_empty(), "never asked for: {invented:?}");
}

#[test]
fn p5_two_sessions_with_the_same_xids_get_their_own_answers() {
    let site = Site::with_commit_delay(5);
    let (here, there) = (site.observer(), site.observer());
    let mut clients = [here.client(), here.client(), there.client()];
    for (number, client) in clients.iter_mut().enumerate() {
        let parent = format!("/{number}");
        client
            .create(&parent, b"", CreateMode::Persistent)
            .expect("created");
    }
    for round in 0..50 {
        for (number, client) in clients.iter_mut().enumerate() {
            let path = format!("/{number}/{round}");
            client.send(OpCode::Create, &create(&path)).expect("sent");
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let reply = client.reply().expect("answered");
            let made: outpost_wire::proto::CreateResponse<'_> = reply.record();
            assert_eq!(made.path, format!("/{number}/{round}").as_str());
        }
    }
}

#[test]
fn p5_a_request_refused_here_is_not_mistaken_for_one_that_was_forwarded() {
    let site = Site::with_commit_delay(20);
    let observer = site.observer();
    let mut client = observer.client();
    let first = client.send(OpCode::Create, &create("/a")).expect("sent");
    let refused = client.send_body(OpCode::Create, &[1]).expect("sent");
    let last = client.send(OpCode::Create, &create("/a")).expect("sent");
    let answers: Vec<_> = (0..3)
        .map(|_| client.reply().expect("answered").header)
        .map(|header| (header.xid, header.err))
        .collect();
    assert_eq!(
        answers,
        [
            (first, outpost_wire::ErrorCode::OK),
            (refused, outpost_wire::ErrorCode::MARSHALLING_ERROR),
            (last, outpost_wire::ErrorCode::NODE_EXISTS),
        ]
    );
}

#[test]
fn p5_a_shutdown_answers_every_write_it_has_received() {
    let site = Site::with_commit_delay(300);
    let mut observer = site.observer();
    let mut clients: Vec<RawClient> = (0..8).map(|_| observer.client()).collect();
    let before = observer.service.stats.received();
    for (number, client) in clients.iter_mut().enumerate() {
        for round in 0..5 {
            let path = format!("/{number}-{round}");
            client.send(OpCode::Create, &create(&path)).expect("sent");
        }
        let exists = outpost_wire::proto::ExistsRequest {
            path: BStr::new("/"),
            watch: false,
        };
        client.send(OpCode::Exists, &exists).expect("sent");
    }
    until("everything to be received", LIMIT, || {
        (observer.service.stats.received() == before + 48).then_some(())
    });
    let sessions = observer.service.mirror.read().sessions().len();
    observer.begin_shutdown();
    for client in &mut clients {
        for _ in 0..6 {
            let reply = client.reply().expect("what was received is answered");
            assert!(reply.err().is_ok(), "{:?}", reply.header);
        }
        assert_closed(client, "the end");
    }
    observer.wait_for_end();
    assert!(RawClient::tcp(observer.address).is_err(), "nobody listens");
    // Their clients take them to another server.
    let left = site.leader(|leader, _| leader.tree().sessions().len());
    assert_eq!(left, sessions);
}

#[test]
fn p5_a_shutdown_cuts_those_whose_answers_do_not_come_in_time() {
    let site = Site::with_commit_delay(600_000);
    let session = site.make_session(0x0a00_0000_0000_0001);
    let mut observer = site.observer_with(&["outpost.drainTimeout=300"]);
    let mut client = RawClient::reopen(observer.address, &session, Zxid(0)).expect("taken back");
    client.send(OpCode::Create, &create("/fate")).expect("sent");
    wait_for_requests_in_flight(&observer, 1);
    observer.begin_shutdown();
    assert_closed(&mut client, "a request in flight");
    observer.wait_for_end();
}

#[test]
fn p5_a_shutdown_in_the_midst_of_traffic_leaves_no_hole_in_the_answers() {
    let site = Site::with_commit_delay(5);
    let mut observer = site.observer();
    let mut clients: Vec<RawClient> = (0..4).map(|_| observer.client()).collect();
    thread::scope(|scope| {
        let clients: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(number, client)| scope.spawn(move || chatter(client, number)))
            .collect();
        let goal = observer.status().txns_applied.load(Ordering::Relaxed) + 200;
        until("traffic", LIMIT, || {
            let applied = observer.status().txns_applied.load(Ordering::Relaxed);
            (applied > goal).then_some(())
        });
        observer.begin_shutdown();
        for client in clients {
            for name in client.join().expect("answers come in order") {
                let there = site
                    .leader(move |leader, _| leader.tree().node(name.as_bytes().into()).is_some());
                assert!(there, "acknowledged and not committed");
            }
        }
        observer.wait_for_end();
    });
}

/// Writes and reads, ten at a time, until the connection ends; what was acknowledged.
fn chatter(client: &mut RawClient, number: usize) -> Vec<String> {
    let mut made = Vec::new();
    for round in 0.. {
        let names: Vec<String> = (0..5).map(|n| format!("/{number}-{round}-{n}")).collect();
        let mut sent = Vec::new();
        for name in &names {
            let request = create(name);
            for (op, name) in [(OpCode::Create, Some(name)), (OpCode::Exists, None)] {
                let body = match name {
                    Some(_) => outpost_wire::Record::encode(&request),
                    None => vec![0, 0, 0, 1, b'/', 0],
                };
                match client.send_body(op, &body) {
                    Ok(xid) => sent.push((xid, name)),
                    Err(_) => return made,
                }
            }
        }
        for (xid, name) in sent {
            let Ok(reply) = client.reply() else {
                return made;
            };
            assert_eq!(reply.header.xid, xid);
            assert!(reply.err().is_ok(), "{:?}", reply.header);
            made.extend(name.cloned());
        }
    }
    made
}
