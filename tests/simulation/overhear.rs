//! What the link tells the clients' side of the observer, overheard on its way and written into the history.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use outpost::serve::Service;
use outpost_forward::answers::GaveUp;
use outpost_forward::hold::Attached;
use outpost_forward::{Answers, Origin, Pending, View};
use outpost_mirror::{Applied, Tree, WatchEvent, WatcherId};
use outpost_wire::SessionId;

use crate::history::{AtObserver, Recorder, What};

/// Stands in front of whoever takes the answers, and hands everything on as it is.
pub(crate) struct Overhearing {
    answers: Arc<dyn Answers>,
    recorder: Recorder,
    service: OnceLock<Arc<Service>>,
    /// The mirror has caught up in the present batch. Which transaction is its newest can be asked only behind
    /// the batch.
    attached: AtomicBool,
    losses: AtomicU64,
}

impl Overhearing {
    pub(crate) fn new(answers: Arc<dyn Answers>, recorder: Recorder) -> Overhearing {
        Overhearing {
            answers,
            recorder,
            service: OnceLock::new(),
            attached: AtomicBool::new(false),
            losses: AtomicU64::new(0),
        }
    }

    /// Where to look what the answers do not say.
    pub(crate) fn watch(&self, service: Arc<Service>) {
        // Only the first is taken, and there is only one.
        let _ = self.service.set(service);
    }

    fn note(&self, what: AtObserver) {
        self.recorder.note(What::Observer(what));
    }

    /// The loss of a link is not told to clients while they are held, but it is counted.
    pub(crate) fn note_losses(&self) {
        let Some(service) = self.service.get() else {
            return;
        };
        let status = service.link.status();
        let losses = status.losses.load(Ordering::Relaxed);
        if self.losses.swap(losses, Ordering::Relaxed) < losses {
            let reason = status.last_loss().map(|(why, _)| why).unwrap_or_default();
            self.note(AtObserver::Lost { reason });
        }
    }
}

impl Answers for Overhearing {
    fn attached(&self, attached: Attached) {
        self.attached.store(true, Ordering::Relaxed);
        self.answers.attached(attached);
    }

    fn held(&self, until: Instant) {
        self.note_losses();
        self.answers.held(until);
    }

    fn hold_over(&self) {
        self.answers.hold_over();
    }

    fn gave_up(&self, why: GaveUp) {
        self.note_losses();
        self.note(AtObserver::GaveUp {
            reason: format!("{why:?}"),
        });
        self.answers.gave_up(why);
    }

    fn replaced(&self, tree: &Tree) {
        if let Some(service) = self.service.get() {
            self.note(AtObserver::TookOver {
                from: service.link.status().applied_zxid(),
                to: tree.last_zxid(),
            });
        }
        self.answers.replaced(tree);
    }

    fn fired(&self, watcher: WatcherId, event: &WatchEvent<'_>) {
        self.answers.fired(watcher, event);
    }

    fn committed(&self, pending: &Pending, applied: &Applied, view: View<'_>) {
        self.answers.committed(pending, applied, view);
    }

    fn synced(&self, pending: &Pending, view: View<'_>) {
        self.answers.synced(pending, view);
    }

    fn revalidated(&self, origin: Origin, session: SessionId, valid: bool, view: View<'_>) {
        self.answers.revalidated(origin, session, valid, view);
    }

    fn session_closed(&self, session: SessionId) {
        self.answers.session_closed(session);
    }

    fn fate_unknown(&self, pending: &Pending) {
        self.answers.fate_unknown(pending);
    }

    fn batch_done(&self) {
        self.note_losses();
        if self.attached.swap(false, Ordering::Relaxed)
            && let Some(service) = self.service.get()
        {
            let zxid = service.mirror.read().last_zxid();
            self.note(AtObserver::Attached { zxid });
        }
        self.answers.batch_done();
    }

    fn touches_proven(&self, taken: Instant) {
        self.answers.touches_proven(taken);
    }

    fn take_touched(&self, now: Instant, table: &mut Vec<u8>) {
        self.answers.take_touched(now, table);
    }

    fn is_there(&self, origin: Origin) -> bool {
        self.answers.is_there(origin)
    }

    fn not_forwarded(&self, origin: Origin, request: Option<&Pending>) {
        self.answers.not_forwarded(origin, request);
    }
}
