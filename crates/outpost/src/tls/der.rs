//! DER, as little of it as is needed to put a key into another envelope.

pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const EXPLICIT_0: u8 = 0xa0;
pub(super) const EXPLICIT_1: u8 = 0xa1;

/// Tag, length and content.
pub(super) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut encoded = vec![tag];
    match length {
        [] => encoded.push(0),
        [short] if *short < 0x80 => encoded.push(*short),
        // As many as eight at most.
        long => {
            encoded.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            encoded.extend(long);
        }
    }
    encoded.extend(content);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::asn1_rs::{Any, FromDer, OctetString};

    #[test]
    fn lengths_of_every_size_are_read_back() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let content = vec![7; length];
            let encoded = der(OCTET_STRING, &[&content]);
            let (rest, read) = OctetString::from_der(&encoded).unwrap();
            assert_eq!((rest, read.as_ref()), (&[][..], &content[..]), "{length}");
        }
    }

    #[test]
    fn parts_stand_one_behind_the_other_under_their_tag() {
        let encoded = der(SEQUENCE, &[&der(OCTET_STRING, &[b"a", b"b"]), &[5, 0]]);
        let (rest, read) = Any::from_der(&encoded).unwrap();
        assert!(rest.is_empty());
        assert_eq!(read.data, b"\x04\x02ab\x05\x00");
    }
}
