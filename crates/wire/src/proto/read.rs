//! Reads: what one server answers from its own tree, and sync.

use bstr::BStr;

use super::record::record;
use crate::data::{Acl, Stat};
use crate::jute::{Record, Writer};

record! {
    /// Is the znode there, and may a watch be left?
    #[derive(Copy)]
    pub struct ExistsRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
        /// Whether to leave a data watch; it stays even when there is no such znode.
        pub watch: bool,
    }
}

record! {
    /// The znode is there.
    #[derive(Copy)]
    pub struct ExistsResponse {
        /// Its metadata.
        pub stat: Stat,
    }
}

record! {
    /// Asks for a znode's data.
    #[derive(Copy)]
    pub struct GetDataRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
        /// Whether to leave a data watch.
        pub watch: bool,
    }
}

record! {
    /// A znode's data. The answer to reconfig too.
    #[derive(Copy)]
    pub struct GetDataResponse<'a> {
        /// The data; null and empty differ.
        pub data: Option<&'a [u8]>,
        /// The znode's metadata.
        pub stat: Stat,
    }
}

record! {
    /// Asks for the names of a znode's children.
    #[derive(Copy)]
    pub struct GetChildrenRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
        /// Whether to leave a child watch.
        pub watch: bool,
    }
}

record! {
    /// The names of a znode's children.
    pub struct GetChildrenResponse<'a> {
        /// Names, not paths, in no particular order.
        pub children: Vec<&'a BStr>,
    }
}

record! {
    /// Asks for the names of a znode's children and its Stat.
    #[derive(Copy)]
    pub struct GetChildren2Request<'a> {
        /// The znode.
        pub path: &'a BStr,
        /// Whether to leave a child watch.
        pub watch: bool,
    }
}

record! {
    /// The names of a znode's children, and the znode's metadata.
    pub struct GetChildren2Response<'a> {
        /// Names, not paths, in no particular order.
        pub children: Vec<&'a BStr>,
        /// Metadata of the parent.
        pub stat: Stat,
    }
}

record! {
    /// Asks for a znode's ACL.
    #[derive(Copy)]
    pub struct GetAclRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
    }
}

record! {
    /// A znode's ACL.
    pub struct GetAclResponse {
        /// Its entries, digests perhaps redacted.
        pub acl: Vec<Acl>,
        /// The znode's metadata.
        pub stat: Stat,
    }
}

record! {
    /// Asks that this server catch up with what the leader had committed when it saw the request.
    #[derive(Copy)]
    pub struct SyncRequest<'a> {
        /// Handed back; otherwise without meaning.
        pub path: &'a BStr,
    }
}

record! {
    /// This server has caught up.
    #[derive(Copy)]
    pub struct SyncResponse<'a> {
        /// As in the request.
        pub path: &'a BStr,
    }
}

record! {
    /// Asks how many znodes there are below one.
    #[derive(Copy)]
    pub struct GetAllChildrenNumberRequest<'a> {
        /// The znode.
        pub path: &'a BStr,
    }
}

record! {
    /// How many znodes there are below one.
    #[derive(Copy)]
    pub struct GetAllChildrenNumberResponse {
        /// Descendants at any depth.
        pub total_number: i32,
    }
}

record! {
    /// Asks for the ephemeral znodes of the asking session.
    #[derive(Copy)]
    pub struct GetEphemeralsRequest<'a> {
        /// Only paths that start with these bytes; null, blank or `/` for all.
        pub prefix_path: Option<&'a BStr>,
    }
}

record! {
    /// The ephemeral znodes of the asking session.
    pub struct GetEphemeralsResponse<'a> {
        /// Their paths, in no particular order.
        pub ephemerals: Vec<&'a BStr>,
    }
}

/// Appends a [`GetDataResponse`] without building one.
pub fn write_get_data_response(writer: &mut Writer<'_>, data: Option<&[u8]>, stat: &Stat) {
    writer.buffer(data);
    stat.write(writer);
}

/// Appends a [`GetChildrenResponse`] without building one.
pub fn write_get_children_response<'c>(
    writer: &mut Writer<'_>,
    children: impl ExactSizeIterator<Item = &'c [u8]>,
) {
    writer.length(children.len());
    for name in children {
        writer.ustring(name);
    }
}

/// Appends a [`GetChildren2Response`] without building one.
pub fn write_get_children2_response<'c>(
    writer: &mut Writer<'_>,
    children: impl ExactSizeIterator<Item = &'c [u8]>,
    stat: &Stat,
) {
    write_get_children_response(writer, children);
    stat.write(writer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Zxid;
    use crate::jute::{DecodeError, Reader};

    #[test]
    fn what_is_written_from_parts_reads_back_as_the_record() {
        let stat = Stat {
            mzxid: Zxid(7),
            version: 3,
            data_length: 2,
            ..Stat::default()
        };
        let names = ["a", "", "long name"];
        let parts = || names.iter().map(|name| name.as_bytes());
        let children: Vec<&BStr> = names.iter().map(|name| BStr::new(*name)).collect();

        let mut bytes = Vec::new();
        write_get_data_response(&mut Writer::new(&mut bytes), Some(b"hi"), &stat);
        assert_eq!(
            bytes,
            GetDataResponse {
                data: Some(b"hi"),
                stat
            }
            .encode()
        );

        bytes.clear();
        write_get_children_response(&mut Writer::new(&mut bytes), parts());
        assert_eq!(
            bytes,
            GetChildrenResponse {
                children: children.clone()
            }
            .encode()
        );

        bytes.clear();
        write_get_children2_response(&mut Writer::new(&mut bytes), parts(), &stat);
        assert_eq!(bytes, GetChildren2Response { children, stat }.encode());
    }

    #[test]
    fn a_null_path_is_an_error_but_a_null_prefix_is_not() {
        let null = [0xff, 0xff, 0xff, 0xff, 0];
        assert_eq!(
            GetDataRequest::read(&mut Reader::new(&null)),
            Err(DecodeError::Null {
                what: "GetDataRequest.path"
            })
        );
        assert_eq!(
            GetEphemeralsRequest::read(&mut Reader::new(&null)),
            Ok(GetEphemeralsRequest { prefix_path: None })
        );
    }
}
