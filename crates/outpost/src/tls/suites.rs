//! Which versions of TLS and which cipher suites there are, by the names that Java and IANA give them.

use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, ring};

use crate::config::{TlsSettings, TlsVersion};

/// The suite of that name, and the version of TLS it belongs to; `None` if it does not exist here.
pub fn find(name: &str) -> Option<(SupportedCipherSuite, TlsVersion)> {
    let suites = ring::ALL_CIPHER_SUITES.iter();
    let suite = suites.copied().find(|suite| name_of(*suite) == name)?;
    Some((suite, version_of(suite)))
}

/// The names of all suites for these versions.
pub fn names(versions: &[TlsVersion]) -> Vec<String> {
    let suites = ring::ALL_CIPHER_SUITES.iter().copied();
    let usable = suites.filter(|suite| versions.contains(&version_of(*suite)));
    usable.map(name_of).collect()
}

/// Cryptography with the suites that these settings allow.
pub(super) fn provider(settings: &TlsSettings) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        let named = settings.cipher_suites.iter();
        let suites = named.filter_map(|name| find(name));
        provider.cipher_suites = suites.map(|(suite, _)| suite).collect();
    }
    provider
}

/// The versions that these settings allow.
pub(super) fn versions(settings: &TlsSettings) -> Vec<&'static rustls::SupportedProtocolVersion> {
    let versions = settings.versions.iter();
    let versions = versions.map(|version| match version {
        TlsVersion::Tls12 => &rustls::version::TLS12,
        TlsVersion::Tls13 => &rustls::version::TLS13,
    });
    versions.collect()
}

/// As IANA has it: rustls marks the suites of TLS 1.3 more plainly.
fn name_of(suite: SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}

fn version_of(suite: SupportedCipherSuite) -> TlsVersion {
    match suite.tls13() {
        Some(_) => TlsVersion::Tls13,
        None => TlsVersion::Tls12,
    }
}
