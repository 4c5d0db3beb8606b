//! Users and mechanisms as they are configured: is there somebody to log in as, and what for?
//!
//! What a server makes of them is found in `entry`.

use outpost::config::{Config, SaslUsers};

use super::report::{Report, Subject};

/// Looks at all that is configured about SASL.
pub(super) fn check(config: &Config, report: &mut Report) {
    report.ok(Subject::Sasl, &clients(config));
    report.ok(Subject::Sasl, &ensemble(config));
}

/// Says that a leader has let us in; of one that has not, its own findings tell.
pub(super) fn answered(config: &Config, has_leader: bool, report: &mut Report) {
    if let (Some(login), true) = (&config.ensemble.sasl, has_leader) {
        let text = format!("the leader accepts user {} and its password", login.user);
        report.ok(Subject::Sasl, &text);
    }
}

fn clients(config: &Config) -> String {
    let sasl = &config.auth.sasl;
    let Some(users) = &sasl.users else {
        return "clients cannot log in: there are no users for them".to_owned();
    };
    let enforced = config.auth.enforced_schemes.iter();
    let must = match enforced.clone().any(|scheme| scheme == "sasl") {
        true if enforced.len() == 1 => "must",
        _ => "may",
    };
    let acls = match sasl.provider {
        true => "",
        false => "; ACL entries of scheme sasl mean nobody",
    };
    let failed = match sasl.keeps_failed {
        true => "; who fails may stay as nobody",
        false => "",
    };
    let supers = match &sasl.super_users[..] {
        [] => String::new(),
        names => format!("; {} may do everything", names.join(", ")),
    };
    format!(
        "clients {must} log in with DIGEST-MD5 as {}{supers}{acls}{failed}",
        named(users)
    )
}

/// How many they are and where they stand; few are called by name.
fn named(users: &SaslUsers) -> String {
    let names: Vec<&str> = users.passwords.keys().map(String::as_str).collect();
    let who = match &names[..] {
        [] => "nobody".to_owned(),
        names if names.len() <= 5 => names.join(", "),
        names => format!("one of {} users", names.len()),
    };
    let (section, file) = (&users.section, users.file.display());
    format!("{who} (section {section} of {file})")
}

fn ensemble(config: &Config) -> String {
    match &config.ensemble.sasl {
        Some(login) => format!(
            "logs in at the ensemble with DIGEST-MD5 as {} ({})",
            login.user, login.place
        ),
        None => "does not log in at the ensemble".to_owned(),
    }
}
