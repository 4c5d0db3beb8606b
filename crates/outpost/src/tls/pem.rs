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
