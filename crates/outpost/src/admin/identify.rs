//! Who asks for a command that not everybody may run: the header `Authorization`, with a scheme of ZooKeeper's
//! ACLs and what it needs (`digest user:password`), held against the ACL of the root znode.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bstr::{BStr, ByteSlice};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderName};
use outpost_wire::proto::AuthPacket;
use outpost_wire::{Id, Perms};

use super::AdminServer;
use super::commands::Refusal;
use super::http::Asked;
use crate::serve::auth::address_id;

/// All that an ACL can give.
const RIGHTS: [Perms; 5] = [
    Perms::READ,
    Perms::WRITE,
    Perms::CREATE,
    Perms::DELETE,
    Perms::ADMIN,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl AdminServer {
    /// Lets through whom the root's ACL gives each of the five rights, as a Java server does since 3.9.4. Before,
    /// any of them was enough (CVE-2025-58457).
    ///
    /// # Errors
    /// In a Java server's words: nobody is named, or is not who they say, or has no right.
    pub(super) fn authorize(&self, asked: Asked<'_>) -> Result<(), Refusal> {
        const MISSING: &str = "Auth info is missing for the command";
        let said = asked.header(&AUTHORIZATION);
        let said = said.ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, MISSING))?;
        let ids = self
            .identify(said, asked)
            .ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "Not authenticated"))?;
        let acl = {
            let tree = self.service.mirror.read();
            let root = tree.node(BStr::new("/"));
            root.map(|root| root.acl().to_vec()).unwrap_or_default()
        };
        let rules = self.service.clients.rules();
        let has = |right: &Perms| outpost_mirror::allows(&acl, *right, &ids, rules);
        match RIGHTS.iter().all(has) {
            true => Ok(()),
            false => Err(Refusal::new(StatusCode::FORBIDDEN, "Not authorized")),
        }
    }

    /// The identities that `said` claims and proves; `None` if it does not.
    fn identify(&self, said: &str, asked: Asked<'_>) -> Option<Vec<Id>> {
        let (scheme, secret) = match said.split_once(' ') {
            Some((scheme, secret)) if !secret.contains(' ') => (scheme, Some(secret)),
            Some(_) => return None,
            None => (said, None),
        };
        let address = self.address(asked);
        match scheme {
            "ip" => Some(vec![address.into_id()]),
            "digest" => {
                let packet = AuthPacket {
                    kind: 0,
                    scheme: scheme.as_bytes().as_bstr(),
                    auth: Some(secret?.as_bytes()),
                };
                let nobody: Arc<[Id]> = Arc::from([]);
                let peer = asked.caller.address.ip();
                let rules = &self.service.settings.auth;
                let ids = rules.authenticate(&nobody, peer, &packet).ok()?;
                Some(ids.to_vec())
            }
            // There only where a certificate is demanded, and then it was found good.
            "x509" => {
                let shown = asked.caller.certificate.as_ref()?;
                let rules = self.service.settings.auth.x509.as_ref()?;
                rules.ids(shown, SystemTime::now()).ok()
            }
            _ => None,
        }
    }

    /// Where the question comes from: the other end of the connection, or with
    /// `IPAuthenticationProvider.usexforwardedfor` whom its proxy names first.
    fn address(&self, asked: Asked<'_>) -> Address {
        let forwarded = asked
            .header(&FORWARDED_FOR)
            .filter(|_| self.settings.forwarded_for)
            .and_then(|list| list.split(',').map(str::trim).find(|one| !one.is_empty()));
        match forwarded {
            None => Address::Known(asked.caller.address.ip()),
            Some(text) => match text.parse() {
                Ok(address) => Address::Known(address),
                Err(_) => Address::Text(text.to_owned()),
            },
        }
    }
}

/// An address, or what a proxy says instead of one.
enum Address {
    Known(IpAddr),
    Text(String),
}

impl Address {
    fn into_id(self) -> Id {
        match self {
            Address::Known(address) => address_id(address),
            Address::Text(text) => Id::new("ip", text),
        }
    }
}
