//! Whole files in, a [`Config`] or complaints out. The files live in memory.

mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use outpost_wire::ServerId;
use outpost_wire::membership::Endpoint;

use super::keys::{self, Verdict};
use super::{
    Complaints, ConnectWeights, FourLetterWords, LargeRequests, Loaded, MetricNames,
    RequestThrottle, X509Auth, load_with, read, settings::Settings,
};

/// The file that a distribution of ZooKeeper brings along, without its comments on purge and metrics.
const UPSTREAM_SAMPLE: &str = include_str!("samples/upstream.cfg");
/// What the entrypoint of the official container image writes.
const DOCKER: &str = include_str!("samples/docker.cfg");
/// What the script of the Kubernetes tutorial writes, misspelled key included.
const KUBERNETES: &str = include_str!("samples/kubernetes.cfg");
/// A large site's file, with nearly everything in it.
const EVERYTHING: &str = include_str!("samples/everything.cfg");

/// The least that starts; lines 1 to 5.
const LEAST: &str = "dataDir=/data\ninitLimit=10\nsyncLimit=5\nserver.1=zk1:2888:3888\n\
    server.2=zk2:2888:3888\n";

/// A set of files, variables and an `--id`.
#[derive(Default)]
struct Setup {
    files: BTreeMap<String, Vec<u8>>,
    env: Vec<(String, String)>,
    definitions: Vec<String>,
    id: Option<i64>,
}

impl Setup {
    /// `zoo.cfg` with this text, and 42 as `/data/myid`.
    fn of(text: &str) -> Setup {
        Setup::default()
            .file("zoo.cfg", text)
            .file("/data/myid", "42\n")
    }

    /// The least that starts, and these lines behind it; the first of them is line 6.
    fn least_and(lines: &str) -> Setup {
        Setup::of(&format!("{LEAST}{lines}"))
    }

    fn file(mut self, path: &str, text: &str) -> Setup {
        self.files.insert(path.to_owned(), text.as_bytes().to_vec());
        self
    }

    fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn define(mut self, definition: &str) -> Setup {
        self.definitions.push(definition.to_owned());
        self
    }

    fn id(mut self, id: i64) -> Setup {
        self.id = Some(id);
        self
    }

    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = path.to_string_lossy();
        let file = self.files.get(path.as_ref()).cloned();
        file.ok_or(io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn load(&self) -> Result<Loaded, Complaints> {
        let id = self.id.map(ServerId);
        let env = self.env.iter().cloned();
        load_with(
            Path::new("zoo.cfg"),
            id,
            &self.definitions,
            env,
            &|path: &Path| self.read_file(path),
        )
    }

    fn loaded(&self) -> Loaded {
        self.load()
            .unwrap_or_else(|complaints| panic!("refused:\n{complaints}"))
    }

    fn complaints(&self) -> String {
        match self.load() {
            Ok(_) => String::new(),
            Err(complaints) => complaints.to_string(),
        }
    }

    fn warnings(&self) -> String {
        let warnings = self.loaded().warnings;
        let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }
}

#[test]
fn defaults_are_those_of_a_java_observer() {
    let config = Setup::of(LEAST).loaded().config;
    assert_eq!(config.id, ServerId(42));
    assert_eq!(config.ticks.tick_time, Duration::from_millis(3000));
    assert_eq!(config.ticks.init_timeout(), Duration::from_secs(30));
    assert_eq!(config.ticks.sync_timeout(), Duration::from_secs(15));
    assert_eq!(config.ticks.connect_timeout(), Duration::from_secs(30));
    assert_eq!(config.data_log_dir, config.data_dir);
    let clients = &config.clients;
    assert_eq!(clients.doors.plain, None);
    assert_eq!(clients.min_session_timeout, Duration::from_secs(6));
    assert_eq!(clients.max_session_timeout, Duration::from_secs(60));
    assert_eq!(
        (clients.max_client_cnxns, clients.max_cnxns),
        (Some(60), None)
    );
    assert_eq!((clients.backlog, clients.frame_bytes_max), (None, 0xf_ffff));
    assert_eq!(clients.sessionless_timeout, Duration::from_secs(10));
    assert_eq!(clients.global_outstanding_limit, 1000);
    assert_eq!(
        (clients.large_requests, clients.connect_throttle),
        (None, None)
    );
    assert_eq!(config.ensemble.record_bytes_max, 2 * 0xf_ffff);
    assert_eq!(config.ensemble.observer_master_port, None);
    assert!(!config.ensemble.reconfig_enabled);
    assert!(config.agreed.digest && !config.agreed.local_sessions && !config.agreed.extended_types);
    assert!(config.auth.digest.is_some() && config.auth.enforced_schemes.is_empty());
    assert!(!config.auth.skip_acl && !config.read_only_mode);
    let words = ["srvr"].map(str::to_owned).into();
    assert_eq!(config.four_letter_words, FourLetterWords::Only(words));
    let admin = config.admin.unwrap();
    assert_eq!(admin.addr, Endpoint::new("0.0.0.0", 8080));
    assert_eq!(admin.command_url, "/commands");
    assert_eq!(config.metrics, Some(Endpoint::new("0.0.0.0", 7000)));
    assert!(!config.metrics_required);
    assert!(!config.auth.eager_acl_check);
    assert_eq!(config.hold, config.ticks.sync_timeout());
    assert_eq!(config.link_timeout, config.ticks.tick_time * 2);
}

#[test]
fn the_file_that_zookeeper_brings_along_needs_only_the_voters_added() {
    let alone = Setup::of(UPSTREAM_SAMPLE).file("/tmp/zookeeper/myid", "4");
    assert_eq!(
        alone.complaints(),
        "zoo.cfg: no server.N line names a voter, so there is no ensemble to attach to; \
         add the voters' lines, as they stand in the voters' own files"
    );
    let text = format!("{UPSTREAM_SAMPLE}\nserver.1=zk1:2888:3888\nserver.2=zk2:2888:3888");
    let loaded = Setup::of(&text).file("/tmp/zookeeper/myid", "4").loaded();
    assert_eq!(loaded.warnings, []);
    assert_eq!(
        loaded.config.clients.doors.plain,
        Some(Endpoint::new("0.0.0.0", 2181))
    );
    assert_eq!(loaded.config.ticks.sync_timeout(), Duration::from_secs(10));
}

#[test]
fn a_file_of_the_official_container_image_is_understood() {
    let setup = Setup::of(DOCKER).file("/data/myid", "4");
    let config = setup.loaded().config;
    assert_eq!(config.ensemble.members.participants().count(), 3);
    assert_eq!(
        config.clients.doors.plain,
        Some(Endpoint::new("0.0.0.0", 2181))
    );
    assert!(config.four_letter_words.allow("mntr"));
    assert_eq!(config.data_log_dir, Path::new("/datalog"));
    assert_eq!(
        setup.warnings(),
        "zoo.cfg:5: autopurge.snapRetainCount=3: has no effect: Outpost keeps everything in memory; \
         it writes no transaction log and no snapshot"
    );
}

#[test]
fn a_file_of_the_kubernetes_tutorial_is_understood_and_its_misspelled_key_noticed() {
    let loaded = Setup::of(KUBERNETES).id(10).loaded();
    assert_eq!(loaded.config.ensemble.members.participants().count(), 3);
    assert_eq!(
        loaded.config.clients.max_session_timeout,
        Duration::from_secs(40)
    );
    let misspelled = loaded
        .warnings
        .iter()
        .find(|warning| warning.text.contains("Inteval"));
    assert_eq!(
        misspelled.map(ToString::to_string).as_deref(),
        Some(
            "zoo.cfg:12: autopurge.purgeInteval=12: unknown key, has no effect; \
             did you mean autopurge.purgeInterval?"
        )
    );
}

#[test]
fn a_file_with_nearly_everything_in_it_is_read_to_the_letter() {
    let setup = Setup::of(EVERYTHING).file("/var/lib/zookeeper/myid", " 7 \n");
    let config = setup.loaded().config;
    assert_eq!(config.id, ServerId(7));
    assert_eq!(config.ticks.connect_timeout(), Duration::from_secs(6));
    assert_eq!(config.ensemble.observer_master_port, Some(2191));
    assert_eq!(config.ensemble.reconnect_delay_max, Duration::from_secs(5));
    assert_eq!(config.ensemble.record_bytes_max, 0x40_0000 + 2048);
    assert_eq!(
        config.ensemble.members.to_text(),
        "server.1=zk1.example.org:2888:3888:participant;0.0.0.0:2181\n\
         server.2=10.0.0.2:2888:3888|10.1.0.2:2888:3888:participant\n\
         server.3=[2001:db8:0:0:0:0:0:3]:2888:3888:participant;[2001:db8:0:0:0:0:0:3]:2181\n\
         server.4=zk4.example.org:2888:3888:observer\n\
         server.7=outpost.example.org:2888:3888:observer;10.7.0.1:2181\n\
         group.1=1\ngroup.2=2:3\nweight.1=1\nweight.2=2\nweight.3=1\nversion=0"
    );
    let clients = &config.clients;
    assert_eq!(clients.doors.plain, Some(Endpoint::new("10.7.0.1", 2181)));
    assert_eq!((clients.backlog, clients.tcp_keep_alive), (Some(512), true));
    assert_eq!(
        (clients.max_client_cnxns, clients.max_cnxns),
        (None, Some(50_000))
    );
    assert_eq!(clients.frame_bytes_max, 0x40_0000);
    assert_eq!(clients.outbox_bytes_max, 16 << 20);
    assert_eq!(clients.min_session_timeout, Duration::from_secs(4));
    assert_eq!(clients.max_session_timeout, Duration::from_secs(120));
    let large = LargeRequests {
        threshold: 100_000,
        bytes_max: 50_000_000,
    };
    assert_eq!(clients.large_requests, Some(large));
    let throttle = clients.connect_throttle.unwrap();
    assert_eq!((throttle.tokens, throttle.fill_count), (200, 20));
    assert_eq!(throttle.fill_time, Duration::from_millis(100));
    assert_eq!(throttle.freeze_time, Some(Duration::from_millis(1000)));
    let weights = ConnectWeights {
        global: 5,
        renew: 4,
        local: 4,
    };
    assert_eq!(throttle.weights, Some(weights));
    assert!(config.agreed.local_sessions && config.agreed.local_sessions_upgrading);
    assert!(config.agreed.extended_types && !config.agreed.digest);
    let digest = config.auth.digest.as_ref().unwrap();
    let super_digest = digest.super_digest.as_ref().map(super::Secret::reveal);
    assert_eq!(super_digest, Some("super:ZzAhMwFkMwPKwcWyMcBhdkVqK5E="));
    assert_eq!(
        config.auth.ensemble,
        Some(vec!["prod".to_owned(), "prod-eu".to_owned()])
    );
    assert_eq!(config.auth.enforced_schemes, ["digest", "ip"]);
    assert!(config.read_only_mode);
    assert!(config.four_letter_words.allow("isro") && config.four_letter_words.allow("srvr"));
    assert!(!config.four_letter_words.allow("wchp"));
    let admin = config.admin.as_ref().unwrap();
    assert_eq!(admin.addr, Endpoint::new("::1", 8081));
    assert_eq!(admin.command_url, "/zk");
    assert_eq!(admin.idle_timeout, Duration::from_secs(5));
    assert_eq!(config.metrics, Some(Endpoint::new("127.0.0.1", 7001)));
    assert!(config.metrics_required);
    assert_eq!(
        (config.workers.get(), config.writes_in_flight_max),
        (8, 1000)
    );
    assert_eq!(config.hold, Duration::ZERO);
    assert_eq!(config.link_timeout, Duration::from_millis(1500));
    assert_eq!(config.drain_timeout, Duration::from_secs(3));
}

#[test]
fn metrics_are_shown_unless_another_provider_is_named() {
    let class = "org.apache.zookeeper.metrics";
    for (lines, port, required) in [
        (String::new(), Some(7000), false),
        ("metricsProvider.httpPort=7070".to_owned(), Some(7070), true),
        (
            format!("metricsProvider.className={class}.prometheus.PrometheusMetricsProvider"),
            Some(7000),
            true,
        ),
        (
            format!("metricsProvider.className={class}.impl.DefaultMetricsProvider"),
            None,
            false,
        ),
        (
            format!("metricsProvider.className={class}.impl.NullMetricsProvider"),
            None,
            false,
        ),
    ] {
        let config = Setup::least_and(&lines).loaded().config;
        assert_eq!(config.metrics.map(|addr| addr.port), port, "{lines}");
        assert_eq!(config.metrics_required, required, "{lines}");
    }
}

#[test]
fn metrics_have_the_names_of_3_9_unless_those_of_3_10_are_asked_for() {
    for (lines, names, java_machine) in [
        ("", MetricNames::V3_9, true),
        ("outpost.metricsNames=3.9", MetricNames::V3_9, true),
        (
            "outpost.metricsNames=3.10\nmetricsProvider.exportJvmInfo=false",
            MetricNames::V3_10,
            false,
        ),
    ] {
        let style = Setup::least_and(lines).loaded().config.metrics_style;
        assert_eq!((style.names, style.java_machine), (names, java_machine));
    }
    let complaints = Setup::least_and("outpost.metricsNames=4").complaints();
    assert!(complaints.contains("must be 3.9 or 3.10"), "{complaints}");
}

#[test]
fn all_mistakes_are_reported_at_once_each_with_its_place() {
    let text = "tickTime=abc\ninitLimit=0\nmaxClientCnxns=many\nclientPort=99999\n\
        server.1=zk1:2888\nserver.x=zk2:2888:3888\nreconfigEnabled=nope\nk=\\u00\n\
        clientPortAddress=\nmetricsProvider.className=com.example.Mine\n";
    let setup = Setup::of(text).env("OUTPOST_SYNCLIMIT", "-5");
    assert_eq!(
        setup.complaints(),
        "zoo.cfg: dataDir is missing; name the directory that holds myid\n\
         zoo.cfg: no server.N line names a voter, so there is no ensemble to attach to; \
         add the voters' lines, as they stand in the voters' own files\n\
         zoo.cfg:1: tickTime=abc: not a whole number of milliseconds\n\
         zoo.cfg:2: initLimit=0: must be between 1 and 2147483647 ticks\n\
         zoo.cfg:3: maxClientCnxns=many: not a whole number of connections\n\
         zoo.cfg:4: clientPort=99999: not a TCP port; ports are whole numbers up to 65535\n\
         zoo.cfg:5: server.1=zk1:2888: `zk1:2888` is not host:quorumPort:electionPort or \
         host:quorumPort:electionPort:role (an IPv6 address needs brackets)\n\
         zoo.cfg:6: server.x=zk2:2888:3888: `x` is not a server id; ids are whole numbers\n\
         zoo.cfg:7: reconfigEnabled=nope: must be true or false\n\
         zoo.cfg:8: \\u needs four hexadecimal digits behind it\n\
         zoo.cfg:9: clientPortAddress=: is empty; give it a value or remove the line\n\
         zoo.cfg:10: metricsProvider.className=com.example.Mine: Outpost cannot run this class; use \
         org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider, or remove the line\n\
         OUTPOST_SYNCLIMIT: syncLimit=-5: must be between 1 and 2147483647 ticks"
    );
    assert_eq!(
        Setup::default().complaints(),
        "zoo.cfg: cannot be read: no such file"
    );
}

#[test]
fn values_that_contradict_each_other_or_cannot_be_kept_are_complained_of() {
    for (lines, complaint) in [
        (
            "minSessionTimeout=9\nmaxSessionTimeout=8",
            "zoo.cfg:6: minSessionTimeout=9: minSessionTimeout (9 ms) must not be larger",
        ),
        (
            "maxSessionTimeout=8",
            "zoo.cfg:6: maxSessionTimeout=8: minSessionTimeout (6000 ms) must not be larger",
        ),
        (
            "clientPortAddress=::1",
            "zoo.cfg:6: clientPortAddress=::1: needs a port too",
        ),
        (
            "tickTime=2000000000",
            "zoo.cfg:2: initLimit=10: so many ticks last longer than 24 days",
        ),
        ("electionAlg=0", "zoo.cfg:6: electionAlg=0: only 3"),
        (
            "peerType=participant",
            "zoo.cfg:6: peerType=participant: Outpost is an observer",
        ),
        (
            "peerType=voter",
            "zoo.cfg:6: peerType=voter: must be observer",
        ),
        (
            "outpost.outboxBytes=1000",
            "zoo.cfg:6: outpost.outboxBytes=1000: must be at least 2097151 with jute.maxbuffer=1048575",
        ),
        (
            "outpost.outboxBytes=3000000\noutpost.outboxBytesTotal=2999999",
            "zoo.cfg:7: outpost.outboxBytesTotal=2999999: must be at least outpost.outboxBytes, which is 3000000",
        ),
        (
            "outpost.replyBytes=1000",
            "zoo.cfg:6: outpost.replyBytes=1000: must be between 1049599, so that the largest znode",
        ),
        (
            "outpost.outboxBytes=4000000\noutpost.replyBytes=2951425",
            "zoo.cfg:7: outpost.replyBytes=2951425: must be between 1049599, so that the largest znode can be read \
             (jute.maxbuffer=1048575), and 2951424, so that it can wait",
        ),
        (
            "outpost.watches=0",
            "zoo.cfg:6: outpost.watches=0: must be between 1 and",
        ),
        (
            "outpost.workers=0",
            "zoo.cfg:6: outpost.workers=0: must be between 1 and 1024 threads",
        ),
        (
            "outpost.hold=-1",
            "zoo.cfg:6: outpost.hold=-1: must be between 0 and 2147483647 milliseconds",
        ),
        (
            "syncLimit=0x10",
            "zoo.cfg:6: syncLimit=0x10: not a whole number of ticks",
        ),
        (
            "outpost.workers=0x10",
            "zoo.cfg:6: outpost.workers=0x10: not a whole number of threads",
        ),
        (
            "metricsProvider.className=",
            "zoo.cfg:6: metricsProvider.className=: Outpost cannot run this class",
        ),
        (
            "connection_throttle_drop_increase=1.5",
            "zoo.cfg:6: connection_throttle_drop_increase=1.5: must be a number between 0 and 1",
        ),
        (
            "connection_throttle_drop_increase=NaN",
            "zoo.cfg:6: connection_throttle_drop_increase=NaN: must be a number between 0 and 1",
        ),
        (
            "connection_throttle_fill_time=0",
            "zoo.cfg:6: connection_throttle_fill_time=0: must be between 1 and 2147483647 milliseconds",
        ),
        (
            "admin.commandURL=commands",
            "zoo.cfg:6: admin.commandURL=commands: must be a path",
        ),
        (
            "enforce.auth.enabled=true",
            "zoo.cfg: enforce.auth.enabled=true needs enforce.auth.schemes",
        ),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=sasl",
            "zoo.cfg:7: enforce.auth.schemes=sasl: no client can authenticate with sasl here",
        ),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=ensemble\n\
             authProvider.1=a.EnsembleAuthenticationProvider",
            "zoo.cfg:7: enforce.auth.schemes=ensemble: no client can authenticate with ensemble here",
        ),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=,",
            "zoo.cfg:7: enforce.auth.schemes=,: names no scheme",
        ),
        (
            "DigestAuthenticationProvider.digestAlg=SHA3-256",
            "zoo.cfg:6: DigestAuthenticationProvider.digestAlg=SHA3-256: only SHA1, SHA-256",
        ),
        (
            "group.1=1",
            "zoo.cfg:5: server.2=zk2:2888:3888: stands in no group.N",
        ),
        (
            "group.1=1\ngroup.2=1:2",
            "zoo.cfg:7: group.2=1:2: server 1 is in two groups",
        ),
        (
            "dynamicConfigFile=/none",
            "zoo.cfg:6: dynamicConfigFile=/none: cannot be read: no such file",
        ),
    ] {
        let complaints = Setup::least_and(lines).complaints();
        let found = complaints.lines().any(|line| line.starts_with(complaint));
        assert!(found, "{lines}\n{complaints}");
    }
}

#[test]
fn what_would_lower_security_or_break_a_promise_is_refused_until_it_is_supported() {
    for line in [
        "authProvider.2=com.example.Tokens",
        "admin.forceHttps=true",
        "emulate353TTLNodes=true",
    ] {
        let complaints = Setup::least_and(line).complaints();
        let expected = format!("zoo.cfg:6: {line}: ");
        assert!(complaints.starts_with(&expected), "{line}: {complaints}");
        assert_eq!(complaints.lines().count(), 1, "{complaints}");
    }
    for line in [
        "sslQuorum=false",
        "quorum.auth.enableSasl=true",
        "client.portUnification=false",
        "emulate353TTLNodes=false",
        "authProvider.1=org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
    ] {
        assert_eq!(Setup::least_and(line).complaints(), "", "{line}");
    }
}

/// A JAAS file with users, and somebody to log in as.
const JAAS: &str = "Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n  \
    user_super=\"root pw\"\n  user_bob=\"hunter2\";\n};\nQuorumLearner {\n  \
    org.apache.zookeeper.server.auth.DigestLoginModule required\n  username=\"learner\"\n  \
    password=\"mellon\";\n};\nKerberos {\n  com.sun.security.auth.module.Krb5LoginModule required;\n};\n\
    Empty {};\n";
const JAAS_KEY: &str = "java.security.auth.login.config";
const SASL_PROVIDER: &str =
    "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";

/// The least that starts with these lines and the JAAS file.
fn with_jaas(lines: &str) -> Setup {
    Setup::least_and(lines)
        .file("/etc/jaas.conf", JAAS)
        .env("OUTPOST_JAVA_SECURITY_AUTH_LOGIN_CONFIG", "/etc/jaas.conf")
}

#[test]
fn users_come_from_the_jaas_file_wherever_it_is_named() {
    let by_variable = with_jaas(SASL_PROVIDER);
    let in_file = |value: &str| {
        let lines = format!("{SASL_PROVIDER}{JAAS_KEY}={value}");
        Setup::least_and(&lines).file("/etc/jaas.conf", JAAS)
    };
    for setup in [
        by_variable,
        in_file("/etc/jaas.conf"),
        in_file("=/etc/jaas.conf"),
        in_file("file:/etc/jaas.conf"),
        in_file("file:///etc/jaas.conf"),
    ] {
        let config = setup.loaded().config;
        let sasl = &config.auth.sasl;
        let users = sasl.users.as_ref().unwrap();
        let passwords = users.passwords.iter();
        let passwords: Vec<_> = passwords
            .map(|(user, pw)| (&user[..], pw.reveal()))
            .collect();
        assert_eq!(passwords, [("bob", "hunter2"), ("super", "root pw")]);
        assert!(sasl.provider && !sasl.keeps_failed && config.ensemble.sasl.is_none());
        assert!(
            !format!("{config:?}").contains("hunter2"),
            "a password shows"
        );
    }
}

#[test]
fn what_concerns_sasl_users_is_read() {
    let lines = "superUser=bob\nsuperUser.2=eve\nletAnySaslUserDoX=reader\nallowSaslFailedClients=true\n\
        SASLAuthenticationProvider.superPassword=other\nsessionRequireClientSASLAuth=true";
    let auth = with_jaas(&format!("{SASL_PROVIDER}{lines}"))
        .loaded()
        .config
        .auth;
    assert_eq!(auth.sasl.super_users, ["eve", "bob"]);
    assert_eq!(auth.sasl.any_user.as_deref(), Some("reader"));
    assert!(auth.sasl.keeps_failed);
    assert_eq!(auth.enforced_schemes, ["sasl"]);
    let users = auth.sasl.users.unwrap();
    assert_eq!(users.passwords["super"].reveal(), "other");
}

#[test]
fn the_ensemble_is_logged_in_to_only_where_that_is_asked_for() {
    let on = "quorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=true\n";
    let login = with_jaas(on).loaded().config.ensemble.sasl.unwrap();
    assert_eq!(
        (&login.user[..], login.password.reveal()),
        ("learner", "mellon")
    );
    assert_eq!(login.place.to_string(), "/etc/jaas.conf:8");
    let asks = format!("{on}quorum.auth.serverRequireSasl=true");
    assert!(with_jaas(&asks).loaded().config.ensemble.sasl.is_some());
    for off in [
        "quorum.auth.enableSasl=true",
        "quorum.auth.learnerRequireSasl=false",
    ] {
        assert_eq!(with_jaas(off).loaded().config.ensemble.sasl, None);
    }
}

#[test]
fn what_cannot_work_with_sasl_is_complained_of() {
    let learner = "quorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=true\n";
    for (lines, complaint) in [
        (
            "quorum.auth.learnerRequireSasl=true",
            "zoo.cfg: quorum.auth.learnerRequireSasl=true needs quorum.auth.enableSasl",
        ),
        (
            "quorum.auth.enableSasl=true\nquorum.auth.serverRequireSasl=true",
            "zoo.cfg: quorum.auth.serverRequireSasl=true needs quorum.auth.learnerRequireSasl",
        ),
        (
            &format!("{learner}quorum.auth.learner.saslLoginContext=Other"),
            "/etc/jaas.conf: has no section Other",
        ),
        (
            &format!("{learner}quorum.auth.learner.saslLoginContext=Server"),
            "/etc/jaas.conf:1: section Server needs username=",
        ),
        (
            &format!("{learner}quorum.auth.learner.saslLoginContext=Kerberos"),
            "/etc/jaas.conf:12: Outpost does not speak Kerberos (GSSAPI) with the ensemble",
        ),
        (
            &format!("{learner}fips-mode=true"),
            "zoo.cfg:8: fips-mode=true: forbids DIGEST-MD5",
        ),
        (
            "sasl.serverconfig=Kerberos",
            "/etc/jaas.conf:12: Outpost does not speak Kerberos (GSSAPI) with clients",
        ),
        (
            "sessionRequireClientSASLAuth=true",
            "zoo.cfg: sessionRequireClientSASLAuth=true needs an authProvider line",
        ),
        (
            &format!("{SASL_PROVIDER}sessionRequireClientSASLAuth=true\nsasl.serverconfig=No"),
            "zoo.cfg: clients must log in with SASL, but there are no users",
        ),
        (
            &format!(
                "{SASL_PROVIDER}enforce.auth.enabled=true\nenforce.auth.schemes=sasl\nsasl.serverconfig=No"
            ),
            "zoo.cfg: clients must log in with SASL",
        ),
    ] {
        let complaints = with_jaas(lines).complaints();
        let found = complaints.lines().any(|line| line.starts_with(complaint));
        assert!(found, "{lines}\n{complaints}");
    }
    let missing = Setup::least_and(&format!("{JAAS_KEY}=/none")).complaints();
    assert!(
        missing.starts_with("zoo.cfg:6: java.security.auth.login.config=/none: cannot be read")
    );
    let no_file = Setup::least_and(learner).complaints();
    assert!(
        no_file.contains("needs a JAAS file with a section QuorumLearner"),
        "{no_file}"
    );
    let broken =
        Setup::least_and(&format!("{JAAS_KEY}=/j")).file("/j", "Server {\n a.B required x=1;};");
    assert!(broken.complaints().starts_with("/j:2: expected the value"));
    let other =
        Setup::least_and(&format!("{JAAS_KEY}=/j")).file("/j", "Server {\n a.B required;};");
    assert!(
        other
            .complaints()
            .starts_with("/j:2: Outpost cannot run a.B")
    );
}

#[test]
fn what_is_odd_about_sasl_is_warned_of() {
    for (lines, warning) in [
        (
            "",
            "zoo.cfg: clients can log in with section Server, but ACL entries of scheme sasl mean nobody",
        ),
        (
            &format!("{SASL_PROVIDER}sasl.serverconfig=No"),
            "zoo.cfg: the ACL scheme sasl is known, but no client can log in",
        ),
        (
            "sasl.serverconfig=No",
            "zoo.cfg:6: sasl.serverconfig=No: there is no such section",
        ),
        (
            "sasl.serverconfig=Empty",
            "/etc/jaas.conf:14: section Empty has no user",
        ),
        (
            "sasl.serverconfig=QuorumLearner\nSASLAuthenticationProvider.superPassword=x",
            "zoo.cfg:7: SASLAuthenticationProvider.superPassword=(hidden): has no effect",
        ),
        (
            "kerberos.removeHostFromPrincipal=true",
            "zoo.cfg:6: kerberos.removeHostFromPrincipal=true: has no effect: it concerns Kerberos",
        ),
    ] {
        let warnings = with_jaas(lines).warnings();
        let found = warnings.lines().any(|line| line.starts_with(warning));
        assert!(found, "{lines}\n{warnings}");
    }
    let quiet = with_jaas(SASL_PROVIDER).warnings();
    assert!(!quiet.to_lowercase().contains("sasl"), "{quiet}");
}

#[test]
fn a_harmless_key_without_effect_is_warned_of_and_its_harmless_values_are_not() {
    for (line, warned) in [
        ("syncEnabled=true", true),
        ("syncEnabled=false", false),
        ("audit.enable=true", false),
        ("audit.enable=false", false),
        ("outpost.auditFile=/var/log/audit.log", true),
        ("audit.impl.class=com.example.Mine", true),
        ("outpost.auditFile=audit.log\naudit.enable=true", true),
        ("ssl.keyStore.location=/k.jks", true),
        ("snapshot.compression.method=", false),
        (
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
            false,
        ),
        ("metricsProvider.exportJvmInfo=true", false),
        ("metricsProvider.httpPort=7000", false),
        (
            "metricsProvider.httpPort=7000\nmetricsProvider.className=a.NullMetricsProvider",
            true,
        ),
        ("outpost.hold=15000", false),
        ("enableEagerACLCheck=true", false),
        ("skipACL=yes", true),
        ("skipACL=no", false),
        ("skipACL=true", true),
        ("fips-mode=true", true),
        ("fips-mode=false", false),
        ("my.own=1", true),
        ("4lw.commands.whitelist=ruok, mnrt", true),
        ("4lw.commands.whitelist=ruok, mntr", false),
        ("jute.maxbuffer=4000000", true),
        ("clientPort=2181", false),
        ("server.3=a:1:2|b:1:2", true),
        ("server.3=a:1:2|b:1:2\nmultiAddress.enabled=true", false),
    ] {
        let warnings = Setup::least_and(line).warnings();
        let found = warnings.lines().any(|text| text.starts_with("zoo.cfg:6: "));
        assert_eq!(found, warned, "{line}\n{warnings}");
    }
}

#[test]
fn what_is_looked_up_as_a_system_property_is_read_as_java_decodes_it() {
    for (value, expected, warned) in [
        ("4096", 4096, false),
        ("+4096", 4096, false),
        ("0x1000", 4096, false),
        ("0X1000", 4096, false),
        ("#1000", 4096, false),
        ("010000", 4096, false),
        ("4096k", 0xf_ffff, true),
        ("0x", 0xf_ffff, true),
        ("0x-1", 0xf_ffff, true),
        ("+-1", 0xf_ffff, true),
        ("09", 0xf_ffff, true),
        ("4294967296", 0xf_ffff, true),
        ("", 0xf_ffff, true),
    ] {
        let line = format!("jute.maxbuffer={value}");
        let loaded = Setup::least_and(&line).load().unwrap();
        assert_eq!(loaded.config.clients.frame_bytes_max, expected, "{line}");
        let warning = format!("{line}: not a whole number of bytes; the default counts");
        let found = loaded
            .warnings
            .iter()
            .any(|it| it.text.starts_with(&warning));
        assert_eq!(found, warned, "{line}");
    }
    assert_eq!(
        Setup::least_and("syncLimit=010")
            .load()
            .unwrap()
            .config
            .ticks
            .sync_limit,
        10,
        "what the file's own reader takes is decimal"
    );
}

#[test]
fn the_audit_log_is_off_unless_it_is_asked_for_and_has_a_file_if_one_is_named() {
    let file = |lines: &str| {
        let audit = Setup::least_and(lines).load().unwrap().config.audit;
        audit.map(|audit| audit.file.map(|file| file.display().to_string()))
    };
    assert_eq!(file(""), None);
    assert_eq!(file("audit.enable=false\noutpost.auditFile=/a"), None);
    assert_eq!(file("audit.enable=true"), Some(None));
    // As on Java's command line.
    assert_eq!(file("zookeeper.audit.enable=true"), Some(None));
    let named = file("audit.enable=true\noutpost.auditFile=/var/log/audit.log");
    assert_eq!(named, Some(Some("/var/log/audit.log".to_owned())));
    for class in ["Slf4jAuditLogger", "Log4jAuditLogger"] {
        let line =
            format!("audit.enable=true\naudit.impl.class=org.apache.zookeeper.audit.{class}");
        assert_eq!(file(&line), Some(None));
    }
    let other = Setup::least_and("audit.enable=true\naudit.impl.class=com.example.Mine");
    let complaint = "zoo.cfg:7: audit.impl.class=com.example.Mine: Outpost cannot run this class";
    let complaints = other.complaints();
    assert!(complaints.contains(complaint), "{complaints}");
}

#[test]
fn read_only_mode_is_off_unless_it_is_asked_for_and_brings_its_word_along() {
    let on = Setup::least_and("clientPort=2181\nreadonlymode.enabled=true");
    let on = on.load().unwrap().config;
    assert!(on.read_only_mode && on.four_letter_words.allow("isro"));
    let off = Setup::least_and("clientPort=2181\nreadonlymode.enabled=false");
    let off = off.load().unwrap().config;
    assert!(!off.read_only_mode && !off.four_letter_words.allow("isro"));
}

#[test]
fn the_digests_that_java_and_we_have_are_known_by_java_s_names() {
    use super::DigestAlgorithm::{Sha1, Sha256, Sha384, Sha512};
    for (name, algorithm) in [
        ("SHA1", Sha1),
        ("sha-1", Sha1),
        ("SHA-256", Sha256),
        ("SHA-384", Sha384),
        ("sha-512", Sha512),
    ] {
        let line = format!("DigestAuthenticationProvider.digestAlg={name}");
        let digest = Setup::least_and(&line).loaded().config.auth.digest.unwrap();
        assert_eq!(digest.algorithm, algorithm, "{name}");
    }
}

#[test]
fn of_a_key_that_stands_twice_the_later_one_counts_with_a_warning() {
    let setup = Setup::least_and("clientPort=1\ntickTime=2000\nzookeeper.tickTime=4000");
    assert_eq!(
        setup.loaded().config.ticks.tick_time,
        Duration::from_secs(4)
    );
    assert_eq!(
        setup.warnings(),
        "zoo.cfg:8: tickTime=4000: stands here again; line 7 no longer counts"
    );
}

#[test]
fn the_environment_goes_before_the_file_and_an_empty_variable_does_not() {
    let setup = Setup::least_and("clientPort=2181\ntickTime=2000\njute.maxbuffer=4194304")
        .env("OUTPOST_CLIENTPORT", "2182")
        .env("OUTPOST_TICKTIME", "")
        .env("OUTPOST_JUTE_MAXBUFFER", "8388608")
        .env("OUTPOST_SERVER_2", "other:2888:3888")
        .env("OUTPOST_WORKERS", "3")
        .env("OUTPOST_PORT", "tcp://10.0.0.7:2181")
        .env("OUTPOST_TICKTIMES", "1")
        .env("HOME", "/home/zookeeper");
    let Loaded { config, warnings } = setup.loaded();
    assert_eq!(
        config.clients.doors.plain,
        Some(Endpoint::new("0.0.0.0", 2182))
    );
    assert_eq!(config.ticks.tick_time, Duration::from_secs(2));
    assert_eq!(config.clients.frame_bytes_max, 8_388_608);
    assert_eq!(config.workers.get(), 3);
    let second = config.ensemble.members.get(ServerId(2)).unwrap();
    assert_eq!(second.addresses[0].host, "other");
    let last = warnings.last().map(ToString::to_string);
    assert_eq!(
        last.as_deref(),
        Some("OUTPOST_TICKTIMES: no setting has this variable; did you mean OUTPOST_TICKTIME?")
    );
}

#[test]
fn the_id_comes_from_the_command_line_then_from_outpost_id_then_from_myid() {
    let id = |setup: Setup| setup.loaded().config.id.0;
    assert_eq!(id(Setup::of(LEAST)), 42);
    assert_eq!(id(Setup::least_and("outpost.id=43")), 43);
    assert_eq!(
        id(Setup::least_and("outpost.id=43").env("OUTPOST_ID", "44")),
        44
    );
    assert_eq!(id(Setup::least_and("outpost.id=43").id(45)), 45);
    assert_eq!(id(Setup::default().file("zoo.cfg", LEAST).id(300)), 300);
    for (setup, complaint) in [
        (
            Setup::default().file("zoo.cfg", LEAST),
            "/data/myid: cannot be read: no such file; write",
        ),
        (
            Setup::of(LEAST).file("/data/myid", "four"),
            "/data/myid:1: `four` is not a server id",
        ),
        (
            Setup::of(LEAST).file("/data/myid", ""),
            "/data/myid:1: `` is not a server id",
        ),
        (Setup::of(LEAST).id(-1), "--id: `-1` is not a server id"),
        (
            Setup::least_and("outpost.id=x"),
            "zoo.cfg:6: `x` is not a server id",
        ),
    ] {
        let complaints = setup.complaints();
        assert!(complaints.starts_with(complaint), "{complaints}");
    }
}

#[test]
fn an_id_that_would_hurt_the_ensemble_is_refused() {
    for (id, lines, complaint) in [
        (1, "", "--id: id 1 belongs to a voter (zoo.cfg:4)"),
        (
            255,
            "extendedTypesEnabled=true",
            "--id: id 255 cannot be used with extendedTypesEnabled",
        ),
        (
            511,
            "extendedTypesEnabled=true",
            "--id: id 511 cannot be used with extendedTypesEnabled",
        ),
        (
            257,
            "localSessionsEnabled=true",
            "--id: id 257 has the same low byte as voter 1",
        ),
    ] {
        let complaints = Setup::least_and(lines).id(id).complaints();
        assert!(complaints.starts_with(complaint), "{id}: {complaints}");
        assert_eq!(complaints.lines().count(), 1, "{complaints}");
    }
    for (id, lines) in [
        (255, ""),
        (257, ""),
        (128, "extendedTypesEnabled=true"),
        (3, "server.3=zk3:2888:3888:observer"),
    ] {
        assert_eq!(Setup::least_and(lines).id(id).complaints(), "", "{id}");
    }
}

#[test]
fn the_client_port_comes_from_our_own_observer_line_if_it_has_one() {
    let addr = |lines: &str| Setup::least_and(lines).loaded().config.clients.doors.plain;
    let own = "server.42=me:2888:3888:observer";
    let line = |client: &str| format!("{own};{client}");
    assert_eq!(addr(&line("2181")), Some(Endpoint::new("0.0.0.0", 2181)));
    assert_eq!(
        addr(&line("10.0.0.1:2181")),
        Some(Endpoint::new("10.0.0.1", 2181))
    );
    let both = format!("{}\nclientPort=2181", line("10.0.0.1:2181"));
    assert_eq!(addr(&both), Some(Endpoint::new("10.0.0.1", 2181)));
    assert_eq!(
        addr(&format!("{own}\nclientPort=2181")),
        Some(Endpoint::new("0.0.0.0", 2181))
    );
    assert_eq!(addr("server.41=me:2888:3888:observer;2181"), None);
    let two_ports = Setup::least_and(&format!("{}\nclientPort=2182", line("2181")));
    assert_eq!(
        two_ports.complaints(),
        "zoo.cfg:6: server.42=me:2888:3888:observer;2181: this is our own line and names client port 2181, \
         but clientPort=2182; make them agree"
    );
    let listed = format!("{own}\npeerType=participant");
    assert_eq!(Setup::least_and(&listed).complaints(), "");
}

#[test]
fn members_come_from_the_dynamic_file_where_one_is_named() {
    let main = "dataDir=/data\ninitLimit=10\nsyncLimit=5\nclientPort=2181\n\
        dynamicConfigFile=/conf/zoo.cfg.dynamic.100000000\n";
    let dynamic = "server.1=zk1:2888:3888:participant;2181\nserver.2=zk2:2888:3888\n";
    let setup = |main: &str, dynamic: &str| {
        Setup::of(main).file("/conf/zoo.cfg.dynamic.100000000", dynamic)
    };
    let members = setup(main, dynamic).loaded().config.ensemble.members;
    assert_eq!(
        members.to_text(),
        "server.1=zk1:2888:3888:participant;0.0.0.0:2181\nserver.2=zk2:2888:3888:participant\n\
         version=100000000"
    );
    let main = format!("{main}server.3=zk3:2888:3888");
    let dynamic = format!("{dynamic}version=1\ntickTime=5\nserver.9=zk9");
    assert_eq!(
        setup(&main, &dynamic).complaints(),
        "/conf/zoo.cfg.dynamic.100000000:3: version=1: the version stands in the name of a dynamic file, not \
         in it; remove the line\n\
         /conf/zoo.cfg.dynamic.100000000:4: tickTime=5: a dynamic file holds only server, group and weight \
         lines; move it to the main file\n\
         /conf/zoo.cfg.dynamic.100000000:5: server.9=zk9: `zk9` is not host:quorumPort:electionPort or \
         host:quorumPort:electionPort:role (an IPv6 address needs brackets)\n\
         zoo.cfg:6: server.3=zk3:2888:3888: must stand in the file that dynamicConfigFile names; move it \
         there, or remove dynamicConfigFile"
    );
}

#[test]
fn a_lone_voter_is_warned_of_unless_it_is_an_ensemble_of_its_own() {
    let text = "dataDir=/data\ninitLimit=10\nsyncLimit=5\nclientPort=1\nserver.1=zk1:2888:3888\n";
    assert!(
        Setup::of(text)
            .warnings()
            .contains("only one voter is named")
    );
    let ensemble = format!("{text}standaloneEnabled=false");
    assert_eq!(Setup::of(&ensemble).warnings(), "");
}

#[test]
fn no_secret_shows_in_debug_output_complaints_warnings_or_the_text_of_the_file() {
    let lines = "clientPort=1\nDigestAuthenticationProvider.superDigest=super:hunter2\n\
        ssl.keyStore.password=\\\n  hunter2\nssl.keystore.pasword=hunter2\nadmin.serverPort=8081\n";
    let setup = Setup::least_and(lines).env("OUTPOST_SSL_TRUSTSTORE_PASSWORD", "hunter2");
    let Loaded { config, warnings } = setup.loaded();
    let shown = format!(
        "{config:?}{warnings:?}{}{}",
        config.file_text.0,
        setup.warnings()
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(config.file_text.0.starts_with(LEAST));
    assert!(
        config
            .file_text
            .0
            .ends_with("ssl.keystore.pasword=(hidden)\nadmin.serverPort=8081\n")
    );
    let bad = Setup::least_and("DigestAuthenticationProvider.superDigest=hunter2").complaints();
    assert_eq!(
        bad,
        "zoo.cfg:6: DigestAuthenticationProvider.superDigest=(hidden): not of the form name:digest"
    );
}

#[test]
fn a_definition_on_the_command_line_goes_before_file_and_environment() {
    let setup = Setup::least_and("tickTime=2000\n")
        .env("OUTPOST_TICKTIME", "2500")
        .define("zookeeper.tickTime=1000")
        .define("jute.maxbuffer=4194304");
    let config = setup.loaded().config;
    assert_eq!(config.ticks.tick_time, Duration::from_secs(1));
    assert_eq!(config.clients.frame_bytes_max, 4 << 20);
    let setup = Setup::least_and("clientPort=0\ndigest.enabled=true\n")
        .define("zookeeper.digest.enabled=false");
    assert!(!setup.loaded().config.agreed.digest);
    assert_eq!(
        setup.warnings(),
        "-D: digest.enabled=false: goes before zoo.cfg:7, where a Java server would prefer the file"
    );
    let complaints = Setup::of(LEAST).define("digest.enabled").complaints();
    assert_eq!(
        complaints,
        "-D: `digest.enabled` is not of the form key=value"
    );
}

#[test]
fn settings_meant_for_java_are_told_in_the_form_they_count_here() {
    let script = "# -Dzookeeper.skipACL=yes\n\
        export SERVER_JVMFLAGS=\"-Xmx4g -Dzookeeper.extendedTypesEnabled=true \
        -Dzookeeper.snapCount=5 $SERVER_JVMFLAGS\"\nOTHER='x-Dzookeeper.digest.enabled=false'\n";
    let setup = Setup::least_and("clientPort=0\n")
        .file("java.env", script)
        .env(
            "SERVER_JVMFLAGS",
            "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:abc -Djute.maxbuffer=99 -Dfile.encoding=x",
        )
        .env("JVMFLAGS", "-Xms1g -Dzookeeper.maxCnxns=7")
        .define("maxCnxns=7");
    let warnings = setup.warnings();
    let start = "a Java server takes settings from here, Outpost does not; to carry them over, give them \
        behind the file's name:";
    assert_eq!(
        warnings,
        format!(
            "java.env: {start} -DextendedTypesEnabled=true\nSERVER_JVMFLAGS: {start} \
             -DDigestAuthenticationProvider.superDigest=(hidden) -Djute.maxbuffer=99"
        )
    );
}

#[test]
fn a_flag_that_is_neither_true_nor_false_is_what_java_takes_it_for() {
    let config =
        Setup::least_and("clientPort=0\ndigest.enabled=on\nadmin.enableServer=no\n").loaded();
    assert!(!config.config.agreed.digest && config.config.admin.is_some());
    assert_eq!(config.warnings.len(), 2);
    let complaints = Setup::least_and("reconfigEnabled=yes\n").complaints();
    assert_eq!(
        complaints,
        "zoo.cfg:6: reconfigEnabled=yes: must be true or false"
    );
}

#[test]
fn every_honoured_key_is_read_and_no_other() {
    let setup = Setup::of(LEAST);
    let mut settings = Settings::new(Path::new("zoo.cfg"));
    let read_file = |path: &Path| setup.read_file(path);
    let text = super::FileText(String::new());
    read::config(&mut settings, &read_file, None, Path::new("zoo.cfg"), text);
    let is_honoured = |key: &&keys::Key| key.verdict == Verdict::Honoured;
    let honoured: BTreeSet<&str> = keys::all()
        .filter(is_honoured)
        .map(|key| key.name)
        .collect();
    assert_eq!(settings.read, honoured);
}

#[test]
fn nothing_that_a_java_server_looks_up_is_unknown() {
    let names = include_str!("samples/java-settings.txt").lines();
    let forgotten: Vec<&str> = names
        .filter(|name| !name.starts_with('#') && keys::find(name).is_none())
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

#[test]
fn the_manual_lists_every_key_and_what_is_done_about_it() {
    let manual = include_str!("../../../../docs/operating.md");
    let mut documented: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut verdict = "";
    for line in manual.lines() {
        if let Some(heading) = line.strip_prefix("##") {
            verdict = match heading.trim_start_matches(['#', ' ']) {
                "Honoured keys" => "honoured",
                "Keys without effect" => "ignored",
                "Refused keys" => "refused",
                _ => "",
            };
        }
        let first_cell = line.strip_prefix('|').and_then(|row| row.split('|').next());
        for name in first_cell.unwrap_or_default().split('`').skip(1).step_by(2) {
            if !verdict.is_empty() {
                assert!(documented.insert((name, verdict)), "{name} stands twice");
            }
        }
    }
    let known = keys::all().map(|key| match key.verdict {
        Verdict::Honoured => (key.name, "honoured"),
        Verdict::Ignored { .. } => (key.name, "ignored"),
        Verdict::Refused { .. } => (key.name, "refused"),
    });
    assert_eq!(documented, known.collect());
}

#[test]
fn the_admin_server_speaks_tls_with_the_ensembles_stores_whether_or_not_the_ensemble_does() {
    let stores =
        "ssl.quorum.keyStore.location=/key.pem\nssl.quorum.trustStore.location=/trust.pem\n";
    let config = |lines: &str| {
        Setup::least_and(&format!("{stores}{lines}"))
            .loaded()
            .config
    };
    let quiet = config("sslQuorum=false");
    assert_eq!(
        (quiet.admin.unwrap().https, quiet.tls.admin),
        (super::Https::Off, None)
    );
    let unified = config("admin.portUnification=true");
    assert_eq!(unified.admin.unwrap().https, super::Https::Beside);
    let tls = unified.tls.admin.unwrap();
    assert_eq!(tls.client_auth, super::ClientAuth::None);
    assert_eq!(tls.key_store.unwrap().location, Path::new("/key.pem"));
    let forced =
        config("admin.portUnification=true\nadmin.forceHttps=true\nadmin.needClientAuth=true");
    assert_eq!(forced.admin.unwrap().https, super::Https::Only);
    assert_eq!(
        forced.tls.admin.unwrap().client_auth,
        super::ClientAuth::Need
    );
    let off = config("admin.enableServer=false\nadmin.forceHttps=true");
    assert_eq!((off.admin, off.tls.admin), (None, None));

    let warned = Setup::least_and("admin.needClientAuth=true").warnings();
    assert!(
        warned.contains("has no effect: neither admin.forceHttps"),
        "{warned}"
    );
    let complaints = |lines: &str| Setup::least_and(lines).complaints();
    let no_key = complaints("admin.portUnification=true");
    assert!(
        no_key.contains("admin.portUnification=true: needs ssl.quorum.keyStore"),
        "{no_key}"
    );
    let no_trust = complaints(
        "admin.forceHttps=true\nadmin.needClientAuth=true\nssl.quorum.keyStore.location=/key.pem",
    );
    assert!(
        no_trust.contains("admin.needClientAuth=true: needs ssl.quorum.trustStore"),
        "{no_trust}"
    );
}

/// With what TLS towards clients needs beside a port.
fn with_stores(lines: &str) -> Setup {
    Setup::least_and(&format!(
        "ssl.keyStore.location=/etc/own.pem\nssl.trustStore.location=/etc/ca.pem\n{lines}"
    ))
}

#[test]
fn tls_towards_clients_is_spoken_at_a_port_of_its_own_or_at_the_plain_one_too() {
    let clients = |lines: &str| with_stores(lines).loaded().config.clients;
    let doors = clients("secureClientPort=2281\nsecureClientPortAddress=10.0.0.7").doors;
    assert_eq!(doors.secure, Some(Endpoint::new("10.0.0.7", 2281)));
    assert_eq!((doors.plain.as_ref(), doors.unified), (None, false));
    assert_eq!(doors.handshakes_max, Some(250));
    assert!(doors.speak_tls());
    let doors = clients("clientPort=2181\nclient.portUnification=true").doors;
    assert!(doors.unified && doors.speak_tls() && doors.secure.is_none());
    let line = "server.42=me:2888:3888:observer;2181;2281";
    let doors = clients(line).doors;
    assert_eq!(doors.secure, Some(Endpoint::new("0.0.0.0", 2281)));
    assert!(!clients("clientPort=2181").doors.speak_tls());
    let unlimited = "secureClientPort=1\nnetty.server.outstandingHandshake.limit=-1";
    assert_eq!(clients(unlimited).doors.handshakes_max, None);
}

#[test]
fn mistakes_about_ports_for_tls_are_complained_of() {
    for (lines, complaint) in [
        (
            "secureClientPortAddress=10.0.0.7",
            "secureClientPortAddress=10.0.0.7: needs a port too; set secureClientPort",
        ),
        (
            "secureClientPort=2282\nserver.42=me:2888:3888:observer;2181;2281",
            "names secure client port 2281, but secureClientPort=2282; make them agree",
        ),
        (
            "secureClientPort=2281\nssl.authProvider=mine",
            "ssl.authProvider=mine: needs authProvider.mine=",
        ),
    ] {
        let complaints = with_stores(lines).complaints();
        assert!(complaints.contains(complaint), "{lines}: {complaints}");
    }
}

#[test]
fn certificates_identify_clients_wherever_they_can_be_shown() {
    let x509 = |lines: &str| with_stores(lines).loaded().config.auth.x509;
    assert_eq!(x509("clientPort=2181"), None);
    assert_eq!(x509("secureClientPort=2281"), Some(X509Auth::default()));
    let lines = "client.portUnification=true\nclientPort=2181\nX509AuthenticationProvider.superUser=CN=root";
    let super_user = x509(lines).and_then(|x509| x509.super_user);
    assert_eq!(super_user.as_deref(), Some("CN=root"));
    let named = "authProvider.mine=org.apache.zookeeper.server.auth.X509AuthenticationProvider\n\
        ssl.authProvider=mine\nsecureClientPort=2281\nenforce.auth.enabled=true\nenforce.auth.schemes=x509";
    assert!(x509(named).is_some());
    let nobody_can = "clientPort=2181\nenforce.auth.enabled=true\nenforce.auth.schemes=x509";
    assert!(
        Setup::least_and(nobody_can)
            .complaints()
            .contains("possible are ip, digest")
    );
}

#[test]
fn requests_are_throttled_where_that_is_asked_for_with_the_defaults_of_a_java_server() {
    let throttle = |lines| {
        Setup::least_and(lines)
            .loaded()
            .config
            .clients
            .request_throttle
    };
    assert_eq!(throttle(""), None);
    assert_eq!(
        throttle("throttled_op_wait_time=5\nrequest_throttle_max_requests=0"),
        None
    );
    let rules = throttle("zookeeper.request_throttle_max_requests=500").unwrap();
    assert_eq!(
        rules,
        RequestThrottle {
            requests_max: 500,
            stall_time: Duration::from_millis(100),
            drop_stale: true,
            stale_connection_check: true,
            stale_latency_check: false,
            op_wait_max: None,
        }
    );
    let lines = "request_throttle_max_requests=7\nrequest_throttle_stall_time=20\n\
        request_throttle_drop_stale=false\nrequest_stale_connection_check=false\n\
        request_stale_latency_check=true\nthrottled_op_wait_time=3000";
    assert_eq!(
        throttle(lines).unwrap(),
        RequestThrottle {
            requests_max: 7,
            stall_time: Duration::from_millis(20),
            drop_stale: false,
            stale_connection_check: false,
            stale_latency_check: true,
            op_wait_max: Some(Duration::from_secs(3)),
        }
    );
}
