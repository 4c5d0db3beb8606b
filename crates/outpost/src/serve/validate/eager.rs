//! ACLs checked before forwarding, as `ZooKeeperServer.authWriteRequest` does.
//!
//! Off unless asked for, as in ZooKeeper. It protects a follower that is our learner master and has the
//! check switched on itself: when a request of a learner fails it there, the follower wants to answer a
//! connection that it does not have, and stops. So what is not surely valid is refused here. As in
//! ZooKeeper, only create, create2, delete, setData and setACL are looked at, and a znode that the
//! mirror does not have is the leader's affair.

use bstr::{BStr, ByteSlice};
use outpost_wire::data::parent_path;
use outpost_wire::{ErrorCode, Perms};

use super::acl::{AclInRequest, Entry};
use super::{Asker, Refusal};

const NO_AUTH: Refusal = Refusal::new(ErrorCode::NO_AUTH, "the ACL in the mirror forbids it");
const INVALID_ACL: Refusal =
    Refusal::new(ErrorCode::INVALID_ACL, "an ACL that is not surely valid");

pub(super) fn create(
    asker: &Asker<'_>,
    path: Option<&BStr>,
    acl: &AclInRequest<'_>,
) -> Result<(), Refusal> {
    well_formed(asker, acl)?;
    parent_allows(asker, path, Perms::CREATE)
}

pub(super) fn delete(asker: &Asker<'_>, path: Option<&BStr>) -> Result<(), Refusal> {
    parent_allows(asker, path, Perms::DELETE)
}

pub(super) fn set_data(asker: &Asker<'_>, path: Option<&BStr>) -> Result<(), Refusal> {
    path.map_or(Ok(()), |path| node_allows(asker, path, Perms::WRITE))
}

pub(super) fn set_acl(
    asker: &Asker<'_>,
    path: Option<&BStr>,
    acl: &AclInRequest<'_>,
) -> Result<(), Refusal> {
    well_formed(asker, acl)?;
    path.map_or(Ok(()), |path| node_allows(asker, path, Perms::ADMIN))
}

fn parent_allows(asker: &Asker<'_>, path: Option<&BStr>, wanted: Perms) -> Result<(), Refusal> {
    match path {
        Some(path) if path.contains(&b'/') => node_allows(asker, parent_path(path), wanted),
        _ => Ok(()),
    }
}

fn node_allows(asker: &Asker<'_>, path: &BStr, wanted: Perms) -> Result<(), Refusal> {
    match asker.tree.node(path) {
        Some(node) if !asker.may(node.acl(), wanted) => Err(NO_AUTH),
        _ => Ok(()),
    }
}

/// `PrepRequestProcessor.fixupACL`.
fn well_formed(asker: &Asker<'_>, acl: &AclInRequest<'_>) -> Result<(), Refusal> {
    let mut entries = acl.entries().peekable();
    match entries.peek().is_some() && entries.all(|entry| is_valid(asker, &entry)) {
        true => Ok(()),
        false => Err(INVALID_ACL),
    }
}

fn is_valid(asker: &Asker<'_>, entry: &Entry<'_>) -> bool {
    let (Some(scheme), Some(id)) = (entry.scheme, entry.id) else {
        return false;
    };
    match scheme.as_bytes() {
        b"world" => id == "anyone",
        b"auth" => asker
            .ids
            .iter()
            .any(|id| matches!(&id.scheme[..], b"digest" | b"sasl" | b"x509")),
        b"digest" => asker.rules.digest && has_two_parts(id),
        b"ip" => id.to_str().is_ok_and(is_ipv4_range),
        b"sasl" => asker.rules.sasl && is_kerberos_name(id),
        b"x509" => asker.rules.x509 && id.contains(&b'='),
        _ => false,
    }
}

/// Java's `split(":")` gives two parts; it disregards empty ones at the end.
fn has_two_parts(id: &BStr) -> bool {
    id.trim_end_with(|c| c == ':')
        .iter()
        .filter(|&&byte| byte == b':')
        .count()
        == 1
}

/// `name`, or `name@realm`, or `name/host@realm`.
pub(crate) fn is_kerberos_name(id: &[u8]) -> bool {
    let slashes = |part: &[u8]| part.iter().filter(|&&byte| byte == b'/').count();
    match id.split_once_str("@") {
        None => true,
        Some((name, realm)) => slashes(name) <= 1 && slashes(realm) == 0 && !realm.contains(&b'@'),
    }
}

/// An IPv4 address, or one with the number of bits that count. IPv6 is valid since 3.9.4 only.
fn is_ipv4_range(id: &str) -> bool {
    let number = |text: &str, max: u8| {
        let digits = text.bytes().all(|c| c.is_ascii_digit());
        digits && text.parse::<u8>().is_ok_and(|number| number <= max)
    };
    let (address, bits) = match id.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (id, None),
    };
    let numbers = address
        .split('.')
        .filter(|text| number(text, u8::MAX))
        .count();
    numbers == 4
        && address.bytes().filter(|&c| c == b'.').count() == 3
        && bits.is_none_or(|bits| number(bits, 32))
}
