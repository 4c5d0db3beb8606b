//! Every ACL once, by number, with a count of the znodes that have it.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use outpost_wire::{Acl, Id, Perms};

/// Number of an ACL. Never given to another ACL later: whoever writes a snapshot while transactions go
/// on may hold on to it.
pub(crate) type AclId = u32;

/// The ACL that lets everybody do everything. Snapshots know it as -1.
pub(crate) const OPEN: AclId = 0;
/// Stands for an ACL that a snapshot did not tell. Nobody may do anything (but super users).
pub(crate) const UNKNOWN: AclId = 1;
const FIRST: AclId = 2;

struct Entry {
    acl: Box<[Acl]>,
    uses: usize,
}

/// Lists are equal only if they have the same entries in the same order.
pub(crate) struct AclTable {
    open: Vec<Acl>,
    unknown: [Acl; 1],
    unknown_uses: usize,
    entries: HashMap<AclId, Entry>,
    by_list: HashTable<AclId>,
    hasher: DefaultHashBuilder,
    next: AclId,
}

impl AclTable {
    pub(crate) fn new() -> AclTable {
        AclTable {
            open: Acl::open(),
            unknown: [Acl {
                perms: Perms(0),
                id: Id::anyone(),
            }],
            unknown_uses: 0,
            entries: HashMap::new(),
            by_list: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            next: FIRST,
        }
    }

    /// The list with this number.
    pub(crate) fn get(&self, id: AclId) -> &[Acl] {
        match id {
            OPEN => &self.open,
            _ => self
                .entries
                .get(&id)
                .map_or(&self.unknown[..], |entry| &entry.acl),
        }
    }

    /// The number of `acl`, used once more.
    pub(crate) fn intern(&mut self, acl: &[Acl]) -> AclId {
        if acl == self.open {
            return OPEN;
        }
        let hash = self.hasher.hash_one(acl);
        let is_it = |id: &AclId| self.entries.get(id).is_some_and(|entry| *entry.acl == *acl);
        if let Some(&id) = self.by_list.find(hash, is_it) {
            self.retain(id);
            return id;
        }
        let id = self.free_number();
        self.entries.insert(
            id,
            Entry {
                acl: acl.into(),
                uses: 1,
            },
        );
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.by_list.insert_unique(hash, id, |other| {
            entries
                .get(other)
                .map_or(0, |entry| hasher.hash_one(&*entry.acl))
        });
        id
    }

    /// Uses an ACL once more.
    pub(crate) fn retain(&mut self, id: AclId) {
        if id == UNKNOWN {
            self.unknown_uses += 1;
        } else if let Some(entry) = self.entries.get_mut(&id) {
            entry.uses += 1;
        }
    }

    /// Uses an ACL once less; with the last use it goes.
    pub(crate) fn release(&mut self, id: AclId) {
        if id == UNKNOWN {
            self.unknown_uses -= 1;
            return;
        }
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.uses -= 1;
        if entry.uses == 0 {
            let hash = self.hasher.hash_one(&*entry.acl);
            if let Ok(found) = self.by_list.find_entry(hash, |&other| other == id) {
                found.remove();
            }
            self.entries.remove(&id);
        }
    }

    /// All lists in use but the open one, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AclId, &[Acl])> {
        let unknown = (self.unknown_uses > 0).then_some((UNKNOWN, &self.unknown[..]));
        unknown
            .into_iter()
            .chain(self.entries.iter().map(|(&id, entry)| (id, &*entry.acl)))
    }

    /// Numbers run out after 2^32 different ACLs; those still in use are stepped over then.
    fn free_number(&mut self) -> AclId {
        while self.entries.contains_key(&self.next) {
            self.next = self.next.checked_add(1).unwrap_or(FIRST);
        }
        let id = self.next;
        self.next = self.next.checked_add(1).unwrap_or(FIRST);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acl_is_stored_once_and_goes_with_its_last_use() {
        let list = |id: &str| {
            vec![Acl {
                perms: Perms::READ,
                id: Id::new("ip", id),
            }]
        };
        let mut table = AclTable::new();
        let one = table.intern(&list("10.0.0.1"));
        assert_eq!(table.intern(&list("10.0.0.1")), one);
        let two = table.intern(&list("10.0.0.2"));
        assert_ne!(one, two);
        assert_eq!(table.intern(&Acl::open()), OPEN);
        assert_eq!(table.get(one), list("10.0.0.1"));
        table.release(one);
        assert_eq!(table.get(one), list("10.0.0.1"));
        table.release(one);
        assert_eq!(table.iter().map(|(id, _)| id).collect::<Vec<_>>(), [two]);
        let three = table.intern(&list("10.0.0.1"));
        assert_ne!(three, one, "a number was given away twice");
    }
}
