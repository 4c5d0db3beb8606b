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
//! * That a session has moved is never told: the connection is closed.

use std::collections::{HashMap, HashSet};

use bstr::{BStr, ByteSlice};
use outpost_wire::proto::CreateMode;
use outpost_wire::txn::{Txn, TxnEntry};
use outpost_wire::{ErrorCode, OpCode, SessionId, Xid, Zxid};

use super::model::{Model, Outcome, Step, SubOutcome};
use super::transcript::{
    Connection, Granted, Item, Moment, Reply, Request, Transcript, Verdict, Violation, fits,
};
use crate::history::{Received, Reply as Body, Request as Asked, SubReply};

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    let forwarded = Forwarded::of(transcript)?;
    let mut used = HashMap::new();
    for connection in &transcript.connections {
        handshake(transcript, connection)?;
        nothing_dropped(transcript, connection)?;
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
        Some(refused) if lives(transcript, connection.brought, refused) => {
            let message = format!("{} is refused, and it lives", connection.brought);
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
    let during = connection.began.record..granted.moment.record;
    transcript
        .links
        .iter()
        .flat_map(|link| &link.received)
        .filter(|(moment, _)| during.contains(&moment.record))
        .any(|(_, packet)| {
            matches!(packet, Received::Revalidate { session, valid: true, .. }
                if *session == granted.session)
        })
}

/// Whether nothing had ended a session by then.
fn lives(transcript: &Transcript<'_>, session: SessionId, then: Moment) -> bool {
    let steps = transcript.model.steps();
    let committed = steps.partition_point(|step| step.record < then.record);
    let zxid = committed
        .checked_sub(1)
        .and_then(|last| steps.get(last))
        .map_or(Zxid::ZERO, |step| step.header.zxid);
    let expired = transcript.expired.get(&session);
    // It ends for the leader before the transaction that closes it is committed.
    let closing = steps[committed..]
        .iter()
        .any(|step| step.header.session == session && step.outcome == Outcome::SessionClosed);
    transcript.model.session(session, zxid).is_some()
        && !closing
        && expired.is_none_or(|moment| moment.record > then.record)
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
