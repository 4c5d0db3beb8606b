//! P7: a client is never left connected past the moment at which the leader could have expired its session.

use std::time::{Duration, Instant};

use outpost_sim::ServerOptions;
use outpost_tests::Towards;
use outpost_tests::raw::{RawClient, Refusal};
use outpost_wire::proto::CreateMode;
use outpost_wire::{OpCode, SessionId, Zxid};

use crate::stage::{LIMIT, Observer, Site, assert_closed, until};

/// Session timeout of clients whose session is to expire, ms: soon, and still so long that none does merely because
/// the machine has stood still for a second.
const SHORT_MS: i32 = 3_000;

/// A leader that expires sessions soon, and is patient with learners.
fn quick_to_expire() -> ServerOptions {
    let mut options = ServerOptions::default();
    options.leader.tick_ms = 200;
    options.leader.init_limit = 100;
    options.leader.sync_limit = 100;
    options
}

fn has(observer: &Observer, path: &str) -> bool {
    observer.service.mirror.read().node(path.into()).is_some()
}

#[test]
fn p7_the_client_of_a_session_that_the_leader_ends_is_closed_and_its_ephemerals_are_gone() {
    let site = Site::new();
    let observer = site.observer();
    let (mut client, mut other) = (observer.client(), observer.client());
    client
        .create("/mine", b"", CreateMode::Ephemeral)
        .expect("created");
    other
        .create("/other", b"", CreateMode::Ephemeral)
        .expect("created");
    other.exists("/mine", true).expect("there");
    let session = client.session().clone();
    // As the leader does by itself when the session expires.
    let ended = site.ask(session.id, OpCode::CloseSession, &[]);
    assert_closed(&mut client, "the end of its session");
    observer.wait_for(ended);
    assert!(!has(&observer, "/mine") && has(&observer, "/other"));
    let event = other.event().expect("told");
    assert_eq!((event.kind, event.path.to_string()), (2, "/mine".into()));
    // It is gone for good, and its client is told so.
    match RawClient::reopen(observer.address, &session, Zxid(0)) {
        Err(Refusal::Expired) => {}
        other => panic!("a session that has ended is answered {other:?}"),
    }
    assert!(other.exists("/other", false).is_ok());
}

#[test]
fn p7_a_client_that_goes_on_reading_is_closed_once_the_leader_hears_nothing_of_its_session() {
    let site = Site::with(quick_to_expire());
    let observer = site.remote_observer(&["syncLimit=60"]);
    let mut client = observer.client_with(SHORT_MS);
    client
        .create("/mine", b"", CreateMode::Ephemeral)
        .expect("created");
    // Transactions and PINGs still come; touches do not get through any more.
    for link in &observer.links {
        link.stall_towards(Towards::Target);
    }
    let began = Instant::now();
    while client.try_request_body(OpCode::Ping, &[]).is_ok() {
        assert!(
            began.elapsed() < LIMIT,
            "still served after {:?}",
            began.elapsed()
        );
    }
    until("its ephemeral to be gone", LIMIT, || {
        (!has(&observer, "/mine")).then_some(())
    });
    let known = site.leader(|leader, _| leader.tree().sessions().len());
    assert_eq!(known, 0);
}

#[test]
fn p7_a_client_that_shows_itself_keeps_its_session_and_one_that_goes_loses_it() {
    let site = Site::with(quick_to_expire());
    let observer = site.observer();
    let mut client = observer.client_with(SHORT_MS);
    client
        .create("/mine", b"", CreateMode::Ephemeral)
        .expect("created");
    let mut gone = observer.client_with(SHORT_MS);
    gone.create("/gone", b"", CreateMode::Ephemeral)
        .expect("created");
    gone.abandon();
    // By reads alone, for as long as the leader needs to give up the other, and twice as long after that.
    let began = Instant::now();
    let mut expired = None;
    loop {
        let there = client.exists("/gone", false).is_ok();
        assert!(client.exists("/mine", false).is_ok());
        if !there {
            let after = *expired.get_or_insert(began.elapsed());
            if began.elapsed() > after * 2 {
                break;
            }
        }
        assert!(
            began.elapsed() < LIMIT,
            "nobody has expired the other session"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn p7_a_session_that_moved_to_another_observer_is_cut_here() {
    let site = Site::new();
    let (here, there) = (site.observer(), site.observer());
    let mut client = here.client();
    client
        .create("/mine", b"", CreateMode::Ephemeral)
        .expect("created");
    let (session, seen) = (client.session().clone(), client.last_zxid());
    let mut moved = until("the other observer to take it", LIMIT, || {
        RawClient::reopen(there.address, &session, seen).ok()
    });
    moved.set_data("/mine", b"there").expect("set");
    // Here it may still read, but it can write no more.
    let set = outpost_wire::proto::SetDataRequest {
        path: "/mine".into(),
        data: Some(b"here"),
        version: -1,
    };
    assert!(client.try_request(OpCode::SetData, &set).is_err());
    let (data, _) = moved.get_data(b"/mine", false).expect("there");
    assert_eq!(data.as_deref(), Some(&b"there"[..]));
    assert_ne!(session.id, SessionId(0));
}

#[test]
fn p7_a_session_that_comes_back_on_a_new_connection_ends_the_old_one() {
    let site = Site::new();
    let observer = site.observer();
    let mut before = observer.client();
    before
        .create("/mine", b"", CreateMode::Ephemeral)
        .expect("created");
    let session = before.session().clone();
    let mut after =
        RawClient::reopen(observer.address, &session, before.last_zxid()).expect("taken back");
    assert_closed(&mut before, "another connection of its session");
    after.set_data("/mine", b"x").expect("set");
    // Whoever merely guesses the id ends nothing.
    let mut guessed = session.clone();
    guessed.password = vec![7; 16];
    match RawClient::reopen(observer.address, &guessed, Zxid(0)) {
        Err(Refusal::Expired) => {}
        other => panic!("a wrong password is answered {other:?}"),
    }
    after.set_data("/mine", b"y").expect("set");
}

#[test]
fn p7_a_client_is_closed_when_its_lease_ends_although_the_silent_link_is_not_given_up_yet() {
    let site = Site::with(quick_to_expire());
    let observer = site.remote_observer(&["syncLimit=30"]);
    let mut client = observer.client_with(SHORT_MS);
    client
        .create("/mine", b"", CreateMode::Ephemeral)
        .expect("created");
    for link in &observer.links {
        link.stall();
    }
    // The leader expires it a timeout and a tick after the last touch at the latest; here nobody tells. A client that
    // shows itself is not closed for its own silence.
    until("the client to be closed", LIMIT, || {
        let expired = site.leader(|leader, _| leader.tree().sessions().is_empty());
        let served = client.try_request_body(OpCode::Ping, &[]).is_ok();
        assert!(
            !(expired && served),
            "a session that is over is still served"
        );
        (!served).then_some(())
    });
}
