//! The golden vectors, as inputs of each target.

use std::fs;
use std::path::Path;

use bytes::BytesMut;
use outpost_wire::files::LogReader;
use outpost_wire::quorum::{PacketType, QuorumPacket};

use crate::bodies;

/// A target: its name, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] = [
    ("client", bodies::client),
    ("quorum_packet", bodies::quorum_packet),
    ("txn", bodies::txn),
    ("snapshot", bodies::snapshot),
    ("log_file", bodies::log_file),
    ("sasl", bodies::sasl),
];

/// Tokens of DIGEST-MD5 as servers and clients send them, and some that nobody should.
const SASL_TOKENS: [&str; 9] = [
    "",
    r#"realm="zk-sasl-md5",nonce="OA6MG9tEQGm2hh",charset=utf-8,algorithm=md5-sess"#,
    r#"realm="a",realm="b",nonce="n",qop="auth-int, auth",maxbuf=65536,algorithm=md5-sess"#,
    r#"charset=utf-8,username="bob",realm="zk-sasl-md5",nonce="OA6MG9tEQGm2hh",nc=00000001,cnonce="OA6MHXh6Vq",digest-uri="zookeeper/zk-sasl-md5",maxbuf=65536,response=d388dad90d4bbd760a152321f2143af7,qop=auth"#,
    r#"username="a\"b\\c",realm="zk-quorum-sasl-md5",nonce-count=1,authzid="bob""#,
    "rspauth=ea40f60335c427b5527b84dbabcdfffd",
    "key = value , other=\"quoted\" ,, last",
    "=,=\"\"",
    "username=\"open",
];

/// What `target` starts from.
///
/// # Panics
/// When the golden vectors cannot be read.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    if target == "sasl" {
        return SASL_TOKENS.map(|token| token.as_bytes().to_vec()).to_vec();
    }
    let mut seeds = Vec::new();
    for (name, bytes) in vectors() {
        let kind = name.split('.').next().unwrap_or_default();
        match (target, kind) {
            (
                "client",
                "connect_request" | "connect_response" | "request" | "reply" | "notification",
            )
            | ("quorum_packet", "packet")
            | ("log_file", "log_file") => seeds.push(bytes),
            ("snapshot", "snapshot_stream" | "snapshot_file") => {
                // The first byte is the size of the pieces in which it arrives.
                seeds.push([&[100], &bytes[..]].concat());
            }
            ("txn", "packet") => seeds.extend(txn_of_packet(&bytes)),
            ("txn", "log_file") => seeds.extend(txns_of_log(&bytes)),
            _ => {}
        }
    }
    seeds
}

fn vectors() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors");
    let mut vectors = Vec::new();
    for release in fs::read_dir(&dir)
        .expect("the golden vectors are there")
        .flatten()
    {
        let Ok(files) = fs::read_dir(release.path()) else {
            continue;
        };
        for path in files.flatten().map(|file| file.path()) {
            if path.extension().is_some_and(|extension| extension == "bin") {
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                vectors.push((name, fs::read(&path).expect("a golden vector can be read")));
            }
        }
    }
    vectors.sort();
    vectors
}

fn txn_of_packet(bytes: &[u8]) -> Option<Vec<u8>> {
    let packet = QuorumPacket::take(&mut BytesMut::from(bytes), bytes.len()).ok()??;
    match packet.packet_type()? {
        PacketType::Inform | PacketType::Proposal => Some(packet.data?.to_vec()),
        _ => None,
    }
}

fn txns_of_log(bytes: &[u8]) -> Vec<Vec<u8>> {
    let reader = LogReader::new(bytes, bytes.len()).into_iter().flatten();
    reader.flatten().map(|entry| entry.txn.to_vec()).collect()
}
