//! A store's file, as a key with its certificates or as the certificates to believe.
//!
//! Which format it has is said by the configuration; what is in it, by the reader of that format.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{ec, jks, pem, pkcs12};
use crate::config::{Password, Store, StoreKind};

/// The longest file that is taken for a store; every authority that a browser knows fits into a tenth of it.
pub const STORE_BYTES_MAX: usize = 4 << 20;
/// The longest file that is taken for a password.
const PASSWORD_BYTES_MAX: usize = 4 << 10;

/// A store that cannot be used: which file, why, and what to do. Never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", .file.display())]
pub struct StoreError {
    /// The file.
    pub file: PathBuf,
    /// Why, and what to do.
    pub text: String,
}

impl StoreError {
    pub(super) fn new(file: &Path, text: impl Into<String>) -> StoreError {
        StoreError {
            file: file.to_owned(),
            text: text.into(),
        }
    }
}

/// A private key and the certificates that vouch for it, its own first.
#[derive(Debug)]
pub struct KeyAndChain {
    /// The key.
    pub key: PrivateKeyDer<'static>,
    /// Not empty.
    pub chain: Vec<CertificateDer<'static>>,
}

impl Clone for KeyAndChain {
    fn clone(&self) -> KeyAndChain {
        KeyAndChain {
            key: self.key.clone_key(),
            chain: self.chain.clone(),
        }
    }
}

/// Everything that a file holds, before anybody asks for a part of it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Keys with what is known of their chains, in the order of the file.
    pub(super) keys: Vec<KeyAndChain>,
    /// Certificates to believe.
    pub(super) trusted: Vec<CertificateDer<'static>>,
    /// Certificates that stand beside them and are not marked as to be believed.
    pub(super) unmarked: usize,
}

/// Reads the key and its chain. Of several keys the first one is taken.
///
/// # Errors
/// When the file cannot be read, or holds no key with a certificate.
pub fn load_key(store: &Store) -> Result<KeyAndChain, StoreError> {
    let contents = read(store, true)?;
    let key = contents.keys.into_iter().next();
    let key = key.ok_or_else(|| {
        let text = "holds no private key with its certificate; is it a trust store?";
        StoreError::new(&store.location, text)
    })?;
    let chain = in_order(key.chain);
    let key = match chain.first() {
        Some(own) => ec::completed(key.key, own),
        None => key.key,
    };
    Ok(KeyAndChain { key, chain })
}

/// Reads the certificates to believe.
///
/// # Errors
/// When the file cannot be read, or holds none.
pub fn load_trusted(store: &Store) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let contents = read(store, false)?;
    if !contents.trusted.is_empty() {
        return Ok(contents.trusted);
    }
    let text = match contents.unmarked {
        0 => "holds no certificate to believe",
        _ => {
            "none of its certificates is marked as trusted, so a Java server would believe none either; OpenSSL \
             marks them with -jdktrust anyExtendedKeyUsage, keytool -importcert always does"
        }
    };
    Err(StoreError::new(&store.location, text))
}

fn read(store: &Store, with_keys: bool) -> Result<Contents, StoreError> {
    let file = &store.location;
    let bytes = read_file(file, STORE_BYTES_MAX)?;
    let password = password(store)?;
    let contents = match store.kind {
        StoreKind::Pem => pem::read(&bytes, &password, with_keys),
        StoreKind::Java if jks::is_jks(&bytes) => jks::read(&bytes, &password, with_keys),
        StoreKind::Java => pkcs12::read(&bytes, &password),
    };
    contents.map_err(|text| StoreError::new(file, text))
}

/// The password; a file's goes before the configuration's, as in a Java server.
fn password(store: &Store) -> Result<String, StoreError> {
    match &store.password {
        Password::Text(secret) => Ok(secret.reveal().to_owned()),
        Password::File(file) => {
            let bytes = read_file(file, PASSWORD_BYTES_MAX)?;
            let not_text = |_| StoreError::new(file, "the password in it is not UTF-8");
            let mut text = String::from_utf8(bytes).map_err(not_text)?;
            if text.ends_with('\n') {
                text.pop();
            }
            if text.ends_with('\r') {
                text.pop();
            }
            Ok(text)
        }
    }
}

fn read_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
    let unreadable = |error: io::Error| StoreError::new(path, format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let limit = bytes_max as u64 + 1;
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > bytes_max {
        let text = format!("longer than {bytes_max} bytes; that is not the file you mean");
        return Err(StoreError::new(path, text));
    }
    Ok(bytes)
}

/// The chain as it is to be shown: each certificate followed by its issuer's. What belongs to no place in that
/// order is left out; so is an authority at the end that vouches for itself, unless it is alone.
fn in_order(chain: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
    let mut rest = chain.into_iter();
    let Some(own) = rest.next() else {
        return Vec::new();
    };
    let mut others: Vec<_> = rest.collect();
    let mut ordered = vec![own];
    while let Some(next) = ordered.last().and_then(|last| issuer_of(last, &others)) {
        ordered.push(others.swap_remove(next));
    }
    ordered
}

fn issuer_of(certificate: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Option<usize> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    if certificate.subject() == certificate.issuer() {
        return None;
    }
    others.iter().position(|other| {
        X509Certificate::from_der(other)
            .is_ok_and(|(_, other)| other.subject() == certificate.issuer())
    })
}

/// When the first certificate of a chain expires, in seconds since 1970.
pub fn expiry(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let ends = chain.iter().filter_map(|certificate| {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        Some(certificate.validity().not_after.timestamp())
    });
    ends.min()
}
