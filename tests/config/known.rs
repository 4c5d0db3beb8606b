//! The differences that are meant, each with the heading of its reason in `docs/differences.md`.

/// A Java server refuses the configuration, Outpost does not.
pub(crate) const ONLY_JAVA: &str = "only Java refuses";
/// The other way round.
pub(crate) const ONLY_OUTPOST: &str = "only Outpost refuses";

/// Differences for one reason.
pub(crate) struct Known {
    /// Under which the documentation gives the reason.
    pub(crate) heading: &'static str,
    /// Fields that differ, or who refuses.
    what: &'static [&'static str],
    /// Names of cases; a `*` stands for anything.
    pub(crate) cases: &'static [&'static str],
}

impl Known {
    /// Whether this is one of them.
    pub(crate) fn covers(&self, case: &str, what: &str) -> bool {
        self.cases
            .iter()
            .any(|pattern| self.covers_as(pattern, case, what))
    }

    /// Whether this is one of those of this pattern.
    pub(crate) fn covers_as(&self, pattern: &str, case: &str, what: &str) -> bool {
        self.what.contains(&what) && matches(pattern, case)
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(rest) = name.strip_prefix(before) else {
        return false;
    };
    rest.char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| matches(after, &rest[at..]))
}

/// All of them.
pub(crate) const KNOWN: &[Known] = &[
    Known {
        heading: "What means nothing here is not read.",
        what: &[ONLY_JAVA],
        cases: &[
            "autopurge.*=",
            "autopurge.*=abc",
            "autopurge.*=0x10",
            "autopurge.*=1.5",
            "quorum.cnxn.threads.size=",
            "quorum.cnxn.threads.size=abc",
            "quorum.cnxn.threads.size=0x10",
            "quorum.cnxn.threads.size=1.5",
            "jvm.pause.sleep.time.ms=",
            "jvm.pause.sleep.time.ms=abc",
            "jvm.pause.sleep.time.ms=0x10",
            "jvm.pause.sleep.time.ms=1.5",
            "multiAddress.reachabilityCheckTimeoutMs=",
            "multiAddress.reachabilityCheckTimeoutMs=abc",
            "multiAddress.reachabilityCheckTimeoutMs=0x10",
            "multiAddress.reachabilityCheckTimeoutMs=1.5",
            "autopurge.*=2147483648",
            "quorum.cnxn.threads.size=2147483648",
            "multiAddress.reachabilityCheckTimeoutMs=2147483648",
            "quorumListenOnAllIPs=",
            "quorumListenOnAllIPs=1",
            "quorumListenOnAllIPs=yes",
            "quorumListenOnAllIPs=no",
            "syncEnabled=",
            "syncEnabled=1",
            "syncEnabled=yes",
            "syncEnabled=no",
            "portUnification=",
            "portUnification=1",
            "portUnification=yes",
            "portUnification=no",
            "sslQuorumReloadCertFiles=",
            "sslQuorumReloadCertFiles=1",
            "sslQuorumReloadCertFiles=yes",
            "sslQuorumReloadCertFiles=no",
            "multiAddress.reachabilityCheckEnabled=",
            "multiAddress.reachabilityCheckEnabled=1",
            "multiAddress.reachabilityCheckEnabled=yes",
            "multiAddress.reachabilityCheckEnabled=no",
            "jvm.pause.monitor=",
            "jvm.pause.monitor=1",
            "jvm.pause.monitor=yes",
            "jvm.pause.monitor=no",
        ],
    },
    Known {
        heading: "Limits that cannot work are refused",
        what: &[ONLY_OUTPOST],
        cases: &[
            "initLimit=-*",
            "syncLimit=-*",
            "initLimit=2147483647",
            "syncLimit=2147483647",
            "minSessionTimeout=0",
            "minSessionTimeout=-2",
            "globalOutstandingLimit=0",
            "globalOutstandingLimit=-*",
            "observer.reconnectDelayMs=-*",
            "admin.idleTimeout=0",
            "admin.idleTimeout=-*",
            "jute.maxbuffer.extrasize=-*",
            "*connection_throttle_drop_increase=2",
            "*largeRequestMaxBytes=0",
        ],
    },
    Known {
        heading: "Limits that cannot work are refused",
        what: &["reconnectDelay"],
        cases: &["observer.reconnectDelayMs=2147483648"],
    },
    Known {
        heading: "A port is between 0 and 65535.",
        what: &[ONLY_OUTPOST],
        cases: &[
            "metricsProvider.httpPort=-*",
            "metricsProvider.httpPort=70000",
            "metricsProvider.httpPort=2147483647",
            "admin.serverPort=-*",
            "admin.serverPort=70000",
            "admin.serverPort=2147483647",
            "observerMasterPort=-1",
            "observerMasterPort=65536",
        ],
    },
    Known {
        heading: "An empty address or path is refused",
        what: &[ONLY_OUTPOST],
        cases: &[
            "clientPortAddress=",
            "admin.serverAddress=",
            "admin.commandURL=",
            "admin.commandURL=zk",
        ],
    },
    Known {
        heading: "`admin.enableServer=False` switches it off",
        what: &["admin", "adminCommands", "adminIdleTimeout"],
        cases: &["admin.enableServer=False"],
    },
    Known {
        heading: "Names are looked up when they are used",
        what: &[ONLY_JAVA],
        cases: &["clientPortAddress=no_such-name.invalid"],
    },
    Known {
        heading: "A key may have the prefix `zookeeper.` in the file",
        what: &[
            "tickTime",
            "minSessionTimeout",
            "maxSessionTimeout",
            "clientPort",
            "maxCnxns",
        ],
        cases: &[
            "zookeeper.tickTime=4000",
            "-Dzookeeper.clientPort=9999",
            "maxCnxns in the file and on the command line",
        ],
    },
    Known {
        heading: "`jute.maxbuffer` counts in the file too",
        what: &["juteMaxBuffer", "recordBytesMax"],
        cases: &["jute.maxbuffer=4000000"],
    },
    Known {
        heading: "The version of the membership is the ensemble's",
        what: &["members"],
        cases: &["version=100000000"],
    },
    Known {
        heading: "A slash at the end of `admin.commandURL` counts for nothing.",
        what: &["adminCommands"],
        cases: &["admin.commandURL=/zk/"],
    },
    Known {
        heading: "Digests are SHA1, SHA-256, SHA-384 or SHA-512.",
        what: &[ONLY_OUTPOST],
        cases: &["DigestAuthenticationProvider.digestAlg=MD5"],
    },
    Known {
        heading: "Groups may name servers that do not vote.",
        what: &[ONLY_JAVA],
        cases: &["group.1=1:2:3:*"],
    },
    Known {
        heading: "Only `group.N` and `weight.N` are groups and weights.",
        what: &["members"],
        cases: &["groups.1=1:2:3"],
    },
    Known {
        heading: "Blanks in server lines, in groups and around an id do not count.",
        what: &[ONLY_JAVA],
        cases: &[
            "group.1=1: 2:3",
            "server.3=127.0.0.9: 2888:3888",
            "server.3=127.0.0.9:2888:3888; 2181",
            "server.3=127.0.0.9:2888:3888 ;2181",
            "multi: server.3=127.0.0.9:2888:3888 | 127.0.0.10:2889:3889",
            "myid:  42 *",
        ],
    },
    Known {
        heading: "A server line without a host, or with something between bracket and port, is refused.",
        what: &[ONLY_OUTPOST],
        cases: &["server.3=:2888:3888", "server.3=[::1]2888:3888"],
    },
    Known {
        heading: "A server line may have a part for its secure client port",
        what: &[ONLY_JAVA],
        cases: &["server.3=127.0.0.9:2888:3888;*;2281"],
    },
    Known {
        heading: "Several addresses need no switch.",
        what: &[ONLY_JAVA],
        cases: &["server.3=127.0.0.9:2888:3888|127.0.0.*"],
    },
    Known {
        heading: "An observer need not be listed.",
        what: &["peerType"],
        cases: &[
            "without server.42",
            "one voter",
            "myid: 0",
            "myid: 255",
            "myid: 300",
            "myid: 43",
        ],
    },
    Known {
        heading: "An observer needs an ensemble.",
        what: &[ONLY_OUTPOST],
        cases: &["no member", "dynamic: empty"],
    },
    Known {
        heading: "One voter is an ensemble",
        what: &[ONLY_JAVA],
        cases: &["one voter and us"],
    },
    Known {
        heading: "The file is UTF-8",
        what: &["dataLogDir"],
        cases: &["dataLogDir=DIR/é"],
    },
    Known {
        heading: "Our own line goes before `clientPortAddress`",
        what: &[ONLY_JAVA],
        cases: &["our line and clientPortAddress=127.0.0.1"],
    },
    Known {
        heading: "`zoo.cfg.dynamic.next` is not read.",
        what: &[ONLY_JAVA],
        cases: &["dynamic: bad next"],
    },
    Known {
        heading: "A version with a sign in the name of a dynamic file is none.",
        what: &[ONLY_JAVA],
        cases: &["dynamic: a negative version in its name"],
    },
    Known {
        heading: "An id is 0 or more, and not 255 in its low byte with `extendedTypesEnabled=true`.",
        what: &[ONLY_OUTPOST],
        cases: &["myid: -5", "myid: 255 with extended types"],
    },
];

#[test]
fn a_star_stands_for_anything() {
    assert!(matches("a*c*", "abc"));
    assert!(matches("*", ""));
    assert!(!matches("a*c", "abd"));
    assert!(!matches("a", "ab"));
}
