//! P8: how far behind the mirror is can be seen at every moment, and readiness opens only once it has caught up.

use std::sync::atomic::Ordering;

use outpost_sim::{ServerOptions, Uncommitted};
use outpost_tests::raw::RawClient;
use outpost_wire::{ServerId, Zxid};

use crate::stage::{LIMIT, Observer, Site, TIMEOUT_MS, assert_closed, until};

fn wait_for_gauge(observer: &Observer, name: &str, holds: impl Fn(f64) -> bool) -> f64 {
    until(name, LIMIT, || {
        Some(observer.gauge(name)).filter(|value| holds(*value))
    })
}

#[test]
fn p8_nobody_is_welcome_before_there_is_a_mirror_and_everybody_once_it_has_caught_up() {
    let site = Site::new();
    site.write("/a", b"");
    site.ensemble(|ensemble, now_ms| {
        ensemble.stop(now_ms, ServerId(1));
        ensemble.stop(now_ms, ServerId(2));
    });
    let observer = Observer::start(&site, &[], false);
    let (status, reason) = observer.get("/ready");
    assert_eq!(status, 503, "{reason}");
    assert_eq!(observer.get("/live").0, 200);
    assert_eq!(observer.gauge("outpost_serving"), 0.0);
    assert_eq!(observer.gauge("outpost_ready"), 0.0);
    assert_eq!(observer.gauge("outpost_link_attached"), 0.0);
    let refused = RawClient::try_connect(observer.address, TIMEOUT_MS);
    assert!(refused.is_err(), "a session without a mirror");

    site.ensemble(|ensemble, now_ms| ensemble.start(now_ms, ServerId(1)));
    until("the observer to be ready", LIMIT, || {
        (observer.get("/ready").0 == 200).then_some(())
    });
    assert!(observer.client().exists("/a", false).is_ok());
    for gauge in ["outpost_serving", "outpost_ready", "outpost_link_attached"] {
        assert_eq!(observer.gauge(gauge), 1.0, "{gauge}");
    }
}

#[test]
fn p8_what_the_leader_has_proposed_and_the_mirror_has_not_applied_shows_as_lag() {
    let mut options = ServerOptions::default();
    options.leader.tick_ms = 100;
    options.leader.sync_limit = 200;
    options.leader.commit_delay_ms = 600_000;
    let site = Site::with(options);
    let observer = site.observer_with(&["tickTime=500"]);
    until("the observer to be ready", LIMIT, || {
        (observer.get("/ready").0 == 200).then_some(())
    });
    // Known by the next PING, and committed by the next leader alone.
    for number in 0..7 {
        site.write(&format!("/{number}"), b"");
    }
    // The session of whoever writes is a transaction too.
    wait_for_gauge(&observer, "outpost_lag_transactions", |lag| lag == 8.0);
    let first = wait_for_gauge(&observer, "outpost_lag_seconds", |lag| lag > 0.0);
    wait_for_gauge(&observer, "outpost_lag_seconds", |lag| lag > first);
    assert_eq!(
        observer.gauge("outpost_ready"),
        1.0,
        "once open, it stays so"
    );
    site.ensemble(|ensemble, now_ms| ensemble.elect(now_ms, None, Uncommitted::Committed));
    wait_for_gauge(&observer, "outpost_lag_transactions", |lag| lag == 0.0);
    wait_for_gauge(&observer, "outpost_lag_seconds", |lag| lag == 0.0);
}

#[test]
fn p8_a_mirror_without_a_link_grows_older_in_its_gauges_until_it_is_attached_again() {
    let site = Site::new();
    let observer = site.remote_observer(&["outpost.hold=0"]);
    observer.wait_for(site.write("/a", b""));
    until("the observer to be ready", LIMIT, || {
        (observer.get("/ready").0 == 200).then_some(())
    });
    for link in &observer.links {
        link.cut();
    }
    wait_for_gauge(&observer, "outpost_link_attached", |attached| {
        attached == 0.0
    });
    let first = wait_for_gauge(&observer, "outpost_lag_seconds", |lag| lag > 0.0);
    wait_for_gauge(&observer, "outpost_lag_seconds", |lag| lag > first + 0.1);
    // Without a hold nobody is served by a mirror that has lost its link.
    wait_for_gauge(&observer, "outpost_serving", |serving| serving == 0.0);
    assert_eq!(observer.get("/ready").0, 503);
    for link in &observer.links {
        link.heal();
    }
    wait_for_gauge(&observer, "outpost_link_attached", |attached| {
        attached == 1.0
    });
    wait_for_gauge(&observer, "outpost_lag_seconds", |lag| lag == 0.0);
    until("the observer to be ready", LIMIT, || {
        (observer.get("/ready").0 == 200).then_some(())
    });
}

#[test]
fn p8_a_link_that_fell_silent_shows_as_lag_before_it_is_given_up() {
    let mut options = ServerOptions::default();
    options.leader.tick_ms = 200;
    options.leader.sync_limit = 1_000;
    let site = Site::with(options);
    // Half of it passes before the silence shows. The other half is there to look at the gauge.
    let observer = site.remote_observer(&["outpost.linkTimeout=6000", "outpost.hold=0"]);
    observer.wait_for(site.write("/a", b""));
    for link in &observer.links {
        link.stall();
    }
    wait_for_gauge(&observer, "outpost_lag_seconds", |lag| lag > 0.0);
    let losses = observer.status().losses.load(Ordering::Relaxed);
    assert_eq!(losses, 0, "the gauge was too late");
    for link in &observer.links {
        link.heal();
    }
    wait_for_gauge(&observer, "outpost_lag_seconds", |lag| lag == 0.0);
}

#[test]
fn p8_a_silent_link_is_given_up_in_time_and_made_anew() {
    let mut options = ServerOptions::default();
    options.leader.tick_ms = 200;
    // It is not the leader who gives up.
    options.leader.sync_limit = 1_000;
    let site = Site::with(options);
    let observer = site.remote_observer(&["outpost.linkTimeout=400", "outpost.hold=0"]);
    let mut client = observer.client();
    for link in &observer.links {
        link.stall();
    }
    assert_closed(&mut client, "the end of the link");
    let (why, _) = observer.status().last_loss().expect("a loss");
    assert!(why.contains("silent"), "{why}");
    for link in &observer.links {
        link.heal();
        link.flap();
    }
    observer.wait_until_serving();
    assert!(observer.client().exists("/", false).is_ok());
}

#[test]
fn p8_readiness_ends_for_good_when_the_process_is_told_to_stop() {
    // Nothing is committed but by an election, so that the process has something to wait for until then.
    let site = Site::with_commit_delay(600_000);
    let session = site.make_session(0x0a00_0000_0000_0001);
    let mut observer = site.observer_with(&["outpost.drainTimeout=60000"]);
    until("the observer to be ready", LIMIT, || {
        (observer.get("/ready").0 == 200).then_some(())
    });
    let mut client = RawClient::reopen(observer.address, &session, Zxid(0)).expect("taken back");
    let create = outpost_wire::proto::CreateRequest {
        path: "/a".into(),
        data: None,
        acl: Some(outpost_wire::Acl::open()),
        flags: 0,
    };
    client
        .send(outpost_wire::OpCode::Create, &create)
        .expect("sent");
    until("the request to be on its way", LIMIT, || {
        let in_flight = &observer.status().in_flight;
        (in_flight.load(Ordering::Relaxed) == 1).then_some(())
    });
    observer.begin_shutdown();
    // While the last answers are given, load balancers learn of it.
    until("readiness to end", LIMIT, || {
        (observer.get("/ready").0 == 503).then_some(())
    });
    site.ensemble(|ensemble, now_ms| ensemble.elect(now_ms, None, Uncommitted::Committed));
    assert!(client.reply().expect("answered").err().is_ok());
    observer.wait_for_end();
}
