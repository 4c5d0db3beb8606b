//! What is known about this server before it serves: plain values from its configuration.

use std::path::PathBuf;
use std::time::Duration;

use outpost_wire::ServerId;
use outpost_wire::membership::Membership;

use crate::config::{Config, FourLetterWords};

/// The ZooKeeper release whose protocol this server speaks and whose answers it gives. It stands first in
/// the version that is told, because scripts and clients take the numbers there for a ZooKeeper release.
pub const ZOOKEEPER_VERSION: &str = "3.9.5";

/// When this was built, as ZooKeeper writes it. A release build sets `OUTPOST_BUILD_DATE`; without it, the
/// day on which the version's number was chosen, so that equal sources make equal programs.
pub const BUILT_ON: &str = match option_env!("OUTPOST_BUILD_DATE") {
    Some(date) => date,
    None => "2026-11-23 00:00 UTC",
};

/// The version as the four-letter words and the admin server tell it:
/// `3.9.5-outpost-0.1.0, built on 2026-11-23 00:00 UTC`.
pub fn full_version() -> String {
    let ours = env!("CARGO_PKG_VERSION");
    format!("{ZOOKEEPER_VERSION}-outpost-{ours}, built on {BUILT_ON}")
}

/// What is known before anything is served.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The version line.
    pub version: String,
    /// Our id.
    pub server_id: ServerId,
    /// The port clients connect to, as bound; `None` if there is none.
    pub client_port: Option<u16>,
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
    /// The text of the configuration file, without secrets.
    pub file_text: String,
    /// Which four-letter words are answered.
    pub words: FourLetterWords,
    /// Settings that have no place above, by their keys.
    pub properties: Vec<(&'static str, String)>,
    /// How long clients are held without a link.
    pub hold: Duration,
    /// How far behind its leader a mirror may be and yet be called ready.
    pub ready_lag_max: Duration,
}

impl Facts {
    /// Takes what is told about `config`; `client_port` is the real one even where 0 was configured.
    pub fn new(config: &Config, client_port: Option<u16>) -> Facts {
        let clients = &config.clients;
        let versioned = |dir: &PathBuf| {
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            dir.join("version-2")
        };
        let host = clients.addr.as_ref().map(|endpoint| endpoint.host.clone());
        Facts {
            version: full_version(),
            server_id: config.id,
            client_port,
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
            file_text: config.file_text.0.clone(),
            words: config.four_letter_words.clone(),
            properties: properties(config),
            hold: config.hold,
            ready_lag_max: config.ticks.tick_time,
        }
    }
}

fn properties(config: &Config) -> Vec<(&'static str, String)> {
    let ms = |time: Duration| time.as_millis().to_string();
    let mut properties = vec![
        ("jute.maxbuffer", config.clients.frame_bytes_max.to_string()),
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
        ("outpost.version", env!("CARGO_PKG_VERSION").to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_begins_as_a_zookeeper_release_does() {
        let version = full_version();
        let (number, rest) = version.split_once('-').unwrap();
        let parts: Vec<u32> = number.split('.').map(|n| n.parse().unwrap()).collect();
        assert_eq!(parts.len(), 3);
        assert!(rest.starts_with("outpost-") && rest.contains(", built on "));
    }
}
