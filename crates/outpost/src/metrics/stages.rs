//! Metrics of what goes on inside a Java server, as far as the same goes on here.

use outpost_forward::latencies::{Latencies, LatencySummary};

use crate::metrics::table::{
    Detail, Metric, Summary, Value, basic, count, counter, gauge, latencies, summary, whole,
};

/// The metrics.
pub(super) static METRICS: &[Metric] = &[
    gauge(
        "last_client_response_size",
        "bytes",
        "Length of the last answer to a client; -1 before the first.",
        |p| size(p.sizes.last),
    ),
    gauge(
        "max_client_response_size",
        "bytes",
        "Length of the longest answer to a client since the start; -1 before the first.",
        |p| size(p.sizes.max),
    ),
    gauge(
        "min_client_response_size",
        "bytes",
        "Length of the shortest answer to a client since the start; -1 before the first.",
        |p| size(p.sizes.min),
    ),
    counter(
        "request_commit_queued",
        "transactions",
        "Committed transactions that took their place in the line of those to be applied; here `learner_commit_received_count`.",
        |p| count(&p.status.txns_applied),
    ),
    counter(
        "stale_replies",
        "answers",
        "Answers of the leader whose connection had ended.",
        |p| count(&p.stats.stale_replies),
    ),
    counter(
        "cnxn_closed_without_zk_server_running",
        "connections",
        "Connections closed because nobody was served.",
        |p| count(&p.stats.closed_not_serving),
    ),
    counter(
        "ensemble_auth_success",
        "attempts",
        "Clients that named this ensemble (scheme `ensemble`).",
        |p| count(&p.stats.ensemble_named),
    ),
    counter(
        "ensemble_auth_fail",
        "attempts",
        "Clients that named another ensemble, and were closed.",
        |p| count(&p.stats.ensemble_other),
    ),
    counter(
        "ensemble_auth_skip",
        "attempts",
        "Clients that used the scheme `ensemble` without a name, or where any is accepted.",
        |p| count(&p.stats.ensemble_skipped),
    ),
    counter(
        "snapshot_error_count",
        "times",
        "Snapshots asked for at the admin port that failed.",
        |p| count(&p.stats.snapshots_failed),
    ),
    counter(
        "snapshot_rate_limited_count",
        "times",
        "Snapshots asked for at the admin port too soon after another.",
        |p| count(&p.stats.snapshots_limited),
    ),
    counter(
        "request_throttle_wait_count",
        "times",
        "How often a client has waited for the request throttle, and once more for each `request_throttle_stall_time` that it took.",
        |p| count(&p.stats.throttle.waits),
    ),
    counter(
        "stale_requests",
        "requests",
        "Requests that had waited for the throttle for longer than their session's timeout, and were let in.",
        |p| count(&p.stats.throttle.stale),
    ),
    counter(
        "stale_requests_dropped",
        "requests",
        "Requests that the throttle has dropped: their client had left, or they had waited for too long.",
        |p| count(&p.stats.throttle.stale_dropped),
    ),
    counter(
        "throttled_ops",
        "requests",
        "Requests answered with -127 because they had waited for longer than `throttled_op_wait_time`.",
        |p| count(&p.stats.throttle.throttled),
    ),
    summary(
        "request_throttle_queue_time_ms",
        "ms",
        "How long requests have waited for the throttle, those included that have not; nothing without `request_throttle_max_requests`.",
        |p| advanced(&p.stats.throttle.queue_times),
    ),
    summary(
        "commit_propagation_latency",
        "ms",
        "From the leader's clock in a transaction to its arrival here, while following. The two clocks may differ.",
        |p| advanced(&p.status.arrivals),
    ),
    summary(
        "local_write_committed_time_ms",
        "ms",
        "From the arrival of a transaction that answers a client of this server until it was applied.",
        |p| advanced(&p.status.own_waits),
    ),
    summary(
        "server_write_committed_time_ms",
        "ms",
        "From the arrival of any other transaction until it was applied.",
        |p| advanced(&p.status.other_waits),
    ),
    summary(
        "write_commitproc_time_ms",
        "ms",
        "How long writes waited for their transaction; here `updatelatency`, since they wait for nothing else.",
        |p| latencies(&p.writes),
    ),
    summary(
        "learner_request_processor_queue_size",
        "requests",
        "Requests that waited for the link whenever it took some.",
        |p| basic(&p.status.requests_waiting),
    ),
    summary(
        "unavailable_time",
        "ms",
        "How long no learner master was followed, each time from a loss or the start. Clients may have been held meanwhile.",
        |p| basic(&p.status.unavailable),
    ),
    summary(
        "connection_token_deficit",
        "tokens",
        "Tokens missing from a full bucket at each connect request (`connection_throttle_tokens`).",
        |p| basic(&p.stats.token_deficit),
    ),
    summary(
        "node_created_watch_count",
        "watchers",
        "Watchers told of each znode made; without any, nothing is counted.",
        |p| basic(&p.stats.fired.lock().created),
    ),
    summary(
        "node_deleted_watch_count",
        "watchers",
        "Watchers told of each znode deleted.",
        |p| basic(&p.stats.fired.lock().deleted),
    ),
    summary(
        "node_changed_watch_count",
        "watchers",
        "Watchers told of each change of data.",
        |p| basic(&p.stats.fired.lock().changed),
    ),
    summary(
        "node_children_watch_count",
        "watchers",
        "Watchers told of each change of a list of children.",
        |p| basic(&p.stats.fired.lock().children),
    ),
    summary(
        "read_per_namespace",
        "bytes",
        "Bytes of each read, path and stat included, by the first component of its path (label `key`). Beyond a hundred such, the others share the key `/`.",
        |p| by_namespace(p.stats.read_by_namespace()),
    ),
    summary(
        "write_per_namespace",
        "bytes",
        "Bytes of each write of anybody, its path included, by the first component of its path (label `key`), as above.",
        |p| by_namespace(p.status.written_by_namespace()),
    ),
];

fn advanced(values: &Latencies) -> Value {
    latencies(&LatencySummary::of([values]))
}

fn size(size: Option<u64>) -> Value {
    size.map_or(Value::Whole(-1), whole)
}

fn by_namespace(sizes: Vec<(String, LatencySummary)>) -> Value {
    let summaries = sizes.into_iter().map(|(namespace, values)| {
        let detail = Detail::Basic;
        (namespace, Summary { values, detail })
    });
    Value::Summaries("key", summaries.collect())
}
