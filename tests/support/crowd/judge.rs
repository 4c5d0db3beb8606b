//! A client's history held against what the ensemble has committed.
//!
//! Nothing here waits or measures: every rule is about the order of things and about zxids. A violation is a
//! sentence; whether a connection may be lost at all is for the suite to say, see [`History::disconnects`].

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use outpost_wire::proto::{AddWatchMode, CreateMode, EventType};
use outpost_wire::{ErrorCode, SessionId, Xid, Zxid};

use super::history::{Entry, History, Loss, Op, Path, Shown, What};
use crate::committed::{Change, Committed};

/// How many of a client's last entries stand behind a violation.
const CONTEXT_ENTRIES: usize = 14;

/// What must hold depends on how the server has learned what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// Transaction by transaction: watches are told of the first change, and of each one in its turn.
    FilledByTransactions,
    /// Perhaps by a snapshot: watches are told of the difference.
    PerhapsBySnapshots,
}

/// Something that must not be.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Who has seen it.
    pub client: String,
    /// When.
    pub at: Instant,
    /// What is wrong, and what had come before.
    pub text: String,
}

/// What of `history` contradicts `committed` or the promises P2 to P5; empty when all is well.
pub fn judge(history: &History, committed: &Committed, gaps: Gaps) -> Vec<Violation> {
    let mut judge = Judge {
        history,
        committed,
        gaps,
        now: 0,
        session: SessionId::NONE,
        last_zxid: Zxid::ZERO,
        asked: VecDeque::new(),
        watches: HashMap::new(),
        lasting: Vec::new(),
        told_twice: Vec::new(),
        set_again: false,
        violations: Vec::new(),
    };
    for (index, entry) in history.entries.iter().enumerate() {
        judge.now = index;
        judge.see(entry);
    }
    judge.violations
}

/// The two tables that a znode's one-shot watches stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Data,
    Child,
}

impl Kind {
    fn is_told(self, event: EventType) -> bool {
        match event {
            EventType::NodeDeleted => true,
            EventType::NodeChildrenChanged => self == Kind::Child,
            EventType::NodeCreated | EventType::NodeDataChanged => self == Kind::Data,
        }
    }
}

/// A one-shot watch that has not fired.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// The zxid of the reply that left it.
    since: Zxid,
    /// It was set again at least once, and is told of the difference.
    again: bool,
}

/// A watch that stays.
#[derive(Debug)]
struct Lasting {
    path: Path,
    mode: AddWatchMode,
    /// Everything up to here has been told.
    told: Zxid,
    /// Of the transaction behind `told` so many changes have been told already.
    told_of_next: usize,
}

struct Judge<'a> {
    history: &'a History,
    committed: &'a Committed,
    gaps: Gaps,
    now: usize,
    session: SessionId,
    last_zxid: Zxid,
    asked: VecDeque<(Xid, &'a Op)>,
    watches: HashMap<(Path, Kind), Left>,
    lasting: Vec<Lasting>,
    /// Paths with both watches when they were set again: setWatches tells of a deletion once for each.
    told_twice: Vec<Path>,
    /// Watches were set again and the answer has not come.
    set_again: bool,
    violations: Vec<Violation>,
}

impl<'a> Judge<'a> {
    fn see(&mut self, entry: &'a Entry) {
        match &entry.what {
            What::Tried => {}
            What::Opened { session, again } => self.opened(*session, *again),
            What::Asked { xid, op } => {
                self.asked.push_back((*xid, op));
                if *op == Op::SetWatches {
                    self.watches_are_set_again();
                }
            }
            What::Answered {
                xid,
                zxid,
                err,
                shown,
            } => self.answered(*xid, *zxid, *err, shown),
            What::Fired { kind, path, zxid } => self.fired(*kind, path, *zxid),
            What::Lost(loss) => self.lost(*loss),
        }
    }

    fn violation(&mut self, text: &str) {
        let from = (self.now + 1).saturating_sub(CONTEXT_ENTRIES);
        let context: Vec<String> = self.history.entries[from..=self.now]
            .iter()
            .map(|entry| format!("\n      {:?}", entry.what))
            .collect();
        self.violations.push(Violation {
            client: self.history.client.clone(),
            at: self.history.entries[self.now].at,
            text: format!("{text}\n    the last that happened:{}", context.concat()),
        });
    }

    fn opened(&mut self, session: SessionId, again: bool) {
        if again && session != self.session {
            self.violation("a session that was opened again has another id");
        }
        if !again {
            self.last_zxid = Zxid::ZERO;
        }
        self.session = session;
    }

    fn lost(&mut self, loss: Loss) {
        let mut missing = None;
        for (xid, op) in std::mem::take(&mut self.asked) {
            if !op.is_write() {
                continue;
            }
            let verdicts = self.committed.verdicts(self.session, xid);
            if verdicts.len() > 1 {
                self.violation(&format!("P5: {op:?} was committed more than once"));
            }
            match (verdicts, missing) {
                ([], _) => missing = missing.or(Some(op)),
                ([..], Some(earlier)) => {
                    let text =
                        format!("P2: {op:?} was committed, and {earlier:?} before it was not");
                    self.violation(&text);
                }
                ([..], None) => {}
            }
        }
        if loss == Loss::Expired {
            if self.committed.closed(self.session).is_none() {
                self.violation("a session is said to be gone that nobody has closed or expired");
            }
            self.watches.clear();
            self.lasting.clear();
        }
        self.set_again = false;
    }

    fn watches_are_set_again(&mut self) {
        self.set_again = true;
        self.told_twice.clear();
        for ((path, kind), left) in &mut self.watches {
            left.again = true;
            if *kind == Kind::Child {
                self.told_twice.push(path.clone());
            }
        }
        let watches = &self.watches;
        let has_data = |path: &Path| watches.contains_key(&(path.clone(), Kind::Data));
        self.told_twice.retain(has_data);
    }

    fn answered(&mut self, xid: Xid, zxid: Zxid, err: ErrorCode, shown: &Shown) {
        let index = self.asked.iter().position(|(asked, _)| *asked == xid);
        let Some((_, op)) = index.and_then(|index| self.asked.remove(index)) else {
            return self.violation("P2: a reply that nobody has asked for");
        };
        // Out of their turn come only pings.
        let overtaken = |(_, op): &(Xid, &Op)| **op != Op::Ping;
        if *op != Op::Ping && self.asked.iter().take(index.unwrap_or(0)).any(overtaken) {
            self.violation("P2: a reply comes before that to an earlier request");
        }
        if zxid < self.last_zxid {
            let last = self.last_zxid;
            self.violation(&format!(
                "P4: the session is taken back from {last} to {zxid}"
            ));
        }
        self.last_zxid = self.last_zxid.max(zxid);
        if zxid > self.committed.last() {
            self.violation("P1: a reply from beyond what was committed");
        }
        if let Some(closed) = self.committed.closed(self.session)
            && zxid >= closed
        {
            self.violation("P7: an answer to a session whose end is already known here");
        }
        if *op == Op::SetWatches {
            self.set_again = false;
            for lasting in &mut self.lasting {
                (lasting.told, lasting.told_of_next) = (zxid, 0);
            }
        }
        self.everything_until_was_told(zxid);
        if op.is_write() {
            self.write(xid, op, zxid, err, shown);
        } else {
            self.read(op, zxid, err, shown);
            self.leave(op, zxid, err);
        }
    }

    /// P5: the answer is that of the request's own transaction.
    fn write(&mut self, xid: Xid, op: &Op, zxid: Zxid, err: ErrorCode, shown: &Shown) {
        let verdicts = self.committed.verdicts(self.session, xid);
        let [verdict] = verdicts else {
            let text = format!("P5: {op:?} was answered, and committed as {verdicts:?}");
            return self.violation(&text);
        };
        // Why a multi failed stands in its results, not in the header.
        let is_multi = matches!(op, Op::SetBoth { .. });
        if is_multi && !verdict.err.is_ok() && verdict.zxid == zxid {
            return;
        }
        if verdict.zxid != zxid || verdict.err != err {
            let text = format!("P5: {op:?} was committed as {verdict:?}, not as answered");
            return self.violation(&text);
        }
        if err.is_ok() {
            self.written(op, zxid, shown);
        }
    }

    fn written(&mut self, op: &Op, zxid: Zxid, shown: &Shown) {
        match op {
            Op::SetData { path, .. } => self.shows_the_tree(path, zxid, shown),
            Op::Create { path, mode } => {
                let created = shown.path.clone().unwrap_or_else(|| "".into());
                let sequential = matches!(
                    mode,
                    CreateMode::PersistentSequential | CreateMode::EphemeralSequential
                );
                let is_named = created == *path || sequential && created.starts_with(&**path);
                let state = self.committed.state(&created, zxid);
                if !is_named || state.is_none_or(|state| state.czxid != zxid) {
                    self.violation(&format!("P5: {created} is not what {op:?} has created"));
                }
            }
            Op::Delete { path } if self.committed.state(path, zxid).is_some() => {
                self.violation(&format!("P5: {path} is there after {op:?}"));
            }
            _ => {}
        }
    }

    /// P1: a read shows the tree exactly as it was at the reply's zxid.
    fn read(&mut self, op: &Op, zxid: Zxid, err: ErrorCode, shown: &Shown) {
        let Some(path) = op.path().filter(|_| op.is_read()) else {
            if !err.is_ok() {
                self.violation(&format!("{op:?} fails with {err:?}"));
            }
            return;
        };
        match err {
            ErrorCode::OK => self.shows_the_tree(path, zxid, shown),
            ErrorCode::NO_NODE => {
                if self.committed.state(path, zxid).is_some() {
                    self.violation(&format!("P1: {path} is there at {zxid}"));
                }
            }
            _ => self.violation(&format!("{op:?} fails with {err:?}")),
        }
    }

    fn shows_the_tree(&mut self, path: &Path, zxid: Zxid, shown: &Shown) {
        let Some(state) = self.committed.state(path, zxid) else {
            return self.violation(&format!("P1: {path} is not there at {zxid}"));
        };
        let Some(stat) = &shown.stat else {
            return self.violation("a reply without a Stat");
        };
        let as_shown = (stat.czxid, stat.mzxid, stat.pzxid, stat.version);
        if as_shown != (state.czxid, state.mzxid, state.pzxid, state.version) {
            self.violation(&format!("P1: at {zxid} the znode is {state:?}"));
        }
    }

    fn leave(&mut self, op: &Op, zxid: Zxid, err: ErrorCode) {
        let there = err.is_ok();
        let (path, kind) = match op {
            Op::GetData { path, watch: true } if there => (path, Kind::Data),
            Op::Exists { path, watch: true } => (path, Kind::Data),
            Op::GetChildren { path, watch: true } if there => (path, Kind::Child),
            Op::AddWatch { path, mode } if there => {
                let (path, mode) = (path.clone(), *mode);
                return self.lasting.push(Lasting {
                    path,
                    mode,
                    told: zxid,
                    told_of_next: 0,
                });
            }
            _ => return,
        };
        let left = Left {
            since: zxid,
            again: false,
        };
        // One that is there already is not left twice.
        self.watches.entry((path.clone(), kind)).or_insert(left);
    }

    /// P3: no watch has slept through what a reply at `zxid` shows.
    fn everything_until_was_told(&mut self, zxid: Zxid) {
        // What setWatches tells may come behind the answers to what was asked before it.
        if self.set_again {
            return;
        }
        let mut slept: Vec<(Path, Kind)> = Vec::new();
        for ((path, kind), left) in &self.watches {
            if self.must_have_fired(path, *kind, *left, zxid) {
                slept.push((path.clone(), *kind));
            }
        }
        for (path, kind) in slept {
            self.watches.remove(&(path.clone(), kind));
            self.violation(&format!(
                "P3: the {kind:?} watch of {path} was not told before a reply at {zxid}"
            ));
        }
        if self.gaps == Gaps::FilledByTransactions {
            self.lasting_watches_are_told_until(zxid);
        }
    }

    fn must_have_fired(&self, path: &Path, kind: Kind, left: Left, zxid: Zxid) -> bool {
        let changes = self.committed.changes_after(path, left.since);
        let mut changes = changes.iter().take_while(|change| change.zxid <= zxid);
        if !changes.any(|change| kind.is_told(change.kind)) {
            return false;
        }
        if !left.again && self.gaps == Gaps::FilledByTransactions {
            return true;
        }
        let [before, now] = [left.since, zxid].map(|zxid| self.committed.state(path, zxid));
        match (before, now) {
            (None, None) => false,
            (Some(before), Some(now)) => match kind {
                Kind::Data => before.mzxid != now.mzxid,
                Kind::Child => before.pzxid != now.pzxid,
            },
            _ => true,
        }
    }

    fn lasting_watches_are_told_until(&mut self, zxid: Zxid) {
        let mut missing = Vec::new();
        for lasting in &mut self.lasting {
            let changes = lasting.changes(self.committed);
            let due: Vec<&Change> = changes.take_while(|change| change.zxid <= zxid).collect();
            if let Some(first) = due.get(lasting.told_of_next) {
                missing.push(format!(
                    "P3: a lasting watch of {} was not told of {first:?} before a reply at {zxid}",
                    lasting.path
                ));
            }
            lasting.told = lasting.told.max(zxid);
            lasting.told_of_next = lasting.told_of_next.saturating_sub(due.len());
        }
        missing.iter().for_each(|text| self.violation(text));
    }

    fn fired(&mut self, kind: i32, path: &Path, zxid: Option<Zxid>) {
        let Some(kind) = EventType::from_code(kind) else {
            return self.violation("an event of an unknown kind");
        };
        let is_told = |table: &Kind| table.is_told(kind);
        let tables = [Kind::Data, Kind::Child].into_iter().filter(is_told);
        let fired: Vec<(Kind, Left)> = tables
            .filter_map(|table| Some((table, self.watches.remove(&(path.clone(), table))?)))
            .collect();
        let lasting = self.lasting_fired(kind, path, zxid);
        if fired.is_empty() && !lasting {
            let again = self.told_twice.iter().position(|twice| twice == path);
            match again.filter(|_| kind == EventType::NodeDeleted) {
                Some(index) => drop(self.told_twice.swap_remove(index)),
                None => self.violation("P3: no watch explains the event"),
            }
        }
        let exact = self.gaps == Gaps::FilledByTransactions;
        // A deletion goes to both watches at once, and only one of them need have been told first.
        let explained = fired
            .iter()
            .any(|(table, left)| self.explains(*table, *left, path, kind, zxid, exact));
        if !fired.is_empty() && !explained {
            self.violation("P3: the event is not of the change that came first");
        }
    }

    /// Whether what happened since the watch was left brings about this event.
    fn explains(
        &self,
        table: Kind,
        left: Left,
        path: &Path,
        kind: EventType,
        zxid: Option<Zxid>,
        exact: bool,
    ) -> bool {
        let changes = self.committed.changes_after(path, left.since);
        let mut changes = changes.iter().filter(|change| table.is_told(change.kind));
        match changes.next() {
            None => false,
            // Which kind setWatches tells of depends on the release and on what has come in between.
            Some(_) if left.again || !exact => true,
            Some(first) => first.kind == kind && zxid.is_none_or(|zxid| zxid == first.zxid),
        }
    }

    /// Whether a lasting watch explains the event; its next one then, where events are told one by one.
    fn lasting_fired(&mut self, kind: EventType, path: &Path, zxid: Option<Zxid>) -> bool {
        let mut explained = false;
        let mut wrong = Vec::new();
        for lasting in &mut self.lasting {
            if !lasting.covers(path, kind) {
                continue;
            }
            explained = true;
            if self.gaps == Gaps::PerhapsBySnapshots {
                continue;
            }
            let next = lasting.changes(self.committed).nth(lasting.told_of_next);
            let fits = next.is_some_and(|next| {
                next.kind == kind
                    && *next.path == **path
                    && zxid.is_none_or(|zxid| zxid == next.zxid)
            });
            if !fits {
                let path = &lasting.path;
                wrong.push(format!(
                    "P3: a lasting watch of {path} is to be told of {next:?} next"
                ));
            }
            lasting.told_of_next += 1;
        }
        wrong.iter().for_each(|text| self.violation(text));
        explained
    }
}

impl Lasting {
    fn covers(&self, path: &Path, kind: EventType) -> bool {
        match self.mode {
            AddWatchMode::Persistent => path == &self.path,
            AddWatchMode::PersistentRecursive => {
                let below = path.strip_prefix(&*self.path);
                kind != EventType::NodeChildrenChanged
                    && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// What it is to be told of what comes behind `told`, in order.
    fn changes<'c>(&self, committed: &'c Committed) -> Box<dyn Iterator<Item = &'c Change> + 'c> {
        match self.mode {
            AddWatchMode::Persistent => {
                Box::new(committed.changes_after(&self.path, self.told).iter())
            }
            AddWatchMode::PersistentRecursive => {
                let below = committed.changes_below(&self.path, self.told);
                Box::new(below.collect::<Vec<_>>().into_iter())
            }
        }
    }
}

#[cfg(test)]
mod tests;
