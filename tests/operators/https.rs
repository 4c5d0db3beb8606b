//! The admin server over TLS, beside a Java observer's with the same stores.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use outpost_tests::observer::outpost_binary;
use outpost_tests::run_dir::RunDir;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http;
use crate::pair::{Pair, Side};

const LIMIT: Duration = Duration::from_secs(30);

/// An authority, the servers' store, and the store with whom they believe, as PEM files.
struct Stores {
    authority: CertifiedIssuer<'static, KeyPair>,
    dir: RunDir,
}

impl Stores {
    fn new() -> Stores {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let stores = Stores {
            authority,
            dir: RunDir::new("https"),
        };
        fs::write(stores.path("trust.pem"), stores.authority.pem()).unwrap();
        fs::write(stores.path("server.pem"), stores.issue("server")).unwrap();
        stores
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// A key and a certificate for it, in one text.
    fn issue(&self, name: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        format!("{}{}", key.serialize_pem(), certificate.pem())
    }

    /// Lines for a `zoo.cfg`.
    fn lines(&self) -> Vec<String> {
        let store = |key: &str, path: &Path| {
            [
                format!("ssl.quorum.{key}.location={}", path.display()),
                format!("ssl.quorum.{key}.type=PEM"),
            ]
        };
        let key = store("keyStore", &self.path("server.pem"));
        let trust = store("trustStore", &self.path("trust.pem"));
        key.into_iter().chain(trust).collect()
    }

    /// A client that believes the authority, and shows a certificate of its if asked and `known`.
    fn client(&self, known: bool) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let text = self.issue("operator");
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
        Arc::new(match known {
            true => builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap(),
            false => builder.with_no_client_auth(),
        })
    }
}

/// The first line of the answer to `ruok` and its error, or why there is none.
fn ask(server: SocketAddr, client: Arc<ClientConfig>) -> Result<String, String> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(client, name).unwrap();
    let socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let request = "GET /commands/ruok HTTP/1.0\r\nHost: h\r\n\r\n";
    stream
        .write_all(request.as_bytes())
        .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    match answer.contains("\"error\" : null") {
        true => Ok(answer.lines().next().unwrap_or_default().to_owned()),
        false => Err(format!("{read:?} {answer}")),
    }
}

fn start(stores: &Stores, lines: &[&str]) -> Pair {
    let stores = stores.lines();
    let lines: Vec<&str> = stores
        .iter()
        .map(String::as_str)
        .chain(lines.iter().copied())
        .collect();
    Pair::start(&lines)
}

/// Whether a port answers plain HTTP.
fn answers_plainly(side: &Side) -> bool {
    http::try_get(side.admin, "/commands/ruok").is_some_and(|answer| answer.status == 200)
}

#[test]
fn one_port_speaks_http_and_https_with_the_ensembles_certificate() {
    let stores = Stores::new();
    let pair = start(&stores, &["admin.portUnification=true"]);
    for side in [&pair.java, &pair.outpost] {
        let who = side.observer.kind();
        let answer = ask(side.admin, stores.client(false));
        assert!(
            answer.as_ref().is_ok_and(|line| line.contains("200")),
            "{who:?}: {answer:?}"
        );
        assert!(answers_plainly(side), "{who:?}");
    }
}

#[test]
fn a_forced_port_speaks_https_alone_and_serves_only_who_has_a_certificate_where_one_is_needed() {
    let stores = Stores::new();
    let pair = start(
        &stores,
        &["admin.forceHttps=true", "admin.needClientAuth=true"],
    );
    let strangers = Stores::new();
    for side in [&pair.java, &pair.outpost] {
        let who = side.observer.kind();
        let known = ask(side.admin, stores.client(true));
        assert!(
            known.as_ref().is_ok_and(|line| line.contains("200")),
            "{who:?}: {known:?}"
        );
        let unknown = ask(side.admin, stores.client(false));
        assert!(unknown.is_err(), "{who:?}: {unknown:?}");
        assert!(ask(side.admin, strangers.client(true)).is_err(), "{who:?}");
        assert!(!answers_plainly(side), "{who:?}");
    }
    // A health check has the same configuration, and with it the certificate.
    let mut health = Command::new(outpost_binary());
    health.arg("health").arg(pair.outpost.observer.config());
    let output = health.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.starts_with("ready"),
        "{output:?}"
    );
    fs::write(stores.path("server.pem"), strangers.issue("server")).unwrap();
    let output = health.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("no answer from"),
        "{output:?}"
    );
}
