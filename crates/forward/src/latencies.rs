//! How long things take, counted: the extremes, the sum, and how often each time occurred.
//!
//! A value falls into one of a fixed number of buckets: exact below 16, then eight buckets for each
//! doubling, so that a quantile is off by an eighth at most.

use std::sync::atomic::{AtomicU64, Ordering};

/// Values below this have a bucket of their own.
const EXACT: u64 = 16;
/// Buckets for each doubling above.
const STEPS: u64 = 8;
/// Doublings that are told apart; a larger value counts as the largest. 2^20 ms are 17 minutes.
const DOUBLINGS: u64 = 16;
const BUCKETS: usize = (EXACT + STEPS * DOUBLINGS) as usize;

/// Times of one kind, in milliseconds. Counting one takes a handful of relaxed atomic operations.
///
/// Several threads may count at once; they only ever lose an extreme of the same instant.
#[derive(Debug, Default)]
pub struct Latencies {
    min: AtomicU64,
    max: AtomicU64,
    sum: AtomicU64,
    count: AtomicU64,
    buckets: Buckets,
}

/// What [`Latencies`] come to, of one or of several together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LatencySummary {
    /// The shortest; 0 if there is none.
    pub min: u64,
    /// The longest.
    pub max: u64,
    /// Their sum.
    pub sum: u64,
    /// How many.
    pub count: u64,
    distribution: Distribution,
}

impl Latencies {
    /// Counts `times` occurrences of `ms`.
    pub fn note(&self, ms: u64, times: u64) {
        let before = self.count.fetch_add(times, Ordering::Relaxed);
        self.buckets.note(ms, times);
        self.sum
            .fetch_add(ms.saturating_mul(times), Ordering::Relaxed);
        self.max.fetch_max(ms, Ordering::Relaxed);
        if before == 0 {
            self.min.store(ms, Ordering::Relaxed);
        } else {
            self.min.fetch_min(ms, Ordering::Relaxed);
        }
    }

    /// Whether anything was counted.
    pub fn has_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Forgets everything.
    pub fn reset(&self) {
        for cell in [&self.min, &self.max, &self.sum, &self.count] {
            cell.store(0, Ordering::Relaxed);
        }
        self.buckets.reset();
    }
}

impl LatencySummary {
    /// Of all times in `latencies` together.
    pub fn of<'a>(latencies: impl IntoIterator<Item = &'a Latencies>) -> LatencySummary {
        let mut all = LatencySummary::default();
        for one in latencies {
            all.add(one);
        }
        all
    }

    fn add(&mut self, one: &Latencies) {
        let count = one.count.load(Ordering::Relaxed);
        if count == 0 {
            return;
        }
        let min = one.min.load(Ordering::Relaxed);
        self.min = match self.count {
            0 => min,
            _ => self.min.min(min),
        };
        self.max = self.max.max(one.max.load(Ordering::Relaxed));
        self.sum += one.sum.load(Ordering::Relaxed);
        self.count += count;
        self.distribution.add(&one.buckets);
    }

    /// The time that a share of `quantile` (0 to 1) does not exceed, at most an eighth too long; 0 if there
    /// is none.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let value = self.distribution.quantile(quantile).unwrap_or(0);
        value.min(self.max)
    }
}

#[derive(Debug)]
struct Buckets([AtomicU64; BUCKETS]);

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Buckets {
    fn note(&self, value: u64, times: u64) {
        self.0[bucket_of(value)].fetch_add(times, Ordering::Relaxed);
    }

    fn reset(&self) {
        for bucket in &self.0 {
            bucket.store(0, Ordering::Relaxed);
        }
    }
}

/// Counters of several [`Buckets`] together, at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Distribution {
    counts: Box<[u64; BUCKETS]>,
}

impl Default for Distribution {
    fn default() -> Distribution {
        Distribution {
            counts: Box::new([0; BUCKETS]),
        }
    }
}

impl Distribution {
    fn add(&mut self, buckets: &Buckets) {
        for (count, bucket) in self.counts.iter_mut().zip(&buckets.0) {
            *count += bucket.load(Ordering::Relaxed);
        }
    }

    /// The value that a share of `quantile` (0 to 1) of all values does not exceed; `None` without values.
    fn quantile(&self, quantile: f64) -> Option<u64> {
        let total: u64 = self.counts.iter().sum();
        let rank = ((total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(largest_in(bucket as u64))
    }
}

fn bucket_of(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let doubling = u64::from(value.ilog2() - EXACT.ilog2());
    let step = (value >> (doubling + 1)) - STEPS;
    ((EXACT + doubling * STEPS + step) as usize).min(BUCKETS - 1)
}

fn largest_in(bucket: u64) -> u64 {
    if bucket < EXACT {
        return bucket;
    }
    let (doubling, step) = ((bucket - EXACT) / STEPS, (bucket - EXACT) % STEPS);
    ((STEPS + step + 1) << (doubling + 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_never_below_the_true_value_and_at_most_an_eighth_above() {
        for value in (0..5000).chain([10_000, 65_535, 65_536, 1_000_000]) {
            let buckets = Buckets::default();
            buckets.note(value, 1);
            let mut all = Distribution::default();
            all.add(&buckets);
            let read = all.quantile(0.5).unwrap();
            assert!(
                value <= read && read <= value + value / 8,
                "{value} reads as {read}"
            );
        }
    }

    #[test]
    fn latencies_of_several_add_up_without_the_idle_ones() {
        let (busy, idle, other) = <(Latencies, Latencies, Latencies)>::default();
        busy.note(4, 3);
        other.note(10, 1);
        let all = LatencySummary::of([&idle, &busy, &other]);
        assert_eq!((all.min, all.max, all.sum, all.count), (4, 10, 22, 4));
        assert_eq!((all.quantile(0.5), all.quantile(0.99)), (4, 10));
        other.note(100, 1);
        assert_eq!(
            LatencySummary::of([&other]).quantile(1.0),
            100,
            "not above the longest"
        );
        busy.reset();
        let none = LatencySummary::of([&busy]);
        assert_eq!((none.min, none.count, none.quantile(0.5)), (0, 0, 0));
    }

    #[test]
    fn quantiles_of_several_counters_are_those_of_all_values_together() {
        let (one, other) = (Buckets::default(), Buckets::default());
        one.note(1, 90);
        other.note(7, 9);
        other.note(u64::MAX, 1);
        let mut all = Distribution::default();
        assert_eq!(all.quantile(0.5), None);
        all.add(&one);
        all.add(&other);
        assert_eq!(all.quantile(0.5), Some(1));
        assert_eq!(all.quantile(0.9), Some(1));
        assert_eq!(all.quantile(0.95), Some(7));
        assert_eq!(all.quantile(0.999), Some((1 << 20) - 1));
        one.reset();
        let mut left = Distribution::default();
        left.add(&one);
        assert_eq!(left.quantile(0.5), None);
    }
}
