//! The members of the ensemble, from the `server.N` lines of the file or of its dynamic file.

use std::path::Path;

use outpost_wire::ServerId;
use outpost_wire::membership::Membership;

use super::ReadFile;
use super::findings::Place;
use super::properties;
use super::settings::{Setting, Settings};

/// The members, and the settings that they come from.
pub(super) struct Members {
    /// Who belongs to the ensemble.
    pub(super) membership: Membership,
    /// The `server.N` settings.
    servers: Vec<Setting>,
}

impl Members {
    /// The setting that describes the server with this id.
    pub(super) fn setting(&self, id: ServerId) -> Option<&Setting> {
        self.servers.iter().find(|setting| {
            let own_id = setting.key.strip_prefix("server.");
            own_id.and_then(|own_id| own_id.parse().ok()) == Some(id.0)
        })
    }
}

/// Reads the members.
pub(super) fn read(settings: &mut Settings, read_file: &ReadFile<'_>) -> Members {
    let mut lines = settings.family("server.N");
    lines.extend(settings.family("group.N"));
    lines.extend(settings.family("weight.N"));
    let mut membership = Membership::default();
    if let Some(dynamic) = settings.get("dynamicConfigFile") {
        refuse_static_lines(settings, &lines);
        let found = read_dynamic_file(settings, read_file, &dynamic);
        // A variable overrides whichever file holds the line.
        lines.retain(|line| matches!(line.place, Place::Environment(_)));
        let overridden = |line: &Setting| lines.iter().any(|other| other.key == line.key);
        let kept: Vec<Setting> = found.into_iter().filter(|line| !overridden(line)).collect();
        lines.extend(kept);
        membership.version = version_of(Path::new(&dynamic.value));
    }
    for line in &lines {
        if let Some(Err(error)) = membership.set(&line.key, &line.value) {
            settings.complain(line, &error.to_string());
        }
    }
    lines.retain(|line| line.key.starts_with("server."));
    let members = Members {
        membership,
        servers: lines,
    };
    check(settings, &members);
    members
}

fn refuse_static_lines(settings: &mut Settings, lines: &[Setting]) {
    for line in lines {
        if matches!(line.place, Place::Line(..)) {
            let text = "must stand in the file that dynamicConfigFile names; move it there, \
                or remove dynamicConfigFile";
            settings.complain(line, text);
        }
    }
}

/// The lines of the dynamic file; of two with the same key the later one.
fn read_dynamic_file(
    settings: &mut Settings,
    read_file: &ReadFile<'_>,
    dynamic: &Setting,
) -> Vec<Setting> {
    let path = Path::new(&dynamic.value);
    let bytes = match read_file(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            settings.complain(dynamic, &format!("cannot be read: {error}"));
            return Vec::new();
        }
    };
    let (found, errors) = properties::parse(&properties::decode(&bytes));
    for error in errors {
        settings.complain_at(Place::Line(path.to_owned(), error.line), &error.text);
    }
    let mut lines: Vec<Setting> = Vec::new();
    for property in found {
        let line = Setting {
            key: property.key,
            value: property.value,
            place: Place::Line(path.to_owned(), property.line),
        };
        if let Some(text) = not_dynamic(&line.key) {
            settings.complain(&line, text);
            continue;
        }
        if let Some(earlier) = lines.iter().position(|other| other.key == line.key) {
            lines.remove(earlier);
            settings.warn(
                &line,
                "stands here again; the earlier line no longer counts",
            );
        }
        lines.push(line);
    }
    lines
}

/// Why a key must not stand in a dynamic file.
fn not_dynamic(key: &str) -> Option<&'static str> {
    match key {
        "version" => {
            Some("the version stands in the name of a dynamic file, not in it; remove the line")
        }
        _ if ["server.", "group.", "weight."]
            .iter()
            .any(|stem| key.starts_with(stem)) =>
        {
            None
        }
        _ => Some(
            "a dynamic file holds only server, group and weight lines; move it to the main file",
        ),
    }
}

/// The version that a dynamic file's name ends in, as in `zoo.cfg.dynamic.100000000`; 0 if in none, as in Java where
/// a version has a sign.
fn version_of(path: &Path) -> i64 {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    let version = suffix.and_then(|hex| i64::from_str_radix(hex, 16).ok());
    version.unwrap_or(0).max(0)
}

fn check(settings: &mut Settings, members: &Members) {
    let membership = &members.membership;
    check_voters(settings, membership);
    for id in membership.participants_without_group() {
        if let Some(line) = members.setting(id) {
            settings.complain(
                line,
                "stands in no group.N although there are groups; add it to one",
            );
        }
    }
    if !settings.flag("multiAddress.enabled", false) {
        for member in membership.members.values() {
            if let (2.., Some(line)) = (member.addresses.len(), members.setting(member.id)) {
                let text =
                    "a Java server accepts several addresses only with multiAddress.enabled=true";
                settings.warn(line, text);
            }
        }
    }
}

fn check_voters(settings: &mut Settings, membership: &Membership) {
    let standalone = settings.flag("standaloneEnabled", true);
    match membership.participants().count() {
        0 => settings.complain_of_file(
            "no server.N line names a voter, so there is no ensemble to attach to; \
             add the voters' lines, as they stand in the voters' own files",
        ),
        1 if standalone => settings.warn_of_file(
            "only one voter is named; a Java server alone with standaloneEnabled=true opens no quorum port, \
             and nothing can attach to it then",
        ),
        _ => {}
    }
}
