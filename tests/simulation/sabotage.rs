//! Observers with a bug each, to see that the checkers catch it in a whole run and not only in histories that were
//! written for them.
//!
//! A saboteur stands between the link and the clients' side, and does one thing wrong, always or now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bstr::{BStr, BString};
use outpost::serve::Service;
use outpost_forward::answers::GaveUp;
use outpost_forward::hold::Attached;
use outpost_forward::{Answers, Origin, Pending, Tally, View};
use outpost_mirror::{Applied, Tree, WatchEvent, WatcherId, Watches};
use outpost_wire::proto::EventType;
use outpost_wire::txn::{Txn, TxnEntry, TxnHeader};
use outpost_wire::{Acl, OpCode, SessionId, Xid, Zxid};

use crate::run::broken_promises;

/// What is wrong with an observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Sets a znode's data that nobody has set.
    MakesThingsUp,
    /// Answers a sync only with the session's next write, and so the reads between them too.
    SyncsLate,
    /// Now and then does not tell of a change.
    SwallowsEvents,
    /// Now and then tells of a change twice.
    DoublesEvents,
    /// Tells of changes when they can already be read.
    TellsLate,
    /// Now and then says that it has less than it has said before.
    GoesBack,
    /// Now and then answers a write when another is committed, from that one's transaction.
    AnswersFromAnother,
    /// Now and then forgets to answer a write.
    Forgets,
    /// Takes every session for valid.
    GrantsEverything,
    /// Keeps watches of nobody.
    KeepsWatches,
    /// Counts leases from a while after the touches were sent.
    CountsFromLater,
    /// Does not close the connections of sessions that have ended.
    IgnoresEndsOfSessions,
    /// Never gives up.
    HoldsForEver,
    /// Takes clients that have gone for present.
    SpeaksForTheDead,
}

/// Each with the promise whose checker has to catch it.
const ALL: [(Sabotage, &str); 14] = [
    (Sabotage::MakesThingsUp, "P1"),
    (Sabotage::SyncsLate, "P2"),
    (Sabotage::SwallowsEvents, "P3"),
    (Sabotage::DoublesEvents, "P3"),
    (Sabotage::TellsLate, "P3"),
    (Sabotage::GoesBack, "P4"),
    (Sabotage::AnswersFromAnother, "P5"),
    (Sabotage::Forgets, "P5"),
    (Sabotage::GrantsEverything, "P5"),
    (Sabotage::KeepsWatches, "P6"),
    (Sabotage::CountsFromLater, "P7"),
    (Sabotage::IgnoresEndsOfSessions, "P7"),
    (Sabotage::HoldsForEver, "P8"),
    (Sabotage::SpeaksForTheDead, "P9"),
];

/// Runs in which a bug has to show at least once.
const RUNS: u64 = 200;
/// How often "now and then" is.
const EVERY: u64 = 7;

/// An event that has not been told yet.
struct Late {
    watcher: WatcherId,
    kind: EventType,
    path: BString,
    zxid: Zxid,
    acl: Vec<Acl>,
}

/// Stands in front of whoever takes the answers, and hands on most of them as they are.
pub(crate) struct Saboteur {
    answers: Arc<dyn Answers>,
    sabotage: Sabotage,
    service: OnceLock<Arc<Service>>,
    count: AtomicU64,
    late: Mutex<Vec<Late>>,
    kept: Mutex<Vec<Pending>>,
}

impl Saboteur {
    pub(crate) fn new(answers: Arc<dyn Answers>, sabotage: Sabotage) -> Saboteur {
        Saboteur {
            answers,
            sabotage,
            service: OnceLock::new(),
            count: AtomicU64::new(0),
            late: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// What some sabotage works on.
    pub(crate) fn watch(&self, service: Arc<Service>) {
        // Only the first is taken, and there is only one.
        let _ = self.service.set(service);
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    /// Whether to do it now.
    fn now_and_then(&self, sabotage: Sabotage) -> bool {
        self.is(sabotage) && self.count.fetch_add(1, Ordering::Relaxed) % EVERY == EVERY - 1
    }

    fn later(&self, now: Instant) -> Instant {
        match self.is(Sabotage::CountsFromLater) {
            true => now + Duration::from_secs(20),
            false => now,
        }
    }

    fn kept(&self) -> Vec<Pending> {
        std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, pending: &Pending) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(*pending);
    }

    /// Does to the mirror what only the leader may.
    fn spoil(&self, spoil: impl FnOnce(&mut Tree)) {
        if let Some(service) = self.service.get() {
            spoil(&mut service.mirror.write());
        }
    }

    fn tell_late(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        for Late {
            watcher,
            kind,
            path,
            zxid,
            acl,
        } in late
        {
            let event = WatchEvent {
                kind,
                path: path.as_ref(),
                zxid,
                acl: &acl,
            };
            self.answers.fired(watcher, &event);
        }
    }
}

/// Sets a znode's data in a transaction that has the last one's zxid.
fn make_up(tree: &mut Tree) {
    let (path, zxid) = (BStr::new("/a"), tree.last_zxid());
    let Some(version) = tree.node(path).map(|node| node.stat().version) else {
        return;
    };
    let entry = TxnEntry {
        header: TxnHeader {
            session: SessionId(1),
            cxid: Xid(1),
            zxid,
            time: 0,
            kind: OpCode::SetData.code(),
        },
        txn: Txn::SetData {
            path,
            data: Some(b"made up"),
            version,
        },
        digest: None,
    };
    tree.set_last_zxid(Zxid(zxid.0 - 1));
    tree.apply(&entry, &Watches::new(), &mut |_, _| {});
}

impl Answers for Saboteur {
    fn attached(&self, attached: Attached) {
        self.answers.attached(attached);
    }

    fn held(&self, until: Instant) {
        let for_ever = Duration::from_secs(86_400);
        match self.is(Sabotage::HoldsForEver) {
            true => self.answers.held(until + for_ever),
            false => self.answers.held(until),
        }
    }

    fn hold_over(&self) {
        self.answers.hold_over();
    }

    fn gave_up(&self, why: GaveUp) {
        if !self.is(Sabotage::HoldsForEver) {
            self.answers.gave_up(why);
        }
    }

    fn replaced(&self, tree: &Tree) {
        if !self.is(Sabotage::IgnoresEndsOfSessions) {
            self.answers.replaced(tree);
        }
    }

    fn fired(&self, watcher: WatcherId, event: &WatchEvent<'_>) {
        if self.is(Sabotage::TellsLate) {
            let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
            late.push(Late {
                watcher,
                kind: event.kind,
                path: event.path.to_owned(),
                zxid: event.zxid,
                acl: event.acl.to_vec(),
            });
            return;
        }
        if self.now_and_then(Sabotage::SwallowsEvents) {
            return;
        }
        self.answers.fired(watcher, event);
        if self.now_and_then(Sabotage::DoublesEvents) {
            self.answers.fired(watcher, event);
        }
    }

    fn committed(&self, pending: &Pending, applied: &Applied, view: View<'_>) {
        if self.is(Sabotage::SyncsLate) {
            for sync in self.kept() {
                self.answers.synced(&sync, view);
            }
        }
        if self.is(Sabotage::KeepsWatches) {
            let nobody = WatcherId(u64::MAX - self.count.fetch_add(1, Ordering::Relaxed));
            view.watches.leave_data(BStr::new("/"), nobody);
        }
        if self.is(Sabotage::AnswersFromAnother) && pending.op == OpCode::SetData {
            for before in self.kept() {
                self.answers.committed(&before, applied, view);
            }
            if self.now_and_then(Sabotage::AnswersFromAnother) {
                return self.keep(pending);
            }
        }
        if pending.op != OpCode::CreateSession && self.now_and_then(Sabotage::Forgets) {
            return;
        }
        self.answers.committed(pending, applied, view);
    }

    fn synced(&self, pending: &Pending, view: View<'_>) {
        match self.is(Sabotage::SyncsLate) {
            true => self.keep(pending),
            false => self.answers.synced(pending, view),
        }
    }

    fn revalidated(&self, origin: Origin, session: SessionId, valid: bool, view: View<'_>) {
        let valid = valid || self.is(Sabotage::GrantsEverything);
        self.answers.revalidated(origin, session, valid, view);
    }

    fn session_closed(&self, session: SessionId) {
        if !self.is(Sabotage::IgnoresEndsOfSessions) {
            self.answers.session_closed(session);
        }
    }

    fn fate_unknown(&self, pending: &Pending) {
        self.answers.fate_unknown(pending);
    }

    fn batch_done(&self) {
        if self.is(Sabotage::MakesThingsUp) {
            self.spoil(make_up);
        }
        if self.now_and_then(Sabotage::GoesBack) {
            self.spoil(|tree| tree.set_last_zxid(Zxid(tree.last_zxid().0 - 2)));
        }
        self.answers.batch_done();
        self.tell_late();
    }

    fn touches_proven(&self, taken: Instant) {
        self.answers.touches_proven(self.later(taken));
    }

    fn take_touched(&self, now: Instant, table: &mut Vec<u8>) {
        self.answers.take_touched(self.later(now), table);
    }

    fn is_there(&self, origin: Origin) -> bool {
        self.is(Sabotage::SpeaksForTheDead) || self.answers.is_there(origin)
    }

    fn tally(&self) -> Tally {
        self.answers.tally()
    }

    fn not_forwarded(&self, origin: Origin, request: Option<&Pending>) {
        self.answers.not_forwarded(origin, request);
    }
}

#[test]
fn every_checker_catches_an_observer_that_breaks_its_promise() {
    for (sabotage, promise) in ALL {
        let caught = (0..RUNS).find(|&seed| {
            // A client that believes in nothing may stop at what it is told.
            let bug = std::panic::catch_unwind(|| broken_promises(seed, Some(sabotage)));
            bug.is_ok_and(|broken| broken.contains(&promise))
                && !broken_promises(seed, None).contains(&promise)
        });
        assert!(caught.is_some(), "{sabotage:?} is not caught by {promise}");
    }
}
