//! What is known about this server before it serves: plain values from its configuration.

use std::path::PathBuf;
use std::time::Duration;

use outpost_wire::ServerId;
use outpost_wire::membership::Membership;

use super::settings::{self, SettingReport};
use crate::build_info;
use crate::config::{Config, FourLetterWords, MetricsStyle};

/// What is known before anything is served.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The version line.
    pub version: String,
    /// Our id.
    pub server_id: ServerId,
    /// The port clients connect to, as bound; `None` if there is none.
    pub client_port: Option<u16>,
    /// The same for clients that speak TLS alone.
    pub secure_client_port: Option<u16>,
    /// The host it is bound on.
    pub client_host: String,
    /// Where a Java server would keep its snapshots: `version-2` below `dataDir`.
    pub data_dir: PathBuf,
    /// Where it would keep its transaction logs.
    pub data_log_dir: PathBuf,
    /// `tickTime`.
    pub tick_time: Duration,
    /// `initLimit`, ticks.
    pub init_limit: u32,
    /// `syncLimit`, ticks.
    pub sync_limit: u32,
    /// `maxClientCnxns`; 0: no limit.
    pub max_client_cnxns: u32,
    /// Shortest session timeout granted.
    pub min_session_timeout: Duration,
    /// Longest session timeout granted.
    pub max_session_timeout: Duration,
    /// `clientPortListenBacklog`; `None` leaves it to the system.
    pub backlog: Option<u32>,
    /// The ensemble as configured.
    pub members: Membership,
    /// The configuration file.
    pub file: PathBuf,
    /// The text of the configuration file, without secrets.
    pub file_text: String,
    /// Which four-letter words are answered.
    pub words: FourLetterWords,
    /// Whether `mntr` shows what Prometheus is shown.
    pub monitor_as_prometheus: bool,
    /// Settings that have no place above, by their keys.
    pub properties: Vec<(&'static str, String)>,
    /// Those in force, and where each comes from.
    pub settings: Vec<SettingReport>,
    /// How long clients are held without a link.
    pub hold: Duration,
    /// How metrics are told.
    pub metrics_style: MetricsStyle,
    /// How far behind its leader a mirror may be and yet be called ready.
    pub ready_lag_max: Duration,
}

impl Facts {
    /// Takes what is told about `config`; the ports are the real ones even where 0 was configured.
    pub fn new(
        config: &Config,
        client_port: Option<u16>,
        secure_client_port: Option<u16>,
    ) -> Facts {
        let clients = &config.clients;
        let versioned = |dir: &PathBuf| {
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            dir.join("version-2")
        };
        let host = clients
            .doors
            .plain
            .as_ref()
            .map(|endpoint| endpoint.host.clone());
        Facts {
            version: build_info::full_version(),
            server_id: config.id,
            client_port,
            secure_client_port,
            client_host: host.unwrap_or_default(),
            data_dir: versioned(&config.data_dir),
            data_log_dir: versioned(&config.data_log_dir),
            tick_time: config.ticks.tick_time,
            init_limit: config.ticks.init_limit,
            sync_limit: config.ticks.sync_limit,
            max_client_cnxns: clients.max_client_cnxns.unwrap_or(0),
            min_session_timeout: clients.min_session_timeout,
            max_session_timeout: clients.max_session_timeout,
            backlog: clients.backlog,
            members: config.ensemble.members.clone(),
            file: config.file.clone(),
            file_text: config.file_text.0.clone(),
            words: config.four_letter_words.clone(),
            monitor_as_prometheus: config.monitor_as_prometheus,
            properties: properties(config),
            settings: settings::settings(config),
            hold: config.hold,
            metrics_style: config.metrics_style,
            ready_lag_max: config.ticks.tick_time,
        }
    }
}

fn properties(config: &Config) -> Vec<(&'static str, String)> {
    let ms = |time: Duration| time.as_millis().to_string();
    let mut properties = vec![
        ("jute.maxbuffer", config.clients.frame_bytes_max.to_string()),
        ("outpost.commit", build_info::COMMIT.to_owned()),
        ("outpost.config", config.file.display().to_string()),
        ("outpost.drainTimeout", ms(config.drain_timeout)),
        ("outpost.hold", ms(config.hold)),
        ("outpost.id", config.id.to_string()),
        (
            "outpost.maxWritesInFlight",
            config.writes_in_flight_max.to_string(),
        ),
        (
            "outpost.outboxBytes",
            config.clients.outbox_bytes_max.to_string(),
        ),
        ("outpost.version", build_info::VERSION.to_owned()),
        ("outpost.workers", config.workers.to_string()),
        ("readonlymode.enabled", config.read_only_mode.to_string()),
        ("zookeeper.digest.enabled", config.agreed.digest.to_string()),
        (
            "zookeeper.extendedTypesEnabled",
            config.agreed.extended_types.to_string(),
        ),
        ("zookeeper.skipACL", config.auth.skip_acl.to_string()),
    ];
    properties.sort_unstable();
    properties
}
