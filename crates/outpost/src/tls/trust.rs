//! Who is believed: a chain of certificates that ends in the trust store, and a host it is made out for.
//!
//! Chains are verified by webpki. Only two things differ from what rustls does by itself, both as in a Java server
//! (decision 0005): a certificate that itself stands in the trust store is believed whatever it says of being an
//! authority, and hosts are compared by [`Hosts`], since certificates of ensembles are often made out for an address
//! or by common name.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::explain;
use super::host_names::Hosts;
use super::verifier::{Judge, Verifier};

/// The certificates of a trust store.
#[derive(Debug)]
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    itself: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Whom a certificate is to speak for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Server,
    Client,
}

impl Trust {
    /// Of these certificates. The second value says how many of them could not be understood and are left out.
    pub(super) fn new(
        trusted: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> (Trust, usize) {
        let mut roots = RootCertStore::empty();
        let (_, ignored) = roots.add_parsable_certificates(trusted.iter().cloned());
        let trust = Trust {
            roots: Arc::new(roots),
            itself: trusted,
            algorithms: provider.signature_verification_algorithms,
        };
        (trust, ignored)
    }

    /// Whether this very certificate stands in the store; then whether it may be used now, for this.
    fn check_itself(
        &self,
        certificate: &CertificateDer<'_>,
        purpose: Purpose,
        now: UnixTime,
    ) -> Option<Result<(), Error>> {
        let is_in_store = self.itself.iter().any(|trusted| trusted == certificate);
        is_in_store.then(|| check_use(certificate, purpose, now))
    }

    /// A verifier of those who connect; with `required`, of those without a certificate too.
    pub(super) fn of_clients(
        self,
        provider: &Arc<CryptoProvider>,
        required: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, rustls::server::VerifierBuilderError> {
        let roots = Arc::clone(&self.roots);
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
        if !required {
            builder = builder.allow_unauthenticated();
        }
        let chains = builder.build()?;
        Ok(Arc::new(OfClients {
            trust: self,
            chains,
        }))
    }
}

/// What remains to be checked of a certificate that needs nobody to vouch for it.
fn check_use(
    certificate: &CertificateDer<'_>,
    purpose: Purpose,
    now: UnixTime,
) -> Result<(), Error> {
    let bad = |error: CertificateError| Err(Error::InvalidCertificate(error));
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return bad(CertificateError::BadEncoding);
    };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < certificate.validity().not_before.timestamp() {
        return bad(CertificateError::NotValidYet);
    }
    if now > certificate.validity().not_after.timestamp() {
        return bad(CertificateError::Expired);
    }
    match certificate.extended_key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.value.any => Ok(()),
        Ok(Some(usage)) => {
            let suits = match purpose {
                Purpose::Server => usage.value.server_auth,
                Purpose::Client => usage.value.client_auth,
            };
            match suits {
                true => Ok(()),
                false => bad(CertificateError::InvalidPurpose),
            }
        }
        Err(_) => bad(CertificateError::BadEncoding),
    }
}

/// The host at the other end of a connection of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub address: IpAddr,
    /// By what names it is known: as it stands in the configuration, or as the name service says.
    pub names: Vec<String>,
}

/// Why a certificate that is good in itself is not believed: it is another host's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is made out for {hosts}, not for {}", wanted(.peer))]
pub struct OtherHost {
    /// For whom it is made out.
    pub hosts: String,
    /// Who showed it.
    pub peer: Peer,
}

fn wanted(peer: &Peer) -> String {
    let mut wanted = peer.names.clone();
    let address = peer.address.to_string();
    if !wanted.contains(&address) {
        wanted.push(address);
    }
    wanted.join(" or ")
}

/// Whether the certificate is made out for that host.
///
/// # Errors
/// [`OtherHost`] if it is not.
pub fn check_host(certificate: &CertificateDer<'_>, peer: &Peer) -> Result<(), OtherHost> {
    let hosts = Hosts::of(certificate).unwrap_or_default();
    let by_name = |name: &String| match name.parse::<IpAddr>() {
        Ok(address) => hosts.have_address(address),
        Err(_) => hosts.have_name(name),
    };
    match hosts.have_address(peer.address) || peer.names.iter().any(by_name) {
        true => Ok(()),
        false => Err(OtherHost {
            hosts: hosts.to_string(),
            peer: peer.clone(),
        }),
    }
}

/// The certificate that a server has shown, believed or not.
#[derive(Debug, Default)]
pub struct Shown(Mutex<Option<CertificateDer<'static>>>);

impl Shown {
    /// In words; `None` if it has shown none yet.
    pub fn describe(&self) -> Option<String> {
        let shown = self.0.lock();
        Some(explain::describe(shown.as_ref()?))
    }
}

/// Believes the server of one connection if somebody in the trust store vouches for it.
#[derive(Debug)]
pub(super) struct Vouched {
    pub(super) trust: Arc<Trust>,
    /// Whom its certificate must be made out for, if that matters.
    pub(super) peer: Option<Peer>,
    pub(super) shown: Arc<Shown>,
}

impl Vouched {
    /// What rustls asks.
    pub(super) fn verifier(self) -> Arc<Verifier<Vouched>> {
        let algorithms = self.trust.algorithms;
        Arc::new(Verifier {
            judge: self,
            algorithms,
        })
    }
}

impl Judge for Vouched {
    fn judge(
        &self,
        shown: &CertificateDer<'_>,
        behind: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        *self.shown.0.lock() = Some(shown.clone().into_owned());
        match self.trust.check_itself(shown, Purpose::Server, now) {
            Some(checked) => checked?,
            None => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(shown)?,
                &self.trust.roots,
                behind,
                now,
                self.trust.algorithms.all,
            )?,
        }
        let Some(peer) = &self.peer else {
            return Ok(());
        };
        let other = |error| CertificateError::Other(OtherError(Arc::new(error)));
        check_host(shown, peer).map_err(|error| Error::InvalidCertificate(other(error)))
    }
}

/// Verifies those who connect. For which host their certificate is made out can only be asked when the handshake is
/// over, by whoever knows where it came from: see [`check_host`].
#[derive(Debug)]
struct OfClients {
    trust: Trust,
    chains: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for OfClients {
    fn client_auth_mandatory(&self) -> bool {
        self.chains.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.trust.check_itself(end_entity, Purpose::Client, now) {
            Some(checked) => checked.map(|()| ClientCertVerified::assertion()),
            None => self
                .chains
                .verify_client_cert(end_entity, intermediates, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
