//! The `Learner` as a value, driven by scripts of what a master sends.
//!
//! `link.rs` and `holding.rs` run whole links on real sockets; everywhere else there is neither socket nor clock.
//! A script is checked by what the learner makes of it, written down as text: what it sends, which events
//! come out, how it ends. Every script is also run byte by byte and all at once, with the same outcome.
#![allow(clippy::expect_used)]

mod following;
mod handshake;
mod holding;
mod hostile;
mod link;
mod master;
mod recording;
mod running;
mod script;
mod synchronizing;
