//! A whole tree from a snapshot, built beside the one that is served.

use bstr::{BStr, BString};
use outpost_wire::{Acl, SessionId, StatPersisted, Zxid};

use crate::tree::{Tree, TreeOptions};

/// Why a snapshot is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The first znode is not the root.
    #[error("snapshot starts with {path:?} instead of the root")]
    RootNotFirst {
        /// What stands there.
        path: BString,
    },
    /// A znode comes before its parent.
    #[error("snapshot has {path:?} without its parent")]
    MissingParent {
        /// The znode.
        path: BString,
    },
    /// A znode comes twice.
    #[error("snapshot has {path:?} twice")]
    Repeated {
        /// The znode.
        path: BString,
    },
}

/// Builds a tree from the parts of a snapshot, in the order in which it holds them.
pub struct TreeBuilder {
    tree: Tree,
}

#[allow(unused_variables)]
impl TreeBuilder {
    /// Starts a tree that shows everything up to `zxid`.
    pub fn new(zxid: Zxid) -> TreeBuilder {
        TreeBuilder::with_options(zxid, TreeOptions::default())
    }

    /// The same, with settings that must agree with the voters'.
    pub fn with_options(zxid: Zxid, options: TreeOptions) -> TreeBuilder {
        TreeBuilder {
            tree: Tree::with_options(options),
        }
    }

    /// Adds a global session.
    pub fn session(&mut self, session: SessionId, timeout_ms: i32) {}

    /// Adds an entry of the ACL table.
    pub fn acl(&mut self, snapshot_acl_id: i64, acl: Vec<Acl>) {}

    /// Adds a znode; the root (`""`) comes first, and every parent before its children.
    ///
    /// # Errors
    /// When the order is another.
    pub fn node(
        &mut self,
        path: &BStr,
        data: Option<&[u8]>,
        snapshot_acl_id: i64,
        stat: StatPersisted,
    ) -> Result<(), LoadError> {
        Ok(())
    }

    /// The tree.
    pub fn finish(self) -> Tree {
        self.tree
    }
}
