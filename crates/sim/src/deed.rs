//! What an ensemble does and what reaches it, told to whoever wants to check it afterwards.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use outpost_wire::quorum::PacketType;
use outpost_wire::{SessionId, Xid, Zxid};

use crate::ensemble::Uncommitted;
use crate::learner::LearnerKey;

/// Something that an ensemble does, or that reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A leader takes office.
    TookOffice {
        /// The epoch of its leadership.
        epoch: u32,
    },
    /// The leader is gone.
    LeftOffice {
        /// What becomes of what it had proposed and not committed.
        uncommitted: Uncommitted,
    },
    /// A transaction is part of history.
    Committed {
        /// Its place.
        zxid: Zxid,
        /// Header, record, and digest if there is one.
        bytes: Bytes,
    },
    /// A session's time is over; the transaction that closes it is yet to come.
    Expired(SessionId),
    /// A learner has said what it has, and what it lacks is about to be sent.
    Synchronizes {
        /// Which learner.
        learner: LearnerKey,
        /// Its last transaction.
        presented: Zxid,
        /// DIFF, TRUNC or SNAP.
        by: PacketType,
        /// The zxid of that packet.
        zxid: Zxid,
    },
    /// A learner has forwarded a request.
    Requested {
        /// Which learner.
        learner: LearnerKey,
        /// The session that asks.
        session: SessionId,
        /// The number it gave its request.
        cxid: Xid,
        /// The operation, by number.
        op: i32,
    },
    /// A learner has asked whether a session may speak through it.
    Revalidated {
        /// Which learner.
        learner: LearnerKey,
        /// The session.
        session: SessionId,
        /// Its timeout, ms.
        timeout_ms: i32,
        /// What it is told.
        valid: bool,
    },
    /// A learner has told which sessions have shown themselves, with their timeouts in ms.
    Touched {
        /// Which learner.
        learner: LearnerKey,
        /// In the learner's order.
        sessions: Vec<(SessionId, i32)>,
    },
    /// A learner has done what would hurt a real ensemble, or what is not in the protocol.
    Harmed {
        /// Which learner.
        learner: LearnerKey,
        /// What it did, for people to read.
        how: String,
    },
    /// A learner's connection has ended.
    Parted(LearnerKey),
}

/// Is told every [`Deed`], at the moment of it and in order. The default one does not listen.
#[derive(Clone, Default)]
pub struct Witness(Option<Arc<dyn Fn(Deed) + Send + Sync>>);

impl Witness {
    /// Whoever is to be told. It must not wait.
    pub fn new(told: impl Fn(Deed) + Send + Sync + 'static) -> Witness {
        Witness(Some(Arc::new(told)))
    }

    pub(crate) fn tell(&self, deed: impl FnOnce() -> Deed) {
        if let Some(told) = &self.0 {
            told(deed());
        }
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(_) => f.write_str("Witness(listens)"),
            None => f.write_str("Witness(does not listen)"),
        }
    }
}
