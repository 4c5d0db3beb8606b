//! P1: the mirror is always exactly a prefix of the leader's committed history, and a multi is never seen in
//! part.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use bstr::BStr;
use outpost_tests::raw::RawClient;
use outpost_wire::proto::{
    CreateMode, CreateRequest, DeleteRequest, GetDataRequest, MultiOp, MultiRequest, MultiResponse,
    MultiResult, SetDataRequest,
};
use outpost_wire::{Acl, OpCode};

use crate::stage::{EndsOnDrop, LIMIT, Observer, Site, assert_same_tree, until};

fn set<'a>(path: &'a str, data: &'a [u8]) -> MultiOp<'a> {
    MultiOp::SetData(SetDataRequest {
        path: BStr::new(path),
        data: Some(data),
        version: -1,
    })
}

/// Both znodes, read in one request.
fn read_both(client: &mut RawClient) -> [(Vec<u8>, i32); 2] {
    let ops = ["/a", "/b"].map(|path| {
        let path = BStr::new(path);
        MultiOp::GetData(GetDataRequest { path, watch: false })
    });
    let request = MultiRequest { ops: ops.into() };
    let reply = client.request(OpCode::MultiRead, &request);
    let response: MultiResponse<'_> = reply.record();
    let read = |result: &MultiResult<'_>| match result {
        MultiResult::GetData(read) => (read.data.unwrap_or_default().to_vec(), read.stat.version),
        other => panic!("a read that failed: {other:?}"),
    };
    [read(&response.results[0]), read(&response.results[1])]
}

/// Reads on until the writer has ended; how often it saw something new.
fn read_on(observer: &Observer, done: &AtomicBool, seen: &AtomicUsize) {
    let mut client = observer.client();
    let mut last = 0;
    while !done.load(Ordering::Relaxed) {
        let [a, b] = read_both(&mut client);
        assert_eq!(a, b);
        assert!(a.1 >= last, "back from version {last} to {}", a.1);
        seen.fetch_add(usize::from(a.1 > last), Ordering::Relaxed);
        last = a.1;
        // What is read later is at least as new.
        let (_, stat) = client.get_data(b"/a", false).expect("there");
        let (_, later) = client.get_data(b"/b", false).expect("there");
        assert!(a.1 <= stat.version && stat.version <= later.version);
    }
}

#[test]
fn p1_a_multi_is_never_seen_in_part_while_readers_hammer() {
    let site = Site::new();
    let observer = site.observer();
    site.write("/a", b"0");
    observer.wait_for(site.write("/b", b"0"));
    let done = AtomicBool::new(false);
    let seen = [(); 2].map(|()| AtomicUsize::new(0));
    thread::scope(|scope| {
        let ends = EndsOnDrop(&done);
        for seen in &seen {
            let (observer, done) = (&observer, &done);
            scope.spawn(move || read_on(observer, done, seen));
        }
        let mut writer = observer.client();
        let mut round = 0;
        until("the readers to see hundreds of changes", LIMIT, || {
            round += 1;
            let text = round.to_string();
            let ops = vec![set("/a", text.as_bytes()), set("/b", text.as_bytes())];
            let multi = MultiRequest { ops };
            writer.request(OpCode::Multi, &multi).ok().expect("done");
            let all = |seen: &AtomicUsize| seen.load(Ordering::Relaxed) > 200;
            seen.iter().all(all).then_some(())
        });
        drop(ends);
    });
    assert_same_tree(&site, &observer);
}

#[test]
fn p1_children_made_and_deleted_by_a_multi_are_there_together_or_not_at_all() {
    const NAMES: [&str; 5] = ["/p/a", "/p/b", "/p/c", "/p/d", "/p/e"];
    let site = Site::new();
    let observer = site.observer();
    observer.wait_for(site.write("/p", b""));
    let done = AtomicBool::new(false);
    // Without children, and with all of them.
    let seen = [(); 2].map(|()| AtomicUsize::new(0));
    thread::scope(|scope| {
        let ends = EndsOnDrop(&done);
        scope.spawn(|| {
            let mut client = observer.client();
            while !done.load(Ordering::Relaxed) {
                let (names, stat) = client.get_children(b"/p", false).expect("there");
                assert!([0, 5].contains(&names.len()), "{names:?}");
                assert_eq!(stat.num_children as usize, names.len());
                seen[names.len() / 5].fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut writer = observer.client();
        let mut change = |ops: Vec<MultiOp<'_>>| {
            let multi = MultiRequest { ops };
            writer.request(OpCode::Multi, &multi).ok().expect("done");
        };
        until("the reader to see both often", LIMIT, || {
            let create = |path| {
                MultiOp::Create(CreateRequest {
                    path: BStr::new(path),
                    data: None,
                    acl: Some(Acl::open()),
                    flags: CreateMode::Persistent.code(),
                })
            };
            change(NAMES.map(create).into());
            let delete = |path| {
                let path = BStr::new(path);
                MultiOp::Delete(DeleteRequest { path, version: -1 })
            };
            change(NAMES.map(delete).into());
            let often = |seen: &AtomicUsize| seen.load(Ordering::Relaxed) > 200;
            seen.iter().all(often).then_some(())
        });
        drop(ends);
    });
}

/// Clients that do whatever comes to mind, until they are told to end or lose their connection.
fn scramble(client: &mut RawClient, random: &mut fastrand::Rng, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let path = format!("/n{}", random.u8(0..20));
        let below = format!("{path}/{}", random.u8(0..3));
        let path = if random.bool() { path } else { below };
        let (op, body) = match random.u8(0..6) {
            0 | 1 => {
                let flags = [0, 1, 2, 3][random.usize(..4)];
                let create = CreateRequest {
                    path: BStr::new(&path),
                    data: Some(b"x"),
                    acl: Some(Acl::open()),
                    flags,
                };
                (OpCode::Create2, outpost_wire::Record::encode(&create))
            }
            2 => {
                let path = BStr::new(&path);
                let delete = DeleteRequest { path, version: -1 };
                (OpCode::Delete, outpost_wire::Record::encode(&delete))
            }
            3 => {
                let ops = vec![set("/n1", b"multi"), set(&path, b"multi")];
                let multi = MultiRequest { ops };
                (OpCode::Multi, outpost_wire::Record::encode(&multi))
            }
            _ => {
                let set = SetDataRequest {
                    path: BStr::new(&path),
                    data: Some(path.as_bytes()),
                    version: [-1, 0, 1][random.usize(..3)],
                };
                (OpCode::SetData, outpost_wire::Record::encode(&set))
            }
        };
        if client.try_request_body(op, &body).is_err() {
            return;
        }
    }
}

#[test]
fn p1_the_tree_is_the_leaders_after_any_work_elections_and_snapshots() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    for force_snapshot in [false, true] {
        let mut options = outpost_sim::ServerOptions::default();
        options.leader.force_snapshot = force_snapshot;
        options.leader.fuzzy_txns = 20;
        options.leader.commit_delay_ms = 1;
        let site = Site::with(options);
        let observer = site.observer();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let ends = EndsOnDrop(&done);
            for number in 0..3 {
                let (observer, done) = (&observer, &done);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed + number);
                    while !done.load(Ordering::Relaxed) {
                        scramble(&mut observer.client(), &mut random, done);
                    }
                });
            }
            for round in 0..3 {
                for other in 0..50 {
                    observer.wait_for(site.write(&format!("/other{other}"), &[round]));
                }
                site.elect();
                observer.wait_for(site.write("/elected", &[round]));
            }
            drop(ends);
        });
        let compared = observer.status().digests_compared.load(Ordering::Relaxed);
        assert!(compared > 100, "only {compared} digests were compared");
        let snapshots = observer.status().snapshots.load(Ordering::Relaxed);
        assert_eq!(snapshots > 1, force_snapshot, "{snapshots} snapshots");
        assert_same_tree(&site, &observer);
        site.assert_unharmed();
    }
}

#[test]
fn p1_what_was_missed_while_away_comes_as_a_diff_or_as_a_snapshot() {
    let mut options = outpost_sim::ServerOptions::default();
    options.leader.history_max = 100;
    let site = Site::with(options);
    // A mirror that ends before the first transaction of all would get a snapshot in any case.
    site.write("/first", b"");
    let observer = site.remote_observer(&["outpost.hold=0"]);
    for (missed, snapshots) in [(50, 1), (150, 2), (10, 2)] {
        for link in &observer.links {
            link.cut();
        }
        for number in 0..missed {
            site.write(&format!("/n{number}"), format!("{missed}").as_bytes());
        }
        for link in &observer.links {
            link.heal();
        }
        assert_same_tree(&site, &observer);
        let received = observer.status().snapshots.load(Ordering::Relaxed);
        assert_eq!(received, snapshots, "after missing {missed}");
    }
}
