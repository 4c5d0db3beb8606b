//! Who holds how much memory: from sizes that are known, so that asking costs little.

use std::sync::atomic::Ordering;

use crate::serve::client::Client;
use crate::serve::service::Service;

/// What one connection takes beside its outbox, in bytes: its task, its entry in two tables, a short read buffer.
const CONNECTION: usize = 4 << 10;

/// Every holder with its bytes, in the order of the manual.
pub(super) fn holders(service: &Service) -> Vec<(&'static str, u64)> {
    let tree = service.mirror.read().memory();
    let watches = service.mirror.read().watches().memory();
    let (mut connections, mut outboxes) = (0, 0);
    for client in service.clients.all() {
        connections += CONNECTION + size_of::<Client>();
        outboxes += client.state().out.capacity() + client.unsent();
    }
    let waiting = service
        .link
        .status()
        .apply_queue_bytes
        .load(Ordering::Relaxed);
    let bytes = |bytes: usize| bytes as u64;
    vec![
        ("tree_znodes", bytes(tree.znodes)),
        ("tree_contents", bytes(tree.contents)),
        ("tree_children", bytes(tree.children)),
        ("tree_index", bytes(tree.index)),
        ("tree_owners", bytes(tree.owners)),
        ("sessions", bytes(tree.sessions)),
        ("watches", bytes(watches)),
        ("connections", bytes(connections)),
        ("outboxes", bytes(outboxes)),
        ("apply_queue", waiting),
    ]
}
