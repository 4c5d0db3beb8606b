//! The dashboard.

use std::collections::BTreeSet;
use std::process::Command;

use outpost_tests::run_dir::RunDir;
use serde_json::{Value, json};

use crate::tools::{succeeds, text};
use crate::{exposition, expressions};

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/outpost.json")).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

#[test]
fn the_dashboard_speaks_of_series_that_a_running_outpost_shows() {
    let series = exposition::series(&exposition::text());
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{}", panel["title"]);
        for target in targets {
            expressions::assert_known(target["expr"].as_str().unwrap(), &series);
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            let (metric, _) = query
                .strip_prefix("label_values(")
                .unwrap()
                .split_once(',')
                .unwrap();
            expressions::assert_known(metric, &series);
        }
    }
}

#[test]
fn prometheus_understands_every_expression_of_the_dashboard() {
    let dashboard = dashboard();
    let targets = panels(&dashboard)
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    // As rules, because those are what promtool reads; what Grafana fills in is filled in.
    let rules = targets.enumerate().map(|(n, target)| {
        let expression = target["expr"].as_str().unwrap();
        let expression = expression
            .replace("$__rate_interval", "1m")
            .replace("$instance", ".*");
        json!({"record": format!("dashboard:{n}"), "expr": expression})
    });
    let rules: Vec<Value> = rules.collect();
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let dir = RunDir::new("dashboard");
    // JSON is YAML too.
    let file = dir.path().join("rules.yml");
    std::fs::write(&file, groups.to_string()).unwrap();
    let mut promtool = Command::new("promtool");
    let said = succeeds(promtool.args(["check", "rules"]).arg(file), "");
    assert!(
        said.contains(&format!("{} rules found", rules.len())),
        "{said}"
    );
}

#[test]
fn the_dashboard_asks_the_chosen_data_source_and_leads_nowhere_else() {
    let text = text("deploy/grafana/outpost.json");
    assert!(!text.contains("http"), "a link");
    let dashboard = dashboard();
    assert_eq!(dashboard["schemaVersion"], 39);
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
    assert_eq!(dashboard["templating"]["list"][0]["name"], "datasource");
    for panel in panels(&dashboard) {
        if panel["type"] != "row" {
            assert_eq!(
                panel["datasource"]["uid"], "${datasource}",
                "{}",
                panel["title"]
            );
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(
                    target["datasource"]["uid"], "${datasource}",
                    "{}",
                    panel["title"]
                );
            }
        }
    }
}

#[test]
fn no_two_panels_lie_upon_each_other_or_share_an_id() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(cells.insert((x, y)), "{title}");
            }
        }
    }
}
