//! Requests on their way: what was forwarded and has not come back.
//!
//! The link thread registers a request before its packet is written; the apply thread takes it out
//! when its transaction arrives. Everything is known by session and cxid; what carries no name on the
//! way back (a SYNC) is known by its place in line.

use std::collections::{HashMap, VecDeque};

use outpost_wire::txn::TxnHeader;
use outpost_wire::{OpCode, SessionId, Xid};
use parking_lot::Mutex;

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
    fn key(&self) -> (SessionId, Xid) {
        (self.session, self.cxid)
    }
}

/// Which forwarded request a transaction answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// None of ours: another server forwarded it, or the leader made it.
    NotOurs,
    /// This one, and it was next in line.
    Ours(Pending),
    /// This one, but those before it were never answered. The leader answers in order, so their fate
    /// will not become known.
    OursAfter(Pending, Vec<Pending>),
}

/// All requests on their way. Bounded by whoever registers: see [`Writes::len`].
#[derive(Debug, Default)]
pub struct Writes {
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    writes: VecDeque<Pending>,
    /// How many in `writes` carry this session and cxid, so that a transaction which is not ours
    /// costs one lookup.
    names: HashMap<(SessionId, Xid), u32>,
    syncs: VecDeque<Pending>,
    revalidations: VecDeque<(SessionId, Origin)>,
}

impl Writes {
    /// Requests on their way, of all kinds.
    pub fn len(&self) -> usize {
        let lines = self.lines.lock();
        lines.writes.len() + lines.syncs.len() + lines.revalidations.len()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes a write or sync that is about to be sent.
    pub fn register(&self, pending: Pending) {
        let mut lines = self.lines.lock();
        if pending.op == OpCode::Sync {
            lines.syncs.push_back(pending);
        } else {
            *lines.names.entry(pending.key()).or_default() += 1;
            lines.writes.push_back(pending);
        }
    }

    /// Notes a REVALIDATE that is about to be sent.
    pub fn register_revalidation(&self, session: SessionId, origin: Origin) {
        self.lines.lock().revalidations.push_back((session, origin));
    }

    /// Finds the request that this transaction answers, and takes it out.
    pub fn answered_by(&self, header: &TxnHeader) -> Answer {
        let mut lines = self.lines.lock();
        let key = (header.session, header.cxid);
        if !lines.names.contains_key(&key) {
            return Answer::NotOurs;
        }
        let mut skipped = Vec::new();
        while let Some(pending) = lines.take_oldest() {
            if pending.key() == key {
                return match skipped.is_empty() {
                    true => Answer::Ours(pending),
                    false => Answer::OursAfter(pending, skipped),
                };
            }
            skipped.push(pending);
        }
        Answer::NotOurs
    }

    /// Takes out the oldest sync, which a SYNC answers.
    pub fn synced(&self) -> Option<Pending> {
        self.lines.lock().syncs.pop_front()
    }

    /// Takes out the oldest revalidation of `session`.
    pub fn revalidated(&self, session: SessionId) -> Option<Origin> {
        let mut lines = self.lines.lock();
        let place = lines
            .revalidations
            .iter()
            .position(|(waiting, _)| *waiting == session)?;
        lines.revalidations.remove(place).map(|(_, origin)| origin)
    }

    /// Takes out everything, when the link is lost.
    pub fn abandon(&self) -> (Vec<Pending>, Vec<Origin>) {
        let lines = std::mem::take(&mut *self.lines.lock());
        (
            lines.writes.into_iter().chain(lines.syncs).collect(),
            lines
                .revalidations
                .into_iter()
                .map(|(_, origin)| origin)
                .collect(),
        )
    }
}

impl Lines {
    fn take_oldest(&mut self) -> Option<Pending> {
        let pending = self.writes.pop_front()?;
        if let Some(count) = self.names.get_mut(&pending.key()) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(&pending.key());
            }
        }
        Some(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outpost_wire::Zxid;

    fn pending(session: i64, cxid: i32) -> Pending {
        Pending {
            origin: Origin(session as u64),
            session: SessionId(session),
            cxid: Xid(cxid),
            op: OpCode::SetData,
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

    #[test]
    fn p5_a_transaction_of_another_server_answers_nothing_here() {
        let writes = Writes::default();
        writes.register(pending(7, 1));
        assert_eq!(writes.answered_by(&header(7, 2)), Answer::NotOurs);
        assert_eq!(writes.answered_by(&header(8, 1)), Answer::NotOurs);
        assert_eq!(
            writes.answered_by(&header(7, 1)),
            Answer::Ours(pending(7, 1))
        );
        assert_eq!(writes.answered_by(&header(7, 1)), Answer::NotOurs);
    }

    #[test]
    fn p5_a_request_that_was_passed_over_is_reported_and_not_answered() {
        let writes = Writes::default();
        for cxid in 1..=3 {
            writes.register(pending(7, cxid));
        }
        assert_eq!(
            writes.answered_by(&header(7, 3)),
            Answer::OursAfter(pending(7, 3), vec![pending(7, 1), pending(7, 2)])
        );
        assert!(writes.is_empty());
    }

    #[test]
    fn two_requests_with_one_name_are_answered_in_the_order_sent() {
        let writes = Writes::default();
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
        assert_eq!(writes.answered_by(&header(7, 0)), Answer::Ours(first));
        assert_eq!(writes.answered_by(&header(7, 0)), Answer::Ours(second));
    }

    #[test]
    fn p6_nothing_is_kept_for_a_link_that_is_gone() {
        let writes = Writes::default();
        writes.register(pending(7, 1));
        writes.register(Pending {
            op: OpCode::Sync,
            ..pending(7, 2)
        });
        writes.register_revalidation(SessionId(9), Origin(9));
        let (requests, revalidations) = writes.abandon();
        assert_eq!((requests.len(), revalidations.len()), (2, 1));
        assert!(writes.is_empty());
        assert_eq!(writes.answered_by(&header(7, 1)), Answer::NotOurs);
        assert_eq!(writes.synced(), None);
    }
}
