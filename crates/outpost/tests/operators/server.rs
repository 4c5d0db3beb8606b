//! A server in this process, and the two ways in which operators ask it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use outpost::config::Config;
use outpost::serve::Service;
use outpost::{Outpost, StartError};
use outpost_wire::ServerId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing here takes this long: a test that waits so long has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Voters that are not there: nobody listens on ports 1 and 2.
pub(crate) const NOBODY: &str =
    "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:1:2\nserver.3=127.0.0.1:1:2\n";

/// A running server.
pub(crate) struct Server {
    pub(crate) clients: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) service: Arc<Service>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), StartError>>,
}

impl Server {
    /// Starts a server with the least configuration and `lines`, on ports that the system chooses.
    pub(crate) async fn start(lines: &str) -> Server {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "operators-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort=0\n\
             clientPortAddress=127.0.0.1\nadmin.serverAddress=127.0.0.1\nadmin.serverPort=0\n\
             metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=0\noutpost.workers=2\n{lines}",
            dir.display()
        );
        let path = dir.join("zoo.cfg");
        std::fs::write(&path, text).unwrap();
        let loaded = Config::load(&path, Some(ServerId(9)), std::iter::empty()).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let outpost = Outpost::build(loaded.config).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        Server {
            clients: outpost.client_address().unwrap(),
            admin: outpost.admin_address().unwrap(),
            metrics: outpost.metrics_address().unwrap(),
            service: Arc::clone(outpost.service()),
            stop,
            running: tokio::spawn(outpost.run(async {
                let _ = stopped.await;
            })),
        }
    }

    /// What a word is answered.
    pub(crate) async fn word(&self, word: &str) -> String {
        exchange(self.clients, word.as_bytes()).await
    }

    /// What the admin server answers to GET: the status and the body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        get(self.admin, path).await
    }

    /// Stops it and waits until it has ended.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        timeout(LIMIT, self.running)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

/// GET: the status and the body.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n");
    let answer = exchange(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Sends something, and reads until the other end closes.
pub(crate) async fn exchange(address: SocketAddr, question: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(question).await.unwrap();
    read_to_end(&mut stream).await
}

/// Reads until the other end closes, one way or another.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is cut with input unread is reset; what came before that counts.
    let _ = timeout(LIMIT, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8(answer).unwrap()
}
