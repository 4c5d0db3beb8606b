//! The first thing to know: whom this mirror follows, since when and how closely; and how links were lost.

use std::time::{Duration, SystemTime};

use outpost_forward::losses::{LossReport, Outcome};
use outpost_forward::status::LinkState;
use outpost_wire::membership::{Endpoint, Role};

use super::chart::{self, Chart};
use super::html::{Html, put};
use super::words;
use crate::admin::history::Sample;
use crate::report::{LinkReport, Report, java};
use crate::serve::read_only::Mode;

/// How things are, in a word and a sentence. Neither changes while nothing happens, so that they may be
/// read out when they do.
pub(super) struct Condition {
    /// `good`, `fair` or `poor`.
    pub(super) tone: &'static str,
    /// The word.
    pub(super) word: &'static str,
    /// The sentence.
    pub(super) sentence: String,
}

/// The link and who is served, as both are at one moment.
pub(super) struct Now {
    link: LinkReport,
    mode: Mode,
    pub(super) condition: Condition,
}

impl Now {
    pub(super) fn of(report: &Report<'_>) -> Now {
        // In this order: the other way round, a first attachment in between would look like a lost link.
        let (mode, link) = (report.mode(), report.link());
        let condition = condition(mode, &link);
        Now {
            link,
            mode,
            condition,
        }
    }

    /// Whether clients are served although the link is lost.
    fn is_holding(&self) -> bool {
        self.link.state != LinkState::Attached && matches!(self.mode, Mode::Everybody(_))
    }
}

/// How things are. Whoever is served while the link is not attached is held, from the first moment on.
fn condition(mode: Mode, link: &LinkReport) -> Condition {
    let say = |tone, word, sentence: &str| Condition {
        tone,
        word,
        sentence: sentence.to_owned(),
    };
    match link.state {
        LinkState::Attached => say("good", "Attached", &attached(link)),
        _ if matches!(mode, Mode::Everybody(_)) => say(
            "fair",
            "Holding",
            "The link is lost. Clients are held: they read, and what they write waits.",
        ),
        _ if mode == Mode::ReadOnly => say(
            "fair",
            "Read-only",
            "The link is lost for longer than the hold. Clients that can do with it are served read-only.",
        ),
        LinkState::Synchronizing if link.arriving.is_some() => say(
            "poor",
            "Synchronizing",
            "A snapshot is arriving. Nobody is served yet.",
        ),
        LinkState::Synchronizing => say(
            "poor",
            "Synchronizing",
            "A learner master has answered. Nobody is served yet.",
        ),
        LinkState::Seeking => say(
            "poor",
            "Detached",
            "No learner master is found. Nobody is served.",
        ),
    }
}

fn attached(link: &LinkReport) -> String {
    match &link.master {
        Some(master) if master.leads => format!("Follows server {}, the leader.", master.server),
        Some(master) => format!(
            "Follows server {}, which passes on what the leader commits.",
            master.server
        ),
        None => "Follows a learner master.".to_owned(),
    }
}

/// The section about the present.
pub(super) fn present(html: &mut Html, report: &Report<'_>, now: &Now, samples: &[Sample]) {
    let condition = &now.condition;
    put!(
        html,
        "<section id=\"link\" class=\"link {}\" aria-labelledby=\"link-h\"><h2 id=\"link-h\">Link to the ensemble</h2>\n\
         <p id=\"state\" class=\"state\" role=\"status\"><strong>{}</strong> {}</p>\n",
        condition.tone,
        condition.word,
        condition.sentence
    );
    put!(html, "<p class=\"ready\">{}</p>\n", readiness(report));
    put!(html, "<dl class=\"facts\">\n");
    for (name, value, more) in facts(report, now) {
        put!(
            html,
            "<div><dt>{}</dt><dd>{} <small>{}</small></dd></div>\n",
            name,
            value,
            more
        );
    }
    put!(html, "</dl>\n<div class=\"charts\">\n");
    charts(html, samples);
    put!(html, "</div></section>\n");
}

fn readiness(report: &Report<'_>) -> String {
    match report.ready() {
        Ok(()) => "Ready for new clients.".to_owned(),
        Err(why) => format!("Not ready for new clients: {why}."),
    }
}

/// Name, value, and what is worth a smaller print.
type Fact = (&'static str, String, String);

fn facts(report: &Report<'_>, now: &Now) -> Vec<Fact> {
    let link = &now.link;
    let mut facts: Vec<Fact> = Vec::new();
    if let Some(master) = &link.master {
        let address = Endpoint::new(master.host.clone(), master.port).to_string();
        facts.push(("Learner master", address, format!("epoch {}", master.epoch)));
        facts.push(("For", words::duration(master.age), since(master.age)));
    }
    if let Some(detached) = link.detached_for {
        let hold = report.facts().hold;
        let more = match now.is_holding() {
            true => format!("of {} that clients are held", words::duration(hold)),
            false => String::new(),
        };
        facts.push(("Without a link for", words::duration(detached), more));
    }
    if let Some(arriving) = link.arriving {
        let znodes = words::counted(arriving.received.znodes, "znode", "znodes");
        let bytes = words::bytes(arriving.received.bytes);
        let time = words::duration(arriving.since.elapsed());
        facts.push(("Snapshot", bytes, format!("{znodes} in {time} so far")));
    }
    let behind = words::counted(link.lag_zxids, "transaction", "transactions");
    facts.push(("Behind the leader", words::duration(link.lag), behind));
    if let Some(trip) = link.round_trip.filter(|_| link.detached_for.is_none()) {
        let trip = words::duration(trip);
        facts.push(("Round trip", trip, "to the leader and back".to_owned()));
    }
    facts.push((
        "Applied",
        report.status().applied_zxid().to_string(),
        format!("leader at {}", link.leader_zxid),
    ));
    facts
}

/// When something began that long ago: the time of day, and the day unless it was less than one ago.
fn since(age: Duration) -> String {
    const DAY: Duration = Duration::from_secs(86_400);
    let began = java::instant(
        SystemTime::now()
            .checked_sub(age)
            .unwrap_or(SystemTime::UNIX_EPOCH),
    );
    let began = to_the_second(&began);
    let time = began.split(' ').nth(1).filter(|_| age < DAY);
    format!("since {} UTC", time.unwrap_or(&began))
}

/// A moment without its milliseconds: `2026-11-23 09:31:10`.
fn to_the_second(instant: &str) -> String {
    let seconds = instant.split('.').next().unwrap_or_default();
    seconds.replace('T', " ")
}

fn charts(html: &mut Html, samples: &[Sample]) {
    let ages = chart::ages(samples);
    let gaps = chart::gaps(samples, &ages);
    let lags: Vec<(f64, f64)> = ages
        .iter()
        .zip(samples)
        .map(|(age, sample)| (*age, sample.lag.as_secs_f64()))
        .collect();
    let lag = |sample: &Sample| words::duration(sample.lag);
    let now = samples.last().map(lag).unwrap_or_default();
    let highest = samples.iter().max_by_key(|sample| sample.lag);
    let highest = highest.map(lag).unwrap_or_default();
    let mut description = format!("now {now}, highest {highest}");
    let without: f64 = gaps.iter().map(|(from, to)| from - to).sum();
    if !gaps.is_empty() {
        let without = words::duration(Duration::from_secs_f64(without));
        description.push_str(&format!("; shaded: {without} without a link"));
    }
    let lag = Chart {
        id: "lag",
        title: "Time behind the leader",
        description: &description,
        points: &lags,
        top_min: 1.0,
        write: chart::seconds,
        gaps: &gaps,
    };
    chart::chart(html, &lag);
    let rates: Vec<(f64, f64)> = samples
        .windows(2)
        .zip(&ages[1.min(ages.len())..])
        .map(|(pair, age)| {
            let time = pair[1].at.saturating_duration_since(pair[0].at);
            let received = pair[1].received.saturating_sub(pair[0].received);
            // The last pair may be of nearly the same moment.
            (*age, received as f64 / time.as_secs_f64().max(0.2))
        })
        .collect();
    let highest = rates.iter().map(|rate| rate.1).fold(0.0, f64::max);
    let mean = mean(samples);
    let description = format!(
        "mean {} a second, highest {}",
        words::rate_text(mean),
        words::rate_text(highest)
    );
    let requests = Chart {
        id: "requests",
        title: "Requests of clients",
        description: &description,
        points: &rates,
        top_min: 10.0,
        write: |value| format!("{}/s", words::rate_text(value)),
        gaps: &gaps,
    };
    chart::chart(html, &requests);
}

fn mean(samples: &[Sample]) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return 0.0;
    };
    let time = last.at.saturating_duration_since(first.at);
    words::rate(last.received.saturating_sub(first.received), time)
}

/// The section about the past.
pub(super) fn losses(html: &mut Html, report: &Report<'_>) {
    put!(
        html,
        "<section id=\"losses\" aria-labelledby=\"losses-h\"><h2 id=\"losses-h\">Lost links</h2>\n"
    );
    let losses = report.losses();
    if losses.is_empty() {
        let uptime = words::duration(report.server().uptime);
        put!(html, "<p>None since the start, {} ago.</p>\n", uptime);
    } else {
        put!(
            html,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"losses-c\"><table>\
             <caption id=\"losses-c\">The last ones, newest first</caption><thead><tr>\
             <th scope=\"col\">When (UTC)</th><th scope=\"col\" class=\"wide\">Reason</th><th scope=\"col\">Learner master</th>\
             <th scope=\"col\" class=\"n\">Followed for</th><th scope=\"col\">Back</th>\
             <th scope=\"col\" class=\"n\">Clients</th><th scope=\"col\" class=\"n\">Kept</th>\
             <th scope=\"col\">Closed, by cause</th></tr></thead><tbody>\n"
        );
        for loss in &losses {
            row(html, loss);
        }
        put!(html, "</tbody></table></div>\n");
    }
    put!(html, "</section>\n");
}

fn row(html: &mut Html, report: &LossReport) {
    let loss = &report.loss;
    let at = java::instant(loss.wall_clock);
    let master = Endpoint::new(loss.master.host.clone(), loss.master.port);
    let followed = loss.followed.map_or("never".to_owned(), |since| {
        words::duration(loss.at.saturating_duration_since(since))
    });
    let (back, kept) = match &loss.outcome {
        Outcome::Open => ("not yet".to_owned(), String::new()),
        Outcome::Reattached { after, kept, by } => (
            format!("after {} by {by}", words::duration(*after)),
            kept.map_or("none".to_owned(), words::count),
        ),
    };
    put!(
        html,
        "<tr><th scope=\"row\"><time datetime=\"{}\">{}</time></th><td><strong>{}</strong> {}</td>\
         <td>{} <small>server {}</small></td><td class=\"n\">{}</td><td>{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>\n",
        at,
        to_the_second(&at),
        loss.label,
        loss.reason,
        master,
        loss.master.server,
        followed,
        back,
        words::count(loss.clients.connected),
        kept,
        closed(report)
    );
}

fn closed(report: &LossReport) -> String {
    let causes = report.closed.0.iter().filter(|(_, count)| *count > 0);
    let causes: Vec<String> = causes
        .map(|(cause, count)| format!("{cause} {}", words::count(*count)))
        .collect();
    match causes.is_empty() {
        true => "none".to_owned(),
        false => causes.join(", "),
    }
}

/// The section about those around this server.
pub(super) fn ensemble(html: &mut Html, report: &Report<'_>, now: &Now) {
    let (membership, link) = (report.membership(), &now.link);
    put!(
        html,
        "<section id=\"ensemble\" aria-labelledby=\"ensemble-h\"><h2 id=\"ensemble-h\">Ensemble</h2>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"ensemble-c\"><table>\
         <caption id=\"ensemble-c\">Its servers, as far as they are known here</caption><thead><tr>\
         <th scope=\"col\">Server</th><th scope=\"col\">Address</th><th scope=\"col\">Role</th>\
         <th scope=\"col\">Here</th></tr></thead><tbody>\n"
    );
    for member in membership.members.values() {
        let addresses = member.addresses.iter();
        let addresses: Vec<String> = addresses
            .map(|one| Endpoint::new(&one.host, one.quorum_port).to_string())
            .collect();
        let followed = link.master.as_ref();
        let followed = followed.is_some_and(|master| master.server == member.id);
        let here = match (followed, member.id == report.facts().server_id) {
            (true, _) => "followed",
            (_, true) => "this server",
            _ => "",
        };
        let role = match member.role {
            Role::Participant => "voter",
            Role::Observer => "observer",
        };
        put!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            member.id,
            addresses.join(" | "),
            role,
            here
        );
    }
    put!(
        html,
        "</tbody></table></div>\n<h3>Downstream learners</h3>\n\
         <p>None: Outpost does not serve other observers yet.</p></section>\n"
    );
}

#[cfg(test)]
mod tests {
    use outpost_forward::Attachment;
    use outpost_wire::Zxid;

    use super::*;

    #[test]
    fn whoever_is_served_without_a_link_is_held_from_the_first_moment_to_the_last() {
        let everybody = Mode::Everybody(Attachment(1));
        for (state, mode, word) in [
            // The apply thread has not come to UPTODATE.
            (LinkState::Attached, Mode::Nobody, "Attached"),
            (LinkState::Attached, everybody, "Attached"),
            // The apply thread has not heard of the loss, which ends or holds its clients.
            (LinkState::Seeking, everybody, "Holding"),
            (LinkState::Synchronizing, everybody, "Holding"),
            (LinkState::Seeking, Mode::ReadOnly, "Read-only"),
            (LinkState::Seeking, Mode::Nobody, "Detached"),
            (LinkState::Synchronizing, Mode::Nobody, "Synchronizing"),
        ] {
            let link = LinkReport {
                state,
                arriving: None,
                master: None,
                leader_zxid: Zxid::ZERO,
                lag_zxids: 0,
                lag: Duration::ZERO,
                round_trip: None,
                detached_for: None,
                last_loss: None,
            };
            assert_eq!(condition(mode, &link).word, word, "{state:?}, {mode:?}");
        }
    }
}
