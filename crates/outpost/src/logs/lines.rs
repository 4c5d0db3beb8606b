//! Lines on their way out, in a bounded buffer between whoever says them and whatever is slow to take them.
//!
//! Nobody waits who says a line. If the buffer is full the line is lost: it is counted, and where there is something to
//! put in its place that follows as soon as there is room. A file that cannot be written (a full disk) is tried again
//! every second, and the buffer holds what is said meanwhile.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How long to wait after writing has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the end may wait for what is not written yet.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where lines go.
pub trait Sink: Send {
    /// Writes some of `bytes`, and says how many.
    ///
    /// # Errors
    /// When none can be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Begins anew: the file may have been moved away.
    ///
    /// # Errors
    /// When the new one cannot be opened; the old one stays in use.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether what could not be written now may be written later.
    fn recovers(&self) -> bool {
        false
    }
}

/// Makes a line, with its end, that says how many were lost before it.
pub type Gap = Box<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// Takes lines; cheap to clone.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

struct Shared {
    name: &'static str,
    bytes_max: usize,
    gap: Option<Gap>,
    waiting: Mutex<Waiting>,
    /// There is something to do for the writing thread.
    wanted: Condvar,
    /// The writing thread has ended.
    ended: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Bytes that the writing thread has taken and not written yet.
    taken: usize,
    /// Lines lost, and not told of in their place yet.
    lost: u64,
    /// Lines lost, and not told of in the log yet.
    untold: u64,
    reopen: bool,
    closing: bool,
    ended: bool,
}

/// The thread that writes. At its drop, what waits is still written, within two seconds.
pub struct Writing(Lines);

impl Lines {
    /// Starts a thread that writes to `sink` what is pushed; at most `bytes_max` bytes wait for it. Where the thread
    /// cannot be made all lines are lost, and counted.
    pub fn start(
        name: &'static str,
        bytes_max: usize,
        sink: Box<dyn Sink>,
        gap: Option<Gap>,
    ) -> (Lines, Writing) {
        let lines = Lines(Arc::new(Shared {
            name,
            bytes_max,
            gap,
            waiting: Mutex::new(Waiting::default()),
            wanted: Condvar::new(),
            ended: Condvar::new(),
            lost: AtomicU64::new(0),
        }));
        let shared = Arc::clone(&lines.0);
        let thread = thread::Builder::new().name(name.to_owned());
        if thread.spawn(move || shared.write(sink)).is_err() {
            let mut waiting = lines.0.waiting.lock();
            (waiting.closing, waiting.ended) = (true, true);
        }
        (lines.clone(), Writing(lines))
    }

    /// Takes a line with its end.
    pub fn push(&self, line: &[u8]) {
        let shared = &*self.0;
        let mut waiting = shared.waiting.lock();
        let gap = match (&shared.gap, waiting.lost) {
            (Some(gap), 1..) => gap(waiting.lost),
            _ => Vec::new(),
        };
        let bytes = waiting.taken + waiting.bytes.len() + gap.len() + line.len();
        if bytes > shared.bytes_max || waiting.closing {
            waiting.lost += 1;
            waiting.untold += 1;
            shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if !gap.is_empty() {
            waiting.lost = 0;
            waiting.bytes.extend_from_slice(&gap);
        }
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        shared.wanted.notify_one();
    }

    /// Has the sink begin anew, before the next line.
    pub fn reopen(&self) {
        self.0.waiting.lock().reopen = true;
        self.0.wanted.notify_one();
    }

    /// Memory of lines that wait to be written, in bytes.
    pub fn memory(&self) -> usize {
        let waiting = self.0.waiting.lock();
        // What the thread writes was waiting once; its own buffer is about as large.
        waiting.bytes.capacity() + waiting.taken
    }

    /// Lines that were lost.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let shared = &*self.0.0;
        let mut waiting = shared.waiting.lock();
        waiting.closing = true;
        shared.wanted.notify_one();
        let deadline = Instant::now() + LAST_WORDS;
        while !waiting.ended {
            if shared.ended.wait_until(&mut waiting, deadline).timed_out() {
                return;
            }
        }
    }
}

/// What the writing thread is to do.
struct Task {
    bytes: Vec<u8>,
    reopen: bool,
    /// Lines lost since the last task.
    lost: u64,
    last: bool,
}

impl Shared {
    fn write(&self, mut sink: Box<dyn Sink>) {
        let mut spare = Vec::new();
        loop {
            let mut task = self.next(spare);
            if task.reopen
                && let Err(error) = sink.reopen()
            {
                tracing::error!(file = self.name, %error, "cannot be opened anew; the old one stays in use");
            }
            self.write_all(sink.as_mut(), &task.bytes);
            if task.lost > 0 {
                tracing::warn!(
                    file = self.name,
                    lines = task.lost,
                    "lines were lost: whoever takes them is too slow"
                );
            }
            if task.last {
                break;
            }
            task.bytes.clear();
            spare = task.bytes;
        }
        self.waiting.lock().ended = true;
        self.ended.notify_all();
    }

    fn next(&self, spare: Vec<u8>) -> Task {
        let mut waiting = self.waiting.lock();
        waiting.taken = 0;
        while waiting.bytes.is_empty() && !waiting.reopen && !waiting.closing {
            self.wanted.wait(&mut waiting);
        }
        let bytes = std::mem::replace(&mut waiting.bytes, spare);
        waiting.taken = bytes.len();
        Task {
            bytes,
            reopen: std::mem::take(&mut waiting.reopen),
            lost: std::mem::take(&mut waiting.untold),
            last: waiting.closing,
        }
    }

    fn write_all(&self, sink: &mut dyn Sink, mut bytes: &[u8]) {
        let mut failing = false;
        while !bytes.is_empty() {
            match sink.write(bytes) {
                Ok(written) if written > 0 => {
                    bytes = &bytes[written.min(bytes.len())..];
                    self.waiting.lock().taken = bytes.len();
                    if failing {
                        tracing::warn!(file = self.name, "can be written again");
                    }
                    failing = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => {
                    if !sink.recovers() || self.waiting.lock().closing {
                        return self.lose(bytes);
                    }
                    if !failing {
                        let error = outcome.err().map(|error| error.to_string());
                        tracing::error!(
                            file = self.name,
                            error,
                            "cannot be written; trying again every second"
                        );
                    }
                    failing = true;
                    self.pause(sink);
                }
            }
        }
    }

    /// Waits a second, or until the end; a new file may be the way out.
    fn pause(&self, sink: &mut dyn Sink) {
        let mut waiting = self.waiting.lock();
        if !waiting.closing && !waiting.reopen {
            self.wanted.wait_for(&mut waiting, PAUSE);
        }
        if std::mem::take(&mut waiting.reopen) {
            drop(waiting);
            // Said already that it cannot be written.
            let _ = sink.reopen();
        }
    }

    fn lose(&self, bytes: &[u8]) {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }
}

/// Standard error.
#[derive(Debug, Clone, Copy)]
pub struct StandardError;

impl Sink for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// Takes what it is given when it is told to, and says so.
    struct Gate {
        open: Receiver<io::Result<()>>,
        written: SyncSender<Vec<u8>>,
        recovers: bool,
    }

    impl Sink for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().map_err(io::Error::other)??;
            self.written
                .send(bytes.to_vec())
                .map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn reopen(&mut self) -> io::Result<()> {
            self.written
                .send(b"(reopened)".to_vec())
                .map_err(io::Error::other)
        }

        fn recovers(&self) -> bool {
            self.recovers
        }
    }

    type Opener = SyncSender<io::Result<()>>;

    fn gate(recovers: bool) -> (Box<dyn Sink>, Opener, Receiver<Vec<u8>>) {
        let (opener, open) = sync_channel(16);
        let (written, writes) = sync_channel(16);
        let gate = Gate {
            open,
            written,
            recovers,
        };
        (Box::new(gate), opener, writes)
    }

    fn gap() -> Option<Gap> {
        Some(Box::new(|lost| format!("lost {lost}\n").into_bytes()))
    }

    /// What is written next. A test that waits so long has failed.
    fn next(writes: &Receiver<Vec<u8>>) -> Vec<u8> {
        writes.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    /// Whether the writing thread has taken everything.
    fn until_taken(lines: &Lines) {
        while !lines.0.waiting.lock().bytes.is_empty() {
            thread::yield_now();
        }
    }

    #[test]
    fn p6_lines_beyond_the_bound_are_lost_counted_and_told_of_in_their_place() {
        let (sink, open, writes) = gate(false);
        let (lines, writing) = Lines::start("test", 20, sink, gap());
        lines.push(b"first\n");
        until_taken(&lines);
        lines.push(b"a second line\n");
        for _ in 0..3 {
            lines.push(b"more\n");
        }
        assert_eq!(lines.lost(), 3);
        open.send(Ok(())).unwrap();
        assert_eq!(next(&writes), b"first\n");
        open.send(Ok(())).unwrap();
        assert_eq!(next(&writes), b"a second line\n");
        // The thread asks for the next task once it has counted what it wrote.
        while lines.0.waiting.lock().taken > 0 {
            thread::yield_now();
        }
        lines.push(b"last\n");
        open.send(Ok(())).unwrap();
        assert_eq!(next(&writes), b"lost 3\nlast\n");
        drop(writing);
        assert_eq!(lines.lost(), 3);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_tried_again_and_loses_nothing() {
        let (sink, open, writes) = gate(true);
        let (lines, writing) = Lines::start("test", 1000, sink, gap());
        lines.push(b"first\n");
        // Or both lines might be written as one.
        until_taken(&lines);
        open.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        lines.push(b"second\n");
        // A new file ends the pause.
        lines.reopen();
        open.send(Ok(())).unwrap();
        open.send(Ok(())).unwrap();
        let written: Vec<u8> = (0..3).flat_map(|_| next(&writes)).collect();
        let written = String::from_utf8(written)
            .unwrap()
            .replace("(reopened)", "");
        assert_eq!(written, "first\nsecond\n");
        drop(writing);
        assert_eq!(lines.lost(), 0);
    }

    #[test]
    fn what_waits_at_the_end_is_still_written_and_what_comes_later_is_counted() {
        let (sink, open, writes) = gate(false);
        let (lines, writing) = Lines::start("test", 1000, sink, None);
        lines.push(b"last words\n");
        open.send(Ok(())).unwrap();
        drop(writing);
        assert_eq!(next(&writes), b"last words\n");
        lines.push(b"too late\n");
        assert_eq!(lines.lost(), 1);
    }

    #[test]
    fn a_sink_that_is_gone_costs_its_lines_and_nothing_else() {
        let (sink, open, _writes) = gate(false);
        let (lines, writing) = Lines::start("test", 1000, sink, None);
        lines.push(b"one\ntwo\n");
        open.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        drop(writing);
        assert_eq!(lines.lost(), 2);
    }
}
