//! Unmodified clients cannot tell the server under test from a ZooKeeper server.

use outpost_tests::clients;
use outpost_tests::tree_dump::assert_same_tree;
use outpost_tests::{Observer, ObserverKind, ObserverSettings, Settings};

use crate::stage::Stage;

mod rust_client;

#[test]
fn kazoo_is_served_as_by_any_zookeeper_server() {
    let stage = Stage::shared();
    clients::kazoo().check(&stage.observer.connect_string());
}

#[test]
fn the_native_java_client_is_served_as_by_any_zookeeper_server() {
    let stage = Stage::shared();
    clients::java().check(&stage.observer.connect_string());
}

#[test]
fn curators_recipes_work_as_with_any_zookeeper_server() {
    let stage = Stage::shared();
    clients::curator().check(&stage.observer.connect_string());
}

#[test]
fn a_java_client_of_3_3_without_the_read_only_byte_is_served() {
    let stage = Stage::shared();
    clients::java_3_3().check(&stage.observer.connect_string());
}

#[test]
fn the_go_client_is_served_as_by_any_zookeeper_server() {
    let stage = Stage::shared();
    clients::go().check(&stage.observer.connect_string());
}

#[test]
fn the_node_client_is_served_as_by_any_zookeeper_server() {
    let stage = Stage::shared();
    clients::node().check(&stage.observer.connect_string());
}

#[test]
fn the_c_client_is_served_as_by_any_zookeeper_server() {
    let stage = Stage::shared();
    clients::c().check(&stage.observer.connect_string());
}

#[test]
fn the_rust_client_is_served_as_by_any_zookeeper_server() {
    let stage = Stage::shared();
    rust_client::run(&stage.observer.connect_string());
}

#[test]
fn the_command_line_prints_what_it_prints_on_a_java_observer() {
    let stage = Stage::shared();
    let java = Observer::start(
        &stage.ensemble,
        ObserverKind::Java,
        &ObserverSettings::default(),
    );
    let commands = include_str!("clients/command_line.txt");
    let expected = clients::command_line(&java.connect_string(), commands);
    let printed = clients::command_line(&stage.observer.connect_string(), commands);
    assert!(
        expected.lines.len() > commands.lines().count(),
        "the command line prints next to nothing: {expected:#?}"
    );
    assert_eq!(expected.events, printed.events, "watch events differ");
    let pairs = expected.lines.iter().zip(&printed.lines);
    if let Some(first) = pairs
        .clone()
        .position(|(expected, printed)| expected != printed)
    {
        let from = first.saturating_sub(10);
        let shown = |lines: &[String]| lines[from..lines.len().min(first + 15)].join("\n    ");
        panic!(
            "line {first} differs; a Java observer prints\n    {}\n  and the server under test\n    {}",
            shown(&expected.lines),
            shown(&printed.lines)
        );
    }
    assert_eq!(
        expected.lines.len(),
        printed.lines.len(),
        "one prints more: {expected:#?} {printed:#?}"
    );
}

#[test]
fn clients_do_not_notice_that_their_sessions_are_local() {
    let lines = [
        "localSessionsEnabled=true",
        "localSessionsUpgradingEnabled=true",
    ];
    let settings = Settings {
        lines: lines.map(str::to_owned).to_vec(),
        ..Settings::default()
    };
    let stage = Stage::with(settings.super_secret(), &ObserverSettings::default());
    clients::kazoo().check(&stage.observer.connect_string());
    clients::go().check(&stage.observer.connect_string());
    clients::c().check(&stage.observer.connect_string());
    let leader = stage.ensemble.wait_for_leader();
    let leader = stage.ensemble.server(leader).client_address();
    assert_same_tree(stage.observer.client_address(), leader);
}
