//! Which watches fire when a whole tree takes the place of another: after a snapshot from the leader, while
//! clients stay connected. They are told what has changed, but not how often, nor in which order it was.
//!
//! Comparing two trees takes long and firing does not, so they are two steps: readers go on during the first.

use std::ops::Range;

use bstr::{BStr, BString, ByteSlice};

use crate::applied::WatchEvent;
use crate::tree::{NodeRef, Tree};
use crate::watches::{Fired, Tables, WatcherId, Watches};
use crate::znode::{ROOT, Znode, ZnodeId};
use outpost_wire::proto::EventType;

/// Which znodes differ between two trees, and how. Nothing in it depends on who watches, so watches may
/// come and go between [`Difference::survey`] and [`Difference::fire`].
///
/// Takes memory in proportion to the znodes that differ.
pub struct Difference {
    /// In the order of paths.
    changes: Vec<Change>,
}

/// What is to be told about one path.
struct Change {
    path: BString,
    events: Events,
}

/// Events about one path; several may be due.
type Events = u8;
const DELETED: Events = 1;
const CREATED: Events = 2;
const DATA_CHANGED: Events = 4;
const CHILDREN_CHANGED: Events = 8;

/// What is told once all deletions are, in this order.
const AFTER_DELETIONS: [(Events, Tables, EventType); 3] = [
    (CREATED, Tables::Data, EventType::NodeCreated),
    (DATA_CHANGED, Tables::Data, EventType::NodeDataChanged),
    (
        CHILDREN_CHANGED,
        Tables::Child,
        EventType::NodeChildrenChanged,
    ),
];

impl Difference {
    /// Finds the znodes that differ. Takes time in proportion to both trees; call it with a reader's guard
    /// of `old`, in the one thread that writes, and change neither tree until [`Difference::fire`].
    /// Where nobody can have a watch, as before the first snapshot, there is no need for it.
    pub fn survey(old: &Tree, new: &Tree) -> Difference {
        let mut changes = Vec::new();
        for_each_pair(old, new, |path, before, after| {
            let events = events_of(before, after);
            if events != 0 {
                let path = if path.is_empty() {
                    BStr::new("/")
                } else {
                    path
                };
                let path = path.to_owned();
                changes.push(Change { path, events });
            }
        });
        changes.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Difference { changes }
    }

    /// Number of paths that differ.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether the trees show the same to every watch.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Fires every watch that sees a difference between the trees that were surveyed, each event with
    /// `new`'s last zxid: first what is gone, children before their parents, then the rest, parents
    /// before their children. A znode that is another one now is told as deleted and created, as it was;
    /// a one-shot watch sees the deletion.
    ///
    /// Call it with the writer's guard, before `new` can be read. Takes time in proportion to the changes
    /// that are watched, and to the fewer of changes and watched paths; the size of the trees does not
    /// matter. Drop the difference after the guard: a large one takes time.
    pub fn fire(
        &self,
        old: &Tree,
        new: &Tree,
        watches: &Watches,
        fire: &mut dyn FnMut(WatcherId, &WatchEvent<'_>),
    ) {
        let watched = self.watched(watches);
        let mut trigger = |change: &Change, tree: &Tree, tables, kind| {
            let path = change.path.as_bstr();
            let mut fired = Fired::new();
            watches.trigger(path, tables, &mut fired);
            if fired.is_empty() {
                return;
            }
            let event = WatchEvent {
                kind,
                path,
                zxid: new.last_zxid(),
                acl: tree.node(path).as_ref().map_or(&[], NodeRef::acl),
            };
            fired.iter().for_each(|&watcher| fire(watcher, &event));
        };
        for change in watched.iter().rev() {
            if change.events & DELETED != 0 {
                trigger(change, old, Tables::Both, EventType::NodeDeleted);
            }
        }
        for change in watched {
            for (event, tables, kind) in AFTER_DELETIONS {
                if change.events & event != 0 {
                    trigger(change, new, tables, kind);
                }
            }
        }
    }

    /// The changes that may be watched, in the order of paths.
    fn watched(&self, watches: &Watches) -> Vec<&Change> {
        if watches.path_count() >= self.changes.len() {
            // Asking for the watches of each change is less work.
            return self.changes.iter().collect();
        }
        let mut marks = vec![false; self.changes.len()];
        watches.for_each_path(|path, recursive| {
            if let Ok(index) = self.find(path) {
                marks[index] = true;
            }
            if recursive {
                marks[self.below(path)].fill(true);
            }
        });
        let marked = self.changes.iter().zip(marks).filter(|(_, marked)| *marked);
        marked.map(|(change, _)| change).collect()
    }

    fn find(&self, path: &BStr) -> Result<usize, usize> {
        self.changes
            .binary_search_by(|change| change.path.as_bstr().cmp(path))
    }

    /// The changes below `top`, or a few more: all between `/top/` and `/top0`, 0 being what follows a slash.
    fn below(&self, top: &BStr) -> Range<usize> {
        if top == "/" {
            return 0..self.changes.len();
        }
        let bound = |end: &[u8]| {
            let bound = [top.as_bytes(), end].concat();
            self.find(bound.as_bstr()).unwrap_or_else(|index| index)
        };
        bound(b"/")..bound(b"0")
    }
}

/// What the watches of a znode have to be told.
fn events_of(before: Option<&Znode>, after: Option<&Znode>) -> Events {
    match (before, after) {
        (None, None) => 0,
        (Some(_), None) => DELETED,
        (None, Some(after)) => events_of_creation(after),
        // No reader has seen the middle of a transaction, so one zxid creates a path once.
        (Some(before), Some(after)) if before.czxid != after.czxid => {
            DELETED | events_of_creation(after)
        }
        (Some(before), Some(after)) => {
            let data = before.mzxid != after.mzxid;
            // After 2^31 created children the cversion has run over, and creating no longer advances pzxid.
            let children =
                before.pzxid != after.pzxid || before.children().len() != after.children().len();
            (u8::from(data) * DATA_CHANGED) | (u8::from(children) * CHILDREN_CHANGED)
        }
    }
}

/// A znode is created without children, so what has come below it since is told as well. Its data are read
/// anew in any case.
fn events_of_creation(node: &Znode) -> Events {
    if node.pzxid != node.czxid || !node.children().is_empty() {
        CREATED | CHILDREN_CHANGED
    } else {
        CREATED
    }
}

/// Calls `visit` with the znodes that both trees have at each path that is in either, the root's being
/// empty; parents before children.
fn for_each_pair(
    old: &Tree,
    new: &Tree,
    mut visit: impl FnMut(&BStr, Option<&Znode>, Option<&Znode>),
) {
    let mut path = BString::default();
    let root = Pair {
        before: Some(ROOT),
        after: Some(ROOT),
    };
    visit(BStr::new(""), root.before(old), root.after(new));
    let mut levels = vec![Level::below(root, old, new, 0)];
    while let Some(level) = levels.last_mut() {
        path.truncate(level.parent_path_length);
        let Some(pair) = level.next(old, new) else {
            levels.pop();
            continue;
        };
        let (before, after) = (pair.before(old), pair.after(new));
        path.push(b'/');
        if let Some(node) = before.or(after) {
            path.extend_from_slice(node.name());
        }
        visit(path.as_ref(), before, after);
        levels.push(Level::below(pair, old, new, path.len()));
    }
}

/// The places of one path's znodes, at least one.
#[derive(Clone, Copy)]
struct Pair {
    before: Option<ZnodeId>,
    after: Option<ZnodeId>,
}

impl Pair {
    fn before(self, old: &Tree) -> Option<&Znode> {
        self.before.map(|id| old.slab.get(id))
    }

    fn after(self, new: &Tree) -> Option<&Znode> {
        self.after.map(|id| new.slab.get(id))
    }
}

/// Children of one pair that are still to be visited: first those that are in the new tree, each of which
/// is looked up in the old one, then those that are gone.
struct Level<'t> {
    parents: Pair,
    parent_path_length: usize,
    after: std::slice::Iter<'t, ZnodeId>,
    before: std::slice::Iter<'t, ZnodeId>,
    /// Children in the old tree whose fate is not known yet; most often none are left for a second search.
    before_left: usize,
}

impl<'t> Level<'t> {
    fn below(parents: Pair, old: &'t Tree, new: &'t Tree, parent_path_length: usize) -> Level<'t> {
        let before = parents.before(old).map_or(&[][..], Znode::children);
        let after = parents.after(new).map_or(&[][..], Znode::children);
        Level {
            parents,
            parent_path_length,
            after: after.iter(),
            before: before.iter(),
            before_left: before.len(),
        }
    }

    fn next(&mut self, old: &Tree, new: &Tree) -> Option<Pair> {
        if let Some(&after) = self.after.next() {
            let before = child_of_the_same_name(new, after, old, self.parents.before);
            self.before_left -= usize::from(before.is_some());
            return Some(Pair {
                before,
                after: Some(after),
            });
        }
        if self.before_left == 0 {
            return None;
        }
        let parent = self.parents.after;
        let is_gone =
            |&before: &ZnodeId| child_of_the_same_name(old, before, new, parent).is_none();
        let before = self.before.by_ref().copied().find(is_gone)?;
        self.before_left -= 1;
        Some(Pair {
            before: Some(before),
            after: None,
        })
    }
}

/// Where `there` has, below `parent`, a znode with the name of one that is here.
fn child_of_the_same_name(
    here: &Tree,
    id: ZnodeId,
    there: &Tree,
    parent: Option<ZnodeId>,
) -> Option<ZnodeId> {
    there
        .index
        .find(&there.slab, parent?, here.slab.get(id).name())
}
