//! The whole tree in small steps, so that nobody has to hold the lock for all of it.
//!
//! Transactions go on between the steps, so what is walked is fuzzy, as the snapshots of a Java server
//! are: it becomes a tree when the transactions after [`TreeWalk::zxid`] are replayed on it.

use bstr::{BStr, BString};
use outpost_wire::{StatPersisted, Zxid};

use crate::tree::{Tree, snapshot_acl_id};
use crate::znode::{ROOT, Znode, ZnodeId};

/// How far a walk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walked {
    /// There is more.
    Partly,
    /// Every znode was visited.
    Wholly,
}

/// Another tree has taken the place of the one whose walk began. The walk is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another tree has taken the place of the one that was being walked")]
pub struct TreeReplaced;

/// One walk over all znodes of a tree: the root first, depth first, parents before children.
///
/// Sessions and ACLs have to be taken under the guard under which the walk is started. A znode may name
/// an ACL that came later; replaying tells it.
pub struct TreeWalk {
    identity: u64,
    zxid: Zxid,
    started: bool,
    path: BString,
    pending: Vec<Siblings>,
}

/// Children of one znode that are still to be visited.
struct Siblings {
    parent: ZnodeId,
    parent_path_length: usize,
    ids: std::vec::IntoIter<ZnodeId>,
    /// When the list was taken. Who has been created later has the place of one who is gone.
    listed_at: Zxid,
}

impl TreeWalk {
    /// Begins a walk of a tree that was brought up to date after it was loaded. Nothing is visited yet.
    pub fn start(tree: &Tree) -> TreeWalk {
        TreeWalk {
            identity: tree.identity,
            zxid: tree.last_zxid(),
            started: false,
            path: BString::default(),
            pending: Vec::new(),
        }
    }

    /// The last transaction when the walk began. Those after it have to be replayed.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Visits up to `znodes_max` znodes more, with path, data, ACL id and stat as
    /// [`Tree::for_each_node`] has them. The root is visited by the first step.
    ///
    /// # Errors
    /// When `tree` is not the one whose walk began.
    pub fn step(
        &mut self,
        tree: &Tree,
        znodes_max: usize,
        mut visit: impl FnMut(&BStr, Option<&[u8]>, i64, &StatPersisted),
    ) -> Result<Walked, TreeReplaced> {
        if tree.identity != self.identity {
            return Err(TreeReplaced);
        }
        let mut visited = 0;
        if !self.started {
            self.started = true;
            self.visit(tree, ROOT, tree.slab.get(ROOT), &mut visit);
            visited += 1;
        }
        while visited < znodes_max {
            let Some(siblings) = self.pending.last_mut() else {
                return Ok(Walked::Wholly);
            };
            self.path.truncate(siblings.parent_path_length);
            let (parent, listed_at) = (siblings.parent, siblings.listed_at);
            let Some(id) = siblings.ids.next() else {
                self.pending.pop();
                continue;
            };
            // The configuration's znode alone may come without a transaction, and so without a czxid.
            let is_it = |node: &&Znode| node.parent() == Some(parent) && node.czxid <= listed_at;
            if let Some(node) = tree.slab.try_get(id).filter(is_it) {
                self.path.push(b'/');
                self.path.extend_from_slice(node.name());
                self.visit(tree, id, node, &mut visit);
            }
            visited += 1;
        }
        Ok(Walked::Partly)
    }

    fn visit(
        &mut self,
        tree: &Tree,
        id: ZnodeId,
        node: &Znode,
        visit: &mut impl FnMut(&BStr, Option<&[u8]>, i64, &StatPersisted),
    ) {
        visit(
            self.path.as_ref(),
            node.data(),
            snapshot_acl_id(node),
            &node.persisted(),
        );
        self.pending.push(Siblings {
            parent: id,
            parent_path_length: self.path.len(),
            ids: node.children().to_vec().into_iter(),
            listed_at: tree.last_zxid(),
        });
    }
}
