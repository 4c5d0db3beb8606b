//! Four-letter words: what a script parses is the same, word by word.

use std::collections::BTreeSet;

use outpost_tests::{four_letter, wait};

use crate::form;
use crate::http;
use crate::pair::LIMIT;
use crate::pair::Pair;

/// Words whose answers have the same form line by line, in the same order.
const SAME: &[&str] = &[
    "ruok", "isro", "srvr", "stat", "cons", "dump", "wchs", "wchc", "wchp", "dirs", "hash", "gtmk",
    "conf", "envi", "crst", "srst",
];

/// Those among them in which a Java server has no order: it keeps a set.
const SETS: &[&str] = &["stat", "cons", "dump", "wchc", "wchp"];

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

#[test]
fn without_a_leader_words_and_commands_answer_as_a_java_observers() {
    let pair = Pair::start(&["outpost.hold=0"]);
    for voter in pair.ensemble.servers() {
        pair.ensemble.kill(voter.id);
    }
    const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";
    for side in [&pair.java, &pair.outpost] {
        wait::until("the observer to see that there is no leader", LIMIT, || {
            let answer = four_letter::ask(side.observer.client_address(), "srvr").ok()?;
            answer.starts_with(NOT_SERVING).then_some(())
        });
        // A Java observer closes all connections, those of words too, before its admin server is told.
        wait::until("its admin server to see it", LIMIT, || {
            let answer = http::get(side.admin, "/commands/srvr", &[]);
            answer.text().contains(NOT_SERVING).then_some(())
        });
    }
    let told = [&pair.java, &pair.outpost].map(|side| {
        let mut told = String::new();
        for word in SAME.iter().chain(&["mntr"]).filter(|word| **word != "envi") {
            told.push_str(&format!("{word}: {}\n", side.word(word)));
        }
        // `initial_configuration` is not among them: Outpost answers it at any time.
        for command in [
            "srvr", "ruok", "isro", "conf", "watches", "lead", "gtmk", "nope",
        ] {
            let answer = http::get(side.admin, &format!("/commands/{command}"), &[]);
            told.push_str(&format!("{command}: {} {}\n", answer.status, answer.text()));
        }
        told
    });
    assert_eq!(told[0], told[1]);
}

#[test]
fn a_trace_mask_is_set_and_told_and_words_are_answered_only_if_they_are_listed() {
    let pair = Pair::start(&["4lw.commands.whitelist=stmk, gtmk ,mntr"]);
    let told = [&pair.java, &pair.outpost].map(|side| {
        let set = four_letter::ask(side.observer.client_address(), "stmk\0\0\0\0\0\0\u{1}\u{2}");
        let words = ["gtmk", "ruok", "srst", "srvx"];
        let told = words.map(|word| four_letter::ask(side.observer.client_address(), word).ok());
        let srvr = form_of(&side.word("srvr"), false);
        (set.ok(), told, srvr)
    });
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].0.as_deref(), Some("258"));
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
        // Into how many such moments the clients' timeouts are rounded up is chance.
        lines.dedup_by(|one, next| one == next && one.contains(" expire at "));
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
        // The two were asked for different paths.
        let by_path = name.ends_with("_per_namespace");
        if name.starts_with("zk_outpost_") || by_path || name == "zk_version" {
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
