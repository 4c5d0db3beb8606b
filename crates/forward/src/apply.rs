//! The apply thread: the one place where the tree changes.
//!
//! Events come off the queue in batches; a batch is applied under one guard of the tree, so that a
//! reader sees all of it or nothing. Watches fire and answers leave under that guard (P3).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use outpost_mirror::{Applied, DigestCheck, Mirror, Tree, WriteGuard};
use outpost_wire::OpCode;
use outpost_wire::membership::Membership;
use outpost_wire::txn::{Txn, TxnEntry};
use tokio::sync::Semaphore;

use crate::answers::{Answers, View};
use crate::clock;
use crate::driver::Queued;
use crate::event::Event;
use crate::hold::{Hold, Standing};
use crate::link::Shared;
use crate::lost::Lost;
use crate::writes::{Answer, Pending};

/// Where clients read the membership.
const CONFIG_PATH: &str = "/zookeeper/config";

/// Events applied under one guard: enough to spread the cost of taking it, few enough that a reader
/// waits for microseconds.
pub(crate) const BATCH_MAX: usize = 128;

/// The apply thread's state.
pub(crate) struct Apply {
    mirror: Arc<Mirror>,
    answers: Arc<dyn Answers>,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    hold: Hold,
    /// The mirror was found to differ: nothing more is applied until a fresh snapshot is here.
    diverged: bool,
    /// A tree that was replaced, to be dropped when nobody waits for the guard.
    retired: Option<Tree>,
}

impl Apply {
    pub(crate) fn new(
        mirror: Arc<Mirror>,
        answers: Arc<dyn Answers>,
        shared: Arc<Shared>,
        room: Arc<Semaphore>,
        hold: Duration,
    ) -> Apply {
        let hold = Hold::new(hold);
        Apply {
            mirror,
            answers,
            shared,
            room,
            hold,
            diverged: false,
            retired: None,
        }
    }

    /// Applies what came off the queue, in which so many events still wait.
    pub(crate) fn apply_batch(&mut self, batch: &mut Vec<Queued>, waiting: usize) {
        let queued = &self.shared.status.apply_queue;
        queued.store(waiting as u64, Ordering::Relaxed);
        let mirror = Arc::clone(&self.mirror);
        let mut applied_bytes = 0;
        let mut guard = mirror.write();
        for queued in batch.drain(..) {
            applied_bytes += queued.bytes as usize;
            self.handle(queued.event, &mut guard);
        }
        let zxid = guard.last_zxid();
        drop(guard);
        self.shared.status.note_applied(zxid);
        self.answers.batch_done();
        self.shared.came_back.notify_one();
        self.room.add_permits(applied_bytes);
        let waiting = self.shared.apply_queue_bytes_max - self.room.available_permits();
        self.shared
            .status
            .apply_queue_bytes
            .store(waiting as u64, Ordering::Relaxed);
        self.retired = None;
    }

    fn handle(&mut self, event: Event, guard: &mut WriteGuard<'_>) {
        match event {
            Event::Snapshot(tree) => self.replace(*tree, guard),
            Event::Committed { bytes, .. } => self.commit(&bytes, guard),
            Event::UpToDate { membership } => self.up_to_date(membership, guard),
            Event::Synced => match self.shared.writes.synced() {
                Some(pending) => self.answers.synced(&pending, view(guard)),
                None => tracing::warn!("a SYNC came that nobody waits for"),
            },
            Event::Revalidated { session, valid } => {
                if let Some(origin) = self.shared.writes.revalidated(session) {
                    self.answers
                        .revalidated(origin, session, valid, view(guard));
                }
            }
            Event::Lost { reason, done } => {
                self.lost(&reason);
                // Fails when the link thread does not wait any more.
                let _ = done.send(());
            }
        }
    }

    /// Puts a whole new tree in the place of the old one.
    fn replace(&mut self, tree: Tree, guard: &mut WriteGuard<'_>) {
        tracing::info!(zxid = %tree.last_zxid(), znodes = tree.node_count(), "snapshot taken over");
        self.shared.status.snapshots.fetch_add(1, Ordering::Relaxed);
        self.diverged = false;
        self.retired = Some(std::mem::replace(&mut **guard, tree));
    }

    fn commit(&mut self, bytes: &Bytes, guard: &mut WriteGuard<'_>) {
        if self.diverged {
            return;
        }
        let entry = match TxnEntry::decode(bytes) {
            Ok(entry) => entry,
            Err(error) => return self.diverge(&format!("a transaction cannot be read: {error}")),
        };
        let answers = &self.answers;
        let watches = guard.watches();
        let applied = guard.apply(&entry, watches, &mut |watcher, event| {
            answers.fired(watcher, event);
        });
        self.note(&entry);
        if let Some(why) = &applied.diverged {
            return self.diverge(&why.to_string());
        }
        self.compare(&applied);
        match self.shared.writes.answered_by(&entry.header) {
            Answer::NotOurs => {}
            Answer::Ours(pending) => self.answers.committed(&pending, &applied, view(guard)),
            Answer::OursAfter(pending, skipped) => {
                self.give_up_on(&skipped);
                self.answers.committed(&pending, &applied, view(guard));
            }
        }
        if entry.header.kind == OpCode::CloseSession.code() {
            self.answers.session_closed(entry.header.session);
        }
    }

    /// Counts how the digests compare, and tells the link thread, which draws the conclusion.
    fn compare(&self, applied: &Applied) {
        let status = &self.shared.status;
        match applied.digest {
            DigestCheck::NotSent => {}
            DigestCheck::Matches => {
                status.digests_compared.fetch_add(1, Ordering::Relaxed);
                if self.shared.suspicion.lock().matches() {
                    tracing::info!(zxid = %applied.zxid, "the tree's digest is the leader's again");
                }
            }
            DigestCheck::Differs { ours, theirs } => {
                status.digests_compared.fetch_add(1, Ordering::Relaxed);
                status.digest_mismatches.fetch_add(1, Ordering::Relaxed);
                if self.shared.suspicion.lock().differs(clock::now()) {
                    let (ours, theirs) = (format!("{ours:x}"), format!("{theirs:x}"));
                    tracing::warn!(zxid = %applied.zxid, ours, theirs,
                        "the tree's digest differs from the leader's");
                }
            }
        }
    }

    /// Keeps the numbers about a transaction, and the membership it may carry.
    fn note(&mut self, entry: &TxnEntry<'_>) {
        let status = &self.shared.status;
        status.txns_applied.fetch_add(1, Ordering::Relaxed);
        let ms = wall_clock_ms() - entry.header.time;
        status.propagation_ms.store(ms, Ordering::Relaxed);
        // What a DIFF brings was committed while nobody here could have heard of it.
        if matches!(self.hold.standing(), Standing::Attached(_)) {
            status.propagation.note(u64::try_from(ms).unwrap_or(0), 1);
        }
        if entry.header.kind == OpCode::Reconfig.code()
            && let Txn::SetData {
                data: Some(text), ..
            } = &entry.txn
        {
            *self.shared.announced.lock() = Some(Bytes::copy_from_slice(text));
        }
    }

    fn up_to_date(&mut self, membership: Option<Bytes>, guard: &mut WriteGuard<'_>) {
        self.shared
            .status
            .set_leader_before_3_5(membership.is_none());
        if let Some(text) = membership {
            adopt_config(&text, guard);
            *self.shared.announced.lock() = Some(text);
        }
        let attachment = self.hold.attached();
        self.shared
            .status
            .attachments
            .fetch_add(1, Ordering::Relaxed);
        self.shared.set_attachment(Some(attachment));
        tracing::info!(zxid = %guard.last_zxid(), znodes = guard.node_count(),
            "attached to the ensemble, serving clients");
        self.answers.attached(attachment);
    }

    fn lost(&mut self, reason: &Lost) {
        self.shared.set_attachment(None);
        let (requests, _revalidations) = self.shared.writes.abandon();
        self.give_up_on(&requests);
        if self.hold.lost(clock::now()) {
            self.answers.detached(reason);
        }
    }

    fn give_up_on(&self, requests: &[Pending]) {
        for pending in requests {
            self.answers.fate_unknown(pending);
        }
    }

    /// Stops trusting the mirror: the link is given up and the next one starts from a snapshot (P1).
    fn diverge(&mut self, why: &str) {
        tracing::error!(
            why,
            "the mirror differs from the leader's tree; fetching it anew"
        );
        self.diverged = true;
        self.shared.diverge();
    }
}

/// Shows the membership that the master announced in `/zookeeper/config`, where a master that has
/// no such transaction in its history sends it with NEWLEADER alone.
fn adopt_config(text: &[u8], guard: &mut WriteGuard<'_>) {
    let shown = guard.node(CONFIG_PATH.into()).and_then(|node| node.data());
    if shown == Some(text) {
        return;
    }
    match Membership::parse(text) {
        Ok(membership) => guard.set_config(text, membership.version, wall_clock_ms()),
        Err(error) => tracing::warn!(%error, "the membership in NEWLEADER cannot be read"),
    }
}

fn view<'a>(guard: &'a WriteGuard<'_>) -> View<'a> {
    View {
        tree: guard,
        watches: guard.watches(),
    }
}

fn wall_clock_ms() -> i64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
