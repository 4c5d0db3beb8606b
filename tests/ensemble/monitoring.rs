//! What Prometheus is told: held against a Java observer of the same ensemble, against what dashboards and rules
//! ask for, and scraped by a real Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use outpost_tests::metrics::{Metrics, page};
use outpost_tests::observer::PROMETHEUS;
use outpost_tests::ports::free_port;
use outpost_tests::process::Process;
use outpost_tests::raw::RawClient;
use outpost_tests::run_dir::RunDir;
use outpost_tests::{Ensemble, Observer, ObserverKind, ObserverSettings, Settings, wait};
use outpost_wire::proto::CreateMode;
use serde_json::Value;

/// Until something that must happen counts as not happening.
const LIMIT: Duration = Duration::from_secs(60);
const SESSION_TIMEOUT_MS: i32 = 10_000;

/// What a Java observer tells of its virtual machine, and Outpost has no answer to.
const OF_THE_VIRTUAL_MACHINE: [&str; 15] = [
    "jvm_buffer_pool_capacity_bytes",
    "jvm_buffer_pool_used_buffers",
    "jvm_buffer_pool_used_bytes",
    "jvm_classes_loaded",
    "jvm_classes_loaded_total",
    "jvm_classes_unloaded_total",
    "jvm_info",
    "jvm_memory_bytes_init",
    "jvm_memory_pool_allocated_bytes_total",
    "jvm_memory_pool_bytes_init",
    "jvm_threads_daemon",
    "jvm_threads_deadlocked_monitor",
    "jvm_threads_peak",
    "jvm_threads_started_total",
    "jvm_threads_state",
];

/// What the rules in ZooKeeper's documentation of 3.9 ask for (`zookeeperMonitor.md`), label values included.
const OF_THE_DOCUMENTED_RULES: [&str; 11] = [
    "znode_count",
    "num_alive_connections",
    "approximate_data_size",
    "watch_count",
    "election_time_count",
    "open_file_descriptor_count",
    "fsynctime_sum",
    "snapshottime_sum",
    "avg_latency",
    "jvm_memory_bytes_used{area=\"heap\"}",
    "jvm_memory_bytes_max{area=\"heap\"}",
];

/// What Grafana's dashboard 10465 asks for, apart from what only a server that leads shows
/// (`leader_uptime`, `learners`, `synced_followers`, `synced_observers`, `synced_non_voting_followers`).
const OF_THE_DASHBOARD: [&str; 59] = [
    "approximate_data_size",
    "avg_latency",
    "bytes_received_count",
    "commit_count",
    "commit_process_time",
    "concurrent_request_processing_in_commit_processor",
    "connection_drop_count",
    "connection_rejected",
    "connection_request_count",
    "connection_revalidate_count",
    "dead_watchers_cleared",
    "dead_watchers_queued",
    "diff_count",
    "election_time_count",
    "election_time_sum",
    "ephemerals_count",
    "fsynctime_count",
    "fsynctime_sum",
    "global_sessions",
    "jvm_gc_collection_seconds_count",
    "jvm_gc_collection_seconds_sum",
    "jvm_memory_pool_bytes_committed",
    "jvm_memory_pool_bytes_max",
    "jvm_memory_pool_bytes_used",
    "jvm_threads_current",
    "jvm_threads_deadlocked",
    "local_sessions",
    "local_write_committed_time_ms_count",
    "local_write_committed_time_ms_sum",
    "looking_count",
    "max_file_descriptor_count",
    "max_latency",
    "min_latency",
    "node_changed_watch_count_count",
    "node_children_watch_count_count",
    "node_created_watch_count_count",
    "node_deleted_watch_count_count",
    "num_alive_connections",
    "open_file_descriptor_count",
    "outstanding_requests",
    "packets_received",
    "packets_sent",
    "propagation_latency_sum",
    "proposal_count",
    "proposal_latency",
    "proposal_latency_count",
    "quorum_size",
    "read_commitproc_time_ms_sum",
    "readlatency_count",
    "readlatency_sum",
    "server_write_committed_time_ms_sum",
    "snap_count",
    "snapshottime_count",
    "snapshottime_sum",
    "updatelatency_sum",
    "uptime",
    "watch_count",
    "write_commitproc_time_ms_sum",
    "znode_count",
];

/// What has the same value at both observers once both have counted the same traffic.
const OF_THE_SAME_TRAFFIC: [&str; 25] = [
    "quorum_size",
    "znode_count",
    "watch_count",
    "ephemerals_count",
    "approximate_data_size",
    "local_sessions",
    "connection_request_count",
    "connection_rejected",
    "connection_revalidate_count",
    "connection_token_deficit_count",
    "connection_token_deficit_sum",
    "readlatency_count",
    "updatelatency_count",
    "node_created_watch_count_count",
    "node_created_watch_count_sum",
    "node_deleted_watch_count_sum",
    "node_changed_watch_count_count",
    "node_changed_watch_count_sum",
    "node_children_watch_count_sum",
    "max_client_response_size",
    "min_client_response_size",
    "last_client_response_size",
    "throttled_ops",
    "stale_replies",
    "digest_mismatches_count",
];

/// A metric as an exposition has it: its type, the names of its labels, its quantiles.
type Families = BTreeMap<String, (String, BTreeSet<String>, BTreeSet<String>)>;

fn families(page: &str) -> Families {
    let mut families = Families::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            families.entry(name.to_owned()).or_default().0 = kind.to_owned();
        } else if !line.starts_with('#')
            && let Some((series, _)) = line.rsplit_once(' ')
            && let Some((name, labels)) = series.split_once('{')
            && let Some(family) = families.get_mut(name)
        {
            for label in labels.trim_end_matches([',', '}']).split(',') {
                let (label, value) = label.split_once('=').unwrap_or((label, ""));
                family.1.insert(label.to_owned());
                if label == "quantile" {
                    family.2.insert(value.to_owned());
                }
            }
        }
    }
    families
}

/// One ensemble with an observer of each kind.
struct Both {
    java: Observer,
    outpost: Observer,
    ensemble: Ensemble,
}

impl Both {
    fn start() -> Self {
        // Listed, so that both show the same membership in the tree.
        let ensemble = Ensemble::with(Settings {
            heap_mb: 128,
            listed_observers: 2,
            ..Settings::default()
        });
        let settings = ObserverSettings::default().line(PROMETHEUS);
        let java = Observer::start_without_waiting(&ensemble, ObserverKind::Java, &settings);
        let outpost = Observer::start(&ensemble, ObserverKind::Outpost, &settings);
        java.wait_until_it_serves();
        Self {
            java,
            outpost,
            ensemble,
        }
    }

    /// The same traffic at both, with a writer elsewhere.
    fn play(&self) {
        let leader = self.ensemble.servers()[0].client_address();
        let mut writer = RawClient::connect(leader, SESSION_TIMEOUT_MS);
        let mut create = |path: &str, data: &[u8]| {
            writer
                .create(path, data, CreateMode::Persistent)
                .expect("a new path");
        };
        create("/shared", b"");
        create("/shared/a", b"some data");
        create("/shared/b", &[7; 1000]);
        let applied = writer.last_zxid().0.cast_unsigned();
        let watching: Vec<RawClient> = [&self.java, &self.outpost]
            .map(|observer| {
                observer.wait_for_zxid(applied);
                let mut client = RawClient::connect(observer.client_address(), SESSION_TIMEOUT_MS);
                client.get_data(b"/shared/a", true).expect("it is there");
                client.get_data(b"/shared/b", false).expect("it is there");
                client.get_children(b"/shared", true).expect("it is there");
                client.exists("/shared/b", true).expect("it is there");
                client
                    .exists("/shared/none", true)
                    .expect_err("it is not there");
                client
            })
            .into();
        writer
            .set_data("/shared/a", b"other data")
            .expect("it is there");
        writer.delete("/shared/b").expect("it is there");
        writer
            .create("/shared/none", b"", CreateMode::Persistent)
            .expect("a new path");
        let applied = writer.last_zxid().0.cast_unsigned();
        for (observer, mut client) in [&self.java, &self.outpost].into_iter().zip(watching) {
            observer.wait_for_zxid(applied);
            for _ in 0..4 {
                client.event().expect("four watches were left and fired");
            }
            client.close().expect("it is served");
        }
    }
}

#[test]
fn names_types_labels_quantiles_and_values_are_those_of_a_java_observer_of_3_9() {
    let both = Both::start();
    both.play();
    // A Java server counts in a thread of its own, a moment later.
    let wanted = |metrics: &Metrics| {
        metrics
            .get("readlatency_count")
            .filter(|count| *count >= 5.0)
    };
    wait::until("the Java observer to have counted", LIMIT, || {
        wanted(&both.java.metrics())
    });
    let read = |observer: &Observer| page(observer.metrics_address()).expect("it tells");
    let (java, ours) = (families(&read(&both.java)), families(&read(&both.outpost)));

    for name in OF_THE_VIRTUAL_MACHINE {
        assert!(java.contains_key(name), "{name} needs no explanation");
        assert!(!ours.contains_key(name), "{name} is told after all");
    }
    let of_java = java
        .iter()
        .filter(|(name, _)| !OF_THE_VIRTUAL_MACHINE.contains(&name.as_str()));
    let mut differences = Vec::new();
    for (name, theirs) in of_java {
        let mine = ours.get(name);
        if mine.map(|mine| &mine.0) != Some(&theirs.0) {
            differences.push(format!("{name}: {theirs:?}, here {mine:?}"));
        } else if let Some(mine) = mine
            // Sets that have no member yet show no labels.
            && !mine.1.is_empty()
            && !theirs.1.is_empty()
            && (&mine.1, &mine.2) != (&theirs.1, &theirs.2)
        {
            differences.push(format!("{name}: {theirs:?}, here {mine:?}"));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
    let strangers: Vec<&String> = ours
        .keys()
        .filter(|name| !java.contains_key(*name) && !name.starts_with("outpost_"))
        .collect();
    assert_eq!(strangers, ["process_threads"]);

    let mut differences = Vec::new();
    wait::within(LIMIT, || {
        differences = differing_values(&both.java.metrics(), &both.outpost.metrics());
        differences.is_empty().then_some(())
    });
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Which values that the same traffic brings about are not those of the Java observer.
fn differing_values(java: &Metrics, ours: &Metrics) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |name: &str, theirs: Option<f64>, mine: Option<f64>| {
        if theirs.is_none() || theirs != mine {
            differences.push(format!("{name}: {theirs:?}, here {mine:?}"));
        }
    };
    for name in OF_THE_SAME_TRAFFIC {
        compare(name, java.get(name), ours.get(name));
    }
    for name in ["read_per_namespace", "write_per_namespace"] {
        for part in ["count", "sum"] {
            let theirs = java.get(&format!("{name}_{part}{{key=\"shared\",}}"));
            let mine = ours.get(&format!("{name}_{part}{{key=\"shared\"}}"));
            compare(&format!("{name}_{part}"), theirs, mine);
        }
    }
    differences
}

/// A real Prometheus that scrapes every second.
struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _dir: RunDir,
}

impl Prometheus {
    fn start(targets: &[SocketAddr]) -> Self {
        let dir = RunDir::new("prometheus");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let targets: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
        let config = format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: zookeeper\n    static_configs:\n      - targets: [{}]\n",
            targets.join(", ")
        );
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("the run directory can be written");
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"));
        let process = Process::start("prometheus", &command, &dir.path().join("log"));
        Self {
            address,
            _process: process,
            _dir: dir,
        }
    }

    /// Asks its API; nothing while it has nothing to say.
    fn ask(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(LIMIT)).ok()?;
        let request = format!("GET /api/v1/{path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let answer: Value = serde_json::from_str(body).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// The values of an expression, by instance.
    fn query(&self, expression: &str) -> Vec<(String, f64)> {
        let encoded: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let data = self.ask(&format!("query?query={encoded}"));
        let results = data.and_then(|data| data["result"].as_array().cloned());
        let results = results.unwrap_or_default();
        let values = results.iter().filter_map(|result| {
            let value = result["value"][1].as_str()?.parse().ok()?;
            let instance = result["metric"]["instance"].as_str().unwrap_or_default();
            Some((instance.to_owned(), value))
        });
        values.collect()
    }
}

#[test]
fn a_real_prometheus_scrapes_what_dashboards_and_documented_rules_ask_for_and_reads_our_values() {
    let ensemble = Ensemble::with(Settings {
        voters: 3,
        heap_mb: 128,
        ..Settings::default()
    });
    let settings = ObserverSettings::default();
    let observer = Observer::start(&ensemble, ObserverKind::Outpost, &settings);
    let newer = settings.line("outpost.metricsNames=3.10");
    let newer = Observer::start(&ensemble, ObserverKind::Outpost, &newer);
    let targets = [observer.metrics_address(), newer.metrics_address()];
    let prometheus = Prometheus::start(&targets);

    let mut client = RawClient::connect(observer.client_address(), SESSION_TIMEOUT_MS);
    client
        .create("/seen", b"data", CreateMode::Persistent)
        .expect("a new path");
    for _ in 0..10 {
        client.get_data(b"/seen", true).expect("it is there");
    }

    let up = |targets: usize| {
        let up = prometheus.query("up == 1");
        (up.len() == targets).then_some(())
    };
    // What it asks for, it asks for every second anew, and may once not be answered in time: nothing is held against a
    // single scrape.
    wait::until("both targets to be up", LIMIT, || up(2));
    wait::until("no error of a scrape", LIMIT, || {
        let data = prometheus.ask("targets?state=active")?;
        let targets = data["activeTargets"].as_array()?;
        let well = targets.iter().all(|target| target["lastError"] == "");
        well.then_some(())
    });
    let ours = targets[0].to_string();
    let value = |expression: &str| {
        let values = prometheus.query(expression);
        let of_ours = values.iter().find(|(instance, _)| *instance == ours);
        of_ours.map(|(_, value)| *value)
    };
    for (expression, expected) in [
        ("outpost_link_attached", 1.0),
        ("quorum_size", 3.0),
        ("watch_count", 1.0),
        ("num_alive_connections", 1.0),
        ("connection_request_count", 1.0),
        ("readlatency_count", 10.0),
        ("read_per_namespace_count{key=\"seen\"}", 10.0),
        // The session and the znode.
        ("updatelatency_count", 2.0),
    ] {
        let seen = || (value(expression)? == expected).then_some(());
        wait::until(&format!("{expression} = {expected}"), LIMIT, seen);
    }
    // Counters under the other names, beside the rest under the same.
    let at_the_newer = [(targets[1].to_string(), 0.0)];
    wait::until("counters under their newer names", LIMIT, || {
        let total = prometheus.query("connection_request_count_total");
        (total == at_the_newer).then_some(())
    });
    wait::until("the same gauge of both", LIMIT, || {
        (prometheus.query("quorum_size").len() == 2).then_some(())
    });

    for name in OF_THE_DOCUMENTED_RULES.iter().chain(&OF_THE_DASHBOARD) {
        wait::until(&format!("an answer to {name}"), LIMIT, || value(name));
    }
    // The documented rule for memory divides one by the other: with us both have the label that it names.
    let rule = "jvm_memory_bytes_used / jvm_memory_bytes_max{area=\"heap\"}";
    let filled = wait::until("an answer to the rule for memory", LIMIT, || value(rule));
    assert!(filled > 0.0 && filled < 1.0, "{filled:?}");
}
