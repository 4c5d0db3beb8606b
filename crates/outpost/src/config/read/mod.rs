//! What each honoured key means: from settings to the parts of a [`Config`].

mod auth;
mod clients;
mod doors;
mod operators;
mod sasl;
mod tls;

pub(super) use sasl::{login_again, users_again};

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outpost_wire::ServerId;
use outpost_wire::frame::FRAME_BYTES_MAX;
use outpost_wire::membership::Role;

use super::members::Members;
use super::settings::Settings;
use super::{Agreed, Config, Ensemble, FileText, QuorumLogin, ReadFile, Ticks};
use super::{identity, members};

/// A tick where none is set, as in ZooKeeper.
const TICK_TIME: Duration = Duration::from_millis(3000);
/// What ZooKeeper allows at least on top of `jute.maxbuffer` between servers.
const EXTRA_BYTES_MIN: usize = 1024;
/// Writes in flight where nothing is set: 25,000 a second over a link with 150 ms.
const WRITES_IN_FLIGHT_MAX: u32 = 4096;
/// More threads than this serve nobody better.
const WORKERS_MAX: i64 = 1024;

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
    let doors = doors::doors(settings, own_id, &members);
    let secured = doors.speak_tls();
    let clients = clients::clients(settings, doors, &ticks, frame_bytes_max);
    let jaas = sasl::Jaas::read(settings, read_file);
    let sasl = sasl::quorum(settings, jaas.as_ref());
    let ensemble = ensemble(settings, members, frame_bytes_max, sasl);
    let auth = auth::auth(settings, jaas.as_ref(), secured);
    let four_letter_words = operators::four_letter_words(settings, read_only_mode);
    let https = operators::https(settings);
    let admin = operators::admin(settings, https.0);
    let audit = operators::audit(settings);
    let (metrics, metrics_required) = operators::metrics(settings);
    let metrics_style = operators::metrics_style(settings);
    let tls = tls::tls(settings, secured, https);
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
        stated: settings.stated(),
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
        audit,
        metrics,
        monitor_as_prometheus: operators::names_prometheus(settings),
        metrics_required,
        tls,
        metrics_style,
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
    let connect_limit = settings.limit("connectToLearnerMasterLimit", 0, "ticks");
    Ticks {
        tick_time,
        init_limit,
        sync_limit,
        connect_limit: connect_limit.unwrap_or(init_limit),
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

fn ensemble(
    settings: &mut Settings,
    members: Members,
    frame_bytes_max: usize,
    sasl: Option<QuorumLogin>,
) -> Ensemble {
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
        sasl,
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
