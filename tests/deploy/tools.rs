//! Programs of others, and the files they are shown.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A file below `deploy/`.
pub(crate) fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

/// A file of the repository, as text.
pub(crate) fn text(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs a tool that a machine must have, with something to read, and demands that it is content.
///
/// Returns what it said, both streams.
pub(crate) fn succeeds(command: &mut Command, input: &str) -> String {
    let output = run(command, input);
    let said = said(&output);
    assert!(output.status.success(), "{command:?} says:\n{said}");
    said
}

/// Runs a tool that a machine must have, with something to read.
pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.unwrap_or_else(|error| {
        panic!("{command:?} cannot be run ({error}); tests/README.md says what a machine needs")
    });
    let mut stdin = child.stdin.take().unwrap();
    // A tool that does not want all of it says so by its exit code.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// What a tool said.
pub(crate) fn said(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|s| String::from_utf8_lossy(s)).concat()
}
