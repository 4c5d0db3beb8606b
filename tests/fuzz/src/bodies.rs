//! One function per target. Each reads bytes that anybody may have made up, and panics when something
//! is not as it must be: what was decoded encodes to something that decodes to the same.

use bytes::{Bytes, BytesMut};
use outpost_wire::files::{LogReader, SnapshotDecoder, SnapshotFileDecoder, SnapshotItem, log};
use outpost_wire::proto::{
    ConnectRequest, ConnectResponse, ReplyBody, ReplyHeader, RequestBody, RequestHeader,
    WatcherEvent,
};
use outpost_wire::quorum::{ForwardedRequest, LearnerInfo, QuorumPacket};
use outpost_wire::txn::TxnEntry;
use outpost_wire::{DecodeError, OpCode, Reader, Record, Writer, frame};

use crate::sasl::{CLIENTS, Client, QUORUM, Server, Step};

/// Longest frame, path, data and transaction here.
const BYTES_MAX: usize = 1 << 20;
/// Longest user and password together; a token has 4096 bytes, and each may need two.
const NAME_BYTES_MAX: usize = 1 << 10;

/// Frames of a client's connection, and each input as if it were one frame.
pub fn client(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some(frame)) = frame::split(rest, BYTES_MAX) {
        client_frame(frame);
        rest = &rest[4 + frame.len()..];
    }
    client_frame(data);
}

fn client_frame(frame: &[u8]) {
    same_again::<ConnectRequest<'_>>(frame);
    same_again::<ConnectResponse<'_>>(frame);
    let mut reader = Reader::new(frame);
    if let Ok(op) = RequestHeader::read(&mut reader).map(|header| header.op_code())
        && let Some(op) = op
    {
        request_body(op, reader.rest());
    }
    let mut reader = Reader::new(frame);
    if ReplyHeader::read(&mut reader).is_ok() {
        same_again::<WatcherEvent<'_>>(reader.rest());
        for op in (-20..120).filter_map(OpCode::from_code) {
            reply_body(op, reader.rest());
        }
    }
}

/// What a record decodes to, its encoding decodes to as well.
fn same_again<'a, R: Record<'a>>(bytes: &'a [u8]) {
    if let Ok(record) = R::read(&mut Reader::new(bytes)) {
        let encoded = record.encode();
        assert!(
            encoded.len() <= bytes.len(),
            "a record grew from {bytes:?} to {encoded:?}"
        );
    }
}

fn request_body(op: OpCode, bytes: &[u8]) {
    let Ok(body) = RequestBody::read(op, &mut Reader::new(bytes)) else {
        return;
    };
    let mut encoded = Vec::new();
    body.write(&mut Writer::new(&mut encoded));
    let mut reader = Reader::new(&encoded);
    assert_eq!(RequestBody::read(op, &mut reader).as_ref(), Ok(&body));
    assert_eq!(reader.finish("request"), Ok(()));
}

fn reply_body(op: OpCode, bytes: &[u8]) {
    let Ok(body) = ReplyBody::read(op, &mut Reader::new(bytes)) else {
        return;
    };
    let mut encoded = Vec::new();
    body.write(&mut Writer::new(&mut encoded));
    let mut reader = Reader::new(&encoded);
    assert_eq!(ReplyBody::read(op, &mut reader).as_ref(), Ok(&body));
    assert_eq!(reader.finish("reply"), Ok(()));
}

/// Packets of the learner protocol, one behind the other, and what they carry.
pub fn quorum_packet(data: &[u8]) {
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(packet)) = QuorumPacket::take(&mut buffer, BYTES_MAX) {
        let mut encoded = Vec::new();
        packet.write(&mut Writer::new(&mut encoded));
        let mut again = BytesMut::from(&encoded[..]);
        assert_eq!(
            QuorumPacket::take(&mut again, BYTES_MAX),
            Ok(Some(packet.clone()))
        );
        assert!(again.is_empty());
        let Some(data) = packet.data else {
            continue;
        };
        txn(&data);
        let _ = LearnerInfo::read(&data);
        if let Ok(request) = ForwardedRequest::read(&data)
            && let Some(op) = OpCode::from_code(request.op)
        {
            request_body(op, request.body);
        }
    }
}

/// One transaction.
pub fn txn(data: &[u8]) {
    let Ok(entry) = TxnEntry::decode(data) else {
        return;
    };
    let encoded = entry.encode();
    let again = TxnEntry::decode(&encoded);
    assert_eq!(again.as_ref(), Ok(&entry));
}

/// A snapshot, as a stream in pieces and at once, and as a file. The first byte is the pieces' size.
pub fn snapshot(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let at_once = snapshot_items(stream, stream.len().max(1));
    let in_pieces = snapshot_items(stream, usize::from(*size).max(1));
    assert_eq!(at_once, in_pieces);
    if let Ok(mut decoder) = SnapshotFileDecoder::new(Bytes::copy_from_slice(stream), BYTES_MAX) {
        loop {
            match decoder.next() {
                Ok(SnapshotItem::End) => break drop(decoder.trailer()),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
}

type Items = (Vec<SnapshotItem>, Option<DecodeError>);

fn snapshot_items(stream: &[u8], piece: usize) -> Items {
    let (mut decoder, mut buffer) = (SnapshotDecoder::new(BYTES_MAX), BytesMut::new());
    let mut items = Vec::new();
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
    }
    (items, None)
}

/// A log file. What could be read of it, written anew, is the beginning of the same file.
pub fn log_file(data: &[u8]) {
    let Ok(mut reader) = LogReader::new(data, BYTES_MAX) else {
        return;
    };
    let mut written = data[..log::HEADER_BYTES].to_vec();
    for entry in reader.by_ref() {
        let Ok(entry) = entry else {
            break;
        };
        txn(entry.txn);
        log::write_entry(&mut written, entry.txn);
    }
    assert_eq!(&written[..], &data[..reader.position()]);
}

/// A token of DIGEST-MD5, read by both ends, and a user and a password that log in whatever they are made of.
pub fn sasl(data: &[u8]) {
    let mut server = Server::new(CLIENTS);
    let challenge = server.step(data, |_| None);
    if challenge.is_ok() {
        let judged = server.step(data, |_| Some("secret"));
        assert!(judged.is_err(), "{data:?} is no answer to this challenge");
    }
    let mut client = Client::new(QUORUM, "learner", "secret");
    // What it answers is not looked at: nobody has made the challenge.
    let _ = client.respond(data);
    assert!(client.verify(data).is_err(), "{data:?} is no proof");

    let text = String::from_utf8_lossy(&data[..data.len().min(NAME_BYTES_MAX)]);
    let half = text.char_indices().nth(text.chars().count() / 2);
    let (user, password) = text.split_at(half.map_or(0, |(at, _)| at));
    let mut server = Server::new(QUORUM);
    let mut client = Client::new(QUORUM, user, password);
    let Ok(Step::Challenge(challenge)) = server.step(b"", |_| None) else {
        panic!("no challenge");
    };
    let answer = client.respond(&challenge).expect("a good challenge");
    match server.step(&answer, |asked| (asked == user).then_some(password)) {
        Ok(Step::Authenticated { user: named, token }) => {
            assert_eq!(named, user);
            client.verify(&token).expect("the server knows the password");
        }
        other => panic!("{user:?} with {password:?}: {other:?}"),
    }
}
