//! Real clients in their own languages: each a program under `clients/`, set up once and run against a
//! connect string.
//!
//! A program checks a list of things and exits non-zero with a message at the first that is wrong. A tool
//! that is missing fails the test: nothing is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::run_dir::{RunDir, source_dir, target_dir};
use crate::{jars, process};

/// How long a set-up may take on a cold machine.
const SETUP_LIMIT: Duration = Duration::from_secs(600);
/// How long one program may take.
const RUN_LIMIT: Duration = Duration::from_secs(180);

/// A client program that is ready to run.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    command: Command,
}

impl Program {
    /// Runs the program against `connect_string` and returns what it printed. `missing` names what the
    /// servers are too old for; each program says at its top which words it knows.
    ///
    /// # Panics
    /// When it exits non-zero or takes longer than three minutes; the message holds its output.
    pub fn check_without(mut self, connect_string: &str, missing: &[&str]) -> String {
        self.command.arg(connect_string).args(missing);
        let dir = RunDir::new(self.name);
        process::run(
            self.name,
            &self.command,
            RUN_LIMIT,
            &dir.path().join("output.log"),
        )
    }

    /// [`Self::check_without`] on servers that know everything.
    pub fn check(self, connect_string: &str) -> String {
        self.check_without(connect_string, &[])
    }
}

/// Python's kazoo, in a virtual environment of its own.
pub fn kazoo() -> Program {
    let requirements = program_file("python/requirements.txt");
    let venv = built_dir("python");
    jars::once(&venv, &[&requirements], || {
        setup(
            "python3",
            &venv,
            Command::new("python3").args(["-m", "venv"]).arg(&venv),
        );
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["install", "--quiet", "--requirement"])
            .arg(&requirements);
        setup("pip", &venv, &pip);
    });
    let mut command = Command::new(venv.join("bin/python"));
    command.arg("-u").arg(program_file("python/scenario.py"));
    Program {
        name: "kazoo",
        command,
    }
}

fn setup(name: &str, dir: &Path, command: &Command) {
    process::run(name, command, SETUP_LIMIT, &dir.join(format!("{name}.log")));
}

fn program_file(name: &str) -> PathBuf {
    source_dir().join("clients").join(name)
}

fn built_dir(language: &str) -> PathBuf {
    let dir = target_dir().join("clients").join(language);
    std::fs::create_dir_all(&dir)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
    dir
}
