//! Which runs are made, and what is shown of one that fails.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Runs by default: what a continuous integration has time for.
const DEFAULT: Range<u64> = 0..10;

/// Calls `judge` with every seed, on all cores.
///
/// # Panics
/// When a run fails, with the way to play it again.
pub(crate) fn for_each(judge: impl Fn(u64) -> Result<(), String> + Sync) {
    let seeds = asked_for();
    let next = AtomicU64::new(seeds.start);
    let began = Instant::now();
    let failure = thread::scope(|scope| {
        let search = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return None;
                }
                let verdict =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(seed)));
                let why = match verdict {
                    Ok(Ok(())) => continue,
                    Ok(Err(why)) => why,
                    Err(_) => "a panic, see above".to_owned(),
                };
                // The others need not go on.
                next.store(seeds.end, Ordering::Relaxed);
                return Some((seed, why));
            }
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(search)).collect();
        let found = threads
            .into_iter()
            .map(|thread| thread.join().expect("caught"));
        found.flatten().min()
    });
    if let Some((seed, why)) = failure {
        panic!(
            "seed {seed}: {why}\n\nto play it again:\n    \
             OUTPOST_SIM_SEEDS={seed} cargo test -p outpost-tests --test simulation\n"
        );
    }
    let (runs, took) = (seeds.end - seeds.start, began.elapsed());
    eprintln!("{runs} runs in {took:.1?}");
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
