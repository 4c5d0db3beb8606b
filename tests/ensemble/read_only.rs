//! Real client libraries at a server that has lost its ensemble for longer than the hold, and gets it back.

use std::time::Duration;

use outpost_tests::{
    Ensemble, ObserverKind, ObserverSettings, Relay, Settings, clients, four_letter, wait,
};
use outpost_wire::proto::CreateMode;

use crate::region::{LIMIT, Region, patient};

/// A Java server takes read-only mode from its command line alone, and is of use in it with local sessions only.
fn settings() -> (Settings, ObserverSettings) {
    let (mut ensemble, observer) = (Settings::default(), ObserverSettings::default());
    match ObserverKind::from_env() {
        ObserverKind::Outpost => (ensemble, observer.line("readonlymode.enabled=true")),
        ObserverKind::Java => {
            let local = "localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true";
            ensemble.lines.push(local.to_owned());
            let mut observer = observer;
            let property = "-Dreadonlymode.enabled=true".to_owned();
            observer
                .environment
                .push(("JAVA_TOOL_OPTIONS".to_owned(), property));
            (ensemble, observer)
        }
    }
}

/// Takes the ensemble away. A Java server goes on looking for it by its election ports, which no relay stands before,
/// and is read-only only while it finds nothing there.
fn part(region: &Region) {
    region.every_relay(Relay::cut);
    if region.observer.kind() == ObserverKind::Java {
        region.ensemble.kill(1);
        region.ensemble.kill(2);
    }
}

/// Ends [`part`].
fn bring_back(region: &Region) {
    if region.observer.kind() == ObserverKind::Java {
        region.ensemble.start_server(1);
        region.ensemble.start_server(2);
    }
    region.every_relay(Relay::heal);
}

#[test]
fn p8_beyond_the_hold_client_libraries_read_and_come_to_write_by_themselves_when_the_link_is_back()
{
    let (ensemble, observer) = settings();
    let ensemble = Ensemble::with(patient(ensemble));
    let relays = Relay::before_all(&ensemble);
    let region = Region::behind(relays, ensemble, Duration::from_secs(1), observer);
    let mut client = region.voter();
    client
        .create("/left", b"behind", CreateMode::Persistent)
        .expect("a new path");
    client.close().expect("nothing is lost yet");
    region.local().sync();
    part(&region);
    let address = region.observer.client_address();
    wait::until("the observer to be read-only", LIMIT, || {
        (four_letter::mode(address)? == "read-only").then_some(())
    });
    assert_eq!(
        four_letter::ask(address, "isro").ok().as_deref(),
        Some("ro")
    );

    let at = region.observer.connect_string();
    let programs = [clients::kazoo_read_only(), clients::java_read_only()];
    let programs = programs.map(|program| program.start(&at));
    for program in &programs {
        program.wait_for_line("reads");
    }
    bring_back(&region);
    for program in programs {
        program.finish();
    }
    region.observer.wait_until_it_serves();
}
