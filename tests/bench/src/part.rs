//! A part of a benchmark that runs in a process of its own: with files, memory and a priority of its own.
//!
//! The part says what it has to say in lines on standard output, and ends when its standard input does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a part has said last about each thing.
type Said = BTreeMap<String, f64>;

/// A running part.
pub(crate) struct Part {
    child: Child,
    input: Option<ChildStdin>,
    said: Arc<Mutex<Said>>,
    listener: Option<JoinHandle<()>>,
}

impl Part {
    /// Starts this executable again, with `part` and these arguments.
    pub(crate) fn start(arguments: &[String]) -> Part {
        let executable = std::env::current_exe().expect("the benchmark knows its own path");
        let mut command = Command::new(executable);
        command.arg("part").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process can be started");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let said = Arc::new(Mutex::new(Said::new()));
        let listener = std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                for line in output.lines().map_while(Result::ok) {
                    let Some((what, value)) = line.rsplit_once(' ') else {
                        continue;
                    };
                    let value = value.parse().unwrap_or(f64::NAN);
                    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                    said.insert(what.to_owned(), value);
                }
            }
        });
        Part {
            input: child.stdin.take(),
            child,
            said,
            listener: Some(listener),
        }
    }

    /// What it has said last about this.
    pub(crate) fn said(&self, what: &str) -> Option<f64> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(what).copied()
    }

    /// Everything that it has said, each thing as it was said last.
    pub(crate) fn all_said(&self) -> Vec<(String, f64)> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.clone().into_iter().collect()
    }

    /// Waits until it has said something about this, for at most `limit`.
    pub(crate) fn wait_for(&mut self, what: &str, limit: Duration) -> Option<f64> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(value) = self.said(what) {
                return Some(value);
            }
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "a part of the benchmark ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// Ends it, and waits until it has said its last.
    pub(crate) fn end(&mut self) {
        self.input = None;
        let _ = self.child.wait();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Inside of a part: says something.
pub(crate) fn say(what: &str, value: f64) {
    // Whoever listened is gone; then this part ends soon too.
    let _ = writeln!(std::io::stdout(), "{what} {value}");
}

/// Inside of a part: is ready when it is to end.
pub(crate) async fn is_over() {
    let waiting = tokio::task::spawn_blocking(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
    });
    let _ = waiting.await;
}
