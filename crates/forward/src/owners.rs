//! What the leader knows about who owns sessions, as far as one link has told it, and the requests that wait until
//! it knows.

use std::collections::{HashMap, HashSet, VecDeque};

use outpost_wire::SessionId;

use crate::link::Forward;

/// The owners of sessions, for one life of the link.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// Another link of ours was followed in this epoch: the leader may take it for the owner of anything.
    pub(crate) must_claim: bool,
    /// Sessions that are ours: created, claimed, or first used on this link. Ended ones leave.
    ours: HashSet<SessionId>,
    /// Sessions that are being claimed, each with what waits for the leader's word.
    claimed: HashMap<SessionId, VecDeque<Forward>>,
    /// All that waits; bounded by whoever takes requests from the queue.
    waiting: usize,
}

impl Owners {
    /// Requests that wait for the leader's word.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn are_we(&self, session: SessionId) -> bool {
        self.ours.contains(&session)
    }

    /// The session is ours, or will be before the leader sees anything that is sent later.
    pub(crate) fn note_ours(&mut self, session: SessionId) {
        self.ours.insert(session);
    }

    /// The session has ended.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.ours.remove(&session);
    }

    /// A REVALIDATE of our own is on its way, and this request waits for the answer.
    pub(crate) fn claim(&mut self, forward: Forward) {
        let parked = self.claimed.entry(forward.pending.session).or_default();
        parked.push_back(forward);
        self.waiting += 1;
    }

    /// Lets a request wait if its session is being claimed; gives it back if not.
    pub(crate) fn park(&mut self, forward: Forward) -> Option<Forward> {
        match self.claimed.contains_key(&forward.pending.session) {
            true => {
                self.claim(forward);
                None
            }
            false => Some(forward),
        }
    }

    /// The leader's word is here: what has waited for it, in the order asked.
    pub(crate) fn decided(&mut self, session: SessionId, ours: bool) -> VecDeque<Forward> {
        match ours {
            true => self.note_ours(session),
            false => self.forget(session),
        }
        let parked = self.claimed.remove(&session).unwrap_or_default();
        self.waiting -= parked.len();
        parked
    }

    /// Everything that still waits, for the next link. Each session's requests stand in the order asked.
    pub(crate) fn take_waiting(&mut self) -> impl Iterator<Item = Forward> + use<> {
        self.waiting = 0;
        std::mem::take(&mut self.claimed).into_values().flatten()
    }
}
