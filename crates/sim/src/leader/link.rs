//! What a learner says, phase by phase, and what it is answered.

use bytes::Bytes;
use outpost_wire::quorum::{ForwardedRequest, LearnerInfo, PacketType, QuorumPacket};
use outpost_wire::{DecodeError, OpCode, Reader, SessionId, Zxid};

use super::{Harm, Leader, Output};
use crate::deed::Deed;
use crate::learner::{self, LearnerKey, Phase};
use crate::prep::Request;
use crate::sessions::Owner;
use crate::snapshot;
use crate::sync::{self, Plan};

/// Syncs that may wait for a commit, of all learners. A learner that asks for more is cut off.
const SYNCS_MAX: usize = 10_000;

impl Leader {
    /// A learner has sent a packet. One that breaks the protocol is closed, as a real leader closes it.
    pub fn handle_packet(&mut self, now_ms: i64, key: LearnerKey, packet: &QuorumPacket) {
        let Some(learner) = self.learners.get_mut(&key) else {
            return;
        };
        learner.heard_ms = now_ms;
        let handled = match learner.phase {
            Phase::Connected => self.register(key, packet),
            Phase::Registered => self.synchronize(key, packet),
            Phase::Synchronizing => self.acknowledge(key, packet),
            Phase::Following => self.follow(now_ms, key, packet),
        };
        if let Err(why) = handled {
            self.settings.witness.tell(|| Deed::Harmed {
                learner: key,
                how: why.to_owned(),
            });
            self.close(key, why);
        }
    }

    fn register(&mut self, key: LearnerKey, packet: &QuorumPacket) -> Result<(), &'static str> {
        if packet.packet_type() != Some(PacketType::ObserverInfo) {
            return Err("its first packet is not OBSERVERINFO");
        }
        let data = packet
            .data
            .as_deref()
            .ok_or("its OBSERVERINFO is that of ZooKeeper 3.3")?;
        let info = LearnerInfo::read(data).map_err(|_| "its OBSERVERINFO cannot be read")?;
        if info.config_version > self.membership.version {
            return Err("it knows a newer membership");
        }
        if self
            .membership
            .participants()
            .any(|voter| voter.id == info.server_id)
        {
            self.note(Some(Owner::Learner(key)), Harm::VoterId(info.server_id));
        }
        self.enter(key, Phase::Registered);
        if let Some(learner) = self.learners.get_mut(&key) {
            learner.server_id = Some(info.server_id);
        }
        self.send(key, learner::leader_info(self.epoch));
        Ok(())
    }

    fn synchronize(&mut self, key: LearnerKey, packet: &QuorumPacket) -> Result<(), &'static str> {
        if packet.packet_type() != Some(PacketType::AckEpoch) {
            return Err("its second packet is not ACKEPOCH");
        }
        let plan = self.plan_for(packet.zxid);
        let (kind, zxid, from) = match plan {
            Plan::Diff { zxid, from } => (PacketType::Diff, zxid, from),
            Plan::Trunc { zxid, from } => (PacketType::Trunc, zxid, from),
            Plan::Snap { zxid, from } => (PacketType::Snap, zxid, from),
        };
        tracing::debug!(?key, ?plan, theirs = %packet.zxid, "synchronising a learner");
        self.settings.witness.tell(|| Deed::Synchronizes {
            learner: key,
            presented: packet.zxid,
            by: kind,
            zxid,
        });
        self.send(key, QuorumPacket::new(kind, zxid, None));
        if kind == PacketType::Snap {
            self.output
                .push_back((key, Output::Snapshot(snapshot::stream_of(&self.tree))));
        }
        for txn in self.history.iter_from(from) {
            let proposal =
                QuorumPacket::new(PacketType::Proposal, txn.zxid, Some(txn.bytes.clone()));
            let commit = QuorumPacket::new(PacketType::Commit, txn.zxid, None);
            self.output.push_back((key, Output::Packet(proposal)));
            self.output.push_back((key, Output::Packet(commit)));
        }
        let membership = Bytes::from(self.membership.to_text());
        self.send(key, learner::new_leader(self.epoch, membership));
        self.enter(key, Phase::Synchronizing);
        Ok(())
    }

    fn plan_for(&self, peer: Zxid) -> Plan {
        let last = self.tree.last_zxid();
        let plan = match self.settings.force_snapshot {
            true => sync::exact_snap(last, &self.history),
            false => sync::plan(peer, last, &self.history),
        };
        match plan {
            Plan::Snap { .. } => sync::fuzzy_snap(self.settings.fuzzy_txns, last, &self.history),
            plan => plan,
        }
    }

    fn acknowledge(&mut self, key: LearnerKey, packet: &QuorumPacket) -> Result<(), &'static str> {
        if packet.packet_type() != Some(PacketType::Ack) {
            return Err("it did not acknowledge NEWLEADER with its next packet");
        }
        self.enter(key, Phase::Following);
        self.send(key, learner::up_to_date());
        Ok(())
    }

    fn follow(
        &mut self,
        now_ms: i64,
        key: LearnerKey,
        packet: &QuorumPacket,
    ) -> Result<(), &'static str> {
        match packet.packet_type() {
            Some(PacketType::Ack) => {
                if packet.zxid.counter() != 0 {
                    self.note(Some(Owner::Learner(key)), Harm::TxnAck(packet.zxid));
                }
                Ok(())
            }
            Some(PacketType::Ping) => self.pinged(now_ms, key, packet),
            Some(PacketType::Revalidate) => self.revalidate(now_ms, key, packet),
            Some(PacketType::Request) => self.requested(now_ms, key, packet),
            _ => {
                tracing::debug!(?key, kind = packet.kind, "packet ignored");
                Ok(())
            }
        }
    }

    fn pinged(
        &mut self,
        now_ms: i64,
        key: LearnerKey,
        packet: &QuorumPacket,
    ) -> Result<(), &'static str> {
        let data = packet.data.as_deref().ok_or("its PING has null data")?;
        let mut reader = Reader::new(data);
        let mut touched = Vec::with_capacity(data.len() / TOUCH_BYTES);
        while !reader.rest().is_empty() {
            let (session, timeout_ms) =
                read_touch(&mut reader).map_err(|_| "its PING cannot be read")?;
            self.sessions.touch(now_ms, session, timeout_ms);
            touched.push((session, timeout_ms));
        }
        self.settings.witness.tell(|| Deed::Touched {
            learner: key,
            sessions: touched,
        });
        Ok(())
    }

    fn revalidate(
        &mut self,
        now_ms: i64,
        key: LearnerKey,
        packet: &QuorumPacket,
    ) -> Result<(), &'static str> {
        let data = packet
            .data
            .as_deref()
            .ok_or("its REVALIDATE has null data")?;
        let (session, timeout_ms) =
            read_touch(&mut Reader::new(data)).map_err(|_| "its REVALIDATE cannot be read")?;
        let valid = self.sessions.touch(now_ms, session, timeout_ms)
            && self
                .sessions
                .set_owner(session, Owner::Learner(key))
                .is_ok();
        self.settings.witness.tell(|| Deed::Revalidated {
            learner: key,
            session,
            timeout_ms,
            valid,
        });
        self.send(key, learner::revalidated(packet, session, valid));
        Ok(())
    }

    fn requested(
        &mut self,
        now_ms: i64,
        key: LearnerKey,
        packet: &QuorumPacket,
    ) -> Result<(), &'static str> {
        let data = packet.data.as_deref().ok_or("its REQUEST has null data")?;
        let forwarded = ForwardedRequest::read(data).map_err(|_| "its REQUEST cannot be read")?;
        self.settings.witness.tell(|| Deed::Requested {
            learner: key,
            session: forwarded.session,
            cxid: forwarded.cxid,
            op: forwarded.op,
        });
        if forwarded.op == OpCode::Sync.code() {
            return self.sync(key, forwarded.session);
        }
        let authinfo = packet.authinfo.as_deref();
        self.propose(
            now_ms,
            &Request {
                forwarded,
                authinfo,
                owner: Some(Owner::Learner(key)),
            },
        );
        Ok(())
    }

    /// Done as soon as all that is proposed now is committed, even for a session that is not valid.
    fn sync(&mut self, key: LearnerKey, session: SessionId) -> Result<(), &'static str> {
        if self.stuck {
            return Ok(());
        }
        // Like any request, it makes its sender the owner of a session that has none.
        let _ = self.sessions.check(session, Owner::Learner(key));
        if self.proposals.is_empty() {
            self.send(key, learner::sync_done());
        } else if self.syncs.len() < SYNCS_MAX {
            self.syncs.push_back((self.last_proposed, key));
        } else {
            return Err("too many syncs wait for a commit");
        }
        Ok(())
    }
}

/// What a session and its timeout take in a PING.
const TOUCH_BYTES: usize = 12;

/// A session and its timeout, as PING and REVALIDATE carry them.
fn read_touch(reader: &mut Reader<'_>) -> Result<(SessionId, i32), DecodeError> {
    let session = SessionId(reader.long("touch.sessionId")?);
    Ok((session, reader.int("touch.timeout")?))
}
