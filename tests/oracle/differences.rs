//! The differences that are meant: each has its reason under its name in `docs/differences.md`.
//!
//! A listed difference that a script no longer shows fails that script.

use std::collections::BTreeSet;

use crate::compare::Hunk;

/// One place of one script where Outpost answers otherwise.
pub(crate) struct Difference {
    /// Its heading in `docs/differences.md`.
    pub(crate) name: &'static str,
    /// The script that shows it.
    pub(crate) script: &'static str,
    /// What Java says there.
    pub(crate) java: &'static [&'static str],
    /// What Outpost says there.
    pub(crate) outpost: &'static [&'static str],
}

impl Difference {
    /// Whether this is what `hunk` shows.
    pub(crate) fn is(&self, hunk: &Hunk<'_>) -> bool {
        hunk.java.iter().eq(self.java.iter()) && hunk.outpost.iter().eq(self.outpost.iter())
    }
}

/// All of them.
pub(crate) const ALL: &[Difference] = &[];

/// Those of one script.
pub(crate) fn of(script: &str) -> Vec<&'static Difference> {
    ALL.iter()
        .filter(|difference| difference.script == script)
        .collect()
}

/// Whether every difference has its heading in the document, and every heading a difference.
pub(crate) fn agree_with_the_document() -> Result<(), String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/differences.md");
    let document = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let headings: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let names: BTreeSet<&str> = ALL.iter().map(|difference| difference.name).collect();
    let odd: Vec<_> = headings.symmetric_difference(&names).collect();
    match odd.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "only in the document, or only in the oracle: {odd:#?}"
        )),
    }
}
