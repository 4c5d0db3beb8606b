//! The tree: every znode, ACL, session and quota, and what a reader may ask of it.
//!
//! Changing it is the job of `change.rs` (one znode) and `apply.rs` (one transaction).

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice};
use outpost_wire::data::parent_path;
use outpost_wire::{Acl, SessionId, Stat, StatPersisted, Zxid};

use crate::acl_table::{self, AclTable};
use crate::digest_log::DigestLog;
use crate::ephemerals::{Ephemerals, owner_session};
use crate::index::Index;
use crate::quota::QuotaRoots;
use crate::znode::{ROOT, Slab, Znode, ZnodeId};

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

/// Everything that the transactions up to [`Tree::last_zxid`] have made.
///
/// A path is looked up component by component and never checked: what is no znode's path names no znode.
pub struct Tree {
    /// Tells trees apart that take each other's place.
    pub(crate) identity: u64,
    pub(crate) options: TreeOptions,
    pub(crate) slab: Slab,
    pub(crate) index: Index,
    pub(crate) acls: AclTable,
    pub(crate) ephemerals: Ephemerals,
    pub(crate) sessions: BTreeMap<SessionId, i32>,
    pub(crate) quota_roots: QuotaRoots,
    pub(crate) last_zxid: Zxid,
    pub(crate) digest: u64,
    pub(crate) digest_log: DigestLog,
    pub(crate) data_size: u64,
}

impl Tree {
    /// The tree that every ensemble starts from.
    pub fn new() -> Tree {
        Tree::with_options(TreeOptions::default())
    }

    /// The same, with settings that must agree with the voters'.
    pub fn with_options(options: TreeOptions) -> Tree {
        let mut tree = Tree::without_znodes(options);
        let zero = StatPersisted::default();
        let root = tree.insert_root(Some(b""), acl_table::OPEN, &zero);
        let zookeeper = BStr::new("/zookeeper");
        let parent = tree.insert(root, zookeeper, Some(b""), acl_table::OPEN, &zero);
        tree.insert(
            parent,
            BStr::new("/zookeeper/quota"),
            Some(b""),
            acl_table::OPEN,
            &zero,
        );
        tree.insert_config_node(parent);
        tree
    }

    /// The settings.
    pub fn options(&self) -> TreeOptions {
        self.options
    }

    /// Last transaction that was applied.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Moves the last zxid without a transaction: the leader said that this tree shows everything up to
    /// there (a TRUNC to where the tree already is, a sync that carries nothing).
    pub fn set_last_zxid(&mut self, zxid: Zxid) {
        self.last_zxid = zxid;
    }

    /// Sum of the digests of all znodes outside `/zookeeper/`, to hold against the leader's.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Earlier digests by zxid, oldest first: those at zxids divisible by 128 since the tree was loaded, at most
    /// 1024. None where digests are not compared.
    pub fn digests(&self) -> impl Iterator<Item = (Zxid, u64)> + '_ {
        self.digest_log.iter()
    }

    /// Number of znodes as ZooKeeper counts (metric `znode_count`): the root twice, so 5 at least.
    pub fn node_count(&self) -> usize {
        self.slab.len() + 1
    }

    /// Length of all paths in UTF-16 units and of all data in bytes (metric `approximate_data_size`), as
    /// a Java server counts after a start: the root's data twice.
    pub fn approximate_data_size(&self) -> u64 {
        self.data_size
    }

    /// Number of ephemeral znodes.
    pub fn ephemerals_count(&self) -> usize {
        self.ephemerals.count()
    }

    /// All global sessions with their timeouts in ms. Local sessions are in no tree.
    pub fn sessions(&self) -> &BTreeMap<SessionId, i32> {
        &self.sessions
    }

    /// Paths of a session's ephemeral znodes, in no particular order.
    pub fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = BString> + '_ {
        self.ephemerals.of(session).map(|id| self.path_of(id))
    }

    /// Sessions that own ephemeral znodes, whether or not they are in [`Tree::sessions`].
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.ephemerals.owners()
    }

    /// The znode at `path`. Both `""` and `/` name the root. Does not allocate.
    pub fn node(&self, path: &BStr) -> Option<NodeRef<'_>> {
        let node = self.slab.get(self.find(path)?);
        Some(NodeRef { tree: self, node })
    }

    /// Number of znodes below `path`, or `None` when there is no such znode (`getAllChildrenNumber`).
    /// Takes time in proportion to the answer.
    pub fn get_all_children_number(&self, path: &BStr) -> Option<usize> {
        let id = self.find(path)?;
        if id == ROOT {
            // For "" Java counts the key "/" too.
            return Some(self.slab.len() - usize::from(!path.is_empty()));
        }
        let mut below = 0;
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            let children = self.slab.get(id).children();
            below += children.len();
            pending.extend_from_slice(children);
        }
        Some(below)
    }

    /// All ACLs with the ids under which [`Tree::for_each_node`] names them. -1, the open one, is not
    /// among them.
    pub fn acls(&self) -> impl ExactSizeIterator<Item = (i64, &[Acl])> {
        let all: Vec<_> = self
            .acls
            .iter()
            .map(|(id, acl)| (i64::from(id), acl))
            .collect();
        all.into_iter()
    }

    /// Calls `f` with the path, data, ACL id and stat of every znode: the root (`""`) first, depth first,
    /// parents before children. Stops at the first error.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn for_each_node<E>(
        &self,
        mut f: impl FnMut(&BStr, Option<&[u8]>, i64, &StatPersisted) -> Result<(), E>,
    ) -> Result<(), E> {
        self.for_each_below(ROOT, BStr::new(""), |path, node| {
            f(path, node.data(), snapshot_acl_id(node), &node.persisted())
        })
    }

    /// Calls `f` with every znode from `top` down, as [`Tree::for_each_node`] does.
    pub(crate) fn for_each_below<'t, E>(
        &'t self,
        top: ZnodeId,
        top_path: &BStr,
        mut f: impl FnMut(&BStr, &'t Znode) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut path = top_path.to_owned();
        let node = self.slab.get(top);
        f(path.as_ref(), node)?;
        let mut pending = vec![(node.children().iter(), path.len())];
        while let Some((siblings, parent_length)) = pending.last_mut() {
            path.truncate(*parent_length);
            let Some(&child) = siblings.next() else {
                pending.pop();
                continue;
            };
            let node = self.slab.get(child);
            path.push(b'/');
            path.extend_from_slice(node.name());
            f(path.as_ref(), node)?;
            pending.push((node.children().iter(), path.len()));
        }
        Ok(())
    }

    /// The place of the znode at `path`, under either name of the root.
    pub(crate) fn find(&self, path: &BStr) -> Option<ZnodeId> {
        if path == "/" {
            Some(ROOT)
        } else {
            self.walk(path)
        }
    }

    /// The place where the znode at `path` has or would have its parent. What does not start with a
    /// slash has none.
    pub(crate) fn find_parent(&self, path: &BStr) -> Option<ZnodeId> {
        if path.starts_with(b"/") {
            self.walk(parent_path(path))
        } else {
            None
        }
    }

    /// Goes down from the root. `/` alone names a child without a name, which never is.
    fn walk(&self, path: &BStr) -> Option<ZnodeId> {
        let mut names = path.split(|&b| b == b'/');
        if names.next() != Some(b"") {
            return None;
        }
        names.try_fold(ROOT, |parent, name| {
            self.index.find(&self.slab, parent, name.as_bstr())
        })
    }

    /// The path of a znode, the root's being empty.
    pub(crate) fn path_of(&self, id: ZnodeId) -> BString {
        let mut names = Vec::new();
        let mut node = self.slab.get(id);
        while let Some(parent) = node.parent() {
            names.push(node.name());
            node = self.slab.get(parent);
        }
        let mut path = BString::default();
        for name in names.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }

    /// A znode's metadata as clients see it.
    pub(crate) fn stat_of(&self, node: &Znode) -> Stat {
        let owner = owner_session(node.ephemeral_owner, self.options.extended_types);
        node.stat(owner.map_or(0, |session| session.0))
    }
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

/// The id under which a snapshot names a znode's ACL.
pub(crate) fn snapshot_acl_id(node: &Znode) -> i64 {
    match node.acl {
        acl_table::OPEN => -1,
        id => i64::from(id),
    }
}

/// One znode, for as long as the tree is locked.
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    tree: &'a Tree,
    node: &'a Znode,
}

impl<'a> NodeRef<'a> {
    /// Its data; null and empty differ.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.node.data()
    }

    /// Its metadata as clients see it.
    pub fn stat(&self) -> Stat {
        self.tree.stat_of(self.node)
    }

    /// Its metadata as snapshots carry it.
    pub fn persisted(&self) -> StatPersisted {
        self.node.persisted()
    }

    /// Its ACL. One that a snapshot left out denies everything until a transaction sets it.
    pub fn acl(&self) -> &'a [Acl] {
        self.tree.acls.get(self.node.acl)
    }

    /// Whether its ACL is the one that lets everybody do everything: cheaper than to evaluate it.
    pub fn acl_is_open(&self) -> bool {
        self.node.acl == acl_table::OPEN
    }

    /// Names of its children, in no particular order.
    pub fn children(&self) -> impl ExactSizeIterator<Item = &'a BStr> + use<'a> {
        let slab = &self.tree.slab;
        self.node
            .children()
            .iter()
            .map(|&child| slab.get(child).name())
    }
}
