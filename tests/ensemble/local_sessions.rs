//! Sessions that only the server under test knows, on an ensemble whose servers all have them: what they may
//! do, how they become global, and where they can be opened again.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use outpost_tests::raw::{RawClient, Refusal, Session};
use outpost_tests::{
    Ensemble, Observer, ObserverKind, ObserverSettings, Settings, four_letter, wait,
};
use outpost_wire::proto::{
    CreateMode, CreateRequest, MultiOp, MultiRequest, MultiResponse, MultiResult,
};
use outpost_wire::{Acl, ErrorCode, OpCode, SessionId, Zxid};

use crate::region::{SESSION_TIMEOUT_MS, patient};

/// Until something that must happen counts as not happening.
const LIMIT: Duration = Duration::from_secs(40);

/// An ensemble with local sessions and two servers under test: one lets them become global, one does not.
struct Stage {
    upgrading: Observer,
    staying: Observer,
    voter: SocketAddr,
    _ensemble: Ensemble,
}

impl Stage {
    /// The stage that these tests use side by side, for as long as one of them holds it.
    fn shared() -> Arc<Stage> {
        static SHARED: Mutex<Weak<Stage>> = Mutex::new(Weak::new());
        let mut shared = SHARED
            .lock()
            .expect("the shared stage could not be built, see the first failure");
        if let Some(stage) = shared.upgrade() {
            return stage;
        }
        let stage = Arc::new(Stage::new());
        *shared = Arc::downgrade(&stage);
        stage
    }

    fn new() -> Stage {
        let ensemble = Ensemble::with(patient(Settings {
            lines: vec!["localSessionsEnabled=true".to_owned()],
            ..Settings::default()
        }));
        let (plain, kind) = (ObserverSettings::default(), ObserverKind::from_env());
        let upgrading = plain.clone().line("localSessionsUpgradingEnabled=true");
        let leader = ensemble.wait_for_leader();
        Stage {
            upgrading: Observer::start(&ensemble, kind, &upgrading),
            staying: Observer::start(&ensemble, kind, &plain),
            voter: ensemble.server(leader).client_address(),
            _ensemble: ensemble,
        }
    }
}

/// What a server knows of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Only this server has it.
    Locally,
    /// The whole ensemble has it.
    Globally,
    /// There is none.
    NotAtAll,
}

/// What an observer's `dump` says of a session.
fn known(observer: &Observer, id: SessionId) -> Known {
    let text = four_letter::ask(observer.client_address(), "dump")
        .unwrap_or_else(|error| panic!("dump: {error}"));
    let (local, rest) = text
        .split_once("Global Sessions(")
        .unwrap_or_else(|| panic!("no global sessions in\n{text}"));
    let global = rest.split("ephemeral nodes dump").next();
    let id = id.to_string();
    match (
        local.contains(&id),
        global.is_some_and(|global| global.contains(&id)),
    ) {
        (_, true) => Known::Globally,
        (true, false) => Known::Locally,
        (false, false) => Known::NotAtAll,
    }
}

fn connect(observer: &Observer) -> RawClient {
    RawClient::connect(observer.client_address(), SESSION_TIMEOUT_MS)
}

/// Whether the server says that the session is gone for good.
fn is_gone(server: SocketAddr, session: &Session) -> bool {
    match RawClient::reopen(server, session, Zxid(0)) {
        Err(Refusal::Expired) => true,
        Err(Refusal::Closed(error)) => panic!("{server} gives no answer: {error}"),
        Ok(_) => false,
    }
}

/// A multi of one create: its result, or the error of the whole.
fn create_in_a_multi(
    client: &mut RawClient,
    path: &str,
    mode: CreateMode,
) -> Result<(), ErrorCode> {
    let create = CreateRequest {
        path: path.into(),
        data: None,
        acl: Some(Acl::open()),
        flags: mode.code(),
    };
    let ops = vec![MultiOp::Create(create)];
    let reply = client.request(OpCode::Multi, &MultiRequest { ops }).ok()?;
    let response = reply.record::<MultiResponse<'_>>();
    match response.results.first() {
        Some(MultiResult::Error(error)) => Err(*error),
        _ => Ok(()),
    }
}

#[test]
fn a_local_session_reads_and_writes_and_is_unknown_to_the_ensemble() {
    let stage = Stage::shared();
    let mut client = connect(&stage.staying);
    let session = client.session().clone();
    assert_eq!(known(&stage.staying, session.id), Known::Locally);

    client
        .create("/plain", b"first", CreateMode::Persistent)
        .expect("a local session may create");
    client
        .set_data("/plain", b"second")
        .expect("a local session may write");
    create_in_a_multi(&mut client, "/plain/child", CreateMode::Persistent)
        .expect("a local session may write in a multi");
    client.sync();
    let (data, stat) = client.get_data(b"/plain", true).expect("it is there");
    assert_eq!(data.as_deref(), Some(&b"second"[..]));
    assert_eq!(stat.num_children, 1);
    client
        .set_data("/plain", b"third")
        .expect("a local session may write");
    let event = client.event().expect("its watch fires");
    assert_eq!((event.kind, event.path.as_slice()), (3, &b"/plain"[..]));

    assert_eq!(known(&stage.staying, session.id), Known::Locally);
    assert_eq!(known(&stage.upgrading, session.id), Known::NotAtAll);
    client.close().expect("the session closes");
    assert_eq!(known(&stage.staying, session.id), Known::NotAtAll);
    assert!(is_gone(stage.staying.client_address(), &session));
}

#[test]
fn a_local_session_that_may_not_become_global_owns_no_ephemeral() {
    let stage = Stage::shared();
    let mut client = connect(&stage.staying);
    for mode in [CreateMode::Ephemeral, CreateMode::EphemeralSequential] {
        let refused = client.create("/refused", b"", mode);
        assert_eq!(refused, Err(ErrorCode::EPHEMERAL_ON_LOCAL_SESSION));
    }
    let refused = create_in_a_multi(&mut client, "/refused", CreateMode::Ephemeral);
    refused.expect_err("an ephemeral in a multi is refused too");
    assert_eq!(client.exists("/refused", false), Err(ErrorCode::NO_NODE));
    assert_eq!(known(&stage.staying, client.session().id), Known::Locally);
    client
        .create("/after-refusal", b"", CreateMode::Persistent)
        .expect("the session goes on");
    client.close().expect("the session closes");
}

#[test]
fn a_local_session_becomes_global_with_its_first_ephemeral_and_can_then_move() {
    let stage = Stage::shared();
    for (number, in_a_multi) in [false, true].into_iter().enumerate() {
        let path = format!("/ephemeral-{number}");
        let mut client = connect(&stage.upgrading);
        let id = client.session().id;
        client
            .create(&format!("/before-{number}"), b"", CreateMode::Persistent)
            .expect("a local session may create");
        assert_eq!(known(&stage.upgrading, id), Known::Locally);
        let created = if in_a_multi {
            create_in_a_multi(&mut client, &path, CreateMode::Ephemeral)
        } else {
            let created = client.create(&path, b"", CreateMode::Ephemeral);
            created.map(|_| ())
        };
        created.expect("the session is made global first");
        let stat = client.exists(&path, false).expect("it is there");
        assert_eq!(stat.ephemeral_owner, id.0);
        assert_eq!(known(&stage.upgrading, id), Known::Globally);

        let (session, last_zxid) = client.abandon();
        // A leader tells observers before it has applied a transaction itself, and turns away who has seen more than it.
        let seen = last_zxid.0.cast_unsigned();
        wait::until("the voter to have seen as much", LIMIT, || {
            four_letter::zxid(stage.voter).filter(|zxid| *zxid >= seen)
        });
        let moved = RawClient::reopen(stage.voter, &session, last_zxid);
        let mut moved = moved.expect("another server takes a global session");
        moved.exists(&path, false).expect("it is there still");
        let last_zxid = moved.last_zxid();
        moved.abandon();
        // And back again.
        stage.upgrading.wait_for_zxid(last_zxid.0.cast_unsigned());
        let back = RawClient::reopen(stage.upgrading.client_address(), &session, last_zxid);
        let back = back.expect("it can come back");
        assert_eq!(known(&stage.upgrading, id), Known::Globally);
        back.close().expect("the session closes");
        let mut other = connect(&stage.upgrading);
        assert_eq!(other.exists(&path, false), Err(ErrorCode::NO_NODE));
        other.close().expect("the session closes");
    }
}

#[test]
fn requests_sent_in_one_go_around_the_first_ephemeral_are_all_answered_in_order() {
    let stage = Stage::shared();
    let mut client = connect(&stage.upgrading);
    let create = |path: &'static str, mode: CreateMode| CreateRequest {
        path: path.into(),
        data: None,
        acl: Some(Acl::open()),
        flags: mode.code(),
    };
    let requests = [
        create("/go-1", CreateMode::Persistent),
        create("/go-2", CreateMode::Ephemeral),
        create("/go-3", CreateMode::Ephemeral),
        create("/go-4", CreateMode::Persistent),
    ];
    let sent = requests.map(|request| {
        let sent = client.send(OpCode::Create, &request);
        sent.expect("the connection takes it")
    });
    for xid in sent {
        let reply = client.reply().expect("all are answered");
        assert_eq!((reply.header.xid, reply.err()), (xid, ErrorCode::OK));
    }
    client.close().expect("the session closes");
}

#[test]
fn a_local_session_opens_again_on_its_own_server_and_nowhere_else() {
    let stage = Stage::shared();
    let client = connect(&stage.staying);
    let (session, _) = client.abandon();
    assert!(is_gone(stage.upgrading.client_address(), &session));
    assert!(is_gone(stage.voter, &session));
    let again = RawClient::reopen(stage.staying.client_address(), &session, Zxid(0));
    let mut again = again.expect("its own server knows it");
    assert_eq!(again.session(), &session);
    again.exists("/", false).expect("the session goes on");
    again.close().expect("the session closes");
}

#[test]
fn a_local_session_expires_on_its_own_server_when_its_client_stays_away() {
    let stage = Stage::shared();
    // The shortest timeout that is granted.
    let client = RawClient::connect(stage.staying.client_address(), 1);
    let (session, _) = client.abandon();
    wait::until("the session to expire", LIMIT, || {
        (known(&stage.staying, session.id) == Known::NotAtAll).then_some(())
    });
    assert!(is_gone(stage.staying.client_address(), &session));
}

#[test]
fn a_client_with_a_local_session_that_falls_silent_is_closed() {
    let stage = Stage::shared();
    let mut client = RawClient::connect(stage.staying.client_address(), 1);
    let id = client.session().id;
    let end = client
        .read_frame()
        .expect_err("nothing is said to a silent client");
    assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof, "{end}");
    wait::until("the session to expire", LIMIT, || {
        (known(&stage.staying, id) == Known::NotAtAll).then_some(())
    });
}
