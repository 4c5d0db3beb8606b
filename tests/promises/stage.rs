//! What stands around a test: a simulated ensemble, observers attached to it, and the links between them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bstr::{BStr, BString};
use outpost::Outpost;
use outpost::config::Config;
use outpost::serve::Service;
use outpost_forward::LinkStatus;
use outpost_mirror::Tree;
use outpost_sim::{Ensemble, EnsembleServer, Leader, ServerOptions};
use outpost_tests::Relay;
use outpost_tests::raw::{RawClient, Session};
use outpost_tests::run_dir::RunDir;
use outpost_wire::membership::Membership;
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::{OpCode, ServerId, SessionId, StatPersisted, Xid, Zxid};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// How long something may take that should come at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// Session timeout of clients that are not to expire, ms: longer than a [`RawClient`] waits for anything, so
/// that none is ever closed merely because it was silent.
pub(crate) const TIMEOUT_MS: i32 = 60_000;

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(1);

/// Asks `question` until it answers, and returns the answer.
pub(crate) fn until<T>(what: &str, limit: Duration, mut question: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(
            start.elapsed() < limit,
            "waited {limit:?} in vain for: {what}"
        );
        std::thread::sleep(PAUSE);
    }
}

/// The ensemble, and the runtime it lives on.
pub(crate) struct Site {
    pub(crate) runtime: Runtime,
    ensemble: EnsembleServer,
}

impl Site {
    /// Three servers that commit at once.
    pub(crate) fn new() -> Site {
        Site::with(ServerOptions::default())
    }

    pub(crate) fn with(options: ServerOptions) -> Site {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let options = ServerOptions {
            election: options.election.min(Duration::from_millis(50)),
            ..options
        };
        let ensemble = runtime
            .block_on(EnsembleServer::start(options))
            .expect("an ensemble");
        Site { runtime, ensemble }
    }

    /// Commits take so long.
    pub(crate) fn with_commit_delay(delay_ms: i64) -> Site {
        let mut options = ServerOptions::default();
        options.leader.commit_delay_ms = delay_ms;
        Site::with(options)
    }

    /// Does something with the ensemble.
    pub(crate) fn ensemble<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Ensemble, i64) -> R + Send + 'static,
    ) -> R {
        self.runtime
            .block_on(self.ensemble.with(act))
            .expect("the ensemble runs")
    }

    /// Does something with the leader, once there is one.
    pub(crate) fn leader<R: Send + 'static>(
        &self,
        act: impl Fn(&mut Leader, i64) -> R + Send + Clone + 'static,
    ) -> R {
        until("a leader", LIMIT, || {
            let act = act.clone();
            self.ensemble(move |ensemble, now_ms| {
                ensemble.leader_mut().map(|leader| act(leader, now_ms))
            })
        })
    }

    /// Sets a znode's data, creating it if need be, as a client of another server.
    pub(crate) fn write(&self, path: &str, data: &[u8]) -> Zxid {
        until("a leader to take a write", LIMIT, || {
            let written = self.ensemble.write_as_someone_else(path, data);
            self.runtime.block_on(written).ok()
        })
    }

    /// Ends the leadership; the next leader has everything that was committed.
    pub(crate) fn elect(&self) {
        self.leader(|leader, _| leader.id());
        assert!(self.runtime.block_on(self.ensemble.elect(None)));
    }

    /// A session at another server, for its client to bring along. It is there although commits may take for
    /// ever: an election commits it.
    pub(crate) fn make_session(&self, id: i64) -> Session {
        let id = SessionId(id);
        self.ask(id, OpCode::CreateSession, &TIMEOUT_MS.to_be_bytes());
        self.elect();
        Session {
            id,
            password: id.password().to_vec(),
            timeout_ms: TIMEOUT_MS,
        }
    }

    /// A request of a session at another server, which must not fail.
    pub(crate) fn ask(&self, session: SessionId, op: OpCode, body: &[u8]) -> Zxid {
        let body = body.to_vec();
        let outcome = self.leader(move |leader, now_ms| {
            let request = ForwardedRequest {
                session,
                cxid: Xid(0),
                op: op.code(),
                body: &body,
            };
            leader.submit(now_ms, ServerId(2), request, Some(&[]))
        });
        let outcome = outcome.expect("a request with a transaction");
        assert!(outcome.error.is_ok(), "{op:?} fails: {:?}", outcome.error);
        outcome.zxid
    }

    /// The ensemble's servers.
    pub(crate) fn membership(&self) -> Membership {
        self.ensemble.membership().clone()
    }

    /// The ensemble's servers as they are reached through links that can be cut.
    pub(crate) fn remote_members(&self) -> (Membership, Vec<Relay>) {
        let mut membership = self.ensemble.membership().clone();
        let mut links = Vec::new();
        for member in membership.members.values_mut() {
            for address in &mut member.addresses {
                let target = SocketAddr::from(([127, 0, 0, 1], address.quorum_port));
                let relay = Relay::start(target);
                address.quorum_port = relay.address().port();
                links.push(relay);
            }
        }
        (membership, links)
    }

    /// No learner did what would hurt a real ensemble (P9).
    pub(crate) fn assert_unharmed(&self) {
        assert_eq!(self.leader(|leader, _| leader.harm().cloned()), None);
    }

    /// An observer that is attached.
    pub(crate) fn observer(&self) -> Observer {
        self.observer_with(&[])
    }

    /// An observer that is attached, with further lines in its configuration.
    pub(crate) fn observer_with(&self, lines: &[&str]) -> Observer {
        let observer = Observer::start(self, lines, false);
        observer.wait_until_serving();
        observer
    }

    /// An observer that is attached through links that can be cut.
    pub(crate) fn remote_observer(&self, lines: &[&str]) -> Observer {
        let observer = Observer::start(self, lines, true);
        observer.wait_until_serving();
        observer
    }
}

/// A running observer.
pub(crate) struct Observer {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) service: Arc<Service>,
    /// One for each voter, where there are any.
    pub(crate) links: Vec<Relay>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _dir: RunDir,
}

impl Observer {
    /// Starts an observer and waits for nothing. `remote` puts a link that can be cut before each voter.
    pub(crate) fn start(site: &Site, lines: &[&str], remote: bool) -> Observer {
        let dir = RunDir::new("promises");
        let (membership, links) = match remote {
            true => site.remote_members(),
            false => (site.ensemble.membership().clone(), Vec::new()),
        };
        let file = dir.path().join("zoo.cfg");
        let text = zoo_cfg(dir.path(), &membership.to_text(), lines);
        fs::write(&file, text).expect("the configuration is written");
        let loaded = Config::load(&file, Some(ServerId(10)), std::iter::empty())
            .unwrap_or_else(|complaints| panic!("{complaints}"));
        let (ready, built) = std::sync::mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || live(loaded.config, &ready, stopped));
        let (service, address, admin) = built.recv().expect("the observer starts");
        Observer {
            address,
            admin,
            service,
            links,
            stop: Some(stop),
            thread: Some(thread),
            _dir: dir,
        }
    }

    pub(crate) fn status(&self) -> &LinkStatus {
        self.service.link.status()
    }

    pub(crate) fn wait_until_serving(&self) {
        until("the observer to serve clients", LIMIT, || {
            self.service.clients.serving()
        });
    }

    /// Waits until the mirror has this transaction.
    pub(crate) fn wait_for(&self, zxid: Zxid) {
        until("the mirror to have a transaction", LIMIT, || {
            (self.service.mirror.read().last_zxid() >= zxid).then_some(())
        });
    }

    /// Opens a session; while clients are not served it is asked for again.
    pub(crate) fn client(&self) -> RawClient {
        self.client_with(TIMEOUT_MS)
    }

    pub(crate) fn client_with(&self, timeout_ms: i32) -> RawClient {
        until("a session", LIMIT, || {
            RawClient::try_connect(self.address, timeout_ms).ok()
        })
    }

    pub(crate) fn watch_count(&self) -> usize {
        self.service.mirror.read().watches().count()
    }

    /// What an HTTP server answers to a GET: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).expect("the admin port listens");
        stream.set_read_timeout(Some(LIMIT)).expect("set");
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        (status.expect("a status"), body.to_owned())
    }

    /// The value of one metric.
    pub(crate) fn gauge(&self, name: &str) -> f64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200);
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or_else(|| panic!("{name} is no metric of\n{text}"))
    }

    /// Tells it to end, as SIGTERM does, and returns at once.
    pub(crate) fn begin_shutdown(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails if it has ended by itself; then waiting for it tells.
            let _ = stop.send(());
        }
    }

    /// Waits until it has ended.
    pub(crate) fn wait_for_end(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the observer ends without a panic");
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        for link in &self.links {
            link.heal();
        }
        self.begin_shutdown();
        if !std::thread::panicking() {
            self.wait_for_end();
        }
    }
}

type Built = (Arc<Service>, SocketAddr, SocketAddr);

/// The life of an observer, on a runtime of its own as in the real process.
fn live(
    config: Config,
    ready: &std::sync::mpsc::SyncSender<Built>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let outpost = Outpost::build(config).await.expect("every port is bound");
        let address = outpost.client_address().expect("a client port");
        let admin = outpost.admin_address().expect("an admin port");
        let service = Arc::clone(outpost.service());
        ready.send((service, address, admin)).expect("awaited");
        let shutdown = async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        };
        outpost.run(shutdown).await.expect("workers start");
    });
}

/// The text of a configuration: the ensemble's members, these lines, and whatever else a test needs.
///
/// A leader that is silent is not given up, unless a test asks for that: here it may merely have got no processor.
pub(crate) fn zoo_cfg(data_dir: &std::path::Path, members: &str, lines: &[&str]) -> String {
    let keys = lines.join("\n");
    let own = |key: &str| {
        lines
            .iter()
            .any(|line| line.starts_with(&format!("{key}=")))
    };
    let mut text = format!("dataDir={}\n{members}\n{keys}\n", data_dir.display());
    for (key, value) in [
        ("tickTime", "1000"),
        ("initLimit", "10"),
        ("syncLimit", "10"),
        ("clientPort", "0"),
        ("clientPortAddress", "127.0.0.1"),
        ("admin.serverAddress", "127.0.0.1"),
        ("admin.serverPort", "0"),
        ("metricsProvider.httpHost", "127.0.0.1"),
        ("metricsProvider.httpPort", "0"),
        ("maxSessionTimeout", "60000"),
        ("outpost.linkTimeout", "60000"),
        ("maxClientCnxns", "0"),
        ("4lw.commands.whitelist", "*"),
        ("outpost.workers", "2"),
    ] {
        if !own(key) {
            text.push_str(&format!("{key}={value}\n"));
        }
    }
    text
}

/// Everything about a znode that all servers agree on.
type Contents = BTreeMap<BString, (Option<Vec<u8>>, StatPersisted)>;

/// The whole tree but for the membership, which is shown with the time at which each server learned it.
pub(crate) fn contents(tree: &Tree) -> Contents {
    let mut nodes = Contents::new();
    let walked: Result<(), std::convert::Infallible> = tree.for_each_node(|path, data, _, stat| {
        if path != BStr::new("/zookeeper/config") {
            nodes.insert(path.to_owned(), (data.map(<[u8]>::to_vec), *stat));
        }
        Ok(())
    });
    let Ok(()) = walked;
    nodes
}

/// Once the observer has all that the leader has, its tree is the leader's, and was after every
/// transaction (P1).
pub(crate) fn assert_same_tree(site: &Site, observer: &Observer) {
    assert_same_tree_in_the_end(site, observer);
    let mismatches = &observer.status().digest_mismatches;
    assert_eq!(mismatches.load(Ordering::Relaxed), 0);
}

/// Once the observer has all that the leader has, its tree is the leader's, whatever the digests said.
pub(crate) fn assert_same_tree_in_the_end(site: &Site, observer: &Observer) {
    let (zxid, theirs) =
        site.leader(|leader, _| (leader.tree().last_zxid(), contents(leader.tree())));
    // A leader begins its epoch with a zxid that is no transaction.
    let last = site.leader(|leader, _| leader.history().last().map(|(zxid, _)| zxid));
    observer.wait_for(last.unwrap_or(zxid).min(zxid));
    let guard = observer.service.mirror.read();
    let ours = contents(&guard);
    let sessions = guard.sessions().clone();
    drop(guard);
    assert_eq!(ours, theirs);
    assert_eq!(
        site.leader(|leader, _| leader.tree().sessions().clone()),
        sessions
    );
}

/// Ends the loops of a test's threads when the test does, also by a panic: a scope waits for its threads.
pub(crate) struct EndsOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for EndsOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The server closes the connection, and says nothing before.
pub(crate) fn assert_closed(client: &mut RawClient, what: &str) {
    match client.read_frame() {
        Ok(frame) => panic!("{what} is answered {frame:?}"),
        Err(error) => {
            let closed = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
            assert!(closed.contains(&error.kind()), "{what}: {error}");
        }
    }
}
