//! The server under test attaches to every ZooKeeper release that is still in use, and serves from it.

use std::time::Duration;

use outpost_tests::{
    Ensemble, Observer, ObserverKind, ObserverSettings, Relay, Settings, Version, clients, wait,
};
use outpost_wire::proto::CreateMode;

use crate::link::come_back;
use crate::region::{Region, patient};
use crate::stage::Stage;
use crate::workload;

const LIMIT: Duration = Duration::from_secs(30);

fn a_client_works_through_an_observer_of(version: Version) {
    let settings = Settings {
        extended_types: version >= Version::V3_5_10,
        ..Settings::of(version)
    };
    let stage = Stage::with(settings.super_secret(), &ObserverSettings::default());
    let missing: &[&str] = if version < Version::V3_4_5 {
        &["multi"]
    } else {
        &[]
    };
    clients::kazoo().check_without(&stage.observer.connect_string(), missing);
    workload::run(&stage.ensemble, &stage.observer, 200);
    assert_welcomes_clients(&stage.observer);
}

/// It is ready once the leader has answered what it was asked behind UPTODATE, and every leader does.
fn assert_welcomes_clients(observer: &Observer) {
    if observer.kind() == ObserverKind::Outpost {
        wait::until("the observer to be ready", LIMIT, || {
            (observer.metrics().get("outpost_ready") == Some(1.0)).then_some(())
        });
    }
}

/// A leader that has just been elected may show its history before a quorum has confirmed it, and each release does
/// so in another way.
fn leaders_that_die_cost_no_client_its_session(version: Version) {
    // Enough voters for two of them to stay dead: those of 3.3 take their time to come back.
    const ROUNDS: usize = 2;
    let ensemble = Ensemble::with(patient(Settings {
        voters: 5,
        ..Settings::of(version)
    }));
    let relays = Relay::before_all(&ensemble);
    let hold = Duration::from_secs(60);
    let region = Region::behind(relays, ensemble, hold, ObserverSettings::default());
    let mut client = region.local();
    client
        .create("/round", b"", CreateMode::Ephemeral)
        .expect("a new path");
    for round in 1..=ROUNDS {
        let old = region.ensemble.wait_for_leader();
        region.ensemble.kill(old);
        if region.holds_clients() {
            // It shows itself as client libraries do, and writes nothing that could be on its way when the link goes.
            wait::until("a new leader", LIMIT, || {
                client.exists("/round", false).expect("reads go on");
                region.learner_master().filter(|master| *master != old)
            });
        } else {
            region.wait_until_cut_off(&mut client, "/round");
            client = come_back(region.observer.client_address(), client);
        }
        let data = format!("{round}");
        let stat = client
            .set_data("/round", data.as_bytes())
            .expect("the session writes under the new leader");
        assert_eq!(stat.version, i32::try_from(round).expect("few"));
        let mut far = region.voter();
        far.sync();
        let (seen, _) = far.get_data(b"/round", false).expect("it is there");
        assert_eq!(seen.as_deref(), Some(data.as_bytes()));
    }
    if region.holds_clients() {
        let metrics = region.observer.metrics();
        let misbehaved = "outpost_link_losses_total{reason=\"misbehaved\"}";
        assert_eq!(metrics.get(misbehaved), Some(0.0));
    }
}

#[test]
fn leaders_of_3_3_6_that_die_cost_no_client_its_session() {
    leaders_that_die_cost_no_client_its_session(Version::V3_3_6);
}

#[test]
fn leaders_of_3_4_5_that_die_cost_no_client_its_session() {
    leaders_that_die_cost_no_client_its_session(Version::V3_4_5);
}

#[test]
fn leaders_of_3_4_14_that_die_cost_no_client_its_session() {
    leaders_that_die_cost_no_client_its_session(Version::V3_4_14);
}

#[test]
fn an_observer_of_3_3_6_serves_reads_writes_watches_and_ephemerals() {
    a_client_works_through_an_observer_of(Version::V3_3_6);
}

#[test]
fn an_observer_of_3_4_5_serves_reads_writes_watches_and_ephemerals() {
    a_client_works_through_an_observer_of(Version::V3_4_5);
}

#[test]
fn an_observer_of_3_4_14_serves_reads_writes_watches_and_ephemerals() {
    a_client_works_through_an_observer_of(Version::V3_4_14);
}

#[test]
fn an_observer_of_3_5_10_serves_reads_writes_watches_and_ephemerals() {
    a_client_works_through_an_observer_of(Version::V3_5_10);
}

#[test]
fn an_observer_of_3_6_4_serves_reads_writes_watches_and_ephemerals() {
    a_client_works_through_an_observer_of(Version::V3_6_4);
}

#[test]
fn an_observer_of_3_7_2_serves_reads_writes_watches_and_ephemerals() {
    a_client_works_through_an_observer_of(Version::V3_7_2);
}

#[test]
fn an_observer_of_3_8_6_serves_reads_writes_watches_and_ephemerals() {
    a_client_works_through_an_observer_of(Version::V3_8_6);
}
