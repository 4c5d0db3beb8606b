//! The `outpost` command.

mod arguments;
mod bar;
mod check;
mod demo;
mod health;
mod shell;
mod terminal;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ColorChoice, Parser};
use outpost::Outpost;
use outpost::audit::Audit;
use outpost::config::Config;
use outpost::descriptors;
use outpost::logs;
use tokio::signal::unix::{SignalKind, signal};

use arguments::{Arguments, Command, Run};
use bar::Bar;
use terminal::{Terminal, complain, has_colours};

/// Memory is given back to the system in the background; figures about it are exact.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The configuration cannot be used.
const EXIT_CONFIG: u8 = 2;
/// The observer cannot run.
const EXIT_FAILED: u8 = 1;

fn main() -> ExitCode {
    let Arguments { command, color } = Arguments::parse();
    let terminal = Terminal::stdout(color);
    match command {
        Command::Run(options) => run(&options, color),
        Command::Check(configured) => check::run(&configured, terminal),
        Command::Health(options) => health::run(&options, &|name| std::env::var(name).ok()),
        Command::Demo(options) => demo::run(&options, terminal),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { dir } => shell::man(dir.as_deref()),
    }
}

fn run(options: &Run, color: ColorChoice) -> ExitCode {
    let loaded = match options.configured.load() {
        Ok(loaded) => loaded,
        Err(complaints) => {
            let _ = writeln!(std::io::stderr(), "{complaints}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let colours = has_colours(color, &std::io::stderr());
    let bar = Bar::on_terminal();
    let sink = bar::log_sink(bar.as_ref());
    let _logging = logs::start(&options.log, options.log_format, colours, sink);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::from(EXIT_FAILED);
        }
    };
    match runtime.block_on(live(loaded.config, bar)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// From birth to death.
async fn live(config: Config, bar: Option<Bar>) -> Result<(), outpost::StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    if let Err(error) = descriptors::raise() {
        tracing::warn!(%error, "the limit on file descriptors cannot be raised");
    }
    let mut hangup = signal(SignalKind::hangup())?;
    let outpost = Outpost::build(config).await?;
    let service = Arc::clone(outpost.service());
    let arriving = move || service.link.status().arriving();
    let _shown = bar.map(|bar| bar.show_snapshots(arriving)).transpose()?;
    if let Some(address) = outpost.client_address() {
        tracing::info!(%address, "listening for clients");
    }
    if let Some(address) = outpost.secure_client_address() {
        tracing::info!(%address, "listening for clients over TLS");
    }
    if let Some(address) = outpost.admin_address() {
        tracing::info!(%address, "listening for operators: /ready, /metrics, /commands");
    }
    if let Some(address) = outpost.metrics_address() {
        tracing::info!(%address, "listening for Prometheus: /metrics");
    }
    let audit = outpost.service().audit.clone();
    // There it says that nobody sits before it any longer.
    let at_terminal = std::io::stderr().is_terminal();
    outpost
        .run(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = hangup.recv() => match at_terminal {
                        true => return,
                        false => reopen(audit.as_deref()),
                    },
                }
            }
        })
        .await
}

/// Files that were moved away are made anew.
fn reopen(audit: Option<&Audit>) {
    match audit.is_some_and(Audit::reopen) {
        true => tracing::info!("the file of the audit log is opened anew"),
        false => tracing::info!("SIGHUP: there is no file to be opened anew"),
    }
}

/// The environment's variables, without those that are not text.
fn env() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
