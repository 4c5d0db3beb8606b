//! What is logged, changed while the process runs.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload::Handle;

use super::filter::Filter;

/// What is logged at present, and what was configured.
pub struct Levels {
    configured: Filter,
    handle: Handle<Targets, Registry>,
    present: Mutex<Present>,
}

struct Present {
    filter: Filter,
    /// Counts changes, so that a change is only taken back if it is still the last one.
    change: u64,
    until: Option<Instant>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("the log has ended")]
pub struct NotChanged;

impl Levels {
    pub(super) fn new(configured: Filter, handle: Handle<Targets, Registry>) -> Levels {
        Levels {
            present: Mutex::new(Present {
                filter: configured.clone(),
                change: 0,
                until: None,
            }),
            configured,
            handle,
        }
    }

    /// What the process was started with.
    pub fn configured(&self) -> &Filter {
        &self.configured
    }

    /// What is logged now, and for how long still, if that has an end.
    pub fn present(&self) -> (Filter, Option<Duration>) {
        let present = self.present.lock();
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        (present.filter.clone(), present.until.map(left))
    }

    /// Logs as `filter` says from now on; without one as it was configured. The result is the number of this change,
    /// for [`Levels::take_back`].
    ///
    /// # Errors
    /// When nothing is logged any more.
    pub fn change(
        &self,
        filter: Option<&Filter>,
        lasts: Option<Duration>,
    ) -> Result<u64, NotChanged> {
        let filter = filter.unwrap_or(&self.configured);
        let mut present = self.present.lock();
        self.put(&mut present, filter)?;
        present.until = lasts.map(|lasts| Instant::now() + lasts);
        Ok(present.change)
    }

    /// The time of a change is over. Does nothing if there was another one since.
    ///
    /// # Errors
    /// When nothing is logged any more.
    pub fn take_back(&self, change: u64) -> Result<(), NotChanged> {
        let mut present = self.present.lock();
        if present.change != change {
            return Ok(());
        }
        present.until = None;
        self.put(&mut present, &self.configured)
    }

    fn put(&self, present: &mut Present, filter: &Filter) -> Result<(), NotChanged> {
        // Said while the louder of the two holds, so that it is seen.
        let (before, after) = (present.filter.to_string(), filter.to_string());
        tracing::warn!(before, after, "what is logged changes");
        self.handle
            .reload(filter.targets())
            .map_err(|_| NotChanged)?;
        tracing::warn!(before, after, "what is logged has changed");
        present.filter = filter.clone();
        present.change += 1;
        Ok(())
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Levels").finish_non_exhaustive()
    }
}
