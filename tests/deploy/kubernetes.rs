//! The Kubernetes manifests: rendered by Kustomize, held against the schemas of Kubernetes, and against what the
//! process and the image do.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use outpost::config::Config;
use outpost_tests::run_dir::RunDir;
use serde_json::{Value, json};

use crate::docker::instructions;
use crate::tools::{
    deploy, documents, kustomize, prometheus_operator, python_script, python_tool, run, said,
    succeeds, text,
};

const OVERLAY: &str = "kubernetes/overlays/region-a";
/// The oldest release that knows what is used (ordinals that do not start at 0, as labels), and newer ones.
const RELEASES: [&str; 3] = ["1.28", "1.31", "1.37"];

/// The overlay as `kubectl apply -k` would send it.
fn rendered() -> Vec<Value> {
    let dir = RunDir::new("kubernetes");
    let file = dir.path().join("rendered.yaml");
    let output = run(kustomize().arg("build").arg(deploy(OVERLAY)), "");
    assert!(output.status.success(), "{}", said(&output));
    std::fs::write(&file, &output.stdout).unwrap();
    for release in RELEASES {
        let mut validate = python_tool("kubernetes-validate");
        validate.args(["--strict", "-k", release]).arg(&file);
        let said = succeeds(&mut validate, "");
        for line in said.lines().filter(|line| line.starts_with("WARN")) {
            // The operator's own kinds are in no release: see below.
            assert!(line.contains("monitoring.coreos.com/v1"), "{line}");
        }
    }
    let kinds = succeeds(&mut custom_resources(&file), "");
    let kinds: BTreeSet<&str> = kinds.lines().collect();
    assert_eq!(kinds, BTreeSet::from(["PrometheusRule", "ServiceMonitor"]));
    let output = run(python_script("documents.py").arg(&file), "");
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What holds the operator's kinds in a file against their definitions.
fn custom_resources(file: &Path) -> Command {
    let mut command = python_script("custom_resources.py");
    command.arg(file).arg("monitoring.coreos.com");
    command.args(prometheus_operator());
    command
}

/// The one object of a kind with a name that starts so.
fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| {
        let named = object["metadata"]["name"].as_str().unwrap();
        object["kind"] == kind && named.starts_with(name)
    });
    let object = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    assert!(found.next().is_none(), "{kind} {name}");
    object
}

/// The port of that name in the container.
fn port(container: &Value, name: &str) -> u64 {
    let ports = container["ports"].as_array().unwrap();
    let found = ports.iter().find(|port| port["name"] == name);
    found.unwrap()["containerPort"].as_u64().unwrap()
}

#[test]
fn what_is_rendered_is_valid_and_its_parts_find_each_other() {
    let objects = rendered();
    let set = object(&objects, "StatefulSet", "outpost");
    let pod = &set["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let labels = &pod["metadata"]["labels"];
    let label = json!({"app.kubernetes.io/name": "outpost"});
    let selects = json!({"matchLabels": label});
    assert_eq!(labels["app.kubernetes.io/name"], "outpost");
    assert_eq!(set["spec"]["selector"], selects);
    let budget = object(&objects, "PodDisruptionBudget", "outpost");
    assert_eq!(budget["spec"]["selector"], selects);
    let policy = object(&objects, "NetworkPolicy", "outpost");
    assert_eq!(policy["spec"]["podSelector"], selects);
    for spread in pod["spec"]["topologySpreadConstraints"].as_array().unwrap() {
        assert_eq!(spread["labelSelector"], selects);
    }

    let headless = object(&objects, "Service", "outpost-pods");
    assert_eq!(set["spec"]["serviceName"], "outpost-pods");
    assert_eq!(headless["spec"]["clusterIP"], "None");
    let services: Vec<&Value> = objects.iter().filter(|o| o["kind"] == "Service").collect();
    assert_eq!(services.len(), 2);
    for service in services {
        assert_eq!(service["spec"]["selector"], label);
        for exposed in service["spec"]["ports"].as_array().unwrap() {
            let name = exposed["targetPort"].as_str().unwrap();
            assert_eq!(exposed["port"], port(container, name));
        }
    }
    let monitor = object(&objects, "ServiceMonitor", "outpost");
    let wanted = monitor["spec"]["selector"]["matchLabels"]
        .as_object()
        .unwrap();
    for (name, value) in wanted {
        assert_eq!(&headless["metadata"]["labels"][name], value);
    }
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], "metrics");
    // The job's name, which OutpostDown looks for.
    let job = monitor["spec"]["jobLabel"].as_str().unwrap();
    assert_eq!(headless["metadata"]["labels"][job], "outpost");

    let map = object(&objects, "ConfigMap", "outpost-config");
    let volume = &pod["spec"]["volumes"][0]["configMap"]["name"];
    assert_eq!(volume, &map["metadata"]["name"], "with its hash");
    for object in &objects {
        if object["kind"] != "Namespace" {
            assert_eq!(object["metadata"]["namespace"], "outpost-region-a");
        }
    }
}

#[test]
fn mistakes_in_the_operator_s_kinds_are_noticed() {
    let dir = RunDir::new("custom-resources");
    let file = dir.path().join("resources.yaml");
    let components = "deploy/kubernetes/components/monitoring";
    for (name, right, wrong, expected) in [
        (
            "servicemonitor",
            "endpoints:",
            "endpoint:",
            "'endpoint' was unexpected",
        ),
        (
            "servicemonitor",
            "interval: 5s",
            "interval: 5 seconds",
            "does not match",
        ),
        (
            "servicemonitor",
            "    - port: metrics",
            "    - port: [metrics]",
            "is not of type",
        ),
        (
            "prometheusrule",
            "expr: outpost_ready == 0",
            "exprs: outpost_ready == 0",
            "'exprs' was unexpected",
        ),
        (
            "prometheusrule",
            "for: 1m",
            "for: a while",
            "does not match",
        ),
        (
            "prometheusrule",
            "kind: PrometheusRule",
            "kind: Rule",
            "no definition of",
        ),
    ] {
        let resource = text(&format!("{components}/{name}.yaml"));
        assert!(resource.contains(right), "{name} without {right}");
        std::fs::write(&file, resource.replacen(right, wrong, 1)).unwrap();
        let output = run(&mut custom_resources(&file), "");
        let said = said(&output);
        assert!(
            !output.status.success() && said.contains(expected),
            "{wrong}: {said}"
        );
    }
}

#[test]
fn the_process_understands_the_configuration_and_listens_where_the_pod_says() {
    let objects = rendered();
    let set = object(&objects, "StatefulSet", "outpost");
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let map = object(&objects, "ConfigMap", "outpost-config");
    let dir = RunDir::new("kubernetes-config");
    let zoo_cfg = dir.path().join("zoo.cfg");
    std::fs::write(&zoo_cfg, map["data"]["zoo.cfg"].as_str().unwrap()).unwrap();

    // What the first pod's label says: its ordinal.
    let variables = container["env"].as_array().unwrap();
    let id = variables
        .iter()
        .find(|v| v["name"] == "OUTPOST_ID")
        .unwrap();
    let path = &id["valueFrom"]["fieldRef"]["fieldPath"];
    assert_eq!(path, "metadata.labels['apps.kubernetes.io/pod-index']");
    let first = set["spec"]["ordinals"]["start"].to_string();
    let environment = [("OUTPOST_ID".to_owned(), first.clone())];
    let loaded = Config::load(&zoo_cfg, None, environment.into_iter());
    let loaded = loaded.unwrap_or_else(|complaints| panic!("{complaints}"));
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    let config = loaded.config;
    assert_eq!(config.id.0.to_string(), first);
    let listens = [
        ("client", config.clients.doors.plain.as_ref().unwrap().port),
        ("admin", config.admin.as_ref().unwrap().addr.port),
        ("metrics", config.metrics.as_ref().unwrap().port),
    ];
    for (name, listens) in listens {
        assert_eq!(port(container, name), u64::from(listens), "{name}");
    }

    let hook = container["lifecycle"]["preStop"]["exec"]["command"]
        .as_array()
        .unwrap();
    assert_eq!(hook[0], "sleep");
    let pause: u64 = hook[1].as_str().unwrap().parse().unwrap();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    let needed = Duration::from_secs(pause) + 2 * config.drain_timeout;
    assert!(Duration::from_secs(grace) > needed);
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/live");
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/ready");
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "admin");
    }
}

#[test]
fn the_pod_keeps_to_the_restricted_standard_as_the_user_of_the_image() {
    let objects = rendered();
    let set = object(&objects, "StatefulSet", "outpost");
    let pod = &set["spec"]["template"]["spec"];
    let (of_pod, container) = (&pod["securityContext"], &pod["containers"][0]);
    assert_eq!(of_pod["runAsNonRoot"], true);
    assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault");
    let of_container = &container["securityContext"];
    assert_eq!(of_container["allowPrivilegeEscalation"], false);
    assert_eq!(of_container["readOnlyRootFilesystem"], true);
    assert_eq!(of_container["capabilities"], json!({"drop": ["ALL"]}));
    let user = format!("{}:{}", of_pod["runAsUser"], of_pod["runAsGroup"]);
    assert_eq!(instructions("USER"), [user]);
    let arguments: Vec<String> = serde_json::from_str(&instructions("CMD")[0]).unwrap();
    assert_eq!(container["args"], json!(arguments));
    let namespace = object(&objects, "Namespace", "outpost");
    let enforced = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(enforced, "restricted");
}

#[test]
fn the_rules_in_kubernetes_are_the_rules_that_are_tested() {
    let rules = text("deploy/prometheus/outpost.rules.yml");
    let (_, groups) = rules.split_once("\ngroups:").unwrap();
    let mut wanted = String::from(
        "# Made from deploy/prometheus/outpost.rules.yml by UPDATE_EXPECT=1 cargo test -p outpost-tests --test deploy.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: outpost\nspec:\n",
    );
    for line in format!("groups:{groups}").lines() {
        let indent = if line.is_empty() { "" } else { "  " };
        wanted.push_str(&format!("{indent}{line}\n"));
    }
    let file = deploy("kubernetes/components/monitoring/prometheusrule.yaml");
    expect_test::expect_file![file].assert_eq(&wanted);

    let made = documents(&["kubernetes/components/monitoring/prometheusrule.yaml"]).remove(0);
    let tested = documents(&["prometheus/outpost.rules.yml"]).remove(0);
    assert_eq!(made["spec"]["groups"], tested["groups"]);
}
