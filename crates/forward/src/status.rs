//! How the link is doing: plain numbers, written by the link and apply threads, read by whoever shows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use outpost_wire::Zxid;
use parking_lot::Mutex;

use crate::candidates::Candidate;
use crate::clock;
use crate::freshness::Freshness;
use crate::histogram::Histogram;
use crate::latencies::{Latencies, LatencySummary};
use crate::losses::{CaughtUp, Loss, LossReport, Losses, Outcome};
use crate::lost::Lost;
use crate::namespaces::Namespaces;
use crate::progress::Arriving;
use crate::recorder::Recording;
use crate::tally::Tally;

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

/// One life of the link, from the answer to OBSERVERINFO on.
#[derive(Debug, Clone)]
struct Life {
    master: Master,
    followed: Option<Instant>,
    /// Transactions applied, and snapshots taken over, before it.
    txns_before: u64,
    snapshots_before: u64,
}

/// A link that is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reattached {
    /// How long nothing was followed.
    pub after: Duration,
    /// Clients that have kept their connection; `None`: they had been given up before.
    pub kept: Option<u64>,
    /// How the mirror caught up.
    pub by: CaughtUp,
}

/// Numbers about the link, since the start of the process.
#[derive(Debug)]
pub struct LinkStatus {
    state: AtomicU8,
    freshness: Mutex<Freshness>,
    master: Mutex<Option<Master>>,
    /// The present life of the link, or the last.
    life: Mutex<Option<Life>>,
    /// The last packets of a life that has ended, until its loss is noted.
    recording: Mutex<Recording>,
    losses_kept: Mutex<Losses>,
    /// Since when nothing is followed.
    detached_since: Mutex<Option<Instant>>,
    /// Whether the leader announced no membership: it is older than 3.5.
    before_3_5: AtomicBool,
    /// The snapshot that is arriving, if one is.
    arriving: Mutex<Option<Arriving>>,
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
    /// Times from a loss of the link until writes were served again.
    pub reattach: Histogram,
    /// Clients that kept their connection over a loss of the link, each counted at every loss.
    pub clients_kept: AtomicU64,
    /// Requests that were in flight at a loss of the link and were found in what came afterwards.
    pub writes_answered: AtomicU64,
    /// Requests that were in flight at a loss of the link and whose fate cannot be known.
    pub writes_unknown: AtomicU64,
    /// Snapshots received whole.
    pub snapshots: AtomicU64,
    /// Requests forwarded, of all kinds.
    pub requests_forwarded: AtomicU64,
    /// Requests on their way, now.
    pub in_flight: AtomicU64,
    /// Bytes of requests that wait to be sent, now.
    pub waiting_bytes: Arc<AtomicU64>,
    /// Events waiting to be applied, now.
    pub apply_queue: AtomicU64,
    /// Bytes of events waiting to be applied, now.
    pub apply_queue_bytes: AtomicU64,
    /// Bytes of the buffers around the socket, and of history that is kept until its leader is confirmed, now.
    pub buffers: AtomicU64,
    /// Milliseconds the last synchronisation took, from LEADERINFO to UPTODATE.
    pub last_sync_ms: AtomicU64,
    /// Times that synchronisations took, from LEADERINFO to UPTODATE.
    pub synchronizations: Latencies,
    /// Times between the leader's clock in a transaction and its application here, while following. Two
    /// clocks may differ; a negative time counts as none.
    pub propagation: Latencies,
    /// Milliseconds between the leader's clock in the newest transaction and its application here.
    pub propagation_ms: AtomicI64,
    /// Times between the leader's clock in a transaction and its arrival here, while following; ms, none negative.
    pub arrivals: Latencies,
    /// From the arrival of a transaction that answers a request of ours until it was applied, ms.
    pub own_waits: Latencies,
    /// From the arrival of any other transaction until it was applied, ms.
    pub other_waits: Latencies,
    /// Bytes written, by namespace.
    pub written: Mutex<Namespaces>,
    /// Requests that waited for the link each time it took some.
    pub requests_waiting: Latencies,
    /// Times without a learner master to follow, each from a loss or the start until it was over, ms.
    pub unavailable: Latencies,
}

impl LinkStatus {
    pub(crate) fn new(silence_max: Duration) -> LinkStatus {
        let started = clock::now();
        LinkStatus {
            state: AtomicU8::new(LinkState::Seeking as u8),
            freshness: Mutex::new(Freshness::new(silence_max, started)),
            master: Mutex::new(None),
            life: Mutex::new(None),
            recording: Mutex::new(Recording::default()),
            losses_kept: Mutex::new(Losses::default()),
            detached_since: Mutex::new(Some(started)),
            before_3_5: AtomicBool::new(false),
            arriving: Mutex::new(None),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            txns_applied: AtomicU64::new(0),
            digest_mismatches: AtomicU64::new(0),
            digests_compared: AtomicU64::new(0),
            attachments: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            reattach: Histogram::default(),
            clients_kept: AtomicU64::new(0),
            writes_answered: AtomicU64::new(0),
            writes_unknown: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            requests_forwarded: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            waiting_bytes: Arc::new(AtomicU64::new(0)),
            apply_queue: AtomicU64::new(0),
            apply_queue_bytes: AtomicU64::new(0),
            buffers: AtomicU64::new(0),
            last_sync_ms: AtomicU64::new(0),
            synchronizations: Latencies::default(),
            propagation: Latencies::default(),
            propagation_ms: AtomicI64::new(0),
            arrivals: Latencies::default(),
            own_waits: Latencies::default(),
            other_waits: Latencies::default(),
            written: Mutex::default(),
            requests_waiting: Latencies::default(),
            unavailable: Latencies::default(),
        }
    }

    /// What the link is doing.
    pub fn state(&self) -> LinkState {
        match self.state.load(Ordering::Acquire) {
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
        let losses = self.losses_kept.lock();
        let last = losses.last()?;
        let ago = clock::now().saturating_duration_since(last.at);
        Some((last.reason.clone(), ago))
    }

    /// The newest zxid the leader is known to have.
    pub fn leader_zxid(&self) -> Zxid {
        self.freshness.lock().leader()
    }

    /// The zxid of the last applied transaction.
    pub fn applied_zxid(&self) -> Zxid {
        self.freshness.lock().applied()
    }

    /// Whether the leader is older than 3.5, and answers what came later with silence.
    pub fn leader_is_before_3_5(&self) -> bool {
        self.before_3_5.load(Ordering::Relaxed)
    }

    /// The snapshot that is arriving, if one is.
    pub fn arriving(&self) -> Option<Arriving> {
        *self.arriving.lock()
    }

    pub(crate) fn set_arriving(&self, arriving: Option<Arriving>) {
        *self.arriving.lock() = arriving;
    }

    /// A synchronisation is over, from LEADERINFO to UPTODATE.
    pub(crate) fn note_synchronized(&self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.last_sync_ms.store(ms, Ordering::Relaxed);
        self.synchronizations.note(ms, 1);
    }

    /// How many transactions the mirror is known to be behind the leader. Across epochs it counts
    /// those of the leader's epoch only.
    pub fn lag_zxids(&self) -> u64 {
        self.freshness.lock().behind()
    }

    /// How long ago the mirror was last known to be level with the leader; zero while it is: see
    /// [`Freshness::lag`] (P8).
    pub fn lag(&self) -> Duration {
        self.freshness.lock().lag(clock::now())
    }

    /// How long the leader took to answer lately: see [`Freshness::round_trip`].
    pub fn round_trip(&self) -> Option<Duration> {
        self.freshness.lock().round_trip()
    }

    /// Whether the mirror was ever level with a leader.
    pub fn was_level(&self) -> bool {
        self.freshness.lock().was_level()
    }

    /// For how long nothing has been followed; `None` while something is.
    pub fn detached_for(&self) -> Option<Duration> {
        let since = (*self.detached_since.lock())?;
        Some(clock::now().saturating_duration_since(since))
    }

    /// How often the link was lost, for each of [`Lost::LABELS`].
    pub fn losses_by_label(&self) -> Vec<(&'static str, u64)> {
        self.losses_kept.lock().by_label()
    }

    /// The last losses, newest first. `clients`: as they are now.
    pub fn loss_reports(&self, clients: &Tally) -> Vec<LossReport> {
        self.losses_kept.lock().report(clients)
    }

    /// The leader was asked something that it answers behind everything committed so far. The first question
    /// of a life is to be noted before UPTODATE is applied.
    pub(crate) fn note_asked(&self) {
        self.freshness.lock().asked(clock::now());
    }

    /// The answer to the oldest question is here, and all that came before it is applied.
    pub(crate) fn note_answered(&self) {
        self.freshness.lock().answered(clock::now());
    }

    /// The last packets of a life that ends. To be called before its loss is noted.
    pub(crate) fn keep_recording(&self, recording: Recording) {
        *self.recording.lock() = recording;
    }

    /// A life of the link has ended: for how long it was followed, if it was. `clients`: as they are before anything
    /// is done about it.
    pub(crate) fn note_loss(&self, lost: &Lost, clients: Tally) -> Option<Duration> {
        let now = clock::now();
        self.losses.fetch_add(1, Ordering::Relaxed);
        self.detached_since.lock().get_or_insert(now);
        let life = self.life.lock().take()?;
        let followed = life.followed;
        let (applied, leader) = (self.applied_zxid(), self.leader_zxid());
        self.losses_kept.lock().push(Loss {
            number: 0,
            label: lost.label(),
            reason: lost.to_string(),
            master: life.master.candidate,
            epoch: life.master.epoch,
            began: life.master.since,
            followed: life.followed,
            at: now,
            wall_clock: SystemTime::now(),
            applied,
            leader,
            clients,
            recording: std::mem::take(&mut self.recording.lock()),
            outcome: Outcome::Open,
        });
        followed.map(|since| now.saturating_duration_since(since))
    }

    /// UPTODATE is applied and clients are served. `held`: they were all the time since the loss. `None` where
    /// nothing was lost before: this is the first time.
    pub(crate) fn note_attached(&self, held: bool, clients: &Tally) -> Option<Reattached> {
        let by = self.caught_up();
        let kept = held.then_some(clients.connected);
        let mut losses = self.losses_kept.lock();
        let after = losses.reattached(clock::now(), kept, by)?;
        self.reattach.note(after);
        self.clients_kept
            .fetch_add(kept.unwrap_or(0), Ordering::Relaxed);
        Some(Reattached { after, kept, by })
    }

    /// Bytes written, by namespace.
    pub fn written_by_namespace(&self) -> Vec<(String, LatencySummary)> {
        Namespaces::sum([&*self.written.lock()].into_iter())
    }

    /// A transaction has come that the leader made at that time, ms since 1970.
    pub(crate) fn note_commit(&self, time: i64) {
        let ms = clock::wall_clock_ms().saturating_sub(time);
        self.arrivals.note(u64::try_from(ms).unwrap_or(0), 1);
    }

    /// A transaction was applied that has waited since then.
    pub(crate) fn note_wait(&self, since: Instant, ours: bool) {
        let waits = match ours {
            true => &self.own_waits,
            false => &self.other_waits,
        };
        let waited = clock::now().saturating_duration_since(since);
        waits.note(whole_ms(waited), 1);
    }

    /// Clients are not held any longer.
    pub(crate) fn note_given_up(&self) {
        self.losses_kept.lock().given_up(clock::now());
    }

    fn caught_up(&self) -> CaughtUp {
        let (txns, snapshots) = match &*self.life.lock() {
            Some(life) => (life.txns_before, life.snapshots_before),
            None => (0, 0),
        };
        match self.snapshots() > snapshots {
            true => CaughtUp::Snap,
            false => CaughtUp::Diff(self.txns_applied.load(Ordering::Relaxed) - txns),
        }
    }

    pub(crate) fn set_state(&self, state: LinkState) {
        // Whoever sees it also sees what was settled before it, a loss above all.
        self.state.store(state as u8, Ordering::Release);
        let now = clock::now();
        match state {
            LinkState::Attached => {
                self.freshness.lock().followed(now);
                if let Some(since) = self.detached_since.lock().take() {
                    self.unavailable.note(whole_ms(now - since), 1);
                }
                if let Some(life) = &mut *self.life.lock() {
                    life.followed = Some(now);
                }
            }
            LinkState::Seeking | LinkState::Synchronizing => self.freshness.lock().parted(),
        }
    }

    pub(crate) fn snapshots(&self) -> u64 {
        self.snapshots.load(Ordering::Relaxed)
    }

    pub(crate) fn set_leader_before_3_5(&self, before: bool) {
        self.before_3_5.store(before, Ordering::Relaxed);
    }

    pub(crate) fn set_master(&self, master: Option<Master>) {
        if let Some(master) = &master {
            *self.life.lock() = Some(Life {
                master: master.clone(),
                followed: None,
                txns_before: self.txns_applied.load(Ordering::Relaxed),
                snapshots_before: self.snapshots(),
            });
        }
        *self.master.lock() = master;
    }

    pub(crate) fn note_forwarded(&self) {
        self.requests_forwarded.fetch_add(1, Ordering::Relaxed);
    }

    /// Whoever sees an attachment counted also sees what was settled before it.
    pub(crate) fn attachments(&self) -> u64 {
        self.attachments.load(Ordering::Acquire)
    }

    pub(crate) fn note_leader_zxid(&self, zxid: Zxid) {
        self.freshness.lock().leader_is_at(zxid, clock::now());
    }

    pub(crate) fn note_applied(&self, zxid: Zxid) {
        self.freshness.lock().mirror_is_at(zxid, clock::now());
    }
}
fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
