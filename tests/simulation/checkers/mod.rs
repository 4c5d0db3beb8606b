//! What a recorded history has to show for each promise to have been kept in it.
//!
//! Checkers are plain functions over a finished history: they see no system under test, ask nothing and wait for
//! nothing. Each takes time in proportion to the history, so that thousands of runs a minute can be judged. One
//! file for each promise says what exactly is demanded and why that is the promise; what they share is the history
//! sorted by who took part in it (`transcript.rs`) and the tree that the ensemble committed (`model.rs`).
//!
//! Each rule has a test that a history that keeps it passes and that the same history with one thing bent does
//! not (`specimen.rs` writes such histories).

#[cfg(test)]
mod against_mirror;
mod difference;
mod model;
mod p1_prefix;
mod p2_session_order;
mod p3_watches;
mod p4_time;
mod p5_answers;
mod p6_bounded;
mod p7_leases;
mod p8_staleness;
mod p9_harmless;
#[cfg(test)]
mod specimen;
mod transcript;
mod watcher;

use crate::history::Record;
pub(crate) use transcript::{Settings, Violation};
use transcript::{Transcript, Verdict};

/// A checker of one promise.
type Checker = fn(&Transcript<'_>) -> Verdict;

/// In the order in which they are asked: the first ones say most clearly what went wrong.
const CHECKERS: [Checker; 9] = [
    p2_session_order::check,
    p4_time::check,
    p1_prefix::check,
    p3_watches::check,
    p5_answers::check,
    p6_bounded::check,
    p7_leases::check,
    p8_staleness::check,
    p9_harmless::check,
];

/// Every promise held in this history.
///
/// # Errors
/// The first promise found broken, and the records that show it.
pub(crate) fn check(records: &[Record], settings: Settings) -> Result<(), Violation> {
    let transcript = Transcript::read(records, settings)?;
    CHECKERS.iter().try_for_each(|checker| checker(&transcript))
}

/// The first violation of each promise that is broken.
pub(crate) fn check_all(records: &[Record], settings: Settings) -> Vec<Violation> {
    match Transcript::read(records, settings) {
        Err(violation) => vec![violation],
        Ok(transcript) => CHECKERS
            .iter()
            .filter_map(|checker| checker(&transcript).err())
            .collect(),
    }
}
