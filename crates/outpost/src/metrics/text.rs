//! The exposition's text, under the names of ZooKeeper 3.9's or 3.10's exporter.

use std::fmt::{Display, Write as _};

use metrics_exporter_prometheus::formatting;
use outpost_forward::latencies::LatencySummary;

use crate::config::MetricNames;
use crate::metrics::table::{Detail, Histogram, Kind, Metric, Summary, Value};

/// Appends one metric with everything it has now.
pub(super) fn write(text: &mut String, metric: &Metric, value: &Value, names: MetricNames) {
    if *value == Value::Absent {
        return;
    }
    let name = name(metric, names);
    formatting::write_help_line(text, &name, None, None, &metric.help_and_unit());
    formatting::write_type_line(text, &name, None, None, metric.kind.name());
    match value {
        Value::Absent => {}
        Value::Info(labels) => line(text, &name, "", labels, 1),
        Value::Whole(value) => line(text, &name, "", &[], value),
        Value::Real(value) => line(text, &name, "", &[], value),
        Value::Set(label, values) => {
            for (of, value) in values {
                line(text, &name, "", &[(label, of.as_str())], value);
            }
        }
        Value::Summary(value) => summary(text, &name, None, value, names),
        Value::Summaries(label, values) => {
            for (of, value) in values {
                summary(text, &name, Some((label, of.as_str())), value, names);
            }
        }
        Value::Histogram(value) => histogram(text, &name, value),
    }
    text.push('\n');
}

/// What a metric is called: from 3.10 on counters end in `_total`, and units of the virtual machine's stand last.
pub(super) fn name(metric: &Metric, names: MetricNames) -> String {
    let name = metric.name;
    if names == MetricNames::V3_9 {
        return name.to_owned();
    }
    if metric.kind == Kind::Counter && !name.ends_with("_total") {
        return format!("{name}_total");
    }
    for stem in ["jvm_memory_bytes_", "jvm_memory_pool_bytes_"] {
        if let Some(what) = name.strip_prefix(stem) {
            return format!("{}{what}_bytes", stem.trim_end_matches("bytes_"));
        }
    }
    name.to_owned()
}

fn summary(
    text: &mut String,
    name: &str,
    of: Option<(&str, &str)>,
    summary: &Summary,
    names: MetricNames,
) {
    let Summary { values, detail } = summary;
    let quantiles: &[(&str, f64)] = match (detail, names) {
        (Detail::Sums, _) => &[],
        (Detail::Basic, _) => &[("0.5", 0.5)],
        (Detail::Advanced, MetricNames::V3_9) => &[("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99)],
        (Detail::Advanced, MetricNames::V3_10) => &[("0.5", 0.5), ("0.95", 0.95), ("0.99", 0.99)],
    };
    let of: Vec<(&str, &str)> = of.into_iter().collect();
    for (shown, quantile) in quantiles {
        let labels = [&of[..], &[("quantile", *shown)]].concat();
        line(text, name, "", &labels, quantile_of(values, *quantile));
    }
    line(text, name, "_sum", &of, values.sum);
    line(text, name, "_count", &of, values.count);
}

/// Of no values there is none, which Prometheus writes so.
fn quantile_of(values: &LatencySummary, quantile: f64) -> f64 {
    match values.count {
        0 => f64::NAN,
        _ => values.quantile(quantile) as f64,
    }
}

fn histogram(text: &mut String, name: &str, histogram: &Histogram) {
    for (bound, count) in &histogram.buckets {
        line(text, name, "_bucket", &[("le", &bound.to_string())], count);
    }
    line(text, name, "_bucket", &[("le", "+Inf")], histogram.count);
    line(text, name, "_sum", &[], histogram.sum);
    line(text, name, "_count", &[], histogram.count);
}

fn line(text: &mut String, name: &str, part: &str, labels: &[(&str, &str)], value: impl Display) {
    let _ = write!(text, "{name}{part}");
    for (n, (label, of)) in labels.iter().enumerate() {
        let (before, of) = (
            if n == 0 { '{' } else { ',' },
            formatting::sanitize_label_value(of),
        );
        let _ = write!(text, "{before}{label}=\"{of}\"");
    }
    let end = if labels.is_empty() { "" } else { "}" };
    let _ = writeln!(text, "{end} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::table::{counter, gauge, summary as summary_metric};
    use outpost_forward::latencies::Latencies;

    fn written(metric: &Metric, value: &Value, names: MetricNames) -> Vec<String> {
        let mut text = String::new();
        write(&mut text, metric, value, names);
        let lines = text.lines().filter(|line| !line.starts_with("# HELP"));
        lines.map(ToOwned::to_owned).collect()
    }

    #[test]
    fn counters_end_in_total_under_the_newer_names_alone_and_never_twice() {
        let old = counter("snap_count", "times", "Sent.", |_| Value::Absent);
        let ours = counter("outpost_things_total", "times", "Done.", |_| Value::Absent);
        let value = Value::Whole(7);
        assert_eq!(
            written(&old, &value, MetricNames::V3_9),
            ["# TYPE snap_count counter", "snap_count 7", ""]
        );
        assert_eq!(
            written(&old, &value, MetricNames::V3_10),
            ["# TYPE snap_count_total counter", "snap_count_total 7", ""]
        );
        for names in [MetricNames::V3_9, MetricNames::V3_10] {
            assert_eq!(name(&ours, names), "outpost_things_total");
        }
    }

    #[test]
    fn units_of_the_virtual_machines_memory_stand_last_under_the_newer_names() {
        for (old, new) in [
            ("jvm_memory_bytes_used", "jvm_memory_used_bytes"),
            ("jvm_memory_pool_bytes_max", "jvm_memory_pool_max_bytes"),
            ("jvm_threads_current", "jvm_threads_current"),
        ] {
            let metric = gauge(old, "bytes", "Some.", |_| Value::Absent);
            assert_eq!(name(&metric, MetricNames::V3_9), old);
            assert_eq!(name(&metric, MetricNames::V3_10), new);
        }
    }

    #[test]
    fn a_summary_has_the_quantiles_of_the_exporter_whose_names_it_has_and_none_of_no_values() {
        let metric = summary_metric("readlatency", "ms", "Time.", |_| Value::Absent);
        let times = Latencies::default();
        let of = |times: &Latencies| {
            Value::Summary(Summary {
                values: LatencySummary::of([times]),
                detail: Detail::Advanced,
            })
        };
        let nothing = written(&metric, &of(&times), MetricNames::V3_9);
        assert_eq!(nothing[1], "readlatency{quantile=\"0.5\"} NaN");
        assert_eq!(nothing[5], "readlatency_count 0");
        times.note(4, 2);
        assert_eq!(
            written(&metric, &of(&times), MetricNames::V3_10)[1..6],
            [
                "readlatency{quantile=\"0.5\"} 4",
                "readlatency{quantile=\"0.95\"} 4",
                "readlatency{quantile=\"0.99\"} 4",
                "readlatency_sum 8",
                "readlatency_count 2",
            ]
        );
    }

    #[test]
    fn what_a_label_says_cannot_end_it() {
        let metric = gauge("quota", "bytes", "Some.", |_| Value::Absent);
        let value = Value::Set("key", vec![("a\"b\\c\nd".to_owned(), 1)]);
        let lines = written(&metric, &value, MetricNames::V3_9);
        assert_eq!(lines[1], "quota{key=\"a\\\"b\\\\c\\nd\"} 1");
    }
}
