//! How far a snapshot has come, and when that is worth a line in the log.
//!
//! Holds no clock and writes no line. ZooKeeper's protocol does not say how long a snapshot is going to be; where a
//! tree is served already, its length is a good guess.

use std::time::{Duration, Instant};

use outpost_mirror::Tree;
use outpost_wire::Zxid;
use outpost_wire::files::{SNAPSHOT_NODE_BYTES, SNAPSHOT_SESSION_BYTES};

/// How often a snapshot that takes longer is told of.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What has come of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// Bytes.
    pub bytes: u64,
    /// Znodes.
    pub znodes: u64,
    /// Bytes of memory that the tree made of them takes.
    pub memory: u64,
    /// All of it is here.
    pub whole: bool,
}

/// A snapshot that is arriving, or has arrived and is being brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arriving {
    /// What has come of it.
    pub received: Received,
    /// How many bytes a snapshot of the tree that is served now would have, where one is.
    pub bytes_expected: Option<u64>,
    /// Since when it arrives.
    pub since: Instant,
}

/// What is to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) received: Received,
    /// For how long it has been arriving.
    pub(crate) after: Duration,
    /// In the time since it was last told of, or over the whole time once it is whole.
    pub(crate) bytes_per_second: u64,
}

/// Follows one synchronisation.
#[derive(Debug)]
pub(crate) struct Progress {
    bytes_expected: Option<u64>,
    arriving: Option<Arriving>,
    /// When it was last told of, and how many bytes there were then.
    told: Option<(Instant, u64)>,
}

impl Progress {
    /// Before anything has come. `served`: the tree as it is.
    pub(crate) fn new(served: &Tree) -> Progress {
        Progress {
            bytes_expected: snapshot_bytes(served),
            arriving: None,
            told: None,
        }
    }

    /// What is to be shown.
    pub(crate) fn arriving(&self) -> Option<Arriving> {
        self.arriving
    }

    /// When to call [`Progress::note`] although nothing has come.
    pub(crate) fn due(&self) -> Option<Instant> {
        let arriving = self.arriving.filter(|arriving| !arriving.received.whole)?;
        let (told, _) = self.told.unwrap_or((arriving.since, 0));
        Some(told + TOLD_EVERY)
    }

    /// What there is of a snapshot now. Says when that is to be logged.
    pub(crate) fn note(&mut self, now: Instant, received: Option<Received>) -> Option<Told> {
        let Some(received) = received else {
            self.arriving = None;
            return None;
        };
        let was_whole = self.arriving.is_some_and(|before| before.received.whole);
        let arriving = self.arriving.get_or_insert(Arriving {
            received,
            bytes_expected: self.bytes_expected,
            since: now,
        });
        arriving.received = received;
        let since = arriving.since;
        let (told, bytes) = match received.whole {
            true if was_whole => return None,
            true => (since, 0),
            false => self.told.unwrap_or((since, 0)),
        };
        let passed = now.saturating_duration_since(told);
        if !received.whole {
            if passed < TOLD_EVERY {
                return None;
            }
            self.told = Some((now, received.bytes));
        }
        Some(Told {
            received,
            after: now.saturating_duration_since(since),
            bytes_per_second: rate(received.bytes - bytes, passed),
        })
    }
}

/// About how many bytes a snapshot of `tree` has; `None` where it is not an ensemble's yet.
fn snapshot_bytes(tree: &Tree) -> Option<u64> {
    if tree.last_zxid() == Zxid::ZERO {
        return None;
    }
    // The root is counted twice.
    let znodes = tree.node_count().saturating_sub(1) * SNAPSHOT_NODE_BYTES;
    let sessions = tree.sessions().len() * SNAPSHOT_SESSION_BYTES;
    Some(tree.approximate_data_size() + (znodes + sessions) as u64)
}

fn rate(bytes: u64, time: Duration) -> u64 {
    // What took no time at all is said to have taken a millisecond.
    let ms = time.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / ms).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outpost_mirror::TreeBuilder;
    use outpost_wire::files::SnapshotEncoder;
    use outpost_wire::{SessionId, StatPersisted};

    fn received(bytes: u64) -> Option<Received> {
        Some(Received {
            bytes,
            znodes: bytes / 100,
            ..Received::default()
        })
    }

    fn whole(bytes: u64) -> Option<Received> {
        let received = received(bytes)?;
        Some(Received {
            whole: true,
            ..received
        })
    }

    fn told(bytes: u64, seconds: u64, bytes_per_second: u64) -> Option<Told> {
        Some(Told {
            received: received(bytes)?,
            after: Duration::from_secs(seconds),
            bytes_per_second,
        })
    }

    #[test]
    fn a_snapshot_is_told_of_every_ten_seconds_with_the_rate_since_the_last_time_and_once_at_its_end()
     {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut progress = Progress::new(&Tree::new());
        assert_eq!(progress.note(at(0), None), None);
        assert_eq!(progress.due(), None);
        assert_eq!(progress.note(at(1), received(0)), None);
        assert_eq!(progress.due(), Some(at(11)));
        assert_eq!(progress.note(at(10), received(5_000)), None);
        let first = progress.note(at(11), received(10_000));
        assert_eq!(first, told(10_000, 10, 1_000));
        for second in 12..21 {
            assert_eq!(progress.note(at(second), received(20_000)), None);
        }
        // Nothing comes any more: that is worth a line too.
        assert_eq!(progress.due(), Some(at(21)));
        let second = progress.note(at(21), received(30_000));
        assert_eq!(second, told(30_000, 20, 2_000));
        let third = progress.note(at(31), received(30_000));
        assert_eq!(third, told(30_000, 30, 0));
        let last = progress
            .note(at(33), whole(64_000))
            .map(|told| (told.after, told.bytes_per_second));
        assert_eq!(last, Some((Duration::from_secs(32), 2_000)));
        assert_eq!(progress.due(), None);
        assert_eq!(progress.note(at(60), whole(64_000)), None);
        assert!(
            progress
                .arriving()
                .is_some_and(|arriving| arriving.since == at(1))
        );
        assert_eq!(progress.note(at(61), None), None);
        assert_eq!(progress.arriving(), None);
    }

    #[test]
    fn a_short_snapshot_is_told_of_once_when_it_is_whole() {
        let start = Instant::now();
        let mut progress = Progress::new(&Tree::new());
        assert_eq!(progress.note(start, received(100)), None);
        let told = progress.note(start, whole(500));
        assert_eq!(told.map(|told| told.bytes_per_second), Some(500_000));
    }

    #[test]
    fn what_is_expected_is_the_length_of_a_snapshot_of_the_tree_that_is_served() {
        assert_eq!(Progress::new(&Tree::new()).bytes_expected, None);
        let mut builder = TreeBuilder::new(Zxid(5));
        builder.session(SessionId(7), 4000);
        let stat = StatPersisted::default();
        for (path, data) in [("", ""), ("/a", "0123456789"), ("/a/b", "")] {
            builder
                .node(path.into(), Some(data.as_bytes()), -1, stat)
                .unwrap();
        }
        let tree = builder.finish();
        let mut bytes = Vec::new();
        let mut encoder = SnapshotEncoder::new(&mut bytes);
        encoder.sessions(tree.sessions().iter().map(|(id, ms)| (*id, *ms)));
        encoder.acls(std::iter::empty());
        tree.for_each_node::<()>(|path, data, acl, stat| {
            encoder.node(path, data, acl, stat);
            Ok(())
        })
        .unwrap();
        encoder.end();
        let expected = Progress::new(&tree).bytes_expected.unwrap();
        // The counts of sessions and ACLs, and the end; the tree counts a path of one sign for the root.
        assert_eq!(bytes.len() as u64 - expected, 4 + 4 + 5 + 14 - 1);
    }
}
