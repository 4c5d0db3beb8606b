//! Is our id free? The ensemble may know members that our file does not, and observers attach without being listed.

use std::net::IpAddr;

use outpost::config::Config;
use outpost_wire::ServerId;
use outpost_wire::membership::{Member, Role};

use super::agreement::Voter;
use super::report::{Report, Subject};

/// Looks for somebody else with our id, in what the voters have told.
pub(super) fn check(
    config: &Config,
    leader: Option<ServerId>,
    voters: &[Voter<'_>],
    report: &mut Report,
) {
    check_membership(config, voters, report);
    check_attached(config.id, leader, voters, report);
}

/// The voters' own list counts, not ours. They all have the same, but for a moment.
fn check_membership(config: &Config, voters: &[Voter<'_>], report: &mut Report) {
    let id = config.id;
    let lists = voters.iter().filter_map(|voter| {
        let membership = voter.conf?.membership.as_ref()?;
        Some((voter.id, membership))
    });
    let newest = lists.max_by_key(|(_, membership)| membership.version);
    let Some((server, membership)) = newest else {
        let text = format!(
            "whom the ensemble itself takes for members could not be found out: no voter answers `conf`; the lines of \
             the configuration are all that is known of id {id}"
        );
        report.ok(Subject::Config, &text);
        return;
    };
    let by = format!("server.{server}'s list of members");
    match (membership.get(id), config.ensemble.members.get(id)) {
        (None, _) => {
            report.ok(Subject::Config, &format!("id {id}: nobody has it in {by}"));
        }
        (Some(theirs), _) if theirs.role == Role::Participant => {
            let text = format!("id {id} is a voter's, by {by}: {theirs}; choose another");
            report.fail(Subject::Config, &text);
        }
        (Some(theirs), Some(ours)) if same_place(theirs, ours) => {
            report.ok(
                Subject::Config,
                &format!("id {id}: an observer, by {by} too"),
            );
        }
        (Some(theirs), _) => {
            let text = format!(
                "id {id} is an observer's, by {by}: {theirs}; if that is not the one that Outpost stands in for, choose \
                 another"
            );
            report.warn(Subject::Config, &text);
        }
    }
}

fn same_place(theirs: &Member, ours: &Member) -> bool {
    theirs.addresses == ours.addresses
}

fn check_attached(
    id: ServerId,
    leader: Option<ServerId>,
    voters: &[Voter<'_>],
    report: &mut Report,
) {
    let mut asked = Vec::new();
    let mut found = false;
    for voter in voters {
        let Some(told) = voter.told else { continue };
        let Some(observers) = &told.observers else {
            continue;
        };
        asked.push(voter.id);
        for other in observers.iter().filter(|other| other.id == id) {
            found = true;
            let from = other.from.map(|from| from.ip().to_canonical());
            report_attached(id, voter.id, from, told.ours, report);
        }
    }
    if found {
        return;
    }
    let named: Vec<String> = asked
        .iter()
        .map(|server| format!("server.{server}"))
        .collect();
    match leader {
        Some(leader) if asked.contains(&leader) => {
            let text = format!(
                "id {id}: no observer that is attached to {} has it",
                named.join(", ")
            );
            report.ok(Subject::Config, &text);
        }
        _ => {
            let text = format!(
                "whether an observer with id {id} is attached could not be found out: no admin server of the leader was \
                 found where ours is, or it is older than 3.6"
            );
            report.ok(Subject::Config, &text);
        }
    }
}

/// Two with one id would give out the same session ids. One on this machine may be the very one that is checked.
fn report_attached(
    id: ServerId,
    master: ServerId,
    from: Option<IpAddr>,
    ours: IpAddr,
    report: &mut Report,
) {
    match from {
        Some(from) if from == ours.to_canonical() => {
            let text = format!(
                "an observer with id {id} is attached to server.{master} from this machine; end it before Outpost starts, \
                 unless it is the Outpost of this configuration"
            );
            report.warn(Subject::Config, &text);
        }
        _ => {
            let from = from.map_or("elsewhere".to_owned(), |from| from.to_string());
            let text = format!(
                "id {id} is in use: an observer with it is attached to server.{master} from {from}; choose another, or \
                 end that one first"
            );
            report.fail(Subject::Config, &text);
        }
    }
}
