//! A link that comes and goes ten thousand times leaves nothing behind (P6).
//!
//! The worst that observers have done to their operators is to grow a little with every loss of the link. So this
//! run is a long one, and what it looks at in the end is memory: of queues and tables what they hold, and of the
//! process what the system says it has.

use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use outpost_sim::Way;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::{Act, Client, Director, Habits};
use crate::run::{LIMIT, at_rest, on_one_thread};
use crate::world::{Nature, World};

/// How often the link comes and goes.
const FLAPS: u64 = 10_000;
/// After so many of them memory has reached its usual size: pools are filled, tables have grown to their capacity.
const WARM: u64 = 1_000;
/// What the process may have grown by since then, in KiB: pages that its allocator has not given back, and nothing
/// that grows with the number of flaps. A hundred bytes kept for each would show.
const GROWTH_MAX_KIB: u64 = 800;
/// Says to the process that is started for it to be the one that flaps.
const FLAPS_HERE: &str = "OUTPOST_SIM_FLAPS_HERE";
const NAME: &str = "flaps::p6_ten_thousand_flaps_of_the_link_leave_nothing_behind";

/// In a process of its own, where memory is nobody else's.
#[test]
fn p6_ten_thousand_flaps_of_the_link_leave_nothing_behind() {
    if std::env::var_os(FLAPS_HERE).is_some() {
        let grown_kib = on_one_thread(&mut Rng::with_seed(1), flap);
        eprintln!("{grown_kib} KiB more");
        assert!(grown_kib < GROWTH_MAX_KIB, "{grown_kib} KiB more");
        return;
    }
    let itself = std::env::current_exe().expect("its own path");
    let run = Command::new(itself)
        .args([NAME, "--exact", "--nocapture"])
        .env(FLAPS_HERE, "1")
        .output()
        .expect("it can be started once more");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    let ran = String::from_utf8_lossy(&run.stdout);
    assert!(ran.contains("1 passed"), "no such test: {ran}");
}

/// Lets the link come and go, and says by how many KiB the process has grown since it was warm.
async fn flap(mut rng: Rng) -> u64 {
    let world = Rc::new(World::new(&Nature {
        hold: Duration::from_secs(10),
        history_max: 50,
        election: Duration::from_millis(300),
        commit_delay_ms: 2,
        sabotage: None,
    }));
    assert!(world.catches_up(LIMIT).await, "it attaches");
    let director = Director::default();
    let mut clients = JoinSet::new();
    for number in 0..4 {
        let habits = Habits {
            timeout_ms: 10_000,
            pause_ms: 3_000,
            burst: 3,
            latency: Duration::ZERO,
            // Some of them come and go as well.
            breaks_ms: 5_000 * number,
            counts_on: true,
            writes: 50,
            wanders: 0,
            sequences: false,
            closes: 10,
        };
        let client = Client::new(Rc::clone(&world), director.clone(), habits, rng.fork());
        clients.spawn_local(client.live());
    }
    let losses = || {
        let losses = &world.service.link.status().losses;
        losses.load(Ordering::Relaxed)
    };
    let mut warm_kib = None;
    while losses() < FLAPS {
        if losses() >= WARM {
            warm_kib = warm_kib.or_else(|| Some(resident_kib()));
        }
        sleep(Duration::from_millis(rng.u64(0..500))).await;
        let bytes = [0, 0, rng.usize(0..300)][rng.usize(..3)];
        for line in world.fabric.lines() {
            line.cut_after(Way::Back, bytes);
        }
        if rng.u8(0..50) == 0 {
            let forced = rng.bool();
            let change = move |settings: &mut outpost_sim::LeaderSettings| {
                settings.force_snapshot = forced;
            };
            world
                .ensemble(move |ensemble, _| ensemble.change_settings(change))
                .await;
        }
        // The history is the one thing here that grows.
        drop(world.recorder.take());
    }
    let grown_kib = resident_kib().saturating_sub(warm_kib.expect("it was warm once"));
    for line in world.fabric.lines() {
        line.cut();
    }
    director.ask(Act::Leave);
    let gone = timeout(LIMIT, async {
        while clients.join_next().await.is_some() {}
    });
    gone.await.expect("clients go when they are told to");
    at_rest(&world).await.expect("nothing is kept for them");
    grown_kib
}

/// What the system says this process has in memory.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}
