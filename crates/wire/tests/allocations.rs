//! What anybody may send costs memory in proportion to its length, whatever lengths and counts it
//! claims, and never a panic.
//!
//! The only test of its program: what is counted is all that the program allocates.

use bytes::{Bytes, BytesMut};
use outpost_wire::files::{LogReader, SnapshotDecoder, SnapshotFileDecoder, SnapshotItem};
use outpost_wire::proto::{ConnectRequest, ConnectResponse, ReplyBody, RequestBody};
use outpost_wire::quorum::QuorumPacket;
use outpost_wire::txn::TxnEntry;
use outpost_wire::{OpCode, Reader, Record};
use peak_alloc::PeakAlloc;
use proptest::collection::vec;
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The most that one byte of input may cost. The result of a delete inside a multi has nine bytes and
/// takes a hundred in memory; and a vector that grows is there three times for a moment.
const BYTES_PER_BYTE: usize = 40;
/// What may be allocated before anything was read: the first elements of vectors inside vectors.
const BYTES_AT_FIRST: usize = 32 << 10;

type Decoder = (&'static str, fn(&[u8]));

const DECODERS: [Decoder; 6] = [
    ("connect", connect),
    ("request and reply", bodies),
    ("packet", packet),
    ("transaction", transaction),
    ("snapshot", snapshot),
    ("files", files),
];

fn ops() -> impl Iterator<Item = OpCode> {
    (-20..120).filter_map(OpCode::from_code)
}

fn connect(input: &[u8]) {
    let _ = ConnectRequest::read(&mut Reader::new(input));
    let _ = ConnectResponse::read(&mut Reader::new(input));
}

fn bodies(input: &[u8]) {
    for op in ops() {
        let _ = RequestBody::read(op, &mut Reader::new(input));
        let _ = ReplyBody::read(op, &mut Reader::new(input));
    }
}

fn packet(input: &[u8]) {
    let mut buffer = BytesMut::from(input);
    while let Ok(Some(packet)) = QuorumPacket::take(&mut buffer, input.len()) {
        let _ = packet.packet_type();
    }
}

fn transaction(input: &[u8]) {
    let _ = TxnEntry::decode(input);
    for op in ops() {
        let header = [&[0; 28], &op.code().to_be_bytes()[..]].concat();
        let _ = TxnEntry::decode(&[&header, input].concat());
    }
}

fn snapshot(input: &[u8]) {
    let mut decoder = SnapshotDecoder::new(input.len());
    let mut buffer = BytesMut::from(input);
    while let Ok(Some(_)) = decoder.next(&mut buffer) {}
}

fn files(input: &[u8]) {
    let file = [b"ZKSN\0\0\0\x02\0\0\0\0\0\0\0\0", input].concat();
    if let Ok(mut decoder) = SnapshotFileDecoder::new(Bytes::from(file), input.len()) {
        while decoder.next().is_ok_and(|item| item != SnapshotItem::End) {}
        let _ = decoder.trailer();
    }
    let file = [b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0", input].concat();
    if let Ok(reader) = LogReader::new(&file, input.len()) {
        reader.for_each(drop);
    }
}

/// Bytes among which lengths and counts are more likely than by chance, true and false ones.
fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        (-1..40_i32).prop_map(|length| length.to_be_bytes().to_vec()),
        prop_oneof![Just(i32::MAX), Just(i32::MIN), Just(1 << 20), Just(100_000)]
            .prop_map(|length| length.to_be_bytes().to_vec()),
        (-20..120_i32).prop_map(|op| op.to_be_bytes().to_vec()),
        vec(any::<u8>(), 0..9),
        Just(vec![0; 12]),
    ];
    // Zeros make many small elements.
    (vec(word, 0..200), 0..20_000_usize).prop_map(|(words, zeros)| {
        let mut input = words.concat();
        input.resize(input.len() + zeros, 0);
        input
    })
}

proptest! {
    #[test]
    fn no_input_makes_a_decoder_panic_or_allocate_much_more_than_its_own_length(input in inputs()) {
        for (name, decode) in DECODERS {
            let before = ALLOCATOR.current_usage();
            ALLOCATOR.reset_peak_usage();
            decode(&input);
            let cost = ALLOCATOR.peak_usage().saturating_sub(before);
            let allowed = BYTES_PER_BYTE * input.len() + BYTES_AT_FIRST;
            prop_assert!(cost <= allowed, "{name} takes {cost} bytes for {}", input.len());
        }
    }
}
