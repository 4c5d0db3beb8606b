//! From a request to a transaction, as the leader decides it (`PrepRequestProcessor`).
//!
//! The order of the checks is Java's, because it shows in the error code when several fail.

use bstr::{BStr, BString};
use outpost_mirror::{AclRules, TreeOptions, allows};
use outpost_wire::proto::{
    CheckVersionRequest, CreateMode, CreateRequest, CreateTtlRequest, DeleteContainerRequest,
    DeleteRequest, MultiOp, MultiRequest, ReconfigRequest, SetAclRequest, SetDataRequest,
};
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::txn::{CreateKind, CreateTxn, Txn, TxnEntry, TxnHeader};
use outpost_wire::{
    DecodeError, ErrorCode, Id, OpCode, Perms, Reader, Record, SessionId, Writer, Xid, Zxid,
};

use crate::acl;
use crate::changes::{Changes, Draft, ZnodeRecord};
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

    fn create(
        &mut self,
        op: OpCode,
        asked: &CreateTtlRequest<'_>,
        request: &Request<'_>,
    ) -> Result<Op, ErrorCode> {
        let mode = asked.mode().ok_or(ErrorCode::BAD_ARGUMENTS)?;
        let kind = self.kind_of(op, mode, asked.ttl)?;
        self.check_session(request)?;
        let parent_path = path::parent_of(asked.path)?;
        let acl = acl::fix_up(asked.acl.as_deref(), request.authinfo, self.acl)?;
        let mut parent = self.draft.get(parent_path)?;
        self.check_acl(&parent, Perms::CREATE, request)?;
        let final_path = final_path(asked.path, mode, parent.cversion);
        let final_path = final_path.as_ref();
        path::validate(final_path)?;
        if self.draft.get(final_path).is_ok() {
            return Err(ErrorCode::NODE_EXISTS);
        }
        if self.is_ephemeral(&parent) {
            return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
        }
        parent.cversion = parent.cversion.wrapping_add(1);
        parent.child_count += 1;
        let txn = CreateTxn {
            path: final_path,
            data: asked.data,
            acl: acl.clone(),
            kind,
            parent_cversion: parent.cversion,
        };
        let record = ZnodeRecord {
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: owner_of(kind, request.forwarded.session),
            child_count: 0,
            acl,
        };
        self.draft.put(parent_path, parent);
        self.draft.put(final_path, record);
        Ok(op_of(op, &Txn::Create(txn)))
    }

    /// What the operation creates. The flags of a createContainer, and container flags elsewhere, mean
    /// nothing; a createTTL without TTL flags gets in Java a transaction that cannot be applied.
    fn kind_of(&self, op: OpCode, mode: CreateMode, ttl_ms: i64) -> Result<CreateKind, ErrorCode> {
        let has_ttl = matches!(
            mode,
            CreateMode::PersistentWithTtl | CreateMode::PersistentSequentialWithTtl
        );
        if has_ttl && !self.tree.extended_types {
            return Err(ErrorCode::UNIMPLEMENTED);
        }
        if has_ttl != (1..=TTL_MAX_MS).contains(&ttl_ms) || (!has_ttl && ttl_ms >= 0) {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        match op {
            OpCode::CreateTtl if has_ttl => Ok(CreateKind::Ttl(ttl_ms)),
            OpCode::CreateTtl => Err(ErrorCode::BAD_ARGUMENTS),
            OpCode::CreateContainer => Ok(CreateKind::Container),
            _ if mode.is_ephemeral() => Ok(CreateKind::Ephemeral),
            _ => Ok(CreateKind::Persistent),
        }
    }

    fn delete(
        &mut self,
        asked: &DeleteRequest<'_>,
        request: &Request<'_>,
    ) -> Result<Op, ErrorCode> {
        self.check_session(request)?;
        let parent_path = deletable_parent_of(asked.path)?;
        let parent = self.draft.get(parent_path)?;
        self.check_acl(&parent, Perms::DELETE, request)?;
        let node = self.draft.get(asked.path)?;
        next_version(node.version, asked.version)?;
        if node.child_count > 0 {
            return Err(ErrorCode::NOT_EMPTY);
        }
        self.remove(asked.path, parent_path, parent);
        Ok(op_of(OpCode::Delete, &Txn::Delete { path: asked.path }))
    }

    /// Checks neither session nor ACL, as the leader that asks this of itself needs neither.
    fn delete_container(&mut self, asked: &DeleteContainerRequest<'_>) -> Result<Op, ErrorCode> {
        let parent_path = deletable_parent_of(asked.path)?;
        let node = self.draft.get(asked.path)?;
        if node.child_count > 0 {
            return Err(ErrorCode::NOT_EMPTY);
        }
        if self.is_ephemeral(&node) {
            return Err(ErrorCode::BAD_VERSION);
        }
        let parent = self.draft.get(parent_path)?;
        self.remove(asked.path, parent_path, parent);
        Ok(op_of(
            OpCode::DeleteContainer,
            &Txn::Delete { path: asked.path },
        ))
    }

    fn set_data(
        &mut self,
        asked: &SetDataRequest<'_>,
        request: &Request<'_>,
    ) -> Result<Op, ErrorCode> {
        self.check_session(request)?;
        path::validate(asked.path)?;
        let mut node = self.draft.get(asked.path)?;
        self.check_acl(&node, Perms::WRITE, request)?;
        node.version = next_version(node.version, asked.version)?;
        let txn = Txn::SetData {
            path: asked.path,
            data: asked.data,
            version: node.version,
        };
        self.draft.put(asked.path, node);
        Ok(op_of(OpCode::SetData, &txn))
    }

    fn set_acl(
        &mut self,
        asked: &SetAclRequest<'_>,
        request: &Request<'_>,
    ) -> Result<Op, ErrorCode> {
        self.check_session(request)?;
        path::validate(asked.path)?;
        let acl = acl::fix_up(asked.acl.as_deref(), request.authinfo, self.acl)?;
        let mut node = self.draft.get(asked.path)?;
        self.check_acl(&node, Perms::ADMIN, request)?;
        node.aversion = next_version(node.aversion, asked.version)?;
        node.acl.clone_from(&acl);
        let txn = Txn::SetAcl {
            path: asked.path,
            acl,
            version: node.aversion,
        };
        self.draft.put(asked.path, node);
        Ok(op_of(OpCode::SetAcl, &txn))
    }

    fn check(
        &mut self,
        asked: &CheckVersionRequest<'_>,
        request: &Request<'_>,
    ) -> Result<Op, ErrorCode> {
        self.check_session(request)?;
        path::validate(asked.path)?;
        let node = self.draft.get(asked.path)?;
        self.check_acl(&node, Perms::READ, request)?;
        let version = next_version(node.version, asked.version)?;
        Ok(op_of(
            OpCode::Check,
            &Txn::Check {
                path: asked.path,
                version,
            },
        ))
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

    fn remove(&mut self, path: &BStr, parent_path: &BStr, mut parent: ZnodeRecord) {
        parent.child_count = parent.child_count.saturating_sub(1);
        self.draft.put(parent_path, parent);
        self.draft.remove(path);
    }

    fn check_session(&mut self, request: &Request<'_>) -> Result<(), ErrorCode> {
        match request.owner {
            Some(owner) => self.sessions.check(request.forwarded.session, owner),
            None => Ok(()),
        }
    }

    /// Null identities make Java's leader fail before it has compared any.
    fn check_acl(
        &self,
        node: &ZnodeRecord,
        wanted: Perms,
        request: &Request<'_>,
    ) -> Result<(), ErrorCode> {
        match request.authinfo {
            Some(ids) if allows(&node.acl, wanted, ids, self.acl) => Ok(()),
            Some(_) => Err(ErrorCode::NO_AUTH),
            None if self.acl.skip_acl || node.acl.is_empty() => Ok(()),
            None => Err(ErrorCode::MARSHALLING_ERROR),
        }
    }

    fn is_ephemeral(&self, node: &ZnodeRecord) -> bool {
        let owner = node.ephemeral_owner;
        let is_ttl = self.tree.extended_types && owner & TTL_MARK == TTL_MARK;
        owner != 0 && owner != CONTAINER_OWNER && !is_ttl
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

/// The path with its number, which is the parent's raw count of creations.
fn final_path(path: &BStr, mode: CreateMode, parent_cversion: i32) -> BString {
    let mut final_path = path.to_owned();
    if matches!(
        mode,
        CreateMode::PersistentSequential
            | CreateMode::EphemeralSequential
            | CreateMode::PersistentSequentialWithTtl
    ) {
        final_path.extend_from_slice(format!("{parent_cversion:010}").as_bytes());
    }
    final_path
}

fn owner_of(kind: CreateKind, session: SessionId) -> i64 {
    match kind {
        CreateKind::Persistent => 0,
        CreateKind::Ephemeral => session.0,
        CreateKind::Container => CONTAINER_OWNER,
        CreateKind::Ttl(ttl_ms) => TTL_MARK | ttl_ms,
    }
}

fn deletable_parent_of(path: &BStr) -> Result<&BStr, ErrorCode> {
    let parent = path::parent_of(path)?;
    if path::is_special(path) {
        Err(ErrorCode::BAD_ARGUMENTS)
    } else {
        Ok(parent)
    }
}

fn next_version(current: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != current {
        return Err(ErrorCode::BAD_VERSION);
    }
    Ok(current.wrapping_add(1))
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
