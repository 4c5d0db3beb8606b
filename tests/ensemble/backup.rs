//! An ensemble is restored from a backup under an observer that has seen what came after it.

use std::fs;
use std::time::Duration;

use outpost_tests::ensemble::Server;
use outpost_tests::raw::RawClient;
use outpost_tests::tree_dump::assert_same_tree;
use outpost_tests::{ObserverKind, wait};
use outpost_wire::proto::CreateMode;

use crate::region::{LIMIT, Region, SESSION_TIMEOUT_MS};

#[test]
fn p4_a_leader_that_has_lost_what_clients_have_seen_costs_all_connections_and_the_mirror_starts_anew()
 {
    if ObserverKind::from_env() == ObserverKind::Java {
        return; // It ends its process: it cannot go back behind a snapshot.
    }
    // Longer than a restart takes, so that clients are held when the old history comes.
    let region = Region::start(Duration::from_secs(120));
    let mut far = region.voter();
    far.create("/kept", b"", CreateMode::Persistent)
        .expect("a new path");
    region.ensemble.restart_all(Server::back_up);
    region.observer.wait_until_it_serves();
    let mut client = RawClient::connect(region.observer.client_address(), SESSION_TIMEOUT_MS);
    client
        .create("/lost", b"", CreateMode::Persistent)
        .expect("a new path");
    client.exists("/lost", true).expect("it is there");

    region.ensemble.restart_all(Server::restore);
    region.wait_until_cut_off(&mut client, "/lost");
    assert!(
        client.take_events().is_empty(),
        "nothing is told of a past that never was"
    );
    region.observer.wait_until_it_serves();
    let mut anew = RawClient::connect(region.observer.client_address(), SESSION_TIMEOUT_MS);
    assert!(anew.exists("/lost", false).is_err());
    anew.exists("/kept", false).expect("it was in the backup");
    assert_same_tree(region.observer.client_address(), region.voter_address());
    // Lines are written by a thread of their own, a moment later.
    wait::until("a loud word of it in the log", LIMIT, || {
        let log = fs::read_to_string(region.observer.running().log()).expect("its log");
        log.contains("it has lost transactions that clients have seen")
            .then_some(())
    });
}
