//! How far away a server is: connections to one door, one after the other, and how long each took.
//!
//! A door that refuses answers as fast as one that opens, and leaves no trace at the server.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::server::millis;
use super::visit::{Door, knock_at};

/// How often one door is tried.
const SAMPLES: usize = 5;

/// Round trips to one server, from the shortest to the longest; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoundTrips(Vec<Duration>);

impl RoundTrips {
    /// Of a door that was found to be like this: the same door is tried again. Nothing of one that does not answer.
    pub(super) async fn of(
        address: SocketAddr,
        found: &Door,
        deadline: Instant,
    ) -> Option<RoundTrips> {
        let mut samples = vec![answered(found)?];
        while samples.len() < SAMPLES {
            let (door, _) = knock_at(address, deadline).await;
            let Some(sample) = answered(&door) else { break };
            samples.push(sample);
        }
        samples.sort_unstable();
        Some(RoundTrips(samples))
    }

    /// Of a door at which one visit is enough.
    pub(super) fn once(found: &Door) -> Option<RoundTrips> {
        answered(found).map(|sample| RoundTrips(vec![sample]))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn median(&self) -> Duration {
        let middle = self.0.len() / 2;
        match self.0.len() % 2 {
            0 => (self.0[middle - 1] + self.0[middle]) / 2,
            _ => self.0[middle],
        }
    }
}

/// `0.4 ms: the median of 5, which are between 0.3 ms and 1.2 ms`.
impl fmt::Display for RoundTrips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = millis(self.median());
        match self.0.as_slice() {
            [shortest, .., longest] => {
                let (count, shortest, longest) =
                    (self.count(), millis(*shortest), millis(*longest));
                write!(
                    f,
                    "{median}: the median of {count}, which are between {shortest} and {longest}"
                )
            }
            _ => write!(f, "{median}, measured once"),
        }
    }
}

fn answered(door: &Door) -> Option<Duration> {
    match door {
        Door::Open(after) | Door::Refused(after) => Some(*after),
        Door::Nowhere | Door::Unreachable(_) | Door::Silent => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[u64]) -> String {
        RoundTrips(samples.iter().map(|n| Duration::from_micros(*n)).collect()).to_string()
    }

    #[test]
    fn the_middle_one_counts_or_the_mean_of_both_middle_ones() {
        assert_eq!(of(&[1500]), "1.5 ms, measured once");
        assert_eq!(
            of(&[1000, 2000, 90_000]),
            "2.0 ms: the median of 3, which are between 1.0 ms and 90.0 ms"
        );
        assert_eq!(
            of(&[1000, 2000, 4000, 5000]),
            "3.0 ms: the median of 4, which are between 1.0 ms and 5.0 ms"
        );
    }
}
