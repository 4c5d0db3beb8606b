//! How long to wait before trying again.

use std::time::Duration;

/// Delays that grow by a quarter from `first` to `longest`, each shortened by a random part of up to
/// half, so that a thousand observers that lost the same leader do not come back at the same moment.
///
/// By a quarter and not to the double: most links are lost to an election, which takes from a few hundred
/// milliseconds to a few seconds, and the region waits for as long as the delay in which it ends.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts with `first`.
    pub fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff {
            first,
            longest,
            next: first,
        }
    }

    /// How long to wait now; the next wait is longer.
    pub fn delay(&mut self) -> Duration {
        self.delay_up_to(self.longest)
    }

    /// The same, but no longer than `longest`, to which the waits then grow.
    pub fn delay_up_to(&mut self, longest: Duration) -> Duration {
        let full = self.next.min(longest);
        self.next = (full * 5 / 4).min(self.longest);
        full.mul_f64(1.0 - fastrand::f64() / 2.0)
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_by_a_quarter_up_to_the_longest_and_keep_at_least_half() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(150));
        for full_ms in [100, 125, 150, 150] {
            let delay = backoff.delay();
            assert!(delay <= Duration::from_millis(full_ms), "{delay:?}");
            assert!(delay >= Duration::from_millis(full_ms / 2), "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.delay() <= Duration::from_millis(100));
    }
}
