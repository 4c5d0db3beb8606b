//! The admin server over TLS, beside a Java observer's with the same stores.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use outpost_tests::observer::outpost_binary;
use outpost_tests::raw::RawClient;
use outpost_tests::run_dir::RunDir;
use outpost_tests::{Settings, four_letter, wait};
use outpost_wire::Perms;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::pair::{Pair, SESSION_MS, Side};
use crate::{http, snapshot};

const LIMIT: Duration = Duration::from_secs(30);
const X509: &str = "authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider";

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
        self.client_named(known.then_some("operator"))
    }

    fn client_named(&self, name: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match name {
            Some(name) => {
                let text = self.issue(name);
                let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
                let certificate = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(vec![certificate], key)
                    .unwrap()
            }
            None => builder.with_no_client_auth(),
        })
    }
}

/// The first line of the answer to `ruok` and its error, or why there is none.
fn ask(server: SocketAddr, client: Arc<ClientConfig>) -> Result<String, String> {
    let answer = said(server, client, "/commands/ruok", &[])?;
    match answer.contains("\"error\" : null") {
        true => Ok(answer.lines().next().unwrap_or_default().to_owned()),
        false => Err(answer),
    }
}

/// All that is answered, or why nothing is.
fn said(
    server: SocketAddr,
    client: Arc<ClientConfig>,
    path: &str,
    headers: &[&str],
) -> Result<String, String> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(client, name).unwrap();
    let socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let further: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.0\r\nHost: h\r\n{further}\r\n");
    stream
        .write_all(request.as_bytes())
        .map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    match answer.is_empty() {
        true => Err(format!("{read:?}")),
        false => Ok(String::from_utf8_lossy(&answer).into_owned()),
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

/// How many connections without TLS the admin port has counted, this one among them.
fn plain_connections(side: &Side) -> u64 {
    let answer = http::try_get(side.admin, "/commands/monitor").expect("answered");
    let monitor: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    monitor["insecure_admin_count"].as_u64().expect("counted")
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
        let before = plain_connections(side);
        ask(side.admin, stores.client(false)).expect("answered as before");
        // The question itself was a plain one.
        assert_eq!(plain_connections(side), before + 1, "{who:?}");
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

#[test]
fn who_may_have_a_snapshot_may_be_said_by_a_certificate_as_at_a_java_observer() {
    let stores = Stores::new();
    // A Java server looks at the stores for clients too before it believes a certificate here.
    let both = stores.lines();
    let mut lines: Vec<String> = both
        .iter()
        .map(|line| line.replace("ssl.quorum.", "ssl."))
        .collect();
    lines.extend(both);
    lines.extend(
        [
            X509,
            "X509AuthenticationProvider.superUser=CN=root",
            "admin.forceHttps=true",
            "admin.needClientAuth=true",
            "admin.rateLimiterIntervalInMS=0",
        ]
        .map(str::to_owned),
    );
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let settings = Settings {
        lines: vec![X509.to_owned()],
        ..Settings::default()
    };
    let pair = Pair::of(settings, &lines);
    let mut client = RawClient::connect(pair.outpost.observer.client_address(), SESSION_MS);
    client.authenticate("super:secret");
    let operators = snapshot::acl("x509", "CN=operator", Perms::ALL);
    snapshot::set_root_acl(&mut client, vec![operators]);
    let zxid = four_letter::zxid(pair.outpost.observer.client_address()).expect("it serves");
    pair.java.observer.wait_for_zxid(zxid);
    for (who, header, status) in [
        ("operator", &["Authorization: x509"][..], 200),
        ("operator", &["Authorization: x509 whatever"], 200),
        ("operator", &["Authorization: ip"], 403),
        ("operator", &[], 401),
        ("somebody", &["Authorization: x509"], 403),
        ("root", &["Authorization: x509"], 200),
    ] {
        for side in [&pair.java, &pair.outpost] {
            let client = stores.client_named(Some(who));
            let kind = side.observer.kind();
            let what = format!("{kind:?}: {who} with {header:?}");
            // A Java server gives one in each millisecond.
            let first = wait::until("a snapshot that is not limited", LIMIT, || {
                let client = Arc::clone(&client);
                let said = said(side.admin, client, "/commands/snapshot", header);
                let said = said.unwrap_or_else(|why| panic!("{what}: {why}"));
                let first = said.lines().next().unwrap_or_default().to_owned();
                (!first.contains(" 429 ")).then_some(first)
            });
            assert!(first.contains(&format!(" {status} ")), "{what}: {first}");
        }
    }
}
