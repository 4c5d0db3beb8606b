//! A Java observer and an Outpost of one ensemble, side by side: under load, while their ensemble loses its
//! leader, under attack, and while everybody comes at one time.
//!
//! Absolute numbers belong to the machine; what counts is how the two compare in one run.

// A benchmark that cannot go on says why and ends.
#![allow(clippy::expect_used)]

mod detach;
mod handshakes;
mod line;
mod load;
mod paced;
mod part;
mod populate;
mod process;
mod protect;
mod reads;
mod report;
mod sampler;
mod stage;

use clap::{Parser, Subcommand};

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
    /// What well-behaved clients feel while others attack.
    Protect(protect::Arguments),
    /// What connected clients feel while thousands come over TLS at one time.
    Handshakes(handshakes::Arguments),
    /// What it costs that the allocator can sample the heap.
    Sampler(sampler::Arguments),
    /// A part of a benchmark, in a process of its own; nobody else starts it.
    #[command(hide = true, subcommand)]
    Part(Part),
}

#[derive(Subcommand)]
enum Part {
    Attack(protect::attacks::Arguments),
    Nobody,
    Storm(handshakes::storm::Arguments),
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.what {
        None => reads::run(&arguments.reads),
        Some(What::Detach(detach)) => detach::run(&detach),
        Some(What::Protect(protect)) => protect::run(&protect),
        Some(What::Handshakes(handshakes)) => handshakes::run(&handshakes),
        Some(What::Sampler(sampler)) => sampler::run(&sampler),
        Some(What::Part(Part::Attack(attack))) => protect::attacks::run(&attack),
        Some(What::Part(Part::Nobody)) => protect::attacks::be_nobody(),
        Some(What::Part(Part::Storm(storm))) => handshakes::storm::run(&storm),
    }
}
