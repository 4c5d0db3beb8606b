//! What is said about this server, as plain values: the one place where four-letter words, admin commands
//! and metrics get them, so that the three never differ.
//!
//! It formats nothing but what a Java server formats into its values. Whatever takes the tree's lock
//! takes it for a copy only; the copy is formatted without it.

mod connections;
mod facts;
mod holders;
pub mod java;
pub mod process;
mod sessions;
mod settings;

use std::sync::atomic::Ordering;
use std::time::Duration;

use outpost_forward::latencies::LatencySummary;
use outpost_forward::losses::LossReport;
use outpost_forward::status::{LinkState, LinkStatus};
use outpost_forward::{Answers, Arriving, Tally};
use outpost_mirror::{QuotaUsage, WatchSummary};
use outpost_wire::membership::Membership;
use outpost_wire::{ServerId, SessionId, Zxid};

use crate::config::MetricsStyle;
use crate::jaas::JaasReloads;
use crate::metrics::{self, Shown};
use crate::readiness::{NotReady, Standing};
use crate::serve::client::{Figures, Port};
use crate::serve::read_only::Mode;
use crate::serve::service::Service;
use crate::sizes::SizesReport;
use crate::stats::Stats;
use crate::tls::StoreReport;

pub use connections::ConnectionReport;
pub use facts::Facts;
pub use process::{MemoryReport, ProcessReport};
pub use sessions::SessionsReport;
pub use settings::SettingReport;

/// What a Java server that has no leader says instead of an answer.
pub const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// Looks at a server that runs.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    service: &'a Service,
}

/// Figures that `srvr` tells.
#[derive(Debug, Clone)]
pub struct ServerReport {
    /// Whether only read-only clients are served.
    pub read_only: bool,
    /// Latencies of all requests since the start or the last reset.
    pub latency: LatencySummary,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Connections, with or without a session.
    pub connections: usize,
    /// How many there may be; `None` for any number.
    pub connections_max: Option<u64>,
    /// Connections with a session.
    pub sessions: usize,
    /// Requests received and not yet answered.
    pub outstanding: u64,
    /// Bytes of the large ones among them (`largeRequestThreshold`).
    pub large_bytes: u64,
    /// How likely a connect request is refused by chance, from 0 to 1 (`connection_throttle_freeze_time`).
    pub drop_chance: f64,
    /// Authentications that failed.
    pub auth_failed: u64,
    /// Connections accepted from other machines where TLS is not demanded; 0 where it is spoken nowhere.
    pub plain_remote: u64,
    /// The same from this machine.
    pub plain_local: u64,
    /// Time since the process started.
    pub uptime: Duration,
}

impl ServerReport {
    /// The mean latency, ms, with four decimals.
    pub fn latency_mean(&self) -> f64 {
        java::mean(self.latency.sum, self.latency.count)
    }

    /// What kind of server this is.
    pub fn mode(&self) -> &'static str {
        if self.read_only {
            "read-only"
        } else {
            "observer"
        }
    }
}

/// Figures of the tree and its watches.
#[derive(Debug, Clone)]
pub struct TreeReport {
    /// Last transaction applied.
    pub last_zxid: Zxid,
    /// Znodes as ZooKeeper counts them.
    pub node_count: usize,
    /// Ephemeral znodes.
    pub ephemerals: usize,
    /// Length of all paths and data, in bytes.
    pub approximate_data_size: u64,
    /// Sessions that the whole ensemble knows.
    pub global_sessions: usize,
    /// Watches, child watches included.
    pub watches: usize,
    /// Sum of the digests of all znodes.
    pub digest: u64,
    /// Quotas and their usage.
    pub quotas: Vec<QuotaUsage>,
}

/// What `conf` and `configuration` tell.
#[derive(Debug, Clone)]
pub struct ConfigurationReport<'a> {
    /// What was configured.
    pub facts: &'a Facts,
    /// Bytes below the data directory.
    pub data_dir_size: u64,
    /// Bytes below the log directory.
    pub data_log_size: u64,
    /// The ensemble as it is known now.
    pub membership: Membership,
}

impl ConfigurationReport<'_> {
    /// Our own quorum and election ports, where the ensemble lists us: a list, because a server may have
    /// several addresses. Empty where it does not: this server listens on neither.
    pub fn own_ports(&self) -> (Vec<u16>, Vec<u16>) {
        let own = self.membership.get(self.facts.server_id);
        let addresses = own.map_or(&[][..], |own| &own.addresses);
        let quorum = addresses.iter().map(|address| address.quorum_port);
        let election = addresses.iter().map(|address| address.election_port);
        (quorum.collect(), election.collect())
    }
}

/// How the link to the ensemble is doing.
#[derive(Debug, Clone)]
pub struct LinkReport {
    /// What it is doing.
    pub state: LinkState,
    /// The snapshot that is arriving, if one is.
    pub arriving: Option<Arriving>,
    /// The learner master, while there is one.
    pub master: Option<MasterReport>,
    /// Newest transaction the leader is known to have.
    pub leader_zxid: Zxid,
    /// Transactions that are missing here.
    pub lag_zxids: u64,
    /// How long ago the mirror was last known to be level with the leader.
    pub lag: Duration,
    /// How long the leader took to answer lately.
    pub round_trip: Option<Duration>,
    /// For how long nothing has been followed; `None` while something is.
    pub detached_for: Option<Duration>,
    /// Why the last link ended, and how long ago.
    pub last_loss: Option<(String, Duration)>,
}

/// The other end of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterReport {
    /// The server.
    pub server: ServerId,
    /// Host and port.
    pub host: String,
    /// Its quorum or observer-master port.
    pub port: u16,
    /// Whether it is the leader itself.
    pub leads: bool,
    /// The leader's epoch.
    pub epoch: u32,
    /// For how long it has been the other end.
    pub age: Duration,
}

impl LinkReport {
    /// The phase, as `zabstate` tells it.
    pub fn zab_state(&self) -> &'static str {
        match self.state {
            LinkState::Seeking => "election",
            LinkState::Synchronizing => "synchronization",
            LinkState::Attached => "broadcast",
        }
    }

    /// The state in our own words.
    pub fn name(&self) -> &'static str {
        match self.state {
            LinkState::Seeking => "seeking",
            LinkState::Synchronizing => "synchronizing",
            LinkState::Attached => "attached",
        }
    }

    /// The state, as `mntr` tells it.
    pub fn peer_state(&self) -> &'static str {
        match self.state {
            LinkState::Seeking => "looking",
            LinkState::Synchronizing if self.arriving.is_some() => {
                "observing - synchronization - snap"
            }
            LinkState::Synchronizing => "observing - synchronization",
            LinkState::Attached => "observing - broadcast",
        }
    }
}

/// Everything that metrics are made of, at one moment.
pub struct Picture<'a> {
    /// All clients are served.
    pub serving: bool,
    /// New clients are welcome.
    pub ready: bool,
    /// See there.
    pub server: ServerReport,
    /// See there.
    pub tree: TreeReport,
    /// See there.
    pub link: LinkReport,
    /// Voters of the ensemble.
    pub voters: usize,
    /// Sessions that only this server knows.
    pub local_sessions: usize,
    /// How long clients are held without a link.
    pub hold: Duration,
    /// Counters of the link.
    pub status: &'a LinkStatus,
    /// Counters of the process.
    pub stats: &'a Stats,
    /// Latencies of reads answered from the tree.
    pub reads: LatencySummary,
    /// Latencies of writes that came back.
    pub writes: LatencySummary,
    /// Bytes of answers to clients.
    pub sizes: SizesReport,
    /// How metrics are told.
    pub style: MetricsStyle,
    /// Stores of keys and certificates.
    pub stores: Vec<StoreReport>,
    /// How often JAAS files were read again.
    pub jaas_reloads: &'a JaasReloads,
    /// What the system says.
    pub process: ProcessReport,
    /// What the allocator says.
    pub memory: Option<MemoryReport>,
    /// Who holds how much of it, in bytes.
    pub holders: Vec<(&'static str, u64)>,
    /// Lines of the audit log, and those of them that were lost.
    pub audit: (u64, u64),
}

impl<'a> Report<'a> {
    /// Looks at `service`.
    pub fn of(service: &'a Service) -> Report<'a> {
        Report { service }
    }

    /// What was configured.
    pub fn facts(&self) -> &'a Facts {
        &self.service.facts
    }

    /// How long a connection may stay without a session.
    pub fn sessionless_timeout(&self) -> Duration {
        self.service.settings.sessionless_timeout
    }

    /// Who is served. Where nobody is, a Java server has no server behind its port either.
    pub fn mode(&self) -> Mode {
        let Service {
            clients, mirror, ..
        } = self.service;
        clients.mode(|| mirror.read().last_zxid())
    }

    /// Whether all clients are served.
    pub fn is_serving(&self) -> bool {
        matches!(self.mode(), Mode::Everybody(_))
    }

    /// Whether clients are served although the link is lost.
    pub fn is_holding(&self) -> bool {
        self.service.clients.are_held()
    }

    /// Whether only read-only clients are served.
    pub fn is_read_only(&self) -> bool {
        self.mode() == Mode::ReadOnly
    }

    /// Whether new clients are welcome.
    ///
    /// # Errors
    /// Why they are not.
    pub fn ready(&self) -> Result<(), NotReady> {
        let status = self.service.link.status();
        self.service.readiness.check(Standing {
            serving: self.is_serving(),
            attached: status.state() == LinkState::Attached,
            was_level: status.was_level(),
            lag: status.lag(),
            lag_max: self.service.facts.ready_lag_max,
        })
    }

    /// Figures that `srvr` tells.
    pub fn server(&self) -> ServerReport {
        let Service {
            clients,
            stats,
            outstanding,
            connect_tokens,
            ..
        } = self.service;
        let (mut connections, mut sessions) = (0, 0);
        for client in clients.all() {
            connections += 1;
            sessions += usize::from(client.session() != SessionId::NONE);
        }
        let tokens = connect_tokens.as_ref();
        ServerReport {
            read_only: self.is_read_only(),
            latency: stats.latency(),
            received: stats.received(),
            sent: stats.sent(),
            connections,
            connections_max: self.service.connections_max().map(|max| max as u64),
            sessions,
            outstanding: outstanding.requests() as u64,
            large_bytes: outstanding.large_bytes() as u64,
            drop_chance: tokens.map_or(0.0, |tokens| tokens.lock().drop_chance()),
            auth_failed: stats.auth_failed.load(Ordering::Relaxed),
            plain_remote: stats.plain_remote.load(Ordering::Relaxed),
            plain_local: stats.plain_local.load(Ordering::Relaxed),
            uptime: stats.started.elapsed(),
        }
    }

    /// Figures of the tree and its watches.
    pub fn tree(&self) -> TreeReport {
        let watches = self.service.mirror.read().watches().count();
        let tree = self.service.mirror.read();
        TreeReport {
            last_zxid: tree.last_zxid(),
            node_count: tree.node_count(),
            ephemerals: tree.ephemerals_count(),
            approximate_data_size: tree.approximate_data_size(),
            global_sessions: tree.sessions().len(),
            watches,
            digest: tree.digest(),
            quotas: tree.quotas(),
        }
    }

    /// How many watch what, in the data table alone.
    pub fn watch_summary(&self) -> WatchSummary {
        self.service.mirror.read().watches().summary()
    }

    /// What is configured.
    pub fn configuration(&self) -> ConfigurationReport<'a> {
        let facts = self.facts();
        ConfigurationReport {
            facts,
            data_dir_size: process::directory_size(&facts.data_dir),
            data_log_size: process::directory_size(&facts.data_log_dir),
            membership: self.membership(),
        }
    }

    /// The ensemble: as the tree has it, or as configured where the tree does not say.
    pub fn membership(&self) -> Membership {
        let text = {
            let tree = self.service.mirror.read();
            let config = tree.node("/zookeeper/config".into());
            config.and_then(|node| node.data()).map(<[u8]>::to_vec)
        };
        text.filter(|text| !text.is_empty())
            .and_then(|text| Membership::parse(&text).ok())
            .filter(|membership| membership.participants().next().is_some())
            .unwrap_or_else(|| self.facts().members.clone())
    }

    /// How the link is doing.
    pub fn link(&self) -> LinkReport {
        let status = self.service.link.status();
        let master = status.master().map(|master| MasterReport {
            server: master.candidate.server,
            host: master.candidate.host,
            port: master.candidate.port,
            leads: !master.candidate.observer_master,
            epoch: master.epoch,
            age: master.since.elapsed(),
        });
        LinkReport {
            state: status.state(),
            arriving: status.arriving(),
            master,
            leader_zxid: status.leader_zxid(),
            lag_zxids: status.lag_zxids(),
            lag: status.lag(),
            round_trip: status.round_trip(),
            detached_for: status.detached_for(),
            last_loss: status.last_loss(),
        }
    }

    /// The tree's digest at earlier transactions.
    pub fn digests(&self) -> Vec<(Zxid, u64)> {
        self.service.mirror.read().digests().collect()
    }

    /// Counters of the link.
    pub fn status(&self) -> &'a LinkStatus {
        self.service.link.status()
    }

    /// The clients now.
    pub fn tally(&self) -> Tally {
        self.service.clients.tally()
    }

    /// The last losses of the link, newest first.
    pub fn losses(&self) -> Vec<LossReport> {
        self.service.link.status().loss_reports(&self.tally())
    }

    /// Who holds how much memory, in bytes.
    pub fn holders(&self) -> Vec<(&'static str, u64)> {
        holders::holders(self.service)
    }

    /// Everything that metrics are made of.
    pub fn picture(&self) -> Picture<'a> {
        let service = self.service;
        let stats = &*service.stats;
        Picture {
            serving: self.is_serving(),
            ready: self.ready().is_ok(),
            server: self.server(),
            tree: self.tree(),
            link: self.link(),
            voters: self.membership().participants().count(),
            local_sessions: service.local_sessions.len(),
            hold: service.facts.hold,
            status: service.link.status(),
            stats,
            reads: stats.read_latency(),
            writes: stats.write_latency(),
            sizes: stats.response_sizes(),
            style: service.facts.metrics_style,
            stores: service.tls.reports(),
            jaas_reloads: &service.jaas_reloads,
            process: process::process(),
            memory: process::memory(),
            holders: self.holders(),
            audit: service
                .audit
                .as_ref()
                .map_or((0, 0), |audit| (audit.told(), audit.lost())),
        }
    }

    /// What `mntr` and `monitor` tell, in the words of the provider that is configured.
    pub fn monitor(&self) -> Vec<(String, Shown)> {
        let tell = match self.facts().monitor_as_prometheus {
            true => metrics::monitor_as_prometheus,
            false => metrics::monitor,
        };
        tell(&self.picture(), self.facts())
    }

    /// Starts counting frames and latencies of the server anew.
    pub fn reset_server(&self) {
        self.service.stats.reset();
    }

    /// Starts counting the figures of every connection anew.
    /// A word does so only for those who came in as it did.
    pub fn reset_connections(&self, port: Option<Port>) {
        for client in self.service.clients.all() {
            if port.is_none_or(|port| port == client.port) {
                client.state().figures = Figures::default();
            }
        }
    }
}
