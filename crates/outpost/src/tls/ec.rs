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

#[cfg(test)]
mod tests {
    use super::super::certified::{Certified, made_out_for, self_signed};
    use super::*;
    use rcgen::{
        KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData,
    };
    use rustls::crypto::ring::sign::any_supported_type;

    /// The parts of a key that has both halves: the algorithm, and the secret number.
    fn parts(pkcs8: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (_, info) = Sequence::from_der(pkcs8).unwrap();
        let info: &[u8] = &info.content;
        let (after_version, _) = Any::from_der(info).unwrap();
        let (after_algorithm, _) = Sequence::from_der(after_version).unwrap();
        let algorithm = &after_version[..after_version.len() - after_algorithm.len()];
        let (_, wrapped) = OctetString::from_der(after_algorithm).unwrap();
        let (_, key) = Sequence::from_der(wrapped.as_ref()).unwrap();
        let (rest, _) = Any::from_der(&key.content).unwrap();
        let (_, scalar) = OctetString::from_der(rest).unwrap();
        (algorithm.to_vec(), scalar.as_ref().to_vec())
    }

    /// A key as Java writes it: the secret number and nothing else.
    fn halved(algorithm: &[u8], scalar: &[u8]) -> PrivateKeyDer<'static> {
        let key = der(SEQUENCE, &[INTEGER_1, &der(OCTET_STRING, &[scalar])]);
        let wrapped = der(OCTET_STRING, &[&key]);
        let pkcs8 = der(SEQUENCE, &[INTEGER_0, algorithm, &wrapped]);
        PrivateKeyDer::Pkcs8(pkcs8.into())
    }

    fn certified(key: KeyPair) -> Certified {
        let certificate = made_out_for(&["zk1"]).self_signed(&key).unwrap();
        let certificate = certificate.der().clone();
        Certified { certificate, key }
    }

    #[test]
    fn a_key_without_its_public_half_is_used_with_the_certificate_s() {
        for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
            let own = certified(KeyPair::generate_for(kind).unwrap());
            let (algorithm, scalar) = parts(&own.key.serialize_der());
            let half = halved(&algorithm, &scalar);
            assert!(any_supported_type(&half).is_err(), "ring wants both halves");
            let whole = completed(half, &own.certificate);
            let signer = any_supported_type(&whole).unwrap();
            let public = signer.public_key().unwrap();
            assert_eq!(public.as_ref(), own.key.subject_public_key_info());
        }
    }

    #[test]
    fn the_secret_number_may_be_longer_or_shorter_than_it_is_big() {
        let own = self_signed(&made_out_for(&["zk1"]));
        let (algorithm, scalar) = parts(&own.key.serialize_der());
        let longer = [&[0, 0], &scalar[..]].concat();
        let whole = completed(halved(&algorithm, &longer), &own.certificate);
        assert_eq!(
            parts(whole.secret_der()),
            (algorithm.clone(), scalar.clone())
        );
        let shorter = &scalar[1..];
        let whole = completed(halved(&algorithm, shorter), &own.certificate);
        let expected = [&[0], shorter].concat();
        assert_eq!(parts(whole.secret_der()), (algorithm, expected));
    }

    #[test]
    fn whatever_is_no_such_key_stays_as_it_is() {
        let own = self_signed(&made_out_for(&["zk1"]));
        let edwards = certified(KeyPair::generate_for(&PKCS_ED25519).unwrap());
        let (algorithm, scalar) = parts(&own.key.serialize_der());
        let too_long = [&[1; 40], &scalar[..]].concat();
        let nonsense = CertificateDer::from(b"nonsense".to_vec());
        for (key, certificate) in [
            (own.key_der(), &own.certificate),
            (edwards.key_der(), &edwards.certificate),
            (halved(&algorithm, &too_long), &own.certificate),
            (halved(&algorithm, &scalar), &nonsense),
            (
                PrivateKeyDer::Pkcs8(b"nonsense".to_vec().into()),
                &own.certificate,
            ),
            (PrivateKeyDer::Pkcs1(scalar.into()), &own.certificate),
        ] {
            let before = key.clone_key();
            assert_eq!(completed(key, certificate), before);
        }
    }

    #[test]
    fn a_key_that_is_cut_off_anywhere_harms_nobody() {
        let own = self_signed(&made_out_for(&["zk1"]));
        let (algorithm, scalar) = parts(&own.key.serialize_der());
        let half = halved(&algorithm, &scalar);
        let bytes = half.secret_der();
        for length in 0..bytes.len() {
            let cut = PrivateKeyDer::Pkcs8(bytes[..length].to_vec().into());
            assert_eq!(completed(cut.clone_key(), &own.certificate), cut);
        }
    }
}
