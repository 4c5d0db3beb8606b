//! Why a link to a learner master ends.

use std::io;
use std::time::Duration;

use outpost_wire::{DecodeError, ServerId, Zxid};

/// The reason a link ended, sorted by who has to act.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The network: the socket failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The master, or something between it and us, closed the connection.
    #[error("the master closed the connection")]
    Closed,
    /// Nothing came for as long as the protocol allows.
    #[error("the master was silent for {} ms", .0.as_millis())]
    Silent(Duration),
    /// The master sent bytes that are no packet, or a packet that is no such record.
    #[error("the master sent a malformed packet: {0}")]
    Malformed(#[from] DecodeError),
    /// The master broke the order of the protocol.
    #[error("the master broke the protocol: {0}")]
    Misbehaved(String),
    /// The master belongs to an epoch that is over: a deposed leader that has not noticed.
    #[error("the master offers epoch {offered}, but epoch {accepted} has been seen")]
    StaleMaster {
        /// Epoch in LEADERINFO.
        offered: u32,
        /// Newest epoch this observer has accepted.
        accepted: u32,
    },
    /// The leader's history ends before ours, so it has lost what clients have seen (a restored backup): nobody is
    /// served any more, and everything must be fetched anew.
    #[error(
        "the leader's history ends at {to}, ours at {ours}: it has lost transactions that clients have seen; \
         starting over from a snapshot"
    )]
    Truncated {
        /// Where the master asks us to go back to.
        to: Zxid,
        /// Our last zxid.
        ours: Zxid,
    },
    /// The history that the master sent does not continue ours (a follower that is our master may have
    /// holes in it, ZOOKEEPER-4925). It would send the same again, so everything must be fetched anew.
    #[error(
        "the master's history goes on with {next}, ours ends at {ours}: starting over from a snapshot"
    )]
    Hole {
        /// Our last zxid.
        ours: Zxid,
        /// What the master sent instead of the next.
        next: Zxid,
    },
    /// A follower that is our master is behind us; another master will do.
    #[error("the master is behind: its history ends at {to}, ours at {ours}")]
    Behind {
        /// Where the master asks us to go back to.
        to: Zxid,
        /// Our last zxid.
        ours: Zxid,
    },
    /// The master cannot tell where our history ends, since ours ends with a snapshot that was taken between two
    /// epochs (leaders of 3.4). A snapshot helps.
    #[error("the master cannot continue from {ours}: starting over from a snapshot")]
    NoCommonGround {
        /// Our last zxid.
        ours: Zxid,
    },
    /// More history waits for the leader to be confirmed than may wait. A snapshot is loaded beside the mirror.
    #[error(
        "more than {0} bytes of history came before the master was confirmed: starting over from a snapshot"
    )]
    LongHistory(usize),
    /// A reconfiguration names another leader, or moves this one.
    #[error("the ensemble is handing over to server {suggested}")]
    LeaderChanges {
        /// The voter that is to lead next.
        suggested: ServerId,
    },
    /// A question to the leader has not come back: either the leader's queue for us has grown to that many seconds,
    /// because the link is too slow for what is written, or the leader cannot commit (P9).
    #[error(
        "a sync has not come back for {} ms: the link is too slow for what is written, or the leader is stuck",
        .0.as_millis()
    )]
    Congested(Duration),
    /// The mirror could not apply as fast as transactions came; we leave before the leader's queue
    /// for us grows (P9).
    #[error("the mirror cannot keep up: its queue was full for {} ms", .0.as_millis())]
    Overrun(Duration),
    /// The mirror differs from the leader's tree and must be fetched anew (P1).
    #[error("the mirror differs from the leader's tree: starting over from a snapshot")]
    Diverged,
    /// This process is shutting down.
    #[error("shutting down")]
    Stopped,
}

impl Lost {
    /// Whether the mirror must not be continued from where it is.
    pub fn starts_over(&self) -> bool {
        matches!(
            self,
            Lost::Truncated { .. }
                | Lost::Hole { .. }
                | Lost::NoCommonGround { .. }
                | Lost::LongHistory(_)
                | Lost::Diverged
        )
    }

    /// What [`Lost::label`] may answer.
    pub const LABELS: [&'static str; 16] = [
        "io",
        "closed",
        "silent",
        "malformed",
        "misbehaved",
        "stale_master",
        "truncated",
        "hole",
        "behind",
        "no_common_ground",
        "long_history",
        "leader_changes",
        "congested",
        "overrun",
        "diverged",
        "stopped",
    ];

    /// A short name for metrics, one for each variant.
    pub fn label(&self) -> &'static str {
        match self {
            Lost::Io(_) => "io",
            Lost::Closed => "closed",
            Lost::Silent(_) => "silent",
            Lost::Malformed(_) => "malformed",
            Lost::Misbehaved(_) => "misbehaved",
            Lost::StaleMaster { .. } => "stale_master",
            Lost::Truncated { .. } => "truncated",
            Lost::Hole { .. } => "hole",
            Lost::Behind { .. } => "behind",
            Lost::NoCommonGround { .. } => "no_common_ground",
            Lost::LongHistory(_) => "long_history",
            Lost::LeaderChanges { .. } => "leader_changes",
            Lost::Congested(_) => "congested",
            Lost::Overrun(_) => "overrun",
            Lost::Diverged => "diverged",
            Lost::Stopped => "stopped",
        }
    }
}
