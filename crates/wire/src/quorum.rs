//! The learner protocol's packets: what travels between a learner and its master.
//!
//! The socket carries [`QuorumPacket`]s back to back, without outer lengths. The one exception is
//! the snapshot that follows a [`PacketType::Snap`] as a raw stream.

use bytes::{Buf, Bytes, BytesMut};

use crate::data::Id;
use crate::ids::{ServerId, SessionId, Xid, Zxid};
use crate::jute::{DecodeError, Reader, Record, Writer};

/// Version of the learner protocol that masters since 3.4 speak.
pub const PROTOCOL_VERSION: i32 = 0x1_0000;

/// Defines [`PacketType`] with its numbers in one table.
macro_rules! packet_types {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Kind of a [`QuorumPacket`], with the numbers of ZooKeeper's `Leader`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum PacketType {
            $($(#[$doc])* $name = $code,)*
        }

        impl PacketType {
            /// The kind with this number, if there is one.
            pub const fn from_code(code: i32) -> Option<PacketType> {
                match code {
                    $($code => Some(PacketType::$name),)*
                    _ => None,
                }
            }
        }
    };
}

packet_types! {
    /// Learner to master: a client's write or sync, or a session to create.
    Request = 1,
    /// Master to learner: a transaction that may still be uncommitted; observers get it while synchronising.
    Proposal = 2,
    /// Learner to master: NEWLEADER is taken; for voters also each proposal.
    Ack = 3,
    /// Master to learner: a proposal sent before is committed.
    Commit = 4,
    /// Both ways: are you there; the answer carries the touched sessions.
    Ping = 5,
    /// Both ways: may this session attach here?
    Revalidate = 6,
    /// Master to learner: the oldest forwarded sync is done.
    Sync = 7,
    /// Master to observer: a committed transaction, complete.
    Inform = 8,
    /// Master to follower: as COMMIT, for a reconfiguration.
    CommitAndActivate = 9,
    /// Master to learner: end of history.
    NewLeader = 10,
    /// Voter to leader: first packet.
    FollowerInfo = 11,
    /// Master to learner: serve clients now.
    UpToDate = 12,
    /// Master to learner: keep your state, what is missing follows.
    Diff = 13,
    /// Master to learner: go back to this zxid.
    Trunc = 14,
    /// Master to learner: a snapshot follows.
    Snap = 15,
    /// Observer to master: first packet.
    ObserverInfo = 16,
    /// Master to learner: my epoch.
    LeaderInfo = 17,
    /// Learner to master: my last zxid.
    AckEpoch = 18,
    /// Master to observer: as INFORM, for a reconfiguration.
    InformAndActivate = 19,
}

impl PacketType {
    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }
}

/// One packet of the learner protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumPacket {
    /// Kind of the packet, by number: unknown ones are kept, so that the reader can say what it met.
    pub kind: i32,
    /// Meaning depends on the kind.
    pub zxid: Zxid,
    /// Meaning depends on the kind; `None` is null.
    pub data: Option<Bytes>,
    /// The client's identities in a REQUEST; null otherwise.
    pub authinfo: Option<Vec<Id>>,
}

/// Length of type, zxid and the length of data.
const FIXED_BYTES: usize = 4 + 8 + 4;

impl QuorumPacket {
    /// A packet without identities.
    pub fn new(kind: PacketType, zxid: Zxid, data: Option<Bytes>) -> QuorumPacket {
        QuorumPacket {
            kind: kind.code(),
            zxid,
            data,
            authinfo: None,
        }
    }

    /// The kind, if it is known.
    pub fn packet_type(&self) -> Option<PacketType> {
        PacketType::from_code(self.kind)
    }

    /// Takes the first whole packet off the front of `buffer`; `None` when more bytes are needed.
    /// The data is shared with the buffer, not copied.
    ///
    /// # Errors
    /// When the data is longer than `limit` (told as soon as its length is there), or the bytes are
    /// no packet.
    pub fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<QuorumPacket>, DecodeError> {
        let Some((kind, zxid, data_length)) = fixed_part(buffer, limit)? else {
            return Ok(None);
        };
        let data_end = FIXED_BYTES + data_length.unwrap_or(0);
        let Some(behind_data) = buffer.get(data_end..) else {
            buffer.reserve(data_end + 4 - buffer.len());
            return Ok(None);
        };
        let mut reader = Reader::new(behind_data);
        let authinfo = match reader.vector_or_null("QuorumPacket.authinfo", Id::read) {
            Ok(authinfo) => authinfo,
            Err(error) if error.is_truncated() && behind_data.len() <= limit => return Ok(None),
            Err(error) => return Err(error),
        };
        let authinfo_bytes = reader.position();
        buffer.advance(FIXED_BYTES);
        let data = data_length.map(|length| buffer.split_to(length).freeze());
        buffer.advance(authinfo_bytes);
        Ok(Some(QuorumPacket {
            kind,
            zxid,
            data,
            authinfo,
        }))
    }

    /// Appends this packet.
    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.int(self.kind);
        writer.long(self.zxid.0);
        writer.buffer(self.data.as_deref());
        match &self.authinfo {
            None => writer.int(-1),
            Some(ids) => writer.vector(ids, |w, id| id.write(w)),
        }
    }
}

/// Kind, zxid and length of the data, when they are there.
fn fixed_part(
    buffer: &[u8],
    limit: usize,
) -> Result<Option<(i32, Zxid, Option<usize>)>, DecodeError> {
    if buffer.len() < FIXED_BYTES {
        return Ok(None);
    }
    let mut reader = Reader::new(buffer);
    let kind = reader.int("QuorumPacket.type")?;
    let zxid = Zxid(reader.long("QuorumPacket.zxid")?);
    let length = reader.int("QuorumPacket.data")?;
    let data_length = match usize::try_from(length) {
        Ok(length) if length <= limit => Some(length),
        Err(_) if length == -1 => None,
        _ => {
            let length = i64::from(length);
            return Err(DecodeError::Length {
                what: "QuorumPacket.data",
                length,
                limit,
            });
        }
    };
    Ok(Some((kind, zxid, data_length)))
}

/// What a learner says of itself in OBSERVERINFO and FOLLOWERINFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerInfo {
    /// The learner's id.
    pub server_id: ServerId,
    /// [`PROTOCOL_VERSION`]; a learner that sends less is treated as one of 3.3.
    pub protocol_version: i32,
    /// Version of the membership the learner knows; a master with an older one refuses the learner.
    pub config_version: i64,
}

impl LearnerInfo {
    /// Reads it by its length: 3.3 sends the id alone, 3.4 leaves the configuration version away.
    ///
    /// # Errors
    /// When there is not even an id.
    pub fn read(data: &[u8]) -> Result<LearnerInfo, DecodeError> {
        let mut reader = Reader::new(data);
        Ok(LearnerInfo {
            server_id: ServerId(reader.long("LearnerInfo.serverid")?),
            protocol_version: reader.int("LearnerInfo.protocolVersion").unwrap_or(1),
            config_version: reader.long("LearnerInfo.configVersion").unwrap_or(0),
        })
    }

    /// Appends the form of 3.5 and later, which masters since 3.4 accept.
    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.long(self.server_id.0);
        writer.int(self.protocol_version);
        writer.long(self.config_version);
    }
}

/// The data of a REQUEST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardedRequest<'a> {
    /// The session that asks.
    pub session: SessionId,
    /// The xid the client gave; 0 for what a server asks on its own.
    pub cxid: Xid,
    /// The operation's number.
    pub op: i32,
    /// The client's request record, byte for byte.
    pub body: &'a [u8],
}

impl<'a> ForwardedRequest<'a> {
    /// Reads the data of a REQUEST; everything behind the fixed part is the body.
    ///
    /// # Errors
    /// When the fixed part is cut off.
    pub fn read(data: &'a [u8]) -> Result<ForwardedRequest<'a>, DecodeError> {
        let mut reader = Reader::new(data);
        Ok(ForwardedRequest {
            session: SessionId(reader.long("Request.sessionId")?),
            cxid: Xid(reader.int("Request.cxid")?),
            op: reader.int("Request.type")?,
            body: reader.rest(),
        })
    }

    /// Appends the data of a REQUEST.
    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.long(self.session.0);
        writer.int(self.cxid.0);
        writer.int(self.op);
        writer.raw(self.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(packet: &QuorumPacket) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.write(&mut Writer::new(&mut bytes));
        bytes
    }

    #[test]
    fn a_packet_is_taken_whole_whatever_the_cuts_between_reads() {
        let mut packet = QuorumPacket::new(
            PacketType::Request,
            Zxid(-1),
            Some(Bytes::from_static(b"body")),
        );
        packet.authinfo = Some(vec![Id::new("ip", "127.0.0.1")]);
        let bytes = bytes_of(&packet);
        for cut in 0..bytes.len() {
            let mut buffer = BytesMut::from(&bytes[..cut]);
            assert_eq!(
                QuorumPacket::take(&mut buffer, 100),
                Ok(None),
                "cut at {cut}"
            );
            buffer.extend_from_slice(&bytes[cut..]);
            assert_eq!(
                QuorumPacket::take(&mut buffer, 100),
                Ok(Some(packet.clone()))
            );
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn data_above_the_limit_is_refused_before_it_arrives() {
        let packet =
            QuorumPacket::new(PacketType::Inform, Zxid(1), Some(Bytes::from(vec![0; 101])));
        let bytes = bytes_of(&packet);
        let mut buffer = BytesMut::from(&bytes[..FIXED_BYTES]);
        assert!(matches!(
            QuorumPacket::take(&mut buffer, 100),
            Err(DecodeError::Length { length: 101, .. })
        ));
    }

    #[test]
    fn null_data_and_empty_data_are_different_packets() {
        for data in [None, Some(Bytes::new())] {
            let packet = QuorumPacket::new(PacketType::Ping, Zxid(3), data);
            let mut buffer = BytesMut::from(&bytes_of(&packet)[..]);
            assert_eq!(QuorumPacket::take(&mut buffer, 100), Ok(Some(packet)));
        }
    }
}
