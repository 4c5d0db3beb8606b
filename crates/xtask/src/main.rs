//! The project's own commands: `cargo xtask test`, `ci`, `bench`, `deb`, `abuse`, `vectors`.

// A tool that cannot go on says why and ends; there is no caller to return an error to.
#![allow(clippy::expect_used)]

mod deb;
mod failures;
mod run;
mod suites;
mod vectors;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every test: fetches what they need, builds, and ends with how many passed and failed.
    Test,
    /// Formatting, lints, documentation and boundaries, then every test.
    Ci,
    /// Runs a Java observer and an Outpost side by side under load and prints the ratios; `bench detach` while
    /// the ensemble loses its leader, `bench protect` under attack, `bench handshakes` in a storm of TLS clients,
    /// `bench sampler` for the cost of heap profiles.
    Bench {
        /// Handed to the benchmark; `--help`, and `--help` behind each name, list them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Builds the Debian package target/debian/outpost.deb; needs cargo-deb.
    Deb {
        /// The build profile: `dist` for those who run it, `dev` to look at the package.
        #[arg(long, default_value = "dist")]
        profile: String,
    },
    /// Kills, stops, cuts off and starves an observer a thousand times and looks what that leaves in its leader's
    /// memory; takes most of an hour.
    Abuse,
    /// Captures golden vectors from real servers into tests/vectors.
    Vectors {
        /// Numbers of the releases, as 3.9.5; all when none is given.
        versions: Vec<String>,
    },
    /// Starts a test executable and says its name before: what cargo is told to run each by way of.
    #[command(hide = true)]
    Announced {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
}

fn main() {
    let fine = match Arguments::parse().command {
        Command::Test => suites::test(),
        Command::Ci => suites::checks() && suites::test(),
        Command::Bench { arguments } => suites::bench(&arguments),
        Command::Deb { profile } => deb::build(&profile),
        Command::Abuse => suites::abuse(),
        Command::Vectors { versions } => {
            vectors::run(&versions);
            true
        }
        Command::Announced { command } => run::become_announced(&command),
    };
    if !fine {
        std::process::exit(1);
    }
}
