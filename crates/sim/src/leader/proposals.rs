//! From a request to a committed transaction.

use bytes::Bytes;
use outpost_wire::quorum::{ForwardedRequest, PacketType, QuorumPacket};
use outpost_wire::txn::{DIGEST_VERSION, TxnDigest, TxnEntry};
use outpost_wire::{OpCode, Record, SessionId, Xid, Zxid};

use super::{Harm, Leader, Outcome, Output};
use crate::changes::Draft;
use crate::deed::Deed;
use crate::history::Committed;
use crate::learner;
use crate::prep::{NoTxn, Prep, Prepared, Request};
use crate::sessions::Owner;

/// Proposals that may wait for their commit. At the bound the oldest is committed early: the simulated
/// quorum is as fast as it has to be.
const PROPOSALS_MAX: usize = 10_000;

/// A proposal that waits for its quorum.
pub(super) struct Proposal {
    zxid: Zxid,
    kind: i32,
    /// Header and record.
    bytes: Vec<u8>,
    pub(super) commits_ms: i64,
}

impl Leader {
    /// A request of the leader itself.
    pub(super) fn ask_oneself(&mut self, now_ms: i64, session: SessionId, op: OpCode, body: &[u8]) {
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

    pub(super) fn propose(&mut self, now_ms: i64, request: &Request<'_>) -> Option<Outcome> {
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
                self.refuse(request, no_txn);
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

    fn refuse(&mut self, request: &Request<'_>, no_txn: NoTxn) {
        let op = request.forwarded.op;
        let harm = match no_txn {
            NoTxn::NoWrite => return tracing::debug!(op, "no write; ignored"),
            NoTxn::StandaloneCheck => Harm::StandaloneCheck,
            NoTxn::Undecodable(error) => Harm::UndecodableBody { op, error },
        };
        self.stuck = true;
        self.note(request.owner, harm);
    }

    pub(super) fn note(&mut self, by: Option<Owner>, harm: Harm) {
        if let Some(Owner::Learner(learner)) = by {
            self.settings.witness.tell(|| Deed::Harmed {
                learner,
                how: format!("{harm:?}"),
            });
        }
        tracing::error!(?harm, "a learner did what would hurt a real ensemble");
        self.harm.get_or_insert(harm);
    }

    pub(super) fn commit_due(&mut self, now_ms: i64) {
        while self
            .proposals
            .front()
            .is_some_and(|oldest| oldest.commits_ms <= now_ms)
        {
            self.commit_oldest();
        }
    }

    /// False when nothing waits.
    pub(super) fn commit_oldest(&mut self) -> bool {
        let Some(Proposal {
            zxid, kind, bytes, ..
        }) = self.proposals.pop_front()
        else {
            return false;
        };
        self.outstanding.committed(zxid);
        let bytes = Bytes::from(self.apply(kind, bytes));
        self.settings.witness.tell(|| Deed::Committed {
            zxid,
            bytes: bytes.clone(),
        });
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

    /// Applies a transaction, and appends the digest of the tree that it makes; single requests that
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
            let spoilt = i64::from(std::mem::take(&mut self.spoils_next_digest));
            let tree_digest = self.tree.digest().cast_signed().wrapping_add(spoilt);
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
}
