//! The leader's side of the learner protocol, as a value: no socket, no clock, no task.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use outpost_mirror::{Tree, Watches};
use outpost_wire::membership::Membership;
use outpost_wire::quorum::{ForwardedRequest, LearnerInfo, PacketType, QuorumPacket};
use outpost_wire::txn::{DIGEST_VERSION, TxnDigest, TxnEntry};
use outpost_wire::{
    DecodeError, ErrorCode, Id, OpCode, Reader, Record, ServerId, SessionId, Xid, Zxid,
};

use crate::changes::{Draft, Outstanding};
use crate::history::{Committed, History};
use crate::learner::{self, Learner, LearnerKey, Phase};
use crate::prep::{NoTxn, Prep, Prepared, Request};
use crate::reaper;
use crate::sessions::{Owner, Sessions};
use crate::settings::LeaderSettings;
use crate::snapshot;
use crate::sync::{self, Plan};

/// Proposals that may wait for their commit. At the bound the oldest is committed early: the simulated
/// quorum is as fast as it has to be.
const PROPOSALS_MAX: usize = 10_000;
/// Syncs that may wait for a commit, of all learners. A learner that asks for more is cut off.
const SYNCS_MAX: usize = 10_000;

/// What the leader wants done with one learner's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Packet(QuorumPacket),
    /// Send these bytes as they are: the tree that a SNAP announced.
    Snapshot(Vec<u8>),
    /// Close the connection. The key means nothing any more.
    Close,
}

/// Something that a learner did and that would hurt a real ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Harm {
    /// It forwarded a body that cannot be read: a real leader stops committing for good, and so does
    /// this one until the next election.
    UndecodableBody {
        /// The operation, by number.
        op: i32,
        /// What cannot be read.
        error: DecodeError,
    },
    /// It forwarded a check outside a multi: a real leader writes a log that no server can read. This
    /// one stops committing.
    StandaloneCheck,
    /// It called itself by the id of a voter: its acknowledgements would count.
    VoterId(ServerId),
    /// It acknowledged a transaction, which only voters do.
    TxnAck(Zxid),
}

/// What became of a request: it has a transaction whether or not it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The transaction; committed once the quorum's time is over.
    pub zxid: Zxid,
    /// Why the request failed, or OK.
    pub error: ErrorCode,
}

/// What one leader leaves to the next: everything that is committed.
pub struct Inheritance {
    tree: Tree,
    history: History,
    epoch: u32,
    next_key: u64,
}

impl Inheritance {
    /// What the first leader of an ensemble finds.
    pub fn of_new_ensemble(settings: &LeaderSettings) -> Inheritance {
        Inheritance {
            tree: Tree::with_options(settings.tree),
            history: History::new(settings.history_max),
            epoch: 0,
            next_key: 1,
        }
    }
}

/// A proposal that waits for its quorum.
struct Proposal {
    zxid: Zxid,
    kind: i32,
    /// Header and record.
    bytes: Vec<u8>,
    commits_ms: i64,
}

/// One leadership, from its election to the next.
///
/// Holds no socket and no clock: time, in ms since 1970, comes with every call and must not go back.
/// Call [`Leader::connect`], [`Leader::handle_packet`], [`Leader::disconnect`] and
/// [`Leader::handle_timeout`] when something happened, then drain [`Leader::poll_output`], and wait no
/// longer than until [`Leader::next_timeout_ms`]. Whoever drains decides how much may wait for a
/// learner that does not read, and disconnects it at that bound.
pub struct Leader {
    id: ServerId,
    epoch: u32,
    settings: LeaderSettings,
    membership: Membership,
    tree: Tree,
    history: History,
    /// A leader has none; the tree wants to fire some.
    watches: Watches,
    last_proposed: Zxid,
    proposals: VecDeque<Proposal>,
    outstanding: Outstanding,
    /// Answered when this zxid is committed.
    syncs: VecDeque<(Zxid, LearnerKey)>,
    sessions: Sessions,
    learners: BTreeMap<LearnerKey, Learner>,
    next_key: u64,
    output: VecDeque<(LearnerKey, Output)>,
    next_ping_ms: i64,
    next_reap_ms: i64,
    stuck: bool,
    harm: Option<Harm>,
}

impl Leader {
    /// Begins a leadership in the epoch after the one that is inherited. Every known session gets its
    /// whole timeout again, and belongs to nobody.
    pub fn new(
        now_ms: i64,
        id: ServerId,
        membership: Membership,
        settings: LeaderSettings,
        inherited: Inheritance,
    ) -> Leader {
        let Inheritance {
            mut tree,
            history,
            epoch,
            next_key,
        } = inherited;
        let epoch = epoch + 1;
        tree.set_last_zxid(Zxid::of_epoch(epoch));
        tree.set_config(membership.to_text().as_bytes(), membership.version, now_ms);
        let mut sessions = Sessions::new(settings.tick_ms);
        for (&session, &timeout_ms) in tree.sessions() {
            sessions.track(now_ms, session, timeout_ms);
        }
        Leader {
            id,
            epoch,
            membership,
            tree,
            history,
            watches: Watches::new(),
            last_proposed: Zxid::of_epoch(epoch),
            proposals: VecDeque::new(),
            outstanding: Outstanding::default(),
            syncs: VecDeque::new(),
            sessions,
            learners: BTreeMap::new(),
            next_key,
            output: VecDeque::new(),
            next_ping_ms: now_ms + settings.ping_interval_ms(),
            next_reap_ms: now_ms + settings.reap_interval_ms,
            stuck: false,
            harm: None,
            settings,
        }
    }

    /// Ends the leadership. With `commit`, what was proposed is committed first; else it is lost.
    pub fn into_inheritance(mut self, commit: bool) -> Inheritance {
        while commit && self.commit_oldest() {}
        Inheritance {
            tree: self.tree,
            history: self.history,
            epoch: self.epoch,
            next_key: self.next_key,
        }
    }

    /// The server that leads.
    pub fn id(&self) -> ServerId {
        self.id
    }

    /// The epoch of this leadership.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The committed tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The newest transaction that was proposed; equal to the tree's last zxid if all are committed.
    pub fn last_proposed(&self) -> Zxid {
        self.last_proposed
    }

    /// The committed transactions that are still kept, oldest first: zxid, and header, record and
    /// digest.
    pub fn history(&self) -> impl Iterator<Item = (Zxid, &Bytes)> {
        self.history.iter_from(0).map(|txn| (txn.zxid, &txn.bytes))
    }

    /// Learners that have been told UPTODATE.
    pub fn following(&self) -> impl Iterator<Item = LearnerKey> {
        let following = |learner: &Learner| learner.phase == Phase::Following;
        self.learners
            .iter()
            .filter(move |(_, l)| following(l))
            .map(|(&key, _)| key)
    }

    /// The first thing a learner did that would hurt a real ensemble (P9).
    pub fn harm(&self) -> Option<&Harm> {
        self.harm.as_ref()
    }

    /// A learner has connected.
    pub fn connect(&mut self, now_ms: i64) -> LearnerKey {
        let key = LearnerKey(self.next_key);
        self.next_key += 1;
        self.learners.insert(key, Learner::new(now_ms));
        key
    }

    /// A learner's connection is gone, or is to be cut. Its sessions stay until they expire or move.
    pub fn disconnect(&mut self, key: LearnerKey) {
        self.learners.remove(&key);
        self.syncs.retain(|(_, waiting)| *waiting != key);
    }

    /// The next thing to do, if there is any.
    pub fn poll_output(&mut self) -> Option<(LearnerKey, Output)> {
        self.output.pop_front()
    }

    /// When [`Leader::handle_timeout`] has something to do, at the latest.
    pub fn next_timeout_ms(&self) -> i64 {
        let commit = self.proposals.front().map(|proposal| proposal.commits_ms);
        let silence = self
            .learners
            .values()
            .map(|learner| self.silent_ms(learner))
            .min();
        [commit, self.sessions.next_expiry_ms(), silence]
            .into_iter()
            .flatten()
            .fold(self.next_ping_ms.min(self.next_reap_ms), i64::min)
    }

    /// Does what is due: commits, expires sessions, pings, reaps, gives up on silent learners.
    pub fn handle_timeout(&mut self, now_ms: i64) {
        self.commit_due(now_ms);
        while let Some(session) = self.sessions.poll_expired(now_ms) {
            tracing::debug!(%session, "a session expires");
            self.sessions.close(session);
            self.ask_oneself(now_ms, session, OpCode::CloseSession, &[]);
        }
        if now_ms >= self.next_ping_ms {
            self.next_ping_ms = now_ms + self.settings.ping_interval_ms();
            self.ping();
        }
        if now_ms >= self.next_reap_ms {
            self.next_reap_ms = now_ms + self.settings.reap_interval_ms;
            self.reap(now_ms);
        }
        let silent = |learner: &Learner| self.silent_ms(learner) <= now_ms;
        let keys: Vec<LearnerKey> = self
            .learners
            .iter()
            .filter(|(_, l)| silent(l))
            .map(|(&key, _)| key)
            .collect();
        for key in keys {
            self.close(key, "it was silent for too long");
        }
    }

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
            self.close(key, why);
        }
    }

    /// A request that comes through one of the ensemble's own servers. `None` when it has no
    /// transaction: a sync, or something that would have hurt a real leader.
    pub fn submit(
        &mut self,
        now_ms: i64,
        server: ServerId,
        forwarded: ForwardedRequest<'_>,
        authinfo: Option<&[Id]>,
    ) -> Option<Outcome> {
        let owner = Some(Owner::Server(server));
        self.propose(
            now_ms,
            &Request {
                forwarded,
                authinfo,
                owner,
            },
        )
    }

    /// A session shows a sign of life through one of the ensemble's own servers. False if it is gone.
    pub fn touch(&mut self, now_ms: i64, session: SessionId, timeout_ms: i32) -> bool {
        self.sessions.touch(now_ms, session, timeout_ms)
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
            self.note(Harm::VoterId(info.server_id));
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
                    self.note(Harm::TxnAck(packet.zxid));
                }
                Ok(())
            }
            Some(PacketType::Ping) => self.pinged(now_ms, packet),
            Some(PacketType::Revalidate) => self.revalidate(now_ms, key, packet),
            Some(PacketType::Request) => self.requested(now_ms, key, packet),
            _ => {
                tracing::debug!(?key, kind = packet.kind, "packet ignored");
                Ok(())
            }
        }
    }

    fn pinged(&mut self, now_ms: i64, packet: &QuorumPacket) -> Result<(), &'static str> {
        let data = packet.data.as_deref().ok_or("its PING has null data")?;
        let mut reader = Reader::new(data);
        while !reader.rest().is_empty() {
            let (session, timeout_ms) =
                read_touch(&mut reader).map_err(|_| "its PING cannot be read")?;
            self.sessions.touch(now_ms, session, timeout_ms);
        }
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

    /// A request of the leader itself.
    fn ask_oneself(&mut self, now_ms: i64, session: SessionId, op: OpCode, body: &[u8]) {
        let forwarded = ForwardedRequest {
            session,
            cxid: Xid(0),
            op: op.code(),
            body,
        };
        self.propose(
            now_ms,
            &Request {
                forwarded,
                authinfo: None,
                owner: None,
            },
        );
    }

    fn propose(&mut self, now_ms: i64, request: &Request<'_>) -> Option<Outcome> {
        if self.stuck {
            return None;
        }
        let zxid = Zxid(self.last_proposed.0 + 1);
        let prep = Prep {
            draft: Draft::new(&self.tree, &self.outstanding),
            sessions: &mut self.sessions,
            acl: &self.settings.acl,
            tree: self.settings.tree,
            zxid,
            now_ms,
        };
        match prep.decide(request) {
            Ok(prepared) => Some(self.proposed(now_ms, zxid, prepared)),
            Err(no_txn) => {
                self.refuse(request.forwarded.op, no_txn);
                None
            }
        }
    }

    fn proposed(&mut self, now_ms: i64, zxid: Zxid, prepared: Prepared) -> Outcome {
        let Prepared {
            kind,
            bytes,
            error,
            changes,
        } = prepared;
        self.last_proposed = zxid;
        self.outstanding.add(zxid, changes);
        let commits_ms = now_ms + self.settings.commit_delay_ms;
        self.proposals.push_back(Proposal {
            zxid,
            kind,
            bytes,
            commits_ms,
        });
        if self.proposals.len() > PROPOSALS_MAX {
            self.commit_oldest();
        }
        self.commit_due(now_ms);
        Outcome { zxid, error }
    }

    fn refuse(&mut self, op: i32, no_txn: NoTxn) {
        let harm = match no_txn {
            NoTxn::NoWrite => return tracing::debug!(op, "no write; ignored"),
            NoTxn::StandaloneCheck => Harm::StandaloneCheck,
            NoTxn::Undecodable(error) => Harm::UndecodableBody { op, error },
        };
        self.stuck = true;
        self.note(harm);
    }

    fn note(&mut self, harm: Harm) {
        tracing::error!(?harm, "a learner did what would hurt a real ensemble");
        self.harm.get_or_insert(harm);
    }

    fn commit_due(&mut self, now_ms: i64) {
        while self
            .proposals
            .front()
            .is_some_and(|oldest| oldest.commits_ms <= now_ms)
        {
            self.commit_oldest();
        }
    }

    /// False when nothing waits.
    fn commit_oldest(&mut self) -> bool {
        let Some(Proposal {
            zxid, kind, bytes, ..
        }) = self.proposals.pop_front()
        else {
            return false;
        };
        self.outstanding.committed(zxid);
        let bytes = Bytes::from(self.apply(kind, bytes));
        self.history.push(Committed {
            zxid,
            bytes: bytes.clone(),
        });
        let inform = QuorumPacket::new(PacketType::Inform, zxid, Some(bytes));
        for (&key, learner) in &self.learners {
            if learner.phase.is_forwarded_to() {
                self.output.push_back((key, Output::Packet(inform.clone())));
            }
        }
        while let Some(&(awaited, key)) = self.syncs.front()
            && awaited <= zxid
        {
            self.syncs.pop_front();
            self.send(key, learner::sync_done());
        }
        true
    }

    /// Applies a transaction, and appends the digest of the tree that it makes; those of requests that
    /// failed have none.
    fn apply(&mut self, kind: i32, mut bytes: Vec<u8>) -> Vec<u8> {
        match TxnEntry::decode(&bytes) {
            Ok(entry) => {
                let applied = self.tree.apply(&entry, &self.watches, &mut |_, _| {});
                if let Some(diverged) = applied.diverged {
                    tracing::error!(%diverged, "the simulated leader decided wrongly");
                }
                if kind == OpCode::CloseSession.code() {
                    self.sessions.remove(entry.header.session);
                }
            }
            Err(error) => tracing::error!(%error, "the simulated leader wrote no transaction"),
        }
        if self.settings.digests && kind != OpCode::Error.code() {
            let tree_digest = self.tree.digest().cast_signed();
            bytes.extend(
                TxnDigest {
                    version: DIGEST_VERSION,
                    tree_digest,
                }
                .encode(),
            );
        }
        bytes
    }

    fn ping(&mut self) {
        let ping = QuorumPacket::new(PacketType::Ping, self.last_proposed, None);
        for (&key, learner) in &self.learners {
            if learner.phase.is_forwarded_to() {
                self.output.push_back((key, Output::Packet(ping.clone())));
            }
        }
    }

    fn reap(&mut self, now_ms: i64) {
        for path in reaper::candidates(&self.tree, now_ms) {
            let mut body = Vec::new();
            outpost_wire::Writer::new(&mut body).ustring(&path);
            self.ask_oneself(now_ms, SessionId::NONE, OpCode::DeleteContainer, &body);
        }
    }

    /// When the learner counts as dead unless it says something.
    fn silent_ms(&self, learner: &Learner) -> i64 {
        learner.heard_ms + self.settings.patience_ms(learner.phase == Phase::Following)
    }

    fn enter(&mut self, key: LearnerKey, phase: Phase) {
        if let Some(learner) = self.learners.get_mut(&key) {
            learner.phase = phase;
        }
    }

    fn send(&mut self, key: LearnerKey, packet: QuorumPacket) {
        self.output.push_back((key, Output::Packet(packet)));
    }

    fn close(&mut self, key: LearnerKey, why: &str) {
        tracing::info!(?key, why, "closing a learner's connection");
        self.disconnect(key);
        self.output.push_back((key, Output::Close));
    }
}

/// A session and its timeout, as PING and REVALIDATE carry them.
fn read_touch(reader: &mut Reader<'_>) -> Result<(SessionId, i32), DecodeError> {
    let session = SessionId(reader.long("touch.sessionId")?);
    Ok((session, reader.int("touch.timeout")?))
}
