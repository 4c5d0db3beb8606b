//! A whole tree as a row of items: the sessions, the ACLs, the znodes, the end.
//!
//! The layout is the same in all releases, and the same in files and behind SNAP but for what stands
//! around it. A master writes the stream while transactions go on being applied, so it may hold parts
//! of later ones, and a znode may name an ACL that is not in the table.

use bstr::BString;
use bytes::{Buf, Bytes, BytesMut};

use crate::data::{Acl, Id, Perms, StatPersisted};
use crate::ids::SessionId;
use crate::jute::{DecodeError, Reader, Record, Writer};

/// Stands where the next znode's path would; no znode has this path, the root's being empty.
const END_OF_NODES: &[u8] = b"/";
/// Ends the stream behind SNAP.
const SIGNATURE: &[u8] = b"BenWasHere";

/// What a session takes in a snapshot.
pub const SNAPSHOT_SESSION_BYTES: usize = 12;
/// What a znode takes beside its path and data.
pub const SNAPSHOT_NODE_BYTES: usize = 76;

/// A piece of a snapshot, in the order of the variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotItem {
    /// A session that is alive.
    Session {
        /// The session.
        id: SessionId,
        /// Its timeout, ms.
        timeout_ms: i32,
    },
    /// An ACL that znodes refer to.
    Acl {
        /// By what they refer to it. -1 is never here: it stands for [`Acl::open`].
        id: i64,
        /// Its entries.
        acl: Vec<Acl>,
    },
    /// A znode. Parents come before their children, the root first.
    Node {
        /// Absolute path; empty for the root.
        path: Bytes,
        /// The znode's data; null and empty differ.
        data: Option<Bytes>,
        /// The znode's ACL.
        acl_id: i64,
        /// The znode's metadata.
        stat: StatPersisted,
    },
    /// The tree is complete.
    End,
}

/// Takes a snapshot apart while it arrives.
///
/// Feed the buffer, then call [`SnapshotDecoder::next`] until it returns `None`; go on so until it
/// returns [`SnapshotItem::End`]. Bytes behind the end stay in the buffer: they are the next packet.
/// After an error the decoder is of no more use.
#[derive(Debug)]
pub struct SnapshotDecoder {
    /// Longest path, data or ACL.
    limit: usize,
    /// Whether the signature of the stream stands behind the nodes.
    signed: bool,
    stage: Stage,
    /// Nothing can be taken from a shorter buffer, so it is not looked at.
    needed: usize,
}

/// What comes next.
#[derive(Debug)]
enum Stage {
    SessionCount,
    Sessions { left: u32 },
    AclCount,
    Acls { left: u32 },
    AclEntries { acls_left: u32, acl: PartialAcl },
    Nodes,
    Signature,
    Done,
}

/// An ACL is taken entry by entry, so that a long one that trickles in is read only once.
#[derive(Debug)]
struct PartialAcl {
    id: i64,
    entries_left: u32,
    bytes: usize,
    entries: Vec<Acl>,
}

/// What one look at the buffer came to.
enum Step {
    /// An item was taken.
    Item(SnapshotItem),
    /// Something was taken that makes no item of its own.
    Taken,
}

impl SnapshotDecoder {
    /// For the stream behind SNAP. No path, data or ACL may be longer than `limit` bytes.
    pub fn new(limit: usize) -> SnapshotDecoder {
        SnapshotDecoder {
            limit,
            signed: true,
            stage: Stage::SessionCount,
            needed: 0,
        }
    }

    /// For the part of a file between its header and its first checksum.
    pub(super) fn for_file(limit: usize) -> SnapshotDecoder {
        SnapshotDecoder {
            signed: false,
            ..SnapshotDecoder::new(limit)
        }
    }

    /// Takes the next item off the front of `buffer`; `None` when more bytes are needed, and for
    /// ever after [`SnapshotItem::End`]. Paths and data are shared with the buffer, not copied.
    ///
    /// # Errors
    /// When a length is above the limit (told as soon as the length is there), or the bytes are no
    /// snapshot.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<SnapshotItem>, DecodeError> {
        let item = self.next_from(buffer)?;
        // What is needed was held against the limit; one allocation takes it all.
        buffer.reserve(self.needed.saturating_sub(buffer.len()));
        Ok(item)
    }

    /// As [`SnapshotDecoder::next`], from anything whose bytes are in one piece.
    pub(super) fn next_from(
        &mut self,
        buffer: &mut impl Buf,
    ) -> Result<Option<SnapshotItem>, DecodeError> {
        loop {
            if buffer.remaining() < self.needed || matches!(self.stage, Stage::Done) {
                return Ok(None);
            }
            self.needed = 0;
            match self.step(buffer) {
                Ok(Step::Item(item)) => return Ok(Some(item)),
                Ok(Step::Taken) => {}
                Err(DecodeError::Truncated { missing, .. }) => {
                    self.needed = buffer.remaining() + missing;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads one thing and only then takes it off the buffer, so that one cut off is left there.
    fn step(&mut self, buffer: &mut impl Buf) -> Result<Step, DecodeError> {
        let mut reader = Reader::new(buffer.chunk());
        let mut step = Step::Taken;
        match &mut self.stage {
            Stage::SessionCount => {
                let left = read_count(&mut reader, "snapshot sessions")?;
                self.stage = Stage::Sessions { left };
            }
            Stage::Sessions { left: 0 } => self.stage = Stage::AclCount,
            Stage::Sessions { left } => {
                let id = SessionId(reader.long("snapshot session id")?);
                let timeout_ms = reader.int("snapshot session timeout")?;
                *left -= 1;
                step = Step::Item(SnapshotItem::Session { id, timeout_ms });
            }
            Stage::AclCount => {
                let left = read_count(&mut reader, "snapshot ACLs")?;
                self.stage = Stage::Acls { left };
            }
            Stage::Acls { left: 0 } => self.stage = Stage::Nodes,
            Stage::Acls { left } => {
                let acl = PartialAcl::read(&mut reader)?;
                self.stage = Stage::AclEntries {
                    acls_left: *left - 1,
                    acl,
                };
            }
            Stage::AclEntries { acls_left, acl } if acl.entries_left == 0 => {
                let (id, acl) = (acl.id, std::mem::take(&mut acl.entries));
                self.stage = Stage::Acls { left: *acls_left };
                step = Step::Item(SnapshotItem::Acl { id, acl });
            }
            Stage::AclEntries { acl, .. } => acl.read_entry(&mut reader, self.limit)?,
            Stage::Nodes => return self.node(buffer),
            Stage::Signature => {
                let signature = reader.buffer_within("snapshot signature", SIGNATURE.len())?;
                if signature != Some(SIGNATURE) {
                    return Err(DecodeError::Unknown {
                        what: "snapshot signature",
                        value: 0,
                    });
                }
                self.stage = Stage::Done;
                step = Step::Item(SnapshotItem::End);
            }
            Stage::Done => {}
        }
        let taken = reader.position();
        buffer.advance(taken);
        Ok(step)
    }

    /// A znode, or the end of them.
    fn node(&mut self, buffer: &mut impl Buf) -> Result<Step, DecodeError> {
        let mut reader = Reader::new(buffer.chunk());
        let what = "snapshot path";
        let path = reader
            .buffer_within(what, self.limit)?
            .ok_or(DecodeError::Null { what })?;
        let path_end = reader.position();
        if path == END_OF_NODES {
            buffer.advance(path_end);
            return Ok(self.end_of_nodes());
        }
        let path_start = path_end - path.len();
        let data_length = reader
            .buffer_within("snapshot data", self.limit)?
            .map(<[u8]>::len);
        let data_end = reader.position();
        let acl_id = reader.long("snapshot ACL id")?;
        let stat = StatPersisted::read(&mut reader)?;
        let bytes = buffer.copy_to_bytes(reader.position());
        let path = bytes.slice(path_start..path_end);
        let data = data_length.map(|length| bytes.slice(data_end - length..data_end));
        Ok(Step::Item(SnapshotItem::Node {
            path,
            data,
            acl_id,
            stat,
        }))
    }

    fn end_of_nodes(&mut self) -> Step {
        if self.signed {
            self.stage = Stage::Signature;
            return Step::Taken;
        }
        self.stage = Stage::Done;
        Step::Item(SnapshotItem::End)
    }
}

/// A count of things that are handed out one by one: nothing is allocated for it.
fn read_count(reader: &mut Reader<'_>, what: &'static str) -> Result<u32, DecodeError> {
    let count = reader.int(what)?;
    u32::try_from(count).map_err(|_| DecodeError::Length {
        what,
        length: i64::from(count),
        limit: i32::MAX as usize,
    })
}

impl PartialAcl {
    fn read(reader: &mut Reader<'_>) -> Result<PartialAcl, DecodeError> {
        let id = reader.long("snapshot ACL id")?;
        let entries_left = read_count(reader, "snapshot ACL")?;
        Ok(PartialAcl {
            id,
            entries_left,
            bytes: 0,
            entries: Vec::new(),
        })
    }

    /// Reads one more entry from a reader that stands at its start. No ACL may have more than
    /// `limit` bytes: it has been in a request once.
    fn read_entry(&mut self, reader: &mut Reader<'_>, limit: usize) -> Result<(), DecodeError> {
        let perms = Perms(reader.int("ACL.perms")?);
        let scheme = read_text(reader, "Id.scheme", limit)?;
        let id = Id {
            scheme,
            id: read_text(reader, "Id.id", limit)?,
        };
        self.bytes += reader.position();
        if self.bytes > limit {
            let length = self.bytes as i64;
            return Err(DecodeError::Length {
                what: "snapshot ACL",
                length,
                limit,
            });
        }
        self.entries.push(Acl { perms, id });
        self.entries_left -= 1;
        Ok(())
    }
}

fn read_text(
    reader: &mut Reader<'_>,
    what: &'static str,
    limit: usize,
) -> Result<BString, DecodeError> {
    let text = reader
        .buffer_within(what, limit)?
        .ok_or(DecodeError::Null { what })?;
    Ok(BString::from(text))
}

/// Writes what [`SnapshotDecoder`] reads: once each the sessions and the ACLs, then the znodes, then
/// an end. It remembers nothing, so a long snapshot can be written into one buffer after another.
#[derive(Debug)]
pub struct SnapshotEncoder<'a> {
    writer: Writer<'a>,
}

impl<'a> SnapshotEncoder<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> SnapshotEncoder<'a> {
        SnapshotEncoder {
            writer: Writer::new(out),
        }
    }

    /// All sessions, with their timeouts in ms.
    pub fn sessions(&mut self, sessions: impl ExactSizeIterator<Item = (SessionId, i32)>) {
        self.writer.length(sessions.len());
        for (id, timeout_ms) in sessions {
            self.writer.long(id.0);
            self.writer.int(timeout_ms);
        }
    }

    /// All ACLs that znodes refer to, but the one called -1.
    pub fn acls<'e>(&mut self, acls: impl ExactSizeIterator<Item = (i64, &'e [Acl])>) {
        self.writer.length(acls.len());
        for (id, acl) in acls {
            self.writer.long(id);
            Acl::write_list(acl, &mut self.writer);
        }
    }

    /// One znode, after its parent. The root's path is empty.
    pub fn node(&mut self, path: &[u8], data: Option<&[u8]>, acl_id: i64, stat: &StatPersisted) {
        self.writer.ustring(path);
        self.writer.buffer(data);
        self.writer.long(acl_id);
        stat.write(&mut self.writer);
    }

    /// The end of the stream behind SNAP.
    pub fn end(&mut self) {
        self.end_of_nodes();
        self.writer.ustring(SIGNATURE);
    }

    pub(super) fn end_of_nodes(&mut self) {
        self.writer.ustring(END_OF_NODES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Zxid;

    const LIMIT: usize = 1000;

    /// A small tree, and its stream with the beginning of a packet behind it.
    fn example() -> (Vec<SnapshotItem>, Vec<u8>) {
        let acl = vec![
            Acl {
                perms: Perms(3),
                id: Id::new("digest", "bob:x"),
            },
            Acl {
                perms: Perms::READ,
                id: Id::anyone(),
            },
        ];
        let stat = StatPersisted {
            mzxid: Zxid(9),
            version: 2,
            ..StatPersisted::default()
        };
        let node = |path: &'static str, data: Option<&'static str>, acl_id| SnapshotItem::Node {
            path: Bytes::from_static(path.as_bytes()),
            data: data.map(|data| Bytes::from_static(data.as_bytes())),
            acl_id,
            stat,
        };
        let items = vec![
            SnapshotItem::Session {
                id: SessionId(7),
                timeout_ms: 4000,
            },
            SnapshotItem::Session {
                id: SessionId(8),
                timeout_ms: 40000,
            },
            SnapshotItem::Acl {
                id: 1,
                acl: acl.clone(),
            },
            SnapshotItem::Acl {
                id: 2,
                acl: Vec::new(),
            },
            node("", None, -1),
            node("/a", Some(""), 1),
            node("/a/b", Some("data"), 2),
            SnapshotItem::End,
        ];
        let mut bytes = Vec::new();
        let mut encoder = SnapshotEncoder::new(&mut bytes);
        encoder.sessions([(SessionId(7), 4000), (SessionId(8), 40000)].into_iter());
        encoder.acls([(1, &acl[..]), (2, &[][..])].into_iter());
        encoder.node(b"", None, -1, &stat);
        encoder.node(b"/a", Some(b""), 1, &stat);
        encoder.node(b"/a/b", Some(b"data"), 2, &stat);
        encoder.end();
        bytes.extend_from_slice(b"next packet");
        (items, bytes)
    }

    fn drain(decoder: &mut SnapshotDecoder, buffer: &mut BytesMut) -> Vec<SnapshotItem> {
        std::iter::from_fn(|| decoder.next(buffer).unwrap()).collect()
    }

    #[test]
    fn a_snapshot_is_the_same_items_whatever_the_cuts_between_reads() {
        let (items, bytes) = example();
        for chunk in 1..=bytes.len() {
            let (mut decoder, mut buffer) = (SnapshotDecoder::new(LIMIT), BytesMut::new());
            let mut decoded = Vec::new();
            for part in bytes.chunks(chunk) {
                buffer.extend_from_slice(part);
                decoded.extend(drain(&mut decoder, &mut buffer));
            }
            assert_eq!(decoded, items, "in chunks of {chunk}");
            assert_eq!(&buffer[..], b"next packet");
        }
    }

    #[test]
    fn lengths_above_the_limit_are_refused_before_what_they_count_arrives() {
        let long = [0, 0, 3, 0xe9]; // LIMIT + 1
        let no_sessions_no_acls = [0; 8];
        let one_acl = [
            &[0; 7][..],
            &[1],
            &[0; 8],
            &[0, 0, 0, 1],
            &[0, 0, 0, 31],
            &long,
        ]
        .concat();
        let path = [&no_sessions_no_acls[..], &long].concat();
        let data = [&no_sessions_no_acls[..], &[0; 4], &long].concat();
        for bytes in [one_acl, path, data] {
            let mut buffer = BytesMut::from(&bytes[..]);
            let result = SnapshotDecoder::new(LIMIT).next(&mut buffer);
            let is_refused = matches!(result, Err(DecodeError::Length { length: 1001, .. }));
            assert!(is_refused, "{result:?}");
        }
    }

    #[test]
    fn an_acl_of_many_entries_is_refused_when_it_is_longer_than_the_limit() {
        let mut bytes = Vec::new();
        let mut encoder = SnapshotEncoder::new(&mut bytes);
        encoder.sessions([].into_iter());
        let acl = vec![
            Acl {
                perms: Perms::READ,
                id: Id::new("ip", "127.0.0.1")
            };
            100
        ];
        encoder.acls([(1, &acl[..])].into_iter());
        let result = SnapshotDecoder::new(LIMIT).next(&mut BytesMut::from(&bytes[..]));
        assert!(
            matches!(result, Err(DecodeError::Length { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn a_stream_without_the_signature_is_an_error() {
        let (_, bytes) = example();
        let mut damaged = BytesMut::from(&bytes[..]);
        let last = damaged.len() - b"next packet".len() - 1;
        damaged[last] ^= 1;
        let mut decoder = SnapshotDecoder::new(LIMIT);
        let error = loop {
            match decoder.next(&mut damaged) {
                Ok(Some(SnapshotItem::End) | None) => panic!("the damage was not noticed"),
                Ok(Some(_)) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(
            error,
            DecodeError::Unknown {
                what: "snapshot signature",
                value: 0
            }
        );
    }

    #[test]
    fn negative_counts_are_errors() {
        let mut decoder = SnapshotDecoder::new(LIMIT);
        assert!(decoder.next(&mut BytesMut::from(&[0xff; 4][..])).is_err());
    }
}
