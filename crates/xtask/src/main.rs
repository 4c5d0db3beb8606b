//! The project's own commands.

// A tool that cannot go on says why and ends; there is no caller to return an error to.
#![allow(clippy::expect_used)]

mod vectors;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Captures golden vectors from real servers into tests/vectors.
    Vectors {
        /// Numbers of the releases, as 3.9.5; all when none is given.
        versions: Vec<String>,
    },
}

fn main() {
    match Arguments::parse().command {
        Command::Vectors { versions } => vectors::run(&versions),
    }
}
