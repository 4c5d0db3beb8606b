//! P8: a mirror that has lost its link for longer than the hold serves those alone who ask for a server that is
//! read-only, and tells them that it is one.

use std::io;
use std::net::SocketAddr;

use outpost::serve::client::Cause;
use outpost_tests::raw::{RawClient, Refusal, Reply, Session};
use outpost_tests::{Relay, four_letter};
use outpost_wire::proto::{ConnectRequest, CreateMode, SetWatches};
use outpost_wire::{ErrorCode, OpCode, Record, SessionId, Xid, Zxid};

use crate::stage::{LIMIT, Observer, Site, TIMEOUT_MS, assert_closed, until};

const SWITCHED_ON: &[&str] = &["readonlymode.enabled=true", "outpost.hold=0"];

/// Every operation that a read-only server refuses.
const REFUSED: [OpCode; 12] = [
    OpCode::Create,
    OpCode::Create2,
    OpCode::CreateTtl,
    OpCode::CreateContainer,
    OpCode::Delete,
    OpCode::DeleteContainer,
    OpCode::SetData,
    OpCode::SetAcl,
    OpCode::Reconfig,
    OpCode::Multi,
    OpCode::Check,
    OpCode::Sync,
];

fn cut(observer: &Observer) {
    observer.links.iter().for_each(Relay::cut);
    until("nobody to be served any more", LIMIT, || {
        observer.service.clients.serving().is_none().then_some(())
    });
}

fn heal(observer: &Observer) {
    observer.links.iter().for_each(Relay::heal);
    observer.wait_until_serving();
}

/// An observer that has `/a`, and no link any more.
fn left_behind(site: &Site, lines: &[&str]) -> Observer {
    let observer = site.remote_observer(lines);
    observer.wait_for(site.write("/a", b"a"));
    cut(&observer);
    observer
}

fn reader(observer: &Observer) -> RawClient {
    RawClient::read_only(observer.address, None, Zxid(0)).expect("a session")
}

fn assert_turned_away(answer: Result<RawClient, Refusal>, what: &str) {
    match answer {
        Err(Refusal::Closed(error)) => {
            let closed = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
            assert!(closed.contains(&error.kind()), "{what}: {error}");
        }
        other => panic!("{what} is answered {other:?}"),
    }
}

fn ask(observer: &Observer, word: &str) -> String {
    four_letter::ask(observer.address, word).expect("answered")
}

fn closed(observer: &Observer, cause: Cause) -> u64 {
    let counts = observer.service.stats.closed().0;
    let found = counts.iter().find(|(name, _)| *name == cause.label());
    found.expect("every cause is counted").1
}

fn new_session() -> Session {
    Session {
        id: SessionId(0),
        password: vec![0; 16],
        timeout_ms: TIMEOUT_MS,
    }
}

#[test]
fn p8_beyond_the_hold_who_asks_for_it_reads_is_told_that_it_is_read_only_and_can_do_nothing_else() {
    let site = Site::new();
    let observer = left_behind(&site, SWITCHED_ON);
    let zxid = observer.service.mirror.read().last_zxid();
    let mut client = reader(&observer);
    assert_eq!(client.is_read_only(), Some(true));
    let (data, _) = client.get_data(b"/a", true).expect("there");
    assert_eq!(data.as_deref(), Some(&b"a"[..]));
    client.exists("/b", true).expect_err("not there");
    client.get_children(b"/", true).expect("there");
    assert_eq!(observer.watch_count(), 3);
    assert_eq!(client.ping(), zxid);
    client.authenticate("somebody:secret");
    // Its watch is for a time before /a: the event comes first, as ever.
    let lists = SetWatches {
        relative_zxid: Zxid(0),
        data_watches: vec!["/a".into()],
        exist_watches: Vec::new(),
        child_watches: Vec::new(),
    };
    let reply = client.request(OpCode::SetWatches, &lists);
    assert!(reply.err().is_ok());
    let told: Vec<_> = client.take_events().into_iter().map(|e| e.path).collect();
    assert_eq!(told, ["/a"]);

    for op in REFUSED {
        let Reply { header, body } = client.try_request_body(op, &[]).expect("answered");
        assert_eq!(header.err, ErrorCode::NOT_READ_ONLY, "{op:?}");
        assert_eq!(header.zxid, zxid, "{op:?}");
        assert!(body.is_empty(), "{op:?}");
    }
    let refused = client.create("/mine", b"", CreateMode::Ephemeral);
    assert_eq!(refused, Err(ErrorCode::NOT_READ_ONLY));
    assert!(client.exists("/a", false).is_ok(), "it still reads");
    client.close().expect("answered, then closed");
    assert!(
        observer.service.local_sessions.is_empty(),
        "a session that was closed is forgotten"
    );
}

#[test]
fn p8_beyond_the_hold_nobody_is_served_who_does_not_ask_for_it_or_where_it_is_switched_off() {
    let site = Site::new();
    let observer = left_behind(&site, SWITCHED_ON);
    for says in [Some(false), None] {
        let answer = RawClient::reopen_saying(observer.address, &new_session(), Zxid(0), says);
        assert_turned_away(answer, &format!("a client that says {says:?}"));
    }
    let ahead = Zxid(observer.service.mirror.read().last_zxid().0 + 1);
    let answer = RawClient::read_only(observer.address, None, ahead);
    assert_turned_away(answer, "a client that has seen more (P4)");

    let off = left_behind(&site, &["outpost.hold=0"]);
    assert_turned_away(
        RawClient::read_only(off.address, None, Zxid(0)),
        "a client where read-only mode is off",
    );
    assert_eq!(ask(&off, "isro"), "null");
    assert_eq!(off.gauge("outpost_read_only"), 0.0);
}

#[test]
fn p7_in_read_only_mode_a_session_of_the_ensemble_is_not_taken_up_and_one_of_this_process_is() {
    let site = Site::new();
    let observer = site.remote_observer(SWITCHED_ON);
    observer.wait_for(site.write("/a", b"a"));
    let (global, seen) = observer.client().abandon();
    cut(&observer);
    assert_turned_away(
        RawClient::read_only(observer.address, Some(&global), seen),
        "a session of the ensemble",
    );
    let elsewhere = SessionId(0x0300_0000_0000_0007);
    let elsewhere = Session {
        id: elsewhere,
        password: elsewhere.password().to_vec(),
        timeout_ms: TIMEOUT_MS,
    };
    assert_turned_away(
        RawClient::read_only(observer.address, Some(&elsewhere), Zxid(0)),
        "a session that nobody here knows",
    );

    let mut before = reader(&observer);
    before.exists("/a", false).expect("there");
    let (session, seen) = (before.session().clone(), before.last_zxid());
    let mut after = RawClient::read_only(observer.address, Some(&session), seen).expect("taken up");
    assert_eq!(after.session().id, session.id);
    assert_eq!(after.is_read_only(), Some(true));
    assert_closed(&mut before, "another connection of its session");
    let mut guessed = session.clone();
    guessed.password = vec![7; 16];
    match RawClient::read_only(observer.address, Some(&guessed), seen) {
        Err(Refusal::Expired) => {}
        other => panic!("a wrong password is answered {other:?}"),
    }
    assert!(after.exists("/a", false).is_ok());
}

#[test]
fn p8_that_only_readers_are_served_and_how_old_what_they_read_is_stands_everywhere() {
    let site = Site::new();
    let observer = left_behind(&site, SWITCHED_ON);
    let _client = reader(&observer);
    assert_eq!(ask(&observer, "isro"), "ro");
    for word in ["srvr", "stat"] {
        let text = ask(&observer, word);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "READ-ONLY mode; serving only read-only clients");
        assert!(lines.contains(&"Mode: read-only"), "{text}");
    }
    let mntr = ask(&observer, "mntr");
    assert!(mntr.contains("\nzk_server_state\tread-only\n"), "{mntr}");
    let json = |command: &str| observer.get(&format!("/commands/{command}")).1;
    let has = |text: &str, pair: &str| text.split_whitespace().collect::<String>().contains(pair);
    assert!(has(&json("is_read_only"), r#""read_only":true"#));
    assert!(has(&json("server_stats"), r#""read_only":true"#));
    assert!(has(&json("server_stats"), r#""server_state":"read-only""#));
    assert!(has(&json("link"), r#""read_only":true"#));
    assert_eq!(observer.gauge("outpost_read_only"), 1.0);
    assert_eq!(observer.gauge("outpost_serving"), 0.0);
    assert_eq!(observer.get("/ready").0, 503);
    let first = observer.gauge("outpost_lag_seconds");
    until("what is read to grow older", LIMIT, || {
        (observer.gauge("outpost_lag_seconds") > first + 0.1).then_some(())
    });

    heal(&observer);
    assert_eq!(ask(&observer, "isro"), "rw");
    assert_eq!(
        four_letter::mode(observer.address).as_deref(),
        Some("observer")
    );
    assert_eq!(observer.gauge("outpost_read_only"), 0.0);
    assert!(has(&json("is_read_only"), r#""read_only":false"#));
}

#[test]
fn p8_when_the_link_is_back_read_only_clients_are_closed_and_get_sessions_that_write() {
    let site = Site::new();
    let observer = left_behind(&site, SWITCHED_ON);
    let mut client = reader(&observer);
    client.exists("/b", true).expect_err("not there yet");
    let (session, seen) = (client.session().clone(), client.last_zxid());
    site.write("/b", b"");
    heal(&observer);
    // It may be told of /b first: that is in the history that was missed.
    while let Ok(event) = client.event() {
        assert_eq!(event.path, "/b");
    }
    until("the connection to be counted as closed", LIMIT, || {
        (closed(&observer, Cause::ReadWrite) == 1).then_some(())
    });
    assert!(observer.service.local_sessions.is_empty());
    match RawClient::read_only(observer.address, Some(&session), seen) {
        Err(Refusal::Expired) => {}
        other => panic!("a session of read-only mode is answered {other:?}"),
    }
    let mut client = RawClient::read_only(observer.address, None, seen).expect("a session");
    assert_eq!(client.is_read_only(), Some(false));
    client
        .create("/c", b"", CreateMode::Ephemeral)
        .expect("created");
    assert!(client.exists("/b", false).is_ok());
    site.assert_unharmed();
}

#[test]
fn p7_a_local_session_goes_through_read_only_mode_and_back() {
    let site = Site::new();
    let lines = [SWITCHED_ON, &["localSessionsEnabled=true"]].concat();
    let observer = site.remote_observer(&lines);
    observer.wait_for(site.write("/a", b"a"));
    let mut client = observer.client();
    let session = client.session().clone();
    cut(&observer);
    assert_closed(&mut client, "the end of the hold");
    let seen = client.last_zxid();
    let mut client =
        RawClient::read_only(observer.address, Some(&session), seen).expect("taken up");
    assert_eq!(client.is_read_only(), Some(true));
    assert!(client.exists("/a", false).is_ok());
    heal(&observer);
    assert_closed(&mut client, "the end of read-only mode");
    let mut client =
        RawClient::read_only(observer.address, Some(&session), seen).expect("taken up");
    assert_eq!(client.is_read_only(), Some(false));
    assert!(client.exists("/a", false).is_ok());
}

#[test]
fn p8_within_the_hold_who_could_do_with_less_waits_for_a_session_that_writes() {
    let site = Site::new();
    let observer = site.remote_observer(&["readonlymode.enabled=true", "outpost.hold=600000"]);
    observer.links.iter().for_each(Relay::cut);
    until("the link to be lost", LIMIT, || {
        observer.service.clients.are_held().then_some(())
    });
    assert_eq!(ask(&observer, "isro"), "rw");
    let mut client = RawClient::tcp(observer.address).expect("accepted");
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        time_out: TIMEOUT_MS,
        session_id: SessionId(0),
        passwd: Some(&[0; 16]),
        read_only: Some(true),
    };
    client.send_frame(&request.encode()).expect("sent");
    until("the client to wait for its session", LIMIT, || {
        let all = observer.service.clients.all();
        all.iter()
            .any(|client| client.session() != SessionId(0))
            .then_some(())
    });
    observer.links.iter().for_each(Relay::heal);
    let answer = client.read_frame().expect("answered");
    assert_eq!(answer.last(), Some(&0), "it is told that it may write");
    client
        .send_body(OpCode::Sync, b"\0\0\0\x01/")
        .expect("sent");
    assert_eq!(client.reply().expect("answered").header.xid, Xid(1));
}

#[test]
fn p4_when_the_leader_has_lost_what_was_shown_read_only_clients_are_closed_and_never_see_the_rest()
{
    let (site, other) = (Site::new(), Site::new());
    let observer = site.remote_observer(SWITCHED_ON);
    for number in 0..20 {
        observer.wait_for(site.write(&format!("/{number}"), b""));
    }
    let theirs = other.write("/theirs", b"");
    assert!(theirs < observer.service.mirror.read().last_zxid());
    cut(&observer);
    let mut client = reader(&observer);
    client.exists("/19", true).expect("there");
    let seen = client.last_zxid();

    // The same addresses, and behind them an ensemble that was set back.
    let membership = other.membership();
    for (link, member) in observer.links.iter().zip(membership.members.values()) {
        let port = member.addresses[0].quorum_port;
        link.lead_to(SocketAddr::from(([127, 0, 0, 1], port)));
        link.heal();
    }
    assert_closed(&mut client, "the end of what it has seen");
    observer.wait_until_serving();
    until("the connection to be counted as closed", LIMIT, || {
        (closed(&observer, Cause::BackInTime) == 1).then_some(())
    });
    assert_turned_away(
        RawClient::read_only(observer.address, None, seen),
        "a client that has seen more",
    );
    assert!(observer.client().exists("/theirs", false).is_ok());
}
