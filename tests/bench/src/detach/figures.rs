//! From histories to figures.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use outpost_tests::committed::Committed;
use outpost_tests::crowd::{History, Loss as Ending, Op, Path, What};
use outpost_wire::proto::EventType;
use outpost_wire::{ErrorCode, Xid, Zxid};

use crate::report::Row;

/// A watch event is late when it comes so long after the change was known to whoever made it.
const LATE: Duration = Duration::from_secs(1);

/// One fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    /// When the calm before it began.
    pub(super) calm_from: Instant,
    /// When it came.
    pub(super) began: Instant,
    /// When everybody had been answered again.
    pub(super) over: Instant,
    /// When the calm after it ended.
    pub(super) calm_until: Instant,
}

/// What the ensemble itself did, as its own clients saw it.
pub(super) struct Ensembles<'a> {
    committed: &'a Committed,
    /// When a write was acknowledged to whoever made it at a voter.
    known: HashMap<Zxid, Instant>,
}

impl<'a> Ensembles<'a> {
    pub(super) fn new(committed: &'a Committed, far: &[History]) -> Self {
        let mut known = HashMap::new();
        for history in far {
            known.extend(
                writes(history)
                    .into_iter()
                    .map(|write| (write.zxid, write.at)),
            );
        }
        Self { committed, known }
    }

    /// When the first write after the loss was acknowledged at a voter.
    fn writes_again(&self, loss: &Loss) -> Option<Instant> {
        first_of_next_epoch(self.known.iter().map(|(zxid, at)| (*zxid, *at)), loss)
    }
}

/// An acknowledged write.
struct Write {
    at: Instant,
    zxid: Zxid,
}

fn writes(history: &History) -> Vec<Write> {
    let mut asked: HashMap<Xid, bool> = HashMap::new();
    let mut writes = Vec::new();
    for entry in &history.entries {
        match &entry.what {
            What::Asked { xid, op } => {
                asked.insert(*xid, op.is_write());
            }
            What::Answered { xid, zxid, err, .. } => {
                let acknowledged = asked.remove(xid) == Some(true) && err.is_ok();
                writes.extend(acknowledged.then_some(Write {
                    at: entry.at,
                    zxid: *zxid,
                }));
            }
            _ => {}
        }
    }
    writes
}

/// The first write behind the loss of which it is sure that the lost leader had no part in it; where the
/// leader stayed the same, the first that was acknowledged.
fn first_of_next_epoch(
    writes: impl Iterator<Item = (Zxid, Instant)> + Clone,
    loss: &Loss,
) -> Option<Instant> {
    let before = writes.clone().filter(|(_, at)| *at < loss.began);
    let epoch = before.map(|(zxid, _)| zxid.epoch()).max().unwrap_or(0);
    let after = writes.filter(|(_, at)| *at >= loss.began && *at <= loss.calm_until);
    let newer = after.clone().filter(|(zxid, _)| zxid.epoch() > epoch);
    newer
        .map(|(_, at)| at)
        .min()
        .or_else(|| after.map(|(_, at)| at).min())
}

/// What the clients of one observer have felt.
#[derive(Debug, Default)]
pub(super) struct Figures {
    disconnects: f64,
    expired: f64,
    failed_reads: f64,
    unknown_writes: f64,
    acknowledged: f64,
    events: f64,
    late_events: f64,
    longest_event_s: f64,
    connects_per_second_max: f64,
    of_losses: Vec<OfLoss>,
}

/// What they have felt of one fault.
#[derive(Debug, Default, Clone, Copy)]
struct OfLoss {
    per_second_before: f64,
    per_second_during: f64,
    per_second_after: f64,
    longest_ms: f64,
    p999_ms: f64,
    writes_again_s: f64,
    writes_again_after_leader_s: f64,
    last_writer_s: f64,
}

/// A read that was answered in the end, if need be on another connection.
struct Read {
    wanted: Instant,
    answered: Instant,
}

impl Figures {
    pub(super) fn of(histories: &[History], losses: &[Loss], ensemble: &Ensembles<'_>) -> Self {
        let mut figures = Self::default();
        let mut reads = Vec::new();
        let mut writers: Vec<Vec<Write>> = Vec::new();
        let mut connects = Vec::new();
        for history in histories {
            figures.count_disconnects(history);
            figures.count_events(history, ensemble);
            connects.extend(connects_of(history));
            if history.client.starts_with("reader") {
                reads.extend(reads_of(history));
            } else {
                writers.push(writes(history));
            }
        }
        figures.acknowledged = writers.iter().map(Vec::len).sum::<usize>() as f64;
        let began = losses.first().map(|loss| loss.began);
        // The crowd's own arrival is no storm.
        connects.retain(|at| began.is_some_and(|began| *at >= began));
        figures.connects_per_second_max = most_in_a_second(connects);
        let of_losses = losses
            .iter()
            .map(|loss| of_loss(loss, &reads, &writers, ensemble));
        figures.of_losses = of_losses.collect();
        figures
    }

    fn count_disconnects(&mut self, history: &History) {
        for lost in history.disconnects() {
            match lost.loss {
                Ending::Expired => self.expired += 1.0,
                _ => self.disconnects += 1.0,
            }
            self.failed_reads += lost.unanswered.iter().filter(|op| op.is_read()).count() as f64;
            self.unknown_writes += lost.unanswered.iter().filter(|op| op.is_write()).count() as f64;
        }
    }

    /// How long after the change that it tells of each event came.
    fn count_events(&mut self, history: &History, ensemble: &Ensembles<'_>) {
        let mut asked: HashMap<Xid, &Op> = HashMap::new();
        let mut left: HashMap<(Path, bool), Zxid> = HashMap::new();
        for entry in &history.entries {
            match &entry.what {
                What::Asked { xid, op } => drop(asked.insert(*xid, op)),
                What::Answered { xid, zxid, err, .. } => {
                    if let Some((path, children)) =
                        asked.remove(xid).and_then(|op| watched(op, *err))
                    {
                        left.entry((path, children)).or_insert(*zxid);
                    }
                }
                What::Fired { kind, path, .. } => {
                    let of_children = *kind == EventType::NodeChildrenChanged.code();
                    let tables = [left.remove(&(path.clone(), of_children)), None];
                    let deleted = *kind == EventType::NodeDeleted.code();
                    let other = deleted
                        .then(|| left.remove(&(path.clone(), true)))
                        .flatten();
                    if let Some(since) = tables[0].or(other) {
                        self.count_event(path, since, of_children, entry.at, ensemble);
                    }
                }
                What::Tried | What::Opened { .. } | What::Lost(_) => {}
            }
        }
    }

    fn count_event(
        &mut self,
        path: &Path,
        since: Zxid,
        of_children: bool,
        at: Instant,
        ensemble: &Ensembles<'_>,
    ) {
        self.events += 1.0;
        let is_told = |kind: EventType| match kind {
            EventType::NodeChildrenChanged => of_children,
            EventType::NodeDeleted => true,
            EventType::NodeCreated | EventType::NodeDataChanged => !of_children,
        };
        let changes = ensemble.committed.changes_after(path, since);
        let change = changes.iter().find(|change| is_told(change.kind));
        let Some(known) = change.and_then(|change| ensemble.known.get(&change.zxid)) else {
            return;
        };
        let late = at.saturating_duration_since(*known);
        self.longest_event_s = self.longest_event_s.max(late.as_secs_f64());
        if late > LATE {
            self.late_events += 1.0;
        }
    }
}

/// The znode, and whether its children are watched, if this request has left a watch.
fn watched(op: &Op, err: ErrorCode) -> Option<(Path, bool)> {
    match op {
        Op::GetData { path, watch: true } if err.is_ok() => Some((path.clone(), false)),
        Op::Exists { path, watch: true } => Some((path.clone(), false)),
        Op::GetChildren { path, watch: true } if err.is_ok() => Some((path.clone(), true)),
        _ => None,
    }
}

/// Every read that was answered, from when it was wanted: where a connection was lost in between, from when the
/// first read failed or the connection ended.
fn reads_of(history: &History) -> Vec<Read> {
    let mut asked: HashMap<Xid, Instant> = HashMap::new();
    let mut wanted_before: Option<Instant> = None;
    let mut reads = Vec::new();
    for entry in &history.entries {
        match &entry.what {
            What::Asked { xid, op } if op.is_read() => drop(asked.insert(*xid, entry.at)),
            What::Answered { xid, .. } => {
                if let Some(at) = asked.remove(xid) {
                    reads.push(Read {
                        wanted: wanted_before.take().unwrap_or(at),
                        answered: entry.at,
                    });
                }
            }
            What::Lost(ending) if *ending != Ending::Left => {
                let failed = asked.drain().map(|(_, at)| at).min();
                let wanted = failed.unwrap_or(entry.at);
                wanted_before = Some(wanted_before.map_or(wanted, |before| before.min(wanted)));
            }
            _ => {}
        }
    }
    reads
}

fn connects_of(history: &History) -> impl Iterator<Item = Instant> {
    let tries = history
        .entries
        .iter()
        .filter(|entry| entry.what == What::Tried);
    tries.map(|entry| entry.at)
}

fn most_in_a_second(mut instants: Vec<Instant>) -> f64 {
    instants.sort_unstable();
    let mut most = 0;
    for (index, from) in instants.iter().enumerate() {
        let until = *from + Duration::from_secs(1);
        most = most.max(instants[index..].partition_point(|at| *at < until));
    }
    most as f64
}

fn of_loss(
    loss: &Loss,
    reads: &[Read],
    writers: &[Vec<Write>],
    ensemble: &Ensembles<'_>,
) -> OfLoss {
    let per_second = |from: Instant, until: Instant| {
        let within = |read: &&Read| read.answered >= from && read.answered < until;
        reads.iter().filter(within).count() as f64 / until.duration_since(from).as_secs_f64()
    };
    // Whoever waited for a read that was wanted before the fault was over.
    let felt = |read: &&Read| read.answered >= loss.began && read.wanted < loss.over;
    let mut waits: Vec<Duration> = reads
        .iter()
        .filter(felt)
        .map(|read| read.answered.duration_since(read.wanted))
        .collect();
    waits.sort_unstable();
    let ms = |wait: Option<&Duration>| wait.map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3);
    let p999 = waits.len().saturating_sub(1 + waits.len() / 1_000);
    let since = |at: Option<Instant>, from: Instant| {
        at.map_or(f64::NAN, |at| {
            at.saturating_duration_since(from).as_secs_f64()
        })
    };
    let again = writers.iter().map(|writes| {
        let writes = writes.iter().map(|write| (write.zxid, write.at));
        first_of_next_epoch(writes, loss)
    });
    let again: Vec<Instant> = again.flatten().collect();
    let first = again.iter().min().copied();
    OfLoss {
        per_second_before: per_second(loss.calm_from, loss.began),
        per_second_during: per_second(loss.began, loss.over),
        per_second_after: per_second(loss.over, loss.calm_until),
        longest_ms: ms(waits.last()),
        p999_ms: ms(waits.get(p999)),
        writes_again_s: since(first, loss.began),
        writes_again_after_leader_s: since(
            first,
            ensemble.writes_again(loss).unwrap_or(loss.began),
        ),
        last_writer_s: since(again.iter().max().copied(), loss.began),
    }
}

/// The table.
pub(super) fn rows(java: &Figures, outpost: &Figures, losses: &[Loss]) -> Vec<Row> {
    let plain = |what: &str, of: fn(&Figures) -> f64| Row::plain(what, of(java), of(outpost));
    let mut rows = vec![
        plain("disconnects", |of| of.disconnects),
        plain("expired sessions", |of| of.expired),
        plain("failed reads", |of| of.failed_reads),
        plain("connects in one second, at most", |of| {
            of.connects_per_second_max
        }),
        plain("writes acknowledged", |of| of.acknowledged),
        plain("writes whose fate clients do not know", |of| {
            of.unknown_writes
        }),
        plain("watch events", |of| of.events),
        plain("watch events later than 1 s", |of| of.late_events),
        plain("longest wait for a watch event, s", |of| of.longest_event_s),
    ];
    for (number, loss) in losses.iter().enumerate() {
        let row = |what: &str, of: fn(&OfLoss) -> f64| {
            let what = format!("{}: {what}", number + 1);
            let [java, outpost] = [java, outpost].map(|figures| of(&figures.of_losses[number]));
            (what, java, outpost)
        };
        let less = |what: &str, of: fn(&OfLoss) -> f64| {
            let (what, java, outpost) = row(what, of);
            Row::less_is_better(&what, java, outpost)
        };
        let length = loss.over.duration_since(loss.began).as_secs_f64();
        let (_, java, outpost) = row("", |of| of.per_second_before);
        rows.push(Row::plain(
            &format!("{}: reads/s before", number + 1),
            java,
            outpost,
        ));
        let (_, java, outpost) = row("", |of| of.per_second_during);
        let what = format!("{}: reads/s during ({length:.1} s)", number + 1);
        rows.push(Row::more_is_better(&what, java, outpost));
        let (_, java, outpost) = row("", |of| of.per_second_after);
        rows.push(Row::plain(
            &format!("{}: reads/s after", number + 1),
            java,
            outpost,
        ));
        rows.push(less("longest wait for a read, ms", |of| of.longest_ms));
        rows.push(less("p99.9 of waits for a read, ms", |of| of.p999_ms));
        rows.push(less("first write works again after, s", |of| {
            of.writes_again_s
        }));
        rows.push(less("last writer writes again after, s", |of| {
            of.last_writer_s
        }));
        let (what, java, outpost) = row("first write, s after one at a voter", |of| {
            of.writes_again_after_leader_s
        });
        rows.push(Row::plain(&what, java, outpost));
    }
    rows
}
