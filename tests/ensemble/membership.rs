//! Who the learner master is: the leader, a follower's observer master, or whoever a reconfiguration made it.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use outpost_tests::ensemble::Ports;
use outpost_tests::observer::outpost_binary;
use outpost_tests::process::Process;
use outpost_tests::raw::RawClient;
use outpost_tests::run_dir::RunDir;
use outpost_tests::tree_dump::assert_same_tree;
use outpost_tests::{
    Ensemble, Observer, ObserverKind, ObserverSettings, Relay, Settings, four_letter, wait,
};
use outpost_wire::OpCode;
use outpost_wire::proto::{CreateMode, ReconfigRequest};

const SESSION_TIMEOUT_MS: i32 = 10_000;
const LIMIT: Duration = Duration::from_secs(40);
/// Later than a server that is near answers.
const FAR: Duration = Duration::from_secs(10);
const CONFIG: &str = "/zookeeper/config";

/// A figure from the answer to `mntr`.
fn figure(server: SocketAddr, name: &str) -> Option<String> {
    let text = four_letter::ask(server, "mntr").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
    line.map(str::to_owned)
}

/// Writes through the server and reads what it wrote.
fn assert_served(server: SocketAddr, path: &str) {
    let mut client = RawClient::connect(server, SESSION_TIMEOUT_MS);
    client
        .create(path, b"served", CreateMode::Ephemeral)
        .unwrap_or_else(|error| panic!("create {path}: {error}"));
    client.sync();
    let (data, _) = client
        .get_data(path.as_bytes(), false)
        .unwrap_or_else(|error| panic!("getData {path}: {error}"));
    assert_eq!(data.as_deref(), Some(&b"served"[..]));
    client.close().expect("the session closes");
}

#[test]
fn an_observer_attaches_to_a_followers_observer_master_where_that_is_configured() {
    // With two voters there is one follower, and with it one observer master, on this one host.
    let port = Ports::free().client;
    let settings = Settings {
        voters: 2,
        lines: vec![format!("observerMasterPort={port}")],
        ..Settings::default()
    };
    let ensemble = Ensemble::with(settings);
    let kind = ObserverKind::from_env();
    // The leader is so far away that the follower answers first, however busy it is.
    let relays = Relay::before_all(&ensemble);
    relays.iter().for_each(|(_, relay)| relay.delay(FAR));
    let settings = ObserverSettings::default().through(&relays);
    let observer = Observer::start(&ensemble, kind, &settings);
    let leader = ensemble.wait_for_leader();
    let follower = 3 - leader;
    let address = observer.client_address();
    let observers_of = |id| figure(ensemble.server(id).client_address(), "zk_synced_observers");
    wait::until("the follower to count its observer", LIMIT, || {
        (observers_of(follower).as_deref() == Some("1")).then_some(())
    });
    assert_eq!(
        observers_of(leader).as_deref(),
        Some("0"),
        "the leader is server {leader}"
    );

    assert_served(address, "/through-a-follower");
    if kind == ObserverKind::Outpost {
        // A follower hands on what it is asked, and the answer.
        wait::until("the observer to be ready", LIMIT, || {
            (observer.metrics().get("outpost_ready") == Some(1.0)).then_some(())
        });
    }
    // A session of the observer lives on under touches that travel through the follower.
    let mut client = RawClient::connect(address, 4_000);
    wait::until("three timeouts to pass with pings alone", LIMIT, {
        let began = std::time::Instant::now();
        let client = &mut client;
        move || {
            client
                .try_request_body(OpCode::Ping, &[])
                .unwrap_or_else(|error| panic!("the session was not kept alive: {error}"));
            (began.elapsed() > Duration::from_secs(9)).then_some(())
        }
    });
    client
        .set_data("/", b"still here")
        .expect("the session still writes");
    client.sync();
    assert_same_tree(address, ensemble.server(leader).client_address());
}

#[test]
fn members_that_the_ensemble_announces_are_used_at_the_next_attach() {
    if ObserverKind::from_env() == ObserverKind::Java {
        return; // It asks the election ports of every voter it is configured with.
    }
    let ensemble = Ensemble::with(Settings {
        reconfig: true,
        ..Settings::default()
    });
    let leader = ensemble.wait_for_leader();
    let dir = RunDir::new("one-member");
    let ports = Ports::free();
    // Only the present leader is known at first.
    let quorum = ensemble.server(leader).quorum_address().port();
    let config = format!(
        "tickTime=500\ninitLimit=40\nsyncLimit=10\ndataDir={dir}\nreconfigEnabled=true\n\
         4lw.commands.whitelist=*\nadmin.enableServer=false\nmetricsProvider.httpPort=0\n\
         clientPort={client}\noutpost.id=77\n\
         server.{leader}=127.0.0.1:{quorum}:{election}:participant\n",
        dir = dir.path().display(),
        client = ports.client,
        election = quorum + 1,
    );
    let path = dir.path().join("zoo.cfg");
    fs::write(&path, config).expect("the run directory can be written");
    let mut command = Command::new(outpost_binary());
    command.arg("run").arg(&path);
    let _outpost = Process::start("outpost", &command, &dir.path().join("outpost.log"));
    let address = SocketAddr::from(([127, 0, 0, 1], ports.client));
    let serves = || (four_letter::mode(address).as_deref() == Some("observer")).then_some(());
    wait::until("the observer to serve", LIMIT, serves);
    assert_eq!(
        figure(address, "zk_observer_master_id"),
        Some(leader.to_string())
    );

    ensemble.kill(leader);
    wait::until("another leader to be found", LIMIT, || {
        serves()?;
        figure(address, "zk_observer_master_id").filter(|master| *master != leader.to_string())
    });
    assert_served(address, "/after-the-election");
}

#[test]
fn a_reconfiguration_is_followed_without_losing_the_link() {
    let settings = Settings {
        reconfig: true,
        listed_observers: 1,
        ..Settings::default()
    };
    let ensemble = Ensemble::with(settings.super_secret());
    let observer = Observer::start(
        &ensemble,
        ObserverKind::from_env(),
        &ObserverSettings::default(),
    );
    let address = observer.client_address();
    let leader = ensemble.wait_for_leader();
    let leaving = (1..=3).rev().find(|id| *id != leader).expect("a follower");

    let mut client = RawClient::connect(address, SESSION_TIMEOUT_MS);
    client.authenticate("super:secret");
    client
        .get_data(CONFIG.as_bytes(), true)
        .expect("the configuration can be read");
    let reply = client.request(
        OpCode::Reconfig,
        &ReconfigRequest {
            joining_servers: None,
            leaving_servers: Some(leaving.to_string().as_str().into()),
            new_members: None,
            cur_config_id: -1,
        },
    );
    assert!(reply.err().is_ok(), "reconfig: {:?}", reply.err());
    let event = client
        .event()
        .expect("the watch on the configuration fires");
    assert_eq!(event.path, CONFIG);
    let (text, _) = client
        .get_data(CONFIG.as_bytes(), false)
        .expect("it can be read again");
    let text = String::from_utf8(text.unwrap_or_default()).expect("text");
    assert!(!text.contains(&format!("server.{leaving}=")), "{text}");

    let mut voter =
        RawClient::connect(ensemble.server(leader).client_address(), SESSION_TIMEOUT_MS);
    let (at_leader, _) = voter
        .get_data(CONFIG.as_bytes(), false)
        .expect("the leader has it");
    assert_eq!(Some(text.as_bytes()), at_leader.as_deref());
    assert_served(address, "/after-the-reconfiguration");
}

#[test]
fn p1_every_digest_of_a_leader_is_reached() {
    let stage = crate::stage::Stage::shared();
    let address = stage.observer.client_address();
    assert_served(address, "/digests");
    if stage.observer.kind() == ObserverKind::Outpost {
        let compared = figure(address, "zk_outpost_digests_compared_total");
        let compared: u64 = compared
            .and_then(|n| n.parse().ok())
            .expect("the figure is shown");
        assert!(compared > 0, "no digest was compared");
    }
    assert_eq!(
        figure(address, "zk_digest_mismatches_count").as_deref(),
        Some("0")
    );
}
