//! What operators ask over HTTP, as functions from a question to an answer.
//!
//! On the admin port (`admin.serverAddress`, `admin.serverPort`):
//!
//! - `/`: the status page for a browser; these routes for anybody else.
//! - `/live`: 200 while the process works, that is, all its threads move; restart it if not.
//! - `/ready`: 200 once the mirror has caught up, as long as clients are served; else 503 with the reason.
//! - `/metrics`: everything for Prometheus.
//! - `/debug/heap`: a heap profile; POST to `/debug/heap/start` and `/debug/heap/stop` switches sampling.
//! - `/log`: what is logged; a POST changes it.
//! - `/commands`: links to all commands.
//! - `/commands/NAME`: a command of ZooKeeper's admin server, as JSON; `/commands` is `admin.commandURL`.
//!
//! On the metrics port (`metricsProvider.httpHost`, `metricsProvider.httpPort`) only `/metrics`.

mod commands;
mod heap;
mod history;
pub mod http;
mod identify;
mod json;
mod link;
mod log;
mod memory;
mod page;
mod snapshot;

use std::fmt::Write as _;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderValue, VARY};
use outpost_forward::clock;
use tokio::time::MissedTickBehavior;

use crate::config::Admin;
use crate::metrics;
use crate::report::Report;
use crate::serve::service::Service;

use history::History;
use http::{Answer, Answerer, Asked};
use snapshot::Snapshots;

/// Everything that the admin port answers from.
pub struct AdminServer {
    service: Arc<Service>,
    settings: Admin,
    history: History,
    snapshots: Arc<Snapshots>,
}

/// Answers what is asked on the metrics port.
pub fn metrics(service: Arc<Service>) -> Arc<Answerer> {
    Arc::new(move |asked| match asked.path {
        _ if asked.is_post() => Answer::not_allowed("GET, HEAD"),
        "/metrics" => exposition(&service),
        _ => not_found("only /metrics is served here\n"),
    })
}

impl AdminServer {
    /// Before anything was asked.
    pub fn new(service: Arc<Service>, settings: Admin) -> AdminServer {
        AdminServer {
            service,
            history: History::new(),
            snapshots: Arc::new(Snapshots::new(settings.rate_limit)),
            settings,
        }
    }

    /// Answers what is asked on the admin port.
    pub fn answerer(self: Arc<AdminServer>) -> Arc<Answerer> {
        Arc::new(move |asked| self.answer(asked))
    }

    /// Keeps the last minutes for the status page, until `stopped` is ready.
    pub async fn keep_history(self: Arc<AdminServer>, stopped: impl Future<Output = ()>) {
        tokio::pin!(stopped);
        let mut due = tokio::time::interval(history::SAMPLE_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = &mut stopped => return,
                _ = due.tick() => self.history.sample(&self.service),
            }
        }
    }

    fn answer(&self, asked: Asked<'_>) -> Answer {
        let command_url = &*self.settings.command_url;
        let command = asked.path.strip_prefix(command_url);
        match (asked.path, command) {
            (_, Some(command)) if command.len() > 1 && command.starts_with('/') => {
                commands::run(self, &command[1..], asked)
            }
            // As a Java server: a POST without a command is shown them all.
            (_, Some("" | "/")) => links(command_url),
            (heap::PROFILE | heap::START | heap::STOP, _) => heap::answer(asked),
            ("/log", _) => log::answer(asked),
            _ if asked.is_post() => Answer::not_allowed("GET, HEAD"),
            ("/live", _) => live(&self.service),
            ("/ready", _) => ready(&self.service),
            ("/metrics", _) => exposition(&self.service),
            ("/", _) if page::is_wanted(asked.header(&ACCEPT)) => {
                page::page(&self.service, &self.history, command_url)
            }
            ("/", _) => Answer::text(StatusCode::OK, routes(command_url))
                .with(VARY, HeaderValue::from_static("Accept")),
            _ => not_found(routes(command_url)),
        }
    }
}

fn routes(command_url: &str) -> String {
    format!("/live\n/ready\n/metrics\n{command_url}\n")
}

fn not_found(body: impl Into<String>) -> Answer {
    Answer::text(StatusCode::NOT_FOUND, body)
}

fn live(service: &Service) -> Answer {
    match service.live(clock::now()) {
        Ok(()) => Answer::text(StatusCode::OK, "live\n"),
        Err(stuck) => Answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("{stuck}\n")),
    }
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
    let text = metrics::exposition(&Report::of(service).picture());
    Answer::new(StatusCode::OK, metrics::CONTENT_TYPE, text)
}

fn links(command_url: &str) -> Answer {
    let mut body = String::new();
    for command in commands::COMMANDS {
        let name = command.names[0];
        let _ = writeln!(body, "<a href=\"{command_url}/{name}\">{name}</a>\n<br/>");
    }
    Answer::new(StatusCode::OK, "text/html; charset=utf-8", body)
}
