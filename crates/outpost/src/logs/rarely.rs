//! Lines that a peer can cause as often as it likes: one in a while is written, and tells how many were held back.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long no second line of a kind is written.
const QUIET: Duration = Duration::from_secs(10);

/// Lets one line of its kind through in ten seconds.
#[derive(Debug, Default)]
pub struct Rarely(Mutex<Lately>);

#[derive(Debug, Default)]
struct Lately {
    written: Option<Instant>,
    held_back: u64,
}

impl Rarely {
    /// How many lines were held back since the last one that was written, if one is to be written now; `None` holds
    /// this one back.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        let mut lately = self.0.lock();
        let quiet = lately
            .written
            .is_some_and(|written| now.saturating_duration_since(written) < QUIET);
        if quiet {
            lately.held_back += 1;
            return None;
        }
        lately.written = Some(now);
        Some(std::mem::take(&mut lately.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_is_written_and_tells_of_those_held_back() {
        let (lines, start) = (Rarely::default(), Instant::now());
        let pass = |ms| lines.pass(start + Duration::from_millis(ms));
        assert_eq!(pass(0), Some(0));
        assert_eq!((pass(1), pass(9_999)), (None, None));
        assert_eq!(pass(10_000), Some(2));
        assert_eq!(pass(10_001), None);
        assert_eq!(pass(60_000), Some(1));
        assert_eq!(pass(120_000), Some(0));
    }
}
