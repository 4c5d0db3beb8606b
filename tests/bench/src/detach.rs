//! What clients of a Java observer and of an Outpost feel while the ensemble of both loses its leader, or both
//! lose their link to it.
//!
//! Both have the same clients: many that read at a steady pace and leave watches, some that write. A client
//! of the voters changes what is watched, and tells when the ensemble takes writes again.

mod figures;

use std::time::{Duration, Instant};

use clap::ValueEnum;
use outpost_tests::committed::Committed;
use outpost_tests::crowd::judge::{Gaps, judge};
use outpost_tests::crowd::script::{Board, Stirring, Watching, Writing};
use outpost_tests::crowd::{Count, Crowd, History, Plan, Script};
use outpost_tests::ensemble::{Ensemble, Server, Settings};
use outpost_tests::observer::{Observer, ObserverKind};
use outpost_tests::raw::RawClient;
use outpost_tests::{Relay, process::Process};
use outpost_wire::proto::CreateMode;

use crate::report::{self, Row};
use crate::stage;
use figures::{Ensembles, Figures, Loss};

/// What happens to the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// The leader is killed.
    Kill,
    /// The leader is stopped, with its sockets open, for twice `syncLimit`.
    Pause,
    /// The observers' links are cut for a second.
    Cut,
    /// The observers' links deliver nothing for two seconds longer than `syncLimit`.
    Silence,
}

/// Who is there, and what happens to them.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Clients of each observer that read and watch.
    #[arg(long, default_value_t = 500)]
    clients: usize,
    /// Milliseconds between two reads of one client.
    #[arg(long, default_value_t = 200)]
    pace: u64,
    /// Clients of each observer that write.
    #[arg(long, default_value_t = 8)]
    writers: usize,
    /// How often the fault comes.
    #[arg(long, default_value_t = 3)]
    times: usize,
    /// What happens.
    #[arg(long, value_enum, default_value_t = Fault::Kill)]
    fault: Fault,
    /// Largest heap of the Java observer, MB.
    #[arg(long, default_value_t = 256)]
    java_heap_mb: u32,
}

/// Seconds before and after each fault in which nothing happens.
const CALM: Duration = Duration::from_secs(5);
/// `syncLimit` × `tickTime`, as in ZooKeeper's sample configuration.
const SYNC_LIMIT: Duration = Duration::from_secs(10);
/// The session timeout of all clients, in milliseconds.
const SESSION_TIMEOUT_MS: i32 = 30_000;
/// How long writes may fail before the run is given up.
const LIMIT: Duration = Duration::from_secs(120);
/// Java's client waits up to a second before it connects again.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(1);

/// One observer with its link and its clients.
struct Region {
    // In this order: clients, server, link.
    crowd: Crowd,
    observer: Observer,
    relays: Vec<(u64, Relay)>,
}

/// Starts everything, lets the faults come, and prints what the clients have felt.
pub(crate) fn run(arguments: &Arguments) {
    let settings = Settings {
        tick_time_ms: 2_000,
        init_limit: 10,
        sync_limit: 5,
        lines: vec!["commitLogCount=50000".into()],
        ..Settings::default()
    };
    let ensemble = stage::ensemble(settings);
    let board = Board::new("/board", 16);
    create_what_is_used(&ensemble, &board, arguments.writers);
    let regions = [ObserverKind::Java, ObserverKind::Outpost]
        .map(|kind| Region::start(&ensemble, kind, &board, arguments));
    let far = Crowd::start(stirring(&ensemble, &board));
    let all: Vec<&Crowd> = regions
        .iter()
        .map(|region| &region.crowd)
        .chain([&far])
        .collect();
    println!(
        "{} clients each, warming up",
        arguments.clients + arguments.writers
    );
    everybody_goes_on(&all);
    std::thread::sleep(2 * CALM);
    let losses: Vec<Loss> = (1..=arguments.times)
        .map(|number| {
            println!("{:?} {number} of {}", arguments.fault, arguments.times);
            lose(arguments.fault, &ensemble, &regions, &all)
        })
        .collect();
    println!("judging what the clients have seen");
    let far = far.stop();
    let [java, outpost] = regions.map(|region| {
        let memory = resident_mb(region.observer.running());
        (
            region.crowd.stop(),
            memory,
            (region.observer, region.relays),
        )
    });
    let committed = Committed::of(&ensemble);
    let ensembles = Ensembles::new(&committed, &far);
    let memory = (java.1, outpost.1);
    let [java, outpost] = [java.0, outpost.0].map(|histories| {
        let figures = Figures::of(&histories, &losses, &ensembles);
        (figures, violations(&histories, &committed))
    });
    let mut rows = figures::rows(&java.0, &outpost.0, &losses);
    rows.push(Row::plain("violations of P1 to P5", java.1, outpost.1));
    rows.push(Row::less_is_better(
        "resident memory in the end, MB",
        memory.0,
        memory.1,
    ));
    report::print(&rows);
}

impl Region {
    fn start(
        ensemble: &Ensemble,
        kind: ObserverKind,
        board: &Board,
        arguments: &Arguments,
    ) -> Self {
        let relays = Relay::before_all(ensemble);
        let settings = stage::observer(arguments.java_heap_mb).through(&relays);
        let observer = Observer::start(ensemble, kind, &settings);
        let mut plans = Vec::new();
        for number in 0..arguments.clients {
            let script = Watching::script(board, number * 7);
            let pace = Duration::from_millis(arguments.pace);
            plans.push(plan(&observer, format!("reader-{number}"), pace, script));
        }
        for number in 0..arguments.writers {
            let script = Writing::script(&written(Some(kind), number));
            let pace = Duration::from_millis(50);
            plans.push(plan(&observer, format!("writer-{number}"), pace, script));
        }
        let crowd = Crowd::start(plans);
        Self {
            crowd,
            observer,
            relays,
        }
    }
}

fn plan(observer: &Observer, name: String, pace: Duration, script: Script) -> Plan {
    Plan {
        name,
        servers: vec![observer.client_address()],
        timeout_ms: SESSION_TIMEOUT_MS,
        pace,
        outstanding_max: 1,
        comes_back_within: COMES_BACK_WITHIN,
        set_watches_2: true,
        script,
    }
}

/// One client at home on each voter, quick to find another.
fn stirring(ensemble: &Ensemble, board: &Board) -> Vec<Plan> {
    let servers: Vec<_> = ensemble
        .servers()
        .iter()
        .map(Server::client_address)
        .collect();
    let homes = 0..servers.len();
    homes
        .map(|home| {
            let mut servers = servers.clone();
            servers.rotate_left(home);
            Plan {
                name: format!("far-{home}"),
                servers,
                timeout_ms: 6_000,
                pace: Duration::from_millis(60),
                outstanding_max: 1,
                comes_back_within: Duration::from_millis(50),
                set_watches_2: true,
                script: Stirring::script(board),
            }
        })
        .collect()
}

/// Where a writer writes; each observer's beside the other's.
fn written(kind: Option<ObserverKind>, number: usize) -> String {
    match kind {
        Some(ObserverKind::Java) => format!("/written/java-{number}"),
        Some(ObserverKind::Outpost) => format!("/written/outpost-{number}"),
        None => "/written".to_owned(),
    }
}

fn create_what_is_used(ensemble: &Ensemble, board: &Board, writers: usize) {
    let leader = ensemble.server(ensemble.wait_for_leader());
    let mut client = RawClient::connect(leader.client_address(), SESSION_TIMEOUT_MS);
    let mut paths: Vec<String> = board.to_create().map(ToString::to_string).collect();
    paths.push(written(None, 0));
    for kind in [ObserverKind::Java, ObserverKind::Outpost] {
        let own = (0..writers).map(|number| written(Some(kind), number));
        paths.extend(own.flat_map(|own| Writing::to_create(&own)));
    }
    for path in paths {
        let created = client.create(&path, b"", CreateMode::Persistent);
        created.unwrap_or_else(|error| panic!("{path} cannot be created: {error:?}"));
    }
    client.close().expect("closing the session");
}

/// Everybody was answered, and whoever writes has written.
fn everybody_goes_on(crowds: &[&Crowd]) {
    for crowd in crowds {
        crowd.wait_for_everybody("another answer", LIMIT, |name: &str, before: Count, now| {
            if name.starts_with("reader") {
                now.answered > before.answered + 1
            } else {
                now.written > before.written + 1
            }
        });
    }
}

/// Lets one fault come and go, with calm before and after it.
fn lose(fault: Fault, ensemble: &Ensemble, regions: &[Region; 2], all: &[&Crowd]) -> Loss {
    std::thread::sleep(CALM);
    let every_relay = |act: fn(&Relay)| {
        let relays = regions.iter().flat_map(|region| &region.relays);
        relays.for_each(|(_, relay)| act(relay));
    };
    let leader = ensemble.wait_for_leader();
    let began = Instant::now();
    match fault {
        Fault::Kill => ensemble.kill(leader),
        Fault::Pause => {
            ensemble.pause(leader);
            std::thread::sleep(2 * SYNC_LIMIT);
            ensemble.resume(leader);
        }
        Fault::Cut => {
            every_relay(Relay::cut);
            std::thread::sleep(Duration::from_secs(1));
            every_relay(Relay::heal);
        }
        Fault::Silence => {
            every_relay(Relay::stall);
            std::thread::sleep(SYNC_LIMIT + Duration::from_secs(2));
            every_relay(Relay::heal);
        }
    }
    everybody_goes_on(all);
    let over = Instant::now();
    std::thread::sleep(CALM);
    let calm_until = Instant::now();
    if fault == Fault::Kill {
        // Behind what is measured: a JVM that starts takes the machine for itself.
        ensemble.start_server(leader);
    }
    ensemble.wait_until_all_serve();
    Loss {
        began,
        over,
        calm_from: began - CALM,
        calm_until,
    }
}

fn violations(histories: &[History], committed: &Committed) -> f64 {
    let judged = histories
        .iter()
        .flat_map(|history| judge(history, committed, Gaps::PerhapsBySnapshots));
    let mut count = 0.0;
    for violation in judged {
        count += 1.0;
        if count <= 3.0 {
            println!("{}: {}", violation.client, violation.text);
        }
    }
    count
}

fn resident_mb(process: &Process) -> f64 {
    process.resident_bytes() as f64 / f64::from(1 << 20)
}
