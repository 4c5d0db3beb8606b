//! A whole tree from a snapshot, built beside the one that is served.
//!
//! A snapshot that was written while transactions went on is not the tree of any one moment: it may name
//! an ACL that its table lacks, and the transactions after it have to be replayed ([`Tree::replay`]).
//! Knows nothing of the bytes of a snapshot.

use std::collections::HashMap;

use bstr::{BStr, BString};
use outpost_wire::data::last_component;
use outpost_wire::{Acl, SessionId, StatPersisted, Zxid};

use crate::acl_table::{self, AclId};
use crate::memory::TreeMemory;
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
    /// The snapshot's numbers of ACLs, and ours.
    acls: HashMap<i64, AclId>,
}

impl TreeBuilder {
    /// Starts a tree that shows everything up to `zxid`.
    pub fn new(zxid: Zxid) -> TreeBuilder {
        TreeBuilder::with_options(zxid, TreeOptions::default())
    }

    /// The same, with settings that must agree with the voters'.
    pub fn with_options(zxid: Zxid, options: TreeOptions) -> TreeBuilder {
        let mut tree = Tree::without_znodes(options);
        tree.last_zxid = zxid;
        TreeBuilder {
            tree,
            acls: HashMap::new(),
        }
    }

    /// Adds a global session.
    pub fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.tree.sessions.insert(session, timeout_ms);
    }

    /// Adds an entry of the ACL table. An ACL that no znode names is not kept.
    #[allow(clippy::needless_pass_by_value)] // Whoever decodes a snapshot has no use for it any more.
    pub fn acl(&mut self, snapshot_acl_id: i64, acl: Vec<Acl>) {
        let id = self.tree.acls.intern(&acl);
        if let Some(replaced) = self.acls.insert(snapshot_acl_id, id) {
            self.tree.acls.release(replaced);
        }
    }

    /// Adds a znode; the root (`""`) comes first, and every parent before its children. An ACL id of -1
    /// is the open ACL; one that is not in the table denies everything until a transaction sets the ACL.
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
        let first = self.tree.slab.len() == 0;
        if first != path.is_empty() {
            let path = path.to_owned();
            return Err(match first {
                true => LoadError::RootNotFirst { path },
                false => LoadError::Repeated { path },
            });
        }
        if first {
            let acl = self.use_acl(snapshot_acl_id);
            self.tree.insert_root(data, acl, &stat);
            return Ok(());
        }
        let Some(parent) = self.tree.find_parent(path) else {
            return Err(LoadError::MissingParent {
                path: path.to_owned(),
            });
        };
        if path == "/"
            || self
                .tree
                .index
                .find(&self.tree.slab, parent, last_component(path))
                .is_some()
        {
            return Err(LoadError::Repeated {
                path: path.to_owned(),
            });
        }
        let acl = self.use_acl(snapshot_acl_id);
        self.tree.insert(parent, path, data, acl, &stat);
        Ok(())
    }

    /// What the tree takes so far.
    pub fn memory(&self) -> TreeMemory {
        self.tree.memory()
    }

    /// The tree. Usage of quotas is counted anew. Without any znode in the snapshot it is the root alone.
    pub fn finish(mut self) -> Tree {
        if self.tree.slab.len() == 0 {
            self.tree
                .insert_root(Some(b""), acl_table::OPEN, &StatPersisted::default());
        }
        for (_, id) in self.acls.drain() {
            self.tree.acls.release(id);
        }
        self.tree.find_quotas();
        self.tree
    }

    fn use_acl(&mut self, snapshot_acl_id: i64) -> AclId {
        let id = match snapshot_acl_id {
            -1 => acl_table::OPEN,
            known => self.acls.get(&known).copied().unwrap_or(acl_table::UNKNOWN),
        };
        self.tree.acls.retain(id);
        id
    }
}
