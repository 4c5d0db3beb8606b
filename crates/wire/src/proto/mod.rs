//! The client protocol: what travels between a client and a server, frame by frame.
//!
//! The first frame each way is a [`ConnectRequest`] and a [`ConnectResponse`], without headers. After
//! that a client's frame is a [`RequestHeader`] and the record of its operation; a server's frame is a
//! [`ReplyHeader`] and, when there is no error, the record of the answer. Frames themselves are cut in
//! [`crate::frame`].
//!
//! Records are named as in `zookeeper.jute`, their fields in snake case (a field `type` is `op` or
//! `kind`). They borrow from the frame they were read from. Java ignores bytes behind a request's
//! record, so servers read requests with [`Record::read`](crate::Record::read), which leaves them
//! unread, and not with [`Record::decode`](crate::Record::decode).
//!
//! What a request may ask for, and what it is answered, is not decided here: only a record that
//! could not even be handed on fails to decode, such as one whose path is null.

mod record;

pub mod auth;
pub mod body;
pub mod connect;
pub mod multi;
pub mod read;
pub mod watch;
pub mod write;

pub use auth::{AuthPacket, ClientInfo, GetSaslRequest, SetSaslResponse, WhoAmIResponse};
pub use body::{ReplyBody, RequestBody};
pub use connect::{ConnectRequest, ConnectResponse};
pub use multi::{MultiHeader, MultiOp, MultiRequest, MultiResponse, MultiResult};
pub use read::{
    ExistsRequest, ExistsResponse, GetAclRequest, GetAclResponse, GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse, GetChildren2Request, GetChildren2Response, GetChildrenRequest,
    GetChildrenResponse, GetDataRequest, GetDataResponse, GetEphemeralsRequest,
    GetEphemeralsResponse, SyncRequest, SyncResponse,
};
pub use watch::{
    AddWatchMode, AddWatchRequest, CheckWatchesRequest, EventType, RemoveWatchesRequest,
    SetWatches, SetWatches2, WatcherEvent, WatcherType,
};
pub use write::{
    CheckVersionRequest, Create2Response, CreateMode, CreateRequest, CreateResponse,
    CreateTtlRequest, DeleteContainerRequest, DeleteRequest, ReconfigRequest, SetAclRequest,
    SetAclResponse, SetDataRequest, SetDataResponse,
};

use record::record;

use crate::error_code::ErrorCode;
use crate::ids::{Xid, Zxid};
use crate::jute::Writer;
use crate::op_code::OpCode;

record! {
    /// Stands in front of every request but [`ConnectRequest`].
    #[derive(Copy)]
    pub struct RequestHeader {
        /// Number that comes back with the reply.
        pub xid: Xid,
        /// What is asked for, by number: unknown ones are kept, because they are answered.
        pub op: i32,
    }
}

impl RequestHeader {
    /// What is asked for, if there is such an operation.
    pub const fn op_code(&self) -> Option<OpCode> {
        OpCode::from_code(self.op)
    }
}

record! {
    /// Stands in front of every reply but [`ConnectResponse`], and of notifications.
    #[derive(Copy)]
    pub struct ReplyHeader {
        /// The request's number, or [`Xid::NOTIFICATION`].
        pub xid: Xid,
        /// Last transaction that the server had applied. Clients remember the highest they saw.
        pub zxid: Zxid,
        /// How the request ended; a record follows only after [`ErrorCode::OK`].
        pub err: ErrorCode,
    }
}

record! {
    /// An error code as a record: the answer to addWatch, and a failed operation inside a multi.
    #[derive(Copy)]
    pub struct ErrorResponse {
        /// The code.
        pub err: ErrorCode,
    }
}

/// Appends a [`ReplyHeader`].
pub fn write_reply_header(writer: &mut Writer<'_>, xid: Xid, zxid: Zxid, err: ErrorCode) {
    writer.int(xid.0);
    writer.long(zxid.0);
    writer.int(err.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::{DecodeError, Reader, Record};

    #[test]
    fn headers_have_the_bytes_of_a_java_server() {
        let header = ReplyHeader {
            xid: Xid(-1),
            zxid: Zxid(0x10000003e),
            err: ErrorCode::OK,
        };
        let bytes = [
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0x3e, 0, 0, 0, 0,
        ];
        assert_eq!(header.encode(), bytes);
        assert_eq!(ReplyHeader::decode("ReplyHeader", &bytes), Ok(header));
        let mut written = Vec::new();
        write_reply_header(
            &mut Writer::new(&mut written),
            header.xid,
            header.zxid,
            header.err,
        );
        assert_eq!(written, bytes);
    }

    #[test]
    fn a_header_cut_off_names_the_field_that_is_missing() {
        let error = RequestHeader::read(&mut Reader::new(&[0, 0, 0, 1, 0])).err();
        assert_eq!(
            error,
            Some(DecodeError::Truncated {
                what: "RequestHeader.op",
                missing: 3
            })
        );
    }
}
