//! The simulated ensemble against the observer's own end of the learner protocol.
//!
//! Most of it without sockets, with a clock of its own (`world.rs`); `sockets.rs` has the real ones.
#![allow(clippy::expect_used)]

mod attach;
mod harm;
mod sessions;
mod sockets;
mod workload;
mod world;
