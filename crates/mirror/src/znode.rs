//! One znode, kept small, and the slab that holds all of them (decision 0002).

use bstr::BStr;
use outpost_wire::{Stat, StatPersisted, Zxid};

use crate::memory;

/// Place of a znode in the [`Slab`]. Given to another znode once this one is deleted.
pub(crate) type ZnodeId = u32;

/// The root's place.
pub(crate) const ROOT: ZnodeId = 0;

/// Stands for a parent where there is none: at the root, and in a vacant place.
const NO_PARENT: ZnodeId = ZnodeId::MAX;
/// Ends the list of vacant places.
const NO_VACANCY: ZnodeId = ZnodeId::MAX;
/// Set in `name_length` when the data is null, which differs from empty.
const NULL_DATA: u32 = 1 << 31;

/// One znode. Its path is its name behind its parent's path.
pub(crate) struct Znode {
    pub(crate) czxid: Zxid,
    pub(crate) mzxid: Zxid,
    pub(crate) pzxid: Zxid,
    pub(crate) ctime: i64,
    pub(crate) mtime: i64,
    /// 0, the owning session, or the mark of a container or TTL znode.
    pub(crate) ephemeral_owner: i64,
    pub(crate) version: i32,
    /// Counts created children only, unlike what clients see.
    pub(crate) cversion: i32,
    pub(crate) aversion: i32,
    /// Digest of this znode alone, so that a change needs one new checksum and not two.
    pub(crate) digest: u32,
    /// In the table of ACLs.
    pub(crate) acl: u32,
    parent: ZnodeId,
    /// Where this znode stands among its parent's children; in a vacant place, the next vacant one.
    position: u32,
    name_length: u32,
    name_and_data: Box<[u8]>,
    /// Boxed although a `Vec` is on the heap: most znodes have no children and pay 8 bytes for it, not 24.
    #[allow(clippy::box_collection)]
    children: Option<Box<Vec<ZnodeId>>>,
}

impl Znode {
    pub(crate) fn new(
        parent: Option<ZnodeId>,
        name: &BStr,
        data: Option<&[u8]>,
        acl: u32,
        stat: &StatPersisted,
    ) -> Znode {
        Znode {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            pzxid: stat.pzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            ephemeral_owner: stat.ephemeral_owner,
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            digest: 0,
            acl,
            parent: parent.unwrap_or(NO_PARENT),
            position: 0,
            name_length: packed_length(name, data),
            name_and_data: joined(name, data),
            children: None,
        }
    }

    fn vacant(next: ZnodeId) -> Znode {
        let mut place = Znode::new(None, BStr::new(""), None, 0, &StatPersisted::default());
        place.position = next;
        place
    }

    /// Text after the last slash of its path; empty for the root.
    pub(crate) fn name(&self) -> &BStr {
        BStr::new(&self.name_and_data[..self.name_bytes()])
    }

    pub(crate) fn data(&self) -> Option<&[u8]> {
        match self.name_length & NULL_DATA {
            0 => Some(&self.name_and_data[self.name_bytes()..]),
            _ => None,
        }
    }

    /// Bytes of data; 0 for null.
    pub(crate) fn data_length(&self) -> usize {
        self.name_and_data.len() - self.name_bytes()
    }

    fn set_data(&mut self, data: Option<&[u8]>) {
        let name_bytes = self.name_bytes();
        let length = data.map_or(0, <[u8]>::len);
        if length == self.data_length() {
            self.name_and_data[name_bytes..].copy_from_slice(data.unwrap_or_default());
        } else {
            self.name_and_data = joined(self.name(), data);
        }
        self.name_length = name_bytes as u32 | if data.is_none() { NULL_DATA } else { 0 };
    }

    fn content_memory(&self) -> usize {
        memory::block(self.name_and_data.len())
    }

    fn list_memory(&self) -> usize {
        let list = self.children.as_ref();
        list.map_or(0, |list| {
            memory::block(size_of::<Vec<ZnodeId>>())
                + memory::block(list.capacity() * size_of::<ZnodeId>())
        })
    }

    fn name_bytes(&self) -> usize {
        (self.name_length & !NULL_DATA) as usize
    }

    pub(crate) fn parent(&self) -> Option<ZnodeId> {
        (self.parent != NO_PARENT).then_some(self.parent)
    }

    pub(crate) fn children(&self) -> &[ZnodeId] {
        self.children
            .as_ref()
            .map_or(&[], |children| children.as_slice())
    }

    pub(crate) fn persisted(&self) -> StatPersisted {
        StatPersisted {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion,
            aversion: self.aversion,
            ephemeral_owner: self.ephemeral_owner,
            pzxid: self.pzxid,
        }
    }

    /// Metadata as clients see it. They are told the `owner` of an ephemeral only, and a cversion that
    /// counts deleted children too: created ones twice, less those that are there.
    pub(crate) fn stat(&self, owner: i64) -> Stat {
        let num_children = self.children().len() as i32;
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: owner,
            data_length: self.data_length() as i32,
            num_children,
            pzxid: self.pzxid,
        }
    }
}

/// The two lengths cannot reach 2^31: both come from one frame, and frames are shorter.
fn packed_length(name: &BStr, data: Option<&[u8]>) -> u32 {
    debug_assert!(name.len() < NULL_DATA as usize);
    name.len() as u32 | if data.is_none() { NULL_DATA } else { 0 }
}

fn joined(name: &BStr, data: Option<&[u8]>) -> Box<[u8]> {
    let data = data.unwrap_or_default();
    let mut bytes = Vec::with_capacity(name.len() + data.len());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(data);
    bytes.into_boxed_slice()
}

const CHUNK_BITS: u32 = 10;
const CHUNK_ZNODES: usize = 1 << CHUNK_BITS;

/// All znodes, in chunks of fixed capacity: growing never copies a znode. A deleted znode's place is
/// given to the next one; chunks are never returned.
pub(crate) struct Slab {
    chunks: Vec<Vec<Znode>>,
    vacant: ZnodeId,
    occupied: usize,
    /// Memory of all names and data, in bytes.
    contents: usize,
    /// Memory of all lists of children, in bytes.
    lists: usize,
}

impl Slab {
    pub(crate) fn new() -> Slab {
        Slab {
            chunks: Vec::new(),
            vacant: NO_VACANCY,
            occupied: 0,
            contents: 0,
            lists: 0,
        }
    }

    /// Memory of the places for znodes, vacant ones included, in bytes.
    pub(crate) fn places_memory(&self) -> usize {
        self.chunks.len() * memory::block(CHUNK_ZNODES * size_of::<Znode>())
    }

    /// Memory of all names and data, in bytes.
    pub(crate) fn contents_memory(&self) -> usize {
        self.contents
    }

    /// Memory of all lists of children, in bytes.
    pub(crate) fn lists_memory(&self) -> usize {
        self.lists
    }

    /// Number of znodes.
    pub(crate) fn len(&self) -> usize {
        self.occupied
    }

    /// The znode at a place that is occupied.
    pub(crate) fn get(&self, id: ZnodeId) -> &Znode {
        &self.chunks[(id >> CHUNK_BITS) as usize][id as usize % CHUNK_ZNODES]
    }

    /// The znode at a place that may have become vacant, or another tree's.
    pub(crate) fn try_get(&self, id: ZnodeId) -> Option<&Znode> {
        let chunk = self.chunks.get((id >> CHUNK_BITS) as usize)?;
        chunk
            .get(id as usize % CHUNK_ZNODES)
            .filter(|node| id == ROOT || node.parent().is_some())
    }

    pub(crate) fn get_mut(&mut self, id: ZnodeId) -> &mut Znode {
        &mut self.chunks[(id >> CHUNK_BITS) as usize][id as usize % CHUNK_ZNODES]
    }

    /// Takes a znode in, as the last child of its parent.
    pub(crate) fn insert(&mut self, mut node: Znode) -> ZnodeId {
        let id = match self.vacant {
            NO_VACANCY => self.end(),
            vacant => vacant,
        };
        if let Some(parent) = node.parent() {
            let parent = self.get_mut(parent);
            let before = parent.list_memory();
            let siblings = parent.children.get_or_insert_default();
            node.position = siblings.len() as u32;
            siblings.push(id);
            let after = parent.list_memory();
            self.lists = self.lists - before + after;
        }
        self.occupied += 1;
        self.contents += node.content_memory();
        if id == self.vacant {
            self.vacant = self.get(id).position;
            *self.get_mut(id) = node;
        } else {
            self.push(node);
        }
        id
    }

    /// Takes a znode out. What is below it has to be taken out before.
    pub(crate) fn remove(&mut self, id: ZnodeId) -> Znode {
        let vacant = Znode::vacant(self.vacant);
        let node = std::mem::replace(self.get_mut(id), vacant);
        debug_assert!(
            node.children().is_empty(),
            "a znode was taken out before its children"
        );
        self.vacant = id;
        self.occupied -= 1;
        self.contents -= node.content_memory();
        if let Some(parent) = node.parent() {
            self.remove_child(parent, node.position);
        }
        node
    }

    /// Replaces a znode's data.
    pub(crate) fn set_data(&mut self, id: ZnodeId, data: Option<&[u8]>) {
        let node = self.get_mut(id);
        let before = node.content_memory();
        node.set_data(data);
        let after = node.content_memory();
        self.contents = self.contents - before + after;
    }

    fn remove_child(&mut self, parent: ZnodeId, position: u32) {
        let parent = self.get_mut(parent);
        let before = parent.list_memory();
        let Some(siblings) = &mut parent.children else {
            return;
        };
        siblings.swap_remove(position as usize);
        let moved = siblings.get(position as usize).copied();
        if siblings.is_empty() {
            parent.children = None;
        } else if siblings.len() * 4 < siblings.capacity() {
            siblings.shrink_to(siblings.len() * 2);
        }
        let after = parent.list_memory();
        self.lists = self.lists - before + after;
        if let Some(moved) = moved {
            self.get_mut(moved).position = position;
        }
    }

    fn end(&self) -> ZnodeId {
        let before = self.chunks.len().saturating_sub(1) * CHUNK_ZNODES;
        let end = before + self.chunks.last().map_or(0, Vec::len);
        assert!(end < NO_VACANCY as usize, "more than 2^32 znodes");
        end as ZnodeId
    }

    fn push(&mut self, node: Znode) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_ZNODES => chunk.push(node),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK_ZNODES);
                chunk.push(node);
                self.chunks.push(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_znode_costs_no_more_than_104_bytes_and_one_allocation() {
        assert_eq!(size_of::<Znode>(), 104);
    }

    #[test]
    fn null_data_differs_from_empty_and_survives_every_change() {
        let mut node = Znode::new(None, BStr::new("name"), None, 0, &StatPersisted::default());
        for data in [
            None,
            Some(&b""[..]),
            None,
            Some(b"abc"),
            Some(b"xyz"),
            Some(b"longer"),
            None,
        ] {
            node.set_data(data);
            assert_eq!(node.data(), data);
            assert_eq!(node.data_length(), data.map_or(0, <[u8]>::len));
            assert_eq!(node.name(), "name");
        }
    }

    #[test]
    fn places_are_reused_and_children_find_their_places_again() {
        let stat = StatPersisted::default();
        let mut slab = Slab::new();
        let root = slab.insert(Znode::new(None, BStr::new(""), None, 0, &stat));
        let add = |slab: &mut Slab, name: &str| {
            slab.insert(Znode::new(Some(root), BStr::new(name), None, 0, &stat))
        };
        let ids: Vec<_> = (0..3000)
            .map(|n| add(&mut slab, &format!("c{n}")))
            .collect();
        assert_eq!((slab.len(), slab.get(root).children().len()), (3001, 3000));
        for &id in ids.iter().step_by(2) {
            slab.remove(id);
        }
        for &child in slab.get(root).children() {
            let position = slab.get(child).position as usize;
            assert_eq!(slab.get(root).children()[position], child);
        }
        let again: Vec<_> = (0..1500)
            .map(|n| add(&mut slab, &format!("d{n}")))
            .collect();
        assert!(
            again.iter().all(|&id| id <= 3000),
            "a vacant place was left unused"
        );
        assert_eq!((slab.len(), slab.get(root).children().len()), (3001, 3000));
    }
}
