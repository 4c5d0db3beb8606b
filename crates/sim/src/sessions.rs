//! Who has a session, through whom, and until when (`LeaderSessionTracker`, `SessionTrackerImpl`).

use std::collections::{BTreeMap, BTreeSet};

use outpost_wire::{ErrorCode, ServerId, SessionId};

use crate::learner::LearnerKey;

/// Through whom a session speaks: a request that comes through anybody else is refused as moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A learner's connection.
    Learner(LearnerKey),
    /// A server of the simulated ensemble.
    Server(ServerId),
}

#[derive(Debug)]
struct Session {
    owner: Option<Owner>,
    closing: bool,
    expires_ms: i64,
}

/// All global sessions. They expire in steps of one tick, never early.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_id: BTreeMap<SessionId, Session>,
    by_expiry: BTreeSet<(i64, SessionId)>,
    tick_ms: i64,
}

impl Sessions {
    pub(crate) fn new(tick_ms: i64) -> Sessions {
        Sessions {
            by_id: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            tick_ms: tick_ms.max(1),
        }
    }

    /// Begins to track a session, or touches it if it is tracked already and not closing.
    pub(crate) fn track(&mut self, now_ms: i64, id: SessionId, timeout_ms: i32) {
        let expires_ms = self.expiry(now_ms, timeout_ms);
        let session = self.by_id.entry(id).or_insert(Session {
            owner: None,
            closing: false,
            expires_ms,
        });
        if !session.closing {
            self.by_expiry.remove(&(session.expires_ms, id));
            session.expires_ms = expires_ms;
            self.by_expiry.insert((expires_ms, id));
        }
    }

    /// The session lives for another `timeout_ms`. False if it is gone or going.
    pub(crate) fn touch(&mut self, now_ms: i64, id: SessionId, timeout_ms: i32) -> bool {
        let lives = self.by_id.get(&id).is_some_and(|session| !session.closing);
        if lives {
            self.track(now_ms, id, timeout_ms);
        }
        lives
    }

    /// Whether `owner` may speak for the session; the first who does so owns it.
    pub(crate) fn check(&mut self, id: SessionId, owner: Owner) -> Result<(), ErrorCode> {
        match self.by_id.get_mut(&id) {
            Some(session) if !session.closing => match session.owner {
                Some(other) if other != owner => Err(ErrorCode::SESSION_MOVED),
                _ => {
                    session.owner = Some(owner);
                    Ok(())
                }
            },
            _ => Err(ErrorCode::SESSION_EXPIRED),
        }
    }

    /// From here on `owner` speaks for the session.
    pub(crate) fn set_owner(&mut self, id: SessionId, owner: Owner) -> Result<(), ErrorCode> {
        match self.by_id.get_mut(&id) {
            Some(session) if !session.closing => {
                session.owner = Some(owner);
                Ok(())
            }
            _ => Err(ErrorCode::SESSION_EXPIRED),
        }
    }

    /// A closeSession is proposed: nothing more is accepted from the session.
    pub(crate) fn close(&mut self, id: SessionId) {
        if let Some(session) = self.by_id.get_mut(&id) {
            session.closing = true;
            self.by_expiry.remove(&(session.expires_ms, id));
        }
    }

    /// A closeSession is committed.
    pub(crate) fn remove(&mut self, id: SessionId) {
        if let Some(session) = self.by_id.remove(&id) {
            self.by_expiry.remove(&(session.expires_ms, id));
        }
    }

    /// A session whose time is over; the caller closes it.
    pub(crate) fn poll_expired(&mut self, now_ms: i64) -> Option<SessionId> {
        let &(expires_ms, id) = self.by_expiry.first()?;
        (expires_ms <= now_ms).then_some(id)
    }

    /// When the next session expires.
    pub(crate) fn next_expiry_ms(&self) -> Option<i64> {
        self.by_expiry.first().map(|&(expires_ms, _)| expires_ms)
    }

    /// The end of the tick in which the timeout ends (`ExpiryQueue.roundToNextInterval`).
    fn expiry(&self, now_ms: i64, timeout_ms: i32) -> i64 {
        let end_ms = now_ms + i64::from(timeout_ms);
        (end_ms.div_euclid(self.tick_ms) + 1) * self.tick_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = SessionId(7);
    const HERE: Owner = Owner::Learner(LearnerKey(1));
    const THERE: Owner = Owner::Learner(LearnerKey(2));

    #[test]
    fn p7_a_session_never_expires_before_its_timeout_and_at_most_a_tick_later() {
        let mut sessions = Sessions::new(2_000);
        sessions.track(10_500, ID, 6_000);
        assert_eq!(sessions.next_expiry_ms(), Some(18_000));
        assert_eq!(sessions.poll_expired(17_999), None);
        assert_eq!(sessions.poll_expired(18_000), Some(ID));
        assert!(sessions.touch(17_000, ID, 6_000));
        assert_eq!(sessions.next_expiry_ms(), Some(24_000));
    }

    #[test]
    fn whoever_did_not_attach_a_session_last_is_told_that_it_moved() {
        let mut sessions = Sessions::new(2_000);
        assert_eq!(sessions.check(ID, HERE), Err(ErrorCode::SESSION_EXPIRED));
        sessions.track(0, ID, 6_000);
        assert_eq!(sessions.check(ID, HERE), Ok(()));
        assert_eq!(sessions.check(ID, THERE), Err(ErrorCode::SESSION_MOVED));
        assert_eq!(sessions.set_owner(ID, THERE), Ok(()));
        assert_eq!(sessions.check(ID, THERE), Ok(()));
        assert_eq!(sessions.check(ID, HERE), Err(ErrorCode::SESSION_MOVED));
    }

    #[test]
    fn a_closing_session_accepts_nothing_and_does_not_expire_again() {
        let mut sessions = Sessions::new(2_000);
        sessions.track(0, ID, 6_000);
        sessions.close(ID);
        assert_eq!(sessions.check(ID, HERE), Err(ErrorCode::SESSION_EXPIRED));
        assert_eq!(
            sessions.set_owner(ID, HERE),
            Err(ErrorCode::SESSION_EXPIRED)
        );
        assert!(!sessions.touch(1, ID, 6_000));
        assert_eq!(sessions.poll_expired(i64::MAX), None);
    }
}
