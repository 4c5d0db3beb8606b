//! What is written to disk, and the inside of a Java server.

use super::{Key, NO, NO_ELECTION, NO_VOTER, NONE, ignored};

const IN_MEMORY: &str =
    "Outpost keeps everything in memory; it writes no transaction log and no snapshot";
const NO_CACHE: &str = "Outpost answers from its tree without such a cache";
const NO_SUCH_THREADS: &str = "Outpost's threads are set by outpost.workers";
const NO_NETTY: &str = "Outpost has one network stack of its own";
const NO_DOWNSTREAM: &str = "Outpost does not serve downstream learners yet";

/// The keys of this group.
pub(super) const KEYS: &[Key] = &[
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
];
