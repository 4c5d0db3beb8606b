//! The command line, as people and scripts use it: the real binary, what it prints and how it ends.
#![allow(clippy::expect_used)]

mod audit;
mod descriptors;
mod health;
mod help;
mod logs;
mod master;
mod progress;
mod server;
mod shell;
mod terminal;

use std::process::{Command, Output};

/// The binary, with nothing of this machine's own settings in its environment.
fn outpost(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outpost"));
    for (name, _) in std::env::vars_os() {
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with("OUTPOST_"));
        if ours || name == "NO_COLOR" {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    outpost(arguments).output().expect("started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}
