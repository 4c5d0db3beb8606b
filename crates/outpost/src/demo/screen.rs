//! How the demo looks: short lines, numbers aligned, headings that stand out on a terminal.

use std::time::Duration;

use crate::terminal::{Terminal, Tone};

/// Width of the words in front of what they name.
const LABEL_WIDTH: usize = 18;
/// Width of a number with its unit.
const NUMBER_WIDTH: usize = 12;

/// How often is looked whether somebody still reads.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where the demo is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen(Terminal);

impl Screen {
    pub(super) fn new(terminal: Terminal) -> Screen {
        Screen(terminal)
    }

    /// Waits until nobody is there any more to see it.
    pub(super) async fn left(self) {
        while self.0.has_reader() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Begins an act.
    pub(super) fn heading(self, text: &str) {
        self.0.line("");
        self.0.line(&self.0.paint(Tone::Strong, text));
    }

    /// A word and what it names.
    pub(super) fn row(self, label: &str, text: &str) {
        self.0.line(&format!("  {label:<LABEL_WIDTH$}{text}"));
    }

    /// A word, numbers below one another, and what is to be said of them.
    pub(super) fn numbers(self, label: &str, numbers: &[&str], note: &str) {
        let numbers: String = numbers
            .iter()
            .map(|number| format!("{number:>NUMBER_WIDTH$}"))
            .collect();
        let numbers = self.0.paint(Tone::Good, &numbers);
        let space = if note.is_empty() { "" } else { "   " };
        let note = self.0.paint(Tone::Faint, note);
        self.0
            .line(&format!("  {label:<LABEL_WIDTH$}{numbers}{space}{note}"));
    }

    /// What stands above columns of numbers.
    pub(super) fn columns(self, names: &[&str]) {
        let names: String = names
            .iter()
            .map(|name| format!("{name:>NUMBER_WIDTH$}"))
            .collect();
        let names = self.0.paint(Tone::Faint, &names);
        self.0.line(&format!("  {:<LABEL_WIDTH$}{names}", ""));
    }

    /// A remark.
    pub(super) fn note(self, text: &str) {
        self.0
            .line(&self.0.paint(Tone::Faint, &format!("  {text}")));
    }

    /// The last line.
    pub(super) fn end(self) {
        self.0.line("");
        self.0.line("Done; everything is gone again.");
    }
}

/// Milliseconds with as many digits as mean something.
pub(super) fn millis(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        ..10.0 => format!("{ms:.2} ms"),
        10.0..1_000.0 => format!("{ms:.1} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

/// A whole number with commas.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(count(7), "7");
        assert_eq!(count(123), "123");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(millis(Duration::from_micros(97)), "0.10 ms");
        assert_eq!(millis(Duration::from_micros(101_260)), "101.3 ms");
        assert_eq!(millis(Duration::from_millis(1_500)), "1500 ms");
    }
}
