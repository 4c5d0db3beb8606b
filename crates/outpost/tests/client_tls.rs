//! Ports for TLS, over sockets: who is let in, who waits, and what operators see of them. Nobody leads here; clients
//! ask for nothing but four-letter words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a scenario that cannot go on fails its test"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use outpost::config::Config;
use outpost::serve::Service;
use outpost::stats::Handshakes;
use outpost::{Outpost, StartError};
use outpost_wire::{Id, ServerId};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing here takes this long: a test that waits so long has failed.
const LIMIT: Duration = Duration::from_secs(30);
/// Nobody listens at port 1.
const NOBODY: &str = "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:1:2\nserver.3=127.0.0.1:1:2\n";

/// Whose certificates are believed.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    own: CertificateDer<'static>,
    own_pem: String,
}

/// A certificate with its key.
struct Certified {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        Authority {
            own: own.der().clone(),
            own_pem: own.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn vouch(&self, name: &str) -> Certified {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = named(name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certified {
            chain: vec![certificate.der().clone()],
            pem: key.serialize_pem() + &certificate.pem(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    /// A client that believes this authority, and shows that certificate if it has one.
    fn client(&self, shown: Option<Certified>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.own.clone()).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let config = match shown {
            Some(shown) => builder
                .with_client_auth_cert(shown.chain, shown.key)
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        TlsConnector::from(Arc::new(config))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// A running server with a port for each kind of client.
struct Server {
    plain: SocketAddr,
    secure: SocketAddr,
    service: Arc<Service>,
    dir: PathBuf,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), StartError>>,
}

impl Server {
    async fn start(authority: &Authority, lines: &str) -> Server {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("client-tls-{}-{count}", std::process::id());
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("own.pem"), authority.vouch("server").pem).unwrap();
        std::fs::write(dir.join("trust.pem"), &authority.own_pem).unwrap();
        let outpost = Outpost::build(configuration(&dir, lines)).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        Server {
            plain: outpost.client_address().unwrap(),
            secure: outpost.secure_client_address().unwrap(),
            service: Arc::clone(outpost.service()),
            dir,
            stop,
            running: tokio::spawn(outpost.run(async {
                let _ = stopped.await;
            })),
        }
    }

    fn figure(&self, of: fn(&Handshakes) -> &AtomicU64) -> u64 {
        of(&self.service.stats.handshakes).load(Ordering::Relaxed)
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        let ended = timeout(LIMIT, self.running).await.unwrap();
        ended.unwrap().unwrap();
        std::fs::remove_dir_all(self.dir).unwrap();
    }
}

fn configuration(dir: &Path, lines: &str) -> Config {
    let shown = dir.display();
    let text = format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={shown}\nclientPort=0\nclientPortAddress=127.0.0.1\n\
         secureClientPort=0\nsecureClientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
         metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=0\noutpost.workers=1\n\
         ssl.keyStore.location={shown}/own.pem\nssl.trustStore.location={shown}/trust.pem\n\
         4lw.commands.whitelist=*\n{NOBODY}{lines}"
    );
    let path = dir.join("zoo.cfg");
    std::fs::write(&path, text).unwrap();
    Config::load(&path, Some(ServerId(9)), std::iter::empty())
        .unwrap()
        .config
}

async fn over_tls(
    server: SocketAddr,
    client: &TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server).await?;
    let name = ServerName::try_from("localhost").unwrap();
    timeout(LIMIT, client.connect(name, stream)).await.unwrap()
}

/// Asks whether anybody is there.
async fn ruok(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<String> {
    stream.write_all(b"ruok").await?;
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer))
        .await
        .unwrap()?;
    Ok(answer)
}

async fn is_served(server: SocketAddr, client: &TlsConnector) -> bool {
    match over_tls(server, client).await {
        Ok(mut stream) => ruok(&mut stream).await.is_ok_and(|answer| answer == "imok"),
        Err(_) => false,
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_demanded_wished_for_or_not_asked_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let client = || authority.client(Some(authority.vouch("client")));
    let nameless = || authority.client(None);
    let unknown = || authority.client(Some(stranger.vouch("client")));
    for (lines, known, without, foreign) in [
        ("", true, false, false),
        ("ssl.clientAuth=need\n", true, false, false),
        ("ssl.clientAuth=want\n", true, true, false),
        ("ssl.clientAuth=none\n", true, true, true),
    ] {
        let server = Server::start(&authority, lines).await;
        assert_eq!(is_served(server.secure, &client()).await, known, "{lines}");
        assert_eq!(
            is_served(server.secure, &nameless()).await,
            without,
            "{lines}"
        );
        assert_eq!(
            is_served(server.secure, &unknown()).await,
            foreign,
            "{lines}"
        );
        let failed = [known, without, foreign]
            .into_iter()
            .filter(|served| !served)
            .count() as u64;
        // A client is told before it is counted.
        until(|| server.figure(|handshakes| &handshakes.failed) == failed).await;
        until(|| server.service.stats.auth_failed.load(Ordering::Relaxed) == failed).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_client_s_certificate_must_be_made_out_for_where_it_comes_from_if_that_is_asked() {
    let authority = Authority::new();
    // Every certificate here is made out for `localhost`, and for no address.
    let client = || authority.client(Some(authority.vouch("client")));
    for (lines, served) in [
        ("", true),
        ("ssl.clientHostnameVerification=true\n", false),
        (
            "ssl.clientHostnameVerification=true\nssl.allowReverseDnsLookup=true\n",
            true,
        ),
        (
            "ssl.clientHostnameVerification=true\nssl.hostnameVerification=false\n",
            true,
        ),
        (
            "ssl.clientHostnameVerification=true\nssl.clientAuth=want\n",
            false,
        ),
    ] {
        let server = Server::start(&authority, lines).await;
        assert_eq!(is_served(server.secure, &client()).await, served, "{lines}");
        until(|| server.figure(|handshakes| &handshakes.failed) == u64::from(!served)).await;
        // Whoever may show none is asked nothing.
        if lines.contains("want") {
            assert!(is_served(server.secure, &authority.client(None)).await);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn garbage_at_a_port_for_tls_is_closed_and_counted_and_others_are_served() {
    let authority = Authority::new();
    let server = Server::start(&authority, "").await;
    let client = authority.client(Some(authority.vouch("client")));
    let connect_request = [&[0, 0, 0, 45][..], &[0; 45]].concat();
    let hello_of_nothing = [&[0x16, 3, 1, 2, 0][..], &[0xff; 512]].concat();
    let garbage: [&[u8]; 5] = [
        b"ruok",
        b"GET / HTTP/1.1\r\n\r\n",
        &connect_request,
        &hello_of_nothing,
        &[0x80, 0x2e, 1, 3, 0, 0],
    ];
    for (n, bytes) in garbage.into_iter().enumerate() {
        let mut stream = TcpStream::connect(server.secure).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(LIMIT, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        assert!(!answer.starts_with(b"imok"));
        until(|| server.figure(|handshakes| &handshakes.failed) == n as u64 + 1).await;
    }
    assert!(is_served(server.secure, &client).await);
    assert_eq!(server.figure(|handshakes| &handshakes.outstanding), 0);
    server.stop().await;
}

/// Connections that never say a whole hello.
async fn two_hundred_silent(server: SocketAddr) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(server).await.unwrap();
        if n % 2 == 0 {
            // It may be closed by now.
            let _ = stream.write_all(&[0x16, 3, 1]).await;
        }
        silent.push(stream);
    }
    silent
}

#[tokio::test]
async fn p6_whoever_says_no_hello_is_closed_when_its_time_is_over_and_keeps_nobody_out() {
    let authority = Authority::new();
    let lines = |detection_ms: u32| {
        format!(
            "ssl.handshakeDetectionTimeoutMillis={detection_ms}\nmaxClientCnxns=0\n\
             netty.server.outstandingHandshake.limit=1\n"
        )
    };
    // So long that all are there together, however slow the machine.
    let server = Server::start(&authority, &lines(600_000)).await;
    let silent = two_hundred_silent(server.secure).await;
    until(|| server.figure(|handshakes| &handshakes.outstanding) == 200).await;
    let client = authority.client(Some(authority.vouch("client")));
    assert!(is_served(server.secure, &client).await);
    drop(silent);
    server.stop().await;

    let server = Server::start(&authority, &lines(300)).await;
    for mut stream in two_hundred_silent(server.secure).await {
        let _ = timeout(LIMIT, stream.read_to_end(&mut Vec::new()))
            .await
            .unwrap();
    }
    until(|| server.figure(|handshakes| &handshakes.failed) == 200).await;
    assert_eq!(server.figure(|handshakes| &handshakes.outstanding), 0);
    server.stop().await;
}

/// What a client says first.
async fn hello(client: &TlsConnector) -> Vec<u8> {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = tokio::spawn(client.clone().connect(name, near));
    let mut hello = vec![0; 1 << 16];
    let length = far.read(&mut hello).await.unwrap();
    connecting.abort();
    hello.truncate(length);
    hello
}

#[tokio::test]
async fn p6_hands_are_shaken_with_as_many_as_may_and_the_next_waits_for_its_turn() {
    let authority = Authority::new();
    let server = Server::start(&authority, "netty.server.outstandingHandshake.limit=1\n").await;
    let client = authority.client(Some(authority.vouch("client")));
    let mut half = TcpStream::connect(server.secure).await.unwrap();
    half.write_all(&hello(&client).await).await.unwrap();
    // Its answer shows that it has its turn.
    half.read_u8().await.unwrap();
    let (second, address) = (client.clone(), server.secure);
    let second = tokio::spawn(async move { is_served(address, &second).await });
    until(|| server.figure(|handshakes| &handshakes.outstanding) == 2).await;
    assert_eq!(server.figure(|handshakes| &handshakes.done), 0);
    drop(half);
    assert!(timeout(LIMIT, second).await.unwrap().unwrap());
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_with_its_session_of_tls_and_is_still_who_it_was() {
    let authority = Authority::new();
    let server = Server::start(&authority, "").await;
    let client = authority.client(Some(authority.vouch("alice")));
    for resumed in [0, 1, 2] {
        let mut stream = over_tls(server.secure, &client).await.unwrap();
        until(|| server.service.clients.len() == 1).await;
        {
            let known = server.service.clients.all();
            let state = known[0].state();
            let expected = [Id::new("ip", "127.0.0.1"), Id::new("x509", "CN=alice")];
            assert_eq!(*state.ids, expected);
        }
        assert_eq!(server.figure(|handshakes| &handshakes.resumed), resumed);
        // The ticket for the next time is read with the answer.
        assert_eq!(ruok(&mut stream).await.unwrap(), "imok");
        until(|| server.service.clients.is_empty()).await;
    }
    assert_eq!(server.figure(|handshakes| &handshakes.done), 3);
    server.stop().await;
}

#[tokio::test]
async fn new_clients_see_a_certificate_that_was_renewed_and_those_that_are_there_stay() {
    let authority = Authority::new();
    let server = Server::start(&authority, "").await;
    let client = authority.client(Some(authority.vouch("client")));
    let mut early = over_tls(server.secure, &client).await.unwrap();
    let renewed = authority.vouch("server");
    std::fs::write(server.dir.join("own.pem"), &renewed.pem).unwrap();
    let seen = async {
        loop {
            // Without a session of TLS to go on with, which would show what was seen before.
            let fresh = authority.client(Some(authority.vouch("client")));
            let stream = over_tls(server.secure, &fresh).await.unwrap();
            let shown = stream.get_ref().1.peer_certificates().unwrap();
            if shown[0] == renewed.chain[0] {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, seen).await.unwrap();
    assert_eq!(ruok(&mut early).await.unwrap(), "imok");
    server.stop().await;
}

#[tokio::test]
async fn one_port_serves_both_kinds_where_ports_are_unified() {
    let authority = Authority::new();
    let server = Server::start(&authority, "client.portUnification=true\n").await;
    let client = authority.client(Some(authority.vouch("client")));
    assert!(is_served(server.plain, &client).await);
    assert!(is_served(server.secure, &client).await);
    let mut plain = TcpStream::connect(server.plain).await.unwrap();
    assert_eq!(ruok(&mut plain).await.unwrap(), "imok");
    assert_eq!(server.figure(|handshakes| &handshakes.failed), 0);
    assert_eq!(server.service.stats.plain_local.load(Ordering::Relaxed), 2);
    server.stop().await;

    // One that takes its time is taken for a plain one.
    let lines = "client.portUnification=true\nssl.handshakeDetectionTimeoutMillis=50\n";
    let server = Server::start(&authority, lines).await;
    let mut slow = TcpStream::connect(server.plain).await.unwrap();
    until(|| server.service.clients.len() == 1).await;
    assert_eq!(ruok(&mut slow).await.unwrap(), "imok");
    assert_eq!(server.figure(|handshakes| &handshakes.failed), 0);
    assert_eq!(server.service.stats.plain_local.load(Ordering::Relaxed), 1);
    server.stop().await;
}

#[tokio::test]
async fn connections_that_wait_for_their_handshake_count_among_all() {
    let authority = Authority::new();
    let server = Server::start(&authority, "maxCnxns=1\n").await;
    let first = TcpStream::connect(server.secure).await.unwrap();
    until(|| server.figure(|handshakes| &handshakes.outstanding) == 1).await;
    for address in [server.secure, server.plain] {
        let mut second = TcpStream::connect(address).await.unwrap();
        let read = timeout(LIMIT, second.read(&mut [0])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)));
    }
    drop(first);
    server.stop().await;
}

#[tokio::test]
async fn a_drain_does_not_wait_for_those_who_have_not_shaken_hands() {
    let authority = Authority::new();
    let server = Server::start(&authority, "outpost.drainTimeout=600000\n").await;
    let mut silent = TcpStream::connect(server.secure).await.unwrap();
    until(|| server.figure(|handshakes| &handshakes.outstanding) == 1).await;
    server.stop().await;
    assert!(matches!(silent.read(&mut [0]).await, Ok(0) | Err(_)));
}
