//! The settings in force, and where each comes from.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::{Config, Place};

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingReport {
    /// Its key.
    pub key: String,
    /// Its value, without secrets.
    pub value: String,
    /// The place that says so; `None`: nobody has said, and this is the default.
    pub place: Option<Place>,
    /// Whether it changes anything here.
    pub honoured: bool,
}

/// Those that were set, in the order of their keys, then the more important of those that were not.
pub(super) fn settings(config: &Config) -> Vec<SettingReport> {
    let defaults = in_force(config);
    let mut settings: Vec<SettingReport> = config
        .stated
        .iter()
        .map(|stated| SettingReport {
            key: stated.key.clone(),
            value: stated.value.clone(),
            place: Some(stated.place.clone()),
            honoured: stated.honoured,
        })
        .collect();
    let set: BTreeSet<&str> = config.stated.iter().map(|one| one.key.as_str()).collect();
    let unset = defaults.into_iter().filter(|(key, _)| !set.contains(key));
    settings.extend(unset.map(|(key, value)| SettingReport {
        key: key.to_owned(),
        value,
        place: None,
        honoured: true,
    }));
    settings
}

/// What counts where nobody has said anything, in the order of the keys.
fn in_force(config: &Config) -> Vec<(&'static str, String)> {
    let (clients, ticks) = (&config.clients, &config.ticks);
    let mut all = vec![
        (
            "connectToLearnerMasterLimit",
            ticks.connect_limit.to_string(),
        ),
        ("digest.enabled", config.agreed.digest.to_string()),
        ("dataLogDir", config.data_log_dir.display().to_string()),
        (
            "extendedTypesEnabled",
            config.agreed.extended_types.to_string(),
        ),
        (
            "globalOutstandingLimit",
            clients.global_outstanding_limit.to_string(),
        ),
        ("initLimit", ticks.init_limit.to_string()),
        ("jute.maxbuffer", clients.frame_bytes_max.to_string()),
        (
            "localSessionsEnabled",
            config.agreed.local_sessions.to_string(),
        ),
        ("maxClientCnxns", limit(clients.max_client_cnxns)),
        ("maxCnxns", limit(clients.max_cnxns)),
        ("maxSessionTimeout", ms(clients.max_session_timeout)),
        ("minSessionTimeout", ms(clients.min_session_timeout)),
        ("outpost.drainTimeout", ms(config.drain_timeout)),
        ("outpost.hold", ms(config.hold)),
        ("outpost.linkTimeout", ms(config.link_timeout)),
        (
            "outpost.maxWritesInFlight",
            config.writes_in_flight_max.to_string(),
        ),
        ("outpost.outboxBytes", clients.outbox_bytes_max.to_string()),
        ("outpost.replyBytes", clients.reply_bytes_max.to_string()),
        (
            "outpost.watchesPerSession",
            clients.watches_per_session_max.to_string(),
        ),
        ("outpost.workers", config.workers.to_string()),
        ("readonlymode.enabled", config.read_only_mode.to_string()),
        (
            "reconfigEnabled",
            config.ensemble.reconfig_enabled.to_string(),
        ),
        ("skipACL", config.auth.skip_acl.to_string()),
        ("syncLimit", ticks.sync_limit.to_string()),
        ("tickTime", ms(ticks.tick_time)),
    ];
    if let Some(admin) = &config.admin {
        all.push(("admin.commandURL", admin.command_url.clone()));
        all.push(("admin.idleTimeout", ms(admin.idle_timeout)));
        all.push(("admin.rateLimiterIntervalInMS", ms(admin.rate_limit)));
        all.push(("admin.serverAddress", admin.addr.host.clone()));
        all.push(("admin.serverPort", admin.addr.port.to_string()));
        all.push(("admin.snapshot.enabled", admin.snapshot_enabled.to_string()));
    }
    if let Some(metrics) = &config.metrics {
        all.push(("metricsProvider.httpHost", metrics.host.clone()));
        all.push(("metricsProvider.httpPort", metrics.port.to_string()));
    }
    all.sort_unstable();
    all
}

fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn limit(limit: Option<u32>) -> String {
    limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string())
}
