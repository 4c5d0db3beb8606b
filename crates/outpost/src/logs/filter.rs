//! What is logged, as people write it: a level, and levels of parts.

use std::fmt;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// What is logged where nobody says otherwise.
pub const DEFAULT_FILTER: &str = "info";
/// The longest filter that is read.
pub const FILTER_BYTES_MAX: usize = 1024;

/// Operators read these without asking for them, unless a filter names them.
const ALWAYS: &[(&str, LevelFilter)] = &[("audit", LevelFilter::INFO)];

/// What is logged: `info,outpost_forward=debug`. Parts are modules and targets; a part's level holds for what is below
/// it too, and without a level of its own a part has the one that stands alone, or `info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    level: LevelFilter,
    parts: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// As the subscriber wants it.
    pub(super) fn targets(&self) -> Targets {
        let parts = self
            .parts
            .iter()
            .map(|(part, level)| (part.clone(), *level));
        let named = |name: &str| self.parts.iter().any(|(part, _)| part == name);
        let always = ALWAYS.iter().filter(|(part, _)| !named(part));
        Targets::new()
            .with_default(self.level)
            .with_targets(always.map(|(part, level)| ((*part).to_owned(), *level)))
            .with_targets(parts)
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Filter, String> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(format!("longer than {FILTER_BYTES_MAX} bytes"));
        }
        let mut filter = Filter {
            level: LevelFilter::INFO,
            parts: Vec::new(),
        };
        for directive in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            match directive.split_once('=') {
                None => filter.level = level(directive)?,
                Some((part, wanted)) => {
                    let part = part.trim();
                    if !is_part(part) {
                        return Err(format!(
                            "`{part}` is no part; parts are modules, such as outpost_forward"
                        ));
                    }
                    let wanted = level(wanted.trim())?;
                    filter.parts.retain(|(other, _)| other != part);
                    filter.parts.push((part.to_owned(), wanted));
                }
            }
        }
        Ok(filter)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.level)?;
        for (part, level) in &self.parts {
            write!(f, ",{part}={level}")?;
        }
        Ok(())
    }
}

fn level(word: &str) -> Result<LevelFilter, String> {
    // Numbers would be taken too, and nobody remembers which is which.
    let known = word
        .chars()
        .all(char::is_alphabetic)
        .then(|| word.parse().ok());
    known.flatten().ok_or_else(|| {
        format!("`{word}` is no level; levels are off, error, warn, info, debug and trace")
    })
}

fn is_part(part: &str) -> bool {
    let sign = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !part.is_empty() && part.chars().all(sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_filter_is_shown_as_it_can_be_written() {
        for (text, shown) in [
            ("", "info"),
            ("WARN", "warn"),
            ("off", "off"),
            (
                " info , outpost_forward=debug ",
                "info,outpost_forward=debug",
            ),
            ("outpost::serve=trace", "info,outpost::serve=trace"),
            ("a=debug,a=warn", "info,a=warn"),
        ] {
            let filter: Filter = text.parse().unwrap();
            assert_eq!(filter.to_string(), shown, "{text:?}");
            assert_eq!(shown.parse(), Ok(filter), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_its_reason() {
        for (text, reason) in [
            ("inf", "`inf` is no level"),
            ("3", "`3` is no level"),
            ("outpost=loud", "`loud` is no level"),
            ("=debug", "`` is no part"),
            ("out post=debug", "`out post` is no part"),
            ("outpost[span]=debug", "`outpost[span]` is no part"),
        ] {
            let error = text.parse::<Filter>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let long = format!("info{}", ",a=info".repeat(FILTER_BYTES_MAX));
        assert!(long.parse::<Filter>().is_err());
    }

    #[test]
    fn parts_without_a_level_have_the_one_that_stands_alone_and_audit_is_always_there() {
        let logs = |filter: &str, target: &str, level| {
            let targets = filter.parse::<Filter>().unwrap().targets();
            targets.would_enable(target, &level)
        };
        assert!(logs("outpost_forward=debug", "outpost::serve", Level::INFO));
        assert!(!logs(
            "outpost_forward=debug",
            "outpost::serve",
            Level::DEBUG
        ));
        assert!(logs(
            "error,outpost_forward=debug",
            "outpost_forward::link",
            Level::DEBUG
        ));
        assert!(!logs("error", "outpost::serve", Level::WARN));
        assert!(logs("error", "audit", Level::INFO));
        assert!(!logs("error,audit=off", "audit", Level::INFO));
    }
}
