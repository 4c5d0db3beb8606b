//! Clients that speak TLS are served as by a Java server, and are who their certificates say.

use std::net::SocketAddr;

use outpost_tests::certificates::{Authority, TlsClient};
use outpost_tests::clients::{self, CommandLineOutput};
use outpost_tests::ports::free_port;
use outpost_tests::{Ensemble, Observer, ObserverKind, ObserverSettings, Settings};
use rcgen::DnType;

use crate::sasl::{self, Jaas};

/// On every server: the leader must know the scheme of ACLs that it stores.
const X509: &str = "authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider";
/// The only network stack of a Java server that speaks TLS with clients.
const NETTY: &str = "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory";
const SUPER_USER: &str = "X509AuthenticationProvider.superUser=CN=root";

struct Stage {
    // First, so that it goes before the ensemble that it observes.
    observer: Observer,
    secure: SocketAddr,
    authority: Authority,
    ensemble: Ensemble,
}

impl Stage {
    fn with(lines: &[&str]) -> Self {
        let ensemble = ensemble(&[]);
        let authority = Authority::new();
        let (observer, secure) = observer(&ensemble, &authority, ObserverKind::from_env(), lines);
        Self {
            observer,
            secure,
            authority,
            ensemble,
        }
    }

    fn client(&self, name: &str) -> TlsClient {
        self.authority.client(Some(self.authority.vouch(name)))
    }
}

fn ensemble(lines: &[&str]) -> Ensemble {
    let lines = [X509].iter().chain(lines);
    let settings = Settings {
        lines: lines.map(ToString::to_string).collect(),
        extended_types: true,
        reconfig: true,
        listed_observers: 2,
        ..Settings::default()
    };
    Ensemble::with(settings.super_secret())
}

/// An observer with a port for TLS too.
fn observer(
    ensemble: &Ensemble,
    authority: &Authority,
    kind: ObserverKind,
    lines: &[&str],
) -> (Observer, SocketAddr) {
    let (settings, secure) = settings(authority, lines);
    (Observer::start(ensemble, kind, &settings), secure)
}

fn settings(authority: &Authority, lines: &[&str]) -> (ObserverSettings, SocketAddr) {
    let secure = free_port();
    let mut settings = ObserverSettings::default()
        .line(format!("secureClientPort={secure}"))
        .line("secureClientPortAddress=127.0.0.1")
        .line(SUPER_USER)
        .line(NETTY);
    let stores = authority.lines(&authority.vouch("server"));
    settings.lines.extend(stores);
    settings
        .lines
        .extend(lines.iter().map(|line| (*line).to_owned()));
    (settings, SocketAddr::from(([127, 0, 0, 1], secure)))
}

#[test]
fn kazoo_is_served_over_tls_as_without_it() {
    let stage = Stage::with(&[]);
    let tls = stage.client("kazoo");
    clients::kazoo()
        .over_tls(&tls)
        .check(&stage.secure.to_string());
}

#[test]
fn the_native_java_client_is_served_over_tls_as_without_it() {
    // Without a certificate: by one, the scenario's two connections would be one and the same identity.
    let stage = Stage::with(&["ssl.clientAuth=want"]);
    let nameless = stage.authority.client(None);
    clients::java()
        .over_tls(&nameless)
        .check(&stage.secure.to_string());
}

#[test]
fn clients_with_and_without_tls_are_served_at_one_port() {
    let stage = Stage::with(&["client.portUnification=true", "ssl.clientAuth=none"]);
    let both = stage.observer.connect_string();
    let nameless = stage.authority.client(None);
    clients::kazoo().over_tls(&nameless).check(&both);
    clients::kazoo().check(&both);
    clients::java().over_tls(&nameless).check(&both);
}

#[test]
fn users_log_in_with_sasl_over_tls_whether_or_not_they_show_a_certificate() {
    let (authority, jaas) = (Authority::new(), Jaas::new(sasl::USERS));
    let kind = ObserverKind::from_env();
    let ensemble = ensemble(&[sasl::PROVIDER, "letAnySaslUserDoX=anybody"]);
    let (mut settings, secure) = settings(&authority, &["superUser.1=root", "ssl.clientAuth=want"]);
    settings.environment.push(jaas.environment(kind));
    let _observer = Observer::start(&ensemble, kind, &settings);
    let (nameless, named) = (
        authority.client(None),
        authority.client(Some(authority.vouch("user"))),
    );
    clients::kazoo_sasl()
        .over_tls(&nameless)
        .check(&secure.to_string());
    clients::java_sasl()
        .over_tls(&named)
        .check(&secure.to_string());
}

/// What three holders of certificates do to the same znodes, and what each is told.
fn told(authority: &Authority, server: SocketAddr) -> Vec<CommandLineOutput> {
    let alice = [
        (DnType::CountryName, "DE"),
        (DnType::OrganizationName, "Acme, Inc."),
        (DnType::OrganizationalUnitName, " R+D #1"),
        (DnType::CustomDnType(vec![2, 5, 4, 5]), "42"),
        (DnType::CommonName, "Älice \"A\" <a;b>"),
    ];
    let alice = authority.vouch_for("alice", &alice);
    let (bob, root) = (authority.vouch("bob"), authority.vouch("root"));
    let acts = [
        (
            alice,
            "whoami\n\
             create /hers data auth::cdrwa\n\
             getAcl /hers\n\
             get /hers\n\
             create /his data x509:CN=bob:cdrwa\n\
             getAcl /his\n\
             get /his\n\
             setAcl /hers x509:nonsense:r\n\
             addauth x509 whatever\n\
             whoami\n\
             quit\n",
        ),
        (
            bob,
            "whoami\n\
             get /his\n\
             set /his other\n\
             get /hers\n\
             getAcl /hers\n\
             create /hers/child data\n\
             setAcl /his world:anyone:r\n\
             quit\n",
        ),
        (
            root,
            "whoami\n\
             get /hers\n\
             delete /hers\n\
             delete /his\n\
             ls /\n\
             quit\n",
        ),
    ];
    acts.into_iter()
        .map(|(who, commands)| {
            let tls = authority.client(Some(who));
            clients::command_line_over_tls(&server.to_string(), commands, &tls)
        })
        .collect()
}

#[test]
fn holders_of_certificates_are_who_a_java_observer_takes_them_for() {
    let stage = Stage::with(&[]);
    let (_java, at_java) = observer(&stage.ensemble, &stage.authority, ObserverKind::Java, &[]);
    let expected = told(&stage.authority, at_java);
    let seen = told(&stage.authority, stage.secure);
    for (expected, seen) in expected.iter().zip(&seen) {
        assert!(
            expected.lines.iter().any(|line| line.contains("x509: ")),
            "nobody is known by a certificate: {expected:#?}"
        );
        assert_eq!(expected.lines, seen.lines);
    }
}
