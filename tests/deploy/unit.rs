//! The systemd unit.

use std::process::Command;
use std::time::Duration;

use outpost::config::Config;
use outpost_tests::run_dir::RunDir;
use outpost_wire::ServerId;

use crate::tools::{deploy, succeeds, text};

const UNIT: &str = "deploy/systemd/outpost.service";

/// The values of a key of the unit.
fn values(key: &str) -> Vec<String> {
    let unit = text(UNIT);
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    let of_key = lines.filter(|(name, _)| *name == key);
    of_key.map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn systemd_reads_the_unit_without_a_complaint() {
    let dir = RunDir::new("unit");
    let unit = dir.path().join("outpost.service");
    // It looks for the executable, which is not installed here.
    let executable = std::env::current_exe().unwrap();
    let text = text(UNIT);
    let found = text.replace(
        "ExecStart=outpost ",
        &format!("ExecStart={} ", executable.display()),
    );
    assert_ne!(found, text);
    std::fs::write(&unit, found).unwrap();
    let mut analyze = Command::new("systemd-analyze");
    let said = succeeds(analyze.args(["verify", "--man=no"]).arg(&unit), "");
    assert!(!said.contains("outpost.service"), "{said}");
}

#[test]
fn systemd_finds_the_unit_well_locked_in() {
    let mut analyze = Command::new("systemd-analyze");
    // Tenths of what it calls exposure, which goes to 10; an ordinary service has 9.6.
    let arguments = ["security", "--no-pager", "--offline=true", "--threshold=15"];
    succeeds(
        analyze
            .args(arguments)
            .arg(deploy("systemd/outpost.service")),
        "",
    );
}

#[test]
fn systemd_waits_for_longer_than_a_drain_takes() {
    let dir = RunDir::new("unit-config");
    let zoo_cfg = dir.path().join("zoo.cfg");
    let lines = format!(
        "initLimit=10\nsyncLimit=5\ndataDir={}\nserver.1=127.0.0.1:1:2\n",
        dir.path().display()
    );
    std::fs::write(&zoo_cfg, lines).unwrap();
    let loaded = Config::load(&zoo_cfg, Some(ServerId(9)), std::iter::empty()).unwrap();
    let waits = values("TimeoutStopSec")[0].parse().unwrap();
    assert!(Duration::from_secs(waits) >= 2 * loaded.config.drain_timeout);
}

#[test]
fn systemd_is_told_by_the_process_itself_that_it_is_up_and_that_it_works() {
    assert_eq!(values("Type"), ["notify"]);
    // Only then is the process told to say that it works.
    assert_eq!(values("WatchdogSec"), ["30"]);
    // A hang counts as a failure, and so does a start that failed.
    assert_eq!(values("Restart"), ["on-failure"]);
}

#[test]
fn a_configuration_that_cannot_be_used_is_not_tried_again() {
    assert_eq!(values("RestartPreventExitStatus"), ["2"]);
}
