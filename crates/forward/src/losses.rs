//! The history of lost links: what each life of the link was, how it ended, and what became of the clients.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use outpost_wire::Zxid;

use crate::candidates::Candidate;
use crate::lost::Lost;
use crate::recorder::Recording;
use crate::tally::{Closed, Tally};

/// Losses kept; older ones are forgotten.
pub const LOSSES_MAX: usize = 16;

/// One life of the link, and how it ended.
#[derive(Debug, Clone)]
pub struct Loss {
    /// Counts the losses since the start of the process, from 1.
    pub number: u64,
    /// [`crate::Lost::label`] of the reason.
    pub label: &'static str,
    /// The reason in a sentence.
    pub reason: String,
    /// The master at the other end.
    pub master: Candidate,
    /// Its epoch.
    pub epoch: u32,
    /// When that master had answered.
    pub began: Instant,
    /// When it had said UPTODATE; `None`: it never came to that.
    pub followed: Option<Instant>,
    /// When the link was lost.
    pub at: Instant,
    /// The same by the wall clock, to find it in a log.
    pub wall_clock: SystemTime,
    /// The last transaction applied by then.
    pub applied: Zxid,
    /// The newest transaction that the leader was known to have.
    pub leader: Zxid,
    /// The clients at that moment.
    pub clients: Tally,
    /// The last packets.
    pub recording: Recording,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a loss.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Outcome {
    /// No master is followed again yet.
    #[default]
    Open,
    /// A master is followed again.
    Reattached {
        /// How long after the loss.
        after: Duration,
        /// Clients that are still connected; `None`: they had been given up by then.
        kept: Option<u64>,
        /// How the mirror caught up.
        by: CaughtUp,
    },
}

/// How the mirror has caught up with a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaughtUp {
    /// By so many transactions that it had missed.
    Diff(u64),
    /// By a snapshot in the place of the whole tree.
    Snap,
}

impl fmt::Display for CaughtUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaughtUp::Diff(1) => f.write_str("DIFF of 1 transaction"),
            CaughtUp::Diff(txns) => write!(f, "DIFF of {txns} transactions"),
            CaughtUp::Snap => f.write_str("SNAP"),
        }
    }
}

/// How a loss looks from outside: the loss, whether clients were given up before it was over, and whom it cost.
#[derive(Debug, Clone)]
pub struct LossReport {
    /// The loss.
    pub loss: Loss,
    /// How long after the loss the clients were given up, if they were.
    pub given_up_after: Option<Duration>,
    /// Clients closed by cause, from this loss to the next.
    pub closed: Closed,
}

#[derive(Debug)]
struct Entry {
    loss: Loss,
    given_up_after: Option<Duration>,
}

/// The last losses, oldest first, and how many there were for each reason.
#[derive(Debug)]
pub struct Losses {
    entries: VecDeque<Entry>,
    count: u64,
    /// The first loss since a master was followed.
    open_since: Option<Instant>,
    by_label: BTreeMap<&'static str, u64>,
}

impl Default for Losses {
    fn default() -> Losses {
        Losses {
            entries: VecDeque::with_capacity(LOSSES_MAX),
            count: 0,
            open_since: None,
            by_label: Lost::LABELS.map(|label| (label, 0)).into(),
        }
    }
}

impl Losses {
    /// How many losses there were, by [`Lost::label`]; those that never occurred too.
    pub fn by_label(&self) -> Vec<(&'static str, u64)> {
        let each = self.by_label.iter();
        each.map(|(label, count)| (*label, *count)).collect()
    }

    /// Keeps a loss, and gives it its number.
    pub fn push(&mut self, mut loss: Loss) {
        *self.by_label.entry(loss.label).or_default() += 1;
        self.open_since.get_or_insert(loss.at);
        self.count += 1;
        loss.number = self.count;
        if self.entries.len() == LOSSES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            loss,
            given_up_after: None,
        });
    }

    /// A master is followed again: how long none was; `None` if nothing was lost. `kept`: clients that stayed, if
    /// they were held all the time.
    pub fn reattached(
        &mut self,
        now: Instant,
        kept: Option<u64>,
        by: CaughtUp,
    ) -> Option<Duration> {
        let since = self.open_since.take()?;
        for entry in self.open() {
            let after = now.saturating_duration_since(entry.loss.at);
            entry.loss.outcome = Outcome::Reattached { after, kept, by };
        }
        Some(now.saturating_duration_since(since))
    }

    /// The clients are not held any longer.
    pub fn given_up(&mut self, now: Instant) {
        for entry in self.open() {
            let after = now.saturating_duration_since(entry.loss.at);
            entry.given_up_after.get_or_insert(after);
        }
    }

    fn open(&mut self) -> impl Iterator<Item = &mut Entry> {
        let entries = self.entries.iter_mut();
        entries.filter(|entry| entry.loss.outcome == Outcome::Open)
    }

    /// The losses that are kept, newest first. `clients`: as they are now.
    pub fn report(&self, clients: &Tally) -> Vec<LossReport> {
        let mut until = &clients.closed;
        let mut report = Vec::with_capacity(self.entries.len());
        for entry in self.entries.iter().rev() {
            let from = &entry.loss.clients.closed;
            report.push(LossReport {
                loss: entry.loss.clone(),
                given_up_after: entry.given_up_after,
                closed: until.since(from),
            });
            until = from;
        }
        report
    }

    /// The newest loss.
    pub fn last(&self) -> Option<&Loss> {
        self.entries.back().map(|entry| &entry.loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outpost_wire::ServerId;

    fn loss(at: Instant, closed: u64) -> Loss {
        Loss {
            number: 0,
            label: "silent",
            reason: "the master was silent".into(),
            master: Candidate {
                server: ServerId(1),
                host: "there".into(),
                port: 2888,
                observer_master: false,
                preference: 0,
            },
            epoch: 5,
            began: at,
            followed: Some(at),
            at,
            wall_clock: SystemTime::UNIX_EPOCH,
            applied: Zxid(1),
            leader: Zxid(1),
            clients: Tally {
                connected: 10,
                closed: Closed(vec![("hold", closed)]),
            },
            recording: Recording::default(),
            outcome: Outcome::Open,
        }
    }

    #[test]
    fn p6_the_last_losses_are_kept_and_no_more() {
        let now = Instant::now();
        let mut losses = Losses::default();
        for _ in 0..LOSSES_MAX + 5 {
            losses.push(loss(now, 0));
        }
        let report = losses.report(&Tally::default());
        let numbers: Vec<u64> = report.iter().map(|one| one.loss.number).collect();
        assert_eq!(numbers, (6..=21).rev().collect::<Vec<u64>>());
        let labels = losses.by_label();
        assert_eq!(labels.len(), Lost::LABELS.len());
        assert!(labels.contains(&("silent", 21)) && labels.contains(&("io", 0)));
    }

    #[test]
    fn a_client_that_was_closed_counts_for_the_last_loss_before_it() {
        let now = Instant::now();
        let mut losses = Losses::default();
        losses.push(loss(now, 1));
        losses.push(loss(now, 4));
        let clients = loss(now, 9).clients;
        let report = losses.report(&clients);
        let closed: Vec<String> = report.iter().map(|one| one.closed.to_string()).collect();
        assert_eq!(closed, ["5 hold", "3 hold"]);
    }

    #[test]
    fn every_loss_is_over_when_a_master_is_followed_again() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut losses = Losses::default();
        losses.push(loss(at(0), 0));
        losses.push(loss(at(2), 0));
        losses.given_up(at(5));
        losses.given_up(at(6));
        losses.push(loss(at(7), 0));
        let first = losses.reattached(at(9), None, CaughtUp::Snap);
        assert_eq!(first, Some(Duration::from_secs(9)));
        losses.push(loss(at(20), 0));
        let second = losses.reattached(at(21), Some(3), CaughtUp::Diff(2));
        assert_eq!(second, Some(Duration::from_secs(1)));
        assert_eq!(losses.reattached(at(22), None, CaughtUp::Snap), None);
        let report = losses.report(&Tally::default());
        let outcomes: Vec<_> = report
            .iter()
            .map(|one| (one.given_up_after, one.loss.outcome.clone()))
            .collect();
        let after = |seconds, kept: Option<u64>| Outcome::Reattached {
            after: Duration::from_secs(seconds),
            kept,
            by: kept.map_or(CaughtUp::Snap, |_| CaughtUp::Diff(2)),
        };
        assert_eq!(
            outcomes,
            [
                (None, after(1, Some(3))),
                (None, after(2, None)),
                (Some(Duration::from_secs(3)), after(7, None)),
                (Some(Duration::from_secs(5)), after(9, None)),
            ]
        );
    }
}
