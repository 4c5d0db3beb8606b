//! JKS: the Java key store of old, still what `-deststoretype JKS` and many an ansible role make.
//!
//! A flat file: magic, version, entries, and a SHA-1 over the password and all of it. Java's description of the
//! format is its source, `sun.security.provider.JavaKeyStore` and `KeyProtector`; every length is checked against
//! the bytes that are there before it is used.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha1::{Digest, Sha1};
use x509_parser::asn1_rs::{FromDer, OctetString, Oid, Sequence, oid};

use super::store::{Contents, KeyAndChain};

const MAGIC: u32 = 0xfeed_feed;
const MAGIC_JCEKS: u32 = 0xcece_cece;
/// What the hash begins with, behind the password.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const HASH_BYTES: usize = 20;
/// An entry has at least tag, alias length, time and the length of its bytes.
const ENTRIES_MAX: u32 = 100_000;

const CUT_OFF: &str = "the store ends too early: the file was cut off";

/// Whether these bytes begin as a JKS store does; others that Java calls by that name are PKCS12.
pub(super) fn is_jks(bytes: &[u8]) -> bool {
    let magic = bytes.first_chunk().map(|magic| u32::from_be_bytes(*magic));
    matches!(magic, Some(MAGIC | MAGIC_JCEKS))
}

/// Everything in the store. An empty password leaves the hash unchecked, as in Java.
pub(super) fn read(bytes: &[u8], password: &str, with_keys: bool) -> Result<Contents, String> {
    let password: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let body = checked_body(bytes, &password)?;
    let mut input = Input(body);
    if input.u32()? == MAGIC_JCEKS {
        return Err("the format JCEKS is not supported; turn the store into PKCS12 (keytool -importkeystore \
            -deststoretype PKCS12)"
            .to_owned());
    }
    let version = input.u32()?;
    if !matches!(version, 1 | 2) {
        return Err(format!("a JKS store of version {version} is not supported"));
    }
    let count = input.u32()?;
    if count > ENTRIES_MAX {
        return Err(format!("{count} entries are more than any store has"));
    }
    let mut contents = Contents::default();
    for _ in 0..count {
        let tag = input.u32()?;
        let _alias = input.text()?;
        let _created = input.bytes(8)?;
        match tag {
            1 => {
                let protected = input.sized()?;
                let chain = chain(&mut input, version)?;
                if with_keys && contents.keys.is_empty() {
                    let key = unprotect(protected, &password)?;
                    contents.keys.push(KeyAndChain { key, chain });
                }
            }
            2 => contents.trusted.push(certificate(&mut input, version)?),
            tag => return Err(format!("an entry of kind {tag} is not supported")),
        }
    }
    Ok(contents)
}

/// All but the hash at the end, which must fit.
fn checked_body<'a>(bytes: &'a [u8], password: &[u8]) -> Result<&'a [u8], String> {
    let (body, hash) = bytes.split_last_chunk::<HASH_BYTES>().ok_or(CUT_OFF)?;
    if password.is_empty() {
        return Ok(body);
    }
    let mut hasher = Sha1::new();
    hasher.update(password);
    hasher.update(WHITENER);
    hasher.update(body);
    match hasher.finalize().as_slice() == hash {
        true => Ok(body),
        false => Err("the password is wrong, or the file is damaged".to_owned()),
    }
}

fn chain(input: &mut Input<'_>, version: u32) -> Result<Vec<CertificateDer<'static>>, String> {
    let count = input.u32()?;
    // Not reserved beforehand: the number is only what the file says.
    (0..count).map(|_| certificate(input, version)).collect()
}

fn certificate(input: &mut Input<'_>, version: u32) -> Result<CertificateDer<'static>, String> {
    if version == 2 {
        let kind = input.text()?;
        if kind != b"X.509" {
            return Err("holds a certificate that is not X.509".to_owned());
        }
    }
    Ok(CertificateDer::from(input.sized()?.to_vec()))
}

/// Undoes `KeyProtector`: a salt, the key under a stream of hashes, a hash of password and key.
fn unprotect(protected: &[u8], password: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let encrypted = encrypted_data(protected)
        .ok_or("a private key in it is protected in a way that is not supported")?;
    let encrypted = encrypted.as_ref();
    let (salt, rest) = encrypted.split_first_chunk::<HASH_BYTES>().ok_or(CUT_OFF)?;
    let (encrypted, check) = rest.split_last_chunk::<HASH_BYTES>().ok_or(CUT_OFF)?;
    let mut key = encrypted.to_vec();
    let mut stream = *salt;
    for part in key.chunks_mut(HASH_BYTES) {
        stream = hash(password, &stream);
        for (byte, mask) in part.iter_mut().zip(stream) {
            *byte ^= mask;
        }
    }
    if hash(password, &key) != *check {
        return Err(
            "the password opens the store, but not the key in it; give the key the store's password \
             (keytool -keypasswd)"
                .to_owned(),
        );
    }
    Ok(PrivateKeyDer::Pkcs8(key.into()))
}

/// The octets of an EncryptedPrivateKeyInfo of Java's own kind.
fn encrypted_data(protected: &[u8]) -> Option<OctetString<'_>> {
    let (_, info) = Sequence::from_der(protected).ok()?;
    let (rest, algorithm) = Sequence::from_der(info.content.as_ref()).ok()?;
    let (_, algorithm) = Oid::from_der(algorithm.content.as_ref()).ok()?;
    // What was parsed above borrows from `info`, which does not leave this function.
    let start = info.content.len() - rest.len();
    let (_, octets) =
        OctetString::from_der(&protected[protected.len() - info.content.len()..][start..]).ok()?;
    (algorithm == oid!(1.3.6.1.4.1.42.2.17.1.1)).then_some(octets)
}

fn hash(password: &[u8], data: &[u8]) -> [u8; HASH_BYTES] {
    let mut hasher = Sha1::new();
    hasher.update(password);
    hasher.update(data);
    hasher.finalize().into()
}

/// What of the file has not been read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, String> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*taken))
    }

    /// Bytes behind their number, in four bytes.
    fn sized(&mut self) -> Result<&'a [u8], String> {
        let count = self.u32()?;
        self.bytes(usize::try_from(count).map_err(|_| CUT_OFF)?)
    }

    /// Bytes behind their number, in two bytes, as Java writes text.
    fn text(&mut self) -> Result<&'a [u8], String> {
        let (count, rest) = self.0.split_first_chunk().ok_or(CUT_OFF)?;
        self.0 = rest;
        self.bytes(usize::from(u16::from_be_bytes(*count)))
    }
}

#[cfg(test)]
mod tests;
