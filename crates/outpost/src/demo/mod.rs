//! `outpost demo`: an observer at work, on a machine without any ZooKeeper.
//!
//! A simulated ensemble of three servers behind a simulated WAN, an [`Outpost`](outpost::Outpost) attached to it as
//! its configuration file says, and clients that measure what they get. Everything between the three is real
//! sockets on the loopback; only the ensemble and the distance are made up. What is printed is what was measured.
//!
//! Read on in `play` (what happens, in order), `stage` (ensemble and observer), `workload` and `election` (what the
//! clients do), `client` (one of them), `latencies` and `screen` (how it looks).

mod client;
mod election;
mod latencies;
mod play;
mod screen;
mod stage;
mod workload;

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::EXIT_FAILED;
use crate::terminal::{Terminal, complain};
use screen::Screen;
use stage::Stage;

/// What `--help` says.
pub(crate) const ABOUT: &str = "\
Show it at work: a simulated ensemble behind a simulated WAN, and clients that measure.

Starts three simulated servers, an Outpost attached to them over real sockets, and a few clients. Prints how \
long local reads and forwarded writes take, a watch that crosses the WAN, and what the clients see of an \
election. Needs no ZooKeeper, no Java and no free port in particular; leaves nothing behind. Ends early when nobody reads what \
it prints any more.";

/// Ended by Ctrl-C before its end, as shells count it.
const EXIT_INTERRUPTED: u8 = 130;
/// How long the threads of the demo may take to end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// How `outpost demo` is to be.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Round-trip time between the observer and the ensemble, ms.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=2_000))]
    wan_delay_ms: u64,
    /// Clients that read; one more writes for every four of them.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// How long the clients are measured, in seconds.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Stay until Ctrl-C, to look around.
    #[arg(long)]
    stay: bool,
}

impl Options {
    fn round_trip(&self) -> Duration {
        Duration::from_millis(self.wan_delay_ms)
    }

    fn workload_time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn readers(&self) -> u32 {
        self.clients
    }

    fn writers(&self) -> u32 {
        (self.clients / 4).max(1)
    }
}

/// Why the demo ended early, in a sentence for its spectators.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    /// The stage could not be set.
    #[error("cannot set the stage: {0}")]
    Io(#[from] std::io::Error),
    /// The observer could not start.
    #[error("the observer cannot start: {0}")]
    Start(#[from] outpost::StartError),
    /// The observer's own configuration is refused.
    #[error("the observer's configuration is refused: {0}")]
    Config(#[from] outpost::config::Complaints),
    /// A client got what it did not expect.
    #[error("a client: {0}")]
    Client(#[from] client::ClientError),
    /// Something did not happen in time.
    #[error("waited {} s for {what}", .limit.as_secs())]
    Late {
        /// What did not happen.
        what: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// The simulated ensemble ended or refused a write.
    #[error("the simulated ensemble does not do as it is told")]
    Ensemble,
}

/// Plays the demo.
pub(crate) fn run(options: &Options, terminal: Terminal) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&DemoError::Io(error)),
    };
    let screen = Screen::new(terminal);
    let ended = runtime.block_on(on_stage(options, screen));
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
    match ended {
        // `outpost demo | head` has seen what it wanted to see.
        _ if !terminal.has_reader() => ExitCode::SUCCESS,
        Ok(Ending::Played) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => ExitCode::from(EXIT_INTERRUPTED),
        Err(error) => fail(&error),
    }
}

fn fail(error: &DemoError) -> ExitCode {
    complain(&error.to_string());
    ExitCode::from(EXIT_FAILED)
}

/// How a demo without trouble ended.
enum Ending {
    /// It came to its end.
    Played,
    /// Somebody wanted it to end.
    Interrupted,
}

/// Sets the stage, plays, and clears the stage whatever happened.
async fn on_stage(options: &Options, screen: Screen) -> Result<Ending, DemoError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut told_to_end = std::pin::pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = screen.left() => {}
        }
    });
    let stage = tokio::select! {
        stage = Stage::set(options, screen) => stage?,
        () = &mut told_to_end => return Ok(Ending::Interrupted),
    };
    let played = tokio::select! {
        played = play::play(options, &stage, screen) => played.map(Some),
        () = &mut told_to_end => Ok(None),
    };
    let ending = match played {
        Ok(Some(clients)) => {
            play::linger(options, &stage, screen, clients, told_to_end).await;
            Ok(Ending::Played)
        }
        Ok(None) => Ok(Ending::Interrupted),
        Err(error) => Err(error),
    };
    let cleared = stage.clear().await;
    let ending = ending?;
    cleared?;
    screen.end();
    Ok(ending)
}
