//! Usage of quotas, which every server keeps on its own.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use bstr::{BStr, ByteSlice};
use expect_test::{Expect, expect};
use outpost_mirror::Tree;
use outpost_wire::ErrorCode;
use support::*;

const LIMITS: &str = "/zookeeper/quota/q/zookeeper_limits";
const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";

/// `/q` with one child, limited as `setquota` of ZooKeeper's shell does it.
fn limited() -> World {
    let mut world = World::new();
    world.prepare([
        create("/q", "1234"),
        create("/q/a", "12"),
        create("/zookeeper/quota/q", ""),
        create(LIMITS, "count=5,bytes=100=;countHardLimit=6"),
        create(STATS, "count=0,bytes=0"),
    ]);
    world
}

fn text(tree: &Tree, path: &str) -> String {
    let node = tree.node(BStr::new(path)).unwrap();
    node.data()
        .map_or("null".into(), |data| data.to_str().unwrap().into())
}

/// Applies `steps` and writes down the usage after each.
fn check(world: World, steps: impl IntoIterator<Item = Step>, expected: &Expect) {
    let mut world = world;
    let mut lines = text(&world.tree, STATS) + "\n";
    for step in steps {
        world.apply(&step);
        lines += &(text(&world.tree, STATS) + "\n");
    }
    expected.assert_eq(&lines);
    assert_eq!(
        text(&world.tree, STATS),
        text(&reload(&world.tree), STATS),
        "recounted on load"
    );
}

#[test]
fn usage_is_counted_when_the_statistics_are_created_and_kept_from_then_on() {
    check(
        limited(),
        [
            create("/q/b", "123"),
            create("/q/b/c", "1"),
            set_data("/q/b", "12345", 1),
            set_null("/q", 1),
            delete("/q/b/c"),
            multi([create("/q/m", "1"), set_data("/q/m", "22", 1)]),
            multi([create("/q/x", "1"), error(ErrorCode::NO_NODE)]),
            create("/qq", "outside"),
            ephemeral("/q/e", 7),
            close_session(7, Some(&["/q/e"])),
        ],
        &expect![[r#"
            count=2,bytes=6
            count=3,bytes=9
            count=4,bytes=10
            count=4,bytes=12
            count=4,bytes=8
            count=3,bytes=7
            count=4,bytes=9
            count=4,bytes=9
            count=4,bytes=9
            count=5,bytes=9
            count=4,bytes=9
        "#]],
    );
}

#[test]
fn counting_changes_the_data_of_the_statistics_and_nothing_else() {
    let mut world = limited();
    let stat = |tree: &Tree| tree.node(BStr::new(STATS)).unwrap().stat();
    let before = stat(&world.tree);
    world.watcher(1).data(STATS);
    world.apply(&create("/q/with-a-long-name", "1234567890"));
    let after = stat(&world.tree);
    assert_ne!(after.data_length, before.data_length);
    assert_eq!(show_stat(&before).replace("15b", "16b"), show_stat(&after));
    assert_eq!(world.watches.count(), 1);
    assert_eq!(
        world.tree.approximate_data_size(),
        reload(&world.tree).approximate_data_size()
    );
}

#[test]
fn only_the_innermost_quota_is_charged() {
    let mut world = limited();
    world.prepare([
        create("/zookeeper/quota/q/a", ""),
        create("/zookeeper/quota/q/a/zookeeper_limits", "count=5,bytes=-1"),
        create("/zookeeper/quota/q/a/zookeeper_stats", ""),
    ]);
    let inner = "/zookeeper/quota/q/a/zookeeper_stats";
    let outer = text(&world.tree, STATS);
    world.prepare([create("/q/a/b", "123")]);
    assert_eq!(text(&world.tree, inner), "count=2,bytes=5");
    assert_eq!(text(&world.tree, STATS), outer);
}

#[test]
fn a_quota_ends_with_its_limits() {
    let mut world = limited();
    let before = text(&world.tree, STATS);
    world.prepare([delete(LIMITS), create("/q/b", "123")]);
    assert_eq!(text(&world.tree, STATS), before);
    assert!(world.tree.quotas().is_empty());
}

#[test]
fn usage_is_told_with_its_limits() {
    expect![[r#"
        [
            QuotaUsage {
                path: "/q",
                limits: QuotaLimits {
                    count: 5,
                    bytes: 100,
                    count_hard_limit: 6,
                    byte_hard_limit: -1,
                },
                count: 2,
                bytes: 6,
            },
        ]
    "#]]
    .assert_eq(&format!("{:#?}\n", limited().tree.quotas()));
}

#[test]
fn statistics_that_are_garbage_or_null_or_missing_stop_nothing() {
    let mut world = limited();
    world.prepare([
        set_data(STATS, "what=x;,=ever,bytes", 1),
        create("/q/b", "123"),
    ]);
    assert_eq!(text(&world.tree, STATS), "count=0,bytes=2");
    world.prepare([set_null(STATS, 2), delete("/q/b")]);
    assert_eq!(text(&world.tree, STATS), "count=-2,bytes=-4");
    world.prepare([delete(STATS), create("/q/b", "123")]);
    assert_eq!(world.tree.quotas()[0].count, -1);
}

#[test]
fn a_quota_on_the_whole_tree_is_passed_over() {
    let mut world = World::new();
    world.prepare([
        create("/zookeeper/quota/zookeeper_limits", "count=1,bytes=1"),
        create("/zookeeper/quota/zookeeper_stats", ""),
        create("/a", ""),
        delete("/zookeeper/quota/zookeeper_limits"),
    ]);
    assert!(world.tree.quotas().is_empty());
    assert_eq!(
        text(&world.tree, "/zookeeper/quota/zookeeper_stats"),
        "count=6,bytes=15"
    );
}

#[test]
fn names_of_quotas_in_odd_places_stop_nothing() {
    let mut world = World::new();
    world.prepare([
        create("/zookeeper/zookeeper_limits", ""),
        delete("/zookeeper/zookeeper_limits"),
        create("/zookeeper/zookeeper_stats", ""),
        create("/zookeeper/quotaX", ""),
        create("/zookeeper/quotaX/zookeeper_limits", ""),
        create("/zookeeper/quotaX/zookeeper_stats", ""),
        create("/X", ""),
        delete("/zookeeper/quotaX/zookeeper_limits"),
        create("/zookeeper_limits", ""),
        create("/a", ""),
        create("/a/zookeeper_stats", ""),
    ]);
    assert!(world.tree.quotas().is_empty());
    assert_eq!(describe(&reload(&world.tree)), describe(&world.tree));
}
