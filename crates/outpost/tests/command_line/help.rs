//! What the program says of itself.

use crate::{run, text};

const COMMANDS: [&str; 6] = ["run", "check", "health", "demo", "completions", "man"];

#[test]
fn the_version_names_commit_and_profile() {
    let short = text(&run(&["-V"]).stdout);
    let long = text(&run(&["--version"]).stdout);
    assert!(
        short.starts_with(concat!("outpost ", env!("CARGO_PKG_VERSION"), " (commit ")),
        "{short}"
    );
    assert_eq!(short.lines().count(), 1);
    for part in ["commit: ", "profile: ", "ZooKeeper 3.9."] {
        assert!(long.contains(part), "{long}");
    }
}

#[test]
fn every_command_is_listed_and_explains_itself_within_a_hundred_columns() {
    let list = text(&run(&["--help"]).stdout);
    for command in COMMANDS {
        assert!(
            list.contains(&format!("\n  {command}")),
            "{command}: {list}"
        );
        let output = run(&[command, "--help"]);
        assert!(output.status.success(), "{command}");
        let help = text(&output.stdout);
        assert!(help.contains("Usage: outpost"), "{help}");
        let long: Vec<&str> = help
            .lines()
            .filter(|line| line.chars().count() > 100)
            .collect();
        assert!(long.is_empty(), "{command}: {long:?}");
    }
}

#[test]
fn commands_that_can_fail_tell_their_exit_codes() {
    for command in ["run", "check", "health"] {
        let help = text(&run(&[command, "--help"]).stdout);
        assert!(help.contains("Exit codes: 0 "), "{command}: {help}");
    }
}

#[test]
fn a_command_line_that_cannot_be_used_ends_with_2_and_says_why() {
    for (arguments, why) in [
        (&["walk"][..], "unrecognized subcommand"),
        (&["run"], "<ZOO_CFG>"),
        (&["run", "zoo.cfg", "--log", "loud"], "`loud` is no level"),
        (
            &["run", "zoo.cfg", "--log-format", "xml"],
            "possible values: human, json",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}
