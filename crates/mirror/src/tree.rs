//! The tree: every znode, ACL, session and quota.

use std::collections::BTreeMap;

use bstr::{BStr, BString};
use outpost_wire::{Acl, SessionId, Stat, StatPersisted, Zxid};

use crate::watches::{EventKind, SetWatches, WatcherId, Watches};

/// Settings that must agree with the voters'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeOptions {
    /// `zookeeper.extendedTypesEnabled`: an owner with top byte 0xff marks a TTL znode, not a session.
    pub extended_types: bool,
    /// Whether digests in transactions are compared with the tree's.
    pub compare_digests: bool,
}

impl Default for TreeOptions {
    fn default() -> TreeOptions {
        TreeOptions {
            extended_types: false,
            compare_digests: true,
        }
    }
}

/// The numbers in the text of a quota's znodes; -1 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Znodes.
    pub count: i64,
    /// Bytes of data.
    pub bytes: i64,
    /// Znodes, enforced by the leader.
    pub count_hard_limit: i64,
    /// Bytes of data, enforced by the leader.
    pub byte_hard_limit: i64,
}

/// A quota and how much of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUsage {
    /// Root of the limited subtree.
    pub path: BString,
    /// The limits.
    pub limits: QuotaLimits,
    /// Znodes in the subtree; -1 when unknown.
    pub count: i64,
    /// Bytes of data in the subtree; -1 when unknown.
    pub bytes: i64,
}

/// The tree.
pub struct Tree {
    options: TreeOptions,
    sessions: BTreeMap<SessionId, i32>,
}

#[allow(unused_variables)]
impl Tree {
    /// The tree that every ensemble starts from.
    pub fn new() -> Tree {
        Tree::with_options(TreeOptions::default())
    }

    /// The same, with settings that must agree with the voters'.
    pub fn with_options(options: TreeOptions) -> Tree {
        Tree {
            options,
            sessions: BTreeMap::new(),
        }
    }

    /// The settings.
    pub fn options(&self) -> TreeOptions {
        self.options
    }

    /// Last transaction that was applied.
    pub fn last_zxid(&self) -> Zxid {
        Zxid::ZERO
    }

    /// Moves the last zxid without a transaction, as a DIFF that carries nothing or a TRUNC to it does.
    pub fn set_last_zxid(&mut self, zxid: Zxid) {}

    /// Sum of the digests of all znodes outside `/zookeeper/`.
    pub fn digest(&self) -> u64 {
        0
    }

    /// Number of znodes as ZooKeeper counts: the root twice.
    pub fn node_count(&self) -> usize {
        0
    }

    /// Bytes of all paths and data.
    pub fn approximate_data_size(&self) -> u64 {
        0
    }

    /// Number of ephemeral znodes.
    pub fn ephemerals_count(&self) -> usize {
        0
    }

    /// All global sessions with their timeouts in ms.
    pub fn sessions(&self) -> &BTreeMap<SessionId, i32> {
        &self.sessions
    }

    /// Paths of a session's ephemeral znodes.
    pub fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = BString> + '_ {
        std::iter::empty()
    }

    /// Sessions that own ephemeral znodes, whether or not they are in [`Tree::sessions`].
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = SessionId> + '_ {
        std::iter::empty()
    }

    /// The znode at `path`. Both `""` and `/` name the root.
    pub fn node(&self, path: &BStr) -> Option<NodeRef<'_>> {
        None
    }

    /// Number of znodes below `path`, or `None` when there is no such znode (`getAllChildrenNumber`).
    pub fn get_all_children_number(&self, path: &BStr) -> Option<usize> {
        None
    }

    /// All quotas with their usage.
    pub fn quotas(&self) -> Vec<QuotaUsage> {
        Vec::new()
    }

    /// Puts the ensemble's configuration into `/zookeeper/config`, outside any transaction.
    pub fn set_config(&mut self, text: &[u8], version: i64, mtime: i64) {}

    /// Leaves the watches of a client that was elsewhere since `relative_zxid`, and returns the events
    /// that it has missed instead (`DataTree.setWatches`).
    pub fn set_watches<'a>(
        &self,
        watches: &Watches,
        watcher: WatcherId,
        relative_zxid: Zxid,
        lists: &SetWatches<'_, 'a>,
    ) -> Vec<(EventKind, &'a BStr)> {
        Vec::new()
    }

    /// All ACLs with the ids under which [`Tree::for_each_node`] names them. -1 is not among them.
    pub fn acls(&self) -> impl Iterator<Item = (i64, &[Acl])> {
        std::iter::empty()
    }

    /// Calls `f` with the path, data, ACL id and stat of every znode: the root (`""`) first, depth first,
    /// parents before children. Stops at the first error.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn for_each_node<E>(
        &self,
        f: impl FnMut(&BStr, Option<&[u8]>, i64, &StatPersisted) -> Result<(), E>,
    ) -> Result<(), E> {
        Ok(())
    }
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

/// One znode.
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    tree: &'a Tree,
}

impl<'a> NodeRef<'a> {
    /// Its data; null and empty differ.
    pub fn data(&self) -> Option<&'a [u8]> {
        None
    }

    /// Its metadata as clients see it.
    pub fn stat(&self) -> Stat {
        Stat::default()
    }

    /// Its metadata as snapshots carry it.
    pub fn persisted(&self) -> StatPersisted {
        StatPersisted::default()
    }

    /// Its ACL.
    pub fn acl(&self) -> &'a [Acl] {
        &[]
    }

    /// Whether its ACL is the one that lets everybody do everything.
    pub fn acl_is_open(&self) -> bool {
        self.tree.options.extended_types
    }

    /// Names of its children, in no particular order.
    pub fn children(&self) -> impl ExactSizeIterator<Item = &'a BStr> + use<'a> {
        std::iter::empty()
    }
}
