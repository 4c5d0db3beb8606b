//! The file that `outpost.auditFile` names, and how lines stand in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::logs::lines::Sink;
use crate::report::java;

use super::line::Outcome;

/// What a Java server's configuration calls the logger where a line has room for it.
const LOGGER: &str = "o.a.z.a.Slf4jAuditLogger";

/// An open file, which is only added to.
pub(super) struct OpenFile {
    path: PathBuf,
    file: File,
}

impl OpenFile {
    /// # Errors
    /// When the file cannot be made or written.
    pub(super) fn open(path: &Path) -> io::Result<OpenFile> {
        let file = open(path)?;
        let path = path.to_owned();
        Ok(OpenFile { path, file })
    }
}

/// Others may not read who has done what.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640).open(path)
}

impl Sink for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }

    fn recovers(&self) -> bool {
        true
    }
}

/// A line as the pattern of ZooKeeper's `logback.xml` makes it, with its end: `%d{ISO8601} %p %c{2}: %m%n`. Times are in
/// UTC.
pub(super) fn line(time: SystemTime, text: &str, outcome: Outcome) -> Vec<u8> {
    let level = match outcome {
        Outcome::Failure => "ERROR",
        Outcome::Success | Outcome::Invoked => "INFO",
    };
    let time = java::log_time(time);
    format!("{time} {level} {LOGGER}: {text}\n").into_bytes()
}
