//! Requests on their way: what was forwarded and has not come back.
//!
//! The link thread registers a request before its packet is written; the apply thread takes it out
//! when its transaction arrives. Everything is known by session and cxid; what carries no name on the
//! way back (a SYNC) is known by its place in line.
//!
//! When the link is lost, what was on its way becomes an *orphan* (P5). The leader has received a prefix of what
//! was sent, so what it has committed of it is a prefix too, and stands in the DIFF of the next link. At UPTODATE
//! the orphans are settled: those that were not found are given up on. A leader of a new epoch will never commit
//! them. The same leader still may, when it comes to reading what the old socket holds; until its epoch is over their
//! names are remembered as *ghosts*, so that such a transaction is not taken for the answer to a newer request of
//! the same name. docs/fate-of-writes.md has the whole argument.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use outpost_wire::txn::TxnHeader;
use outpost_wire::{OpCode, SessionId, Xid};
use parking_lot::Mutex;

use crate::clock;
use crate::ghosts::{Ghosts, Haunting, Name};

/// Whoever submitted a request: a number that means something to them alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(pub u64);

/// A forwarded request that has not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Who gets the answer.
    pub origin: Origin,
    /// The session that asks.
    pub session: SessionId,
    /// The xid it gave; 0 for what this server asks on its own.
    pub cxid: Xid,
    /// What it asks for.
    pub op: OpCode,
}

impl Pending {
    fn name(&self) -> Name {
        (self.session, self.cxid)
    }
}

/// A REVALIDATE that has not been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revalidation {
    /// The session.
    pub session: SessionId,
    /// Its timeout, as negotiated here.
    pub timeout_ms: i32,
    /// Who gets the answer; nobody where the link asks on its own, ahead of a session's first request.
    pub origin: Option<Origin>,
}

/// What a SYNC that has come back was for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Who waited for it.
    pub waiting: Vec<Pending>,
    /// Sessions' touches sent up to this moment are known to have reached the leader.
    pub proves: Option<Instant>,
}

/// What a transaction means to the requests on their way.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Syncs that the same session sent before, on a link that is gone: done by this transaction.
    pub syncs_before: Vec<Pending>,
    /// Writes that were sent before it and never answered. The leader answers in order, so their fate will not
    /// become known.
    pub passed_over: Vec<Pending>,
    /// The request that it answers, if it is one of ours.
    pub ours: Option<Pending>,
    /// A request of ours bears its name, but so did one on a link that is gone: it may be the answer to either.
    pub ambiguous: Option<Pending>,
}

/// All requests on their way. Bounded by whoever registers: see [`Writes::len`].
#[derive(Debug, Default)]
pub struct Writes {
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    /// Sent on this link.
    sent: Line,
    /// Sent on a link that is gone, and not settled yet.
    orphans: Line,
    /// Given up on in the epoch that is settled.
    ghosts: Ghosts,
    /// Sessions that were taken over, each until everything has come that the leader had taken in for it before:
    /// the place in the order from which on a request cannot have been carried out by then.
    taken_over: HashMap<SessionId, u64>,
    /// The same, of the link that is gone.
    were_taken_over: HashMap<SessionId, u64>,
    /// The link was lost and its orphans are not settled: transactions that come now cannot answer what was sent
    /// on the new link.
    unsettled: bool,
    syncs: VecDeque<SyncGroup>,
    revalidations: VecDeque<Revalidation>,
    unsent_syncs: Vec<(u64, Pending)>,
    unsent_revalidations: Vec<Revalidation>,
    registered: u64,
}

/// A SYNC on its way. Syncs that were waiting together share one. Each has its place in the order in which
/// requests were registered, by which it stands before or after a write of its session.
#[derive(Debug, Default)]
struct SyncGroup {
    waiting: Vec<(u64, Pending)>,
    proves: Option<Instant>,
    fence: Option<Fence>,
}

/// What a SYNC stands behind: REVALIDATEs of these sessions.
#[derive(Debug)]
struct Fence {
    /// Its place among all requests.
    order: u64,
    sessions: Vec<SessionId>,
    owner: Owner,
}

/// Whom a REVALIDATE on this link makes the owner of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This link alone: what was sent on another is refused from then on.
    ThisLink,
    /// The follower at the other end, and so whatever link of ours it still has.
    Follower,
}

/// A write that was sent.
#[derive(Debug)]
struct Sent {
    /// Its place among all requests.
    order: u64,
    pending: Pending,
    /// A transaction has come that may have been its own or a ghost's. Its connection is gone.
    tainted: bool,
}

/// Writes in the order sent.
#[derive(Debug, Default)]
struct Line {
    queue: VecDeque<Sent>,
    /// How many carry this session and cxid, so that a transaction which is not ours costs one lookup.
    names: HashMap<Name, u32>,
}

impl Writes {
    /// Requests on their way, of all kinds.
    pub fn len(&self) -> usize {
        let lines = self.lines.lock();
        let syncs: usize = lines.syncs.iter().map(|group| group.waiting.len()).sum();
        lines.sent.queue.len()
            + lines.orphans.queue.len()
            + syncs
            + lines.unsent_syncs.len()
            + lines.revalidations.len()
            + lines.unsent_revalidations.len()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// REVALIDATEs on their way.
    pub fn revalidations(&self) -> usize {
        self.lines.lock().revalidations.len()
    }

    /// Names remembered of requests that may still be committed although nobody waits for them.
    pub fn ghosts(&self) -> usize {
        self.lines.lock().ghosts.len()
    }

    /// Notes a write that is about to be sent.
    pub fn register(&self, pending: Pending) {
        let mut lines = self.lines.lock();
        let order = lines.next_order();
        lines.sent.push(order, pending);
    }

    /// Notes a SYNC that is about to be sent for all of these.
    pub fn register_syncs(&self, waiting: impl IntoIterator<Item = Pending>) {
        let mut lines = self.lines.lock();
        let mut group = SyncGroup::default();
        for pending in waiting {
            group.waiting.push((lines.next_order(), pending));
        }
        lines.syncs.push_back(group);
    }

    /// Notes a SYNC that is about to be sent for all those whose own was lost with its link, if there are any, and
    /// returns one of them.
    pub fn register_lost_syncs(&self) -> Option<Pending> {
        let mut lines = self.lines.lock();
        let waiting = std::mem::take(&mut lines.unsent_syncs);
        let (_, first) = *waiting.first()?;
        lines.syncs.push_back(SyncGroup {
            waiting,
            ..SyncGroup::default()
        });
        Some(first)
    }

    /// Notes a SYNC that is about to be sent and that nobody waits for: when it comes back, what was sent up to this
    /// moment has reached the leader.
    pub fn register_proof(&self, proves: Instant) {
        self.lines.lock().syncs.push_back(SyncGroup {
            proves: Some(proves),
            ..SyncGroup::default()
        });
    }

    /// Notes a SYNC that is about to be sent behind REVALIDATEs of these sessions, and ahead of whatever they ask
    /// from now on. When it comes back, whatever the leader had taken in for them before is here, from other servers
    /// too; until then a transaction with the name of such a later request is not its answer.
    pub fn register_fence(&self, sessions: Vec<SessionId>, owner: Owner) {
        let mut lines = self.lines.lock();
        let order = lines.next_order();
        let taken_over = sessions.iter().map(|session| (*session, order));
        lines.taken_over.extend(taken_over);
        lines.syncs.push_back(SyncGroup {
            fence: Some(Fence {
                order,
                sessions,
                owner,
            }),
            ..SyncGroup::default()
        });
    }

    /// Old requests of these sessions that were given up on before this moment have no effect any more.
    pub fn fence_older(&self, sessions: &[SessionId], moment: Instant) {
        let mut lines = self.lines.lock();
        for session in sessions {
            lines.ghosts.fence_older(*session, moment);
        }
    }

    /// Notes a REVALIDATE that is about to be sent.
    pub fn register_revalidation(&self, revalidation: Revalidation) {
        self.lines.lock().revalidations.push_back(revalidation);
    }

    /// Finds what this transaction answers, and takes it out. `moved`: it says that the session has another owner.
    pub fn answered_by(&self, header: &TxnHeader, moved: bool) -> Answer {
        let mut lines = self.lines.lock();
        let answer = lines.answered_by((header.session, header.cxid), moved);
        if header.kind == OpCode::CloseSession.code() {
            lines.ghosts.lay_to_rest(header.session);
        }
        answer
    }

    /// Takes out the oldest SYNC.
    pub fn synced(&self) -> Option<Synced> {
        let mut lines = self.lines.lock();
        let SyncGroup {
            waiting,
            proves,
            fence,
        } = lines.syncs.pop_front()?;
        if let Some(fence) = fence {
            lines.fenced(&fence);
        }
        let waiting = waiting.into_iter().map(|(_, pending)| pending).collect();
        Some(Synced { waiting, proves })
    }

    /// Takes out the oldest revalidation of `session`.
    pub fn revalidated(&self, session: SessionId) -> Option<Revalidation> {
        let mut lines = self.lines.lock();
        let place = lines
            .revalidations
            .iter()
            .position(|waiting| waiting.session == session)?;
        lines.revalidations.remove(place)
    }

    /// The link is lost, and those who wait are held: writes become orphans, everything else is to be sent again.
    pub fn detach(&self) {
        let mut lines = self.lines.lock();
        let lines = &mut *lines;
        lines.unsettled = true;
        for (session, order) in lines.taken_over.drain() {
            lines.were_taken_over.entry(session).or_insert(order);
        }
        let sent = std::mem::take(&mut lines.sent);
        for Sent { order, pending, .. } in sent.queue {
            lines.orphans.push(order, pending);
        }
        let syncs = lines.syncs.drain(..).flat_map(|group| group.waiting);
        lines.unsent_syncs.extend(syncs);
        let asked = lines.revalidations.drain(..);
        // The link's own are made anew when they are needed.
        lines
            .unsent_revalidations
            .extend(asked.filter(|asked| asked.origin.is_some()));
    }

    /// Takes the revalidations that are to be sent again.
    pub fn take_unsent_revalidations(&self) -> Vec<Revalidation> {
        std::mem::take(&mut self.lines.lock().unsent_revalidations)
    }

    /// Takes out the orphans: what has not come by now will not come, or not in time. Those that a leader of
    /// `epoch` may still commit become ghosts.
    pub fn settle(&self, epoch: u32) -> Vec<Pending> {
        self.lines.lock().settle(epoch)
    }

    /// Takes out the orphans although what they have become may be here: a snapshot does not say. They become
    /// ghosts as if they were settled.
    pub fn take_orphans(&self) -> Vec<Pending> {
        let mut lines = self.lines.lock();
        let (epoch, unsettled) = (lines.ghosts.epoch(), lines.unsettled);
        let orphans = lines.settle(epoch);
        lines.unsettled = unsettled;
        orphans
    }

    /// Takes out everything that a lost link has left: nobody is held any more. What has been sent on a link that was
    /// made since keeps its place in line, since its answers will come.
    pub fn abandon(&self) -> Vec<Pending> {
        let mut given_up = self.take_orphans();
        let mut lines = self.lines.lock();
        let syncs = std::mem::take(&mut lines.unsent_syncs);
        given_up.extend(syncs.into_iter().map(|(_, pending)| pending));
        lines.unsent_revalidations.clear();
        given_up
    }
}

impl Lines {
    fn next_order(&mut self) -> u64 {
        self.registered += 1;
        self.registered
    }

    fn answered_by(&mut self, name: Name, moved: bool) -> Answer {
        let mut answer = Answer::default();
        let line = match self.unsettled {
            true => &mut self.orphans,
            false => &mut self.sent,
        };
        if !line.names.contains_key(&name) {
            self.ghosts.seen(name);
            return answer;
        }
        let taken_over = match self.unsettled {
            true => &self.were_taken_over,
            false => &self.taken_over,
        };
        // Its session's client has come from another server, where it sent a request of the same name.
        if let Some(since) = taken_over.get(&name.0)
            && line.first_of(name).is_some_and(|first| first > *since)
        {
            return answer;
        }
        let may_be_a_ghosts = match self.ghosts.haunting(name) {
            Haunting::None => false,
            Haunting::Loose => true,
            Haunting::Fenced => moved,
        };
        if may_be_a_ghosts {
            match line.queue.front_mut() {
                // Either its own or the ghost's. It is told nothing, and one more transaction of that name may come.
                Some(first) if first.pending.name() == name && !first.tainted => {
                    first.tainted = true;
                    answer.ambiguous = Some(first.pending);
                    self.ghosts.seen(name);
                    return answer;
                }
                Some(first) if first.pending.name() == name => {}
                // Not its own: those before it are answered before it.
                _ => {
                    self.ghosts.seen(name);
                    return answer;
                }
            }
        }
        while let Some(Sent {
            order,
            pending,
            tainted,
        }) = line.take_oldest()
        {
            match (pending.name() == name, tainted) {
                (true, false) => {
                    answer.ours = Some(pending);
                    if self.unsettled {
                        answer.syncs_before = self.take_syncs_before(pending.session, order);
                    }
                    break;
                }
                (true, true) => break,
                (false, false) => answer.passed_over.push(pending),
                // What tainted it was its own transaction; so the ghost is still about.
                (false, true) => self.ghosts.add(pending.name(), clock::now()),
            }
        }
        answer
    }

    /// A SYNC is back that stood behind REVALIDATEs.
    fn fenced(&mut self, fence: &Fence) {
        for session in &fence.sessions {
            // Not if it was taken over once more since.
            if self.taken_over.get(session) == Some(&fence.order) {
                self.taken_over.remove(session);
            }
            if fence.owner == Owner::ThisLink {
                self.ghosts.fence(*session);
            }
        }
    }

    fn take_syncs_before(&mut self, session: SessionId, order: u64) -> Vec<Pending> {
        let is_before = |sync: &mut (u64, Pending)| sync.0 < order && sync.1.session == session;
        let mut taken: Vec<_> = self.unsent_syncs.extract_if(.., is_before).collect();
        // Sent once more already, if UPTODATE is here and this is still the history before it.
        for group in &mut self.syncs {
            taken.extend(group.waiting.extract_if(.., is_before));
        }
        taken.into_iter().map(|(_, pending)| pending).collect()
    }

    /// `ghosts` is of the epoch in which the orphans were sent: nothing is sent before UPTODATE.
    fn settle(&mut self, epoch: u32) -> Vec<Pending> {
        self.unsettled = false;
        self.were_taken_over.clear();
        let may_be_committed = self.ghosts.epoch() == epoch;
        self.ghosts.enter(epoch);
        let orphans = std::mem::take(&mut self.orphans);
        let given_up: Vec<Pending> = orphans.queue.into_iter().map(|sent| sent.pending).collect();
        if may_be_committed {
            let now = clock::now();
            for pending in &given_up {
                self.ghosts.add(pending.name(), now);
            }
        }
        given_up
    }
}

impl Line {
    fn push(&mut self, order: u64, pending: Pending) {
        *self.names.entry(pending.name()).or_default() += 1;
        self.queue.push_back(Sent {
            order,
            pending,
            tainted: false,
        });
    }

    /// The place of the oldest that has this name.
    fn first_of(&self, name: Name) -> Option<u64> {
        let mut sent = self.queue.iter();
        Some(sent.find(|sent| sent.pending.name() == name)?.order)
    }

    fn take_oldest(&mut self) -> Option<Sent> {
        let oldest = self.queue.pop_front()?;
        decrement(&mut self.names, oldest.pending.name());
        Some(oldest)
    }
}

fn decrement(names: &mut HashMap<Name, u32>, name: Name) {
    if let Some(count) = names.get_mut(&name) {
        *count -= 1;
        if *count == 0 {
            names.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outpost_wire::Zxid;

    const EPOCH: u32 = 5;

    fn pending(session: i64, cxid: i32) -> Pending {
        Pending {
            origin: Origin(session as u64),
            session: SessionId(session),
            cxid: Xid(cxid),
            op: OpCode::SetData,
        }
    }

    fn sync(session: i64, cxid: i32) -> Pending {
        Pending {
            op: OpCode::Sync,
            ..pending(session, cxid)
        }
    }

    fn header(session: i64, cxid: i32) -> TxnHeader {
        TxnHeader {
            session: SessionId(session),
            cxid: Xid(cxid),
            zxid: Zxid(1),
            time: 0,
            kind: OpCode::SetData.code(),
        }
    }

    fn following() -> Writes {
        let writes = Writes::default();
        assert_eq!(writes.settle(EPOCH), []);
        writes
    }

    fn answered(writes: &Writes, header: &TxnHeader) -> Answer {
        writes.answered_by(header, false)
    }

    fn ours(pending: Pending) -> Answer {
        Answer {
            ours: Some(pending),
            ..Answer::default()
        }
    }

    #[test]
    fn p5_a_transaction_of_another_server_answers_nothing_here() {
        let writes = following();
        writes.register(pending(7, 1));
        assert_eq!(answered(&writes, &header(7, 2)), Answer::default());
        assert_eq!(answered(&writes, &header(8, 1)), Answer::default());
        assert_eq!(answered(&writes, &header(7, 1)), ours(pending(7, 1)));
        assert_eq!(answered(&writes, &header(7, 1)), Answer::default());
    }

    #[test]
    fn p5_a_request_that_was_passed_over_is_reported_and_not_answered() {
        let writes = following();
        for cxid in 1..=3 {
            writes.register(pending(7, cxid));
        }
        let answer = answered(&writes, &header(7, 3));
        assert_eq!(answer.ours, Some(pending(7, 3)));
        assert_eq!(answer.passed_over, [pending(7, 1), pending(7, 2)]);
        assert!(writes.is_empty());
    }

    #[test]
    fn two_requests_with_one_name_are_answered_in_the_order_sent() {
        let writes = following();
        let first = Pending {
            origin: Origin(1),
            ..pending(7, 0)
        };
        let second = Pending {
            origin: Origin(2),
            ..pending(7, 0)
        };
        writes.register(first);
        writes.register(second);
        assert_eq!(answered(&writes, &header(7, 0)), ours(first));
        assert_eq!(answered(&writes, &header(7, 0)), ours(second));
    }

    #[test]
    fn p5_a_write_that_was_on_its_way_is_known_in_the_history_of_the_next_link() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.register(pending(8, 1));
        writes.detach();
        assert_eq!(answered(&writes, &header(7, 1)), ours(pending(7, 1)));
        assert_eq!(writes.settle(EPOCH), [pending(8, 1)], "given up on");
        assert!(writes.is_empty());
    }

    #[test]
    fn p5_history_does_not_answer_what_was_sent_after_it() {
        let writes = following();
        writes.detach();
        // The link thread has seen UPTODATE and sends; the apply thread is still busy with the history.
        writes.register(pending(7, 1));
        assert_eq!(answered(&writes, &header(7, 1)), Answer::default());
        writes.settle(EPOCH);
        assert_eq!(answered(&writes, &header(7, 1)), ours(pending(7, 1)));
    }

    #[test]
    fn p5_a_request_with_the_name_of_one_that_the_same_leader_may_still_commit_is_never_answered() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.detach();
        assert_eq!(writes.settle(EPOCH), [pending(7, 1)]);
        writes.register(pending(7, 1));
        let answer = answered(&writes, &header(7, 1));
        assert_eq!((answer.ours, answer.ambiguous), (None, Some(pending(7, 1))));
        // The other of the two, whichever that was.
        assert_eq!(answered(&writes, &header(7, 1)), Answer::default());
        assert_eq!((writes.ghosts(), writes.len()), (0, 0));
        writes.register(pending(7, 1));
        assert_eq!(answered(&writes, &header(7, 1)), ours(pending(7, 1)));
    }

    #[test]
    fn p5_what_comes_before_the_answer_to_an_older_request_is_a_ghosts_and_spoils_nothing() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.detach();
        writes.settle(EPOCH);
        writes.register(pending(8, 1));
        writes.register(pending(7, 1));
        assert_eq!(answered(&writes, &header(7, 1)), Answer::default());
        assert_eq!(answered(&writes, &header(8, 1)), ours(pending(8, 1)));
        assert_eq!(answered(&writes, &header(7, 1)), ours(pending(7, 1)));
    }

    #[test]
    fn p5_a_request_that_may_have_been_answered_haunts_the_next_of_its_name_until_one_of_both_has_come()
     {
        let writes = following();
        writes.register(pending(7, 1));
        writes.detach();
        writes.settle(EPOCH);
        writes.register(pending(7, 1));
        writes.register(pending(8, 1));
        assert!(answered(&writes, &header(7, 1)).ambiguous.is_some());
        // It was its own, as the next one is answered already. The ghost is still about.
        assert_eq!(answered(&writes, &header(8, 1)), ours(pending(8, 1)));
        writes.register(pending(7, 1));
        assert!(answered(&writes, &header(7, 1)).ambiguous.is_some());
    }

    #[test]
    fn p5_what_was_given_up_on_when_the_hold_ended_is_remembered_too() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.detach();
        assert_eq!(writes.abandon(), [pending(7, 1)]);
        assert_eq!(answered(&writes, &header(8, 8)), Answer::default());
        writes.settle(EPOCH);
        writes.register(pending(7, 1));
        assert_eq!(answered(&writes, &header(7, 1)).ours, None);
    }

    #[test]
    fn a_new_epoch_lays_all_ghosts_to_rest() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.detach();
        assert_eq!(writes.settle(EPOCH + 1), [pending(7, 1)]);
        assert_eq!(writes.ghosts(), 0);
        writes.register(pending(7, 2));
        writes.detach();
        writes.settle(EPOCH + 1);
        assert_eq!(writes.ghosts(), 1);
        writes.settle(EPOCH + 2);
        assert_eq!(writes.ghosts(), 0);
    }

    #[test]
    fn p5_behind_a_fence_a_ghost_is_only_known_by_session_moved() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.detach();
        writes.settle(EPOCH);
        writes.register_fence(vec![SessionId(7)], Owner::ThisLink);
        writes.synced();
        // A client that counts anew writes for the first time, and once more.
        for _ in 0..2 {
            writes.register(pending(7, 1));
            assert_eq!(answered(&writes, &header(7, 1)), ours(pending(7, 1)));
        }
        writes.register(pending(7, 1));
        let moved = writes.answered_by(&header(7, 1), true);
        assert_eq!(moved.ambiguous, Some(pending(7, 1)));
    }

    #[test]
    fn p5_a_fence_that_was_lost_with_its_link_fences_nothing() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.detach();
        writes.settle(EPOCH);
        writes.register_fence(vec![SessionId(7)], Owner::ThisLink);
        writes.detach();
        writes.settle(EPOCH);
        assert_eq!(writes.synced(), None);
        writes.register(pending(7, 1));
        assert!(answered(&writes, &header(7, 1)).ambiguous.is_some());
    }

    #[test]
    fn p5_behind_a_followers_fence_a_ghost_is_about_as_before() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.detach();
        writes.settle(EPOCH);
        writes.register_fence(vec![SessionId(7)], Owner::Follower);
        writes.synced();
        writes.register(pending(7, 1));
        assert!(answered(&writes, &header(7, 1)).ambiguous.is_some());
    }

    #[test]
    fn p5_what_a_session_had_on_its_way_at_another_server_answers_nothing_that_it_asks_here() {
        let writes = following();
        let before = Pending {
            origin: Origin(1),
            ..pending(7, 4)
        };
        writes.register(before);
        writes.register_fence(vec![SessionId(7), SessionId(8)], Owner::ThisLink);
        writes.register(pending(7, 4));
        writes.register(pending(7, 5));
        writes.register(pending(9, 1));
        // Asked here before the client went elsewhere.
        assert_eq!(answered(&writes, &header(7, 4)), ours(before));
        // Asked elsewhere.
        assert_eq!(answered(&writes, &header(7, 4)), Answer::default());
        assert_eq!(answered(&writes, &header(7, 5)), Answer::default());
        writes.synced();
        for (session, cxid) in [(7, 4), (7, 5), (9, 1)] {
            let pending = pending(session, cxid);
            assert_eq!(answered(&writes, &header(session, cxid)), ours(pending));
        }
        assert!(writes.lines.lock().taken_over.is_empty(), "P6");
    }

    #[test]
    fn p5_what_was_taken_over_shortly_before_a_loss_is_given_up_on_rather_than_answered_from_elsewhere()
     {
        let writes = following();
        writes.register_fence(vec![SessionId(7)], Owner::ThisLink);
        writes.register(pending(7, 4));
        writes.detach();
        assert_eq!(answered(&writes, &header(7, 4)), Answer::default());
        // The next link has come to UPTODATE, and takes the session over once more.
        writes.register_fence(vec![SessionId(7)], Owner::ThisLink);
        assert_eq!(answered(&writes, &header(7, 4)), Answer::default());
        assert_eq!(writes.settle(EPOCH), [pending(7, 4)]);
        assert!(writes.lines.lock().were_taken_over.is_empty(), "P6");
    }

    #[test]
    fn a_session_that_ends_takes_its_ghosts_along() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.detach();
        writes.settle(EPOCH);
        let closes = TxnHeader {
            kind: OpCode::CloseSession.code(),
            ..header(7, 0)
        };
        writes.answered_by(&closes, false);
        assert_eq!(writes.ghosts(), 0);
    }

    #[test]
    fn p2_a_sync_sent_before_a_write_is_done_before_it_also_when_their_link_is_gone() {
        let writes = following();
        writes.register_syncs([sync(7, 1), sync(8, 1)]);
        writes.register(pending(7, 2));
        writes.register_syncs([sync(7, 3)]);
        writes.detach();
        assert_eq!(writes.register_lost_syncs(), Some(sync(7, 1)));
        let answer = answered(&writes, &header(7, 2));
        assert_eq!(answer.syncs_before, [sync(7, 1)]);
        assert_eq!(answer.ours, Some(pending(7, 2)));
        let synced = writes.synced().unwrap();
        assert_eq!(synced.waiting, [sync(8, 1), sync(7, 3)]);
        assert_eq!(writes.synced(), None);
    }

    #[test]
    fn what_proved_something_on_a_link_that_is_gone_proves_nothing() {
        let writes = following();
        let now = Instant::now();
        writes.register_proof(now);
        assert_eq!(writes.synced().unwrap().proves, Some(now));
        writes.register_proof(now);
        writes.detach();
        assert_eq!(
            (writes.register_lost_syncs(), writes.synced()),
            (None, None)
        );
    }

    #[test]
    fn a_clients_revalidation_is_sent_again_and_the_links_own_is_not() {
        let writes = following();
        let clients = Revalidation {
            session: SessionId(9),
            timeout_ms: 4000,
            origin: Some(Origin(9)),
        };
        let own = Revalidation {
            session: SessionId(8),
            origin: None,
            ..clients
        };
        writes.register_revalidation(own);
        writes.register_revalidation(clients);
        assert_eq!(writes.revalidations(), 2);
        writes.detach();
        assert_eq!(writes.take_unsent_revalidations(), [clients]);
        assert_eq!(writes.revalidated(SessionId(9)), None);
    }

    #[test]
    fn p5_giving_up_what_an_old_link_has_left_takes_nothing_from_the_new_one() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.register_syncs([sync(7, 2)]);
        writes.detach();
        // The link thread has seen UPTODATE; the apply thread finds that the hold was over.
        let now = Instant::now();
        writes.register_proof(now);
        writes.register_revalidation(Revalidation {
            session: SessionId(9),
            timeout_ms: 4000,
            origin: None,
        });
        assert_eq!(writes.abandon(), [pending(7, 1), sync(7, 2)]);
        writes.settle(EPOCH);
        writes.register_syncs([sync(8, 1)]);
        assert_eq!(writes.synced().unwrap().proves, Some(now));
        assert_eq!(writes.synced().unwrap().waiting, [sync(8, 1)]);
        assert!(writes.revalidated(SessionId(9)).is_some());
    }

    #[test]
    fn p6_nothing_is_kept_when_nobody_is_held() {
        let writes = following();
        writes.register(pending(7, 1));
        writes.register_syncs([sync(7, 2)]);
        writes.register_revalidation(Revalidation {
            session: SessionId(9),
            timeout_ms: 4000,
            origin: Some(Origin(9)),
        });
        writes.detach();
        assert_eq!(writes.abandon(), [pending(7, 1), sync(7, 2)]);
        assert!(writes.is_empty());
        assert_eq!(writes.synced(), None);
    }
}
