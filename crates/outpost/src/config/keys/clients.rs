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
    honoured("request_throttle_max_requests"),
    honoured("request_throttle_stall_time"),
    honoured("request_throttle_drop_stale"),
    honoured("request_stale_connection_check"),
    honoured("request_stale_latency_check"),
    honoured("throttled_op_wait_time"),
    ignored(
        "request_throttler.shutdownTimeout",
        NONE,
        "the time to drain is outpost.drainTimeout",
    ),
    honoured("enableEagerACLCheck"),
    ignored("enforceQuota", NO, "the leader enforces quotas"),
];
