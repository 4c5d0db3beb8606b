//! TLS with a server that runs from the same configuration: it is believed if it shows the certificate that stands in
//! our own key store, whatever it is made out for, and is shown the same.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::explain;
use super::store::{self, StoreError};
use super::suites;
use crate::config::TlsSettings;

/// What to connect to a server of these settings with.
///
/// # Errors
/// When the key store is missing or cannot be used.
pub fn towards_ourselves(settings: &TlsSettings) -> Result<Arc<ClientConfig>, StoreError> {
    let Some(key_store) = &settings.key_store else {
        return Err(StoreError::new("the key store".as_ref(), "is not set"));
    };
    let unusable = |error: Error| StoreError::new(&key_store.location, explain::own(&error));
    let own = store::load_key(key_store)?;
    let provider = Arc::new(suites::provider(settings));
    let Some(certificate) = own.chain.first().cloned() else {
        return Err(StoreError::new(&key_store.location, "holds no certificate"));
    };
    let verifier = Same {
        certificate,
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&suites::versions(settings))
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(own.chain, own.key)
        .map_err(unusable)?;
    Ok(Arc::new(config))
}

/// Believes one certificate.
#[derive(Debug)]
struct Same {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Same {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *end_entity == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
