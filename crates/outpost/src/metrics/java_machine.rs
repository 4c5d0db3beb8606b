//! What dashboards and rules made for Java servers ask about the virtual machine, told of this process
//! (`metricsProvider.exportJvmInfo`). There is no such machine, but memory that fills up and threads there are.

use outpost_forward::latencies::LatencySummary;

use crate::metrics::table::{Detail, Metric, Summary, Value, gauge, known, summary};
use crate::report::Picture;

/// The metrics.
pub(super) static METRICS: &[Metric] = &[
    gauge(
        "jvm_memory_bytes_used",
        "bytes",
        "Memory in use, as the allocator counts it (`outpost_memory_allocated_bytes`).",
        |p| in_area("area", "heap", allocated(p)),
    )
    .scraped_only(),
    gauge(
        "jvm_memory_bytes_committed",
        "bytes",
        "Memory that the allocator holds from the system (`outpost_memory_resident_bytes`).",
        |p| in_area("area", "heap", resident(p)),
    )
    .scraped_only(),
    gauge(
        "jvm_memory_bytes_max",
        "bytes",
        "Memory that the process may use: the limit of its control group, or what the machine has.",
        |p| in_area("area", "heap", p.process.memory_limit),
    )
    .scraped_only(),
    gauge(
        "jvm_memory_pool_bytes_used",
        "bytes",
        "The same as `jvm_memory_bytes_used`; there is one pool.",
        |p| in_area("pool", "jemalloc", allocated(p)),
    )
    .scraped_only(),
    gauge(
        "jvm_memory_pool_bytes_committed",
        "bytes",
        "The same as `jvm_memory_bytes_committed`.",
        |p| in_area("pool", "jemalloc", resident(p)),
    )
    .scraped_only(),
    gauge(
        "jvm_memory_pool_bytes_max",
        "bytes",
        "The same as `jvm_memory_bytes_max`.",
        |p| in_area("pool", "jemalloc", p.process.memory_limit),
    )
    .scraped_only(),
    summary(
        "jvm_gc_collection_seconds",
        "seconds",
        "Time that collecting garbage has taken; there is none to be collected.",
        |_| {
            let values = LatencySummary::default();
            let detail = Detail::Sums;
            Value::Summaries("gc", vec![("none".to_owned(), Summary { values, detail })])
        },
    )
    .scraped_only(),
    gauge(
        "jvm_threads_current",
        "threads",
        "Threads of the process (`process_threads`).",
        |p| known(p.process.threads),
    )
    .scraped_only(),
    gauge(
        "jvm_threads_deadlocked",
        "threads",
        "Threads that wait for each other; nobody looks for such.",
        |_| Value::Whole(0),
    )
    .scraped_only(),
];

fn allocated(picture: &Picture<'_>) -> Option<u64> {
    picture.memory.map(|memory| memory.allocated)
}

fn resident(picture: &Picture<'_>) -> Option<u64> {
    picture.memory.map(|memory| memory.resident)
}

fn in_area(label: &'static str, of: &str, bytes: Option<u64>) -> Value {
    bytes.map_or(Value::Absent, |bytes| {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        Value::Set(label, vec![(of.to_owned(), bytes)])
    })
}
