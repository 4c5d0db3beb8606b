//! A request that is answered from the tree: decoded, checked, read, its watch left, its reply appended.
//!
//! All of it happens under one guard of the tree, so no transaction slips between the data and the
//! watch (P3). What each operation checks, and in which order, is `FinalRequestProcessor`'s.

use std::net::SocketAddr;

use bstr::{BStr, ByteSlice};
use outpost_forward::View;
use outpost_forward::namespaces::Namespaces;
use outpost_mirror::acl::{AclRules, allows};
use outpost_mirror::{NodeRef, SetWatches as Lists, WatcherId};
use outpost_wire::proto::read::write_get_data_response;
use outpost_wire::proto::{
    AddWatchMode, AddWatchRequest, CheckWatchesRequest, ExistsRequest, GetAclRequest,
    GetAllChildrenNumberRequest, GetChildren2Request, GetChildrenRequest, GetDataRequest,
    GetEphemeralsRequest, MultiHeader, MultiOp, MultiRequest, MultiResult, RemoveWatchesRequest,
    SetWatches, SetWatches2, WatcherType,
};
use outpost_wire::{
    Acl, DecodeError, ErrorCode, Id, OpCode, Perms, Reader, Record, SessionId, Writer, Xid, Zxid,
};

use parking_lot::Mutex;

use crate::reached::{Limit, Reached};
use crate::serve::reply;

/// Whether a request was served; if not, why.
type Outcome = Result<(), ErrorCode>;

/// The client that reads, and the tree it reads.
pub struct Reading<'a> {
    /// Tree and watches, under one guard.
    pub view: View<'a>,
    /// Who the client was when the request was received.
    pub ids: &'a [Id],
    /// Its connection, as whoever leaves watches.
    pub watcher: WatcherId,
    /// Its session.
    pub session: SessionId,
    /// How ACLs are read.
    pub rules: &'a AclRules,
    /// Where what is read is counted by namespace.
    pub namespaces: &'a Mutex<Namespaces>,
    /// What it may take and leave behind.
    pub limits: ReadLimits,
    /// Where it is counted when it may not.
    pub reached: &'a Reached,
    /// Its other end.
    pub peer: SocketAddr,
}

/// What one read may take, and what reads may leave behind.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Bytes of one reply's body.
    pub reply_bytes_max: usize,
    /// Paths that one connection may watch.
    pub watches_per_session_max: usize,
    /// Watches of all connections, as `watch_count` counts them. Threads that leave one in the same instant may
    /// bring it above by as many.
    pub watches_max: usize,
}

#[cfg(test)]
impl ReadLimits {
    pub(crate) const NONE: ReadLimits = ReadLimits {
        reply_bytes_max: usize::MAX,
        watches_per_session_max: usize::MAX,
        watches_max: usize::MAX,
    };
}

/// A client has brought along more watches than it may leave: its connection is to end. An error would not do,
/// client libraries do not look for one there, and take the watches for left.
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyWatches;

/// What a stat adds to what counts as read, as ZooKeeper counts it.
const STAT_BYTES: usize = 68;

/// Zxid of the events that `setWatches` delivers late: they belong to no transaction of now.
const CATCH_UP_ZXID: Zxid = Zxid(-1);

impl Reading<'_> {
    /// Appends the answer to one request, and for `setWatches` the missed events before it.
    ///
    /// # Errors
    /// When the client has brought along too many watches. Nothing is appended then.
    pub fn answer(
        &self,
        op: OpCode,
        xid: Xid,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TooManyWatches> {
        let zxid = self.view.tree.last_zxid();
        if matches!(op, OpCode::SetWatches | OpCode::SetWatches2) {
            let before = out.len();
            let outcome = self.set_watches(op, body, out);
            if let Some(limit) = self.exceeded() {
                out.truncate(before);
                self.reached.note(limit, self.peer);
                return Err(TooManyWatches);
            }
            reply::write(out, xid, zxid, |_| outcome);
            return Ok(());
        }
        // Servers answer a ping as a ping, whatever number it came with.
        let xid = if op == OpCode::Ping { Xid::PING } else { xid };
        reply::write(out, xid, zxid, |writer| self.serve(op, body, writer));
        Ok(())
    }

    fn serve(&self, op: OpCode, body: &[u8], writer: &mut Writer<'_>) -> Outcome {
        let reader = &mut Reader::new(body);
        let end = writer.written().saturating_add(self.limits.reply_bytes_max);
        match op {
            OpCode::Ping => Ok(()),
            OpCode::GetData => self.get_data(&decode(reader)?, writer),
            OpCode::Exists => self.exists(&decode(reader)?, writer),
            OpCode::GetChildren => self.get_children(&decode(reader)?, writer, end),
            OpCode::GetChildren2 => self.get_children2(&decode(reader)?, writer, end),
            OpCode::GetAcl => self.get_acl(&decode(reader)?, writer),
            OpCode::GetAllChildrenNumber => self.get_all_children_number(&decode(reader)?, writer),
            OpCode::GetEphemerals => self.get_ephemerals(&decode(reader)?, writer, end),
            OpCode::MultiRead => self.multi_read(&decode(reader)?, writer, end),
            OpCode::WhoAmI => self.who_am_i(writer),
            OpCode::AddWatch => self.add_watch(&decode(reader)?, writer),
            OpCode::CheckWatches => self.check_watches(&decode(reader)?),
            OpCode::RemoveWatches => self.remove_watches(&decode(reader)?),
            _ => Err(ErrorCode::UNIMPLEMENTED),
        }
    }

    fn node(&self, path: &BStr) -> Result<NodeRef<'_>, ErrorCode> {
        self.view.tree.node(path).ok_or(ErrorCode::NO_NODE)
    }

    /// The znode, if it is there and this client may read it.
    fn readable(&self, path: &BStr) -> Result<NodeRef<'_>, ErrorCode> {
        let node = self.node(path)?;
        self.may_read(&node)?;
        Ok(node)
    }

    fn may_read(&self, node: &NodeRef<'_>) -> Outcome {
        if node.acl_is_open() || allows(node.acl(), Perms::READ, self.ids, self.rules) {
            Ok(())
        } else {
            Err(ErrorCode::NO_AUTH)
        }
    }

    fn note_read(&self, path: &BStr, bytes: usize) {
        let bytes = path.len() + bytes + STAT_BYTES;
        self.namespaces.lock().note(path, bytes as u64);
    }

    fn get_data(&self, request: &GetDataRequest<'_>, writer: &mut Writer<'_>) -> Outcome {
        let node = self.readable(request.path)?;
        self.note_read(request.path, node.data().map_or(0, <[u8]>::len));
        if request.watch {
            self.may_watch(request.path, WatcherType::Data)?;
            self.view.watches.leave_data(request.path, self.watcher);
        }
        write_get_data_response(writer, node.data(), &node.stat());
        Ok(())
    }

    /// The watch stays even when there is no such znode, but not when it may not be read.
    fn exists(&self, request: &ExistsRequest<'_>, writer: &mut Writer<'_>) -> Outcome {
        if request.path.contains(&0) {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        let node = self.node(request.path);
        if let Ok(node) = &node {
            self.may_read(node)?;
        }
        if request.watch {
            self.may_watch(request.path, WatcherType::Data)?;
            self.view.watches.leave_data(request.path, self.watcher);
        }
        node?.stat().write(writer);
        self.note_read(request.path, 0);
        Ok(())
    }

    fn get_children(
        &self,
        request: &GetChildrenRequest<'_>,
        writer: &mut Writer<'_>,
        end: usize,
    ) -> Outcome {
        let node = self.readable(request.path)?;
        if request.watch {
            self.may_watch(request.path, WatcherType::Children)?;
        }
        self.write_children(request.path, &node, writer, end)?;
        if request.watch {
            self.view.watches.leave_child(request.path, self.watcher);
        }
        Ok(())
    }

    /// Writes no further than to `end`: a list can be much longer than anybody reads.
    fn write_children(
        &self,
        path: &BStr,
        node: &NodeRef<'_>,
        writer: &mut Writer<'_>,
        end: usize,
    ) -> Outcome {
        let children = node.children();
        // A length for the list and one for each name.
        let (lengths, before) = (4 * (1 + children.len()), writer.written());
        self.within(before + lengths, end)?;
        writer.length(children.len());
        for name in children {
            writer.ustring(name.as_bytes());
            self.within(writer.written(), end)?;
        }
        self.note_read(path, writer.written() - before - lengths);
        Ok(())
    }

    /// Whether a reply that has come to `written` bytes may go on.
    fn within(&self, written: usize, end: usize) -> Outcome {
        if written <= end {
            return Ok(());
        }
        self.reached.note(Limit::Reply, self.peer);
        Err(ErrorCode::MARSHALLING_ERROR)
    }

    fn get_children2(
        &self,
        request: &GetChildren2Request<'_>,
        writer: &mut Writer<'_>,
        end: usize,
    ) -> Outcome {
        let node = self.readable(request.path)?;
        if request.watch {
            self.may_watch(request.path, WatcherType::Children)?;
        }
        self.write_children(request.path, &node, writer, end)?;
        if request.watch {
            self.view.watches.leave_child(request.path, self.watcher);
        }
        node.stat().write(writer);
        Ok(())
    }

    /// Whether the client may leave this watch: it is there already, or there is room for it.
    fn may_watch(&self, path: &BStr, kind: WatcherType) -> Outcome {
        let watches = self.view.watches;
        let limit = if watches.paths_of(self.watcher) >= self.limits.watches_per_session_max {
            Limit::WatchesPerSession
        } else if watches.count() >= self.limits.watches_max {
            Limit::Watches
        } else {
            return Ok(());
        };
        if watches.check(path, self.watcher, kind) {
            return Ok(());
        }
        self.reached.note(limit, self.peer);
        Err(ErrorCode::BAD_ARGUMENTS)
    }

    /// The limit above which there are watches, if there is one.
    fn exceeded(&self) -> Option<Limit> {
        let watches = self.view.watches;
        if watches.paths_of(self.watcher) > self.limits.watches_per_session_max {
            Some(Limit::WatchesPerSession)
        } else if watches.count() > self.limits.watches_max {
            Some(Limit::Watches)
        } else {
            None
        }
    }

    /// READ or ADMIN lets a client see the list; without ADMIN the digests in it are hidden.
    fn get_acl(&self, request: &GetAclRequest<'_>, writer: &mut Writer<'_>) -> Outcome {
        let node = self.node(request.path)?;
        let allowed = |wanted| allows(node.acl(), wanted, self.ids, self.rules);
        if !allowed(Perms::READ.or(Perms::ADMIN)) {
            return Err(ErrorCode::NO_AUTH);
        }
        if allowed(Perms::ADMIN) {
            Acl::write_list(node.acl(), writer);
        } else {
            let hidden: Vec<Acl> = node.acl().iter().map(without_digest).collect();
            Acl::write_list(&hidden, writer);
        }
        node.stat().write(writer);
        Ok(())
    }

    fn get_all_children_number(
        &self,
        request: &GetAllChildrenNumberRequest<'_>,
        writer: &mut Writer<'_>,
    ) -> Outcome {
        self.readable(request.path)?;
        let count = self.view.tree.get_all_children_number(request.path);
        writer.length(count.ok_or(ErrorCode::NO_NODE)?);
        Ok(())
    }

    fn get_ephemerals(
        &self,
        request: &GetEphemeralsRequest<'_>,
        writer: &mut Writer<'_>,
        end: usize,
    ) -> Outcome {
        let prefix = request.prefix_path.unwrap_or_default();
        // A prefix is not trimmed, only looked at as if it were.
        let trimmed = prefix.trim_with(|char| char <= ' ');
        let every = trimmed.is_empty() || trimmed == b"/";
        let mut paths: Vec<_> = self.view.tree.ephemerals_of(self.session).collect();
        paths.retain(|path| every || path.starts_with(prefix.as_bytes()));
        let bytes: usize = paths.iter().map(|path| 4 + path.len()).sum();
        self.within(writer.written() + 4 + bytes, end)?;
        writer.vector(&paths, |writer, path| writer.ustring(path));
        Ok(())
    }

    /// Reads inside a multiRead leave no watches, and fail one by one.
    fn multi_read(
        &self,
        request: &MultiRequest<'_>,
        writer: &mut Writer<'_>,
        end: usize,
    ) -> Outcome {
        if request.ops.iter().any(|op| !op.is_read()) {
            return Err(ErrorCode::MARSHALLING_ERROR);
        }
        for op in &request.ops {
            self.multi_read_op(op, writer, end)?;
            self.within(writer.written(), end)?;
        }
        MultiHeader::END.write(writer);
        Ok(())
    }

    fn multi_read_op(&self, op: &MultiOp<'_>, writer: &mut Writer<'_>, end: usize) -> Outcome {
        let path = match op {
            MultiOp::GetData(request) => request.path,
            MultiOp::GetChildren(request) => request.path,
            _ => return Ok(()),
        };
        match self.readable(path) {
            Err(error) => MultiResult::Error(error).write(writer),
            Ok(node) => {
                MultiHeader::of_result(op.op_code()).write(writer);
                if op.op_code() == OpCode::GetData {
                    self.note_read(path, node.data().map_or(0, <[u8]>::len));
                    write_get_data_response(writer, node.data(), &node.stat());
                } else {
                    self.write_children(path, &node, writer, end)?;
                }
            }
        }
        Ok(())
    }

    /// Names without anything secret: of a digest only the user.
    fn who_am_i(&self, writer: &mut Writer<'_>) -> Outcome {
        writer.vector(self.ids, |writer, id| {
            writer.ustring(&id.scheme);
            writer.ustring(display_name(id));
        });
        Ok(())
    }

    fn add_watch(&self, request: &AddWatchRequest<'_>, writer: &mut Writer<'_>) -> Outcome {
        let mode = AddWatchMode::from_code(request.mode).ok_or(ErrorCode::MARSHALLING_ERROR)?;
        let kind = match mode {
            AddWatchMode::Persistent => WatcherType::Persistent,
            AddWatchMode::PersistentRecursive => WatcherType::PersistentRecursive,
        };
        self.may_watch(request.path, kind)?;
        self.view.watches.leave(request.path, self.watcher, mode);
        writer.int(ErrorCode::OK.0);
        Ok(())
    }

    fn check_watches(&self, request: &CheckWatchesRequest<'_>) -> Outcome {
        let kind = WatcherType::from_code(request.kind).ok_or(ErrorCode::MARSHALLING_ERROR)?;
        found(self.view.watches.check(request.path, self.watcher, kind))
    }

    fn remove_watches(&self, request: &RemoveWatchesRequest<'_>) -> Outcome {
        let kind = WatcherType::from_code(request.kind).ok_or(ErrorCode::MARSHALLING_ERROR)?;
        found(self.view.watches.remove(request.path, self.watcher, kind))
    }

    /// Leaves the watches of a client that was elsewhere, and appends the events it has missed.
    fn set_watches(&self, op: OpCode, body: &[u8], out: &mut Vec<u8>) -> Outcome {
        let request = match op {
            OpCode::SetWatches => with_persistent(decode(&mut Reader::new(body))?),
            _ => decode::<SetWatches2<'_>>(&mut Reader::new(body))?,
        };
        let lists = Lists {
            data: &request.data_watches,
            exist: &request.exist_watches,
            child: &request.child_watches,
            persistent: &request.persistent_watches,
            persistent_recursive: &request.persistent_recursive_watches,
        };
        let missed = self.view.tree.set_watches(
            self.view.watches,
            self.watcher,
            request.relative_zxid,
            &lists,
        );
        for (kind, path) in missed {
            reply::write_notification(out, CATCH_UP_ZXID, kind, path);
        }
        Ok(())
    }
}

/// Appends the answer to a sync that has come back.
pub fn write_synced(out: &mut Vec<u8>, xid: Xid, zxid: Zxid, path: Option<&[u8]>) {
    reply::write(out, xid, zxid, |writer| {
        writer.buffer(path);
        Ok(())
    });
}

/// The path of a sync, which may be null.
///
/// # Errors
/// When the body is no such record.
pub fn sync_path(body: &[u8]) -> Result<Option<&BStr>, DecodeError> {
    Reader::new(body).ustring_or_null("SyncRequest.path")
}

/// Whether `op` is answered from the tree.
pub fn is_read(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Ping
            | OpCode::GetData
            | OpCode::Exists
            | OpCode::GetChildren
            | OpCode::GetChildren2
            | OpCode::GetAcl
            | OpCode::GetAllChildrenNumber
            | OpCode::GetEphemerals
            | OpCode::MultiRead
            | OpCode::WhoAmI
            | OpCode::AddWatch
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::SetWatches
            | OpCode::SetWatches2
    )
}

/// Reads a record; bytes behind it are ignored, as by Java.
fn decode<'a, R: Record<'a>>(reader: &mut Reader<'a>) -> Result<R, ErrorCode> {
    R::read(reader).map_err(|_| ErrorCode::MARSHALLING_ERROR)
}

fn found(there: bool) -> Outcome {
    if there {
        Ok(())
    } else {
        Err(ErrorCode::NO_WATCHER)
    }
}

fn with_persistent(request: SetWatches<'_>) -> SetWatches2<'_> {
    SetWatches2 {
        relative_zxid: request.relative_zxid,
        data_watches: request.data_watches,
        exist_watches: request.exist_watches,
        child_watches: request.child_watches,
        persistent_watches: Vec::new(),
        persistent_recursive_watches: Vec::new(),
    }
}

/// Hides everything from the first colon on.
fn without_digest(entry: &Acl) -> Acl {
    let mut entry = entry.clone();
    if entry.id.scheme == "digest"
        && let Some(colon) = entry.id.id.find_byte(b':')
    {
        entry.id.id.truncate(colon);
        entry.id.id.extend_from_slice(b":x");
    }
    entry
}

fn display_name(id: &Id) -> &[u8] {
    match (id.scheme.as_slice(), id.id.find_byte(b':')) {
        (b"digest", Some(colon)) => &id.id[..colon],
        (b"super", _) => b"",
        _ => &id.id,
    }
}
