//! What a leader knows of one learner, and the packets it sends.

use bytes::Bytes;
use outpost_wire::quorum::{PROTOCOL_VERSION, PacketType, QuorumPacket};
use outpost_wire::{ServerId, SessionId, Writer, Zxid};

/// Names a learner's connection. Never given to another, also not by a later leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LearnerKey(pub u64);

/// How far a learner has come.
///
/// ```text
///   Connected ── OBSERVERINFO ──→ Registered ── ACKEPOCH ──→ Synchronizing ── ACK ──→ Following
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Has said nothing yet.
    Connected,
    /// Was told the epoch.
    Registered,
    /// Was sent what it lacked, and NEWLEADER; gets transactions and PINGs.
    Synchronizing,
    /// Was told UPTODATE.
    Following,
}

impl Phase {
    /// Whether the learner gets what is committed from now on.
    pub(crate) fn is_forwarded_to(self) -> bool {
        matches!(self, Phase::Synchronizing | Phase::Following)
    }
}

/// One learner's connection.
#[derive(Debug)]
pub(crate) struct Learner {
    pub(crate) phase: Phase,
    pub(crate) server_id: Option<ServerId>,
    /// When the last packet came.
    pub(crate) heard_ms: i64,
}

impl Learner {
    pub(crate) fn new(now_ms: i64) -> Learner {
        Learner {
            phase: Phase::Connected,
            server_id: None,
            heard_ms: now_ms,
        }
    }
}

/// The zxid of packets that are about none.
const NO_ZXID: Zxid = Zxid(-1);

pub(crate) fn leader_info(epoch: u32) -> QuorumPacket {
    let version = Bytes::copy_from_slice(&PROTOCOL_VERSION.to_be_bytes());
    QuorumPacket::new(PacketType::LeaderInfo, Zxid::of_epoch(epoch), Some(version))
}

pub(crate) fn new_leader(epoch: u32, membership: Bytes) -> QuorumPacket {
    QuorumPacket::new(
        PacketType::NewLeader,
        Zxid::of_epoch(epoch),
        Some(membership),
    )
}

pub(crate) fn up_to_date() -> QuorumPacket {
    QuorumPacket::new(PacketType::UpToDate, NO_ZXID, None)
}

pub(crate) fn sync_done() -> QuorumPacket {
    QuorumPacket::new(PacketType::Sync, Zxid::ZERO, None)
}

/// Answers a REVALIDATE with everything but its data.
pub(crate) fn revalidated(asked: &QuorumPacket, session: SessionId, valid: bool) -> QuorumPacket {
    let mut data = Vec::with_capacity(9);
    let mut writer = Writer::new(&mut data);
    writer.long(session.0);
    writer.boolean(valid);
    QuorumPacket {
        data: Some(Bytes::from(data)),
        ..asked.clone()
    }
}
