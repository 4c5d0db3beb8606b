//! The arithmetic of RFC 2831, section 2.1.2.1: what proves that somebody knows a password.

use md5::{Digest, Md5};

/// A digest as it travels: 32 hexadecimal digits in lower case.
pub(super) type Hex = [u8; 32];

/// Everything that both ends of one exchange know, and a password that only they know.
#[derive(Clone, Copy)]
pub(super) struct Secrets<'a> {
    pub(super) user: &'a str,
    pub(super) realm: &'a str,
    pub(super) password: &'a str,
    pub(super) nonce: &'a [u8],
    pub(super) cnonce: &'a [u8],
    pub(super) digest_uri: &'a [u8],
    /// As whom the user wants to act, if the client says so.
    pub(super) authzid: Option<&'a [u8]>,
    /// Whether the server has offered UTF-8.
    pub(super) utf8: bool,
}

impl Secrets<'_> {
    /// What the client proves its knowledge with.
    pub(super) fn response(&self) -> Hex {
        self.value(b"AUTHENTICATE:")
    }

    /// What the server proves its own with.
    pub(super) fn rspauth(&self) -> Hex {
        self.value(b":")
    }

    fn value(&self, method: &[u8]) -> Hex {
        let a2 = hash(&[method, self.digest_uri]);
        hex(hash(&[
            &hex(self.a1()),
            b":",
            self.nonce,
            // The nonce count: there is no subsequent authentication.
            b":00000001:",
            self.cnonce,
            b":auth:",
            &hex(a2),
        ]))
    }

    fn a1(&self) -> [u8; 16] {
        let who = hash(&[
            &self.text(self.user),
            b":",
            &self.text(self.realm),
            b":",
            &self.text(self.password),
        ]);
        let mut parts: Vec<&[u8]> = vec![&who, b":", self.nonce, b":", self.cnonce];
        if let Some(authzid) = self.authzid {
            parts.extend([b":", authzid]);
        }
        hash(&parts)
    }

    /// Latin-1 where that is possible, as the RFC demands; otherwise UTF-8 if that was offered.
    fn text(&self, text: &str) -> Vec<u8> {
        let latin1 = |c: char| u8::try_from(u32::from(c)).ok();
        match text.chars().map(latin1).collect() {
            Some(bytes) => bytes,
            None if self.utf8 => text.as_bytes().to_vec(),
            None => text.chars().map(|c| latin1(c).unwrap_or(b'?')).collect(),
        }
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    md5.finalize().into()
}

fn hex(digest: [u8; 16]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}
