//! What may be forwarded to a leader (P9): every write is decoded whole and checked first.
//!
//! A ZooKeeper leader trusts what its learners send. Some requests make it stop committing for good,
//! commit a transaction on which every server fails, or stall while it serves nobody; those are
//! answered here. `docs/forwarding.md` lists them with versions. Whatever a leader refuses in the
//! ordinary way (a znode that exists, a bad path, an ACL that forbids it) is its own to refuse: it is
//! forwarded, and answered by its transaction.
//!
//! Reads a request in place and allocates nothing. Decides on one request at a time: what a session has
//! in sum is [`EphemeralBudget`]'s, and in which order answers leave is the pipeline's. Read on in
//! `request.rs` (one request looked at), `quota.rs` (names that every server acts on), `size.rs` (how
//! large a transaction becomes) and `eager.rs` (ACLs checked before forwarding).

mod acl;
mod eager;
mod ephemerals;
mod quota;
mod request;
mod size;
#[cfg(test)]
mod tests;

use outpost_mirror::Tree;
use outpost_mirror::acl::{AclRules, allows};
use outpost_wire::{DecodeError, ErrorCode, Id, OpCode, Perms, Reader, SessionId};

pub(crate) use eager::is_kerberos_name;
pub use ephemerals::{EphemeralBudget, ephemeral_bytes_of};

use request::{Create, Examination, Place};

/// Entries of one ACL. A leader compares each with each, in the one thread that prepares all writes.
pub const ACL_ENTRIES_MAX: usize = 1_000;
/// Components of a path to be created. Every server walks the tree by recursion, for snapshots and
/// for quotas, and its stack ends somewhere.
pub const PATH_COMPONENTS_MAX: usize = 1_000;
/// Operations of one multi: what fits a frame of the default size.
pub const MULTI_OPS_MAX: usize = 65_536;

/// What the gate needs to know beyond the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Longest request in bytes (`jute.maxbuffer`), and what the ensemble's servers are taken to have:
    /// a transaction may be at most 1024 bytes longer.
    pub frame_bytes_max: usize,
    /// `zookeeper.extendedTypesEnabled` of the ensemble: some session ids cannot own ephemerals then.
    pub extended_types: bool,
    /// Most entries of one ACL.
    pub acl_entries_max: usize,
    /// Most components of a path to be created.
    pub path_components_max: usize,
    /// Most operations of one multi.
    pub multi_ops_max: usize,
    /// `reconfigEnabled`: only decides how a reconfig without permission is refused.
    pub reconfig_enabled: bool,
    /// `zookeeper.enableEagerACLCheck`: whether ACLs are checked against this mirror before forwarding.
    /// To be set where a follower may be the learner master: one that has this setting itself stops
    /// when a request of its learners fails the check.
    pub eager_acl_check: bool,
    /// Set when the leader is known to be older than 3.5: it answers create2, createContainer, createTTL
    /// and reconfig with silence.
    pub leader_before_3_5: bool,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate {
            frame_bytes_max: outpost_wire::frame::FRAME_BYTES_MAX,
            extended_types: false,
            acl_entries_max: ACL_ENTRIES_MAX,
            path_components_max: PATH_COMPONENTS_MAX,
            multi_ops_max: MULTI_OPS_MAX,
            reconfig_enabled: false,
            eager_acl_check: false,
            leader_before_3_5: false,
        }
    }
}

/// A request that may be forwarded, and what its session must know about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// The operation.
    pub op: OpCode,
    /// How many bytes of the body to forward. What follows them is no part of the request, and servers
    /// disregard it. 0 for closeSession, whose body no leader reads.
    pub body_bytes: usize,
    /// Whether it creates an ephemeral, so that a local session has to become a global one first.
    pub creates_ephemeral: bool,
    /// What its ephemerals add, at worst, to the transaction that will close the session; for
    /// [`EphemeralBudget::admit`].
    pub ephemeral_bytes: usize,
}

/// Why a request is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub code: ErrorCode,
    /// Whether its connection is closed after the answer.
    pub closes: bool,
    /// For the log: what is wrong with the request.
    pub why: &'static str,
}

impl Refusal {
    const fn new(code: ErrorCode, why: &'static str) -> Refusal {
        Refusal {
            code,
            closes: false,
            why,
        }
    }

    const fn closing(why: &'static str) -> Refusal {
        Refusal {
            code: ErrorCode::UNIMPLEMENTED,
            closes: true,
            why,
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(_: DecodeError) -> Refusal {
        Refusal::new(ErrorCode::MARSHALLING_ERROR, "the body cannot be decoded")
    }
}

impl Gate {
    /// A gate with the default limits.
    pub fn new(frame_bytes_max: usize, extended_types: bool) -> Gate {
        Gate {
            frame_bytes_max,
            extended_types,
            ..Gate::default()
        }
    }

    /// Whether a request may be forwarded. For writes, sync, and whatever nobody here can serve; a read
    /// has no business at a leader and is refused like an unknown operation.
    ///
    /// `ids` are those that would be forwarded with it, `tree` and `rules` decide what they may do.
    ///
    /// # Errors
    /// When the request must not be forwarded: it is answered here, with a header alone, in the session's
    /// order and with the last applied zxid.
    pub fn check(
        &self,
        op: i32,
        body: &[u8],
        ids: &[Id],
        tree: &Tree,
        session: SessionId,
        rules: &AclRules,
    ) -> Result<Checked, Refusal> {
        let Some(op) = OpCode::from_code(op) else {
            return Err(Refusal::closing("there is no such operation"));
        };
        let mut reader = Reader::new(body);
        let mut examination = Examination::new(self, session);
        let asker = Asker { ids, tree, rules };
        match op {
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl | OpCode::Reconfig
                if self.leader_before_3_5 =>
            {
                return Err(Refusal::new(
                    ErrorCode::UNIMPLEMENTED,
                    "the leader is older than 3.5",
                ));
            }
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                let create = Create::read(op, &mut reader)?;
                examination.create(op, &create, Place::Alone)?;
                if matches!(op, OpCode::Create | OpCode::Create2) {
                    self.eager(|| eager::create(&asker, create.path, &create.acl))?;
                }
            }
            OpCode::Delete => {
                let (path, _version) = request::read_versioned(&mut reader)?;
                examination.delete(path, Place::Alone)?;
                self.eager(|| eager::delete(&asker, path))?;
            }
            OpCode::SetData => {
                let (path, data) = request::read_set_data(&mut reader)?;
                examination.set_data(path, data, Place::Alone)?;
                self.eager(|| eager::set_data(&asker, path))?;
            }
            OpCode::SetAcl => {
                let (path, acl) = request::read_set_acl(&mut reader)?;
                examination.set_acl(path, &acl)?;
                self.eager(|| eager::set_acl(&asker, path, &acl))?;
            }
            OpCode::Multi => examination.multi(&mut reader)?,
            OpCode::Reconfig => {
                request::read_reconfig(&mut reader)?;
                self.reconfig(&asker)?;
            }
            // A null path is legal, and comes back in the answer.
            OpCode::Sync => _ = reader.ustring_or_null("SyncRequest.path")?,
            OpCode::CloseSession => {}
            OpCode::DeleteContainer => {
                let why = "containers are deleted by the leader itself";
                return Err(Refusal::new(ErrorCode::UNIMPLEMENTED, why));
            }
            OpCode::Check => {
                return Err(Refusal::closing("check is legal only inside a multi"));
            }
            OpCode::CreateSession => {
                return Err(Refusal::closing(
                    "a connection has one session, which it has",
                ));
            }
            _ => return Err(Refusal::closing("no operation to be forwarded")),
        }
        examination.size(ids)?;
        Ok(examination.checked(op, reader.position()))
    }

    fn eager(&self, check: impl FnOnce() -> Result<(), Refusal>) -> Result<(), Refusal> {
        if self.eager_acl_check {
            check()
        } else {
            Ok(())
        }
    }

    /// A leader looks up every host name in a reconfig, in the one thread that prepares all writes,
    /// before it asks whether the client may reconfigure at all.
    fn reconfig(&self, asker: &Asker<'_>) -> Result<(), Refusal> {
        let config = asker.tree.node("/zookeeper/config".into());
        let may = config.is_some_and(|config| asker.may(config.acl(), Perms::WRITE));
        let why = "no permission to reconfigure";
        match (may, self.reconfig_enabled) {
            (true, _) => Ok(()),
            (false, true) => Err(Refusal::new(ErrorCode::NO_AUTH, why)),
            (false, false) => Err(Refusal::new(ErrorCode::RECONFIG_DISABLED, why)),
        }
    }

    /// Bytes of the longest transaction that every server can read back.
    fn txn_bytes_max(&self) -> usize {
        self.frame_bytes_max.saturating_add(size::TXN_EXTRA_BYTES)
    }

    /// Bound for [`EphemeralBudget::admit`].
    pub fn ephemeral_bytes_max(&self) -> usize {
        self.frame_bytes_max
            .saturating_sub(size::TXN_OVERHEAD_BYTES + 4)
    }
}

/// Who asks, and what decides what they may do.
struct Asker<'a> {
    ids: &'a [Id],
    tree: &'a Tree,
    rules: &'a AclRules,
}

impl Asker<'_> {
    fn may(&self, acl: &[outpost_wire::Acl], wanted: Perms) -> bool {
        allows(acl, wanted, self.ids, self.rules)
    }
}
