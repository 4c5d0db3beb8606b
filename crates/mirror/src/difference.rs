//! Which watches fire when a whole tree takes the place of another: after a snapshot from the leader, while
//! clients stay connected. They are told what has changed, but not how often, nor in which order it was.

use std::collections::BTreeSet;
use std::convert::Infallible;

use bstr::{BStr, BString, ByteSlice};
use outpost_wire::Zxid;

use crate::applied::WatchEvent;
use crate::tree::{NodeRef, Tree};
use crate::watches::{Fired, Tables, WatcherId, Watches};
use outpost_wire::proto::EventType;

/// Fires every watch that sees a difference between `old` and `new`, each event with `new`'s last zxid.
/// A znode that is another one now is told as deleted and created.
///
/// Takes time in proportion to the watched paths, and where there are recursive watches, to what lies
/// below them in either tree. Call it with the writer's guard, before `new` can be read.
pub fn fire_difference(
    old: &Tree,
    new: &Tree,
    watches: &Watches,
    fire: &mut dyn FnMut(WatcherId, &WatchEvent<'_>),
) {
    let paths = paths_to_compare(old, new, watches);
    let mut difference = Difference {
        watches,
        zxid: new.last_zxid(),
        fire,
    };
    // Children go before their parents and come after them.
    for path in paths.iter().rev().map(|path| path.as_bstr()) {
        if let Some(before) = old.node(path)
            && new.node(path).is_none_or(|after| !is_same(before, after))
        {
            difference.trigger(Tables::Both, EventType::NodeDeleted, path, before);
        }
    }
    for path in paths.iter().map(|path| path.as_bstr()) {
        let Some(after) = new.node(path) else {
            continue;
        };
        match old.node(path).filter(|before| is_same(*before, after)) {
            None => difference.trigger(Tables::Data, EventType::NodeCreated, path, after),
            Some(before) => difference.trigger_changes(path, before, after),
        }
    }
}

struct Difference<'a> {
    watches: &'a Watches,
    zxid: Zxid,
    fire: &'a mut dyn FnMut(WatcherId, &WatchEvent<'_>),
}

impl Difference<'_> {
    fn trigger_changes(&mut self, path: &BStr, before: NodeRef<'_>, after: NodeRef<'_>) {
        let (before, stat) = (before.persisted(), after.persisted());
        if before.mzxid != stat.mzxid {
            self.trigger(Tables::Data, EventType::NodeDataChanged, path, after);
        }
        if before.pzxid != stat.pzxid {
            self.trigger(Tables::Child, EventType::NodeChildrenChanged, path, after);
        }
    }

    fn trigger(&mut self, tables: Tables, kind: EventType, path: &BStr, node: NodeRef<'_>) {
        let mut fired = Fired::new();
        self.watches.trigger(path, tables, &mut fired);
        for watcher in fired {
            (self.fire)(
                watcher,
                &WatchEvent {
                    kind,
                    path,
                    zxid: self.zxid,
                    acl: node.acl(),
                },
            );
        }
    }
}

/// Watched paths, and those below a recursive watch that differ.
fn paths_to_compare(old: &Tree, new: &Tree, watches: &Watches) -> BTreeSet<BString> {
    let mut paths = BTreeSet::new();
    let mut outermost: Option<BString> = None;
    for (path, recursive) in watches.watched_paths() {
        let covered = outermost
            .as_ref()
            .is_some_and(|top| is_below(path.as_bstr(), top.as_bstr()));
        if recursive && !covered {
            collect_differing(new, old, path.as_bstr(), &mut paths);
            collect_differing(old, new, path.as_bstr(), &mut paths);
            outermost = Some(path.clone());
        }
        // A watch on "" never fires: changes of the root are told as "/".
        if !path.is_empty() {
            paths.insert(path);
        }
    }
    paths
}

/// Adds the paths from `top` down that `one` has and the `other` has not, or not as it is.
fn collect_differing(one: &Tree, other: &Tree, top: &BStr, paths: &mut BTreeSet<BString>) {
    let Some(id) = one.find(top) else { return };
    let top = if top == "/" { BStr::new("") } else { top };
    let walked = one.for_each_below(id, top, |path, node| {
        let stat = node.persisted();
        if other
            .node(path)
            .is_none_or(|there| there.persisted() != stat)
            && !path.is_empty()
        {
            paths.insert(path.to_owned());
        }
        Ok::<(), Infallible>(())
    });
    match walked {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

fn is_same(before: NodeRef<'_>, after: NodeRef<'_>) -> bool {
    before.persisted().czxid == after.persisted().czxid
}

fn is_below(path: &BStr, top: &BStr) -> bool {
    top == "/"
        || path
            .strip_prefix(top.as_bytes())
            .is_some_and(|rest| rest.starts_with(b"/"))
}
