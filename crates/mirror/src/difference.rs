//! Which watches fire when a whole tree takes the place of another.

use crate::apply::WatchEvent;
use crate::tree::Tree;
use crate::watches::{WatcherId, Watches};

/// Fires every watch that sees a difference between `old` and `new`.
pub fn fire_difference(
    old: &Tree,
    new: &Tree,
    watches: &Watches,
    fire: &mut dyn FnMut(WatcherId, &WatchEvent<'_>),
) {
    let _ = (old, new, watches, fire);
}
