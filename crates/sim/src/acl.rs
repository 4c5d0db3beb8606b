//! Which ACLs may be set, and what `auth` in them means (`PrepRequestProcessor.fixupACL`).

use std::net::IpAddr;
use std::str::FromStr;

use bstr::{BStr, ByteSlice};
use outpost_mirror::AclRules;
use outpost_wire::{Acl, ErrorCode, Id};

/// The ACL to store where `asked` was asked for: without repetitions, and with `auth` replaced by
/// whoever asks.
///
/// # Errors
/// [`ErrorCode::INVALID_ACL`] for an empty list, an unknown scheme or an id that its scheme refuses;
/// [`ErrorCode::MARSHALLING_ERROR`] for `auth` without identities, on which Java's leader fails.
pub(crate) fn fix_up(
    asked: Option<&[Acl]>,
    authinfo: Option<&[Id]>,
    rules: &AclRules,
) -> Result<Vec<Acl>, ErrorCode> {
    let mut unique: Vec<&Acl> = Vec::new();
    for entry in asked.unwrap_or_default() {
        if !unique.contains(&entry) {
            unique.push(entry);
        }
    }
    let mut fixed = Vec::new();
    for entry in unique {
        match entry.id.scheme.as_slice() {
            b"auth" => {
                let ids = authinfo.ok_or(ErrorCode::MARSHALLING_ERROR)?;
                fixed.extend(expand(entry, ids, rules)?);
            }
            _ if is_valid(&entry.id, rules) => fixed.push(entry.clone()),
            _ => return Err(ErrorCode::INVALID_ACL),
        }
    }
    if fixed.is_empty() {
        Err(ErrorCode::INVALID_ACL)
    } else {
        Ok(fixed)
    }
}

/// One entry for each identity that somebody has proven, not merely has.
fn expand(entry: &Acl, ids: &[Id], rules: &AclRules) -> Result<Vec<Acl>, ErrorCode> {
    let proven = |id: &&Id| match id.scheme.as_slice() {
        b"digest" => rules.digest,
        b"x509" => rules.x509,
        b"sasl" => rules.sasl,
        _ => false,
    };
    let expanded: Vec<Acl> = ids
        .iter()
        .filter(proven)
        .map(|id| Acl {
            perms: entry.perms,
            id: id.clone(),
        })
        .collect();
    if expanded.is_empty() {
        Err(ErrorCode::INVALID_ACL)
    } else {
        Ok(expanded)
    }
}

/// Whether a scheme is known here and accepts the id. The names of sasl and x509 are not looked into.
fn is_valid(id: &Id, rules: &AclRules) -> bool {
    match id.scheme.as_slice() {
        b"world" => id.id == "anyone",
        b"digest" => rules.digest && is_user_and_hash(id.id.as_ref()),
        b"ip" => is_network(id.id.as_ref()),
        b"x509" => rules.x509 && !id.id.is_empty(),
        b"sasl" => rules.sasl && !id.id.is_empty(),
        _ => false,
    }
}

/// Two parts around a colon, counted as `String.split` does: empty ones at the end do not count.
fn is_user_and_hash(id: &BStr) -> bool {
    let parts: Vec<&[u8]> = id.split(|&b| b == b':').collect();
    parts.iter().rposition(|part| !part.is_empty()) == Some(1)
}

fn is_network(id: &BStr) -> bool {
    let Ok(text) = id.to_str() else { return false };
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(address) = IpAddr::from_str(address) else {
        return false;
    };
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse().is_ok_and(|bits: u8| bits <= bits_max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use outpost_wire::Perms;

    fn entry(scheme: &str, id: &str) -> Acl {
        Acl {
            perms: Perms::ALL,
            id: Id::new(scheme, id),
        }
    }

    fn fixed(asked: &[Acl], ids: &[Id]) -> Result<Vec<Acl>, ErrorCode> {
        fix_up(Some(asked), Some(ids), &AclRules::default())
    }

    #[test]
    fn an_acl_with_a_scheme_or_id_that_no_provider_knows_is_invalid() {
        for (scheme, id) in [
            ("world", "everyone"),
            ("nonsense", "x"),
            ("super", ""),
            ("sasl", "user"),
            ("digest", "user"),
            ("digest", "user:"),
            ("digest", "user:x:y"),
            ("ip", "10.0.0"),
            ("ip", "10.0.0.1/33"),
        ] {
            assert_eq!(
                fixed(&[entry(scheme, id)], &[]),
                Err(ErrorCode::INVALID_ACL),
                "{scheme}:{id}"
            );
        }
        assert_eq!(fixed(&[], &[]), Err(ErrorCode::INVALID_ACL));
        assert_eq!(
            fix_up(None, None, &AclRules::default()),
            Err(ErrorCode::INVALID_ACL)
        );
    }

    #[test]
    fn valid_entries_are_kept_once_and_in_order() {
        let acl = [
            entry("ip", "10.0.0.0/8"),
            entry("digest", "u:h"),
            entry("world", "anyone"),
        ];
        let twice = [&acl[..], &acl[..]].concat();
        assert_eq!(fixed(&twice, &[]).as_deref(), Ok(&acl[..]));
    }

    #[test]
    fn auth_becomes_every_identity_that_was_proven_and_none_makes_it_invalid() {
        let ids = [
            Id::new("ip", "10.0.0.1"),
            Id::new("digest", "u:h"),
            Id::new("super", ""),
        ];
        assert_eq!(
            fixed(&[entry("auth", "")], &ids),
            Ok(vec![entry("digest", "u:h")])
        );
        assert_eq!(
            fixed(&[entry("auth", "")], &ids[..1]),
            Err(ErrorCode::INVALID_ACL)
        );
    }
}
