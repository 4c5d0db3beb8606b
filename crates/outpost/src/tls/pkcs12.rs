//! PKCS#12: what keytool makes since Java 9 under whatever name, and OpenSSL with `pkcs12 -export`.
//!
//! The format is read by `p12-keystore`; here its bags are put together: which certificates belong to which key, and
//! which are to be believed.

use p12_keystore::{CertificateBag, Pkcs12Archive, PrivateKeyBag, error::Error};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::der::{EXPLICIT_0, OCTET_STRING, SEQUENCE, der};
use super::store::{Contents, KeyAndChain};

/// Everything in the store.
pub(super) fn read(bytes: &[u8], password: &str) -> Result<Contents, String> {
    let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| explain(&error))?;
    let (trusted, others): (Vec<_>, Vec<_>) = archive.certs.iter().partition(|bag| bag.trusted);
    let keys = archive.keys.iter();
    let keys = keys.filter_map(|key| {
        let chain = chain(key, &others)?;
        Some(KeyAndChain {
            key: PrivateKeyDer::Pkcs8(key.key.as_der().to_vec().into()),
            chain,
        })
    });
    Ok(Contents {
        keys: keys.collect(),
        trusted: trusted.into_iter().map(certificate).collect(),
        unmarked: others.len(),
    })
}

/// The certificate with the key's id, and behind it all that may vouch for it, in no order.
fn chain(key: &PrivateKeyBag, bags: &[&CertificateBag]) -> Option<Vec<CertificateDer<'static>>> {
    let id = key.local_key_id.as_ref().map(AsRef::as_ref);
    let own = bags
        .iter()
        .position(|bag| bag.local_key_id.as_deref() == id);
    // Without ids there is only one certificate that it can be.
    let own = own.or((bags.len() == 1).then_some(0))?;
    let others = bags.iter().enumerate().filter(|(n, _)| *n != own);
    let chain = [bags[own]].into_iter().chain(others.map(|(_, bag)| *bag));
    Some(chain.map(certificate).collect())
}

fn certificate(bag: &CertificateBag) -> CertificateDer<'static> {
    CertificateDer::from(bag.cert.as_der().to_vec())
}

/// The crate's errors repeat what it read at places; ours name causes only.
fn explain(error: &Error) -> String {
    match error {
        Error::Pkcs5Error(_) | Error::MacError(_) => {
            "the password is wrong, or the file is damaged".to_owned()
        }
        _ => "neither PKCS12 nor JKS, or encrypted in a way that is not supported; look at it with keytool -list"
            .to_owned(),
    }
}

/// A key in PKCS#8's encrypted form, with whatever PKCS#12 can decrypt too (PBES2, and 3DES and RC2 of old).
pub(super) fn decrypt_key(
    encrypted: &[u8],
    password: &str,
) -> Result<PrivateKeyDer<'static>, String> {
    let archive = Pkcs12Archive::from_pkcs12(&archive_of(encrypted), password);
    let key = archive
        .ok()
        .and_then(|archive| archive.keys.into_iter().next());
    match key {
        Some(key) => Ok(PrivateKeyDer::Pkcs8(key.key.as_der().to_vec().into())),
        None => Err("the key cannot be decrypted: the password is wrong, or the encryption is not supported; \
            openssl pkcs8 -topk8 -v2 aes-256-cbc makes one that is"
            .to_owned()),
    }
}

/// `data` and `pkcs8ShroudedKeyBag`, as object identifiers with tag and length.
const DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const SHROUDED_KEY_BAG: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x02";
const VERSION_3: &[u8] = b"\x02\x01\x03";

/// A PKCS#12 file, without a checksum, that holds one encrypted key and nothing else.
fn archive_of(encrypted_key: &[u8]) -> Vec<u8> {
    let bag = der(
        SEQUENCE,
        &[SHROUDED_KEY_BAG, &der(EXPLICIT_0, &[encrypted_key])],
    );
    let safes = der(SEQUENCE, &[&content_info(&der(SEQUENCE, &[&bag]))]);
    der(SEQUENCE, &[VERSION_3, &content_info(&safes)])
}

fn content_info(data: &[u8]) -> Vec<u8> {
    let content = der(EXPLICIT_0, &[&der(OCTET_STRING, &[data])]);
    der(SEQUENCE, &[DATA, &content])
}
