//! How long answers are: the last, the longest and the shortest.
//!
//! Each of those who count has [`Sizes`] of its own, so that no two cores write to the same cache line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Lengths of answers, in bytes.
#[derive(Debug)]
pub struct Sizes {
    /// When, in ms since some start, in the upper half, and the length in the lower.
    last: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

/// What [`Sizes`] come to, of several together. `None`: there has been no answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SizesReport {
    /// The last.
    pub last: Option<u64>,
    /// The shortest.
    pub min: Option<u64>,
    /// The longest.
    pub max: Option<u64>,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            last: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl Sizes {
    /// Counts answers that were made at one time.
    pub fn note(&self, answers: Answered, started: Instant, now: Instant) {
        if answers.max == 0 {
            return;
        }
        let ms = now.saturating_duration_since(started).as_millis() as u64;
        self.last
            .store(ms << 32 | answers.last & 0xffff_ffff, Ordering::Relaxed);
        self.min.fetch_min(answers.min, Ordering::Relaxed);
        self.max.fetch_max(answers.max, Ordering::Relaxed);
    }
}

impl SizesReport {
    /// Of all answers in `sizes`.
    pub fn of<'a>(sizes: impl Iterator<Item = &'a Sizes>) -> SizesReport {
        let (mut newest, mut min, mut max) = (0, u64::MAX, 0);
        for one in sizes {
            newest = newest.max(one.last.load(Ordering::Relaxed));
            min = min.min(one.min.load(Ordering::Relaxed));
            max = max.max(one.max.load(Ordering::Relaxed));
        }
        let any = |size: u64| (max > 0).then_some(size);
        SizesReport {
            last: any(newest & 0xffff_ffff),
            min: any(min),
            max: any(max),
        }
    }
}

/// Answers made at one time: a plain value, to be counted once.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    last: u64,
    min: u64,
    max: u64,
}

impl Default for Answered {
    fn default() -> Answered {
        Answered {
            last: 0,
            min: u64::MAX,
            max: 0,
        }
    }
}

impl Answered {
    /// One more, a frame of so many bytes. What says how long it is does not count.
    pub fn note(&mut self, frame: usize) {
        self.last = frame.saturating_sub(4) as u64;
        self.min = self.min.min(self.last);
        self.max = self.max.max(self.last);
    }

    /// One alone.
    pub fn one(frame: usize) -> Answered {
        let mut answered = Answered::default();
        answered.note(frame);
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_last_answer_is_the_latest_of_all_and_none_has_no_length() {
        let sizes: [Sizes; 2] = Default::default();
        assert_eq!(SizesReport::of(sizes.iter()), SizesReport::default());
        let started = Instant::now();
        let at = |ms| started + Duration::from_millis(ms);
        let mut some = Answered::default();
        some.note(24);
        some.note(904);
        some.note(54);
        sizes[1].note(some, started, at(5));
        sizes[0].note(Answered::one(74), started, at(3));
        sizes[0].note(Answered::default(), started, at(9));
        let report = SizesReport::of(sizes.iter());
        let expected = (Some(50), Some(20), Some(900));
        assert_eq!((report.last, report.min, report.max), expected);
    }
}
