//! Figures of the whole process that no other part keeps.
//!
//! Counters on the path of a read belong to one worker each, so that no two cores write to the same
//! cache line; they are summed when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outpost_forward::latencies::{Latencies, LatencySummary};
use outpost_forward::namespaces::Namespaces;
use outpost_forward::tally::Closed;
use parking_lot::Mutex;

use crate::fired::Fired;
use crate::logs::Rarely;
use crate::reached::Reached;
use crate::serve::client::Cause;
use crate::serve::lane::Lane;
use crate::serve::request_throttle::ThrottleStats;
use crate::sizes::{Sizes, SizesReport};

/// Counters of one worker. Only its thread writes to them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Frames received from clients, four-letter words included.
    pub received: AtomicU64,
    /// Frames sent in answer to what was received.
    pub sent: AtomicU64,
    /// Bytes received from clients.
    pub bytes_received: AtomicU64,
    /// Bytes sent to clients.
    pub bytes_sent: AtomicU64,
    /// Reads answered from the tree.
    pub reads: AtomicU64,
    latencies: Latencies,
    /// Bytes of the answers to them.
    pub sizes: Sizes,
    /// Bytes read, by namespace.
    pub namespaces: Mutex<Namespaces>,
    /// Where its connections with large answers take their turns.
    pub lane: Lane,
}

impl WorkerStats {
    /// Counts what one turn of one connection did.
    pub fn note_turn(&self, received: u64, sent: u64, reads: u64, ms: u64) {
        self.received.fetch_add(received, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
        if reads > 0 {
            self.reads.fetch_add(reads, Ordering::Relaxed);
            self.latencies.note(ms, reads);
        }
    }
}

/// What became of TLS handshakes with clients.
#[derive(Debug, Default)]
pub struct Handshakes {
    /// Connections that are not through with theirs, nor found to want none.
    pub outstanding: AtomicU64,
    /// Those that ended well.
    pub done: AtomicU64,
    /// Of these, the ones that went on with an earlier session of TLS.
    pub resumed: AtomicU64,
    /// Those that failed.
    pub failed: AtomicU64,
    /// Connections closed because too many waited already.
    pub exceeded: AtomicU64,
}

/// Figures of the whole process.
#[derive(Debug)]
pub struct Stats {
    /// When the process started.
    pub started: Instant,
    workers: Vec<Arc<WorkerStats>>,
    /// Writes that came back, and how long they took.
    writes: Latencies,
    /// Frames sent that no turn of a connection counts: answers of writes and of what waited behind them,
    /// notifications, answers to connect requests.
    pub pushed: AtomicU64,
    /// Watch events among them.
    pub notifications: AtomicU64,
    /// Bytes of those watch events.
    pub notification_bytes: AtomicU64,
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections refused because of a limit, or because too many sessions were asked for.
    pub rejected: AtomicU64,
    /// Connections that the client closed, or that failed.
    pub dropped: AtomicU64,
    /// Sessions asked for, new and coming back.
    pub connect_requests: AtomicU64,
    /// Sessions that came back.
    pub revalidations: AtomicU64,
    /// Connections closed because of bytes that are no request.
    pub malformed: AtomicU64,
    /// Requests refused here because they would hurt a leader or cannot be decoded (P9).
    pub refused: AtomicU64,
    /// Requests that would have brought the large ones in work above their bound.
    pub large_rejected: AtomicU64,
    /// Authentications that failed.
    pub auth_failed: AtomicU64,
    /// Connections cut because they did not read.
    pub outbox_overflows: AtomicU64,
    /// Connections that this server has ended, by [`Cause`].
    closed: [AtomicU64; Cause::ALL.len()],
    /// Connections closed before they had a session.
    pub sessionless_expired: AtomicU64,
    /// Snapshots refused to an operator because there was one not long ago.
    pub snapshots_limited: AtomicU64,
    /// Snapshots for an operator that came to nothing.
    pub snapshots_failed: AtomicU64,
    /// Sessions whose connection was silent for a whole timeout.
    pub stale_expired: AtomicU64,
    /// Bytes of the answers that no turn of a connection counts.
    pub pushed_sizes: Sizes,
    /// Bytes of reads that had to wait behind writes, by namespace.
    pub late_reads: Mutex<Namespaces>,
    /// Watchers told of a change, by what had changed.
    pub fired: Mutex<Fired>,
    /// Tokens that were missing from a full bucket at each connect request.
    pub token_deficit: Latencies,
    /// Connections closed because nobody is served.
    pub closed_not_serving: AtomicU64,
    /// Answers of the leader whose connection was gone.
    pub stale_replies: AtomicU64,
    /// Clients that named this ensemble.
    pub ensemble_named: AtomicU64,
    /// Clients that named another.
    pub ensemble_other: AtomicU64,
    /// Clients that named none, or any, where none is demanded.
    pub ensemble_skipped: AtomicU64,
    /// Connections of clients, from accept to close.
    pub open: Arc<AtomicUsize>,
    /// Limits that were reached.
    pub reached: Reached,
    /// The request throttle.
    pub throttle: ThrottleStats,
    /// Lines about logins that have failed.
    pub failed_logins: Rarely,
    /// TLS handshakes.
    pub handshakes: Arc<Handshakes>,
    /// Connections accepted from other machines at a port that does not demand TLS.
    pub plain_remote: AtomicU64,
    /// The same from this machine.
    pub plain_local: AtomicU64,
    /// Connections at the admin port that do not speak TLS although it is spoken there.
    pub plain_admin: AtomicU64,
}

impl Stats {
    /// All zero, with one set of counters for each worker.
    pub fn new(workers: usize) -> Stats {
        Stats {
            started: Instant::now(),
            workers: (0..workers).map(|_| Arc::default()).collect(),
            writes: Latencies::default(),
            pushed: AtomicU64::new(0),
            notifications: AtomicU64::new(0),
            notification_bytes: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            connect_requests: AtomicU64::new(0),
            revalidations: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            large_rejected: AtomicU64::new(0),
            auth_failed: AtomicU64::new(0),
            outbox_overflows: AtomicU64::new(0),
            closed: Default::default(),
            sessionless_expired: AtomicU64::new(0),
            snapshots_limited: AtomicU64::new(0),
            snapshots_failed: AtomicU64::new(0),
            stale_expired: AtomicU64::new(0),
            pushed_sizes: Sizes::default(),
            late_reads: Mutex::default(),
            fired: Mutex::default(),
            token_deficit: Latencies::default(),
            closed_not_serving: AtomicU64::new(0),
            stale_replies: AtomicU64::new(0),
            ensemble_named: AtomicU64::new(0),
            ensemble_other: AtomicU64::new(0),
            ensemble_skipped: AtomicU64::new(0),
            open: Arc::default(),
            reached: Reached::default(),
            throttle: ThrottleStats::default(),
            failed_logins: Rarely::default(),
            handshakes: Arc::default(),
            plain_remote: AtomicU64::new(0),
            plain_local: AtomicU64::new(0),
            plain_admin: AtomicU64::new(0),
        }
    }

    /// The counters of worker `index`.
    pub fn worker(&self, index: usize) -> Arc<WorkerStats> {
        Arc::clone(&self.workers[index])
    }

    /// Counts a write that came back.
    pub fn note_write(&self, ms: u64) {
        self.pushed.fetch_add(1, Ordering::Relaxed);
        self.writes.note(ms, 1);
    }

    /// Counts a session that was made: a write too, as a Java server sees it.
    pub fn note_session_made(&self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.writes.note(ms, 1);
    }

    /// Counts a connection that this server has ended.
    pub fn note_closed(&self, cause: Cause) {
        self.closed[cause as usize - 1].fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that this server has ended, for every cause.
    pub fn closed(&self) -> Closed {
        let count = |cause: Cause| self.closed[cause as usize - 1].load(Ordering::Relaxed);
        let each = Cause::ALL.into_iter();
        Closed(each.map(|cause| (cause.label(), count(cause))).collect())
    }

    /// Counts a watch event of so many bytes.
    pub fn note_notification(&self, bytes: usize) {
        self.pushed.fetch_add(1, Ordering::Relaxed);
        self.notifications.fetch_add(1, Ordering::Relaxed);
        self.notification_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes read, by namespace.
    pub fn read_by_namespace(&self) -> Vec<(String, LatencySummary)> {
        let workers = self.workers.iter().map(|worker| &worker.namespaces);
        let all: Vec<_> = workers.chain([&self.late_reads]).map(Mutex::lock).collect();
        Namespaces::sum(all.iter().map(|one| &**one))
    }

    /// Bytes of answers.
    pub fn response_sizes(&self) -> SizesReport {
        let workers = self.workers.iter().map(|worker| &worker.sizes);
        SizesReport::of(workers.chain([&self.pushed_sizes]))
    }

    /// The sum of one counter over all workers.
    pub fn sum(&self, counter: impl Fn(&WorkerStats) -> &AtomicU64) -> u64 {
        self.workers
            .iter()
            .map(|worker| counter(worker).load(Ordering::Relaxed))
            .sum()
    }

    /// Frames received from clients.
    pub fn received(&self) -> u64 {
        self.sum(|worker| &worker.received)
    }

    /// Frames sent to clients.
    pub fn sent(&self) -> u64 {
        self.sum(|worker| &worker.sent) + self.pushed.load(Ordering::Relaxed)
    }

    /// Latencies of reads answered from the tree.
    pub fn read_latency(&self) -> LatencySummary {
        LatencySummary::of(self.workers.iter().map(|worker| &worker.latencies))
    }

    /// Latencies of writes that came back.
    pub fn write_latency(&self) -> LatencySummary {
        LatencySummary::of([&self.writes])
    }

    /// Latencies of all requests.
    pub fn latency(&self) -> LatencySummary {
        let reads = self.workers.iter().map(|worker| &worker.latencies);
        LatencySummary::of(reads.chain([&self.writes]))
    }

    /// Starts counting frames and latencies anew, as the four-letter word `srst` asks.
    pub fn reset(&self) {
        for worker in &self.workers {
            worker.received.store(0, Ordering::Relaxed);
            worker.sent.store(0, Ordering::Relaxed);
            worker.latencies.reset();
        }
        self.pushed.store(0, Ordering::Relaxed);
        self.writes.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_and_the_apply_thread_count_adds_up() {
        let stats = Stats::new(2);
        stats.worker(1).note_turn(3, 3, 3, 4);
        stats.note_write(10);
        let latency = stats.latency();
        assert_eq!((latency.min, latency.max, latency.count), (4, 10, 4));
        assert_eq!(stats.received(), 3);
        assert_eq!(stats.sent(), 4);
        stats.reset();
        assert_eq!((stats.latency().count, stats.sent()), (0, 0));
    }

    #[test]
    fn connections_ended_are_counted_by_cause_and_no_reset_forgets_them() {
        let stats = Stats::new(1);
        for cause in Cause::ALL {
            stats.note_closed(cause);
        }
        stats.note_closed(Cause::Lease);
        stats.reset();
        let closed = stats.closed();
        for cause in Cause::ALL {
            let count = 1 + u64::from(cause == Cause::Lease);
            assert!(closed.0.contains(&(cause.label(), count)), "{closed}");
        }
    }
}
