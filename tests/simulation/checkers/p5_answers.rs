//! P5, no invented answers: a write is acknowledged from its own committed transaction, and never lost in silence.
//!
//! Demanded:
//!
//! * The reply to a write carries the zxid of a transaction with its session and cxid, committed after the request
//!   was sent and before the reply came, that did what was asked: paths, data and versions are compared, so that a
//!   transaction that merely has the same name does not pass. What the reply tells (path with its number, Stats
//!   right after each operation, errors) is what the model made of that transaction.
//! * No transaction answers twice.
//! * An error that no transaction accounts for is the observer's own refusal, and then the request was never
//!   handed on.
//! * The leader gets no request that no client has sent, and none more often than it was sent. (Syncs are exempt:
//!   they may be merged, and asked again.)
//! * A sync is answered with nothing less than what was committed when it was sent, and with its own path.
//! * A session is granted when the transaction that creates it is committed, or after the leader has said that it
//!   is valid; refused only when it is over.
//! * At the end every request is answered, or its connection is closed. So is every connect request.
//! * No reply to a ping shows a state that has a write of its connection in it while that write is unanswered: then
//!   the answer has been forgotten. (What other replies may show, P2 says.)
//! * That a session has moved is never told: the connection is closed.

use std::collections::{HashMap, HashSet, VecDeque};

use bstr::{BStr, ByteSlice};
use outpost_wire::proto::CreateMode;
use outpost_wire::txn::{Txn, TxnEntry};
use outpost_wire::{ErrorCode, OpCode, SessionId, Xid, Zxid};

use super::model::{Model, Outcome, Step, SubOutcome};
use super::transcript::{
    Connection, Granted, Item, Moment, Reply, Request, Transcript, Verdict, Violation, fits,
};
use crate::history::{Conn, Received, Reply as Body, Request as Asked, SubReply};

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    let forwarded = Forwarded::of(transcript)?;
    let named = named(transcript);
    let mut used = HashMap::new();
    for connection in &transcript.connections {
        handshake(transcript, connection)?;
        nothing_dropped(transcript, connection)?;
        nothing_forgotten(connection, &named)?;
        let Some(session) = connection.session() else {
            continue;
        };
        for (request, reply) in connection.exchanges() {
            let answer = Answer {
                model: &transcript.model,
                session,
                request,
                reply,
            };
            match request.asked {
                Asked::Sync { path } => answer.synced(path.as_bstr())?,
                _ if request.is_write() => answer.written(&forwarded, &mut used)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// What names a request.
type Name = (SessionId, Xid);

/// Which requests have reached the leader, and where in the history.
struct Forwarded {
    at: HashMap<Name, Vec<usize>>,
}

impl Forwarded {
    /// Collects them, and holds each against a request of a client.
    fn of(transcript: &Transcript<'_>) -> Result<Forwarded, Violation> {
        let mut sent: HashMap<Name, Vec<usize>> = HashMap::new();
        for connection in &transcript.connections {
            let Some(session) = connection.session() else {
                continue;
            };
            for request in connection.requests().filter(|request| request.is_write()) {
                let places = sent.entry((session, request.xid)).or_default();
                places.push(request.moment.record);
            }
        }
        let mut forwarded = Forwarded { at: HashMap::new() };
        let mut created: HashMap<SessionId, usize> = HashMap::new();
        for (moment, packet) in transcript.links.iter().flat_map(|link| &link.received) {
            let Received::Request { session, cxid, op } = packet else {
                continue;
            };
            match OpCode::from_code(*op) {
                Some(OpCode::Sync) => {}
                Some(OpCode::CreateSession) => {
                    if let Some(before) = created.insert(*session, moment.record) {
                        let message = format!("the leader is asked twice to create {session}");
                        let records = [before, moment.record];
                        return Err(Violation::new("P5", message, &records));
                    }
                }
                _ => forwarded.add((*session, *cxid), moment, &sent)?,
            }
        }
        Ok(forwarded)
    }

    fn add(&mut self, name: Name, moment: &Moment, sent: &HashMap<Name, Vec<usize>>) -> Verdict {
        let places = self.at.entry(name).or_default();
        places.push(moment.record);
        let by_clients = sent.get(&name).map_or(&[][..], Vec::as_slice);
        let before = by_clients
            .iter()
            .filter(|&&record| record < moment.record)
            .count();
        if places.len() <= before {
            return Ok(());
        }
        let (session, cxid) = name;
        let message = format!(
            "the leader gets cxid {cxid} of {session} {} times, sent {before} times by then",
            places.len()
        );
        Err(Violation::new("P5", message, places))
    }

    /// Where the leader got this request, if it did while it was unanswered.
    fn between(&self, name: Name, sent: &Moment, answered: &Moment) -> Option<usize> {
        let mut places = self.at.get(&name)?.iter();
        places
            .find(|&&record| sent.record < record && record < answered.record)
            .copied()
    }
}

/// One reply to a session's request.
struct Answer<'a, 'h> {
    model: &'a Model,
    session: SessionId,
    request: &'a Request<'h>,
    reply: &'a Reply<'h>,
}

impl Answer<'_, '_> {
    fn written(&self, forwarded: &Forwarded, used: &mut HashMap<Zxid, usize>) -> Verdict {
        if self.reply.error == ErrorCode::SESSION_MOVED {
            return Err(self.violation("a client is told that its session has moved", &[]));
        }
        let step = self
            .model
            .step(self.reply.zxid)
            .filter(|step| self.is_named_in(step));
        let Some(step) = step else {
            return self.refused(forwarded);
        };
        if step.record < self.request.moment.record {
            let message = "is answered from a transaction that is older than the request";
            return Err(self.violation(message, &[step.record]));
        }
        if step.record > self.reply.moment.record {
            let message = "is answered from a transaction that is not committed";
            return Err(self.violation(message, &[step.record]));
        }
        if !did(step, self.request.asked) {
            let message = format!("is answered from the transaction of another request: {step:?}");
            return Err(self.violation(&message, &[step.record]));
        }
        if !tells(&step.outcome, self.reply) {
            let message = format!("is told another result than {:?}", step.outcome);
            return Err(self.violation(&message, &[step.record]));
        }
        match used.insert(step.header.zxid, self.reply.moment.record) {
            None => Ok(()),
            Some(before) => {
                Err(self.violation("is answered from a transaction that answered", &[before]))
            }
        }
    }

    /// No transaction accounts for this reply.
    fn refused(&self, forwarded: &Forwarded) -> Verdict {
        if self.reply.error.is_ok() {
            let message = "is acknowledged, and no transaction of that name has this zxid";
            return Err(self.violation(message, &[]));
        }
        let (sent, answered) = (&self.request.moment, &self.reply.moment);
        match forwarded.between(self.name(), sent, answered) {
            None => Ok(()),
            Some(record) => {
                let message = "went to the leader, and fails without a transaction that says so";
                Err(self.violation(message, &[record]))
            }
        }
    }

    fn synced(&self, path: &BStr) -> Verdict {
        if !self.reply.error.is_ok() {
            return Ok(());
        }
        match self.reply.body {
            Body::Synced { path: told } if told.as_bstr() == path => {}
            _ => return Err(self.violation("is a sync and is not told its path", &[])),
        }
        let sent = self.request.moment.record;
        let steps = self.model.steps();
        let committed = steps.partition_point(|step| step.record < sent);
        match committed.checked_sub(1).and_then(|last| steps.get(last)) {
            Some(last) if last.header.zxid > self.reply.zxid => {
                let message = format!(
                    "is a sync, and shows less than {}, which was committed when it was sent",
                    last.header.zxid
                );
                Err(self.violation(&message, &[last.record]))
            }
            _ => Ok(()),
        }
    }

    fn name(&self) -> Name {
        (self.session, self.request.xid)
    }

    fn is_named_in(&self, step: &Step) -> bool {
        (step.header.session, step.header.cxid) == self.name()
    }

    fn violation(&self, message: &str, records: &[usize]) -> Violation {
        let (session, cxid) = self.name();
        let (sent, answered) = (self.request.moment.record, self.reply.moment.record);
        let records: Vec<usize> = [sent, answered]
            .into_iter()
            .chain(records.iter().copied())
            .collect();
        Violation::new(
            "P5",
            format!("cxid {cxid} of {session} {message}"),
            &records,
        )
    }
}

/// Transactions by the requests that they name.
pub(super) type Named<'m> = HashMap<Name, Vec<&'m Step>>;

/// What was committed for each request. Where several connections of a session have given the same name, only what
/// carries data, which says whose it is: anything else may belong to any of them.
pub(super) fn named<'m>(transcript: &'m Transcript<'_>) -> Named<'m> {
    let mut given: HashMap<Name, Conn> = HashMap::new();
    let mut given_again: HashSet<Name> = HashSet::new();
    for connection in &transcript.connections {
        let Some(session) = connection.session() else {
            continue;
        };
        for request in connection.requests().filter(|request| request.is_write()) {
            let name = (session, request.xid);
            let before = given.insert(name, connection.conn);
            if before.is_some_and(|before| before != connection.conn) {
                given_again.insert(name);
            }
        }
    }
    let mut named = Named::new();
    for step in transcript.model.steps() {
        let name = (step.header.session, step.header.cxid);
        if !given_again.contains(&name) || says_whose(step) {
            named.entry(name).or_default().push(step);
        }
    }
    named
}

/// Whether a transaction sets data.
fn says_whose(step: &Step) -> bool {
    let entry = TxnEntry::decode(&step.bytes);
    entry.is_ok_and(|entry| matches!(entry.txn, Txn::Create(_) | Txn::SetData { .. }))
}

/// What was committed for this one, for all that can be known.
pub(super) fn own_step<'m>(
    named: &Named<'m>,
    session: SessionId,
    request: &Request<'_>,
) -> Option<&'m Step> {
    let mut steps = named.get(&(session, request.xid))?.iter().copied();
    steps.find(|step| step.record > request.moment.record && did(step, request.asked))
}

/// Whether a transaction does what was asked, or fails at it.
fn did(step: &Step, asked: &Asked) -> bool {
    let Ok(entry) = TxnEntry::decode(&step.bytes) else {
        return false;
    };
    match &entry.txn {
        Txn::Error { .. } => true,
        txn => fits(asked, entry.header.kind) && does(txn, asked),
    }
}

fn does(txn: &Txn<'_>, asked: &Asked) -> bool {
    match (txn, asked) {
        (
            Txn::Create(create),
            Asked::Create {
                path, data, mode, ..
            },
        ) => is_named(create.path, path.as_bstr(), *mode) && create.data == data.as_deref(),
        (Txn::Delete { path }, Asked::Delete { path: asked, .. }) => *path == asked,
        (
            Txn::SetData {
                path,
                data,
                version,
            },
            Asked::SetData {
                path: asked_path,
                data: asked_data,
                version: expected,
            },
        ) => {
            let follows = *expected == -1 || *version == expected.wrapping_add(1);
            *path == asked_path && *data == asked_data.as_deref() && follows
        }
        (Txn::Check { path, .. }, Asked::Check { path: asked, .. }) => *path == asked,
        (Txn::CloseSession { .. }, Asked::CloseSession) => true,
        (Txn::Multi(txns), Asked::Multi(asked)) => {
            let failed = txns.iter().any(|sub| matches!(sub.txn, Txn::Error { .. }));
            txns.len() == asked.len()
                && (failed
                    || txns
                        .iter()
                        .zip(asked)
                        .all(|(sub, asked)| fits(asked, sub.kind) && does(&sub.txn, asked)))
        }
        _ => false,
    }
}

/// Whether a znode's path is the one asked for, with its number where it has one.
fn is_named(path: &BStr, asked: &BStr, mode: CreateMode) -> bool {
    let sequential = matches!(
        mode,
        CreateMode::PersistentSequential
            | CreateMode::EphemeralSequential
            | CreateMode::PersistentSequentialWithTtl
    );
    match path.strip_prefix(asked.as_bytes()) {
        Some(number) if sequential => number.len() >= 10 && number.iter().all(u8::is_ascii_digit),
        Some(rest) => rest.is_empty(),
        None => false,
    }
}

/// Whether a reply tells what became of its transaction.
fn tells(outcome: &Outcome, reply: &Reply<'_>) -> bool {
    match (outcome, reply.body) {
        (Outcome::Failed(error), Body::Nothing) => *error == reply.error && !error.is_ok(),
        _ if !reply.error.is_ok() => false,
        (
            Outcome::Created { path, stat },
            Body::Created {
                path: told,
                stat: of,
            },
        ) => path == told && stat == of,
        (Outcome::DataSet(stat) | Outcome::AclSet(stat), Body::Stat(told)) => stat == told,
        (Outcome::Deleted | Outcome::SessionClosed, Body::Nothing) => true,
        (Outcome::Multi(outcomes), Body::Multi(told)) => {
            outcomes.len() == told.len() && outcomes.iter().zip(told).all(|(o, t)| sub_tells(o, t))
        }
        _ => false,
    }
}

fn sub_tells(outcome: &SubOutcome, told: &SubReply) -> bool {
    match (&outcome.outcome, told) {
        (Outcome::Failed(error), SubReply::Error(told)) => error == told,
        (
            Outcome::Created { path, stat },
            SubReply::Created {
                path: told,
                stat: of,
            },
        ) => path == told && stat == of,
        (Outcome::DataSet(stat), SubReply::Stat(told)) => stat == told,
        (Outcome::Deleted, SubReply::Deleted) | (Outcome::Checked, SubReply::Checked) => true,
        _ => false,
    }
}

/// A session is granted or refused on the leader's word.
fn handshake(transcript: &Transcript<'_>, connection: &Connection<'_>) -> Verdict {
    if let Some(granted) = connection.granted {
        let on_its_word = match connection.brought {
            SessionId::NONE => is_created(&transcript.model, granted),
            brought => brought == granted.session && is_valid(transcript, connection, granted),
        };
        if !on_its_word {
            let message = format!("{} is granted without the leader's word", granted.session);
            let records = [connection.began.record, granted.moment.record];
            return Err(Violation::new("P5", message, &records));
        }
    }
    match connection.refused {
        Some(refused) if !is_over(transcript, connection, refused) => {
            let message = format!("{} is refused, and is not over", connection.brought);
            let records = [connection.began.record, refused.record];
            Err(Violation::new("P5", message, &records))
        }
        _ => Ok(()),
    }
}

fn is_created(model: &Model, granted: Granted) -> bool {
    model.steps().iter().any(|step| {
        step.header.session == granted.session
            && step.record < granted.moment.record
            && step.outcome
                == Outcome::SessionCreated {
                    timeout_ms: granted.timeout_ms,
                }
    })
}

fn is_valid(transcript: &Transcript<'_>, connection: &Connection<'_>, granted: Granted) -> bool {
    is_told(transcript, connection, granted.moment, true)
}

/// Whether the leader was asked for a client's session while it waited, and what it said.
fn is_told(
    transcript: &Transcript<'_>,
    connection: &Connection<'_>,
    until: Moment,
    wanted: bool,
) -> bool {
    let during = connection.began.record..until.record;
    transcript
        .links
        .iter()
        .flat_map(|link| &link.received)
        .filter(|(moment, _)| during.contains(&moment.record))
        .any(|(_, packet)| {
            matches!(packet, Received::Revalidate { session, valid, .. }
                if *session == connection.brought && *valid == wanted)
        })
}

/// Whether the leader has said that a session is over, or has closed it.
fn is_over(transcript: &Transcript<'_>, connection: &Connection<'_>, then: Moment) -> bool {
    let closed = |step: &Step| {
        step.header.session == connection.brought
            && step.outcome == Outcome::SessionClosed
            && step.record < then.record
    };
    is_told(transcript, connection, then, false) || transcript.model.steps().iter().any(closed)
}

/// Every request has its answer, or its connection an end.
fn nothing_dropped(transcript: &Transcript<'_>, connection: &Connection<'_>) -> Verdict {
    if connection.ended.is_some() || connection.refused.is_some() {
        return Ok(());
    }
    let end = transcript.end.record;
    let conn = connection.conn;
    if connection.granted.is_none() {
        let message = format!("{conn:?} is neither granted a session, nor refused, nor closed");
        let records = [connection.began.record, end];
        return Err(Violation::new("P5", message, &records));
    }
    let answered: HashSet<usize> = connection
        .replies()
        .filter_map(|reply| reply.request)
        .collect();
    let dropped = connection
        .items
        .iter()
        .enumerate()
        .find(|(place, item)| matches!(item, Item::Request(_)) && !answered.contains(place));
    match dropped {
        None => Ok(()),
        Some((_, item)) => {
            let message = format!("{conn:?} is open, and one of its requests has no answer");
            Err(Violation::new("P5", message, &[item.moment().record, end]))
        }
    }
}

/// What shows a write comes behind its answer.
fn nothing_forgotten(connection: &Connection<'_>, named: &Named<'_>) -> Verdict {
    let Some(session) = connection.session() else {
        return Ok(());
    };
    // Where each write without an answer was committed, the oldest first.
    let mut waiting: VecDeque<(usize, &Step)> = VecDeque::new();
    for (place, item) in connection.items.iter().enumerate() {
        match item {
            Item::Request(request) if request.is_write() => {
                let of_its_name = named.get(&(session, request.xid));
                let mut steps = of_its_name.into_iter().flatten();
                if let Some(step) = steps
                    .find(|step| step.record > request.moment.record && did(step, request.asked))
                {
                    waiting.push_back((place, step));
                }
            }
            Item::Request(_) | Item::Event(_) => {}
            Item::Reply(reply) => {
                waiting.retain(|(request, _)| reply.request != Some(*request));
                if let Some((_, step)) = waiting.front()
                    && reply.zxid >= step.header.zxid
                    && reply.xid == Xid::PING
                {
                    let message = format!(
                        "{:?} is shown {}, and its write at {} has no answer",
                        connection.conn, reply.zxid, step.header.zxid
                    );
                    let records = [step.record, reply.moment.record];
                    return Err(Violation::new("P5", message, &records));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bstr::BString;
    use outpost_wire::proto::CreateMode;
    use outpost_wire::txn::Txn;
    use outpost_wire::{ErrorCode, OpCode, SessionId, Stat, Xid, Zxid};

    use crate::checkers::specimen::{
        Client, Story, TIMEOUT_MS, create, create_node, delete, get, multi, set, set_data, stat,
    };
    use crate::history::{
        AtClient, AtLeader, Closer, Received, Reply, Request, SubReply, SyncKind,
    };

    /// A client that has set `/a`, and is told so by the last record.
    fn written() -> (Story, Client, Zxid, Stat) {
        let mut story = Story::new();
        let c = story.client();
        let made = story.plant("/a");
        story.send(c, 1, set_data("/a", b"mine"));
        story.forward(c, 1, OpCode::SetData);
        let zxid = story.commit(c.session, 1, set("/a", b"mine", 1));
        let stat = stat(made, zxid, 1, 4);
        story.reply(c, 1, zxid, Reply::Stat(stat));
        (story, c, zxid, stat)
    }

    /// The same without the reply.
    fn unanswered() -> (Story, Client, Zxid, Stat) {
        let (mut story, c, zxid, stat) = written();
        story.records.pop();
        (story, c, zxid, stat)
    }

    #[test]
    fn a_write_that_is_told_what_its_transaction_did_passes() {
        written().0.holds();
    }

    #[test]
    fn an_acknowledgement_without_the_transaction_is_caught() {
        // From a transaction that was lost with its leader: it is no part of history.
        let mut story = Story::new();
        let c = story.client();
        let made = story.plant("/a");
        story.send(c, 1, set_data("/a", b"mine"));
        story.forward(c, 1, OpCode::SetData);
        let told = Reply::Stat(stat(made, made, 1, 4));
        story.reply(c, 1, made, told);
        story.breaks("P5");
    }

    #[test]
    fn an_answer_from_another_session_or_another_request_is_caught() {
        let (story, c, zxid, stat) = written();
        // Another session, with the same number.
        let mut foreign = story.clone();
        let other = foreign.client();
        foreign.send(other, 1, set_data("/a", b"mine"));
        foreign.forward(other, 1, OpCode::SetData);
        foreign.reply(other, 1, foreign.last, Reply::Stat(stat));
        foreign.breaks("P5");
        // Another request of the session, with another number.
        let mut second = story.clone();
        second.send(c, 2, set_data("/a", b"mine"));
        second.forward(c, 2, OpCode::SetData);
        second.reply(c, 2, zxid, Reply::Stat(stat));
        second.breaks("P5");
    }

    #[test]
    fn an_answer_from_an_older_request_of_the_same_name_is_caught() {
        let (mut story, c, _, before) = unanswered();
        story.lose();
        story.close(c, Closer::Server);
        story.reattach(SyncKind::Diff, story.last);
        let again = story.reopen(c.session, story.last);
        // Its client counts from one again.
        story.send(again, 1, set_data("/a", b"other"));
        story.forward(again, 1, OpCode::SetData);
        let mut ghost = story.clone();
        let zxid = story.commit(c.session, 1, set("/a", b"other", 2));
        let told = stat(before.czxid, zxid, 2, 5);
        story.reply(again, 1, zxid, Reply::Stat(told));
        story.holds();
        // The old request comes late, and is taken for the new one.
        let zxid = ghost.commit(c.session, 1, set("/a", b"mine", 2));
        let told = stat(before.czxid, zxid, 2, 4);
        ghost.reply(again, 1, zxid, Reply::Stat(told));
        ghost.breaks("P5");
    }

    #[test]
    fn a_result_other_than_that_of_the_transaction_is_caught() {
        let (story, c, zxid, right) = unanswered();
        let wrong = [
            Stat {
                version: 2,
                ..right
            },
            Stat {
                mzxid: right.czxid,
                ..right
            },
        ];
        for wrong in wrong {
            let mut story = story.clone();
            story.reply(c, 1, zxid, Reply::Stat(wrong));
            story.breaks("P5");
        }
        let mut failed = story.clone();
        failed.fail(c, 1, zxid, ErrorCode::BAD_VERSION);
        failed.breaks("P5");
    }

    #[test]
    fn a_failure_is_that_of_its_transaction() {
        let mut story = Story::new();
        let c = story.client();
        story.send(c, 1, set_data("/none", b""));
        story.forward(c, 1, OpCode::SetData);
        let error = ErrorCode::NO_NODE;
        let zxid = story.commit(c.session, 1, Txn::Error { error });
        let mut other = story.clone();
        let mut hidden = story.clone();
        story.fail(c, 1, zxid, error);
        story.holds();
        other.fail(c, 1, zxid, ErrorCode::BAD_VERSION);
        other.breaks("P5");
        hidden.reply(c, 1, zxid, Reply::Nothing);
        hidden.breaks("P5");
    }

    #[test]
    fn only_what_never_went_to_the_leader_is_refused_without_a_transaction() {
        let mut story = Story::new();
        let c = story.client();
        story.send(c, 1, set_data("/a", b""));
        let mut forwarded = story.clone();
        let zxid = story.last;
        story.fail(c, 1, zxid, ErrorCode::MARSHALLING_ERROR);
        story.holds();
        forwarded.forward(c, 1, OpCode::SetData);
        forwarded.fail(c, 1, zxid, ErrorCode::MARSHALLING_ERROR);
        forwarded.breaks("P5");
    }

    #[test]
    fn that_a_session_has_moved_is_never_told() {
        let mut story = Story::new();
        let c = story.client();
        story.send(c, 1, set_data("/a", b""));
        story.forward(c, 1, OpCode::SetData);
        let error = ErrorCode::SESSION_MOVED;
        let zxid = story.commit(c.session, 1, Txn::Error { error });
        let mut told = story.clone();
        story.close(c, Closer::Server);
        story.holds();
        told.fail(c, 1, zxid, error);
        told.breaks("P5");
    }

    #[test]
    fn a_sequential_znode_is_told_with_its_number() {
        let mut story = Story::new();
        let c = story.client();
        let request = create_node("/s-", b"x", CreateMode::PersistentSequential);
        story.send(c, 1, request);
        story.forward(c, 1, OpCode::Create2);
        let path = "/s-0000000003";
        let zxid = story.commit(c.session, 1, create(path, b"x"));
        let told = |path: &str| Reply::Created {
            path: BString::from(path),
            stat: stat(zxid, zxid, 0, 1),
        };
        let mut wrong = story.clone();
        story.reply(c, 1, zxid, told(path));
        story.holds();
        wrong.reply(c, 1, zxid, told("/s-"));
        wrong.breaks("P5");
    }

    #[test]
    fn a_multi_is_told_what_became_of_each_operation() {
        let mut story = Story::new();
        let c = story.client();
        let path = || BString::from("/m");
        let request = Request::Multi(vec![
            create_node("/m", b"", CreateMode::Persistent),
            set_data("/m", b"x"),
            Request::Delete {
                path: path(),
                version: -1,
            },
        ]);
        story.send(c, 1, request);
        story.forward(c, 1, OpCode::Multi);
        let txn = multi(vec![create("/m", b""), set("/m", b"x", 1), delete("/m")]);
        let zxid = story.commit(c.session, 1, txn);
        let results = |version| {
            Reply::Multi(vec![
                SubReply::Created {
                    path: path(),
                    stat: stat(zxid, zxid, 0, 0),
                },
                SubReply::Stat(stat(zxid, zxid, version, 1)),
                SubReply::Deleted,
            ])
        };
        let mut wrong = story.clone();
        story.reply(c, 1, zxid, results(1));
        story.holds();
        wrong.reply(c, 1, zxid, results(2));
        wrong.breaks("P5");
    }

    #[test]
    fn a_multi_that_failed_is_told_where() {
        let mut story = Story::new();
        let c = story.client();
        let ops = ["/x", "/y", "/z"].map(|path| set_data(path, b""));
        story.send(c, 1, Request::Multi(ops.to_vec()));
        story.forward(c, 1, OpCode::Multi);
        let error = ErrorCode::NO_NODE;
        let not_tried = ErrorCode::RUNTIME_INCONSISTENCY;
        let txn = multi(vec![
            set("/x", b"", 1),
            Txn::Error { error },
            Txn::Error { error: not_tried },
        ]);
        let zxid = story.commit(c.session, 1, txn);
        let mut wrong = story.clone();
        let told = |errors: [ErrorCode; 3]| Reply::Multi(errors.map(SubReply::Error).to_vec());
        story.reply(c, 1, zxid, told([ErrorCode::OK, error, not_tried]));
        story.holds();
        wrong.reply(c, 1, zxid, told([error, not_tried, not_tried]));
        wrong.breaks("P5");
    }

    #[test]
    fn a_request_goes_to_the_leader_once_and_none_that_nobody_sent() {
        let (mut story, c, ..) = written();
        let mut invented = story.clone();
        story.forward(c, 1, OpCode::SetData);
        story.breaks("P5");
        invented.forward(c, 2, OpCode::SetData);
        invented.breaks("P5");
        let mut twice = Story::new();
        let c = twice.client();
        twice.forward_as(c.session, 0, OpCode::CreateSession);
        twice.breaks("P5");
    }

    #[test]
    fn a_sync_may_be_asked_again_and_shows_what_was_committed_when_it_was_sent() {
        let mut story = Story::new();
        let c = story.client();
        let stale = story.last;
        let last = story.plant("/a");
        let path = || BString::from("/a");
        story.send(c, 1, Request::Sync { path: path() });
        story.forward(c, 1, OpCode::Sync);
        story.forward(c, 1, OpCode::Sync);
        let (mut early, mut other) = (story.clone(), story.clone());
        story.reply(c, 1, last, Reply::Synced { path: path() });
        story.holds();
        early.reply(c, 1, stale, Reply::Synced { path: path() });
        early.breaks("P5");
        let path = BString::from("/b");
        other.reply(c, 1, last, Reply::Synced { path });
        other.breaks("P5");
    }

    #[test]
    fn at_the_end_nothing_is_left_without_an_answer_on_an_open_connection() {
        let (mut story, c, ..) = unanswered();
        story.breaks("P5");
        story.close(c, Closer::Server);
        story.holds();
        let mut reading = Story::new();
        let c = reading.client();
        reading.send(c, 1, get("/a", false));
        reading.breaks("P5");
    }

    #[test]
    fn a_session_is_granted_on_the_word_of_the_leader_alone() {
        let begin = || {
            let mut story = Story::new();
            let c = story.client();
            story.close(c, Closer::Client);
            (story, c)
        };
        // Gone on with, and nobody asked the leader.
        let (mut story, c) = begin();
        let again = Client {
            conn: crate::history::Conn(7),
            ..c
        };
        story.connecting(again, c.session, Zxid::ZERO);
        let mut refused = story.clone();
        story.connected(again);
        story.breaks("P5");
        // Refused, and it lives.
        let session = c.session;
        refused.at(again, AtClient::Refused { session });
        refused.breaks("P5");
        // Made, and never committed.
        let mut made = Story::new();
        let unborn = Client {
            session: SessionId(5),
            ..again
        };
        made.connecting(unborn, SessionId::NONE, Zxid::ZERO);
        made.connected(unborn);
        made.breaks("P5");
        // Neither granted nor refused.
        let (mut waits, _) = begin();
        waits.connecting(again, session, Zxid::ZERO);
        waits.breaks("P5");
    }

    #[test]
    fn a_session_that_is_over_is_refused() {
        let mut story = Story::new();
        let c = story.client();
        story.close(c, Closer::Client);
        let session = c.session;
        story.leader(AtLeader::Expired { session });
        story.commit(session, 0, Txn::CloseSession { paths: None });
        let again = Client {
            conn: crate::history::Conn(7),
            ..c
        };
        story.connecting(again, session, Zxid::ZERO);
        story.received(Received::Revalidate {
            session,
            timeout_ms: TIMEOUT_MS,
            valid: false,
        });
        let mut granted = story.clone();
        story.at(again, AtClient::Refused { session });
        story.holds();
        granted.connected(again);
        granted.breaks("P5");
    }

    #[test]
    fn a_transaction_that_answers_twice_is_caught() {
        let (mut story, c, zxid, stat) = unanswered();
        story.close(c, Closer::Server);
        let again = story.reopen(c.session, Zxid::ZERO);
        // The same words once more, and the old answer.
        story.send(again, Xid(1).0, set_data("/a", b"mine"));
        story.reply(again, 1, zxid, Reply::Stat(stat));
        story.breaks("P5");
    }

    #[test]
    fn an_answer_that_is_forgotten_shows_as_soon_as_the_write_does() {
        let (story, c, zxid, stat) = unanswered();
        let mut shown = story.clone();
        shown.ping(c, zxid);
        shown.close(c, Closer::Client);
        shown.breaks("P5");
        let mut before = story.clone();
        before.ping(c, stat.czxid);
        before.reply(c, 1, zxid, Reply::Stat(stat));
        before.ping(c, zxid);
        before.holds();
    }
}
