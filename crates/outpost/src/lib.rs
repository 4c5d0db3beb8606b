//! Outpost, a ZooKeeper observer for remote regions: the process around the mirror and the link.
//!
//! [`Outpost::build`] binds every socket, [`Outpost::run`] serves until it is told to stop, then drains.
//! Birth and death are one function each, to be read from top to bottom.

pub mod admin;
pub mod build_info;
pub mod config;
pub mod fired;
pub mod limits;
pub mod liveness;
pub mod logs;
pub mod metrics;
pub mod readiness;
pub mod report;
pub mod sasl;
pub mod serve;
pub mod sizes;
pub mod stats;
mod systemd;
pub mod tls;
pub mod upstream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use outpost_forward::{
    Answers, ApplyLife, Candidates, Link, LinkLife, LinkSettings, Network, clock,
};
use outpost_mirror::acl::AclRules;
use outpost_mirror::{Mirror, TreeOptions};
use outpost_wire::membership::Endpoint;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::AdminServer;
use crate::config::{Config, Https, SaslAuth, X509Auth};
use crate::liveness::Liveness;
use crate::readiness::Readiness;
use crate::report::Facts;
use crate::serve::auth::AuthRules;
use crate::serve::client::Cause;
use crate::serve::clients::Clients;
use crate::serve::greeting::{Door, Greeters, GreetingSettings};
use crate::serve::local_sessions::{LocalSessionRules, LocalSessions};
use crate::serve::outstanding::Outstanding;
use crate::serve::read_only::ReadOnlyMode;
use crate::serve::sasl::SaslRules;
use crate::serve::session_ids::{self, RandomBytes};
use crate::serve::throttle::TokenBucket;
use crate::serve::validate::Gate;
use crate::serve::x509::X509Rules;
use crate::serve::{Entrance, ServeSettings, Service, Workers};
use crate::stats::Stats;
use crate::systemd::Supervisor;
use crate::tls::{ServerTls, TlsInUse};

/// First wait between two attempts at one learner master; later ones are longer.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between two attempts at one learner master.
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// The same while clients are held: nobody is to wait noticeably for a leader that is there.
const RETRY_LONGEST_HELD: Duration = Duration::from_millis(250);
/// Longest wait for one TCP connection, however patient the configuration: a fresh attempt finds a network that
/// has come back sooner than an old one whose packets go out ever more rarely.
const CONNECT_LONGEST: Duration = Duration::from_secs(5);
/// Length of the accept queue where the configuration leaves it to the system.
const BACKLOG: u32 = 1024;

/// How long a connection to the metrics port may last where there is no admin server to say so.
const METRICS_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The trace mask of a Java server that was not told another (`ZooTrace`).
const TRACE_MASK: i64 = 306;

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be listened on.
    #[error("cannot listen on {address} ({what}): {source}")]
    Bind {
        /// For what the port is.
        what: &'static str,
        /// The address as configured.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// A key store or a trust store cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Store(#[from] tls::StoreError),
    /// A thread or a runtime cannot be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// An observer that is about to serve: every socket is bound, nothing is accepted yet.
pub struct Outpost {
    config: Config,
    service: Arc<Service>,
    clients: Option<TcpListener>,
    secure_clients: Option<TcpListener>,
    greeting: Option<GreetingSettings>,
    admin: Option<TcpListener>,
    admin_tls: Option<Arc<ServerTls>>,
    metrics: Option<TcpListener>,
    link_thread: JoinHandle<()>,
}

impl Outpost {
    /// Binds every socket, starts the link, and wires the parts together.
    ///
    /// # Errors
    /// When a port is taken or a thread cannot be made.
    pub async fn build(config: Config) -> Result<Outpost, StartError> {
        let admin_tls = config.tls.admin.as_ref().map(ServerTls::for_operators);
        let admin_tls = admin_tls.transpose()?.map(Arc::new);
        let tls = TlsInUse::load(&config.tls)?;
        let doors = &config.clients.doors;
        let clients = bind_clients("clientPort", &doors.plain, &config).await?;
        let secure_clients = bind_clients("secureClientPort", &doors.secure, &config).await?;
        let greeting = tls.clients.clone().map(|tls| greeting(&config, tls));
        let (admin, metrics) = (bind_admin(&config).await, bind_metrics(&config).await?);
        let surroundings = Surroundings {
            network: upstream::network(&config, tls.quorum.clone()),
            tls,
            session_id_bytes: session_ids::system_bytes,
            client_port: clients.as_ref().and_then(port_of),
            secure_client_port: secure_clients.as_ref().and_then(port_of),
        };
        let Parts {
            service,
            link,
            apply,
        } = assemble(&config, surroundings, |answers| answers);
        Ok(Outpost {
            config,
            service,
            clients,
            secure_clients,
            greeting,
            admin,
            admin_tls,
            metrics,
            link_thread: link.start(apply)?,
        })
    }

    /// Where clients connect, if anywhere: the port is the real one even where 0 was configured.
    pub fn client_address(&self) -> Option<SocketAddr> {
        self.clients.as_ref()?.local_addr().ok()
    }

    /// Where clients connect that speak TLS and nothing else, if anywhere.
    pub fn secure_client_address(&self) -> Option<SocketAddr> {
        self.secure_clients.as_ref()?.local_addr().ok()
    }

    /// Where operators ask, if anywhere.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// Where Prometheus asks, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }

    /// What every connection uses; for those who want to look inside.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Serves until `shutdown` is ready, then drains: accepting ends, connections answer what they have
    /// received and close, the link detaches. Sessions stay alive for their clients to take elsewhere.
    ///
    /// # Errors
    /// When the workers cannot be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let Outpost {
            config,
            service,
            clients,
            secure_clients,
            greeting,
            admin,
            admin_tls,
            metrics,
            link_thread,
        } = self;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let operators = Operators::start(&config, &service, admin.zip(Some(admin_tls)), metrics);
        let (workers, worker_threads) = Workers::start(config.workers.get(), &service)?;
        let workers = Arc::new(workers);
        let (greeters, greeter_threads) = match &greeting {
            Some(settings) => {
                let (greeters, threads) = Greeters::start(settings, &service, &workers)?;
                (Some(Arc::new(greeters)), threads)
            }
            None => (None, Vec::new()),
        };
        let greeted = |door| {
            greeters
                .clone()
                .map(|greeters| Entrance::Greeted(door, greeters))
        };
        let plain = match config.clients.doors.unified {
            true => greeted(Door::Either),
            false => Some(Entrance::Plain(Arc::clone(&workers))),
        };
        for (listener, entrance) in [(clients, plain), (secure_clients, greeted(Door::Secure))] {
            if let (Some(listener), Some(entrance)) = (listener, entrance) {
                let stopped = stop.clone().cancelled_owned();
                let service = Arc::clone(&service);
                tasks.spawn(serve::accept(listener, service, entrance, stopped));
            }
        }
        // The threads end when nobody can give them connections any more.
        drop((greeters, workers));
        tasks.spawn(tls::handle::watch(
            service.tls.parts(),
            stop.clone().cancelled_owned(),
        ));
        tasks.spawn(sweep_local_sessions(
            Arc::clone(&service),
            config.ticks.tick_time,
            stop.clone().cancelled_owned(),
        ));

        let supervisor = Supervisor::start(Arc::clone(&service), config.drain_timeout);
        shutdown.await;

        tracing::info!(clients = service.clients.len(), "draining");
        service.readiness.stop();
        supervisor.stopping();
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        join("greeter", greeter_threads).await;
        drain(&service, config.drain_timeout).await;
        service.link.stop();
        supervisor.end().await;
        drop(service);
        join("link", vec![link_thread]).await;
        join("worker", worker_threads).await;
        operators.stop().await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// What an observer finds around it.
pub struct Surroundings {
    /// The way to learner masters.
    pub network: Arc<dyn Network>,
    /// Keys and certificates, of which the metrics tell.
    pub tls: TlsInUse,
    /// What session ids are made of.
    pub session_id_bytes: RandomBytes,
    /// Where clients connect, to be shown.
    pub client_port: Option<u16>,
    /// Where clients connect that speak TLS alone, likewise.
    pub secure_client_port: Option<u16>,
}

/// An observer without its sockets and threads: all parts, wired together and at rest.
pub struct Parts {
    /// What every connection uses.
    pub service: Arc<Service>,
    /// To be run, as long as the observer is to live.
    pub link: LinkLife,
    /// Likewise.
    pub apply: ApplyLife,
}

/// Wires the parts of an observer together. `front` is handed whoever takes what the ensemble says to clients,
/// and may put another in front of it.
pub fn assemble(
    config: &Config,
    surroundings: Surroundings,
    front: impl FnOnce(Arc<dyn Answers>) -> Arc<dyn Answers>,
) -> Parts {
    let tree = TreeOptions {
        extended_types: config.agreed.extended_types,
        compare_digests: config.agreed.digest,
    };
    let mirror = Arc::new(Mirror::with_options(tree));
    let stats = Arc::new(Stats::new(config.workers.get()));
    let local_sessions = Arc::new(LocalSessions::new(LocalSessionRules {
        enabled: config.agreed.local_sessions,
        upgrading: config.agreed.local_sessions_upgrading,
    }));
    let clients = Arc::new(Clients::new(
        acl_rules(config),
        config.clients.outbox_bytes_max,
        Arc::clone(&local_sessions),
        Arc::clone(&stats),
        ReadOnlyMode::new(config.read_only_mode),
    ));
    let (link, link_life, apply) = Link::assemble(
        link_settings(config, tree),
        candidates(config),
        Arc::clone(&mirror),
        front(Arc::clone(&clients) as Arc<_>),
        surroundings.network,
    );
    let service = Arc::new(Service {
        settings: serve_settings(config),
        session_id_bytes: surroundings.session_id_bytes,
        gate: gate(config),
        mirror,
        link,
        clients,
        local_sessions,
        outstanding: Arc::new(outstanding(config)),
        connect_tokens: connect_tokens(config),
        stats,
        tls: surroundings.tls,
        facts: Facts::new(
            config,
            surroundings.client_port,
            surroundings.secure_client_port,
        ),
        readiness: Readiness::default(),
        liveness: Liveness::new(config.workers.get()),
        listings: Semaphore::new(limits::LISTINGS_MAX),
        trace_mask: AtomicI64::new(TRACE_MASK),
    });
    Parts {
        service,
        link: link_life,
        apply,
    }
}

/// The HTTP servers for operators. They go last, so that the end can be watched.
struct Operators {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Operators {
    fn start(
        config: &Config,
        service: &Arc<Service>,
        admin: Option<(TcpListener, Option<Arc<ServerTls>>)>,
        metrics: Option<TcpListener>,
    ) -> Operators {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let settings = config.admin.as_ref();
        let idle = settings.map_or(METRICS_IDLE_TIMEOUT, |admin| admin.idle_timeout);
        let admin = admin
            .zip(settings.cloned())
            .map(|((listener, tls), settings)| {
                let tls = tls.map(|tls| {
                    let stopped = stop.clone().cancelled_owned();
                    tasks.spawn(tls::handle::watch(vec![Arc::clone(&tls) as _], stopped));
                    admin::http::Tls {
                        config: Arc::new(move || tls.current()),
                        plain_too: settings.https == Https::Beside,
                    }
                });
                let server = Arc::new(AdminServer::new(Arc::clone(service), settings));
                let stopped = stop.clone().cancelled_owned();
                tasks.spawn(Arc::clone(&server).keep_history(stopped));
                (listener, tls, server.answerer())
            });
        let servers = [
            admin,
            metrics.map(|listener| (listener, None, admin::metrics(Arc::clone(service)))),
        ];
        for (listener, tls, answerer) in servers.into_iter().flatten() {
            let stopped = stop.clone().cancelled_owned();
            tasks.spawn(admin::http::serve(listener, answerer, tls, idle, stopped));
        }
        tasks.close();
        Operators { stop, tasks }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// Lets every connection finish, and cuts those that have not when the time is over.
async fn drain(service: &Service, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    for client in service.clients.all() {
        client.drain();
    }
    while !service.clients.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let late = service.clients.all();
    if !late.is_empty() {
        tracing::warn!(
            clients = late.len(),
            "cutting those that have not finished in time"
        );
    }
    for client in late {
        client.cut(Cause::ShuttingDown);
    }
    while !service.clients.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn join(name: &'static str, threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(name, "a thread ended in a panic");
            }
        }
    });
    if joined.await.is_err() {
        tracing::error!(name, "waiting for the threads failed");
    }
}

/// Expires local sessions, once a tick.
async fn sweep_local_sessions(
    service: Arc<Service>,
    tick: Duration,
    stopped: impl Future<Output = ()>,
) {
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(tick) => {}
        }
        service.local_sessions.sweep(&service.clients, clock::now());
    }
}

/// Listens for operators. A port that is taken is no reason not to serve clients, as for a Java server.
async fn bind_admin(config: &Config) -> Option<TcpListener> {
    let addr = &config.admin.as_ref()?.addr;
    let bound = bind("admin.serverPort", addr, None).await;
    bound
        .inspect_err(|error| tracing::warn!("{error}; going on without the admin server"))
        .ok()
}

/// Listens for Prometheus. Only a port that was asked for must be there.
async fn bind_metrics(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let Some(addr) = &config.metrics else {
        return Ok(None);
    };
    match bind("metricsProvider.httpPort", addr, None).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.metrics_required => Err(error),
        Err(error) => {
            tracing::warn!("{error}; going on without the port for Prometheus");
            Ok(None)
        }
    }
}

/// Listens for clients, if anywhere.
async fn bind_clients(
    what: &'static str,
    endpoint: &Option<Endpoint>,
    config: &Config,
) -> Result<Option<TcpListener>, StartError> {
    match endpoint {
        Some(endpoint) => Ok(Some(bind(what, endpoint, config.clients.backlog).await?)),
        None => Ok(None),
    }
}

/// How connections that may speak TLS are greeted.
fn greeting(config: &Config, tls: Arc<ServerTls>) -> GreetingSettings {
    let doors = &config.clients.doors;
    let limit = doors.handshakes_max.unwrap_or(u32::MAX);
    GreetingSettings {
        tls,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        threads: doors.handshake_threads,
    }
}

fn port_of(listener: &TcpListener) -> Option<u16> {
    Some(listener.local_addr().ok()?.port())
}

/// Listens on an endpoint. A wildcard host means both families, as for a Java server.
async fn bind(
    what: &'static str,
    endpoint: &Endpoint,
    backlog: Option<u32>,
) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Bind {
        what,
        address: endpoint.to_string(),
        source,
    };
    let addresses: Vec<SocketAddr> = if endpoint.is_wildcard() {
        let port = endpoint.port;
        vec![
            SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port),
            SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), port),
        ]
    } else {
        lookup_host((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(failed)?
            .collect()
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match listen(address, backlog.unwrap_or(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    // A restarted observer takes its port back while old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

fn acl_rules(config: &Config) -> AclRules {
    AclRules {
        skip_acl: config.auth.skip_acl,
        digest: config.auth.digest.is_some(),
        sasl: config.auth.sasl.provider,
        let_any_sasl_user_do_x: config.auth.sasl.any_user.as_deref().map(Into::into),
        x509: config.auth.x509.is_some(),
        x509_super_user: config
            .auth
            .x509
            .as_ref()
            .and_then(|x509| x509_rules(x509).super_user),
    }
}

fn x509_rules(auth: &X509Auth) -> X509Rules {
    X509Rules {
        super_user: auth.super_user.as_deref().map(Into::into),
    }
}

fn candidates(config: &Config) -> Candidates {
    Candidates::new(
        config.ensemble.members.clone(),
        config.ensemble.observer_master_port,
        config.ensemble.reconfig_enabled,
    )
}

fn link_settings(config: &Config, tree: TreeOptions) -> LinkSettings {
    LinkSettings {
        server_id: config.id,
        init_timeout: config.ticks.init_timeout(),
        sync_timeout: config.ticks.sync_timeout(),
        connect_timeout: config.ticks.connect_timeout().min(CONNECT_LONGEST),
        silence_timeout: config.link_timeout,
        hold: config.hold,
        packet_bytes_max: config.ensemble.record_bytes_max,
        retry_first: RETRY_FIRST,
        retry_longest: RETRY_LONGEST,
        retry_longest_held: RETRY_LONGEST_HELD,
        reconnect_delay: config.ensemble.reconnect_delay_max,
        request_queue_max: limits::REQUEST_QUEUE_MAX,
        in_flight_max: config.writes_in_flight_max,
        apply_queue_max: limits::APPLY_QUEUE_MAX,
        apply_queue_bytes_max: limits::APPLY_QUEUE_BYTES_MAX,
        tree,
    }
}

fn serve_settings(config: &Config) -> ServeSettings {
    let clients = &config.clients;
    let per_address = clients.max_client_cnxns.map_or(0, |max| max as usize);
    ServeSettings {
        server_id: config.id,
        frame_bytes_max: clients.frame_bytes_max,
        session_timeout_min_ms: milliseconds(clients.min_session_timeout),
        session_timeout_max_ms: milliseconds(clients.max_session_timeout),
        sessionless_timeout: clients.sessionless_timeout,
        connections_per_address_max: per_address,
        connections_max: clients.max_cnxns.map_or(0, |max| max as usize),
        tcp_keep_alive: clients.tcp_keep_alive,
        speaks_tls: clients.doors.speak_tls(),
        auth: AuthRules {
            digest: config.auth.digest.as_ref().map(|digest| digest.algorithm),
            super_digest: config
                .auth
                .digest
                .as_ref()
                .and_then(|digest| digest.super_digest.as_ref())
                .map(|secret| secret.reveal().into()),
            ensemble: config.auth.ensemble.clone(),
            sasl: sasl_rules(&config.auth.sasl),
            x509: config.auth.x509.as_ref().map(x509_rules),
            enforced: config.auth.enforced_schemes.clone(),
        },
    }
}

fn sasl_rules(sasl: &SaslAuth) -> SaslRules {
    SaslRules {
        passwords: sasl.users.as_ref().map(|users| users.passwords.clone()),
        super_users: sasl.super_users.clone(),
        keeps_failed: sasl.keeps_failed,
    }
}

fn outstanding(config: &Config) -> Outstanding {
    let limit = config.clients.global_outstanding_limit;
    Outstanding::new(limit as usize, config.clients.large_requests)
}

fn connect_tokens(config: &Config) -> Option<Mutex<TokenBucket>> {
    let rules = config.clients.connect_throttle?;
    Some(Mutex::new(TokenBucket::new(rules, clock::now())))
}

fn gate(config: &Config) -> Gate {
    Gate {
        reconfig_enabled: config.ensemble.reconfig_enabled,
        // A follower that is our learner master may have this setting, and would stop.
        eager_acl_check: config.auth.eager_acl_check
            || config.ensemble.observer_master_port.is_some(),
        ..Gate::new(config.clients.frame_bytes_max, config.agreed.extended_types)
    }
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
