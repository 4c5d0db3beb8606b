//! What it costs that the allocator can sample the heap: an Outpost that cannot, one that can and does not (as it is
//! built), and one that does, of one ensemble, taking turns.

use std::time::{Duration, Instant};

use outpost_tests::ensemble::{Ensemble, Settings, Version};
use outpost_tests::observer::{Observer, ObserverKind, ObserverSettings};

use crate::load::Load;
use crate::{populate, process, reads, report};

/// The three, with what each is told; the allocator reads it at the start.
const MODES: [(&str, &str); 3] = [
    ("cannot sample", "prof:false"),
    ("idle", "prof:true,prof_active:false"),
    ("sampling", "prof:true,prof_active:true"),
];

/// What is measured, and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Znodes of 100 bytes in the tree.
    #[arg(long, default_value_t = 200_000)]
    znodes: usize,
    /// Client connections.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Seconds of load in every round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds; the three take turns, and medians are shown.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// One figure of each, over all rounds.
#[derive(Default)]
struct Figure([Vec<f64>; 3]);

impl Figure {
    fn print(&self, what: &str) {
        let [without, idle, sampling] =
            [0, 1, 2].map(|mode| report::median(&self.0[mode], |value| *value));
        println!(
            "{what:<40} {without:>12.2} {idle:>12.2} {:>8.3} {sampling:>12.2} {:>8.3}",
            idle / without,
            sampling / without
        );
    }
}

/// Starts everything, measures and prints.
pub(crate) fn run(arguments: &Arguments) {
    let mut settings = Settings::of(Version::NEWEST);
    // The voters' disks are not what is measured.
    settings.lines.push("forceSync=no".into());
    settings.lines.push("maxClientCnxns=0".into());
    println!(
        "starting three voters of ZooKeeper {}",
        settings.version.number()
    );
    let ensemble = Ensemble::with(settings);
    println!("creating {} znodes of 100 bytes", arguments.znodes);
    populate::populate(ensemble.server(1).client_address(), arguments.znodes);
    let mut observers = MODES.map(|(_, told)| start(&ensemble, told));
    for observer in &observers {
        reads::wait_for_tree(observer, arguments.znodes);
    }
    let load = Load {
        connections: arguments.connections,
        outstanding: 8,
        znodes: arguments.znodes,
        duration: Duration::from_secs(arguments.seconds),
    };
    let (mut start_seconds, mut start_cpu) = (Figure::default(), Figure::default());
    let (mut per_second, mut cpu, mut p99) =
        (Figure::default(), Figure::default(), Figure::default());
    let mut resident = Figure::default();
    // The first round warms up and does not count.
    for round in 0..=arguments.rounds {
        println!("round {round} of {}", arguments.rounds);
        for (mode, observer) in observers.iter_mut().enumerate() {
            observer.kill();
            let began = Instant::now();
            observer.start_again();
            reads::wait_for_tree(observer, arguments.znodes);
            let seconds = began.elapsed().as_secs_f64();
            let cpu_to_start = process::cpu_seconds(observer.running());
            let measured = load.run(observer);
            if round == 0 {
                continue;
            }
            start_seconds.0[mode].push(seconds);
            start_cpu.0[mode].push(cpu_to_start);
            per_second.0[mode].push(measured.per_second);
            cpu.0[mode].push(measured.cpu_us);
            p99.0[mode].push(measured.p99_us);
            resident.0[mode].push(process::resident_mb(observer.running()));
        }
    }
    println!(
        "\n{:<40} {:>12} {:>12} {:>8} {:>12} {:>8}",
        "", MODES[0].0, MODES[1].0, "ratio", MODES[2].0, "ratio"
    );
    start_cpu.print("CPU from start to serving, s");
    start_seconds.print("from start to serving, s");
    cpu.print("getData, 8 outstanding, CPU µs per read");
    per_second.print("getData, 8 outstanding, reads/s");
    p99.print("getData, 8 outstanding, p99 µs");
    resident.print("resident memory, MB");
}

fn start(ensemble: &Ensemble, told: &str) -> Observer {
    let mut settings = ObserverSettings::default();
    let variable = ("_RJEM_MALLOC_CONF".to_owned(), told.to_owned());
    settings.environment.push(variable);
    Observer::start_without_waiting(ensemble, ObserverKind::Outpost, &settings)
}
