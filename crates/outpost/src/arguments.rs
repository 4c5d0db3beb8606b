//! The command line: what can be asked for, and what `--help` says about it.
//!
//! The same tree makes the manual pages and the completions of shells (`shell`), so a word that is missing here is
//! missing everywhere.

use std::path::PathBuf;

use crate::{check, demo, health, shell};
use clap::builder::styling::{AnsiColor, Styles};
use clap::{ColorChoice, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use outpost::build_info;
use outpost::config::{Complaints, Config, Loaded};
use outpost::logs::{DEFAULT_FILTER, Filter, Format};
use outpost_wire::ServerId;

/// A ZooKeeper observer for remote regions.
///
/// Outpost attaches to a ZooKeeper ensemble as an observer, keeps the whole tree in memory, answers reads and
/// watches at local speed and forwards writes to the leader. Clients and voters need no change.
#[derive(Parser)]
#[command(name = "outpost", version = build_info::SHORT, long_version = LONG_VERSION, after_help = EXAMPLES)]
#[command(after_long_help = MORE, styles = STYLES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Whether to use colours; `auto`: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto, help_heading = "Everywhere")]
    pub(crate) color: ColorChoice,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit:    ",
    env!("BUILT_FROM"),
    "\nprofile:   ",
    env!("BUILT_AS"),
    "\nspeaks as: ZooKeeper 3.9.5"
);

const EXAMPLES: &str = "\
First steps:
  outpost demo                   see it work, without a ZooKeeper anywhere
  outpost check zoo.cfg --id 10  what it would do with your configuration
  outpost run zoo.cfg --id 10    serve";

const MORE: &str = "\
First steps:
  outpost demo                   see it work, without a ZooKeeper anywhere
  outpost check zoo.cfg --id 10  what it would do with your configuration
  outpost run zoo.cfg --id 10    serve
  outpost health                 ask the one on this machine whether it serves

Take the zoo.cfg of a Java observer or of a voter, and an id that no voter has: with --id, as \
OUTPOST_ID, or in dataDir/myid. The id need not stand in the ensemble's configuration.

Environment:
  OUTPOST_KEY         a key of zoo.cfg, in upper case and with _ for every other sign: \
OUTPOST_CLIENTPORT
  OUTPOST_LOG         what is logged, as --log says it
  OUTPOST_LOG_FORMAT  how, as --log-format says it
  NO_COLOR            no colours, not even on a terminal

Exit codes: 0 all went well, 1 something did not, 2 the command line or the configuration cannot be \
used, 130 ended by Ctrl-C (demo).

`outpost COMMAND --help` says more about each command; every key, metric and route stands in \
docs/operating.md.";

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the observer.
    #[command(long_about = RUN_ABOUT, after_long_help = RUN_MORE)]
    Run(Run),
    /// Say what `run` would do, and what stands in its way.
    #[command(long_about = check::ABOUT, after_help = check::EXIT_CODES)]
    Check(check::Options),
    /// Ask a running observer whether it serves; for container health checks.
    #[command(long_about = health::ABOUT, after_long_help = health::MORE)]
    Health(health::Options),
    /// Show it at work: a simulated ensemble behind a simulated WAN, and clients that measure.
    #[command(long_about = demo::ABOUT)]
    Demo(demo::Options),
    /// Print a completion script for a shell.
    #[command(long_about = shell::COMPLETIONS_ABOUT, after_long_help = shell::COMPLETIONS_MORE)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write all of them into a directory.
    #[command(long_about = shell::MAN_ABOUT)]
    Man {
        /// Where to write outpost.1, outpost-run.1 and so on; without it, outpost.1 is printed.
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

const RUN_ABOUT: &str = "\
Run the observer.

Attaches to the ensemble, fetches its tree and serves clients until SIGTERM or Ctrl-C. Its log goes to standard error.";

const RUN_MORE: &str = "\
Signals: SIGTERM and Ctrl-C drain: clients move to another server and keep their sessions.

While it runs, `curl -X POST 'localhost:8080/log?filter=debug&for=5m'` logs more for five minutes.

Exit codes: 0 drained, 1 it cannot run, 2 the command line or the configuration cannot be used.";

/// How to run.
#[derive(clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) configured: Configured,
    /// What is logged: a level (error, warn, info, debug, trace, off), and levels of parts as PART=LEVEL, with
    /// commas between them: info,outpost_forward=debug.
    #[arg(long, env = "OUTPOST_LOG", value_name = "FILTER", default_value = DEFAULT_FILTER)]
    #[arg(hide_env_values = true)]
    pub(crate) log: Filter,
    /// How it is logged: for people, or as one JSON object per line.
    #[arg(
        long,
        env = "OUTPOST_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value_t
    )]
    #[arg(hide_env_values = true)]
    pub(crate) log_format: Format,
}

/// A configuration, and who we are in it.
#[derive(clap::Args)]
pub(crate) struct Configured {
    /// An ordinary ZooKeeper configuration file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) zoo_cfg: PathBuf,
    /// The observer's id, instead of the one in dataDir/myid.
    #[arg(long, value_name = "N")]
    pub(crate) id: Option<i64>,
    /// A setting, as on a Java server's command line: -Dzookeeper.digest.enabled=false. Goes before
    /// environment and file.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub(crate) define: Vec<String>,
}

impl Configured {
    /// The configuration, or everything that is wrong with it.
    pub(crate) fn load(&self) -> Result<Loaded, Complaints> {
        let id = self.id.map(ServerId);
        Config::load_defined(&self.zoo_cfg, id, &self.define, crate::env())
    }
}
