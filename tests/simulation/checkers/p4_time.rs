//! P4, never back in time: what a session has seen once, it never sees undone.
//!
//! Demanded:
//!
//! * The zxids of the replies and events of a connection never decrease.
//! * From one connection of a session to the next, those of its replies do not either. (Client libraries do not
//!   count events and pings, nor do they tell the next server of them.)
//! * A client that says at its connect request how much it has seen gets no reply that shows less.
//!
//! Zxids tell a client which of two answers is the newer one, so one that decreases shows it an older world; and
//! whoever reconnects has nothing but this promise to rely on. Headers that tell no state (0 and -1) do not count.

use std::collections::HashMap;

use outpost_wire::{SessionId, Xid, Zxid};

use super::transcript::{Connection, Item, Transcript, Verdict, Violation};

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    let mut seen: HashMap<SessionId, Seen> = HashMap::new();
    for connection in &transcript.connections {
        let Some(session) = connection.session() else {
            continue;
        };
        let seen = seen.entry(session).or_default();
        if connection.last_zxid_seen > seen.zxid {
            seen.zxid = connection.last_zxid_seen;
            seen.record = connection.began.record;
        }
        *seen = follow(connection, seen)?;
    }
    Ok(())
}

/// The newest state that a session has seen, and where.
#[derive(Clone, Copy)]
struct Seen {
    zxid: Zxid,
    record: usize,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen {
            zxid: Zxid::ZERO,
            record: 0,
        }
    }
}

/// What the next connection has to go on from.
fn follow(connection: &Connection<'_>, before: &Seen) -> Result<Seen, Violation> {
    let (mut seen, mut told) = (*before, *before);
    for item in &connection.items {
        let zxid = match item {
            Item::Request(_) => continue,
            Item::Reply(reply) => reply.zxid,
            Item::Event(event) => event.zxid,
        };
        if zxid <= Zxid::ZERO {
            continue;
        }
        let record = item.moment().record;
        if zxid < seen.zxid {
            let message = format!(
                "{:?} is shown {zxid}, and its session has seen {}",
                connection.conn, seen.zxid
            );
            return Err(Violation::new("P4", message, &[seen.record, record]));
        }
        seen = Seen { zxid, record };
        if matches!(item, Item::Reply(reply) if reply.xid != Xid::PING) {
            told = seen;
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use outpost_wire::Zxid;

    use crate::checkers::specimen::{Story, get};
    use crate::history::Closer;

    #[test]
    fn a_session_that_goes_on_from_where_it_was_passes_and_one_that_goes_back_does_not() {
        let mut story = Story::new();
        let c = story.client();
        let before = story.last;
        let seen = story.plant("/a");
        story.send(c, 1, get("/b", false));
        story.fail(c, 1, seen, outpost_wire::ErrorCode::NO_NODE);
        story.close(c, Closer::Client);
        let again = story.reopen(c.session, before);
        let mut back = story.clone();
        story.ping(again, seen);
        story.holds();
        back.ping(again, before);
        back.breaks("P4");
    }

    #[test]
    fn a_client_that_says_how_much_it_has_seen_is_not_shown_less() {
        let mut story = Story::new();
        let before = story.last;
        let c = story.client();
        story.close(c, Closer::Client);
        // What it has seen, it may have seen at another server.
        let seen = story.plant("/a");
        let again = story.reopen(c.session, seen);
        let mut back = story.clone();
        story.ping(again, seen);
        story.holds();
        back.ping(again, before);
        back.breaks("P4");
    }

    #[test]
    fn replies_of_one_connection_that_go_back_are_caught() {
        let mut story = Story::new();
        let c = story.client();
        let before = story.last;
        let after = story.plant("/a");
        let first = story.ping(c, before);
        let second = story.ping(c, after);
        story.holds();
        story.swapped(first, second).breaks("P4");
        let mut silent = story.clone();
        silent.send(c, 1, get("/a", false));
        silent.fail(c, 1, Zxid(-1), outpost_wire::ErrorCode::UNIMPLEMENTED);
        silent.holds();
    }
}
