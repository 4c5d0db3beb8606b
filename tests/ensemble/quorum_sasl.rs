//! An ensemble whose learners must log in with SASL (`quorum.auth.*`), and an observer that does.

use std::fs;
use std::process::Command;
use std::time::Duration;

use outpost_tests::observer::outpost_binary;
use outpost_tests::{Ensemble, Observer, ObserverKind, ObserverSettings, Settings, Version, wait};

use crate::region::LIMIT;
use crate::sasl::Jaas;
use crate::workload;

/// What voters and observers have in common. Java refuses to log in with MD5 in FIPS mode, its default in 3.9.
pub(crate) const LINES: [&str; 4] = [
    "quorum.auth.enableSasl=true",
    "quorum.auth.learnerRequireSasl=true",
    "quorum.auth.serverRequireSasl=true",
    "fips-mode=false",
];

pub(crate) fn jaas(password: &str) -> Jaas {
    Jaas::new(&text(password))
}

fn text(password: &str) -> String {
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
    format!(
        "QuorumServer {{ {module} user_learner=\"mellon\"; }};\n\
         QuorumLearner {{ {module} username=\"learner\" password=\"{password}\"; }};\n"
    )
}

/// An ensemble of which every member must know the password, and the file that tells it.
fn ensemble(version: Version) -> (Ensemble, Jaas) {
    let jaas = jaas("mellon");
    let settings = Settings {
        lines: LINES.map(str::to_owned).to_vec(),
        java_arguments: vec![jaas.property()],
        heap_mb: 128,
        extended_types: version >= Version::V3_5_10,
        ..Settings::of(version)
    };
    (Ensemble::with(settings.super_secret()), jaas)
}

fn observer(jaas: &Jaas, kind: ObserverKind) -> ObserverSettings {
    ObserverSettings {
        environment: vec![jaas.environment(kind)],
        ..ObserverSettings::default()
    }
}

fn an_observer_logs_in_at(version: Version) {
    let (ensemble, jaas) = ensemble(version);
    let kind = ObserverKind::from_env();
    let observer = Observer::start(&ensemble, kind, &observer(&jaas, kind));
    workload::run(&ensemble, &observer, 100);
    // The next leader is told the password too.
    let leader = ensemble.wait_for_leader();
    ensemble.kill(leader);
    ensemble.wait_for_leader();
    observer.wait_until_it_serves();
    ensemble.start_server(leader);
    ensemble.wait_until_all_serve();
    workload::run(&ensemble, &observer, 50);
}

#[test]
fn an_observer_logs_in_at_an_ensemble_of_3_9_that_requires_it() {
    an_observer_logs_in_at(Version::V3_9_5);
}

#[test]
fn an_observer_logs_in_at_an_ensemble_of_3_4_that_requires_it() {
    an_observer_logs_in_at(Version::V3_4_14);
}

/// What an `outpost check` of the observer's configuration says.
fn checked(observer: &Observer, jaas: &Jaas) -> String {
    let (name, value) = jaas.environment(ObserverKind::Outpost);
    let output = Command::new(outpost_binary())
        .arg("check")
        .arg(observer.config())
        .env(name, value)
        .output()
        .expect("outpost runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_wrong_password_is_told_to_the_operator_and_does_not_flood_the_leader() {
    let (ensemble, right) = ensemble(Version::NEWEST);
    let wrong = jaas("guess");
    let settings = observer(&wrong, ObserverKind::Outpost);
    let refused = Observer::start_without_waiting(&ensemble, ObserverKind::Outpost, &settings);
    let told = || {
        let log = fs::read_to_string(refused.running().log()).unwrap_or_default();
        let lines = log
            .lines()
            .filter(|line| line.contains("does not let us in"));
        lines.map(str::to_owned).collect::<Vec<String>>()
    };
    // Half a second, one second, two: the fourth comes after three and a half.
    let lines = wait::until("a fourth refusal", LIMIT, || {
        let lines = told();
        (lines.len() >= 4).then_some(lines)
    });
    for part in [
        "user \"learner\"",
        "jaas.conf:2",
        "user_learner",
        "QuorumServer",
    ] {
        assert!(lines[0].contains(part), "no {part} in: {}", lines[0]);
    }
    let leader = ensemble.server(ensemble.wait_for_leader());
    let log = fs::read_to_string(leader.log()).expect("a log");
    let is_failure = |line: &&str| line.contains("ERROR") && line.contains("Failed to auth");
    let failures = log.lines().filter(is_failure).count();
    assert!(
        (1..=6).contains(&failures),
        "the leader complains {failures} times"
    );

    let log = |text: &str| {
        let log = fs::read_to_string(refused.running().log()).unwrap_or_default();
        log.contains(text)
    };
    assert!(!log("the login at the ensemble has changed"));

    let said = checked(&refused, &wrong);
    assert!(
        said.contains("lets us not in: it refuses user \"learner\""),
        "{said}"
    );
    let said = checked(&refused, &right);
    assert!(
        said.contains("the leader accepts user learner and its password"),
        "{said}"
    );
    // Once the file is put right, nobody has to start anything again.
    wrong.write(&text("mellon"));
    refused.wait_until_it_serves();
    // Lines are written by a thread of their own, a moment later.
    wait::until("a word of the new login in the log", LIMIT, || {
        log("the login at the ensemble has changed").then_some(())
    });
    // Whoever does not log in at all is not let in either, and is told what it may be.
    let plain = fs::read_to_string(refused.config()).expect("a file");
    let plain = plain.replace("quorum.auth.", "#");
    fs::write(refused.config(), plain).expect("the run directory can be written");
    let said = checked(&refused, &right);
    assert!(said.contains("does it want TLS or SASL"), "{said}");
}

#[test]
fn a_leader_that_knows_nothing_of_sasl_is_told_from_one_that_refuses() {
    let ensemble = Ensemble::with(Settings {
        heap_mb: 128,
        ..Settings::default()
    });
    let jaas = jaas("mellon");
    let mut settings = observer(&jaas, ObserverKind::Outpost);
    settings.lines = LINES.map(str::to_owned).to_vec();
    let observer = Observer::start_without_waiting(&ensemble, ObserverKind::Outpost, &settings);
    wait::until("a word of it in the log", Duration::from_secs(30), || {
        let log = fs::read_to_string(observer.running().log()).unwrap_or_default();
        log.contains("quorum.auth.enableSasl may be off there")
            .then_some(())
    });
    let said = checked(&observer, &jaas);
    assert!(
        said.contains("quorum.auth.enableSasl may be off there"),
        "{said}"
    );
}

#[test]
fn fips_mode_forbids_the_login_as_it_does_in_java() {
    let (ensemble, jaas) = ensemble(Version::NEWEST);
    // A Java observer has no other mechanism, and comes to nothing without a sentence.
    let mut settings = observer(&jaas, ObserverKind::Java);
    settings.lines = vec!["fips-mode=true".to_owned()];
    let java = Observer::start_without_waiting(&ensemble, ObserverKind::Java, &settings);
    wait::until("Java to refuse MD5", LIMIT, || {
        let log = fs::read_to_string(java.running().log()).unwrap_or_default();
        log.contains("QuorumLearner will not use DIGEST-MD5")
            .then_some(())
    });
    assert!(!java.serves());
    // Outpost says at once what is wrong, and does not start.
    let mut settings = observer(&jaas, ObserverKind::Outpost);
    settings.lines = vec!["fips-mode=true".to_owned()];
    let outpost = Observer::start_without_waiting(&ensemble, ObserverKind::Outpost, &settings);
    let ended = wait::until("Outpost to end", LIMIT, || outpost.running().ended());
    assert_eq!(ended.code(), Some(2));
    let log = fs::read_to_string(outpost.running().log()).expect("a log");
    assert!(log.contains("fips-mode=true: forbids DIGEST-MD5"), "{log}");
}
