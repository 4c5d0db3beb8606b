//! The alert rules.

use std::process::Command;

use outpost::limits::{APPLY_QUEUE_BYTES_MAX, APPLY_QUEUE_MAX};

use crate::tools::{deploy, succeeds, text};
use crate::{exposition, expressions};

const RULES: &str = "deploy/prometheus/outpost.rules.yml";

/// What stands behind `key` on each line that has it.
fn values(key: &str) -> Vec<String> {
    let text = text(RULES);
    let lines = text.lines().map(str::trim_start);
    let values = lines.filter_map(|line| line.trim_start_matches("- ").strip_prefix(key));
    values.map(|value| value.trim().to_owned()).collect()
}

#[test]
fn prometheus_reads_the_rules() {
    let rules = deploy("prometheus/outpost.rules.yml");
    let mut promtool = Command::new("promtool");
    let said = succeeds(promtool.args(["check", "rules"]).arg(rules), "");
    assert!(
        said.contains(&format!("{} rules found", values("alert:").len())),
        "{said}"
    );
}

#[test]
fn each_alert_fires_when_it_must_and_only_then() {
    let tests = deploy("prometheus/outpost.rules.test.yml");
    let mut promtool = Command::new("promtool");
    succeeds(promtool.args(["test", "rules"]).arg(tests), "");
    let tests = text("deploy/prometheus/outpost.rules.test.yml");
    for alert in values("alert:") {
        let fires = format!("alertname=\"{alert}\"");
        assert!(tests.contains(&fires), "no test in which {alert} fires");
    }
}

#[test]
fn rules_speak_of_series_that_a_running_outpost_shows() {
    let series = exposition::series(&exposition::text_with_tls());
    let expressions = values("expr:");
    assert_eq!(expressions.len(), values("alert:").len());
    for expression in expressions {
        expressions::assert_known(&expression, &series);
    }
}

#[test]
fn bounds_in_rules_are_those_of_the_code() {
    let rules = text(RULES);
    for bound in [APPLY_QUEUE_MAX, APPLY_QUEUE_BYTES_MAX] {
        assert!(rules.contains(&format!("> {bound} / 2")), "{bound}");
    }
}

#[test]
fn each_alert_says_what_to_do_and_where_more_stands() {
    let count = values("alert:").len();
    assert_eq!(values("summary:").len(), count);
    assert_eq!(values("description:").len(), count);
    let places = values("see:");
    assert_eq!(places.len(), count);
    for place in places {
        let (page, anchor) = place.split_once('#').unwrap();
        let page = text(page);
        let headings = page.lines().filter(|line| line.starts_with('#'));
        let mut anchors = headings.map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title.replace(',', "").replace(' ', "-")
        });
        assert!(
            anchors.any(|known| known == anchor),
            "no heading for {place}"
        );
    }
}
