//! An observer against real ZooKeeper ensembles, seen by real clients.
//!
//! `OUTPOST_TESTS_OBSERVER=java` runs the same suites against Apache ZooKeeper's own observer: what they
//! demand is what it does.

// A scenario that cannot go on fails its test with a sentence.
#![allow(clippy::expect_used)]

mod backup;
mod bounds;
mod check;
mod client_tls;
mod clients;
mod detach;
mod handover;
mod leader_memory;
mod link;
mod local_sessions;
mod membership;
mod monitoring;
mod names;
mod quorum_sasl;
mod quorum_tls;
mod read_only;
mod region;
mod sasl;
mod stage;
mod stores;
mod versions;
mod workload;
