//! Settings that a Java server has from its command line, and that are easily left behind when Outpost takes its place.
//!
//! `zkServer.sh` hands `SERVER_JVMFLAGS` and `JVMFLAGS` to Java; they come from the environment or from the file
//! `java.env` beside the configuration, which is a shell script. Outpost takes no setting from any of them: what
//! was meant for a Java program in the same environment must not change this one. It warns of those
//! that would mean something here, in the form in which its own command line takes them.

use std::path::Path;

use super::ReadFile;
use super::findings::{Finding, Place};
use super::keys::{self, Verdict};
use super::settings::{Setting, Settings};

/// Variables that end up on a Java server's command line.
const VARIABLES: [&str; 4] = [
    "SERVER_JVMFLAGS",
    "JVMFLAGS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
];
/// What a word on a command line ends at, or in a script that makes one.
const ENDS: [char; 5] = [' ', '\t', '"', '\'', '=']; // `FLAGS=-Dkey=value`
const VALUE_ENDS: [char; 4] = [' ', '\t', '"', '\''];
/// The script that `zkEnv.sh` reads, beside the configuration.
const SCRIPT: &str = "java.env";

/// Warns of every place that holds settings a Java server would take and that do not count here.
pub(super) fn warn(
    settings: &mut Settings,
    env: &[(String, String)],
    zoo_cfg: &Path,
    read_file: &ReadFile<'_>,
) {
    for (name, value) in env {
        if VARIABLES.contains(&name.as_str()) {
            warn_of(settings, Place::Environment(name.clone()), value);
        }
    }
    let script = zoo_cfg.with_file_name(SCRIPT);
    if let Ok(bytes) = read_file(&script) {
        let text = String::from_utf8_lossy(&bytes);
        warn_of(settings, Place::File(script), &text);
    }
}

fn warn_of(settings: &mut Settings, place: Place, text: &str) {
    let left_behind: Vec<String> = definitions(text, &place)
        .filter(|setting| matters(setting) && !settings.holds(&setting.key, &setting.value))
        .map(|setting| format!("-D{}", setting.shown()))
        .collect();
    if !left_behind.is_empty() {
        let text = format!(
            "a Java server takes settings from here, Outpost does not; to carry them over, give them behind the \
             file's name: {}",
            left_behind.join(" ")
        );
        settings.warnings.push(Finding { place, text });
    }
}

/// What stands behind each `-D`, as far as the next blank or quote; lines that are comments say nothing.
fn definitions<'a>(text: &'a str, place: &'a Place) -> impl Iterator<Item = Setting> + 'a {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let found = lines.flat_map(|line| {
        line.match_indices("-D")
            .filter(|(at, _)| line[..*at].is_empty() || line[..*at].ends_with(ENDS))
            .map(|(at, option)| &line[at + option.len()..])
    });
    found.filter_map(move |definition| {
        let (key, value) = definition.split_once('=')?;
        let value = value.strip_prefix(['"', '\'']).unwrap_or(value);
        let value = value.split(VALUE_ENDS).next().unwrap_or_default();
        (!key.contains(ENDS)).then(|| Setting {
            key: keys::canonical(key).to_owned(),
            value: value.to_owned(),
            place: place.clone(),
        })
    })
}

fn matters(setting: &Setting) -> bool {
    match keys::find(&setting.key).map(|key| key.verdict) {
        Some(Verdict::Honoured) => true,
        Some(Verdict::Refused { unless, .. }) => {
            !unless.contains(&setting.value.to_ascii_lowercase().as_str())
        }
        Some(Verdict::Ignored { .. }) | None => false,
    }
}
