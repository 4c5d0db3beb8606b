//! For the tests of this module: authorities, and certificates of every kind, made in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection};

use crate::config::{Password, Secret, Store, StoreKind};

/// Somebody who vouches for others.
pub(super) struct Authority {
    pub(super) pem: String,
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// Somebody with a certificate.
pub(super) struct Certified {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: KeyPair,
}

impl Certified {
    /// Key and certificate, one behind the other.
    pub(super) fn pem(&self) -> String {
        let certificate = base64::prelude::BASE64_STANDARD.encode(&self.certificate);
        let key = self.key.serialize_pem();
        format!("{key}-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n")
    }

    pub(super) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let params = authority(name);
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Another authority, for which this one vouches.
    pub(super) fn deputy(&self, name: &str) -> Authority {
        let own = self.vouch(&authority(name));
        Authority {
            pem: own.pem(),
            certificate: own.certificate,
            issuer: Issuer::new(authority(name), own.key),
        }
    }

    pub(super) fn vouch(&self, params: &CertificateParams) -> Certified {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Certified { certificate, key }
    }
}

/// What nobody but itself vouches for.
pub(super) fn self_signed(params: &CertificateParams) -> Certified {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    Certified { certificate, key }
}

/// A certificate for these names and addresses.
pub(super) fn made_out_for(hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name = called("somebody");
    params
}

/// A subject with this common name.
pub(super) fn called(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = called(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// Hands are shaken in memory with a server called `zk1`.
pub(super) fn shake_hands(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<ClientConnection, Error> {
    let mut client = ClientConnection::new(client, "zk1".try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut &bytes[..]).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok(client)
}

/// A directory for stores, gone when it is dropped.
pub(crate) struct Stores(PathBuf);

impl Stores {
    pub(crate) fn new() -> Stores {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("outpost-stores-{}-{count}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Stores(dir)
    }

    /// A file with this text, written in one go as a tool does that knows its trade.
    pub(crate) fn write(&self, name: &str, text: &str) -> Store {
        let (location, new) = (self.0.join(name), self.0.join("new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &location).unwrap();
        Store {
            location,
            kind: StoreKind::Pem,
            password: Password::Text(Secret::from(String::new())),
        }
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}
