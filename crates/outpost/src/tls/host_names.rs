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

#[cfg(test)]
mod tests {
    use super::super::certified::{called, made_out_for, self_signed};
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};

    fn hosts(params: &CertificateParams) -> Hosts {
        Hosts::of(&self_signed(params).certificate).unwrap()
    }

    /// Without a name or an address among the alternatives.
    fn with_subject(subject: DistinguishedName) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_compared_without_case_and_one_asterisk_stands_for_anything_without_a_dot() {
        for (pattern, name, expected) in [
            ("zk1.example.org", "zk1.example.org", true),
            ("ZK1.Example.org", "zk1.eXample.org", true),
            ("zk1.example.org", "zk1.example.org.", true),
            ("zk1.example.org", "zk2.example.org", false),
            ("zk1.example.org", "zk1", false),
            ("zk1", "zk1.example.org", false),
            ("*.example.org", "zk1.example.org", true),
            ("*.example.org", "a.b.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", "zk1.example.com", false),
            ("zk*.example.org", "zk12.example.org", true),
            ("zk*.example.org", "zk.example.org", true),
            ("zk*.example.org", "kz1.example.org", false),
            ("zk*k.example.org", "zk.example.org", false),
            ("a.*.org", "a.b.org", true),
            ("*.*.org", "a.b.org", false),
            ("*", "localhost", true),
            ("*", "zk1.example.org", false),
        ] {
            let hosts = hosts(&made_out_for(&[pattern]));
            assert_eq!(hosts.have_name(name), expected, "{pattern} and {name}");
        }
    }

    #[test]
    fn an_address_is_compared_by_value_and_only_with_addresses() {
        let hosts = hosts(&made_out_for(&["10.0.0.1", "2001:db8::1"]));
        for (address, expected) in [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.0.0.2", false),
            ("2001:db8:0:0::1", true),
            ("2001:db8::2", false),
        ] {
            assert_eq!(hosts.have_address(ip(address)), expected, "{address}");
        }
        assert!(!hosts.have_name("10.0.0.1"), "no name is an address");

        // An address that stands among the names is none.
        let name = "10.0.0.1".try_into().unwrap();
        let mut params = made_out_for(&[]);
        params.subject_alt_names = vec![SanType::DnsName(name)];
        let hosts = Hosts::of(&self_signed(&params).certificate).unwrap();
        assert!(!hosts.have_address(ip("10.0.0.1")));
    }

    #[test]
    fn the_common_name_counts_only_where_there_is_neither_name_nor_address() {
        let alone = hosts(&with_subject(called("ZK*.example.org")));
        assert!(alone.have_name("zk1.example.org"));
        let address = hosts(&with_subject(called("10.0.0.1")));
        assert!(address.have_address(ip("10.0.0.1")) && !address.have_address(ip("10.0.0.2")));

        // A mail address is no host.
        let mut params = with_subject(called("zk1"));
        let mail = "zk1@example.org".try_into().unwrap();
        params.subject_alt_names = vec![SanType::Rfc822Name(mail)];
        assert!(hosts(&params).have_name("zk1"));

        for other in ["zk2", "10.0.0.1"] {
            let mut params = made_out_for(&[other]);
            params.distinguished_name = called("zk1");
            assert!(!hosts(&params).have_name("zk1"), "beside {other}");
        }
    }

    #[test]
    fn of_several_common_names_the_last_and_most_specific_counts() {
        let mut subject = called("region");
        subject.push(DnType::OrganizationName, "Acme");
        subject.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "zk1");
        let hosts = hosts(&with_subject(subject));
        assert!(hosts.have_name("zk1") && !hosts.have_name("region"));
    }

    #[test]
    fn who_is_made_out_for_nobody_is_nobody_and_says_so() {
        let nobody = hosts(&with_subject(DistinguishedName::new()));
        assert!(!nobody.have_name("") && !nobody.have_name("zk1"));
        assert!(!nobody.have_address(ip("127.0.0.1")));
        assert_eq!(nobody.to_string(), "no host at all");
        let some = hosts(&made_out_for(&["zk1", "10.0.0.1"]));
        assert_eq!(some.to_string(), "zk1, 10.0.0.1");
        assert_eq!(Hosts::of(b"no certificate"), None);
    }
}
