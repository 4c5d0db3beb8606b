//! The audit log of the process: in its log or in a file, from its first line to its last.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::server::{Server, text_of};
use crate::terminal::{AtTerminal, Attached};
use crate::{run, text};

/// Nothing here takes this long: a test that waits so long has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// A directory of a test's own, which is empty.
fn dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("audit-{name}"));
    // Left behind by an earlier run, perhaps.
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a directory");
    dir
}

fn zoo_cfg(dir: &Path, lines: &str) -> String {
    let file = dir.join("zoo.cfg");
    let text = format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPortAddress=127.0.0.1\n\
         admin.enableServer=false\nmetricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=0\n\
         server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:1:2\nserver.3=127.0.0.1:1:2\n{lines}",
        dir.display()
    );
    fs::write(&file, text).expect("written");
    file.to_str().expect("a path").to_owned()
}

fn until_it_has(file: &Path, wanted: &str) -> String {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.contains(wanted) {
            return text;
        }
        assert!(begun.elapsed() < LIMIT, "{wanted} is not in {text:?}");
        std::thread::yield_now();
    }
}

#[test]
fn the_audit_log_is_a_part_of_the_log_where_no_file_is_named_and_begins_and_ends_with_the_process()
{
    let server = Server::start(
        "audit-log",
        "audit.enable=true",
        &["--log", "error,outpost=info"],
    );
    let audited = |line: &serde_json::Value| text_of(line, "target") == "audit";
    let first = server.until(audited);
    let started = text_of(&first, "message");
    let Some((user, "operation=serverStart\tresult=success")) = started.split_once('\t') else {
        panic!("{started:?}");
    };
    assert!(user.starts_with("user=") && user.len() > "user=".len());
    assert_eq!(text_of(&first, "level"), "INFO");
    server.signal(Signal::TERM);
    let last = server.until(audited);
    let stopped = format!("{user}\toperation=serverStop\tresult=invoked");
    assert_eq!(text_of(&last, "message"), stopped);
    assert!(server.stop().success());
}

#[test]
fn a_start_that_fails_is_told_of_as_a_line_of_the_log() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let dir = dir("taken");
    let file = zoo_cfg(&dir, &format!("clientPort={port}\naudit.enable=true"));
    let failed = run(&["run", &file, "--id", "9"]);
    assert_eq!(failed.status.code(), Some(1));
    let log = text(&failed.stderr);
    let line = log.lines().find(|line| line.contains(" audit: "));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(" INFO audit: user="), "{line}");
    assert!(
        line.ends_with("\toperation=serverStart\tresult=failure"),
        "{line}"
    );
}

#[test]
fn after_sighup_lines_go_to_a_new_file_and_the_old_one_has_what_came_before() {
    let dir = dir("rotated");
    let (file, moved) = (dir.join("audit.log"), dir.join("audit.log.1"));
    let lines = format!("audit.enable=true\noutpost.auditFile={}", file.display());
    let server = Server::start("audit-rotated", &lines, &[]);
    let before = until_it_has(&file, "operation=serverStart\tresult=success\n");
    let (time, line) = before
        .split_once(" INFO o.a.z.a.Slf4jAuditLogger: ")
        .expect("a head");
    assert_eq!(time.len(), "2026-11-23 12:54:03,117".len(), "{time}");
    assert!(line.starts_with("user="), "{line}");
    let mode = fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(
        mode & 0o137,
        0,
        "{mode:o}: only its owner writes it, and others do not read it"
    );

    fs::rename(&file, &moved).expect("moved");
    server.signal(Signal::HUP);
    let begun = Instant::now();
    while !file.exists() {
        assert!(begun.elapsed() < LIMIT, "no new file");
        std::thread::yield_now();
    }
    assert!(server.stop().success());
    let after = fs::read_to_string(&file).expect("it is there");
    assert!(
        after.ends_with("operation=serverStop\tresult=invoked\n"),
        "{after}"
    );
    assert_eq!(after.lines().count(), 1);
    assert_eq!(fs::read_to_string(&moved).expect("it is there"), before);
}

#[test]
fn without_an_audit_log_sighup_ends_nothing() {
    let server = Server::start("hup", "", &[]);
    server.signal(Signal::HUP);
    server.until(|line| text_of(line, "message") == "SIGHUP: there is no file to be opened anew");
    assert_eq!(server.ask("GET", "/live", "").0, 200);
    assert!(server.stop().success());
}

#[test]
fn a_terminal_that_is_closed_ends_what_was_started_at_it() {
    let dir = dir("terminal");
    let file = zoo_cfg(&dir, "clientPort=0");
    let arguments = ["run", &file, "--id", "9"];
    let mut observer = AtTerminal::start(&arguments, &[], Attached::Both);
    observer.until("a line", |drawn| drawn.contains("listening for clients"));
    let (status, drawn) = observer.hang_up();
    assert!(status.success(), "{status}");
    assert!(
        drawn.contains("draining") && drawn.contains("stopped"),
        "{drawn}"
    );
}

#[test]
fn a_file_that_cannot_be_written_ends_the_start_with_its_name_and_the_reason() {
    let dir = dir("unwritable");
    let missing = dir.join("nowhere/audit.log");
    for (path, why) in [
        (missing.as_path(), "No such file or directory"),
        (dir.as_path(), "Is a directory"),
    ] {
        let lines = format!(
            "clientPort=0\naudit.enable=true\noutpost.auditFile={}",
            path.display()
        );
        let failed = run(&["run", &zoo_cfg(&dir, &lines), "--id", "9"]);
        assert_eq!(failed.status.code(), Some(1));
        let log = text(&failed.stderr);
        let said = format!(
            "outpost.auditFile cannot be written: {}: {why}",
            path.display()
        );
        assert!(log.contains(&said), "{log}");
    }
}
