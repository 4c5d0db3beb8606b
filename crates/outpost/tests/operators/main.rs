//! What operators see of a server: words, admin commands and metrics, asked over real sockets.

// A test that cannot go on fails here; there is no caller to return an error to.
#![allow(clippy::unwrap_used)]

mod attached;
mod exposition;
mod http;
mod liveness;
mod page;
mod server;
mod words;
