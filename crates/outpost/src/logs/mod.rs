//! What this process logs: to standard error, for people or for machines, and how much of it.
//!
//! Lines are written by a thread of their own (`lines`), so that whoever reads them slowly holds up no client. What is
//! logged can be changed while the process runs: see [`Levels`], which the admin server's `/log` asks and changes.
//!
//! A process has one log, as it has one standard error; so this is the one thing here that is global.

mod filter;
mod levels;
pub mod lines;
mod rarely;

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::OnceLock;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, reload};

pub use filter::{DEFAULT_FILTER, FILTER_BYTES_MAX, Filter};
pub use levels::{Levels, NotChanged};
use lines::{Lines, Sink};
pub use rarely::Rarely;

/// Bytes of lines that may wait to be written; further ones are lost, and counted.
const WAITING_BYTES_MAX: usize = 1 << 20;

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    levels: Levels,
    lines: Lines,
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// A line of text for people.
    #[default]
    // A variable that is set to nothing counts as not set.
    #[value(alias = "")]
    Human,
    /// One JSON object per line: timestamp, level, message, target, and the event's own fields.
    Json,
}

/// Starts logging to `sink`. At its drop the lines that wait are still written, within a limit. Call it once.
#[must_use]
pub fn start(
    filter: &Filter,
    format: Format,
    colours: bool,
    sink: Box<dyn Sink>,
) -> lines::Writing {
    let (lines, writing) = Lines::start("log", WAITING_BYTES_MAX, sink, None);
    let (levels, handle) = reload::Layer::new(filter.targets());
    let to = Output(lines.clone());
    let registry = tracing_subscriber::registry().with(levels);
    let started = match format {
        Format::Human => registry
            .with(fmt::layer().with_writer(to).with_ansi(colours).boxed())
            .try_init(),
        Format::Json => {
            let json = fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false);
            registry
                .with(json.with_span_list(false).with_writer(to).boxed())
                .try_init()
        }
    };
    if started.is_ok() {
        let levels = Levels::new(filter.clone(), handle);
        // Never set before: whoever has set the subscriber is the first here.
        let _ = LOG.set(Log { levels, lines });
    }
    writing
}

/// What is logged, to be looked at and changed; `None` where nothing is.
pub fn levels() -> Option<&'static Levels> {
    Some(&LOG.get()?.levels)
}

/// Lines lost because they were not read in time.
pub fn lost() -> u64 {
    LOG.get().map_or(0, |log| log.lines.lost())
}

/// Memory of lines that wait to be written, in bytes.
pub fn memory() -> usize {
    LOG.get().map_or(0, |log| log.lines.memory())
}

/// Where formatted events go.
#[derive(Clone)]
struct Output(Lines);

impl<'a> MakeWriter<'a> for Output {
    type Writer = &'a Output;

    fn make_writer(&'a self) -> &'a Output {
        self
    }
}

impl Write for &Output {
    /// One call for each event.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(&on_one_line(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event is one line, whatever others have sent that is a part of it: nobody writes lines in our name.
fn on_one_line(line: &[u8]) -> Cow<'_, [u8]> {
    let end = line.len() - usize::from(line.ends_with(b"\n"));
    let (text, end) = line.split_at(end);
    if !text.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return Cow::Borrowed(line);
    }
    let mut one = Vec::with_capacity(line.len() + 8);
    for byte in text {
        match byte {
            b'\n' => one.extend_from_slice(b"\\n"),
            b'\r' => one.extend_from_slice(b"\\r"),
            other => one.push(*other),
        }
    }
    one.extend_from_slice(end);
    Cow::Owned(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        for (event, line) in [
            ("INFO all is well path=/a\n", "INFO all is well path=/a\n"),
            ("a\nERROR b\r\n\n", "a\\nERROR b\\r\\n\n"),
            ("without an end", "without an end"),
            ("\n", "\n"),
            ("", ""),
        ] {
            assert_eq!(on_one_line(event.as_bytes()), line.as_bytes(), "{event:?}");
        }
    }
}
