//! The scripts, by subject. Each is named after what would be false if it failed.

mod identity;
mod malformed;
mod multi;
mod order;
mod random;
mod reads;
mod refused;
mod sessions;
mod watches;
mod writes;

use crate::script::Script;

/// Those in which it matters what a session is.
pub(crate) fn about_sessions() -> Vec<Script> {
    let subjects = [
        sessions::SCRIPTS,
        identity::SCRIPTS,
        order::SCRIPTS,
        writes::SCRIPTS,
        multi::SCRIPTS,
    ];
    subjects.into_iter().flatten().copied().collect()
}

/// All scripts.
pub(crate) fn all() -> Vec<Script> {
    [
        reads::SCRIPTS,
        writes::SCRIPTS,
        multi::SCRIPTS,
        watches::SCRIPTS,
        sessions::SCRIPTS,
        identity::SCRIPTS,
        order::SCRIPTS,
        random::SCRIPTS,
        malformed::SCRIPTS,
        refused::SCRIPTS,
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect()
}
