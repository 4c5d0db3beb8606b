//! The observer in a simulated world: one thread, a clock that is moved and never waited for, and all chance
//! from one seed. A seed always gives the same run.
//!
//! A run puts the real observer between a simulated ensemble and simulated clients (`world`), lets clients ask
//! for whatever comes to mind (`client`) and things go wrong (`chaos`), and writes down what everybody sees
//! (`history`). Then the history is judged.
//!
//! `OUTPOST_SIM_SEEDS=1234` plays one run again, `OUTPOST_SIM_SEEDS=0..100000` many others.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod chaos;
mod checkers;
mod client;
mod flaps;
#[allow(dead_code)]
mod history;
mod network;
mod overhear;
mod run;
mod sabotage;
mod seeds;
mod talk;
mod world;

use run::run;

#[test]
fn every_promise_is_kept_whatever_goes_wrong() {
    seeds::for_each(|seed| run(seed).judge(seed));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        let [one, other] = [(); 2].map(|()| run(seed).history);
        let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
        if same < one.len().max(other.len()) {
            let (one, other) = (one.get(same), other.get(same));
            panic!("seed {seed}: record {same} is\n{one:?}\nand then\n{other:?}");
        }
    }
}
