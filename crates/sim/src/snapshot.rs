//! The stream that follows SNAP.

use std::convert::Infallible;

use outpost_mirror::Tree;
use outpost_wire::files::SnapshotEncoder;

/// The whole tree as a learner reads it behind SNAP.
pub(crate) fn stream_of(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = SnapshotEncoder::new(&mut bytes);
    encoder.sessions(
        tree.sessions()
            .iter()
            .map(|(&id, &timeout_ms)| (id, timeout_ms)),
    );
    let acls: Vec<_> = tree.acls().collect();
    encoder.acls(acls.into_iter());
    let walked: Result<(), Infallible> = tree.for_each_node(|path, data, acl_id, stat| {
        encoder.node(path, data, acl_id, stat);
        Ok(())
    });
    let Ok(()) = walked;
    encoder.end();
    bytes
}
