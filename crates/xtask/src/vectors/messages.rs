//! Cuts what was recorded into messages and names them.
//!
//! A name is the kind of message, what it is about, and what is special about it: `reply.get_data`,
//! `reply.get_data.no_node`, `packet.inform.multi.failed`. The test that checks the vectors reads
//! from the first word how to decode them.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use bytes::BytesMut;
use outpost_tests::Ensemble;
use outpost_wire::files::log as log_file;
use outpost_wire::files::{LogReader, SnapshotDecoder, SnapshotItem};
use outpost_wire::proto::{
    ConnectRequest, ConnectResponse, MultiResponse, MultiResult, ReplyHeader,
};
use outpost_wire::proto::{RequestHeader, WatcherEvent};
use outpost_wire::quorum::{ForwardedRequest, PacketType, QuorumPacket};
use outpost_wire::txn::{CreateKind, Txn, TxnEntry};
use outpost_wire::{OpCode, Reader, Record, Xid, frame};

use super::recorder::Conversation;
use super::shelf::Shelf;

const BYTES_MAX: usize = 4 << 20;
/// Longer messages say nothing that shorter ones do not.
const VECTOR_BYTES_MAX: usize = 4096;
/// How many transactions of a log file are kept, and how many of the zeros behind them.
const LOG_ENTRIES: usize = 60;
const LOG_ZEROS: usize = 64;

/// `GetData` to `get_data`.
fn snake(name: impl Debug) -> String {
    let mut snake = String::new();
    for letter in format!("{name:?}").chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn op_name(code: i32) -> String {
    OpCode::from_code(code).map_or_else(|| format!("op{code}"), snake)
}

/// Frames in one direction of a client's connection.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = frame::split(bytes, BYTES_MAX) {
        bytes = &bytes[4 + frame.len()..];
        frames.push(frame);
    }
    frames
}

/// Whose messages are put down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Client {
    /// The scripted one, with the server's answers.
    Scripted,
    /// kazoo, without most answers: they would be the same.
    Kazoo,
}

impl Client {
    fn name(self) -> &'static str {
        match self {
            Client::Scripted => "the scripted client",
            Client::Kazoo => "kazoo",
        }
    }

    /// Ends the names of vectors.
    fn suffix(self) -> &'static str {
        match self {
            Client::Scripted => "",
            Client::Kazoo => ".kazoo",
        }
    }
}

/// Puts down a client's connections.
pub(crate) fn put_client_messages(
    conversations: &[Conversation],
    client: Client,
    shelf: &mut Shelf,
) {
    for conversation in conversations {
        let requests = frames(&conversation.asked);
        let replies = frames(&conversation.answered);
        let (Some((connect, requests)), Some((connected, replies))) =
            (requests.split_first(), replies.split_first())
        else {
            continue;
        };
        let ops = put_requests(requests, client, shelf);
        put_connect(connect, connected, client, shelf);
        if matches!(client, Client::Scripted) {
            put_replies(replies, &ops, shelf);
        }
    }
}

fn put_connect(request: &[u8], response: &[u8], client: Client, shelf: &mut Shelf) {
    let (who, suffix) = (client.name(), client.suffix());
    let server = shelf.version().number();
    let decoded = ConnectRequest::decode("ConnectRequest", request).expect("a connect request");
    let answer = ConnectResponse::decode("ConnectResponse", response).expect("a connect response");
    let mut kind = match decoded.session_id.0 {
        0 => "".to_owned(),
        _ => ".reopen".to_owned(),
    };
    if answer.time_out == 0 {
        kind.push_str(".refused");
    }
    if decoded.read_only.is_none() {
        kind.push_str(".old");
    }
    let name = format!("connect_request{kind}{suffix}");
    shelf.put(
        &name,
        &format!("First frame of {who} to an observer of {server}."),
        request,
    );
    let name = format!("connect_response{kind}{suffix}");
    shelf.put(
        &name,
        &format!("Answer of an observer of {server} to {who}."),
        response,
    );
}

/// What was asked under each xid, in order.
type Ops = HashMap<i32, Vec<i32>>;

fn put_requests(requests: &[&[u8]], client: Client, shelf: &mut Shelf) -> Ops {
    let (who, suffix) = (client.name(), client.suffix());
    let server = shelf.version().number();
    let mut ops = Ops::new();
    for request in requests {
        let header = RequestHeader::read(&mut Reader::new(request)).expect("a request header");
        ops.entry(header.xid.0).or_default().push(header.op);
        if request.len() <= VECTOR_BYTES_MAX {
            let op = op_name(header.op);
            let meaning = format!("{op}, sent by {who} to an observer of {server}.");
            shelf.put(&format!("request.{op}{suffix}"), &meaning, request);
        }
    }
    ops
}

fn put_replies(replies: &[&[u8]], ops: &Ops, shelf: &mut Shelf) {
    let server = shelf.version().number();
    let mut answered: HashMap<i32, usize> = HashMap::new();
    for reply in replies
        .iter()
        .filter(|reply| reply.len() <= VECTOR_BYTES_MAX)
    {
        let mut reader = Reader::new(reply);
        let header = ReplyHeader::read(&mut reader).expect("a reply header");
        if header.xid == Xid::NOTIFICATION {
            let event = WatcherEvent::read(&mut reader).expect("a watcher event");
            let kind = match event.kind {
                1 => "created",
                2 => "deleted",
                3 => "data_changed",
                4 => "children_changed",
                other => panic!("an event of type {other}"),
            };
            let meaning = format!("Watch event, sent by an observer of {server}.");
            shelf.put(&format!("notification.{kind}"), &meaning, reply);
            continue;
        }
        let nth = answered.entry(header.xid.0).or_default();
        let asked = ops.get(&header.xid.0).expect("a reply answers a request");
        let op = op_name(asked[(*nth).min(asked.len() - 1)]);
        *nth += 1;
        let variant = reply_variant(&op, &header, reader);
        let meaning = format!("Reply to {op}, sent by an observer of {server}.");
        shelf.put(&format!("reply.{op}{variant}"), &meaning, reply);
    }
}

fn reply_variant(op: &str, header: &ReplyHeader, mut body: Reader<'_>) -> String {
    if !header.err.is_ok() {
        let name = header.err.name().map(str::to_ascii_lowercase);
        return format!(
            ".{}",
            name.unwrap_or_else(|| format!("error{}", header.err.0))
        );
    }
    let failed = |result: &MultiResult<'_>| matches!(result, MultiResult::Error(_));
    match op {
        "multi" | "multi_read" => match MultiResponse::read(&mut body) {
            Ok(response) if response.results.iter().any(failed) => ".failed".to_owned(),
            _ => String::new(),
        },
        "get_data" => match body.buffer("data") {
            Ok(None) => ".null".to_owned(),
            Ok(Some(b"")) => ".empty".to_owned(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// Puts down what crossed between a learner and its master.
pub(crate) fn put_learner_packets(conversations: &[Conversation], shelf: &mut Shelf) {
    for conversation in conversations {
        let server = shelf.version().number();
        each_packet(&conversation.asked, shelf, |packet, bytes, shelf| {
            let meaning = format!("Sent by an observer of {server} to its master.");
            shelf.put(
                &format!("packet.{}", learner_packet_name(packet)),
                &meaning,
                bytes,
            );
        });
        each_packet(&conversation.answered, shelf, |packet, bytes, shelf| {
            let meaning = format!("Sent by a leader of {server} to an observer.");
            shelf.put(
                &format!("packet.{}", master_packet_name(packet)),
                &meaning,
                bytes,
            );
        });
    }
}

fn each_packet(
    recorded: &[u8],
    shelf: &mut Shelf,
    mut put: impl FnMut(&QuorumPacket, &[u8], &mut Shelf),
) {
    let mut buffer = BytesMut::from(recorded);
    let mut at = 0;
    while let Some(packet) = QuorumPacket::take(&mut buffer, BYTES_MAX).expect("a packet") {
        let end = recorded.len() - buffer.len();
        if end - at <= VECTOR_BYTES_MAX {
            put(&packet, &recorded[at..end], shelf);
        }
        at = end;
        if packet.packet_type() == Some(PacketType::Snap) {
            let Some(end) = skip_snapshot(&mut buffer, recorded.len()) else {
                return;
            };
            let server = shelf.version().number();
            let meaning = format!("The stream behind SNAP, sent by a leader of {server}.");
            shelf.put("snapshot_stream", &meaning, &recorded[at..end]);
            at = end;
        }
    }
}

/// Where in the recorded bytes the snapshot ends that `buffer` starts with.
fn skip_snapshot(buffer: &mut BytesMut, recorded: usize) -> Option<usize> {
    let mut decoder = SnapshotDecoder::new(BYTES_MAX);
    loop {
        match decoder.next(buffer).expect("a snapshot") {
            Some(SnapshotItem::End) => return Some(recorded - buffer.len()),
            Some(_) => {}
            None => return None,
        }
    }
}

fn learner_packet_name(packet: &QuorumPacket) -> String {
    let data = packet.data.as_deref().unwrap_or_default();
    match packet.packet_type() {
        Some(PacketType::Request) => {
            let request = ForwardedRequest::read(data).expect("a forwarded request");
            format!("request.{}", op_name(request.op))
        }
        Some(PacketType::Ping) if data.is_empty() => "ping.answer".to_owned(),
        Some(PacketType::Ping) => "ping.answer.touched".to_owned(),
        Some(kind) => snake(kind),
        None => panic!("a packet of type {}", packet.kind),
    }
}

fn master_packet_name(packet: &QuorumPacket) -> String {
    let data = packet.data.as_deref().unwrap_or_default();
    match packet.packet_type() {
        Some(PacketType::Inform) => format!("inform.{}", txn_name(data)),
        Some(PacketType::Proposal) => format!("proposal.{}", txn_name(data)),
        Some(PacketType::Revalidate) => match data.last() {
            Some(0) => "revalidate.answer.no".to_owned(),
            _ => "revalidate.answer.yes".to_owned(),
        },
        Some(kind) => snake(kind),
        None => panic!("a packet of type {}", packet.kind),
    }
}

fn txn_name(bytes: &[u8]) -> String {
    let entry = TxnEntry::decode(bytes).expect("a transaction");
    let variant = match &entry.txn {
        Txn::Create(create) if create.kind == CreateKind::Ephemeral => ".ephemeral",
        Txn::Create(create) if create.data.is_none() => ".null",
        Txn::Multi(txns) if txns.iter().any(|sub| matches!(sub.txn, Txn::Error { .. })) => {
            ".failed"
        }
        Txn::CloseSession { paths: Some(paths) } if !paths.is_empty() => ".with_ephemerals",
        _ => "",
    };
    format!("{}{variant}", op_name(entry.header.kind))
}

/// Puts down a snapshot file and a log file.
///
/// All releases write a snapshot when they got one from the leader, so a follower is made to forget
/// what it has.
pub(crate) fn put_files(ensemble: &Ensemble, shelf: &mut Shelf) {
    let server = shelf.version().number();
    let leader = ensemble.wait_for_leader();
    let mut followers = ensemble
        .servers()
        .iter()
        .filter(|server| server.id != leader);
    let follower = followers.next().expect("there are two voters").id;
    ensemble.kill(follower);
    fs::remove_dir_all(data_dir(ensemble, follower)).expect("a follower's data can be removed");
    ensemble.start_server(follower);
    ensemble.wait_until_all_serve();
    let snapshot = files(ensemble, "snapshot.")
        .pop()
        .expect("a follower has written one");
    let meaning = format!("Snapshot file, written by a voter of {server}.");
    shelf.put(
        "snapshot_file",
        &meaning,
        &fs::read(snapshot).expect("a snapshot file"),
    );
    let log = fs::read(files(ensemble, "log.").swap_remove(0)).expect("a log file");
    let meaning = format!(
        "The first transactions of a log file, written by a voter of {server}; \
         of the zeros behind them {LOG_ZEROS} are kept."
    );
    shelf.put("log_file", &meaning, &beginning_of_log(&log));
}

/// The first entries, none of them long, and some padding.
fn beginning_of_log(log: &[u8]) -> Vec<u8> {
    let mut end = log_file::HEADER_BYTES;
    for entry in LogReader::new(log, BYTES_MAX)
        .expect("a log file")
        .take(LOG_ENTRIES)
    {
        let entry = entry.expect("a log entry");
        if entry.txn.len() > VECTOR_BYTES_MAX {
            break;
        }
        end = entry.end;
    }
    let mut kept = log[..end].to_vec();
    kept.resize(end + LOG_ZEROS, 0);
    kept
}

/// All voters' files whose names start so, in the order of the zxids in their names.
fn files(ensemble: &Ensemble, prefix: &str) -> Vec<PathBuf> {
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for server in ensemble.servers() {
        let dir = data_dir(ensemble, server.id);
        let entries =
            fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        files.extend(entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let zxid = u64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()?;
            Some((zxid, entry.path()))
        }));
    }
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

fn data_dir(ensemble: &Ensemble, id: u64) -> PathBuf {
    ensemble.dir().join(format!("server-{id}/data/version-2"))
}
