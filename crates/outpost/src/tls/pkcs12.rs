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

/// The crate hashes a password a million times at most, and refuses a file that asks for more before it begins: its
/// reader would be busy for hours, or for ever if the number is damage.
const ENDLESS: &str =
    "its password is to be hashed more than 1,000,000 times, or how it is encrypted is damaged";

/// The crate's errors repeat what it read at places; ours name causes only.
fn explain(error: &Error) -> String {
    match error {
        Error::Pkcs5Error(_) | Error::MacError(_) => {
            "the password is wrong, or the file is damaged".to_owned()
        }
        Error::InvalidParameters => {
            format!("{ENDLESS}; keytool -importkeystore, or openssl pkcs12 -export -iter 10000, makes one that is read")
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
    let key = Pkcs12Archive::from_pkcs12(&archive_of(encrypted), password)
        .map(|archive| archive.keys.into_iter().next());
    match key {
        Ok(Some(key)) => Ok(PrivateKeyDer::Pkcs8(key.key.as_der().to_vec().into())),
        Err(Error::InvalidParameters) => Err(format!(
            "the key cannot be decrypted: {ENDLESS}; openssl pkcs8 -topk8 -iter 10000 makes one that can be"
        )),
        _ => Err("the key cannot be decrypted: the password is wrong, or the encryption is not supported; \
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

#[cfg(test)]
mod tests {
    use super::super::certified::{Authority, Certified, made_out_for};
    use super::*;
    use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};

    const PASSWORD: &str = "öpen";
    const INTEGER: u8 = 0x02;

    /// A key with a chain of two, and that chain's authority to believe.
    fn full(authority: &Authority, own: &Certified) -> Vec<u8> {
        let certificate = |der: &CertificateDer<'_>| Certificate::from_der(der).unwrap();
        let key = PrivateKey::from_der(own.key_der().secret_der()).unwrap();
        let chain = [
            certificate(&own.certificate),
            certificate(&authority.certificate),
        ];
        let chain = PrivateKeyChain::new("id", key, chain);
        let mut store = KeyStore::new();
        store.add_entry("own", KeyStoreEntry::PrivateKeyChain(chain));
        let trusted = certificate(&authority.certificate);
        store.add_entry("authority", KeyStoreEntry::Certificate(trusted));
        // Once, so that it can be tried thousands of times.
        let writer = store.writer(PASSWORD).encryption_iterations(1);
        writer.mac_iterations(1).write().unwrap()
    }

    #[test]
    fn a_store_holds_keys_with_their_chains_and_certificates_to_believe() {
        let authority = Authority::new("an authority");
        let own = authority.vouch(&made_out_for(&["zk1"]));
        let contents = read(&full(&authority, &own), PASSWORD).unwrap();
        assert_eq!(contents.keys.len(), 1);
        assert_eq!(contents.keys[0].key, own.key_der());
        assert_eq!(contents.keys[0].chain[0], own.certificate);
        assert_eq!(contents.keys[0].chain[1], authority.certificate);
        assert_eq!(contents.trusted, [authority.certificate]);
        assert_eq!(contents.unmarked, 2, "the chain's are not to be believed");
    }

    #[test]
    fn a_wrong_password_is_told_apart_from_what_is_no_store() {
        let authority = Authority::new("an authority");
        let own = authority.vouch(&made_out_for(&["zk1"]));
        let bytes = full(&authority, &own);
        for wrong in ["", "open", "öpen "] {
            let told = read(&bytes, wrong).unwrap_err();
            assert_eq!(told, "the password is wrong, or the file is damaged");
        }
        let told = read(authority.pem.as_bytes(), PASSWORD).unwrap_err();
        assert!(told.starts_with("neither PKCS12 nor JKS"), "{told}");
    }

    /// A key that is encrypted with PBES2, PBKDF2 and AES, its password hashed so many times.
    fn encrypted_key(rounds: &[u8]) -> Vec<u8> {
        let pbes2 = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
        let pbkdf2 = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
        let aes = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
        let salt_and_rounds = [der(OCTET_STRING, &[&[7; 8]]), der(INTEGER, &[rounds])];
        let salt_and_rounds = der(SEQUENCE, &[&salt_and_rounds.concat()]);
        let hashing = der(SEQUENCE, &[pbkdf2, &salt_and_rounds]);
        let cipher = der(SEQUENCE, &[aes, &der(OCTET_STRING, &[&[7; 16]])]);
        let algorithm = der(SEQUENCE, &[pbes2, &der(SEQUENCE, &[&hashing, &cipher])]);
        der(SEQUENCE, &[&algorithm, &der(OCTET_STRING, &[&[7; 32]])])
    }

    #[test]
    fn a_password_that_is_to_be_hashed_two_billion_times_is_not_even_begun_with() {
        let endless = encrypted_key(&i32::MAX.to_be_bytes());
        let told = read(&archive_of(&endless), PASSWORD).unwrap_err();
        assert!(told.starts_with("its password is to be hashed"), "{told}");
        assert!(
            told.contains("openssl pkcs12 -export -iter 10000"),
            "{told}"
        );
        let told = decrypt_key(&endless, PASSWORD).unwrap_err();
        assert!(told.contains("openssl pkcs8 -topk8 -iter 10000"), "{told}");
    }

    #[test]
    fn a_key_whose_password_is_hashed_a_bearable_number_of_times_is_tried() {
        let tried = encrypted_key(&[1, 0]);
        let told = read(&archive_of(&tried), PASSWORD).unwrap_err();
        assert_eq!(told, "the password is wrong, or the file is damaged");
    }

    #[test]
    fn a_store_that_is_cut_off_or_damaged_anywhere_is_refused_and_harms_nobody() {
        let authority = Authority::new("an authority");
        let own = authority.vouch(&made_out_for(&["zk1"]));
        let bytes = full(&authority, &own);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], PASSWORD).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            // Where the damage is in what nobody reads, everything else is as it was.
            if let Ok(contents) = read(&damaged, PASSWORD) {
                assert_eq!(contents.keys[0].key, own.key_der(), "{at}");
                assert_eq!(contents.trusted[0], authority.certificate, "{at}");
            }
        }
    }
}
