//! From a request to a transaction, as the leader decides it (`PrepRequestProcessor`).
//!
//! Here stand requests and sessions as a whole; what the single operations need, in `ops.rs`.

mod ops;
#[cfg(test)]
mod tests;

use bstr::BStr;
use outpost_mirror::{AclRules, TreeOptions};
use outpost_wire::proto::{
    CreateRequest, CreateTtlRequest, MultiOp, MultiRequest, ReconfigRequest,
};
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::txn::{Txn, TxnEntry, TxnHeader};
use outpost_wire::{
    DecodeError, ErrorCode, Id, OpCode, Reader, Record, SessionId, Writer, Xid, Zxid,
};

use crate::changes::{Changes, Draft};
use crate::path;
use crate::sessions::{Owner, Sessions};

/// Owner of every container znode.
pub(crate) const CONTAINER_OWNER: i64 = i64::MIN;
/// Marks the owner of a TTL znode, whose low bits are the time to live.
pub(crate) const TTL_MARK: i64 = 0xff << 56;
/// Longest time to live, ms.
pub(crate) const TTL_MAX_MS: i64 = (1 << 40) - 1;
const TXN_HEADER_BYTES: usize = 32;

/// Somebody asks for something, through somebody.
pub(crate) struct Request<'a> {
    pub(crate) forwarded: ForwardedRequest<'a>,
    /// Under which identities. Null is right only for what a server asks on its own.
    pub(crate) authinfo: Option<&'a [Id]>,
    /// `None` is the leader itself, which owns no sessions and may speak for all.
    pub(crate) owner: Option<Owner>,
}

/// Why no transaction comes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoTxn {
    /// The body cannot be read, on which a leader stops committing.
    Undecodable(DecodeError),
    /// A check outside a multi, which becomes a transaction that no server can read.
    StandaloneCheck,
    /// Nothing that a leader makes transactions of.
    NoWrite,
}

/// A transaction, without digest.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) kind: i32,
    /// Header and record.
    pub(crate) bytes: Vec<u8>,
    /// Why the request failed, or OK.
    pub(crate) error: ErrorCode,
    pub(crate) changes: Changes,
}

/// Type and record of an operation that succeeds.
struct Op {
    kind: i32,
    record: Vec<u8>,
}

/// All that a request is decided on.
pub(crate) struct Prep<'a> {
    pub(crate) draft: Draft<'a>,
    pub(crate) sessions: &'a mut Sessions,
    pub(crate) acl: &'a AclRules,
    pub(crate) tree: TreeOptions,
    pub(crate) zxid: Zxid,
    pub(crate) now_ms: i64,
}

impl Prep<'_> {
    /// Decides a request. It gets a transaction even if it fails.
    ///
    /// # Errors
    /// When there is no transaction, which no honest learner brings about.
    pub(crate) fn decide(mut self, request: &Request<'_>) -> Result<Prepared, NoTxn> {
        let forwarded = &request.forwarded;
        let op = OpCode::from_code(forwarded.op).ok_or(NoTxn::NoWrite)?;
        if op == OpCode::Multi {
            return Ok(self.multi(request));
        }
        let decided = self.single(op, request)?;
        let (op, error) = match decided {
            Ok(op) => (op, ErrorCode::OK),
            Err(error) => (error_op(error), error),
        };
        if !error.is_ok() {
            self.draft.roll_back();
        }
        Ok(self.prepared(request, &op, error))
    }

    fn single(
        &mut self,
        op: OpCode,
        request: &Request<'_>,
    ) -> Result<Result<Op, ErrorCode>, NoTxn> {
        let body = request.forwarded.body;
        Ok(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
                self.create(op, &with_ttl(read(body)?), request)
            }
            OpCode::CreateTtl => self.create(op, &read(body)?, request),
            OpCode::Delete => self.delete(&read(body)?, request),
            OpCode::DeleteContainer => self.delete_container(&read(body)?),
            OpCode::SetData => self.set_data(&read(body)?, request),
            OpCode::SetAcl => self.set_acl(&read(body)?, request),
            OpCode::Reconfig => read::<ReconfigRequest<'_>>(body).map(|_| reconfig())?,
            OpCode::CreateSession => self.create_session(body, request),
            OpCode::CloseSession => Ok(self.close_session(request.forwarded.session)),
            OpCode::Check => return Err(NoTxn::StandaloneCheck),
            _ => return Err(NoTxn::NoWrite),
        })
    }

    /// A multi that cannot be read is the one case in which a leader has a fresh zxid for the error.
    fn multi(mut self, request: &Request<'_>) -> Prepared {
        let decided = read::<MultiRequest<'_>>(request.forwarded.body)
            .map_err(|_| ErrorCode::MARSHALLING_ERROR)
            .and_then(|multi| self.multi_ops(&multi, request));
        match decided {
            Ok((ops, error)) => {
                let op = Op {
                    kind: OpCode::Multi.code(),
                    record: multi_record(&ops),
                };
                self.prepared(request, &op, error)
            }
            Err(error) => {
                self.draft.roll_back();
                self.prepared(request, &error_op(error), error)
            }
        }
    }

    /// The operations of a multi, and the error of the first that fails. What Java's leader fails on
    /// without a code fails the multi as a whole.
    fn multi_ops(
        &mut self,
        multi: &MultiRequest<'_>,
        request: &Request<'_>,
    ) -> Result<(Vec<Op>, ErrorCode), ErrorCode> {
        let mut failed = ErrorCode::OK;
        let mut ops = Vec::with_capacity(multi.ops.len());
        for asked in &multi.ops {
            if !failed.is_ok() {
                ops.push(error_op(ErrorCode::RUNTIME_INCONSISTENCY));
                continue;
            }
            match self.multi_op(asked, request) {
                Ok(op) => ops.push(op),
                Err(ErrorCode::MARSHALLING_ERROR) => return Err(ErrorCode::MARSHALLING_ERROR),
                Err(error) => {
                    failed = error;
                    self.draft.roll_back();
                    ops.push(error_op(error));
                }
            }
        }
        Ok((ops, failed))
    }

    fn multi_op(&mut self, asked: &MultiOp<'_>, request: &Request<'_>) -> Result<Op, ErrorCode> {
        match asked {
            MultiOp::Create(op) | MultiOp::Create2(op) | MultiOp::CreateContainer(op) => {
                self.create(asked.op_code(), &with_ttl(op.clone()), request)
            }
            MultiOp::CreateTtl(op) => self.create(OpCode::CreateTtl, op, request),
            MultiOp::Delete(op) => self.delete(op, request),
            MultiOp::SetData(op) => self.set_data(op, request),
            MultiOp::Check(op) => self.check(op, request),
            MultiOp::GetData(_) | MultiOp::GetChildren(_) => Err(ErrorCode::MARSHALLING_ERROR),
        }
    }

    fn create_session(&mut self, body: &[u8], request: &Request<'_>) -> Result<Op, ErrorCode> {
        let timeout_ms = Reader::new(body)
            .int("CreateSessionTxn.timeOut")
            .map_err(|_| ErrorCode::MARSHALLING_ERROR)?;
        let session = request.forwarded.session;
        self.sessions.track(self.now_ms, session, timeout_ms);
        if let Some(owner) = request.owner {
            self.sessions.set_owner(session, owner)?;
        }
        Ok(op_of(
            OpCode::CreateSession,
            &Txn::CreateSession { timeout_ms },
        ))
    }

    /// Whoever asks: a session is also closed by the leader, when it expires.
    fn close_session(&mut self, session: SessionId) -> Op {
        let paths = self.draft.ephemerals_of(session);
        for path in &paths {
            let path: &BStr = path.as_ref();
            if let Ok(parent_path) = path::parent_of(path)
                && let Ok(parent) = self.draft.get(parent_path)
            {
                self.remove(path, parent_path, parent);
            }
        }
        self.sessions.close(session);
        let paths = paths.iter().map(AsRef::as_ref).collect();
        op_of(
            OpCode::CloseSession,
            &Txn::CloseSession { paths: Some(paths) },
        )
    }

    fn prepared(self, request: &Request<'_>, op: &Op, error: ErrorCode) -> Prepared {
        let header = TxnHeader {
            session: request.forwarded.session,
            cxid: request.forwarded.cxid,
            zxid: self.zxid,
            time: self.now_ms,
            kind: op.kind,
        };
        let mut bytes = header.encode();
        bytes.extend_from_slice(&op.record);
        Prepared {
            kind: op.kind,
            bytes,
            error,
            changes: self.draft.into_changes(),
        }
    }
}

/// Java ignores what follows a request's record.
fn read<'a, T: Record<'a>>(body: &'a [u8]) -> Result<T, NoTxn> {
    T::read(&mut Reader::new(body)).map_err(NoTxn::Undecodable)
}

fn with_ttl(asked: CreateRequest<'_>) -> CreateTtlRequest<'_> {
    let CreateRequest {
        path,
        data,
        acl,
        flags,
    } = asked;
    CreateTtlRequest {
        path,
        data,
        acl,
        flags,
        ttl: -1,
    }
}

/// Reconfiguration is switched off, as it is by default.
fn reconfig() -> Result<Op, ErrorCode> {
    Err(ErrorCode::RECONFIG_DISABLED)
}

fn op_of(op: OpCode, txn: &Txn<'_>) -> Op {
    Op {
        kind: op.code(),
        record: record_of(op.code(), txn),
    }
}

fn error_op(error: ErrorCode) -> Op {
    op_of(OpCode::Error, &Txn::Error { error })
}

/// The bytes of a record alone: those of a transaction without its header.
fn record_of(kind: i32, txn: &Txn<'_>) -> Vec<u8> {
    let header = TxnHeader {
        session: SessionId::NONE,
        cxid: Xid(0),
        zxid: Zxid::ZERO,
        time: 0,
        kind,
    };
    let mut bytes = TxnEntry {
        header,
        txn: txn.clone(),
        digest: None,
    }
    .encode();
    bytes.split_off(TXN_HEADER_BYTES)
}

fn multi_record(ops: &[Op]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).vector(ops, |writer, op| {
        writer.int(op.kind);
        writer.buffer(Some(&op.record));
    });
    bytes
}
