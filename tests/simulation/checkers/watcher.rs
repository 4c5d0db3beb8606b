//! What one connection watches: ZooKeeper's two tables as flags, one entry for each path.

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice};
use outpost_wire::Zxid;
use outpost_wire::proto::{AddWatchMode, EventType, WatcherType};

use super::model::{self, Model, Tables, Trigger};
use crate::history::Request as Asked;

/// Ways in which one path is watched, independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const DATA_ONCE: Flags = Flags(1);
    pub(crate) const DATA_ALWAYS: Flags = Flags(2);
    pub(crate) const RECURSIVE: Flags = Flags(4);
    pub(crate) const CHILD_ONCE: Flags = Flags(8);
    pub(crate) const CHILD_ALWAYS: Flags = Flags(16);
    pub(crate) const DATA: Flags = Flags(1 | 2 | 4);
    pub(crate) const CHILD: Flags = Flags(8 | 16);

    pub(crate) const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    pub(crate) const fn any(self, of: Flags) -> bool {
        self.0 & of.0 != 0
    }
}

/// The watches of one connection.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    paths: BTreeMap<BString, Flags>,
}

impl Watcher {
    pub(crate) fn is_idle(&self) -> bool {
        self.paths.is_empty()
    }

    pub(crate) fn leave(&mut self, path: &BStr, flags: Flags) {
        match self.paths.get_mut(path) {
            Some(there) => *there = there.or(flags),
            None => drop(self.paths.insert(path.to_owned(), flags)),
        }
    }

    /// Takes watches away, and says whether there were any.
    pub(crate) fn remove(&mut self, path: &BStr, flags: Flags) -> bool {
        let Some(there) = self.paths.get_mut(path) else {
            return false;
        };
        let had = there.any(flags);
        *there = there.without(flags);
        if *there == Flags::default() {
            self.paths.remove(path);
        }
        had
    }

    /// How `path` itself is watched.
    pub(crate) fn on(&self, path: &BStr) -> Flags {
        self.paths.get(path).copied().unwrap_or_default()
    }

    /// Whether a recursive watch on `path` or above it sees what happens to its data.
    pub(crate) fn covers(&self, path: &BStr) -> bool {
        let mut above = path.to_owned();
        loop {
            if self.on(above.as_bstr()).any(Flags::RECURSIVE) {
                return true;
            }
            if above.len() <= 1 {
                return false;
            }
            above = model::parent(above.as_bstr());
        }
    }

    /// Every watched path.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (&BString, Flags)> {
        self.paths.iter().map(|(path, &flags)| (path, flags))
    }

    /// Whether this change is told, once however many of the watches see it. Uses up what fires once.
    pub(crate) fn sees(&mut self, trigger: &Trigger) -> bool {
        let path = trigger.path.as_bstr();
        let (tables, once) = match trigger.tables {
            Tables::Data => (Flags::DATA, Flags::DATA_ONCE),
            Tables::Child => (Flags::CHILD, Flags::CHILD_ONCE),
            Tables::Both => (
                Flags::DATA.or(Flags::CHILD),
                Flags::DATA_ONCE.or(Flags::CHILD_ONCE),
            ),
        };
        let seen =
            self.on(path).any(tables) || (trigger.tables != Tables::Child && self.covers(path));
        self.remove(path, once);
        seen
    }

    /// Leaves what a request leaves that was answered without an error, or without a znode.
    pub(crate) fn leave_for(&mut self, asked: &Asked, found: bool) {
        match asked {
            Asked::Exists { path, watch: true } => self.leave(path.as_bstr(), Flags::DATA_ONCE),
            Asked::GetData { path, watch: true } if found => {
                self.leave(path.as_bstr(), Flags::DATA_ONCE);
            }
            Asked::GetChildren { path, watch: true } if found => {
                self.leave(path.as_bstr(), Flags::CHILD_ONCE);
            }
            Asked::AddWatch { path, mode } => {
                let flags = match mode {
                    AddWatchMode::Persistent => Flags::DATA_ALWAYS.or(Flags::CHILD_ALWAYS),
                    AddWatchMode::PersistentRecursive => Flags::RECURSIVE,
                };
                self.leave(path.as_bstr(), flags);
            }
            _ => {}
        }
    }

    /// Leaves the watches that a client brings along, and returns the events it has missed instead
    /// (`DataTree.setWatches`), as the tree was after `now`.
    pub(crate) fn set(
        &mut self,
        asked: &Asked,
        model: &Model,
        now: Zxid,
    ) -> Vec<(EventType, BString)> {
        let Asked::SetWatches {
            relative_zxid,
            data,
            exist,
            child,
            persistent,
            recursive,
        } = asked
        else {
            return Vec::new();
        };
        let mut missed = Vec::new();
        for path in data {
            match model.node(path.as_bstr(), now) {
                None => missed.push((EventType::NodeDeleted, path.clone())),
                Some(node) if node.stat.mzxid > *relative_zxid => {
                    missed.push((EventType::NodeDataChanged, path.clone()));
                }
                Some(_) => self.leave(path.as_bstr(), Flags::DATA_ONCE),
            }
        }
        for path in exist {
            match model.node(path.as_bstr(), now) {
                None => self.leave(path.as_bstr(), Flags::DATA_ONCE),
                Some(_) => missed.push((EventType::NodeCreated, path.clone())),
            }
        }
        for path in child {
            match model.node(path.as_bstr(), now) {
                None => missed.push((EventType::NodeDeleted, path.clone())),
                Some(node) if node.stat.pzxid > *relative_zxid => {
                    missed.push((EventType::NodeChildrenChanged, path.clone()));
                }
                Some(_) => self.leave(path.as_bstr(), Flags::CHILD_ONCE),
            }
        }
        for path in persistent {
            let flags = Flags::DATA_ALWAYS.or(Flags::CHILD_ALWAYS);
            self.leave(path.as_bstr(), flags);
        }
        for path in recursive {
            self.leave(path.as_bstr(), Flags::RECURSIVE);
        }
        missed
    }
}

/// What removeWatches takes away.
pub(crate) fn flags_of(kind: WatcherType) -> Flags {
    match kind {
        WatcherType::Children => Flags::CHILD_ONCE,
        WatcherType::Data => Flags::DATA_ONCE,
        WatcherType::Any => Flags::DATA.or(Flags::CHILD),
        WatcherType::Persistent => Flags::DATA_ALWAYS.or(Flags::CHILD_ALWAYS),
        WatcherType::PersistentRecursive => Flags::RECURSIVE,
    }
}
