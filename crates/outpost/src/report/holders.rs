//! Who holds how much memory: from sizes that are known, so that asking costs little.

use std::sync::atomic::Ordering;

use crate::logs;
use crate::serve::client::Client;
use crate::serve::service::Service;

/// What one connection takes beside its buffers, in bytes: its task with its socket, its entries in tables. Measured
/// with thousands of idle ones.
const CONNECTION: usize = 1 << 10;
/// What TLS takes for one connection beside that, in bytes: keys, state and buffers. Measured likewise.
const TLS: usize = 8 << 10;

/// Every holder with its bytes, in the order of the manual.
pub(super) fn holders(service: &Service) -> Vec<(&'static str, u64)> {
    let tree = service.mirror.read().memory();
    let watches = service.mirror.read().watches().memory();
    let (mut connections, mut outboxes, mut inputs, mut tls) = (0, 0, 0, 0);
    let mut requests = 0;
    for client in service.clients.all() {
        connections += CONNECTION + size_of::<Client>();
        inputs += client.input();
        tls += usize::from(client.is_over_tls()) * TLS;
        let state = client.state();
        requests += state.pipeline.memory();
        outboxes += state.out.capacity() + client.unsent();
    }
    let greeted = service.stats.handshakes.outstanding.load(Ordering::Relaxed);
    tls += usize::try_from(greeted).unwrap_or(0) * TLS;
    let status = service.link.status();
    let arriving = status
        .arriving()
        .map_or(0, |arriving| arriving.received.memory);
    let audit = service.audit.as_ref().map_or(0, |audit| audit.memory());
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
        ("input_buffers", bytes(inputs)),
        (
            "requests",
            bytes(requests) + status.waiting_bytes.load(Ordering::Relaxed),
        ),
        ("outboxes", bytes(outboxes)),
        ("tls", bytes(tls)),
        ("link_buffers", status.buffers.load(Ordering::Relaxed)),
        (
            "apply_queue",
            status.apply_queue_bytes.load(Ordering::Relaxed),
        ),
        ("tree_arriving", arriving),
        ("log_lines", bytes(logs::memory() + audit)),
    ]
}
