//! The packets with which a learner and its master agree who they are, ahead of the learner protocol.
//!
//! There are none unless SASL is configured (`quorum.auth.*`, ZooKeeper 3.4.10 and later). They stand back to back
//! without outer lengths: a head of fixed size, then the token it announces.

use crate::jute::{DecodeError, Reader, Writer};

/// What every packet begins with (`QuorumAuth.QUORUM_AUTH_MAGIC_NUMBER`).
pub const MAGIC: i64 = 0x5f24_3501_3501_edcc;

/// Bytes of a [`Head`].
pub const HEAD_BYTES: usize = 16;

/// How far the login is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Another packet is to come from the other side.
    InProgress,
    /// The learner is known to the master.
    Success,
    /// The learner is not known to the master.
    Error,
}

impl Status {
    fn code(self) -> i32 {
        match self {
            Status::InProgress => 0,
            Status::Success => 1,
            Status::Error => -1,
        }
    }

    /// As Java, takes what it does not know for an error.
    fn from_code(code: i32) -> Status {
        match code {
            0 => Status::InProgress,
            1 => Status::Success,
            _ => Status::Error,
        }
    }
}

/// What stands in front of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How far the login is.
    pub status: Status,
    /// Bytes of the token that follows; none follows a null token.
    pub token_bytes: Option<usize>,
}

impl Head {
    /// Reads a head; `None` if this is no packet of a login.
    ///
    /// # Errors
    /// When the token's length is negative and not that of null, or more than `limit`.
    pub fn decode(bytes: &[u8; HEAD_BYTES], limit: usize) -> Result<Option<Head>, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.long("QuorumAuthPacket.magic")? != MAGIC {
            return Ok(None);
        }
        let status = Status::from_code(reader.int("QuorumAuthPacket.status")?);
        let what = "QuorumAuthPacket.token";
        let length = reader.int(what)?;
        let token_bytes = match (length, usize::try_from(length)) {
            (-1, _) => None,
            (_, Ok(bytes)) if bytes <= limit => Some(bytes),
            _ => {
                let length = i64::from(length);
                return Err(DecodeError::Length {
                    what,
                    length,
                    limit,
                });
            }
        };
        Ok(Some(Head {
            status,
            token_bytes,
        }))
    }
}

/// A whole packet.
pub fn encode(status: Status, token: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + token.map_or(0, <[u8]>::len));
    let mut writer = Writer::new(&mut bytes);
    writer.long(MAGIC);
    writer.int(status.code());
    writer.buffer(token);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(packet: &[u8]) -> Result<Option<Head>, DecodeError> {
        Head::decode(packet.first_chunk().unwrap(), 5)
    }

    #[test]
    fn a_packet_is_the_bytes_that_java_writes() {
        let packet = encode(Status::Error, Some(b"t"));
        let expected = b"\x5f\x24\x35\x01\x35\x01\xed\xcc\xff\xff\xff\xff\0\0\0\x01t";
        assert_eq!(packet, expected);
    }

    #[test]
    fn a_head_reads_as_it_was_written() {
        for status in [Status::InProgress, Status::Success, Status::Error] {
            for token in [None, Some(&b""[..]), Some(b"token")] {
                let token_bytes = token.map(<[u8]>::len);
                let expected = Head {
                    status,
                    token_bytes,
                };
                assert_eq!(head(&encode(status, token)), Ok(Some(expected)));
            }
        }
    }

    #[test]
    fn what_is_no_packet_is_told_from_one() {
        assert_eq!(head(&[0; HEAD_BYTES]), Ok(None));
        let mut packet = encode(Status::Success, None);
        packet[8..12].copy_from_slice(&7_i32.to_be_bytes());
        let unknown = head(&packet).unwrap().unwrap();
        assert_eq!(unknown.status, Status::Error);
        packet[12..].copy_from_slice(&(-2_i32).to_be_bytes());
        assert!(head(&packet).is_err());
        assert!(head(&encode(Status::Success, Some(b"longer"))).is_err());
    }
}
