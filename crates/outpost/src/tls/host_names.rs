//! Is a certificate made out for a host? As `ZKHostnameVerifier` of a Java server answers it.
//!
//! Names and addresses among the subject's alternative names decide; where there is none of either, the common name
//! of the subject does. A name may hold one asterisk, which stands for anything without a dot.

use std::fmt;
use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The hosts a certificate is made out for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    /// Only where there is nothing else.
    common_name: Option<String>,
}

impl Hosts {
    /// Of a certificate; `None` if it cannot be read.
    pub fn of(certificate: &[u8]) -> Option<Hosts> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let mut hosts = Hosts::default();
        let alternatives = certificate.subject_alternative_name().ok()?;
        let alternatives = alternatives.iter();
        for name in alternatives.flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => hosts.names.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => hosts.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        if hosts.names.is_empty() && hosts.addresses.is_empty() {
            // The most specific one stands last.
            let last = certificate.subject().iter_common_name().last();
            let text = last.and_then(|name| name.as_str().ok());
            hosts.common_name = text.map(str::to_ascii_lowercase);
        }
        Some(hosts)
    }

    /// Whether the host with this address is meant.
    pub fn have_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let text = || address.to_string();
        self.addresses.contains(&address)
            || self
                .common_name
                .as_ref()
                .is_some_and(|name| *name == text())
    }

    /// Whether the host with this name is meant.
    pub fn have_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let mut patterns = self.names.iter().chain(&self.common_name);
        patterns.any(|pattern| matches(pattern, &name))
    }
}

/// For human eyes.
impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.iter().chain(&self.common_name).cloned();
        let all: Vec<String> = names
            .chain(self.addresses.iter().map(IpAddr::to_string))
            .collect();
        match all.is_empty() {
            true => f.write_str("no host at all"),
            false => f.write_str(&all.join(", ")),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    Some(v4.or(v6).ok()?.to_canonical())
}

/// Both in lower case.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let within = name
        .strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after));
    within.is_some_and(|within| !within.contains('.'))
}
