//! Four-letter words: what a script parses is the same, word by word.

use std::collections::BTreeSet;

use crate::form;
use crate::pair::Pair;

/// Words whose answers have the same form line by line, in the same order.
const SAME: &[&str] = &[
    "ruok", "isro", "srvr", "stat", "cons", "dump", "wchs", "wchc", "wchp", "dirs", "hash", "gtmk",
    "conf", "envi", "crst", "srst",
];

/// Those among them in which a Java server has no order: it keeps a set.
const SETS: &[&str] = &["stat", "cons", "wchc", "wchp"];

/// Values that are no figures and differ between two servers, as `key=` at the beginning of a line.
const VALUES: &[&str] = &[
    "host.name=",
    "dataDir=",
    "dataLogDir=",
    "java.",
    "zookeeper.version=",
    "user.dir=",
    "os.version=",
];

#[test]
fn every_word_is_answered_in_the_form_of_a_java_observer() {
    let pair = Pair::start(&[]);
    let mut wrong = Vec::new();
    for word in SAME {
        let is_set = SETS.contains(word);
        let [java, outpost] =
            [&pair.java, &pair.outpost].map(|side| form_of(&side.word(word), is_set));
        if java != outpost {
            wrong.push(format!(
                "== {word}, Java\n{java}\n== {word}, Outpost\n{outpost}"
            ));
        }
    }
    let [java, outpost] = [&pair.java, &pair.outpost].map(|side| side.word("hash"));
    assert!(java.lines().count() >= 2, "{java}");
    // Digests of the same tree at the same transactions; each has those since it came.
    let common: Vec<&str> = java.lines().filter(|line| outpost.contains(line)).collect();
    assert!(
        common.len() >= 2,
        "== hash, Java\n{java}\n== hash, Outpost\n{outpost}"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn form_of(text: &str, is_set: bool) -> String {
    let text = text.replace("/java", "/own").replace("/outpost", "/own");
    // An observer's own line, which a Java observer adds to the ensemble's configuration by itself.
    let lines = text.lines().filter(|line| !line.contains(":observer;"));
    let lines = lines.map(|line| {
        let line = line.split("version: ").next().unwrap_or(line);
        match VALUES.iter().find(|value| line.starts_with(**value)) {
            Some(_) => line.split('=').next().unwrap_or(line).to_owned(),
            None => form::of_text(line),
        }
    });
    let mut lines: Vec<String> = lines.collect();
    if is_set {
        lines.sort();
    }
    let end = if text.ends_with('\n') { "$" } else { "" };
    lines.join("\n") + end
}

#[test]
fn mntr_begins_as_a_java_observers_and_everything_in_it_has_the_same_kind_of_value() {
    let pair = Pair::start(&[]);
    let [java, outpost] = [&pair.java, &pair.outpost].map(|side| side.word("mntr"));
    let names = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| Some(line.split_once('\t')?.0.to_owned()))
            .collect()
    };
    assert_eq!(names(&java)[..4], names(&outpost)[..4]);
    let kind = |text: &str, name: &str| {
        let line = text
            .lines()
            .find(|line| line.split('\t').next() == Some(name))?;
        Some(form::of_text(line.split_once('\t')?.1))
    };
    let java_names: BTreeSet<String> = names(&java).into_iter().collect();
    let mut strangers = Vec::new();
    for name in names(&outpost) {
        if name.starts_with("zk_outpost_") || name == "zk_version" {
            continue;
        }
        if !java_names.contains(&name) {
            strangers.push(name);
            continue;
        }
        let (theirs, ours) = (kind(&java, &name), kind(&outpost, &name));
        if theirs != ours {
            strangers.push(format!("{name}: {theirs:?} there, {ours:?} here"));
        }
    }
    assert!(strangers.is_empty(), "{strangers:#?}");
}
