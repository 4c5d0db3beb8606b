//! What each word is answered, as ZooKeeper 3.9 writes it.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::Word;
use crate::report::{ConnectionReport, NOT_SERVING, Report, ServerReport, java, process};
use crate::serve::client::Port;
use crate::serve::read_only::Mode;
use crate::serve::service::Service;

/// What a word is answered that is known but not on the whitelist.
pub(super) fn not_allowed(word: Word) -> String {
    let letters = word.letters();
    format!("{letters} is not executed because it is not in the whitelist.\n")
}

/// What a word is answered that came in at `port`: it sees the connections of that port.
pub(super) fn answer(service: &Service, word: Word, port: Port) -> String {
    let report = Report::of(service);
    match word {
        Word::Ruok => "imok".to_owned(),
        Word::Envi => environment(&report),
        Word::Gtmk | Word::Stmk => service.trace_mask.load(Ordering::Relaxed).to_string(),
        Word::Isro => read_only(report.mode()).to_owned(),
        Word::Hash if report.mode() == Mode::Nobody => NOT_SERVING.to_owned(),
        _ if report.mode() == Mode::Nobody => format!("{NOT_SERVING}\n"),
        Word::Conf => configuration(&report),
        Word::Cons => connections(&report.connections(port), connection),
        Word::Crst => {
            report.reset_connections(Some(port));
            "Connection stats reset.\n".to_owned()
        }
        Word::Dirs => directories(&report),
        Word::Dump => dump(&report, port),
        Word::Hash => hash(&report),
        Word::Mntr => monitor(&report),
        Word::Srst => {
            report.reset_server();
            "Server stats reset.\n".to_owned()
        }
        Word::Srvr => server(&report, None),
        Word::Stat => server(&report, Some(&report.connections(port))),
        Word::Wchc => watches_by_session(&report),
        Word::Wchp => watches_by_path(&report),
        Word::Wchs => watch_summary(&report),
    }
}

fn read_only(mode: Mode) -> &'static str {
    match mode {
        Mode::Nobody => "null",
        Mode::ReadOnly => "ro",
        Mode::Everybody(_) => "rw",
    }
}

/// Text that lines are added to. Adding to a string cannot fail.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl Display) {
        let _ = writeln!(self.0, "{line}");
    }

    fn pair(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key}={value}");
    }
}

fn server(report: &Report<'_>, clients: Option<&[ConnectionReport]>) -> String {
    let (server, tree) = (report.server(), report.tree());
    let mut text = Text::default();
    text.line(format_args!(
        "Zookeeper version: {}",
        report.facts().version
    ));
    if server.read_only {
        text.line("READ-ONLY mode; serving only read-only clients");
    }
    if let Some(clients) = clients {
        text.line("Clients:");
        text.0.push_str(&connections(clients, brief));
    }
    latencies(&mut text, &server);
    text.line(format_args!("Received: {}", server.received));
    text.line(format_args!("Sent: {}", server.sent));
    text.line(format_args!("Connections: {}", server.connections));
    text.line(format_args!("Outstanding: {}", server.outstanding));
    text.line(format_args!("Zxid: {}", tree.last_zxid));
    text.line(format_args!("Mode: {}", server.mode()));
    text.line(format_args!("Node count: {}", tree.node_count));
    text.0
}

fn latencies(text: &mut Text, server: &ServerReport) {
    let mean = java::double(server.latency_mean());
    let (min, max) = (server.latency.min, server.latency.max);
    text.line(format_args!("Latency min/avg/max: {min}/{mean}/{max}"));
}

/// One line for each connection, then an empty one.
fn connections(
    connections: &[ConnectionReport],
    line: impl Fn(&ConnectionReport) -> String,
) -> String {
    let mut text = Text::default();
    for connection in connections {
        text.line(line(connection));
    }
    text.line("");
    text.0
}

fn brief(connection: &ConnectionReport) -> String {
    format!("{})", opening(connection))
}

fn opening(connection: &ConnectionReport) -> String {
    let ConnectionReport {
        peer,
        interest_ops,
        outstanding,
        received,
        sent,
        ..
    } = connection;
    format!(" /{peer}[{interest_ops:x}](queued={outstanding},recved={received},sent={sent}")
}

fn connection(connection: &ConnectionReport) -> String {
    let mut line = opening(connection);
    if connection.session.0 != 0 {
        let _ = write!(
            line,
            ",sid={},lop={},est={},to={}",
            connection.session,
            connection.last_operation,
            java::epoch_ms(connection.established),
            connection.timeout_ms
        );
        if connection.last_cxid >= 0 {
            let _ = write!(line, ",lcxid=0x{:x}", connection.last_cxid);
        }
        let latency = &connection.latency;
        let _ = write!(
            line,
            ",lzxid=0x{:x},lresp={},llat={},minlat={},avglat={},maxlat={}",
            connection.last_zxid,
            connection.last_response_ms,
            latency.last,
            latency.min,
            connection.latency_mean(),
            latency.max
        );
    }
    line.push(')');
    line
}

fn configuration(report: &Report<'_>) -> String {
    let configuration = report.configuration();
    let facts = configuration.facts;
    let (quorum_ports, election_ports) = configuration.own_ports();
    let mut text = Text::default();
    text.pair("clientPort", facts.client_port.map_or(-1, i32::from));
    text.pair(
        "secureClientPort",
        facts.secure_client_port.map_or(-1, i32::from),
    );
    text.pair("dataDir", facts.data_dir.display());
    text.pair("dataDirSize", configuration.data_dir_size);
    text.pair("dataLogDir", facts.data_log_dir.display());
    text.pair("dataLogSize", configuration.data_log_size);
    text.pair("tickTime", facts.tick_time.as_millis());
    text.pair("maxClientCnxns", facts.max_client_cnxns);
    text.pair("minSessionTimeout", facts.min_session_timeout.as_millis());
    text.pair("maxSessionTimeout", facts.max_session_timeout.as_millis());
    let backlog = facts.backlog.map_or(-1, i64::from);
    text.pair("clientPortListenBacklog", backlog);
    text.pair("serverId", facts.server_id);
    text.pair("initLimit", facts.init_limit);
    text.pair("syncLimit", facts.sync_limit);
    text.pair("electionAlg", 3);
    text.pair("electionPort", ports(&election_ports));
    text.pair("quorumPort", ports(&quorum_ports));
    text.pair("peerType", 1);
    text.line("membership: ");
    text.0.push_str(&configuration.membership.to_text());
    text.0
}

fn ports(ports: &[u16]) -> String {
    if ports.is_empty() {
        return "-1".to_owned();
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join("|")
}

fn directories(report: &Report<'_>) -> String {
    let configuration = report.configuration();
    let mut text = Text::default();
    text.line(format_args!(
        "datadir_size: {}",
        configuration.data_dir_size
    ));
    text.line(format_args!("logdir_size: {}", configuration.data_log_size));
    text.0
}

fn environment(report: &Report<'_>) -> String {
    let mut text = Text::default();
    text.line("Environment:");
    for (key, value) in process::environment(&report.facts().version) {
        text.pair(key, value);
    }
    text.0
}

fn dump(report: &Report<'_>, port: Port) -> String {
    let sessions = report.sessions();
    let mut text = Text::default();
    text.line("SessionTracker dump:");
    if let Some(local) = &sessions.local {
        let expiries = local.iter().map(|(id, when)| (*when, id));
        let name = |id: &&_| ToString::to_string(id);
        let step = report.facts().tick_time;
        expiry_sets(&mut text, "Local Session", step, expiries.collect(), name);
    }
    text.line(format_args!("Global Sessions({}):", sessions.global.len()));
    for (id, timeout_ms) in &sessions.global {
        text.line(format_args!("{id}\t{timeout_ms}ms"));
    }
    text.line("ephemeral nodes dump:");
    let owners = sessions.ephemerals.len();
    text.line(format_args!("Sessions with Ephemerals ({owners}):"));
    for (id, paths) in &sessions.ephemerals {
        text.line(format_args!("{id}:"));
        for path in paths {
            text.line(format_args!("\t{path}"));
        }
    }
    text.line("Connections dump:");
    let connections = report.connections(port);
    let expiries = connections.iter().map(|one| (one.expires, one)).collect();
    let name = |one: &&ConnectionReport| format!("ip: /{} sessionId: {}", one.peer, one.session);
    let step = report.sessionless_timeout();
    expiry_sets(&mut text, "Connections", step, expiries, name);
    text.0
}

/// What expires at about the same time, together (`ExpiryQueue.dump`): sessions within one tick,
/// connections within the time one may stay without a session.
fn expiry_sets<T>(
    text: &mut Text,
    what: &str,
    step: Duration,
    expiries: Vec<(SystemTime, T)>,
    name: impl Fn(&T) -> String,
) {
    let step = java::millis(step).max(1);
    let total = expiries.len();
    let mut sets: BTreeMap<u64, Vec<T>> = BTreeMap::new();
    for (when, one) in expiries {
        let rounded_up = (java::epoch_ms(when) / step + 1) * step;
        sets.entry(rounded_up).or_default().push(one);
    }
    text.line(format_args!("{what} Sets ({})/({total}):", sets.len()));
    for (when, set) in &sets {
        let date = java::date(SystemTime::UNIX_EPOCH + Duration::from_millis(*when));
        text.line(format_args!("{} expire at {date}:", set.len()));
        for one in set {
            text.line(format_args!("\t{}", name(one)));
        }
    }
}

/// Earlier digests of the tree, under the zxids they belong to.
fn hash(report: &Report<'_>) -> String {
    let mut text = Text::default();
    for (zxid, digest) in report.digests() {
        text.line(format_args!("{:x}: {}", zxid.0, digest.cast_signed()));
    }
    text.0
}

fn monitor(report: &Report<'_>) -> String {
    let mut text = Text::default();
    for (key, value) in report.monitor() {
        text.line(format_args!("zk_{key}\t{value}"));
    }
    text.0
}

fn watches_by_session(report: &Report<'_>) -> String {
    let mut text = Text::default();
    for (id, paths) in report.watches_by_session() {
        text.line(id);
        for path in paths {
            text.line(format_args!("\t{path}"));
        }
    }
    text.line("");
    text.0
}

fn watches_by_path(report: &Report<'_>) -> String {
    let mut text = Text::default();
    for (path, ids) in report.watches_by_path() {
        text.line(path);
        for id in ids {
            text.line(format_args!("\t{id}"));
        }
    }
    text.line("");
    text.0
}

fn watch_summary(report: &Report<'_>) -> String {
    let summary = report.watch_summary();
    let mut text = Text::default();
    let (watchers, paths) = (summary.watchers, summary.paths);
    text.line(format_args!(
        "{watchers} connections watching {paths} paths"
    ));
    text.line(format_args!("Total watches:{}", summary.watches));
    text.0
}
