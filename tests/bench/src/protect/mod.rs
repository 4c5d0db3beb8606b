//! What well-behaved clients of a Java observer and of an Outpost feel while others attack their server.
//!
//! One attack, one server at a time, the same clients before and during it. The same clients of Outpost while nobody's
//! server is attacked (a listener that does nothing) show what the attackers take from the machine alone.

pub(crate) mod attacks;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use outpost_tests::ensemble::Settings;
use outpost_tests::observer::{Observer, ObserverKind};
use outpost_tests::offenders::allow_open_files;
use outpost_tests::raw::RawClient;
use outpost_wire::proto::CreateMode;

use crate::line::Way;
use crate::paced::{Paced, Plan, Waits};
use crate::part::Part;
use crate::process::resident_mb;
use crate::report::number;
use crate::stage;
use attacks::{Attack, LARGE, LARGE_BYTES};

/// Znodes that well-behaved clients read.
const ZNODES: usize = 1_000;
/// An attack that takes longer to build up is measured as far as it came.
const BUILD_UP_LONGEST: Duration = Duration::from_secs(30);
/// Clients whose connections may come with any attack, and what the server holds beside them.
const OTHER_FILES: u64 = 500;

/// Who is there, and what happens to them.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Well-behaved clients.
    #[arg(long, default_value_t = 40)]
    clients: usize,
    /// Milliseconds between two requests of one of them.
    #[arg(long, default_value_t = 20)]
    pace: u64,
    /// Seconds before each attack, and as many while it stands.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Only this attack.
    #[arg(long, value_enum)]
    only: Option<Attack>,
    /// Clients that never read.
    #[arg(long, default_value_t = 100)]
    deaf: usize,
    /// Half-open sockets.
    #[arg(long, default_value_t = 10_000)]
    half_open: usize,
    /// Connections with garbage in a second.
    #[arg(long, default_value_t = 1_000)]
    garbage_per_second: u32,
    /// Largest heap of the Java observer, MB.
    #[arg(long, default_value_t = 512)]
    java_heap_mb: u32,
}

/// One attack on one server.
struct Attacked {
    who: &'static str,
    before: [Waits; 2],
    during: [Waits; 2],
    lost: usize,
    expired: usize,
    memory_mb: [f64; 2],
    came: String,
}

/// Starts everything, lets the attacks come, and prints what the clients have felt.
pub(crate) fn run(arguments: &Arguments) {
    allow_open_files(arguments.half_open as u64 + OTHER_FILES);
    let settings = Settings {
        tick_time_ms: 2_000,
        ..Settings::default()
    };
    let ensemble = stage::ensemble_with_tree(settings, ZNODES);
    let mut client = RawClient::connect(ensemble.server(1).client_address(), 30_000);
    let created = client.create(LARGE, &vec![b'x'; LARGE_BYTES], CreateMode::Persistent);
    created.expect("a new znode");
    client.close().expect("closing the session");
    let [java, outpost] = [ObserverKind::Java, ObserverKind::Outpost]
        .map(|kind| Observer::start(&ensemble, kind, &stage::observer(arguments.java_heap_mb)));
    let mut nobody = Part::start(&["nobody".to_owned()]);
    let port = nobody.wait_for("port", BUILD_UP_LONGEST).expect("a port");
    let nobody_at = SocketAddr::from(([127, 0, 0, 1], port as u16));
    println!(
        "{} clients, each asking every {} ms; warming up",
        arguments.clients, arguments.pace
    );
    for observer in [&java, &outpost] {
        let clients = Paced::start(plan(observer, arguments));
        std::thread::sleep(Duration::from_secs(arguments.seconds.min(5)));
        clients.stop();
    }
    let attacks = [Attack::Deaf, Attack::HalfOpen, Attack::Garbage];
    let wanted = |attack: &Attack| arguments.only.is_none_or(|only| only == *attack);
    for attack in attacks.into_iter().filter(wanted) {
        let on = |who, observer: &Observer, server| {
            println!("{attack:?}: {who}");
            let attacked = Attacked::by(attack, who, observer, server, arguments);
            // What the attack leaves behind is not to fall on the next one.
            std::thread::sleep(Duration::from_secs(3));
            attacked
        };
        let all = [
            on("Java observer", &java, java.client_address()),
            on("Outpost", &outpost, outpost.client_address()),
            on("Outpost, another attacked", &outpost, nobody_at),
        ];
        print(attack, &all);
    }
}

fn plan(observer: &Observer, arguments: &Arguments) -> Plan {
    Plan {
        way: Way::plain(observer.client_address()),
        clients: arguments.clients,
        pace: Duration::from_millis(arguments.pace),
        session_timeout_ms: 10_000,
        znodes: ZNODES,
    }
}

impl Attacked {
    fn by(
        attack: Attack,
        who: &'static str,
        observer: &Observer,
        server: SocketAddr,
        arguments: &Arguments,
    ) -> Attacked {
        let calm = Duration::from_secs(arguments.seconds);
        let clients = Paced::start(plan(observer, arguments));
        std::thread::sleep(Duration::from_secs(1));
        let from = Instant::now();
        let memory_before = resident_mb(observer.running());
        std::thread::sleep(calm);
        let begins = Instant::now();
        let attackers = attacks::Arguments {
            attack,
            server,
            deaf: arguments.deaf,
            half_open: arguments.half_open,
            garbage_per_second: arguments.garbage_per_second,
        };
        let mut part = Part::start(&attackers.words());
        let stands = part.wait_for("ready", BUILD_UP_LONGEST).is_some();
        std::thread::sleep(calm);
        let ends = Instant::now();
        let memory_mb = [memory_before, resident_mb(observer.running())];
        part.end();
        let felt = clients.stop();
        let waits = |from, until| [false, true].map(|writes| felt.waits(from, until, writes));
        let mut came: Vec<String> = part
            .all_said()
            .into_iter()
            .filter(|(what, value)| what != "ready" && *value > 0.0)
            .map(|(what, value)| format!("{what}: {value}"))
            .collect();
        if !stands {
            came.push("it did not come to stand whole".into());
        }
        Attacked {
            who,
            before: waits(from, begins),
            during: waits(begins, ends),
            lost: felt.lost,
            expired: felt.expired,
            memory_mb,
            came: came.join(", "),
        }
    }
}

fn print(attack: Attack, all: &[Attacked]) {
    println!("\n{attack:?}");
    println!(
        "{:<26} {:>6} {:>9} {:>9} {:>6} {:>9} {:>9} {:>6} {:>9} {:>6} {:>8} {:>13}",
        "waits in ms",
        "",
        "p50 calm",
        "attack",
        "ratio",
        "p99 calm",
        "attack",
        "ratio",
        "longest",
        "lost",
        "expired",
        "memory, MB"
    );
    for attacked in all {
        for (index, what) in ["reads", "writes"].into_iter().enumerate() {
            let (before, during) = (attacked.before[index], attacked.during[index]);
            let ratio = |of: fn(Waits) -> f64| format!("{:.1}", of(during) / of(before));
            println!(
                "{:<26} {:>6} {:>9} {:>9} {:>6} {:>9} {:>9} {:>6} {:>9} {:>6} {:>8} {:>13}",
                attacked.who,
                what,
                number(before.p50),
                number(during.p50),
                ratio(|waits| waits.p50),
                number(before.p99),
                number(during.p99),
                ratio(|waits| waits.p99),
                number(during.longest),
                attacked.lost,
                attacked.expired,
                format!(
                    "{:.0} to {:.0}",
                    attacked.memory_mb[0], attacked.memory_mb[1]
                ),
            );
        }
    }
    for attacked in all {
        println!("{}: {}", attacked.who, attacked.came);
    }
}
