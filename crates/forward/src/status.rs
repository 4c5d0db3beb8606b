//! How the link is doing: plain numbers, written by the link and apply threads, read by whoever shows them.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outpost_wire::Zxid;
use parking_lot::Mutex;

use crate::candidates::Candidate;
use crate::clock;
use crate::latencies::Latencies;

/// What the link is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LinkState {
    /// Looking for a learner master.
    Seeking = 0,
    /// Registered; history or a snapshot is arriving.
    Synchronizing = 1,
    /// Following.
    Attached = 2,
}

/// The other end, while there is one.
#[derive(Debug, Clone)]
pub struct Master {
    /// Where it was reached.
    pub candidate: Candidate,
    /// Its epoch.
    pub epoch: u32,
    /// Since when it answers.
    pub since: Instant,
}

/// Numbers about the link, since the start of the process.
#[derive(Debug)]
pub struct LinkStatus {
    started: Instant,
    /// How long the mirror counts as level with a leader that says nothing.
    silence_max: Duration,
    state: AtomicU8,
    leader_zxid: AtomicI64,
    applied_zxid: AtomicI64,
    /// Milliseconds after `started` at which the mirror was last known to be level with the leader.
    level_ms: AtomicU64,
    master: Mutex<Option<Master>>,
    /// Why the last link ended, and when.
    last_loss: Mutex<Option<(String, Instant)>>,
    /// Whether the leader announced no membership: it is older than 3.5.
    before_3_5: AtomicBool,
    /// Bytes read from learner masters.
    pub bytes_received: AtomicU64,
    /// Bytes written to learner masters.
    pub bytes_sent: AtomicU64,
    /// Transactions applied.
    pub txns_applied: AtomicU64,
    /// Transactions whose digest differed from the leader's.
    pub digest_mismatches: AtomicU64,
    /// Transactions with a digest that was compared.
    pub digests_compared: AtomicU64,
    /// How often the link became attached.
    pub attachments: AtomicU64,
    /// How often a link was lost.
    pub losses: AtomicU64,
    /// Snapshots received whole.
    pub snapshots: AtomicU64,
    /// Requests forwarded, of all kinds.
    pub requests_forwarded: AtomicU64,
    /// Requests on their way, now.
    pub in_flight: AtomicU64,
    /// Events waiting to be applied, now.
    pub apply_queue: AtomicU64,
    /// Bytes of events waiting to be applied, now.
    pub apply_queue_bytes: AtomicU64,
    /// Znodes of the snapshot that is arriving; 0 when none is.
    pub snapshot_nodes: AtomicU64,
    /// Milliseconds the last synchronisation took, from LEADERINFO to UPTODATE.
    pub last_sync_ms: AtomicU64,
    /// Times that synchronisations took, from LEADERINFO to UPTODATE.
    pub synchronizations: Latencies,
    /// Times between the leader's clock in a transaction and its application here, while following. Two
    /// clocks may differ; a negative time counts as none.
    pub propagation: Latencies,
    /// Milliseconds between the leader's clock in the newest transaction and its application here.
    pub propagation_ms: AtomicI64,
}

impl LinkStatus {
    pub(crate) fn new(silence_max: Duration) -> LinkStatus {
        LinkStatus {
            started: clock::now(),
            silence_max,
            state: AtomicU8::new(LinkState::Seeking as u8),
            leader_zxid: AtomicI64::new(0),
            applied_zxid: AtomicI64::new(0),
            level_ms: AtomicU64::new(0),
            master: Mutex::new(None),
            last_loss: Mutex::new(None),
            before_3_5: AtomicBool::new(false),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            txns_applied: AtomicU64::new(0),
            digest_mismatches: AtomicU64::new(0),
            digests_compared: AtomicU64::new(0),
            attachments: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            requests_forwarded: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            apply_queue: AtomicU64::new(0),
            apply_queue_bytes: AtomicU64::new(0),
            snapshot_nodes: AtomicU64::new(0),
            last_sync_ms: AtomicU64::new(0),
            synchronizations: Latencies::default(),
            propagation: Latencies::default(),
            propagation_ms: AtomicI64::new(0),
        }
    }

    /// What the link is doing.
    pub fn state(&self) -> LinkState {
        match self.state.load(Ordering::Relaxed) {
            2 => LinkState::Attached,
            1 => LinkState::Synchronizing,
            _ => LinkState::Seeking,
        }
    }

    /// The other end, while there is one.
    pub fn master(&self) -> Option<Master> {
        self.master.lock().clone()
    }

    /// Why the last link ended, and how long ago.
    pub fn last_loss(&self) -> Option<(String, Duration)> {
        self.last_loss
            .lock()
            .as_ref()
            .map(|(why, when)| (why.clone(), clock::now().saturating_duration_since(*when)))
    }

    /// The newest zxid the leader is known to have.
    pub fn leader_zxid(&self) -> Zxid {
        Zxid(self.leader_zxid.load(Ordering::Relaxed))
    }

    /// The zxid of the last applied transaction.
    pub fn applied_zxid(&self) -> Zxid {
        Zxid(self.applied_zxid.load(Ordering::Relaxed))
    }

    /// Whether the leader is older than 3.5, and answers what came later with silence.
    pub fn leader_is_before_3_5(&self) -> bool {
        self.before_3_5.load(Ordering::Relaxed)
    }

    /// How many transactions the mirror is known to be behind the leader. Across epochs it counts
    /// those of the leader's epoch only.
    pub fn lag_zxids(&self) -> u64 {
        let (leader, applied) = (self.leader_zxid(), self.applied_zxid());
        if leader.epoch() == applied.epoch() {
            u64::from(leader.counter().saturating_sub(applied.counter()))
        } else if leader > applied {
            u64::from(leader.counter())
        } else {
            0
        }
    }

    /// How long ago the mirror was last known to be level with the leader; zero while it is. Leaders tell
    /// their zxid twice a tick: when nothing comes for longer, nothing is known (P8).
    pub fn lag(&self) -> Duration {
        let level = Duration::from_millis(self.level_ms.load(Ordering::Relaxed));
        let age = clock::now()
            .saturating_duration_since(self.started)
            .saturating_sub(level);
        let is_level = self.state() == LinkState::Attached && self.lag_zxids() == 0;
        match is_level && age <= self.silence_max {
            true => Duration::ZERO,
            false => age,
        }
    }

    pub(crate) fn set_state(&self, state: LinkState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    pub(crate) fn snapshots(&self) -> u64 {
        self.snapshots.load(Ordering::Relaxed)
    }

    pub(crate) fn set_leader_before_3_5(&self, before: bool) {
        self.before_3_5.store(before, Ordering::Relaxed);
    }

    pub(crate) fn set_master(&self, master: Option<Master>) {
        *self.master.lock() = master;
    }

    pub(crate) fn note_loss(&self, reason: String) {
        self.losses.fetch_add(1, Ordering::Relaxed);
        *self.last_loss.lock() = Some((reason, clock::now()));
    }

    pub(crate) fn note_leader_zxid(&self, zxid: Zxid) {
        self.leader_zxid.store(zxid.0, Ordering::Relaxed);
        self.note_level();
    }

    pub(crate) fn note_applied(&self, zxid: Zxid) {
        self.applied_zxid.store(zxid.0, Ordering::Relaxed);
        self.note_level();
    }

    fn note_level(&self) {
        if self.lag_zxids() == 0 {
            let now_ms = u64::try_from(
                clock::now()
                    .saturating_duration_since(self.started)
                    .as_millis(),
            )
            .unwrap_or(u64::MAX);
            self.level_ms.store(now_ms, Ordering::Relaxed);
        }
    }
}
