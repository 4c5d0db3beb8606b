//! P3: a client never receives a reply that shows a change before the watch event for it, one-shot watches fire
//! once, and nothing between leaving and firing is lost.
//!
//! What stands in a connection's output stands there in the order in which it became true, so a watcher that
//! counts events knows exactly what the next reply will show; it is held against that, reply by reply.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use bstr::BStr;
use outpost_tests::raw::{Event, RawClient};
use outpost_wire::proto::{
    AddWatchMode, CreateMode, DeleteRequest, EventType, SetDataRequest, SetWatches2,
};
use outpost_wire::{ErrorCode, OpCode, Record, SessionId, Zxid};

use crate::stage::{EndsOnDrop, LIMIT, Observer, Site, until};

const CREATED: i32 = EventType::NodeCreated.code();
const DELETED: i32 = EventType::NodeDeleted.code();
const CHANGED: i32 = EventType::NodeDataChanged.code();
const CHILDREN: i32 = EventType::NodeChildrenChanged.code();

/// How many changes each watcher has to live through.
const CHANGES: usize = 1_000;

/// Counts what has come since the last question, all of it events of this kind at this path.
fn events_of(client: &mut RawClient, kind: i32, path: &str) -> Vec<Event> {
    let events = client.take_events();
    for event in &events {
        assert_eq!(
            (event.kind, event.path.to_string()),
            (kind, path.to_owned())
        );
    }
    events
}

/// Every change of `/d` comes as an event before the first reply that shows it: not one more, not one less.
fn watch_data_for_good(client: &mut RawClient, done: &AtomicBool) -> usize {
    client
        .add_watch("/d", AddWatchMode::Persistent.code())
        .expect("left");
    let (_, first) = client.get_data(b"/d", false).expect("there");
    client.take_events();
    let mut seen = 0;
    while !done.load(Ordering::Relaxed) {
        let (_, stat) = client.get_data(b"/d", false).expect("there");
        let events = events_of(client, CHANGED, "/d");
        seen += events.len();
        assert_eq!(
            stat.version - first.version,
            i32::try_from(seen).expect("few")
        );
        if let Some(last) = events.last() {
            assert_eq!(last.zxid, stat.mzxid, "the event tells its transaction");
        }
    }
    seen
}

/// A watch that is used up: silent as long as nothing has changed, and then exactly one event.
fn watch_data_once(client: &mut RawClient, done: &AtomicBool) -> usize {
    let mut fired = 0;
    while !done.load(Ordering::Relaxed) {
        let (_, left) = client.get_data(b"/d", true).expect("there");
        let mut events = events_of(client, CHANGED, "/d");
        assert!(events.is_empty(), "nothing was watched");
        loop {
            let (_, now) = client.get_data(b"/d", false).expect("there");
            events.extend(events_of(client, CHANGED, "/d"));
            let changed = now.version > left.version;
            assert_eq!(events.len(), usize::from(changed));
            if changed {
                assert!(left.mzxid < events[0].zxid && events[0].zxid <= now.mzxid);
                fired += 1;
                break;
            }
            if done.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    fired
}

/// The same for children.
fn watch_children_once(client: &mut RawClient, done: &AtomicBool) -> usize {
    let mut fired = 0;
    while !done.load(Ordering::Relaxed) {
        let (_, left) = client.get_children(b"/r", true).expect("there");
        let mut events = events_of(client, CHILDREN, "/r");
        assert!(events.is_empty(), "nothing was watched");
        loop {
            let (_, now) = client.get_children(b"/r", false).expect("there");
            events.extend(events_of(client, CHILDREN, "/r"));
            let changed = now.pzxid > left.pzxid;
            assert_eq!(events.len(), usize::from(changed));
            if changed {
                fired += 1;
                break;
            }
            if done.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    fired
}

/// The same for a znode that comes and goes.
fn watch_existence_once(client: &mut RawClient, done: &AtomicBool) -> usize {
    let mut fired = 0;
    while !done.load(Ordering::Relaxed) {
        let left = client.exists("/r/0", true);
        assert!(client.take_events().is_empty(), "nothing was watched");
        let mut events = Vec::new();
        loop {
            let now = client.exists("/r/0", false);
            events.extend(client.take_events());
            assert!(events.len() <= 1, "a watch that fired twice: {events:?}");
            if now != left {
                let kind = events.first().map(|event| event.kind);
                match left {
                    Ok(_) => assert!([Some(DELETED), Some(CHANGED)].contains(&kind), "{kind:?}"),
                    Err(_) => assert_eq!(kind, Some(CREATED)),
                }
            }
            if !events.is_empty() {
                fired += 1;
                break;
            }
            if done.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    fired
}

/// Who watches a whole subtree can keep a copy of it from the events alone.
fn watch_subtree(client: &mut RawClient, done: &AtomicBool) -> usize {
    client
        .add_watch("/r", AddWatchMode::PersistentRecursive.code())
        .expect("left");
    let (names, _) = client.get_children(b"/r", false).expect("there");
    client.take_events();
    let mut copy: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    let mut seen = 0;
    while !done.load(Ordering::Relaxed) {
        let (names, _) = client.get_children(b"/r", false).expect("there");
        for event in client.take_events() {
            seen += 1;
            let path = event.path.to_string();
            let name = path.strip_prefix("/r/").expect("below /r").to_owned();
            let fits = match event.kind {
                CREATED => copy.insert(name),
                DELETED => copy.remove(&name),
                CHANGED => copy.contains(&name),
                other => panic!("a recursive watch tells no event of type {other}"),
            };
            assert!(fits, "{event:?} does not fit {copy:?}");
        }
        let names: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(names, copy);
    }
    seen
}

/// Changes `/d`, and makes, sets and deletes children of `/r`, many requests at a time.
fn change(observer: &Observer, done: &AtomicBool) {
    let mut client = observer.client();
    while !done.load(Ordering::Relaxed) {
        let mut sent = 0;
        for child in 0..3 {
            let path = format!("/r/{child}");
            let set = |path| SetDataRequest {
                path: BStr::new(path),
                data: Some(b"x"),
                version: -1,
            };
            let create = outpost_wire::proto::CreateRequest {
                path: BStr::new(&path),
                data: None,
                acl: Some(outpost_wire::Acl::open()),
                flags: CreateMode::Persistent.code(),
            };
            let delete = DeleteRequest {
                path: BStr::new(&path),
                version: -1,
            };
            client.send(OpCode::SetData, &set("/d")).expect("sent");
            client.send(OpCode::Create, &create).expect("sent");
            client.send(OpCode::SetData, &set(&path)).expect("sent");
            client.send(OpCode::Delete, &delete).expect("sent");
            sent += 4;
        }
        for _ in 0..sent {
            client.reply().expect("answered");
        }
    }
}

#[test]
fn p3_every_watcher_hears_of_each_change_before_it_reads_it_and_of_nothing_else() {
    let watchers = [
        watch_data_for_good,
        watch_data_once,
        watch_children_once,
        watch_existence_once,
        watch_subtree,
    ];
    let site = Site::new();
    let observer = site.observer();
    site.write("/d", b"");
    observer.wait_for(site.write("/r", b""));
    let (done, watching) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let ends = EndsOnDrop(&done);
        let watchers = watchers.map(|watch| {
            let (observer, done, watching) = (&observer, &done, &watching);
            scope.spawn(move || {
                let mut client = observer.client();
                watching.fetch_add(1, Ordering::Relaxed);
                let seen = watch(&mut client, done);
                client.close().expect("closed");
                seen
            })
        });
        until("everybody to watch", LIMIT, || {
            (watching.load(Ordering::Relaxed) == watchers.len()).then_some(())
        });
        scope.spawn(|| change(&observer, &done));
        // Transactions of other servers fire just the same.
        for round in 0..CHANGES {
            observer.wait_for(site.write("/d", round.to_string().as_bytes()));
        }
        drop(ends);
        for (number, watcher) in watchers.into_iter().enumerate() {
            let seen = watcher.join().expect("the watcher goes on");
            assert!(seen > 20, "watcher {number} saw only {seen} events");
        }
    });
    until("no watch to be left", LIMIT, || {
        (observer.watch_count() == 0).then_some(())
    });
}

#[test]
fn p3_a_write_of_the_watcher_itself_fires_before_it_is_answered() {
    let site = Site::with_commit_delay(2);
    let observer = site.observer();
    let mut client = observer.client();
    client
        .create("/a", b"", CreateMode::Persistent)
        .expect("created");
    for round in 0..50 {
        client.get_data(b"/a", true).expect("there");
        let stat = client.set_data("/a", b"x").expect("set");
        let events = events_of(&mut client, CHANGED, "/a");
        assert_eq!(events.len(), 1, "round {round}");
        assert_eq!(events[0].zxid, stat.mzxid);
    }
}

#[test]
fn p3_a_watch_that_is_left_behind_a_write_in_flight_does_not_hear_of_it() {
    let site = Site::with_commit_delay(5);
    let observer = site.observer();
    let mut client = observer.client();
    client
        .create("/a", b"", CreateMode::Persistent)
        .expect("created");
    for _ in 0..50 {
        let set = SetDataRequest {
            path: BStr::new("/a"),
            data: None,
            version: -1,
        };
        let get = outpost_wire::proto::GetDataRequest {
            path: BStr::new("/a"),
            watch: true,
        };
        client.send(OpCode::SetData, &set).expect("sent");
        client.send(OpCode::GetData, &get).expect("sent");
        client.send(OpCode::SetData, &set).expect("sent");
        for expected in [0, 0, 1] {
            client.reply().expect("answered");
            assert_eq!(client.take_events().len(), expected);
        }
    }
}

#[test]
fn p3_what_happened_while_a_client_was_away_is_told_before_its_watches_count_as_left() {
    for force_snapshot in [false, true] {
        let mut options = outpost_sim::ServerOptions::default();
        options.leader.force_snapshot = force_snapshot;
        let site = Site::with(options);
        let observer = site.remote_observer(&["outpost.hold=0"]);
        for path in ["/changed", "/same", "/gone", "/parent"] {
            observer.wait_for(site.write(path, b""));
        }
        let mut client = observer.client();
        client.exists("/changed", false).expect("there");
        let (session, seen) = client.abandon();
        for link in &observer.links {
            link.cut();
        }
        site.write("/changed", b"x");
        site.write("/new", b"");
        site.write("/parent/child", b"");
        let other = SessionId(0x0200_0000_0000_0001);
        site.ask(other, OpCode::CreateSession, &[0, 0, 0x4e, 0x20]);
        let delete = DeleteRequest {
            path: BStr::new("/gone"),
            version: -1,
        };
        let last = site.ask(other, OpCode::Delete, &delete.encode());
        for link in &observer.links {
            link.heal();
        }
        observer.wait_for(last);
        let mut client = until("the session to be taken back", LIMIT, || {
            RawClient::reopen(observer.address, &session, seen).ok()
        });
        let paths = |paths: &[&'static str]| paths.iter().map(|p| BStr::new(*p)).collect();
        let watches = SetWatches2 {
            relative_zxid: seen,
            data_watches: paths(&["/changed", "/same", "/gone"]),
            exist_watches: paths(&["/new", "/never"]),
            child_watches: paths(&["/parent", "/same"]),
            persistent_watches: paths(&["/changed"]),
            persistent_recursive_watches: Vec::new(),
        };
        let reply = client.request(OpCode::SetWatches2, &watches);
        assert_eq!(reply.err(), ErrorCode::OK);
        let mut told: Vec<_> = client
            .take_events()
            .iter()
            .map(|event| (event.kind, event.path.to_string()))
            .collect();
        told.sort();
        let expected = [
            (CREATED, "/new"),
            (DELETED, "/gone"),
            (CHANGED, "/changed"),
            (CHILDREN, "/parent"),
        ];
        assert_eq!(told, expected.map(|(kind, path)| (kind, path.to_owned())));
        // Those that did not fire are in place.
        assert!(client.last_zxid() > Zxid(0));
        site.write("/never", b"");
        site.write("/same", b"x");
        let told = [(); 2].map(|()| client.event().expect("told"));
        assert_eq!(told[0].path, "/never");
        assert_eq!(told[1].path, "/same");
    }
}
