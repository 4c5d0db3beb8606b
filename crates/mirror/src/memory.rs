//! How much memory the tree takes, and for what: from sizes that are known, without looking at any znode.

use std::collections::BTreeMap;

use crate::tree::Tree;

/// What an entry of a B-tree of numbers takes, in bytes: nodes are two thirds full, and have a head and links.
const BTREE_ENTRY: usize = 32;
/// What a set of its own for a session's ephemeral znodes takes, in bytes.
const OWNER: usize = 128;
/// What a different ACL takes, in bytes: its entry in two tables, and an entry or two with short names.
const ACL: usize = 256;

/// Memory of the tree, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeMemory {
    /// Znodes with their metadata; places of deleted ones included. Exact.
    pub znodes: usize,
    /// Names and data. Exact.
    pub contents: usize,
    /// Lists of children. Exact.
    pub children: usize,
    /// The way from a path to its znode. Exact.
    pub index: usize,
    /// ACLs and owners of ephemeral znodes. An estimate from their numbers.
    pub owners: usize,
    /// Sessions. An estimate from their number.
    pub sessions: usize,
}

impl TreeMemory {
    /// All of it.
    pub fn total(&self) -> usize {
        self.znodes + self.contents + self.children + self.index + self.owners + self.sessions
    }
}

impl Tree {
    /// What it takes, and for what. Looks at no znode.
    pub fn memory(&self) -> TreeMemory {
        TreeMemory {
            znodes: self.slab.places_memory(),
            contents: self.slab.contents_memory(),
            children: self.slab.lists_memory(),
            index: self.index.memory(),
            owners: self.ephemerals.count() * BTREE_ENTRY
                + self.ephemerals.owners().len() * OWNER
                + self.acls().len() * ACL,
            sessions: sessions(&self.sessions),
        }
    }
}

fn sessions<K, V>(sessions: &BTreeMap<K, V>) -> usize {
    sessions.len() * BTREE_ENTRY
}

/// What the allocator (jemalloc) hands out when so many bytes are asked for: its sizes are 8, multiples of 16 up to
/// 128, and from there four to each power of two.
pub(crate) fn block(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=8 => 8,
        9..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bstr::BStr;
    use outpost_wire::StatPersisted;

    #[test]
    fn blocks_have_the_sizes_of_the_allocator() {
        let sizes = [
            0, 1, 8, 9, 16, 17, 128, 129, 160, 161, 257, 1000, 14336, 16385,
        ];
        let blocks = sizes.map(block);
        let wanted = [
            0, 8, 8, 16, 16, 32, 128, 160, 160, 192, 320, 1024, 14336, 20480,
        ];
        assert_eq!(blocks, wanted);
    }

    #[test]
    fn what_is_added_and_taken_away_again_leaves_the_figures_as_they_were() {
        let mut tree = Tree::new();
        let before = tree.memory();
        let stat = StatPersisted::default();
        let data = vec![7; 1000];
        let root = tree.find(BStr::new("/")).unwrap();
        let mut paths = Vec::new();
        for n in 0..2000 {
            let path = format!("/n{n:07}");
            tree.insert(root, path.as_str().into(), Some(&data), 0, &stat);
            paths.push(path);
        }
        let full = tree.memory();
        assert_eq!(full.contents - before.contents, 2000 * block(1008));
        assert!(full.children - before.children >= 2000 * 4);
        assert!(full.znodes - before.znodes >= 1000 * 104 && full.index > before.index);
        for path in &paths {
            let path = path.as_str().into();
            let id = tree.find(path).unwrap();
            tree.set_data(id, path, Some(b"short"));
        }
        assert_eq!(tree.memory().contents - before.contents, 2000 * block(13));
        for path in &paths {
            let path = path.as_str().into();
            let id = tree.find(path).unwrap();
            tree.remove(id, path);
        }
        let after = tree.memory();
        assert_eq!(after.contents, before.contents);
        // A list that was long may end up shorter than one that never was.
        assert!(after.children <= before.children);
    }
}
