//! P9, harmless: what the ensemble gets from the observer cannot hurt it.
//!
//! Demanded:
//!
//! * Nothing reached the leader that would hurt a real one, or that is no packet at all.
//! * Where an epoch's leader had the observer on another link before, a session's first request on a new link
//!   stands behind its REVALIDATE on that link, or is the one that creates it. The leader takes the old link for the
//!   session's owner, and would answer that the session has moved. (It asks for no owner at a sync, nor where a
//!   session is closed.)
//! * No request of a connection is handed on over a link that came up a third of the session's timeout after the
//!   connection had ended: its client may be at another server by now, and the request would overtake what it does
//!   there. (The end of a connection may be seen late, or never. A client looks for another server when it has heard
//!   nothing for two thirds of its timeout.)

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use outpost_wire::{OpCode, SessionId, Xid};

use super::transcript::{Link, Moment, Standing, Transcript, Verdict, Violation};
use crate::history::Received;

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    if let Some((moment, how)) = transcript.harms.first() {
        return Err(Violation::new("P9", *how, &[moment.record]));
    }
    let closed = closed(transcript);
    for (place, link) in transcript.links.iter().enumerate() {
        let again = transcript.links[..place]
            .iter()
            .any(|before| before.epoch == link.epoch && carried_clients(transcript, before));
        if again {
            revalidated_first(link)?;
        }
        from_the_living(link, &closed)?;
    }
    Ok(())
}

/// Whether the observer was attached over this link.
fn carried_clients(transcript: &Transcript<'_>, link: &Link<'_>) -> bool {
    let (presented, _) = link.presented;
    let gone = link.gone.unwrap_or(transcript.end);
    transcript.standings.iter().any(|(moment, standing)| {
        *standing == Standing::Attached
            && moment.record > presented.record
            && moment.record < gone.record
    })
}

fn revalidated_first(link: &Link<'_>) -> Verdict {
    let mut known: HashSet<SessionId> = HashSet::new();
    for (moment, packet) in &link.received {
        match packet {
            Received::Revalidate { session, .. } => drop(known.insert(*session)),
            Received::Request { session, op, cxid } => match OpCode::from_code(*op) {
                Some(OpCode::CreateSession) => drop(known.insert(*session)),
                Some(OpCode::Sync | OpCode::CloseSession) => {}
                _ if known.contains(session) => {}
                _ => {
                    let message = format!(
                        "cxid {cxid} of {session} comes on {:?} without a REVALIDATE before it",
                        link.id
                    );
                    let records = [link.presented.0.record, moment.record];
                    return Err(Violation::new("P9", message, &records));
                }
            },
            Received::Ping { .. } => {}
        }
    }
    Ok(())
}

/// When the last connection over which a request was sent had ended for so long that the request is not to be
/// handed on; `None` if one has not ended.
type Closed = HashMap<(SessionId, Xid), Option<Moment>>;

fn closed(transcript: &Transcript<'_>) -> Closed {
    let mut closed = Closed::new();
    for connection in &transcript.connections {
        let Some(session) = connection.session() else {
            continue;
        };
        let timeout_ms = connection.granted.map_or(0, |granted| granted.timeout_ms);
        let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0)) / 3;
        let end = connection.ended.map(|(moment, _)| Moment {
            at: moment.at + patience + transcript.settings.client_transit,
            ..moment
        });
        for request in connection.requests() {
            let later = |before: Option<Moment>| match (before, end) {
                (Some(before), Some(end)) if before.record > end.record => Some(before),
                (Some(_), end) => end,
                (None, _) => None,
            };
            closed
                .entry((session, request.xid))
                .and_modify(|before| *before = later(*before))
                .or_insert(end);
        }
    }
    closed
}

fn from_the_living(link: &Link<'_>, closed: &Closed) -> Verdict {
    let (presented, _) = link.presented;
    for (moment, packet) in &link.received {
        let Received::Request { session, cxid, op } = packet else {
            continue;
        };
        if *op == OpCode::Sync.code() {
            continue;
        }
        if let Some(Some(end)) = closed.get(&(*session, *cxid))
            && end.at < presented.at
        {
            let message = format!(
                "cxid {cxid} of {session} comes on {:?}, and its connection had ended before that came up",
                link.id
            );
            let records = [end.record, presented.record, moment.record];
            return Err(Violation::new("P9", message, &records));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use outpost_wire::OpCode;
    use outpost_wire::txn::Txn;

    use crate::checkers::specimen::{Client, Story, TIMEOUT_MS, set, set_data};
    use crate::history::{AtLeader, Closer, Link, SyncKind};

    /// A client that writes over a second link of the same epoch.
    fn again() -> (Story, Client) {
        let mut story = Story::new();
        let c = story.client();
        story.plant("/a");
        story.lose();
        story.reattach(SyncKind::Diff, story.last);
        story.send(c, 1, set_data("/a", b"x"));
        (story, c)
    }

    fn finish(story: &mut Story, c: Client) {
        story.commit(c.session, 1, set("/a", b"x", 1));
        story.close(c, Closer::Client);
    }

    #[test]
    fn a_session_is_revalidated_before_its_first_request_to_the_same_leader() {
        let (mut story, c) = again();
        story.revalidate(c.session);
        let (before, after) = (
            story.records.len() - 1,
            story.forward(c, 1, OpCode::SetData),
        );
        finish(&mut story, c);
        story.holds();
        story.swapped(before, after).breaks("P9");
        story.without(before).breaks("P9");
    }

    #[test]
    fn another_sessions_revalidation_is_not_enough() {
        let (mut story, c) = again();
        story.revalidate(crate::checkers::specimen::OTHER);
        story.forward(c, 1, OpCode::SetData);
        finish(&mut story, c);
        story.breaks("P9");
    }

    #[test]
    fn a_new_leader_knows_no_owners() {
        let mut story = Story::new();
        let c = story.client();
        story.plant("/a");
        story.lose();
        story.elect(2);
        story.reattach(SyncKind::Diff, story.last);
        story.send(c, 1, set_data("/a", b"x"));
        story.forward(c, 1, OpCode::SetData);
        finish(&mut story, c);
        story.holds();
    }

    #[test]
    fn a_request_of_a_connection_that_was_closed_before_the_link_came_up_is_caught() {
        let begin = || {
            let mut story = Story::new();
            let c = story.client();
            story.plant("/a");
            story.lose();
            story.send(c, 1, set_data("/a", b"x"));
            (story, c)
        };
        let go_on = |story: &mut Story, c: Client| {
            story.wait(TIMEOUT_MS as u64 / 3 + 1);
            story.elect(2);
            story.reattach(SyncKind::Diff, story.last);
            story.forward(c, 1, OpCode::SetData);
            story.commit(c.session, 1, set("/a", b"x", 1));
        };
        let (mut story, c) = begin();
        go_on(&mut story, c);
        story.close(c, Closer::Client);
        story.holds();
        let (mut story, c) = begin();
        story.close(c, Closer::Client);
        go_on(&mut story, c);
        story.breaks("P9");
    }

    #[test]
    fn what_harms_a_leader_is_caught() {
        let mut story = Story::new();
        story.holds();
        story.leader(AtLeader::Harmed {
            link: Link(1),
            how: "a body that cannot be read".to_owned(),
        });
        story.breaks("P9");
    }

    #[test]
    fn a_history_that_contradicts_itself_is_told_apart_from_a_broken_promise() {
        let mut story = Story::new();
        story.plant("/a");
        let mut twice = story.clone();
        twice.plant("/a");
        twice.breaks("history");
        let session = crate::checkers::specimen::OTHER;
        let mut gap = story.clone();
        gap.last = outpost_wire::Zxid(gap.last.0 + 1);
        gap.commit(session, 0, Txn::CloseSession { paths: None });
        gap.breaks("history");
    }
}
