//! Whether the process works: whether every one of its threads moves.
//!
//! One truth for all who would restart the process if it does not: `/live`, and systemd's watchdog. Being without
//! an ensemble is no reason: a new process would have none either.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outpost_forward::{Link, Pulse};

/// How long a thread may go without moving. Comparing a mirror of tens of millions of znodes with a new snapshot is
/// one step of the apply thread, and takes seconds; what takes longer than this does not end.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The threads that must move. The main thread is the one that asks.
#[derive(Debug)]
pub struct Liveness {
    workers: Vec<Arc<Pulse>>,
}

/// A thread that does not move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Its name.
    pub thread: String,
    /// For how long.
    pub silent: Duration,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.silent.as_secs();
        write!(
            f,
            "the thread {} has not moved for {seconds} s",
            self.thread
        )
    }
}

impl Liveness {
    /// For so many workers.
    pub fn new(workers: usize) -> Liveness {
        Liveness {
            workers: (0..workers).map(|_| Arc::default()).collect(),
        }
    }

    /// Where a worker shows that it moves.
    pub fn worker(&self, index: usize) -> Arc<Pulse> {
        Arc::clone(&self.workers[index])
    }

    /// Whether everything moves.
    ///
    /// # Errors
    /// The thread that has not moved for longest, where that is too long.
    pub fn check(&self, link: &Link, now: Instant) -> Result<(), Stuck> {
        let of_link = link.pulses().into_iter();
        let of_link = of_link.map(|(name, pulse)| (name.to_owned(), pulse.silent_for(now)));
        let of_workers = self.workers.iter().enumerate();
        let of_workers =
            of_workers.map(|(i, pulse)| (format!("worker-{i}"), pulse.silent_for(now)));
        let longest = of_link.chain(of_workers).max_by_key(|(_, silent)| *silent);
        match longest {
            Some((thread, silent)) if silent > SILENCE_MAX => Err(Stuck { thread, silent }),
            _ => Ok(()),
        }
    }
}
