//! May somebody with these ids do that to a znode with this ACL? (`ZooKeeperServer.checkACL`)
//!
//! Decides on the ids handed in; it authenticates nobody and knows no connection.

use std::net::Ipv6Addr;

use bstr::{BStr, BString, ByteSlice};
use outpost_wire::{Acl, Id, Perms};

/// The settings that decide how an ACL is read. A plain value; the defaults are ZooKeeper's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclRules {
    /// `zookeeper.skipACL=yes`: everybody may do everything.
    pub skip_acl: bool,
    /// Whether entries of scheme `digest` mean anybody (`DigestAuthenticationProvider.enabled`).
    pub digest: bool,
    /// Whether entries of scheme `x509` mean anybody (a provider for it is configured).
    pub x509: bool,
    /// Whether entries of scheme `sasl` mean anybody (a provider for it is configured).
    pub sasl: bool,
    /// `zookeeper.X509AuthenticationProvider.superUser`: the subject that matches every x509 entry.
    pub x509_super_user: Option<BString>,
    /// `zookeeper.letAnySaslUserDoX`: sasl entries with this id match every sasl user.
    pub let_any_sasl_user_do_x: Option<BString>,
}

impl Default for AclRules {
    fn default() -> AclRules {
        AclRules {
            skip_acl: false,
            digest: true,
            x509: false,
            sasl: false,
            x509_super_user: None,
            let_any_sasl_user_do_x: None,
        }
    }
}

/// Whether somebody with `ids` may do something of `wanted` to a znode with this `acl`. With several
/// bits in `wanted`, any of them suffices. An empty list allows everything, as in ZooKeeper.
pub fn allows(acl: &[Acl], wanted: Perms, ids: &[Id], rules: &AclRules) -> bool {
    rules.skip_acl
        || acl.is_empty()
        || ids.iter().any(|id| id.scheme == "super")
        || acl
            .iter()
            .any(|entry| entry.perms.intersects(wanted) && means(&entry.id, ids, rules))
}

/// Whether an entry for `who` means somebody with `ids`.
fn means(who: &Id, ids: &[Id], rules: &AclRules) -> bool {
    if who.scheme == "world" {
        return who.id == "anyone";
    }
    let same_scheme = ids
        .iter()
        .filter(|id| id.scheme == who.scheme)
        .map(|id| id.id.as_bstr());
    matcher(who.scheme.as_bstr(), rules).is_some_and(|matches| {
        same_scheme
            .into_iter()
            .any(|id| matches(id, who.id.as_bstr(), rules))
    })
}

/// Compares the id of a caller with that of an entry of the same scheme.
type Matcher = fn(&BStr, &BStr, &AclRules) -> bool;

/// How ids of `scheme` are compared; `None` where no provider for it is there.
fn matcher(scheme: &BStr, rules: &AclRules) -> Option<Matcher> {
    match scheme.as_bytes() {
        b"ip" => Some(|caller, entry, _| ip_matches(caller, entry)),
        b"digest" if rules.digest => Some(|caller, entry, _| caller == entry),
        b"x509" if rules.x509 => Some(x509_matches),
        b"sasl" if rules.sasl => Some(sasl_matches),
        _ => None,
    }
}

fn x509_matches(caller: &BStr, entry: &BStr, rules: &AclRules) -> bool {
    caller == entry
        || rules
            .x509_super_user
            .as_ref()
            .is_some_and(|user| caller == user)
}

fn sasl_matches(caller: &BStr, entry: &BStr, rules: &AclRules) -> bool {
    let any_user = rules.let_any_sasl_user_do_x.as_ref();
    caller == "super" || caller == entry || any_user.is_some_and(|user| entry == user)
}

/// Compares an address with an `address` or `address/bits` (`IPAuthenticationProvider`). Addresses of
/// different families never match. IPv6 in entries is known since ZooKeeper 3.9.4.
fn ip_matches(caller: &BStr, entry: &BStr) -> bool {
    let (Ok(caller), Ok(entry)) = (caller.to_str(), entry.to_str()) else {
        return false;
    };
    let (address, bits) = match entry.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (entry, None),
    };
    match (ipv4(caller), ipv4(address)) {
        (Some(caller), Some(address)) => bits_of(bits, 32).is_some_and(|bits| {
            let differing = caller ^ address;
            differing.checked_shr(32 - bits).unwrap_or(0) == 0
        }),
        (None, None) => ipv6_matches(caller, address, bits),
        _ => false,
    }
}

fn ipv6_matches(caller: &str, address: &str, bits: Option<&str>) -> bool {
    let (Ok(caller), Ok(address)) = (caller.parse::<Ipv6Addr>(), address.parse::<Ipv6Addr>())
    else {
        return false;
    };
    bits_of(bits, 128).is_some_and(|bits| {
        let differing = u128::from(caller) ^ u128::from(address);
        differing.checked_shr(128 - bits).unwrap_or(0) == 0
    })
}

/// The number of leading bits to compare; all of them unless told.
fn bits_of(text: Option<&str>, all: u32) -> Option<u32> {
    match text {
        None => Some(all),
        Some(text) => text.parse().ok().filter(|&bits| bits <= all),
    }
}

/// Four decimal numbers. Leading zeros are allowed, as in Java and unlike in Rust's own parser.
fn ipv4(text: &str) -> Option<u32> {
    let mut parts = text.split('.');
    let mut address = [0; 4];
    for byte in &mut address {
        *byte = parts.next()?.parse().ok()?;
    }
    parts
        .next()
        .is_none()
        .then_some(u32::from_be_bytes(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(perms: Perms, scheme: &str, id: &str) -> Acl {
        Acl {
            perms,
            id: Id::new(scheme, id),
        }
    }

    /// Whether an ACL of one entry lets a caller with one id read.
    fn reads(scheme: &str, entry_id: &str, caller: &str, rules: &AclRules) -> bool {
        let acl = [entry(Perms::READ, scheme, entry_id)];
        let ids = [Id::new("ip", "10.1.2.3"), Id::new(scheme, caller)];
        allows(&acl, Perms::READ, &ids, rules)
    }

    fn all_schemes() -> AclRules {
        AclRules {
            x509: true,
            sasl: true,
            ..AclRules::default()
        }
    }

    #[test]
    fn an_empty_acl_allows_everything_and_so_does_skip_acl() {
        let rules = AclRules::default();
        assert!(allows(&[], Perms::ADMIN, &[], &rules));
        let closed = [entry(Perms(0), "world", "anyone")];
        assert!(!allows(&closed, Perms::ALL, &[], &rules));
        assert!(allows(
            &closed,
            Perms::ALL,
            &[],
            &AclRules {
                skip_acl: true,
                ..rules
            }
        ));
    }

    #[test]
    fn a_super_user_may_do_everything() {
        let closed = [entry(Perms(0), "world", "anyone")];
        let ids = [Id::new("ip", "10.0.0.1"), Id::new("super", "")];
        assert!(allows(&closed, Perms::ADMIN, &ids, &AclRules::default()));
    }

    #[test]
    fn any_wanted_bit_suffices_but_one_must_be_there() {
        let acl = [
            entry(Perms::READ, "world", "anyone"),
            entry(Perms::ADMIN, "digest", "a:b"),
        ];
        let rules = AclRules::default();
        assert!(allows(&acl, Perms::READ.or(Perms::ADMIN), &[], &rules));
        assert!(!allows(&acl, Perms::WRITE, &[], &rules));
        assert!(!allows(&acl, Perms::ADMIN, &[], &rules));
        assert!(allows(
            &acl,
            Perms::ADMIN,
            &[Id::new("digest", "a:b")],
            &rules
        ));
    }

    #[test]
    fn only_anyone_is_the_world() {
        assert!(reads("world", "anyone", "", &all_schemes()));
        assert!(!reads("world", "someone", "someone", &all_schemes()));
    }

    #[test]
    fn digest_and_x509_and_sasl_ids_match_when_they_are_equal() {
        for scheme in ["digest", "x509", "sasl"] {
            assert!(reads(scheme, "bob", "bob", &all_schemes()), "{scheme}");
            assert!(!reads(scheme, "bob", "alice", &all_schemes()), "{scheme}");
        }
    }

    #[test]
    fn a_scheme_without_a_provider_means_nobody() {
        let rules = AclRules {
            digest: false,
            ..AclRules::default()
        };
        for scheme in ["digest", "x509", "sasl", "auth", "unheard-of"] {
            assert!(!reads(scheme, "bob", "bob", &rules), "{scheme}");
        }
    }

    #[test]
    fn special_users_of_x509_and_sasl_match_other_entries_too() {
        let mut rules = all_schemes();
        assert!(!reads("x509", "CN=bob", "CN=root", &rules));
        assert!(!reads("sasl", "anybody", "alice", &rules));
        rules.x509_super_user = Some("CN=root".into());
        rules.let_any_sasl_user_do_x = Some("anybody".into());
        assert!(reads("x509", "CN=bob", "CN=root", &rules));
        assert!(reads("sasl", "anybody", "alice", &rules));
        assert!(!reads("sasl", "bob", "alice", &rules));
        assert!(reads("sasl", "bob", "super", &rules));
    }

    #[test]
    fn addresses_match_under_the_mask_of_the_entry() {
        for (caller, entry, matches) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3", "10.1.2.4/29", true),
            ("10.1.2.3", "10.1.0.0/16", true),
            ("10.1.2.3", "10.2.0.0/16", false),
            ("10.1.2.3", "10.1.2.3/32", true),
            ("10.1.2.3", "192.168.0.1/0", true),
            ("10.1.2.3", "10.1.2.3/33", false),
            ("10.1.2.3", "10.1.2.3/-1", false),
            ("10.1.2.3", "10.1.2.3/", false),
            ("10.1.2.3", "010.001.2.3", true),
            ("10.1.2.3", "10.1.2", false),
            ("10.1.2.3", "10.1.2.3.4", false),
            ("10.1.2.3", "10.1.2.256", false),
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("2001:db8:0:0:0:0:0:7", "2001:db8::/32", true),
            ("2001:db9:0:0:0:0:0:7", "2001:db8::/32", false),
            ("2001:db8:0:0:0:0:0:7", "::/0", true),
            ("2001:db8:0:0:0:0:0:7", "2001:db8::7/129", false),
            ("10.1.2.3", "::/0", false),
            ("0:0:0:0:0:0:0:1", "0.0.0.0/0", false),
            ("fe80:0:0:0:0:0:0:1%eth0", "fe80::/16", false),
        ] {
            let (caller_id, entry_id) = (BStr::new(caller), BStr::new(entry));
            assert_eq!(
                ip_matches(caller_id, entry_id),
                matches,
                "{caller} against {entry}"
            );
        }
    }
}
