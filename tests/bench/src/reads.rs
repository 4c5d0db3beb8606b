//! Reads while nothing happens: how many a second, how late, at what cost in CPU time and memory; and how long a
//! start takes. Medians over rounds in which the two observers take turns.

use std::time::{Duration, Instant};

use outpost_tests::ensemble::{Ensemble, Settings};
use outpost_tests::observer::{Observer, ObserverKind};
use outpost_tests::raw::RawClient;

use crate::load::{Load, Measured};
use crate::report::{self, Row};
use crate::{populate, process, stage};

/// What is measured, and for how long.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Znodes of 100 bytes in the tree.
    #[arg(long, default_value_t = 200_000)]
    znodes: usize,
    /// Client connections.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Seconds of load in every round.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Rounds; the two observers take turns, and medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Largest heap of the Java observer, MB: as large as it needs to hold the tree without collecting
    /// all the time.
    #[arg(long, default_value_t = 512)]
    java_heap_mb: u32,
}

/// The two programs that are compared.
struct Pair {
    java: Observer,
    outpost: Observer,
}

/// Starts everything, measures and prints.
pub(crate) fn run(arguments: &Arguments) {
    let ensemble = stage::ensemble_with_tree(Settings::default(), arguments.znodes);
    println!("starting a Java observer and an Outpost");
    let mut pair = Pair {
        java: start(&ensemble, ObserverKind::Java, arguments.java_heap_mb),
        outpost: start(&ensemble, ObserverKind::Outpost, arguments.java_heap_mb),
    };
    wait_for_tree(&pair.java, arguments.znodes);
    wait_for_tree(&pair.outpost, arguments.znodes);

    let mut rows = Vec::new();
    for outstanding in [1, 8] {
        rows.extend(reads(&pair, arguments, outstanding));
    }
    rows.push(Row::less_is_better(
        "resident memory, MB",
        process::resident_mb(pair.java.running()),
        process::resident_mb(pair.outpost.running()),
    ));
    rows.push(Row::less_is_better(
        "from start to serving, s",
        seconds_to_serve(&mut pair.java, arguments.znodes),
        seconds_to_serve(&mut pair.outpost, arguments.znodes),
    ));
    rows.push(Row::less_is_better(
        "resident memory after the start, MB",
        process::resident_mb(pair.java.running()),
        process::resident_mb(pair.outpost.running()),
    ));
    report::print(&rows);
}

fn start(ensemble: &Ensemble, kind: ObserverKind, java_heap_mb: u32) -> Observer {
    Observer::start_without_waiting(ensemble, kind, &stage::observer(java_heap_mb))
}

/// Reads under load, the two in turn.
fn reads(pair: &Pair, arguments: &Arguments, outstanding: usize) -> Vec<Row> {
    let load = Load {
        connections: arguments.connections,
        outstanding,
        znodes: arguments.znodes,
        duration: Duration::from_secs(arguments.seconds),
    };
    let mut java = Vec::new();
    let mut outpost = Vec::new();
    // The first round warms up caches and the JVM's compiler, and does not count.
    for round in 0..=arguments.rounds {
        println!(
            "reads with {outstanding} outstanding, round {round} of {}",
            arguments.rounds
        );
        let measured = (load.run(&pair.java), load.run(&pair.outpost));
        if round > 0 {
            java.push(measured.0);
            outpost.push(measured.1);
        }
    }
    let named = |what: &str| format!("getData, {outstanding} outstanding, {what}");
    let median =
        |of: fn(&Measured) -> f64| (report::median(&java, of), report::median(&outpost, of));
    let (java_ops, outpost_ops) = median(|measured| measured.per_second);
    let (java_p50, outpost_p50) = median(|measured| measured.p50_us);
    let (java_p99, outpost_p99) = median(|measured| measured.p99_us);
    let (java_cpu, outpost_cpu) = median(|measured| measured.cpu_us);
    vec![
        Row::more_is_better(&named("reads/s"), java_ops, outpost_ops),
        Row::less_is_better(&named("p50 µs"), java_p50, outpost_p50),
        Row::less_is_better(&named("p99 µs"), java_p99, outpost_p99),
        Row::less_is_better(&named("server CPU µs per read"), java_cpu, outpost_cpu),
    ]
}

/// Waits until the last znode can be read.
pub(crate) fn wait_for_tree(observer: &Observer, znodes: usize) {
    let path = populate::path(znodes - 1);
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Ok(mut client) = RawClient::try_connect(observer.client_address(), 10_000) {
            client.sync();
            if client.get_data(path.as_bytes(), false).is_ok() {
                return;
            }
        }
        assert!(Instant::now() < deadline, "{path} does not show up");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn seconds_to_serve(observer: &mut Observer, znodes: usize) -> f64 {
    observer.kill();
    let began = Instant::now();
    observer.start_again();
    wait_for_tree(observer, znodes);
    began.elapsed().as_secs_f64()
}
