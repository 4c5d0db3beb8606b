//! P1: the mirror's digest is held against the leader's, and a difference that lasts is healed.

use std::sync::atomic::Ordering;

use crate::stage::{LIMIT, Site, assert_same_tree_in_the_end, until};

/// A write whose transaction carries a digest that fits no tree.
fn write_with_a_wrong_digest(site: &Site, path: &str) {
    site.leader(|leader, _| leader.spoil_next_digest());
    site.write(path, b"");
}

#[test]
fn p1_a_digest_that_fits_no_tree_costs_nobody_a_connection_when_the_next_one_fits() {
    let site = Site::new();
    let observer = site.observer();
    let mut client = observer.client();
    write_with_a_wrong_digest(&site, "/wrong");
    observer.wait_for(site.write("/right", b""));
    let status = observer.status();
    assert_eq!(status.digest_mismatches.load(Ordering::Relaxed), 1);
    assert!(
        client.exists("/right", false).is_ok(),
        "the client is still served"
    );
    assert_eq!(status.losses.load(Ordering::Relaxed), 0);
    assert_same_tree_in_the_end(&site, &observer);
}

#[test]
fn p1_a_digest_that_goes_on_differing_makes_the_mirror_be_fetched_anew() {
    let site = Site::new();
    let observer = site.observer();
    let status = observer.status();
    let snapshots = || status.snapshots.load(Ordering::Relaxed);
    let before = snapshots();
    until("the mirror to be given up and fetched anew", LIMIT, || {
        write_with_a_wrong_digest(&site, "/wrong");
        (snapshots() > before).then_some(())
    });
    let (reason, _) = status.last_loss().expect("the link was given up");
    assert!(
        reason.contains("differs from the leader's tree"),
        "{reason}"
    );

    observer.wait_for(site.write("/right", b""));
    assert_same_tree_in_the_end(&site, &observer);
    observer
        .client()
        .exists("/right", false)
        .expect("clients are served again");
}
