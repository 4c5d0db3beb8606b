//! Waiting for a fact, with a deadline. No test sleeps and hopes: it asks until the fact holds.

use std::time::{Duration, Instant};

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(25);

/// Asks `question` until it answers, and returns the answer.
///
/// # Panics
/// After `limit` without an answer, with `what` in the message.
pub fn until<T>(what: &str, limit: Duration, mut question: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(
            start.elapsed() < limit,
            "waited {limit:?} in vain for: {what}"
        );
        std::thread::sleep(PAUSE);
    }
}
