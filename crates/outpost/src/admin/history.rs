//! The last minutes, in memory: how far behind the mirror was and how much was asked, second by second, and what
//! each connection had asked for a while ago, so that the page can tell who asks now.
//!
//! Bounded: so many samples, and two figures for each connection there is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outpost_forward::status::LinkState;
use parking_lot::Mutex;

use crate::report::Report;
use crate::serve::client::Client;
use crate::serve::service::Service;

/// Time between two samples.
pub(super) const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Samples kept: ten minutes of them.
pub(super) const SAMPLES_MAX: usize = 600;
/// Samples between two counts of what each connection has asked for.
const COUNT_EVERY: u64 = 10;

/// What the link was doing at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// A learner master was followed.
    Attached,
    /// None was, and clients were held.
    Held,
    /// None was, and no client was served that may write.
    Detached,
}

/// One moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// When it was taken.
    pub(super) at: Instant,
    /// What the link was doing.
    pub(super) standing: Standing,
    /// How long ago the mirror was last known to be level.
    pub(super) lag: Duration,
    /// Frames received from clients since the start or the last reset.
    pub(super) received: u64,
}

/// What a connection has asked for and got so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Requests.
    pub(super) requests: u64,
    /// Bytes, both ways.
    pub(super) bytes: u64,
}

impl Count {
    /// Of a connection, by now.
    pub(super) fn of(client: &Client) -> Count {
        let state = client.state();
        let figures = &state.figures;
        Count {
            requests: figures.received,
            bytes: figures.bytes_received + figures.bytes_sent,
        }
    }

    /// Both together.
    pub(super) fn plus(self, other: Count) -> Count {
        Count {
            requests: self.requests + other.requests,
            bytes: self.bytes + other.bytes,
        }
    }

    /// What has come since `earlier`; nothing if the figures were reset in between.
    pub(super) fn since(self, earlier: Count) -> Count {
        Count {
            requests: self.requests.saturating_sub(earlier.requests),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// What every connection had asked for at one moment.
#[derive(Debug)]
pub(super) struct Counts {
    at: Instant,
    by_origin: HashMap<u64, Count>,
}

/// The last minutes.
pub(super) struct History(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    samples: VecDeque<Sample>,
    taken: u64,
    /// The older one is compared with, so that there is always some time between then and now.
    counts: VecDeque<Counts>,
}

impl History {
    pub(super) fn new() -> History {
        History(Mutex::default())
    }

    /// Takes a sample; to be called every [`SAMPLE_EVERY`].
    pub(super) fn sample(&self, service: &Service) {
        if self.keep(look(service)) {
            self.keep_counts(count(service));
        }
    }

    /// Whether counts are due too.
    fn keep(&self, sample: Sample) -> bool {
        let mut kept = self.0.lock();
        if kept.samples.len() == SAMPLES_MAX {
            kept.samples.pop_front();
        }
        kept.samples.push_back(sample);
        kept.taken += 1;
        kept.taken % COUNT_EVERY == 1
    }

    fn keep_counts(&self, counts: Counts) {
        let mut kept = self.0.lock();
        if kept.counts.len() == 2 {
            kept.counts.pop_front();
        }
        kept.counts.push_back(counts);
    }

    /// The samples, oldest first, and one of this moment.
    pub(super) fn samples(&self, service: &Service) -> Vec<Sample> {
        let mut samples: Vec<Sample> = self.0.lock().samples.iter().copied().collect();
        samples.push(look(service));
        samples
    }

    /// What `origins` had asked for a while ago, and how long ago that was; zero for those that came later.
    /// `None`: there is nothing yet to compare with.
    pub(super) fn earlier(
        &self,
        origins: impl Iterator<Item = u64>,
    ) -> Option<(Duration, Vec<Count>)> {
        let kept = self.0.lock();
        let counts = kept.counts.front()?;
        let of = |origin| counts.by_origin.get(&origin).copied().unwrap_or_default();
        Some((counts.at.elapsed(), origins.map(of).collect()))
    }
}

fn look(service: &Service) -> Sample {
    let (report, status) = (Report::of(service), service.link.status());
    let standing = match status.state() {
        LinkState::Attached => Standing::Attached,
        _ if report.is_holding() => Standing::Held,
        _ => Standing::Detached,
    };
    Sample {
        at: Instant::now(),
        standing,
        lag: status.lag(),
        received: service.stats.received(),
    }
}

fn count(service: &Service) -> Counts {
    let clients = service.clients.all();
    let count = |client: &Arc<Client>| (client.origin.0, Count::of(client));
    Counts {
        at: Instant::now(),
        by_origin: clients.iter().map(count).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(at: Instant, requests: u64) -> Counts {
        let count = Count {
            requests,
            bytes: 10 * requests,
        };
        Counts {
            at,
            by_origin: [(1, count)].into(),
        }
    }

    #[test]
    fn p6_ten_minutes_are_kept_and_counts_are_due_every_ten_seconds() {
        let history = History::new();
        let at = Instant::now();
        let mut due = 0;
        for received in 0..2 * SAMPLES_MAX as u64 {
            let sample = Sample {
                at,
                standing: Standing::Attached,
                lag: Duration::ZERO,
                received,
            };
            due += u64::from(history.keep(sample));
        }
        let kept = history.0.lock();
        assert_eq!(
            (kept.samples.len(), kept.samples.capacity() < 2048),
            (SAMPLES_MAX, true)
        );
        assert_eq!(
            kept.samples[0].received, SAMPLES_MAX as u64,
            "the oldest went"
        );
        assert_eq!(due, 2 * SAMPLES_MAX as u64 / COUNT_EVERY);
    }

    #[test]
    fn what_is_asked_now_is_counted_from_the_older_of_two_counts_and_from_nothing_for_newcomers() {
        let history = History::new();
        assert!(history.earlier([1].into_iter()).is_none());
        let began = Instant::now();
        for (seconds, requests) in [(0, 5), (10, 7), (20, 12)] {
            let at = began + Duration::from_secs(seconds);
            history.keep_counts(counts(at, requests));
        }
        let (_, earlier) = history.earlier([1, 2].into_iter()).unwrap();
        assert_eq!(earlier[0].requests, 7);
        assert_eq!(earlier[1], Count::default());
        let now = counts(began, 12).by_origin[&1];
        assert_eq!(now.since(earlier[0]).requests, 5);
        let reset = Count::default().since(earlier[0]);
        assert_eq!(
            reset,
            Count::default(),
            "figures that were reset count from zero"
        );
    }
}
