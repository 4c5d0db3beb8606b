//! What operators ask: four-letter words, the admin server, metrics.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use outpost_wire::membership::{Endpoint, WILDCARD_HOST};

use super::super::keys;
use super::super::settings::{Setting, Settings};
use super::super::{
    Admin, AuditLog, ClientAuth, FourLetterWords, Https, MetricNames, MetricsStyle,
};
use super::words;

const ADMIN_PORT: u16 = 8080;
const METRICS_PORT: u16 = 7000;
const PROMETHEUS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";

/// The four-letter words of ZooKeeper 3.9.
const FOUR_LETTER_WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst",
    "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
];

pub(super) fn four_letter_words(settings: &mut Settings, read_only_mode: bool) -> FourLetterWords {
    let setting = settings.get("4lw.commands.whitelist");
    let listed = setting.as_ref().map(|setting| words(&setting.value));
    let mut allowed: BTreeSet<String> = listed.unwrap_or_default().into_iter().collect();
    if allowed.remove("*") {
        return FourLetterWords::All;
    }
    for word in allowed
        .iter()
        .filter(|word| !FOUR_LETTER_WORDS.contains(&word.as_str()))
    {
        if let Some(setting) = &setting {
            settings.warn(setting, &unknown_word(word));
        }
    }
    allowed.insert("srvr".to_owned());
    if read_only_mode {
        allowed.insert("isro".to_owned());
    }
    FourLetterWords::Only(allowed)
}

fn unknown_word(word: &str) -> String {
    let meant = keys::nearest_of(word, FOUR_LETTER_WORDS);
    let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
    format!("{word} is no four-letter word of ZooKeeper{meant}")
}

/// `admin.needClientAuth` counts only where there is TLS, and that only where there is an admin server.
pub(super) fn https(settings: &mut Settings) -> (Https, ClientAuth) {
    let enabled = settings.flag("admin.enableServer", true);
    let force = settings.flag("admin.forceHttps", false);
    let unified = settings.flag("admin.portUnification", false);
    let https = match (enabled, force, unified) {
        (true, true, _) => Https::Only,
        (true, false, true) => Https::Beside,
        _ => Https::Off,
    };
    let need = settings.flag("admin.needClientAuth", false);
    if need
        && enabled
        && https == Https::Off
        && let Some(setting) = settings.get("admin.needClientAuth")
    {
        let text = "has no effect: neither admin.forceHttps nor admin.portUnification is true";
        settings.warn(&setting, text);
    }
    match need {
        true => (https, ClientAuth::Need),
        false => (https, ClientAuth::None),
    }
}

pub(super) fn admin(settings: &mut Settings, https: Https) -> Option<Admin> {
    let enabled = settings.get("admin.enableServer");
    let enabled = enabled.is_none_or(|setting| !setting.value.eq_ignore_ascii_case("false"));
    let host = settings
        .host("admin.serverAddress")
        .unwrap_or(WILDCARD_HOST.to_owned());
    let port = settings.port("admin.serverPort").unwrap_or(ADMIN_PORT);
    let idle_timeout = settings.millis("admin.idleTimeout", 1);
    let command_url = settings.parse("admin.commandURL", |value| {
        let path = value.trim_end_matches('/');
        match path.starts_with('/') && !path.contains(char::is_whitespace) {
            true => Ok(path.to_owned()),
            false => Err("must be a path such as /commands".to_owned()),
        }
    });
    let rate_limit = settings.millis("admin.rateLimiterIntervalInMS", 0);
    let admin = Admin {
        addr: Endpoint::new(host, port),
        command_url: command_url.unwrap_or("/commands".to_owned()),
        idle_timeout: idle_timeout.unwrap_or(Duration::from_secs(30)),
        https,
        snapshot_enabled: settings.flag("admin.snapshot.enabled", true),
        restore_enabled: settings.flag("admin.restore.enabled", true),
        rate_limit: rate_limit.unwrap_or(Duration::from_secs(300)),
        forwarded_for: settings.flag("IPAuthenticationProvider.usexforwardedfor", false),
    };
    enabled.then_some(admin)
}

/// Whether the configuration says so, rather than our default.
pub(super) fn names_prometheus(settings: &mut Settings) -> bool {
    let class = settings.get("metricsProvider.className");
    class.is_some_and(|class| class.value.ends_with("PrometheusMetricsProvider"))
}

/// Without a provider there is one here: nobody should fly blind because of a missing line.
pub(super) fn metrics(settings: &mut Settings) -> (Option<Endpoint>, bool) {
    let class = settings.get("metricsProvider.className");
    let host = settings
        .host("metricsProvider.httpHost")
        .unwrap_or(WILDCARD_HOST.to_owned());
    let port = settings.port("metricsProvider.httpPort");
    let required = class.is_some() || port.is_some();
    let endpoint = Endpoint::new(host, port.unwrap_or(METRICS_PORT));
    let class_name = class.as_ref().map(|class| class.value.as_str());
    let class_name = class_name.map(|name| name.rsplit('.').next().unwrap_or_default());
    match class_name.unwrap_or("PrometheusMetricsProvider") {
        "PrometheusMetricsProvider" => return (Some(endpoint), required),
        "DefaultMetricsProvider" | "NullMetricsProvider" => {}
        _ => complain_of_metrics_class(settings, class.as_ref()),
    }
    if let Some(setting) = settings.get("metricsProvider.httpPort") {
        let text = format!("has no effect without metricsProvider.className={PROMETHEUS}");
        settings.warn(&setting, &text);
    }
    (None, false)
}

/// Where it is told who changes what, if anywhere.
pub(super) fn audit(settings: &mut Settings) -> Option<AuditLog> {
    let enabled = settings.flag("audit.enable", false);
    let file = settings.text("outpost.auditFile").map(PathBuf::from);
    let (class, named) = (
        settings.get("audit.impl.class"),
        settings.get("outpost.auditFile"),
    );
    if !enabled {
        for setting in [class, named].iter().flatten() {
            settings.warn(setting, "has no effect without audit.enable=true");
        }
        return None;
    }
    if let Some(class) = class
        && !is_audit_logger(&class.value)
    {
        let text =
            "Outpost cannot run this class; remove the line, and the audit log is ZooKeeper's own";
        settings.complain(&class, text);
    }
    if let (Some(file), Some(named)) = (&file, named)
        && file.is_relative()
    {
        let text = "relative to whichever directory Outpost is started in";
        settings.warn(&named, text);
    }
    Some(AuditLog { file })
}

/// Whether this is one of ZooKeeper's own classes; that of 3.6 and 3.7 had another name.
fn is_audit_logger(class: &str) -> bool {
    matches!(
        class.rsplit('.').next(),
        Some("Slf4jAuditLogger" | "Log4jAuditLogger")
    )
}

/// Under which names metrics are told, and whether a virtual machine is spoken of.
pub(super) fn metrics_style(settings: &mut Settings) -> MetricsStyle {
    let names = settings.parse("outpost.metricsNames", |value| match value {
        "3.9" => Ok(MetricNames::V3_9),
        "3.10" => Ok(MetricNames::V3_10),
        _ => Err("must be 3.9 or 3.10: the ZooKeeper release whose names metrics have".to_owned()),
    });
    MetricsStyle {
        names: names.unwrap_or(MetricNames::V3_9),
        java_machine: settings.flag("metricsProvider.exportJvmInfo", true),
    }
}

fn complain_of_metrics_class(settings: &mut Settings, class: Option<&Setting>) {
    if let Some(class) = class {
        let text = format!("Outpost cannot run this class; use {PROMETHEUS}, or remove the line");
        settings.complain(class, &text);
    }
}
