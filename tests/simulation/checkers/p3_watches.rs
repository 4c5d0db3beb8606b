//! P3, watch before data: a client hears of a change before it reads it, once, and of all that it watches.
//!
//! What a connection is sent stands in one row, and so does what is committed. A reply's zxid says how far the
//! observer was when it was written, and a watch is left where its request's reply stands. So both rows together
//! decide which events belong where in the row that the client sees, and the checker demands exactly those:
//!
//! * Before a reply that shows zxid z stand all events of all transactions up to z that the connection's watches
//!   see, in the order of the transactions and of the changes inside each; behind it, none of them. (A change of a
//!   znode triggers watches of its data and recursive ones above it; of its list of children, those of its parent;
//!   whoever stands in both tables of a deleted znode is told once.)
//! * A watch that fires once is gone after it has; persistent ones stay; removeWatches takes away what it says,
//!   and says NoWatcher exactly if there was nothing.
//! * setWatches is answered behind one event for each watch whose znode has changed since the client's zxid, in
//!   the order of its lists, each without a zxid; the others are left.
//! * Where a snapshot has taken over, the difference of the two trees fires (`difference.rs`), before any reply that
//!   shows the new one; and no reply shows a state in between, which the mirror never had.
//! * Events carry the zxid of their transaction; those of a take-over one that lies in it.
//!
//! Whether an event may be left out because its reader may not read the znode is known only for ACLs that treat
//! everybody alike; others leave it open.
//!
//! Events that are owed when the history ends are not missed: only a reply proves that the observer was that far.
//! A run therefore ends with a request on every connection.

use std::collections::VecDeque;

use bstr::{BString, ByteSlice};
use outpost_wire::proto::EventType;
use outpost_wire::{ErrorCode, Zxid};

use super::difference::Difference;
use super::model::{self, Model};
use super::transcript::{
    Connection, Event, Item, Reply, Request, TakeOver, Transcript, Verdict, Violation,
};
use super::watcher::{self, Watcher};
use crate::history::Request as Asked;

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    transcript.connections.iter().try_for_each(|connection| {
        let mut row = Row::new(transcript, connection);
        connection.items.iter().try_for_each(|item| row.next(item))
    })
}

/// What has to come next.
#[derive(Debug)]
enum Owed {
    Event {
        kind: EventType,
        path: BString,
        zxid: Zxid,
        /// Where the transaction was committed.
        record: usize,
        /// It may be left out.
        unsure: bool,
    },
    Difference(Difference),
}

/// What is owed, and an event that has come.
enum Meeting {
    /// It is what is owed: all of it, or part.
    Fires { whole: bool },
    /// It is something else, and what is owed has come or may be left out.
    NothingMissing,
    /// It is something else, and this should have come before it.
    Missing { what: String, record: usize },
}

impl Owed {
    fn meet(&mut self, event: &Event<'_>) -> Meeting {
        let (is_it, whole) = match self {
            Owed::Difference(difference) => (difference.takes(event), false),
            Owed::Event {
                kind, path, zxid, ..
            } => {
                let owed = (*kind, &*path, *zxid);
                (owed == (event.kind, event.path, event.zxid), true)
            }
        };
        if is_it {
            return Meeting::Fires { whole };
        }
        self.missing()
    }

    fn missing(&self) -> Meeting {
        match self {
            Owed::Event { unsure: true, .. } => Meeting::NothingMissing,
            Owed::Event {
                kind,
                path,
                zxid,
                record,
                ..
            } => Meeting::Missing {
                what: format!("{kind:?} of {path} at {zxid}"),
                record: *record,
            },
            Owed::Difference(difference) => match difference.fault() {
                None => Meeting::NothingMissing,
                Some(what) => Meeting::Missing {
                    what,
                    record: difference.record,
                },
            },
        }
    }
}

/// What one connection is sent.
struct Row<'t, 'h> {
    model: &'t Model,
    connection: &'t Connection<'h>,
    take_overs: &'t [TakeOver],
    watcher: Watcher,
    /// Everything up to here has fired; what has not come of it is owed.
    fired: Zxid,
    owed: VecDeque<Owed>,
    /// Events that only a setWatches accounts for.
    missed: Vec<Event<'h>>,
}

impl<'t, 'h> Row<'t, 'h> {
    fn new(transcript: &'t Transcript<'h>, connection: &'t Connection<'h>) -> Row<'t, 'h> {
        Row {
            model: &transcript.model,
            connection,
            take_overs: &transcript.take_overs,
            watcher: Watcher::default(),
            fired: Zxid::ZERO,
            owed: VecDeque::new(),
            missed: Vec::new(),
        }
    }

    fn next(&mut self, item: &Item<'h>) -> Verdict {
        match item {
            Item::Request(_) => Ok(()),
            Item::Event(event) if event.zxid <= Zxid::ZERO => {
                self.missed.push(*event);
                Ok(())
            }
            Item::Event(event) => self.event(event),
            Item::Reply(reply) => self.reply(reply),
        }
    }

    fn event(&mut self, event: &Event<'h>) -> Verdict {
        self.nothing_missed(event.moment.record)?;
        let reached = self.reached_by(event.zxid);
        self.fire_to(reached, event.moment.record)?;
        while let Some(owed) = self.owed.front_mut() {
            match owed.meet(event) {
                Meeting::Fires { whole } => {
                    if whole {
                        self.owed.pop_front();
                    }
                    return Ok(());
                }
                Meeting::NothingMissing => drop(self.owed.pop_front()),
                Meeting::Missing { what, record } => {
                    let message = format!("{event:?} comes, but first {what}");
                    return Err(self.violation(&message, &[record, event.moment.record]));
                }
            }
        }
        let message = format!("nothing is owed, and {event:?} comes");
        Err(self.violation(&message, &[event.moment.record]))
    }

    fn reply(&mut self, reply: &Reply<'h>) -> Verdict {
        let request = self.connection.request_of(reply).copied();
        let sets = request.filter(|r| matches!(r.asked, Asked::SetWatches { .. }));
        if sets.is_none() {
            self.nothing_missed(reply.moment.record)?;
        }
        if !reply.tells_zxid() {
            return Ok(());
        }
        self.fire_to(reply.zxid, reply.moment.record)?;
        self.nothing_owed(reply)?;
        match request {
            Some(request) if sets.is_some() => self.set_watches(&request, reply),
            Some(request) => self.leave(&request, reply),
            None => Ok(()),
        }
    }

    /// An event of a take-over means that all of it has fired.
    fn reached_by(&self, zxid: Zxid) -> Zxid {
        let within = self
            .take_overs
            .iter()
            .find(|take| self.fired <= take.from && take.from < zxid && zxid <= take.to);
        within.map_or(zxid, |take| take.to)
    }

    /// Fires everything up to `zxid`.
    fn fire_to(&mut self, zxid: Zxid, record: usize) -> Verdict {
        if self.watcher.is_idle() {
            self.fired = self.fired.max(zxid);
            return Ok(());
        }
        while let Some(take_over) = self.next_take_over(zxid) {
            self.follow_to(take_over.from);
            if zxid < take_over.to {
                let message = format!(
                    "{zxid} is shown, and the mirror went from {} to {} at once",
                    take_over.from, take_over.to
                );
                let records = [take_over.moment.record, record];
                return Err(self.violation(&message, &records));
            }
            let difference = Difference::new(self.model, take_over, &mut self.watcher);
            self.owed.push_back(Owed::Difference(difference));
            self.fired = take_over.to;
        }
        self.follow_to(zxid);
        Ok(())
    }

    fn next_take_over(&self, zxid: Zxid) -> Option<TakeOver> {
        let mut next = self.take_overs.iter().filter(|take| {
            take.moment.record > self.connection.began.record
                && self.fired <= take.from
                && take.from < zxid
                && take.from < take.to
        });
        next.next().copied()
    }

    /// Fires one transaction after the other.
    fn follow_to(&mut self, zxid: Zxid) {
        if zxid <= self.fired {
            return;
        }
        for step in self.model.steps_between(self.fired, zxid) {
            for trigger in &step.triggers {
                let may_read = model::everybody_reads(&trigger.acl);
                if self.watcher.sees(trigger) && may_read != Some(false) {
                    self.owed.push_back(Owed::Event {
                        kind: trigger.kind,
                        path: trigger.path.clone(),
                        zxid: step.header.zxid,
                        record: step.record,
                        unsure: may_read.is_none(),
                    });
                }
            }
        }
        self.fired = zxid;
    }

    /// All that this reply shows has been told.
    fn nothing_owed(&mut self, reply: &Reply<'h>) -> Verdict {
        while let Some(owed) = self.owed.pop_front() {
            if let Meeting::Missing { what, record } = owed.missing() {
                let message = format!("a reply shows {}, but first {what}", reply.zxid);
                return Err(self.violation(&message, &[record, reply.moment.record]));
            }
        }
        Ok(())
    }

    fn nothing_missed(&self, record: usize) -> Verdict {
        match self.missed.first() {
            None => Ok(()),
            Some(event) => {
                let message = format!("no setWatches accounts for {event:?}");
                Err(self.violation(&message, &[event.moment.record, record]))
            }
        }
    }

    fn set_watches(&mut self, request: &Request<'h>, reply: &Reply<'h>) -> Verdict {
        let told: Vec<(EventType, BString)> = std::mem::take(&mut self.missed)
            .iter()
            .map(|event| (event.kind, event.path.clone()))
            .collect();
        let missed = match reply.error {
            ErrorCode::OK => self.watcher.set(request.asked, self.model, reply.zxid),
            _ => Vec::new(),
        };
        if told == missed {
            return Ok(());
        }
        let message = format!("setWatches tells {told:?}, and {missed:?} was missed");
        let records = [request.moment.record, reply.moment.record];
        Err(self.violation(&message, &records))
    }

    /// Leaves or takes away the watches of a request where its reply stands.
    fn leave(&mut self, request: &Request<'h>, reply: &Reply<'h>) -> Verdict {
        match (request.asked, reply.error) {
            (Asked::RemoveWatches { path, kind }, ErrorCode::OK | ErrorCode::NO_WATCHER) => {
                let flags = watcher::flags_of(*kind);
                let had = self.watcher.remove(path.as_bstr(), flags);
                if had == reply.error.is_ok() {
                    return Ok(());
                }
                let message = format!("removing {kind:?} of {path} is told {}", reply.error);
                let records = [request.moment.record, reply.moment.record];
                Err(self.violation(&message, &records))
            }
            (asked, ErrorCode::OK) => {
                self.watcher.leave_for(asked, true);
                Ok(())
            }
            (asked @ Asked::Exists { .. }, ErrorCode::NO_NODE) => {
                self.watcher.leave_for(asked, false);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn violation(&self, message: &str, records: &[usize]) -> Violation {
        let message = format!("{:?}: {message}", self.connection.conn);
        Violation::new("P3", message, records)
    }
}

#[cfg(test)]
mod tests {
    use bstr::BString;
    use outpost_wire::proto::{AddWatchMode, EventType, WatcherType};
    use outpost_wire::txn::Txn;
    use outpost_wire::{ErrorCode, OpCode, Zxid};

    use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};

    use crate::checkers::specimen::{
        Client, OTHER, Story, create, data, delete, exists, get, list, multi, set, set_data, stat,
    };
    use crate::history::{AtLeader, AtObserver, Closer, Record, Reply, Request, SyncKind, What};

    /// A client, and `/a` and `/b` without data.
    fn begin() -> (Story, Client, Zxid, Zxid) {
        let mut story = Story::new();
        let c = story.client();
        let (a, b) = (story.plant("/a"), story.plant("/b"));
        (story, c, a, b)
    }

    /// A read that leaves a data watch on a znode that was never changed.
    fn watch(story: &mut Story, c: Client, xid: i32, path: &str, made: Zxid) -> usize {
        let there = data(b"", stat(made, made, 0, 0));
        story.ask(c, xid, get(path, true), story.last, there)
    }

    fn add(story: &mut Story, c: Client, xid: i32, path: &str, mode: AddWatchMode) -> usize {
        let path = BString::from(path);
        let zxid = story.last;
        story.ask(
            c,
            xid,
            Request::AddWatch { path, mode },
            zxid,
            Reply::Nothing,
        )
    }

    fn is_commit(record: &Record, zxid: Zxid) -> bool {
        matches!(&record.what, What::Leader(AtLeader::Committed(txn)) if txn.zxid == zxid)
    }

    #[test]
    fn an_event_before_the_reply_that_shows_its_change_passes_and_nothing_else_does() {
        let (mut story, c, a, _) = begin();
        watch(&mut story, c, 1, "/a", a);
        let changed = story.touch("/a", b"x", 1);
        story.send(c, -2, Request::Ping);
        let event = story.event(c, NodeDataChanged, "/a", changed);
        let reply = story.reply(c, -2, changed, Reply::Nothing);
        story.holds();
        story.without(event).breaks("P3");
        story.twice(event).breaks("P3");
        story.swapped(event, reply).breaks("P3");
        let another = |kind, path| {
            story.bent(|records| {
                let mut other = story.clone();
                let place = other.event(c, kind, path, changed);
                records[event] = other.records[place].clone();
            })
        };
        another(NodeDeleted, "/a").breaks("P3");
        another(NodeDataChanged, "/b").breaks("P3");
    }

    #[test]
    fn a_change_before_the_watch_is_left_fires_nothing() {
        let (mut story, c, a, _) = begin();
        let changed = story.touch("/a", b"x", 1);
        let there = data(b"x", stat(a, changed, 1, 1));
        story.ask(c, 1, get("/a", true), changed, there);
        let end = story.ping(c, changed);
        story.holds();
        let spurious = story.bent(|records| {
            let mut other = story.clone();
            let place = other.event(c, NodeDataChanged, "/a", changed);
            records.insert(end, other.records[place].clone());
        });
        spurious.breaks("P3");
    }

    #[test]
    fn a_watch_that_fires_once_does_so_once() {
        let (mut story, c, a, _) = begin();
        watch(&mut story, c, 1, "/a", a);
        let first = story.touch("/a", b"x", 1);
        story.event(c, NodeDataChanged, "/a", first);
        let second = story.touch("/a", b"y", 2);
        let mut again = story.clone();
        story.ping(c, second);
        story.holds();
        again.event(c, NodeDataChanged, "/a", second);
        again.breaks("P3");
    }

    #[test]
    fn a_read_that_leaves_no_watch_fires_nothing() {
        let (mut story, c, a, _) = begin();
        story.ask(c, 1, get("/a", false), a, data(b"", stat(a, a, 0, 0)));
        let changed = story.touch("/a", b"x", 1);
        let mut told = story.clone();
        story.ping(c, changed);
        story.holds();
        told.event(c, NodeDataChanged, "/a", changed);
        told.breaks("P3");
    }

    #[test]
    fn events_of_several_changes_come_in_their_order() {
        let (mut story, c, a, b) = begin();
        watch(&mut story, c, 1, "/a", a);
        watch(&mut story, c, 2, "/b", b);
        let zxid = story.commit(OTHER, 0, multi(vec![set("/b", b"", 1), set("/a", b"", 1)]));
        let first = story.event(c, NodeDataChanged, "/b", zxid);
        let second = story.event(c, NodeDataChanged, "/a", zxid);
        story.ping(c, zxid);
        story.holds();
        story.swapped(first, second).breaks("P3");
    }

    #[test]
    fn a_watch_for_what_is_not_there_sees_it_come() {
        let (mut story, c, ..) = begin();
        story.send(c, 1, exists("/new", true));
        let zxid = story.last;
        story.fail(c, 1, zxid, ErrorCode::NO_NODE);
        let made = story.plant("/new");
        let event = story.event(c, NodeCreated, "/new", made);
        story.ping(c, made);
        story.holds();
        story.without(event).breaks("P3");
    }

    #[test]
    fn whoever_watches_data_and_children_of_a_deleted_znode_is_told_once() {
        let (mut story, c, a, _) = begin();
        watch(&mut story, c, 1, "/a", a);
        let names = Vec::new();
        let stat = stat(a, a, 0, 0);
        let zxid = story.last;
        story.ask(
            c,
            2,
            list("/a", true),
            zxid,
            Reply::Children { names, stat },
        );
        let gone = story.commit(OTHER, 0, delete("/a"));
        let event = story.event(c, NodeDeleted, "/a", gone);
        story.ping(c, gone);
        story.holds();
        story.twice(event).breaks("P3");
    }

    #[test]
    fn recursive_and_persistent_watches_see_what_they_should() {
        let (mut story, c, ..) = begin();
        add(&mut story, c, 1, "/a", AddWatchMode::PersistentRecursive);
        add(&mut story, c, 2, "/b", AddWatchMode::Persistent);
        let below = story.plant("/a/x");
        story.event(c, NodeCreated, "/a/x", below);
        let child = story.plant("/b/x");
        let children = story.event(c, NodeChildrenChanged, "/b", child);
        let grand = story.plant("/b/x/y");
        let set = story.touch("/a/x", b"1", 1);
        story.event(c, NodeDataChanged, "/a/x", set);
        let gone = story.commit(OTHER, 0, delete("/a/x"));
        let last = story.event(c, NodeDeleted, "/a/x", gone);
        story.ping(c, gone);
        story.holds();
        for place in [children, last] {
            story.without(place).breaks("P3");
            story.twice(place).breaks("P3");
        }
        let more = |kind, path: &str, zxid| {
            story.bent(|records| {
                let mut other = story.clone();
                let event = other.event(c, kind, path, zxid);
                let place = records.iter().position(|record| is_commit(record, zxid));
                let behind = place.expect("committed") + 1;
                records.insert(behind, other.records[event].clone());
            })
        };
        more(NodeChildrenChanged, "/a", below).breaks("P3");
        more(NodeCreated, "/b/x/y", grand).breaks("P3");
        more(NodeChildrenChanged, "/b", grand).breaks("P3");
    }

    #[test]
    fn a_watch_that_is_removed_is_silent_and_one_that_is_not_there_is_told_so() {
        let (mut story, c, a, _) = begin();
        watch(&mut story, c, 1, "/a", a);
        let remove = Request::RemoveWatches {
            path: "/a".into(),
            kind: WatcherType::Data,
        };
        let zxid = story.last;
        story.ask(c, 2, remove.clone(), zxid, Reply::Nothing);
        let mut lied = story.clone();
        story.send(c, 3, remove.clone());
        story.fail(c, 3, zxid, ErrorCode::NO_WATCHER);
        let changed = story.touch("/a", b"x", 1);
        let mut fired = story.clone();
        story.ping(c, changed);
        story.holds();
        fired.event(c, NodeDataChanged, "/a", changed);
        fired.breaks("P3");
        lied.ask(c, 3, remove, zxid, Reply::Nothing);
        lied.breaks("P3");
    }

    #[test]
    fn the_writer_hears_of_its_own_write_before_the_answer() {
        let (mut story, c, a, _) = begin();
        watch(&mut story, c, 1, "/a", a);
        story.send(c, 2, set_data("/a", b"x"));
        story.forward(c, 2, OpCode::SetData);
        let written = story.commit(c.session, 2, set("/a", b"x", 1));
        let event = story.event(c, NodeDataChanged, "/a", written);
        let reply = story.reply(c, 2, written, Reply::Stat(stat(a, written, 1, 1)));
        story.holds();
        story.swapped(event, reply).breaks("P3");
        story.without(event).breaks("P3");
    }

    #[test]
    fn a_session_that_ends_fires_for_each_of_its_ephemerals() {
        let (mut story, c, ..) = begin();
        story.commit(OTHER, 0, Txn::CreateSession { timeout_ms: 1_000 });
        let mut ephemeral = create("/e", b"");
        if let Txn::Create(create) = &mut ephemeral {
            create.kind = outpost_wire::txn::CreateKind::Ephemeral;
        }
        story.commit(OTHER, 0, ephemeral);
        add(&mut story, c, 1, "/e", AddWatchMode::Persistent);
        let paths = Some(vec![bstr::BStr::new("/e")]);
        let zxid = story.commit(OTHER, 0, Txn::CloseSession { paths });
        let event = story.event(c, NodeDeleted, "/e", zxid);
        story.ping(c, zxid);
        story.holds();
        story.without(event).breaks("P3");
    }

    /// A client that was away and brings its watches along.
    fn returning() -> (Story, Client, Zxid) {
        let (mut story, c, ..) = begin();
        for path in ["/c", "/d", "/d/x"] {
            story.plant(path);
        }
        let seen = story.last;
        story.ping(c, seen);
        story.close(c, Closer::Client);
        story.touch("/a", b"x", 1);
        story.plant("/new");
        story.commit(OTHER, 0, delete("/c"));
        story.commit(OTHER, 0, delete("/d/x"));
        let again = story.reopen(c.session, seen);
        (story, again, seen)
    }

    fn bring(relative_zxid: Zxid) -> Request {
        let paths = |paths: &[&str]| paths.iter().map(|&path| BString::from(path)).collect();
        Request::SetWatches {
            relative_zxid,
            data: paths(&["/a", "/b", "/c"]),
            exist: paths(&["/new", "/never"]),
            child: paths(&["/d", "/b"]),
            persistent: paths(&["/a"]),
            recursive: Vec::new(),
        }
    }

    #[test]
    fn what_was_missed_comes_before_set_watches_is_answered_and_the_rest_is_left() {
        let (mut story, c, seen) = returning();
        let untold = Zxid(-1);
        story.send(c, -8, bring(seen));
        let first = story.event(c, NodeDataChanged, "/a", untold);
        story.event(c, NodeDeleted, "/c", untold);
        story.event(c, NodeCreated, "/new", untold);
        let missed = story.event(c, NodeChildrenChanged, "/d", untold);
        let zxid = story.last;
        let reply = story.reply(c, -8, zxid, Reply::Nothing);
        // What did not fire is in place.
        let set = story.touch("/b", b"x", 1);
        let left = story.event(c, NodeDataChanged, "/b", set);
        let child = story.plant("/b/x");
        story.event(c, NodeChildrenChanged, "/b", child);
        let set = story.touch("/a", b"y", 2);
        story.event(c, NodeDataChanged, "/a", set);
        story.ping(c, set);
        story.holds();
        for place in [first, missed, left] {
            story.without(place).breaks("P3");
            story.twice(place).breaks("P3");
        }
        story.swapped(missed, reply).breaks("P3");
    }

    /// Watches of every kind, and a snapshot that takes over while much has changed.
    fn taken_over() -> (Story, Client, Zxid, Zxid) {
        let (mut story, c, a, b) = begin();
        let gone = story.plant("/gone");
        let made = story.plant("/made-anew");
        watch(&mut story, c, 1, "/a", a);
        watch(&mut story, c, 2, "/b", b);
        watch(&mut story, c, 3, "/gone", gone);
        watch(&mut story, c, 4, "/made-anew", made);
        add(&mut story, c, 5, "/made-anew", AddWatchMode::Persistent);
        story.plant("/r");
        add(&mut story, c, 6, "/r", AddWatchMode::PersistentRecursive);
        story.send(c, 7, exists("/passing", true));
        let before = story.last;
        story.fail(c, 7, before, ErrorCode::NO_NODE);
        story.lose();
        story.touch("/a", b"1", 1);
        story.touch("/a", b"2", 2);
        story.commit(OTHER, 0, delete("/gone"));
        story.commit(OTHER, 0, delete("/made-anew"));
        story.plant("/made-anew");
        story.plant("/passing");
        story.commit(OTHER, 0, delete("/passing"));
        story.plant("/r/x");
        let after = story.plant("/r/x/y");
        story.reattach(SyncKind::Snap, before);
        (story, c, before, after)
    }

    #[test]
    fn a_snapshot_fires_the_difference_of_the_trees_and_nothing_else() {
        let (mut story, c, before, zxid) = taken_over();
        let changed = story.event(c, NodeDataChanged, "/a", zxid);
        let deleted = story.event(c, NodeDeleted, "/gone", zxid);
        let deleted_anew = story.event(c, NodeDeleted, "/made-anew", zxid);
        let created_anew = story.event(c, NodeCreated, "/made-anew", zxid);
        let above = story.event(c, NodeCreated, "/r/x", zxid);
        story.send(c, -2, Request::Ping);
        let below = story.event(c, NodeCreated, "/r/x/y", zxid);
        let end = story.reply(c, -2, zxid, Reply::Nothing);
        story.holds();
        for place in [changed, deleted, deleted_anew, created_anew, above, below] {
            story.without(place).breaks("P3");
            story.twice(place).breaks("P3");
        }
        story.swapped(deleted_anew, created_anew).breaks("P3");
        story.swapped(above, below).breaks("P3");
        story.swapped(below, end).breaks("P3");
        // The order of znodes that have nothing to do with each other is open.
        story.swapped(changed, deleted).holds();
        let instead = |kind, path, zxid, place: usize, adds: bool| {
            story.bent(|records| {
                let mut other = story.clone();
                let event = other.event(c, kind, path, zxid);
                let event = other.records[event].clone();
                if adds {
                    records.insert(place, event);
                } else {
                    records[place] = event;
                }
            })
        };
        instead(NodeDataChanged, "/b", zxid, end, true).breaks("P3");
        instead(NodeCreated, "/passing", zxid, end, true).breaks("P3");
        instead(NodeDeleted, "/passing", zxid, end, true).breaks("P3");
        instead(NodeDataChanged, "/a", before, changed, false).breaks("P3");
    }

    #[test]
    fn one_shot_watches_are_used_up_by_a_snapshot_and_others_are_not() {
        let (mut story, c, _, zxid) = taken_over();
        for (kind, path) in [
            (NodeDeleted, "/made-anew"),
            (NodeDeleted, "/gone"),
            (NodeDataChanged, "/a"),
            (NodeCreated, "/made-anew"),
            (NodeCreated, "/r/x"),
            (NodeCreated, "/r/x/y"),
        ] {
            story.event(c, kind, path, zxid);
        }
        let set = story.touch("/a", b"3", 3);
        let mut doubled = story.clone();
        doubled.event(c, NodeDataChanged, "/a", set);
        doubled.breaks("P3");
        let unchanged = story.touch("/b", b"1", 1);
        let still = story.event(c, NodeDataChanged, "/b", unchanged);
        let passing = story.plant("/passing");
        let waited = story.event(c, NodeCreated, "/passing", passing);
        let persistent = story.touch("/made-anew", b"1", 1);
        let stays = story.event(c, NodeDataChanged, "/made-anew", persistent);
        story.ping(c, persistent);
        story.holds();
        for place in [still, waited, stays] {
            story.without(place).breaks("P3");
        }
    }

    #[test]
    fn a_state_that_the_mirror_went_past_is_not_shown() {
        let (mut story, c, before, _) = taken_over();
        story.ping(c, Zxid(before.0 + 1));
        story.breaks("P3");
    }

    #[test]
    fn a_watch_that_fires_once_may_be_told_of_another_znode_as_of_a_change() {
        for kind in [NodeDeleted, NodeDataChanged] {
            let (mut story, c, a, _) = begin();
            watch(&mut story, c, 1, "/a", a);
            let before = story.last;
            story.lose();
            story.commit(OTHER, 0, delete("/a"));
            let made = story.plant("/a");
            story.reattach(SyncKind::Snap, before);
            let event = story.event(c, kind, "/a", made);
            story.ping(c, made);
            story.holds();
            story.without(event).breaks("P3");
            story.twice(event).breaks("P3");
        }
    }

    #[test]
    fn where_it_is_told_when_the_snapshot_took_over_that_is_what_counts() {
        let (mut story, c, a, _) = begin();
        watch(&mut story, c, 1, "/a", a);
        let from = story.last;
        story.lose();
        let to = story.touch("/a", b"1", 1);
        let told = AtObserver::TookOver { from, to };
        let zxid = to;
        story.touch("/b", b"1", 1);
        let link = story.reattach(SyncKind::Snap, from);
        story.records.insert(
            link,
            Record {
                at: story.records[link].at,
                what: What::Observer(told),
            },
        );
        story.event(c, NodeDataChanged, "/a", zxid);
        story.ping(c, zxid);
        story.holds();
    }

    #[test]
    fn a_diff_fires_every_change() {
        let (mut story, c, ..) = begin();
        add(&mut story, c, 1, "/a", AddWatchMode::Persistent);
        let before = story.last;
        story.lose();
        let first = story.touch("/a", b"1", 1);
        let second = story.touch("/a", b"2", 2);
        story.reattach(SyncKind::Diff, before);
        let one = story.event(c, NodeDataChanged, "/a", first);
        let other = story.event(c, NodeDataChanged, "/a", second);
        story.ping(c, second);
        story.holds();
        for place in [one, other] {
            story.without(place).breaks("P3");
        }
        story.swapped(one, other).breaks("P4");
    }

    #[test]
    fn an_event_without_a_transaction_needs_a_set_watches() {
        let (mut story, c, ..) = begin();
        story.event(c, NodeDataChanged, "/a", Zxid(-1));
        let zxid = story.last;
        story.ping(c, zxid);
        story.breaks("P3");
    }
}
