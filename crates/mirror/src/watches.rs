//! Who watches what, and what a change fires.

use std::collections::BTreeMap;

use bstr::{BStr, BString};

/// Whoever leaves watches: one connection. A number that means nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u64);

/// What happened to a znode, by its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum EventKind {
    /// It came into being.
    NodeCreated = 1,
    /// It is gone.
    NodeDeleted = 2,
    /// Its data was set.
    NodeDataChanged = 3,
    /// A child came or went.
    NodeChildrenChanged = 4,
}

impl EventKind {
    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }
}

/// How a watch of `addWatch` is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatchMode {
    /// Mode 0: fires every time, for the znode and the list of its children.
    Persistent,
    /// Mode 1: fires every time, for the znode and everything below it.
    PersistentRecursive,
}

impl WatchMode {
    /// The mode with this number on the wire, if there is one.
    pub const fn from_code(code: i32) -> Option<WatchMode> {
        match code {
            0 => Some(WatchMode::Persistent),
            1 => Some(WatchMode::PersistentRecursive),
            _ => None,
        }
    }
}

/// Which watches `checkWatches` and `removeWatches` mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatcherType {
    /// 1: the one-shot watch on the list of children.
    Children,
    /// 2: the one-shot watch on data and existence.
    Data,
    /// 3: every watch on that path.
    Any,
    /// 4: the persistent watch.
    Persistent,
    /// 5: the persistent recursive watch.
    PersistentRecursive,
}

impl WatcherType {
    /// The type with this number on the wire, if there is one.
    pub const fn from_code(code: i32) -> Option<WatcherType> {
        match code {
            1 => Some(WatcherType::Children),
            2 => Some(WatcherType::Data),
            3 => Some(WatcherType::Any),
            4 => Some(WatcherType::Persistent),
            5 => Some(WatcherType::PersistentRecursive),
            _ => None,
        }
    }
}

/// The lists of `setWatches` and `setWatches2`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetWatches<'l, 'a> {
    /// Watches left by `getData`, and by `exists` on a znode that was there.
    pub data: &'l [&'a BStr],
    /// Watches left by `exists` on a znode that was not there.
    pub exist: &'l [&'a BStr],
    /// Watches left by `getChildren`.
    pub child: &'l [&'a BStr],
    /// Persistent watches.
    pub persistent: &'l [&'a BStr],
    /// Persistent recursive watches.
    pub persistent_recursive: &'l [&'a BStr],
}

/// How many watch what, in the data table alone (4lw `wchs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchSummary {
    /// Watchers that have a watch.
    pub watchers: usize,
    /// Paths with a watch.
    pub paths: usize,
    /// Pairs of both.
    pub watches: usize,
}

/// All watches.
#[derive(Default)]
pub struct Watches {}

#[allow(unused_variables)]
impl Watches {
    /// No watches.
    pub fn new() -> Watches {
        Watches::default()
    }

    /// Leaves a one-shot watch on data and existence.
    pub fn leave_data(&self, path: &BStr, watcher: WatcherId) {}

    /// Leaves a one-shot watch on the list of children.
    pub fn leave_child(&self, path: &BStr, watcher: WatcherId) {}

    /// Leaves a persistent watch.
    pub fn leave_persistent(&self, path: &BStr, watcher: WatcherId) {}

    /// Leaves a persistent recursive watch.
    pub fn leave_recursive(&self, path: &BStr, watcher: WatcherId) {}

    /// Leaves a watch as `addWatch` does.
    pub fn leave(&self, path: &BStr, watcher: WatcherId, mode: WatchMode) {}

    /// Whether there is such a watch (`checkWatches`).
    pub fn check(&self, path: &BStr, watcher: WatcherId, kind: WatcherType) -> bool {
        false
    }

    /// Takes such watches away, and says whether there was one (`removeWatches`).
    pub fn remove(&self, path: &BStr, watcher: WatcherId, kind: WatcherType) -> bool {
        false
    }

    /// Takes all watches of a watcher away.
    pub fn remove_watcher(&self, watcher: WatcherId) {}

    /// Number of watches (metric `watch_count`).
    pub fn count(&self) -> usize {
        0
    }

    /// 4lw `wchs`: the data table alone.
    pub fn summary(&self) -> WatchSummary {
        WatchSummary::default()
    }

    /// 4lw `wchc`: the paths of every watcher, the data table alone.
    pub fn by_watcher(&self) -> BTreeMap<WatcherId, Vec<BString>> {
        BTreeMap::new()
    }

    /// 4lw `wchp`: the watchers of every path, the data table alone.
    pub fn by_path(&self) -> BTreeMap<BString, Vec<WatcherId>> {
        BTreeMap::new()
    }
}
