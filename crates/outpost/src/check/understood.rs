//! The configuration in plain words, with all defaults filled in.

use std::time::Duration;

use outpost::config::{Clients, Config, Doors, FourLetterWords};
use outpost_wire::membership::Endpoint;

use super::report::{Report, Subject};

/// Says how the configuration is understood.
pub(super) fn explain(config: &Config, report: &Report) {
    let say = |text: &str| report.ok(Subject::Config, text);
    say(&identity(config));
    say(&ensemble(config));
    say(&times(config));
    say(&clients(&config.clients));
    say(&sessions(config));
    say(&operators(config));
}

/// An endpoint for human eyes.
pub(super) fn place(endpoint: &Endpoint) -> String {
    match (endpoint.is_wildcard(), endpoint.port) {
        (true, 0) => "all addresses, a port the system chooses".to_owned(),
        (true, port) => format!("all addresses, port {port}"),
        (false, 0) => format!("{}, a port the system chooses", endpoint.host),
        (false, _) => endpoint.to_string(),
    }
}

/// Milliseconds, or seconds where they are whole.
pub(super) fn time(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms >= 1_000 && ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        ms => format!("{ms} ms"),
    }
}

fn identity(config: &Config) -> String {
    let id = config.id;
    let listed = match config.ensemble.members.get(id) {
        Some(_) => "listed as an observer",
        None => "not in the list of servers, and need not be",
    };
    format!("id {id}: no voter has it; {listed}")
}

fn ensemble(config: &Config) -> String {
    let voters: Vec<String> = config
        .ensemble
        .members
        .participants()
        .map(|voter| format!("server.{}", voter.id))
        .collect();
    let masters = match config.ensemble.observer_master_port {
        Some(port) => format!("observer masters at port {port} first, then "),
        None => String::new(),
    };
    let learned = match config.ensemble.reconfig_enabled {
        true => "; members are learned from the ensemble",
        false => "",
    };
    format!(
        "attaches to: {masters}whoever leads of {}{learned}",
        voters.join(", ")
    )
}

fn times(config: &Config) -> String {
    let ticks = &config.ticks;
    format!(
        "a tick is {}; synchronises within {}; a link silent for {} is dead; {}",
        time(ticks.tick_time),
        time(ticks.init_timeout()),
        time(config.link_timeout),
        match config.hold.is_zero() {
            true => "closes its clients at once when the link is lost".to_owned(),
            false => format!("holds its clients for {} without a link", time(config.hold)),
        }
    )
}

fn clients(clients: &Clients) -> String {
    let Some(doors) = doors(&clients.doors) else {
        return "serves no client".to_owned();
    };
    let per_address = match clients.max_client_cnxns {
        Some(max) => format!("at most {max} connections from one address"),
        None => "any number of connections from one address".to_owned(),
    };
    let altogether = match clients.max_cnxns {
        Some(max) => format!(", {max} altogether"),
        None => String::new(),
    };
    format!("{doors}; {per_address}{altogether}")
}

/// Where clients come in; nothing if nowhere.
pub(super) fn doors(doors: &Doors) -> Option<String> {
    let both = match doors.unified {
        true => " with and without TLS",
        false => "",
    };
    let plain = doors
        .plain
        .as_ref()
        .map(|addr| format!("{}{both}", place(addr)));
    let secure = doors
        .secure
        .as_ref()
        .map(|addr| format!("{} with TLS", place(addr)));
    let places: Vec<String> = plain.into_iter().chain(secure).collect();
    (!places.is_empty()).then(|| format!("serves clients at {}", places.join(", and at ")))
}

fn sessions(config: &Config) -> String {
    let clients = &config.clients;
    let kind = match config.agreed.local_sessions {
        true => "local sessions",
        false => "sessions",
    };
    format!(
        "{kind} time out after {} to {}; a request has at most {} bytes",
        time(clients.min_session_timeout),
        time(clients.max_session_timeout),
        clients.frame_bytes_max
    )
}

fn operators(config: &Config) -> String {
    let words = match &config.four_letter_words {
        FourLetterWords::All => "all four-letter words".to_owned(),
        FourLetterWords::Only(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            format!("four-letter words {}", words.join(", "))
        }
    };
    let admin = match &config.admin {
        Some(admin) => format!("admin server at {}", place(&admin.addr)),
        None => "no admin server".to_owned(),
    };
    let metrics = match &config.metrics {
        Some(addr) => format!("metrics at {}", place(addr)),
        None => "no port for Prometheus".to_owned(),
    };
    format!("{words}; {admin}; {metrics}")
}
