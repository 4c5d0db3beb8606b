//! The ACL in a request, looked at in place: what about it matters to a leader.

use bstr::BStr;
use outpost_wire::{DecodeError, Reader};

use super::size::stored_text_bytes;

/// One entry. Java's records can have null parts, and a leader trips over some of them.
pub(super) struct Entry<'a> {
    pub(super) scheme: Option<&'a BStr>,
    pub(super) id: Option<&'a BStr>,
}

impl<'a> Entry<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Entry<'a>, DecodeError> {
        reader.int("ACL.perms")?;
        Ok(Entry {
            scheme: reader.ustring_or_null("Id.scheme")?,
            id: reader.ustring_or_null("Id.id")?,
        })
    }
}

/// A whole ACL that was decoded, but not copied.
pub(super) struct AclInRequest<'a> {
    first: Reader<'a>,
    /// `None` is null, which differs from empty.
    pub(super) count: Option<usize>,
    pub(super) has_null_scheme: bool,
    pub(super) has_null_id: bool,
    /// Entries of scheme `auth`: the leader puts all ids of the client in the place of each.
    pub(super) auth_entries: usize,
    /// Bytes in the transaction, at worst and without what `auth` becomes.
    pub(super) stored_bytes: usize,
}

impl<'a> AclInRequest<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<AclInRequest<'a>, DecodeError> {
        let count = match reader.int("acl")? {
            -1 => None,
            // Java reads other negative counts as no entries.
            count => Some(usize::try_from(count).unwrap_or(0)),
        };
        let mut acl = AclInRequest {
            first: reader.clone(),
            count,
            has_null_scheme: false,
            has_null_id: false,
            auth_entries: 0,
            stored_bytes: 4,
        };
        for _ in 0..count.unwrap_or(0) {
            acl.add(&Entry::read(reader)?);
        }
        Ok(acl)
    }

    fn add(&mut self, entry: &Entry<'a>) {
        self.has_null_scheme |= entry.scheme.is_none();
        self.has_null_id |= entry.id.is_none();
        if entry.scheme.is_some_and(|scheme| scheme == "auth") {
            self.auth_entries += 1;
        }
        let text_bytes = |text: Option<&BStr>| 4 + text.map_or(0, |text| stored_text_bytes(text));
        self.stored_bytes += 4 + text_bytes(entry.scheme) + text_bytes(entry.id);
    }

    /// The entries once more.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'a>> {
        let mut reader = self.first.clone();
        (0..self.count.unwrap_or(0)).map_while(move |_| Entry::read(&mut reader).ok())
    }
}
