//! How large a transaction becomes of a request, at worst.
//!
//! Servers refuse to read a record above `jute.maxbuffer` plus a little, but a leader does not look at
//! the size of what it proposes. A transaction that followers cannot read costs the quorum; once in a
//! leader's log, it cannot be read back at the next start.

use outpost_wire::Id;

/// Header and digest of a transaction.
pub(super) const TXN_OVERHEAD_BYTES: usize = 32 + 12;
/// In front of each operation of a multi: its type and its length.
pub(super) const SUB_TXN_OVERHEAD_BYTES: usize = 8;
/// What the leader appends to the path of a sequential znode: ten digits, and perhaps a sign.
pub(super) const SEQUENCE_BYTES: usize = 11;
/// What every server since 3.4 reads beyond `jute.maxbuffer`.
pub(super) const TXN_EXTRA_BYTES: usize = 1024;

/// Bytes of a text after a Java server has decoded and encoded it: each byte that is no UTF-8 becomes
/// a U+FFFD of three bytes, and a character outside the BMP two surrogates of three.
pub(super) fn stored_text_bytes(text: &[u8]) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    let stored_char = |c: char| if c.len_utf8() == 4 { 6 } else { c.len_utf8() };
    let stored_chunk = |chunk: std::str::Utf8Chunk<'_>| {
        chunk.valid().chars().map(stored_char).sum::<usize>() + 3 * chunk.invalid().len()
    };
    text.utf8_chunks().map(stored_chunk).sum()
}

/// Bytes of what the leader puts in the place of one ACL entry of scheme `auth`: an entry for each id
/// of the client that counts as authenticated, and an address never does.
pub(super) fn auth_entry_bytes(ids: &[Id]) -> usize {
    let entry = |id: &Id| 12 + stored_text_bytes(&id.scheme) + stored_text_bytes(&id.id);
    ids.iter().filter(|id| id.scheme != "ip").map(entry).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_text_counts_as_a_java_server_stores_it() {
        assert_eq!(stored_text_bytes(b"anyone"), 6);
        assert_eq!(stored_text_bytes("ä€".as_bytes()), 5);
        assert_eq!(stored_text_bytes("😀".as_bytes()), 6);
        assert_eq!(stored_text_bytes(b"a\xff\xfeb"), 8);
        assert_eq!(stored_text_bytes(b"\xed\xa0\x80"), 9);
    }

    #[test]
    fn p9_addresses_are_not_among_the_ids_that_auth_becomes() {
        let ids = [
            Id::new("ip", "10.0.0.1"),
            Id::new("digest", "u:h"),
            Id::new("sasl", "v"),
        ];
        assert_eq!(auth_entry_bytes(&ids), (12 + 6 + 3) + (12 + 4 + 1));
    }
}
