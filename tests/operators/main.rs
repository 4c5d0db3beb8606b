//! What operators see: an Outpost and a Java observer of the same ensemble side by side, Java servers that take
//! Outpost's snapshot, and the status page in a browser.
//!
//! Read on in `pair` (the two observers), `words` (four-letter words), `commands` (the admin server), `form` (when two
//! answers count as the same in form), `snapshot`,
//! `https` and `page`.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod audit;
mod commands;
mod form;
mod http;
mod https;
mod page;
mod pair;
mod snapshot;
mod words;
