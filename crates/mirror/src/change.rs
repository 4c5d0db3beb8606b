//! The few ways in which one znode changes. Each keeps index, ACL counts, ephemerals, size and digest in
//! step with the znodes; nothing else touches them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bstr::{BStr, BString, ByteSlice};
use outpost_wire::data::{last_component, parent_path};
use outpost_wire::{Acl, Id, Perms, StatPersisted, Zxid};

use crate::acl_table::{AclId, AclTable};
use crate::digest;
use crate::digest_log::DigestLog;
use crate::ephemerals::{Ephemerals, owner_session};
use crate::index::Index;
use crate::quota::QuotaRoots;
use crate::tree::{Tree, TreeOptions};
use crate::znode::{ROOT, Slab, Znode, ZnodeId};

/// Where ZooKeeper keeps the ensemble's configuration.
const CONFIG_PATH: &str = "/zookeeper/config";

impl Tree {
    /// A tree that lacks even the root, and so is not one yet.
    pub(crate) fn without_znodes(options: TreeOptions) -> Tree {
        static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(0);
        Tree {
            identity: NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed),
            options,
            slab: Slab::new(),
            index: Index::new(),
            acls: AclTable::new(),
            ephemerals: Ephemerals::default(),
            sessions: BTreeMap::new(),
            quota_roots: QuotaRoots::default(),
            last_zxid: Zxid::ZERO,
            digest: 0,
            digest_log: DigestLog::default(),
            data_size: 0,
        }
    }

    /// Puts the ensemble's configuration into `/zookeeper/config`, outside any transaction, as
    /// `ZKDatabase.initConfigInZKDatabase` does: `version` becomes the mzxid, the znode's own version -1.
    /// `mtime` is this server's clock, in ms since 1970.
    pub fn set_config(&mut self, text: &[u8], version: i64, mtime: i64) {
        let path = BStr::new(CONFIG_PATH);
        let known = self.find(path);
        let parent = self.find(parent_path(path));
        let Some(id) = known.or_else(|| parent.map(|parent| self.insert_config_node(parent)))
        else {
            return;
        };
        self.set_data(id, path, Some(text));
        self.change(id, path, |node| {
            node.version = -1;
            node.mzxid = Zxid(version);
            node.mtime = mtime;
        });
    }

    /// Makes `/zookeeper/config` as it is before any configuration is known: readable by everybody.
    pub(crate) fn insert_config_node(&mut self, parent: ZnodeId) -> ZnodeId {
        let acl = self.acls.intern(&[Acl {
            perms: Perms::READ,
            id: Id::anyone(),
        }]);
        let stat = StatPersisted {
            aversion: -1,
            ..StatPersisted::default()
        };
        self.insert(parent, BStr::new(CONFIG_PATH), Some(b""), acl, &stat)
    }

    /// Makes the root of a tree that has no znode. `acl` is counted already.
    pub(crate) fn insert_root(
        &mut self,
        data: Option<&[u8]>,
        acl: AclId,
        stat: &StatPersisted,
    ) -> ZnodeId {
        let root = Znode::new(None, BStr::new(""), data, acl, stat);
        let id = self.slab.insert(root);
        self.enter(id, BStr::new(""));
        id
    }

    /// Makes a znode below `parent`, which has none of that name. `acl` is counted already. The parent's
    /// own metadata stays.
    pub(crate) fn insert(
        &mut self,
        parent: ZnodeId,
        path: &BStr,
        data: Option<&[u8]>,
        acl: AclId,
        stat: &StatPersisted,
    ) -> ZnodeId {
        let node = Znode::new(Some(parent), last_component(path), data, acl, stat);
        let id = self.slab.insert(node);
        self.index.insert(&self.slab, id);
        self.enter(id, path);
        id
    }

    /// Counts a znode that is new in the slab.
    fn enter(&mut self, id: ZnodeId, path: &BStr) {
        let node = self.slab.get_mut(id);
        node.digest = digest::of_znode(path, node);
        if digest::covers(path) {
            self.digest = self.digest.wrapping_add(u64::from(node.digest));
        }
        if let Some(session) = owner_session(node.ephemeral_owner, self.options.extended_types) {
            self.ephemerals.insert(session, id);
        }
        self.data_size += path_units(path) + data_units(id, node.data_length());
    }

    /// Takes a znode out, and whatever is below it. Its ACL stays counted until the caller, who may
    /// still need it, has released the number that comes back. The root is never taken out.
    pub(crate) fn remove(&mut self, id: ZnodeId, path: &BStr) -> AclId {
        // Nothing is below, unless a snapshot is fuzzy: children, then their children, and so on.
        let mut below: Vec<(ZnodeId, BString)> = Vec::new();
        self.push_children(id, path, &mut below);
        let mut next = 0;
        while let Some((child, child_path)) = below.get(next).cloned() {
            self.push_children(child, child_path.as_bstr(), &mut below);
            next += 1;
        }
        for (child, child_path) in below.into_iter().rev() {
            let acl = self.remove_leaf(child, child_path.as_bstr());
            self.acls.release(acl);
        }
        self.remove_leaf(id, path)
    }

    fn push_children(&self, id: ZnodeId, path: &BStr, below: &mut Vec<(ZnodeId, BString)>) {
        for &child in self.slab.get(id).children() {
            let mut child_path = path.to_owned();
            child_path.push(b'/');
            child_path.extend_from_slice(self.slab.get(child).name());
            below.push((child, child_path));
        }
    }

    fn remove_leaf(&mut self, id: ZnodeId, path: &BStr) -> AclId {
        debug_assert_ne!(id, ROOT);
        self.index.remove(&self.slab, id);
        let node = self.slab.remove(id);
        if digest::covers(path) {
            self.digest = self.digest.wrapping_sub(u64::from(node.digest));
        }
        if let Some(session) = owner_session(node.ephemeral_owner, self.options.extended_types) {
            self.ephemerals.remove(session, id);
        }
        self.data_size -= path_units(path) + data_units(id, node.data_length());
        self.quota_after_delete(path, node.data_length());
        node.acl
    }

    /// Changes a znode's metadata. Not for its data, its owner or its ACL.
    pub(crate) fn change(&mut self, id: ZnodeId, path: &BStr, how: impl FnOnce(&mut Znode)) {
        let node = self.slab.get_mut(id);
        how(node);
        let path = if id == ROOT { BStr::new("") } else { path };
        if digest::covers(path) {
            let (before, after) = (node.digest, digest::of_znode(path, node));
            node.digest = after;
            let step = u64::from(after).wrapping_sub(u64::from(before));
            self.digest = self.digest.wrapping_add(step);
        }
    }

    /// Replaces a znode's data. The digest is right again only after the [`Tree::change`] that must follow,
    /// unless the znode is below `/zookeeper`.
    pub(crate) fn set_data(&mut self, id: ZnodeId, path: &BStr, data: Option<&[u8]>) {
        debug_assert!(self.find(path) == Some(id));
        let node = self.slab.get(id);
        let before = data_units(id, node.data_length());
        self.slab.set_data(id, data);
        let after = data_units(id, self.slab.get(id).data_length());
        self.data_size = self.data_size - before + after;
    }

    /// Gives a znode another ACL.
    pub(crate) fn set_acl(&mut self, id: ZnodeId, acl: &[Acl]) {
        let new = self.acls.intern(acl);
        let old = std::mem::replace(&mut self.slab.get_mut(id).acl, new);
        self.acls.release(old);
    }
}

/// What a path weighs in [`Tree::approximate_data_size`]. Java keeps the root under `/` too.
fn path_units(path: &BStr) -> u64 {
    if path.is_empty() {
        return 1;
    }
    path.iter()
        .map(|&b| u64::from(b & 0xc0 != 0x80) + u64::from(b >= 0xf0))
        .sum()
}

fn data_units(id: ZnodeId, length: usize) -> u64 {
    length as u64 * if id == ROOT { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_weighs_its_utf16_units() {
        for path in ["/a", "/zookeeper/quota", "/k\u{e4}se", "/\u{1f9c0}/x"] {
            assert_eq!(
                path_units(BStr::new(path)),
                path.encode_utf16().count() as u64,
                "{path}"
            );
        }
    }
}
