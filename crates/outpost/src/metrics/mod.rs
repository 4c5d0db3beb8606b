//! Metrics: one table (`table.rs`) with the name, the unit and the meaning of each, shown as the
//! Prometheus exposition, as `mntr` and as the admin command `monitor`.
//!
//! Nothing is recorded here. Values are looked up when somebody asks, so a metric costs nothing while
//! nobody does.

mod as_prometheus;
mod table;

use std::fmt::{self, Display, Write as _};

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder, formatting};

use crate::report::{Facts, Picture, java};

pub use as_prometheus::monitor_as_prometheus;
pub use table::{Histogram, Kind, METRICS, Metric, Summary, Value};

/// Type of the exposition's text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// The exposition that Prometheus scrapes.
pub fn exposition(picture: &Picture<'_>) -> String {
    // A recorder of its own for each scrape: what is gone, such as a quota, does not linger.
    let recorder = PrometheusBuilder::new().build_recorder();
    let mut others = String::new();
    for metric in METRICS {
        match (metric.value)(picture) {
            Value::Absent => {}
            Value::Whole(value) => record(&recorder, metric, None, value as f64),
            // The recorder counts in whole numbers.
            Value::Real(value) if metric.kind == Kind::Counter => {
                write_head(&mut others, metric);
                let _ = writeln!(others, "{} {value}\n", metric.name);
            }
            Value::Real(value) => record(&recorder, metric, None, value),
            Value::Set(label, values) => {
                for (of, value) in values {
                    record(&recorder, metric, Some(Label::new(label, of)), value as f64);
                }
            }
            Value::Summary(summary) => write_summary(&mut others, metric, &summary),
            Value::Histogram(histogram) => write_histogram(&mut others, metric, &histogram),
        }
    }
    let mut text = recorder.handle().render();
    text.push_str(&others);
    text
}

fn record(recorder: &PrometheusRecorder, metric: &Metric, label: Option<Label>, value: f64) {
    let key = Key::from_parts(metric.name, Vec::from_iter(label));
    let help = metric.help_and_unit().into();
    match metric.kind {
        Kind::Counter => {
            recorder.describe_counter(metric.name.into(), None, help);
            let counter = recorder.register_counter(&key, &METADATA);
            counter.absolute(value as u64);
        }
        Kind::Gauge | Kind::Summary | Kind::Histogram => {
            recorder.describe_gauge(metric.name.into(), None, help);
            recorder.register_gauge(&key, &METADATA).set(value);
        }
    }
}

/// The recorder makes summaries of samples; ours are made already.
fn write_summary(text: &mut String, metric: &Metric, summary: &Summary) {
    write_head(text, metric);
    let name = metric.name;
    for (quantile, _, value) in &summary.quantiles {
        let _ = writeln!(text, "{name}{{quantile=\"{quantile}\"}} {value}");
    }
    let _ = writeln!(text, "{name}_sum {}", summary.sum);
    let _ = writeln!(text, "{name}_count {}\n", summary.count);
}

/// The recorder fills buckets by itself; ours are filled already.
fn write_histogram(text: &mut String, metric: &Metric, histogram: &Histogram) {
    write_head(text, metric);
    let name = metric.name;
    for (bound, count) in &histogram.buckets {
        let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
    }
    let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {}", histogram.count);
    let _ = writeln!(text, "{name}_sum {}", histogram.sum);
    let _ = writeln!(text, "{name}_count {}\n", histogram.count);
}

fn write_head(text: &mut String, metric: &Metric) {
    let (name, kind) = (metric.name, metric.kind.name());
    formatting::write_help_line(text, name, None, None, &metric.help_and_unit());
    formatting::write_type_line(text, name, None, None, kind);
}

/// A value that `mntr` or `monitor` shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// Text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A Java double.
    Real(f64),
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::Text(text) => f.write_str(text),
            Shown::Whole(value) => write!(f, "{value}"),
            Shown::Real(value) => f.write_str(&java::double(*value)),
        }
    }
}

/// What `mntr` shows behind `zk_`, and `monitor` without it. Names of parts of a summary and of a set are
/// made as by ZooKeeper's default metrics provider.
pub fn monitor(picture: &Picture<'_>, facts: &Facts) -> Vec<(String, Shown)> {
    let master = picture.link.master.as_ref();
    let text = |text: &str| Shown::Text(text.to_owned());
    let mut shown = vec![
        ("version".to_owned(), text(&facts.version)),
        ("server_state".to_owned(), text(picture.server.mode())),
        ("peer_state".to_owned(), text(picture.link.peer_state())),
        (
            "observer_master_id".to_owned(),
            Shown::Whole(master.map_or(-1, |master| master.server.0)),
        ),
    ];
    for metric in METRICS.iter().filter(|metric| metric.in_monitor) {
        show(metric, (metric.value)(picture), &mut shown);
    }
    shown
}

fn show(metric: &Metric, value: Value, shown: &mut Vec<(String, Shown)>) {
    let name = metric.name;
    match value {
        Value::Absent => {}
        Value::Whole(value) => shown.push((name.to_owned(), Shown::Whole(value))),
        Value::Real(value) => shown.push((name.to_owned(), Shown::Real(value))),
        Value::Set(_, values) => {
            for (of, value) in values {
                let name = match metric.is_ours() {
                    true => format!("{name}_{of}"),
                    false => format!("{of}_{name}"),
                };
                shown.push((name, Shown::Whole(value)));
            }
        }
        Value::Summary(summary) => show_summary(name, &summary, shown),
        Value::Histogram(histogram) => {
            let count = Shown::Whole(histogram.count.cast_signed());
            shown.push((format!("{name}_count"), count));
            shown.push((format!("{name}_sum"), Shown::Real(histogram.sum)));
        }
    }
}

fn show_summary(name: &str, summary: &Summary, shown: &mut Vec<(String, Shown)>) {
    let mean = Shown::Real(java::mean(summary.sum, summary.count));
    shown.push((format!("avg_{name}"), mean));
    let parts = [
        ("min", summary.min),
        ("max", summary.max),
        ("cnt", summary.count),
        ("sum", summary.sum),
    ];
    let quantiles = summary.quantiles.iter();
    let quantiles = quantiles.filter(|(_, part, _)| !part.is_empty());
    let quantiles = quantiles.map(|(_, part, value)| (*part, *value));
    for (part, value) in parts.into_iter().chain(quantiles) {
        shown.push((format!("{part}_{name}"), Shown::Whole(value.cast_signed())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outpost_forward::Lost;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_of_the_table_stands_in_the_documentation_with_its_type_and_unit_and_no_other_does()
     {
        let documentation = include_str!("../../../../docs/operating.md");
        let (_, section) = documentation.split_once("\n## Metrics\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let mut documented: Vec<String> = section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(ToOwned::to_owned)
            .collect();
        documented.sort();
        let mut wanted: Vec<String> = METRICS.iter().map(Metric::documentation).collect();
        wanted.sort();
        if documented != wanted {
            let missing: Vec<_> = wanted.iter().filter(|l| !documented.contains(l)).collect();
            let surplus: Vec<_> = documented.iter().filter(|l| !wanted.contains(l)).collect();
            panic!(
                "missing or different in docs/operating.md:\n{missing:#?}\nnot in the table:\n{surplus:#?}"
            );
        }
    }

    #[test]
    fn every_reason_for_which_a_link_ends_stands_in_the_documentation_and_no_other_does() {
        let documentation = include_str!("../../../../docs/operating.md");
        let (_, table) = documentation.split_once("\n| reason |").unwrap();
        let table = table.split("\n\n").next().unwrap();
        let documented: BTreeSet<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        assert_eq!(documented, BTreeSet::from(Lost::LABELS));
    }

    #[test]
    fn names_are_unique_and_those_of_counters_of_our_own_say_so() {
        let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS.iter().filter(|metric| metric.is_ours()) {
            let says_so = metric.name.ends_with("_total");
            assert_eq!(says_so, metric.kind == Kind::Counter, "{}", metric.name);
        }
        for metric in METRICS {
            assert!(
                metric.help.ends_with('.') && !metric.unit.is_empty(),
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn a_summary_is_shown_as_by_the_default_provider() {
        let summary = Summary {
            min: 1,
            max: 7,
            count: 3,
            sum: 10,
            quantiles: vec![("0.5", "p50", 2), ("0.9", "", 6), ("0.99", "p99", 7)],
        };
        let mut shown = Vec::new();
        show_summary("readlatency", &summary, &mut shown);
        let lines: Vec<String> = shown.iter().map(|(k, v)| format!("{k}\t{v}")).collect();
        assert_eq!(
            lines,
            [
                "avg_readlatency\t3.3333",
                "min_readlatency\t1",
                "max_readlatency\t7",
                "cnt_readlatency\t3",
                "sum_readlatency\t10",
                "p50_readlatency\t2",
                "p99_readlatency\t7"
            ]
        );
    }
}
