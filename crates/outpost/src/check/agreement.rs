//! Do the voters have the settings that we have, and the same time?
//!
//! They say so in answer to `conf`, and their admin servers say more. Who says nothing is named.

use std::collections::BTreeMap;

use outpost::config::Config;
use outpost_wire::ServerId;
use outpost_wire::frame::FRAME_BYTES_MAX;

use super::admin::Told;
use super::conf::Conf;
use super::report::{Report, Subject};

/// A clock that differs by less is nothing to worry about: HTTP tells the time in whole seconds.
const SECONDS_APART_MAX: i64 = 2;

/// What a voter says of itself.
pub(super) struct Voter<'a> {
    pub(super) id: ServerId,
    /// In answer to `conf`.
    pub(super) conf: Option<&'a Conf>,
    /// By its admin server.
    pub(super) told: Option<&'a Told>,
}

/// A setting that should be one in all servers.
struct Shared {
    key: &'static str,
    ours: i64,
    /// What comes of a difference.
    why: &'static str,
}

/// Compares settings and clocks.
pub(super) fn check(config: &Config, voters: &[Voter<'_>], report: &mut Report) {
    let shared = shared(config);
    for voter in voters {
        compare(voter, &shared, config, report);
        compare_clocks(voter, report);
    }
}

fn shared(config: &Config) -> Vec<Shared> {
    let ticks = &config.ticks;
    let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let links = "so the two give a link up at different times";
    let sessions = "so a client gets another session timeout here than there";
    let shared = |key, ours, why| Shared { key, ours, why };
    vec![
        shared("tickTime", millis(ticks.tick_time), links),
        shared(
            "initLimit",
            ticks.init_limit.into(),
            "so the two wait for different times while we synchronise",
        ),
        shared("syncLimit", ticks.sync_limit.into(), links),
        shared(
            "minSessionTimeout",
            millis(config.clients.min_session_timeout),
            sessions,
        ),
        shared(
            "maxSessionTimeout",
            millis(config.clients.max_session_timeout),
            sessions,
        ),
    ]
}

fn compare(voter: &Voter<'_>, shared: &[Shared], config: &Config, report: &mut Report) {
    let subject = Subject::Server(voter.id);
    let told = told_settings(voter);
    let mut agreed = Vec::new();
    for Shared { key, ours, why } in shared {
        match told.get(key) {
            Some(theirs) if theirs == ours => agreed.push(*key),
            Some(theirs) => {
                let text = format!("has {key}={theirs}, and {ours} counts here, {why}");
                report.warn(subject, &text);
            }
            None => {}
        }
    }
    let properties = voter.told.and_then(|told| told.properties.as_ref());
    if let Some(properties) = properties {
        compare_properties(voter.id, properties, config, &mut agreed, report);
    }
    let missing = match (told.is_empty(), properties) {
        (true, None) => {
            let text = "its settings could not be compared with ours: it answers no `conf`, and no admin server of its \
                own was found where ours is";
            report.ok(subject, text);
            return;
        }
        (_, None) => {
            "; whether jute.maxbuffer and extendedTypesEnabled agree could not be found out: that only an \
            admin server tells"
        }
        _ => "",
    };
    let agreed = match agreed.as_slice() {
        [] => "agrees in nothing that it tells".to_owned(),
        agreed => format!("agrees in {}", agreed.join(", ")),
    };
    report.ok(subject, &format!("{agreed}{missing}"));
}

/// `conf` knows more, and its values are those in force.
fn told_settings(voter: &Voter<'_>) -> BTreeMap<&'static str, i64> {
    let mut settings = voter
        .told
        .map(|told| told.settings.clone())
        .unwrap_or_default();
    settings.extend(voter.conf.iter().flat_map(|conf| conf.settings.clone()));
    settings
}

fn compare_properties(
    id: ServerId,
    properties: &BTreeMap<String, String>,
    config: &Config,
    agreed: &mut Vec<&'static str>,
    report: &mut Report,
) {
    let theirs = properties
        .get("jute.maxbuffer")
        .and_then(|value| value.trim().parse().ok());
    let theirs: usize = theirs.unwrap_or(FRAME_BYTES_MAX);
    let ours = config.clients.frame_bytes_max;
    if theirs == ours {
        agreed.push("jute.maxbuffer");
    } else {
        let text = format!(
            "has jute.maxbuffer={theirs}, and {ours} counts here: what is as long as the larger of the two is refused by \
             the other"
        );
        report.warn(Subject::Server(id), &text);
    }
    let theirs = properties.get("zookeeper.extendedTypesEnabled");
    let theirs = theirs.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let ours = config.agreed.extended_types;
    if theirs == ours {
        agreed.push("extendedTypesEnabled");
    } else {
        let text = format!(
            "has extendedTypesEnabled={theirs}, and {ours} counts here: a TTL znode passes for an ephemeral one where \
             it is false"
        );
        report.warn(Subject::Server(id), &text);
    }
}

fn compare_clocks(voter: &Voter<'_>, report: &mut Report) {
    let Some(ahead) = voter.told.and_then(|told| told.ahead) else {
        return;
    };
    let subject = Subject::Server(voter.id);
    let by = ahead.abs();
    let which = if ahead > 0 { "ahead of" } else { "behind" };
    if by < SECONDS_APART_MAX {
        report.ok(
            subject,
            "its clock agrees with ours, as far as whole seconds can tell",
        );
    } else {
        let text = format!(
            "its clock is {by} s {which} ours: how far the mirror is behind would be told wrongly by as much; synchronise \
             the clocks"
        );
        report.warn(subject, &text);
    }
}
