//! Watches that a client brings along from another server or connection: what it has missed meanwhile is
//! told at once, the rest is left again (`DataTree.setWatches`).

use bstr::BStr;
use outpost_wire::Zxid;

use crate::tree::{NodeRef, Tree};
use crate::watches::{WatcherId, Watches};
use outpost_wire::proto::EventType;

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

impl Tree {
    /// Leaves the watches of a client that has seen everything up to `relative_zxid`, and returns the
    /// events that it has missed instead, in the order of its lists. They are filtered by no ACL.
    pub fn set_watches<'a>(
        &self,
        watches: &Watches,
        watcher: WatcherId,
        relative_zxid: Zxid,
        lists: &SetWatches<'_, 'a>,
    ) -> Vec<(EventType, &'a BStr)> {
        let mut missed = Vec::new();
        for &path in lists.data {
            match self.data_event(path, relative_zxid) {
                Some(kind) => missed.push((kind, path)),
                None => watches.leave_data(path, watcher),
            }
        }
        for &path in lists.exist {
            match self.node(path) {
                Some(_) => missed.push((EventType::NodeCreated, path)),
                None => watches.leave_data(path, watcher),
            }
        }
        for &path in lists.child {
            match self.child_event(path, relative_zxid) {
                Some(kind) => missed.push((kind, path)),
                None => watches.leave_child(path, watcher),
            }
        }
        for path in lists.persistent {
            watches.leave_persistent(path, watcher);
        }
        for path in lists.persistent_recursive {
            watches.leave_recursive(path, watcher);
        }
        missed
    }

    fn data_event(&self, path: &BStr, since: Zxid) -> Option<EventType> {
        let changed = |node: &NodeRef<'_>| node.stat().mzxid > since;
        event(self.node(path), changed, EventType::NodeDataChanged)
    }

    fn child_event(&self, path: &BStr, since: Zxid) -> Option<EventType> {
        let changed = |node: &NodeRef<'_>| node.stat().pzxid > since;
        event(self.node(path), changed, EventType::NodeChildrenChanged)
    }
}

fn event(
    node: Option<NodeRef<'_>>,
    changed: impl FnOnce(&NodeRef<'_>) -> bool,
    kind: EventType,
) -> Option<EventType> {
    match node {
        None => Some(EventType::NodeDeleted),
        Some(node) => changed(&node).then_some(kind),
    }
}
