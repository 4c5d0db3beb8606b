//! An observer in a process of its own, with no ensemble to attach to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::Value;

use crate::outpost;

/// Nothing here takes this long: a test that waits so long has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// A running observer that logs JSON.
pub(crate) struct Server {
    child: Child,
    /// One line is read ahead and no more; `None` once the pipe is closed.
    lines: Option<Receiver<String>>,
    dir: PathBuf,
    pub(crate) clients: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Server {
    /// Starts one with the least configuration and `zoo_cfg`, on ports that the system chooses.
    pub(crate) fn start(name: &str, zoo_cfg: &str, arguments: &[&str]) -> Server {
        Server::start_by(name, zoo_cfg, arguments, |command| command)
    }

    /// The same where the system allows so many file descriptors, and gives a third of them without being asked.
    pub(crate) fn start_with_descriptors(name: &str, zoo_cfg: &str, hard: u32) -> Server {
        Server::start_by(name, zoo_cfg, &[], |command| {
            let limits = format!("ulimit -Sn {}; ulimit -Hn {hard}", hard / 3);
            let mut limited = Command::new("sh");
            limited
                .args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")])
                .arg(command.get_program())
                .args(command.get_args());
            for (name, value) in command.get_envs() {
                match value {
                    Some(value) => limited.env(name, value),
                    None => limited.env_remove(name),
                };
            }
            limited
        })
    }

    fn start_by(
        name: &str,
        zoo_cfg: &str,
        arguments: &[&str],
        wrap: impl FnOnce(Command) -> Command,
    ) -> Server {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("run-{name}"));
        // Left behind by an earlier run, perhaps.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        let file = dir.join("zoo.cfg");
        let dir_text = dir.display();
        let text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={dir_text}\nclientPort=0\n\
             clientPortAddress=127.0.0.1\nadmin.serverAddress=127.0.0.1\nadmin.serverPort=0\n\
             metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=0\noutpost.workers=1\n\
             server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:1:2\nserver.3=127.0.0.1:1:2\n{zoo_cfg}"
        );
        std::fs::write(&file, text).expect("written");
        let file = file.to_str().expect("a path");
        let command = outpost(&["run", file, "--id", "9", "--log-format", "json"]);
        let mut child = wrap(command)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let (read, lines) = sync_channel(1);
        std::thread::spawn(move || {
            let all = log.lines().map_while(Result::ok);
            all.map(|line| read.send(line)).find(Result::is_err)
        });
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server {
            child,
            lines: Some(lines),
            dir,
            clients: unknown,
            admin: unknown,
        };
        server.clients = server.address_of("listening for clients");
        server.admin = server.address_of("listening for operators");
        server
    }

    fn address_of(&self, port: &str) -> SocketAddr {
        let said = self.until(|line| text_of(line, "message").starts_with(port));
        text_of(&said, "address").parse().expect("an address")
    }

    /// Reads its log up to a line.
    pub(crate) fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let lines = self.lines.as_ref().expect("a log");
            let line = lines.recv_timeout(LIMIT).expect("a further line");
            let line: Value = serde_json::from_str(&line).expect("a JSON object per line");
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Nobody reads its log any more: with its next line the pipe is closed.
    pub(crate) fn close_log(&mut self) {
        self.lines = None;
    }

    /// Sends something that is no HTTP to its admin server.
    pub(crate) fn disturb(&self) {
        let mut stream = TcpStream::connect(self.admin).expect("connected");
        stream.write_all(b"\0\0\0\0").expect("written");
        // Answered or cut: it is over then.
        let _ = stream.read_to_end(&mut Vec::new());
    }

    /// Asks its admin server; headers are lines with their ends.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).expect("connected");
        stream.set_read_timeout(Some(LIMIT)).expect("set");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("sent");
    }

    /// SIGTERM, and how it ends.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().expect("ended")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A member of a JSON object, as text.
pub(crate) fn text_of<'a>(line: &'a Value, member: &str) -> &'a str {
    line[member].as_str().unwrap_or_default()
}
