//! Long work: what is seen of it on a terminal, and what in a pipe.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::master::{Master, ZNODES};
use crate::outpost;
use crate::terminal::{AtTerminal, Attached, lines_left};

const BAR: &str = "receiving the tree";
const COLOUR: &str = "\x1b[32m";

/// A configuration with one server.
fn zoo_cfg(name: &str, quorum_port: u16) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("progress-{name}"));
    std::fs::create_dir_all(&dir).expect("a directory");
    let file = dir.join("zoo.cfg");
    let text = format!(
        "tickTime=2000\ninitLimit=30\nsyncLimit=30\ndataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\n\
         admin.serverAddress=127.0.0.1\nadmin.serverPort=0\nmetricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=0\noutpost.workers=1\n\
         standaloneEnabled=false\nserver.1=127.0.0.1:{quorum_port}:3888\n",
        dir.display()
    );
    std::fs::write(&file, text).expect("written");
    file
}

/// Has a running observer log a line; `log` is what it has logged so far, without colours.
fn have_it_log(log: &[String]) {
    let line = log
        .iter()
        .find(|line| line.contains("listening for operators"));
    let address = line
        .and_then(|line| line.split("address=").nth(1))
        .expect("an address");
    let mut stream = TcpStream::connect(address.trim()).expect("it listens");
    let request = "POST /log?filter=info HTTP/1.1\r\nHost: outpost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Runs an observer at a terminal until it has its snapshot; what was drawn, and what stays.
fn watch_a_snapshot(name: &str, variables: &[(&str, &str)]) -> (String, Vec<String>) {
    let master = Master::start();
    let file = zoo_cfg(name, master.port);
    let arguments = ["run", file.to_str().expect("a path"), "--id", "9"];
    let mut observer = AtTerminal::start(&arguments, variables, Attached::ErrorOnly);
    let drawn = observer.until("the bar and where it listens", |drawn| {
        // The line behind that of the admin port.
        drawn.contains(BAR) && drawn.contains("listening for Prometheus")
    });
    // Lines of the log while the bar is there.
    let log = lines_left(&drawn);
    for n in 1..=5 {
        have_it_log(&log);
        observer.until("a line", |drawn| {
            drawn.matches("what is logged has changed").count() == n
        });
    }
    master.go_on();
    observer.until("the end", |drawn| drawn.contains("snapshot taken over"));
    let (status, drawn) = observer.terminate();
    assert!(status.success(), "{drawn:?}");
    let left = lines_left(&drawn);
    (drawn, left)
}

#[test]
fn on_a_terminal_a_bar_shows_bytes_rate_and_znodes_and_tears_no_line_of_the_log() {
    let (drawn, left) = watch_a_snapshot("bar", &[]);
    assert!(drawn.contains(" KiB, "), "{drawn:?}");
    assert!(drawn.contains(" znodes, "), "{drawn:?}");
    assert!(drawn.contains("/s, "), "{drawn:?}");
    assert!(drawn.contains(COLOUR), "{drawn:?}");
    // Nothing of the bar is left, and every line begins with its time.
    for line in left.iter().filter(|line| !line.is_empty()) {
        assert!(line.starts_with("20"), "{line:?} of {left:#?}");
        assert!(!line.contains(BAR), "{line:?}");
    }
    let whole = |line: &&String| {
        line.contains("the snapshot is here") && line.contains(&format!("znodes={}", ZNODES + 1))
    };
    assert_eq!(left.iter().filter(whole).count(), 1, "{left:#?}");
    let changed = left
        .iter()
        .filter(|line| line.contains("what is logged has changed"));
    assert_eq!(changed.count(), 5, "{left:#?}");
}

#[test]
fn no_color_and_a_dumb_terminal_are_respected() {
    let (drawn, _) = watch_a_snapshot("plain", &[("NO_COLOR", "1")]);
    // The bar clears its line, and colours nothing.
    assert!(
        drawn.contains(BAR) && drawn.contains("\x1b[2K"),
        "{drawn:?}"
    );
    assert!(
        !drawn.split("\x1b[").skip(1).any(|code| {
            code.trim_start_matches(|char: char| char.is_ascii_digit() || char == ';')
                .starts_with('m')
        }),
        "{drawn:?}"
    );

    let master = Master::start();
    let file = zoo_cfg("dumb", master.port);
    let arguments = ["run", file.to_str().expect("a path"), "--id", "9"];
    let mut observer = AtTerminal::start(&arguments, &[("TERM", "dumb")], Attached::ErrorOnly);
    observer.until("a snapshot", |drawn| drawn.contains("receiving a snapshot"));
    master.go_on();
    observer.until("the end", |drawn| drawn.contains("snapshot taken over"));
    let (status, drawn) = observer.terminate();
    assert!(status.success());
    assert!(!drawn.contains(BAR) && !drawn.contains('\x1b'), "{drawn:?}");
}

#[test]
fn in_a_pipe_there_is_neither_bar_nor_colour_and_the_metrics_tell_how_far_the_snapshot_is() {
    let master = Master::start();
    let file = zoo_cfg("pipe", master.port);
    let mut child = outpost(&["run", file.to_str().expect("a path"), "--id", "9"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut seen = String::new();
    let mut until = |seen: &mut String, wanted: &str| {
        while !seen.contains(wanted) {
            assert_ne!(log.read_line(seen).expect("text"), 0, "{seen}");
        }
    };
    until(&mut seen, "receiving a snapshot");
    until(&mut seen, "listening for operators");
    let address = seen
        .lines()
        .find(|line| line.contains("listening for operators"))
        .and_then(|line| line.split("address=").nth(1))
        .expect("an address")
        .to_owned();
    let metric = |name: &str| -> f64 {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        let request = "GET /metrics HTTP/1.1\r\nHost: outpost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let line = answer
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {answer}"))
            .parse()
            .expect("a number")
    };
    // What was sent comes, sooner or later; what was not sent does not.
    let sent = (ZNODES / 4 + 1) as f64;
    while metric("outpost_snapshot_znodes") < sent {
        std::thread::yield_now();
    }
    assert_eq!(metric("outpost_snapshot_znodes"), sent);
    assert!(metric("outpost_snapshot_bytes") > (ZNODES / 4 * 176) as f64);
    assert_eq!(metric("outpost_snapshot_expected_bytes"), 0.0);
    assert!(metric("outpost_snapshot_seconds") > 0.0);
    master.go_on();
    until(&mut seen, "snapshot taken over");
    while metric("outpost_snapshots_total") < 1.0 {
        std::thread::yield_now();
    }
    assert_eq!(metric("outpost_snapshot_znodes"), 0.0);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    log.read_to_string(&mut seen).expect("text");
    assert!(child.wait().expect("ended").success());
    assert!(
        !seen.contains(BAR) && !seen.contains('\x1b') && !seen.contains('\r'),
        "{seen:?}"
    );
    assert!(seen.contains("the snapshot is here"), "{seen}");
}

/// A quorum port behind which nobody answers, until the test has seen enough.
fn check_at_a_terminal(name: &str, variables: &[(&str, &str)]) -> (String, Vec<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let file = zoo_cfg(name, listener.local_addr().expect("bound").port());
    let arguments = ["check", file.to_str().expect("a path"), "--id", "9"];
    let mut check = AtTerminal::start(&arguments, variables, Attached::Both);
    check.until("the waiting", |drawn| {
        drawn.contains("waiting for the answers")
    });
    let (visitor, _) = listener.accept().expect("a visitor");
    drop((visitor, listener));
    let (status, drawn) = check.end();
    assert_eq!(status.code(), Some(1), "{drawn:?}");
    let left = lines_left(&drawn);
    (drawn, left)
}

#[test]
fn a_check_at_a_terminal_is_coloured_and_says_that_it_waits() {
    let (drawn, left) = check_at_a_terminal("check", &[]);
    assert!(drawn.contains(COLOUR), "{drawn:?}");
    for line in left.iter().filter(|line| !line.is_empty()) {
        let grade = line.split_whitespace().next();
        assert!(matches!(grade, Some("ok" | "warn" | "fail")), "{line:?}");
    }
    let (drawn, _) = check_at_a_terminal("check-plain", &[("NO_COLOR", "1")]);
    assert!(!drawn.contains(COLOUR), "{drawn:?}");
}
