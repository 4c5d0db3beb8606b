//! The flight recorder: the last packets of one life of the link, in both directions, for whoever wants to know
//! afterwards how it ended.
//!
//! Of a packet it keeps the kind, the zxid, the length, and which operation of which session it was about; never
//! a path, never data. Recording one is a few stores into memory that was taken when the life began.

use std::time::{Duration, Instant};

use outpost_wire::quorum::{PacketType, QuorumPacket};
use outpost_wire::{OpCode, Reader, SessionId, Xid, Zxid};

/// Packets kept; older ones make room.
pub const PACKETS_MAX: usize = 64;

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the master.
    Received,
    /// To the master; it was handed to the connection, no more.
    Sent,
}

/// What a packet was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The operation by number: what a REQUEST asks for, what a transaction did; `None` in a REVALIDATE.
    pub op: Option<i32>,
    /// The session that asked.
    pub session: SessionId,
    /// The client's number of the request; 0 where a server asked.
    pub cxid: Xid,
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// When it came, or was handed to the connection.
    pub at: Instant,
    /// Which way it went.
    pub direction: Direction,
    /// Its kind by number.
    pub kind: i32,
    /// Its zxid field; what it means depends on the kind.
    pub zxid: Zxid,
    /// Length of its data in bytes; null counts as none.
    pub length: usize,
    /// What it was about, where that can be said.
    pub subject: Option<Subject>,
}

/// The packets of one life of the link, as far back as they are kept.
#[derive(Debug)]
pub struct Recorder {
    ring: Vec<Packet>,
    /// Packets recorded so far; the next one goes into the place behind the last, in a circle.
    count: u64,
}

/// What a recorder held at the moment of a loss.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// Packets of this life that are not kept any more.
    pub forgotten: u64,
    /// The others, oldest first.
    pub packets: Vec<Packet>,
}

impl Recorder {
    /// Takes the memory for a life of the link.
    #[expect(
        clippy::new_without_default,
        reason = "it takes memory: whoever makes one should say so"
    )]
    pub fn new() -> Recorder {
        Recorder {
            ring: Vec::with_capacity(PACKETS_MAX),
            count: 0,
        }
    }

    /// Records a packet.
    pub fn record(&mut self, at: Instant, direction: Direction, packet: &QuorumPacket) {
        let packet = Packet {
            at,
            direction,
            kind: packet.kind,
            zxid: packet.zxid,
            length: packet.data.as_ref().map_or(0, bytes::Bytes::len),
            subject: subject_of(packet),
        };
        let place = (self.count % PACKETS_MAX as u64) as usize;
        self.count += 1;
        match self.ring.get_mut(place) {
            Some(oldest) => *oldest = packet,
            None => self.ring.push(packet),
        }
    }

    /// What is kept.
    pub fn recording(&self) -> Recording {
        let forgotten = self.count - self.ring.len() as u64;
        let mut packets = self.ring.clone();
        if forgotten > 0 {
            packets.rotate_left((self.count % PACKETS_MAX as u64) as usize);
        }
        Recording { forgotten, packets }
    }
}

impl Packet {
    /// The kind in ZooKeeper's words, or its number.
    pub fn name(&self) -> String {
        match PacketType::from_code(self.kind) {
            Some(kind) => format!("{kind:?}").to_uppercase(),
            None => self.kind.to_string(),
        }
    }

    /// How long before `end` this was.
    pub fn before(&self, end: Instant) -> Duration {
        end.saturating_duration_since(self.at)
    }
}

impl Subject {
    /// The operation in ZooKeeper's words, or its number.
    pub fn op_name(&self) -> Option<String> {
        let op = self.op?;
        Some(match OpCode::from_code(op) {
            Some(known) => lower_camel(&format!("{known:?}")),
            None => op.to_string(),
        })
    }
}

fn lower_camel(name: &str) -> String {
    let (first, rest) = name.split_at(name.len().min(1));
    first.to_lowercase() + rest
}

/// Looks no further than at the fixed front of the data, and takes what is cut off there for nothing.
fn subject_of(packet: &QuorumPacket) -> Option<Subject> {
    let data = packet.data.as_deref()?;
    match PacketType::from_code(packet.kind)? {
        PacketType::Request => asked(data),
        PacketType::Revalidate => Some(Subject {
            op: None,
            session: SessionId(Reader::new(data).long("sessionId").ok()?),
            cxid: Xid(0),
        }),
        PacketType::Inform | PacketType::Proposal => done(data),
        // The voter that is to lead stands first.
        PacketType::InformAndActivate => done(data.get(8..)?),
        _ => None,
    }
}

fn asked(data: &[u8]) -> Option<Subject> {
    let mut reader = Reader::new(data);
    Some(Subject {
        session: SessionId(reader.long("sessionId").ok()?),
        cxid: Xid(reader.int("cxid").ok()?),
        op: Some(reader.int("type").ok()?),
    })
}

fn done(data: &[u8]) -> Option<Subject> {
    let mut reader = Reader::new(data);
    let session = SessionId(reader.long("clientId").ok()?);
    let cxid = Xid(reader.int("cxid").ok()?);
    let _zxid = reader.long("zxid").ok()?;
    let _time = reader.long("time").ok()?;
    let op = Some(reader.int("type").ok()?);
    Some(Subject { op, session, cxid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use outpost_wire::quorum::ForwardedRequest;
    use outpost_wire::txn::TxnHeader;
    use outpost_wire::{Record, Writer};

    fn ping(zxid: i64) -> QuorumPacket {
        QuorumPacket::new(PacketType::Ping, Zxid(zxid), None)
    }

    fn header() -> Vec<u8> {
        let header = TxnHeader {
            session: SessionId(0x0a01),
            cxid: Xid(7),
            zxid: Zxid(0x5_0000_0011),
            time: 1,
            kind: OpCode::CreateSession.code(),
        };
        let mut data = Vec::new();
        header.write(&mut Writer::new(&mut data));
        data.extend_from_slice(b"a secret");
        data
    }

    fn recorded(kind: PacketType, data: Option<&[u8]>) -> Packet {
        let data = data.map(Bytes::copy_from_slice);
        let packet = QuorumPacket::new(kind, Zxid(-1), data);
        let mut recorder = Recorder::new();
        recorder.record(Instant::now(), Direction::Sent, &packet);
        recorder.recording().packets[0]
    }

    #[test]
    fn p6_the_recorder_keeps_the_last_packets_in_their_order_and_no_more() {
        let mut recorder = Recorder::new();
        let room = recorder.ring.capacity();
        let now = Instant::now();
        for zxid in 0..PACKETS_MAX as i64 {
            recorder.record(now, Direction::Received, &ping(zxid));
        }
        assert_eq!(recorder.recording().forgotten, 0);
        for zxid in 64..150 {
            recorder.record(now, Direction::Received, &ping(zxid));
        }
        let Recording { forgotten, packets } = recorder.recording();
        let kept: Vec<i64> = packets.iter().map(|packet| packet.zxid.0).collect();
        assert_eq!((forgotten, kept), (86, (86..150).collect()));
        assert_eq!(recorder.ring.capacity(), room, "memory was taken later");
    }

    #[test]
    fn a_transaction_is_recorded_with_its_kind_session_and_cxid_and_without_what_it_says() {
        let bytes = header();
        let expected = Subject {
            op: Some(OpCode::CreateSession.code()),
            session: SessionId(0x0a01),
            cxid: Xid(7),
        };
        let inform = recorded(PacketType::Inform, Some(&bytes));
        assert_eq!((inform.subject, inform.length), (Some(expected), 40));
        assert_eq!(inform.name(), "INFORM");
        assert_eq!(expected.op_name().as_deref(), Some("createSession"));
        let activate = [&[0; 8][..], &bytes].concat();
        let activate = recorded(PacketType::InformAndActivate, Some(&activate));
        assert_eq!(activate.subject, Some(expected));
        assert!(!format!("{inform:?}").contains("secret"));
    }

    #[test]
    fn a_request_is_recorded_with_its_operation_session_and_cxid() {
        let request = ForwardedRequest {
            session: SessionId(0x0a01),
            cxid: Xid(7),
            op: OpCode::SetData.code(),
            body: b"/path",
        };
        let mut data = Vec::new();
        request.write(&mut Writer::new(&mut data));
        let subject = recorded(PacketType::Request, Some(&data)).subject;
        let subject = subject.expect("a subject");
        assert_eq!(subject.op_name().as_deref(), Some("setData"));
        assert_eq!((subject.session, subject.cxid), (SessionId(0x0a01), Xid(7)));
        let revalidate = recorded(PacketType::Revalidate, Some(&data[..8])).subject;
        assert_eq!(
            revalidate.map(|s| (s.op, s.session)),
            Some((None, SessionId(0x0a01)))
        );
    }

    #[test]
    fn p9_packets_that_are_cut_off_or_unknown_are_recorded_all_the_same() {
        for kind in [
            PacketType::Inform,
            PacketType::InformAndActivate,
            PacketType::Request,
            PacketType::Revalidate,
        ] {
            for length in 0..8 {
                assert_eq!(recorded(kind, Some(&header()[..length])).subject, None);
            }
            assert_eq!(recorded(kind, None).subject, None);
        }
        let unknown = QuorumPacket {
            kind: 99,
            ..ping(1)
        };
        let mut recorder = Recorder::new();
        recorder.record(Instant::now(), Direction::Received, &unknown);
        assert_eq!(recorder.recording().packets[0].name(), "99");
    }
}
