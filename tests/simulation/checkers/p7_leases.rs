//! P7, leased: no client stays connected past the moment at which the leader could have expired its session.
//!
//! The leader expires a session no earlier than one timeout after the last sign of life that it has *received*:
//! a touch in a PING, a REVALIDATE, the request that created it; a new leader gives every session its whole timeout
//! again. That moment is the lease's end as the leader knows it. An observer knows less: it counts from when it
//! sent what has provably arrived, which is earlier. So what is demanded here leaves a correct observer room, and
//! grants a wrong one none:
//!
//! * As long as a connection is open, the lease of its session that the leader has granted last has not ended
//!   (but for the time that word of the end takes to the client).
//! * Nothing at all, neither reply nor event, comes to a client after the leader has counted its session as
//!   expired (but for what was on its way).
//! * No reply shows the transaction that has ended its session, but for the one that its client has asked for that,
//!   and that of a sync, which shows nothing.
//!
//! A touch that reaches the leader after the lease's end, and before the leader's own coarse steps of time have let
//! the session expire, mends nothing: the observer could not know.

use std::collections::HashMap;
use std::time::Duration;

use outpost_wire::{OpCode, SessionId};

use super::model::{Outcome, Step};
use super::transcript::{Connection, Item, Moment, Transcript, Verdict, Violation};
use crate::history::{Received, Request};

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    let leases = leases(transcript);
    let ends: HashMap<SessionId, &Step> = transcript
        .model
        .steps()
        .iter()
        .filter(|step| step.outcome == Outcome::SessionClosed)
        .map(|step| (step.header.session, step))
        .collect();
    for connection in &transcript.connections {
        let Some(session) = connection.session() else {
            continue;
        };
        let granted = leases.get(&session).map_or(&[][..], Vec::as_slice);
        open_within(transcript, connection, granted)?;
        silent_once_expired(transcript, connection, session)?;
        if let Some(step) = ends.get(&session) {
            silent_once_closed(connection, step)?;
        }
    }
    Ok(())
}

/// From one moment on, a session lives until another.
#[derive(Debug, Clone, Copy)]
struct Lease {
    from: Moment,
    until: Duration,
}

/// All leases of a session, in the order in which the leader granted them.
type Leases = HashMap<SessionId, Vec<Lease>>;

fn leases(transcript: &Transcript<'_>) -> Leases {
    let mut leases = Leases::new();
    let mut grant = |session: SessionId, from: Moment, timeout_ms: i32| {
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        let until = from.at + timeout;
        leases
            .entry(session)
            .or_default()
            .push(Lease { from, until });
    };
    let mut timeouts: HashMap<SessionId, i32> = HashMap::new();
    for step in transcript.model.steps() {
        if let Outcome::SessionCreated { timeout_ms } = step.outcome {
            timeouts.insert(step.header.session, timeout_ms);
        }
    }
    for (from, packet) in transcript.links.iter().flat_map(|link| &link.received) {
        match packet {
            Received::Ping { touched } => {
                for (session, timeout_ms) in touched {
                    grant(*session, *from, *timeout_ms);
                }
            }
            Received::Revalidate {
                session,
                timeout_ms,
                valid: true,
            } => grant(*session, *from, *timeout_ms),
            Received::Request { session, op, .. } if *op == OpCode::CreateSession.code() => {
                if let Some(timeout_ms) = timeouts.get(session) {
                    grant(*session, *from, *timeout_ms);
                }
            }
            Received::Revalidate { .. } | Received::Request { .. } => {}
        }
    }
    for (elected, _) in &transcript.elected {
        for step in transcript.model.steps() {
            if let Outcome::SessionCreated { timeout_ms } = step.outcome
                && step.record < elected.record
            {
                grant(step.header.session, *elected, timeout_ms);
            }
        }
    }
    for leases in leases.values_mut() {
        leases.sort_by_key(|lease| lease.from.record);
    }
    leases
}

/// At no moment of the connection's life has the newest lease ended.
fn open_within(
    transcript: &Transcript<'_>,
    connection: &Connection<'_>,
    leases: &[Lease],
) -> Verdict {
    let Some(granted) = connection.granted else {
        return Ok(());
    };
    let (end, _) = connection
        .ended
        .unwrap_or((transcript.end, crate::history::Closer::Server));
    let known = leases.partition_point(|lease| lease.from.record < granted.moment.record);
    for (place, lease) in leases.iter().enumerate().skip(known.saturating_sub(1)) {
        let next = leases.get(place + 1).map_or(end, |next| next.from);
        let reached = if next.record < end.record { next } else { end };
        if reached.at > lease.until + transcript.settings.client_transit {
            let message = format!(
                "{:?} is open at {:?}, and the leader could expire {} from {:?} on",
                connection.conn, reached.at, granted.session, lease.until
            );
            let records = [lease.from.record, reached.record];
            return Err(Violation::new("P7", message, &records));
        }
        if next.record >= end.record {
            break;
        }
    }
    Ok(())
}

fn silent_once_expired(
    transcript: &Transcript<'_>,
    connection: &Connection<'_>,
    session: SessionId,
) -> Verdict {
    let Some(expired) = transcript.expired.get(&session) else {
        return Ok(());
    };
    let late = expired.at + transcript.settings.client_transit;
    for item in &connection.items {
        let moment = item.moment();
        let comes = !matches!(item, Item::Request(_));
        if comes && moment.record > expired.record && moment.at > late {
            let message = format!("{:?} is served, and {session} has expired", connection.conn);
            let records = [expired.record, moment.record];
            return Err(Violation::new("P7", message, &records));
        }
    }
    Ok(())
}

fn silent_once_closed(connection: &Connection<'_>, end: &Step) -> Verdict {
    for reply in connection.replies() {
        let asked = connection.request_of(reply).map(|request| request.asked);
        let may = matches!(asked, Some(Request::CloseSession | Request::Sync { .. }));
        if reply.zxid >= end.header.zxid && !may {
            let message = format!(
                "{:?} is shown {}, and its session has ended at {}",
                connection.conn, reply.zxid, end.header.zxid
            );
            let records = [end.record, reply.moment.record];
            return Err(Violation::new("P7", message, &records));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use outpost_wire::txn::Txn;

    use crate::checkers::specimen::{Client, Story, TIMEOUT_MS};
    use crate::history::{AtLeader, Closer, Received, SyncKind};

    const TIMEOUT: u64 = TIMEOUT_MS as u64;

    fn touch(story: &mut Story, c: Client) -> usize {
        let touched = vec![(c.session, TIMEOUT_MS)];
        story.received(Received::Ping { touched })
    }

    #[test]
    fn a_client_whose_touches_arrive_is_served_and_one_whose_do_not_is_not() {
        let mut story = Story::new();
        let c = story.client();
        story.wait(TIMEOUT - 1);
        let kept = touch(&mut story, c);
        story.wait(TIMEOUT);
        story.ping(c, story.last);
        story.close(c, Closer::Server);
        story.holds();
        // The touch is lost on its way, or comes too late.
        story.without(kept).breaks("P7");
        story
            .bent(|records| records[kept].at += std::time::Duration::from_millis(2))
            .breaks("P7");
    }

    #[test]
    fn a_connection_that_is_silent_but_open_past_its_lease_is_caught() {
        let mut story = Story::new();
        let c = story.client();
        story.wait(TIMEOUT);
        let mut late = story.clone();
        story.close(c, Closer::Server);
        story.holds();
        late.wait(1);
        let mut open = late.clone();
        late.close(c, Closer::Server);
        late.breaks("P7");
        let other = open.client();
        open.ping(other, open.last);
        open.breaks("P7");
    }

    #[test]
    fn a_new_leader_gives_every_session_its_whole_timeout_again() {
        let mut story = Story::new();
        let c = story.client();
        story.wait(TIMEOUT - 5_000);
        story.lose();
        let elected = story.records.len();
        story.elect(2);
        story.reattach(SyncKind::Diff, story.last);
        story.wait(TIMEOUT);
        story.ping(c, story.last);
        story.holds();
        // Had it been elected at once it would not have been enough.
        let early = story.bent(|records| {
            let mut elected = records.remove(elected);
            elected.at = std::time::Duration::ZERO;
            records.insert(elected_before_everybody(records), elected);
        });
        early.breaks("P7");
    }

    fn elected_before_everybody(records: &[crate::history::Record]) -> usize {
        records
            .iter()
            .position(|record| record.at > std::time::Duration::ZERO)
            .expect("time goes on")
    }

    #[test]
    fn nothing_comes_once_the_leader_has_counted_a_session_as_expired() {
        let mut story = Story::new();
        let c = story.client();
        let session = c.session;
        story.wait(1_000);
        story.leader(AtLeader::Expired { session });
        story.commit(session, 0, Txn::CloseSession { paths: None });
        let mut served = story.clone();
        story.wait(1);
        story.close(c, Closer::Server);
        story.holds();
        served.wait(1);
        served.ping(c, served.last);
        served.breaks("P7");
    }

    #[test]
    fn a_client_whose_session_was_closed_elsewhere_sees_nothing_of_it() {
        let mut story = Story::new();
        let c = story.client();
        let before = story.last;
        let after = story.commit(c.session, 0, Txn::CloseSession { paths: None });
        story.ping(c, before);
        let mut shown = story.clone();
        story.close(c, Closer::Server);
        story.holds();
        shown.ping(c, after);
        shown.breaks("P7");
    }
}
