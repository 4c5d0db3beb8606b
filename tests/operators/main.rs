//! What operators see: an Outpost and a Java observer of the same ensemble side by side, a Java server that takes
//! Outpost's snapshot, and the status page in a browser.
//!
//! Read on in `words` (four-letter words), `commands` (the admin server), `form` (when two answers count as the same
//! in form), `snapshot` and `page`.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod http;
mod page;
