//! The configurations: whole ones, and one that is usual with a line more.

use std::fs;
use std::path::Path;

/// What stands before the lines of a case. `DIR` is the case's directory.
const USUAL: &str =
    "dataDir=DIR/data\ninitLimit=10\nsyncLimit=5\nclientPort=2181\npeerType=observer\n";
/// Its members.
const MEMBERS: &str = "server.1=127.0.0.1:2888:3888\nserver.2=127.0.0.2:2888:3888\n\
    server.3=127.0.0.3:2888:3888\nserver.42=127.0.0.42:2888:3888:observer\n";

/// Keys of whole numbers that `QuorumPeerConfig` reads itself.
const NUMBERS: &[&str] = &[
    "tickTime",
    "initLimit",
    "syncLimit",
    "connectToLearnerMasterLimit",
    "minSessionTimeout",
    "maxSessionTimeout",
    "maxClientCnxns",
    "clientPortListenBacklog",
    "electionAlg",
    "autopurge.snapRetainCount",
    "autopurge.purgeInterval",
    "quorum.cnxn.threads.size",
    "jvm.pause.sleep.time.ms",
    "multiAddress.reachabilityCheckTimeoutMs",
    "metricsProvider.httpPort",
];
/// Keys of whole numbers that are looked up among the system properties.
const PROPERTIES: &[&str] = &[
    "maxCnxns",
    "globalOutstandingLimit",
    "largeRequestThreshold",
    "connection_throttle_tokens",
    "observer.reconnectDelayMs",
    "admin.serverPort",
    "admin.idleTimeout",
    "jute.maxbuffer.extrasize",
];
const VALUES_OF_NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "-2",
    "4000",
    "70000",
    "2147483647",
    "2147483648",
    "abc",
    "",
    "+5",
    "0x10",
    "010",
    "1.5",
];
/// Keys of ports.
const PORTS: &[&str] = &["clientPort", "secureClientPort", "observerMasterPort"];
const VALUES_OF_PORTS: &[&str] = &["0", "1", "65535", "65536", "-1", "abc", "", "+2181"];
/// Flags that `QuorumPeerConfig` reads itself.
const FLAGS: &[&str] = &[
    "localSessionsEnabled",
    "localSessionsUpgradingEnabled",
    "quorumListenOnAllIPs",
    "syncEnabled",
    "standaloneEnabled",
    "reconfigEnabled",
    "portUnification",
    "sslQuorumReloadCertFiles",
    "multiAddress.enabled",
    "multiAddress.reachabilityCheckEnabled",
    "jvm.pause.monitor",
    "quorum.auth.enableSasl",
    "metricsProvider.exportJvmInfo",
];
/// Flags that are looked up among the system properties.
const FLAG_PROPERTIES: &[&str] = &[
    "digest.enabled",
    "enableEagerACLCheck",
    "extendedTypesEnabled",
    "DigestAuthenticationProvider.enabled",
    "admin.enableServer",
    "skipACL",
];
const VALUES_OF_FLAGS: &[&str] = &["true", "false", "TRUE", "False", "yes", "no", "1", ""];
/// What may stand behind `server.3=`.
const SERVERS: &[&str] = &[
    "127.0.0.9:2888:3888",
    "127.0.0.9:2888:3888:participant",
    "127.0.0.9:2888:3888:PARTICIPANT",
    "127.0.0.9:2888:3888:observer",
    "127.0.0.9:2888:3888: Observer",
    "127.0.0.9:2888:3888:voter",
    "127.0.0.9:2888:3888:",
    "127.0.0.9:2888:3888:participant:more",
    "127.0.0.9:2888",
    "127.0.0.9",
    "",
    ":2888:3888",
    "127.0.0.9:2888:2888",
    "127.0.0.9:0:3888",
    "127.0.0.9:65536:3888",
    "127.0.0.9:2888:-1",
    "127.0.0.9:abc:3888",
    "127.0.0.9:2888:+3888",
    "127.0.0.9: 2888:3888",
    "127.0.0.9 :2888:3888",
    "localhost:2888:3888",
    "no_such-name.invalid:2888:3888",
    "127.0.0.9:2888:3888;2181",
    "127.0.0.9:2888:3888;127.0.0.9:2181",
    "127.0.0.9:2888:3888;localhost:2181",
    "127.0.0.9:2888:3888;[::1]:2181",
    "127.0.0.9:2888:3888;[::1]",
    "127.0.0.9:2888:3888;::1:2181",
    "127.0.0.9:2888:3888;0.0.0.0:2181",
    "127.0.0.9:2888:3888;[::]:2181",
    "127.0.0.9:2888:3888;0",
    "127.0.0.9:2888:3888;70000",
    "127.0.0.9:2888:3888;abc",
    "127.0.0.9:2888:3888;",
    "127.0.0.9:2888:3888;;",
    "127.0.0.9:2888:3888; 2181",
    "127.0.0.9:2888:3888 ;2181",
    "127.0.0.9:2888:3888;127.0.0.9:2181:1",
    "127.0.0.9:2888:3888;2181;2281",
    "127.0.0.9:2888:3888;;2281",
    "127.0.0.9:2888:3888:observer;2181",
    "127.0.0.9:2888:3888;2181:observer",
    "[::1]:2888:3888",
    "[2001:db8::9]:2888:3888:participant;2181",
    "[2001:DB8::9]:2888:3888",
    "[::ffff:127.0.0.9]:2888:3888",
    "[::1:2888:3888",
    "[::1]2888:3888",
    "[::1]:",
    "[::1]",
    "::1:2888:3888",
    "[127.0.0.9]:2888:3888",
    "127.0.0.9:2888:3888|127.0.0.10:2889:3889",
    "127.0.0.9:2888:3888|127.0.0.9:2888:3888",
];
/// What may stand there with `multiAddress.enabled=true`.
const MULTI_SERVERS: &[&str] = &[
    "127.0.0.9:2888:3888|127.0.0.10:2889:3889",
    "127.0.0.10:2889:3889|127.0.0.9:2888:3888",
    "127.0.0.9:2888:3888|127.0.0.9:2889:3889",
    "127.0.0.9:2888:3888|127.0.0.9:2888:3888",
    "127.0.0.9:2888:3888|[2001:db8::9]:2888:3888;2181",
    "127.0.0.9:2888:3888:participant|127.0.0.10:2889:3889:participant;2181",
    "127.0.0.9:2888:3888:participant|127.0.0.10:2889:3889",
    "127.0.0.9:2888:3888|127.0.0.10:2889:3889:observer",
    "127.0.0.9:2888:3888:participant|127.0.0.10:2889:3889:observer",
    "127.0.0.9:2888:3888;2181|127.0.0.10:2889:3889",
    "127.0.0.9:2888:3888|",
    "127.0.0.9:2888:3888||",
    "|127.0.0.9:2888:3888",
    "127.0.0.9:2888:3888||127.0.0.10:2889:3889",
    "127.0.0.9:2888:3888 | 127.0.0.10:2889:3889",
    "127.0.0.9:2888:3888|127.0.0.10:2889",
];
/// Lines that do not fit the tables above.
const LINES: &[&str] = &[
    "clientPortAddress=127.0.0.1",
    "clientPortAddress=0.0.0.0",
    "clientPortAddress=::",
    "clientPortAddress=[::1]",
    "clientPortAddress=2001:db8::1",
    "clientPortAddress=localhost",
    "clientPortAddress=",
    "clientPortAddress=no_such-name.invalid",
    "secureClientPortAddress=127.0.0.1",
    "dataLogDir=DIR/log",
    "dataLogDir=",
    "peerType=participant",
    "peerType=OBSERVER",
    "peerType=voter",
    "peerType=",
    "server.x=127.0.0.9:2888:3888",
    "server.=127.0.0.9:2888:3888",
    "server.-1=127.0.0.9:2888:3888",
    "server.007=127.0.0.9:2888:3888",
    "server.9223372036854775808=127.0.0.9:2888:3888",
    "server.42=127.0.0.42:2888:3888:observer;2181",
    "server.42=127.0.0.42:2888:3888:observer;2182",
    "server.42=127.0.0.42:2888:3888:observer;127.0.0.42:2181",
    "unknown.key=1",
    "zookeeper.tickTime=4000",
    "ticktime=4000",
    "oraclePath=/nowhere",
    "version=100000000",
    "4lw.commands.whitelist=*",
    "4lw.commands.whitelist=ruok, mntr ,stat",
    "4lw.commands.whitelist=",
    "4lw.commands.whitelist=RUOK",
    "4lw.commands.whitelist=ruok,*",
    "4lw.commands.whitelist=ruok;mntr",
    "admin.serverAddress=127.0.0.1",
    "admin.serverAddress=",
    "admin.commandURL=/zk",
    "admin.commandURL=/zk/",
    "admin.commandURL=",
    "admin.commandURL=zk",
    "metricsProvider.className=org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
    "metricsProvider.className=org.apache.zookeeper.metrics.impl.NullMetricsProvider",
    "metricsProvider.className=com.example.Unknown",
    "metricsProvider.className=",
    "DigestAuthenticationProvider.digestAlg=SHA-256",
    "DigestAuthenticationProvider.digestAlg=SHA1",
    "DigestAuthenticationProvider.digestAlg=SHA-512",
    "DigestAuthenticationProvider.digestAlg=MD5",
    "DigestAuthenticationProvider.digestAlg=whirlpool",
    "quorum.auth.learnerRequireSasl=true",
    "quorum.auth.serverRequireSasl=true",
    "tickTime = 4000",
    "tickTime:4000",
    "tickTime 4000",
    "tickTime=4000 # not a comment",
    "tickTime=\\\n   4000",
    "tickTime=\\u0034000",
    "! tickTime=4000",
    "  tickTime=4000  ",
    "tickTime=4000\ntickTime=5000",
    "minSessionTimeout=70000\nmaxSessionTimeout=60000",
    "minSessionTimeout=5000\nmaxSessionTimeout=5000",
    "tickTime=1000\nminSessionTimeout=-1\nmaxSessionTimeout=-1",
    "initLimit=2147483647\ntickTime=2147483647",
    "secureClientPort=2281\nsecureClientPortAddress=127.0.0.1\nssl.keyStore.location=DIR/k.pem\n\
     ssl.trustStore.location=DIR/t.p12",
    "connection_throttle_tokens=10\nconnection_throttle_fill_time=7\nconnection_throttle_fill_count=3\n\
     connection_throttle_freeze_time=100\nconnection_throttle_drop_increase=0.5\n\
     connection_throttle_drop_decrease=0.25\nconnection_throttle_decrease_ratio=0.125",
    "connection_throttle_tokens=10\nconnection_throttle_weight_enabled=true",
    "connection_throttle_tokens=10\nconnection_throttle_weight_enabled=true\n\
     connection_throttle_global_session_weight=9",
    "connection_throttle_tokens=10\nconnection_throttle_weight_enabled=true\n\
     connection_throttle_global_session_weight=1\nconnection_throttle_local_session_weight=5",
    "connection_throttle_tokens=10\nconnection_throttle_drop_increase=2",
    "connection_throttle_tokens=10\nconnection_throttle_drop_increase=abc",
    "largeRequestThreshold=1000\nlargeRequestMaxBytes=5000",
    "largeRequestThreshold=1000\nlargeRequestMaxBytes=0",
    "group.1=1:2\ngroup.2=3",
    "group.1=1:2\ngroup.2=3\nweight.1=0\nweight.2=5",
    "group.1=1:2:3:42",
    "group.1=1:2",
    "group.1=1:2\ngroup.2=2:3",
    "group.1=1:2:3:9",
    "group.1=1:2:3\nweight.9=3",
    "group.1=",
    "group.x=1:2:3",
    "group.1=1: 2:3",
    "weight.1=2",
    "group.1=1:2:3\nweight.1=abc",
    "group.1=1:2:3\nweight.1=-1",
    "groups.1=1:2:3",
];
/// Lines about TLS, behind those that switch it on.
const TLS: &[&str] = &[
    "PREFIXclientAuth=want",
    "PREFIXclientAuth=NONE",
    "PREFIXclientAuth=need",
    "PREFIXclientAuth=maybe",
    "PREFIXclientAuth=",
    "PREFIXhostnameVerification=false",
    "PREFIXhostnameVerification=yes",
    "PREFIXclientHostnameVerification=true",
    "PREFIXclientHostnameVerification=false",
    "PREFIXallowReverseDnsLookup=true",
    "PREFIXkeyStore.type=PKCS12",
    "PREFIXkeyStore.type=pem",
    "PREFIXkeyStore.type=",
    "PREFIXkeyStore.type=abc",
    "PREFIXkeyStore.location=DIR/keys.jks",
    "PREFIXkeyStore.location=DIR/keys.pfx",
    "PREFIXkeyStore.location=DIR/keys",
    "PREFIXtrustStore.location=DIR/trust.JKS",
    "fips-mode=false",
];

/// One configuration.
pub(crate) struct Case {
    /// What it is known by.
    pub(crate) name: String,
    file: String,
    /// Others that lie beside it, by their names.
    beside: Vec<(&'static str, String)>,
    /// What stands on the command line.
    definitions: Vec<String>,
}

impl Case {
    fn new(name: impl Into<String>, file: impl Into<String>) -> Case {
        Case {
            name: name.into(),
            file: file.into(),
            beside: vec![("data/myid", "42\n".to_owned())],
            definitions: Vec::new(),
        }
    }

    /// The usual one with these lines behind it.
    fn with(lines: &str) -> Case {
        Case::new(lines, format!("{USUAL}{MEMBERS}{lines}\n"))
    }

    fn beside(mut self, name: &'static str, text: &str) -> Case {
        self.beside.retain(|(other, _)| *other != name);
        self.beside.push((name, text.to_owned()));
        self
    }

    fn without_id(mut self) -> Case {
        self.beside.retain(|(name, _)| *name != "data/myid");
        self
    }

    fn defined(mut self, definition: &str) -> Case {
        self.definitions.push(definition.to_owned());
        self
    }

    /// Puts its files into `dir`, which is made.
    pub(crate) fn write(&self, dir: &Path) {
        fs::create_dir_all(dir.join("data")).unwrap();
        fs::write(dir.join("zoo.cfg"), at(dir, &self.file)).unwrap();
        fs::write(dir.join("definitions"), self.definitions(dir).join("\n")).unwrap();
        for (name, text) in &self.beside {
            fs::write(dir.join(name), at(dir, text)).unwrap();
        }
    }

    /// The properties of the command line, as of `dir`.
    pub(crate) fn definitions(&self, dir: &Path) -> Vec<String> {
        self.definitions
            .iter()
            .map(|definition| at(dir, definition))
            .collect()
    }
}

fn at(dir: &Path, text: &str) -> String {
    text.replace("DIR", &dir.display().to_string())
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = tables();
    cases.extend(LINES.iter().map(|lines| Case::with(lines)));
    cases.extend(
        SERVERS
            .iter()
            .map(|server| Case::with(&format!("server.3={server}"))),
    );
    cases.extend(MULTI_SERVERS.iter().map(|server| {
        let case = Case::with(&format!("server.3={server}"));
        Case {
            name: format!("multi: {}", case.name),
            ..case
        }
        .defined("zookeeper.multiAddress.enabled=true")
    }));
    cases.extend(tls());
    cases.extend(whole());
    cases.extend(dynamic());
    cases.extend(identities());
    cases.extend(command_lines());
    cases
}

fn tables() -> Vec<Case> {
    let tables = [
        (NUMBERS, VALUES_OF_NUMBERS),
        (PROPERTIES, VALUES_OF_NUMBERS),
        (PORTS, VALUES_OF_PORTS),
        (FLAGS, VALUES_OF_FLAGS),
        (FLAG_PROPERTIES, VALUES_OF_FLAGS),
    ];
    let mut cases = Vec::new();
    for (keys, values) in tables {
        for key in keys {
            for value in values {
                let mut case = Case::with(&format!("{key}={value}"));
                if key.starts_with("metricsProvider.") {
                    case.file += "metricsProvider.className=\
                        org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n";
                } else if *key == "secureClientPort" {
                    case.file += "ssl.keyStore.location=DIR/keys.pem\nssl.trustStore.location=DIR/trust.pem\n";
                }
                cases.push(case);
            }
        }
    }
    cases
}

fn tls() -> Vec<Case> {
    let sides = [
        ("ssl.", "secureClientPort=2281"),
        ("ssl.quorum.", "sslQuorum=true"),
    ];
    let mut cases = Vec::new();
    for (prefix, switch) in sides {
        for line in TLS {
            let line = line.replace("PREFIX", prefix);
            let lines = format!(
                "{switch}\n{prefix}keyStore.location=DIR/keys.pem\n{prefix}trustStore.location=DIR/trust.pem\n{line}"
            );
            let name = format!("{switch}: {line}");
            cases.push(Case {
                name,
                ..Case::with(&lines)
            });
        }
    }
    cases
}

/// Files as a whole.
fn whole() -> Vec<Case> {
    let without = |key: &str| {
        let usual = format!("{USUAL}{MEMBERS}");
        let lines = usual.lines().filter(|line| !line.starts_with(key));
        let lines: Vec<&str> = lines.collect();
        Case::new(format!("without {key}"), lines.join("\n"))
    };
    let mut cases: Vec<Case> = [
        "dataDir",
        "initLimit",
        "syncLimit",
        "clientPort",
        "peerType",
        "server.42",
    ]
    .into_iter()
    .map(without)
    .collect();
    cases.push(Case::with(""));
    cases.push(Case::new("empty", ""));
    let members = |name: &str, members: &str| Case::new(name, format!("{USUAL}{members}"));
    let own = "server.42=127.0.0.42:2888:3888:observer\n";
    let one = "server.1=127.0.0.1:2888:3888\n";
    let two = "server.2=127.0.0.2:2888:3888\n";
    cases.push(members("no member", ""));
    cases.push(members("no voter", own));
    cases.push(members("one voter", one));
    cases.push(members("one voter and us", &format!("{one}{own}")));
    let flag = "standaloneEnabled=false\n";
    cases.push(members(
        "one voter and us, not standalone",
        &format!("{one}{own}{flag}"),
    ));
    cases.push(members("no voter, not standalone", flag));
    cases.push(members("two voters and us", &format!("{one}{two}{own}")));
    cases.push(members(
        "address without a port",
        &format!("{one}{two}{own}clientPort=\n"),
    ));
    let latin = Case::with("dataLogDir=DIR/\u{e9}");
    cases.push(latin);
    let no_port = USUAL.replace("clientPort=2181\n", "clientPortAddress=127.0.0.1\n");
    cases.push(Case::new(
        "clientPortAddress alone",
        format!("{no_port}{MEMBERS}"),
    ));
    let no_port = USUAL.replace("clientPort=2181\n", "secureClientPortAddress=127.0.0.1\n");
    cases.push(Case::new(
        "secureClientPortAddress alone",
        format!("{no_port}{MEMBERS}"),
    ));
    for address in ["127.0.0.42", "127.0.0.1", "0.0.0.0"] {
        let port = format!("clientPortAddress={address}\n");
        let own = "server.42=127.0.0.42:2888:3888:observer;127.0.0.42:2181\n";
        cases.push(Case::new(
            format!("our line and {}", port.trim()),
            format!("{USUAL}{MEMBERS}{port}{own}"),
        ));
    }
    let no_port = USUAL.replace("clientPort=2181\n", "");
    let own = "server.42=127.0.0.42:2888:3888:observer;2183\n";
    cases.push(Case::new(
        "port in our line alone",
        format!("{no_port}{MEMBERS}{own}"),
    ));
    cases
}

/// Members in a file of their own.
fn dynamic() -> Vec<Case> {
    let file = format!("{USUAL}dynamicConfigFile=DIR/members\n");
    let case = |name: &str, members: &str| {
        Case::new(format!("dynamic: {name}"), file.clone()).beside("members", members)
    };
    let mut cases = vec![
        case("members", MEMBERS),
        case("version inside", &format!("{MEMBERS}version=100000000\n")),
        case("another key", &format!("{MEMBERS}tickTime=4000\n")),
        case("groups", &format!("{MEMBERS}group.1=1:2:3\nweight.1=2\n")),
        case("client ports", &MEMBERS.replace("3888\n", "3888;2181\n")),
        case("comments", &format!("# members\n\n{MEMBERS}")),
        case("empty", ""),
        case("next", MEMBERS).beside("zoo.cfg.dynamic.next", &MEMBERS.replace("127", "126")),
        case("bad next", MEMBERS).beside("zoo.cfg.dynamic.next", "server.1=nonsense\n"),
        Case::new("dynamic: missing", file.clone()),
        Case::new("dynamic: nameless", format!("{USUAL}dynamicConfigFile=\n")),
    ];
    let both = format!("{file}server.9=127.0.0.9:2888:3888\n");
    cases.push(Case::new("dynamic: a line in the file", both).beside("members", MEMBERS));
    for (name, version) in [
        ("zoo.cfg.dynamic.100000000", "a version"),
        ("zoo.cfg.dynamic.xyz", "no version"),
        ("zoo.cfg.dynamic.-1", "a negative version"),
        ("zoo.cfg.dynamic.ffffffffffffffff", "a version too large"),
    ] {
        let file = format!("{USUAL}dynamicConfigFile=DIR/{name}\n");
        let named = Case::new(format!("dynamic: {version} in its name"), file);
        cases.push(named.beside(name, MEMBERS));
    }
    cases
}

fn identities() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "42", " 42 \n", "42\n43\n", "", "abc", "-5", "0", "255", "300", "+42", "43",
    ]
    .into_iter()
    .map(|text| {
        let name = format!("myid: {}", text.escape_debug());
        Case::new(name, format!("{USUAL}{MEMBERS}")).beside("data/myid", text)
    })
    .collect();
    let listed = format!(
        "{USUAL}{MEMBERS}server.255=127.0.0.43:2888:3888:observer\nextendedTypesEnabled=true\n"
    );
    cases.push(Case::new("myid: 255 with extended types", listed).beside("data/myid", "255"));
    cases.push(Case::new("myid: none", format!("{USUAL}{MEMBERS}")).without_id());
    cases
}

/// What stands on the command line of a Java server.
fn command_lines() -> Vec<Case> {
    let case = |definition: &str| {
        let usual = Case::new(format!("-D{definition}"), format!("{USUAL}{MEMBERS}"));
        usual.defined(definition)
    };
    let mut cases: Vec<Case> = [
        "jute.maxbuffer=4000000",
        "jute.maxbuffer=0x400000",
        "jute.maxbuffer=abc",
        "zookeeper.jute.maxbuffer.extrasize=5000",
        "readonlymode.enabled=true",
        "zookeeper.maxCnxns=77",
        "zookeeper.4lw.commands.whitelist=ruok",
        "zookeeper.admin.serverPort=9090",
        "zookeeper.multiAddress.enabled=true",
        "zookeeper.digest.enabled=false",
        "zookeeper.clientPort=9999",
    ]
    .into_iter()
    .map(case)
    .collect();
    let both = Case::with("maxCnxns=5").defined("zookeeper.maxCnxns=6");
    cases.push(Case {
        name: "maxCnxns in the file and on the command line".to_owned(),
        ..both
    });
    cases.push(Case::with("jute.maxbuffer=4000000"));
    cases
}
