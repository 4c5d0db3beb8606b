//! Where findings go: lines for people as they are found, or one JSON object for programs at the end.
//!
//! The object has what the lines have: `findings`, each with `grade`, `subject` and `text`; how many there are of each
//! grade (`ok`, `warn`, `fail`); the `verdict` with its `grade` and `text`; and the `version` that has checked.

use std::cell::RefCell;

use indicatif::ProgressBar;
use outpost::build_info;
use serde_json::{Value, json};

use super::report::Grade;
use crate::bar;
use crate::terminal::Terminal;

/// What is printed.
#[derive(Debug)]
pub(super) enum Output {
    /// A line for each finding, at once.
    Lines(Terminal),
    /// An object, at the end.
    Json(Terminal, RefCell<Findings>),
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    all: Vec<Value>,
    verdict: Value,
}

impl Output {
    /// On standard output.
    pub(super) fn new(terminal: Terminal, json: bool) -> Output {
        match json {
            true => Output::Json(terminal, RefCell::default()),
            false => Output::Lines(terminal),
        }
    }

    /// One finding.
    pub(super) fn finding(&self, grade: Grade, subject: &str, text: &str) {
        // One finding is one line, whatever a file or a server has put into its text.
        let text = text.replace(['\n', '\r'], " ");
        match self {
            Output::Lines(terminal) => line(*terminal, grade, subject, &text),
            Output::Json(_, findings) => {
                let finding = json!({ "grade": grade.word(), "subject": subject, "text": text });
                findings.borrow_mut().all.push(finding);
            }
        }
    }

    /// What all of them come to.
    pub(super) fn verdict(&self, grade: Grade, text: &str) {
        let text = text.replace(['\n', '\r'], " ");
        match self {
            Output::Lines(terminal) => line(*terminal, grade, "verdict", &text),
            Output::Json(_, findings) => {
                findings.borrow_mut().verdict = json!({ "grade": grade.word(), "text": text });
            }
        }
    }

    /// Nothing more is found.
    pub(super) fn end(&self) {
        let Output::Json(terminal, findings) = self else {
            return;
        };
        let findings = findings.borrow();
        let count = |word| {
            findings
                .all
                .iter()
                .filter(|one| one["grade"] == word)
                .count()
        };
        let document = json!({
            "version": build_info::VERSION,
            "verdict": findings.verdict,
            "ok": count("ok"),
            "warn": count("warn"),
            "fail": count("fail"),
            "findings": findings.all,
        });
        terminal.line(&format!("{document:#}"));
    }
}

fn line(terminal: Terminal, grade: Grade, subject: &str, text: &str) {
    let word = terminal.paint(grade.tone(), &format!("{:<4}", grade.word()));
    terminal.line(&format!("{word}  {subject:<9}  {text}"));
}

/// Shows on a terminal that an answer is waited for, while it lives.
#[derive(Debug)]
pub(super) struct Waiting(ProgressBar);

impl Waiting {
    /// Waits for `what`, in words that can follow "waiting for".
    pub(super) fn for_(what: &str) -> Waiting {
        Waiting(bar::wait_for(&format!("waiting for {what}")))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
