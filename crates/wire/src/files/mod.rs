//! Snapshots and transaction logs: as files in a data directory, and the snapshot also as the stream
//! that follows SNAP.
//!
//! - [`snapshot`]: sessions, ACLs and znodes one after another; the part that file and stream share.
//! - [`snapshot_file`]: what a file has around it: a header, checksums, digest and last zxid.
//! - [`log`]: a file of transactions.
//!
//! Nothing here opens a file: bytes are handed in and out. Which file is the right one, and what to
//! do about a damaged one, is decided by whoever owns the directory.

pub mod log;
pub mod snapshot;
pub mod snapshot_file;

pub use log::{LogEnd, LogEntry, LogReader};
pub use snapshot::{
    SNAPSHOT_NODE_BYTES, SNAPSHOT_SESSION_BYTES, SnapshotDecoder, SnapshotEncoder, SnapshotItem,
};
pub use snapshot_file::{
    SnapshotDigest, SnapshotFileDecoder, SnapshotFileEncoder, SnapshotTrailer,
};

use crate::jute::{DecodeError, Reader};

/// Version of both kinds of file since ZooKeeper has written any.
const FILE_VERSION: i32 = 2;

/// Reads magic number, version and dbid. The dbid means nothing and is not looked at.
fn read_file_header(
    reader: &mut Reader<'_>,
    what: &'static str,
    magic: i32,
) -> Result<(), DecodeError> {
    for expected in [magic, FILE_VERSION] {
        let value = reader.int(what)?;
        if value != expected {
            return Err(DecodeError::Unknown {
                what,
                value: i64::from(value),
            });
        }
    }
    reader.long(what).map(drop)
}
