//! The digest of a znode, to hold the tree against the leader's (`DigestCalculator`, version 2).
//!
//! A tree's digest is the sum of its znodes' digests modulo 2^64, without those below `/zookeeper`,
//! which differ between servers.

use bstr::BStr;

use crate::znode::Znode;

const STAT_BYTES: usize = 60;

/// CRC-32 of the path (empty for the root), the data if not null, and the persisted metadata in an order
/// of its own: pzxid comes third.
pub(crate) fn of_znode(path: &BStr, node: &Znode) -> u32 {
    let mut stat = [0; STAT_BYTES];
    let longs = [
        node.czxid.0,
        node.mzxid.0,
        node.pzxid.0,
        node.ctime,
        node.mtime,
    ];
    let ints = [node.version, node.cversion, node.aversion];
    let (start, end) = stat.split_at_mut(8 * longs.len());
    for (field, long) in start.chunks_exact_mut(8).zip(longs) {
        field.copy_from_slice(&long.to_be_bytes());
    }
    for (field, int) in end.chunks_exact_mut(4).zip(ints) {
        field.copy_from_slice(&int.to_be_bytes());
    }
    stat[STAT_BYTES - 8..].copy_from_slice(&node.ephemeral_owner.to_be_bytes());

    let mut crc = crc32fast::Hasher::new();
    crc.update(path);
    crc.update(node.data().unwrap_or_default());
    crc.update(&stat);
    crc.finalize()
}

/// Whether the znode at `path` is part of the tree's digest. `/zookeeper` itself is.
pub(crate) fn covers(path: &BStr) -> bool {
    !path.starts_with(b"/zookeeper/")
}

#[cfg(test)]
mod tests {
    use outpost_wire::{StatPersisted, Zxid};

    use super::*;

    fn digest(path: &str, data: Option<&[u8]>, stat: StatPersisted) -> u32 {
        of_znode(
            BStr::new(path),
            &Znode::new(None, BStr::new("n"), data, 0, &stat),
        )
    }

    #[test]
    fn digests_equal_those_of_a_java_server() {
        let zero = StatPersisted::default();
        assert_eq!(digest("", Some(b""), zero), 0x0412_8908);
        assert_eq!(digest("/zookeeper", Some(b""), zero), 0x4db4_4d58);
        let (zxid, time) = (Zxid(0x1_0000_0002), 1_700_000_000_000);
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ..zero
        };
        assert_eq!(digest("/a", Some(b"hi"), stat), 0xd0e4_bf0f);
    }

    #[test]
    fn null_and_empty_data_have_one_digest() {
        let zero = StatPersisted::default();
        assert_eq!(digest("/a", None, zero), digest("/a", Some(b""), zero));
    }

    #[test]
    fn only_what_is_below_zookeeper_is_left_out() {
        for (path, covered) in [
            ("", true),
            ("/zookeeper", true),
            ("/zookeeperx", true),
            ("/zookeeper/quota", false),
        ] {
            assert_eq!(covers(BStr::new(path)), covered, "{path}");
        }
    }
}
