//! What a client has asked for, as far as the audit log tells of it.

use std::collections::HashMap;

use bstr::{BStr, BString};
use outpost_mirror::{Applied, TxnResult};
use outpost_wire::proto::{CreateMode, MultiOp, MultiRequest};
use outpost_wire::{Acl, DecodeError, OpCode, Reader, Record};

use super::line::{self, Line, Outcome};

/// Where the membership stands, which a reconfig writes.
const CONFIG_PATH: &str = "/zookeeper/config";

/// A write, kept until its end is known. Without its data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// create, create2, createContainer or createTTL.
    Create {
        path: Option<BString>,
        /// None where the flags mean nothing.
        mode: Option<CreateMode>,
    },
    Delete(Option<BString>),
    SetData(Option<BString>),
    SetAcl {
        path: Option<BString>,
        acl: Vec<u8>,
    },
    Reconfig,
    /// Its parts, where it can be read.
    Multi(Vec<Part>),
}

/// What has become of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has changed nothing.
    Failed,
    /// It was carried out; these are the znodes that it has made, in its order and with their numbers.
    Done(Vec<BString>),
    /// That cannot be known (P5).
    Unknown,
}

impl Answer {
    /// The leader's.
    pub(crate) fn of(applied: &Applied) -> Answer {
        if !applied.error.is_ok() {
            return Answer::Failed;
        }
        let path_of = |result: &TxnResult| match result {
            TxnResult::Create { path, .. } => Some(path.clone()),
            _ => None,
        };
        Answer::Done(match &applied.result {
            TxnResult::Multi(results) => {
                let results = results.iter();
                results.filter_map(|one| path_of(&one.result)).collect()
            }
            one => path_of(one).into_iter().collect(),
        })
    }
}

/// One operation of a multi.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Create {
        path: BString,
        /// Java tells no type of what createTTL makes in a multi.
        mode: Option<CreateMode>,
    },
    Delete(BString),
    SetData(BString),
    Check,
}

impl Asked {
    /// What is asked for, if the audit log tells of such operations and it can be read.
    pub(crate) fn read(op: OpCode, body: &[u8]) -> Option<Asked> {
        let mut reader = Reader::new(body);
        match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                read_create(&mut reader).ok()
            }
            OpCode::Delete => read_path(&mut reader).ok().map(Asked::Delete),
            OpCode::SetData => read_path(&mut reader).ok().map(Asked::SetData),
            OpCode::SetAcl => read_set_acl(&mut reader).ok(),
            OpCode::Reconfig => Some(Asked::Reconfig),
            OpCode::Multi => Some(Asked::Multi(
                MultiRequest::read(&mut reader).map_or_else(|_| Vec::new(), |multi| parts(&multi)),
            )),
            _ => None,
        }
    }

    /// The lines that tell of it; `begin` begins each.
    pub(super) fn told(&self, answer: &Answer, begin: &Line, tell: &mut impl FnMut(Line, Outcome)) {
        match (answer, self) {
            (Answer::Failed, _) => tell(self.named(begin), Outcome::Failure),
            (Answer::Unknown, _) => tell(self.named(begin), Outcome::Invoked),
            (Answer::Done(paths), Asked::Multi(parts)) => multi(parts, paths, begin, tell),
            (Answer::Done(paths), Asked::Create { mode, .. }) => {
                for path in paths {
                    tell(created(begin, path, *mode), Outcome::Success);
                }
            }
            (Answer::Done(_), Asked::Reconfig) => {
                let line = self.named(begin).field("znode", CONFIG_PATH);
                tell(line, Outcome::Success);
            }
            (Answer::Done(_), _) => tell(self.named(begin), Outcome::Success),
        }
    }

    /// The operation, and what it was asked for.
    fn named(&self, begin: &Line) -> Line {
        let line = |operation| begin.clone().field("operation", operation);
        match self {
            Asked::Create { path, mode } => line("create")
                .maybe("znode", path.as_ref())
                .maybe("znode_type", mode.map(mode_name)),
            Asked::Delete(path) => line("delete").maybe("znode", path.as_ref()),
            Asked::SetData(path) => line("setData").maybe("znode", path.as_ref()),
            Asked::SetAcl { path, acl } => line("setAcl")
                .maybe("znode", path.as_ref())
                .field("acl", acl),
            Asked::Reconfig => line("reconfig"),
            Asked::Multi(_) => line("multiOperation"),
        }
    }
}

fn created(begin: &Line, path: &BString, mode: Option<CreateMode>) -> Line {
    begin
        .clone()
        .field("operation", "create")
        .field("znode", path)
        .maybe("znode_type", mode.map(mode_name))
}

/// A line for each operation that has changed something. The type of a znode is looked up by its path, as in Java:
/// one whose name got a number has none.
fn multi(
    parts: &[Part],
    created_paths: &[BString],
    begin: &Line,
    tell: &mut impl FnMut(Line, Outcome),
) {
    let mut modes: HashMap<&BStr, CreateMode> = HashMap::new();
    for part in parts {
        if let Part::Create {
            path,
            mode: Some(mode),
        } = part
        {
            modes.insert(path.as_ref(), *mode);
        }
    }
    let line = |operation, path: &BString| {
        begin
            .clone()
            .field("operation", operation)
            .field("znode", path)
    };
    let mut created_paths = created_paths.iter();
    for part in parts {
        let line = match part {
            Part::Create { .. } => {
                let Some(path) = created_paths.next() else {
                    continue;
                };
                let known: &BStr = path.as_ref();
                created(begin, path, modes.get(known).copied())
            }
            Part::Delete(path) => line("delete", path),
            Part::SetData(path) => line("setData", path),
            Part::Check => continue,
        };
        tell(line, Outcome::Success);
    }
}

fn read_path(reader: &mut Reader<'_>) -> Result<Option<BString>, DecodeError> {
    Ok(reader.ustring_or_null("path")?.map(BString::from))
}

fn read_create(reader: &mut Reader<'_>) -> Result<Asked, DecodeError> {
    let path = read_path(reader)?;
    reader.buffer("data")?;
    reader.vector("acl", Acl::read)?;
    let mode = CreateMode::from_code(reader.int("flags")?);
    Ok(Asked::Create { path, mode })
}

fn read_set_acl(reader: &mut Reader<'_>) -> Result<Asked, DecodeError> {
    let path = read_path(reader)?;
    let acl = line::acl(&reader.vector("acl", Acl::read)?);
    Ok(Asked::SetAcl { path, acl })
}

fn parts(multi: &MultiRequest<'_>) -> Vec<Part> {
    let part = |op: &MultiOp<'_>| match op {
        MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
            Part::Create {
                path: create.path.to_owned(),
                mode: create.mode(),
            }
        }
        MultiOp::CreateTtl(create) => Part::Create {
            path: create.path.to_owned(),
            mode: None,
        },
        MultiOp::Delete(delete) => Part::Delete(delete.path.to_owned()),
        MultiOp::SetData(set) => Part::SetData(set.path.to_owned()),
        MultiOp::Check(_) | MultiOp::GetData(_) | MultiOp::GetChildren(_) => Part::Check,
    };
    multi.ops.iter().map(part).collect()
}

fn mode_name(mode: CreateMode) -> &'static str {
    match mode {
        CreateMode::Persistent => "persistent",
        CreateMode::Ephemeral => "ephemeral",
        CreateMode::PersistentSequential => "persistent_sequential",
        CreateMode::EphemeralSequential => "ephemeral_sequential",
        CreateMode::Container => "container",
        CreateMode::PersistentWithTtl => "persistent_with_ttl",
        CreateMode::PersistentSequentialWithTtl => "persistent_sequential_with_ttl",
    }
}
