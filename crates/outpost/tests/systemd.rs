//! What systemd hears: the real process, with a socket of this test in systemd's place.
#![allow(clippy::expect_used)]

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use outpost_sim::{EnsembleServer, ServerOptions};
use rustix::process::{Pid, Signal, kill_process};

/// Nothing here takes this long: a test that waits so long has failed.
const LIMIT: Duration = Duration::from_secs(30);
/// Voters that are not there.
const NOBODY: &str = "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:1:2";

/// A process that systemd has started, as far as it can tell.
struct Started {
    process: Child,
    systemd: UnixDatagram,
    dir: PathBuf,
    /// What was heard and not asked for yet.
    heard: Vec<String>,
}

impl Started {
    fn new(name: &str, lines: &str, watchdog: Option<Duration>) -> Started {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("systemd-{name}"));
        // Left behind by an earlier run, perhaps.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory");
        let zoo_cfg = dir.join("zoo.cfg");
        let text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/nonexistent\nclientPort=0\n\
             clientPortAddress=127.0.0.1\nadmin.enableServer=false\nmetricsProvider.httpPort=0\n\
             metricsProvider.httpHost=127.0.0.1\n{lines}\n"
        );
        fs::write(&zoo_cfg, text).expect("written");
        // A path must fit into a socket's address.
        let address = std::env::temp_dir().join(format!("outpost-{}-{name}", std::process::id()));
        let _ = fs::remove_file(&address);
        let systemd = UnixDatagram::bind(&address).expect("bound");
        systemd.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let mut command = Command::new(env!("CARGO_BIN_EXE_outpost"));
        command.args(["run", "--id", "10"]).arg(&zoo_cfg);
        command.env("NOTIFY_SOCKET", &address).stderr(Stdio::null());
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        Started {
            process: command.spawn().expect("started"),
            systemd,
            dir,
            heard: Vec::new(),
        }
    }

    /// The next line that is said.
    fn next(&mut self) -> String {
        while self.heard.is_empty() {
            let mut message = [0; 4096];
            let length = match self.systemd.recv(&mut message) {
                // A process that was stopped and goes on: a socket with a timeout does not wait on by itself.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                received => received.expect("something is said"),
            };
            let text = std::str::from_utf8(&message[..length]).expect("text");
            self.heard.extend(text.lines().map(str::to_owned));
        }
        self.heard.remove(0)
    }

    /// Everything that is said before a line, and that line.
    fn until(&mut self, start: &str) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let line = self.next();
            let found = line.starts_with(start);
            said.push(line);
            if found {
                return said;
            }
        }
    }

    /// Stops it as systemd does. Returns what is said until its end.
    fn stop(mut self) -> (Vec<String>, ExitStatus) {
        let pid = i32::try_from(self.process.id()).expect("an id");
        let pid = Pid::from_raw(pid).expect("an id");
        kill_process(pid, Signal::TERM).expect("signalled");
        let status = self.process.wait().expect("ended");
        self.systemd.set_nonblocking(true).expect("set");
        let mut said = std::mem::take(&mut self.heard);
        let mut message = [0; 4096];
        while let Ok(length) = self.systemd.recv(&mut message) {
            let text = std::str::from_utf8(&message[..length]).expect("text");
            said.extend(text.lines().map(str::to_owned));
        }
        (said, status)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.dir);
        if let Ok(address) = self.systemd.local_addr()
            && let Some(path) = address.as_pathname()
        {
            let _ = fs::remove_file(path);
        }
    }
}

#[test]
fn without_an_ensemble_the_start_is_over_when_the_ports_are_bound_and_the_status_says_what_is_missing()
 {
    let mut started = Started::new("nobody", NOBODY, None);
    assert_eq!(started.next(), "READY=1");
    assert_eq!(
        started.next(),
        "STATUS=not attached to the ensemble, clients: 0"
    );
    let (said, status) = started.stop();
    assert_eq!(
        said[..2],
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=15000000"],
        "{said:?}"
    );
    assert!(said.contains(&"STATUS=draining, clients left: 0".to_owned()));
    assert!(!said.iter().any(|line| line.starts_with("WATCHDOG")));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_longer_drain_asks_systemd_for_the_time_it_takes() {
    let lines = format!("{NOBODY}\noutpost.drainTimeout=120000");
    let mut started = Started::new("drain", &lines, None);
    started.until("STATUS");
    let (said, _) = started.stop();
    assert!(
        said.contains(&"EXTEND_TIMEOUT_USEC=125000000".to_owned()),
        "{said:?}"
    );
}

#[test]
fn a_port_that_is_taken_is_a_start_that_failed() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let lines = format!("{NOBODY}\nclientPort={port}");
    let mut started = Started::new("taken", &lines, None);
    assert_eq!(started.process.wait().expect("ended").code(), Some(1));
    started.systemd.set_nonblocking(true).expect("set");
    assert!(started.systemd.recv(&mut [0; 16]).is_err(), "it is not up");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_hears_of_a_process_that_works_and_the_status_names_the_master() {
    let ensemble = EnsembleServer::start(ServerOptions::default())
        .await
        .expect("ports");
    let text = ensemble.membership_text();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("server."))
        .collect();
    let lines = lines.join("\n");
    let heard = tokio::task::spawn_blocking(move || {
        let mut started = Started::new("watchdog", &lines, Some(Duration::from_millis(900)));
        let mut said = started.until("STATUS=attached to ");
        for _ in 0..3 {
            said.extend(started.until("WATCHDOG=1"));
        }
        let (rest, status) = started.stop();
        (said, rest, status)
    });
    let (said, rest, status) = heard.await.expect("heard");
    assert_eq!(said[0], "READY=1");
    assert!(
        said.iter()
            .any(|line| line.starts_with("STATUS=attached to server.3")),
        "{said:?}"
    );
    assert!(rest.contains(&"STOPPING=1".to_owned()));
    assert_eq!(status.code(), Some(0));
    ensemble.stop().await;
}
