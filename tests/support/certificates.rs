//! Certificates for servers and clients: an authority, and those it vouches for, each with a file in PEM that holds
//! its key and its chain, as servers, Java clients and Python clients read it alike.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

use crate::run_dir::RunDir;

/// Somebody whose certificates are believed. Its files go when it is dropped.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    dir: RunDir,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When its files cannot be written.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&[(DnType::CommonName, "an authority")]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        let dir = RunDir::new("certificates");
        fs::write(dir.path().join("trust.pem"), &certificate).expect("the directory is ours");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
            dir,
        }
    }

    /// The file with the authority's own certificate.
    pub fn trust_store(&self) -> PathBuf {
        self.dir.path().join("trust.pem")
    }

    /// The file of somebody with this common name, on this machine.
    pub fn vouch(&self, name: &str) -> PathBuf {
        self.vouch_for(name, &[(DnType::CommonName, name)])
    }

    /// The file `file` of somebody with this subject, on this machine.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn vouch_for(&self, file: &str, parts: &[(DnType, &str)]) -> PathBuf {
        let hosts = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
        let mut params = CertificateParams::new(hosts).expect("names of hosts");
        params.distinguished_name = subject(parts);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = certificate.expect("a certificate").pem();
        let path = self.dir.path().join(format!("{file}.pem"));
        let text = key.serialize_pem() + &certificate + &self.certificate;
        fs::write(&path, text).expect("the directory is ours");
        path
    }

    /// The lines of a `zoo.cfg` for a server that shows the certificate in `key_store`.
    pub fn lines(&self, key_store: &Path) -> Vec<String> {
        vec![
            format!("ssl.keyStore.location={}", key_store.display()),
            format!("ssl.trustStore.location={}", self.trust_store().display()),
        ]
    }

    /// What a client needs who shows the certificate in `key_store`, or none.
    pub fn client(&self, key_store: Option<PathBuf>) -> TlsClient {
        TlsClient {
            trust_store: self.trust_store(),
            key_store,
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// What a client that speaks TLS needs to know.
#[derive(Debug, Clone)]
pub struct TlsClient {
    /// Whom it believes.
    pub trust_store: PathBuf,
    /// Its key and certificate, if it has them.
    pub key_store: Option<PathBuf>,
}

impl TlsClient {
    /// The environment in which client programs find it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let trust = self.trust_store.display();
        let mut java = format!(
            "-Dzookeeper.client.secure=true \
             -Dzookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty \
             -Dzookeeper.ssl.trustStore.location={trust}"
        );
        let mut environment = vec![("TLS_TRUST_STORE".to_owned(), trust.to_string())];
        if let Some(key_store) = &self.key_store {
            let key_store = key_store.display();
            java += &format!(" -Dzookeeper.ssl.keyStore.location={key_store}");
            environment.push(("TLS_KEY_STORE".to_owned(), key_store.to_string()));
        }
        environment.push(("JAVA_TOOL_OPTIONS".to_owned(), java));
        environment
    }
}

fn subject(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), *value);
    }
    name
}
