//! Who watches what, and what a change fires.
//!
//! ZooKeeper keeps two tables, one for data and existence and one for lists of children; here they are
//! flags of one. A watch is left under a reader's guard by many threads at once, and fired under the
//! writer's, so the tables are split by path, and the way back from a watcher to its paths is split
//! by watcher. Locks are taken in this order: one shard of paths, then one shard of watchers.
//!
//! Whether a watcher may see an event is not decided here, nor how it gets there.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bstr::{BStr, BString, ByteSlice};
use crossbeam_utils::CachePadded;
use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};
use outpost_wire::data::parent_path;
use outpost_wire::proto::{AddWatchMode, WatcherType};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::memory;
use crate::watchers::{
    CHILD, CHILD_PERSISTENT, CHILD_STANDARD, DATA, DATA_PERSISTENT, DATA_RECURSIVE, DATA_STANDARD,
    Flags, STANDARD, Watchers,
};

/// Whoever leaves watches: one connection. A number that means nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u64);

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

/// Shards of paths, and of watchers. Many more than threads, so that two seldom meet.
const SHARDS: usize = 64;
/// What one more path takes in a watcher's set, in bytes: a reference, at the usual load of a hash set.
const PAIR_MEMORY: usize = 24;
/// What a watcher's set takes before its first path, in bytes.
const WATCHER_MEMORY: usize = 64;
/// Those to tell about one change.
pub(crate) type Fired = SmallVec<[WatcherId; 16]>;

/// Which of ZooKeeper's tables a change triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    /// The znode was created or its data set. Recursive watches above see it.
    Data,
    /// A child was created or deleted. Recursive watches do not see that.
    Child,
    /// The znode was deleted. Who watches in both tables is told once. Recursive watches above see it.
    Both,
}

impl Tables {
    fn flags(self) -> Flags {
        match self {
            Tables::Data => DATA,
            Tables::Child => CHILD,
            Tables::Both => DATA | CHILD,
        }
    }
}

/// All watches of all watchers.
pub struct Watches {
    hasher: DefaultHashBuilder,
    paths: Box<[CachePadded<Mutex<PathShard>>]>,
    watchers: Box<[CachePadded<Mutex<WatcherShard>>]>,
    /// While there are none, a change does not look at the paths above it.
    recursive: AtomicUsize,
    /// Pairs of path and watcher, counted in each of ZooKeeper's tables.
    count: CachePadded<AtomicUsize>,
}

/// Part of the paths with their watchers. No path is here without a watcher.
#[derive(Default)]
struct PathShard {
    table: HashTable<Watched>,
    /// Memory of the paths, in bytes.
    paths_memory: usize,
}

struct Watched {
    path: Arc<[u8]>,
    by: Watchers,
}

/// Part of the watchers with their paths.
type WatcherShard = HashMap<WatcherId, HashSet<Arc<[u8]>>>;

impl Watches {
    /// No watches.
    pub fn new() -> Watches {
        Watches {
            hasher: DefaultHashBuilder::default(),
            paths: (0..SHARDS).map(|_| CachePadded::default()).collect(),
            watchers: (0..SHARDS).map(|_| CachePadded::default()).collect(),
            recursive: AtomicUsize::new(0),
            count: CachePadded::default(),
        }
    }

    /// Leaves a one-shot watch on data and existence, as `getData` and `exists` do.
    pub fn leave_data(&self, path: &BStr, watcher: WatcherId) {
        self.add(path, watcher, DATA_STANDARD);
    }

    /// Leaves a one-shot watch on the list of children, as `getChildren` does.
    pub fn leave_child(&self, path: &BStr, watcher: WatcherId) {
        self.add(path, watcher, CHILD_STANDARD);
    }

    /// Leaves a persistent watch.
    pub fn leave_persistent(&self, path: &BStr, watcher: WatcherId) {
        self.add(path, watcher, DATA_PERSISTENT | CHILD_PERSISTENT);
    }

    /// Leaves a persistent recursive watch.
    pub fn leave_recursive(&self, path: &BStr, watcher: WatcherId) {
        self.add(path, watcher, DATA_RECURSIVE);
    }

    /// Leaves a watch as `addWatch` does.
    pub fn leave(&self, path: &BStr, watcher: WatcherId, mode: AddWatchMode) {
        match mode {
            AddWatchMode::Persistent => self.leave_persistent(path, watcher),
            AddWatchMode::PersistentRecursive => self.leave_recursive(path, watcher),
        }
    }

    /// Whether there is such a watch (`checkWatches`).
    pub fn check(&self, path: &BStr, watcher: WatcherId, kind: WatcherType) -> bool {
        let wanted = match kind {
            // ZooKeeper looks for this one in the data table only.
            WatcherType::Persistent => DATA_PERSISTENT,
            _ => flags_of(kind),
        };
        let hash = self.hash(path);
        let shard = self.shard(hash).lock();
        let watched = shard.table.find(hash, |watched| *watched.path == **path);
        watched.is_some_and(|watched| watched.by.get(watcher) & wanted != 0)
    }

    /// Takes such watches away, and says whether there was one (`removeWatches`). No event tells of it.
    pub fn remove(&self, path: &BStr, watcher: WatcherId, kind: WatcherType) -> bool {
        self.clear(path, watcher, flags_of(kind), true) != 0
    }

    /// Takes all watches of a watcher away: its connection is closed. Takes time in proportion to them.
    pub fn remove_watcher(&self, watcher: WatcherId) {
        let paths = self.watcher_shard(watcher).lock().remove(&watcher);
        for path in paths.into_iter().flatten() {
            self.clear(BStr::new(&*path), watcher, DATA | CHILD, false);
        }
    }

    /// Number of watches (metric `watch_count`): pairs of path and watcher in either table.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Number of paths that a watcher watches, in whichever ways.
    pub fn paths_of(&self, watcher: WatcherId) -> usize {
        let shard = self.watcher_shard(watcher).lock();
        shard.get(&watcher).map_or(0, HashSet::len)
    }

    /// Memory of all watches, in bytes. An estimate: what one watcher's set of paths takes is not counted, but
    /// concluded from how many there are.
    pub fn memory(&self) -> usize {
        let mut bytes = self.count() * PAIR_MEMORY;
        for shard in &self.paths {
            let shard = shard.lock();
            bytes += memory::block(shard.table.allocation_size()) + shard.paths_memory;
        }
        for shard in &self.watchers {
            let shard = shard.lock();
            bytes += memory::block(shard.allocation_size()) + shard.len() * WATCHER_MEMORY;
        }
        bytes
    }

    /// How many watch what; as 4lw `wchs`, the data table alone.
    pub fn summary(&self) -> WatchSummary {
        let mut summary = WatchSummary::default();
        let mut watchers = BTreeSet::new();
        self.for_each_data_watch(|_, by| {
            summary.paths += 1;
            summary.watches += by.len();
            watchers.extend(by);
        });
        summary.watchers = watchers.len();
        summary
    }

    /// The paths of every watcher; as 4lw `wchc`, the data table alone.
    pub fn by_watcher(&self) -> BTreeMap<WatcherId, Vec<BString>> {
        let mut paths = BTreeMap::<WatcherId, Vec<BString>>::new();
        self.for_each_data_watch(|path, by| {
            for watcher in by {
                paths.entry(watcher).or_default().push(path.to_owned());
            }
        });
        paths.values_mut().for_each(|paths| paths.sort_unstable());
        paths
    }

    /// The watchers of every path; as 4lw `wchp`, the data table alone.
    pub fn by_path(&self) -> BTreeMap<BString, Vec<WatcherId>> {
        let mut watchers = BTreeMap::new();
        self.for_each_data_watch(|path, by| {
            watchers.insert(path.to_owned(), by);
        });
        watchers
    }

    /// Finds those to tell about a change at `path`, in ascending order, each once, and takes the one-shot
    /// watches among them away.
    pub(crate) fn trigger(&self, path: &BStr, tables: Tables, fired: &mut Fired) {
        self.trigger_exact(path, tables.flags(), fired);
        if tables != Tables::Child && self.recursive.load(Ordering::Relaxed) > 0 {
            self.collect_recursive(path, fired);
        }
        fired.sort_unstable();
        fired.dedup();
    }

    /// Number of watched paths.
    pub(crate) fn path_count(&self) -> usize {
        let paths = self.paths.iter();
        paths.map(|shard| shard.lock().table.len()).sum()
    }

    /// Calls `f` with every watched path and whether there is a recursive watch on it, in no particular
    /// order. The path's shard is locked meanwhile.
    pub(crate) fn for_each_path(&self, mut f: impl FnMut(&BStr, bool)) {
        for shard in &self.paths {
            for watched in &shard.lock().table {
                let mut flags = 0;
                watched.by.for_each(|_, of_one| flags |= of_one);
                f(watched.path.as_bstr(), flags & DATA_RECURSIVE != 0);
            }
        }
    }

    fn trigger_exact(&self, path: &BStr, tables: Flags, fired: &mut Fired) {
        let hash = self.hash(path);
        let mut gone = Fired::new();
        let path = {
            let mut shard = self.shard(hash).lock();
            let shard = &mut *shard;
            let Ok(mut found) = shard
                .table
                .find_entry(hash, |watched| *watched.path == **path)
            else {
                return;
            };
            let mut fewer = 0;
            let by = &mut found.get_mut().by;
            by.retain(|watcher, flags| {
                if *flags & tables == 0 {
                    return true;
                }
                fired.push(watcher);
                let after = *flags & !(tables & STANDARD);
                fewer += pairs(*flags) - pairs(after);
                *flags = after;
                if after == 0 {
                    gone.push(watcher);
                }
                after != 0
            });
            self.count.fetch_sub(fewer, Ordering::Relaxed);
            if gone.is_empty() {
                return;
            }
            let path = Arc::clone(&found.get().path);
            if found.get().by.is_empty() {
                found.remove();
                shard.paths_memory -= path_memory(BStr::new(&*path));
            }
            path
        };
        for watcher in gone {
            self.forget(watcher, &path);
        }
    }

    /// The paths above `/a/b` are `/a` and `/`.
    fn collect_recursive(&self, path: &BStr, fired: &mut Fired) {
        let mut above = path;
        while above.len() > 1 {
            above = match parent_path(above) {
                parent if parent.is_empty() => BStr::new("/"),
                parent => parent,
            };
            let hash = self.hash(above);
            let shard = self.shard(hash).lock();
            if let Some(watched) = shard.table.find(hash, |watched| *watched.path == **above) {
                watched.by.for_each(|watcher, flags| {
                    if flags & DATA_RECURSIVE != 0 {
                        fired.push(watcher);
                    }
                });
            }
        }
    }

    fn add(&self, path: &BStr, watcher: WatcherId, flags: Flags) {
        let hash = self.hash(path);
        let mut shard = self.shard(hash).lock();
        let shard = &mut *shard;
        let is_it = |watched: &Watched| *watched.path == **path;
        let rehash = |watched: &Watched| self.hash(BStr::new(&*watched.path));
        let mut entry = match shard.table.entry(hash, is_it, rehash) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => {
                shard.paths_memory += path_memory(path);
                entry.insert(Watched {
                    path: Arc::from(&**path),
                    by: Watchers::none(),
                })
            }
        };
        let watched = entry.get_mut();
        let before = watched.by.add(watcher, flags);
        let more = pairs(before | flags) - pairs(before);
        if more > 0 {
            self.count.fetch_add(more, Ordering::Relaxed);
        }
        if flags & !before & DATA_RECURSIVE != 0 {
            self.recursive.fetch_add(1, Ordering::Relaxed);
        }
        if before == 0 {
            let mut watchers = self.watcher_shard(watcher).lock();
            watchers
                .entry(watcher)
                .or_default()
                .insert(Arc::clone(&watched.path));
        }
    }

    /// Clears flags and returns those that were set. `forget`: also on the way from watcher to path.
    fn clear(&self, path: &BStr, watcher: WatcherId, flags: Flags, forget: bool) -> Flags {
        let hash = self.hash(path);
        let mut shard = self.shard(hash).lock();
        let shard = &mut *shard;
        let Ok(mut found) = shard
            .table
            .find_entry(hash, |watched| *watched.path == **path)
        else {
            return 0;
        };
        let before = found.get_mut().by.remove(watcher, flags);
        let cleared = before & flags;
        let fewer = pairs(before) - pairs(before & !flags);
        self.count.fetch_sub(fewer, Ordering::Relaxed);
        if cleared & DATA_RECURSIVE != 0 {
            self.recursive.fetch_sub(1, Ordering::Relaxed);
        }
        if forget && cleared != 0 && before == cleared {
            self.forget(watcher, &found.get().path);
        }
        if found.get().by.is_empty() {
            found.remove();
            shard.paths_memory -= path_memory(path);
        }
        cleared
    }

    /// Takes the way from a watcher to a path away.
    fn forget(&self, watcher: WatcherId, path: &Arc<[u8]>) {
        let mut shard = self.watcher_shard(watcher).lock();
        let Some(paths) = shard.get_mut(&watcher) else {
            return;
        };
        paths.remove(&**path);
        if paths.is_empty() {
            shard.remove(&watcher);
        }
    }

    fn for_each_data_watch(&self, mut f: impl FnMut(&BStr, Vec<WatcherId>)) {
        for shard in &self.paths {
            for watched in &shard.lock().table {
                let mut by = Vec::new();
                watched.by.for_each(|watcher, flags| {
                    if flags & DATA != 0 {
                        by.push(watcher);
                    }
                });
                if !by.is_empty() {
                    by.sort_unstable();
                    f(watched.path.as_bstr(), by);
                }
            }
        }
    }

    fn hash(&self, path: &BStr) -> u64 {
        self.hasher.hash_one::<&[u8]>(path)
    }

    /// Takes bits that neither the place in a table nor its tags are made of.
    fn shard(&self, hash: u64) -> &Mutex<PathShard> {
        &self.paths[(hash >> 40) as usize % SHARDS]
    }

    fn watcher_shard(&self, watcher: WatcherId) -> &Mutex<WatcherShard> {
        &self.watchers[(self.hasher.hash_one(watcher.0) >> 40) as usize % SHARDS]
    }
}

impl Default for Watches {
    fn default() -> Watches {
        Watches::new()
    }
}

/// What `removeWatches` takes away.
fn flags_of(kind: WatcherType) -> Flags {
    match kind {
        WatcherType::Children => CHILD_STANDARD,
        WatcherType::Data => DATA_STANDARD,
        WatcherType::Any => DATA | CHILD,
        WatcherType::Persistent => DATA_PERSISTENT | CHILD_PERSISTENT,
        WatcherType::PersistentRecursive => DATA_RECURSIVE,
    }
}

/// In how many of ZooKeeper's tables somebody with these flags stands.
fn pairs(flags: Flags) -> usize {
    usize::from(flags & DATA != 0) + usize::from(flags & CHILD != 0)
}

/// What a shared path takes, with its two counters, in bytes.
fn path_memory(path: &BStr) -> usize {
    memory::block(2 * size_of::<usize>() + path.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_is_kept_without_a_watcher_and_no_watcher_without_a_path() {
        let path = BStr::new("/a");
        let entries = |watches: &Watches| {
            let paths: usize = watches
                .paths
                .iter()
                .map(|shard| shard.lock().table.len())
                .sum();
            let watchers: usize = watches
                .watchers
                .iter()
                .map(|shard| shard.lock().len())
                .sum();
            (paths, watchers)
        };
        let ways_to_go: [fn(&Watches, &BStr); 3] = [
            |watches, path| watches.trigger(path, Tables::Both, &mut Fired::new()),
            |watches, _| (0..20).for_each(|id| watches.remove_watcher(WatcherId(id))),
            |watches, path| {
                (0..20).for_each(|id| {
                    watches.remove(path, WatcherId(id), WatcherType::Any);
                });
            },
        ];
        for go in ways_to_go {
            for count in [1, 20] {
                let watches = Watches::new();
                (0..count).for_each(|id| watches.leave_data(path, WatcherId(id)));
                assert_eq!(entries(&watches), (1, count as usize));
                assert_eq!(watches.count(), count as usize);
                assert_eq!(watches.paths_of(WatcherId(0)), 1);
                go(&watches, path);
                assert_eq!(entries(&watches), (0, 0));
                assert_eq!((watches.count(), watches.paths_of(WatcherId(0))), (0, 0));
            }
        }
    }
}
