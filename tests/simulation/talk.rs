//! The client protocol, between what the history says and bytes: requests are written, replies are read.
//!
//! Everything that comes back is taken apart whole; what does not fit its request is a panic, for then the
//! observer does not speak the protocol.

use bstr::{BStr, BString};
use bytes::Bytes;
use outpost_wire::proto::{
    AddWatchRequest, CheckVersionRequest, ConnectRequest, Create2Response, CreateRequest,
    DeleteRequest, ErrorResponse, EventType, ExistsRequest, ExistsResponse, GetChildren2Request,
    GetChildren2Response, GetDataRequest, GetDataResponse, MultiOp, MultiRequest, MultiResponse,
    MultiResult, RemoveWatchesRequest, RequestHeader, SetDataRequest, SetDataResponse, SetWatches2,
    SyncRequest, SyncResponse, WatcherEvent,
};
use outpost_wire::{ErrorCode, OpCode, Record, SessionId, Writer, Xid, Zxid};

use crate::history::{Reply, Request, SubReply};

/// The first frame of a connection.
pub(crate) fn connect(session: SessionId, last_zxid_seen: Zxid, timeout_ms: i32) -> Vec<u8> {
    let password = match session {
        SessionId::NONE => [0; 16],
        session => session.password(),
    };
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen,
        time_out: timeout_ms,
        session_id: session,
        passwd: Some(&password),
        read_only: Some(false),
    };
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).with_length(|writer| request.write(writer));
    bytes
}

/// A request in its frame.
pub(crate) fn request(xid: Xid, request: &Request) -> Vec<u8> {
    let header = RequestHeader {
        xid,
        op: op_code(request).code(),
    };
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).with_length(|writer| {
        header.write(writer);
        write_body(writer, request);
    });
    bytes
}

/// A request as servers hand it on: its operation, and its record.
pub(crate) fn forwarded(request: &Request) -> (OpCode, Vec<u8>) {
    let mut body = Vec::new();
    write_body(&mut Writer::new(&mut body), request);
    (op_code(request), body)
}

fn op_code(request: &Request) -> OpCode {
    match request {
        Request::Create { mode, .. } if is_container(*mode) => OpCode::CreateContainer,
        Request::Create { .. } => OpCode::Create2,
        Request::Delete { .. } => OpCode::Delete,
        Request::SetData { .. } => OpCode::SetData,
        Request::Check { .. } => OpCode::Check,
        Request::Multi(_) => OpCode::Multi,
        Request::Exists { .. } => OpCode::Exists,
        Request::GetData { .. } => OpCode::GetData,
        Request::GetChildren { .. } => OpCode::GetChildren2,
        Request::Sync { .. } => OpCode::Sync,
        Request::AddWatch { .. } => OpCode::AddWatch,
        Request::RemoveWatches { .. } => OpCode::RemoveWatches,
        Request::SetWatches { .. } => OpCode::SetWatches2,
        Request::Ping => OpCode::Ping,
        Request::CloseSession => OpCode::CloseSession,
    }
}

fn is_container(mode: outpost_wire::proto::CreateMode) -> bool {
    mode == outpost_wire::proto::CreateMode::Container
}

fn write_body(writer: &mut Writer<'_>, request: &Request) {
    match request {
        Request::Create { .. }
        | Request::Delete { .. }
        | Request::SetData { .. }
        | Request::Check { .. } => match sub_request(request) {
            MultiOp::Create2(create) | MultiOp::CreateContainer(create) => create.write(writer),
            MultiOp::Delete(delete) => delete.write(writer),
            MultiOp::SetData(set) => set.write(writer),
            MultiOp::Check(check) => check.write(writer),
            other => panic!("{other:?} is none of ours"),
        },
        Request::Multi(ops) => {
            let ops = ops.iter().map(sub_request).collect();
            MultiRequest { ops }.write(writer);
        }
        Request::Exists { path, watch } => {
            let (path, watch) = (path.as_ref(), *watch);
            ExistsRequest { path, watch }.write(writer);
        }
        Request::GetData { path, watch } => {
            let (path, watch) = (path.as_ref(), *watch);
            GetDataRequest { path, watch }.write(writer);
        }
        Request::GetChildren { path, watch } => {
            let (path, watch) = (path.as_ref(), *watch);
            GetChildren2Request { path, watch }.write(writer);
        }
        Request::Sync { path } => SyncRequest {
            path: path.as_ref(),
        }
        .write(writer),
        Request::AddWatch { path, mode } => AddWatchRequest {
            path: path.as_ref(),
            mode: mode.code(),
        }
        .write(writer),
        Request::RemoveWatches { path, kind } => RemoveWatchesRequest {
            path: path.as_ref(),
            kind: kind.code(),
        }
        .write(writer),
        Request::SetWatches {
            relative_zxid,
            data,
            exist,
            child,
            persistent,
            recursive,
        } => SetWatches2 {
            relative_zxid: *relative_zxid,
            data_watches: borrowed(data),
            exist_watches: borrowed(exist),
            child_watches: borrowed(child),
            persistent_watches: borrowed(persistent),
            persistent_recursive_watches: borrowed(recursive),
        }
        .write(writer),
        Request::Ping | Request::CloseSession => {}
    }
}

fn borrowed(paths: &[BString]) -> Vec<&BStr> {
    paths.iter().map(AsRef::as_ref).collect()
}

fn sub_request(request: &Request) -> MultiOp<'_> {
    match request {
        Request::Create {
            path,
            data,
            acl,
            mode,
        } => {
            let create = CreateRequest {
                path: path.as_ref(),
                data: data.as_deref(),
                acl: Some(acl.clone()),
                flags: mode.code(),
            };
            match is_container(*mode) {
                true => MultiOp::CreateContainer(create),
                false => MultiOp::Create2(create),
            }
        }
        Request::Delete { path, version } => MultiOp::Delete(DeleteRequest {
            path: path.as_ref(),
            version: *version,
        }),
        Request::SetData {
            path,
            data,
            version,
        } => MultiOp::SetData(SetDataRequest {
            path: path.as_ref(),
            data: data.as_deref(),
            version: *version,
        }),
        Request::Check { path, version } => MultiOp::Check(CheckVersionRequest {
            path: path.as_ref(),
            version: *version,
        }),
        other => panic!("{other:?} does not belong into a multi"),
    }
}

/// What stands in a reply to `request`, behind its header.
pub(crate) fn reply(request: &Request, error: ErrorCode, body: &[u8]) -> Reply {
    if !error.is_ok() {
        assert!(
            body.is_empty(),
            "{error:?} for {request:?} and more: {body:?}"
        );
        return Reply::Nothing;
    }
    match request {
        Request::Create { .. } => {
            let Create2Response { path, stat } = record(body);
            let path = path.to_owned();
            Reply::Created { path, stat }
        }
        Request::SetData { .. } => {
            let SetDataResponse { stat } = record(body);
            Reply::Stat(stat)
        }
        Request::Exists { .. } => {
            let ExistsResponse { stat } = record(body);
            Reply::Stat(stat)
        }
        Request::GetData { .. } => {
            let GetDataResponse { data, stat } = record(body);
            let data = data.map(Bytes::copy_from_slice);
            Reply::Data { data, stat }
        }
        Request::GetChildren { .. } => {
            let GetChildren2Response { children, stat } = record(body);
            let names = children.into_iter().map(ToOwned::to_owned).collect();
            Reply::Children { names, stat }
        }
        Request::Sync { .. } => {
            let SyncResponse { path } = record(body);
            let path = path.to_owned();
            Reply::Synced { path }
        }
        Request::Multi(_) => {
            let MultiResponse { results } = record(body);
            Reply::Multi(results.iter().map(sub_reply).collect())
        }
        Request::AddWatch { .. } => {
            let ErrorResponse { err } = record(body);
            assert!(err.is_ok(), "{err:?} behind a header without an error");
            Reply::Nothing
        }
        Request::Delete { .. }
        | Request::Check { .. }
        | Request::RemoveWatches { .. }
        | Request::SetWatches { .. }
        | Request::Ping
        | Request::CloseSession => {
            assert!(body.is_empty(), "{request:?} is answered {body:?}");
            Reply::Nothing
        }
    }
}

fn sub_reply(result: &MultiResult<'_>) -> SubReply {
    match result {
        MultiResult::Create2(Create2Response { path, stat }) => SubReply::Created {
            path: (*path).to_owned(),
            stat: *stat,
        },
        MultiResult::Delete => SubReply::Deleted,
        MultiResult::SetData(SetDataResponse { stat }) => SubReply::Stat(*stat),
        MultiResult::Check => SubReply::Checked,
        MultiResult::Error(error) => SubReply::Error(*error),
        other => panic!("nobody asked for {other:?}"),
    }
}

/// What a watch event tells.
pub(crate) fn event(body: &[u8]) -> (EventType, BString) {
    let WatcherEvent { kind, path, .. } = record(body);
    let kind = EventType::from_code(kind).expect("a type that travels");
    (kind, path.to_owned())
}

/// The record that fills `bytes`.
pub(crate) fn record<'a, R: Record<'a>>(bytes: &'a [u8]) -> R {
    match R::decode("the answer", bytes) {
        Ok(record) => record,
        Err(error) => panic!("{error} in {bytes:?}"),
    }
}
