//! The one place where time is asked for.

use std::time::Instant;

/// Now, by the clock of the runtime that asks: a test that stops that clock stops all of Outpost with it. Outside
/// of a runtime it is the system's.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
