//! What operators ask over HTTP, as functions from a question to an answer.
//!
//! On the admin port (`admin.serverAddress`, `admin.serverPort`):
//!
//! - `/live`: 200 while the process works; restart it if not.
//! - `/ready`: 200 once the mirror has caught up, as long as clients are served; else 503 with the reason.
//! - `/metrics`: everything for Prometheus.
//! - `/commands`: links to all commands.
//! - `/commands/NAME`: a command of ZooKeeper's admin server, as JSON; `/commands` is `admin.commandURL`.
//! - `/`: these routes.
//!
//! On the metrics port (`metricsProvider.httpHost`, `metricsProvider.httpPort`) only `/metrics`.

mod commands;
pub mod http;
mod json;
mod link;

use std::fmt::Write as _;
use std::sync::Arc;

use hyper::StatusCode;

use crate::metrics;
use crate::report::Report;
use crate::serve::service::Service;

use http::{Answer, Answerer, Asked};

/// Answers what is asked on the admin port. `command_url` is where the commands are.
pub fn admin(service: Arc<Service>, command_url: String) -> Arc<Answerer> {
    Arc::new(move |asked| answer_admin(&service, &command_url, asked))
}

/// Answers what is asked on the metrics port.
pub fn metrics(service: Arc<Service>) -> Arc<Answerer> {
    Arc::new(move |asked| match asked.path {
        "/metrics" => exposition(&service),
        _ => not_found("only /metrics is served here\n"),
    })
}

fn answer_admin(service: &Service, command_url: &str, asked: Asked<'_>) -> Answer {
    let command = asked.path.strip_prefix(command_url);
    match (asked.path, command) {
        ("/live", _) => Answer::text(StatusCode::OK, "live\n"),
        ("/ready", _) => ready(service),
        ("/metrics", _) => exposition(service),
        (_, Some("" | "/")) => links(command_url),
        (_, Some(command)) if command.starts_with('/') => run(service, &command[1..], asked.query),
        ("/", _) => Answer::text(StatusCode::OK, routes(command_url)),
        _ => not_found(routes(command_url)),
    }
}

fn routes(command_url: &str) -> String {
    format!("/live\n/ready\n/metrics\n{command_url}\n")
}

fn not_found(body: impl Into<String>) -> Answer {
    Answer::text(StatusCode::NOT_FOUND, body)
}

fn ready(service: &Service) -> Answer {
    match Report::of(service).ready() {
        Ok(()) => Answer::text(StatusCode::OK, "ready\n"),
        Err(why) => Answer::text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {why}\n"),
        ),
    }
}

fn exposition(service: &Service) -> Answer {
    Answer {
        status: StatusCode::OK,
        content_type: metrics::CONTENT_TYPE,
        body: metrics::exposition(&Report::of(service).picture()),
    }
}

fn links(command_url: &str) -> Answer {
    let mut body = String::new();
    for command in commands::COMMANDS {
        let name = command.names[0];
        let _ = writeln!(body, "<a href=\"{command_url}/{name}\">{name}</a>\n<br/>");
    }
    Answer {
        status: StatusCode::OK,
        content_type: "text/html; charset=utf-8",
        body,
    }
}

fn run(service: &Service, name: &str, query: Option<&str>) -> Answer {
    let answered = commands::run(service, name, query);
    Answer {
        status: match answered.not_offered {
            true => StatusCode::NOT_IMPLEMENTED,
            // A Java server says so even with an error inside.
            false => StatusCode::OK,
        },
        content_type: "application/json",
        body: json::to_text(&answered.members),
    }
}
