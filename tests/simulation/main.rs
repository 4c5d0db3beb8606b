//! The observer in a simulated world: one thread, a clock that is moved and never waited for, and all chance
//! from one seed. A seed always gives the same run.

#[allow(dead_code)]
mod checkers;
#[allow(dead_code)]
mod history;
