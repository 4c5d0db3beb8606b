//! What clients that are connected over TLS feel while thousands of others come at one time.
//!
//! First to a Java observer, then to an Outpost of the same ensemble. The newcomers have sessions of ten seconds: whoever
//! is not served for so long loses its session.

pub(crate) mod storm;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use outpost_tests::certificates::Authority;
use outpost_tests::ensemble::{Ensemble, Settings};
use outpost_tests::observer::{Observer, ObserverKind};
use outpost_tests::offenders::allow_open_files;
use outpost_tests::ports::free_port;

use crate::line::Way;
use crate::paced::{Paced, Plan, Waits};
use crate::part::Part;
use crate::process::{cpu_seconds, resident_mb};
use crate::report::{self, Row};
use crate::stage;

/// Znodes that connected clients read.
const ZNODES: usize = 1_000;
/// The timeout of everybody's session, in milliseconds.
const SESSION_TIMEOUT_MS: i32 = 10_000;
/// Newcomers of one process.
const PER_PART: usize = 7_000;
/// What a server has open beside its clients.
const OTHER_FILES: u64 = 300;

/// Who is there, and who comes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Clients that come at one time.
    #[arg(long, default_value_t = 20_000)]
    clients: usize,
    /// How many of them stay; the others leave as soon as they have a session. A server can have no more connections
    /// than open files.
    #[arg(long, default_value_t = 18_500)]
    stay: usize,
    /// Clients that are connected already.
    #[arg(long, default_value_t = 200)]
    connected: usize,
    /// Milliseconds between two requests of one of these.
    #[arg(long, default_value_t = 200)]
    pace: u64,
    /// Seconds before the storm, and as many after everybody has come.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Seconds after which nobody is waited for any more.
    #[arg(long, default_value_t = 120)]
    patience: u64,
    /// `netty.server.outstandingHandshake.limit` of both. Without it each has its own default: Java's observer lets in
    /// any number at one time, Outpost 250.
    #[arg(long)]
    handshake_limit: Option<u32>,
    /// Largest heap of the Java observer, MB.
    #[arg(long, default_value_t = 2_048)]
    java_heap_mb: u32,
}

/// What became of one server's clients.
struct Weathered {
    came: usize,
    last_in_s: f64,
    tries: f64,
    newcomers_open: f64,
    newcomers_lost: f64,
    newcomers_expired: f64,
    connected: usize,
    untouched: usize,
    lost: usize,
    expired: usize,
    /// Reads before the storm, while they come, and while they stay.
    reads: [Waits; 3],
    cpu_ms_per_newcomer: f64,
    memory_mb: f64,
}

/// Starts everything, lets them come, and prints what was felt.
pub(crate) fn run(arguments: &Arguments) {
    let stay = arguments.stay.min(arguments.clients);
    allow_open_files((stay + arguments.connected) as u64 + OTHER_FILES);
    let settings = Settings {
        tick_time_ms: 2_000,
        ..Settings::default()
    };
    let ensemble = stage::ensemble_with_tree(settings, ZNODES);
    let authority = Authority::new();
    let sides = [ObserverKind::Java, ObserverKind::Outpost]
        .map(|kind| start(&ensemble, &authority, kind, arguments));
    let [java, outpost] = sides.map(|(observer, secure)| {
        println!(
            "{:?}: {} clients connected, {} come",
            observer.kind(),
            arguments.connected,
            arguments.clients
        );
        let weathered = weather(&observer, secure, &authority, arguments);
        // The sessions of those that are gone expire at the leader before the next ones come.
        let rest = Duration::from_millis(SESSION_TIMEOUT_MS.unsigned_abs().into());
        std::thread::sleep(rest + Duration::from_secs(5));
        weathered
    });
    report::print(&rows(&java, &outpost));
}

fn start(
    ensemble: &Ensemble,
    authority: &Authority,
    kind: ObserverKind,
    arguments: &Arguments,
) -> (Observer, SocketAddr) {
    let secure = free_port();
    let mut settings = stage::observer(arguments.java_heap_mb)
        .line(format!("secureClientPort={secure}"))
        .line("secureClientPortAddress=127.0.0.1")
        .line("ssl.clientAuth=none")
        // The only network stack of a Java server that speaks TLS with clients.
        .line("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory");
    let limit = arguments.handshake_limit.iter();
    let limit = limit.map(|limit| format!("netty.server.outstandingHandshake.limit={limit}"));
    settings.lines.extend(limit);
    let stores = authority.lines(&authority.vouch("server"));
    settings.lines.extend(stores);
    let observer = Observer::start(ensemble, kind, &settings);
    (observer, SocketAddr::from(([127, 0, 0, 1], secure)))
}

fn weather(
    observer: &Observer,
    secure: SocketAddr,
    authority: &Authority,
    arguments: &Arguments,
) -> Weathered {
    let trust = authority.trust_store();
    let calm = Duration::from_secs(arguments.seconds);
    let connected = Paced::start(Plan {
        way: Way::secure(secure, &trust),
        clients: arguments.connected,
        pace: Duration::from_millis(arguments.pace),
        session_timeout_ms: SESSION_TIMEOUT_MS,
        znodes: ZNODES,
    });
    // A virtual machine compiles what it does often.
    std::thread::sleep(calm / 2);
    let from = Instant::now();
    std::thread::sleep(calm / 2);
    let cpu_before = cpu_seconds(observer.running());
    let begins = Instant::now();
    let count = arguments.clients.div_ceil(PER_PART);
    let mut parts: Vec<Part> = (0..count)
        .map(|index| {
            let share = storm::Arguments {
                server: secure,
                trust: trust.clone(),
                clients: PER_PART.min(arguments.clients - index * PER_PART),
                first: index * PER_PART,
                stay: arguments.stay,
                timeout_ms: SESSION_TIMEOUT_MS,
            };
            Part::start(&share.words())
        })
        .collect();
    let patience = Duration::from_secs(arguments.patience);
    while sum(&parts, "in") < arguments.clients as f64 && begins.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(50));
    }
    let everybody = Instant::now();
    let cpu = cpu_seconds(observer.running()) - cpu_before;
    std::thread::sleep(calm);
    let ends = Instant::now();
    let memory_mb = resident_mb(observer.running());
    let newcomers_open = sum(&parts, "open");
    parts.iter_mut().for_each(Part::end);
    let felt = connected.stop();
    let came = sum(&parts, "in");
    let last_in = parts
        .iter()
        .filter_map(|part| part.said("last in after, s"));
    Weathered {
        came: came as usize,
        last_in_s: last_in.fold(f64::NAN, f64::max),
        tries: sum(&parts, "tries"),
        newcomers_open,
        newcomers_lost: sum(&parts, "lost"),
        newcomers_expired: sum(&parts, "expired"),
        connected: arguments.connected,
        untouched: felt.untouched,
        lost: felt.lost,
        expired: felt.expired,
        reads: [(from, begins), (begins, everybody), (everybody, ends)]
            .map(|(from, until)| felt.waits(from, until, false)),
        cpu_ms_per_newcomer: cpu * 1e3 / came,
        memory_mb,
    }
}

fn sum(parts: &[Part], what: &str) -> f64 {
    parts.iter().filter_map(|part| part.said(what)).sum()
}

fn rows(java: &Weathered, outpost: &Weathered) -> Vec<Row> {
    let plain = |what: &str, of: fn(&Weathered) -> f64| Row::plain(what, of(java), of(outpost));
    let less =
        |what: &str, of: fn(&Weathered) -> f64| Row::less_is_better(what, of(java), of(outpost));
    vec![
        plain("connected before", |of| of.connected as f64),
        plain("of these: never lost their connection", |of| {
            of.untouched as f64
        }),
        plain("connections lost", |of| of.lost as f64),
        plain("sessions expired", |of| of.expired as f64),
        less("reads before, p50 ms", |of| of.reads[0].p50),
        less("reads before, p99 ms", |of| of.reads[0].p99),
        less("reads while they come, p50 ms", |of| of.reads[1].p50),
        less("reads while they come, p99 ms", |of| of.reads[1].p99),
        less("reads while they come, longest, ms", |of| {
            of.reads[1].longest
        }),
        less("reads while they stay, p99 ms", |of| of.reads[2].p99),
        plain("came in", |of| of.came as f64),
        less("last one in after, s", |of| of.last_in_s),
        plain("tries", |of| of.tries),
        plain("open in the end", |of| of.newcomers_open),
        plain("lost their connection again", |of| of.newcomers_lost),
        plain("lost their session", |of| of.newcomers_expired),
        less("server CPU ms per newcomer", |of| of.cpu_ms_per_newcomer),
        less("resident memory in the end, MB", |of| of.memory_mb),
    ]
}
