//! Snapshot files: a header, the snapshot, and seals that tell whether all of it is as it was written.
//!
//! A seal is the Adler-32 of everything before it, from the start of the file and earlier seals
//! included. Behind the first seal may stand the tree's digest (3.6) and the last zxid (3.9), each
//! with a seal of its own. Java decides by its own settings what to expect there; this reader looks
//! at how much is left. Compression is undone and applied by the caller.

use adler2::Adler32;
use bytes::Bytes;

use super::snapshot::{SnapshotDecoder, SnapshotEncoder, SnapshotItem};
use super::{FILE_VERSION, read_file_header};
use crate::ids::Zxid;
use crate::jute::{DecodeError, Reader, Writer};

/// "ZKSN".
const MAGIC: i32 = 0x5a4b_534e;
const HEADER_BYTES: usize = 16;
/// Stands behind each checksum; with it every complete file ends.
const SEAL_END: &[u8] = b"/";
const SEAL_BYTES: usize = 8 + 4 + 1;
const DIGEST_BYTES: usize = 8 + 4 + 8;
const LAST_ZXID_BYTES: usize = 8;

/// Digest of the tree that a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotDigest {
    /// Last transaction whose effect is in it.
    pub zxid: Zxid,
    /// Of the algorithm; see [`DIGEST_VERSION`](crate::txn::DIGEST_VERSION).
    pub version: i32,
    /// Sum over all znodes.
    pub tree_digest: i64,
}

/// What a snapshot file says behind its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotTrailer {
    /// Digest of the tree, from 3.6 on.
    pub digest: Option<SnapshotDigest>,
    /// Last zxid applied when the file was written, from 3.9 on. Otherwise only the file's name tells.
    pub last_zxid: Option<Zxid>,
}

/// Whether a file has the end of a complete one: cheap, before it is decoded.
pub fn has_end(file: &[u8]) -> bool {
    file.len() >= HEADER_BYTES && file.ends_with(b"\0\0\0\x01/")
}

/// Reads a snapshot file that is in memory as a whole.
///
/// Call [`SnapshotFileDecoder::next`] until it returns [`SnapshotItem::End`], then
/// [`SnapshotFileDecoder::trailer`]. Only when that succeeds is what was read to be trusted.
#[derive(Debug)]
pub struct SnapshotFileDecoder {
    file: Bytes,
    rest: Bytes,
    decoder: SnapshotDecoder,
}

impl SnapshotFileDecoder {
    /// Starts on a file. No path, data or ACL may be longer than `limit` bytes.
    ///
    /// # Errors
    /// When this is no snapshot file.
    pub fn new(file: Bytes, limit: usize) -> Result<SnapshotFileDecoder, DecodeError> {
        let mut reader = Reader::new(&file);
        read_file_header(&mut reader, "snapshot file header", MAGIC)?;
        let rest = file.slice(reader.position()..);
        Ok(SnapshotFileDecoder {
            file,
            rest,
            decoder: SnapshotDecoder::for_file(limit),
        })
    }

    /// The next item; paths and data are shared with the file, not copied.
    ///
    /// # Errors
    /// When the file ends too early or is no snapshot.
    #[expect(
        clippy::should_implement_trait,
        reason = "it fails, and ends with an item, not None"
    )]
    pub fn next(&mut self) -> Result<SnapshotItem, DecodeError> {
        let cut_off = DecodeError::Truncated {
            what: "snapshot file",
            missing: 1,
        };
        self.decoder.next_from(&mut self.rest)?.ok_or(cut_off)
    }

    /// Checks the seals and reads what is between them. To be called behind [`SnapshotItem::End`].
    ///
    /// # Errors
    /// When a checksum does not match, or no known combination of parts has the length that is left.
    pub fn trailer(self) -> Result<SnapshotTrailer, DecodeError> {
        let what = "snapshot file trailer";
        let mut seals = Seals {
            file: &self.file,
            reader: Reader::new(&self.rest),
            adler: Adler32::new(),
            summed: 0,
        };
        seals.check("snapshot file")?;
        let left = seals.reader.rest().len();
        let with_digest = DIGEST_BYTES + SEAL_BYTES;
        let with_zxid = LAST_ZXID_BYTES + SEAL_BYTES;
        let mut trailer = SnapshotTrailer::default();
        if left == with_digest || left == with_digest + with_zxid {
            trailer.digest = Some(SnapshotDigest {
                zxid: Zxid(seals.reader.long(what)?),
                version: seals.reader.int(what)?,
                tree_digest: seals.reader.long(what)?,
            });
            seals.check("snapshot file digest")?;
        }
        if left == with_zxid || left == with_digest + with_zxid {
            trailer.last_zxid = Some(Zxid(seals.reader.long(what)?));
            seals.check("snapshot file last zxid")?;
        }
        seals.reader.finish(what)?;
        Ok(trailer)
    }
}

/// Checks seals one after another, and sums each byte once.
struct Seals<'a> {
    file: &'a [u8],
    /// Over the end of `file`.
    reader: Reader<'a>,
    adler: Adler32,
    summed: usize,
}

impl Seals<'_> {
    fn check(&mut self, what: &'static str) -> Result<(), DecodeError> {
        let end = self.file.len() - self.reader.rest().len();
        self.adler.write_slice(&self.file[self.summed..end]);
        self.summed = end;
        let checksum = self.reader.long(what)?;
        if self.reader.buffer(what)? != Some(SEAL_END)
            || checksum != i64::from(self.adler.checksum())
        {
            return Err(DecodeError::Checksum { what });
        }
        Ok(())
    }
}

/// Writes a snapshot file piece by piece.
///
/// Write sessions, ACLs and znodes through [`SnapshotFileEncoder::body`], fetch what has gathered
/// with [`SnapshotFileEncoder::take`] as often as convenient, and end with
/// [`SnapshotFileEncoder::finish`]. All that `take` and `finish` returned, in order, is the file.
#[derive(Debug)]
pub struct SnapshotFileEncoder {
    out: Vec<u8>,
    adler: Adler32,
    /// How many bytes of `out` are in the checksum.
    summed: usize,
}

impl SnapshotFileEncoder {
    /// Starts a file with its header.
    pub fn new() -> SnapshotFileEncoder {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.int(MAGIC);
        writer.int(FILE_VERSION);
        writer.long(-1);
        SnapshotFileEncoder {
            out,
            adler: Adler32::new(),
            summed: 0,
        }
    }

    /// Where sessions, ACLs and znodes are written. Their end is not: [`SnapshotFileEncoder::finish`]
    /// writes it.
    pub fn body(&mut self) -> SnapshotEncoder<'_> {
        SnapshotEncoder::new(&mut self.out)
    }

    /// Takes away what was encoded since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        self.sum();
        self.summed = 0;
        std::mem::take(&mut self.out)
    }

    /// Ends the tree, appends seals and trailer, and returns the last piece.
    pub fn finish(mut self, trailer: &SnapshotTrailer) -> Vec<u8> {
        self.body().end_of_nodes();
        self.seal();
        if let Some(digest) = &trailer.digest {
            let mut writer = Writer::new(&mut self.out);
            writer.long(digest.zxid.0);
            writer.int(digest.version);
            writer.long(digest.tree_digest);
            self.seal();
        }
        if let Some(zxid) = trailer.last_zxid {
            Writer::new(&mut self.out).long(zxid.0);
            self.seal();
        }
        self.out
    }

    fn sum(&mut self) {
        self.adler.write_slice(&self.out[self.summed..]);
        self.summed = self.out.len();
    }

    fn seal(&mut self) {
        self.sum();
        let mut writer = Writer::new(&mut self.out);
        writer.long(i64::from(self.adler.checksum()));
        writer.ustring(SEAL_END);
    }
}

impl Default for SnapshotFileEncoder {
    fn default() -> SnapshotFileEncoder {
        SnapshotFileEncoder::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::StatPersisted;
    use crate::ids::SessionId;

    fn file(trailer: &SnapshotTrailer) -> Vec<u8> {
        let mut encoder = SnapshotFileEncoder::new();
        encoder.body().sessions([(SessionId(5), 6000)].into_iter());
        let mut file = encoder.take();
        encoder.body().acls([].into_iter());
        file.extend(encoder.take());
        encoder
            .body()
            .node(b"", Some(b"root"), -1, &StatPersisted::default());
        file.extend(encoder.finish(trailer));
        file
    }

    fn read(file: Vec<u8>) -> Result<(usize, SnapshotTrailer), DecodeError> {
        let mut decoder = SnapshotFileDecoder::new(Bytes::from(file), 1000)?;
        let mut items = 1;
        while decoder.next()? != SnapshotItem::End {
            items += 1;
        }
        Ok((items, decoder.trailer()?))
    }

    fn trailers() -> [SnapshotTrailer; 4] {
        let digest = Some(SnapshotDigest {
            zxid: Zxid(4),
            version: 2,
            tree_digest: -3,
        });
        let last_zxid = Some(Zxid(0x1_0000_0004));
        [
            SnapshotTrailer {
                digest: None,
                last_zxid: None,
            },
            SnapshotTrailer {
                digest,
                last_zxid: None,
            },
            SnapshotTrailer {
                digest: None,
                last_zxid,
            },
            SnapshotTrailer { digest, last_zxid },
        ]
    }

    #[test]
    fn digest_and_last_zxid_are_told_apart_by_what_is_left() {
        for trailer in trailers() {
            let file = file(&trailer);
            assert!(has_end(&file));
            assert_eq!(read(file), Ok((3, trailer)));
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        for trailer in trailers() {
            let good = file(&trailer);
            // The dbid is the only thing that nobody reads, but it is summed too.
            for at in 0..good.len() {
                let mut damaged = good.clone();
                damaged[at] ^= 0x10;
                assert!(read(damaged).is_err(), "byte {at} of {}", good.len());
            }
        }
    }

    #[test]
    fn a_file_cut_off_is_read_only_where_it_could_have_ended() {
        for trailer in trailers() {
            let good = file(&trailer);
            for length in 0..good.len() {
                if let Ok((_, shorter)) = read(good[..length].to_vec()) {
                    assert!(
                        shorter != trailer && has_end(&good[..length]),
                        "cut to {length}"
                    );
                }
            }
        }
    }
}
