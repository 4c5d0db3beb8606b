//! A subject as Java writes it: `X500Principal.getName()`, which is RFC 2253 with habits of its own.
//!
//! ACLs hold these texts, so they must agree to the letter with what Java servers of the ensemble make of the same
//! certificate. The expected texts of the tests were made by a Java virtual machine.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Oid, Tag, ToDer};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// What must not stand for itself in a value.
const ESCAPED: &str = ",=+<>#;\"\\";

/// The keywords of RFC 2253; every other type is written as numbers with dots.
const KEYWORDS: [(&[u64], &str); 9] = [
    (&[2, 5, 4, 3], "CN"),
    (&[2, 5, 4, 6], "C"),
    (&[2, 5, 4, 7], "L"),
    (&[2, 5, 4, 8], "ST"),
    (&[2, 5, 4, 10], "O"),
    (&[2, 5, 4, 11], "OU"),
    (&[2, 5, 4, 9], "STREET"),
    (&[0, 9, 2342, 19_200_300, 100, 1, 25], "DC"),
    (&[0, 9, 2342, 19_200_300, 100, 1, 1], "UID"),
];

/// The kinds of string whose bytes are shown as text. Java takes them for UTF-8, whichever they are.
const TEXT: [Tag; 6] = [
    Tag::PrintableString,
    Tag::T61String,
    Tag::Ia5String,
    Tag::GeneralString,
    Tag::BmpString,
    Tag::Utf8String,
];

/// The name, last part first.
pub(super) fn java_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| {
            let attributes: Vec<String> = rdn.iter().map(attribute).collect();
            attributes.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let (oid, value) = (attribute.attr_type(), attribute.attr_value());
    match keyword(oid) {
        Some(keyword) if TEXT.contains(&value.tag()) => {
            let text = String::from_utf8_lossy(value.data);
            format!("{keyword}={}", escape(&text))
        }
        Some(keyword) => format!("{keyword}=#{}", hex(value)),
        None => format!("{oid}=#{}", hex(value)),
    }
}

fn keyword(oid: &Oid<'_>) -> Option<&'static str> {
    let numbers: Vec<u64> = oid.iter()?.collect();
    let mut known = KEYWORDS.iter();
    let (_, keyword) = known.find(|(known, _)| *known == numbers)?;
    Some(keyword)
}

/// The whole value in hexadecimal digits, its tag and length included.
fn hex(value: &Any<'_>) -> String {
    let mut text = String::new();
    for byte in value.to_der_vec_raw().unwrap_or_default() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Blanks and carriage returns count at both ends, and all others not.
fn escape(text: &str) -> String {
    let is_blank = |c: char| matches!(c, ' ' | '\r');
    let inner = text.trim_matches(is_blank);
    let lead = text.len() - text.trim_start_matches(is_blank).len();
    let inner_ends = lead + inner.len();
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let outside = at < lead || at >= inner_ends;
        match c {
            '\0' => escaped.push_str("\\00"),
            c if outside || ESCAPED.contains(c) => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::FromDer;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.map(byte).collect()
    }

    /// DER of a name, and what `X500Principal.getName()` of OpenJDK 17 makes of it, both in hexadecimal digits.
    const NAMES: &str = include_str!("names.txt");

    #[test]
    fn a_subject_reads_as_java_writes_it() {
        let mut names = 0;
        for line in NAMES.lines() {
            let (der, expected) = line.split_once(' ').unwrap();
            let der = bytes(der);
            let (rest, name) = X509Name::from_der(&der).unwrap();
            assert!(rest.is_empty());
            let expected = String::from_utf8(bytes(expected)).unwrap();
            assert_eq!(java_name(&name), expected, "{line}");
            names += 1;
        }
        assert_eq!(names, 32);
    }
}
