//! Who is this: identities that a connection has and adds.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bstr::{BString, ByteSlice};
use outpost_wire::Id;
use outpost_wire::proto::AuthPacket;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};

use crate::config::DigestAlgorithm;
use crate::limits::{ID_BYTES_PER_CONNECTION_MAX, IDS_PER_CONNECTION_MAX};
use crate::serve::sasl::SaslRules;
use crate::serve::x509::X509Rules;

/// How clients may say who they are.
#[derive(Clone, Default)]
pub struct AuthRules {
    /// How scheme `digest` makes an id of a password; `None` if the scheme is not offered.
    pub digest: Option<DigestAlgorithm>,
    /// The digest id whose owner may do everything (`superDigest`).
    pub super_digest: Option<BString>,
    /// The names that scheme `ensemble` accepts, any name if there are none; `None` if the scheme is not offered.
    pub ensemble: Option<Vec<String>>,
    /// How clients log in with SASL; see [`sasl`](crate::serve::sasl).
    pub sasl: SaslRules,
    /// How certificates say who a client is; `None` if scheme `x509` is not offered.
    pub x509: Option<X509Rules>,
    /// Schemes of which a connection needs an identity before it may do anything
    /// (`enforce.auth.schemes`); empty when nothing is enforced.
    pub enforced: Vec<String>,
}

/// Why a client could not be authenticated. Its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFailed {
    /// It is told so.
    Refused,
    /// It means another ensemble. It is told nothing, so that it tries another server.
    OtherEnsemble,
}

/// The identity that every connection has: its address, as Java writes it.
pub fn address_id(address: IpAddr) -> Id {
    let text = match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let groups: Vec<String> = v6.segments().iter().map(|g| format!("{g:x}")).collect();
            groups.join(":")
        }
    };
    Id::new("ip", text)
}

impl AuthRules {
    /// The identities of a connection after an auth packet.
    ///
    /// # Errors
    /// When the scheme is unknown or refuses, the client means another ensemble, or the connection has too many
    /// identities.
    pub fn authenticate(
        &self,
        ids: &Arc<[Id]>,
        address: IpAddr,
        packet: &AuthPacket<'_>,
    ) -> Result<Arc<[Id]>, AuthFailed> {
        let added = match (packet.scheme.as_bytes(), self.digest, &self.ensemble) {
            (b"digest", Some(algorithm), _) => {
                self.digest_ids(algorithm, packet.auth.ok_or(AuthFailed::Refused)?)
            }
            (b"ip", ..) => vec![address_id(address)],
            // Its certificate, if it showed one, has said so already.
            (b"x509", ..) if self.x509.is_some() && has_scheme(ids, "x509") => Vec::new(),
            (b"ensemble", _, Some(names)) => {
                is_among(packet.auth.unwrap_or_default(), names)?;
                Vec::new()
            }
            _ => return Err(AuthFailed::Refused),
        };
        with_ids(ids, added).ok_or(AuthFailed::Refused)
    }

    /// Whether a connection with these identities may do anything.
    pub fn admits(&self, ids: &[Id]) -> bool {
        self.enforced.is_empty() || self.enforced.iter().any(|scheme| has_scheme(ids, scheme))
    }

    fn digest_ids(&self, algorithm: DigestAlgorithm, auth: &[u8]) -> Vec<Id> {
        let id = digest_id(algorithm, auth);
        let mut ids = Vec::with_capacity(2);
        if self.super_digest.as_ref() == Some(&id) {
            ids.push(Id::new("super", ""));
        }
        ids.push(Id::new("digest", id));
        ids
    }
}

/// Identities with further ones among them; `None` if those are too many for one connection.
pub(super) fn with_ids(ids: &[Id], added: Vec<Id>) -> Option<Arc<[Id]>> {
    let mut all: Vec<Id> = ids.to_vec();
    all.extend(added.into_iter().filter(|id| !ids.contains(id)));
    let bytes: usize = all.iter().map(|id| id.scheme.len() + id.id.len()).sum();
    let fit = all.len() <= IDS_PER_CONNECTION_MAX && bytes <= ID_BYTES_PER_CONNECTION_MAX;
    fit.then(|| all.into())
}

fn has_scheme(ids: &[Id], scheme: &str) -> bool {
    ids.iter().any(|id| id.scheme == scheme)
}

/// Whether the client means this ensemble; one that names none does. Nobody is identified by it.
fn is_among(name: &[u8], names: &[String]) -> Result<(), AuthFailed> {
    let is_known = || names.iter().any(|known| known.as_bytes() == name);
    match name.is_empty() || names.is_empty() || is_known() {
        true => Ok(()),
        false => Err(AuthFailed::OtherEnsemble),
    }
}

/// The id that `user:password` has: the user and the digest of the whole text.
pub fn digest_id(algorithm: DigestAlgorithm, auth: &[u8]) -> BString {
    let user = auth.split_once_str(":").map_or(auth, |(user, _)| user);
    let mut id = BString::from(user);
    id.push(b':');
    let digest = match algorithm {
        DigestAlgorithm::Sha1 => STANDARD.encode(Sha1::digest(auth)),
        DigestAlgorithm::Sha256 => STANDARD.encode(Sha256::digest(auth)),
        DigestAlgorithm::Sha384 => STANDARD.encode(Sha384::digest(auth)),
        DigestAlgorithm::Sha512 => STANDARD.encode(Sha512::digest(auth)),
    };
    id.extend_from_slice(digest.as_bytes());
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use bstr::BStr;

    fn packet<'a>(scheme: &'a str, auth: &'a [u8]) -> AuthPacket<'a> {
        AuthPacket {
            kind: 0,
            scheme: BStr::new(scheme),
            auth: Some(auth),
        }
    }

    fn localhost() -> IpAddr {
        IpAddr::from([127, 0, 0, 1])
    }

    #[test]
    fn a_digest_id_is_the_one_a_java_server_makes() {
        for (algorithm, id) in [
            (DigestAlgorithm::Sha1, "alice:V55/p2T0OpjQ+low3NVAH4aLvm0="),
            (
                DigestAlgorithm::Sha256,
                "alice:uoe2aAb9LQtvXhepi1lfNPruBxd4qoF/snHQYhTtJPk=",
            ),
            (
                DigestAlgorithm::Sha384,
                "alice:obrJdsrrXux7gwjr8eA2jLJsq0VsBBdq3SeMGGXvfNAr5rrcy+bTb8v3of/HeplK",
            ),
            (
                DigestAlgorithm::Sha512,
                "alice:Dy+ldnWTPqe5lc/88JWjKlcZZcOKhoR941elGR9UJRs4r/GIzEuN2uestnN0NuQa\
                 fJFo1SZVatgsuneUhNP0dA==",
            ),
        ] {
            assert_eq!(digest_id(algorithm, b"alice:pw"), id);
        }
    }

    #[test]
    fn addresses_are_written_as_java_writes_them() {
        for (address, text) in [
            ("10.1.2.3", "10.1.2.3"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            ("2001:db8::a", "2001:db8:0:0:0:0:0:a"),
        ] {
            assert_eq!(address_id(address.parse().unwrap()), Id::new("ip", text));
        }
    }

    #[test]
    fn only_the_holder_of_the_super_digest_becomes_super() {
        let rules = AuthRules {
            super_digest: Some(digest_id(DigestAlgorithm::Sha512, b"root:secret")),
            digest: Some(DigestAlgorithm::Sha512),
            ..AuthRules::default()
        };
        let ids: Arc<[Id]> = Arc::from([address_id(localhost())]);
        let ordinary = rules.authenticate(&ids, localhost(), &packet("digest", b"root:guess"));
        assert!(ordinary.unwrap().iter().all(|id| id.scheme != "super"));
        let root = rules.authenticate(&ids, localhost(), &packet("digest", b"root:secret"));
        assert!(root.unwrap().contains(&Id::new("super", "")));
    }

    #[test]
    fn an_unknown_scheme_and_a_flood_of_identities_are_refused() {
        let rules = AuthRules {
            digest: Some(DigestAlgorithm::Sha1),
            ..AuthRules::default()
        };
        let mut ids: Arc<[Id]> = Arc::from([address_id(localhost())]);
        assert_eq!(
            rules.authenticate(&ids, localhost(), &packet("world", b"anyone")),
            Err(AuthFailed::Refused)
        );
        for number in 1..IDS_PER_CONNECTION_MAX {
            let auth = format!("user{number}:pw");
            ids = rules
                .authenticate(&ids, localhost(), &packet("digest", auth.as_bytes()))
                .unwrap();
        }
        assert_eq!(
            rules.authenticate(&ids, localhost(), &packet("digest", b"one:more")),
            Err(AuthFailed::Refused)
        );
    }

    #[test]
    fn a_client_of_this_ensemble_is_let_in_without_an_id_and_one_of_another_is_told_nothing() {
        let ids: Arc<[Id]> = Arc::from([address_id(localhost())]);
        let outcome = |names: Option<&[&str]>, auth: &[u8]| {
            let names = names.map(|names| names.iter().map(ToString::to_string).collect());
            let rules = AuthRules {
                ensemble: names,
                ..AuthRules::default()
            };
            rules.authenticate(&ids, localhost(), &packet("ensemble", auth))
        };
        let let_in = Ok(Arc::clone(&ids));
        assert_eq!(outcome(Some(&["a", "b"]), b"b"), let_in);
        assert_eq!(outcome(Some(&["a", "b"]), b""), let_in);
        assert_eq!(outcome(Some(&[]), b"whichever"), let_in);
        assert_eq!(
            outcome(Some(&["a", "b"]), b"c"),
            Err(AuthFailed::OtherEnsemble)
        );
        assert_eq!(outcome(None, b"a"), Err(AuthFailed::Refused));
    }

    #[test]
    fn with_enforced_schemes_only_their_identities_admit() {
        let rules = AuthRules {
            digest: Some(DigestAlgorithm::Sha1),
            enforced: vec!["digest".into()],
            ..AuthRules::default()
        };
        let ids: Arc<[Id]> = Arc::from([address_id(localhost())]);
        assert!(!rules.admits(&ids));
        let ids = rules
            .authenticate(&ids, localhost(), &packet("digest", b"a:b"))
            .unwrap();
        assert!(rules.admits(&ids));
    }
}
