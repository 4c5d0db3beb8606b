//! Random requests of every type that a release knows, and what their replies may say.

use std::fmt;

use bstr::{BStr, BString, ByteSlice};
use fastrand::Rng;
use outpost_tests::Version;
use outpost_tests::raw::{Reply, hex};
use outpost_wire::proto::{
    CheckVersionRequest, CheckWatchesRequest, Create2Response, CreateMode, CreateRequest,
    CreateResponse, CreateTtlRequest, DeleteRequest, ExistsRequest, ExistsResponse, GetAclRequest,
    GetAclResponse, GetAllChildrenNumberRequest, GetAllChildrenNumberResponse, GetChildren2Request,
    GetChildren2Response, GetChildrenRequest, GetChildrenResponse, GetDataRequest, GetDataResponse,
    GetEphemeralsRequest, GetEphemeralsResponse, MultiOp, MultiRequest, MultiResponse, MultiResult,
    RemoveWatchesRequest, SetAclRequest, SetAclResponse, SetDataRequest, SetDataResponse,
    SyncRequest, WatcherType, WhoAmIResponse,
};
use outpost_wire::{Acl, ErrorCode, Id, OpCode, Perms, Record, Stat, Zxid};

use super::knows;
use super::watch_book::WatchBook;

/// Codes that a random request may be answered with: whatever follows from what others do meanwhile.
const EXPECTED_ERRORS: &[ErrorCode] = &[
    ErrorCode::OK,
    ErrorCode::NO_NODE,
    ErrorCode::NODE_EXISTS,
    ErrorCode::BAD_VERSION,
    ErrorCode::NOT_EMPTY,
    ErrorCode::NO_CHILDREN_FOR_EPHEMERALS,
    ErrorCode::NO_WATCHER,
];

/// A request, ready to be sent.
pub(super) struct Op {
    /// What it asks for.
    pub(super) code: OpCode,
    /// Its record.
    pub(super) body: Vec<u8>,
    path: BString,
    watch: bool,
    watcher: Option<WatcherType>,
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {} watch={} {}",
            self.code,
            self.path,
            self.watch,
            hex(&self.body)
        )
    }
}

impl Op {
    fn new<'r>(code: OpCode, path: &BStr, record: &impl Record<'r>) -> Self {
        Self {
            code,
            body: record.encode(),
            path: path.to_owned(),
            watch: false,
            watcher: None,
        }
    }

    /// Looks at a znode without leaving a watch.
    pub(super) fn look_at(path: &BString) -> Self {
        let path = path.as_bstr();
        Self::new(OpCode::Exists, path, &ExistsRequest { path, watch: false })
    }

    /// Waits for what the leader has committed.
    pub(super) fn sync() -> Self {
        let path = BStr::new("/");
        Self::new(OpCode::Sync, path, &SyncRequest { path })
    }

    /// Creates a znode that nobody else touches, so that it must be there for ever once it is acknowledged.
    pub(super) fn mark(path: &BStr) -> Self {
        let (data, acl) = (Some(&b"mark"[..]), Some(Acl::open()));
        let flags = CreateMode::Persistent.code();
        Self::new(
            OpCode::Create2,
            path,
            &CreateRequest {
                path,
                data,
                acl,
                flags,
            },
        )
    }

    /// The znode that it is about, where there is one.
    pub(super) fn path(&self) -> &BStr {
        self.path.as_bstr()
    }

    /// The znode that was created and its czxid, if the reply acknowledges that.
    pub(super) fn created(&self, reply: &Reply) -> Option<(BString, Zxid)> {
        let acknowledged = self.code == OpCode::Create2 && reply.err().is_ok();
        acknowledged.then(|| {
            (
                self.path.clone(),
                reply.record::<Create2Response<'_>>().stat.czxid,
            )
        })
    }

    /// Holds the reply against what may be answered and against the client's watches.
    pub(super) fn check(&self, reply: &Reply, watches: &mut WatchBook) {
        let path = self.path.as_bstr();
        watches.note(path, || {
            let stat = self
                .stat(reply)
                .map(|stat| format!(" mzxid {} pzxid {}", stat.mzxid, stat.pzxid));
            format!("{self:?}: {:?}{}", reply.header, stat.unwrap_or_default())
        });
        assert!(
            EXPECTED_ERRORS.contains(&reply.err())
                || self.code == OpCode::Multi && reply.header.err.0 < 0,
            "{self:?} is answered {:?} {}",
            reply.header,
            hex(&reply.body)
        );
        match reply.err() {
            ErrorCode::OK => self.check_success(reply, watches),
            ErrorCode::NO_NODE => self.check_absent(watches),
            ErrorCode::NO_WATCHER => self.check_no_watcher(watches),
            // The znode's version or its children were in the way: so it was there.
            ErrorCode::BAD_VERSION | ErrorCode::NOT_EMPTY if self.code != OpCode::Multi => {
                watches.shown_to_exist(path, self);
            }
            _ => {}
        }
    }

    fn check_success(&self, reply: &Reply, watches: &mut WatchBook) {
        let path = self.path.as_bstr();
        if let Some(stat) = self.stat(reply) {
            watches.shown(path, Some(&stat), self);
            if self.code == OpCode::SetData {
                assert_eq!(
                    stat.mzxid, reply.header.zxid,
                    "P5: {self:?} is answered with another txn"
                );
            }
            match (self.watch, self.code) {
                (true, OpCode::GetData | OpCode::Exists) => watches.left_data(path, Some(&stat)),
                (true, OpCode::GetChildren2) => watches.left_children(path, &stat),
                _ => {}
            }
            return;
        }
        match self.code {
            OpCode::Create => {
                let created = reply.record::<CreateResponse<'_>>().path;
                assert!(created.starts_with(path), "{self:?} created {created}");
                watches.shown_to_exist(created, self);
            }
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                let response = reply.record::<Create2Response<'_>>();
                assert!(
                    response.path.starts_with(path),
                    "{self:?} created {}",
                    response.path
                );
                assert_eq!(
                    response.stat.czxid, reply.header.zxid,
                    "{self:?} was created by another txn"
                );
                watches.shown(response.path, Some(&response.stat), self);
            }
            OpCode::Delete => watches.shown(path, None, self),
            OpCode::RemoveWatches => match self.watcher {
                Some(WatcherType::Data) => watches.removed_data(path),
                _ => watches.removed_children(path),
            },
            OpCode::CheckWatches if !self.is_watched(watches) => {
                watches.fail(path, "there is a watch that never was:", self);
            }
            _ => self.check_record(reply),
        }
    }

    /// The rest only has to be the record it should be.
    fn check_record(&self, reply: &Reply) {
        match self.code {
            OpCode::GetChildren => drop(reply.record::<GetChildrenResponse<'_>>()),
            OpCode::GetEphemerals => drop(reply.record::<GetEphemeralsResponse<'_>>()),
            OpCode::WhoAmI => {
                let who = reply.record::<WhoAmIResponse<'_>>();
                assert!(
                    who.client_info
                        .iter()
                        .any(|info| info.auth_scheme == "super"),
                    "whoAmI: {who:?}"
                );
            }
            OpCode::GetAllChildrenNumber => {
                assert!(
                    reply.record::<GetAllChildrenNumberResponse>().total_number >= 0,
                    "{self:?}"
                );
            }
            OpCode::Multi | OpCode::MultiRead => {
                let results = reply.record::<MultiResponse<'_>>().results;
                let failed = results
                    .iter()
                    .any(|result| matches!(result, MultiResult::Error(_)));
                let whole = results
                    .iter()
                    .all(|result| matches!(result, MultiResult::Error(_)));
                assert!(
                    self.code == OpCode::MultiRead || whole || !failed,
                    "P1: {self:?} is done in part: {results:?}"
                );
            }
            _ => {}
        }
    }

    fn check_absent(&self, watches: &mut WatchBook) {
        let path = self.path.as_bstr();
        match self.code {
            // Its parent is missing: then so is the path, but a sequence number is still to come.
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {}
            OpCode::Multi | OpCode::MultiRead => {}
            _ => watches.shown(path, None, self),
        }
        if self.watch && self.code == OpCode::Exists {
            watches.left_data(path, None);
        }
    }

    fn check_no_watcher(&self, watches: &WatchBook) {
        if self.is_watched(watches) {
            watches.fail(
                self.path.as_bstr(),
                "the watch that was left is not found:",
                self,
            );
        }
    }

    fn is_watched(&self, watches: &WatchBook) -> bool {
        match self.watcher {
            Some(WatcherType::Data) => watches.has_data(self.path.as_bstr()),
            _ => watches.has_children(self.path.as_bstr()),
        }
    }

    /// The znode's Stat, in replies that have one.
    fn stat(&self, reply: &Reply) -> Option<Stat> {
        if !reply.err().is_ok() {
            return None;
        }
        Some(match self.code {
            OpCode::GetData => reply.record::<GetDataResponse<'_>>().stat,
            OpCode::Exists => reply.record::<ExistsResponse>().stat,
            OpCode::GetChildren2 => reply.record::<GetChildren2Response<'_>>().stat,
            OpCode::GetAcl => reply.record::<GetAclResponse>().stat,
            OpCode::SetData => reply.record::<SetDataResponse>().stat,
            OpCode::SetAcl => reply.record::<SetAclResponse>().stat,
            _ => return None,
        })
    }
}

/// A source of random requests below one root znode.
#[derive(Debug)]
pub(super) struct RandomOps {
    root: String,
    version: Version,
    rng: Rng,
}

impl RandomOps {
    pub(super) fn new(root: &str, version: Version, rng: Rng) -> Self {
        Self {
            root: root.to_owned(),
            version,
            rng,
        }
    }

    /// The next request, of a type that the release knows.
    pub(super) fn next_op(&mut self) -> Op {
        let path = BString::from(self.path());
        let path = path.as_bstr();
        let since = |version| knows(self.version, version);
        match self.rng.u32(..100) {
            0..22 => self.create(path),
            22..30 => self.delete(path),
            30..48 => self.set_data(path),
            48..52 => self.set_acl(path),
            52..60 if since(Version::V3_4_5) => self.multi(),
            60..70 => self.get_data(path),
            70..76 => self.exists(path),
            76..82 => self.get_children2(path),
            82 => Op::new(
                OpCode::GetChildren,
                path,
                &GetChildrenRequest { path, watch: false },
            ),
            83..86 => Op::new(OpCode::GetAcl, path, &GetAclRequest { path }),
            86..88 => Op::new(OpCode::Sync, path, &SyncRequest { path }),
            88..91 if since(Version::V3_5_10) => self.about_watches(path),
            91 if since(Version::V3_6_4) => Op::new(
                OpCode::GetAllChildrenNumber,
                path,
                &GetAllChildrenNumberRequest { path },
            ),
            92 if since(Version::V3_6_4) => Op::new(
                OpCode::GetEphemerals,
                path,
                &GetEphemeralsRequest {
                    prefix_path: Some(path),
                },
            ),
            93..95 if since(Version::V3_6_4) => self.multi_read(),
            95 if since(Version::V3_7_2) => Op::without_record(OpCode::WhoAmI),
            96 => Op::without_record(OpCode::Ping),
            _ => self.get_data(path),
        }
    }

    /// One of 6 + 36 + 108 paths: few enough that workers meet.
    fn path(&mut self) -> String {
        let mut path = self.root.clone();
        for depth in 0..self.rng.usize(1..=3) {
            let names: &[char] = if depth < 2 {
                &['a', 'b', 'c', 'd', 'e', 'f']
            } else {
                &['x', 'y', 'z']
            };
            path.push('/');
            path.push(names[self.rng.usize(..names.len())]);
        }
        path
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        let length = match self.rng.u32(..20) {
            0 => return None,
            1 => 0,
            2 => self.rng.usize(..20_000),
            _ => self.rng.usize(..100),
        };
        Some(
            std::iter::repeat_with(|| self.rng.u8(..))
                .take(length)
                .collect(),
        )
    }

    fn version_or_any(&mut self) -> i32 {
        if self.rng.u32(..3) == 0 {
            self.rng.i32(0..4)
        } else {
            -1
        }
    }

    fn acl(&mut self) -> Vec<Acl> {
        let mut acl = Acl::open();
        if self.rng.bool() {
            acl.push(Acl {
                perms: Perms(self.rng.i32(1..32)),
                id: Id::new("digest", "ann:c2VjcmV0"),
            });
        }
        if self.rng.u32(..4) == 0 {
            // 3.4 and older take addresses only, no networks.
            let network = if knows(self.version, Version::V3_5_10) {
                "10.0.0.0/8"
            } else {
                "10.0.0.1"
            };
            acl.push(Acl {
                perms: Perms::READ,
                id: Id::new("ip", network),
            });
        }
        acl
    }

    fn create(&mut self, path: &BStr) -> Op {
        let data = self.data();
        let acl = Some(self.acl());
        let newer = knows(self.version, Version::V3_5_10);
        match self.rng.u32(..20) {
            0 if newer => {
                let flags = CreateMode::Container.code();
                Op::new(
                    OpCode::CreateContainer,
                    path,
                    &CreateRequest {
                        path,
                        data: data.as_deref(),
                        acl,
                        flags,
                    },
                )
            }
            1..3 if newer => {
                let modes = [
                    CreateMode::PersistentWithTtl,
                    CreateMode::PersistentSequentialWithTtl,
                ];
                let flags = modes[self.rng.usize(..2)].code();
                // Long enough that none goes while trees are compared.
                let request = CreateTtlRequest {
                    path,
                    data: data.as_deref(),
                    acl,
                    flags,
                    ttl: 3_600_000,
                };
                Op::new(OpCode::CreateTtl, path, &request)
            }
            choice => {
                let flags = [0, 0, 0, 1, 1, 2, 3][self.rng.usize(..7)];
                let code = if newer && choice < 10 {
                    OpCode::Create2
                } else {
                    OpCode::Create
                };
                Op::new(
                    code,
                    path,
                    &CreateRequest {
                        path,
                        data: data.as_deref(),
                        acl,
                        flags,
                    },
                )
            }
        }
    }

    fn delete(&mut self, path: &BStr) -> Op {
        let version = self.version_or_any();
        Op::new(OpCode::Delete, path, &DeleteRequest { path, version })
    }

    fn set_data(&mut self, path: &BStr) -> Op {
        let data = self.data();
        let version = self.version_or_any();
        Op::new(
            OpCode::SetData,
            path,
            &SetDataRequest {
                path,
                data: data.as_deref(),
                version,
            },
        )
    }

    fn set_acl(&mut self, path: &BStr) -> Op {
        let acl = Some(self.acl());
        let version = self.version_or_any();
        Op::new(OpCode::SetAcl, path, &SetAclRequest { path, acl, version })
    }

    fn get_data(&mut self, path: &BStr) -> Op {
        let watch = self.rng.bool();
        Op {
            watch,
            ..Op::new(OpCode::GetData, path, &GetDataRequest { path, watch })
        }
    }

    fn exists(&mut self, path: &BStr) -> Op {
        let watch = self.rng.bool();
        Op {
            watch,
            ..Op::new(OpCode::Exists, path, &ExistsRequest { path, watch })
        }
    }

    fn get_children2(&mut self, path: &BStr) -> Op {
        let watch = self.rng.bool();
        Op {
            watch,
            ..Op::new(
                OpCode::GetChildren2,
                path,
                &GetChildren2Request { path, watch },
            )
        }
    }

    fn about_watches(&mut self, path: &BStr) -> Op {
        let watcher = if self.rng.bool() {
            WatcherType::Data
        } else {
            WatcherType::Children
        };
        let kind = watcher.code();
        // 3.6 to 3.8 find watches that have fired.
        let op = match knows(self.version, Version::V3_9_5) && self.rng.bool() {
            true => Op::new(
                OpCode::CheckWatches,
                path,
                &CheckWatchesRequest { path, kind },
            ),
            false => Op::new(
                OpCode::RemoveWatches,
                path,
                &RemoveWatchesRequest { path, kind },
            ),
        };
        Op {
            watcher: Some(watcher),
            ..op
        }
    }

    fn multi(&mut self) -> Op {
        let count = self.rng.usize(0..6);
        let paths: Vec<BString> = (0..count).map(|_| self.path().into()).collect();
        let data = self.data();
        let ops = paths
            .iter()
            .map(|path| self.multi_op(path.as_bstr(), data.as_deref()))
            .collect();
        Op::new(OpCode::Multi, BStr::new(""), &MultiRequest { ops })
    }

    fn multi_op<'p>(&mut self, path: &'p BStr, data: Option<&'p [u8]>) -> MultiOp<'p> {
        let version = self.version_or_any();
        match self.rng.u32(..8) {
            0..3 => MultiOp::SetData(SetDataRequest {
                path,
                data,
                version: -1,
            }),
            3 => MultiOp::Delete(DeleteRequest { path, version }),
            4 => MultiOp::Check(CheckVersionRequest { path, version: -1 }),
            choice => {
                let flags = [0, 1, 2, 3][self.rng.usize(..4)];
                let request = CreateRequest {
                    path,
                    data,
                    acl: Some(self.acl()),
                    flags,
                };
                let newer = knows(self.version, Version::V3_5_10);
                if newer && choice == 7 {
                    MultiOp::Create2(request)
                } else {
                    MultiOp::Create(request)
                }
            }
        }
    }

    fn multi_read(&mut self) -> Op {
        let paths: Vec<BString> = (0..self.rng.usize(1..5))
            .map(|_| self.path().into())
            .collect();
        let mut ops = Vec::new();
        for path in &paths {
            let path = path.as_bstr();
            ops.push(match self.rng.bool() {
                true => MultiOp::GetData(GetDataRequest { path, watch: false }),
                false => MultiOp::GetChildren(GetChildrenRequest { path, watch: false }),
            });
        }
        Op::new(OpCode::MultiRead, BStr::new(""), &MultiRequest { ops })
    }
}

impl Op {
    fn without_record(code: OpCode) -> Self {
        Self {
            code,
            body: Vec::new(),
            path: BString::default(),
            watch: false,
            watcher: None,
        }
    }
}
