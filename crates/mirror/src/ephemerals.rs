//! Which znode goes with which session.

use std::collections::{BTreeMap, BTreeSet};

use outpost_wire::SessionId;

use crate::znode::ZnodeId;

/// Owner of every container znode.
pub(crate) const CONTAINER_OWNER: i64 = i64::MIN;
const EXTENDED_MASK: i64 = 0xff << 56;
const TTL_MASK: i64 = (1 << 40) - 1;

/// The owner that marks a TTL znode.
pub(crate) fn ttl_owner(ttl_ms: i64) -> i64 {
    EXTENDED_MASK | (ttl_ms & TTL_MASK)
}

/// The session that an `ephemeralOwner` means, if it means one (`EphemeralType`). Without extended types
/// the mark of a TTL znode is a session like any other.
pub(crate) fn owner_session(ephemeral_owner: i64, extended_types: bool) -> Option<SessionId> {
    let marks_other = ephemeral_owner == 0
        || ephemeral_owner == CONTAINER_OWNER
        || (extended_types && ephemeral_owner & EXTENDED_MASK == EXTENDED_MASK);
    (!marks_other).then_some(SessionId(ephemeral_owner))
}

/// Sessions and their ephemeral znodes. Containers and TTL znodes need no index: only the leader
/// deletes them.
#[derive(Default)]
pub(crate) struct Ephemerals {
    by_session: BTreeMap<SessionId, BTreeSet<ZnodeId>>,
    count: usize,
}

impl Ephemerals {
    pub(crate) fn insert(&mut self, session: SessionId, id: ZnodeId) {
        if self.by_session.entry(session).or_default().insert(id) {
            self.count += 1;
        }
    }

    pub(crate) fn remove(&mut self, session: SessionId, id: ZnodeId) {
        let Some(ids) = self.by_session.get_mut(&session) else {
            return;
        };
        if ids.remove(&id) {
            self.count -= 1;
        }
        if ids.is_empty() {
            self.by_session.remove(&session);
        }
    }

    pub(crate) fn of(&self, session: SessionId) -> impl Iterator<Item = ZnodeId> + '_ {
        self.by_session.get(&session).into_iter().flatten().copied()
    }

    pub(crate) fn owners(&self) -> impl ExactSizeIterator<Item = SessionId> + '_ {
        self.by_session.keys().copied()
    }

    /// Number of ephemeral znodes.
    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_means_a_session_unless_it_marks_a_container_or_ttl_znode() {
        assert_eq!(ttl_owner(5000), 0xff00_0000_0000_1388_u64 as i64);
        assert_eq!(owner_session(0, false), None);
        assert_eq!(owner_session(CONTAINER_OWNER, false), None);
        assert_eq!(owner_session(7, true), Some(SessionId(7)));
        assert_eq!(owner_session(ttl_owner(1), true), None);
        assert_eq!(
            owner_session(ttl_owner(1), false),
            Some(SessionId(ttl_owner(1)))
        );
    }
}
