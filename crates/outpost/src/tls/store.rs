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
/// order is left out.
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

#[cfg(test)]
mod tests {
    use super::super::certified::{Authority, Stores, made_out_for, self_signed};
    use super::*;
    use crate::config::Secret;

    #[test]
    fn a_chain_is_shown_in_its_order_whatever_the_file_s_is() {
        let root = Authority::new("the root");
        let deputy = root.deputy("a deputy");
        let own = deputy.vouch(&made_out_for(&["zk1"]));
        let stranger = self_signed(&made_out_for(&["zk1"])).certificate;
        let (root, deputy, own) = (root.certificate, deputy.certificate, own.certificate);
        let whole = [own.clone(), deputy.clone(), root.clone()];
        for (others, expected) in [
            (vec![&deputy, &root], &whole[..]),
            (vec![&root, &stranger, &deputy], &whole),
            (vec![&deputy], &whole[..2]),
            (vec![&root], &whole[..1]),
            (vec![], &whole[..1]),
        ] {
            let file = [&own].into_iter().chain(others).cloned().collect();
            assert_eq!(in_order(file), expected);
        }
        assert_eq!(
            in_order(vec![root.clone(), own]),
            [root],
            "nobody vouches for it"
        );
        assert_eq!(in_order(Vec::new()), []);
    }

    #[test]
    fn a_password_s_file_holds_it_with_or_without_a_line_end() {
        let stores = Stores::new();
        let store = stores.write("own.pem", "");
        for (text, expected) in [
            ("sesame", "sesame"),
            ("sesame\n", "sesame"),
            ("sesame\r\n", "sesame"),
            ("sesame \n\n", "sesame \n"),
            ("", ""),
        ] {
            let file = stores.write("password", text).location;
            let store = Store {
                password: Password::File(file),
                ..store.clone()
            };
            assert_eq!(password(&store).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_file_that_is_none_or_has_no_end_is_refused_by_its_name() {
        let stores = Stores::new();
        let authority = Authority::new("an authority");
        let trusted = stores.write("trust.pem", &authority.pem);
        let at = |location: &str| Store {
            location: location.into(),
            ..trusted.clone()
        };
        let with_password = |file: &str| Store {
            password: Password::File(file.into()),
            ..trusted.clone()
        };
        for (store, expected) in [
            (
                at("/nowhere/own.pem"),
                "/nowhere/own.pem: cannot be read: No such file",
            ),
            (at("/dev/zero"), "/dev/zero: longer than 4194304 bytes"),
            (
                with_password("/dev/zero"),
                "/dev/zero: longer than 4096 bytes",
            ),
            (with_password("/nowhere"), "/nowhere: cannot be read"),
            (
                trusted.clone(),
                "trust.pem: holds no private key with its certificate; is it a trust store?",
            ),
        ] {
            let told = load_key(&store).unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        }
        let empty = stores.write("empty.pem", "nothing");
        let told = load_trusted(&empty).unwrap_err().to_string();
        assert!(
            told.ends_with("empty.pem: holds no certificate to believe"),
            "{told}"
        );
        assert_eq!(load_trusted(&trusted), Ok(vec![authority.certificate]));
    }

    #[test]
    fn a_chain_ends_when_its_first_certificate_does() {
        let (mut sooner, mut later) = (made_out_for(&["zk1"]), made_out_for(&["zk1"]));
        sooner.not_after = rcgen::date_time_ymd(2030, 1, 1);
        later.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let [sooner, later] = [sooner, later].map(|params| self_signed(&params).certificate);
        assert_eq!(expiry(&[later.clone(), sooner]), Some(1_893_456_000));
        assert_eq!(expiry(&[later]), Some(2_208_988_800));
        assert_eq!(expiry(&[]), None);
    }

    #[test]
    fn nothing_that_is_shown_of_a_store_holds_its_password() {
        let store = Store {
            location: "/own.pem".into(),
            kind: StoreKind::Pem,
            password: Password::Text(Secret::from("sesame".to_owned())),
        };
        let told = format!("{store:?} {:?}", load_key(&store));
        assert!(!told.contains("sesame"), "{told}");
    }
}
