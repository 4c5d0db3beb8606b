//! What readers may rely on while the tree changes.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use bstr::BStr;
use outpost_mirror::{Mirror, WatcherId};
use support::*;

const ROUNDS: i32 = 2000;
const READERS: usize = 3;

fn version(mirror: &outpost_mirror::Tree, path: &str) -> i32 {
    mirror.node(BStr::new(path)).unwrap().stat().version
}

#[test]
fn p1_a_multi_is_never_seen_in_part() {
    let mirror = Mirror::new();
    let apply = |step: &Step, zxid| {
        let mut guard = mirror.write();
        let watches = guard.watches();
        guard.apply(&step.entry(zxid), watches, &mut |_, _| {});
    };
    apply(&multi([create("/a", ""), create("/b", "")]), 1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let tree = mirror.read();
                    assert_eq!(version(&tree, "/a"), version(&tree, "/b"));
                    assert_eq!(tree.last_zxid().0, i64::from(version(&tree, "/a")) + 1);
                }
            });
        }
        for round in 1..=ROUNDS {
            let both = [set_data("/a", "", round), set_data("/b", "", round)];
            apply(&multi(both), i64::from(round) + 1);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn p3_a_watch_fires_for_the_very_next_change_after_what_was_read() {
    let mirror = Mirror::new();
    let mut fired = BTreeMap::new();
    let next_watcher = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let mut apply = |step: &Step, zxid| {
        let mut guard = mirror.write();
        let watches = guard.watches();
        guard.apply(&step.entry(zxid), watches, &mut |watcher, event| {
            assert_eq!(
                fired.insert(watcher, event.zxid),
                None,
                "a one-shot watch fired twice"
            );
        });
    };
    apply(&create("/a", ""), 1);
    let left: Vec<(WatcherId, i64)> = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut left = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        let watcher = WatcherId(next_watcher.fetch_add(1, Ordering::Relaxed));
                        let tree = mirror.read();
                        tree.watches().leave_data(BStr::new("/a"), watcher);
                        left.push((watcher, tree.last_zxid().0));
                    }
                    left
                })
            })
            .collect();
        for round in 1..=ROUNDS {
            apply(&set_data("/a", "", round), i64::from(round) + 1);
        }
        done.store(true, Ordering::Relaxed);
        readers
            .into_iter()
            .flat_map(|reader| reader.join().unwrap())
            .collect()
    });
    apply(&set_data("/a", "", 0), i64::from(ROUNDS) + 2);
    assert_eq!(fired.len(), left.len());
    for (watcher, seen) in left {
        assert_eq!(fired[&watcher].0, seen + 1);
    }
    assert_eq!(mirror.read().watches().count(), 0);
}

#[test]
fn a_thread_that_panics_stops_nobody() {
    let mirror = Mirror::new();
    let panicked = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _guard = mirror.write();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        thread.join().is_err()
    });
    assert!(panicked);
    assert_eq!(mirror.read().node_count(), 5);
    assert_eq!(mirror.write().node_count(), 5);
}
