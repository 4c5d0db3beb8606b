//! Outpost's own keys.

use super::{Key, honoured};

/// The keys of this group.
pub(super) const KEYS: &[Key] = &[
    // Outpost's own.
    honoured("outpost.workers"),
    honoured("outpost.handshakeThreads"),
    honoured("outpost.hold"),
    honoured("outpost.linkTimeout"),
    honoured("outpost.outboxBytes"),
    honoured("outpost.outboxBytesTotal"),
    honoured("outpost.replyBytes"),
    honoured("outpost.watchesPerSession"),
    honoured("outpost.watches"),
    honoured("outpost.maxWritesInFlight"),
    honoured("outpost.drainTimeout"),
    honoured("outpost.metricsNames"),
    honoured("outpost.auditFile"),
];
