//! The demo, as its spectators see it: the real binary, its output, its end.
#![allow(clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outpost"));
    command.arg("demo").args(arguments);
    command
}

fn text(output: &Output) -> String {
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What stands behind a label.
fn value<'a>(text: &'a str, label: &str) -> &'a str {
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(label));
    line.unwrap_or_else(|| panic!("nothing is said of {label}:\n{text}"))
        .trim()
}

#[test]
fn the_demo_shows_reads_writes_a_watch_and_an_election_and_ends_by_itself() {
    let arguments = ["--seconds", "1", "--clients", "3", "--wan-delay-ms", "20"];
    let output = demo(&arguments).output().expect("started");
    let text = text(&output);
    assert!(output.status.success(), "{}:\n{text}", output.status);

    for label in ["local read", "forwarded write"] {
        let numbers: Vec<&str> = value(&text, label).split_whitespace().collect();
        let [_, "ms", _, "ms", per_second] = numbers[..] else {
            panic!("{label} {numbers:?}");
        };
        assert_ne!(per_second, "0", "{label}");
    }
    assert!(value(&text, "told here after").contains("ms"));
    assert!(value(&text, "election begins").contains("server.3"));
    assert!(value(&text, "election ends").contains("server.1 leads, in epoch 2"));
    assert!(value(&text, "disconnected").contains("of 4"));
    assert!(value(&text, "read again after").contains("ms"));
    assert!(value(&text, "wrote again after").contains("ms"));
    assert!(!text.contains("had lost their sessions"), "{text}");
}

#[test]
fn without_a_terminal_nothing_is_coloured_and_lines_are_short() {
    let arguments = ["--seconds", "1", "--clients", "1", "--wan-delay-ms", "0"];
    let output = demo(&arguments).output().expect("started");
    let text = text(&output);
    assert!(!text.contains('\x1b'), "{text:?}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_demo_whose_spectators_have_left_ends_early_and_well() {
    // An hour, if nobody noticed.
    let mut child = demo(&["--seconds", "3600", "--clients", "1", "--wan-delay-ms", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    stdout.read_line(&mut first).expect("text");
    drop(stdout);
    let mut complaints = String::new();
    let mut stderr = child.stderr.take().expect("piped");
    stderr.read_to_string(&mut complaints).expect("text");
    assert_eq!(complaints, "");
    assert!(child.wait().expect("ended").success());
}

/// A demo that stays, killed if its test fails.
struct Staying(Child);

impl Drop for Staying {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_demo_that_stays_can_be_looked_at_and_ends_well_on_ctrl_c() {
    let arguments = [
        "--stay",
        "--seconds",
        "1",
        "--clients",
        "1",
        "--wan-delay-ms",
        "2",
    ];
    let child = demo(&arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut staying = Staying(child);
    let mut lines = BufReader::new(staying.0.stdout.take().expect("piped")).lines();
    let mut seen = String::new();
    while !seen.contains("Ctrl-C ends it.") {
        let line = lines
            .next()
            .expect("the demo ended too early")
            .expect("text");
        seen.push_str(&line);
        seen.push('\n');
    }

    let metrics = get(value(&seen, "metrics"));
    assert!(metrics.contains("znode_count 10"), "{metrics}");
    let pid = rustix::process::Pid::from_child(&staying.0);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    assert!(staying.0.wait().expect("ended").success());
}

/// The answer to a plain HTTP request.
fn get(url: &str) -> String {
    let rest = url.strip_prefix("http://").expect("a plain URL");
    let (address, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}
