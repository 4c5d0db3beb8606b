//! `vectors`: captures golden vectors from real servers into `tests/vectors/<version>`.
//!
//! For each release an ensemble is started, a Java observer is attached to it through recording
//! relays, and clients work through that observer: a scripted one that asks for everything the
//! release knows, and kazoo. What crossed the relays is cut into messages and put down, one file
//! each, with a sentence about what it is. The decoded text is added by the test that checks the
//! vectors: `UPDATE_EXPECT=1 cargo test -p outpost-wire --test vectors`.
//!
//! Session ids, times and zxids differ at every capture; vectors are meant to be captured once.

mod dialogue;
mod messages;
mod recorder;
mod shelf;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use outpost_tests::observer::{Observer, ObserverKind, ObserverSettings};
use outpost_tests::{Ensemble, Settings, Version, clients, wait};

use messages::Client;
use recorder::Recorder;
use shelf::Shelf;

/// All releases that vectors are captured from.
const VERSIONS: [Version; 8] = [
    Version::V3_3_6,
    Version::V3_4_5,
    Version::V3_4_14,
    Version::V3_5_10,
    Version::V3_6_4,
    Version::V3_7_2,
    Version::V3_8_6,
    Version::V3_9_5,
];

/// How long the last awaited packets may take to cross a relay.
const LIMIT: Duration = Duration::from_secs(30);

/// How JVMs are given options that `zoo.cfg` does not know.
const JAVA_OPTIONS: &str = "JAVA_TOOL_OPTIONS";
/// Leaders look for containers to delete every second, not every minute.
const SWEEP: &str = "-Dznode.container.checkIntervalMs=1000";

/// Captures the vectors of the releases whose numbers are given, or of all.
pub(crate) fn run(numbers: &[String]) {
    if std::env::var_os(JAVA_OPTIONS).is_none() {
        return run_with_java_options();
    }
    for version in VERSIONS {
        if numbers.is_empty() || numbers.iter().any(|number| number == version.number()) {
            let shelf = capture(version);
            let dir = vectors_dir().join(version.number());
            println!("{}: {} vectors", version.number(), shelf.write(&dir));
        }
    }
}

/// Runs this command again in an environment that the ensembles' JVMs inherit.
fn run_with_java_options() {
    let program = std::env::current_exe().expect("a program knows its own path");
    let mut again = Command::new(program);
    again
        .args(std::env::args_os().skip(1))
        .env(JAVA_OPTIONS, SWEEP);
    let status = again.status().expect("this program can be run");
    std::process::exit(status.code().unwrap_or(1));
}

fn vectors_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

fn capture(version: Version) -> Shelf {
    let jaas = dialogue::write_jaas_file();
    let ensemble = Ensemble::with(settings(version));
    dialogue::seed(&ensemble);
    let links: Vec<(u64, Recorder)> = ensemble
        .servers()
        .iter()
        .map(|server| (server.id, Recorder::start(server.quorum_address())))
        .collect();
    let mut observer = start_observer(&ensemble, &links, &jaas);

    let scripted = Recorder::start(observer.client_address());
    dialogue::everything(version, scripted.address());
    wait_for_packet("packet.ping.answer", version, &links);
    // Sessions that are closed before the observer is pinged are not told of.
    let client = dialogue::connect(scripted.address());
    wait_for_packet("packet.ping.answer.touched", version, &links);
    client.close().expect("a session can be closed");

    if version >= Version::V3_5_10 {
        wait_for_packet("packet.inform.delete_container", version, &links);
    }

    let kazoo = Recorder::start(observer.client_address());
    let missing: &[&str] = if version < Version::V3_4_5 {
        &["multi"]
    } else {
        &[]
    };
    clients::kazoo().check_without(&kazoo.address().to_string(), missing);

    // Attached again after a while away, an observer gets what it has missed.
    observer.kill();
    dialogue::while_the_observer_is_away(&ensemble);
    observer.start_again();
    observer.wait_until_it_serves();

    let ahead = Recorder::start(ensemble.server(ensemble.wait_for_leader()).quorum_address());
    dialogue::observer_from_the_future(version, &ensemble, ahead.address());

    let mut shelf = Shelf::new(version);
    messages::put_client_messages(&scripted.take(), Client::Scripted, &mut shelf);
    messages::put_client_messages(&kazoo.take(), Client::Kazoo, &mut shelf);
    for (_, link) in &links {
        messages::put_learner_packets(&link.take(), &mut shelf);
    }
    messages::put_learner_packets(&ahead.take(), &mut shelf);
    drop(observer);
    messages::put_files(&ensemble, &mut shelf);
    drop(ensemble);
    if version >= Version::V3_5_10 {
        capture_reconfiguration(&mut shelf);
    }
    shelf
}

/// In an ensemble of its own: where reconfiguration is enabled, a Java observer takes the addresses
/// of its masters from them, and passes by the relays.
fn capture_reconfiguration(shelf: &mut Shelf) {
    let ensemble = Ensemble::with(Settings {
        reconfig: true,
        ..settings(shelf.version())
    });
    let leader = ensemble.server(ensemble.wait_for_leader());
    let link = Recorder::start(leader.quorum_address());
    let client = Recorder::start(leader.client_address());
    dialogue::reconfiguration(&ensemble, link.address(), client.address());
    messages::put_client_messages(&client.take(), Client::Scripted, shelf);
    messages::put_learner_packets(&link.take(), shelf);
}

fn settings(version: Version) -> Settings {
    let base = Settings {
        voters: 2,
        // One that Java plays, one for the script.
        listed_observers: 2,
        extended_types: version >= Version::V3_5_10,
        ..Settings::of(version)
    };
    base.super_secret()
}

fn start_observer(ensemble: &Ensemble, links: &[(u64, Recorder)], jaas: &Path) -> Observer {
    let options = format!("-Djava.security.auth.login.config={}", jaas.display());
    let settings = ObserverSettings {
        quorum_addresses: links
            .iter()
            .map(|(id, link)| (*id, link.address()))
            .collect(),
        environment: vec![(JAVA_OPTIONS.to_owned(), options)],
        ..ObserverSettings::default()
    };
    Observer::start(ensemble, ObserverKind::Java, &settings)
}

/// For packets that come when their time has come.
fn wait_for_packet(name: &str, version: Version, links: &[(u64, Recorder)]) {
    wait::until(name, LIMIT, || {
        let mut shelf = Shelf::new(version);
        for (_, link) in links {
            messages::put_learner_packets(&link.peek(), &mut shelf);
        }
        shelf.has(name).then_some(())
    });
}
