//! Several operations in one request: multi (writes, all or none) and multiRead (reads).
//!
//! Both directions are a row of [`MultiHeader`]s, each with the record of its operation behind it,
//! and a last header that says "done".

use super::record::record;
use super::{
    CheckVersionRequest, Create2Response, CreateMode, CreateRequest, CreateResponse,
    CreateTtlRequest, DeleteRequest, ErrorResponse, GetChildrenRequest, GetChildrenResponse,
    GetDataRequest, GetDataResponse, SetDataRequest, SetDataResponse,
};
use crate::error_code::ErrorCode;
use crate::jute::{DecodeError, Reader, Record, Writer};
use crate::op_code::OpCode;

record! {
    /// Stands in front of each operation and each result, and ends the row.
    #[derive(Copy)]
    pub struct MultiHeader {
        /// Operation or kind of result, by number; -1 for an error, and at the end.
        pub kind: i32,
        /// Whether the row ends here.
        pub done: bool,
        /// In a request -1. In a response 0, or the code that the record behind it repeats.
        pub err: i32,
    }
}

impl MultiHeader {
    /// Ends a row.
    pub const END: MultiHeader = MultiHeader {
        kind: -1,
        done: true,
        err: -1,
    };

    /// Stands in front of an operation.
    pub const fn of_operation(op: OpCode) -> MultiHeader {
        MultiHeader {
            kind: op.code(),
            done: false,
            err: -1,
        }
    }

    /// Stands in front of the result of an operation that succeeded.
    pub const fn of_result(op: OpCode) -> MultiHeader {
        MultiHeader {
            kind: op.code(),
            done: false,
            err: 0,
        }
    }

    /// Stands in front of the error of an operation.
    pub const fn of_error(err: ErrorCode) -> MultiHeader {
        MultiHeader {
            kind: OpCode::Error.code(),
            done: false,
            err: err.0,
        }
    }
}

/// One operation of a multi or a multiRead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiOp<'a> {
    /// Create a znode, answered with its path.
    Create(CreateRequest<'a>),
    /// Create a znode, answered with its path and Stat.
    Create2(CreateRequest<'a>),
    /// Create a container.
    CreateContainer(CreateRequest<'a>),
    /// Create a znode with a time to live.
    CreateTtl(CreateTtlRequest<'a>),
    /// Delete a znode.
    Delete(DeleteRequest<'a>),
    /// Replace a znode's data.
    SetData(SetDataRequest<'a>),
    /// Compare a version.
    Check(CheckVersionRequest<'a>),
    /// Read a znode's data; servers disregard the watch.
    GetData(GetDataRequest<'a>),
    /// List a znode's children; servers disregard the watch.
    GetChildren(GetChildrenRequest<'a>),
}

impl<'a> MultiOp<'a> {
    /// Which operation this is.
    pub const fn op_code(&self) -> OpCode {
        match self {
            MultiOp::Create(_) => OpCode::Create,
            MultiOp::Create2(_) => OpCode::Create2,
            MultiOp::CreateContainer(_) => OpCode::CreateContainer,
            MultiOp::CreateTtl(_) => OpCode::CreateTtl,
            MultiOp::Delete(_) => OpCode::Delete,
            MultiOp::SetData(_) => OpCode::SetData,
            MultiOp::Check(_) => OpCode::Check,
            MultiOp::GetData(_) => OpCode::GetData,
            MultiOp::GetChildren(_) => OpCode::GetChildren,
        }
    }

    /// Whether this belongs into a multiRead and not into a multi.
    pub const fn is_read(&self) -> bool {
        matches!(self, MultiOp::GetData(_) | MultiOp::GetChildren(_))
    }

    fn read(kind: i32, reader: &mut Reader<'a>) -> Result<MultiOp<'a>, DecodeError> {
        Ok(match OpCode::from_code(kind) {
            Some(OpCode::Create) => MultiOp::Create(read_create(reader)?),
            Some(OpCode::Create2) => MultiOp::Create2(read_create(reader)?),
            Some(OpCode::CreateContainer) => MultiOp::CreateContainer(read_create(reader)?),
            Some(OpCode::CreateTtl) => MultiOp::CreateTtl(Record::read(reader)?),
            Some(OpCode::Delete) => MultiOp::Delete(Record::read(reader)?),
            Some(OpCode::SetData) => MultiOp::SetData(Record::read(reader)?),
            Some(OpCode::Check) => MultiOp::Check(Record::read(reader)?),
            Some(OpCode::GetData) => MultiOp::GetData(Record::read(reader)?),
            Some(OpCode::GetChildren) => MultiOp::GetChildren(Record::read(reader)?),
            _ => return Err(unknown_kind(kind)),
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        MultiHeader::of_operation(self.op_code()).write(writer);
        match self {
            MultiOp::Create(op) | MultiOp::Create2(op) | MultiOp::CreateContainer(op) => {
                op.write(writer);
            }
            MultiOp::CreateTtl(op) => op.write(writer),
            MultiOp::Delete(op) => op.write(writer),
            MultiOp::SetData(op) => op.write(writer),
            MultiOp::Check(op) => op.write(writer),
            MultiOp::GetData(op) => op.write(writer),
            MultiOp::GetChildren(op) => op.write(writer),
        }
    }
}

/// Outside a multi a create with unknown flags is the leader's to refuse; inside, it makes the whole
/// request unreadable, as in `MultiOperationRecord`.
fn read_create<'a>(reader: &mut Reader<'a>) -> Result<CreateRequest<'a>, DecodeError> {
    let request = CreateRequest::read(reader)?;
    match CreateMode::from_code(request.flags) {
        Some(_) => Ok(request),
        None => Err(DecodeError::Unknown {
            what: "CreateRequest.flags",
            value: i64::from(request.flags),
        }),
    }
}

fn unknown_kind(kind: i32) -> DecodeError {
    DecodeError::Unknown {
        what: "MultiHeader.kind",
        value: i64::from(kind),
    }
}

/// The operations of a multi or a multiRead (`MultiOperationRecord`). Either all are reads or none is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MultiRequest<'a> {
    /// In the order in which they are tried; may be empty.
    pub ops: Vec<MultiOp<'a>>,
}

impl<'a> Record<'a> for MultiRequest<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut ops: Vec<MultiOp<'a>> = Vec::new();
        loop {
            let header = MultiHeader::read(reader)?;
            if header.done {
                return Ok(MultiRequest { ops });
            }
            let op = MultiOp::read(header.kind, reader)?;
            if ops
                .first()
                .is_some_and(|first| first.is_read() != op.is_read())
            {
                return Err(DecodeError::Unknown {
                    what: "reads and writes mixed in a multi, MultiHeader.kind",
                    value: i64::from(header.kind),
                });
            }
            ops.push(op);
        }
    }

    fn write(&self, writer: &mut Writer<'_>) {
        for op in &self.ops {
            op.write(writer);
        }
        MultiHeader::END.write(writer);
    }
}

/// How one operation of a multi or a multiRead ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiResult<'a> {
    /// A create.
    Create(CreateResponse<'a>),
    /// A create2, and a createContainer or createTTL too.
    Create2(Create2Response<'a>),
    /// A delete.
    Delete,
    /// A setData.
    SetData(SetDataResponse),
    /// A check.
    Check,
    /// A getData.
    GetData(GetDataResponse<'a>),
    /// A getChildren.
    GetChildren(GetChildrenResponse<'a>),
    /// It failed; or it did not, with [`ErrorCode::OK`], but another of the same multi did.
    Error(ErrorCode),
}

impl<'a> MultiResult<'a> {
    fn read(kind: i32, reader: &mut Reader<'a>) -> Result<MultiResult<'a>, DecodeError> {
        Ok(match OpCode::from_code(kind) {
            Some(OpCode::Create) => MultiResult::Create(Record::read(reader)?),
            Some(OpCode::Create2) => MultiResult::Create2(Record::read(reader)?),
            Some(OpCode::Delete) => MultiResult::Delete,
            Some(OpCode::SetData) => MultiResult::SetData(Record::read(reader)?),
            Some(OpCode::Check) => MultiResult::Check,
            Some(OpCode::GetData) => MultiResult::GetData(Record::read(reader)?),
            Some(OpCode::GetChildren) => MultiResult::GetChildren(Record::read(reader)?),
            Some(OpCode::Error) => MultiResult::Error(ErrorResponse::read(reader)?.err),
            _ => return Err(unknown_kind(kind)),
        })
    }

    /// Appends the header and the record of this result.
    pub fn write(&self, writer: &mut Writer<'_>) {
        self.header().write(writer);
        match self {
            MultiResult::Create(result) => result.write(writer),
            MultiResult::Create2(result) => result.write(writer),
            MultiResult::SetData(result) => result.write(writer),
            MultiResult::GetData(result) => result.write(writer),
            MultiResult::GetChildren(result) => result.write(writer),
            MultiResult::Error(err) => ErrorResponse { err: *err }.write(writer),
            MultiResult::Delete | MultiResult::Check => {}
        }
    }

    const fn header(&self) -> MultiHeader {
        MultiHeader::of_result(match self {
            MultiResult::Create(_) => OpCode::Create,
            MultiResult::Create2(_) => OpCode::Create2,
            MultiResult::Delete => OpCode::Delete,
            MultiResult::SetData(_) => OpCode::SetData,
            MultiResult::Check => OpCode::Check,
            MultiResult::GetData(_) => OpCode::GetData,
            MultiResult::GetChildren(_) => OpCode::GetChildren,
            MultiResult::Error(err) => return MultiHeader::of_error(*err),
        })
    }
}

/// The results of a multi or a multiRead, one for each operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MultiResponse<'a> {
    /// In the order of the operations.
    pub results: Vec<MultiResult<'a>>,
}

impl<'a> Record<'a> for MultiResponse<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut results = Vec::new();
        loop {
            let header = MultiHeader::read(reader)?;
            if header.done {
                return Ok(MultiResponse { results });
            }
            results.push(MultiResult::read(header.kind, reader)?);
        }
    }

    fn write(&self, writer: &mut Writer<'_>) {
        for result in &self.results {
            result.write(writer);
        }
        MultiHeader::END.write(writer);
    }
}

#[cfg(test)]
mod tests {
    use bstr::BStr;

    use super::*;
    use crate::data::Acl;

    fn create(flags: i32) -> CreateRequest<'static> {
        CreateRequest {
            path: BStr::new("/a"),
            data: None,
            acl: Some(Acl::open()),
            flags,
        }
    }

    #[test]
    fn a_failed_multi_has_the_bytes_of_a_java_server() {
        let response = MultiResponse {
            results: vec![
                MultiResult::Error(ErrorCode::OK),
                MultiResult::Error(ErrorCode::BAD_VERSION),
                MultiResult::Error(ErrorCode::RUNTIME_INCONSISTENCY),
            ],
        };
        let bytes = [
            &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &[
                0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0x99, 0xff, 0xff, 0xff, 0x99,
            ],
            &[
                0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xfe,
            ],
            &[0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        assert_eq!(response.encode(), bytes);
        assert_eq!(MultiResponse::decode("MultiResponse", &bytes), Ok(response));
    }

    #[test]
    fn an_empty_multi_is_its_end_alone() {
        assert_eq!(MultiRequest::default().encode(), MultiHeader::END.encode());
        let end = MultiHeader::END.encode();
        assert_eq!(
            MultiRequest::decode("MultiRequest", &end),
            Ok(MultiRequest::default())
        );
    }

    #[test]
    fn reads_and_writes_do_not_mix() {
        let read = GetDataRequest {
            path: BStr::new("/a"),
            watch: false,
        };
        let mixed = MultiRequest {
            ops: vec![MultiOp::Create(create(0)), MultiOp::GetData(read)],
        };
        assert!(MultiRequest::decode("MultiRequest", &mixed.encode()).is_err());
    }

    #[test]
    fn unknown_create_flags_make_the_whole_multi_unreadable() {
        for (flags, readable) in [(0, true), (6, true), (7, false), (-1, false)] {
            let request = MultiRequest {
                ops: vec![MultiOp::Create2(create(flags))],
            };
            let bytes = request.encode();
            let decoded = MultiRequest::decode("MultiRequest", &bytes);
            assert_eq!(decoded.is_ok(), readable, "flags {flags}");
        }
    }

    #[test]
    fn an_operation_that_no_multi_holds_is_an_error() {
        let mut bytes = MultiHeader::of_operation(OpCode::Exists).encode();
        bytes.extend(MultiHeader::END.encode());
        assert!(MultiRequest::decode("MultiRequest", &bytes).is_err());
    }
}
