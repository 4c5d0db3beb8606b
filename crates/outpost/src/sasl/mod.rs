//! SASL with DIGEST-MD5 (RFC 2831), the one mechanism of ZooKeeper that needs no Kerberos: both ends as values.
//!
//! Tokens come in, tokens go out. What carries them, who the users are and what an identity allows is decided
//! elsewhere: [`serve::sasl`](crate::serve) speaks to clients, [`upstream`](crate::upstream) to the ensemble. Both
//! ends do what Java's own mechanism does, since that is what stands at the other end: `qop=auth` alone,
//! `md5-sess`, UTF-8 offered, one authentication and never a subsequent one. There is no security layer: bytes that
//! follow are as bare as before, and want TLS.
//!
//! Read on in [`Server`] and [`Client`]; `directives` is the syntax of a token, `digest` the arithmetic.

mod client;
mod digest;
mod directives;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Client, Distrusted};
pub use server::{Refused, Server, Step};

/// Longest token of a server, in bytes; longer ones are refused, as by Java.
pub const CHALLENGE_BYTES_MAX: usize = 2048;
/// Longest token of a client, in bytes; longer ones are refused, as by Java.
pub const RESPONSE_BYTES_MAX: usize = 4096;

/// Random bytes of a nonce; written, it has four characters for each three.
const NONCE_BYTES: usize = 30;

/// For what somebody logs in: both ends know it beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose {
    /// The realm that the server offers.
    pub realm: &'static str,
    /// What the client says it wants.
    pub digest_uri: &'static str,
}

/// A client of ZooKeeper and the server it uses.
pub const CLIENTS: Purpose = Purpose {
    realm: "zk-sasl-md5",
    digest_uri: "zookeeper/zk-sasl-md5",
};

/// A learner and its learner master.
pub const QUORUM: Purpose = Purpose {
    realm: "zk-quorum-sasl-md5",
    digest_uri: "zookeeper-quorum/zk-quorum-sasl-md5",
};

/// Something nobody can foresee, printable; `None` where the system has no randomness, and then nobody logs in.
fn nonce() -> Option<String> {
    use base64::Engine;
    let mut bytes = [0; NONCE_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(base64::engine::general_purpose::STANDARD.encode(bytes))
}
