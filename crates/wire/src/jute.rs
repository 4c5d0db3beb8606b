//! Jute, ZooKeeper's record encoding: the [`Reader`] and the [`Writer`] that all formats share.
//!
//! A record is its fields one after another, without tags, lengths or padding. Buffers, text and
//! vectors carry a four-byte length or count in front, where -1 stands for null.

use bstr::BStr;

/// Why bytes are not the record they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends inside a field. In a stream this means: read on.
    #[error("{what}: {missing} more bytes needed")]
    Truncated {
        /// The field that is cut off.
        what: &'static str,
        /// At least this many bytes are missing.
        missing: usize,
    },
    /// A length or count that no honest peer sends.
    #[error("{what}: length {length} is not between 0 and {limit}")]
    Length {
        /// The field with the bad length.
        what: &'static str,
        /// The length as it was read.
        length: i64,
        /// The largest length allowed here.
        limit: usize,
    },
    /// A null where a value is needed.
    #[error("{what}: null")]
    Null {
        /// The field that is null.
        what: &'static str,
    },
    /// A number outside the table it is looked up in.
    #[error("{what}: unknown value {value}")]
    Unknown {
        /// The field with the unknown value.
        what: &'static str,
        /// The value as it was read.
        value: i64,
    },
    /// A file's bytes do not have the checksum that the file says they have.
    #[error("{what}: checksum does not match")]
    Checksum {
        /// The part of the file that is damaged.
        what: &'static str,
    },
    /// Bytes are left over behind a record that should end there.
    #[error("{what}: {bytes} bytes left over")]
    Trailing {
        /// The record that ended too early.
        what: &'static str,
        /// How many bytes follow it.
        bytes: usize,
    },
}

impl DecodeError {
    /// Whether more input could still make this a record.
    pub fn is_truncated(&self) -> bool {
        matches!(self, DecodeError::Truncated { .. })
    }
}

/// How many elements of a vector are believed in before they have been read.
const VECTOR_ELEMENTS_AT_FIRST: usize = 64;

/// A value with a jute encoding.
pub trait Record<'a>: Sized {
    /// Reads one value; what follows it stays in `reader`.
    ///
    /// # Errors
    /// When the bytes are not such a record.
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Appends the encoding of this value.
    fn write(&self, writer: &mut Writer<'_>);

    /// Reads a value that must fill all of `bytes`.
    ///
    /// # Errors
    /// As [`Record::read`], and when bytes are left over.
    fn decode(what: &'static str, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader)?;
        reader.finish(what)?;
        Ok(value)
    }

    /// This value's encoding.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut Writer::new(&mut bytes));
        bytes
    }
}

/// Reads jute values from a slice; the only code that touches offsets.
///
/// Text and buffers are borrowed from the input, so a length is always checked against the bytes
/// that are there and nothing is allocated for it.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    read: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader {
            rest: bytes,
            read: 0,
        }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.read
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `count` bytes as they are.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when fewer are left.
    pub fn take(&mut self, what: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(DecodeError::Truncated {
                what,
                missing: count - self.rest.len(),
            });
        };
        self.rest = rest;
        self.read += count;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(what, N)?);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// When none is left.
    pub fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(self.take_array::<1>(what)?[0])
    }

    /// A boolean; any byte but zero is true, as for Java's reader.
    ///
    /// # Errors
    /// When no byte is left.
    pub fn boolean(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(self.byte(what)? != 0)
    }

    /// A four-byte signed integer.
    ///
    /// # Errors
    /// When the input ends in it.
    pub fn int(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.take_array(what)?))
    }

    /// An eight-byte signed integer.
    ///
    /// # Errors
    /// When the input ends in it.
    pub fn long(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.take_array(what)?))
    }

    /// A buffer; `None` is null, which differs from an empty one.
    ///
    /// # Errors
    /// When the length is negative but not -1, or more than is left.
    pub fn buffer(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.int(what)? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => self.take(what, length).map(Some),
                Err(_) => Err(DecodeError::Length {
                    what,
                    length: i64::from(length),
                    limit: self.rest.len(),
                }),
            },
        }
    }

    /// A buffer of at most `limit` bytes, for streams: a longer one is refused by its length, where
    /// [`Reader::buffer`] would ask for more input.
    ///
    /// # Errors
    /// As [`Reader::buffer`], and when the length is above `limit`.
    pub fn buffer_within(
        &mut self,
        what: &'static str,
        limit: usize,
    ) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.int(what)? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) if length <= limit => self.take(what, length).map(Some),
                _ => Err(DecodeError::Length {
                    what,
                    length: i64::from(length),
                    limit,
                }),
            },
        }
    }

    /// Text, as the bytes that were sent; `None` is null.
    ///
    /// # Errors
    /// As [`Reader::buffer`].
    pub fn ustring_or_null(&mut self, what: &'static str) -> Result<Option<&'a BStr>, DecodeError> {
        Ok(self.buffer(what)?.map(BStr::new))
    }

    /// Text that must not be null.
    ///
    /// # Errors
    /// As [`Reader::buffer`], and [`DecodeError::Null`].
    pub fn ustring(&mut self, what: &'static str) -> Result<&'a BStr, DecodeError> {
        self.ustring_or_null(what)?
            .ok_or(DecodeError::Null { what })
    }

    /// A vector of which every element is read with `element`; null and negative counts read as
    /// an empty one, as Java's reader has it.
    ///
    /// # Errors
    /// Whatever `element` finds wrong; a count that cannot fit what is left ends as truncated.
    pub fn vector<T>(
        &mut self,
        what: &'static str,
        element: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        Ok(self.vector_or_null(what, element)?.unwrap_or_default())
    }

    /// As [`Reader::vector`], but tells null (any negative count) from empty.
    ///
    /// # Errors
    /// As [`Reader::vector`].
    pub fn vector_or_null<T>(
        &mut self,
        what: &'static str,
        mut element: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Ok(count) = usize::try_from(self.int(what)?) else {
            return Ok(None);
        };
        // The smallest element of any vector has four bytes; and what many of them need in memory is
        // allocated only when they have been read.
        let at_first = count.min(self.rest.len() / 4).min(VECTOR_ELEMENTS_AT_FIRST);
        let mut elements = Vec::with_capacity(at_first);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// Ends a record: nothing may be left over.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] when something is.
    pub fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { what, bytes }),
        }
    }
}

/// Appends jute values to a byte vector.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out }
    }

    /// Bytes that are in the buffer, those from before included.
    pub fn written(&self) -> usize {
        self.out.len()
    }

    /// Raw bytes, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn byte(&mut self, value: u8) {
        self.out.push(value);
    }

    /// A boolean, as one byte.
    pub fn boolean(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    /// A four-byte integer.
    pub fn int(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// An eight-byte integer.
    pub fn long(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// A length or count. What this program encodes always fits in an int: all of it came from
    /// records whose lengths were ints.
    pub fn length(&mut self, length: usize) {
        self.int(i32::try_from(length).unwrap_or(i32::MAX));
    }

    /// A buffer; `None` is null.
    pub fn buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.int(-1),
            Some(bytes) => {
                self.length(bytes.len());
                self.raw(bytes);
            }
        }
    }

    /// Text.
    pub fn ustring(&mut self, value: &[u8]) {
        self.buffer(Some(value));
    }

    /// A vector, each element written with `element`.
    pub fn vector<T>(&mut self, values: &[T], mut element: impl FnMut(&mut Writer<'_>, &T)) {
        self.length(values.len());
        for value in values {
            element(self, value);
        }
    }

    /// Something with its length in bytes in front, as a frame or a nested record has it. The
    /// length is filled in afterwards, so no caller counts.
    pub fn with_length(&mut self, body: impl FnOnce(&mut Writer<'_>)) {
        let at = self.out.len();
        self.int(0);
        body(self);
        let length = i32::try_from(self.out.len() - at - 4).unwrap_or(i32::MAX);
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_stay_different() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.buffer(None);
        writer.buffer(Some(b""));
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.buffer("a"), Ok(None));
        assert_eq!(reader.buffer("b"), Ok(Some(&b""[..])));
        assert_eq!(reader.finish("two buffers"), Ok(()));
    }

    #[test]
    fn a_lying_length_is_an_error_before_anything_is_allocated() {
        let mut reader = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 1, 2]);
        assert_eq!(
            reader.buffer("data"),
            Err(DecodeError::Truncated {
                what: "data",
                missing: 0x7fff_ffff - 2
            })
        );
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xfe]);
        assert!(matches!(
            reader.buffer("data"),
            Err(DecodeError::Length { length: -2, .. })
        ));
        let mut reader = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]);
        assert!(reader.vector("list", |r| r.int("element")).is_err());
    }

    #[test]
    fn bytes_left_over_are_an_error() {
        let mut reader = Reader::new(&[0, 0, 0, 1, 9]);
        assert_eq!(reader.int("number"), Ok(1));
        assert_eq!(
            reader.finish("record"),
            Err(DecodeError::Trailing {
                what: "record",
                bytes: 1
            })
        );
    }

    #[test]
    fn a_nested_length_counts_what_was_written() {
        let mut bytes = vec![9];
        Writer::new(&mut bytes).with_length(|w| w.long(7));
        assert_eq!(bytes, [9, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7]);
    }
}
