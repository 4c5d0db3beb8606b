//! `outpost check`: what `outpost run` would do with a configuration, and what stands in its way.
//!
//! Says how the configuration is understood, looks at every server of the ensemble side by side, and tries our
//! own ports. Prints one finding per line: a grade (`ok`, `warn`, `fail`), a subject without spaces, a sentence.
//! The last line is the verdict.
//!
//! The ensemble sees no more of it than TCP connections, one OBSERVERINFO to whoever leads, the four-letter words `srvr`
//! and `conf`, and three questions to each admin server. Nothing attaches, and no session is made.
//!
//! Read on in `understood` (the configuration in plain words), `visit` (one look at one door), `server` (what that
//! says of a server), `entry` (TLS and SASL on the way in), `word`, `srvr`, `conf` and `admin` (what a server says of
//! itself), `ensemble` (what all say together), `round_trip` (how far away they are), `agreement` (whether they have our
//! settings), `id` (whether somebody has ours), `ports` (our own), `tls`, `sasl` and `host` (what else this machine must
//! have), `report` (findings) and `output` (how they are printed).

mod admin;
mod agreement;
mod conf;
mod ensemble;
mod entry;
mod host;
mod id;
mod output;
mod ports;
mod report;
mod round_trip;
mod sasl;
mod server;
mod srvr;
mod tls;
mod understood;
mod visit;
mod word;

use std::process::ExitCode;

use outpost::config::{Complaints, Config, Loaded};

use crate::arguments::Configured;
use crate::terminal::Terminal;
use crate::{EXIT_CONFIG, EXIT_FAILED};
use output::{Output, Waiting};
use report::{Report, Subject};

/// What `--help` says.
pub(crate) const ABOUT: &str = "\
Say what `run` would do, and what stands in its way.

Reads the configuration, visits every voter side by side (all addresses of its name, quorum port, who leads, \
round-trip times, client port, its settings and its clock as far as it tells them, whether our id is free), and \
tries the ports that Outpost would listen on. Safe beside a working ensemble: the leader gets one \
short handshake and nothing attaches; its log shows a learner that came and went.

Prints one finding per line: `ok`, `warn` or `fail`, a subject, a sentence. The last line is the verdict. With --json \
it is one object: `verdict` with `grade` and `text`, `findings` with `grade`, `subject` and `text`, and how many of them \
are `ok`, `warn` and `fail`.";
/// What `--help` says at its end.
pub(crate) const EXIT_CODES: &str =
    "Exit codes: 0 all fine, 1 something would not work, 2 the configuration cannot be used.";

/// How to check.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    configured: Configured,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// Checks a configuration and prints what it finds.
pub(crate) fn run(options: &Options, terminal: Terminal) -> ExitCode {
    let mut report = Report::new(Output::new(terminal, options.json));
    let code = match options.configured.load() {
        Ok(loaded) => examine(&loaded, &mut report),
        Err(complaints) => {
            refuse(&complaints, &mut report);
            ExitCode::from(EXIT_CONFIG)
        }
    };
    report.end();
    code
}

fn refuse(complaints: &Complaints, report: &mut Report) {
    for complaint in &complaints.0 {
        report.fail(Subject::Config, &complaint.to_string());
    }
    report.verdict(|counts| {
        let mistakes = counts.fail;
        format!("the configuration cannot be used: {mistakes} to correct")
    });
}

fn examine(loaded: &Loaded, report: &mut Report) -> ExitCode {
    let config = &loaded.config;
    understood::explain(config, report);
    for warning in &loaded.warnings {
        report.warn(Subject::Config, &warning.to_string());
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            report.fail(
                Subject::Verdict,
                &format!("the check cannot start: {error}"),
            );
            return ExitCode::from(EXIT_FAILED);
        }
    };
    let master = runtime.block_on(async {
        let tls = tls::check(config, report);
        sasl::check(config, report);
        let waiting = Waiting::for_("the answers of the ensemble");
        let ensemble = ensemble::look(config, &tls).await;
        drop(waiting);
        let master = ensemble.report(config, report);
        sasl::answered(config, ensemble.has_leader(), report);
        host::check(config, report);
        ports::check(config, report).await;
        master
    });
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
    conclude(config, master.as_deref(), report)
}

fn conclude(config: &Config, master: Option<&str>, report: &mut Report) -> ExitCode {
    let clients = match understood::doors(&config.clients.doors) {
        Some(doors) => doors.replacen("serves", "serve", 1),
        None => "serve no client".to_owned(),
    };
    let counts = report.verdict(|counts| match (counts.fail, master) {
        (0, Some(master)) => {
            let warnings = match counts.warn {
                0 => String::new(),
                1 => "; 1 warning".to_owned(),
                n => format!("; {n} warnings"),
            };
            format!("Outpost would attach to {master} and {clients}{warnings}")
        }
        (1, _) => "1 thing would not work".to_owned(),
        (n, _) => format!("{n} things would not work"),
    });
    match counts.fail {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_FAILED),
    }
}
