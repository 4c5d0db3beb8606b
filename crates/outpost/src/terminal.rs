//! What the commands print on standard output: line by line, in colour only on a terminal.
//!
//! Logging is not done here. A reader that went away (`outpost check | head`) does not stop a command.

use std::io::{IsTerminal, Write};

use clap::ColorChoice;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a piece of text means to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Not as it should be.
    Bad,
    /// The thing to see.
    Strong,
    /// Only for those who look for it.
    Faint,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Strong => "1",
            Tone::Faint => "2",
        }
    }
}

/// Standard output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    colours: bool,
}

impl Terminal {
    /// Standard output, with colours if they are wanted.
    pub(crate) fn stdout(wanted: ColorChoice) -> Terminal {
        Terminal {
            colours: has_colours(wanted, &std::io::stdout()),
        }
    }

    /// Standard output without colours.
    pub(crate) fn plain() -> Terminal {
        Terminal { colours: false }
    }

    /// Prints one line.
    pub(crate) fn line(self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Nobody reads any more: the exit code still says how it went.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// Whether somebody may still read what is printed: the other end of a pipe is open, a terminal is there.
    pub(crate) fn has_reader(self) -> bool {
        let stdout = std::io::stdout();
        let mut looked = [PollFd::new(&stdout, PollFlags::empty())];
        let gone = PollFlags::ERR | PollFlags::HUP;
        // Where the system does not say, there is one.
        poll(&mut looked, Some(&Timespec::default())).is_err()
            || !looked[0].revents().intersects(gone)
    }

    /// The text in the colour of its tone, or as it is.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        match self.colours {
            true => format!("\x1b[{}m{text}\x1b[0m", tone.code()),
            false => text.to_owned(),
        }
    }
}

/// Whether what goes to `stream` is coloured: if it is a terminal and its owner wants it (`NO_COLOR`), unless the
/// command line says.
pub(crate) fn has_colours(wanted: ColorChoice, stream: &impl IsTerminal) -> bool {
    let unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match wanted {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => has_cursor(stream) && !unwanted(),
    }
}

/// Whether what goes to `stream` may be drawn over: if it is a terminal that knows more than lines.
pub(crate) fn has_cursor(stream: &impl IsTerminal) -> bool {
    let dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !dumb()
}

/// Says on standard error what went wrong.
pub(crate) fn complain(text: &str) {
    // If nobody listens, the exit code still says it.
    let _ = writeln!(std::io::stderr(), "outpost: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_text_stays_as_it_is() {
        let (plain, coloured) = (Terminal { colours: false }, Terminal { colours: true });
        assert_eq!(plain.paint(Tone::Bad, "no"), "no");
        assert_eq!(coloured.paint(Tone::Bad, "no"), "\x1b[31mno\x1b[0m");
    }
}
