//! The `outpost` command.

mod check;
mod demo;
mod terminal;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use outpost::Outpost;
use outpost::config::Config;
use outpost_wire::ServerId;
use tokio::signal::unix::{SignalKind, signal};

/// Memory is given back to the system in the background; figures about it are exact.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The configuration cannot be used.
const EXIT_CONFIG: u8 = 2;
/// The observer cannot run.
const EXIT_FAILED: u8 = 1;

/// A ZooKeeper observer for remote regions.
///
/// Outpost attaches to a ZooKeeper ensemble as an observer, keeps the whole tree in memory, answers reads and
/// watches at local speed and forwards writes to the leader. Clients and voters need no change.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
First steps:
  outpost demo                   see it work, without a ZooKeeper anywhere
  outpost check zoo.cfg --id 10  what it would do with your configuration
  outpost run zoo.cfg --id 10    serve

Take the zoo.cfg of a Java observer or of a voter, and an id that no voter has:
with --id, as OUTPOST_ID, or in dataDir/myid. Any key can be overridden in the
environment: OUTPOST_CLIENTPORT=2181. OUTPOST_LOG=debug logs more.";

#[derive(Subcommand)]
enum Command {
    /// Run the observer.
    #[command(
        after_help = "SIGTERM and Ctrl-C drain: clients move to another server and keep their \
        sessions.\nExit codes: 0 drained, 1 it cannot run, 2 the configuration cannot be used."
    )]
    Run(Configured),
    /// Say what `run` would do, and what stands in its way.
    #[command(long_about = check::ABOUT, after_help = check::EXIT_CODES)]
    Check(Configured),
    /// Show it at work: a simulated ensemble behind a simulated WAN, and clients that measure.
    #[command(long_about = demo::ABOUT)]
    Demo(demo::Options),
}

#[derive(clap::Args)]
struct Configured {
    /// An ordinary ZooKeeper configuration file.
    zoo_cfg: PathBuf,
    /// The observer's id, instead of the one in dataDir/myid.
    #[arg(long)]
    id: Option<i64>,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(Configured { zoo_cfg, id }) => run(&zoo_cfg, id.map(ServerId)),
        Command::Check(Configured { zoo_cfg, id }) => check::run(&zoo_cfg, id.map(ServerId), env()),
        Command::Demo(options) => demo::run(&options),
    }
}

fn run(zoo_cfg: &Path, id: Option<ServerId>) -> ExitCode {
    let loaded = match Config::load(zoo_cfg, id, env()) {
        Ok(loaded) => loaded,
        Err(complaints) => {
            eprintln!("{complaints}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    start_logging();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("outpost: cannot start: {error}");
            return ExitCode::from(EXIT_FAILED);
        }
    };
    match runtime.block_on(live(loaded.config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// From birth to death.
async fn live(config: Config) -> Result<(), outpost::StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let outpost = Outpost::build(config).await?;
    if let Some(address) = outpost.client_address() {
        tracing::info!(%address, "listening for clients");
    }
    if let Some(address) = outpost.admin_address() {
        tracing::info!(%address, "listening for operators: /ready, /metrics, /commands");
    }
    if let Some(address) = outpost.metrics_address() {
        tracing::info!(%address, "listening for Prometheus: /metrics");
    }
    outpost
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await
}

fn start_logging() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("OUTPOST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// The environment's variables, without those that are not text.
fn env() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
