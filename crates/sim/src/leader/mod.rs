//! The leader's side of the learner protocol, as a value: no socket, no clock, no task.
//!
//! Here stand its life and its time. What learners say is answered in `link.rs`; how requests become
//! transactions, in `proposals.rs`.

mod link;
mod proposals;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use outpost_mirror::{Tree, Watches};
use outpost_wire::membership::Membership;
use outpost_wire::quorum::{ForwardedRequest, PacketType, QuorumPacket};
use outpost_wire::{DecodeError, ErrorCode, Id, OpCode, ServerId, SessionId, Writer, Zxid};

use crate::changes::Outstanding;
use crate::deed::Deed;
use crate::history::History;
use crate::learner::{Learner, LearnerKey, Phase};
use crate::prep::Request;
use crate::reaper;
use crate::sessions::{Owner, Sessions};
use crate::settings::LeaderSettings;
use proposals::Proposal;

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
    spoils_next_digest: bool,
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
        settings.witness.tell(|| Deed::TookOffice { epoch });
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
            spoils_next_digest: false,
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
            self.settings.witness.tell(|| Deed::Expired(session));
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

    /// A session's client has taken it to one of the ensemble's own servers. False if it is gone.
    pub fn move_session(&mut self, session: SessionId, server: ServerId) -> bool {
        let owner = Owner::Server(server);
        self.sessions.set_owner(session, owner).is_ok()
    }

    /// The next transaction with a digest carries a wrong one, though the tree is right. Real leaders do
    /// so after a create with the flag of a container, and after pipelined changes of the root.
    pub fn spoil_next_digest(&mut self) {
        self.spoils_next_digest = true;
    }

    /// How it behaves.
    pub(crate) fn settings_mut(&mut self) -> &mut LeaderSettings {
        &mut self.settings
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
            Writer::new(&mut body).ustring(&path);
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
