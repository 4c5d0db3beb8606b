//! The server under test attaches to every ZooKeeper release that is still in use, and serves from it.

use std::time::Duration;

use outpost_tests::{Observer, ObserverKind, ObserverSettings, Settings, Version, clients, wait};

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
