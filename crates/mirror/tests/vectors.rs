//! The tree against what real servers wrote: their logs from the first transaction on, the digests in
//! them, and their snapshots. The files are described in the README of `tests/vectors`.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use outpost_mirror::{DigestCheck, Tree, TreeBuilder, TreeOptions, Watches};
use outpost_wire::files::log::LogReader;
use outpost_wire::files::snapshot::{SnapshotDecoder, SnapshotEncoder, SnapshotItem};
use outpost_wire::files::snapshot_file::SnapshotFileDecoder;
use outpost_wire::txn::TxnEntry;
use outpost_wire::{Reader, Zxid};
use support::*;

const RELEASES: [&str; 8] = [
    "3.3.6", "3.4.5", "3.4.14", "3.5.10", "3.6.4", "3.7.2", "3.8.6", "3.9.5",
];
const LIMIT: usize = 1 << 20;
/// The servers of the vectors knew TTL znodes.
const OPTIONS: TreeOptions = TreeOptions {
    extended_types: true,
    compare_digests: true,
};

fn vector(release: &str, name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    fs::read(path.join(release).join(name)).unwrap()
}

/// Every transaction of a release's log.
fn log(release: &str, mut each: impl FnMut(&TxnEntry<'_>)) {
    let file = vector(release, "log_file.bin");
    for entry in LogReader::new(&file, LIMIT).unwrap() {
        each(&TxnEntry::decode(entry.unwrap().txn).unwrap());
    }
}

fn has_digests(release: &str) -> bool {
    !["3.3.6", "3.4.5", "3.4.14", "3.5.10"].contains(&release)
}

fn load(builder: &mut TreeBuilder, item: SnapshotItem) -> bool {
    match item {
        SnapshotItem::Session { id, timeout_ms } => builder.session(id, timeout_ms),
        SnapshotItem::Acl { id, acl } => builder.acl(id, acl),
        SnapshotItem::Node {
            path,
            data,
            acl_id,
            stat,
        } => {
            builder
                .node(path.as_ref().into(), data.as_deref(), acl_id, stat)
                .unwrap();
        }
        SnapshotItem::End => return true,
    }
    false
}

fn read_stream(zxid: Zxid, stream: &[u8]) -> Tree {
    let mut builder = TreeBuilder::with_options(zxid, OPTIONS);
    let mut stream = BytesMut::from(stream);
    let mut decoder = SnapshotDecoder::new(LIMIT);
    while !load(&mut builder, decoder.next(&mut stream).unwrap().unwrap()) {}
    assert!(stream.is_empty());
    builder.finish()
}

/// The tree behind SNAP.
fn snapshot_stream(release: &str) -> Tree {
    let packet = vector(release, "packet.snap.bin");
    let mut reader = Reader::new(&packet);
    reader.int("QuorumPacket.type").unwrap();
    let zxid = Zxid(reader.long("QuorumPacket.zxid").unwrap());
    read_stream(zxid, &vector(release, "snapshot_stream.bin"))
}

#[test]
fn every_digest_that_a_leader_sent_is_reached() {
    for release in RELEASES {
        let mut tree = Tree::with_options(OPTIONS);
        let (mut matching, mut unsent) = (0, 0);
        log(release, |entry| {
            let applied = tree.apply(entry, &Watches::new(), &mut |_, _| {});
            assert_eq!(applied.diverged, None, "{release} {entry:?}");
            match applied.digest {
                DigestCheck::Matches => matching += 1,
                DigestCheck::NotSent => unsent += 1,
                DigestCheck::Differs { .. } => panic!("{release} {entry:?} {applied:?}"),
            }
        });
        assert!(
            matching + unsent > 40,
            "{release} has {} transactions",
            matching + unsent
        );
        assert_eq!(
            matching > 40,
            has_digests(release),
            "{release}: {matching} of {unsent} more"
        );
    }
}

#[test]
fn a_snapshot_stream_and_the_log_behind_it_make_the_tree_that_the_whole_log_makes() {
    for release in RELEASES {
        let mut streamed = snapshot_stream(release);
        let mut logged = Tree::with_options(OPTIONS);
        let mut early = true;
        log(release, |entry| {
            early &= entry.header.zxid <= streamed.last_zxid();
            logged.replay(entry);
            streamed.replay(entry);
        });
        assert!(
            !early && logged.last_zxid() == streamed.last_zxid(),
            "{release}"
        );
        // Servers write the configuration outside any transaction, and those before 3.5 have none.
        let znodes = |tree: &Tree| {
            let text = show_tree(tree);
            let lines = text
                .lines()
                .filter(|line| !line.starts_with("/zookeeper/config"));
            lines.map(String::from).collect::<Vec<_>>()
        };
        assert_eq!(znodes(&streamed), znodes(&logged), "{release}");
        if has_digests(release) {
            assert_eq!(streamed.digest(), logged.digest(), "{release}");
        }
    }
}

#[test]
fn a_snapshot_files_digest_is_that_of_the_tree_it_holds() {
    for release in RELEASES {
        let file = Bytes::from(vector(release, "snapshot_file.bin"));
        let mut decoder = SnapshotFileDecoder::new(file, LIMIT).unwrap();
        let mut builder = TreeBuilder::with_options(Zxid::ZERO, OPTIONS);
        while !load(&mut builder, decoder.next().unwrap()) {}
        let tree = builder.finish();
        let digest = decoder.trailer().unwrap().digest;
        assert_eq!(digest.is_some(), has_digests(release), "{release}");
        if let Some(digest) = digest {
            assert_eq!(tree.digest(), digest.tree_digest as u64, "{release}");
        }
        assert!(tree.node_count() > 10, "{release}");
    }
}

#[test]
fn a_tree_written_as_a_stream_is_read_as_the_same_tree() {
    for release in RELEASES {
        let tree = snapshot_stream(release);
        let mut stream = Vec::new();
        let mut encoder = SnapshotEncoder::new(&mut stream);
        encoder.sessions(
            tree.sessions()
                .iter()
                .map(|(&id, &timeout_ms)| (id, timeout_ms)),
        );
        encoder.acls(tree.acls());
        tree.for_each_node(|path, data, acl_id, stat| {
            encoder.node(path, data, acl_id, stat);
            Ok::<(), std::fmt::Error>(())
        })
        .unwrap();
        encoder.end();
        assert_eq!(
            describe(&read_stream(tree.last_zxid(), &stream)),
            describe(&tree),
            "{release}"
        );
    }
}
