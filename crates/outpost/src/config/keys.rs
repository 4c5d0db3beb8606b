//! Every key that a ZooKeeper configuration may hold, and what Outpost does about it.
//!
//! The table is the only place that says so; `docs/operating.md` repeats it for operators, and a test
//! holds the two together. What a honoured key means stands where it is read.

/// What is done about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It means here what it means to a Java observer.
    Honoured,
    /// It changes nothing here, and a warning says why, unless the value is one that asks for nothing.
    Ignored {
        /// Values that need no warning, in lower case.
        quiet: &'static [&'static str],
        /// Why nothing is lost, or what is.
        why: &'static str,
    },
    /// Going on without it would break what it promises, so its values are complaints.
    Refused {
        /// Values that promise nothing and are accepted, in lower case.
        unless: &'static [&'static str],
        /// What is missing, and what to do.
        why: &'static str,
    },
}

/// A key, or a family of keys: names that end in `.*` or `.N` stand for whatever follows the dot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// As it is written in `zoo.cfg`, without the prefix `zookeeper.`.
    pub(super) name: &'static str,
    /// What is done about it.
    pub(super) verdict: Verdict,
}

impl Key {
    /// What the names of a family begin with, dot included.
    fn family(&self) -> Option<&'static str> {
        let stem = self.name.strip_suffix('*');
        stem.or_else(|| {
            self.name
                .strip_suffix(".N")
                .map(|_| &self.name[..self.name.len() - 1])
        })
    }
}

const fn honoured(name: &'static str) -> Key {
    Key {
        name,
        verdict: Verdict::Honoured,
    }
}

const fn ignored(name: &'static str, quiet: &'static [&'static str], why: &'static str) -> Key {
    Key {
        name,
        verdict: Verdict::Ignored { quiet, why },
    }
}

const fn refused(name: &'static str, unless: &'static [&'static str], why: &'static str) -> Key {
    Key {
        name,
        verdict: Verdict::Refused { unless, why },
    }
}

const NO: &[&str] = &["false", "no"];
const NONE: &[&str] = &[];

const IN_MEMORY: &str =
    "Outpost keeps everything in memory; it writes no transaction log and no snapshot";
const NO_VOTER: &str = "it concerns voters; an observer has no use for it";
const NO_ELECTION: &str = "Outpost takes no part in elections and opens no election port";
const NO_JVM: &str = "there is no Java virtual machine here";
const NO_CACHE: &str = "Outpost answers from its tree without such a cache";
const NO_SUCH_THREADS: &str = "Outpost's threads are set by outpost.workers";
const NO_NETTY: &str = "Outpost has one network stack of its own";
const NO_DOWNSTREAM: &str = "Outpost does not serve downstream learners yet";
const NO_TLS: &str = "TLS is not supported yet, so this has nothing to act on";
const NO_SASL: &str = "SASL is not supported yet, so this has nothing to act on";
const NEED_CLIENT_TLS: &str = "TLS towards clients is not supported yet; remove the line to serve clients \
    without TLS, or stay with a Java observer";
const NEED_QUORUM_TLS: &str = "TLS towards the ensemble is not supported yet; set it to false where the \
    voters accept plain connections too, or stay with a Java observer";
const NEED_QUORUM_SASL: &str = "SASL towards the ensemble is not supported yet; set it to false where the \
    voters do not require it, or stay with a Java observer";
const NEED_ADMIN_TLS: &str = "the admin server does not speak TLS yet; set it to false, or switch the admin \
    server off with admin.enableServer=false";
const NEED_SASL: &str = "SASL towards clients is not supported yet, so no client could be served; remove \
    the line, or stay with a Java observer";
const NEED_NEW_TTL: &str = "Outpost cannot tell TTL znodes of this old form from ephemeral ones; set it to \
    false where the ensemble has none of them left, or stay with a Java observer";
const LOGGING: &str = "Outpost logs to standard error; choose what with OUTPOST_LOG";

/// Every known key.
pub(super) const KEYS: &[Key] = &[
    // Who we are, and where.
    honoured("dataDir"),
    honoured("dataLogDir"),
    honoured("outpost.id"),
    honoured("peerType"),
    // Time.
    honoured("tickTime"),
    honoured("initLimit"),
    honoured("syncLimit"),
    honoured("connectToLearnerMasterLimit"),
    honoured("minSessionTimeout"),
    honoured("maxSessionTimeout"),
    // The ensemble.
    honoured("server.N"),
    honoured("group.N"),
    honoured("weight.N"),
    honoured("dynamicConfigFile"),
    honoured("reconfigEnabled"),
    honoured("standaloneEnabled"),
    honoured("electionAlg"),
    honoured("multiAddress.enabled"),
    honoured("observerMasterPort"),
    honoured("observer.reconnectDelayMs"),
    ignored("observer.election.DelayMs", NONE, NO_ELECTION),
    ignored(
        "leaderConnectDelayDuringRetryMs",
        NONE,
        "Outpost waits longer after each failed attempt, with jitter",
    ),
    ignored(
        "multiAddress.reachabilityCheckEnabled",
        NONE,
        "all addresses of a server are tried side by side",
    ),
    ignored(
        "multiAddress.reachabilityCheckTimeoutMs",
        NONE,
        "all addresses of a server are tried side by side",
    ),
    ignored("quorumListenOnAllIPs", NO, NO_ELECTION),
    ignored("quorum.cnxn.threads.size", NONE, NO_ELECTION),
    ignored("cnxTimeout", NONE, NO_ELECTION),
    ignored("quorumCnxnTimeoutMs", NONE, NO_ELECTION),
    ignored("electionPortBindRetry", NONE, NO_ELECTION),
    ignored("tcpKeepAlive", NO, NO_ELECTION),
    ignored(
        "ipReachableTimeout",
        NONE,
        "all addresses of a server are tried side by side",
    ),
    ignored("oraclePath", NONE, NO_VOTER),
    ignored(
        "version",
        NONE,
        "the version of the membership comes from the ensemble",
    ),
    // Clients and their limits.
    honoured("clientPort"),
    honoured("clientPortAddress"),
    honoured("clientPortListenBacklog"),
    honoured("clientTcpKeepAlive"),
    honoured("maxClientCnxns"),
    honoured("maxCnxns"),
    honoured("jute.maxbuffer"),
    honoured("jute.maxbuffer.extrasize"),
    honoured("nio.sessionlessCnxnTimeout"),
    honoured("globalOutstandingLimit"),
    honoured("largeRequestThreshold"),
    honoured("largeRequestMaxBytes"),
    honoured("connection_throttle_tokens"),
    honoured("connection_throttle_fill_time"),
    honoured("connection_throttle_fill_count"),
    honoured("connection_throttle_freeze_time"),
    honoured("connection_throttle_drop_increase"),
    honoured("connection_throttle_drop_decrease"),
    honoured("connection_throttle_decrease_ratio"),
    honoured("connection_throttle_weight_enabled"),
    honoured("connection_throttle_global_session_weight"),
    honoured("connection_throttle_renew_session_weight"),
    honoured("connection_throttle_local_session_weight"),
    ignored(
        "request_throttle_max_requests",
        &["0", "-1"],
        "a full pipeline stops reading from its own client; see globalOutstandingLimit",
    ),
    ignored(
        "request_throttle_stall_time",
        NONE,
        "there is no request throttler to stall in",
    ),
    ignored(
        "request_throttle_drop_stale",
        NONE,
        "requests of a connection end with it",
    ),
    ignored(
        "request_throttler.shutdownTimeout",
        NONE,
        "the time to drain is outpost.drainTimeout",
    ),
    ignored(
        "request_stale_connection_check",
        NONE,
        "requests of a connection end with it",
    ),
    ignored(
        "request_stale_latency_check",
        NO,
        "requests of a connection end with it",
    ),
    ignored(
        "throttled_op_wait_time",
        &["0"],
        "no request waits in a throttler here",
    ),
    honoured("enableEagerACLCheck"),
    ignored("enforceQuota", NO, "the leader enforces quotas"),
    // What the ensemble agrees on.
    honoured("localSessionsEnabled"),
    honoured("localSessionsUpgradingEnabled"),
    honoured("extendedTypesEnabled"),
    refused("emulate353TTLNodes", NO, NEED_NEW_TTL),
    honoured("digest.enabled"),
    honoured("readonlymode.enabled"),
    ignored(
        "closeSessionTxn.enabled",
        NONE,
        "each transaction shows by itself which form it has",
    ),
    // Who a client is, and what it may do.
    honoured("skipACL"),
    honoured("DigestAuthenticationProvider.enabled"),
    honoured("DigestAuthenticationProvider.digestAlg"),
    honoured("DigestAuthenticationProvider.superDigest"),
    honoured("authProvider.*"),
    honoured("ensembleAuthName"),
    honoured("enforce.auth.enabled"),
    honoured("enforce.auth.schemes"),
    refused("sessionRequireClientSASLAuth", NO, NEED_SASL),
    ignored("allowSaslFailedClients", NO, NO_SASL),
    ignored("superUser", NONE, NO_SASL),
    ignored("superUser.*", NONE, NO_SASL),
    ignored("letAnySaslUserDoX", NONE, NO_SASL),
    ignored("SASLAuthenticationProvider.superPassword", NONE, NO_SASL),
    ignored("sasl.serverconfig", NONE, NO_SASL),
    ignored("java.security.auth.login.config", NONE, NO_SASL),
    ignored("requireKerberosConfig", NO, NO_SASL),
    ignored("kerberos.*", NONE, NO_SASL),
    ignored("security.auth_to_local", NONE, NO_SASL),
    ignored("X509AuthenticationProvider.superUser", NONE, NO_TLS),
    ignored(
        "IPAuthenticationProvider.usexforwardedfor",
        NO,
        "no admin command asks who is calling",
    ),
    ignored("audit.enable", NO, "Outpost writes no audit log"),
    ignored("audit.impl.class", NONE, "Outpost writes no audit log"),
    // TLS and SASL.
    refused("secureClientPort", NONE, NEED_CLIENT_TLS),
    ignored("secureClientPortAddress", NONE, NO_TLS),
    refused("client.portUnification", NO, NEED_CLIENT_TLS),
    ignored("client.certReload", NO, NO_TLS),
    refused("sslQuorum", NO, NEED_QUORUM_TLS),
    ignored("portUnification", NO, "Outpost opens no quorum port"),
    ignored("sslQuorumReloadCertFiles", NO, NO_TLS),
    ignored("ssl.quorum.*", NONE, NO_TLS),
    ignored("ssl.*", NONE, NO_TLS),
    ignored(
        "fips-mode",
        NO,
        "TLS and SASL are not supported yet, so there is no cryptography to restrict",
    ),
    refused("quorum.auth.enableSasl", NO, NEED_QUORUM_SASL),
    refused("quorum.auth.learnerRequireSasl", NO, NEED_QUORUM_SASL),
    refused("quorum.auth.serverRequireSasl", NO, NEED_QUORUM_SASL),
    ignored("quorum.auth.kerberos.servicePrincipal", NONE, NO_SASL),
    ignored("quorum.auth.learner.saslLoginContext", NONE, NO_SASL),
    ignored("quorum.auth.server.saslLoginContext", NONE, NO_SASL),
    // Operations.
    honoured("4lw.commands.whitelist"),
    honoured("admin.enableServer"),
    honoured("admin.serverAddress"),
    honoured("admin.serverPort"),
    honoured("admin.commandURL"),
    honoured("admin.idleTimeout"),
    refused("admin.forceHttps", NO, NEED_ADMIN_TLS),
    refused("admin.needClientAuth", NO, NEED_ADMIN_TLS),
    ignored(
        "admin.portUnification",
        NO,
        "the admin server does not speak TLS yet; plain HTTP is served as before",
    ),
    ignored(
        "admin.httpVersion",
        &["11"],
        "the admin server speaks HTTP/1.1",
    ),
    ignored(
        "admin.rateLimiterIntervalInMS",
        NONE,
        "Outpost serves neither the snapshot nor the restore command",
    ),
    ignored(
        "admin.snapshot.enabled",
        NO,
        "Outpost serves neither the snapshot nor the restore command",
    ),
    ignored(
        "admin.restore.enabled",
        NO,
        "Outpost serves neither the snapshot nor the restore command",
    ),
    honoured("metricsProvider.className"),
    honoured("metricsProvider.httpHost"),
    honoured("metricsProvider.httpPort"),
    ignored("metricsProvider.exportJvmInfo", NO, NO_JVM),
    ignored(
        "metricsProvider.*",
        NONE,
        "the metrics exporter here has no such setting",
    ),
    ignored("jvm.pause.*", NO, NO_JVM),
    ignored("jmx.*", NONE, NO_JVM),
    ignored("com.sun.management.*", NONE, NO_JVM),
    ignored("log.*", NONE, LOGGING),
    ignored("root.logger", NONE, LOGGING),
    ignored("console.threshold", NONE, LOGGING),
    ignored("pathStats.*", NONE, "Outpost keeps no statistics by path"),
    ignored(
        "messageTracker.*",
        NONE,
        "Outpost keeps no messages for later inspection",
    ),
    // What is written to disk.
    ignored("syncEnabled", NO, IN_MEMORY),
    ignored("observer.syncEnabled", NO, IN_MEMORY),
    ignored("snapCount", NONE, IN_MEMORY),
    ignored("snapSizeLimitInKb", NONE, IN_MEMORY),
    ignored("commitLogCount", NONE, IN_MEMORY),
    ignored("preAllocSize", NONE, IN_MEMORY),
    ignored("txnLogSizeLimitInKb", NONE, IN_MEMORY),
    ignored("forceSync", NONE, IN_MEMORY),
    ignored("fsync.warningthresholdms", NONE, IN_MEMORY),
    ignored("flushDelay", NONE, IN_MEMORY),
    ignored("maxWriteQueuePollTime", NONE, IN_MEMORY),
    ignored("maxBatchSize", NONE, IN_MEMORY),
    ignored("snapshot.compression.method", &[""], IN_MEMORY),
    ignored("snapshot.trust.empty", NO, IN_MEMORY),
    ignored("serializeLastProcessedZxid.enabled", NONE, IN_MEMORY),
    ignored("db.autocreate", NONE, IN_MEMORY),
    ignored("datadir.autocreate", NONE, IN_MEMORY),
    ignored("autopurge.snapRetainCount", NONE, IN_MEMORY),
    ignored("autopurge.purgeInterval", &["0"], IN_MEMORY),
    // The inside of a Java server.
    ignored(
        "serverCnxnFactory",
        &[
            "org.apache.zookeeper.server.nioservercnxnfactory",
            "org.apache.zookeeper.server.nettyservercnxnfactory",
        ],
        NO_NETTY,
    ),
    ignored("nio.*", NONE, NO_SUCH_THREADS),
    ignored("netty.*", NONE, NO_NETTY),
    ignored("commitProcessor.*", NONE, NO_SUCH_THREADS),
    ignored("maxResponseCacheSize", &["0"], NO_CACHE),
    ignored("maxGetChildrenResponseCacheSize", &["0"], NO_CACHE),
    ignored("bitHashCacheSize", NONE, NO_CACHE),
    ignored(
        "watchManagerName",
        NONE,
        "Outpost has one kind of watch table",
    ),
    ignored(
        "watcherCleanThreadsNum",
        NONE,
        "the watches of a connection end with it",
    ),
    ignored(
        "watcherCleanThreshold",
        NONE,
        "the watches of a connection end with it",
    ),
    ignored(
        "watcherCleanIntervalInSeconds",
        NONE,
        "the watches of a connection end with it",
    ),
    ignored(
        "maxInProcessingDeadWatchers",
        NONE,
        "the watches of a connection end with it",
    ),
    ignored(
        "intBufferStartingSizeBytes",
        NONE,
        "buffers grow as they need to",
    ),
    ignored(
        "forward_learner_requests_to_commit_processor_disabled",
        NONE,
        NO_DOWNSTREAM,
    ),
    ignored("follower.*", NONE, NO_VOTER),
    ignored(
        "learner.*",
        NONE,
        "Outpost's link to the ensemble never waits for a slow socket",
    ),
    ignored("leader.*", NONE, NO_VOTER),
    ignored("leaderServes", NONE, NO_VOTER),
    ignored("fastleader.*", NONE, NO_ELECTION),
    ignored("forceSnapshotSync", NO, NO_DOWNSTREAM),
    ignored("snapshotSizeFactor", NONE, NO_DOWNSTREAM),
    ignored("observerMaster.sizeLimit", NONE, NO_DOWNSTREAM),
    ignored("znode.container.*", NONE, NO_VOTER),
    ignored("testingonly.*", NONE, NO_VOTER),
    // Outpost's own.
    honoured("outpost.workers"),
    honoured("outpost.hold"),
    honoured("outpost.linkTimeout"),
    honoured("outpost.outboxBytes"),
    honoured("outpost.maxWritesInFlight"),
    honoured("outpost.drainTimeout"),
];

/// Keys that a Java server reads only from its command line, where they have no prefix `zookeeper.`, and that
/// are honoured here in the file too.
const COMMAND_LINE_ONLY: &[&str] = &["jute.maxbuffer", "readonlymode.enabled"];

/// Variables with our prefix that are no settings of an observer.
const OTHER_VARIABLES: &[&str] = &["OUTPOST_LOG"];

/// Words in the names of keys that hold secrets, in lower case.
const SECRETS: &[&str] = &["password", "passwd", "secret", "credential", "superdigest"];

/// The key without the prefix that it has as a property of a Java server.
pub(super) fn canonical(key: &str) -> &str {
    key.strip_prefix("zookeeper.").unwrap_or(key)
}

/// What the table says about a key in its canonical form.
pub(super) fn find(key: &str) -> Option<&'static Key> {
    let exact = KEYS.iter().find(|known| known.name == key);
    exact.or_else(|| {
        let in_family = |known: &&Key| known.family().is_some_and(|stem| key.starts_with(stem));
        let families = KEYS.iter().filter(in_family);
        families.max_by_key(|known| known.name.len())
    })
}

/// Whether a Java server would read over this key in a file without a word.
pub(super) fn is_command_line_only(key: &str) -> bool {
    COMMAND_LINE_ONLY.contains(&key)
}

/// Whether the value must never be shown. Broad on purpose: a misspelled key may hold a secret too.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let last = key.rsplit('.').next().unwrap_or_default();
    let sounds_like = |word: &&str| key.contains(*word) || distance(last, word) <= 2;
    SECRETS.iter().any(sounds_like) && !last.starts_with("passwordpath")
}

/// The variable that overrides a key: upper case, everything but letters and digits an underscore.
/// Outpost's own keys do not repeat the prefix.
pub(super) fn variable(key: &str) -> String {
    let key = key.strip_prefix("outpost.").unwrap_or(key);
    let upper = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = key.chars().map(upper).collect();
    format!("OUTPOST_{name}")
}

/// The key that a variable overrides; `None` if there is none. Of a family's names only the stem can be told
/// back from a variable, the rest comes out in lower case.
pub(super) fn of_variable(name: &str) -> Option<String> {
    if let Some(known) = KEYS.iter().find(|known| variable(known.name) == name) {
        return Some(known.name.to_owned());
    }
    let families = KEYS.iter().filter_map(Key::family);
    let matching = families.filter_map(|stem| {
        let rest = name.strip_prefix(variable(stem).as_str())?;
        (!rest.is_empty()).then_some((stem, rest))
    });
    let (stem, rest) = matching.max_by_key(|(stem, _)| stem.len())?;
    Some(format!("{stem}{}", rest.to_ascii_lowercase()))
}

/// Whether a variable with our prefix is meant for something else: for another part of the program, or put there
/// by Kubernetes or Docker for a service that happens to be called `outpost`.
pub(super) fn is_other_variable(name: &str, value: &str) -> bool {
    let of_a_service = ["_SERVICE_HOST", "_SERVICE_PORT"];
    let addresses = ["tcp://", "udp://", "sctp://"];
    OTHER_VARIABLES.contains(&name)
        || of_a_service.iter().any(|part| name.contains(part))
        || addresses.iter().any(|scheme| value.starts_with(scheme))
        || is_service_port_variable(name)
}

/// Such as `OUTPOST_PORT_2181_TCP_ADDR`.
fn is_service_port_variable(name: &str) -> bool {
    let Some((_, rest)) = name.split_once("_PORT_") else {
        return false;
    };
    let (port, protocol) = rest.split_once('_').unwrap_or_default();
    let protocols = ["TCP", "UDP", "SCTP"];
    port.parse::<u16>().is_ok() && protocols.iter().any(|name| protocol.starts_with(name))
}

/// The known key that an unknown one was most likely meant to be.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let wanted = comparable(key);
    let distances = KEYS.iter().map(|known| {
        let name = comparable(known.name);
        (distance(&wanted, &name), name.len(), known.name)
    });
    let (distance, length, name) = distances.min()?;
    (distance * 4 <= length.min(8)).then_some(name)
}

/// The one of `names` that `word` was most likely meant to be, at most one letter away.
pub(super) fn nearest_of<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = |name: &&&str| distance(word, name) <= 1;
    names.iter().find(near).copied()
}

/// Keys differ in more than upper and lower case, and members of a family by more than their number.
fn comparable(key: &str) -> String {
    let key = key.to_ascii_lowercase();
    match key.rsplit_once('.') {
        Some((stem, n)) if n == "n" || n.parse::<u64>().is_ok() => format!("{stem}.n"),
        _ => key,
    }
}

/// How many letters must be added, removed or changed to get from one word to the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_key_stands_twice_in_the_table_nor_shares_its_variable() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(|key| variable(key.name)).collect();
        assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
        for key in KEYS {
            assert_eq!(of_variable(&variable(key.name)).as_deref(), Some(key.name));
            assert!(!is_other_variable(&variable(key.name), "1"), "{}", key.name);
        }
    }

    #[test]
    fn a_key_is_found_by_its_name_or_the_longest_family_it_belongs_to() {
        let name = |key| find(key).map(|known| known.name);
        assert_eq!(name("tickTime"), Some("tickTime"));
        assert_eq!(name("server.12"), Some("server.N"));
        assert_eq!(name("ssl.quorum.keyStore.location"), Some("ssl.quorum.*"));
        assert_eq!(name("ssl.keyStore.location"), Some("ssl.*"));
        assert_eq!(
            name("metricsProvider.httpPort"),
            Some("metricsProvider.httpPort")
        );
        assert_eq!(name("ticktime"), None);
        assert_eq!(name("server"), None);
    }

    #[test]
    fn a_variable_leads_to_its_key() {
        for (variable, key) in [
            ("OUTPOST_CLIENTPORT", Some("clientPort")),
            ("OUTPOST_JUTE_MAXBUFFER", Some("jute.maxbuffer")),
            (
                "OUTPOST_4LW_COMMANDS_WHITELIST",
                Some("4lw.commands.whitelist"),
            ),
            ("OUTPOST_FIPS_MODE", Some("fips-mode")),
            ("OUTPOST_SERVER_12", Some("server.12")),
            ("OUTPOST_AUTHPROVIDER_SASL", Some("authProvider.sasl")),
            ("OUTPOST_ID", Some("outpost.id")),
            ("OUTPOST_HOLD", Some("outpost.hold")),
            ("OUTPOST_CLIENT_PORT", None),
            ("OUTPOST_SERVER_", None),
        ] {
            assert_eq!(of_variable(variable).as_deref(), key, "{variable}");
        }
    }

    #[test]
    fn what_kubernetes_says_about_a_service_named_outpost_is_no_setting() {
        for (name, value) in [
            ("OUTPOST_SERVICE_HOST", "10.0.0.7"),
            ("OUTPOST_SERVICE_PORT", "2181"),
            ("OUTPOST_SERVICE_PORT_CLIENT", "2181"),
            ("OUTPOST_CLIENTS_SERVICE_PORT", "2181"),
            ("OUTPOST_PORT", "tcp://10.0.0.7:2181"),
            ("OUTPOST_PORT_2181_TCP", "tcp://10.0.0.7:2181"),
            ("OUTPOST_PORT_2181_TCP_PROTO", "tcp"),
            ("OUTPOST_ADMIN_PORT_8080_TCP_ADDR", "10.0.0.7"),
            ("OUTPOST_LOG", "debug"),
        ] {
            assert!(is_other_variable(name, value), "{name}");
        }
        assert!(!is_other_variable("OUTPOST_PORT_UNIFICATION", "true"));
    }

    #[test]
    fn a_near_miss_is_recognised_and_a_stranger_is_not() {
        for (key, meant) in [
            ("ticktime", Some("tickTime")),
            ("clientport", Some("clientPort")),
            ("autopurge.purgeInteval", Some("autopurge.purgeInterval")),
            ("sever.3", Some("server.N")),
            ("servers.3", Some("server.N")),
            ("maxClientCnxn", Some("maxClientCnxns")),
            ("4lw.commands.whitelists", Some("4lw.commands.whitelist")),
            ("outpost.holds", Some("outpost.hold")),
            ("my.own.setting", None),
            ("heap", None),
            ("", None),
        ] {
            assert_eq!(nearest(key), meant, "{key}");
        }
    }

    #[test]
    fn values_of_keys_that_sound_like_secrets_are_secret() {
        for key in [
            "DigestAuthenticationProvider.superDigest",
            "ssl.keyStore.password",
            "ssl.quorum.trustStore.password",
            "SASLAuthenticationProvider.superPassword",
            "ssl.keystore.passwrd",
            "ssl.keystore.pasword",
            "DigestAuthenticationProvider.superDigst",
        ] {
            assert!(is_secret(key), "{key}");
        }
        assert!(!is_secret("ssl.keyStore.passwordPath"));
        assert!(!is_secret("digest.enabled"));
    }
}
