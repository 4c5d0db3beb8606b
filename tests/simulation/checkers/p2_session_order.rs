//! P2, session order: requests of one session are answered in the order sent, and a read behind a write sees it.
//!
//! Demanded:
//!
//! * Every reply answers the oldest request of its connection that has no answer yet; only pings are answered
//!   out of turn, each once. A client library ends its connection at anything else.
//! * Behind the reply to a write, no reply of that connection shows a state before that write.
//! * Before the reply to a write, no reply shows the write: what was asked before it is answered from a state before
//!   it. (A sync shows nothing, and may be answered together with a write behind it.)
//! * Nothing follows the reply to closeSession.
//! * What a session asked to be written is committed in the order in which it was sent, also over several
//!   connections of the session, and over other servers: an old write that is still on its way somewhere must not
//!   overtake a newer one.
//!   Refusals because the session has moved or is gone change nothing and are not counted.
//! * What a connection sent is committed without gaps: when one of its writes is committed, so is every write it
//!   sent before, but for those that the observer has refused itself. A write that was lost on its way ends the
//!   connection before anything sent behind it goes on.

use std::collections::{HashMap, HashSet, VecDeque};

use outpost_wire::{ErrorCode, SessionId, Xid, Zxid};

use super::model::{Outcome, Step};
use super::p5_answers::{Named, named, own_step};
use super::transcript::{Connection, Item, Transcript, Verdict, Violation};
use crate::history::{AtElsewhere, Reply as Body, Request as Asked};

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    let named = named(transcript);
    let mut all = Named::new();
    for step in transcript.model.steps() {
        let name = (step.header.session, step.header.cxid);
        all.entry(name).or_default().push(step);
    }
    for connection in &transcript.connections {
        in_turn(connection)?;
        before_later_writes(connection, &named)?;
        committed_without_gaps(connection, &named, &all)?;
    }
    committed_in_order(transcript)
}

fn in_turn(connection: &Connection<'_>) -> Verdict {
    let mut written = (Zxid::ZERO, 0);
    let mut closed: Option<usize> = None;
    for item in &connection.items {
        let record = item.moment().record;
        if let (Some(closed), Item::Reply(_) | Item::Event(_)) = (closed, item) {
            let message = "something follows the reply to closeSession";
            return Err(Violation::new("P2", message, &[closed, record]));
        }
        let Item::Reply(reply) = item else { continue };
        let Some(request) = connection.request_of(reply) else {
            let message = format!(
                "xid {} of {:?} is answered, and its turn has not come",
                reply.xid, connection.conn
            );
            return Err(Violation::new("P2", message, &[record]));
        };
        if reply.tells_zxid() && !request.is_out_of_band() && reply.zxid < written.0 {
            let message = format!(
                "a reply shows {} behind a write at {}",
                reply.zxid, written.0
            );
            return Err(Violation::new("P2", message, &[written.1, record]));
        }
        if request.is_write() && reply.zxid > written.0 {
            written = (reply.zxid, record);
        }
        if matches!(request.asked, Asked::CloseSession) && reply.error.is_ok() {
            closed = Some(record);
        }
    }
    Ok(())
}

/// What was asked before a write does not show it.
fn before_later_writes(connection: &Connection<'_>, named: &Named<'_>) -> Verdict {
    let Some(session) = connection.session() else {
        return Ok(());
    };
    let mut waiting: VecDeque<(usize, &Step)> = VecDeque::new();
    for (place, item) in connection.items.iter().enumerate() {
        match item {
            Item::Request(request) if request.is_write() => {
                if let Some(step) = own_step(named, session, request) {
                    waiting.push_back((place, step));
                }
            }
            Item::Request(_) | Item::Event(_) => {}
            Item::Reply(reply) => {
                waiting.retain(|(request, _)| reply.request != Some(*request));
                let shows = !matches!(reply.body, Body::Synced { .. }) && reply.xid != Xid::PING;
                if let Some((_, step)) = waiting.front()
                    && shows
                    && reply.zxid >= step.header.zxid
                {
                    let message = format!(
                        "a reply shows {}, and {} is a write that was sent behind its request",
                        reply.zxid, step.header.zxid
                    );
                    let records = [step.record, reply.moment.record];
                    return Err(Violation::new("P2", message, &records));
                }
            }
        }
    }
    Ok(())
}

/// Nothing that was lost has something behind it that was not. `named` knows whose a transaction is for certain,
/// `all` of each name every transaction that bears it.
fn committed_without_gaps(
    connection: &Connection<'_>,
    named: &Named<'_>,
    all: &Named<'_>,
) -> Verdict {
    let Some(session) = connection.session() else {
        return Ok(());
    };
    let answered: HashSet<usize> = connection.replies().filter_map(|r| r.request).collect();
    let mut lost = None;
    for (place, item) in connection.items.iter().enumerate() {
        let Item::Request(request) = item else {
            continue;
        };
        if !request.is_write() {
            continue;
        }
        let sent = request.moment.record;
        let bears_name = all.get(&(session, request.xid));
        let is_committed = bears_name.is_some_and(|steps| steps.iter().any(|s| s.record > sent));
        let own = own_step(named, session, request).filter(|step| succeeds(step));
        if let (Some(lost), Some(step)) = (lost, own) {
            let message = format!(
                "{session} had cxid {} committed, and never what it had sent before",
                request.xid
            );
            return Err(Violation::new("P2", message, &[lost, sent, step.record]));
        }
        // What the observer refuses has an answer and no transaction.
        if !is_committed && !answered.contains(&place) {
            lost.get_or_insert(sent);
        }
    }
    Ok(())
}

fn succeeds(step: &Step) -> bool {
    match &step.outcome {
        Outcome::Failed(_) => false,
        Outcome::Multi(subs) => subs
            .iter()
            .all(|sub| !matches!(sub.outcome, Outcome::Failed(_))),
        _ => true,
    }
}

/// When each write of a session was sent; `None` for names that were given twice.
type Sent = HashMap<(SessionId, Xid), Option<usize>>;

fn committed_in_order(transcript: &Transcript<'_>) -> Verdict {
    let sent = sent(transcript);
    let mut last: HashMap<SessionId, (usize, &Step)> = HashMap::new();
    for step in transcript.model.steps() {
        let session = step.header.session;
        let name = (session, step.header.cxid);
        let (Some(&Some(sent)), false) = (sent.get(&name), changes_nothing(step)) else {
            continue;
        };
        if let Some((later, before)) = last.insert(session, (sent, step))
            && later > sent
        {
            let message = format!(
                "{session} had cxid {} committed behind cxid {}, which it sent later",
                step.header.cxid, before.header.cxid
            );
            let records = [sent, later, before.record, step.record];
            return Err(Violation::new("P2", message, &records));
        }
    }
    Ok(())
}

fn sent(transcript: &Transcript<'_>) -> Sent {
    let mut sent = Sent::new();
    for connection in &transcript.connections {
        let Some(session) = connection.session() else {
            continue;
        };
        for request in connection.requests().filter(|request| request.is_write()) {
            sent.entry((session, request.xid))
                .and_modify(|twice| *twice = None)
                .or_insert(Some(request.moment.record));
        }
    }
    for (moment, session, seen) in &transcript.elsewhere {
        if let AtElsewhere::Wrote { xid, .. } = seen {
            sent.entry((*session, *xid))
                .and_modify(|twice| *twice = None)
                .or_insert(Some(moment.record));
        }
    }
    sent
}

fn changes_nothing(step: &Step) -> bool {
    let refused = |outcome: &Outcome| {
        let moved = ErrorCode::SESSION_MOVED;
        matches!(outcome, Outcome::Failed(error) if [moved, ErrorCode::SESSION_EXPIRED].contains(error))
    };
    match &step.outcome {
        Outcome::Multi(subs) => subs.iter().any(|sub| refused(&sub.outcome)),
        outcome => refused(outcome),
    }
}

#[cfg(test)]
mod tests {
    use bstr::BString;
    use outpost_wire::txn::Txn;
    use outpost_wire::{ErrorCode, OpCode};

    use crate::checkers::specimen::{Story, data, get, set, set_data, stat};
    use crate::history::{Closer, Reply, Request, SyncKind};

    #[test]
    fn replies_in_the_order_of_requests_pass_and_others_do_not() {
        let mut story = Story::new();
        let c = story.client();
        let zxid = story.plant("/a");
        story.send(c, 1, get("/a", false));
        story.send(c, 2, get("/a", false));
        let there = data(b"", stat(zxid, zxid, 0, 0));
        let first = story.reply(c, 1, zxid, there.clone());
        let second = story.reply(c, 2, zxid, there);
        story.holds();
        story.swapped(first, second).breaks("P2");
        story.without(first).breaks("P2");
        story.twice(second).breaks("P2");
    }

    #[test]
    fn a_ping_may_be_answered_out_of_turn_but_once() {
        let mut story = Story::new();
        let c = story.client();
        let zxid = story.plant("/a");
        story.send(c, 1, get("/a", false));
        let pong = story.ping(c, zxid);
        story.reply(c, 1, zxid, data(b"", stat(zxid, zxid, 0, 0)));
        story.holds();
        story.twice(pong).breaks("P2");
    }

    #[test]
    fn a_read_behind_a_write_that_does_not_see_it_is_caught() {
        let mut story = Story::new();
        let c = story.client();
        let made = story.plant("/a");
        story.send(c, 1, set_data("/a", b"x"));
        story.send(c, 2, get("/a", false));
        story.forward(c, 1, OpCode::SetData);
        let written = story.commit(c.session, 1, set("/a", b"x", 1));
        let after = stat(made, written, 1, 1);
        story.reply(c, 1, written, Reply::Stat(after));
        let mut stale = story.clone();
        story.reply(c, 2, written, data(b"x", after));
        story.holds();
        stale.reply(c, 2, made, data(b"", stat(made, made, 0, 0)));
        stale.breaks("P2");
    }

    #[test]
    fn nothing_follows_the_reply_to_close_session() {
        let mut story = Story::new();
        let c = story.client();
        story.send(c, 1, Request::CloseSession);
        story.forward(c, 1, OpCode::CloseSession);
        let zxid = story.commit(c.session, 1, Txn::CloseSession { paths: None });
        story.reply(c, 1, zxid, Reply::Nothing);
        let mut more = story.clone();
        story.close(c, Closer::Server);
        story.holds();
        more.ping(c, zxid);
        more.breaks("P2");
    }

    #[test]
    fn an_old_write_that_overtakes_a_newer_one_of_its_session_is_caught() {
        let mut story = Story::new();
        let c = story.client();
        story.plant("/a");
        story.send(c, 1, set_data("/a", b"old"));
        let old = story.forward(c, 1, OpCode::SetData);
        story.lose();
        story.close(c, Closer::Server);
        story.reattach(SyncKind::Diff, story.last);
        let again = story.reopen(c.session, story.last);
        story.send(again, 2, set_data("/a", b"new"));
        story.forward(again, 2, OpCode::SetData);
        let mut fenced = story.clone();
        // Either the old one is refused, for its session has moved on ...
        let error = ErrorCode::SESSION_MOVED;
        fenced.commit(c.session, 2, set("/a", b"new", 1));
        fenced.commit(c.session, 1, Txn::Error { error });
        fenced.close(again, Closer::Client);
        fenced.holds();
        // ... or it is too late.
        assert!(old < story.records.len());
        story.commit(c.session, 2, set("/a", b"new", 1));
        story.commit(c.session, 1, set("/a", b"old", 2));
        story.close(again, Closer::Client);
        story.breaks("P2");
    }

    #[test]
    fn a_write_that_is_committed_without_the_one_before_it_is_caught() {
        let mut story = Story::new();
        let c = story.client();
        story.plant("/a");
        story.send(c, 1, set_data("/a", b"lost"));
        story.forward(c, 1, OpCode::SetData);
        story.send(c, 2, set_data("/a", b"behind"));
        story.lose();
        story.reattach(SyncKind::Diff, story.last);
        let mut cut = story.clone();
        cut.close(c, Closer::Server);
        cut.holds();
        story.forward(c, 2, OpCode::SetData);
        story.commit(c.session, 2, set("/a", b"behind", 1));
        story.close(c, Closer::Server);
        story.breaks("P2");
    }

    #[test]
    fn a_read_before_a_write_that_sees_it_is_caught() {
        let mut story = Story::new();
        let c = story.client();
        let made = story.plant("/a");
        let path = || BString::from("/a");
        story.send(c, 1, Request::Sync { path: path() });
        story.send(c, 2, get("/a", false));
        story.send(c, 3, set_data("/a", b"x"));
        story.forward(c, 3, OpCode::SetData);
        let written = story.commit(c.session, 3, set("/a", b"x", 1));
        let (before, after) = (stat(made, made, 0, 0), stat(made, written, 1, 1));
        let mut early = story.clone();
        story.reply(c, 1, made, Reply::Synced { path: path() });
        story.reply(c, 2, made, data(b"", before));
        story.reply(c, 3, written, Reply::Stat(after));
        story.holds();
        early.reply(c, 1, written, Reply::Synced { path: path() });
        early.reply(c, 2, written, data(b"x", after));
        early.reply(c, 3, written, Reply::Stat(after));
        early.breaks("P2");
    }
}
