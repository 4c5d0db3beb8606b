//! What never reaches a leader, because it would not survive it: sent to Outpost alone.

use crate::script::Script;

pub(crate) const SCRIPTS: &[Script] = &[];
