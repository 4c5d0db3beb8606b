//! Which record belongs to which operation: one table for requests, one for replies.
//!
//! For code that handles operations in general: validation, tests, tools. Code that serves one
//! operation reads its record directly.

use super::{
    AddWatchRequest, AuthPacket, CheckVersionRequest, CheckWatchesRequest, Create2Response,
    CreateRequest, CreateResponse, CreateTtlRequest, DeleteContainerRequest, DeleteRequest,
    ErrorResponse, ExistsRequest, ExistsResponse, GetAclRequest, GetAclResponse,
    GetAllChildrenNumberRequest, GetAllChildrenNumberResponse, GetChildren2Request,
    GetChildren2Response, GetChildrenRequest, GetChildrenResponse, GetDataRequest, GetDataResponse,
    GetEphemeralsRequest, GetEphemeralsResponse, GetSaslRequest, MultiRequest, MultiResponse,
    ReconfigRequest, RemoveWatchesRequest, SetAclRequest, SetAclResponse, SetDataRequest,
    SetDataResponse, SetSaslResponse, SetWatches, SetWatches2, SyncRequest, SyncResponse,
    WhoAmIResponse,
};
use crate::jute::{DecodeError, Reader, Record, Writer};
use crate::op_code::OpCode;

/// Defines an enum of records with the operations they belong to.
macro_rules! bodies {
    (
        $(#[$doc:meta])*
        $name:ident {
            nothing = $($empty:ident)|+;
            $($variant:ident($record:ty) = $($op:ident)|+,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is named after its record")]
        pub enum $name<'a> {
            $($variant($record),)*
            /// No record: there is only the header.
            None,
        }

        impl<'a> $name<'a> {
            /// Reads the record that belongs to `op`; what follows it stays in `reader`.
            ///
            /// # Errors
            /// When the bytes are not that record, or `op` is none that clients may ask for.
            pub fn read(op: OpCode, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                Ok(match op {
                    $($(OpCode::$op)|+ => $name::$variant(Record::read(reader)?),)*
                    $(OpCode::$empty)|+ => $name::None,
                    #[allow(unreachable_patterns, reason = "not every table leaves some out")]
                    other => {
                        let value = i64::from(other.code());
                        return Err(DecodeError::Unknown { what: "operation", value });
                    }
                })
            }

            /// Appends the record.
            pub fn write(&self, writer: &mut Writer<'_>) {
                match self {
                    $($name::$variant(record) => record.write(writer),)*
                    $name::None => {}
                }
            }
        }
    };
}

bodies! {
    /// The record behind a [`RequestHeader`](super::RequestHeader).
    RequestBody {
        nothing = Ping | WhoAmI | CloseSession;
        Create(CreateRequest<'a>) = Create | Create2 | CreateContainer,
        CreateTtl(CreateTtlRequest<'a>) = CreateTtl,
        Delete(DeleteRequest<'a>) = Delete,
        DeleteContainer(DeleteContainerRequest<'a>) = DeleteContainer,
        SetData(SetDataRequest<'a>) = SetData,
        SetAcl(SetAclRequest<'a>) = SetAcl,
        Check(CheckVersionRequest<'a>) = Check,
        Multi(MultiRequest<'a>) = Multi | MultiRead,
        Reconfig(ReconfigRequest<'a>) = Reconfig,
        Exists(ExistsRequest<'a>) = Exists,
        GetData(GetDataRequest<'a>) = GetData,
        GetAcl(GetAclRequest<'a>) = GetAcl,
        GetChildren(GetChildrenRequest<'a>) = GetChildren,
        GetChildren2(GetChildren2Request<'a>) = GetChildren2,
        GetAllChildrenNumber(GetAllChildrenNumberRequest<'a>) = GetAllChildrenNumber,
        GetEphemerals(GetEphemeralsRequest<'a>) = GetEphemerals,
        Sync(SyncRequest<'a>) = Sync,
        AddWatch(AddWatchRequest<'a>) = AddWatch,
        CheckWatches(CheckWatchesRequest<'a>) = CheckWatches,
        RemoveWatches(RemoveWatchesRequest<'a>) = RemoveWatches,
        SetWatches(SetWatches<'a>) = SetWatches,
        SetWatches2(SetWatches2<'a>) = SetWatches2,
        Auth(AuthPacket<'a>) = Auth,
        Sasl(GetSaslRequest<'a>) = Sasl,
    }
}

bodies! {
    /// The record behind a [`ReplyHeader`](super::ReplyHeader) without an error.
    ReplyBody {
        nothing = Ping | CloseSession | Delete | DeleteContainer | CheckWatches | RemoveWatches
            | SetWatches | SetWatches2 | Auth;
        Create(CreateResponse<'a>) = Create,
        Create2(Create2Response<'a>) = Create2 | CreateContainer | CreateTtl,
        SetData(SetDataResponse) = SetData,
        SetAcl(SetAclResponse) = SetAcl,
        Multi(MultiResponse<'a>) = Multi | MultiRead,
        Exists(ExistsResponse) = Exists,
        GetData(GetDataResponse<'a>) = GetData | Reconfig,
        GetAcl(GetAclResponse) = GetAcl,
        GetChildren(GetChildrenResponse<'a>) = GetChildren,
        GetChildren2(GetChildren2Response<'a>) = GetChildren2,
        GetAllChildrenNumber(GetAllChildrenNumberResponse) = GetAllChildrenNumber,
        GetEphemerals(GetEphemeralsResponse<'a>) = GetEphemerals,
        Sync(SyncResponse<'a>) = Sync,
        AddWatch(ErrorResponse) = AddWatch,
        Sasl(SetSaslResponse<'a>) = Sasl,
        WhoAmI(WhoAmIResponse<'a>) = WhoAmI,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_may_not_ask_for_has_no_record() {
        for op in [OpCode::Notification, OpCode::CreateSession, OpCode::Error] {
            assert!(RequestBody::read(op, &mut Reader::new(&[0; 100])).is_err());
            assert!(ReplyBody::read(op, &mut Reader::new(&[0; 100])).is_err());
        }
        assert_eq!(
            RequestBody::read(OpCode::Ping, &mut Reader::new(b"")),
            Ok(RequestBody::None)
        );
    }
}
