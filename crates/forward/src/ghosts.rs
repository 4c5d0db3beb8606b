//! Names of requests that were given up on and may be committed all the same.
//!
//! A leader that reads what an old connection of ours still holds commits a request whose client was told that its
//! fate is unknown. By then a newer request may bear the same name: client libraries may count their xids anew on
//! every connection. A transaction of that name could be the answer to either, and so is the answer to none.
//!
//! A ghost ends with its epoch, and with its session. And it is *fenced* once the leader is known to have made a newer
//! link the owner of the session, and to have dealt with everything that it took in before: what comes of the
//! old request from then on is a refusal, SESSIONMOVED, and any other transaction is the newer request's.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use outpost_wire::{SessionId, Xid};

/// Ghosts that are remembered; the sessions that were haunted first make room.
const GHOSTS_MAX: usize = 65_536;

/// A request's name: its session, and the xid that the client gave it.
pub(crate) type Name = (SessionId, Xid);

/// What may come of an old request of some name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haunting {
    /// Nothing.
    None,
    /// Any transaction.
    Loose,
    /// Only SESSIONMOVED.
    Fenced,
}

/// All ghosts of one epoch.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    epoch: u32,
    sessions: HashMap<SessionId, Haunted>,
    /// The haunted sessions, first ones first.
    order: VecDeque<SessionId>,
    count: usize,
}

#[derive(Debug)]
struct Haunted {
    xids: HashMap<Xid, usize>,
    newest: Instant,
    fenced: bool,
}

impl Ghosts {
    /// The epoch whose ghosts these are.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// A leader of this epoch is followed: what was sent in an older one will never be committed.
    pub(crate) fn enter(&mut self, epoch: u32) {
        if epoch != self.epoch {
            *self = Ghosts {
                epoch,
                ..Ghosts::default()
            };
        }
    }

    /// A request was given up on.
    pub(crate) fn add(&mut self, (session, xid): Name, now: Instant) {
        while self.count >= GHOSTS_MAX
            && let Some(first) = self.order.front().copied()
        {
            self.lay_to_rest(first);
        }
        let haunted = self.sessions.entry(session).or_insert_with(|| {
            self.order.push_back(session);
            Haunted {
                xids: HashMap::new(),
                newest: now,
                fenced: false,
            }
        });
        haunted.newest = now;
        haunted.fenced = false;
        *haunted.xids.entry(xid).or_default() += 1;
        self.count += 1;
    }

    /// What may come of an old request of this name.
    pub(crate) fn haunting(&self, (session, xid): Name) -> Haunting {
        match self.sessions.get(&session) {
            Some(haunted) if haunted.xids.contains_key(&xid) => match haunted.fenced {
                true => Haunting::Fenced,
                false => Haunting::Loose,
            },
            _ => Haunting::None,
        }
    }

    /// An old request of this name was committed after all, and there is no newer one.
    pub(crate) fn seen(&mut self, (session, xid): Name) {
        let Some(haunted) = self.sessions.get_mut(&session) else {
            return;
        };
        let Some(count) = haunted.xids.get_mut(&xid) else {
            return;
        };
        *count -= 1;
        self.count -= 1;
        if *count == 0 {
            haunted.xids.remove(&xid);
        }
        if haunted.xids.is_empty() {
            self.lay_to_rest(session);
        }
    }

    /// The leader refuses what comes of this session's old requests from now on.
    pub(crate) fn fence(&mut self, session: SessionId) {
        if let Some(haunted) = self.sessions.get_mut(&session) {
            haunted.fenced = true;
        }
    }

    /// The same, if none of them was given up on after this moment.
    pub(crate) fn fence_older(&mut self, session: SessionId, moment: Instant) {
        if let Some(haunted) = self.sessions.get_mut(&session)
            && haunted.newest < moment
        {
            haunted.fenced = true;
        }
    }

    /// The session has ended, or its ghosts have to make room.
    pub(crate) fn lay_to_rest(&mut self, session: SessionId) {
        if let Some(haunted) = self.sessions.remove(&session) {
            self.count -= haunted.xids.values().sum::<usize>();
            self.order.retain(|haunted| *haunted != session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(7);

    #[test]
    fn p6_the_sessions_that_were_haunted_first_make_room() {
        let now = Instant::now();
        let mut ghosts = Ghosts::default();
        let max = i64::try_from(GHOSTS_MAX).unwrap();
        for session in 0..=max {
            ghosts.add((SessionId(session), Xid(1)), now);
        }
        assert_eq!(ghosts.len(), GHOSTS_MAX);
        assert_eq!(ghosts.haunting((SessionId(0), Xid(1))), Haunting::None);
        assert_eq!(ghosts.haunting((SessionId(max), Xid(1))), Haunting::Loose);
    }

    #[test]
    fn a_fence_holds_for_what_was_given_up_on_before_it_only() {
        let now = Instant::now();
        let mut ghosts = Ghosts::default();
        ghosts.add((SESSION, Xid(1)), now);
        ghosts.fence_older(SESSION, now);
        assert_eq!(ghosts.haunting((SESSION, Xid(1))), Haunting::Loose);
        ghosts.fence(SESSION);
        assert_eq!(ghosts.haunting((SESSION, Xid(1))), Haunting::Fenced);
        ghosts.add((SESSION, Xid(2)), now);
        assert_eq!(ghosts.haunting((SESSION, Xid(1))), Haunting::Loose);
    }

    #[test]
    fn p6_nothing_is_kept_of_a_session_that_has_ended_or_whose_ghosts_were_all_seen() {
        let now = Instant::now();
        let mut ghosts = Ghosts::default();
        ghosts.add((SESSION, Xid(1)), now);
        ghosts.add((SESSION, Xid(1)), now);
        ghosts.seen((SESSION, Xid(1)));
        assert_eq!(ghosts.len(), 1);
        ghosts.seen((SESSION, Xid(1)));
        ghosts.seen((SESSION, Xid(1)));
        assert_eq!((ghosts.len(), ghosts.order.len()), (0, 0));
        ghosts.add((SESSION, Xid(1)), now);
        ghosts.lay_to_rest(SESSION);
        assert_eq!((ghosts.len(), ghosts.order.len()), (0, 0));
    }
}
