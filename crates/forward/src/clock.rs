//! The one place where time is asked for.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, by the clock of the runtime that asks: a test that stops that clock stops all of Outpost with it. Outside
/// of a runtime it is the system's.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time of day, in ms since 1970: to be held against what a leader writes into its transactions.
pub(crate) fn wall_clock_ms() -> i64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
