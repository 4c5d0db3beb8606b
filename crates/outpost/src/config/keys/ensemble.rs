//! Who we are, the ensemble, and what its servers agree on.

use super::{Key, NO, NO_ELECTION, NO_VOTER, NONE, honoured, ignored, refused};

const NEED_NEW_TTL: &str = "Outpost cannot tell TTL znodes of this old form from ephemeral ones; set it to \
    false where the ensemble has none of them left, or stay with a Java observer";

/// The keys of this group.
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
];
