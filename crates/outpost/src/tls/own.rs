//! TLS with a server that runs from the same configuration: it is believed if it shows the certificate that stands in
//! our own key store, whatever it is made out for, and is shown the same.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, ClientConfig, Error};

use super::explain;
use super::store::{self, StoreError};
use super::suites;
use super::verifier::{Judge, Verifier};
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
    let verifier = Verifier {
        judge: Same(certificate),
        algorithms: provider.signature_verification_algorithms,
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

/// Believes one certificate, for as long as it stands in our store.
#[derive(Debug)]
struct Same(CertificateDer<'static>);

impl Judge for Same {
    fn judge(
        &self,
        shown: &CertificateDer<'_>,
        _behind: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<(), Error> {
        match *shown == self.0 {
            true => Ok(()),
            false => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
        }
    }
}
