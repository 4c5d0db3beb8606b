//! One request looked at: its records read in place, and each rule applied to them.

use bstr::BStr;
use outpost_wire::proto::{CreateMode, MultiHeader};
use outpost_wire::{DecodeError, ErrorCode, Id, OpCode, Reader, Record, SessionId};

use super::acl::AclInRequest;
use super::{Checked, Gate, Refusal, quota, size};

/// The record of create, create2, createContainer or createTTL.
pub(super) struct Create<'a> {
    pub(super) path: Option<&'a BStr>,
    pub(super) data: Option<&'a [u8]>,
    pub(super) acl: AclInRequest<'a>,
    pub(super) flags: i32,
    /// Only createTTL has one.
    pub(super) ttl_ms: Option<i64>,
}

impl<'a> Create<'a> {
    pub(super) fn read(op: OpCode, reader: &mut Reader<'a>) -> Result<Create<'a>, DecodeError> {
        Ok(Create {
            path: reader.ustring_or_null("CreateRequest.path")?,
            data: reader.buffer("CreateRequest.data")?,
            acl: AclInRequest::read(reader)?,
            flags: reader.int("CreateRequest.flags")?,
            ttl_ms: match op {
                OpCode::CreateTtl => Some(reader.long("CreateTTLRequest.ttl")?),
                _ => None,
            },
        })
    }
}

type Path<'a> = Option<&'a BStr>;

/// DeleteRequest and CheckVersionRequest.
pub(super) fn read_versioned<'a>(reader: &mut Reader<'a>) -> Result<(Path<'a>, i32), DecodeError> {
    Ok((reader.ustring_or_null("path")?, reader.int("version")?))
}

pub(super) fn read_set_data<'a>(
    reader: &mut Reader<'a>,
) -> Result<(Path<'a>, Option<&'a [u8]>), DecodeError> {
    let path = reader.ustring_or_null("SetDataRequest.path")?;
    let data = reader.buffer("SetDataRequest.data")?;
    reader.int("SetDataRequest.version")?;
    Ok((path, data))
}

pub(super) fn read_set_acl<'a>(
    reader: &mut Reader<'a>,
) -> Result<(Path<'a>, AclInRequest<'a>), DecodeError> {
    let path = reader.ustring_or_null("SetACLRequest.path")?;
    let acl = AclInRequest::read(reader)?;
    reader.int("SetACLRequest.version")?;
    Ok((path, acl))
}

/// Only whether it is one: its text is the leader's to understand.
pub(super) fn read_reconfig(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    reader.ustring_or_null("ReconfigRequest.joiningServers")?;
    reader.ustring_or_null("ReconfigRequest.leavingServers")?;
    reader.ustring_or_null("ReconfigRequest.newMembers")?;
    reader.long("ReconfigRequest.curConfigId")?;
    Ok(())
}

/// Where an operation stands. A leader fails differently on the same operation alone and in a multi.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Alone,
    InMulti,
}

impl Place {
    /// Inside a multi, what cannot be prepared makes a leader give up the whole request with -5.
    fn code(self, alone: ErrorCode) -> ErrorCode {
        match self {
            Place::Alone => alone,
            Place::InMulti => ErrorCode::MARSHALLING_ERROR,
        }
    }
}

/// What has been seen of one request so far.
pub(super) struct Examination<'g> {
    gate: &'g Gate,
    session: SessionId,
    /// Bytes of the transaction, at worst and without what `auth` entries become.
    txn_bytes: usize,
    auth_entries: usize,
    /// How often the leader compares one ACL entry with another, in hundreds of thousands a nuisance.
    acl_comparisons: usize,
    creates_ephemeral: bool,
    ephemeral_bytes: usize,
}

impl<'g> Examination<'g> {
    pub(super) fn new(gate: &'g Gate, session: SessionId) -> Examination<'g> {
        Examination {
            gate,
            session,
            txn_bytes: size::TXN_OVERHEAD_BYTES,
            auth_entries: 0,
            acl_comparisons: 0,
            creates_ephemeral: false,
            ephemeral_bytes: 0,
        }
    }

    pub(super) fn checked(&self, op: OpCode, body_bytes: usize) -> Checked {
        Checked {
            op,
            body_bytes,
            creates_ephemeral: self.creates_ephemeral,
            ephemeral_bytes: self.ephemeral_bytes,
        }
    }

    pub(super) fn create(
        &mut self,
        op: OpCode,
        create: &Create<'_>,
        place: Place,
    ) -> Result<(), Refusal> {
        let path = not_null(create.path, ErrorCode::MARSHALLING_ERROR)?;
        flags(op, create, place)?;
        self.acl(&create.acl, place)?;
        self.depth(path)?;
        // Without a mode the leader refuses it.
        let Some(mode) = CreateMode::from_code(create.flags) else {
            return Ok(());
        };
        let is_sequential = matches!(
            mode,
            CreateMode::PersistentSequential
                | CreateMode::EphemeralSequential
                | CreateMode::PersistentSequentialWithTtl
        );
        if !is_sequential {
            quota::create(path, create.data, mode)?;
        }
        let path_bytes = path.len()
            + if is_sequential {
                size::SEQUENCE_BYTES
            } else {
                0
            };
        // Alone, createTTL makes TTL znodes only; inside a multi it is any create.
        if mode.is_ephemeral() && (op != OpCode::CreateTtl || place == Place::InMulti) {
            self.ephemeral(path_bytes)?;
        }
        let tail_bytes = if create.ttl_ms.is_some() { 12 } else { 5 };
        let data_bytes = create.data.map_or(0, <[u8]>::len);
        self.record(
            4 + path_bytes + 4 + data_bytes + create.acl.stored_bytes + tail_bytes,
            place,
        );
        Ok(())
    }

    pub(super) fn delete(&mut self, path: Path<'_>, place: Place) -> Result<(), Refusal> {
        let path = not_null(path, ErrorCode::MARSHALLING_ERROR)?;
        quota::delete(path)?;
        self.record(4 + path.len(), place);
        Ok(())
    }

    pub(super) fn set_data(
        &mut self,
        path: Path<'_>,
        data: Option<&[u8]>,
        place: Place,
    ) -> Result<(), Refusal> {
        let path = not_null(path, place.code(ErrorCode::BAD_ARGUMENTS))?;
        quota::set_data(path, data)?;
        self.record(4 + path.len() + 4 + data.map_or(0, <[u8]>::len) + 4, place);
        Ok(())
    }

    pub(super) fn set_acl(
        &mut self,
        path: Path<'_>,
        acl: &AclInRequest<'_>,
    ) -> Result<(), Refusal> {
        let path = not_null(path, ErrorCode::BAD_ARGUMENTS)?;
        self.acl(acl, Place::Alone)?;
        self.record(4 + path.len() + acl.stored_bytes + 4, Place::Alone);
        Ok(())
    }

    /// Reads all operations, even when one is refused: what cannot be decoded comes first.
    pub(super) fn multi(&mut self, reader: &mut Reader<'_>) -> Result<(), Refusal> {
        self.txn_bytes += 4;
        let mut so_far = Ok(());
        for _ in 0..=self.gate.multi_ops_max {
            let header = MultiHeader::read(reader)?;
            if header.done {
                return so_far;
            }
            so_far = so_far.and(self.operation(header.kind, reader)?);
        }
        Err(Refusal::new(
            ErrorCode::BAD_ARGUMENTS,
            "a multi of too many operations",
        ))
    }

    /// One operation of a multi: not decoded, or refused, or neither.
    fn operation(
        &mut self,
        kind: i32,
        reader: &mut Reader<'_>,
    ) -> Result<Result<(), Refusal>, DecodeError> {
        let unreadable = DecodeError::Unknown {
            what: "MultiHeader.kind",
            value: kind.into(),
        };
        let op = OpCode::from_code(kind).ok_or(unreadable.clone())?;
        let is_new = matches!(
            op,
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl
        );
        if is_new && self.gate.leader_before_3_5 {
            return Err(unreadable);
        }
        Ok(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                let create = Create::read(op, reader)?;
                self.create(op, &create, Place::InMulti)
            }
            OpCode::Delete => {
                let (path, _version) = read_versioned(reader)?;
                self.delete(path, Place::InMulti)
            }
            OpCode::SetData => {
                let (path, data) = read_set_data(reader)?;
                self.set_data(path, data, Place::InMulti)
            }
            OpCode::Check => {
                let (path, _version) = read_versioned(reader)?;
                not_null(path, ErrorCode::MARSHALLING_ERROR)
                    .map(|path| self.record(4 + path.len() + 4, Place::InMulti))
            }
            // Reads belong into a multiRead.
            _ => return Err(unreadable),
        })
    }

    fn acl(&mut self, acl: &AclInRequest<'_>, place: Place) -> Result<(), Refusal> {
        let invalid = |why| Err(Refusal::new(place.code(ErrorCode::INVALID_ACL), why));
        // Refused by the leader when empty.
        let Some(count) = acl.count else {
            return invalid("a null ACL");
        };
        if acl.has_null_scheme {
            return invalid("an ACL entry without a scheme");
        }
        if acl.has_null_id {
            let why = "an ACL entry without an id";
            return Err(Refusal::new(ErrorCode::MARSHALLING_ERROR, why));
        }
        let max = self.gate.acl_entries_max;
        self.acl_comparisons = self
            .acl_comparisons
            .saturating_add(count.saturating_mul(count));
        if count > max
            || self.acl_comparisons > max.saturating_mul(max).max(self.gate.multi_ops_max)
        {
            return Err(Refusal::new(
                ErrorCode::INVALID_ACL,
                "ACLs of too many entries",
            ));
        }
        self.auth_entries += acl.auth_entries;
        Ok(())
    }

    fn depth(&self, path: &BStr) -> Result<(), Refusal> {
        let max = self.gate.path_components_max;
        // Each component has at least two bytes, so short paths need no counting.
        if path.len() / 2 <= max || path.iter().filter(|&&byte| byte == b'/').count() <= max {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorCode::BAD_ARGUMENTS,
            "a path of too many components",
        ))
    }

    /// Some session ids mark other kinds of znodes when they stand as an owner (`EphemeralType`).
    fn ephemeral(&mut self, path_bytes: usize) -> Result<(), Refusal> {
        let id = self.session.0;
        let marks_ttl = self.gate.extended_types && id >> 56 == -1;
        if id == 0 || id == i64::MIN || marks_ttl {
            let why = "a session whose id cannot own ephemerals";
            return Err(Refusal::new(ErrorCode::BAD_ARGUMENTS, why));
        }
        self.creates_ephemeral = true;
        self.ephemeral_bytes += 4 + path_bytes;
        Ok(())
    }

    fn record(&mut self, bytes: usize, place: Place) {
        self.txn_bytes += bytes;
        if place == Place::InMulti {
            self.txn_bytes += size::SUB_TXN_OVERHEAD_BYTES;
        }
    }

    /// Whether every server can read the transaction back.
    pub(super) fn size(&self, ids: &[Id]) -> Result<(), Refusal> {
        let expanded = match self.auth_entries {
            0 => 0,
            entries => entries.saturating_mul(size::auth_entry_bytes(ids)),
        };
        if self.txn_bytes.saturating_add(expanded) <= self.gate.txn_bytes_max() {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorCode::MARSHALLING_ERROR,
            "a transaction too large to be read back",
        ))
    }
}

fn not_null(path: Path<'_>, code: ErrorCode) -> Result<&BStr, Refusal> {
    path.ok_or(Refusal::new(code, "a null path"))
}

/// Flags that do not go with the operation. Where the leader itself says so, it is asked.
fn flags(op: OpCode, create: &Create<'_>, place: Place) -> Result<(), Refusal> {
    let mode = CreateMode::from_code(create.flags);
    let is_ttl = matches!(
        mode,
        Some(CreateMode::PersistentWithTtl | CreateMode::PersistentSequentialWithTtl)
    );
    let is_plain = mode.is_some() && !is_ttl && mode != Some(CreateMode::Container);
    let (code, why) = match (op, place) {
        (OpCode::CreateTtl, Place::Alone)
            if mode.is_some() && !is_ttl && create.ttl_ms.is_some_and(|ttl| ttl < 0) =>
        {
            (
                ErrorCode::BAD_ARGUMENTS,
                "createTTL of a znode without a time to live",
            )
        }
        (OpCode::CreateTtl, _) => return Ok(()),
        (OpCode::CreateContainer, _) if is_plain => (
            ErrorCode::BAD_ARGUMENTS,
            "createContainer of what is no container",
        ),
        (OpCode::Create | OpCode::Create2, Place::Alone) if mode == Some(CreateMode::Container) => {
            (
                ErrorCode::BAD_ARGUMENTS,
                "a container, but not by createContainer",
            )
        }
        (_, Place::InMulti) if mode.is_none() || is_ttl => (
            ErrorCode::MARSHALLING_ERROR,
            "flags that make a multi unreadable",
        ),
        _ => return Ok(()),
    };
    Err(Refusal::new(code, why))
}
