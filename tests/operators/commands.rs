//! The admin server: the same commands with the same keys, command by command.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::form;
use crate::http;
use crate::pair::Pair;

/// What is different, and why: the command, the place in its answer, and the reason. Every entry must be of use.
const DIFFERENT: &[(&str, &str, &str)] = &[(
    "initial_configuration",
    ".initial_configuration",
    "a Java observer forgets to keep the text of its file and answers null",
)];

/// Commands that are answered with another status here, and why.
const REFUSED: &[(&str, u16, &str)] = &[
    ("last_snapshot", 501, "nothing is written to a disk"),
    (
        "restore",
        405,
        "a Java server wants POST too, but asks who it is first",
    ),
];

/// Commands of Outpost's own.
const OWN: &[&str] = &["link", "link_losses", "memory"];

#[test]
fn every_command_answers_in_the_form_of_a_java_observer() {
    let pair = Pair::start(&[]);
    let [java, outpost] = [&pair.java, &pair.outpost].map(|side| commands(side.admin));
    let theirs: BTreeSet<&String> = java.iter().collect();
    let ours: BTreeSet<&String> = outpost.iter().collect();
    let more: Vec<&str> = ours.difference(&theirs).map(|name| name.as_str()).collect();
    assert_eq!(more, OWN, "commands that no Java server has");
    assert!(ours.is_superset(&theirs), "{theirs:?} there, {ours:?} here");

    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for command in &java {
        let path = format!("/commands/{command}");
        let [java, outpost] =
            [&pair.java, &pair.outpost].map(|side| http::get(side.admin, &path, &[]));
        let kinds = [&java, &outpost].map(|answer| {
            (
                answer.status,
                answer.header("Content-Type").map(str::to_owned),
            )
        });
        if let Some((_, status, _)) = REFUSED.iter().find(|(name, ..)| name == command) {
            assert_eq!(kinds[1].0, *status, "{command}");
            assert_ne!(kinds[0].0, *status, "{command} is not different any more");
            continue;
        }
        if kinds[0] != kinds[1] {
            wrong.push(format!("{command}: {kinds:?}"));
            continue;
        }
        let [java, outpost] = [&java, &outpost].map(|answer| -> Value {
            serde_json::from_slice(&answer.body)
                .unwrap_or_else(|error| panic!("{command}: {error}"))
        });
        let forms = [form::of_json(&java), form::of_json(&outpost)];
        for place in differences(&forms)
            .into_iter()
            .filter(|place| !is_another_set(command, place))
        {
            let known = DIFFERENT
                .iter()
                .position(|(c, p, _)| c == command && *p == place);
            match known {
                Some(known) => _ = used.insert(known),
                None => wrong.push(format!(
                    "{command}{place}: {:?} there, {:?} here",
                    forms[0].get(&place),
                    forms[1].get(&place)
                )),
            }
        }
        let in_order = java["error"].is_null() && !is_another_set(command, "");
        if in_order && form::order(&java) != form::order(&outpost) {
            wrong.push(format!(
                "{command}: {:?} there, {:?} here",
                form::order(&java),
                form::order(&outpost)
            ));
        }
    }
    for (n, (command, place, why)) in DIFFERENT.iter().enumerate() {
        if !used.contains(&n) {
            wrong.push(format!("{command}{place} is not different any more: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether what a command tells is another set of names by nature: metrics, which `words` compares, and the
/// settings of another program.
fn is_another_set(command: &str, place: &str) -> bool {
    let named = [".command", ".error"].contains(&place);
    ["monitor", "system_properties"].contains(&command) && !named
}

fn commands(admin: std::net::SocketAddr) -> Vec<String> {
    let links = http::get(admin, "/commands", &[]).text();
    links
        .lines()
        .filter(|line| line.starts_with("<a "))
        .map(|line| line.split(['>', '<']).nth(2).unwrap_or_default().to_owned())
        .collect()
}

fn differences(forms: &[BTreeMap<String, String>; 2]) -> BTreeSet<String> {
    let places: BTreeSet<&String> = forms.iter().flat_map(BTreeMap::keys).collect();
    places
        .into_iter()
        .filter(|place| forms[0].get(*place) != forms[1].get(*place))
        .cloned()
        .collect()
}
