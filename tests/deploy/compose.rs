//! The Compose file: its form, and that its parts agree with one another.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use outpost::config::{Config, Loaded};
use outpost_tests::run_dir::RunDir;
use serde_json::Value;

use crate::tools::{deploy, documents, python_script, succeeds};

const FILE: &str = "compose/compose.yaml";

fn compose() -> Value {
    documents(&[FILE]).remove(0)
}

/// The texts of a list.
fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().map(|item| item.as_str().unwrap()).collect()
}

/// What a service mounts: source and place.
fn mounts(service: &Value) -> Vec<(&str, &str)> {
    let mounts = texts(&service["volumes"]).into_iter();
    let parts = mounts.map(|mount| mount.split(':').collect::<Vec<_>>());
    parts.map(|parts| (parts[0], parts[1])).collect()
}

/// The ports inside the container that are published, or scraped.
fn published(service: &Value) -> BTreeSet<u16> {
    let ports = texts(&service["ports"]).into_iter();
    ports
        .map(|port| port.rsplit(':').next().unwrap().parse().unwrap())
        .collect()
}

/// The configuration as the container has it.
fn configuration(service: &Value) -> Loaded {
    let (source, _) = mounts(service)
        .into_iter()
        .find(|(_, place)| place.ends_with("zoo.cfg"))
        .unwrap();
    let environment = service["environment"].as_object().unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    let path = deploy("compose").join(source);
    Config::load(&path, None, environment).unwrap_or_else(|complaints| panic!("{complaints}"))
}

#[test]
fn the_compose_file_keeps_to_the_specification() {
    succeeds(python_script("compose_file.py").arg(deploy(FILE)), "");
}

#[test]
fn what_is_mounted_is_there_and_every_volume_is_declared() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().unwrap() {
        for (source, place) in mounts(service) {
            let there = match source.starts_with('.') {
                true => deploy("compose").join(source).is_file(),
                false => compose["volumes"].get(source).is_some(),
            };
            assert!(there, "{name}: {source} for {place}");
        }
        for needed in texts(&service["depends_on"]) {
            assert!(
                compose["services"].get(needed).is_some(),
                "{name}: {needed}"
            );
        }
        if let Some(file) = service["build"]["dockerfile"].as_str() {
            let context = service["build"]["context"].as_str().unwrap();
            let file = deploy("compose").join(context).join(file);
            assert!(file.is_file(), "{name}: {}", file.display());
        }
    }
}

#[test]
fn outpost_understands_its_configuration_and_finds_every_voter() {
    let compose = compose();
    let service = &compose["services"]["outpost"];
    let Loaded { config, warnings } = configuration(service);
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    let ports = [
        config.clients.doors.plain.as_ref().unwrap().port,
        config.admin.as_ref().unwrap().addr.port,
    ];
    assert_eq!(published(service), BTreeSet::from(ports));
    let grace = service["stop_grace_period"].as_str().unwrap();
    let grace = Duration::from_secs(grace.trim_end_matches('s').parse().unwrap());
    assert!(grace > config.drain_timeout);

    let written = std::fs::read_to_string(deploy("compose/zoo.cfg")).unwrap();
    let lines: Vec<&str> = written
        .lines()
        .filter(|line| line.starts_with("server."))
        .collect();
    for line in &lines {
        let (key, rest) = line.split_once('=').unwrap();
        let id = key.strip_prefix("server.").unwrap();
        let host = rest.split(':').next().unwrap();
        let voter = &compose["services"][host];
        assert_eq!(voter["environment"]["ZOO_MY_ID"], id, "{line}");
        assert_eq!(voter["hostname"], host);
        // The voters are told the same.
        let told = voter["environment"]["ZOO_SERVERS"].as_str().unwrap();
        assert_eq!(told.split(' ').collect::<Vec<_>>(), lines, "{host}");
    }
    assert_eq!(lines.len(), 3);
}

#[test]
fn prometheus_reads_what_is_mounted_and_asks_outpost_at_its_port() {
    let compose = compose();
    let dir = RunDir::new("compose-prometheus");
    let mut config = None;
    for (source, place) in mounts(&compose["services"]["prometheus"]) {
        if !source.starts_with('.') {
            continue;
        }
        let place = Path::new(place);
        assert_eq!(place.parent(), Some(Path::new("/etc/prometheus")));
        let copy = dir.path().join(place.file_name().unwrap());
        std::fs::copy(deploy("compose").join(source), &copy).unwrap();
        if copy.ends_with("prometheus.yml") {
            config = Some(copy);
        }
    }
    let mut promtool = Command::new("promtool");
    let said = succeeds(promtool.args(["check", "config"]).arg(config.unwrap()), "");
    assert!(said.contains("1 rule files found"), "{said}");

    let scraped = documents(&["compose/prometheus.yml"]).remove(0);
    let job = &scraped["scrape_configs"][0];
    // The name that OutpostDown looks for.
    assert_eq!(job["job_name"], "outpost");
    let metrics = configuration(&compose["services"]["outpost"])
        .config
        .metrics;
    let target = format!("outpost:{}", metrics.unwrap().port);
    assert_eq!(job["static_configs"][0]["targets"][0], target);
}

#[test]
fn grafana_finds_its_data_source_and_the_dashboard() {
    let compose = compose();
    let grafana = &compose["services"]["grafana"];
    let place_of = |file: &str| {
        let mounts = mounts(grafana);
        let mount = mounts.iter().find(|(source, _)| source.ends_with(file));
        mount.map(|(_, place)| (*place).to_owned()).unwrap()
    };
    assert!(place_of("datasources.yml").starts_with("/etc/grafana/provisioning/datasources/"));
    assert!(place_of("dashboards.yml").starts_with("/etc/grafana/provisioning/dashboards/"));

    let source = documents(&["compose/grafana/datasources.yml"]).remove(0);
    let source = &source["datasources"][0];
    assert_eq!(source["type"], "prometheus");
    let url = source["url"].as_str().unwrap();
    let (host, port) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once(':')
        .unwrap();
    assert!(published(&compose["services"][host]).contains(&port.parse().unwrap()));

    let provider = documents(&["compose/grafana/dashboards.yml"]).remove(0);
    let dir = provider["providers"][0]["options"]["path"]
        .as_str()
        .unwrap();
    let dashboard = place_of("outpost.json");
    assert_eq!(Path::new(&dashboard).parent(), Some(Path::new(dir)));
    let home = &grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    assert_eq!(home, &dashboard);
}
