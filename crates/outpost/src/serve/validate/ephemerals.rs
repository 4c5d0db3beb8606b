//! How many ephemerals one session may have.
//!
//! When a session ends, the leader (3.6 and later) writes the paths of all its ephemerals into one
//! transaction, however long that becomes. Above `jute.maxbuffer` no follower can read it: the quorum
//! is lost, and the leader cannot read its own log any more (ZOOKEEPER-4306).

use outpost_mirror::Tree;
use outpost_wire::{SessionId, Zxid};

/// Bytes of a session's ephemerals in the transaction that would close it now.
pub fn ephemeral_bytes_of(session: SessionId, tree: &Tree) -> usize {
    tree.ephemerals_of(session).map(|path| 4 + path.len()).sum()
}

/// Keeps the ephemerals of one session below what the transaction that closes it can carry.
///
/// Counts what the mirror has seldom, and never less than is there: what was deleted is noticed when
/// there seems to be no room left.
#[derive(Debug, Default)]
pub struct EphemeralBudget {
    /// At most this many bytes are there, apart from those asked for since.
    there: usize,
    /// When `there` was counted, if ever.
    counted_at: Option<Zxid>,
    /// Asked for and not answered.
    pending: usize,
}

impl EphemeralBudget {
    /// Takes `bytes` ([`Checked::ephemeral_bytes`](super::Checked::ephemeral_bytes)) if the session then
    /// stays within `max`. Counts the session's ephemerals at the first call, and again when they seem
    /// to be too many and the tree has changed since.
    #[must_use = "a create that does not fit must be refused"]
    pub fn admit(&mut self, bytes: usize, max: usize, session: SessionId, tree: &Tree) -> bool {
        if bytes == 0 {
            return true;
        }
        if self.counted_at.is_none() || !self.fits(bytes, max) {
            self.count(session, tree);
        }
        let fits = self.fits(bytes, max);
        if fits {
            self.pending += bytes;
        }
        fits
    }

    /// The request for which `bytes` were taken has been answered, one way or the other.
    pub fn settle(&mut self, bytes: usize) {
        let settled = bytes.min(self.pending);
        self.pending -= settled;
        self.there = self.there.saturating_add(settled);
    }

    fn fits(&self, bytes: usize, max: usize) -> bool {
        self.there
            .saturating_add(self.pending)
            .saturating_add(bytes)
            <= max
    }

    fn count(&mut self, session: SessionId, tree: &Tree) {
        let now = tree.last_zxid();
        if self.counted_at != Some(now) {
            self.there = ephemeral_bytes_of(session, tree);
            self.counted_at = Some(now);
        }
    }
}
