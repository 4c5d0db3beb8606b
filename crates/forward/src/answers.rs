//! Where results leave: the one trait through which this crate speaks to the sessions served here.

use outpost_mirror::{Applied, Tree, WatchEvent, WatcherId, Watches};
use outpost_wire::SessionId;

use crate::hold::Attachment;
use crate::lost::Lost;
use crate::writes::{Origin, Pending};

/// The tree at one point of history, with the watches left on it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What is there.
    pub tree: &'a Tree,
    /// Who wants to know of changes.
    pub watches: &'a Watches,
}

/// Takes what the ensemble says to the sessions served here.
///
/// All methods are called from the apply thread, in the order of the leader's history, and must not
/// wait: whoever cannot take an answer is cut off. Those that get a [`View`] are called while no
/// reader can see the tree, so whatever they append to a connection's output stands there before any
/// reply that shows the change (P3). The one exception is [`Answers::take_touched`].
pub trait Answers: Send + Sync + 'static {
    /// The mirror has caught up; requests submitted with `attachment` will be forwarded.
    fn attached(&self, attachment: Attachment);

    /// Clients are no longer served: their connections are to be closed.
    fn detached(&self, reason: &Lost);

    /// A watch has fired.
    fn fired(&self, watcher: WatcherId, event: &WatchEvent<'_>);

    /// The transaction that answers `pending` has been applied.
    fn committed(&self, pending: &Pending, applied: &Applied, view: View<'_>);

    /// A forwarded sync is done.
    fn synced(&self, pending: &Pending, view: View<'_>);

    /// The leader's word on a session that wants to attach here.
    fn revalidated(&self, origin: Origin, session: SessionId, valid: bool, view: View<'_>);

    /// The session has ended, by its client's wish or because it expired.
    fn session_closed(&self, session: SessionId);

    /// The fate of a forwarded request cannot be known: its connection must end (P5).
    fn fate_unknown(&self, pending: &Pending);

    /// The tree is visible again: connections that were given something may be woken.
    fn batch_done(&self);

    /// Appends `{ long sessionId, int timeoutMs }` for every global session touched since the last
    /// call. Called from the link thread, for the answer to a PING.
    fn take_touched(&self, table: &mut Vec<u8>);
}
