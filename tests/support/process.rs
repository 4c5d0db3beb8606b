//! A child process that cannot outlive the tests: killed with its whole group when dropped, and by the kernel
//! when the test executable dies in whatever way.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::wait;

/// A running child with its output in one file.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
    group: Pid,
}

impl Process {
    /// Starts `command`; standard output and error are appended to `log`, standard input is empty.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(name: &str, command: &Command, log: &Path) -> Self {
        Self::start_with_input(name, command, Stdio::null(), log)
    }

    /// As [`Self::start`], with something to read on standard input.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start_with_input(name: &str, command: &Command, input: Stdio, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log);
        let output =
            output.unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let errors = output.try_clone().expect("a file handle can be doubled");
        let mut command = tied_to_this_process(command);
        command.stdin(input).stdout(output).stderr(errors);
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let group = Pid::from_child(&child);
        Self {
            name: name.to_owned(),
            log: log.to_owned(),
            child: Mutex::new(child),
            group,
        }
    }

    /// The exit status, if the process has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child()
            .try_wait()
            .unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.name))
    }

    /// SIGKILL to the whole group, then waits until the process is gone.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        let _ = self.child().wait();
    }

    /// SIGTERM, then waits for the end. The exit status is the program's own.
    pub fn terminate(&self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        wait::until(
            &format!("{} to end after SIGTERM", self.name),
            limit,
            || self.ended(),
        )
    }

    /// SIGSTOP: its sockets stay open, and nothing is read from them.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The process id, which is also the group's.
    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// Bytes of memory that it uses now (`VmRSS`).
    ///
    /// # Panics
    /// When the process has ended.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.unwrap_or_else(|| panic!("{path} does not say VmRSS:\n{text}")) << 10
    }

    /// The file with everything it has printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last `lines` lines of the log, for a failure's message.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn signal(&self, signal: Signal) {
        // Whoever has already ended needs no signal; its pid is not reused before it has been waited for.
        if self.ended().is_none() {
            let _ = kill_process_group(self.group, signal);
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The same command, run through `setpriv` so that the kernel kills it when its parent dies, and as the leader
/// of a group of its own.
///
/// The safe standard library offers no other way to ask for that between fork and exec.
fn tied_to_this_process(command: &Command) -> Command {
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "KILL", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(key, value),
            None => tied.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        tied.current_dir(dir);
    }
    tied.process_group(0);
    tied
}

type Order = (Command, SyncSender<io::Result<Child>>);

/// Spawns on one thread that lives as long as the process.
///
/// A parent-death signal is sent when the parent *thread* ends, and a test's thread ends long before a server
/// that several tests share.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<SyncSender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = sync_channel::<Order>(1);
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, answer) in inbox {
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        orders
    });
    let (answer, outcome) = sync_channel(1);
    spawner
        .send((command, answer))
        .expect("the spawner lives as long as the process");
    outcome.recv().expect("the spawner answers every order")
}

/// Runs a command to its end and returns its output, both streams together.
///
/// # Panics
/// When it cannot be started, fails, or is not done within `limit`; the message holds its output.
pub fn run(name: &str, command: &Command, limit: Duration, log: &Path) -> String {
    output_of(name, &Process::start(name, command, log), limit)
}

/// As [`run`], with a file on standard input.
///
/// # Panics
/// As [`run`], and when the file cannot be read.
pub fn run_with_input(
    name: &str,
    command: &Command,
    input: &Path,
    limit: Duration,
    log: &Path,
) -> String {
    let file = File::open(input)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", input.display()));
    output_of(
        name,
        &Process::start_with_input(name, command, file.into(), log),
        limit,
    )
}

/// Waits for a program's end and returns its output, both streams together.
///
/// # Panics
/// When it fails or is not done within `limit`; the message holds its output.
pub fn output_of(name: &str, process: &Process, limit: Duration) -> String {
    let start = Instant::now();
    loop {
        if let Some(status) = process.ended() {
            let output = process.log_tail(usize::MAX);
            assert!(status.success(), "{name} failed with {status}:\n{output}");
            return output;
        }
        let late = start.elapsed() >= limit;
        assert!(
            !late,
            "{name} was not done after {limit:?}:\n{}",
            process.log_tail(usize::MAX)
        );
        std::thread::sleep(Duration::from_millis(25));
    }
}
