//! Who is this: identities that a connection has and adds.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bstr::{BString, ByteSlice};
use outpost_wire::Id;
use outpost_wire::proto::AuthPacket;
use sha1::{Digest, Sha1};

use crate::limits::{ID_BYTES_PER_CONNECTION_MAX, IDS_PER_CONNECTION_MAX};

/// How clients may say who they are.
#[derive(Clone, Default)]
pub struct AuthRules {
    /// Whether scheme `digest` is offered.
    pub digest: bool,
    /// The digest id whose owner may do everything (`superDigest`).
    pub super_digest: Option<BString>,
    /// Schemes of which a connection needs an identity before it may do anything
    /// (`enforce.auth.schemes`); empty when nothing is enforced.
    pub enforced: Vec<String>,
}

/// The client could not be authenticated; it is told so, and its connection closed.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthFailed;

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
    /// When the scheme is unknown or refuses, or the connection has too many identities.
    pub fn authenticate(
        &self,
        ids: &Arc<[Id]>,
        address: IpAddr,
        packet: &AuthPacket<'_>,
    ) -> Result<Arc<[Id]>, AuthFailed> {
        let added = match packet.scheme.as_bytes() {
            b"digest" if self.digest => self.digest_ids(packet.auth.ok_or(AuthFailed)?),
            b"ip" => vec![address_id(address)],
            _ => return Err(AuthFailed),
        };
        let mut all: Vec<Id> = ids.to_vec();
        all.extend(added.into_iter().filter(|id| !ids.contains(id)));
        let bytes: usize = all.iter().map(|id| id.scheme.len() + id.id.len()).sum();
        if all.len() > IDS_PER_CONNECTION_MAX || bytes > ID_BYTES_PER_CONNECTION_MAX {
            return Err(AuthFailed);
        }
        Ok(all.into())
    }

    /// Whether a connection with these identities may do anything.
    pub fn admits(&self, ids: &[Id]) -> bool {
        self.enforced.is_empty()
            || ids.iter().any(|id| {
                self.enforced
                    .iter()
                    .any(|scheme| id.scheme == scheme.as_str())
            })
    }

    fn digest_ids(&self, auth: &[u8]) -> Vec<Id> {
        let id = digest_id(auth);
        let mut ids = Vec::with_capacity(2);
        if self.super_digest.as_ref() == Some(&id) {
            ids.push(Id::new("super", ""));
        }
        ids.push(Id::new("digest", id));
        ids
    }
}

/// The id that `user:password` has: the user and the digest of the whole text.
pub fn digest_id(auth: &[u8]) -> BString {
    let user = auth.split_once_str(":").map_or(auth, |(user, _)| user);
    let mut id = BString::from(user);
    id.push(b':');
    id.extend_from_slice(STANDARD.encode(Sha1::digest(auth)).as_bytes());
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
        assert_eq!(digest_id(b"alice:pw"), "alice:V55/p2T0OpjQ+low3NVAH4aLvm0=");
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
            digest: true,
            super_digest: Some(digest_id(b"root:secret")),
            enforced: Vec::new(),
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
            digest: true,
            ..AuthRules::default()
        };
        let mut ids: Arc<[Id]> = Arc::from([address_id(localhost())]);
        assert_eq!(
            rules.authenticate(&ids, localhost(), &packet("world", b"anyone")),
            Err(AuthFailed)
        );
        for number in 1..IDS_PER_CONNECTION_MAX {
            let auth = format!("user{number}:pw");
            ids = rules
                .authenticate(&ids, localhost(), &packet("digest", auth.as_bytes()))
                .unwrap();
        }
        assert_eq!(
            rules.authenticate(&ids, localhost(), &packet("digest", b"one:more")),
            Err(AuthFailed)
        );
    }

    #[test]
    fn with_enforced_schemes_only_their_identities_admit() {
        let rules = AuthRules {
            digest: true,
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
