//! Running cargo, and counting what its test runners report.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::failures::{self, Failed};

/// Tests that passed and failed, as the runners' own summaries say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
}

impl Tally {
    /// Adds the counts of one line, if it is the summary of a test executable.
    fn add_line(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else {
            return;
        };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            if let (Some(count), Some(what)) = (words.next(), words.next())
                && let Ok(count) = count.parse::<usize>()
            {
                match what {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.ignored += count,
                    _ => {}
                }
            }
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// Runs `cargo` with these arguments; true if it succeeds.
pub(crate) fn cargo(arguments: &[&str]) -> bool {
    announce(arguments);
    cargo_command(arguments)
        .status()
        .expect("cargo can be run")
        .success()
}

/// Runs `cargo` with these arguments; what it prints to its standard output.
pub(crate) fn cargo_output(arguments: &[&str]) -> (bool, String) {
    announce(arguments);
    let output = cargo_command(arguments).output().expect("cargo can be run");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// What a run of `cargo test` came to.
pub(crate) struct Tested {
    /// Cargo succeeded.
    pub(crate) fine: bool,
    pub(crate) tally: Tally,
    pub(crate) failed: Vec<Failed>,
}

/// Runs `cargo test` with these arguments, shows what it prints, and counts.
pub(crate) fn cargo_test(arguments: &[&str]) -> Tested {
    cargo_test_with(&[], arguments)
}

/// As [`cargo_test`], with further variables in the environment.
pub(crate) fn cargo_test_with(environment: &[(&str, &str)], arguments: &[&str]) -> Tested {
    let this = std::env::current_exe().expect("this executable has a path");
    // Every test executable is started by way of `xtask announced`.
    let runner = format!("target.\"cfg(all())\".runner=[{this:?}, \"announced\"]");
    announce(&[&["test"], arguments].concat());
    let arguments = [&["test", "--config", &runner], arguments].concat();
    let mut child = cargo_command(&arguments)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo can be run");
    let output = child.stdout.take().expect("its output is piped");
    let mut tally = Tally::default();
    let mut failures = failures::Reading::default();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        println!("{line}");
        tally.add_line(&line);
        failures.read_line(&line);
    }
    Tested {
        fine: child.wait().expect("cargo ends").success(),
        tally,
        failed: failures.finish(),
    }
}

/// Says which test executable this is, and becomes it.
pub(crate) fn become_announced(command: &[OsString]) -> ! {
    let (executable, arguments) = command.split_first().expect("an executable is named");
    println!("{}", failures::announce(executable.as_ref()));
    let error = Command::new(executable).args(arguments).exec();
    panic!("{} cannot be started: {error}", executable.display());
}

fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments);
    // What cargo tells us of our own package is not to reach the build scripts of others: some are run again when
    // it differs from what they were told by a cargo that was started by hand.
    let told = std::env::vars_os().map(|(name, _)| name);
    for name in told.filter(|name| is_about_a_package(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

fn is_about_a_package(variable: &str) -> bool {
    let starts = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    starts.iter().any(|start| variable.starts_with(start))
}

fn announce(arguments: &[&str]) {
    println!("\n$ cargo {}", arguments.join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_line_is_counted_and_no_other() {
        let mut tally = Tally::default();
        tally.add_line("test apply::create ... ok");
        tally.add_line(
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; \
             finished in 0.02s",
        );
        assert_eq!(
            tally,
            Tally {
                passed: 12,
                failed: 3,
                ignored: 1
            }
        );
    }
}
