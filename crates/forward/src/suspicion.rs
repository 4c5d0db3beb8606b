//! When a differing digest means that the mirror has to be fetched anew (P1).
//!
//! A leader can send a digest that fits no tree: while it prepares a transaction it reckons with changes
//! that come out otherwise when they are applied (a `create2` with the flag of a container, for one). Any
//! client can make it do so. The transactions after it then carry digests that fit again, which proves the
//! mirror right; fetching everything at the first difference would let that client make every observer
//! load a snapshot. So a difference is counted and watched, and the mirror is given up when no digest has
//! fitted for a while.

use std::time::{Duration, Instant};

/// How long a difference may last before the mirror is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often, at most, the mirror is fetched anew: where that does not help, doing it again does not.
const HEAL_INTERVAL: Duration = Duration::from_secs(60);

/// What the last digests have shown.
#[derive(Debug, Default)]
pub(crate) struct Suspicion {
    differs_since: Option<Instant>,
    healed: Option<Instant>,
}

impl Suspicion {
    /// A digest has fitted: the tree is the leader's. Returns whether it had differed before.
    pub(crate) fn matches(&mut self) -> bool {
        self.differs_since.take().is_some()
    }

    /// A digest has not fitted. Returns whether it is the first one.
    pub(crate) fn differs(&mut self, now: Instant) -> bool {
        let first = self.differs_since.is_none();
        self.differs_since.get_or_insert(now);
        first
    }

    /// Whether the mirror is to be given up now. True once for each time it is to be done.
    pub(crate) fn must_heal(&mut self, now: Instant) -> bool {
        let lasts = self
            .differs_since
            .is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE);
        let recently = self
            .healed
            .is_some_and(|healed| now.saturating_duration_since(healed) < HEAL_INTERVAL);
        if !lasts || recently {
            return false;
        }
        self.healed = Some(now);
        self.differs_since = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_a_difference_that_lasts_heals_the_mirror_and_one_that_passes_does_not() {
        let start = Instant::now();
        let mut suspicion = Suspicion::default();
        assert!(suspicion.differs(start));
        assert!(!suspicion.must_heal(start + PATIENCE / 2));
        assert!(suspicion.matches());
        assert!(!suspicion.must_heal(start + PATIENCE));

        assert!(suspicion.differs(start + PATIENCE));
        assert!(
            !suspicion.differs(start + PATIENCE + PATIENCE / 2),
            "not the first"
        );
        assert!(suspicion.must_heal(start + PATIENCE * 2));
    }

    #[test]
    fn a_difference_that_a_snapshot_does_not_cure_does_not_fetch_one_after_the_other() {
        let start = Instant::now();
        let mut suspicion = Suspicion::default();
        suspicion.differs(start);
        assert!(suspicion.must_heal(start + PATIENCE));
        suspicion.differs(start + PATIENCE);
        assert!(!suspicion.must_heal(start + PATIENCE * 3));
        assert!(suspicion.must_heal(start + PATIENCE + HEAL_INTERVAL));
    }
}
