//! Every target on a stable toolchain: all seeds, and thousands of damaged ones.
//!
//! `OUTPOST_FUZZ_SEED` repeats a run, `OUTPOST_FUZZ_ROUNDS` makes it longer.

use std::panic;

use fastrand::Rng;
use outpost_fuzz::seeds::{self, TARGETS, Target};

/// Damaged inputs per target.
const ROUNDS: u64 = 5_000;

#[test]
fn no_seed_and_no_damaged_seed_brings_a_target_down() {
    let seed = from_env("OUTPOST_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    let rounds = from_env("OUTPOST_FUZZ_ROUNDS").unwrap_or(ROUNDS);
    println!("OUTPOST_FUZZ_SEED={seed}");
    for target in TARGETS {
        let seeds = seeds::of(target.0);
        assert!(seeds.len() >= 8, "{} has {} seeds", target.0, seeds.len());
        seeds.iter().for_each(|input| run(target, input));
        let mut rng = Rng::with_seed(seed);
        for _ in 0..rounds {
            run(target, &damage(&seeds, &mut rng));
        }
    }
}

fn from_env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {value}")),
    )
}

fn run((name, body): Target, input: &[u8]) {
    if let Err(panic) = panic::catch_unwind(|| body(input)) {
        eprintln!("{name} fails with {input:?}");
        panic::resume_unwind(panic);
    }
}

/// One seed with a few things wrong.
fn damage(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..=input.len());
        match rng.u8(..6) {
            0 => input.truncate(at),
            1 => input.insert(at, rng.u8(..)),
            2 => overwrite(&mut input, at, &rng.i32(..).to_be_bytes()),
            // Small and huge lengths are the interesting ones.
            3 => overwrite(&mut input, at, &rng.i32(-2..20).to_be_bytes()),
            4 => overwrite(&mut input, at, &[0x7f, 0xff, 0xff, rng.u8(..)]),
            _ => {
                let other = &seeds[rng.usize(..seeds.len())];
                let from = rng.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (target, byte) in input[at..].iter_mut().zip(bytes) {
        *target = *byte;
    }
}
