//! Which containers and TTL znodes have had their day (`ContainerManager`).

use std::convert::Infallible;

use bstr::{BStr, BString};
use outpost_mirror::Tree;
use outpost_wire::StatPersisted;

use crate::prep::{CONTAINER_OWNER, TTL_MARK, TTL_MAX_MS};

/// Paths of all containers that have lost their last child, and of all childless TTL znodes that were
/// not set for longer than their time. Walks the whole tree.
pub(crate) fn candidates(tree: &Tree, now_ms: i64) -> Vec<BString> {
    let mut paths = Vec::new();
    let walked: Result<(), Infallible> = tree.for_each_node(|path, _, _, stat| {
        if is_over(tree, stat, now_ms) && is_childless(tree, path) {
            paths.push(path.to_owned());
        }
        Ok(())
    });
    let Ok(()) = walked;
    paths
}

/// A container that never had a child is kept: its creator may be about to add one.
fn is_over(tree: &Tree, stat: &StatPersisted, now_ms: i64) -> bool {
    let owner = stat.ephemeral_owner;
    if owner == CONTAINER_OWNER {
        return stat.cversion > 0;
    }
    tree.options().extended_types
        && owner & TTL_MARK == TTL_MARK
        && now_ms - stat.mtime > owner & TTL_MAX_MS
}

fn is_childless(tree: &Tree, path: &BStr) -> bool {
    tree.node(path)
        .is_some_and(|node| node.children().len() == 0)
}
