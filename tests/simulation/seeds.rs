//! Which runs are made, and what is shown of one that fails.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Runs by default: what a continuous integration has time for.
const DEFAULT: Range<u64> = 0..2_000;

/// Failing runs that are shown in full; of the others only the number is told.
const SHOWN: usize = 3;

/// Calls `judge` with every seed, on all cores.
///
/// # Panics
/// When runs fail, with the way to play them again.
pub(crate) fn for_each(judge: impl Fn(u64) -> Result<(), String> + Sync) {
    let seeds = asked_for();
    let next = AtomicU64::new(seeds.start);
    let began = Instant::now();
    let play = || {
        let mut failures = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return failures;
            }
            // A run that panics is one that fails; nothing of it is used afterwards.
            let verdict = catch_unwind(AssertUnwindSafe(|| judge(seed)));
            match verdict {
                Ok(Ok(())) => {}
                Ok(Err(why)) => failures.push((seed, why)),
                Err(_) => failures.push((seed, "a panic, see above".to_owned())),
            }
        }
    };
    let mut failures: Vec<(u64, String)> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(play)).collect();
        let played = threads
            .into_iter()
            .map(|thread| thread.join().expect("caught"));
        played.flatten().collect()
    });
    failures.sort();
    let (runs, took) = (seeds.end - seeds.start, began.elapsed());
    eprintln!(
        "{runs} runs in {took:.1?}, of which {} fail",
        failures.len()
    );
    for (seed, why) in &failures {
        let first = why.lines().next().unwrap_or_default();
        eprintln!("seed {seed}: {first}");
    }
    for (seed, why) in failures.iter().take(SHOWN) {
        eprintln!("\nseed {seed}: {why}");
    }
    let again = failures.first().map(|(seed, _)| {
        format!("OUTPOST_SIM_SEEDS={seed} cargo test -p outpost-tests --test simulation")
    });
    assert_eq!(again, None, "plays the first of them again");
}

fn asked_for() -> Range<u64> {
    let Ok(text) = std::env::var("OUTPOST_SIM_SEEDS") else {
        return DEFAULT;
    };
    let number = |text: &str| {
        text.trim()
            .parse::<u64>()
            .expect("OUTPOST_SIM_SEEDS: 7 or 0..100")
    };
    match text.split_once("..") {
        Some((start, end)) => number(start)..number(end),
        None => number(&text)..number(&text) + 1,
    }
}
