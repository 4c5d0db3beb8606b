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
