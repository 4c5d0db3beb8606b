//! How many ensembles run at once: JVMs that starve each other make every deadline a guess.

use std::sync::{Condvar, Mutex, PoisonError};

/// Ensembles that are running in this process.
static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The right to run one ensemble; given back when dropped.
///
/// A test that holds one and waits for a second may wait for ever: one ensemble at a time and test.
#[derive(Debug)]
pub(crate) struct Permit(());

impl Permit {
    /// Waits until fewer ensembles run than the machine has cores, but lets two run on any machine.
    pub(crate) fn acquire() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = ENDED
            .wait_while(running, |running| *running >= cores.max(2))
            .unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        Self(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}
