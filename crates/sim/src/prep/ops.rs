//! What each operation needs, and what it does, in the order of Java's checks.

use bstr::{BStr, BString};
use outpost_mirror::allows;
use outpost_wire::proto::{
    CheckVersionRequest, CreateMode, CreateTtlRequest, DeleteContainerRequest, DeleteRequest,
    SetAclRequest, SetDataRequest,
};
use outpost_wire::txn::{CreateKind, CreateTxn, Txn};
use outpost_wire::{ErrorCode, OpCode, Perms, SessionId};

use super::{CONTAINER_OWNER, Op, Prep, Request, TTL_MARK, TTL_MAX_MS, op_of};
use crate::changes::ZnodeRecord;
use crate::{acl, path};

impl Prep<'_> {
    pub(super) fn create(
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

    pub(super) fn delete(
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
    pub(super) fn delete_container(
        &mut self,
        asked: &DeleteContainerRequest<'_>,
    ) -> Result<Op, ErrorCode> {
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

    pub(super) fn set_data(
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

    pub(super) fn set_acl(
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
        // The new ACL counts for later requests only once it is committed: `ChangeRecord` keeps the old.
        let txn = Txn::SetAcl {
            path: asked.path,
            acl,
            version: node.aversion,
        };
        self.draft.put(asked.path, node);
        Ok(op_of(OpCode::SetAcl, &txn))
    }

    pub(super) fn check(
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

    pub(super) fn remove(&mut self, path: &BStr, parent_path: &BStr, mut parent: ZnodeRecord) {
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
