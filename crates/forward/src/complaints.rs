//! What is said of a candidate that is asked in vain: nothing in the seconds that an election takes, then why, and
//! again when that changes or a minute has passed.

use std::time::{Duration, Instant};

use crate::candidates::Candidate;
use crate::lost::Lost;

/// An election takes no longer, mostly.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same reason is given again after this time.
const SAME: Duration = Duration::from_secs(60);
/// Reasons may alternate; this is between two of them.
const OTHER: Duration = Duration::from_secs(10);

/// What was said of one candidate since it is asked.
#[derive(Debug)]
pub(crate) struct Complaints {
    began: Instant,
    said: Option<(String, Instant)>,
}

impl Complaints {
    pub(crate) fn new(began: Instant) -> Complaints {
        Complaints { began, said: None }
    }

    /// An attempt was in vain.
    pub(crate) fn complain(&mut self, candidate: &Candidate, lost: &Lost, now: Instant) {
        let text = lost.to_string();
        if self.passes(&text, now) {
            let for_s = now.saturating_duration_since(self.began).as_secs();
            tracing::warn!(%candidate, reason = text, for_s, "no learner master here");
        } else {
            tracing::debug!(%candidate, reason = text, "no learner master here");
        }
    }

    fn passes(&mut self, text: &str, now: Instant) -> bool {
        let since = |then: Instant| now.saturating_duration_since(then);
        let passes = match &self.said {
            None => since(self.began) >= PATIENCE,
            Some((said, when)) if said == text => since(*when) >= SAME,
            Some((_, when)) => since(*when) >= OTHER,
        };
        if passes {
            self.said = Some((text.to_owned(), now));
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_is_passed_over_in_silence_and_a_longer_search_says_why_now_and_then() {
        let began = Instant::now();
        let mut complaints = Complaints::new(began);
        let mut said_at = Vec::new();
        for ms in (0..200_000).step_by(500) {
            // Another reason from the hundredth second on; two that alternate from the 150th on.
            let reason = match ms {
                0..100_000 => "refused",
                100_000..150_000 => "silent",
                _ if ms % 1000 == 0 => "refused",
                _ => "silent",
            };
            if complaints.passes(reason, began + Duration::from_millis(ms)) {
                said_at.push(ms);
            }
        }
        assert_eq!(
            said_at,
            [
                5_000, 65_000, 100_000, 150_000, 160_500, 171_000, 181_500, 192_000
            ]
        );
    }
}
