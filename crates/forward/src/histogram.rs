//! Times counted in a few fixed buckets, as Prometheus wants them for quantiles over many servers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets, in milliseconds: from a master that takes over at once to longer than any hold.
pub const BOUNDS_MS: [u64; 12] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 15_000, 20_000, 30_000, 60_000,
];

/// Times of one kind. A time of exactly a bound belongs to that bound.
#[derive(Debug, Default)]
pub struct Histogram {
    /// How many times fell into each bucket alone; the last one has no upper end.
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_ms: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramView {
    /// For each of [`BOUNDS_MS`], how many times did not exceed it.
    pub cumulative: [u64; BOUNDS_MS.len()],
    /// How many there were altogether.
    pub count: u64,
    /// Their sum, ms.
    pub sum_ms: u64,
}

impl Histogram {
    /// Counts a time.
    pub fn note(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < ms);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn view(&self) -> HistogramView {
        let mut count = 0;
        let mut up_to = |bucket: usize| {
            count += self.counts[bucket].load(Ordering::Relaxed);
            count
        };
        let cumulative = std::array::from_fn(&mut up_to);
        HistogramView {
            cumulative,
            count: up_to(BOUNDS_MS.len()),
            sum_ms: self.sum_ms.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_every_bucket_that_reaches_it() {
        let histogram = Histogram::default();
        for ms in [0, 50, 51, 60_000, 60_001] {
            histogram.note(Duration::from_millis(ms));
        }
        let view = histogram.view();
        assert_eq!((view.count, view.sum_ms), (5, 120_102));
        let mut expected = [3; BOUNDS_MS.len()];
        expected[0] = 2;
        expected[BOUNDS_MS.len() - 1] = 4;
        assert_eq!(view.cumulative, expected);
    }
}
