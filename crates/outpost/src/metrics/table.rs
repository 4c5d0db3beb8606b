//! Metrics: name, kind, unit, meaning, and where the value comes from.
//!
//! Metrics that ZooKeeper has carry ZooKeeper's names, without a prefix. Outpost's own begin with `outpost_`, and the ones that every process has with `process_`.
//! `docs/operating.md` repeats this table; a test holds the two together.

use std::sync::atomic::{AtomicU64, Ordering};

use outpost_forward::Arriving;
use outpost_forward::histogram::{self, HistogramView};
use outpost_forward::latencies::{Latencies, LatencySummary};
use outpost_forward::status::LinkState;
use outpost_mirror::QuotaUsage;

use crate::jaas::JaasReloads;
use crate::report::{Picture, java, process};
use crate::tls::StoreReport;
use crate::{build_info, logs};

/// One metric.
pub struct Metric {
    /// The name, as Prometheus shows it.
    pub name: &'static str,
    /// What kind of metric.
    pub kind: Kind,
    /// What is counted or measured.
    pub unit: &'static str,
    /// What it means, in a sentence.
    pub help: &'static str,
    /// Whether `mntr` and `monitor` show it too.
    pub in_monitor: bool,
    /// The value at one moment.
    pub value: fn(&Picture<'_>) -> Value,
}

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, but for a reset.
    Counter,
    /// Sum, count and quantiles of many values.
    Summary,
    /// Sum and count of many values, and how many of them did not exceed some bounds.
    Histogram,
}

/// A metric's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not known now.
    Absent,
    /// A whole number.
    Whole(i64),
    /// Any number.
    Real(f64),
    /// Several, by the value of a label.
    Set(&'static str, Vec<(String, i64)>),
    /// Nothing but labels.
    Info(&'static [(&'static str, &'static str)]),
    /// A summary.
    Summary(Summary),
    /// Several, by the value of a label.
    Summaries(&'static str, Vec<(String, Summary)>),
    /// A histogram.
    Histogram(Histogram),
}

/// Many values in a few numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The values.
    pub values: LatencySummary,
    /// How much of them is shown.
    pub detail: Detail,
}

/// How much a summary shows: ZooKeeper's two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The median alone.
    Basic,
    /// The higher quantiles too.
    Advanced,
    /// No quantile.
    Sums,
}

/// Many values, counted in buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// A bound, and how many values did not exceed it.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were altogether.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Kind {
    /// Its name in the exposition.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Summary => "summary",
            Kind::Histogram => "histogram",
        }
    }
}

impl Metric {
    /// Whether ZooKeeper has no such metric.
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("outpost_")
    }

    /// Whether a Java server shows it only to tell of its virtual machine (`metricsProvider.exportJvmInfo`).
    pub fn is_of_java_machine(&self) -> bool {
        self.name.starts_with("jvm_") && !self.in_monitor
    }

    /// The text of the exposition's HELP line.
    pub fn help_and_unit(&self) -> String {
        format!("{} Unit: {}.", self.help, self.unit)
    }

    /// Its row in `docs/operating.md`.
    pub fn documentation(&self) -> String {
        let Metric {
            name, unit, help, ..
        } = self;
        format!("| `{name}` | {} | {unit} | {help} |", self.kind.name())
    }

    /// Shown to Prometheus alone.
    pub(super) const fn scraped_only(mut self) -> Metric {
        self.in_monitor = false;
        self
    }
}

pub(super) type Lookup = fn(&Picture<'_>) -> Value;

pub(super) const fn metric(
    kind: Kind,
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    value: Lookup,
) -> Metric {
    Metric {
        name,
        kind,
        unit,
        help,
        in_monitor: true,
        value,
    }
}

pub(super) const fn gauge(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    value: Lookup,
) -> Metric {
    metric(Kind::Gauge, name, unit, help, value)
}

pub(super) const fn counter(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    value: Lookup,
) -> Metric {
    metric(Kind::Counter, name, unit, help, value)
}

pub(super) const fn summary(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    value: Lookup,
) -> Metric {
    metric(Kind::Summary, name, unit, help, value)
}

const fn histogram(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    value: Lookup,
) -> Metric {
    metric(Kind::Histogram, name, unit, help, value)
}

/// All metrics: ZooKeeper's first, as far as an observer has them.
pub static METRICS: &[Metric] = &[
    // ZooKeeper's gauges.
    gauge(
        "avg_latency",
        "ms",
        "Mean time to answer a request since the start or the last `srst`.",
        |p| Value::Real(p.server.latency_mean()),
    ),
    gauge(
        "max_latency",
        "ms",
        "Longest time to answer a request since the start or the last `srst`.",
        |p| whole(p.server.latency.max),
    ),
    gauge(
        "min_latency",
        "ms",
        "Shortest time to answer a request since the start or the last `srst`.",
        |p| whole(p.server.latency.min),
    ),
    gauge(
        "packets_received",
        "frames",
        "Frames received from clients, four-letter words included, since the start or the last `srst`.",
        |p| whole(p.server.received),
    ),
    gauge(
        "packets_sent",
        "frames",
        "Frames sent to clients since the start or the last `srst`.",
        |p| whole(p.server.sent),
    ),
    gauge(
        "num_alive_connections",
        "connections",
        "Client connections.",
        |p| whole(p.server.connections as u64),
    ),
    gauge(
        "outstanding_requests",
        "requests",
        "Requests received and not yet answered.",
        |p| whole(p.server.outstanding),
    ),
    gauge(
        "connection_drop_probability",
        "0 to 1",
        "How likely a connect request is refused by chance, by `connection_throttle_freeze_time`.",
        |p| Value::Real(p.server.drop_chance),
    ),
    gauge("uptime", "ms", "Time since the process started.", |p| {
        whole(java::millis(p.server.uptime))
    }),
    gauge(
        "znode_count",
        "znodes",
        "Znodes; the root counts twice, as in ZooKeeper.",
        |p| whole(p.tree.node_count as u64),
    ),
    gauge(
        "watch_count",
        "watches",
        "Watches of all clients, child watches included.",
        |p| whole(p.tree.watches as u64),
    ),
    gauge(
        "ephemerals_count",
        "znodes",
        "Ephemeral znodes of the whole ensemble.",
        |p| whole(p.tree.ephemerals as u64),
    ),
    gauge(
        "approximate_data_size",
        "bytes",
        "Length of all paths and all data of the tree.",
        |p| whole(p.tree.approximate_data_size),
    ),
    gauge(
        "global_sessions",
        "sessions",
        "Sessions that the whole ensemble knows.",
        |p| whole(p.tree.global_sessions as u64),
    ),
    gauge(
        "local_sessions",
        "sessions",
        "Sessions that only this server knows.",
        |p| whole(p.local_sessions as u64),
    ),
    gauge(
        "open_file_descriptor_count",
        "descriptors",
        "Open file descriptors, sockets included.",
        |p| known(p.process.open_fds),
    ),
    gauge(
        "max_file_descriptor_count",
        "descriptors",
        "File descriptors that may be open at most.",
        |p| known(p.process.max_fds),
    ),
    gauge(
        "auth_failed_count",
        "attempts",
        "Authentications of clients that failed.",
        |p| whole(p.server.auth_failed),
    ),
    gauge(
        "outstanding_tls_handshake",
        "connections",
        "Connections at ports for TLS whose handshake has not ended.",
        |p| count(&p.stats.handshakes.outstanding),
    ),
    gauge(
        "non_mtls_remote_conn_count",
        "connections",
        "Connections accepted so far from other machines at a port that does not demand TLS; 0 where TLS is spoken nowhere.",
        |p| whole(p.server.plain_remote),
    ),
    gauge(
        "non_mtls_local_conn_count",
        "connections",
        "Connections accepted so far from this machine at a port that does not demand TLS; 0 where TLS is spoken nowhere.",
        |p| whole(p.server.plain_local),
    ),
    gauge("quorum_size", "servers", "Voters of the ensemble.", |p| {
        whole(p.voters as u64)
    }),
    gauge(
        "quota_count_limit_per_namespace",
        "znodes",
        "Quota of znodes, by the first component of its path (label `key`); -1 where there is none.",
        |p| {
            quotas(p, |quota| {
                limit(quota.limits.count_hard_limit, quota.limits.count)
            })
        },
    ),
    gauge(
        "quota_bytes_limit_per_namespace",
        "bytes",
        "Quota of bytes, by the first component of its path (label `key`); -1 where there is none.",
        |p| {
            quotas(p, |quota| {
                limit(quota.limits.byte_hard_limit, quota.limits.bytes)
            })
        },
    ),
    gauge(
        "quota_count_usage_per_namespace",
        "znodes",
        "Znodes that count for a quota, by the first component of its path (label `key`).",
        |p| quotas(p, |quota| quota.count),
    ),
    gauge(
        "quota_bytes_usage_per_namespace",
        "bytes",
        "Bytes that count for a quota, by the first component of its path (label `key`).",
        |p| quotas(p, |quota| quota.bytes),
    ),
    // ZooKeeper's counters.
    counter(
        "connection_request_count",
        "requests",
        "Sessions asked for, new ones and ones that come back.",
        |p| count(&p.stats.connect_requests),
    ),
    counter(
        "insecure_admin_count",
        "connections",
        "Connections to the admin port without TLS, where it may be spoken (`admin.portUnification`).",
        |p| count(&p.stats.plain_admin),
    ),
    counter(
        "connection_rejected",
        "connections",
        "Connections refused because of `maxCnxns`, `maxClientCnxns` or `connection_throttle_tokens`.",
        |p| count(&p.stats.rejected),
    ),
    counter(
        "unsuccessful_handshake",
        "handshakes",
        "TLS handshakes with clients that failed.",
        |p| count(&p.stats.handshakes.failed),
    ),
    counter(
        "tls_handshake_exceeded",
        "connections",
        "Connections closed because too many waited for their TLS handshake already.",
        |p| count(&p.stats.handshakes.exceeded),
    ),
    counter(
        "connection_drop_count",
        "connections",
        "Client connections that the client closed, or that failed.",
        |p| count(&p.stats.dropped),
    ),
    counter(
        "connection_revalidate_count",
        "requests",
        "Sessions that came back on a new connection.",
        |p| count(&p.stats.revalidations),
    ),
    counter(
        "sessionless_connections_expired",
        "connections",
        "Connections closed because they did not ask for a session in time.",
        |p| count(&p.stats.sessionless_expired),
    ),
    counter(
        "stale_sessions_expired",
        "connections",
        "Connections closed because their client was silent for its whole session timeout.",
        |p| count(&p.stats.stale_expired),
    ),
    counter(
        "large_requests_rejected",
        "requests",
        "Large requests that ended their connection because of `largeRequestMaxBytes`.",
        |p| count(&p.stats.large_rejected),
    ),
    counter(
        "bytes_received_count",
        "bytes",
        "Bytes received from clients.",
        |p| whole(p.stats.sum(|worker| &worker.bytes_received)),
    ),
    counter(
        "response_bytes",
        "bytes",
        "Bytes sent to clients, watch events included.",
        |p| whole(p.stats.sum(|worker| &worker.bytes_sent)),
    ),
    counter(
        "watch_bytes",
        "bytes",
        "Bytes of watch events for clients.",
        |p| count(&p.stats.notification_bytes),
    ),
    counter(
        "digest_mismatches_count",
        "transactions",
        "Transactions after which the tree's digest differed from the leader's. Anything but 0 is a bug.",
        |p| count(&p.status.digest_mismatches),
    ),
    counter(
        "learner_commit_received_count",
        "transactions",
        "Committed transactions received from the learner master and applied.",
        |p| count(&p.status.txns_applied),
    ),
    counter(
        "looking_count",
        "times",
        "How often a learner master was looked for.",
        |p| whole(p.status.losses.load(Ordering::Relaxed) + 1),
    ),
    // ZooKeeper's summaries.
    summary(
        "readlatency",
        "ms",
        "Time to answer a read from the tree.",
        |p| latencies(&p.reads),
    ),
    summary(
        "updatelatency",
        "ms",
        "Time from receiving a write to its answer, the way to the leader and back included.",
        |p| latencies(&p.writes),
    ),
    summary(
        "propagation_latency",
        "ms",
        "From the leader's clock in a transaction to its application here, while following. The two clocks may differ.",
        |p| latencies(&LatencySummary::of([&p.status.propagation])),
    ),
    summary(
        "observer_sync_time",
        "ms",
        "Time a synchronisation with a learner master took.",
        |p| basic(&p.status.synchronizations),
    ),
    // The link.
    gauge(
        "outpost_link_attached",
        "0 or 1",
        "Whether the link to the ensemble is up and the mirror follows it.",
        |p| flag(p.link.state == LinkState::Attached),
    ),
    gauge(
        "outpost_link_state",
        "0, 1 or 2",
        "What the link does: 0 looks for a learner master, 1 synchronises, 2 follows.",
        |p| Value::Whole(p.link.state as i64),
    ),
    gauge(
        "outpost_serving",
        "0 or 1",
        "Whether clients are served, other than read-only.",
        |p| flag(p.serving),
    ),
    gauge(
        "outpost_read_only",
        "0 or 1",
        "Whether clients that ask for it are served read-only, from a mirror that has lost its link for longer than the hold time (`readonlymode.enabled`).",
        |p| flag(p.server.read_only),
    ),
    gauge(
        "outpost_ready",
        "0 or 1",
        "Whether new clients are welcome, as `/ready` says.",
        |p| flag(p.ready),
    ),
    gauge(
        "outpost_lag_transactions",
        "transactions",
        "Transactions that the leader is known to have and the mirror has not.",
        |p| whole(p.link.lag_zxids),
    ),
    gauge(
        "outpost_lag_seconds",
        "seconds",
        "Time since the mirror was last known to be level with the leader, or since the start if it never was; 0 while it is. Grows too while the leader is silent for longer than half of `outpost.linkTimeout`, or owes an answer for so long.",
        |p| Value::Real(p.link.lag.as_secs_f64()),
    ),
    gauge(
        "outpost_propagation_seconds",
        "seconds",
        "From the leader's clock in the newest transaction to its application here. The two clocks may differ.",
        |p| Value::Real(p.status.propagation_ms.load(Ordering::Relaxed) as f64 / 1000.0),
    ),
    gauge(
        "outpost_applied_zxid",
        "zxid",
        "Last transaction applied; the epoch stands in the upper 32 bits.",
        |p| Value::Whole(p.tree.last_zxid.0),
    ),
    gauge(
        "outpost_leader_zxid",
        "zxid",
        "Newest transaction that the leader is known to have.",
        |p| Value::Whole(p.link.leader_zxid.0),
    ),
    gauge(
        "outpost_link_age_seconds",
        "seconds",
        "For how long the present learner master has been the other end; 0 without one.",
        |p| {
            Value::Real(
                p.link
                    .master
                    .as_ref()
                    .map_or(0.0, |master| master.age.as_secs_f64()),
            )
        },
    ),
    gauge(
        "outpost_link_round_trip_seconds",
        "seconds",
        "How long the leader took to answer a SYNC lately: the way there and back, and what it had in its queue for us; 0 before the first.",
        |p| Value::Real(p.link.round_trip.unwrap_or_default().as_secs_f64()),
    ),
    gauge(
        "outpost_link_detached_seconds",
        "seconds",
        "For how long no learner master has been followed; 0 while one is. Before the first, since the start.",
        |p| Value::Real(p.link.detached_for.unwrap_or_default().as_secs_f64()),
    ),
    gauge(
        "outpost_hold_seconds",
        "seconds",
        "For how long clients are held without a learner master (`outpost.hold`).",
        |p| Value::Real(p.hold.as_secs_f64()),
    ),
    gauge(
        "outpost_last_sync_seconds",
        "seconds",
        "How long the last synchronisation took.",
        |p| Value::Real(p.status.last_sync_ms.load(Ordering::Relaxed) as f64 / 1000.0),
    ),
    gauge(
        "outpost_snapshot_znodes",
        "znodes",
        "Znodes of the snapshot that is arriving; 0 when none is.",
        |p| arriving(p, |arriving| arriving.received.znodes),
    ),
    gauge(
        "outpost_snapshot_bytes",
        "bytes",
        "Bytes of the snapshot that is arriving; 0 when none is.",
        |p| arriving(p, |arriving| arriving.received.bytes),
    ),
    gauge(
        "outpost_snapshot_expected_bytes",
        "bytes",
        "About how many bytes the snapshot that is arriving will have, if the tree is as large as the one that is served; 0 when none is arriving, or none is served yet.",
        |p| arriving(p, |arriving| arriving.bytes_expected.unwrap_or(0)),
    ),
    gauge(
        "outpost_snapshot_seconds",
        "seconds",
        "For how long the snapshot has been arriving; 0 when none is.",
        |p| Value::Real(p.link.arriving.map_or(0.0, |arriving| arriving.since.elapsed().as_secs_f64())),
    ),
    gauge(
        "outpost_requests_in_flight",
        "requests",
        "Requests on their way to the leader or back.",
        |p| count(&p.status.in_flight),
    ),
    gauge(
        "outpost_apply_queue_events",
        "events",
        "Transactions and answers of the leader that wait to be applied.",
        |p| count(&p.status.apply_queue),
    ),
    gauge(
        "outpost_apply_queue_bytes",
        "bytes",
        "Bytes of those.",
        |p| count(&p.status.apply_queue_bytes),
    ),
    counter(
        "outpost_transactions_applied_total",
        "transactions",
        "Transactions applied, those of synchronisations included.",
        |p| count(&p.status.txns_applied),
    ),
    counter(
        "outpost_link_received_bytes_total",
        "bytes",
        "Bytes received from learner masters.",
        |p| count(&p.status.bytes_received),
    ),
    counter(
        "outpost_link_sent_bytes_total",
        "bytes",
        "Bytes sent to learner masters.",
        |p| count(&p.status.bytes_sent),
    ),
    counter(
        "outpost_requests_forwarded_total",
        "requests",
        "Requests forwarded to the leader.",
        |p| count(&p.status.requests_forwarded),
    ),
    counter(
        "outpost_attachments_total",
        "times",
        "How often the mirror became attached.",
        |p| count(&p.status.attachments),
    ),
    counter(
        "outpost_link_losses_total",
        "times",
        "How often a link was lost, by `reason`; the last ones stand in the command `link_losses`.",
        |p| Value::Set("reason", labelled(p.status.losses_by_label())),
    ),
    histogram(
        "outpost_link_reattach_seconds",
        "seconds",
        "From the loss of a link until writes were served again.",
        |p| times(&p.status.reattach.view()),
    ),
    counter(
        "outpost_writes_resolved_total",
        "requests",
        "Requests that were in flight when a link was lost, by `outcome`: `answered` found in what the next master sent, `unknown` not to be found out, their clients were closed.",
        |p| {
            let status = p.status;
            let outcomes = [
                ("answered", &status.writes_answered),
                ("unknown", &status.writes_unknown),
            ];
            Value::Set(
                "outcome",
                labelled(outcomes.map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))),
            )
        },
    ),
    counter(
        "outpost_clients_kept_total",
        "clients",
        "Clients that kept their connection while a link was lost and made again, each counted at every loss.",
        |p| count(&p.status.clients_kept),
    ),
    counter(
        "outpost_clients_closed_total",
        "clients",
        "Client connections that this server ended of its own accord, by `cause`. When a link was lost: `lease` the leader could have expired the session, `hold` the hold was over, `unknown_fate` of a write, `expired` the session was gone, `moved` it lives elsewhere, `left` the client was silent for so long that it may have gone elsewhere, `back_in_time` the leader has lost what clients have seen, `diverged` the mirror differed from the leader's tree. At any time: `replaced` the session came back on another connection here, `refused` the leader did not make it, `unread` what was sent, `out_of_order` an answer of the leader, `shutting_down`, `read_write` it was served read-only and the link is back, `unread_most` all clients left too much unread and it left most.",
        |p| Value::Set("cause", labelled(p.stats.closed().0)),
    ),
    counter(
        "outpost_snapshots_total",
        "snapshots",
        "Snapshots received whole.",
        |p| count(&p.status.snapshots),
    ),
    counter(
        "outpost_digests_compared_total",
        "transactions",
        "Transactions after which the tree's digest was compared with the leader's.",
        |p| count(&p.status.digests_compared),
    ),
    // Clients.
    gauge(
        "outpost_client_sessions",
        "sessions",
        "Client connections that have a session.",
        |p| whole(p.server.sessions as u64),
    ),
    counter(
        "outpost_connections_accepted_total",
        "connections",
        "Client connections accepted, those refused afterwards included.",
        |p| count(&p.stats.accepted),
    ),
    counter(
        "outpost_connections_cut_total",
        "connections",
        "Client connections ended by this server, by `cause`: `malformed` bytes that are no request, `outbox` does not read what it is sent, `sessionless` asked for no session in time, `silent` for its whole session timeout.",
        |p| Value::Set("cause", cut(p)),
    ),
    gauge(
        "outpost_connections_max",
        "connections",
        "Client connections that there may be: `maxCnxns`, or what file descriptors allow if that is less.",
        |p| known(p.server.connections_max),
    ),
    counter(
        "outpost_limit_reached_total",
        "times",
        "How often clients have met a limit, by which one (label `limit`, see [limits](#limits)).",
        |p| Value::Set("limit", labelled(p.stats.reached.all())),
    ),
    counter(
        "outpost_tls_handshakes_total",
        "handshakes",
        "TLS handshakes with clients that succeeded, by how (label `kind`): `full`, or `resumed` where the client went on with an earlier session of TLS.",
        |p| Value::Set("kind", handshakes(p)),
    ),
    gauge(
        "outpost_large_request_bytes",
        "bytes",
        "Bytes of the requests in work that are longer than `largeRequestThreshold`.",
        |p| whole(p.server.large_bytes),
    ),
    counter(
        "outpost_reads_total",
        "requests",
        "Reads answered from the tree as they came.",
        |p| whole(p.stats.sum(|worker| &worker.reads)),
    ),
    counter(
        "outpost_watch_events_total",
        "events",
        "Watch events for clients.",
        |p| count(&p.stats.notifications),
    ),
    counter(
        "outpost_requests_refused_total",
        "requests",
        "Requests refused here because no leader should see them.",
        |p| count(&p.stats.refused),
    ),
    // TLS.
    counter(
        "outpost_tls_reloads_total",
        "reloads",
        "Changed key and trust stores that were read again, by whether they could be used.",
        |p| Value::Set("outcome", reloads(p)),
    ),
    gauge(
        "outpost_tls_certificate_expiry_timestamp_seconds",
        "seconds since 1970",
        "When the certificate that Outpost shows expires, or an earlier one of its chain, by the family of keys.",
        |p| Value::Set("store", expiries(p)),
    )
    .scraped_only(),
    // SASL.
    counter(
        "outpost_sasl_reloads_total",
        "reloads",
        "Changed JAAS files that were read again, by whether they could be used.",
        |p| Value::Set("outcome", jaas_reloads(p)),
    ),
    // The process.
    gauge(
        "outpost_memory_allocated_bytes",
        "bytes",
        "Memory in use, as the allocator counts it.",
        |p| known(p.memory.map(|memory| memory.allocated)),
    ),
    gauge(
        "outpost_memory_resident_bytes",
        "bytes",
        "Memory that the allocator holds from the system.",
        |p| known(p.memory.map(|memory| memory.resident)),
    ),
    gauge(
        "outpost_memory_active_bytes",
        "bytes",
        "Memory in pages that are in use, as the allocator counts it.",
        |p| known(p.memory.map(|memory| memory.active)),
    ),
    gauge(
        "outpost_memory_mapped_bytes",
        "bytes",
        "Addresses that the allocator uses.",
        |p| known(p.memory.map(|memory| memory.mapped)),
    ),
    gauge(
        "outpost_memory_retained_bytes",
        "bytes",
        "Addresses that the allocator keeps for later, without memory behind them.",
        |p| known(p.memory.map(|memory| memory.retained)),
    ),
    gauge(
        "outpost_memory_holder_bytes",
        "bytes",
        "Memory by `holder`; what is missing to `outpost_memory_allocated_bytes` is in nobody's name.",
        |p| Value::Set("holder", labelled(p.holders.clone())),
    ),
    counter(
        "outpost_log_lines_lost_total",
        "lines",
        "Lines of the log that were lost, because whoever reads standard error was too slow or is gone.",
        |_| Value::Whole(logs::lost().cast_signed()),
    ),
    counter(
        "outpost_audit_lines_total",
        "lines",
        "Lines of the audit log.",
        |p| Value::Whole(p.audit.0.cast_signed()),
    ),
    counter(
        "outpost_audit_lines_lost_total",
        "lines",
        "Lines of the audit log that could not be written to `outpost.auditFile`.",
        |p| Value::Whole(p.audit.1.cast_signed()),
    ),
    gauge(
        "outpost_build_info",
        "1",
        "Which sources this is built from: labels `version`, `commit` and `profile`.",
        |_| {
            Value::Info(&[
                ("version", build_info::VERSION),
                ("commit", build_info::COMMIT),
                ("profile", build_info::PROFILE),
            ])
        },
    )
    .scraped_only(),
    counter(
        "process_cpu_seconds_total",
        "seconds",
        "Processor time used, user and system.",
        |p| Value::Real(p.process.cpu_seconds),
    )
    .scraped_only(),
    gauge(
        "process_resident_memory_bytes",
        "bytes",
        "Memory of the process.",
        |p| known(p.process.resident_bytes),
    )
    .scraped_only(),
    gauge(
        "process_virtual_memory_bytes",
        "bytes",
        "Address space of the process.",
        |p| known(p.process.virtual_bytes),
    )
    .scraped_only(),
    gauge(
        "process_open_fds",
        "descriptors",
        "Open file descriptors.",
        |p| known(p.process.open_fds),
    )
    .scraped_only(),
    gauge(
        "process_max_fds",
        "descriptors",
        "File descriptors that may be open at most.",
        |p| known(p.process.max_fds),
    )
    .scraped_only(),
    gauge(
        "process_threads",
        "threads",
        "Threads of the process.",
        |p| known(p.process.threads),
    )
    .scraped_only(),
    gauge(
        "process_start_time_seconds",
        "seconds",
        "When the process started, in seconds since 1970.",
        |p| {
            let started = java::epoch_ms(process::started(p.server.uptime));
            Value::Real(started as f64 / 1000.0)
        },
    )
    .scraped_only(),
];

pub(super) fn whole(value: u64) -> Value {
    Value::Whole(i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn known(value: Option<u64>) -> Value {
    value.map_or(Value::Absent, whole)
}

/// A figure of the snapshot that is arriving.
fn arriving(p: &Picture<'_>, figure: fn(&Arriving) -> u64) -> Value {
    Value::Whole(p.link.arriving.as_ref().map_or(0, figure).cast_signed())
}

pub(super) fn count(counter: &AtomicU64) -> Value {
    whole(counter.load(Ordering::Relaxed))
}

pub(super) fn flag(set: bool) -> Value {
    Value::Whole(i64::from(set))
}

pub(super) fn latencies(values: &LatencySummary) -> Value {
    Value::Summary(Summary {
        values: values.clone(),
        detail: Detail::Advanced,
    })
}

/// With the median alone, as ZooKeeper keeps its basic summaries.
pub(super) fn basic(latencies: &Latencies) -> Value {
    Value::Summary(Summary {
        values: LatencySummary::of([latencies]),
        detail: Detail::Basic,
    })
}

/// A hard limit goes before a soft one, as in `QuotaMetricsUtils`.
fn handshakes(picture: &Picture<'_>) -> Vec<(String, i64)> {
    let handshakes = &picture.stats.handshakes;
    let resumed = handshakes.resumed.load(Ordering::Relaxed);
    let full = handshakes
        .done
        .load(Ordering::Relaxed)
        .saturating_sub(resumed);
    labelled([("full", full), ("resumed", resumed)])
}

fn limit(hard: i64, soft: i64) -> i64 {
    if hard > -1 { hard } else { soft }
}

/// Summed up by the first component of the path: two quotas of one namespace are one series.
fn quotas(picture: &Picture<'_>, of: fn(&QuotaUsage) -> i64) -> Value {
    let mut values: Vec<(String, i64)> = Vec::new();
    for quota in &picture.tree.quotas {
        let path = quota.path.to_string();
        let namespace = path.split('/').find(|part| !part.is_empty());
        let namespace = namespace.unwrap_or_default();
        match values.iter_mut().find(|(known, _)| known == namespace) {
            Some((_, value)) => *value += of(quota),
            None => values.push((namespace.to_owned(), of(quota))),
        }
    }
    Value::Set("key", values)
}

pub(super) fn labelled(
    counts: impl IntoIterator<Item = (&'static str, u64)>,
) -> Vec<(String, i64)> {
    let named = counts.into_iter();
    named
        .map(|(name, count)| (name.to_owned(), i64::try_from(count).unwrap_or(i64::MAX)))
        .collect()
}

fn times(view: &HistogramView) -> Value {
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let bounds = histogram::BOUNDS_MS.into_iter().map(seconds);
    Value::Histogram(Histogram {
        buckets: bounds.zip(view.cumulative).collect(),
        count: view.count,
        sum: seconds(view.sum_ms),
    })
}

fn cut(picture: &Picture<'_>) -> Vec<(String, i64)> {
    let stats = picture.stats;
    let causes = [
        ("malformed", &stats.malformed),
        ("outbox", &stats.outbox_overflows),
        ("sessionless", &stats.sessionless_expired),
        ("silent", &stats.stale_expired),
    ];
    labelled(causes.map(|(cause, counter)| (cause, counter.load(Ordering::Relaxed))))
}

fn reloads(picture: &Picture<'_>) -> Vec<(String, i64)> {
    let sum = |of: fn(&StoreReport) -> u64| picture.stores.iter().map(of).sum::<u64>();
    let counts = [
        ("loaded", sum(|store| store.loaded)),
        ("failed", sum(|store| store.failed)),
    ];
    counts
        .map(|(outcome, count)| (outcome.to_owned(), count.cast_signed()))
        .to_vec()
}

fn jaas_reloads(picture: &Picture<'_>) -> Vec<(String, i64)> {
    let JaasReloads { loaded, failed } = picture.jaas_reloads;
    let counts = [("loaded", loaded), ("failed", failed)];
    labelled(counts.map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed))))
}

fn expiries(picture: &Picture<'_>) -> Vec<(String, i64)> {
    let shown = picture.stores.iter();
    let shown = shown.filter_map(|store| Some((store.family.to_owned(), store.expires?)));
    shown.collect()
}
