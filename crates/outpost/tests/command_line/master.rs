//! A leader of an ensemble that sends a snapshot as slowly as a test wants.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{SyncSender, sync_channel};

use bytes::{Bytes, BytesMut};
use outpost_wire::files::SnapshotEncoder;
use outpost_wire::quorum::{PacketType, QuorumPacket};
use outpost_wire::{StatPersisted, Writer, Zxid};

/// Znodes of the snapshot, the root not counted.
pub(crate) const ZNODES: usize = 20_000;
/// How many of them come before the master waits.
const FIRST: usize = ZNODES / 4;
const ZXID: Zxid = Zxid::of_epoch(1);

/// Sends one learner a quarter of a snapshot, and waits.
pub(crate) struct Master {
    pub(crate) port: u16,
    go_on: SyncSender<()>,
}

impl Master {
    pub(crate) fn start() -> Master {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (go_on, told) = sync_channel(1);
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a learner");
            let mut learner = Learner::new(stream);
            learner.expect(PacketType::ObserverInfo);
            let version = Bytes::from_static(&[0, 1, 0, 0]);
            learner.send(PacketType::LeaderInfo, Some(version));
            learner.expect(PacketType::AckEpoch);
            learner.send(PacketType::Snap, None);
            let (first, second) = snapshot();
            learner.write(&first);
            // A test that has failed does not say.
            if told.recv().is_ok() {
                learner.write(&second);
                let members = b"server.1=127.0.0.1:1:2:participant\nversion=0";
                learner.send(PacketType::NewLeader, Some(Bytes::from_static(members)));
                learner.expect(PacketType::Ack);
                learner.send(PacketType::UpToDate, None);
            }
            // Until it has enough.
            learner.read_all();
        });
        Master { port, go_on }
    }

    /// Has it send the rest.
    pub(crate) fn go_on(&self) {
        self.go_on.send(()).expect("it waits");
    }
}

struct Learner {
    stream: TcpStream,
    input: BytesMut,
}

impl Learner {
    fn new(stream: TcpStream) -> Learner {
        let input = BytesMut::new();
        Learner { stream, input }
    }

    fn expect(&mut self, wanted: PacketType) {
        loop {
            if let Some(packet) = QuorumPacket::take(&mut self.input, 1 << 20).expect("a packet") {
                assert_eq!(packet.packet_type(), Some(wanted));
                return;
            }
            let mut piece = [0; 1024];
            let read = self.stream.read(&mut piece).expect("read");
            assert_ne!(read, 0, "the learner has left");
            self.input.extend_from_slice(&piece[..read]);
        }
    }

    fn send(&mut self, kind: PacketType, data: Option<Bytes>) {
        let mut bytes = Vec::new();
        QuorumPacket::new(kind, ZXID, data).write(&mut Writer::new(&mut bytes));
        self.write(&bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("written");
    }

    fn read_all(mut self) {
        // However it ends.
        let _ = std::io::copy(&mut self.stream, &mut std::io::sink());
    }
}

/// In two parts.
fn snapshot() -> (Vec<u8>, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut encoder = SnapshotEncoder::new(&mut bytes);
    encoder.sessions(std::iter::empty());
    encoder.acls(std::iter::empty());
    let stat = StatPersisted::default();
    encoder.node(b"", Some(b""), -1, &stat);
    let nodes = |encoder: &mut SnapshotEncoder<'_>, numbers: std::ops::Range<usize>| {
        for n in numbers {
            encoder.node(format!("/n{n}").as_bytes(), Some(&[b'x'; 100]), -1, &stat);
        }
    };
    nodes(&mut encoder, 0..FIRST);
    let mut rest = Vec::new();
    let mut encoder = SnapshotEncoder::new(&mut rest);
    nodes(&mut encoder, FIRST..ZNODES);
    encoder.end();
    (bytes, rest)
}
