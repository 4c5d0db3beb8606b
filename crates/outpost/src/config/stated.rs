//! What somebody has set, and where: for an operator who wonders where a value comes from.

use super::findings::Place;
use super::keys::{self, Verdict};
use super::settings::{Setting, Settings};

/// One setting that counts: a later line or a variable has not taken its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// The key, in the form in which `docs/operating.md` has it.
    pub key: String,
    /// The value; `(hidden)` where it may be a secret.
    pub value: String,
    /// Where it stands.
    pub place: Place,
    /// Whether it changes anything here.
    pub honoured: bool,
}

impl Settings {
    /// All of them, in the order of their keys.
    pub(super) fn stated(&self) -> Vec<Stated> {
        self.all().map(stated).collect()
    }
}

fn stated(setting: &Setting) -> Stated {
    let honoured = keys::find(&setting.key).is_some_and(|key| key.verdict == Verdict::Honoured);
    let value = match keys::is_secret(&setting.key) {
        true => "(hidden)".to_owned(),
        false => setting.value.clone(),
    };
    Stated {
        key: setting.key.clone(),
        value,
        place: setting.place.clone(),
        honoured,
    }
}
