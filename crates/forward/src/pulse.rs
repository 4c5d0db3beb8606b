//! Whether a thread still moves: it says so itself, again and again, and anybody can ask when it last did.
//!
//! Says nothing about whether what the thread does is of use. What follows from silence is for others to say.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// How often a thread with a runtime shows that it moves.
pub const BEAT: Duration = Duration::from_secs(1);

/// A thread that rests has nothing to do, and is not expected to move.
const RESTING: u64 = 0;

/// When a thread last moved.
#[derive(Debug)]
pub struct Pulse {
    origin: Instant,
    /// Milliseconds since `origin`, from 1 on, or [`RESTING`].
    last: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse {
            origin: clock::now(),
            last: AtomicU64::new(RESTING),
        }
    }
}

impl Pulse {
    /// The thread moves.
    pub fn beat(&self) {
        let elapsed = clock::now().saturating_duration_since(self.origin);
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis.max(RESTING + 1), Ordering::Relaxed);
    }

    /// The thread has nothing to do until it beats again.
    pub fn rest(&self) {
        self.last.store(RESTING, Ordering::Relaxed);
    }

    /// Does what a thread's life consists of, and beats as long as the thread's runtime gets to it.
    pub async fn beating<F: Future>(&self, life: F) -> F::Output {
        let mut life = pin!(life);
        let output = loop {
            self.beat();
            tokio::select! {
                output = &mut life => break output,
                () = tokio::time::sleep(BEAT) => {}
            }
        };
        self.rest();
        output
    }

    /// When the thread last moved; `None` while it rests.
    pub fn last(&self) -> Option<Instant> {
        match self.last.load(Ordering::Relaxed) {
            RESTING => None,
            millis => Some(self.origin + Duration::from_millis(millis)),
        }
    }

    /// How long the thread has not moved; nothing while it rests.
    pub fn silent_for(&self, now: Instant) -> Duration {
        self.last()
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_rests_is_not_silent() {
        let pulse = Pulse::default();
        let later = clock::now() + 100 * SECOND;
        assert_eq!(pulse.silent_for(later), Duration::ZERO);
        pulse.beat();
        assert!(pulse.silent_for(later) > 90 * SECOND);
        pulse.rest();
        assert_eq!(pulse.silent_for(later), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_life_that_waits_lets_its_thread_beat_and_rests_when_it_is_over() {
        let pulse = Pulse::default();
        let lived = pulse.beating(async {
            let first = pulse.last();
            while pulse.last() == first {
                tokio::time::sleep(BEAT / 100).await;
            }
            first
        });
        assert_ne!(lived.await, None);
        assert_eq!(pulse.last(), None);
    }
}
