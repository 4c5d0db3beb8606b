//! What it costs that the allocator can sample the heap: an Outpost that cannot, one that can and does not (as it is
//! built), and one that does, of one ensemble, taking turns.
//!
//! CPU time is what is compared: it says more than latencies on a machine that has other work.

use std::time::Duration;

use outpost_tests::ensemble::{Ensemble, Settings};
use outpost_tests::observer::{Observer, ObserverKind, ObserverSettings};
use outpost_tests::process::Process;

use crate::load::Load;
use crate::{process, reads, report, stage};

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
            "{what:<40} {without:>13.2} {idle:>12.2} {:>8.3} {sampling:>12.2} {:>8.3}",
            idle / without,
            sampling / without
        );
    }
}

/// Starts everything, measures and prints.
pub(crate) fn run(arguments: &Arguments) {
    let ensemble = stage::ensemble_with_tree(Settings::default(), arguments.znodes);
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
    let (mut to_serve, mut per_read) = (Figure::default(), Figure::default());
    let mut resident = Figure::default();
    // The first round warms up and does not count.
    for round in 0..=arguments.rounds {
        println!("round {round} of {}", arguments.rounds);
        for turn in 0..MODES.len() {
            // Nobody is always the first.
            let mode = (round + turn) % MODES.len();
            let observer = &mut observers[mode];
            observer.kill();
            observer.start_again();
            reads::wait_for_tree(observer, arguments.znodes);
            let started = cpu_ms(observer.running());
            let measured = load.run(observer);
            let reads = measured.per_second * load.duration.as_secs_f64();
            let used = cpu_ms(observer.running()) - started;
            if round == 0 {
                continue;
            }
            to_serve.0[mode].push(started);
            per_read.0[mode].push(used * 1e3 / reads);
            resident.0[mode].push(process::resident_mb(observer.running()));
        }
    }
    println!(
        "\n{:<40} {:>13} {:>12} {:>8} {:>12} {:>8}",
        "", MODES[0].0, MODES[1].0, "ratio", MODES[2].0, "ratio"
    );
    to_serve.print("CPU ms from start to serving");
    per_read.print("CPU µs per getData, 8 outstanding");
    resident.print("resident memory, MB");
}

/// CPU time used so far by all threads, in ms: finer than the ticks that the kernel shows elsewhere.
fn cpu_ms(process: &Process) -> f64 {
    let tasks = format!("/proc/{}/task", process.id());
    let tasks = std::fs::read_dir(tasks).expect("threads").flatten();
    let nanoseconds = tasks.filter_map(|task| {
        // A thread may end between the two.
        let figures = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        figures.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e6
}

fn start(ensemble: &Ensemble, told: &str) -> Observer {
    let mut settings = ObserverSettings::default();
    let variable = ("_RJEM_MALLOC_CONF".to_owned(), told.to_owned());
    settings.environment.push(variable);
    Observer::start_without_waiting(ensemble, ObserverKind::Outpost, &settings)
}
