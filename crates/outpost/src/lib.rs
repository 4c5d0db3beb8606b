//! Outpost, a ZooKeeper observer for remote regions: the process around the mirror and the link.
//!
//! [`Outpost::build`] binds every socket, [`Outpost::run`] serves until it is told to stop, then drains.
//! Birth and death are one function each, to be read from top to bottom.

pub mod admin;
mod assemble;
pub mod audit;
pub mod build_info;
pub mod config;
pub mod descriptors;
pub mod fired;
pub mod jaas;
pub mod limits;
pub mod liveness;
pub mod logs;
pub mod metrics;
mod operators;
pub mod reached;
pub mod readiness;
pub mod report;
pub mod sasl;
pub mod serve;
pub mod sizes;
mod sockets;
pub mod stats;
mod systemd;
pub mod tls;
pub mod upstream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use outpost_forward::clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::assemble::{Parts, Surroundings, assemble};
use crate::audit::{Audit, AuditFile, NoAuditFile};
use crate::config::Config;
use crate::jaas::JaasReloads;
use crate::operators::Operators;
use crate::serve::client::Cause;
use crate::serve::{Reception, Service, session_ids};
use crate::sockets::Sockets;
use crate::systemd::Supervisor;
use crate::tls::TlsInUse;

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
    /// The file of the audit log cannot be used.
    #[error("outpost.auditFile cannot be written: {0}")]
    Audit(#[from] NoAuditFile),
    /// A thread or a runtime cannot be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// An observer that is about to serve: every socket is bound, nothing is accepted yet.
pub struct Outpost {
    config: Config,
    service: Arc<Service>,
    sockets: Sockets,
    link_thread: JoinHandle<()>,
    audit_file: Option<AuditFile>,
}

impl Outpost {
    /// Binds every socket, starts the link, and wires the parts together.
    ///
    /// # Errors
    /// When a port is taken, a store or a file cannot be used, or a thread cannot be made.
    pub async fn build(config: Config) -> Result<Outpost, StartError> {
        let (audit, audit_file) = audit::open(config.audit.as_ref())?;
        let built = Outpost::build_audited(config, audit.clone()).await;
        match (built, audit) {
            (Ok(outpost), _) => Ok(Outpost {
                audit_file,
                ..outpost
            }),
            (Err(error), audit) => {
                if let Some(audit) = audit {
                    audit.not_started();
                }
                Err(error)
            }
        }
    }

    async fn build_audited(
        config: Config,
        audit: Option<Arc<Audit>>,
    ) -> Result<Outpost, StartError> {
        let tls = TlsInUse::load(&config.tls)?;
        let sockets = Sockets::bind(&config).await?;
        warn_of_descriptors(&config);
        let jaas_reloads = Arc::new(JaasReloads::default());
        let surroundings = Surroundings {
            network: upstream::network(&config, tls.quorum.clone(), &jaas_reloads),
            tls,
            jaas_reloads,
            audit,
            session_id_bytes: session_ids::system_bytes,
            client_port: sockets.client_address().map(|address| address.port()),
            secure_client_port: sockets
                .secure_client_address()
                .map(|address| address.port()),
        };
        let Parts {
            service,
            link,
            apply,
        } = assemble(&config, surroundings, |answers| answers);
        Ok(Outpost {
            config,
            service,
            sockets,
            link_thread: link.start(apply)?,
            audit_file: None,
        })
    }

    /// Where clients connect, if anywhere: the port is the real one even where 0 was configured.
    pub fn client_address(&self) -> Option<SocketAddr> {
        self.sockets.client_address()
    }

    /// Where clients connect that speak TLS and nothing else, if anywhere.
    pub fn secure_client_address(&self) -> Option<SocketAddr> {
        self.sockets.secure_client_address()
    }

    /// Where operators ask, if anywhere.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.sockets.admin_address()
    }

    /// Where Prometheus asks, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.sockets.metrics_address()
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
            sockets,
            link_thread,
            audit_file,
        } = self;
        let stop = CancellationToken::new();
        let chores = TaskTracker::new();
        let operators = Operators::start(&config, &service, sockets.admin, sockets.metrics);
        let reception = Reception::open(
            &config.clients.doors,
            &service,
            config.workers,
            sockets.clients,
        )?;
        chores.spawn(tls::handle::watch(
            service.tls.parts(),
            stop.clone().cancelled_owned(),
        ));
        if let Some(users) = service.settings.auth.sasl.users.clone() {
            chores.spawn(serve::users::watch(users, stop.clone().cancelled_owned()));
        }
        chores.spawn(sweep_local_sessions(
            Arc::clone(&service),
            config.ticks.tick_time,
            stop.clone().cancelled_owned(),
        ));
        if let Some(audit) = &service.audit {
            audit.started();
        }
        let supervisor = Supervisor::start(Arc::clone(&service), config.drain_timeout);

        shutdown.await;

        tracing::info!(clients = service.clients.len(), "draining");
        if let Some(audit) = &service.audit {
            audit.stopping();
        }
        service.readiness.stop();
        supervisor.stopping();
        stop.cancel();
        chores.close();
        chores.wait().await;
        let worker_threads = reception.close().await;
        drain(&service, config.drain_timeout).await;
        service.link.stop();
        supervisor.end().await;
        drop(service);
        join("link", vec![link_thread]).await;
        join("worker", worker_threads).await;
        operators.stop().await;
        drop(audit_file);
        tracing::info!("stopped");
        Ok(())
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

/// Waits for threads to end, without keeping others waiting.
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

/// Says so when there cannot be as many connections as are wanted.
fn warn_of_descriptors(config: &Config) {
    let (wanted, possible) = (
        config.clients.max_cnxns,
        descriptors::for_clients(assemble::serving_threads(config)),
    );
    if let (Some(wanted), Some(possible)) = (wanted, possible)
        && wanted as usize > possible
    {
        tracing::warn!(
            "maxCnxns={wanted}, but file descriptors allow {possible} connections of clients; raise the limit \
             (LimitNOFILE, ulimit -Hn)"
        );
    }
}
