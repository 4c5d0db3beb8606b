//! The command `memory`: what the allocator says, who holds how much of it, and what is in nobody's name.

use jemalloc_pprof::PROF_CTL;
use serde_json::{Value, json};

use super::commands::{Members, members};
use crate::report::{Report, process};

/// All of it, in bytes. `unaccounted` is what is allocated beyond what the holders say; it may be negative, because some
/// of them estimate, and the allocator is asked a moment later.
pub(super) fn memory(report: &Report<'_>) -> Members {
    let holders = report.holders();
    let held: u64 = holders.iter().map(|(_, bytes)| bytes).sum();
    let holders: Members = holders
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes.into()))
        .collect();
    let (allocator, process) = (process::memory(), process::process());
    let unaccounted = allocator.map(|memory| memory.allocated.cast_signed() - held.cast_signed());
    members(json!({
        "allocated": allocator.map(|memory| memory.allocated),
        "active": allocator.map(|memory| memory.active),
        "resident": allocator.map(|memory| memory.resident),
        "mapped": allocator.map(|memory| memory.mapped),
        "retained": allocator.map(|memory| memory.retained),
        "process_resident": process.resident_bytes,
        "limit": process.memory_limit,
        "holders": holders,
        "held": held,
        "unaccounted": unaccounted,
        "sampling": is_sampling(),
    }))
}

/// Whether heap profiles can be had; null while one is being made.
fn is_sampling() -> Value {
    let control = PROF_CTL.as_ref().map(|control| control.try_lock());
    match control {
        Some(Ok(control)) => control.activated().into(),
        Some(Err(_)) => Value::Null,
        None => false.into(),
    }
}
