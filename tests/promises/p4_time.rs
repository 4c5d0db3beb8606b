//! P4: reply zxids of a session never decrease, and a client that has seen more than the mirror is not served
//! until the mirror has caught up.
//!
//! That zxids never decrease is held by every client of these tests: [`RawClient`] looks at each reply.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use outpost_tests::Towards;
use outpost_tests::raw::{RawClient, Refusal, Session};
use outpost_wire::proto::CreateMode;
use outpost_wire::{SessionId, Zxid};

use crate::stage::{EndsOnDrop, LIMIT, Observer, Site, TIMEOUT_MS, until};

fn new_session() -> Session {
    Session {
        id: SessionId(0),
        password: vec![0; 16],
        timeout_ms: TIMEOUT_MS,
    }
}

/// The connection is closed without a byte.
fn assert_turned_away(observer: &Observer, session: &Session, seen: Zxid) {
    match RawClient::reopen(observer.address, session, seen) {
        Err(Refusal::Closed(error)) => {
            let closed = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
            assert!(closed.contains(&error.kind()), "{error}");
        }
        other => panic!("a client that has seen {seen} is answered {other:?}"),
    }
}

#[test]
fn p4_a_client_ahead_of_the_mirror_is_turned_away_until_the_mirror_has_caught_up() {
    let site = Site::new();
    let observer = site.remote_observer(&["syncLimit=60"]);
    let first = observer.client();
    let (session, _) = first.abandon();
    for link in &observer.links {
        link.stall_towards(Towards::Connector);
    }
    let ahead = site.write("/a", b"");
    assert_turned_away(&observer, &new_session(), ahead);
    assert_turned_away(&observer, &session, ahead);
    assert_turned_away(&observer, &session, Zxid(i64::MAX));
    for link in &observer.links {
        link.heal();
    }
    // The same session is taken back as soon as the mirror has what its client has seen.
    let mut client = until("the session to be taken back", LIMIT, || {
        RawClient::reopen(observer.address, &session, ahead).ok()
    });
    assert!(client.exists("/a", false).is_ok());
    assert!(client.last_zxid() >= ahead);
}

#[test]
fn p4_a_session_that_wanders_between_two_observers_is_never_taken_back_in_time() {
    let site = Site::with_commit_delay(1);
    let near = site.observer();
    let far = site.remote_observer(&[]);
    for link in &far.links {
        link.delay(Duration::from_millis(30));
    }
    let mut client = near.client();
    client
        .create("/a", b"", CreateMode::Persistent)
        .expect("created");
    let mut version = 0;
    for round in 0..10 {
        // Ten writes here, which the other mirror gets later.
        for _ in 0..10 {
            version += 1;
            let stat = client.set_data("/a", b"x").expect("set");
            assert_eq!(stat.version, version);
        }
        let (session, seen) = client.abandon();
        let next = if round % 2 == 0 { &far } else { &near };
        // `reopen` remembers what was seen, and every reply is held against it.
        client = until("the other observer to catch up", LIMIT, || {
            RawClient::reopen(next.address, &session, seen).ok()
        });
        let (_, stat) = client.get_data(b"/a", false).expect("there");
        assert_eq!(
            stat.version, version,
            "the session sees its own writes everywhere"
        );
    }
}

#[test]
fn p4_zxids_never_decrease_while_others_write_and_leaders_change() {
    let site = Site::new();
    let observer = site.observer();
    observer.wait_for(site.write("/a", b""));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let ends = EndsOnDrop(&done);
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = observer.client();
                while !done.load(Ordering::Relaxed) {
                    let request = outpost_wire::proto::GetDataRequest {
                        path: "/a".into(),
                        watch: false,
                    };
                    let asked = client.try_request(outpost_wire::OpCode::GetData, &request);
                    if asked.is_err() {
                        // Elsewhere and later, but never back.
                        let (session, seen) = client.abandon();
                        client = until("the session to be taken back", LIMIT, || {
                            RawClient::reopen(observer.address, &session, seen).ok()
                        });
                    }
                }
            });
        }
        for _ in 0..3 {
            for _ in 0..100 {
                site.write("/a", b"x");
            }
            site.elect();
            observer.wait_for(site.write("/a", b"y"));
        }
        drop(ends);
    });
}
