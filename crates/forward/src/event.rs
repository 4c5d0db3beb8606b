//! Everything the ensemble can tell us.

use std::time::Instant;

use bytes::Bytes;
use outpost_mirror::Tree;
use outpost_wire::txn::TxnHeader;
use outpost_wire::{OpCode, SessionId, Zxid};
use tokio::sync::oneshot;

use crate::lost::Lost;

/// What comes down the link, in the order in which it came. Matched in one place: `apply`.
pub enum Event {
    /// A whole tree that replaces the mirror's, consistent at its last zxid.
    Snapshot(Box<Tree>),
    /// A committed transaction: header, record and digest as the leader sent them.
    Committed {
        /// The transaction's zxid.
        zxid: Zxid,
        /// The leader's clock when it was made, ms since 1970.
        time: i64,
        /// Header, record, and digest if there is one.
        bytes: Bytes,
        /// The session that it closes, if that is what it does.
        closes: Option<SessionId>,
    },
    /// The mirror has caught up: clients may be served.
    UpToDate {
        /// The master's epoch.
        epoch: u32,
        /// When that came: only afterwards is anything sent on this link.
        at: Instant,
        /// Text of the membership that the master announced (3.5 and later).
        membership: Option<Bytes>,
    },
    /// The oldest forwarded sync is done.
    Synced,
    /// The leader's word on a session that wants to attach here.
    Revalidated {
        /// The session.
        session: SessionId,
        /// Whether it lives and is ours now.
        valid: bool,
    },
    /// The link is gone; nothing of it will come any more.
    Lost {
        /// Why.
        reason: Lost,
        /// When that was.
        at: Instant,
        /// Told when everything before this event has been applied: until when clients are held, if they are.
        done: oneshot::Sender<Option<Instant>>,
    },
    /// The hold time may be over.
    HoldOver,
}

impl Event {
    pub(crate) fn committed(header: &TxnHeader, bytes: Bytes) -> Event {
        Event::Committed {
            zxid: header.zxid,
            time: header.time,
            bytes,
            closes: (header.kind == OpCode::CloseSession.code()).then_some(header.session),
        }
    }
}
