//! What one client has asked, been answered and been told, in the order in which it came about.

use std::sync::Arc;
use std::time::Instant;

use bstr::{BStr, ByteSlice};
use outpost_wire::proto::{
    AddWatchMode, AddWatchRequest, Create2Response, CreateMode, CreateRequest, CreateResponse,
    DeleteRequest, ExistsRequest, ExistsResponse, GetChildren2Request, GetChildren2Response,
    GetDataRequest, GetDataResponse, MultiOp, MultiRequest, SetDataRequest, SetDataResponse,
    SyncRequest,
};
use outpost_wire::{Acl, DecodeError, ErrorCode, OpCode, Record, SessionId, Stat, Xid, Zxid};

/// A znode's path, shared by everyone who speaks of it.
pub type Path = Arc<str>;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the requests")]
pub enum Op {
    GetData {
        path: Path,
        watch: bool,
    },
    Exists {
        path: Path,
        watch: bool,
    },
    GetChildren {
        path: Path,
        watch: bool,
    },
    AddWatch {
        path: Path,
        mode: AddWatchMode,
    },
    Create {
        path: Path,
        mode: CreateMode,
    },
    SetData {
        path: Path,
        data: u64,
    },
    Delete {
        path: Path,
    },
    SetBoth {
        paths: [Path; 2],
        data: u64,
    },
    Sync,
    Ping,
    /// Sent by the crowd itself after a reconnect: the watches that had not fired.
    SetWatches,
}

impl Op {
    /// Whether the leader decides on it.
    pub fn is_write(&self) -> bool {
        use Op::{Create, Delete, SetBoth, SetData};
        matches!(
            self,
            Create { .. } | SetData { .. } | Delete { .. } | SetBoth { .. }
        )
    }

    /// Whether it is answered from the tree of the server that is asked.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Op::GetData { .. } | Op::Exists { .. } | Op::GetChildren { .. }
        )
    }

    /// The znode, where it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Op::GetData { path, .. }
            | Op::Exists { path, .. }
            | Op::GetChildren { path, .. }
            | Op::AddWatch { path, .. }
            | Op::Create { path, .. }
            | Op::SetData { path, .. }
            | Op::Delete { path } => Some(path),
            Op::SetBoth { .. } | Op::Sync | Op::Ping | Op::SetWatches => None,
        }
    }

    /// Its number and record. Of [`Op::SetWatches`] only the number: the record is its client's.
    pub(super) fn encode(&self) -> (OpCode, Vec<u8>) {
        match self {
            Op::GetData { path, watch } => {
                let (path, watch) = (name(path), *watch);
                (OpCode::GetData, GetDataRequest { path, watch }.encode())
            }
            Op::Exists { path, watch } => {
                let (path, watch) = (name(path), *watch);
                (OpCode::Exists, ExistsRequest { path, watch }.encode())
            }
            Op::GetChildren { path, watch } => {
                let (path, watch) = (name(path), *watch);
                let request = GetChildren2Request { path, watch };
                (OpCode::GetChildren2, request.encode())
            }
            Op::AddWatch { path, mode } => {
                let (path, mode) = (name(path), mode.code());
                (OpCode::AddWatch, AddWatchRequest { path, mode }.encode())
            }
            Op::Create { path, mode } => {
                let request = CreateRequest {
                    path: name(path),
                    data: Some(b""),
                    acl: Some(Acl::open()),
                    flags: mode.code(),
                };
                (OpCode::Create, request.encode())
            }
            Op::SetData { path, data } => {
                let data = data.to_string();
                (OpCode::SetData, set_data(path, &data).encode())
            }
            Op::Delete { path } => {
                let (path, version) = (name(path), -1);
                (OpCode::Delete, DeleteRequest { path, version }.encode())
            }
            Op::SetBoth { paths, data } => {
                let data = data.to_string();
                let ops = paths
                    .iter()
                    .map(|path| MultiOp::SetData(set_data(path, &data)));
                let request = MultiRequest { ops: ops.collect() };
                (OpCode::Multi, request.encode())
            }
            Op::Sync => {
                let path = BStr::new("/");
                (OpCode::Sync, SyncRequest { path }.encode())
            }
            Op::Ping => (OpCode::Ping, Vec::new()),
            Op::SetWatches => (OpCode::SetWatches, Vec::new()),
        }
    }

    /// What a reply without an error shows of the znode.
    pub(super) fn shown(&self, body: &[u8]) -> Result<Shown, DecodeError> {
        let shown = match self {
            Op::GetData { .. } => GetDataResponse::decode("reply", body)?.stat.into(),
            Op::Exists { .. } => ExistsResponse::decode("reply", body)?.stat.into(),
            Op::GetChildren { .. } => GetChildren2Response::decode("reply", body)?.stat.into(),
            Op::SetData { .. } => SetDataResponse::decode("reply", body)?.stat.into(),
            Op::Create { .. } => Shown {
                path: Some(created_path(body)?),
                ..Shown::default()
            },
            _ => Shown::default(),
        };
        Ok(shown)
    }
}

fn created_path(body: &[u8]) -> Result<Path, DecodeError> {
    let path = match CreateResponse::decode("reply", body) {
        Ok(response) => response.path,
        Err(_) => Create2Response::decode("reply", body)?.path,
    };
    Ok(path.to_str_lossy().into())
}

fn name(path: &Path) -> &BStr {
    path.as_bytes().as_bstr()
}

fn set_data<'a>(path: &'a Path, data: &'a str) -> SetDataRequest<'a> {
    SetDataRequest {
        path: name(path),
        data: Some(data.as_bytes()),
        version: -1,
    }
}

/// What a reply shows of the znode that was asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Its metadata.
    pub stat: Option<Stat>,
    /// The path that a create has got.
    pub path: Option<Path>,
}

impl From<Stat> for Shown {
    fn from(stat: Stat) -> Self {
        Self {
            stat: Some(stat),
            path: None,
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The server closed it.
    Closed,
    /// The server said nothing for two thirds of the session's timeout, after which client libraries leave.
    Silent,
    /// The server said that the session is gone.
    Expired,
    /// The client had reached its end.
    Left,
}

/// Something that happened to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants' comments say it")]
pub enum What {
    /// It tries to connect.
    Tried,
    /// It has a session: a new one, or its own again.
    Opened { session: SessionId, again: bool },
    /// It has sent a request.
    Asked { xid: Xid, op: Op },
    /// It has got a reply.
    Answered {
        xid: Xid,
        zxid: Zxid,
        err: ErrorCode,
        shown: Shown,
    },
    /// It was told of a change. The zxid is none for servers that tell none.
    Fired {
        kind: i32,
        path: Path,
        zxid: Option<Zxid>,
    },
    /// Its connection has ended, or its session.
    Lost(Loss),
}

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When the client came to know it.
    pub at: Instant,
    /// What it was.
    pub what: What,
}

/// All that happened to one client.
#[derive(Debug, Clone)]
pub struct History {
    /// Who.
    pub client: String,
    /// What, in order.
    pub entries: Vec<Entry>,
}

/// A connection that ended without the client's doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// When.
    pub at: Instant,
    /// How.
    pub loss: Loss,
    /// What had not been answered.
    pub unanswered: Vec<Op>,
}

impl Disconnect {
    /// Whether a write was among what had not been answered.
    pub fn with_a_write(&self) -> bool {
        self.unanswered.iter().any(Op::is_write)
    }
}

impl History {
    /// Every connection that ended without the client's doing.
    pub fn disconnects(&self) -> Vec<Disconnect> {
        let mut unanswered: Vec<(Xid, Op)> = Vec::new();
        let mut disconnects = Vec::new();
        for Entry { at, what } in &self.entries {
            match what {
                What::Asked { xid, op } => unanswered.push((*xid, op.clone())),
                What::Answered { xid, .. } => {
                    if let Some(index) = unanswered.iter().position(|(asked, _)| asked == xid) {
                        unanswered.remove(index);
                    }
                }
                What::Lost(loss) => {
                    let unanswered = unanswered.drain(..).map(|(_, op)| op).collect();
                    if *loss != Loss::Left {
                        let (at, loss) = (*at, *loss);
                        disconnects.push(Disconnect {
                            at,
                            loss,
                            unanswered,
                        });
                    }
                }
                What::Tried | What::Opened { .. } | What::Fired { .. } => {}
            }
        }
        disconnects
    }

    /// How many replies this client has got.
    pub fn answers(&self) -> usize {
        let is_answer = |entry: &&Entry| matches!(entry.what, What::Answered { .. });
        self.entries.iter().filter(is_answer).count()
    }

    /// How many watch events this client was told.
    pub fn events(&self) -> usize {
        let is_event = |entry: &&Entry| matches!(entry.what, What::Fired { .. });
        self.entries.iter().filter(is_event).count()
    }
}
