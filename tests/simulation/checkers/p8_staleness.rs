//! P8, bounded staleness: without a link clients are served for the hold and no longer.
//!
//! Demanded, with the time that word takes to a client added everywhere:
//!
//! * From the loss of the link on, clients are served for at most the hold. When it is over and there is no link,
//!   every connection ends.
//! * When the observer gives up, every connection ends, and until it is attached again nobody is served.
//! * The same counted from where the link has ended at the leader, and as much later as the observer believes in a
//!   silent link: whoever does not notice that a link is gone must not serve for longer than that.
//!
//! The losses of several links in a row count as one, from the first on: what has not caught up is not attached.

use std::time::Duration;

use super::transcript::{Connection, Item, Moment, Standing, Transcript, Verdict, Violation};

/// See the module.
pub(crate) fn check(transcript: &Transcript<'_>) -> Verdict {
    let gaps = gaps(transcript).into_iter().chain(unnoticed(transcript));
    for gap in gaps.filter(|gap| gap.from < gap.until.at) {
        for connection in &transcript.connections {
            nobody_served(transcript, connection, &gap)?;
        }
    }
    Ok(())
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
    close(&mut lost, &mut given_up, behind_the_end(transcript));
    gaps
}

fn behind_the_end(transcript: &Transcript<'_>) -> Moment {
    Moment {
        record: transcript.end.record + 1,
        at: transcript.end.at,
    }
}

/// Times without a link as the leader knows them.
fn unnoticed(transcript: &Transcript<'_>) -> Vec<Gap> {
    let settings = &transcript.settings;
    let notices = settings.link_timeout + settings.link_transit;
    let mut gaps = Vec::new();
    for (place, link) in transcript.links.iter().enumerate() {
        let Some(cause) = link.gone else { continue };
        let next = transcript.links.get(place + 1);
        // The observer has known before the leader did, and was there again.
        if next.is_some_and(|next| next.presented.0.record < cause.record) {
            continue;
        }
        gaps.push(Gap {
            cause,
            from: cause.at + notices + settings.hold,
            until: attached_after(transcript, cause),
        });
    }
    gaps
}

fn attached_after(transcript: &Transcript<'_>, moment: Moment) -> Moment {
    let mut standings = transcript.standings.iter();
    let attached = standings.find(|(attached, standing)| {
        *standing == Standing::Attached && attached.record > moment.record
    });
    attached.map_or(behind_the_end(transcript), |(attached, _)| *attached)
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
    fn whoever_does_not_notice_that_the_link_is_gone_serves_no_longer_for_it() {
        let mut story = Story::new();
        let c = story.client();
        let lost = story.lose();
        story.wait(SETTINGS.link_timeout.as_millis() as u64);
        story.wait(hold_ms());
        story.ping(c, story.last);
        let unnoticed = story.without(lost);
        unnoticed.holds();
        let mut longer = unnoticed.clone();
        longer.wait(1);
        longer.ping(c, longer.last);
        longer.breaks("P8");
    }

    #[test]
    fn that_the_leader_finds_an_old_link_gone_later_means_nothing() {
        let mut story = Story::new();
        let c = story.client();
        let lost = story.lose();
        let gone = lost - 1;
        story.reattach(SyncKind::Diff, story.last);
        let late = story.bent(|records| {
            let gone = records.remove(gone);
            records.push(gone);
        });
        let mut late = late;
        late.wait(SETTINGS.link_timeout.as_millis() as u64);
        late.wait(hold_ms() + 1);
        late.ping(c, late.last);
        late.holds();
    }
}
