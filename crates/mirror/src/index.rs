//! Finds a znode by its parent and its name. Names are not stored again here: the index holds places
//! in the slab and looks the names up there.

use std::hash::{BuildHasher, Hasher};

use bstr::BStr;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::memory;
use crate::znode::{Slab, ZnodeId};

/// The index is split, so that growing it, which reads every name in the part that grows, holds the tree
/// up for a small part at a time.
const SLICES: usize = 256;

/// All znodes but the root, by parent and name.
pub(crate) struct Index {
    hasher: DefaultHashBuilder,
    slices: Box<[HashTable<ZnodeId>]>,
}

impl Index {
    pub(crate) fn new() -> Index {
        Index {
            hasher: DefaultHashBuilder::default(),
            slices: (0..SLICES).map(|_| HashTable::new()).collect(),
        }
    }

    /// Memory of the index, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let slices = self.slices.iter();
        slices
            .map(HashTable::allocation_size)
            .map(memory::block)
            .sum()
    }

    pub(crate) fn find(&self, slab: &Slab, parent: ZnodeId, name: &BStr) -> Option<ZnodeId> {
        let hash = hash(&self.hasher, parent, name);
        let is_it = |&id: &ZnodeId| {
            let node = slab.get(id);
            node.parent() == Some(parent) && node.name() == name
        };
        self.slices[slice_of(hash)].find(hash, is_it).copied()
    }

    /// Takes in a znode that is in the slab and not yet here.
    pub(crate) fn insert(&mut self, slab: &Slab, id: ZnodeId) {
        let hasher = &self.hasher;
        let hash = hash_of(hasher, slab, id);
        self.slices[slice_of(hash)].insert_unique(hash, id, |&other| hash_of(hasher, slab, other));
    }

    /// Takes out a znode that is still in the slab.
    pub(crate) fn remove(&mut self, slab: &Slab, id: ZnodeId) {
        let hash = hash_of(&self.hasher, slab, id);
        if let Ok(entry) = self.slices[slice_of(hash)].find_entry(hash, |&other| other == id) {
            entry.remove();
        }
    }
}

/// Takes bits that neither the place in a table nor its tags are made of.
fn slice_of(hash: u64) -> usize {
    (hash >> 40) as usize % SLICES
}

fn hash_of(hasher: &DefaultHashBuilder, slab: &Slab, id: ZnodeId) -> u64 {
    let node = slab.get(id);
    match node.parent() {
        Some(parent) => hash(hasher, parent, node.name()),
        None => 0,
    }
}

fn hash(hasher: &DefaultHashBuilder, parent: ZnodeId, name: &BStr) -> u64 {
    let mut state = hasher.build_hasher();
    state.write_u32(parent);
    state.write(name);
    state.finish()
}
