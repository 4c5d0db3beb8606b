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
