//! A Java observer and an Outpost of one ensemble, side by side: under load, and while their ensemble loses its
//! leader.
//!
//! Absolute numbers belong to the machine; what counts is how the two compare in one run.

// A benchmark that cannot go on says why and ends.
#![allow(clippy::expect_used)]

mod detach;
mod load;
mod populate;
mod process;
mod reads;
mod report;

use clap::{Parser, Subcommand};

/// The JVM as an operator would run it, in place of the small one of the tests.
const JVM_OPTIONS: &str = "-XX:TieredStopAtLevel=4 -XX:-UseSerialGC -XX:+UseG1GC";

#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    reads: reads::Arguments,
}

#[derive(Subcommand)]
enum What {
    /// What clients feel while the ensemble loses its leader, or the observers their link.
    Detach(detach::Arguments),
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.what {
        None => reads::run(&arguments.reads),
        Some(What::Detach(detach)) => detach::run(&detach),
    }
}
