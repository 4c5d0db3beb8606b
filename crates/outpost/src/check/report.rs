//! Findings: their grades and subjects, and how many there are.

use std::fmt;

use outpost_wire::ServerId;

use super::output::Output;
use crate::terminal::Tone;

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grade {
    Ok,
    Warn,
    Fail,
}

impl Grade {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
        }
    }

    pub(super) const fn tone(self) -> Tone {
        match self {
            Grade::Ok => Tone::Good,
            Grade::Warn => Tone::Warning,
            Grade::Fail => Tone::Bad,
        }
    }
}

/// What a finding is about: the second word of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The configuration.
    Config,
    /// A server of the ensemble.
    Server(ServerId),
    /// Who leads.
    Leader,
    /// A port of our own.
    Ports,
    /// Certificates and keys.
    Tls,
    /// Users, passwords and mechanisms.
    Sasl,
    /// This machine: its limits, its clock, its environment.
    Host,
    /// All of it.
    Verdict,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Config => f.pad("config"),
            Subject::Server(id) => f.pad(&format!("server.{id}")),
            Subject::Leader => f.pad("leader"),
            Subject::Ports => f.pad("ports"),
            Subject::Tls => f.pad("tls"),
            Subject::Sasl => f.pad("sasl"),
            Subject::Host => f.pad("host"),
            Subject::Verdict => f.pad("verdict"),
        }
    }
}

/// How many findings there are that are not good.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) warn: usize,
    pub(super) fail: usize,
}

/// Hands on findings and counts them.
#[derive(Debug)]
pub(super) struct Report {
    output: Output,
    counts: Counts,
}

impl Report {
    pub(super) fn new(output: Output) -> Report {
        Report {
            output,
            counts: Counts::default(),
        }
    }

    /// It is as it should be.
    pub(super) fn ok(&self, subject: Subject, text: &str) {
        self.print(Grade::Ok, subject, text);
    }

    /// It works, but its owner should know.
    pub(super) fn warn(&mut self, subject: Subject, text: &str) {
        self.counts.warn += 1;
        self.print(Grade::Warn, subject, text);
    }

    /// It would not work.
    pub(super) fn fail(&mut self, subject: Subject, text: &str) {
        self.counts.fail += 1;
        self.print(Grade::Fail, subject, text);
    }

    /// The last line.
    pub(super) fn verdict(&self, text: impl FnOnce(Counts) -> String) -> Counts {
        let grade = match self.counts {
            Counts { fail: 1.., .. } => Grade::Fail,
            Counts { warn: 1.., .. } => Grade::Warn,
            _ => Grade::Ok,
        };
        self.output.verdict(grade, &text(self.counts));
        self.counts
    }

    /// Nothing more is found.
    pub(super) fn end(&self) {
        self.output.end();
    }

    fn print(&self, grade: Grade, subject: Subject, text: &str) {
        self.output.finding(grade, &subject.to_string(), text);
    }
}
