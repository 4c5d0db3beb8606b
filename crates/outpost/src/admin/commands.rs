//! The commands of ZooKeeper's admin server, with its names, aliases and keys.
//!
//! Commands that change what only a Java server has answer with an error.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue};
use outpost_wire::membership::{Address, Endpoint, Member, Role};
use outpost_wire::txn::DIGEST_VERSION;
use outpost_wire::{SessionId, Zxid};
use serde_json::{Map, Value, json};

use super::http::{Answer, Asked};
use super::{AdminServer, json, link, memory, snapshot};
use crate::metrics::Shown;
use crate::report::{ConnectionReport, NOT_SERVING, Report, java, process};
use crate::serve::client::Port;
use crate::serve::read_only::Mode;
use crate::serve::service::Service;

/// Members of an answer, in their order.
pub(super) type Members = Map<String, Value>;

/// One command.
pub(super) struct Command {
    /// Its names; the first is the primary one.
    pub(super) names: &'static [&'static str],
    /// Whether it is answered while clients are not served.
    always: bool,
    /// Whether it is asked for with POST; with GET otherwise.
    posted: bool,
    run: Run,
}

/// How a command comes to its answer.
#[derive(Clone, Copy)]
enum Run {
    /// For everybody, as JSON.
    Open(Tell),
    /// For those who have a right on the root znode, in a form of its own.
    Guarded(fn(&AdminServer, Asked<'_>) -> Result<Answer, Refusal>),
}

type Tell = fn(&Report<'_>, &Service, Asked<'_>) -> Result<Members, Refusal>;

/// Why a command is not answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    /// In a Java server's words where it has some.
    error: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: &str) -> Refusal {
        let error = error.to_owned();
        Refusal { status, error }
    }

    /// A Java server has this command.
    pub(super) fn not_offered(why: &str) -> Refusal {
        let error = format!("not offered by Outpost: {why}");
        Refusal::new(StatusCode::NOT_IMPLEMENTED, &error)
    }

    /// As most errors of a Java server.
    fn ok(error: &str) -> Refusal {
        Refusal::new(StatusCode::OK, error)
    }
}

const fn command(names: &'static [&'static str], tell: Tell) -> Command {
    Command {
        names,
        always: false,
        posted: false,
        run: Run::Open(tell),
    }
}

const fn always(names: &'static [&'static str], tell: Tell) -> Command {
    Command {
        always: true,
        ..command(names, tell)
    }
}

/// All commands, by primary name.
pub(super) static COMMANDS: &[Command] = &[
    command(&["configuration", "conf", "config"], |r, _, _| {
        Ok(configuration(r))
    }),
    command(&["connection_stat_reset", "crst"], |r, _, _| {
        r.reset_connections(None);
        Ok(Members::new())
    }),
    command(&["connections", "cons"], |r, _, _| {
        Ok(all_connections(r, connection))
    }),
    command(&["dirs"], |r, _, _| Ok(directories(r))),
    command(&["dump"], |r, _, _| Ok(dump(r))),
    always(&["environment", "env", "envi"], |r, _, _| {
        Ok(environment(r))
    }),
    always(&["get_trace_mask", "gtmk"], |_, service, _| {
        Ok(trace_mask(service))
    }),
    command(&["hash"], |r, _, _| Ok(hash(r))),
    always(&["initial_configuration", "icfg"], |r, _, _| {
        Ok(members(
            json!({ "initial_configuration": r.facts().file_text }),
        ))
    }),
    command(&["is_read_only", "isro"], |r, _, _| {
        Ok(members(json!({ "read_only": r.is_read_only() })))
    }),
    command(&["last_snapshot", "lsnp"], |_, _, _| {
        Err(Refusal::not_offered("it writes no snapshots to a disk"))
    }),
    command(&["leader", "lead"], |r, _, _| Ok(leader(r))),
    always(&["link"], |r, _, _| Ok(link::link(r))),
    always(&["link_losses"], |r, _, _| Ok(link::losses(r))),
    always(&["memory"], |r, _, _| Ok(memory::memory(r))),
    always(&["monitor", "mntr"], |r, _, _| Ok(monitor(r))),
    command(&["observer_connection_stat_reset", "orst"], |_, _, _| {
        Ok(Members::new())
    }),
    command(&["observers", "obsr"], |_, _, _| {
        Ok(members(json!({ "synced_observers": 0, "observers": [] })))
    }),
    Command {
        names: &["restore", "rest"],
        always: false,
        posted: true,
        run: Run::Guarded(restore),
    },
    command(&["ruok"], |_, _, _| Ok(Members::new())),
    command(&["server_stats", "srvr"], |r, _, _| Ok(server_stats(r))),
    always(&["set_trace_mask", "stmk"], |_, service, asked| {
        set_trace_mask(service, asked)
    }),
    Command {
        names: &["snapshot", "snap"],
        always: false,
        posted: false,
        run: Run::Guarded(snapshot::snapshot),
    },
    command(&["stat_reset", "srst"], |r, _, _| {
        r.reset_server();
        Ok(Members::new())
    }),
    command(&["stats", "stat"], |r, _, _| {
        let mut stats = server_stats(r);
        stats.extend(all_connections(r, brief));
        Ok(stats)
    }),
    always(&["system_properties", "sysp"], |r, _, _| Ok(properties(r))),
    command(&["voting_view"], |r, _, _| Ok(voting_view(r))),
    command(&["watch_summary", "wchs"], |r, _, _| Ok(watch_summary(r))),
    command(&["watches", "wchc"], |r, _, _| Ok(watches(r))),
    command(&["watches_by_path", "wchp"], |r, _, _| {
        Ok(watches_by_path(r))
    }),
    always(&["zabstate"], |r, _, _| Ok(zab_state(r))),
];

/// Answers what was asked of the command that has `name` among its names.
pub(super) fn run(server: &AdminServer, name: &str, asked: Asked<'_>) -> Answer {
    let known = COMMANDS
        .iter()
        .find(|command| command.names.contains(&name));
    let Some(command) = known else {
        return refuse(name, &Refusal::ok(&format!("Unknown command: {name}")));
    };
    if asked.is_post() != command.posted {
        return wrong_method(command);
    }
    let report = Report::of(&server.service);
    if !command.always && report.mode() == Mode::Nobody {
        return refuse(name, &Refusal::ok(NOT_SERVING));
    }
    let primary = command.names[0];
    let answered = match command.run {
        Run::Open(tell) => {
            tell(&report, &server.service, asked).map(|members| say(primary, members))
        }
        Run::Guarded(run) => {
            if let Err(refusal) = server.authorize(asked) {
                return refuse(name, &refusal);
            }
            run(server, asked)
        }
    };
    answered.unwrap_or_else(|refusal| refuse(primary, &refusal))
}

fn say(command: &str, mut members: Members) -> Answer {
    members.insert("command".to_owned(), command.into());
    members.insert("error".to_owned(), Value::Null);
    json_answer(StatusCode::OK, &members)
}

fn refuse(command: &str, refusal: &Refusal) -> Answer {
    let members = members(json!({ "command": command, "error": refusal.error }));
    json_answer(refusal.status, &members)
}

/// A Java server answers 500 without a word.
fn wrong_method(command: &Command) -> Answer {
    let allowed = match command.posted {
        true => "POST",
        false => "GET, HEAD",
    };
    let error = format!("{} is asked for with {allowed}", command.names[0]);
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, &error);
    refuse(command.names[0], &refusal).with(ALLOW, HeaderValue::from_static(allowed))
}

fn json_answer(status: StatusCode, members: &Members) -> Answer {
    Answer::new(status, "application/json", json::to_text(members))
}

/// A replica that takes another tree than its leader's is none.
fn restore(server: &AdminServer, _: Asked<'_>) -> Result<Answer, Refusal> {
    if !server.settings.restore_enabled {
        let text = "switched off with admin.restore.enabled";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    Err(Refusal::not_offered(
        "an observer's tree is its leader's; restore the voters",
    ))
}

pub(super) fn members(value: Value) -> Members {
    match value {
        Value::Object(members) => members,
        _ => Members::new(),
    }
}

fn configuration(report: &Report<'_>) -> Members {
    let facts = report.facts();
    members(json!({
        "client_port": facts.client_port.map_or(-1, i32::from),
        "data_dir": facts.data_dir.to_string_lossy(),
        "data_log_dir": facts.data_log_dir.to_string_lossy(),
        "tick_time": java::millis(facts.tick_time),
        "max_client_cnxns": facts.max_client_cnxns,
        "min_session_timeout": java::millis(facts.min_session_timeout),
        "max_session_timeout": java::millis(facts.max_session_timeout),
        "server_id": facts.server_id.0,
        "client_port_listen_backlog": facts.backlog.map_or(-1, i64::from),
    }))
}

fn all_connections(report: &Report<'_>, show: fn(&ConnectionReport) -> Members) -> Members {
    let at = |port| -> Vec<Value> {
        let connections = report.connections(port);
        connections.iter().map(|one| show(one).into()).collect()
    };
    members(json!({ "connections": at(Port::Plain), "secure_connections": at(Port::Secure) }))
}

fn brief(connection: &ConnectionReport) -> Members {
    members(json!({
        "remote_socket_address": connection.peer,
        "interest_ops": connection.interest_ops,
        "outstanding_requests": connection.outstanding,
        "packets_received": connection.received,
        "packets_sent": connection.sent,
    }))
}

fn connection(connection: &ConnectionReport) -> Members {
    let mut shown = brief(connection);
    let latency = &connection.latency;
    shown.extend(members(json!({
        "session_id": connection.session.0,
        "last_operation": connection.last_operation,
        "established": java::epoch_ms(connection.established),
        "session_timeout": connection.timeout_ms,
        "last_cxid": connection.last_cxid,
        "last_zxid": connection.last_zxid,
        "last_response_time": connection.last_response_ms,
        "last_latency": latency.last,
        "min_latency": latency.min,
        "avg_latency": connection.latency_mean(),
        "max_latency": latency.max,
    })));
    shown
}

fn directories(report: &Report<'_>) -> Members {
    let configuration = report.configuration();
    members(json!({
        "datadir_size": configuration.data_dir_size,
        "logdir_size": configuration.data_log_size,
    }))
}

fn dump(report: &Report<'_>) -> Members {
    let ephemerals = report.sessions().ephemerals;
    let by_session: Members = ephemerals
        .into_iter()
        .map(|(session, paths)| (session.0.to_string(), paths.into()))
        .collect();
    members(json!({
        "expiry_time_to_session_ids": {},
        "session_id_to_ephemeral_paths": by_session,
    }))
}

fn environment(report: &Report<'_>) -> Members {
    process::environment(&report.facts().version)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect()
}

fn trace_mask(service: &Service) -> Members {
    members(json!({ "tracemask": service.trace_mask.load(Ordering::Relaxed) }))
}

fn set_trace_mask(service: &Service, asked: Asked<'_>) -> Result<Members, Refusal> {
    const WANTED: &str = "setTraceMask requires long traceMask argument";
    let mask = asked.parameter("traceMask");
    let mask = mask.ok_or_else(|| Refusal::ok(WANTED))?;
    let number = mask.parse();
    let number = number.map_err(|_| Refusal::ok(&format!("{WANTED}, got {mask}")))?;
    service.trace_mask.store(number, Ordering::Relaxed);
    Ok(trace_mask(service))
}

/// Earlier digests of the tree.
fn hash(report: &Report<'_>) -> Members {
    let digest = |(zxid, digest): (Zxid, u64)| {
        json!({
            "zxid": zxid.0,
            "digest_version": DIGEST_VERSION,
            "digest": digest.cast_signed(),
        })
    };
    let digests: Vec<Value> = report.digests().into_iter().map(digest).collect();
    members(json!({ "digests": digests }))
}

fn leader(report: &Report<'_>) -> Members {
    let master = report.link().master.filter(|master| master.leads);
    members(json!({
        "is_leader": false,
        "leader_id": master.as_ref().map_or(-1, |master| master.server.0),
        "leader_ip": master.map_or(String::new(), |master| master.host),
    }))
}

fn monitor(report: &Report<'_>) -> Members {
    report
        .monitor()
        .into_iter()
        .map(|(key, shown)| {
            let value = match shown {
                Shown::Text(text) => text.into(),
                Shown::Whole(value) => value.into(),
                // As Jackson writes what JSON has no number for.
                Shown::Real(value) if !value.is_finite() => java::double(value).into(),
                Shown::Real(value) => value.into(),
            };
            (key, value)
        })
        .collect()
}

fn server_stats(report: &Report<'_>) -> Members {
    let (server, tree) = (report.server(), report.tree());
    let configuration = report.configuration();
    // Sizes of answers are not kept.
    let sizes = json!({ "last_buffer_size": -1, "min_buffer_size": -1, "max_buffer_size": -1 });
    members(json!({
        "version": report.facts().version,
        "read_only": server.read_only,
        "server_stats": {
            "packets_sent": server.sent,
            "packets_received": server.received,
            "fsync_threshold_exceed_count": 0,
            "client_response_stats": sizes,
            "provider_null": false,
            "server_state": server.mode(),
            "outstanding_requests": server.outstanding,
            "min_latency": server.latency.min,
            "avg_latency": server.latency_mean(),
            "max_latency": server.latency.max,
            "data_dir_size": configuration.data_dir_size,
            "log_dir_size": configuration.data_log_size,
            "last_processed_zxid": tree.last_zxid.0,
            "num_alive_client_connections": server.connections,
            "uptime": java::millis(server.uptime),
            "auth_failed_count": server.auth_failed,
            "non_mtlsremote_conn_count": server.plain_remote,
            "non_mtlslocal_conn_count": server.plain_local,
        },
        "client_response": sizes,
        "node_count": tree.node_count,
    }))
}

fn properties(report: &Report<'_>) -> Members {
    let properties = &report.facts().properties;
    let member = |(key, value): &(&str, String)| ((*key).to_owned(), value.clone().into());
    properties.iter().map(member).collect()
}

fn voting_view(report: &Report<'_>) -> Members {
    let membership = report.membership();
    let view = |voter: &Member| {
        let addresses = |port: fn(&Address) -> u16| -> Vec<String> {
            let each = voter.addresses.iter();
            each.map(|a| Endpoint::new(&a.host, port(a)).to_string())
                .collect()
        };
        json!({
            "server_addresses": addresses(|a| a.quorum_port),
            "election_addresses": addresses(|a| a.election_port),
            "client_address": voter.client.as_ref().map_or(String::new(), Endpoint::to_string),
            "learner_type": Role::Participant.to_string(),
        })
    };
    let voters: Members = membership
        .participants()
        .map(|voter| (voter.id.to_string(), view(voter)))
        .collect();
    members(json!({ "current_config": voters }))
}

fn watch_summary(report: &Report<'_>) -> Members {
    let summary = report.watch_summary();
    members(json!({
        "num_connections": summary.watchers,
        "num_paths": summary.paths,
        "num_total_watches": summary.watches,
    }))
}

fn watches(report: &Report<'_>) -> Members {
    // A session whose old connection is still being closed has two for a moment.
    let mut by_session: BTreeMap<SessionId, Vec<String>> = BTreeMap::new();
    for (session, paths) in report.watches_by_session() {
        by_session.entry(session).or_default().extend(paths);
    }
    let shown: Members = by_session
        .into_iter()
        .map(|(session, paths)| (session.0.to_string(), paths.into()))
        .collect();
    members(json!({ "session_id_to_watched_paths": shown }))
}

fn watches_by_path(report: &Report<'_>) -> Members {
    let ids = |sessions: Vec<SessionId>| -> Vec<i64> { sessions.iter().map(|id| id.0).collect() };
    let shown: Members = report
        .watches_by_path()
        .into_iter()
        .map(|(path, sessions)| (path, ids(sessions).into()))
        .collect();
    members(json!({ "path_to_session_ids": shown }))
}

/// Addresses are those of our own line; an observer needs none.
fn zab_state(report: &Report<'_>) -> Members {
    let facts = report.facts();
    let (membership, link) = (report.membership(), report.link());
    let zxid = report.tree().last_zxid;
    // A Java server knows its own line even where the ensemble does not list it.
    let own = membership.get(facts.server_id);
    let own = own.or_else(|| facts.members.get(facts.server_id));
    let all = |port: fn(&Address) -> u16| match own {
        Some(own) => addresses(own, port),
        None => Value::Null,
    };
    let port = facts.client_port.unwrap_or(0);
    members(json!({
        "myid": facts.server_id.0,
        "is_leader": false,
        "quorum_address": all(|address| address.quorum_port),
        "election_address": all(|address| address.election_port),
        "client_address": Endpoint::new(&facts.client_host, port).to_string(),
        "voting": false,
        "last_zxid": zxid.to_string(),
        "zab_epoch": zxid.epoch(),
        "zab_counter": zxid.counter(),
        "zabstate": link.zab_state(),
    }))
}

/// Java's view of several addresses. Whether they can be reached is not tried: they are our own.
fn addresses(own: &Member, port: fn(&Address) -> u16) -> Value {
    let each = own.addresses.iter();
    let all: Vec<String> = each
        .map(|a| Endpoint::new(&a.host, port(a)).to_string())
        .collect();
    let ports: Vec<u16> = own.addresses.iter().map(port).collect();
    let hosts: Vec<&str> = own.addresses.iter().map(|a| a.host.as_str()).collect();
    let wildcards: Vec<String> = ports.iter().map(|port| format!("0.0.0.0:{port}")).collect();
    json!({
        "empty": all.is_empty(),
        "all_addresses": all,
        "wildcard_addresses": wildcards,
        "all_ports": ports,
        "all_host_strings": hosts,
        "reachable_address": all.first(),
        "all_reachable_addresses": all,
        "all_reachable_addresses_or_all": all,
        "reachable_or_one": all.first(),
        "one": all.first(),
    })
}
