//! How far long work is, on a terminal: a last line that is drawn over again and again, and goes when the work is done.
//!
//! It is on standard error, and only where that is a terminal; in a pipe or a file there is nothing of it. What else
//! is written there meanwhile goes through [`Bar`] too, which takes its line away first, so that neither tears the
//! other. Threads of their own draw and log: a terminal that is stopped (Ctrl-S) stops no observer.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use outpost::logs::lines::{Sink, StandardError};
use outpost_forward::Arriving;
use parking_lot::Mutex;

use crate::terminal::has_cursor;

/// How often it is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(100);
/// Over how many drawings the rate is taken: five seconds.
const LATELY: usize = 50;
/// What is over sooner is not shown.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the end may wait for a terminal that takes nothing.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A snapshot whose length nobody knows.
const UNKNOWN: &str = "{spinner} receiving the tree: {binary_bytes}, {msg}, {elapsed}";
/// A snapshot that is probably as long as that of the tree that is served.
const EXPECTED: &str = "receiving the tree [{bar:20}] {percent}% of about {binary_total_bytes}: {binary_bytes}, {msg}, \
    {elapsed}";
/// Anything else.
const WAITING: &str = "{spinner} {msg}, {elapsed}";

/// Standard error with a line at its end, if there is one now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bar(Arc<Mutex<Option<Drawing>>>);

/// Shows a bar while it lives.
#[derive(Debug)]
pub(crate) struct Shown {
    stop: Option<SyncSender<()>>,
    stopped: Receiver<()>,
}

/// A snapshot that is shown.
#[derive(Debug)]
struct Drawing {
    bar: ProgressBar,
    /// How many bytes there were at moments of the last seconds, oldest first.
    lately: VecDeque<(Instant, u64)>,
}

impl Bar {
    /// Standard error, if it is a terminal.
    pub(crate) fn on_terminal() -> Option<Bar> {
        has_cursor(&io::stderr()).then(Bar::default)
    }

    /// Shows how far a snapshot is, as often as one arrives.
    pub(crate) fn show_snapshots(
        self,
        arriving: impl Fn() -> Option<Arriving> + Send + 'static,
    ) -> io::Result<Shown> {
        let (stop, told_to_stop) = sync_channel(0);
        let (end, stopped) = sync_channel(1);
        let draw = move || {
            while told_to_stop.recv_timeout(DRAWN_EVERY) == Err(RecvTimeoutError::Timeout) {
                let shown = |arriving: &Arriving| {
                    arriving.since.elapsed() >= PATIENCE && !arriving.received.whole
                };
                self.draw(arriving().filter(shown));
            }
            self.draw(None);
            // Whoever has waited for it may be gone.
            let _ = end.send(());
        };
        thread::Builder::new().name("bar".to_owned()).spawn(draw)?;
        let stop = Some(stop);
        Ok(Shown { stop, stopped })
    }

    fn draw(&self, arriving: Option<Arriving>) {
        let mut shown = self.0.lock();
        match arriving {
            Some(arriving) => shown
                .get_or_insert_with(|| Drawing::begin(&arriving))
                .draw(&arriving, Instant::now()),
            None => {
                if let Some(drawing) = shown.take() {
                    drawing.bar.finish_and_clear();
                }
            }
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.stop = None;
        // A terminal that takes nothing keeps its line.
        let _ = self.stopped.recv_timeout(LAST_WORDS);
    }
}

/// Lines of the log, above the bar.
impl Sink for Bar {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        // All of them: the bar must not come back in the middle of one.
        let write = || io::stderr().lock().write_all(lines);
        match &*self.0.lock() {
            Some(drawing) => drawing.bar.suspend(write)?,
            None => write()?,
        }
        Ok(lines.len())
    }
}

/// Where the log goes.
pub(crate) fn log_sink(bar: Option<&Bar>) -> Box<dyn Sink> {
    match bar {
        Some(bar) => Box::new(bar.clone()),
        None => Box::new(StandardError),
    }
}

/// Says that something is being waited for, until it is cleared; nothing where there is no terminal.
pub(crate) fn wait_for(what: &str) -> ProgressBar {
    if !has_cursor(&io::stderr()) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner()
        .with_style(style(WAITING))
        .with_message(what.to_owned());
    bar.enable_steady_tick(DRAWN_EVERY);
    bar
}

impl Drawing {
    fn begin(arriving: &Arriving) -> Drawing {
        let bar = match arriving.bytes_expected {
            Some(bytes) => ProgressBar::new(bytes).with_style(style(EXPECTED)),
            None => ProgressBar::no_length().with_style(style(UNKNOWN)),
        };
        Drawing {
            bar: bar.with_elapsed(arriving.since.elapsed()),
            lately: VecDeque::from([(arriving.since, 0)]),
        }
    }

    fn draw(&mut self, arriving: &Arriving, now: Instant) {
        let received = arriving.received;
        let rate = HumanBytes(self.rate(received.bytes, now));
        if let Some(expected) = arriving.bytes_expected {
            // It may be longer than was thought.
            self.bar.set_length(expected.max(received.bytes));
        }
        let znodes = HumanCount(received.znodes);
        self.bar.set_message(format!("{znodes} znodes, {rate}/s"));
        self.bar.set_position(received.bytes);
        self.bar.tick();
    }

    /// Bytes in a second, lately.
    fn rate(&mut self, bytes: u64, now: Instant) -> u64 {
        self.lately.push_back((now, bytes));
        while self.lately.len() > LATELY {
            self.lately.pop_front();
        }
        let (then, before) = self.lately[0];
        let ms = now.saturating_duration_since(then).as_millis().max(1);
        u64::try_from(u128::from(bytes.saturating_sub(before)) * 1000 / ms).unwrap_or(u64::MAX)
    }
}

fn style(template: &str) -> ProgressStyle {
    // A template that cannot be read is shown as the crate's own.
    let style = ProgressStyle::with_template(template);
    style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use outpost_forward::progress::Received;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let since = Instant::now();
        let arriving = Arriving {
            received: Received::default(),
            bytes_expected: None,
            since,
        };
        let mut drawing = Drawing::begin(&arriving);
        let mut rate = |tenths: u32, bytes| drawing.rate(bytes, since + DRAWN_EVERY * tenths);
        assert_eq!(rate(10, 5_000), 5_000);
        for tenth in 11..200 {
            rate(tenth, 5_000);
        }
        assert_eq!(rate(200, 5_000), 0);
    }

    #[test]
    fn every_template_can_be_read() {
        for template in [UNKNOWN, EXPECTED, WAITING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
