//! P8, bounded staleness: without a link clients are served for the hold and no longer.
//!
//! Demanded, with the time that word takes to a client added everywhere:
//!
//! * From the loss of the link on, clients are served for at most the hold. When it is over and there is no link,
//!   every connection ends.
//! * When the observer gives up, every connection ends, and until it is attached again nobody is served.
//! * A link that has ended at the leader is lost for the observer no later than it believes in a silent link.
//!
//! The losses of several links in a row count as one, from the first on: what has not caught up is not attached.

use std::time::Duration;

use super::transcript::{Connection, Item, Moment, Standing, Transcript, Verdict, Violation};

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    for gap in gaps(transcript) {
        for connection in &transcript.connections {
            nobody_served(transcript, connection, &gap)?;
        }
    }
    losses_are_noticed(transcript)
}

/// A time in which nobody may be served.
struct Gap {
    /// What began it: the loss, or giving up.
    cause: Moment,
    from: Duration,
    /// Attached again, or the end of the history.
    until: Moment,
}

fn gaps(transcript: &Transcript<'_>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut lost: Option<Moment> = None;
    let mut given_up: Option<Moment> = None;
    let hold = transcript.settings.hold;
    let mut close = |lost: &mut Option<Moment>, given_up: &mut Option<Moment>, until: Moment| {
        if let Some(cause) = lost.take() {
            let from = cause.at + hold;
            gaps.push(Gap { cause, from, until });
        }
        if let Some(cause) = given_up.take() {
            let from = cause.at;
            gaps.push(Gap { cause, from, until });
        }
    };
    for (moment, standing) in &transcript.standings {
        match standing {
            Standing::Lost => drop(lost.get_or_insert(*moment)),
            Standing::GivenUp => drop(given_up.get_or_insert(*moment)),
            Standing::Attached => close(&mut lost, &mut given_up, *moment),
        }
    }
    let behind_the_end = Moment {
        record: transcript.end.record + 1,
        at: transcript.end.at,
    };
    close(&mut lost, &mut given_up, behind_the_end);
    gaps.retain(|gap| gap.from < gap.until.at);
    gaps
}

/// A connection that is open when the gap begins ends at once, and none is granted a session before it is over.
fn nobody_served(transcript: &Transcript<'_>, connection: &Connection<'_>, gap: &Gap) -> Verdict {
    let Some(granted) = connection.granted else {
        return Ok(());
    };
    let late = gap.from + transcript.settings.client_transit;
    let inside = |moment: Moment| {
        moment.at > late && moment.record > gap.cause.record && moment.record < gap.until.record
    };
    let ended = connection.ended.map(|(moment, _)| moment);
    let began_before = granted.moment.record < gap.until.record;
    let served = connection
        .items
        .iter()
        .filter(|item| !matches!(item, Item::Request(_)))
        .map(Item::moment)
        .find(|moment| inside(*moment));
    let open = match ended {
        Some(ended) => ended.record > gap.cause.record && ended.at > late,
        None => true,
    };
    let fault = match served {
        Some(served) => Some(("is served", served)),
        None if inside(granted.moment) => Some(("is granted a session", granted.moment)),
        None if began_before && open && gap.until.at > late => {
            Some(("stays open", ended.unwrap_or(gap.until)))
        }
        None => None,
    };
    match fault {
        None => Ok(()),
        Some((what, moment)) => {
            let message = format!(
                "{:?} {what} at {:?}, and without a link nobody is after {:?}",
                connection.conn, moment.at, gap.from
            );
            let records = [gap.cause.record, moment.record.min(transcript.end.record)];
            Err(Violation::new("P8", message, &records))
        }
    }
}

/// A link that is no more at the leader's side is not believed in for long.
fn losses_are_noticed(transcript: &Transcript<'_>) -> Verdict {
    for (place, link) in transcript.links.iter().enumerate() {
        let next = transcript.links.get(place + 1).map(|next| next.presented.0);
        let until = next.unwrap_or(transcript.end);
        let Some(gone) = link.gone else { continue };
        let late = gone.at + transcript.settings.link_timeout + transcript.settings.link_transit;
        let attached = standing_within(transcript, link.presented.0, until, Standing::Attached);
        let lost = standing_within(transcript, link.presented.0, until, Standing::Lost);
        let noticed = lost.map_or(until.at, |lost| lost.at);
        if attached.is_some() && noticed > late {
            let message = format!("{:?} is gone, and is not lost before {noticed:?}", link.id);
            let records = [gone.record, lost.unwrap_or(until).record];
            return Err(Violation::new("P8", message, &records));
        }
    }
    Ok(())
}

fn standing_within(
    transcript: &Transcript<'_>,
    from: Moment,
    until: Moment,
    wanted: Standing,
) -> Option<Moment> {
    let mut standings = transcript.standings.iter();
    standings
        .find(|(moment, standing)| {
            *standing == wanted && moment.record > from.record && moment.record <= until.record
        })
        .map(|(moment, _)| *moment)
}

#[cfg(test)]
mod tests {
    use crate::checkers::specimen::{SETTINGS, Story};
    use crate::history::{AtObserver, Closer, SyncKind};

    fn hold_ms() -> u64 {
        SETTINGS.hold.as_millis() as u64
    }

    fn give_up(story: &mut Story) {
        let reason = "the hold is over".to_owned();
        story.observer(AtObserver::GaveUp { reason });
    }

    #[test]
    fn clients_are_served_for_the_hold_and_not_for_longer() {
        let mut story = Story::new();
        let c = story.client();
        story.lose();
        story.wait(hold_ms());
        story.ping(c, story.last);
        let mut longer = story.clone();
        let mut open = story.clone();
        give_up(&mut story);
        story.close(c, Closer::Server);
        story.wait(1);
        story.reattach(SyncKind::Diff, story.last);
        story.holds();
        longer.wait(1);
        longer.ping(c, longer.last);
        longer.breaks("P8");
        open.wait(1);
        open.close(c, Closer::Server);
        open.breaks("P8");
    }

    #[test]
    fn a_link_that_comes_back_in_time_ends_the_hold() {
        let mut story = Story::new();
        let c = story.client();
        story.lose();
        story.wait(hold_ms());
        story.reattach(SyncKind::Diff, story.last);
        story.wait(hold_ms());
        story.ping(c, story.last);
        story.holds();
    }

    #[test]
    fn the_hold_begins_with_the_first_of_several_losses() {
        let mut story = Story::new();
        let c = story.client();
        story.lose();
        story.wait(hold_ms() - 1);
        story.observer(AtObserver::Lost {
            reason: "refused".to_owned(),
        });
        story.wait(2);
        story.ping(c, story.last);
        story.breaks("P8");
    }

    #[test]
    fn whoever_has_given_up_serves_nobody_until_it_is_attached() {
        let mut story = Story::new();
        let c = story.client();
        story.lose();
        give_up(&mut story);
        let mut kept = story.clone();
        story.close(c, Closer::Server);
        story.wait(1);
        story.holds();
        let mut new = story.clone();
        new.client();
        new.wait(1);
        new.breaks("P8");
        story.reattach(SyncKind::Diff, story.last);
        story.client();
        story.holds();
        kept.wait(1);
        kept.ping(c, kept.last);
        kept.breaks("P8");
    }

    #[test]
    fn a_link_that_is_gone_is_not_believed_in_for_long() {
        let mut story = Story::new();
        story.wait(1);
        let lost = story.lose();
        let timeout = SETTINGS.link_timeout;
        story.bent(|records| records[lost].at += timeout).holds();
        let late = timeout + std::time::Duration::from_millis(1);
        story.bent(|records| records[lost].at += late).breaks("P8");
        let mut never = story.without(lost);
        never.wait(late.as_millis() as u64);
        let c = never.client();
        never.ping(c, never.last);
        never.breaks("P8");
    }
}
