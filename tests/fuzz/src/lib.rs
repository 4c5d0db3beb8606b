//! What the fuzz targets do, as plain functions: `cargo fuzz` runs them with inputs of its own making,
//! `cargo test` in this directory with the golden vectors and some thousands of damaged ones.
//!
//! ```text
//! cargo test                               # seeds, and mutations of them; writes nothing
//! cargo run --example seed                 # corpus/<target>/ from the golden vectors
//! cargo +nightly fuzz run --fuzz-dir . txn # until it is stopped
//! ```

pub mod bodies;
pub mod seeds;

/// A part of the `outpost` crate that needs nothing of the rest; the whole of it would take a fuzzer minutes to build.
#[path = "../../../crates/outpost/src/sasl/mod.rs"]
#[allow(dead_code, unused_imports)]
mod sasl;
