//! The demo from its first act to its last.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outpost_wire::ServerId;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::Client;
use super::election::{Progress, Scene, Seen, TRY_AGAIN, endure};
use super::latencies::Latencies;
use super::screen::{Screen, count, millis};
use super::stage::{Stage, registry_path, until};
use super::workload::{self, Measured, Player};
use super::{DemoError, Options};

/// How often a watch is left and fired.
const WATCHES: u32 = 5;
/// How long a watch may take to fire, and a leader to be elected.
const EVENT_LIMIT: Duration = Duration::from_secs(30);
/// How long everything stays up at the end, unless told to stay longer.
const LINGER: Duration = Duration::from_secs(3);

/// Plays all acts; gives back the clients for whoever wants to look on.
pub(super) async fn play(
    options: &Options,
    stage: &Stage,
    screen: Screen,
) -> Result<Vec<Player>, DemoError> {
    let (readers, writers) = (options.readers(), options.writers());
    screen.heading(&format!(
        "{readers} clients read, {writers} write, for {} s",
        options.seconds
    ));
    let players = workload::gather(stage.address, readers, writers).await?;
    let (players, measured) = workload::measure(players, options.workload_time(), screen).await?;
    show_latencies(options, &measured, screen);

    screen.heading("A watch crosses the WAN");
    watches(options, stage, screen).await?;

    screen.heading("An election");
    election(stage, players, screen).await
}

fn show_latencies(options: &Options, measured: &Measured, screen: Screen) {
    let row = |label: &str, latencies: &Latencies| {
        let per_second = latencies.total() as f64 / measured.time.as_secs_f64();
        let median = millis(latencies.percentile(50));
        let tail = millis(latencies.percentile(99));
        let per_second = count(per_second.round() as u64);
        screen.numbers(label, &[&median, &tail, &per_second], "");
    };
    screen.columns(&["p50", "p99", "per second"]);
    row("local read", &measured.reads);
    row("forwarded write", &measured.writes);
    let (near, far) = (measured.reads.percentile(50), options.round_trip());
    if far > near && !near.is_zero() {
        let times = (far.as_secs_f64() / near.as_secs_f64()).round() as u64;
        let (far, times) = (far.as_millis(), count(times));
        screen.note(&format!(
            "Read from the leader itself, each would take {far} ms: {times} times as long."
        ));
    }
}

/// A client beside the ensemble writes, one here is told.
async fn watches(options: &Options, stage: &Stage, screen: Screen) -> Result<(), DemoError> {
    let path = registry_path(0);
    let mut watcher = Client::connect(stage.address).await?;
    let mut latencies = Latencies::new();
    for _ in 0..WATCHES {
        watcher.get_data(&path, true).await?;
        let began = Instant::now();
        let written = stage.ensemble.write_as_someone_else(&path, b"moved").await;
        written.map_err(|_| DemoError::Ensemble)?;
        match timeout(EVENT_LIMIT, watcher.fired()).await {
            Ok(fired) => fired?,
            Err(_) => {
                let what = "a watch to fire";
                return Err(DemoError::Late {
                    what,
                    limit: EVENT_LIMIT,
                });
            }
        };
        latencies.add(began.elapsed());
    }
    let one_way = options.wan_delay_ms / 2;
    let note = format!("written there, {WATCHES} times; the way takes {one_way} ms");
    screen.numbers(
        "told here after",
        &[&millis(latencies.percentile(50))],
        &note,
    );
    Ok(())
}

/// Another server comes to lead while all clients work.
async fn election(
    stage: &Stage,
    players: Vec<Player>,
    screen: Screen,
) -> Result<Vec<Player>, DemoError> {
    let readers = players.iter().filter(|player| player.reads()).count();
    let writers = players.len() - readers;
    let progress = Arc::new(Progress::default());
    let mut enduring = JoinSet::new();
    for player in players {
        enduring.spawn(endure(player, stage.address, Arc::clone(&progress)));
    }
    let ((old, _), began) = (
        stage.leader().await.ok_or(DemoError::Ensemble)?,
        Instant::now(),
    );
    if !stage.ensemble.elect(None).await {
        return Err(DemoError::Ensemble);
    }
    screen.row("election begins", &format!("server.{old} stops leading"));
    let (new, epoch) = new_leader(stage).await?;
    let note = format!("server.{new} leads, in epoch {epoch}");
    screen.numbers("election ends", &[&millis(began.elapsed())], &note);

    progress.set(Scene::Elected);
    let back = |counter: &AtomicUsize, all| counter.load(Ordering::Acquire) == all;
    let writing = || back(&progress.writers_back, writers);
    until("all writers to be served again", EVENT_LIMIT, writing).await?;
    progress.set(Scene::Writing);
    let reading = || back(&progress.readers_back, readers);
    until("all readers to be served again", EVENT_LIMIT, reading).await?;
    progress.set(Scene::Over);

    let mut survivors = Vec::new();
    for endured in enduring.join_all().await {
        survivors.push(endured?);
    }
    show_seen(&survivors, screen);
    Ok(survivors.into_iter().map(|(player, _)| player).collect())
}

async fn new_leader(stage: &Stage) -> Result<(ServerId, u32), DemoError> {
    let elected = async {
        loop {
            if let Some(leader) = stage.leader().await {
                return leader;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let what = "a new leader";
    let late = |_| DemoError::Late {
        what,
        limit: EVENT_LIMIT,
    };
    timeout(EVENT_LIMIT, elected).await.map_err(late)
}

/// Says what the clients saw, whatever it was.
fn show_seen(survivors: &[(Player, Seen)], screen: Screen) {
    let longest = |reads: bool| {
        let gaps = survivors
            .iter()
            .filter(|(player, _)| player.reads() == reads)
            .map(|(_, seen)| seen.longest_gap);
        millis(gaps.max().unwrap_or_default())
    };
    let all = survivors.len();
    let disconnected = survivors
        .iter()
        .filter(|(_, seen)| seen.disconnects > 0)
        .count();
    let expired = survivors
        .iter()
        .filter(|(_, seen)| seen.expiries > 0)
        .count();
    let sessions = match (disconnected, expired) {
        (0, _) => String::new(),
        (_, 0) => "all came back with their sessions".to_owned(),
        (_, expired) => format!("{expired} had lost their sessions"),
    };
    screen.numbers(
        "disconnected",
        &[&format!("{disconnected} of {all}")],
        &sessions,
    );
    screen.numbers(
        "read again after",
        &[&longest(true)],
        "the longest time without an answer",
    );
    screen.numbers("wrote again after", &[&longest(false)], "likewise");
    if disconnected > 0 {
        let every = TRY_AGAIN.as_millis();
        screen.note("Their writes were on the way, and what became of them cannot be known.");
        screen.note(&format!(
            "These clients try again every {every} ms; real ones wait up to a second."
        ));
    }
}

/// Leaves everything up for a look, with the clients still at work.
pub(super) async fn linger(
    options: &Options,
    stage: &Stage,
    screen: Screen,
    players: Vec<Player>,
    told_to_end: Pin<&mut impl Future<Output = ()>>,
) {
    screen.heading("Look around");
    screen.row("any client", &format!("zkCli.sh -server {}", stage.address));
    for (label, url) in &stage.urls {
        screen.row(label, url);
    }
    let progress = Arc::new(Progress::default());
    let mut working = JoinSet::new();
    for player in players {
        working.spawn(endure(player, stage.address, Arc::clone(&progress)));
    }
    if options.stay {
        screen.note("Ctrl-C ends it.");
        told_to_end.await;
    } else {
        screen.note(&format!("Ends in {} s; --stay keeps it.", LINGER.as_secs()));
        tokio::select! {
            () = tokio::time::sleep(LINGER) => {}
            () = told_to_end => {}
        }
    }
}
