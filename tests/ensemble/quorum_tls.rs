//! The way to the ensemble over TLS (`sslQuorum`), with stores that keytool made: who gets in, who does not and is
//! told why, and what happens when a certificate is renewed while everything runs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use outpost_tests::observer::outpost_binary;
use outpost_tests::ports::free_port;
use outpost_tests::stores::{Authority, Format, Party, lines};
use outpost_tests::{
    Ensemble, Observer, ObserverKind, ObserverSettings, Relay, Settings, Version, four_letter, wait,
};

use crate::sasl::Jaas;
use crate::{quorum_sasl, workload};

const LIMIT: Duration = Duration::from_secs(30);
/// For whom certificates are made out.
const ON_THIS_MACHINE: &str = "dns:localhost,ip:127.0.0.1";

/// An ensemble that speaks TLS between its servers.
struct Stage {
    // First, so that it goes before the stores that it reads.
    ensemble: Ensemble,
    authority: Authority,
    /// What an observer may show.
    ours: Party,
}

impl Stage {
    /// All servers show one certificate, which is made out for `names`.
    fn start(version: Version, format: Format, names: &str) -> Stage {
        let settings = Settings {
            extended_types: true,
            ..Settings::of(version).super_secret()
        };
        Stage::with(settings, format, names)
    }

    fn with(mut settings: Settings, format: Format, names: &str) -> Stage {
        let authority = Authority::new("the ensemble's authority");
        let servers = authority.sign("servers", "RSA", names);
        let ours = authority.sign("observer", "EC", ON_THIS_MACHINE);
        let stores = lines(
            "ssl.quorum",
            &servers.key_store(format),
            &authority.trust_store(format),
        );
        let lines = format!("sslQuorum=true\n{stores}");
        settings.lines_by_voter = vec![lines; settings.voters];
        Stage {
            ensemble: Ensemble::with(settings),
            authority,
            ours,
        }
    }

    fn start_with_addresses(version: Version, format: Format) -> Stage {
        Stage::start(version, format, ON_THIS_MACHINE)
    }

    /// For an observer with our own certificate and the authority's as the one to believe.
    fn observer(&self, format: Format) -> ObserverSettings {
        let key_store = self.ours.key_store(format);
        secure(&key_store, &self.authority.trust_store(format))
    }
}

fn secure(key_store: &Path, trust_store: &Path) -> ObserverSettings {
    ObserverSettings::default()
        .line("sslQuorum=true")
        .line(lines("ssl.quorum", key_store, trust_store))
}

fn start(stage: &Stage, settings: &ObserverSettings) -> Observer {
    Observer::start(&stage.ensemble, ObserverKind::from_env(), settings)
}

fn wait_for_log(observer: &Observer, text: &str) {
    wait::until(&format!("the log to say {text:?}"), LIMIT, || {
        let log = fs::read_to_string(observer.running().log()).unwrap_or_default();
        log.contains(text).then_some(())
    });
}

/// An observer that is not let in says so, in these words, and does not serve.
fn assert_refused(stage: &Stage, settings: &ObserverSettings, words: &[&str]) {
    let observer =
        Observer::start_without_waiting(&stage.ensemble, ObserverKind::Outpost, settings);
    for text in words {
        wait_for_log(&observer, text);
    }
    assert!(!observer.serves());
    let log = fs::read_to_string(observer.running().log()).expect("its log");
    assert!(
        !log.contains("open sesame"),
        "a password in the log:\n{log}"
    );
    let times = log.matches("no TLS with this server").count();
    assert!(times <= 3, "the same thing is said again and again:\n{log}");
}

fn reloads(observer: &Observer, outcome: &str) -> f64 {
    let name = format!("outpost_tls_reloads_total{{outcome=\"{outcome}\"}}");
    observer.metrics().get(&name).unwrap_or_default()
}

/// What `outpost check` says, and its exit code.
fn check(observer: &Observer, id: u64) -> (String, Option<i32>) {
    check_with(observer, id, &[])
}

fn check_with(
    observer: &Observer,
    id: u64,
    environment: &[(String, String)],
) -> (String, Option<i32>) {
    let output = Command::new(outpost_binary())
        .arg("check")
        .arg(observer.config())
        .args(["--id", &id.to_string()])
        .envs(environment.iter().cloned())
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.code())
}

#[test]
fn an_observer_attaches_to_a_3_9_5_over_tls_with_stores_of_every_format() {
    let stage = Stage::start_with_addresses(Version::V3_9_5, Format::Jks);
    for format in [Format::Jks, Format::Pkcs12] {
        let observer = start(&stage, &stage.observer(format));
        workload::run(&stage.ensemble, &observer, 50);
    }
    // A PEM file of OpenSSL's needs no password, and Java takes one as a sign that there is something to decrypt.
    let mut settings = ObserverSettings::default().line("sslQuorum=true");
    for (key, file) in [
        ("keyStore", stage.ours.key_store(Format::Pem)),
        ("trustStore", stage.authority.trust_store(Format::Pem)),
    ] {
        settings = settings.line(format!("ssl.quorum.{key}.location={}", file.display()));
    }
    let observer = start(&stage, &settings);
    workload::run(&stage.ensemble, &observer, 50);
    if observer.kind() == ObserverKind::Outpost {
        let expiry = "outpost_tls_certificate_expiry_timestamp_seconds{store=\"ssl.quorum\"}";
        assert!(observer.metrics().get(expiry) > Some(1.7e9));
    }
}

#[test]
fn an_observer_attaches_to_a_3_5_10_over_tls_which_looks_at_its_address_too() {
    let stage = Stage::start_with_addresses(Version::V3_5_10, Format::Jks);
    let observer = start(&stage, &stage.observer(Format::Jks));
    workload::run(&stage.ensemble, &observer, 50);
}

/// An observer of an ensemble of two, of which the one that does not lead is its master.
fn an_observer_attaches_to_a_followers_observer_master(version: Version) {
    let port = free_port();
    let settings = Settings {
        voters: 2,
        lines: vec![format!("observerMasterPort={port}")],
        extended_types: true,
        ..Settings::of(version).super_secret()
    };
    let stage = Stage::with(settings, Format::Pkcs12, ON_THIS_MACHINE);
    // The leader would do too if the follower shook hands too slowly.
    let relays = Relay::before_all(&stage.ensemble);
    relays.iter().for_each(|(_, relay)| relay.cut());
    let settings = stage.observer(Format::Pkcs12).through(&relays);
    let observer = start(&stage, &settings);
    let follower = 3 - stage.ensemble.wait_for_leader();
    let address = stage.ensemble.server(follower).client_address();
    wait::until("the follower to count its observer", LIMIT, || {
        let told = four_letter::ask(address, "mntr").ok()?;
        told.contains("zk_synced_observers\t1").then_some(())
    });
    workload::run(&stage.ensemble, &observer, 50);
    if observer.kind() == ObserverKind::Outpost {
        // Whom it does not believe it does not take for its master there either.
        let stranger = Authority::new("another authority");
        let ours = stage.ours.key_store(Format::Pkcs12);
        let settings = secure(&ours, &stranger.trust_store(Format::Pkcs12));
        let words = ["nobody in the trust store vouches for its certificate"];
        assert_refused(&stage, &settings, &words);
    }
}

#[test]
fn an_observer_attaches_to_an_observer_master_of_3_9_over_tls() {
    an_observer_attaches_to_a_followers_observer_master(Version::V3_9_5);
}

#[test]
fn an_observer_attaches_to_an_observer_master_of_3_6_over_tls() {
    an_observer_attaches_to_a_followers_observer_master(Version::V3_6_4);
}

#[test]
fn an_observer_logs_in_with_sasl_over_tls_and_whoever_lacks_either_is_refused() {
    let jaas = quorum_sasl::jaas("mellon");
    let settings = Settings {
        lines: quorum_sasl::LINES.map(str::to_owned).to_vec(),
        java_arguments: vec![jaas.property()],
        extended_types: true,
        ..Settings::default().super_secret()
    };
    let stage = Stage::with(settings, Format::Jks, ON_THIS_MACHINE);
    let kind = ObserverKind::from_env();
    let with = |mut settings: ObserverSettings, jaas: &Jaas| {
        settings.environment = vec![jaas.environment(kind)];
        settings
    };
    let both = with(stage.observer(Format::Jks), &jaas);
    let observer = start(&stage, &both);
    workload::run(&stage.ensemble, &observer, 50);
    if kind == ObserverKind::Java {
        return; // Whose log says other words.
    }
    let guess = quorum_sasl::jaas("guess");
    let wrong = with(stage.observer(Format::Jks), &guess);
    assert_refused(&stage, &wrong, &["it refuses user \"learner\""]);
    let stranger = Authority::new("another authority");
    let theirs = stranger.sign("stranger", "EC", ON_THIS_MACHINE);
    let foreign = secure(
        &theirs.key_store(Format::Jks),
        &stage.authority.trust_store(Format::Jks),
    );
    assert_refused(
        &stage,
        &with(foreign, &jaas),
        &["it does not accept our certificate"],
    );
    let (text, code) = check_with(&observer, 250, &[jaas.environment(kind)]);
    assert!(
        text.contains("speaks TLS 1.3") && text.contains("accepts user learner and its password"),
        "{text}"
    );
    assert_eq!(code, Some(1), "our own ports are taken:\n{text}");
}

#[test]
fn whoever_is_not_believed_is_told_what_to_do_in_the_log_and_by_the_check() {
    if ObserverKind::from_env() == ObserverKind::Java {
        return; // Whose log says other words.
    }
    let stage = Stage::start_with_addresses(Version::V3_9_5, Format::Jks);
    let stranger = Authority::new("another authority");
    let theirs = stranger.sign("stranger", "EC", "ip:127.0.0.1");
    let ours = stage.ours.key_store(Format::Jks);
    // We do not believe them.
    assert_refused(
        &stage,
        &secure(&ours, &stranger.trust_store(Format::Jks)),
        &[
            "nobody in the trust store vouches for its certificate",
            "the certificate of O=Tests, CN=servers",
            "signed by CN=the ensemble's authority",
        ],
    );
    // They do not believe us.
    let with_theirs = secure(
        &theirs.key_store(Format::Jks),
        &stage.authority.trust_store(Format::Jks),
    );
    assert_refused(
        &stage,
        &with_theirs,
        &["it does not accept our certificate"],
    );
    // We show none.
    let without = ObserverSettings::default()
        .line("sslQuorum=true")
        .line(format!(
            "ssl.quorum.trustStore.location={}",
            stage.authority.trust_store(Format::Pem).display()
        ));
    assert_refused(
        &stage,
        &without,
        &[
            "it does not accept our certificate",
            "set keyStore.location",
        ],
    );

    // The check says the same, and what is in order where it is.
    let good = start(&stage, &stage.observer(Format::Pkcs12));
    let (text, code) = check(&good, 250);
    assert!(
        text.contains("speaks TLS 1.3 and shows the certificate of O=Tests, CN=servers, made out for localhost, 127.0.0.1, signed by CN=the ensemble's authority, valid until"),
        "{text}"
    );
    assert!(
        text.contains("ssl.quorum: shows the certificate of O=Tests, CN=observer"),
        "{text}"
    );
    assert_eq!(
        code,
        Some(1),
        "our own ports are taken, and nothing else fails:\n{text}"
    );
    assert!(!text.contains("open sesame"), "{text}");
    let bad = Observer::start_without_waiting(&stage.ensemble, ObserverKind::Outpost, &with_theirs);
    let (text, code) = check(&bad, 250);
    assert!(
        text.contains("lets us not in: it does not accept our certificate"),
        "{text}"
    );
    assert_eq!(code, Some(1), "{text}");
}

#[test]
fn a_leader_whose_certificate_is_another_hosts_is_refused_unless_the_name_service_knows_better() {
    if ObserverKind::from_env() == ObserverKind::Java {
        return; // With fips-mode, its default, it looks at no name at all.
    }
    // Made out for a name that the address 127.0.0.1 has, but not for the address.
    let stage = Stage::start(Version::V3_9_5, Format::Jks, "dns:localhost");
    let settings = stage.observer(Format::Jks);
    assert_refused(
        &stage,
        &settings
            .clone()
            .line("ssl.quorum.allowReverseDnsLookup=false"),
        &["the certificate is made out for localhost, not for 127.0.0.1"],
    );
    drop(start(&stage, &settings));
    drop(start(
        &stage,
        &settings
            .line("ssl.quorum.allowReverseDnsLookup=false")
            .line("ssl.quorum.hostnameVerification=false"),
    ));
}

#[test]
fn a_renewed_certificate_is_shown_from_the_next_link_on_and_a_broken_one_changes_nothing() {
    if ObserverKind::from_env() == ObserverKind::Java {
        return; // It does not tell what it has reloaded.
    }
    let stage = Stage::start_with_addresses(Version::V3_9_5, Format::Jks);
    let stranger = Authority::new("another authority");
    let theirs = stranger.sign("stranger", "EC", "ip:127.0.0.1");
    let renewed = stage.authority.sign("renewed", "RSA", "ip:127.0.0.1");
    let store = stage.ours.key_store(Format::Pkcs12);
    let relays = Relay::before_all(&stage.ensemble);
    let settings = stage.observer(Format::Pkcs12).through(&relays);
    let observer = start(&stage, &settings);
    let link_anew = || relays.iter().for_each(|(_, relay)| relay.flap());

    // In one step, so that it is looked at as this and not also as the empty file that it would be before.
    let in_its_place = |write: &dyn Fn(&Path)| {
        let new = store.with_extension("new");
        write(&new);
        fs::rename(&new, &store).expect("it can be renamed");
    };
    in_its_place(&|new| fs::write(new, b"half of a renew").expect("it can be written"));
    wait_for_log(
        &observer,
        "a changed store cannot be used, going on with what it held before",
    );
    assert_eq!(
        (reloads(&observer, "loaded"), reloads(&observer, "failed")),
        (0.0, 1.0)
    );
    let attachments = || observer.metrics().get("outpost_attachments_total");
    let wait_for_one_more_than = |before: Option<f64>| {
        wait::until("the observer to attach again", LIMIT, || {
            (attachments() > before && observer.serves()).then_some(())
        });
    };
    let before = attachments();
    link_anew();
    wait_for_one_more_than(before);

    let replace = |party: &Party| {
        let key_store = party.key_store(Format::Pkcs12);
        in_its_place(&|new| {
            fs::copy(&key_store, new).expect("it can be copied");
        });
    };
    replace(&theirs);
    wait::until("the stranger's certificate to be loaded", LIMIT, || {
        (reloads(&observer, "loaded") == 1.0).then_some(())
    });
    assert!(
        observer.serves(),
        "a link that exists keeps what it began with"
    );
    link_anew();
    wait_for_log(&observer, "it does not accept our certificate");
    let before = attachments();
    replace(&renewed);
    wait_for_one_more_than(before);
    assert_eq!(
        (reloads(&observer, "loaded"), reloads(&observer, "failed")),
        (2.0, 1.0)
    );
}
