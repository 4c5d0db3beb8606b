//! The link between the server under test and the ensemble is cut, stalled and flapped, leaders die, and
//! clients see nothing that ZooKeeper's promises do not allow.
//!
//! Where Outpost promises more than a Java observer does, the test says what each of the two does.

use std::net::SocketAddr;
use std::time::Duration;

use outpost_tests::ports::free_port;
use outpost_tests::raw::{RawClient, Refusal};
use outpost_tests::tree_dump::assert_same_tree;
use outpost_tests::{
    Ensemble, Observer, ObserverKind, ObserverSettings, Relay, Settings, Towards, wait,
};
use outpost_wire::OpCode;
use outpost_wire::proto::{CreateMode, SetDataRequest, SetDataResponse, SyncRequest};

use crate::region::{IMPATIENT, LIMIT, Region, SESSION_TIMEOUT_MS};
use crate::workload;

impl Region {
    /// Random clients under random faults, and the trees are equal in the end.
    /// More than the one with which every observer begins.
    fn assert_got_snapshots(&self) {
        let snapshots = self.observer.metrics().get("outpost_snapshots_total");
        assert!(snapshots > Some(1.0), "no snapshot came: {snapshots:?}");
    }

    fn weather_a_storm(&self) {
        let storm = Storm { region: self };
        workload::run_in_a_storm(&self.ensemble, &self.observer, |done| storm.blow(done));
        self.every_relay(Relay::heal);
        self.ensemble.wait_until_all_serve();
        self.observer.wait_until_it_serves();
        assert_same_tree(self.observer.client_address(), self.voter_address());
    }

    /// Asks until the connection is lost; every answer until then must be a good one.
    pub(crate) fn wait_until_cut_off(&self, client: &mut RawClient, path: &str) {
        wait::until("the client to be cut off", LIMIT, || {
            let request = outpost_wire::proto::ExistsRequest {
                path: path.into(),
                watch: false,
            };
            match client.try_request(OpCode::Exists, &request) {
                Ok(reply) => {
                    assert!(
                        reply.header.err.is_ok(),
                        "an answer while detached: {:?}",
                        reply.header
                    );
                    None
                }
                Err(error) => {
                    assert!(!is_silence(&error), "the server fell silent: {error}");
                    Some(())
                }
            }
        });
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    )
}

/// Opens a session again, as client libraries do after a connection loss.
pub(crate) fn come_back(server: SocketAddr, client: RawClient) -> RawClient {
    let (session, last_zxid) = client.abandon();
    wait::until(
        "a session to be opened again",
        LIMIT,
        || match RawClient::reopen(server, &session, last_zxid) {
            Ok(client) => Some(client),
            Err(Refusal::Closed(_)) => None,
            Err(Refusal::Expired) => panic!("session {} has expired", session.id),
        },
    )
}

#[test]
fn p3_a_cut_shorter_than_the_hold_disconnects_nobody_and_loses_no_watch() {
    let region = Region::start(Duration::from_secs(30));
    let mut client = region.local();
    let mut far = region.voter();
    client
        .create("/cut", b"before", CreateMode::Persistent)
        .expect("a new path");
    client.get_data(b"/cut", true).expect("it is there");

    region.every_relay(Relay::cut);
    far.set_data("/cut", b"meanwhile")
        .expect("the ensemble is not cut");
    if !region.holds_clients() {
        region.wait_until_cut_off(&mut client, "/cut");
        return;
    }
    let (data, _) = client.get_data(b"/cut", false).expect("reads go on");
    assert_eq!(
        data.as_deref(),
        Some(&b"before"[..]),
        "the mirror cannot know more than it was told"
    );
    region.every_relay(Relay::heal);

    let event = client.event().expect("the connection outlives the cut");
    assert_eq!((event.kind, event.path.as_slice()), (3, &b"/cut"[..]));
    let (data, _) = client.get_data(b"/cut", false).expect("it is there");
    assert_eq!(data.as_deref(), Some(&b"meanwhile"[..]));
    client
        .set_data("/cut", b"after")
        .expect("the same session writes again");
    assert_same_tree(region.observer.client_address(), region.voter_address());
}

#[test]
fn p5_a_write_whose_answer_was_lost_with_the_link_is_answered_from_its_txn() {
    let region = Region::start(Duration::from_secs(30));
    let mut client = region.local();
    let mut far = region.voter();
    client
        .create("/write", b"before", CreateMode::Persistent)
        .expect("a new path");

    // The request crosses, the answer does not.
    region.every_relay(|relay| relay.stall_towards(Towards::Connector));
    let request = SetDataRequest {
        path: "/write".into(),
        data: Some(b"mine"),
        version: -1,
    };
    let xid = client
        .send(OpCode::SetData, &request)
        .expect("the request is taken");
    let written = wait::until("the write to be committed", LIMIT, || {
        let (data, stat) = far.get_data(b"/write", false).expect("it is there");
        (data.as_deref() == Some(b"mine")).then_some(stat)
    });
    region.every_relay(Relay::cut);
    region.every_relay(Relay::heal);

    match client.reply() {
        Ok(reply) => {
            assert_eq!(reply.header.xid, xid);
            assert_eq!(
                reply.record::<SetDataResponse>().stat,
                written,
                "the answer is the txn's"
            );
            assert_eq!(reply.header.zxid, written.mzxid);
        }
        Err(error) => {
            assert!(!is_silence(&error), "neither answered nor cut off: {error}");
            assert!(
                !region.holds_clients(),
                "Outpost knows the write in the DIFF: {error}"
            );
        }
    }
}

#[test]
fn p5_a_write_that_never_reached_the_leader_is_not_acknowledged_unless_it_is_committed() {
    let region = Region::start(Duration::from_secs(30));
    let mut client = region.local();
    client
        .create("/lost", b"before", CreateMode::Persistent)
        .expect("a new path");

    region.every_relay(|relay| relay.stall_towards(Towards::Target));
    let request = SetDataRequest {
        path: "/lost".into(),
        data: Some(b"mine"),
        version: -1,
    };
    client
        .send(OpCode::SetData, &request)
        .expect("the request is taken");
    region.every_relay(Relay::cut);
    region.every_relay(Relay::heal);

    let answer = client.reply();
    region.observer.wait_until_it_serves();
    let (data, _) = region
        .voter()
        .get_data(b"/lost", false)
        .expect("it is there");
    match answer {
        Ok(reply) => {
            assert!(reply.header.err.is_ok(), "{:?}", reply.header);
            assert_eq!(
                data.as_deref(),
                Some(&b"mine"[..]),
                "acknowledged, and not there"
            );
        }
        Err(error) => assert!(!is_silence(&error), "neither answered nor cut off: {error}"),
    }
}

#[test]
fn p8_a_cut_longer_than_the_hold_ends_connections_and_the_region_comes_back() {
    let region = Region::start(Duration::from_secs(2));
    let mut client = region.local();
    client
        .create("/held", b"before", CreateMode::Persistent)
        .expect("a new path");
    region.every_relay(Relay::cut);
    region.wait_until_cut_off(&mut client, "/held");
    let refused = RawClient::try_connect(region.observer.client_address(), SESSION_TIMEOUT_MS);
    assert!(
        matches!(refused, Err(Refusal::Closed(_))),
        "a session is opened without a leader: {refused:?}"
    );
    assert!(!region.observer.serves(), "it says that it serves");

    region.every_relay(Relay::heal);
    region.observer.wait_until_it_serves();
    let mut client = come_back(region.observer.client_address(), client);
    client
        .set_data("/held", b"after")
        .expect("the session writes again");
    assert_same_tree(region.observer.client_address(), region.voter_address());
}

#[test]
fn p7_nobody_is_served_whose_session_the_leader_has_expired() {
    let region = Region::start(Duration::from_secs(120));
    let mut client = RawClient::connect(region.observer.client_address(), 2_000);
    client
        .create("/leased", b"", CreateMode::Ephemeral)
        .expect("a new path");
    let mut far = region.voter();
    region.every_relay(Relay::cut);
    wait::until("the leader to expire the session", LIMIT, || {
        // Reading keeps the session alive only as far as the observer can tell the leader: not at all.
        let _ = client.try_request_body(OpCode::Ping, &[]);
        far.exists("/leased", false).is_err().then_some(())
    });
    let answer = client.try_request_body(OpCode::Ping, &[]);
    assert!(
        answer.is_err(),
        "a client of an expired session is still served: {answer:?}"
    );
}

#[test]
fn a_leader_that_dies_costs_no_client_its_session_and_with_outpost_no_connection() {
    let region = Region::start(Duration::from_secs(60));
    let mut client = region.local();
    client
        .create("/leader", b"before", CreateMode::Ephemeral)
        .expect("a new path");
    let old = region.ensemble.wait_for_leader();
    region.ensemble.kill(old);
    if region.holds_clients() {
        // A write that is handed to a link before its end is known would go with it.
        wait::until("the observer to miss the leader", LIMIT, || {
            (region.learner_master() != Some(old)).then_some(())
        });
        client
            .exists("/leader", false)
            .expect("reads go on without a leader");
    } else {
        region.wait_until_cut_off(&mut client, "/leader");
        client = come_back(region.observer.client_address(), client);
    }
    let stat = client
        .set_data("/leader", b"after")
        .expect("the session writes under the new leader");
    assert_eq!(stat.ephemeral_owner, client.session().id.0);
    assert_ne!(region.ensemble.wait_for_leader(), old);
    region.ensemble.start_server(old);
    region.ensemble.wait_until_all_serve();
    assert_same_tree(region.observer.client_address(), region.voter_address());
}

#[test]
fn a_link_that_falls_silent_is_given_up_and_found_again() {
    let settings = Settings {
        lines: vec![IMPATIENT.to_owned()],
        ..Settings::default()
    };
    let region = Region::with(settings, Duration::from_secs(1));
    let mut client = region.local();
    let mut far = region.voter();
    client
        .create("/silent", b"before", CreateMode::Persistent)
        .expect("a new path");
    region.every_relay(Relay::stall);
    far.set_data("/silent", b"meanwhile")
        .expect("the ensemble is not stalled");
    region.wait_until_cut_off(&mut client, "/silent");
    region.every_relay(Relay::heal);
    region.observer.wait_until_it_serves();
    let mut client = region.local();
    client.sync();
    let (data, _) = client.get_data(b"/silent", false).expect("it is there");
    assert_eq!(data.as_deref(), Some(&b"meanwhile"[..]));
}

#[test]
fn a_slow_link_delays_and_changes_nothing() {
    let region = Region::start(Duration::from_secs(30));
    region.every_relay(|relay| {
        relay.delay(Duration::from_millis(40));
        relay.throttle(Some(400_000));
    });
    workload::run(&region.ensemble, &region.observer, 60);
}

#[test]
fn sigterm_ends_connections_and_leaves_sessions_alive() {
    let mut region = Region::start(Duration::from_secs(30));
    let mut client = region.local();
    client
        .create("/moved", b"", CreateMode::Ephemeral)
        .expect("a new path");
    let status = region.observer.terminate(LIMIT);
    if region.observer.kind() == ObserverKind::Outpost {
        assert!(status.success(), "SIGTERM ends the process with {status}");
    }
    let mut client = come_back(region.voter_address(), client);
    let stat = client
        .exists("/moved", false)
        .expect("the session has not been closed");
    assert_eq!(stat.ephemeral_owner, client.session().id.0);
}

#[test]
fn a_killed_observer_comes_back_with_nothing_lost() {
    let mut region = Region::start(Duration::from_secs(30));
    let mut client = region.local();
    client
        .create("/killed", b"", CreateMode::Ephemeral)
        .expect("a new path");
    region.observer.kill();
    region.observer.start_again();
    region.observer.wait_until_it_serves();
    let mut client = come_back(region.observer.client_address(), client);
    client
        .set_data("/killed", b"after")
        .expect("the session writes again");
    assert_same_tree(region.observer.client_address(), region.voter_address());
}

/// An ensemble whose leader sends a snapshot to whoever was away, for however short. (It would keep 500
/// transactions even if told to keep fewer.)
fn forgetful() -> Settings {
    Settings {
        lines: vec!["forceSnapshotSync=true".to_owned()],
        ..Settings::default()
    }
}

#[test]
fn p3_a_snapshot_that_replaces_the_tree_fires_exactly_the_watches_of_the_difference() {
    let region = Region::with(forgetful(), Duration::from_secs(30));
    let mut client = region.local();
    let mut far = region.voter();
    for path in [
        "/same",
        "/changed",
        "/deleted",
        "/parent",
        "/parent/old",
        "/again",
    ] {
        client
            .create(path, b"before", CreateMode::Persistent)
            .expect("a new path");
        client.get_data(path.as_bytes(), true).expect("it is there");
    }
    client.get_children(b"/parent", true).expect("it is there");
    client.get_children(b"/same", true).expect("it is there");
    client
        .exists("/created", true)
        .expect_err("it is not there");
    client.exists("/never", true).expect_err("it is not there");

    region.every_relay(Relay::cut);
    far.set_data("/changed", b"meanwhile")
        .expect("the ensemble is not cut");
    far.delete("/deleted").expect("the ensemble is not cut");
    far.delete("/parent/old").expect("the ensemble is not cut");
    far.create("/parent/new", b"", CreateMode::Persistent)
        .expect("the ensemble is not cut");
    far.create("/created", b"", CreateMode::Persistent)
        .expect("the ensemble is not cut");
    far.delete("/again").expect("the ensemble is not cut");
    far.create("/again", b"before", CreateMode::Persistent)
        .expect("the ensemble is not cut");
    for number in 0..20 {
        far.set_data("/changed", format!("{number}").as_bytes())
            .expect("the ensemble is not cut");
    }
    if !region.holds_clients() {
        region.wait_until_cut_off(&mut client, "/same");
        return;
    }
    region.every_relay(Relay::heal);
    client.sync();
    region.assert_got_snapshots();
    let mut events: Vec<(i32, String)> = client
        .take_events()
        .into_iter()
        .map(|event| (event.kind, event.path.to_string()))
        .collect();
    events.sort();
    // As from a server that was there all the time: a znode that was deleted and created again was deleted.
    let expected = [
        (1, "/created"),
        (2, "/again"),
        (2, "/deleted"),
        (2, "/parent/old"),
        (3, "/changed"),
        (4, "/parent"),
    ];
    assert_eq!(events, expected.map(|(kind, path)| (kind, path.to_owned())));
    for path in ["/same", "/never"] {
        far.create(path, b"", CreateMode::Persistent).ok();
        far.set_data(path, b"at last").expect("it is there");
    }
    client.sync();
    let events: Vec<String> = client
        .take_events()
        .into_iter()
        .map(|event| event.path.to_string())
        .collect();
    assert_eq!(events, ["/same", "/never"]);
    assert_same_tree(region.observer.client_address(), region.voter_address());
}

#[test]
fn what_is_asked_of_the_leader_during_a_cut_waits_and_is_answered_after_it() {
    let region = Region::start(Duration::from_secs(30));
    let mut client = region.local();
    client
        .create("/waits", b"before", CreateMode::Persistent)
        .expect("a new path");
    if !region.holds_clients() {
        region.every_relay(Relay::cut);
        region.wait_until_cut_off(&mut client, "/waits");
        return;
    }
    region.cut_and_wait_until_detached();
    let request = SetDataRequest {
        path: "/waits".into(),
        data: Some(b"mine"),
        version: -1,
    };
    let write = client
        .send(OpCode::SetData, &request)
        .expect("the connection is held");
    let request = SyncRequest { path: "/".into() };
    let sync = client
        .send(OpCode::Sync, &request)
        .expect("the connection is held");
    let address = region.observer.client_address();
    let newcomer = std::thread::spawn(move || RawClient::try_connect(address, SESSION_TIMEOUT_MS));
    region.every_relay(Relay::heal);

    let reply = client.reply().expect("the write waits for the leader");
    assert_eq!(reply.header.xid, write);
    assert_eq!(reply.record::<SetDataResponse>().stat.version, 1);
    let reply = client.reply().expect("the sync waits for the leader");
    assert_eq!((reply.header.xid, reply.err().is_ok()), (sync, true));
    let newcomer = newcomer.join().expect("no panic");
    let mut newcomer =
        newcomer.unwrap_or_else(|refusal| panic!("a new session does not wait: {refusal:?}"));
    let (data, _) = newcomer.get_data(b"/waits", false).expect("it is there");
    assert_eq!(data.as_deref(), Some(&b"mine"[..]));
}

#[test]
fn p1_p2_p3_p4_p5_hold_for_random_clients_while_links_flap_and_leaders_die() {
    Region::start(Duration::from_secs(30)).weather_a_storm();
}

#[test]
fn p1_p2_p3_p4_p5_hold_for_random_clients_when_every_gap_is_filled_by_a_snapshot() {
    let region = Region::with(forgetful(), Duration::from_secs(30));
    region.weather_a_storm();
    if region.holds_clients() {
        region.assert_got_snapshots();
    }
}

#[test]
fn an_observer_that_reaches_followers_only_is_served_by_their_observer_masters() {
    let masters: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let settings = Settings {
        lines_by_voter: masters
            .iter()
            .map(|port| format!("observerMasterPort={port}"))
            .collect(),
        ..Settings::default()
    };
    let ensemble = Ensemble::with(settings.super_secret());
    // The observer knows one observer master port for all servers, so it is given one reachable follower.
    let leader = ensemble.wait_for_leader();
    let follower = ensemble
        .servers()
        .iter()
        .find(|server| server.id != leader)
        .expect("three voters");
    let port = masters[usize::try_from(follower.id).expect("a small id") - 1];
    let relays = Relay::before_all(&ensemble);
    relays.iter().for_each(|(_, relay)| relay.cut());
    let settings = ObserverSettings::default().line(format!("observerMasterPort={port}"));
    let observer = Observer::start(
        &ensemble,
        ObserverKind::from_env(),
        &settings.through(&relays),
    );
    let mut client = RawClient::connect(observer.client_address(), SESSION_TIMEOUT_MS);
    client
        .create("/by-a-follower", b"", CreateMode::Ephemeral)
        .expect("a new path");
    assert_same_tree(
        observer.client_address(),
        ensemble.server(leader).client_address(),
    );
}

/// Random faults, one after the other, until the clients are done.
struct Storm<'a> {
    region: &'a Region,
}

impl Storm<'_> {
    fn blow(&self, done: &dyn Fn() -> bool) {
        let mut rng = fastrand::Rng::with_seed(workload::seed());
        while !done() {
            match rng.u32(..10) {
                0 => self.kill_the_leader(),
                1..4 => self.region.every_relay(Relay::flap),
                4..7 => self.region.every_relay(Relay::cut),
                7 => self.region.every_relay(Relay::stall),
                8 => self
                    .region
                    .every_relay(|relay| relay.stall_towards(Towards::Connector)),
                _ => self
                    .region
                    .every_relay(|relay| relay.delay(Duration::from_millis(20))),
            }
            // The length of the fault, not a wait for anything.
            std::thread::sleep(Duration::from_millis(rng.u64(10..400)));
            self.region.every_relay(|relay| {
                relay.flap();
                relay.heal();
                relay.delay(Duration::ZERO);
            });
            std::thread::sleep(Duration::from_millis(rng.u64(100..800)));
        }
    }

    fn kill_the_leader(&self) {
        let leader = self.region.ensemble.wait_for_leader();
        self.region.ensemble.kill(leader);
        self.region.ensemble.wait_for_leader();
        self.region.ensemble.start_server(leader);
        self.region.ensemble.wait_until_all_serve();
    }
}
