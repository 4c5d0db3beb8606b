//! The harness: real ZooKeeper ensembles, a server under test attached to them, real clients, and links
//! between them that can be cut.
//!
//! It does not decide what is right: the suites beside it do. Whatever goes wrong here is a panic with a
//! sentence that names what was awaited and where the logs are, because a harness has no caller that could
//! do better. Read on in [`ensemble`], then [`observer`].

// A harness that cannot go on fails its test with a sentence; there is no caller to return an error to.
#![allow(clippy::expect_used)]

pub mod certificates;
pub mod clients;
pub mod committed;
pub mod crowd;
pub mod ensemble;
pub mod four_letter;
pub mod jars;
pub mod jvm;
pub mod metrics;
pub mod observer;
pub mod offenders;
mod permits;
pub mod ports;
pub mod process;
pub mod raw;
pub mod relay;
pub mod run_dir;
pub mod stores;
pub mod tree_dump;
pub mod wait;

pub use ensemble::{Ensemble, Settings, Version};
pub use observer::{Observer, ObserverKind, ObserverSettings};
pub use relay::{Relay, Towards};
