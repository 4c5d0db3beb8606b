//! Where results leave: the one trait through which this crate speaks to the sessions served here.

use std::time::Instant;

use bstr::BString;
use outpost_mirror::{Applied, Tree, WatchEvent, WatcherId, Watches};
use outpost_wire::SessionId;

use crate::hold::Attached;
use crate::tally::Tally;
use crate::writes::{Origin, Pending};

/// The tree at one point of history, with the watches left on it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What is there.
    pub tree: &'a Tree,
    /// Who wants to know of changes.
    pub watches: &'a Watches,
}

/// Why clients are not served any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// The link did not come back within the hold time (P8).
    HoldOver,
    /// The leader's history ends before what clients have seen.
    BackInTime,
    /// The mirror differs from the leader's tree (P1).
    Diverged,
    /// This process is shutting down.
    Stopped,
}

/// Takes what the ensemble says to the sessions served here.
///
/// Most methods are called from the apply thread, in the order of the leader's history, and must not
/// wait: whoever cannot take an answer is cut off. Those that get a [`View`] are called while no
/// reader can see the tree, so whatever they append to a connection's output stands there before any
/// reply that shows the change (P3). [`Answers::take_touched`], [`Answers::is_there`],
/// [`Answers::not_forwarded`] and [`Answers::hold_over`] are called from the link thread, [`Answers::held`] from both.
pub trait Answers: Send + Sync + 'static {
    /// The mirror has caught up; requests submitted with `attached.attachment` are forwarded from now on.
    fn attached(&self, attached: Attached);

    /// The link is lost, and clients are held: served from the mirror until this moment (P8), while what they want
    /// from the leader waits. Touches whose arrival is not proven do not count any more, and are to be sent again.
    fn held(&self, until: Instant);

    /// The moment that [`Answers::held`] named has come. Unless the link is back or clients were given up
    /// meanwhile, their connections are to be closed; [`Answers::gave_up`] follows.
    fn hold_over(&self);

    /// Clients are no longer served: their connections are to be closed. Told again when the mirror of clients that
    /// were given up turns out not to be trusted.
    fn gave_up(&self, why: GaveUp);

    /// Another tree has taken the place of the one that was served. Sessions that it does not know have ended.
    fn replaced(&self, tree: &Tree);

    /// A watch has fired.
    fn fired(&self, watcher: WatcherId, event: &WatchEvent<'_>);

    /// The transaction that answers `pending` has been applied.
    fn committed(&self, pending: &Pending, applied: &Applied, view: View<'_>);

    /// A forwarded sync is done.
    fn synced(&self, pending: &Pending, view: View<'_>);

    /// The leader's word on a session that wants to attach here.
    fn revalidated(&self, origin: Origin, session: SessionId, valid: bool, view: View<'_>);

    /// Whether [`Answers::ephemerals_deleted`] is to be called.
    fn wants_ephemerals(&self) -> bool {
        false
    }

    /// A session has ended; these were its ephemerals, each with whether it was there.
    fn ephemerals_deleted(&self, _session: SessionId, _paths: Vec<(BString, bool)>) {}

    /// The session has ended, by its client's wish or because it expired.
    fn session_closed(&self, session: SessionId);

    /// The fate of a forwarded request cannot be known: its connection must end (P5).
    fn fate_unknown(&self, pending: &Pending);

    /// The tree is visible again: connections that were given something may be woken.
    fn batch_done(&self);

    /// Everything that [`Answers::take_touched`] handed out up to this moment has reached the leader (P7).
    fn touches_proven(&self, taken: Instant);

    /// Appends `{ long sessionId, int timeoutMs }` for every global session touched since the last
    /// call, to be sent at once.
    fn take_touched(&self, now: Instant, table: &mut Vec<u8>);

    /// Whether whoever submitted a request is still here, for all that can be known: not gone, and heard so lately
    /// that it cannot have given up on this server. Its session may be claimed on its behalf.
    fn is_there(&self, origin: Origin) -> bool;

    /// The clients as they are now, for the log and for the history of losses. Called from both threads.
    fn tally(&self) -> Tally {
        Tally::default()
    }

    /// What somebody submitted was not forwarded, because they may have taken their session elsewhere: a request, or
    /// the question whether the session may be here. Their connection must end.
    fn not_forwarded(&self, origin: Origin, request: Option<&Pending>);
}
