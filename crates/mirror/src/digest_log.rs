//! The tree's digest at earlier transactions, so that servers can be compared that are never at the same
//! transaction when they are asked.

use std::collections::VecDeque;

use outpost_wire::Zxid;

/// Zxids are kept that are divisible by this, as every ZooKeeper server does: lists of two servers have the same.
const INTERVAL: i64 = 128;
/// Digests kept; the oldest go.
const DIGESTS_MAX: usize = 1024;

/// The digests since the tree was loaded, oldest first.
#[derive(Debug, Default)]
pub(crate) struct DigestLog(VecDeque<(Zxid, u64)>);

impl DigestLog {
    /// The tree has `digest` now that `zxid` is applied.
    pub(crate) fn note(&mut self, zxid: Zxid, digest: u64) {
        if zxid.0 % INTERVAL != 0 {
            return;
        }
        if self.0.len() == DIGESTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((zxid, digest));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Zxid, u64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_128th_digest_is_kept_and_no_more_than_1024_of_them() {
        let mut log = DigestLog::default();
        for zxid in 1..=128 * 1030 {
            log.note(Zxid(zxid), zxid as u64 + 1);
        }
        assert_eq!(log.iter().count(), 1024);
        assert_eq!(log.iter().next(), Some((Zxid(128 * 7), 128 * 7 + 1)));
        assert_eq!(log.iter().last(), Some((Zxid(128 * 1030), 128 * 1030 + 1)));
    }
}
