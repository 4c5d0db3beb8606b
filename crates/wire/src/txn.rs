//! Transactions: what the leader commits, as INFORM and PROPOSAL carry them and log files keep them.
//!
//! The bytes are a [`TxnHeader`], a record by the header's type, and since 3.6 a [`TxnDigest`] unless
//! the leader has digests switched off. Whether there is a digest is told by what is left behind the
//! record, never by the leader's version.

use bstr::BStr;

use crate::data::Acl;
use crate::error_code::ErrorCode;
use crate::ids::{SessionId, Xid, Zxid};
use crate::jute::{DecodeError, Reader, Record, Writer};
use crate::op_code::OpCode;

/// Digest version of all releases since 3.6.0; others are not compared.
pub const DIGEST_VERSION: i32 = 2;
const DIGEST_BYTES: usize = 12;

/// Who asked for a transaction, and where it stands in the leader's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnHeader {
    /// Session that asked. ZooKeeper's field is `clientId`.
    pub session: SessionId,
    /// The xid that the client gave its request; 0 when the leader or a server asked.
    pub cxid: Xid,
    /// Place in history.
    pub zxid: Zxid,
    /// Leader's wall clock, ms since 1970; becomes ctime and mtime.
    pub time: i64,
    /// Type of the transaction, by number.
    pub kind: i32,
}

impl<'a> Record<'a> for TxnHeader {
    fn read(reader: &mut Reader<'a>) -> Result<TxnHeader, DecodeError> {
        Ok(TxnHeader {
            session: SessionId(reader.long("TxnHeader.clientId")?),
            cxid: Xid(reader.int("TxnHeader.cxid")?),
            zxid: Zxid(reader.long("TxnHeader.zxid")?),
            time: reader.long("TxnHeader.time")?,
            kind: reader.int("TxnHeader.type")?,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.long(self.session.0);
        writer.int(self.cxid.0);
        writer.long(self.zxid.0);
        writer.long(self.time);
        writer.int(self.kind);
    }
}

/// Digest of the whole tree after a transaction, as the leader computed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnDigest {
    /// Of the algorithm; see [`DIGEST_VERSION`].
    pub version: i32,
    /// Sum over all znodes.
    pub tree_digest: i64,
}

impl<'a> Record<'a> for TxnDigest {
    fn read(reader: &mut Reader<'a>) -> Result<TxnDigest, DecodeError> {
        Ok(TxnDigest {
            version: reader.int("TxnDigest.version")?,
            tree_digest: reader.long("TxnDigest.treeDigest")?,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.int(self.version);
        writer.long(self.tree_digest);
    }
}

/// What kind of znode a create makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateKind {
    /// Stays until it is deleted.
    Persistent,
    /// Goes with the session that created it.
    Ephemeral,
    /// Deleted by the leader once it has had children and lost them.
    Container,
    /// Deleted by the leader when it has no children and was not set for this many ms.
    Ttl(i64),
}

/// A znode comes into being: types create, create2, createContainer and createTTL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTxn<'a> {
    /// Final path; the leader has filled in a sequence number.
    pub path: &'a BStr,
    /// The znode's data; null and empty differ.
    pub data: Option<&'a [u8]>,
    /// The znode's ACL.
    pub acl: Vec<Acl>,
    /// What kind of znode it is.
    pub kind: CreateKind,
    /// The parent's creation count afterwards; -1 (leaders of 3.3) means one more than now.
    pub parent_cversion: i32,
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Txn<'a> {
    /// Types 1, 15, 19 and 21; the header's type tells which.
    Create(CreateTxn<'a>),
    /// Types 2 and 20.
    Delete {
        /// The znode to delete.
        path: &'a BStr,
    },
    /// Types 5 and 16 (reconfig, on the configuration's znode).
    SetData {
        /// The znode to change.
        path: &'a BStr,
        /// Its new data.
        data: Option<&'a [u8]>,
        /// Its new version.
        version: i32,
    },
    /// Type 7.
    SetAcl {
        /// The znode to change.
        path: &'a BStr,
        /// Its new ACL.
        acl: Vec<Acl>,
        /// Its new ACL version.
        version: i32,
    },
    /// Type 13, only inside a multi: nothing changes.
    Check {
        /// The znode whose version was checked.
        path: &'a BStr,
        /// The version plus one.
        version: i32,
    },
    /// Type -10.
    CreateSession {
        /// Negotiated timeout, ms.
        timeout_ms: i32,
    },
    /// Type -11.
    CloseSession {
        /// The session's ephemerals, in the order to delete them; leaders before 3.6 and leaders
        /// with `closeSessionTxn.enabled=false` leave the list away.
        paths: Option<Vec<&'a BStr>>,
    },
    /// Type -1: nothing changes but the zxid.
    Error {
        /// Why the request failed.
        error: ErrorCode,
    },
    /// Type 14.
    Multi(Vec<SubTxn<'a>>),
}

/// One operation of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubTxn<'a> {
    /// Type of the operation, by number.
    pub kind: i32,
    /// What it does. Never a multi or a session transaction.
    pub txn: Txn<'a>,
}

/// A transaction with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnEntry<'a> {
    /// Who and where.
    pub header: TxnHeader,
    /// What.
    pub txn: Txn<'a>,
    /// The leader's digest, where it sends one.
    pub digest: Option<TxnDigest>,
}

impl<'a> TxnEntry<'a> {
    /// Reads header, record and digest; they must fill all of `bytes`.
    ///
    /// # Errors
    /// When the type is unknown or the bytes are not such a record.
    pub fn decode(bytes: &'a [u8]) -> Result<TxnEntry<'a>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = TxnHeader::read(&mut reader)?;
        let txn = read_txn(header.kind, &mut reader)?;
        let digest = match reader.rest().len() {
            0 => None,
            _ => Some(TxnDigest::read(&mut reader)?),
        };
        reader.finish("transaction")?;
        Ok(TxnEntry {
            header,
            txn,
            digest,
        })
    }

    /// The bytes of this transaction.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        self.header.write(&mut writer);
        write_txn(self.header.kind, &self.txn, &mut writer);
        if let Some(digest) = &self.digest {
            digest.write(&mut writer);
        }
        bytes
    }
}

/// Reads the record of a transaction of type `kind`, at the top level or inside a multi.
fn read_txn<'a>(kind: i32, reader: &mut Reader<'a>) -> Result<Txn<'a>, DecodeError> {
    let unknown = DecodeError::Unknown {
        what: "TxnHeader.type",
        value: i64::from(kind),
    };
    Ok(match OpCode::from_code(kind).ok_or(unknown.clone())? {
        OpCode::Create | OpCode::Create2 => Txn::Create(read_create(reader)?),
        OpCode::CreateContainer => Txn::Create(read_create_container(reader)?),
        OpCode::CreateTtl => Txn::Create(read_create_ttl(reader)?),
        OpCode::Delete | OpCode::DeleteContainer => Txn::Delete {
            path: reader.ustring("DeleteTxn.path")?,
        },
        OpCode::SetData | OpCode::Reconfig => Txn::SetData {
            path: reader.ustring("SetDataTxn.path")?,
            data: reader.buffer("SetDataTxn.data")?,
            version: reader.int("SetDataTxn.version")?,
        },
        OpCode::SetAcl => Txn::SetAcl {
            path: reader.ustring("SetACLTxn.path")?,
            acl: Acl::read_list(reader)?,
            version: reader.int("SetACLTxn.version")?,
        },
        OpCode::Check => Txn::Check {
            path: reader.ustring("CheckVersionTxn.path")?,
            version: reader.int("CheckVersionTxn.version")?,
        },
        OpCode::CreateSession => Txn::CreateSession {
            timeout_ms: reader.int("CreateSessionTxn.timeOut")?,
        },
        OpCode::CloseSession => Txn::CloseSession {
            paths: read_close_session(reader)?,
        },
        OpCode::Error => Txn::Error {
            error: ErrorCode(reader.int("ErrorTxn.err")?),
        },
        OpCode::Multi => Txn::Multi(reader.vector("MultiTxn.txns", read_sub_txn)?),
        _ => return Err(unknown),
    })
}

fn read_create<'a>(reader: &mut Reader<'a>) -> Result<CreateTxn<'a>, DecodeError> {
    let (path, data, acl) = read_create_start(reader)?;
    let kind = match reader.boolean("CreateTxn.ephemeral")? {
        true => CreateKind::Ephemeral,
        false => CreateKind::Persistent,
    };
    // Leaders of 3.3 end the record here (CreateTxnV0); they know no digests either.
    let parent_cversion = match reader.rest().len() {
        0 => -1,
        _ => reader.int("CreateTxn.parentCVersion")?,
    };
    Ok(CreateTxn {
        path,
        data,
        acl,
        kind,
        parent_cversion,
    })
}

fn read_create_container<'a>(reader: &mut Reader<'a>) -> Result<CreateTxn<'a>, DecodeError> {
    let (path, data, acl) = read_create_start(reader)?;
    let parent_cversion = reader.int("CreateContainerTxn.parentCVersion")?;
    Ok(CreateTxn {
        path,
        data,
        acl,
        kind: CreateKind::Container,
        parent_cversion,
    })
}

fn read_create_ttl<'a>(reader: &mut Reader<'a>) -> Result<CreateTxn<'a>, DecodeError> {
    let (path, data, acl) = read_create_start(reader)?;
    let parent_cversion = reader.int("CreateTTLTxn.parentCVersion")?;
    let kind = CreateKind::Ttl(reader.long("CreateTTLTxn.ttl")?);
    Ok(CreateTxn {
        path,
        data,
        acl,
        kind,
        parent_cversion,
    })
}

type CreateStart<'a> = (&'a BStr, Option<&'a [u8]>, Vec<Acl>);

fn read_create_start<'a>(reader: &mut Reader<'a>) -> Result<CreateStart<'a>, DecodeError> {
    Ok((
        reader.ustring("create path")?,
        reader.buffer("create data")?,
        Acl::read_list(reader)?,
    ))
}

/// Tells the three forms apart by what is left: nothing, a digest alone, or a list of paths and
/// perhaps a digest. A digest starts with version 2, and a list of two paths, none of which is empty, is longer than a
/// digest.
fn read_close_session<'a>(reader: &mut Reader<'a>) -> Result<Option<Vec<&'a BStr>>, DecodeError> {
    let rest = reader.rest();
    if rest.is_empty() || (rest.len() == DIGEST_BYTES && rest.starts_with(&[0, 0, 0, 2])) {
        return Ok(None);
    }
    reader
        .vector("CloseSessionTxn.paths2Delete", |r| r.ustring("path"))
        .map(Some)
}

fn read_sub_txn<'a>(reader: &mut Reader<'a>) -> Result<SubTxn<'a>, DecodeError> {
    let kind = reader.int("Txn.type")?;
    let data = reader
        .buffer("Txn.data")?
        .ok_or(DecodeError::Null { what: "Txn.data" })?;
    let mut record = Reader::new(data);
    let txn = match OpCode::from_code(kind) {
        Some(OpCode::Multi | OpCode::CreateSession | OpCode::CloseSession) | None => {
            return Err(DecodeError::Unknown {
                what: "Txn.type",
                value: i64::from(kind),
            });
        }
        Some(_) => read_txn(kind, &mut record)?,
    };
    // Leaders of 3.4 turn the operations of a failed multi into errors after they have applied it, and
    // keep the old records: whoever gets that multi in a DIFF finds more bytes than an ErrorTxn has,
    // and a code without meaning.
    if kind != OpCode::Error.code() {
        record.finish("transaction inside a multi")?;
    }
    Ok(SubTxn { kind, txn })
}

fn write_txn(kind: i32, txn: &Txn<'_>, writer: &mut Writer<'_>) {
    match txn {
        Txn::Create(create) => write_create(create, writer),
        Txn::Delete { path } => writer.ustring(path),
        Txn::SetData {
            path,
            data,
            version,
        } => {
            writer.ustring(path);
            writer.buffer(*data);
            writer.int(*version);
        }
        Txn::SetAcl { path, acl, version } => {
            writer.ustring(path);
            Acl::write_list(acl, writer);
            writer.int(*version);
        }
        Txn::Check { path, version } => {
            writer.ustring(path);
            writer.int(*version);
        }
        Txn::CreateSession { timeout_ms } => writer.int(*timeout_ms),
        Txn::CloseSession { paths: None } => {}
        Txn::CloseSession { paths: Some(paths) } => {
            writer.vector(paths, |w, path| w.ustring(path));
        }
        Txn::Error { error } => writer.int(error.0),
        Txn::Multi(txns) => writer.vector(txns, |w, sub| {
            w.int(sub.kind);
            w.with_length(|w| write_txn(sub.kind, &sub.txn, w));
        }),
    }
    debug_assert!(
        OpCode::from_code(kind).is_some(),
        "a transaction of no known type was made"
    );
}

fn write_create(create: &CreateTxn<'_>, writer: &mut Writer<'_>) {
    writer.ustring(create.path);
    writer.buffer(create.data);
    Acl::write_list(&create.acl, writer);
    match create.kind {
        CreateKind::Persistent | CreateKind::Ephemeral => {
            writer.boolean(create.kind == CreateKind::Ephemeral);
            writer.int(create.parent_cversion);
        }
        CreateKind::Container => writer.int(create.parent_cversion),
        CreateKind::Ttl(ttl_ms) => {
            writer.int(create.parent_cversion);
            writer.long(ttl_ms);
        }
    }
}
