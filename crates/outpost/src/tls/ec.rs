//! Keys on elliptic curves, as Java writes them.
//!
//! Java leaves the public half out of the private key's encoding; ring wants to see that both halves belong together.
//! The certificate has it.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::asn1_rs::{Any, FromDer, OctetString, Oid, Sequence, oid};
use x509_parser::certificate::X509Certificate;

use super::der::{BIT_STRING, EXPLICIT_1, OCTET_STRING, SEQUENCE, der};

const INTEGER_0: &[u8] = &[2, 1, 0];
const INTEGER_1: &[u8] = &[2, 1, 1];

/// The key with its public half; other keys, and what cannot be understood, as they are.
pub(super) fn completed(
    key: PrivateKeyDer<'static>,
    certificate: &CertificateDer<'_>,
) -> PrivateKeyDer<'static> {
    let complete = match &key {
        PrivateKeyDer::Pkcs8(key) => complete(key.secret_pkcs8_der(), certificate),
        _ => None,
    };
    match complete {
        Some(bytes) => PrivateKeyDer::Pkcs8(bytes.into()),
        None => key,
    }
}

fn complete(pkcs8: &[u8], certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let point = &certificate.public_key().subject_public_key.data;
    let (_, info) = Sequence::from_der(pkcs8).ok()?;
    let info: &[u8] = &info.content;
    let (after_version, _) = Any::from_der(info).ok()?;
    let (after_algorithm, algorithm) = Sequence::from_der(after_version).ok()?;
    let (_, kind) = Oid::from_der(&algorithm.content).ok()?;
    if kind != oid!(1.2.840.10045.2.1) {
        return None;
    }
    let algorithm = &after_version[..after_version.len() - after_algorithm.len()];
    let (_, wrapped) = OctetString::from_der(after_algorithm).ok()?;
    let scalar = scalar_alone(wrapped.as_ref(), point)?;
    let public = der(EXPLICIT_1, &[&der(BIT_STRING, &[&[0], point])]);
    let key = der(
        SEQUENCE,
        &[INTEGER_1, &der(OCTET_STRING, &[&scalar]), &public],
    );
    Some(der(
        SEQUENCE,
        &[INTEGER_0, algorithm, &der(OCTET_STRING, &[&key])],
    ))
}

/// The secret number, as long as a coordinate of the point; `None` if the public half stands behind it already.
fn scalar_alone(key: &[u8], point: &[u8]) -> Option<Vec<u8>> {
    let (_, key) = Sequence::from_der(key).ok()?;
    let (rest, _version) = Any::from_der(&key.content).ok()?;
    let (mut rest, scalar) = OctetString::from_der(rest).ok()?;
    while let Ok((behind, part)) = Any::from_der(rest) {
        if part.header.tag().0 == 1 {
            return None;
        }
        rest = behind;
    }
    let length = point.len().checked_sub(1)? / 2;
    let scalar = scalar.as_ref();
    let zeros = scalar.iter().take_while(|byte| **byte == 0).count();
    let significant = &scalar[zeros..];
    let missing = length.checked_sub(significant.len())?;
    Some([&vec![0; missing], significant].concat())
}
