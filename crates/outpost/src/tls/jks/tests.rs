//! Stores as the JDK writes them, and stores that nobody would write.

use super::super::certified::{Authority, made_out_for};
use super::super::der::{OCTET_STRING, SEQUENCE, der};
use super::*;

const PASSWORD: &str = "öpen";
/// Java's own way of protecting a key, as an object identifier with tag and length, and one that is not.
const OWN_WAY: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x2a\x02\x11\x01\x01";
const OTHER_WAY: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x2a\x02\x11\x01\x02";

/// A store in the making.
struct Store {
    version: u32,
    entries: Vec<Vec<u8>>,
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length, bytes].concat()
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length, text.as_bytes()].concat()
}

/// Tag, alias, time.
fn entry(tag: u32, parts: &[&[u8]]) -> Vec<u8> {
    let head = [&tag.to_be_bytes(), &text("alias")[..], &[0; 8]].concat();
    [head, parts.concat()].concat()
}

fn certificate_2(certificate: &[u8]) -> Vec<u8> {
    [text("X.509"), sized(certificate)].concat()
}

fn protected(key: &[u8], password: &str, way: &[u8]) -> Vec<u8> {
    let password = utf16(password);
    let salt = [9; HASH_BYTES];
    let (mut stream, mut hidden) = (salt, key.to_vec());
    for part in hidden.chunks_mut(HASH_BYTES) {
        stream = hash(&password, &stream);
        part.iter_mut()
            .zip(stream)
            .for_each(|(byte, mask)| *byte ^= mask);
    }
    let bytes = [&salt[..], &hidden, &hash(&password, key)].concat();
    let algorithm = der(SEQUENCE, &[way, &[5, 0]]);
    der(SEQUENCE, &[&algorithm, &der(OCTET_STRING, &[&bytes])])
}

impl Store {
    fn of(entries: Vec<Vec<u8>>) -> Store {
        Store {
            version: 2,
            entries,
        }
    }

    fn signed(&self, magic: u32, count: u32, password: &str) -> Vec<u8> {
        let numbers = [magic, self.version, count].map(u32::to_be_bytes);
        let body = [numbers.concat(), self.entries.concat()].concat();
        let mut hasher = Sha1::new();
        hasher.update(utf16(password));
        hasher.update(WHITENER);
        hasher.update(&body);
        [body, hasher.finalize().to_vec()].concat()
    }

    fn bytes(&self) -> Vec<u8> {
        let count = u32::try_from(self.entries.len()).unwrap();
        self.signed(MAGIC, count, PASSWORD)
    }

    fn refusal(&self) -> String {
        read(&self.bytes(), PASSWORD, true).unwrap_err()
    }
}

/// A key with a chain of two, and that chain's authority to believe.
fn full() -> (Store, PrivateKeyDer<'static>, Vec<CertificateDer<'static>>) {
    let authority = Authority::new("an authority");
    let own = authority.vouch(&made_out_for(&["zk1"]));
    let key = own.key_der();
    let chain = vec![own.certificate, authority.certificate];
    let certificates: Vec<Vec<u8>> = chain.iter().map(|one| certificate_2(one)).collect();
    let hidden = sized(&protected(key.secret_der(), PASSWORD, OWN_WAY));
    let key_entry = entry(1, &[&hidden, &2_u32.to_be_bytes(), &certificates.concat()]);
    let trusted = entry(2, &[&certificates[1]]);
    (Store::of(vec![trusted, key_entry]), key, chain)
}

#[test]
fn a_store_holds_keys_with_their_chains_and_certificates_to_believe() {
    let (store, key, chain) = full();
    let bytes = store.bytes();
    assert!(is_jks(&bytes));
    let contents = read(&bytes, PASSWORD, true).unwrap();
    assert_eq!(contents.keys[0].key, key);
    assert_eq!(contents.keys[0].chain, chain);
    assert_eq!(contents.trusted, chain[1..]);

    // Whoever only wants to know whom to believe needs to open no key.
    let without = read(&bytes, PASSWORD, false).unwrap();
    assert!(without.keys.is_empty());
    assert_eq!(without.trusted, chain[1..]);
    // As in Java, nothing is compared where no password is given.
    let unchecked = read(&bytes, "", false).unwrap();
    assert_eq!(unchecked.trusted, chain[1..]);
}

#[test]
fn certificates_of_version_1_have_no_kind() {
    let mut store = Store::of(vec![entry(2, &[&sized(b"certificate")])]);
    store.version = 1;
    let contents = read(&store.bytes(), PASSWORD, true).unwrap();
    assert_eq!(contents.trusted[0].as_ref(), b"certificate");
}

#[test]
fn a_wrong_password_is_told_apart_from_one_that_only_the_key_has() {
    let (store, key, _) = full();
    for wrong in ["open", "öpen ", "\u{1f511}"] {
        let told = read(&store.bytes(), wrong, true).unwrap_err();
        assert_eq!(told, "the password is wrong, or the file is damaged");
    }
    let hidden = sized(&protected(key.secret_der(), "another", OWN_WAY));
    let store = Store::of(vec![entry(1, &[&hidden, &[0; 4]])]);
    assert!(store.refusal().contains("keytool -keypasswd"));
    assert!(read(&store.bytes(), PASSWORD, false).is_ok());
}

#[test]
fn what_is_not_supported_is_named() {
    let (store, key, _) = full();
    let jceks = store.signed(MAGIC_JCEKS, 2, PASSWORD);
    assert!(is_jks(&jceks));
    let told = read(&jceks, PASSWORD, true).unwrap_err();
    assert!(told.contains("JCEKS") && told.contains("-deststoretype PKCS12"));
    let mut newer = full().0;
    newer.version = 3;
    assert!(newer.refusal().contains("version 3"));
    assert!(Store::of(vec![entry(3, &[])]).refusal().contains("kind 3"));
    let pgp = [text("PGP"), sized(b"key")].concat();
    assert!(
        Store::of(vec![entry(2, &[&pgp])])
            .refusal()
            .contains("not X.509")
    );
    for hidden in [
        protected(key.secret_der(), PASSWORD, OTHER_WAY),
        b"nonsense".to_vec(),
    ] {
        let store = Store::of(vec![entry(1, &[&sized(&hidden), &[0; 4]])]);
        assert!(store.refusal().contains("in a way that is not supported"));
    }
    assert!(!is_jks(b"-----BEGIN") && !is_jks(b"\xfe\xed") && !is_jks(b""));
}

#[test]
fn numbers_that_promise_more_than_the_file_has_cost_nothing() {
    let (store, ..) = full();
    let many = store.signed(MAGIC, u32::MAX, PASSWORD);
    let told = read(&many, PASSWORD, true).unwrap_err();
    assert!(told.contains("more than any store has"), "{told}");
    let few_more = store.signed(MAGIC, 3, PASSWORD);
    assert_eq!(read(&few_more, PASSWORD, true).unwrap_err(), CUT_OFF);
    let huge = u32::MAX.to_be_bytes();
    let kind = text("X.509");
    for parts in [
        &[&huge[..]][..],
        &[&sized(b"key"), &huge],
        &[&sized(b"key"), &1_u32.to_be_bytes(), &kind, &huge],
    ] {
        assert_eq!(Store::of(vec![entry(1, parts)]).refusal(), CUT_OFF);
    }
    let long_kind = Store::of(vec![entry(2, &[&[0xff, 0xff, b'X']])]);
    assert_eq!(long_kind.refusal(), CUT_OFF);
    let short = protected(b"", PASSWORD, OWN_WAY);
    let algorithm = der(SEQUENCE, &[OWN_WAY]);
    let shorter = der(SEQUENCE, &[&algorithm, &der(OCTET_STRING, &[b"salt"])]);
    for (hidden, expected) in [(short, None), (shorter, Some(CUT_OFF))] {
        let store = Store::of(vec![entry(1, &[&sized(&hidden), &[0; 4]])]);
        let told = read(&store.bytes(), PASSWORD, true).err();
        assert_eq!(told.as_deref(), expected);
    }
}

#[test]
fn a_store_that_is_cut_off_or_damaged_anywhere_is_refused_and_harms_nobody() {
    let (store, ..) = full();
    let bytes = store.bytes();
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length], PASSWORD, true).is_err(), "{length}");
        // The hash is not looked at; what is left may still be whole but for what stood at the end.
        let unchecked = read(&bytes[..length], "", false);
        assert!(unchecked.is_err(), "{length}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        assert!(read(&damaged, PASSWORD, true).is_err(), "{at}");
        // Whatever comes of it, it is an answer.
        let _ = read(&damaged, "", true);
    }
}
