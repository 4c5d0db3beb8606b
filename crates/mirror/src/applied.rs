//! What applying a transaction tells: its result, the watches it fired, and whether it fits the tree.

use bstr::{BStr, BString};
use outpost_wire::{Acl, ErrorCode, SessionId, Stat, Zxid};

use outpost_wire::proto::EventType;

/// What a fired watch tells.
#[derive(Debug, Clone, Copy)]
pub struct WatchEvent<'a> {
    /// What happened.
    pub kind: EventType,
    /// To which znode.
    pub path: &'a BStr,
    /// In which transaction.
    pub zxid: Zxid,
    /// Who may know of it: the event goes only to connections that may READ under this ACL.
    pub acl: &'a [Acl],
}

/// What became of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its zxid.
    pub zxid: Zxid,
    /// Its type, by number.
    pub kind: i32,
    /// Why the request failed, or OK. A multi that failed carries the first error of its operations.
    pub error: ErrorCode,
    /// What the answer to the request is made of.
    pub result: TxnResult,
    /// Whether tree and leader still agree.
    pub digest: DigestCheck,
    /// Set when the transaction cannot have been meant for this tree. The mirror has to be loaded anew.
    pub diverged: Option<Divergence>,
}

/// What the answer to a request is made of; as of right after that operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnResult {
    /// Nothing but the error code.
    None,
    /// create, create2, createContainer, createTTL.
    Create {
        /// Final path.
        path: BString,
        /// The new znode.
        stat: Stat,
    },
    /// delete and deleteContainer.
    Delete,
    /// setData and reconfig.
    SetData(Stat),
    /// setACL.
    SetAcl(Stat),
    /// check, inside a multi.
    Check,
    /// A session came into being, or its timeout changed.
    CreateSession {
        /// Which.
        session: SessionId,
        /// Negotiated timeout, ms.
        timeout_ms: i32,
    },
    /// A session ended, and its ephemerals with it.
    CloseSession {
        /// Which.
        session: SessionId,
    },
    /// One result for each operation.
    Multi(Vec<SubResult>),
}

/// What became of one operation of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubResult {
    /// Type of the operation, by number; -1 for all operations of a multi that failed.
    pub kind: i32,
    /// OK, why it failed, or -2 when it was not tried.
    pub error: ErrorCode,
    /// What the answer is made of.
    pub result: TxnResult,
}

/// How the tree's digest compares with the leader's after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestCheck {
    /// Nothing to compare with: none was sent, its version is another, or comparing is off.
    NotSent,
    /// Both have the same.
    Matches,
    /// Tree and leader have parted.
    Differs {
        /// This tree's.
        ours: u64,
        /// The leader's.
        theirs: u64,
    },
}

/// Why a transaction cannot have been meant for this tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Divergence {
    /// A znode was to be created, but it exists.
    #[error("create of {path}, which exists")]
    NodeExists {
        /// The znode.
        path: BString,
    },
    /// A znode was to be created or deleted, but its parent does not exist.
    #[error("create or delete of {path}, whose parent does not exist")]
    MissingParent {
        /// The znode.
        path: BString,
    },
    /// A znode was to be changed or deleted, but it does not exist.
    #[error("change or delete of {path}, which does not exist")]
    MissingNode {
        /// The znode.
        path: BString,
    },
    /// A znode was to be deleted, but it has children. They are deleted with it.
    #[error("delete of {path}, which has children")]
    HasChildren {
        /// The znode.
        path: BString,
    },
    /// A multi holds an operation that no leader puts there. Nothing of it is applied.
    #[error("operation of type {kind} inside a multi")]
    UnexpectedInMulti {
        /// Type of the operation, by number.
        kind: i32,
    },
    /// The transaction is not newer than the last one. It is not applied.
    #[error("transaction {zxid} after {last}")]
    NotNewer {
        /// The transaction.
        zxid: Zxid,
        /// The last one applied.
        last: Zxid,
    },
}

impl Divergence {
    /// What a Java server would answer.
    pub(crate) fn error(&self) -> ErrorCode {
        match self {
            Divergence::NodeExists { .. } => ErrorCode::NODE_EXISTS,
            Divergence::MissingParent { .. } | Divergence::MissingNode { .. } => ErrorCode::NO_NODE,
            Divergence::UnexpectedInMulti { .. } => ErrorCode::RUNTIME_INCONSISTENCY,
            Divergence::HasChildren { .. } | Divergence::NotNewer { .. } => ErrorCode::OK,
        }
    }
}
