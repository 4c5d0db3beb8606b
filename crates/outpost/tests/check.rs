//! The check, as operators and scripts see it: the real binary, its lines and its exit codes.
#![allow(clippy::expect_used)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use outpost_sim::{EnsembleServer, Leader, ServerOptions};
use outpost_wire::ServerId;
use serde_json::Value;
use tokio::net::TcpSocket;

/// A configuration file, gone with its owner.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("check-{name}"));
        // Left behind by an earlier run, perhaps.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Dir(path)
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.0.join("zoo.cfg");
        fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A good configuration but for its servers; all ports are the system's to choose.
fn zoo_cfg(servers: &str) -> String {
    format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/nonexistent\nclientPort=0\n\
         admin.serverPort=0\nmetricsProvider.httpPort=0\n{servers}\n"
    )
}

struct Checked {
    lines: Vec<String>,
    code: Option<i32>,
}

impl Checked {
    /// Whether there is a line of this grade about this subject with this text in it.
    fn has(&self, grade: &str, subject: &str, text: &str) -> bool {
        self.lines.iter().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(grade) && words.next() == Some(subject) && line.contains(text)
        })
    }

    #[track_caller]
    fn assert_has(&self, grade: &str, subject: &str, text: &str) {
        let lines = self.lines.join("\n");
        assert!(
            self.has(grade, subject, text),
            "no `{grade} {subject} …{text}…` in:\n{lines}"
        );
    }
}

async fn check(zoo_cfg: PathBuf, id: i64) -> Checked {
    let (text, code) = printed(zoo_cfg, id, &[]).await;
    Checked {
        lines: text.lines().map(str::to_owned).collect(),
        code,
    }
}

/// What a check prints, and its exit code.
async fn printed(zoo_cfg: PathBuf, id: i64, more: &'static [&str]) -> (String, Option<i32>) {
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_outpost"))
            .arg("check")
            .arg(zoo_cfg)
            .args(["--id", &id.to_string()])
            .args(more)
            .output()
            .expect("started")
    };
    let output = tokio::task::spawn_blocking(run).await.expect("ran");
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    (text, output.status.code())
}

fn server_lines(ensemble: &EnsembleServer) -> String {
    let text = ensemble.membership_text();
    let lines = text.lines().filter(|line| line.starts_with("server."));
    lines.collect::<Vec<_>>().join("\n")
}

/// Ports at which connections are refused, for as long as they are kept.
fn refusing_ports() -> (Vec<TcpSocket>, String) {
    let mut kept = Vec::new();
    let mut lines = Vec::new();
    for id in 1..=3 {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .expect("bound");
        let port = socket.local_addr().expect("bound").port();
        lines.push(format!("server.{id}=127.0.0.1:{port}:1"));
        kept.push(socket);
    }
    (kept, lines.join("\n"))
}

#[tokio::test]
async fn against_an_ensemble_the_check_says_who_leads_and_that_all_is_fine() {
    let ensemble = EnsembleServer::start(ServerOptions::default())
        .await
        .expect("ports");
    let dir = Dir::new("fine");
    let checked = check(dir.write(&zoo_cfg(&server_lines(&ensemble))), 10).await;
    checked.assert_has("ok", "leader", "server.3 leads, in epoch 1");
    checked.assert_has("ok", "server.3", "answers as leader of epoch 1");
    for follower in ["server.1", "server.2"] {
        checked.assert_has("ok", follower, "refuses");
    }
    checked.assert_has("ok", "config", "id 10: no voter has it");
    checked.assert_has("ok", "ports", "clientPort");
    let verdict = checked.lines.last().expect("a verdict");
    assert!(verdict.starts_with("ok    verdict"), "{verdict}");
    assert!(verdict.contains("attach to server.3"), "{verdict}");
    assert_eq!(checked.code, Some(0));
}

/// The lines of a check, made of its JSON.
fn as_lines(document: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let line = |grade: &Value, subject: &str, said: &Value| {
        format!("{:<4}  {subject:<9}  {}", text(grade), text(said))
    };
    let findings = document["findings"].as_array().expect("a list");
    let mut lines: Vec<String> = findings
        .iter()
        .map(|one| line(&one["grade"], &text(&one["subject"]), &one["text"]))
        .collect();
    let verdict = &document["verdict"];
    lines.push(line(&verdict["grade"], "verdict", &verdict["text"]));
    lines
}

/// Without numbers, which differ from one run to the next.
fn without_digits(lines: &[String]) -> Vec<String> {
    let letters = |line: &String| line.replace(|char: char| char.is_ascii_digit(), "");
    lines.iter().map(letters).collect()
}

#[tokio::test]
async fn as_json_a_check_says_what_its_lines_say_and_ends_as_they_do() {
    let (_kept, servers) = refusing_ports();
    let dir = Dir::new("json");
    let broken = "tickTime=abc\nclientPort=99999\n".to_owned();
    for (text, exit_code) in [(zoo_cfg(&servers), 1), (broken, 2)] {
        let path = dir.write(&text);
        let (printed, code) = printed(path.clone(), 10, &["--json"]).await;
        let document: Value = serde_json::from_str(&printed).expect("JSON");
        assert_eq!(code, Some(exit_code));
        let lines = check(path, 10).await.lines;
        assert_eq!(without_digits(&as_lines(&document)), without_digits(&lines));
        assert_eq!(document["verdict"]["grade"], "fail");
        for grade in ["ok", "warn", "fail"] {
            let findings = lines[..lines.len() - 1].iter();
            let count = findings.filter(|line| line.starts_with(grade)).count();
            assert_eq!(document[grade], count, "{grade} in {document:#}");
        }
        assert!(document["version"].is_string());
    }
}

#[tokio::test]
async fn after_an_election_the_check_finds_the_new_leader() {
    let ensemble = EnsembleServer::start(ServerOptions::default())
        .await
        .expect("ports");
    assert!(ensemble.elect(Some(ServerId(2))).await);
    while ensemble.leader().await.is_none() {
        tokio::task::yield_now().await;
    }
    let dir = Dir::new("elected");
    let checked = check(dir.write(&zoo_cfg(&server_lines(&ensemble))), 10).await;
    checked.assert_has("ok", "leader", "server.2 leads, in epoch 2");
    assert_eq!(checked.code, Some(0));
}

#[tokio::test]
async fn p9_the_check_attaches_nothing_and_leaves_nothing_at_the_leader() {
    let ensemble = EnsembleServer::start(ServerOptions::default())
        .await
        .expect("ports");
    let before = ensemble
        .with(|e, _| e.leader().map(Leader::last_proposed))
        .await;
    let dir = Dir::new("harmless");
    let checked = check(dir.write(&zoo_cfg(&server_lines(&ensemble))), 10).await;
    assert_eq!(checked.code, Some(0));
    let after = ensemble
        .with(|e, _| {
            let leader = e.leader().expect("the leader stays");
            assert_eq!(leader.following().count(), 0, "the check follows");
            assert!(leader.harm().is_none(), "{:?}", leader.harm());
            Some(leader.last_proposed())
        })
        .await;
    assert_eq!(before, after, "the check made a transaction");
}

#[tokio::test]
async fn where_nobody_leads_the_check_fails() {
    let (_kept, servers) = refusing_ports();
    let dir = Dir::new("nobody");
    let checked = check(dir.write(&zoo_cfg(&servers)), 10).await;
    checked.assert_has("fail", "leader", "nobody leads");
    checked.assert_has("fail", "verdict", "1 thing would not work");
    assert_eq!(checked.code, Some(1));
}

#[tokio::test]
async fn a_stranger_at_a_quorum_port_is_told_from_a_leader() {
    let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = stranger.local_addr().expect("bound").port();
    let talking = tokio::task::spawn_blocking(move || {
        let (stream, _) = stranger.accept().expect("a visitor");
        std::io::Write::write_all(&mut &stream, &[b'x'; 64]).expect("sent");
        // Until the visitor leaves.
        std::io::copy(&mut &stream, &mut std::io::sink())
    });
    let dir = Dir::new("stranger");
    let servers = format!("server.1=127.0.0.1:{port}:1\nstandaloneEnabled=false");
    let checked = check(dir.write(&zoo_cfg(&servers)), 10).await;
    checked.assert_has("fail", "server.1", "does not answer as a leader");
    assert_eq!(checked.code, Some(1));
    // A visitor that resets the connection has left too.
    let _ = talking.await.expect("the stranger lives");
}

#[tokio::test]
async fn a_client_port_that_is_taken_fails_and_an_admin_port_only_warns() {
    let ensemble = EnsembleServer::start(ServerOptions::default())
        .await
        .expect("ports");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let dir = Dir::new("taken");
    let good = zoo_cfg(&server_lines(&ensemble));

    let path = dir.write(&good.replace("clientPort=0", &format!("clientPort={port}")));
    let checked = check(path, 10).await;
    checked.assert_has("fail", "ports", "clientPort");
    assert_eq!(checked.code, Some(1));

    let path = dir.write(&good.replace("serverPort=0", &format!("serverPort={port}")));
    let checked = check(path, 10).await;
    checked.assert_has("warn", "ports", "admin.serverPort");
    checked.assert_has("warn", "verdict", "1 warning");
    assert_eq!(checked.code, Some(0));
}

#[tokio::test]
async fn the_file_of_the_audit_log_is_looked_at_and_not_made() {
    let (_kept, servers) = refusing_ports();
    let dir = Dir::new("audit");
    let there = dir.0.join("there.log");
    fs::write(&there, "a line\n").expect("written");
    for (file, grade, text) in [
        (there.clone(), "ok", "can be added to"),
        (dir.0.join("new.log"), "ok", "will be made"),
        (dir.0.join("no/where.log"), "fail", "there is no directory"),
        (dir.0.clone(), "fail", "cannot be written by this user"),
    ] {
        let lines = format!(
            "{servers}\naudit.enable=true\noutpost.auditFile={}",
            file.display()
        );
        let checked = check(dir.write(&zoo_cfg(&lines)), 10).await;
        checked.assert_has(grade, "host", text);
        assert_eq!(
            file.exists(),
            text != "will be made" && !text.contains("no directory")
        );
    }
    assert_eq!(fs::read_to_string(&there).expect("it is there"), "a line\n");
}

#[tokio::test]
async fn every_mistake_of_a_broken_file_is_listed() {
    let dir = Dir::new("broken");
    let path = dir.write(
        "tickTime=abc\ninitLimit=10\nsyncLimit=5\ndataDir=/nonexistent\nclientPort=99999\n\
         emulate353TTLNodes=true\nserver.1=127.0.0.1:2888:3888\nserver.2=127.0.0.1\n",
    );
    let checked = check(path, 10).await;
    for (line, key) in [
        (1, "tickTime"),
        (5, "clientPort"),
        (6, "emulate353TTLNodes"),
        (8, "server.2"),
    ] {
        checked.assert_has("fail", "config", &format!("zoo.cfg:{line}: {key}"));
    }
    checked.assert_has("fail", "verdict", "4 to correct");
    assert_eq!(checked.code, Some(2));
}

#[tokio::test]
async fn the_id_of_a_voter_cannot_be_used() {
    let (_kept, servers) = refusing_ports();
    let dir = Dir::new("voter");
    let checked = check(dir.write(&zoo_cfg(&servers)), 2).await;
    checked.assert_has("fail", "config", "id 2 belongs to a voter");
    assert_eq!(checked.code, Some(2));
}
