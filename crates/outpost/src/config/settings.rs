//! The settings as they were found, file and environment together, read by key into typed values.
//!
//! Whatever cannot be read becomes a complaint and reads as its default, so that one reading
//! finds all mistakes. Which keys there are and what they mean is decided elsewhere.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::findings::{Finding, Place};
use super::keys::{self, Verdict};

/// What the command line calls a setting.
const DEFINITION_OPTION: &str = "-D";
/// The largest number that ZooKeeper's own settings can hold.
pub(super) const INT_MAX: i64 = i32::MAX as i64;

/// A key, its value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// In its canonical form.
    pub(super) key: String,
    /// Without blanks around it.
    pub(super) value: String,
    /// Where the value was found.
    pub(super) place: Place,
}

impl Setting {
    /// `key=value`, or `key=(hidden)` where the value may be a secret.
    pub(super) fn shown(&self) -> String {
        let hidden = keys::is_secret(&self.key);
        let value = if hidden { "(hidden)" } else { &self.value };
        format!("{}={value}", self.key)
    }

    fn is_one_of(&self, values: &[&str]) -> bool {
        values.contains(&self.value.to_ascii_lowercase().as_str())
    }
}

/// All settings, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Settings {
    file: PathBuf,
    by_key: BTreeMap<String, Setting>,
    /// Reasons not to start.
    pub(super) complaints: Vec<Finding>,
    /// Things to know.
    pub(super) warnings: Vec<Finding>,
    #[cfg(test)]
    pub(super) read: std::collections::BTreeSet<&'static str>,
}

impl Settings {
    /// Without any setting yet; `file` is what findings name that have no line.
    pub(super) fn new(file: &Path) -> Settings {
        Settings {
            file: file.to_owned(),
            by_key: BTreeMap::new(),
            complaints: Vec::new(),
            warnings: Vec::new(),
            #[cfg(test)]
            read: std::collections::BTreeSet::new(),
        }
    }

    /// Takes in a line of the file. Of two with the same key the later one counts.
    pub(super) fn add_line(&mut self, key: &str, value: &str, line: usize) {
        let setting = Setting {
            key: keys::canonical(key).to_owned(),
            value: value.to_owned(),
            place: Place::Line(self.file.clone(), line),
        };
        if let Some(earlier) = self.by_key.get(&setting.key) {
            let earlier = match &earlier.place {
                Place::Line(_, line) => format!("line {line}"),
                place => place.to_string(),
            };
            self.warn(
                &setting,
                &format!("stands here again; {earlier} no longer counts"),
            );
        }
        if keys::is_command_line_only(&setting.key) {
            let text = "honoured, but a Java server reads it only from its command line (-D)";
            self.warn(&setting, text);
        }
        self.by_key.insert(setting.key.clone(), setting);
    }

    /// Takes in a variable, if it is one of ours; it overrides the file.
    pub(super) fn add_variable(&mut self, name: &str, value: &str) {
        let value = value.trim();
        let is_ours = name.starts_with("OUTPOST_") && !keys::is_other_variable(name, value);
        if !is_ours || value.is_empty() {
            return;
        }
        let place = Place::Environment(name.to_owned());
        match keys::of_variable(name) {
            Some(key) => {
                let setting = Setting {
                    key: key.clone(),
                    value: value.to_owned(),
                    place,
                };
                self.by_key.insert(key, setting);
            }
            None => self.warnings.push(Finding {
                place,
                text: format!("no setting has this variable{}", meant_variable(name)),
            }),
        }
    }

    /// Takes in `key=value` from the command line; it overrides everything else.
    pub(super) fn add_definition(&mut self, definition: &str) {
        let place = Place::CommandLine(DEFINITION_OPTION);
        let Some((key, value)) = definition.split_once('=') else {
            let text = format!("`{definition}` is not of the form key=value");
            self.complain_at(place, &text);
            return;
        };
        let setting = Setting {
            key: keys::canonical(key.trim()).to_owned(),
            value: value.trim().to_owned(),
            place,
        };
        if let Some(Setting {
            value,
            place: place @ Place::Line(..),
            ..
        }) = self.by_key.get(&setting.key)
            && *value != setting.value
        {
            let text = format!("goes before {place}, where a Java server would prefer the file");
            self.warn(&setting, &text);
        }
        self.by_key.insert(setting.key.clone(), setting);
    }

    /// Whether a key has this value, wherever it comes from.
    pub(super) fn holds(&self, key: &str, value: &str) -> bool {
        self.by_key.get(key).is_some_and(|set| set.value == value)
    }

    /// Says what the table of keys says about each setting.
    pub(super) fn judge(&mut self) {
        let settings: Vec<Setting> = self.by_key.values().cloned().collect();
        for setting in &settings {
            match keys::find(&setting.key).map(|key| key.verdict) {
                Some(Verdict::Honoured) => {}
                Some(Verdict::Ignored { quiet, why }) => {
                    if !setting.is_one_of(quiet) {
                        self.warn(setting, &format!("has no effect: {why}"));
                    }
                }
                Some(Verdict::Refused { unless, why }) => {
                    if !setting.is_one_of(unless) {
                        self.complain(setting, why);
                    }
                }
                None => {
                    let text = format!("unknown key, has no effect{}", meant_key(&setting.key));
                    self.warn(setting, &text);
                }
            }
        }
    }

    /// All settings, in the order of their keys.
    pub(super) fn all(&self) -> impl Iterator<Item = &Setting> {
        self.by_key.values()
    }

    /// The setting of a key, or nothing if it is not set.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Setting> {
        #[cfg(test)]
        self.read.insert(key);
        self.by_key.get(key).cloned()
    }

    /// All settings of a family, in the order of their keys; `family` is its name in the table of keys.
    pub(super) fn family(&mut self, family: &'static str) -> Vec<Setting> {
        #[cfg(test)]
        self.read.insert(family);
        let belongs = |key: &str| keys::find(key).is_some_and(|known| known.name == family);
        let settings = self.by_key.values();
        settings
            .filter(|setting| belongs(&setting.key))
            .cloned()
            .collect()
    }

    /// The value as `parse` reads it; its error becomes a complaint.
    pub(super) fn parse<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let setting = self.get(key)?;
        match parse(&setting.value) {
            Ok(value) => Some(value),
            Err(text) => {
                self.complain(&setting, &text);
                None
            }
        }
    }

    /// A text that must not be empty.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.parse(key, |value| match value {
            "" => Err("is empty; give it a value or remove the line".to_owned()),
            _ => Ok(value.to_owned()),
        })
    }

    /// A host name or an address; an IPv6 address may have brackets.
    pub(super) fn host(&mut self, key: &'static str) -> Option<String> {
        let host = self.text(key)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Some(bare.unwrap_or(&host).to_owned())
    }

    /// `true` or `false`. Anything else is what it is to a Java server: a mistake, or one of the two.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(setting) = self.get(key) else {
            return default;
        };
        match setting.value.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => self.strange_flag(&setting, default),
        }
    }

    fn strange_flag(&mut self, setting: &Setting, default: bool) -> bool {
        match keys::strange_flag(&setting.key) {
            Some(taken_for) => {
                let text = format!(
                    "neither true nor false; taken for {taken_for}, as a Java server takes it"
                );
                self.warn(setting, &text);
                taken_for
            }
            None => {
                self.complain(setting, "must be true or false");
                default
            }
        }
    }

    /// A whole number in `range`; `unit` is what it counts.
    pub(super) fn whole(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
        unit: &str,
    ) -> Option<i64> {
        let in_words = format!("a whole number of {unit}");
        let number = self.number(key, &in_words)?;
        self.parse(key, |_| match range.contains(&number) {
            true => Ok(number),
            false => Err(format!(
                "must be between {} and {} {unit}",
                range.start(),
                range.end()
            )),
        })
    }

    /// A whole number as a Java server reads it. What it cannot read keeps it from starting, or is the same as no
    /// setting; which of the two depends on the key.
    fn number(&mut self, key: &'static str, in_words: &str) -> Option<i64> {
        let setting = self.get(key)?;
        let number = match keys::is_strict_number(key) {
            true => setting.value.parse().ok(),
            false => decode(&setting.value).filter(|n| (-INT_MAX..=INT_MAX).contains(n)),
        };
        match number {
            Some(_) => {}
            None if keys::is_strict_number(key) => {
                self.complain(&setting, &format!("not {in_words}"));
            }
            None => {
                let text = format!("not {in_words}; the default counts, as with a Java server");
                self.warn(&setting, &text);
            }
        }
        number
    }

    /// A whole number of `unit` that is at least `min`.
    pub(super) fn count(&mut self, key: &'static str, min: u32, default: u32, unit: &str) -> u32 {
        let value = self.whole(key, i64::from(min)..=INT_MAX, unit);
        value.and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
    }

    /// A number of `unit` above 0; 0 and less say that there is no limit.
    pub(super) fn limit(&mut self, key: &'static str, default: u32, unit: &str) -> Option<u32> {
        let value = self.whole(key, -INT_MAX..=INT_MAX, unit);
        let limit = value.unwrap_or(i64::from(default));
        u32::try_from(limit).ok().filter(|limit| *limit > 0)
    }

    /// A number of bytes that is at least `min`.
    pub(super) fn bytes(&mut self, key: &'static str, min: usize) -> Option<usize> {
        let min = i64::try_from(min).unwrap_or(INT_MAX);
        let value = self.whole(key, min..=INT_MAX, "bytes");
        value.and_then(|n| usize::try_from(n).ok())
    }

    /// A number of `unit` that is at least 1, however large.
    pub(super) fn amount(&mut self, key: &'static str, unit: &str) -> Option<usize> {
        let value = self.whole(key, 1..=i64::MAX, unit);
        value.and_then(|n| usize::try_from(n).ok())
    }

    /// Milliseconds, at least `min`.
    pub(super) fn millis(&mut self, key: &'static str, min: i64) -> Option<Duration> {
        let value = self.whole(key, min..=INT_MAX, "milliseconds");
        value.and_then(to_millis)
    }

    /// A TCP port; 0 lets the system choose one.
    pub(super) fn port(&mut self, key: &'static str) -> Option<u16> {
        const IN_WORDS: &str = "a TCP port; ports are whole numbers up to 65535";
        let number = self.number(key, IN_WORDS)?;
        self.parse(key, |_| {
            u16::try_from(number).map_err(|_| format!("not {IN_WORDS}"))
        })
    }

    /// A number between 0 and 1.
    pub(super) fn fraction(&mut self, key: &'static str, default: f64) -> f64 {
        let value = self.parse(key, |value| match value.parse() {
            Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
            _ => Err("must be a number between 0 and 1".to_owned()),
        });
        value.unwrap_or(default)
    }

    /// A complaint about a setting.
    pub(super) fn complain(&mut self, setting: &Setting, text: &str) {
        self.complaints.push(about(setting, text));
    }

    /// A warning about a setting.
    pub(super) fn warn(&mut self, setting: &Setting, text: &str) {
        self.warnings.push(about(setting, text));
    }

    /// A complaint about the file as a whole: something is missing.
    pub(super) fn complain_of_file(&mut self, text: &str) {
        let place = Place::File(self.file.clone());
        self.complain_at(place, text);
    }

    /// A warning about the file as a whole.
    pub(super) fn warn_of_file(&mut self, text: &str) {
        self.warnings.push(Finding {
            place: Place::File(self.file.clone()),
            text: text.to_owned(),
        });
    }

    /// A warning about something that is no setting.
    pub(super) fn warn_at(&mut self, place: Place, text: &str) {
        self.warnings.push(Finding {
            place,
            text: text.to_owned(),
        });
    }

    /// A complaint about something that is no setting.
    pub(super) fn complain_at(&mut self, place: Place, text: &str) {
        self.complaints.push(Finding {
            place,
            text: text.to_owned(),
        });
    }
}

fn about(setting: &Setting, text: &str) -> Finding {
    Finding {
        place: setting.place.clone(),
        text: format!("{}: {text}", setting.shown()),
    }
}

/// Milliseconds that are not negative.
pub(super) fn to_millis(millis: i64) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::from_millis)
}

/// As `Integer.decode`: hexadecimal behind `0x` or `#`, octal behind `0`, else decimal; a sign in front of it.
fn decode(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = ["0x", "0X", "#"]
        .iter()
        .find_map(|mark| digits.strip_prefix(mark));
    let octal = digits.strip_prefix('0').filter(|rest| !rest.is_empty());
    let (digits, radix) = match (hex, octal) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) => (digits, 8),
        (None, None) => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

fn meant_key(key: &str) -> String {
    match keys::nearest(key) {
        Some(name) => format!("; did you mean {name}?"),
        None => String::new(),
    }
}

fn meant_variable(variable: &str) -> String {
    let key = variable.trim_start_matches("OUTPOST_").replace('_', ".");
    match keys::nearest(&key) {
        Some(name) => format!("; did you mean {}?", keys::variable(name)),
        None => String::new(),
    }
}
