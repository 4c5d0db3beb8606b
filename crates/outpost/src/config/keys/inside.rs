//! What is written to disk, and the inside of a Java server.

use super::{Key, NO, NO_ELECTION, NO_JVM, NO_VOTER, NONE, ignored};

const IN_MEMORY: &str =
    "Outpost keeps everything in memory; it writes no transaction log and no snapshot";
const NO_CLIENT: &str = "only Java's client library reads it";
const NO_CACHE: &str = "Outpost answers from its tree without such a cache";
const NO_SUCH_THREADS: &str = "Outpost's threads are set by outpost.workers";
const NO_NETTY: &str = "Outpost has one network stack of its own";
const NO_DOWNSTREAM: &str = "Outpost does not serve downstream learners yet";

/// The keys of this group.
pub(super) const KEYS: &[Key] = &[
    // What is written to disk.
    ignored("syncEnabled", NO, IN_MEMORY),
    ignored("observer.syncEnabled", NO, IN_MEMORY),
    ignored("snapDir", NONE, IN_MEMORY),
    ignored("logDir", NONE, IN_MEMORY),
    ignored("dbFormatConversion", NONE, IN_MEMORY),
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
    ignored("test.*", NONE, NO_VOTER),
    // What only Java's client library or virtual machine reads.
    ignored("client.secure", NONE, NO_CLIENT),
    ignored("clientCnxnSocket", NONE, NO_CLIENT),
    ignored("disableAutoWatchReset", NONE, NO_CLIENT),
    ignored("hostProvider.*", NONE, NO_CLIENT),
    ignored("request.timeout", NONE, NO_CLIENT),
    ignored("sasl.client", NONE, NO_CLIENT),
    ignored("sasl.client.*", NONE, NO_CLIENT),
    ignored("sasl.clientconfig", NONE, NO_CLIENT),
    ignored("server.principal", NONE, NO_CLIENT),
    ignored("server.realm", NONE, NO_CLIENT),
    ignored("kinit", NONE, NO_CLIENT),
    ignored("java.*", NONE, NO_JVM),
    ignored("javax.*", NONE, NO_JVM),
    ignored("jdk.*", NONE, NO_JVM),
    ignored("sun.*", NONE, NO_JVM),
    ignored("com.sun.*", NONE, NO_JVM),
    ignored("ocsp.enable", NONE, NO_JVM),
    // Names from headings of ZooKeeper's manual that no server knows.
    ignored("advancedFlowControlEnabled", NONE, NO_NETTY),
    ignored(
        "connectionMaxTokens",
        NONE,
        "the key is connection_throttle_tokens",
    ),
    ignored(
        "connectionTokenFillTime",
        NONE,
        "the key is connection_throttle_fill_time",
    ),
    ignored(
        "connectionTokenFillCount",
        NONE,
        "the key is connection_throttle_fill_count",
    ),
    ignored(
        "connectionFreezeTime",
        NONE,
        "the key is connection_throttle_freeze_time",
    ),
    ignored(
        "connectionDropIncrease",
        NONE,
        "the key is connection_throttle_drop_increase",
    ),
    ignored(
        "connectionDropDecrease",
        NONE,
        "the key is connection_throttle_drop_decrease",
    ),
    ignored(
        "connectionDecreaseRatio",
        NONE,
        "the key is connection_throttle_decrease_ratio",
    ),
    ignored(
        "requestThrottleLimit",
        NONE,
        "the key is request_throttle_max_requests",
    ),
    ignored(
        "requestThrottleStallTime",
        NONE,
        "the key is request_throttle_stall_time",
    ),
    ignored(
        "requestThrottleDropStale",
        NONE,
        "the key is request_throttle_drop_stale",
    ),
    ignored(
        "requestStaleLatencyCheck",
        NONE,
        "the key is request_stale_latency_check",
    ),
    ignored(
        "requestStaleConnectionCheck",
        NONE,
        "the key is request_stale_connection_check",
    ),
    ignored(
        "throttledOpWaitTime",
        NONE,
        "the key is throttled_op_wait_time",
    ),
    ignored(
        "outstandingHandshake.limit",
        NONE,
        "the key is netty.server.outstandingHandshake.limit",
    ),
    ignored("maxConcurrentSnapSyncs", NONE, NO_VOTER),
    ignored("maxConcurrentDiffSyncs", NONE, NO_VOTER),
    ignored("maxTimeToWaitForEpoch", NONE, NO_VOTER),
];
