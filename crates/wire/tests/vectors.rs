//! Golden vectors: every message that a real server has sent or accepted decodes to the text that
//! stands beside it, and encodes to the same bytes again.
//!
//! A vector's name tells what it is: `<kind>.<what>.<variant>`. Its text starts with a sentence about
//! where it comes from; the rest is written by `UPDATE_EXPECT=1`. New vectors are captured with
//! `cargo xtask vectors`.

// A vector that cannot be read fails the test.
#![allow(clippy::unwrap_used)]

mod expected;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use expected::{EXPECTED, ONE_WAY, RELEASES};
use outpost_wire::files::{
    LogEnd, LogReader, SnapshotDecoder, SnapshotEncoder, SnapshotFileDecoder, SnapshotFileEncoder,
    SnapshotItem, log,
};
use outpost_wire::proto::{
    ConnectRequest, ConnectResponse, ReplyBody, ReplyHeader, RequestBody, RequestHeader,
    WatcherEvent,
};
use outpost_wire::quorum::{ForwardedRequest, LearnerInfo, PacketType, QuorumPacket};
use outpost_wire::txn::TxnEntry;
use outpost_wire::{Acl, OpCode, Reader, Record, SessionId, Writer};

const BYTES_MAX: usize = 1 << 20;

#[test]
fn every_vector_decodes_to_the_text_beside_it_and_encodes_to_the_same_bytes() {
    for release in RELEASES {
        for name in names(release) {
            let path = vectors_dir().join(release).join(format!("{name}.bin"));
            let bytes = fs::read(&path).unwrap();
            let decoded = decode(&name, &bytes);
            let text_path = path.with_extension("txt");
            let old = fs::read_to_string(&text_path).unwrap();
            let meaning = old.lines().next().unwrap();
            let text = format!("{meaning}\n\n{}\n", readable(&decoded.text));
            expect_test::expect_file![&text_path].assert_eq(&text);
            match one_way(release, &name) {
                None => assert!(
                    decoded.encoded == bytes,
                    "{release}/{name} changes on its way"
                ),
                Some(why) => assert!(decoded.encoded != bytes, "{release}/{name}: not {why}"),
            }
        }
    }
}

#[test]
fn every_kind_of_record_has_a_vector_of_every_release_that_knows_it() {
    let mut missing = Vec::new();
    for (at, release) in RELEASES.iter().enumerate() {
        let names = names(release);
        for (since, expected) in EXPECTED {
            if RELEASES[..=at].contains(&since) {
                let lacks = expected.iter().filter(|name| !names.contains(**name));
                missing.extend(lacks.map(|name| format!("{release}/{name}")));
            }
        }
    }
    assert!(missing.is_empty(), "no vectors: {missing:#?}");
}

fn vectors_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

fn names(release: &str) -> BTreeSet<String> {
    let dir = vectors_dir().join(release);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    files
        .filter_map(|file| file.strip_suffix(".bin").map(str::to_owned))
        .collect()
}

fn one_way(release: &str, name: &str) -> Option<&'static str> {
    let entry = ONE_WAY
        .iter()
        .find(|entry| (entry.0, entry.1) == (release, name))?;
    Some(entry.2)
}

/// What a vector was decoded to, and what that was encoded to.
struct Decoded {
    text: String,
    encoded: Vec<u8>,
}

fn decode(name: &str, bytes: &[u8]) -> Decoded {
    let mut parts = name.split('.');
    let (kind, what) = (parts.next().unwrap(), parts.next().unwrap_or_default());
    match kind {
        "connect_request" => record::<ConnectRequest<'_>>(bytes),
        "connect_response" => record::<ConnectResponse<'_>>(bytes),
        "request" => request(bytes),
        "reply" => reply(what, bytes),
        "notification" => notification(bytes),
        "packet" => packet(bytes),
        "snapshot_stream" => snapshot_stream(bytes),
        "snapshot_file" => snapshot_file(bytes),
        "log_file" => log_file(bytes),
        _ => panic!("{name} starts with no known kind"),
    }
}

fn record<'a, R: Record<'a> + std::fmt::Debug>(bytes: &'a [u8]) -> Decoded {
    let value = R::decode("vector", bytes).unwrap();
    Decoded {
        text: format!("{value:#?}"),
        encoded: value.encode(),
    }
}

fn request(bytes: &[u8]) -> Decoded {
    let mut reader = Reader::new(bytes);
    let header = RequestHeader::read(&mut reader).unwrap();
    let op = header.op_code().unwrap();
    let body = RequestBody::read(op, &mut reader).unwrap();
    reader.finish("request").unwrap();
    let mut encoded = header.encode();
    body.write(&mut Writer::new(&mut encoded));
    Decoded {
        text: format!("{op:?}\n{header:#?}\n{body:#?}"),
        encoded,
    }
}

fn reply(op: &str, bytes: &[u8]) -> Decoded {
    let mut reader = Reader::new(bytes);
    let header = ReplyHeader::read(&mut reader).unwrap();
    let mut encoded = header.encode();
    let mut text = format!("{header:#?}");
    if header.err.is_ok() {
        let body = ReplyBody::read(op_code(op), &mut reader).unwrap();
        write!(text, "\n{body:#?}").unwrap();
        body.write(&mut Writer::new(&mut encoded));
    }
    reader.finish("reply").unwrap();
    Decoded { text, encoded }
}

/// `get_data` to `GetData`.
fn op_code(snake: &str) -> OpCode {
    let camel: String = snake
        .split('_')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect();
    let mut codes = (0..200).chain(-20..0).filter_map(OpCode::from_code);
    codes
        .find(|op| format!("{op:?}") == camel)
        .unwrap_or_else(|| panic!("no operation {snake}"))
}

fn notification(bytes: &[u8]) -> Decoded {
    let mut reader = Reader::new(bytes);
    let header = ReplyHeader::read(&mut reader).unwrap();
    let event = WatcherEvent::read(&mut reader).unwrap();
    reader.finish("notification").unwrap();
    let encoded = [header.encode(), event.encode()].concat();
    Decoded {
        text: format!("{header:#?}\n{event:#?}"),
        encoded,
    }
}

fn packet(bytes: &[u8]) -> Decoded {
    let mut buffer = BytesMut::from(bytes);
    let packet = QuorumPacket::take(&mut buffer, BYTES_MAX).unwrap().unwrap();
    assert!(buffer.is_empty());
    let kind = packet.packet_type().unwrap();
    let inner = packet.data.as_deref().map(|data| packet_data(kind, data));
    let mut text = format!(
        "{kind:?} zxid {}, identities {:?}",
        packet.zxid, packet.authinfo
    );
    if let Some(inner) = &inner {
        write!(text, "\n{}", inner.text).unwrap();
    }
    let data = inner.map(|inner| Bytes::from(inner.encoded));
    let mut encoded = Vec::new();
    QuorumPacket { data, ..packet }.write(&mut Writer::new(&mut encoded));
    Decoded { text, encoded }
}

fn packet_data(kind: PacketType, data: &[u8]) -> Decoded {
    match kind {
        PacketType::Inform | PacketType::Proposal => txn(data),
        PacketType::InformAndActivate => {
            let (leader, entry) = data.split_at(8);
            let entry = txn(entry);
            let encoded = [leader, &entry.encoded].concat();
            let leader = i64::from_be_bytes(leader.try_into().unwrap());
            Decoded {
                text: format!("leader {leader}\n{}", entry.text),
                encoded,
            }
        }
        PacketType::Request => forwarded(data),
        PacketType::ObserverInfo => {
            let info = LearnerInfo::read(data).unwrap();
            let mut encoded = Vec::new();
            info.write(&mut Writer::new(&mut encoded));
            // Older learners leave away what is last.
            encoded.truncate(data.len());
            Decoded {
                text: format!("{info:#?}"),
                encoded,
            }
        }
        PacketType::NewLeader => Decoded {
            text: data.escape_ascii().to_string(),
            encoded: data.to_vec(),
        },
        _ => Decoded {
            text: format!("data {}", hex(data)),
            encoded: data.to_vec(),
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn txn(bytes: &[u8]) -> Decoded {
    let entry = TxnEntry::decode(bytes).unwrap();
    Decoded {
        text: format!("{entry:#?}"),
        encoded: entry.encode(),
    }
}

fn forwarded(data: &[u8]) -> Decoded {
    let request = ForwardedRequest::read(data).unwrap();
    let mut text = format!("session {} cxid {}", request.session, request.cxid);
    let mut body = Vec::new();
    match OpCode::from_code(request.op).unwrap() {
        OpCode::CreateSession => {
            let timeout_ms = Reader::new(request.body).int("timeout").unwrap();
            write!(text, "\nCreateSession timeout {timeout_ms} ms").unwrap();
            Writer::new(&mut body).int(timeout_ms);
        }
        op => {
            let mut reader = Reader::new(request.body);
            let record = RequestBody::read(op, &mut reader).unwrap();
            reader.finish("forwarded request").unwrap();
            write!(text, "\n{op:?}\n{record:#?}").unwrap();
            record.write(&mut Writer::new(&mut body));
        }
    }
    let mut encoded = Vec::new();
    ForwardedRequest {
        body: &body,
        ..request
    }
    .write(&mut Writer::new(&mut encoded));
    Decoded { text, encoded }
}

/// A snapshot's items, sorted as its encoder wants them.
#[derive(Default)]
struct Tree {
    sessions: Vec<(SessionId, i32)>,
    acls: Vec<(i64, Vec<Acl>)>,
    nodes: Vec<SnapshotItem>,
    text: String,
}

impl Tree {
    fn read(mut next: impl FnMut() -> SnapshotItem) -> Tree {
        let mut tree = Tree::default();
        loop {
            let item = next();
            writeln!(tree.text, "{item:?}").unwrap();
            match item {
                SnapshotItem::Session { id, timeout_ms } => tree.sessions.push((id, timeout_ms)),
                SnapshotItem::Acl { id, acl } => tree.acls.push((id, acl)),
                SnapshotItem::Node { .. } => tree.nodes.push(item),
                SnapshotItem::End => return tree,
            }
        }
    }

    fn write(&self, encoder: &mut SnapshotEncoder<'_>) {
        encoder.sessions(self.sessions.iter().copied());
        encoder.acls(self.acls.iter().map(|(id, acl)| (*id, &acl[..])));
        for node in &self.nodes {
            if let SnapshotItem::Node {
                path,
                data,
                acl_id,
                stat,
            } = node
            {
                encoder.node(path, data.as_deref(), *acl_id, stat);
            }
        }
    }
}

fn snapshot_stream(bytes: &[u8]) -> Decoded {
    let mut buffer = BytesMut::from(bytes);
    let mut decoder = SnapshotDecoder::new(BYTES_MAX);
    let tree = Tree::read(|| decoder.next(&mut buffer).unwrap().unwrap());
    assert!(buffer.is_empty());
    let mut encoded = Vec::new();
    let mut encoder = SnapshotEncoder::new(&mut encoded);
    tree.write(&mut encoder);
    encoder.end();
    Decoded {
        text: tree.text,
        encoded,
    }
}

fn snapshot_file(bytes: &[u8]) -> Decoded {
    let mut decoder = SnapshotFileDecoder::new(Bytes::copy_from_slice(bytes), BYTES_MAX).unwrap();
    let tree = Tree::read(|| decoder.next().unwrap());
    let trailer = decoder.trailer().unwrap();
    let mut encoder = SnapshotFileEncoder::new();
    tree.write(&mut encoder.body());
    Decoded {
        text: format!("{}{trailer:#?}", tree.text),
        encoded: encoder.finish(&trailer),
    }
}

fn log_file(bytes: &[u8]) -> Decoded {
    let mut reader = LogReader::new(bytes, BYTES_MAX).unwrap();
    let mut text = String::new();
    let mut encoded = Vec::new();
    log::write_header(&mut encoded);
    for entry in reader.by_ref() {
        let entry = TxnEntry::decode(entry.unwrap().txn).unwrap();
        writeln!(text, "{entry:?}").unwrap();
        log::write_entry(&mut encoded, &entry.encode());
    }
    assert_eq!(reader.end(), Some(LogEnd::Padding));
    let zeros = bytes.len() - reader.position();
    write!(text, "{zeros} bytes of padding").unwrap();
    encoded.resize(encoded.len() + zeros, 0);
    Decoded { text, encoded }
}

/// Writes lists of bytes, as derived `Debug` shows them, as byte strings.
fn readable(debug: &str) -> String {
    let mut text = String::new();
    let mut rest = debug;
    while let Some((before, list)) = rest.split_once('[') {
        text.push_str(before);
        match list
            .split_once(']')
            .and_then(|(list, rest)| Some((bytes_of(list)?, rest)))
        {
            Some((bytes, after)) => {
                write!(text, "b\"{}\"", bytes.escape_ascii()).unwrap();
                rest = after;
            }
            None => {
                text.push('[');
                rest = list;
            }
        }
    }
    text.push_str(rest);
    text
}

fn bytes_of(list: &str) -> Option<Vec<u8>> {
    let items = list.trim().trim_end_matches(',').split(',');
    items.map(|item| item.trim().parse().ok()).collect()
}
