//! Scheme `x509`: who a client is by its certificate (`X509AuthenticationProvider`).
//!
//! That the certificate is to be trusted has been decided by then, where hands were shaken.

mod name;

use std::time::{SystemTime, UNIX_EPOCH};

use bstr::BString;
use outpost_wire::Id;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How clients are known by their certificates.
#[derive(Debug, Clone, Default)]
pub struct X509Rules {
    /// The subject that may do everything (`X509AuthenticationProvider.superUser`).
    pub super_user: Option<BString>,
}

/// Why a certificate makes nobody of its holder. The connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// It is no certificate.
    #[error("its certificate cannot be read")]
    Unreadable,
    /// A session of TLS may be older than the rest of the certificate's life.
    #[error("its certificate has expired")]
    Expired,
}

impl X509Rules {
    /// The identities of whoever holds the certificate `der` at `now`.
    ///
    /// # Errors
    /// When it cannot be read, or is not valid any more.
    pub fn ids(&self, der: &[u8], now: SystemTime) -> Result<Vec<Id>, NoIdentity> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| NoIdentity::Unreadable)?;
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let ends = certificate.validity().not_after.timestamp();
        if u64::try_from(ends).unwrap_or(0) < since.as_secs() {
            return Err(NoIdentity::Expired);
        }
        let subject = BString::from(name::java_name(certificate.subject()));
        let mut ids = Vec::with_capacity(2);
        if self.super_user.as_ref() == Some(&subject) {
            ids.push(Id::new("super", subject.clone()));
        }
        ids.push(Id::new("x509", subject));
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    use std::time::Duration;

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Acme, Inc.");
        params.distinguished_name.push(DnType::CommonName, "alice");
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    const SUBJECT: &str = "CN=alice,O=Acme\\, Inc.";

    #[test]
    fn whoever_holds_a_certificate_is_its_subject_and_only_the_super_user_may_do_everything() {
        let (der, now) = (
            certificate(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000),
        );
        let anybody = X509Rules::default().ids(&der, now).unwrap();
        assert_eq!(anybody, [Id::new("x509", SUBJECT)]);
        let rules = |user: &str| X509Rules {
            super_user: Some(user.into()),
        };
        assert_eq!(rules("CN=alice").ids(&der, now).unwrap(), anybody);
        let expected = [Id::new("super", SUBJECT), Id::new("x509", SUBJECT)];
        assert_eq!(rules(SUBJECT).ids(&der, now).unwrap(), expected);
    }

    #[test]
    fn a_certificate_that_ran_out_after_hands_were_shaken_makes_nobody() {
        let (der, rules) = (certificate(), X509Rules::default());
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(2_300_000_000);
        assert_eq!(rules.ids(&der, late), Err(NoIdentity::Expired));
        assert_eq!(rules.ids(b"nonsense", late), Err(NoIdentity::Unreadable));
    }
}
