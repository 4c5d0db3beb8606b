//! What a process has used, as the kernel counts it.

use std::fs;

use outpost_tests::process::Process;

/// The kernel counts CPU time in these; 100 a second on every Linux that matters.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds used so far, in user and kernel mode, by all threads.
pub(crate) fn cpu_seconds(process: &Process) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("/proc/PID/stat");
    // The name in parentheses may hold blanks; the fields of interest come after it.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number of ticks");
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// Resident memory, in MB.
pub(crate) fn resident_mb(process: &Process) -> f64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", process.id())).expect("/proc/PID/status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kb: f64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number");
    kb / 1024.0
}
