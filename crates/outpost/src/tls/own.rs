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

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use rustls::crypto::ring;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};

    use super::super::certified::{Certified, Stores, made_out_for, self_signed, shake_hands};
    use super::super::handle::tests::least;
    use super::*;

    /// A server that shows a certificate, and has a key, perhaps another's.
    fn server(shown: &Certified, key: &Certified) -> Arc<ServerConfig> {
        let key = ring::sign::any_supported_type(&key.key_der()).unwrap();
        let key = CertifiedKey::new(vec![shown.certificate.clone()], key);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        Arc::new(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key))))
    }

    #[test]
    fn whoever_has_our_certificate_and_its_key_is_believed_and_nobody_else() {
        let stores = Stores::new();
        let mut params = made_out_for(&["elsewhere"]);
        // Whether it may still be used is for others to say.
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let (own, other) = (self_signed(&params), self_signed(&params));
        let settings = TlsSettings {
            key_store: Some(stores.write("own.pem", &own.pem())),
            ..least()
        };
        let shake = |server| shake_hands(towards_ourselves(&settings).unwrap(), server);
        assert!(shake(server(&own, &own)).is_ok());
        let bad = |error| Err(Error::InvalidCertificate(error));
        assert_eq!(
            shake(server(&own, &other)).map(|_| ()),
            bad(CertificateError::BadSignature)
        );
        assert_eq!(
            shake(server(&other, &other)).map(|_| ()),
            bad(CertificateError::ApplicationVerificationFailure)
        );
        let without = towards_ourselves(&least()).unwrap_err();
        assert_eq!(without.to_string(), "the key store: is not set");
    }
}
