//! Servers of which one leads, and how the leadership passes.
//!
//! All servers share one tree: what is committed is committed everywhere at once. Which of them leads
//! is seen only in the epoch and in who answers learners.

use std::collections::{BTreeSet, VecDeque};

use bstr::BStr;
use outpost_wire::membership::Membership;
use outpost_wire::proto::{CreateRequest, SetDataRequest};
use outpost_wire::quorum::{ForwardedRequest, QuorumPacket};
use outpost_wire::{Acl, ErrorCode, Id, OpCode, Record, ServerId, SessionId, Xid, Zxid};

use crate::deed::Deed;
use crate::leader::{Inheritance, Leader, Outcome, Output};
use crate::learner::LearnerKey;
use crate::settings::LeaderSettings;

/// Timeout of the session that [`Ensemble::write_as_someone_else`] uses, ms.
const OTHERS_TIMEOUT_MS: i32 = 40_000;

/// What an ensemble is told at its start.
#[derive(Debug, Clone)]
pub struct EnsembleSettings {
    /// Who belongs to it. Its participants are the servers that are simulated.
    pub membership: Membership,
    /// How its leaders behave.
    pub leader: LeaderSettings,
    /// How long an election takes, ms.
    pub election_ms: i64,
}

/// What becomes of proposals that were not committed when their leader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncommitted {
    /// The next leader has them too, and commits them.
    Committed,
    /// They never were.
    Lost,
}

/// Who leads, or will.
enum Leadership {
    Leads(Box<Leader>),
    /// The next leader takes office at this time.
    Election {
        next: ServerId,
        ends_ms: i64,
        inherited: Inheritance,
    },
    /// Too few servers are up.
    NoQuorum {
        inherited: Inheritance,
    },
    /// Only while one state is turned into another.
    Changing,
}

/// A simulated ensemble. To be driven as a [`Leader`] is.
pub struct Ensemble {
    settings: EnsembleSettings,
    up: BTreeSet<ServerId>,
    leadership: Leadership,
    /// Connections to the leader that is in office.
    links: BTreeSet<LearnerKey>,
    closing: VecDeque<LearnerKey>,
    /// The session of whoever else writes.
    other: Option<SessionId>,
    others: i64,
}

impl Ensemble {
    /// An ensemble with all servers up, led by the one with the highest id.
    pub fn new(now_ms: i64, settings: EnsembleSettings) -> Ensemble {
        let inherited = Inheritance::of_new_ensemble(&settings.leader);
        let up: BTreeSet<ServerId> = settings.membership.participants().map(|m| m.id).collect();
        let next = up.last().copied();
        let mut ensemble = Ensemble {
            settings,
            up,
            leadership: Leadership::NoQuorum { inherited },
            links: BTreeSet::new(),
            closing: VecDeque::new(),
            other: None,
            others: 0,
        };
        if let Some(next) = next {
            ensemble.take_office(now_ms, next);
        }
        ensemble
    }

    /// Who belongs to the ensemble.
    pub fn membership(&self) -> &Membership {
        &self.settings.membership
    }

    /// Servers that are up.
    pub fn up(&self) -> &BTreeSet<ServerId> {
        &self.up
    }

    /// The leader, unless there is none just now.
    pub fn leader(&self) -> Option<&Leader> {
        match &self.leadership {
            Leadership::Leads(leader) => Some(leader),
            _ => None,
        }
    }

    /// The leader, to be asked for something.
    pub fn leader_mut(&mut self) -> Option<&mut Leader> {
        match &mut self.leadership {
            Leadership::Leads(leader) => Some(leader),
            _ => None,
        }
    }

    /// Changes how this leader and all later ones behave. How long a tick is, and how many transactions are
    /// kept, is settled when a leader takes office.
    pub fn change_settings(&mut self, change: impl Fn(&mut LeaderSettings)) {
        change(&mut self.settings.leader);
        if let Some(leader) = self.leader_mut() {
            change(leader.settings_mut());
        }
    }

    /// Ends the leadership and elects `next`, or whoever follows the leader by id. False if that server
    /// is not up, or there is no quorum.
    pub fn elect(&mut self, now_ms: i64, next: Option<ServerId>, uncommitted: Uncommitted) -> bool {
        let Some(next) = next.or_else(|| self.successor()) else {
            return false;
        };
        if !self.up.contains(&next) || !self.has_quorum() {
            return false;
        }
        self.end_leadership(uncommitted);
        self.hold_election(now_ms, next);
        true
    }

    /// A server goes down. If it led, another is elected, as long as a quorum is up; without a quorum
    /// the leadership ends.
    pub fn stop(&mut self, now_ms: i64, server: ServerId) {
        let successor = self.successor();
        self.up.remove(&server);
        let leads = self.leader().is_some_and(|leader| leader.id() == server);
        if !self.has_quorum() {
            self.end_leadership(Uncommitted::Committed);
        } else if leads || self.candidate() == Some(server) {
            self.end_leadership(Uncommitted::Committed);
            let next = successor.filter(|next| self.up.contains(next));
            if let Some(next) = next.or(self.up.last().copied()) {
                self.hold_election(now_ms, next);
            }
        }
    }

    /// A server comes up. If that makes a quorum, it is elected.
    pub fn start(&mut self, now_ms: i64, server: ServerId) {
        let voter = self
            .settings
            .membership
            .participants()
            .any(|member| member.id == server);
        if voter
            && self.up.insert(server)
            && self.has_quorum()
            && let Leadership::NoQuorum { .. } = self.leadership
        {
            self.hold_election(now_ms, server);
        }
    }

    /// A learner connects to the quorum port of `server`. `None` when the connection is refused: only a
    /// leader listens.
    pub fn connect(&mut self, now_ms: i64, server: ServerId) -> Option<LearnerKey> {
        let leader = self.leader_mut().filter(|leader| leader.id() == server)?;
        let key = leader.connect(now_ms);
        self.links.insert(key);
        Some(key)
    }

    /// A learner has sent a packet; one on a connection to an earlier leader goes nowhere.
    pub fn handle_packet(&mut self, now_ms: i64, key: LearnerKey, packet: &QuorumPacket) {
        if let Some(leader) = self.leader_mut() {
            leader.handle_packet(now_ms, key, packet);
        }
    }

    /// A learner's connection is gone, or is to be cut.
    pub fn disconnect(&mut self, key: LearnerKey) {
        if self.links.remove(&key) {
            self.settings.leader.witness.tell(|| Deed::Parted(key));
        }
        if let Some(leader) = self.leader_mut() {
            leader.disconnect(key);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now_ms: i64) {
        match &mut self.leadership {
            Leadership::Leads(leader) => leader.handle_timeout(now_ms),
            Leadership::Election { next, ends_ms, .. } if *ends_ms <= now_ms => {
                let next = *next;
                self.take_office(now_ms, next);
            }
            _ => {}
        }
    }

    /// When [`Ensemble::handle_timeout`] has something to do, at the latest; `None` without a quorum.
    pub fn next_timeout_ms(&self) -> Option<i64> {
        match &self.leadership {
            Leadership::Leads(leader) => Some(leader.next_timeout_ms()),
            Leadership::Election { ends_ms, .. } => Some(*ends_ms),
            Leadership::NoQuorum { .. } | Leadership::Changing => None,
        }
    }

    /// The next thing to do, if there is any.
    pub fn poll_output(&mut self) -> Option<(LearnerKey, Output)> {
        if let Some(key) = self.closing.pop_front() {
            return Some((key, Output::Close));
        }
        let (key, output) = self.leader_mut()?.poll_output()?;
        if output == Output::Close && self.links.remove(&key) {
            self.settings.leader.witness.tell(|| Deed::Parted(key));
        }
        Some((key, output))
    }

    /// Sets the data of a znode, creating it if need be, from a session at one of the ensemble's own
    /// servers.
    ///
    /// # Errors
    /// Why the request failed; [`ErrorCode::RUNTIME_INCONSISTENCY`] when nobody leads, or a leader
    /// whom a learner has hurt.
    pub fn write_as_someone_else(
        &mut self,
        now_ms: i64,
        path: &BStr,
        data: Option<&[u8]>,
    ) -> Result<Zxid, ErrorCode> {
        let session = self.other_session(now_ms)?;
        let exists = self
            .leader()
            .is_some_and(|leader| leader.tree().node(path).is_some());
        let outcome = if exists {
            let body = SetDataRequest {
                path,
                data,
                version: -1,
            }
            .encode();
            self.submit(now_ms, session, OpCode::SetData, &body)
        } else {
            let body = CreateRequest {
                path,
                data,
                acl: Some(Acl::open()),
                flags: 0,
            }
            .encode();
            self.submit(now_ms, session, OpCode::Create, &body)
        }?;
        if outcome.error.is_ok() {
            Ok(outcome.zxid)
        } else {
            Err(outcome.error)
        }
    }

    /// The session that other writes belong to, kept alive by them.
    fn other_session(&mut self, now_ms: i64) -> Result<SessionId, ErrorCode> {
        if let Some(session) = self.other
            && let Some(leader) = self.leader_mut()
            && leader.touch(now_ms, session, OTHERS_TIMEOUT_MS)
        {
            return Ok(session);
        }
        self.others += 1;
        let server = self.other_server();
        let session = SessionId((server.0 & 0xff) << 56 | self.others);
        let body = OTHERS_TIMEOUT_MS.to_be_bytes();
        self.submit(now_ms, session, OpCode::CreateSession, &body)?;
        self.other = Some(session);
        Ok(session)
    }

    fn submit(
        &mut self,
        now_ms: i64,
        session: SessionId,
        op: OpCode,
        body: &[u8],
    ) -> Result<Outcome, ErrorCode> {
        let server = self.other_server();
        let ids = [Id::new("ip", "127.0.0.1")];
        let request = ForwardedRequest {
            session,
            cxid: Xid(0),
            op: op.code(),
            body,
        };
        self.leader_mut()
            .and_then(|leader| leader.submit(now_ms, server, request, Some(&ids)))
            .ok_or(ErrorCode::RUNTIME_INCONSISTENCY)
    }

    /// The server that others' clients are connected to.
    fn other_server(&self) -> ServerId {
        self.settings
            .membership
            .members
            .keys()
            .next()
            .copied()
            .unwrap_or(ServerId(1))
    }

    fn has_quorum(&self) -> bool {
        self.up.len() * 2 > self.settings.membership.participants().count()
    }

    /// The next server that is up, by id, after the one that leads; the first follows the last.
    fn successor(&self) -> Option<ServerId> {
        let after = self.leader().map(Leader::id).or(self.candidate());
        let next = after.and_then(|id| self.up.iter().copied().find(|&other| other > id));
        next.or_else(|| self.up.first().copied())
    }

    fn candidate(&self) -> Option<ServerId> {
        match &self.leadership {
            Leadership::Election { next, .. } => Some(*next),
            _ => None,
        }
    }

    fn end_leadership(&mut self, uncommitted: Uncommitted) {
        let ended = std::mem::replace(&mut self.leadership, Leadership::Changing);
        let witness = &self.settings.leader.witness;
        let inherited = match ended {
            Leadership::Leads(leader) => {
                witness.tell(|| Deed::LeftOffice { uncommitted });
                leader.into_inheritance(uncommitted == Uncommitted::Committed)
            }
            Leadership::Election { inherited, .. } | Leadership::NoQuorum { inherited } => {
                inherited
            }
            Leadership::Changing => return,
        };
        for link in std::mem::take(&mut self.links) {
            witness.tell(|| Deed::Parted(link));
            self.closing.push_back(link);
        }
        self.leadership = Leadership::NoQuorum { inherited };
    }

    fn hold_election(&mut self, now_ms: i64, next: ServerId) {
        let vacant = std::mem::replace(&mut self.leadership, Leadership::Changing);
        self.leadership = match vacant {
            Leadership::NoQuorum { inherited } => {
                let ends_ms = now_ms + self.settings.election_ms;
                Leadership::Election {
                    next,
                    ends_ms,
                    inherited,
                }
            }
            other => other,
        };
        if self.settings.election_ms == 0 {
            self.take_office(now_ms, next);
        }
    }

    fn take_office(&mut self, now_ms: i64, next: ServerId) {
        let vacant = std::mem::replace(&mut self.leadership, Leadership::Changing);
        self.leadership = match vacant {
            Leadership::NoQuorum { inherited } | Leadership::Election { inherited, .. } => {
                let EnsembleSettings {
                    membership, leader, ..
                } = &self.settings;
                let leader =
                    Leader::new(now_ms, next, membership.clone(), leader.clone(), inherited);
                tracing::info!(server = %next, epoch = leader.epoch(), "a new leader");
                Leadership::Leads(Box::new(leader))
            }
            other => other,
        };
    }
}
