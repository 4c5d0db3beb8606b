//! Waiting for a fact, with a deadline. No test sleeps and hopes: it asks until the fact holds.

use std::time::{Duration, Instant};

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(25);

/// Asks `question` until it answers, and returns the answer.
///
/// # Panics
/// After `limit` without an answer, with `what` in the message.
pub fn until<T>(what: &str, limit: Duration, question: impl FnMut() -> Option<T>) -> T {
    within(limit, question).unwrap_or_else(|| panic!("waited {limit:?} in vain for: {what}"))
}

/// Asks `question` until it answers, for at most `limit`.
pub fn within<T>(limit: Duration, mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let answer = question();
        if answer.is_some() || start.elapsed() >= limit {
            return answer;
        }
        std::thread::sleep(PAUSE);
    }
}
