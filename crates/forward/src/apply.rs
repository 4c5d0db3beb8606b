//! The apply thread: the one place where the tree changes.
//!
//! Events come off the queue in batches; a batch is applied under one guard of the tree, so that a
//! reader sees all of it or nothing. Watches fire and answers leave under that guard (P3).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bstr::{BStr, BString, ByteSlice};
use bytes::Bytes;
use outpost_mirror::{Applied, Difference, DigestCheck, Mirror, Tree, WriteGuard};
use outpost_wire::membership::Membership;
use outpost_wire::txn::{Txn, TxnEntry};
use outpost_wire::{ErrorCode, OpCode, SessionId};
use tokio::sync::Semaphore;

use crate::answers::{Answers, GaveUp, View};
use crate::clock;
use crate::driver::Queued;
use crate::event::Event;
use crate::hold::{Hold, Standing};
use crate::link::Shared;
use crate::lost::Lost;
use crate::namespaces::Namespaces;
use crate::status::Reattached;
use crate::writes::Pending;

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
            match queued.event {
                Event::Snapshot(tree) => {
                    // Comparing two trees takes time, which readers are not to wait for.
                    drop(guard);
                    let difference = self.survey(&mirror, &tree);
                    guard = mirror.write();
                    self.replace(*tree, difference.as_ref(), &mut guard);
                }
                event => self.handle(event, queued.at, &mut guard),
            }
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

    fn handle(&mut self, event: Event, came: Instant, guard: &mut WriteGuard<'_>) {
        match event {
            Event::Snapshot(tree) => self.replace(*tree, None, guard),
            Event::Committed { bytes, .. } => self.commit(&bytes, came, guard),
            Event::UpToDate {
                epoch,
                at,
                membership,
            } => self.up_to_date(epoch, at, membership, guard),
            Event::Synced => self.synced(guard),
            Event::Revalidated { session, valid } => {
                let asked = self.shared.writes.revalidated(session);
                if let Some(origin) = asked.and_then(|asked| asked.origin) {
                    self.answers
                        .revalidated(origin, session, valid, view(guard));
                }
            }
            Event::Lost { reason, at, done } => {
                // Fails when the link thread does not wait any more.
                let _ = done.send(self.lost(&reason, at));
            }
            Event::HoldOver => self.end_hold(),
        }
    }

    /// What those who watch will have to be told, if anybody can be watching. Nobody else changes the tree.
    fn survey(&self, mirror: &Mirror, tree: &Tree) -> Option<Difference> {
        let watched = self.hold.standing() != Standing::GivenUp;
        watched.then(|| Difference::survey(&mirror.read(), tree))
    }

    /// Puts a whole new tree in the place of the old one, which clients have been served from if they are held.
    fn replace(
        &mut self,
        mut tree: Tree,
        difference: Option<&Difference>,
        guard: &mut WriteGuard<'_>,
    ) {
        tracing::info!(zxid = %tree.last_zxid(), znodes = tree.node_count(), "snapshot taken over");
        self.shared.status.snapshots.fetch_add(1, Ordering::Relaxed);
        self.diverged = false;
        let before = guard.last_zxid();
        if tree.last_zxid() < before {
            // A leader in whose epoch nothing has been written yet labels its snapshots with the epoch alone; the next
            // leader labels the same state with the last transaction. Clients have seen the higher label (P4).
            match before.counter() {
                0 => tree.set_last_zxid(before),
                _ => self.give_up(GaveUp::BackInTime),
            }
        }
        // What is in a snapshot tells nobody whose request it was.
        let orphans = self.shared.writes.take_orphans();
        self.give_up_on(&orphans);
        if let Some(difference) = difference {
            let answers = &self.answers;
            difference.fire(guard, &tree, guard.watches(), &mut |watcher, event| {
                answers.fired(watcher, event);
            });
        }
        self.answers.replaced(&tree);
        self.retired = Some(std::mem::replace(&mut **guard, tree));
    }

    fn commit(&mut self, bytes: &Bytes, came: Instant, guard: &mut WriteGuard<'_>) {
        if self.diverged {
            return;
        }
        let entry = match TxnEntry::decode(bytes) {
            Ok(entry) => entry,
            Err(error) => return self.diverge(&format!("a transaction cannot be read: {error}")),
        };
        let moved = matches!(entry.txn, Txn::Error { error } if error == ErrorCode::SESSION_MOVED);
        let answer = self.shared.writes.answered_by(&entry.header, moved);
        // They were sent before it, and so they and what waited behind them must not show it (P2).
        for sync in &answer.syncs_before {
            self.answers.synced(sync, view(guard));
        }
        self.give_up_on(&answer.passed_over);
        self.give_up_on(answer.ambiguous.as_slice());
        let ephemerals = match &entry.txn {
            Txn::CloseSession { paths } if self.answers.wants_ephemerals() => {
                ephemerals_to_go(guard, entry.header.session, paths.as_deref())
            }
            _ => Vec::new(),
        };
        let answers = &self.answers;
        let watches = guard.watches();
        let applied = guard.apply(&entry, watches, &mut |watcher, event| {
            answers.fired(watcher, event);
        });
        self.note(&entry);
        let status = &self.shared.status;
        status.note_wait(came, answer.ours.is_some());
        note_written(&entry.txn, &mut status.written.lock());
        if let Some(why) = &applied.diverged {
            self.give_up_on(answer.ours.as_slice());
            return self.diverge(&why.to_string());
        }
        self.compare(&applied);
        if let Some(pending) = &answer.ours {
            if !matches!(self.hold.standing(), Standing::Attached(_)) {
                let answered = &self.shared.status.writes_answered;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            self.answers.committed(pending, &applied, view(guard));
        }
        if entry.header.kind == OpCode::CloseSession.code() {
            let session = entry.header.session;
            if !ephemerals.is_empty() {
                self.answers.ephemerals_deleted(session, ephemerals);
            }
            self.answers.session_closed(session);
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
                        "the tree's digest differs from the leader's; if that lasts the mirror is fetched anew");
                }
            }
        }
    }

    /// Keeps the numbers about a transaction, and the membership it may carry.
    fn note(&mut self, entry: &TxnEntry<'_>) {
        let status = &self.shared.status;
        status.txns_applied.fetch_add(1, Ordering::Relaxed);
        let ms = clock::wall_clock_ms().saturating_sub(entry.header.time);
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

    fn up_to_date(
        &mut self,
        epoch: u32,
        at: Instant,
        membership: Option<Bytes>,
        guard: &mut WriteGuard<'_>,
    ) {
        if self.diverged {
            // The link thread knows, and leaves.
            return;
        }
        self.shared
            .status
            .set_leader_before_3_5(membership.is_none());
        if let Some(text) = membership {
            adopt_config(&text, guard);
            *self.shared.announced.lock() = Some(text);
        }
        // In time for the link, not for the clients.
        self.end_hold();
        let lost = self.shared.writes.settle(epoch);
        self.give_up_on(&lost);
        let attached = self.hold.attached(at);
        self.shared
            .status
            .attachments
            .fetch_add(1, Ordering::Release);
        self.shared.set_attachment(Some(attached.attachment));
        self.answers.attached(attached);
        let held = attached.held.is_some();
        let again = self
            .shared
            .status
            .note_attached(held, &self.answers.tally());
        let (zxid, znodes) = (guard.last_zxid(), guard.node_count());
        match again {
            None => tracing::info!(%zxid, znodes, "attached to the ensemble, serving clients"),
            Some(Reattached { after, kept, by }) => tracing::info!(
                %zxid, znodes, after_ms = after.as_millis(), by = %by, clients_kept = kept.unwrap_or(0),
                writes_of_unknown_fate = lost.len(),
                "attached to the ensemble again, serving clients"
            ),
        }
    }

    fn synced(&mut self, guard: &WriteGuard<'_>) {
        let Some(synced) = self.shared.writes.synced() else {
            return tracing::warn!("the leader has answered a SYNC that was not sent");
        };
        if self.diverged {
            // What the leader had done before it is not here.
            return self.give_up_on(&synced.waiting);
        }
        self.shared.status.note_answered();
        if let Some(taken) = synced.proves {
            self.answers.touches_proven(taken);
        }
        for pending in &synced.waiting {
            self.answers.synced(pending, view(guard));
        }
    }

    /// Returns until when clients are held, if they are.
    fn lost(&mut self, reason: &Lost, at: Instant) -> Option<Instant> {
        let until = self.hold.lost(at);
        self.shared.writes.detach();
        match reason {
            Lost::Stopped => self.give_up(GaveUp::Stopped),
            Lost::Truncated { .. } => self.give_up(GaveUp::BackInTime),
            // The link may have been lost for another reason before it could be left for this one.
            _ if self.diverged || matches!(reason, Lost::Diverged) => {
                self.give_up(GaveUp::Diverged);
            }
            _ => self.end_hold(),
        }
        if !matches!(self.hold.standing(), Standing::Detached { .. }) {
            return None;
        }
        if let Some(until) = until {
            self.answers.held(until);
        }
        until
    }

    /// Gives up if the hold time is over.
    fn end_hold(&mut self) {
        if self.hold.expired(clock::now()) {
            self.let_go(GaveUp::HoldOver);
        }
    }

    fn give_up(&mut self, why: GaveUp) {
        if self.hold.give_up() {
            self.let_go(why);
        } else if why != GaveUp::Stopped {
            // Some may be served read-only although clients were given up.
            self.answers.gave_up(why);
        }
    }

    fn let_go(&mut self, why: GaveUp) {
        self.shared.set_attachment(None);
        self.shared.status.note_given_up();
        let requests = self.shared.writes.abandon();
        self.give_up_on(&requests);
        self.answers.gave_up(why);
    }

    fn give_up_on(&self, requests: &[Pending]) {
        let unknown = &self.shared.status.writes_unknown;
        unknown.fetch_add(requests.len() as u64, Ordering::Relaxed);
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

/// What a transaction is about to delete that ends a session, each with whether it is there: what it lists, in its
/// order, then what else the session owns.
fn ephemerals_to_go(
    tree: &Tree,
    session: SessionId,
    listed: Option<&[&BStr]>,
) -> Vec<(BString, bool)> {
    let listed = listed.unwrap_or_default();
    let known: HashSet<&BStr> = listed.iter().copied().collect();
    let left = tree.ephemerals_of(session);
    let left = left.filter(|path| !known.contains(path.as_bstr()));
    let listed = listed
        .iter()
        .map(|path| (BString::from(*path), tree.node(path).is_some()));
    listed.chain(left.map(|path| (path, true))).collect()
}

/// Counts what a transaction writes: paths and data.
fn note_written(txn: &Txn<'_>, written: &mut Namespaces) {
    let mut note = |path: &BStr, data: Option<&[u8]>| {
        let bytes = path.len() + data.map_or(0, <[u8]>::len);
        written.note(path, bytes as u64);
    };
    match txn {
        Txn::Create(create) => note(create.path, create.data),
        Txn::SetData { path, data, .. } => note(path, *data),
        Txn::Delete { path } => note(path, None),
        Txn::Multi(txns) => {
            let failed = txns.iter().any(|sub| matches!(sub.txn, Txn::Error { .. }));
            for sub in txns.iter().filter(|_| !failed) {
                note_written(&sub.txn, written);
            }
        }
        _ => {}
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
        Ok(membership) => guard.set_config(text, membership.version, clock::wall_clock_ms()),
        Err(error) => {
            tracing::warn!(%error, "the membership in NEWLEADER cannot be read; /zookeeper/config stays as it is");
        }
    }
}

fn view<'a>(guard: &'a WriteGuard<'_>) -> View<'a> {
    View {
        tree: guard,
        watches: guard.watches(),
    }
}
