//! Whether this server should be given clients: a latch that opens when the mirror has caught up.
//!
//! It opens only once the mirror is attached and was level with its leader less than a bound ago, and then stays
//! open: falling behind for a while, or a link that is lost for less than the hold time, sends no client away. It
//! closes when clients are no longer served, and for good when the process is told to stop.
//!
//! UPTODATE alone does not open it. Behind UPTODATE there may be as many transactions as the ensemble has committed
//! while a snapshot travelled; a Java server calls itself ready by then. When the mirror counts as level stands in
//! [`outpost_forward::freshness`].

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The latch.
#[derive(Debug, Default)]
pub struct Readiness {
    open: AtomicBool,
    stopping: AtomicBool,
}

/// What readiness is decided on.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Clients are served.
    pub serving: bool,
    /// The link is up and the mirror follows it.
    pub attached: bool,
    /// The mirror was level with a leader at least once.
    pub was_level: bool,
    /// How long ago that was the last time.
    pub lag: Duration,
    /// How long ago that may be for the latch to open.
    pub lag_max: Duration,
}

/// Why this server is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// The process is about to end.
    Stopping,
    /// Clients are not served: there is no mirror yet, or none that is fresh enough.
    NotServing,
    /// The mirror has not been level with its leader for so long, and not once since clients are served.
    Behind(Duration),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReady::Stopping => f.write_str("the server is shutting down"),
            NotReady::NotServing => f.write_str("not attached to the ensemble"),
            NotReady::Behind(lag) => {
                write!(f, "{} ms behind the leader, catching up", lag.as_millis())
            }
        }
    }
}

impl Readiness {
    /// Moves the latch and says where it stands.
    ///
    /// # Errors
    /// Why it is closed.
    pub fn check(&self, standing: Standing) -> Result<(), NotReady> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(NotReady::Stopping);
        }
        if !standing.serving {
            self.open.store(false, Ordering::Relaxed);
            return Err(NotReady::NotServing);
        }
        if self.open.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !standing.attached || !standing.was_level || standing.lag > standing.lag_max {
            return Err(NotReady::Behind(standing.lag));
        }
        self.open.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the latch is closed for good.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Closes the latch for good.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: Standing = Standing {
        serving: true,
        attached: true,
        was_level: true,
        lag: Duration::ZERO,
        lag_max: Duration::from_secs(2),
    };

    #[test]
    fn p8_readiness_opens_only_once_the_mirror_has_caught_up() {
        let readiness = Readiness::default();
        let away = Standing {
            serving: false,
            attached: false,
            ..LEVEL
        };
        let behind = Standing {
            lag: Duration::from_secs(3),
            ..LEVEL
        };
        assert_eq!(readiness.check(away), Err(NotReady::NotServing));
        assert_eq!(readiness.check(behind), Err(NotReady::Behind(behind.lag)));
        assert_eq!(readiness.check(LEVEL), Ok(()));
        assert_eq!(readiness.check(behind), Ok(()), "it is a latch");
        let held = Standing {
            attached: false,
            ..behind
        };
        assert_eq!(readiness.check(held), Ok(()), "clients are still served");
        assert_eq!(readiness.check(away), Err(NotReady::NotServing));
        assert_eq!(readiness.check(behind), Err(NotReady::Behind(behind.lag)));
    }

    #[test]
    fn p8_a_mirror_that_was_never_level_is_not_ready_however_young_it_is() {
        let readiness = Readiness::default();
        let young = Standing {
            was_level: false,
            lag: Duration::from_millis(10),
            ..LEVEL
        };
        assert_eq!(readiness.check(young), Err(NotReady::Behind(young.lag)));
        assert_eq!(readiness.check(LEVEL), Ok(()));
    }

    #[test]
    fn a_server_that_stops_is_never_ready_again() {
        let readiness = Readiness::default();
        assert_eq!(readiness.check(LEVEL), Ok(()));
        readiness.stop();
        assert_eq!(readiness.check(LEVEL), Err(NotReady::Stopping));
    }
}
