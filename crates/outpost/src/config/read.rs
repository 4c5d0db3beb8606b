//! What each honoured key means: from settings to the parts of a [`Config`].

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outpost_wire::ServerId;
use outpost_wire::frame::FRAME_BYTES_MAX;
use outpost_wire::membership::{Endpoint, Member, Role, WILDCARD_HOST};

use super::members::Members;
use super::settings::{INT_MAX, Setting, Settings};
use super::{
    Admin, Agreed, Auth, Clients, Config, ConnectThrottle, ConnectWeights, DigestAlgorithm,
    DigestAuth, Ensemble, FileText, FourLetterWords, LargeRequests, ReadFile, Secret, Ticks,
};
use super::{identity, keys, members};
use crate::limits::OUTBOX_BYTES_PAUSE;

/// A tick where none is set, as in ZooKeeper.
const TICK_TIME: Duration = Duration::from_millis(3000);
/// Session timeouts where none are set, in ticks, as in ZooKeeper.
const SESSION_TICKS_MIN: u32 = 2;
const SESSION_TICKS_MAX: u32 = 20;
/// Bytes a client may leave unread where nothing is set, unless frames are so large that it must be more. A
/// Java server keeps them without bound.
const OUTBOX_BYTES_MAX: usize = 32 << 20;
/// What ZooKeeper allows at least on top of `jute.maxbuffer` between servers.
const EXTRA_BYTES_MIN: usize = 1024;
/// Writes in flight where nothing is set: 25,000 a second over a link with 150 ms.
const WRITES_IN_FLIGHT_MAX: u32 = 4096;
/// More threads than this serve nobody better.
const WORKERS_MAX: i64 = 1024;

const ADMIN_PORT: u16 = 8080;
const METRICS_PORT: u16 = 7000;
const PROMETHEUS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";

/// The four-letter words of ZooKeeper 3.9.
const FOUR_LETTER_WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst",
    "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
];

/// Everything; `None` only with a complaint.
pub(super) fn config(
    settings: &mut Settings,
    read_file: &ReadFile<'_>,
    id_override: Option<ServerId>,
    file: &Path,
    file_text: FileText,
) -> Option<Config> {
    let data_dir = data_dir(settings);
    let data_log_dir = settings.text("dataLogDir").map(PathBuf::from);
    let ticks = ticks(settings);
    let agreed = agreed(settings);
    let members = members::read(settings, read_file);
    let id = identity::read(settings, read_file, id_override, data_dir.as_deref());
    if let Some(id) = &id {
        identity::check(settings, id, &members, &agreed);
    }
    let own_id = id.map(|(id, _)| id);
    check_peer_type(settings, own_id, &members);
    check_election(settings);
    let read_only_mode = settings.flag("readonlymode.enabled", false);
    let frame_bytes_max = settings
        .bytes("jute.maxbuffer", 1)
        .unwrap_or(FRAME_BYTES_MAX);
    let addr = client_addr(settings, own_id, &members);
    let clients = clients(settings, addr, &ticks, frame_bytes_max);
    let ensemble = ensemble(settings, members, frame_bytes_max);
    let auth = auth(settings);
    let four_letter_words = four_letter_words(settings, read_only_mode);
    let admin = admin(settings);
    let (metrics, metrics_required) = metrics(settings);
    let workers = workers(settings);
    let hold = settings.millis("outpost.hold", 0);
    let link_timeout = link_timeout(settings, &ticks);
    let writes = settings.count(
        "outpost.maxWritesInFlight",
        1,
        WRITES_IN_FLIGHT_MAX,
        "requests",
    );
    let drain_timeout = settings.millis("outpost.drainTimeout", 0);
    let data_dir = data_dir?;
    Some(Config {
        file: file.to_owned(),
        file_text,
        id: own_id?,
        data_log_dir: data_log_dir.unwrap_or_else(|| data_dir.clone()),
        data_dir,
        ticks,
        ensemble,
        agreed,
        clients,
        auth,
        read_only_mode,
        four_letter_words,
        admin,
        metrics,
        metrics_required,
        workers,
        hold: hold.unwrap_or(ticks.sync_timeout()),
        link_timeout,
        writes_in_flight_max: usize::try_from(writes).ok()?,
        drain_timeout: drain_timeout.unwrap_or(Duration::from_secs(10)),
    })
}

/// A leader sends a PING every half tick, so four of them are missing when two ticks have passed.
fn link_timeout(settings: &mut Settings, ticks: &Ticks) -> Duration {
    let by_default = ticks.sync_timeout().min(ticks.tick_time.saturating_mul(2));
    settings
        .millis("outpost.linkTimeout", 1)
        .unwrap_or(by_default)
}

fn data_dir(settings: &mut Settings) -> Option<PathBuf> {
    let Some(setting) = settings.get("dataDir") else {
        settings.complain_of_file("dataDir is missing; name the directory that holds myid");
        return None;
    };
    let dir = settings.text("dataDir").map(PathBuf::from)?;
    if dir.is_relative() {
        settings.warn(
            &setting,
            "relative to whichever directory Outpost is started in",
        );
    }
    Some(dir)
}

fn ticks(settings: &mut Settings) -> Ticks {
    let tick_time = settings.millis("tickTime", 1).unwrap_or(TICK_TIME);
    let init_limit = required_ticks(settings, "initLimit", tick_time);
    let sync_limit = required_ticks(settings, "syncLimit", tick_time);
    let connect_limit = settings.count("connectToLearnerMasterLimit", 0, 0, "ticks");
    Ticks {
        tick_time,
        init_limit,
        sync_limit,
        connect_limit: if connect_limit == 0 {
            init_limit
        } else {
            connect_limit
        },
    }
}

fn required_ticks(settings: &mut Settings, key: &'static str, tick_time: Duration) -> u32 {
    let Some(setting) = settings.get(key) else {
        settings.complain_of_file(&format!(
            "{key} is missing; set it as in the voters' own files"
        ));
        return 1;
    };
    let limit = settings.count(key, 1, 1, "ticks");
    if tick_time.as_millis().saturating_mul(limit.into()) > u128::from(i32::MAX.unsigned_abs()) {
        settings.complain(
            &setting,
            "so many ticks last longer than 24 days; choose fewer",
        );
    }
    limit
}

fn agreed(settings: &mut Settings) -> Agreed {
    Agreed {
        local_sessions: settings.flag("localSessionsEnabled", false),
        local_sessions_upgrading: settings.flag("localSessionsUpgradingEnabled", false),
        extended_types: settings.flag("extendedTypesEnabled", false),
        digest: settings.flag("digest.enabled", true),
    }
}

/// The role in the list of servers goes before `peerType`, as in a Java server.
fn check_peer_type(settings: &mut Settings, id: Option<ServerId>, members: &Members) {
    let Some(setting) = settings.get("peerType") else {
        return;
    };
    let listed = id.and_then(|id| members.membership.get(id));
    let is_listed_observer = listed.is_some_and(|own| own.role == Role::Observer);
    match setting.value.to_ascii_lowercase().as_str() {
        "observer" => {}
        "participant" if is_listed_observer => {
            settings.warn(
                &setting,
                "the list of servers says observer, and that counts",
            );
        }
        "participant" => settings.complain(
            &setting,
            "Outpost is an observer and never votes; set peerType=observer",
        ),
        _ => settings.complain(&setting, "must be observer"),
    }
}

fn check_election(settings: &mut Settings) {
    let parse = |value: &str| match value {
        "3" => Ok(()),
        _ => Err("only 3 is left since ZooKeeper 3.5; remove the line".to_owned()),
    };
    settings.parse("electionAlg", parse);
}

fn ensemble(settings: &mut Settings, members: Members, frame_bytes_max: usize) -> Ensemble {
    // ZooKeeper doubles the limit between servers unless told otherwise: a transaction is longer than its request.
    let extra = settings.bytes("jute.maxbuffer.extrasize", 0);
    let extra = extra.unwrap_or(frame_bytes_max).max(EXTRA_BYTES_MIN);
    let port = settings.port("observerMasterPort");
    let delay = settings.millis("observer.reconnectDelayMs", 0);
    Ensemble {
        members: members.membership,
        reconfig_enabled: settings.flag("reconfigEnabled", false),
        observer_master_port: port.filter(|port| *port != 0),
        reconnect_delay_max: delay.unwrap_or_default(),
        record_bytes_max: frame_bytes_max.saturating_add(extra),
    }
}

fn client_addr(
    settings: &mut Settings,
    id: Option<ServerId>,
    members: &Members,
) -> Option<Endpoint> {
    let from_keys = client_addr_from_keys(settings);
    let own = id.and_then(|id| members.membership.get(id));
    let own = own.filter(|own| own.role == Role::Observer);
    let from_line = own.and_then(|own| client_addr_from_line(settings, own, members, &from_keys));
    let addr = from_line.or(from_keys);
    if addr.is_none() {
        settings.warn_of_file("no clientPort is set, so no client can connect; set clientPort");
    }
    addr
}

fn client_addr_from_keys(settings: &mut Settings) -> Option<Endpoint> {
    let port_setting = settings.get("clientPort");
    let address_setting = settings.get("clientPortAddress");
    let host = settings.host("clientPortAddress");
    if let (None, Some(address)) = (&port_setting, &address_setting) {
        settings.complain(address, "needs a port too; set clientPort");
    }
    let port = settings.port("clientPort")?;
    Some(Endpoint::new(
        host.unwrap_or(WILDCARD_HOST.to_owned()),
        port,
    ))
}

/// The client part of our own server line, which goes before the keys but must not contradict them.
fn client_addr_from_line(
    settings: &mut Settings,
    own: &Member,
    members: &Members,
    from_keys: &Option<Endpoint>,
) -> Option<Endpoint> {
    let line = members.setting(own.id)?;
    if own.secure_client.is_some() {
        let text = "TLS towards clients is not supported yet; remove the secure client part";
        settings.complain(line, text);
    }
    let client = own.client.clone()?;
    match from_keys {
        Some(keys) if keys.port != client.port => {
            let text = format!(
                "this is our own line and names client port {}, but clientPort={}; make them agree",
                client.port, keys.port
            );
            settings.complain(line, &text);
        }
        Some(keys) if !keys.is_wildcard() && keys.host != client.host => {
            let text = format!(
                "this is our own line, so clients are served at {client}, not at clientPortAddress={}",
                keys.host
            );
            settings.warn(line, &text);
        }
        _ => {}
    }
    Some(client)
}

fn clients(
    settings: &mut Settings,
    addr: Option<Endpoint>,
    ticks: &Ticks,
    frame_bytes_max: usize,
) -> Clients {
    let (min_session_timeout, max_session_timeout) = session_timeouts(settings, ticks);
    let sessionless = settings.millis("nio.sessionlessCnxnTimeout", 1);
    Clients {
        addr,
        backlog: settings.limit("clientPortListenBacklog", 0, "connections"),
        tcp_keep_alive: settings.flag("clientTcpKeepAlive", false),
        min_session_timeout,
        max_session_timeout,
        max_client_cnxns: settings.limit("maxClientCnxns", 60, "connections"),
        max_cnxns: settings.limit("maxCnxns", 0, "connections"),
        frame_bytes_max,
        outbox_bytes_max: outbox_bytes_max(settings, frame_bytes_max),
        sessionless_timeout: sessionless.unwrap_or(Duration::from_secs(10)),
        global_outstanding_limit: settings.count("globalOutstandingLimit", 1, 1000, "requests"),
        large_requests: large_requests(settings),
        connect_throttle: connect_throttle(settings),
    }
}

fn session_timeouts(settings: &mut Settings, ticks: &Ticks) -> (Duration, Duration) {
    let min = session_timeout(settings, "minSessionTimeout");
    let max = session_timeout(settings, "maxSessionTimeout");
    let min = min.unwrap_or(ticks.tick_time.saturating_mul(SESSION_TICKS_MIN));
    let max = max.unwrap_or(ticks.tick_time.saturating_mul(SESSION_TICKS_MAX));
    if min > max {
        let text = format!(
            "minSessionTimeout ({} ms) must not be larger than maxSessionTimeout ({} ms)",
            min.as_millis(),
            max.as_millis()
        );
        let setting = settings
            .get("minSessionTimeout")
            .or(settings.get("maxSessionTimeout"));
        match setting {
            Some(setting) => settings.complain(&setting, &text),
            None => settings.complain_of_file(&text),
        }
    }
    (min, max)
}

/// -1 stands for the default.
fn session_timeout(settings: &mut Settings, key: &'static str) -> Option<Duration> {
    match settings.get(key)?.value.as_str() {
        "-1" => None,
        _ => settings.millis(key, 1),
    }
}

/// One full-size znode always fits behind what a client may leave unread before it is told to wait.
fn outbox_bytes_max(settings: &mut Settings, frame_bytes_max: usize) -> usize {
    let min = frame_bytes_max.saturating_add(OUTBOX_BYTES_PAUSE);
    let bytes = settings.bytes("outpost.outboxBytes", 1);
    let bytes = bytes.unwrap_or(OUTBOX_BYTES_MAX.max(min.saturating_mul(2)));
    if bytes < min
        && let Some(setting) = settings.get("outpost.outboxBytes")
    {
        let text = format!(
            "must be at least {min} with jute.maxbuffer={frame_bytes_max}, or reading a large znode \
             could cut its own connection"
        );
        settings.complain(&setting, &text);
    }
    bytes
}

fn large_requests(settings: &mut Settings) -> Option<LargeRequests> {
    let bytes_max = settings
        .bytes("largeRequestMaxBytes", 1)
        .unwrap_or(100 << 20);
    let threshold = settings.limit("largeRequestThreshold", 0, "bytes")?;
    Some(LargeRequests {
        threshold: usize::try_from(threshold).ok()?,
        bytes_max,
    })
}

fn connect_throttle(settings: &mut Settings) -> Option<ConnectThrottle> {
    let tokens = settings.limit("connection_throttle_tokens", 0, "tokens");
    let fill_time = settings.millis("connection_throttle_fill_time", 1);
    let fill_count = settings.count("connection_throttle_fill_count", 0, 1, "tokens");
    let freeze_time = settings.whole(
        "connection_throttle_freeze_time",
        -1..=INT_MAX,
        "milliseconds",
    );
    let drop_increase = settings.fraction("connection_throttle_drop_increase", 0.02);
    let drop_decrease = settings.fraction("connection_throttle_drop_decrease", 0.002);
    let decrease_ratio = settings.fraction("connection_throttle_decrease_ratio", 0.0);
    let weights = connect_weights(settings);
    Some(ConnectThrottle {
        tokens: tokens?,
        fill_time: fill_time.unwrap_or(Duration::from_millis(1)),
        fill_count,
        freeze_time: freeze_time.and_then(super::settings::to_millis),
        drop_increase,
        drop_decrease,
        decrease_ratio,
        weights,
    })
}

fn connect_weights(settings: &mut Settings) -> Option<ConnectWeights> {
    let enabled = settings.flag("connection_throttle_weight_enabled", false);
    let local = settings.count("connection_throttle_local_session_weight", 1, 1, "tokens");
    let renew = settings.count("connection_throttle_renew_session_weight", 1, 2, "tokens");
    let global = settings.count("connection_throttle_global_session_weight", 1, 3, "tokens");
    enabled.then_some(ConnectWeights {
        global: global.max(local),
        renew: renew.max(local),
        local,
    })
}

fn auth(settings: &mut Settings) -> Auth {
    let digest = digest_auth(settings);
    let ensemble = ensemble_auth(settings);
    let mut schemes = vec!["ip"];
    schemes.extend(digest.as_ref().map(|_| "digest"));
    Auth {
        enforced_schemes: enforced_schemes(settings, &schemes),
        digest,
        ensemble,
        eager_acl_check: settings.flag("enableEagerACLCheck", false),
        skip_acl: skip_acl(settings),
    }
}

fn digest_auth(settings: &mut Settings) -> Option<DigestAuth> {
    let enabled = settings.flag("DigestAuthenticationProvider.enabled", true);
    let algorithm = settings.parse(
        "DigestAuthenticationProvider.digestAlg",
        |value| match value.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA-1" | "SHA" => Ok(DigestAlgorithm::Sha1),
            "SHA-256" => Ok(DigestAlgorithm::Sha256),
            "SHA-384" => Ok(DigestAlgorithm::Sha384),
            "SHA-512" => Ok(DigestAlgorithm::Sha512),
            _ => Err(
                "only SHA1, SHA-256, SHA-384 and SHA-512 are supported; with another algorithm no password \
                 would fit"
                    .into(),
            ),
        },
    );
    let super_digest =
        settings.parse(
            "DigestAuthenticationProvider.superDigest",
            |value| match value.split_once(':') {
                Some((_, digest)) if !digest.is_empty() => Ok(Secret(value.to_owned())),
                _ => Err("not of the form name:digest".to_owned()),
            },
        );
    enabled.then_some(DigestAuth {
        algorithm: algorithm.unwrap_or(DigestAlgorithm::Sha1),
        super_digest,
    })
}

/// The authentication providers that are configured by class; digest and ip are there without being named.
fn ensemble_auth(settings: &mut Settings) -> Option<Vec<String>> {
    let mut has_ensemble = false;
    for provider in settings.family("authProvider.*") {
        match provider.value.rsplit('.').next().unwrap_or_default() {
            "DigestAuthenticationProvider" | "IPAuthenticationProvider" => {}
            "EnsembleAuthenticationProvider" => has_ensemble = true,
            "SASLAuthenticationProvider" => settings.complain(&provider, &unsupported("SASL")),
            "X509AuthenticationProvider" => settings.complain(&provider, &unsupported("X.509")),
            _ => settings.complain(
                &provider,
                "Outpost cannot run this class, and without it other clients might read than you mean; \
                 remove the line only if no ACL needs it",
            ),
        }
    }
    let names = settings
        .get("ensembleAuthName")
        .map(|setting| words(&setting.value));
    has_ensemble.then(|| names.unwrap_or_default())
}

fn unsupported(scheme: &str) -> String {
    format!(
        "{scheme} authentication of clients is not supported yet; remove the line only if no client needs it"
    )
}

fn enforced_schemes(settings: &mut Settings, available: &[&str]) -> Vec<String> {
    let enabled = settings.flag("enforce.auth.enabled", false);
    let schemes = settings.get("enforce.auth.schemes");
    if !enabled {
        return Vec::new();
    }
    let Some(setting) = schemes else {
        settings.complain_of_file("enforce.auth.enabled=true needs enforce.auth.schemes too");
        return Vec::new();
    };
    let schemes = words(&setting.value);
    if schemes.is_empty() {
        settings.complain(&setting, "names no scheme; no client could be served");
    }
    for scheme in schemes
        .iter()
        .filter(|scheme| !available.contains(&scheme.as_str()))
    {
        let text = format!(
            "no client can authenticate with {scheme} here; possible are {}",
            available.join(", ")
        );
        settings.complain(&setting, &text);
    }
    schemes
}

fn skip_acl(settings: &mut Settings) -> bool {
    let skip = settings.parse("skipACL", |value| match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("must be yes or no".to_owned()),
    });
    if let (Some(true), Some(setting)) = (skip, settings.get("skipACL")) {
        settings.warn(
            &setting,
            "EVERY CLIENT MAY READ EVERYTHING, whatever the ACLs say",
        );
    }
    skip.unwrap_or(false)
}

fn four_letter_words(settings: &mut Settings, read_only_mode: bool) -> FourLetterWords {
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

fn admin(settings: &mut Settings) -> Option<Admin> {
    let enabled = settings.flag("admin.enableServer", true);
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
    enabled.then_some(Admin {
        addr: Endpoint::new(host, port),
        command_url: command_url.unwrap_or("/commands".to_owned()),
        idle_timeout: idle_timeout.unwrap_or(Duration::from_secs(30)),
    })
}

/// Without a provider there is one here: nobody should fly blind because of a missing line.
fn metrics(settings: &mut Settings) -> (Option<Endpoint>, bool) {
    let class = settings.get("metricsProvider.className");
    let host = settings
        .host("metricsProvider.httpHost")
        .unwrap_or(WILDCARD_HOST.to_owned());
    let port = settings.port("metricsProvider.httpPort");
    let required = class.is_some() || port.is_some();
    let endpoint = Endpoint::new(host, port.unwrap_or(METRICS_PORT));
    let class_name = class.as_ref().map_or("", |class| class.value.as_str());
    match class_name.rsplit('.').next().unwrap_or_default() {
        "" | "PrometheusMetricsProvider" => return (Some(endpoint), required),
        "DefaultMetricsProvider" | "NullMetricsProvider" => {}
        _ => complain_of_metrics_class(settings, class.as_ref()),
    }
    if let Some(setting) = settings.get("metricsProvider.httpPort") {
        let text = format!("has no effect without metricsProvider.className={PROMETHEUS}");
        settings.warn(&setting, &text);
    }
    (None, false)
}

fn complain_of_metrics_class(settings: &mut Settings, class: Option<&Setting>) {
    if let Some(class) = class {
        let text = format!("Outpost cannot run this class; use {PROMETHEUS}, or remove the line");
        settings.complain(class, &text);
    }
}

fn workers(settings: &mut Settings) -> NonZeroUsize {
    let workers = settings.whole("outpost.workers", 1..=WORKERS_MAX, "threads");
    let workers = workers
        .and_then(|n| usize::try_from(n).ok())
        .and_then(NonZeroUsize::new);
    workers.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// The parts of a comma list, without blanks and empty ones.
fn words(list: &str) -> Vec<String> {
    let words = list.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
