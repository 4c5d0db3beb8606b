//! What a failure of TLS means, in words that say what to do.

use std::io;

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::host_names::Hosts;
use super::trust::OtherHost;

/// A certificate: whose it is, for which hosts, from whom, until when.
pub fn describe(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return "a certificate that cannot be read".to_owned();
    };
    let hosts = Hosts::of(certificate).unwrap_or_default();
    let issuer = match parsed.subject() == parsed.issuer() {
        true => "signed by itself".to_owned(),
        false => format!("signed by {}", parsed.issuer()),
    };
    let until = parsed.validity().not_after.to_datetime().date();
    format!(
        "the certificate of {}, made out for {hosts}, {issuer}, valid until {until}",
        parsed.subject()
    )
}

/// Why key and certificate of our own cannot be used.
pub(super) fn own(error: &Error) -> String {
    match error {
        Error::InconsistentKeys(_) => {
            "the private key and the certificate do not belong together; a renewal may be half done"
                .to_owned()
        }
        Error::InvalidCertificate(error) => certificate(error),
        _ => format!(
            "the private key cannot be used: {error}; RSA of 2048 bits or more, P-256, P-384 and Ed25519 can"
        ),
    }
}

/// Why a connection to a server, or from a client, did not come about or ended. `None` if TLS is not the reason.
pub fn io(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<Error>()?;
    Some(failure(inner))
}

/// Whether the reason is that the certificate is another host's.
pub fn other_host(error: &io::Error) -> Option<&OtherHost> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::Other(inner)) => inner.0.downcast_ref(),
        _ => None,
    }
}

/// Why a handshake failed or a connection ended.
pub fn failure(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => refusal(*alert),
        Error::InvalidMessage(_) => {
            "what comes from there is not TLS; does it speak plain text?".to_owned()
        }
        Error::NoCertificatesPresented => {
            "it shows no certificate; give it one, or ask for none with clientAuth=want".to_owned()
        }
        Error::PeerIncompatible(_) => format!(
            "no version of TLS or no cipher suite in common ({error}); compare enabledProtocols and ciphersuites on \
             both sides"
        ),
        _ => format!("TLS failed: {error}"),
    }
}

/// What is wrong with the other side's certificate.
fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "nobody in the trust store vouches for its certificate; put the \
            certificate of the authority that signed it into the trust store, or it itself"
            .to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; renew it there (or set this machine's clock)".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; compare the clocks of both machines".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate may not be used for this (extended key usage); sign one for serverAuth and clientAuth"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "a signature does not fit its certificate or one of those that vouch for it".to_owned()
        }
        CertificateError::Other(inner) => match inner.0.downcast_ref::<OtherHost>() {
            Some(other) => other.to_string(),
            None => format!("its certificate is not accepted: {inner}"),
        },
        error => format!("its certificate is not accepted: {error}"),
    }
}

/// What the other side says before it hangs up. Java calls nearly everything `certificate_unknown`.
fn refusal(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "it wants a certificate of ours; set keyStore.location".to_owned()
        }
        AlertDescription::UnknownCA
        | AlertDescription::CertificateUnknown
        | AlertDescription::BadCertificate => {
            let what = "it does not accept our certificate; have we one to show (else set keyStore.location), is our authority in its trust store, and is our \
                certificate made out for the address we connect from?";
            format!("{what} Its log says more ({alert:?})")
        }
        AlertDescription::CertificateExpired => {
            "it says that our certificate has expired; renew it".to_owned()
        }
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => format!(
            "no version of TLS or no cipher suite in common, or it wants a certificate that we do not have \
             ({alert:?}); compare enabledProtocols and ciphersuites on both sides"
        ),
        alert => format!("it refuses the connection ({alert:?}); its log says why"),
    }
}
