//! PEM: keys and certificates as text, one block behind the other, with anything between them.
//!
//! A key may be PKCS#8 (encrypted or not), PKCS#1 or SEC 1. The first key belongs to the first certificate.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::pkcs12;
use super::store::{Contents, KeyAndChain};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const OLD_ENCRYPTION: &str =
    "the key is encrypted in OpenSSL's own old way; turn it into PKCS#8 (openssl pkcs8 -topk8)";

/// Everything in the text. Keys are only looked at if they are wanted: a trust store's password may be wrong.
pub(super) fn read(bytes: &[u8], password: &str, with_keys: bool) -> Result<Contents, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut certificates = Vec::new();
    let mut key = None;
    for block in Blocks(&text) {
        let block = block?;
        match block.label {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                certificates.push(CertificateDer::from(block.bytes()?));
            }
            label if label.ends_with("PRIVATE KEY") && with_keys && key.is_none() => {
                key = Some(private_key(&block, password)?);
            }
            _ => {}
        }
    }
    let keys = match key {
        Some(_) if certificates.is_empty() => {
            return Err(
                "holds a private key, but not its certificate; put it behind the key".to_owned(),
            );
        }
        Some(key) => vec![KeyAndChain {
            key,
            chain: certificates.clone(),
        }],
        None => Vec::new(),
    };
    Ok(Contents {
        keys,
        trusted: certificates,
        unmarked: 0,
    })
}

fn private_key(block: &Block<'_>, password: &str) -> Result<PrivateKeyDer<'static>, String> {
    if block.body.contains("Proc-Type:") {
        return Err(OLD_ENCRYPTION.to_owned());
    }
    let bytes = block.bytes()?;
    match block.label {
        "PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs8(bytes.into())),
        "RSA PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs1(bytes.into())),
        "EC PRIVATE KEY" => Ok(PrivateKeyDer::Sec1(bytes.into())),
        "ENCRYPTED PRIVATE KEY" if password.is_empty() => {
            Err("the key is encrypted, and keyStore.password is empty".to_owned())
        }
        "ENCRYPTED PRIVATE KEY" => pkcs12::decrypt_key(&bytes, password),
        label => Err(format!(
            "{label} is no kind of key that TLS knows; make one with RSA or an elliptic curve"
        )),
    }
}

/// `-----BEGIN label-----`, the body, `-----END label-----`.
struct Block<'a> {
    label: &'a str,
    body: &'a str,
}

impl Block<'_> {
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let dense: String = self.body.split_ascii_whitespace().collect();
        let broken = |_| format!("the block {} is not base64", self.label);
        BASE64.decode(dense).map_err(broken)
    }
}

/// The blocks of a text, in order.
struct Blocks<'a>(&'a str);

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, begun) = self.0.split_once("-----BEGIN ")?;
        let Some((label, rest)) = begun.split_once("-----") else {
            self.0 = "";
            return None;
        };
        let end = format!("-----END {label}-----");
        let Some((body, rest)) = rest.split_once(&end) else {
            self.0 = "";
            let text = format!("the block {label} does not end: the file was cut off");
            return Some(Err(text));
        };
        self.0 = rest;
        Some(Ok(Block { label, body }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::certified::{Authority, made_out_for};
    use super::*;

    fn refusal(text: &str, password: &str) -> String {
        read(text.as_bytes(), password, true).unwrap_err()
    }

    fn block(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn the_first_key_belongs_to_the_first_certificate_whatever_stands_between_them() {
        let authority = Authority::new("an authority");
        let own = authority.vouch(&made_out_for(&["zk1"]));
        let text = format!(
            "Bag Attributes\r\n\u{feff}{}\r\nissuer: somebody\n{}-----BEGIN ",
            own.pem().replace('\n', "\r\n"),
            authority.pem
        );
        let contents = read(text.as_bytes(), "", true).unwrap();
        assert_eq!(contents.keys[0].key, own.key_der());
        let both = [own.certificate.clone(), authority.certificate.clone()];
        assert_eq!(contents.keys[0].chain, both);
        // Whoever wants to know whom to believe looks at no key.
        let text = block("ENCRYPTED PRIVATE KEY", "%") + &authority.pem;
        let contents = read(text.as_bytes(), "", false).unwrap();
        assert!(contents.keys.is_empty());
        assert_eq!(contents.trusted, [authority.certificate]);
        assert!(
            read(b"\xff\xfe no PEM at all", "", true)
                .unwrap()
                .trusted
                .is_empty()
        );
    }

    #[test]
    fn what_is_missing_or_not_supported_is_named() {
        let authority = Authority::new("an authority");
        let own = authority.vouch(&made_out_for(&["zk1"]));
        let key = own.key.serialize_pem();
        for (text, password, expected) in [
            (key.clone(), "", "but not its certificate"),
            (
                block("CERTIFICATE", "%%%"),
                "",
                "the block CERTIFICATE is not base64",
            ),
            (
                own.pem().replace("END CERTIFICATE", "END CERTIFICAT"),
                "",
                "does not end: the file was cut off",
            ),
            (
                block(
                    "RSA PRIVATE KEY",
                    "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA",
                ),
                "x",
                "openssl pkcs8 -topk8",
            ),
            (
                block("ENCRYPTED PRIVATE KEY", "AAAA"),
                "",
                "keyStore.password is empty",
            ),
            (
                block("ENCRYPTED PRIVATE KEY", "AAAA"),
                "x",
                "cannot be decrypted",
            ),
            (
                block("DSA PRIVATE KEY", "AAAA"),
                "",
                "DSA PRIVATE KEY is no kind of key",
            ),
        ] {
            let told = refusal(&text, password);
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_shows_no_half_of_a_certificate() {
        let authority = Authority::new("an authority");
        let own = authority.vouch(&made_out_for(&["zk1"]));
        let text = own.pem();
        for length in 0..text.trim_end().len() {
            if let Ok(contents) = read(&text.as_bytes()[..length], "", true) {
                assert!(contents.trusted.is_empty(), "{length}");
                assert!(contents.keys.is_empty(), "{length}");
            }
        }
    }
}
