//! A terminal of the test's own, and what a program has drawn on it.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::outpost;

/// Nothing here takes this long: a test that waits so long has failed.
const LIMIT: Duration = Duration::from_secs(20);

/// What goes to the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attached {
    /// Standard output and standard error, as for somebody who types the command.
    Both,
    /// Standard error alone; standard output is a pipe that is read by nobody here.
    ErrorOnly,
}

/// A program at a terminal, ended at the latest with its test.
pub(crate) struct AtTerminal {
    child: Child,
    drawn: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl AtTerminal {
    /// Starts `outpost` at a terminal of 120 columns.
    pub(crate) fn start(
        arguments: &[&str],
        variables: &[(&str, &str)],
        to: Attached,
    ) -> AtTerminal {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).expect("ours");
        unlockpt(&ours).expect("ours");
        let size = Winsize {
            ws_row: 40,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).expect("a size");
        let name = ptsname(&ours, Vec::new()).expect("a name");
        let theirs = || {
            let path = name.to_str().expect("a path");
            let opened = OpenOptions::new().read(true).write(true).open(path);
            opened.expect("the other end")
        };
        let mut command = outpost(arguments);
        command
            .env("TERM", "xterm-256color")
            .envs(variables.iter().copied());
        command.stdin(theirs()).stderr(theirs());
        if to == Attached::Both {
            command.stdout(theirs());
        } else {
            command.stdout(std::process::Stdio::null());
        }
        let child = command.spawn().expect("started");
        drop(command);
        let (write, drawn) = sync_channel(64);
        std::thread::spawn(move || {
            let mut ours = File::from(ours);
            let mut piece = vec![0; 4096];
            // An error is the end: the other end is closed everywhere.
            while let Ok(read @ 1..) = ours.read(&mut piece) {
                if write.send(piece[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        AtTerminal {
            child,
            drawn,
            seen: Vec::new(),
        }
    }

    /// Reads until all that was drawn so far is as wanted.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let text = self.text();
            if wanted(&text) {
                return text;
            }
            // A bar is drawn for ever.
            let left = deadline.saturating_duration_since(Instant::now());
            match self.drawn.recv_timeout(left) {
                Ok(piece) => self.seen.extend(piece),
                Err(_) => panic!("{what} does not show up in {text:?}"),
            }
        }
    }

    /// All that was drawn so far, as it was sent.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Has it end, and reads the rest.
    pub(crate) fn terminate(self) -> (ExitStatus, String) {
        self.end_by(Signal::TERM)
    }

    /// The same as when the terminal's window is closed.
    pub(crate) fn hang_up(self) -> (ExitStatus, String) {
        self.end_by(Signal::HUP)
    }

    fn end_by(self, signal: Signal) -> (ExitStatus, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
        self.end()
    }

    /// Waits for its end, and reads the rest.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        loop {
            match self.drawn.recv_timeout(LIMIT) {
                Ok(piece) => self.seen.extend(piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("no end in sight: {:?}", self.text()),
            }
        }
        (self.child.wait().expect("ended"), self.text())
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that stay on a terminal, where every line is drawn from its beginning and cleared as a whole; without
/// colours. Anything else that moves the cursor fails the test.
pub(crate) fn lines_left(drawn: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut row = 0;
    let mut column = 0;
    let mut rest = drawn.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                if row == lines.len() {
                    lines.push(String::new());
                }
            }
            '\x1b' => {
                assert_eq!(rest.next(), Some('['), "{drawn:?}");
                let mut number = String::new();
                while let Some(digit) =
                    rest.next_if(|char| char.is_ascii_digit() || *char == ';' || *char == '?')
                {
                    number.push(digit);
                }
                match (number.as_str(), rest.next()) {
                    (_, Some('m' | 'h' | 'l')) => {}
                    ("2", Some('K')) => lines[row].clear(),
                    (up, Some('A')) => row -= up.parse::<usize>().unwrap_or(1),
                    other => panic!("{other:?} in {drawn:?}"),
                }
            }
            char => {
                let line = &mut lines[row];
                let mut chars: Vec<char> = line.chars().collect();
                chars.resize(chars.len().max(column + 1), ' ');
                chars[column] = char;
                column += 1;
                *line = chars.into_iter().collect();
            }
        }
    }
    lines
}
