//! Who watches one path, and in which ways.

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::watches::WatcherId;

/// Watchers of one path that are searched one by one; more are kept in a map.
const FEW: usize = 16;

/// Ways in which one watcher watches one path; independent of each other, as since ZooKeeper 3.9.
pub(crate) type Flags = u8;
pub(crate) const DATA_STANDARD: Flags = 1;
pub(crate) const DATA_PERSISTENT: Flags = 2;
pub(crate) const DATA_RECURSIVE: Flags = 4;
pub(crate) const CHILD_STANDARD: Flags = 8;
pub(crate) const CHILD_PERSISTENT: Flags = 16;
pub(crate) const DATA: Flags = DATA_STANDARD | DATA_PERSISTENT | DATA_RECURSIVE;
pub(crate) const CHILD: Flags = CHILD_STANDARD | CHILD_PERSISTENT;
pub(crate) const STANDARD: Flags = DATA_STANDARD | CHILD_STANDARD;

/// The watchers of one path, none without a flag.
pub(crate) enum Watchers {
    Few(SmallVec<[(WatcherId, Flags); 1]>),
    /// Boxed, because nearly every path has few.
    Many(Box<HashMap<WatcherId, Flags>>),
}

impl Watchers {
    pub(crate) fn none() -> Watchers {
        Watchers::Few(SmallVec::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Watchers::Few(few) => few.is_empty(),
            Watchers::Many(many) => many.is_empty(),
        }
    }

    pub(crate) fn get(&self, watcher: WatcherId) -> Flags {
        match self {
            Watchers::Few(few) => few
                .iter()
                .find(|(id, _)| *id == watcher)
                .map_or(0, |one| one.1),
            Watchers::Many(many) => many.get(&watcher).copied().unwrap_or(0),
        }
    }

    /// Sets flags, and returns those that were set before.
    pub(crate) fn add(&mut self, watcher: WatcherId, flags: Flags) -> Flags {
        if let Watchers::Few(few) = self {
            if let Some((_, of_one)) = few.iter_mut().find(|(id, _)| *id == watcher) {
                return std::mem::replace(of_one, *of_one | flags);
            }
            if few.len() < FEW {
                few.push((watcher, flags));
                return 0;
            }
            *self = Watchers::Many(Box::new(few.drain(..).collect()));
        }
        let Watchers::Many(many) = self else { return 0 };
        let of_one = many.entry(watcher).or_insert(0);
        std::mem::replace(of_one, *of_one | flags)
    }

    /// Clears flags, and returns those that were set before.
    pub(crate) fn remove(&mut self, watcher: WatcherId, flags: Flags) -> Flags {
        let before = self.get(watcher);
        let after = before & !flags;
        match self {
            Watchers::Few(few) if after == 0 => few.retain(|(id, _)| *id != watcher),
            Watchers::Few(few) => few
                .iter_mut()
                .filter(|(id, _)| *id == watcher)
                .for_each(|(_, of_one)| *of_one = after),
            Watchers::Many(many) if after == 0 => drop(many.remove(&watcher)),
            Watchers::Many(many) => drop(many.insert(watcher, after)),
        }
        before
    }

    pub(crate) fn for_each(&self, mut f: impl FnMut(WatcherId, Flags)) {
        match self {
            Watchers::Few(few) => few.iter().for_each(|&(watcher, flags)| f(watcher, flags)),
            Watchers::Many(many) => many.iter().for_each(|(&watcher, &flags)| f(watcher, flags)),
        }
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(WatcherId, &mut Flags) -> bool) {
        match self {
            Watchers::Few(few) => few.retain(|(watcher, flags)| keep(*watcher, flags)),
            Watchers::Many(many) => many.retain(|watcher, flags| keep(*watcher, flags)),
        }
    }
}
