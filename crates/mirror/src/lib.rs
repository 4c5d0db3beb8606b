//! The tree of a ZooKeeper observer and its watches: one writer, many readers, no I/O.
//!
//! [`Mirror`] is what the process shares. A reader takes [`Mirror::read`], asks the [`Tree`] and leaves
//! its watch under the same guard, so that no transaction slips between the two. The one writer takes
//! [`Mirror::write`] and calls [`Tree::apply`], which hands every fired watch to the caller before the
//! change can be read.
//!
//! What this crate deliberately does not know: sockets, clocks, tasks, and which client asks. A watch
//! is left by a [`WatcherId`], a number that means nothing here; who may read is decided on the ids
//! that are handed to [`acl::allows`].
//!
//! Read on in `tree.rs` (what is stored), `apply.rs` (how a transaction changes it), `watches.rs` (what
//! a change fires) and `load.rs` (a whole tree from a snapshot).

pub mod acl;
mod acl_table;
mod applied;
mod apply;
mod catch_up;
mod change;
mod difference;
mod digest;
mod digest_log;
mod ephemerals;
mod index;
mod load;
mod memory;
mod quota;
mod tree;
mod walk;
mod watchers;
mod watches;
mod znode;

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};

pub use acl::{AclRules, allows};
pub use applied::{Applied, DigestCheck, Divergence, SubResult, TxnResult, WatchEvent};
pub use catch_up::SetWatches;
pub use difference::Difference;
pub use load::{LoadError, TreeBuilder};
pub use memory::TreeMemory;
pub use quota::{QuotaLimits, QuotaUsage};
pub use tree::{NodeRef, Tree, TreeOptions};
pub use walk::{TreeReplaced, TreeWalk, Walked};
pub use watches::{WatchSummary, WatcherId, Watches};

/// The tree and its watches, shared between one writer and many readers.
///
/// A lock poisoned by a panic is taken nevertheless: the panic has ended its thread, and serving what
/// is there beats serving nothing.
pub struct Mirror {
    tree: ShardedLock<Tree>,
    watches: Watches,
}

impl Mirror {
    /// A mirror of the tree that every ensemble starts from.
    pub fn new() -> Mirror {
        Mirror::with_options(TreeOptions::default())
    }

    /// The same, with settings that must agree with the voters'.
    pub fn with_options(options: TreeOptions) -> Mirror {
        Mirror {
            tree: ShardedLock::new(Tree::with_options(options)),
            watches: Watches::new(),
        }
    }

    /// Locks the tree for reading: other readers go on, the writer waits.
    pub fn read(&self) -> ReadGuard<'_> {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        ReadGuard {
            tree,
            watches: &self.watches,
        }
    }

    /// Locks the tree for changing it: everybody else waits. To put another tree in its place, use
    /// `std::mem::replace` and drop the old tree after the guard: dropping a large one takes time.
    pub fn write(&self) -> WriteGuard<'_> {
        let tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        WriteGuard {
            tree,
            watches: &self.watches,
        }
    }
}

impl Default for Mirror {
    fn default() -> Mirror {
        Mirror::new()
    }
}

/// The tree, locked for reading, with its watches.
pub struct ReadGuard<'a> {
    tree: ShardedLockReadGuard<'a, Tree>,
    watches: &'a Watches,
}

impl<'a> ReadGuard<'a> {
    /// The watches; one left under this guard fires for every transaction after what it shows.
    pub fn watches(&self) -> &'a Watches {
        self.watches
    }
}

impl Deref for ReadGuard<'_> {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.tree
    }
}

/// The tree, locked for changing it, with its watches.
pub struct WriteGuard<'a> {
    tree: ShardedLockWriteGuard<'a, Tree>,
    watches: &'a Watches,
}

impl<'a> WriteGuard<'a> {
    /// The watches that the changes under this guard fire.
    pub fn watches(&self) -> &'a Watches {
        self.watches
    }
}

impl Deref for WriteGuard<'_> {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.tree
    }
}

impl DerefMut for WriteGuard<'_> {
    fn deref_mut(&mut self) -> &mut Tree {
        &mut self.tree
    }
}
