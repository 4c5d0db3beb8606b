//! Metrics: tables with the name, the unit and the meaning of each, shown as the Prometheus exposition, as
//! `mntr` and as the admin command `monitor`.
//!
//! Nothing is recorded here. Values are looked up when somebody asks, so a metric costs nothing while
//! nobody does. Read on in `table` (most metrics), `stages` (those of a Java server's inside that exist here),
//! `absent` (those that exist in no observer or not in this one, and why) and `text` (the exposition).

mod absent;
mod as_prometheus;
mod java_machine;
mod stages;
mod table;
mod text;

use std::fmt::{self, Display};

use crate::report::{Facts, Picture, java};

pub use as_prometheus::monitor_as_prometheus;
pub use table::{Detail, Histogram, Kind, METRICS, Metric, Summary, Value};

/// Type of the exposition's text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric, in the order in which they are shown.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    let tables = [
        METRICS,
        stages::METRICS,
        absent::METRICS,
        java_machine::METRICS,
    ];
    tables.into_iter().flatten()
}

/// The exposition that Prometheus scrapes.
pub fn exposition(picture: &Picture<'_>) -> String {
    let mut text = String::new();
    for metric in all() {
        if picture.style.java_machine || !metric.is_of_java_machine() {
            let value = (metric.value)(picture);
            text::write(&mut text, metric, &value, picture.style.names);
        }
    }
    text
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
    for metric in all().filter(|metric| metric.in_monitor) {
        show(metric, (metric.value)(picture), &mut shown);
    }
    shown
}

fn show(metric: &Metric, value: Value, shown: &mut Vec<(String, Shown)>) {
    let name = metric.name;
    match value {
        Value::Absent | Value::Info(_) => {}
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
        Value::Summaries(_, summaries) => {
            for (of, summary) in summaries {
                show_summary(&format!("{of}_{name}"), &summary, shown);
            }
        }
        Value::Histogram(histogram) => {
            let count = Shown::Whole(histogram.count.cast_signed());
            shown.push((format!("{name}_count"), count));
            shown.push((format!("{name}_sum"), Shown::Real(histogram.sum)));
        }
    }
}

fn show_summary(name: &str, summary: &Summary, shown: &mut Vec<(String, Shown)>) {
    let values = &summary.values;
    let mean = Shown::Real(java::mean(values.sum, values.count));
    shown.push((format!("avg_{name}"), mean));
    let extremes = [
        ("min", values.min),
        ("max", values.max),
        ("cnt", values.count),
        ("sum", values.sum),
    ];
    let quantiles = match summary.detail {
        Detail::Basic | Detail::Sums => &[][..],
        Detail::Advanced => &[("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)],
    };
    let quantiles = quantiles.iter();
    let quantiles = quantiles.map(|(part, quantile)| (*part, values.quantile(*quantile)));
    for (part, value) in extremes.into_iter().chain(quantiles) {
        shown.push((format!("{part}_{name}"), Shown::Whole(value.cast_signed())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outpost_forward::Lost;
    use outpost_forward::latencies::{Latencies, LatencySummary};
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
        let mut wanted: Vec<String> = all().map(Metric::documentation).collect();
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
        let names: BTreeSet<&str> = all().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all().count());
        for metric in all().filter(|metric| metric.is_ours()) {
            let says_so = metric.name.ends_with("_total");
            assert_eq!(says_so, metric.kind == Kind::Counter, "{}", metric.name);
        }
        for metric in all() {
            assert!(
                metric.help.ends_with('.') && !metric.unit.is_empty(),
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn a_summary_is_shown_as_by_the_default_provider() {
        let times = Latencies::default();
        times.note(1, 1);
        times.note(2, 1);
        times.note(7, 1);
        let values = LatencySummary::of([&times]);
        let show = |detail| {
            let summary = Summary {
                values: values.clone(),
                detail,
            };
            let mut shown = Vec::new();
            show_summary("readlatency", &summary, &mut shown);
            let lines = shown.iter().map(|(k, v)| format!("{k}\t{v}"));
            lines.collect::<Vec<String>>()
        };
        let basic = [
            "avg_readlatency\t3.3333",
            "min_readlatency\t1",
            "max_readlatency\t7",
            "cnt_readlatency\t3",
            "sum_readlatency\t10",
        ];
        let quantiles = [
            "p50_readlatency\t2",
            "p95_readlatency\t7",
            "p99_readlatency\t7",
            "p999_readlatency\t7",
        ];
        assert_eq!(show(Detail::Basic), basic);
        assert_eq!(
            show(Detail::Advanced),
            [&basic[..], &quantiles[..]].concat()
        );
    }
}
