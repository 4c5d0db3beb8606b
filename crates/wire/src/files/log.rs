//! Log files: transactions in order, each with a checksum, and zeros up to the size reserved.
//!
//! What a transaction's bytes mean is decoded by [`TxnEntry`](crate::txn::TxnEntry). Whether zxids
//! follow one another is for the reader of several files to check.

use adler2::adler32_slice;

use super::{FILE_VERSION, read_file_header};
use crate::jute::{DecodeError, Reader, Writer};

/// "ZKLG".
const MAGIC: i32 = 0x5a4b_4c47;
/// Length of a file without transactions, in bytes.
pub const HEADER_BYTES: usize = 16;
/// Ends each entry.
const END_OF_ENTRY: u8 = b'B';
/// A file grows when less than this is left of the size reserved (`FilePadding`).
const PADDING_MIN: u64 = 4096;

/// A transaction in a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEntry<'a> {
    /// Header, record and digest of the transaction. Their checksum has been verified.
    pub txn: &'a [u8],
    /// Where the next entry starts, in bytes from the start of the file.
    pub end: usize,
}

/// How a log file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEnd {
    /// Right behind an entry.
    Clean,
    /// With the zeros that were reserved.
    Padding,
    /// Inside an entry: a write was interrupted. What there is of the entry was never confirmed.
    Torn,
}

/// Reads the transactions of one log file, in order.
///
/// An iterator that ends at the first error, and where Java's reader sees the end of the file.
#[derive(Debug, Clone)]
pub struct LogReader<'a> {
    reader: Reader<'a>,
    limit: usize,
    end: Option<LogEnd>,
    /// Where the last good entry ends.
    position: usize,
}

impl<'a> LogReader<'a> {
    /// Starts on a file. No transaction may be longer than `limit` bytes.
    ///
    /// # Errors
    /// When this is no log file; an empty one, which a crash can leave behind, is
    /// [`DecodeError::Truncated`].
    pub fn new(file: &'a [u8], limit: usize) -> Result<LogReader<'a>, DecodeError> {
        let mut reader = Reader::new(file);
        read_file_header(&mut reader, "log file header", MAGIC)?;
        let position = reader.position();
        Ok(LogReader {
            reader,
            limit,
            end: None,
            position,
        })
    }

    /// How the file ends, once the iterator has returned `None` and no error before it.
    pub fn end(&self) -> Option<LogEnd> {
        self.end
    }

    /// Where the last entry read ends, in bytes from the start of the file: what is behind it can
    /// be overwritten or cut off.
    pub fn position(&self) -> usize {
        self.position
    }

    /// One entry; `Err(Ok(_))` is an ordinary end.
    fn entry(&mut self) -> Result<LogEntry<'a>, Result<LogEnd, DecodeError>> {
        if self.reader.rest().is_empty() {
            return Err(Ok(LogEnd::Clean));
        }
        let torn = |error: DecodeError| match error.is_truncated() {
            true => Ok(LogEnd::Torn),
            false => Err(error),
        };
        let checksum = self.reader.long("log entry checksum").map_err(torn)?;
        let txn = self
            .reader
            .buffer_within("log entry", self.limit)
            .map_err(torn)?;
        let txn = txn.unwrap_or_default();
        if txn.is_empty() {
            return Err(Ok(LogEnd::Padding));
        }
        // As Java: without the mark the entry is torn, whatever its checksum.
        if self.reader.byte("log entry end").map_err(torn)? != END_OF_ENTRY {
            return Err(Ok(LogEnd::Torn));
        }
        if checksum != i64::from(adler32_slice(txn)) {
            return Err(Err(DecodeError::Checksum { what: "log entry" }));
        }
        Ok(LogEntry {
            txn,
            end: self.reader.position(),
        })
    }
}

impl<'a> Iterator for LogReader<'a> {
    type Item = Result<LogEntry<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.end.is_some() {
            return None;
        }
        match self.entry() {
            Ok(entry) => {
                self.position = entry.end;
                Some(Ok(entry))
            }
            Err(Ok(end)) => {
                self.end = Some(end);
                None
            }
            Err(Err(error)) => {
                // A torn end is the nearest there is to a damaged one; nothing behind it is read.
                self.end = Some(LogEnd::Torn);
                Some(Err(error))
            }
        }
    }
}

/// Appends the header of a log file.
pub fn write_header(out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    writer.int(MAGIC);
    writer.int(FILE_VERSION);
    writer.long(0);
}

/// Appends a transaction, given its encoding ([`TxnEntry::encode`](crate::txn::TxnEntry::encode)),
/// which must not be empty.
pub fn write_entry(out: &mut Vec<u8>, txn: &[u8]) {
    let mut writer = Writer::new(out);
    writer.long(i64::from(adler32_slice(txn)));
    writer.buffer(Some(txn));
    writer.byte(END_OF_ENTRY);
}

/// To what size a file should be grown before something is appended at `position`; `None` when it
/// is large enough. `step` bytes are reserved at a time; 0 reserves nothing. As Java's `FilePadding`.
pub fn reserved_size(position: u64, size: u64, step: u64) -> Option<u64> {
    if step == 0 || position + PADDING_MIN < size {
        return None;
    }
    if position > size {
        let wanted = position + step;
        return Some(wanted - wanted % step);
    }
    Some(size + step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut file = Vec::new();
        write_header(&mut file);
        write_entry(&mut file, b"first");
        write_entry(&mut file, b"second transaction");
        file
    }

    type Entries<'a> = Vec<Result<&'a [u8], DecodeError>>;

    fn read(file: &[u8]) -> (Entries<'_>, Option<LogEnd>, usize) {
        let mut reader = LogReader::new(file, 1000).unwrap();
        let entries = reader
            .by_ref()
            .map(|entry| entry.map(|entry| entry.txn))
            .collect();
        (entries, reader.end(), reader.position())
    }

    #[test]
    fn a_log_ends_clean_or_with_padding() {
        let mut file = file();
        let length = file.len();
        let entries = vec![Ok(&b"first"[..]), Ok(&b"second transaction"[..])];
        assert_eq!(read(&file), (entries.clone(), Some(LogEnd::Clean), length));
        file.resize(length + 100, 0);
        assert_eq!(read(&file), (entries, Some(LogEnd::Padding), length));
    }

    #[test]
    fn a_torn_tail_ends_the_log_behind_the_last_whole_entry() {
        let file = file();
        let first_end = HEADER_BYTES + 8 + 4 + b"first".len() + 1;
        for cut in first_end + 1..file.len() {
            let (entries, end, position) = read(&file[..cut]);
            assert_eq!(
                (entries.len(), end, position),
                (1, Some(LogEnd::Torn), first_end),
                "{cut}"
            );
        }
        let mut unmarked = file;
        *unmarked.last_mut().unwrap() = 0;
        assert_eq!(read(&unmarked).1, Some(LogEnd::Torn));
    }

    #[test]
    fn a_changed_byte_inside_a_marked_entry_is_an_error() {
        let mut file = file();
        let at = file.len() - 3;
        file[at] ^= 1;
        let (entries, _, _) = read(&file);
        assert_eq!(entries[1], Err(DecodeError::Checksum { what: "log entry" }));
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn a_length_above_the_limit_is_an_error() {
        let file = file();
        let mut reader = LogReader::new(&file, 5).unwrap();
        assert!(reader.next().unwrap().is_ok());
        assert!(matches!(
            reader.next(),
            Some(Err(DecodeError::Length { length: 18, .. }))
        ));
        assert!(reader.next().is_none());
    }

    #[test]
    fn a_log_is_reserved_as_java_does() {
        let step = 65536 * 1024;
        assert_eq!(reserved_size(16, 16, step), Some(67_108_880));
        assert_eq!(reserved_size(16, 67_108_880, step), None);
        assert_eq!(
            reserved_size(67_108_880 - 4096, 67_108_880, step),
            Some(2 * step + 16)
        );
        assert_eq!(reserved_size(67_108_881, 67_108_880, step), Some(2 * step));
        assert_eq!(reserved_size(16, 16, 0), None);
    }
}
