//! The text that Prometheus reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outpost::metrics::{self, Detail, Value};
use outpost::report::Report;
use outpost::serve::client::Cause;
use outpost_forward::Lost;

use crate::server::{NOBODY, Server, get};

/// What an exposition holds.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Every metric with its type.
    pub(crate) types: BTreeMap<String, String>,
    /// Every series with its value.
    pub(crate) samples: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads the text; a panic for anything that is none, and for whatever stands there twice.
    pub(crate) fn parse(text: &str) -> Exposition {
        let mut read = Exposition::default();
        let mut helped = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let kinds = ["gauge", "counter", "summary", "histogram"];
                assert!(kinds.contains(&kind), "{line}");
                let before = read.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{line}");
            } else {
                read.sample(line);
            }
        }
        let typed: BTreeSet<String> = read.types.keys().cloned().collect();
        assert_eq!(typed, helped);
        read
    }

    fn sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let is_name = |name: &str| {
            let mut letters = name.bytes();
            letters.next().is_some_and(|b| b.is_ascii_alphabetic())
                && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        assert!(is_name(name) && labels.ends_with('}'), "{line}");
        let labels = labels.trim_end_matches('}');
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once('=').unwrap();
            let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
            assert!(is_name(name) && quoted, "{line}");
        }
        let parts = [
            ("_sum", "summary"),
            ("_count", "summary"),
            ("_sum", "histogram"),
            ("_count", "histogram"),
            ("_bucket", "histogram"),
        ];
        let family = parts
            .iter()
            .filter_map(|(part, kind)| Some((name.strip_suffix(part)?, *kind)))
            .find(|(family, kind)| self.types.get(*family).is_some_and(|known| known == kind))
            .map_or(name, |(family, _)| family);
        assert!(self.types.contains_key(family), "no type before {line}");
        let before = self.samples.insert(series.to_owned(), value);
        assert_eq!(before, None, "twice: {line}");
    }

    /// The value of a series.
    pub(crate) fn value(&self, series: &str) -> f64 {
        let value = self.samples.get(series);
        *value.unwrap_or_else(|| panic!("no {series}"))
    }
}

#[tokio::test]
async fn the_exposition_is_well_formed_and_holds_the_metrics_of_the_table_and_no_others() {
    let server = Server::start(NOBODY).await;
    let (status, text) = get(server.metrics, "/metrics").await;
    assert_eq!(status, 200);
    let read = Exposition::parse(&text);
    for metric in metrics::all() {
        let kind = read.types.get(metric.name);
        assert_eq!(
            kind.map(String::as_str),
            Some(metric.kind.name()),
            "{}",
            metric.name
        );
    }
    let known: BTreeSet<&str> = metrics::all().map(|metric| metric.name).collect();
    let strangers = read
        .types
        .keys()
        .filter(|name| !known.contains(name.as_str()));
    assert_eq!(strangers.count(), 0, "{:?}", read.types);
    assert_eq!(read.value("outpost_serving"), 0.0);
    assert_eq!(read.value("outpost_ready"), 0.0);
    assert_eq!(read.value("outpost_link_attached"), 0.0);
    assert_eq!(read.value("quorum_size"), 3.0);
    let (_, on_admin_port) = server.get("/metrics").await;
    assert_eq!(Exposition::parse(&on_admin_port).types, read.types);
    server.stop().await;
}

#[tokio::test]
async fn summaries_have_their_quantiles_sum_and_count() {
    let server = Server::start(NOBODY).await;
    server.service.stats.worker(0).note_turn(3, 3, 3, 4);
    server.service.stats.note_write(150);
    let (_, text) = get(server.metrics, "/metrics").await;
    let read = Exposition::parse(&text);
    assert_eq!(read.value("readlatency{quantile=\"0.5\"}"), 4.0);
    assert_eq!(read.value("readlatency_sum"), 12.0);
    assert_eq!(read.value("readlatency_count"), 3.0);
    assert_eq!(read.value("updatelatency{quantile=\"0.99\"}"), 150.0);
    assert_eq!(read.value("avg_latency"), 40.5);
    // Of no values there is no quantile.
    assert!(read.value("propagation_latency{quantile=\"0.5\"}").is_nan());
    let report = Report::of(&server.service);
    let picture = report.picture();
    for metric in metrics::all() {
        if let Value::Summary(summary) = (metric.value)(&picture) {
            let quantiles = match summary.detail {
                Detail::Basic => &["0.5"][..],
                Detail::Advanced => &["0.5", "0.9", "0.99"],
                Detail::Sums => &[],
            };
            for quantile in quantiles {
                read.value(&format!("{}{{quantile=\"{quantile}\"}}", metric.name));
            }
            read.value(&format!("{}_count", metric.name));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_lost_link_may_cost_is_counted_from_the_start_with_every_reason_cause_and_outcome() {
    let server = Server::start(&format!("{NOBODY}outpost.hold=7500\n")).await;
    let (_, text) = get(server.metrics, "/metrics").await;
    let read = Exposition::parse(&text);
    for reason in Lost::LABELS {
        let series = format!("outpost_link_losses_total{{reason=\"{reason}\"}}");
        assert_eq!(read.value(&series), 0.0, "{series}");
    }
    let help = metrics::all()
        .find(|metric| metric.name == "outpost_clients_closed_total")
        .unwrap()
        .help;
    for cause in Cause::ALL {
        let label = cause.label();
        let series = format!("outpost_clients_closed_total{{cause=\"{label}\"}}");
        assert_eq!(read.value(&series), 0.0, "{series}");
        assert!(help.contains(&format!("`{label}`")), "{label}");
    }
    for outcome in ["answered", "unknown"] {
        let series = format!("outpost_writes_resolved_total{{outcome=\"{outcome}\"}}");
        assert_eq!(read.value(&series), 0.0, "{series}");
    }
    assert_eq!(read.value("outpost_clients_kept_total"), 0.0);
    assert_eq!(read.value("outpost_link_state"), 0.0);
    assert_eq!(read.value("outpost_hold_seconds"), 7.5);
    assert!(read.value("outpost_link_detached_seconds") > 0.0);
    server.stop().await;
}

#[tokio::test]
async fn a_histogram_has_its_buckets_sum_and_count() {
    let server = Server::start(NOBODY).await;
    let reattach = &server.service.link.status().reattach;
    reattach.note(Duration::from_millis(180));
    reattach.note(Duration::from_secs(3));
    let (_, text) = get(server.metrics, "/metrics").await;
    let read = Exposition::parse(&text);
    let name = "outpost_link_reattach_seconds";
    for (bound, count) in [
        ("0.05", 0.0),
        ("0.25", 1.0),
        ("5", 2.0),
        ("60", 2.0),
        ("+Inf", 2.0),
    ] {
        let series = format!("{name}_bucket{{le=\"{bound}\"}}");
        assert_eq!(read.value(&series), count, "{series}");
    }
    assert_eq!(read.value(&format!("{name}_sum")), 3.18);
    assert_eq!(read.value(&format!("{name}_count")), 2.0);
    server.stop().await;
}

#[tokio::test]
async fn under_the_names_of_3_10_counters_end_in_total_and_the_rest_is_the_same() {
    let server = Server::start(NOBODY).await;
    let (_, old) = get(server.metrics, "/metrics").await;
    server.stop().await;
    let server = Server::start(&format!("{NOBODY}outpost.metricsNames=3.10\n")).await;
    let (_, new) = get(server.metrics, "/metrics").await;
    server.stop().await;
    let (old, new) = (Exposition::parse(&old), Exposition::parse(&new));
    let renamed: BTreeMap<String, String> = old
        .types
        .iter()
        .map(|(name, kind)| {
            let total = kind == "counter" && !name.ends_with("_total");
            let name = name
                .replace("jvm_memory_bytes_used", "jvm_memory_used_bytes")
                .replace("jvm_memory_bytes_committed", "jvm_memory_committed_bytes")
                .replace("jvm_memory_bytes_max", "jvm_memory_max_bytes")
                .replace("jvm_memory_pool_bytes_used", "jvm_memory_pool_used_bytes")
                .replace(
                    "jvm_memory_pool_bytes_committed",
                    "jvm_memory_pool_committed_bytes",
                )
                .replace("jvm_memory_pool_bytes_max", "jvm_memory_pool_max_bytes");
            (name + if total { "_total" } else { "" }, kind.clone())
        })
        .collect();
    assert_eq!(new.types, renamed);
    assert!(new.samples.contains_key("readlatency{quantile=\"0.95\"}"));
    assert!(!new.samples.contains_key("readlatency{quantile=\"0.9\"}"));
}

#[tokio::test]
async fn of_a_virtual_machine_nothing_is_told_where_that_is_switched_off() {
    let lines = format!("{NOBODY}metricsProvider.exportJvmInfo=false\n");
    let server = Server::start(&lines).await;
    let (_, text) = get(server.metrics, "/metrics").await;
    let read = Exposition::parse(&text);
    let told = read.types.keys().filter(|name| name.starts_with("jvm_"));
    // Metrics of ZooKeeper's own that have such a name.
    assert_eq!(told.collect::<Vec<_>>(), ["jvm_pause_time_ms"]);
    server.stop().await;
}
