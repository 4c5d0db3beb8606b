//! TLS: key material from the stores that a Java server uses, and what rustls makes of it.
//!
//! A [`ServerTls`] is for those who connect to us, a [`ClientTls`] for those we connect to. Both are loaded from
//! [`TlsSettings`](crate::config::TlsSettings), and again when a store's file changes; connections that exist keep
//! what they began with. Who is believed is decided as by a Java server, with the differences that decision 0005
//! names.
//!
//! Nothing here opens a connection, but for the name service (`reverse_lookup`). Read on in `store` (files to key and certificates: `pem`, `pkcs12`, `jks`),
//! `trust` (who is believed; `verifier` asks on behalf of rustls), `host_names` (is this certificate made out for that
//! host?), `handle` (what is in use now), `own` (a server of the same stores) and `explain` (a failure in words that say
//! what to do).

#[cfg(test)]
pub(crate) mod certified;
mod der;
mod ec;
pub mod explain;
pub mod handle;
pub mod host_names;
mod jks;
pub mod own;
mod pem;
mod pkcs12;
mod reverse_lookup;
pub mod store;
pub mod suites;
mod trust;
mod verifier;

pub use handle::{ClientTls, ServerTls, StoreReport, TlsInUse};
pub use reverse_lookup::name_of;
pub use store::StoreError;
pub use trust::{OtherHost, Peer, check_host};
