//! What is wrong with a configuration, and where: complaints stop the start, warnings do not.

use std::fmt;
use std::path::PathBuf;

/// Where a setting stands, or ought to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The command line, by the option's name.
    CommandLine(&'static str),
    /// A file as a whole.
    File(PathBuf),
    /// A line of a file, counted from 1.
    Line(PathBuf, usize),
    /// An environment variable, by its name.
    Environment(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::CommandLine(option) => f.write_str(option),
            Place::File(file) => write!(f, "{}", file.display()),
            Place::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Place::Environment(name) => f.write_str(name),
        }
    }
}

/// One complaint or warning: a sentence for an operator, and the place it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it stands.
    pub place: Place,
    /// What is wrong, and what to do about it. Never shows a secret.
    pub text: String,
}

/// As compilers write it, so that editors can follow: `zoo.cfg:12: tickTime=abc: not a whole number …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Everything because of which a configuration is refused; never empty. Displays one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaints(pub Vec<Finding>);

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, finding) in self.0.iter().enumerate() {
            let line_end = if n == 0 { "" } else { "\n" };
            write!(f, "{line_end}{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Complaints {}
