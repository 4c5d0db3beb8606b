//! Clients and their limits.

use super::{Key, NO, NONE, honoured, ignored};

/// The keys of this group.
pub(super) const KEYS: &[Key] = &[
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
];
