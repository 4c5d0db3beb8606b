//! Many latencies in little room: exact to three percent, however long the demo runs.

use std::time::Duration;

/// Each power of two is cut into this many parts.
const PARTS: u64 = 1 << PARTS_BITS;
const PARTS_BITS: u32 = 5;
/// Enough for every 64-bit number of nanoseconds.
const BUCKETS: usize = ((64 - PARTS_BITS) as usize + 1) * PARTS as usize;

/// How often each latency was met, roughly.
#[derive(Debug, Clone)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Latencies {
    pub(super) fn new() -> Latencies {
        Latencies {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }

    pub(super) fn add(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket_of(ns)] += 1;
        self.total += 1;
    }

    pub(super) fn join(&mut self, other: &Latencies) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// How many there are.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The latency that `percent` of all do not exceed; zero if there are none.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut met = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            met += count;
            if met >= rank {
                return Duration::from_nanos(end_of(bucket));
            }
        }
        Duration::ZERO
    }
}

/// Small numbers have a bucket each; above, the leading bits choose it.
fn bucket_of(ns: u64) -> usize {
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(PARTS_BITS + 1);
    let part = ns >> shift;
    (u64::from(shift) * PARTS + part) as usize
}

/// The largest number of a bucket.
fn end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    let part = bucket % PARTS + PARTS;
    ((part + 1) << shift).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_at_most_three_percent_above_what_is_in_it() {
        for ns in (0..4_000)
            .chain((0..64).map(|bit| 1 << bit))
            .chain([u64::MAX])
        {
            let end = end_of(bucket_of(ns));
            assert!(end >= ns, "{ns} is beyond the end {end} of its bucket");
            assert!(end - ns <= ns / PARTS, "{ns} counts as {end}");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentile(50), Duration::ZERO);
        for ns in 1..=20 {
            latencies.add(Duration::from_nanos(ns));
        }
        let mut all = Latencies::new();
        all.join(&latencies);
        assert_eq!(all.total(), 20);
        assert_eq!(all.percentile(50), Duration::from_nanos(10));
        assert_eq!(all.percentile(99), Duration::from_nanos(20));
    }
}
