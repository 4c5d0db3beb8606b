//! P5, in the audit log: what is told of a write is what has become of it, whether or not its client is there to hear it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use bstr::BStr;
use outpost::audit::Audit;
use outpost_sim::Uncommitted;
use outpost_tests::raw::RawClient;
use outpost_tests::run_dir::RunDir;
use outpost_wire::proto::{CreateMode, CreateRequest};
use outpost_wire::{Acl, OpCode, Zxid};

use crate::p5_answers::{names_made, wait_for_requests_in_flight, write_through_elections};
use crate::stage::{LIMIT, Observer, Site, assert_closed, until};

/// An observer's audit log in a file.
struct Log {
    dir: RunDir,
}

impl Log {
    fn new() -> Log {
        Log {
            dir: RunDir::new("audit"),
        }
    }

    fn lines_of_config(&self) -> [String; 2] {
        let file = self.dir.path().join("audit.log");
        [
            "audit.enable=true".to_owned(),
            format!("outpost.auditFile={}", file.display()),
        ]
    }

    /// Everything that is told of a znode: the operations and their results.
    fn of(&self, path: &str) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("audit.log")).unwrap();
        let znode = format!("\tznode={path}\t");
        let lines = text.lines().filter(|line| line.contains(&znode));
        let found = lines.map(|line| {
            let field = |key: &str| {
                let found = line.split('\t').find_map(|field| field.strip_prefix(key));
                found.unwrap_or_default().to_owned()
            };
            assert_eq!(field("ip="), "127.0.0.1", "{line}");
            format!("{} {}", field("operation="), field("result="))
        });
        found.collect()
    }

    /// How often each line was told of what lies below a znode: its name, the operation and its result.
    fn below(&self, path: &str) -> BTreeMap<(String, String), usize> {
        let text = fs::read_to_string(self.dir.path().join("audit.log")).unwrap();
        let mut told = BTreeMap::new();
        for line in text.lines() {
            let field = |key: &str| line.split('\t').find_map(|field| field.strip_prefix(key));
            let znode = field("znode=").and_then(|znode| znode.strip_prefix(path));
            if let (Some(name), Some(result)) = (znode, field("result=")) {
                let key = (name.to_owned(), result.to_owned());
                *told.entry(key).or_default() += 1;
            }
        }
        told
    }

    fn until_told(&self, path: &str, told: &str) {
        until(&format!("{path} to be told of"), LIMIT, || {
            (self.of(path) == [told]).then_some(())
        });
    }
}

fn audit(observer: &Observer) -> &Arc<Audit> {
    observer.service.audit.as_ref().expect("it is on")
}

fn create(client: &mut RawClient, path: &str) {
    let request = CreateRequest {
        path: BStr::new(path),
        data: None,
        acl: Some(Acl::open()),
        flags: CreateMode::Persistent.code(),
    };
    client.send(OpCode::Create, &request).expect("sent");
}

#[test]
fn p5_what_is_told_of_a_write_in_flight_when_the_leader_goes_is_what_the_next_leader_makes_of_it() {
    for (uncommitted, told) in [
        (Uncommitted::Lost, "create invoked"),
        (Uncommitted::Committed, "create success"),
    ] {
        // Nothing is committed in this test's time unless the next leader does it.
        let site = Site::with_commit_delay(600_000);
        let sessions = [1, 2].map(|number| site.make_session(0x0a00_0000_0000_0000 + number));
        let log = Log::new();
        let lines = log.lines_of_config();
        let observer = site.observer_with(&lines.each_ref().map(String::as_str));
        let [mut stays, mut leaves] = sessions.each_ref().map(|session| {
            RawClient::reopen(observer.address, session, Zxid(0)).expect("taken back")
        });
        create(&mut stays, "/stays");
        create(&mut leaves, "/leaves");
        wait_for_requests_in_flight(&observer, 2);
        leaves.abandon();
        until("one of the two to have gone", LIMIT, || {
            (observer.service.clients.len() == 1).then_some(())
        });
        assert_eq!(audit(&observer).on_their_way(), 2);
        site.ensemble(move |ensemble, now_ms| ensemble.elect(now_ms, None, uncommitted));
        log.until_told("/stays", told);
        log.until_told("/leaves", told);
        assert_eq!(audit(&observer).on_their_way(), 0);
    }
}

#[test]
fn p5_a_write_that_was_never_forwarded_is_not_told_of_and_one_on_a_link_that_was_cut_is_told_of_as_begun()
 {
    let site = Site::new();
    let log = Log::new();
    let lines = log.lines_of_config();
    let [enable, file] = lines.each_ref().map(String::as_str);
    let observer = site.remote_observer(&[enable, file, "syncLimit=60"]);
    let (mut writer, mut leaver) = (observer.client(), observer.client());
    for link in &observer.links {
        link.stall();
    }
    create(&mut writer, "/sent");
    wait_for_requests_in_flight(&observer, 1);
    for link in &observer.links {
        link.cut();
    }
    until("clients to be held", LIMIT, || {
        observer.service.clients.are_held().then_some(())
    });
    create(&mut leaver, "/waits");
    until("the request to wait for the link", LIMIT, || {
        (audit(&observer).on_their_way() == 2).then_some(())
    });
    leaver.abandon();
    until("one of the two to have gone", LIMIT, || {
        (observer.service.clients.len() == 1).then_some(())
    });
    for link in &observer.links {
        link.heal();
    }
    assert_closed(&mut writer, "a write that the leader may still have");
    log.until_told("/sent", "create invoked");
    until("nothing to be waited for", LIMIT, || {
        (audit(&observer).on_their_way() == 0).then_some(())
    });
    let mut client = observer.client();
    client
        .create("/after", b"", CreateMode::Persistent)
        .expect("created");
    log.until_told("/after", "create success");
    assert_eq!(log.of("/waits"), Vec::<String>::new());
}

#[test]
fn p5_through_elections_each_write_is_told_of_once_and_as_a_success_if_its_client_was_told_so() {
    let site = Site::with_commit_delay(2);
    let log = Log::new();
    let lines = log.lines_of_config();
    let observer = site.observer_with(&lines.each_ref().map(String::as_str));
    let names = write_through_elections(&site, &observer);
    // What was on its way when the writers ended is told of too.
    until("nothing to be waited for", LIMIT, || {
        (audit(&observer).on_their_way() == 0).then_some(())
    });
    let marked = observer
        .client()
        .create("/last", b"", CreateMode::Persistent);
    marked.expect("created");
    log.until_told("/last", "create success");
    let told = log.below("/w/");
    let twice: Vec<_> = told.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "told more than once: {twice:?}");
    let of = |result: &str| -> BTreeSet<&String> {
        let of_result = told.keys().filter(|(_, its)| its == result);
        of_result.map(|(name, _)| name).collect()
    };
    assert_eq!(of("failure"), BTreeSet::new());
    let (succeeded, begun) = (of("success"), of("invoked"));
    assert!(succeeded.is_disjoint(&begun), "told as both");
    let missing: Vec<_> = names
        .acknowledged
        .iter()
        .filter(|name| !succeeded.contains(name))
        .collect();
    assert!(
        missing.is_empty(),
        "acknowledged and not told of: {missing:?}"
    );
    let made = names_made(&site);
    let invented: Vec<_> = succeeded
        .iter()
        .filter(|name| !made.contains(**name))
        .collect();
    assert!(invented.is_empty(), "told of and not made: {invented:?}");
    let unsaid: Vec<_> = made
        .iter()
        .filter(|name| !succeeded.contains(name) && !begun.contains(name))
        .collect();
    assert!(unsaid.is_empty(), "made and not told of: {unsaid:?}");
}
