//! Quotas: which subtrees are limited, and how much of each is used.
//!
//! For a limited subtree `p` clients keep the limits in `/zookeeper/quota<p>/zookeeper_limits`, and every
//! server on its own keeps the usage in `zookeeper_stats` beside it: without a transaction, a version, a
//! watch or a digest. Only the leader enforces the limits. Text that does not parse counts as -1 here; a
//! Java server fails on it.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice, ByteVec};
use outpost_wire::data::{last_component, parent_path};

use crate::tree::Tree;
use crate::znode::ZnodeId;

const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// The numbers in the text of a quota's znodes; -1 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Znodes.
    pub count: i64,
    /// Bytes of data.
    pub bytes: i64,
    /// Znodes, enforced by the leader.
    pub count_hard_limit: i64,
    /// Bytes of data, enforced by the leader.
    pub byte_hard_limit: i64,
}

/// A quota and how much of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUsage {
    /// Root of the limited subtree.
    pub path: BString,
    /// The limits.
    pub limits: QuotaLimits,
    /// Znodes in the subtree, its root included; -1 when unknown.
    pub count: i64,
    /// Bytes of data in the subtree; -1 when unknown.
    pub bytes: i64,
}

/// Quotas whose missing statistics are told of, once each: clients make and delete quotas as they like, and are not to
/// fill the log with it.
const TOLD_MAX: usize = 100;

/// Roots of the limited subtrees.
#[derive(Default)]
pub(crate) struct QuotaRoots {
    all: BTreeSet<BString>,
    /// Those that were told to lack their statistics.
    told: BTreeSet<BString>,
}

impl QuotaRoots {
    fn insert(&mut self, root: &BStr) {
        // The whole tree cannot be limited: ZooKeeper has no place for it.
        let root = normal(root);
        if !root.is_empty() {
            self.all.insert(root);
        }
    }

    fn remove(&mut self, root: &BStr) {
        self.all.remove(&normal(root));
    }

    /// Whether it is to be told that the statistics of this quota are missing.
    fn tells_of(&mut self, root: &BStr) -> bool {
        let root = normal(root);
        self.told.len() < TOLD_MAX && self.told.insert(root)
    }

    /// The innermost limited subtree that `path` is in.
    fn around<'p>(&self, path: &'p BStr) -> Option<&'p BStr> {
        if self.all.is_empty() {
            return None;
        }
        let mut prefix = path;
        while !prefix.is_empty() {
            if self.all.contains(prefix) {
                return Some(prefix);
            }
            prefix = parent_path(prefix);
        }
        None
    }
}

/// With one slash before each component and no empty ones, as ZooKeeper's `PathTrie` takes paths.
fn normal(path: &BStr) -> BString {
    let mut normal = BString::default();
    for name in path.split(|&b| b == b'/').filter(|name| !name.is_empty()) {
        normal.push(b'/');
        normal.push_str(name);
    }
    normal
}

impl Tree {
    /// All quotas with their usage.
    pub fn quotas(&self) -> Vec<QuotaUsage> {
        let text = |path: &BString, name: &str| {
            let node = self.node(quota_path(path.as_bstr(), name).as_bstr());
            QuotaText::parse(node.and_then(|node| node.data()))
        };
        let usage = |path: &BString| {
            let (limits, stats) = (text(path, LIMITS), text(path, STATS));
            QuotaUsage {
                path: path.clone(),
                limits: limits.limits(),
                count: stats.get("count"),
                bytes: stats.get("bytes"),
            }
        };
        self.quota_roots.all.iter().map(usage).collect()
    }

    /// To be called after a znode was created.
    pub(crate) fn quota_after_create(&mut self, path: &BStr, data_length: usize) {
        if let Some(limited) = parent_path(path).strip_prefix(QUOTA.as_bytes()) {
            let limited = limited.as_bstr();
            if last_component(path) == LIMITS {
                self.quota_roots.insert(limited);
            } else if last_component(path) == STATS {
                self.recount(limited);
            }
        }
        self.charge(path, 1, data_length as i64);
    }

    /// To be called after a znode was deleted.
    pub(crate) fn quota_after_delete(&mut self, path: &BStr, data_length: usize) {
        let parent = parent_path(path);
        // ZooKeeper tests for a shorter prefix here than it then cuts off.
        if last_component(path) == LIMITS
            && parent.starts_with(b"/zookeeper")
            && let Some(limited) = parent.get(QUOTA.len()..)
        {
            self.quota_roots.remove(limited.as_bstr());
        }
        self.charge(path, -1, -(data_length as i64));
    }

    /// To be called after a znode's data was set.
    pub(crate) fn quota_after_set(&mut self, path: &BStr, bytes_before: usize, bytes_after: usize) {
        self.charge(path, 0, bytes_after as i64 - bytes_before as i64);
    }

    /// Finds all quotas of a tree that was loaded, and counts what is used of them.
    pub(crate) fn find_quotas(&mut self) {
        let mut limited = Vec::new();
        if let Some(quota) = self.find(BStr::new(QUOTA)) {
            let suffix = format!("/{LIMITS}");
            let found = self.for_each_below(quota, BStr::new(QUOTA), |path, node| {
                if node.children().is_empty() && path.ends_with(suffix.as_bytes()) {
                    let end = path.find(&suffix).unwrap_or(path.len());
                    limited.extend(path.get(QUOTA.len()..end).map(BString::from));
                }
                Ok::<(), std::convert::Infallible>(())
            });
            match found {
                Ok(()) => {}
                Err(never) => match never {},
            }
        }
        for root in &limited {
            if !root.is_empty() {
                self.recount(root.as_bstr());
                self.quota_roots.insert(root.as_bstr());
            }
        }
    }

    /// Adds to the usage of the quota around `path`, if there is one.
    fn charge(&mut self, path: &BStr, count: i64, bytes: i64) {
        let Some(root) = self.quota_roots.around(path) else {
            return;
        };
        let stats_path = quota_path(root, STATS);
        let Some(stats) = self.find(stats_path.as_bstr()) else {
            return self.tell_of_missing(root, stats_path.as_bstr());
        };
        let mut text = QuotaText::parse(self.slab.get(stats).data());
        text.add("count", count);
        text.add("bytes", bytes);
        self.set_data(
            stats,
            stats_path.as_bstr(),
            Some(text.to_string().as_bytes()),
        );
    }

    /// Counts the usage of the quota at `root` anew.
    fn recount(&mut self, root: &BStr) {
        let stats_path = quota_path(root, STATS);
        let Some(stats) = self.find(stats_path.as_bstr()) else {
            return self.tell_of_missing(root, stats_path.as_bstr());
        };
        let (count, bytes) = self.find(root).map_or((0, 0), |id| self.usage_below(id));
        let mut text = QuotaText::default();
        text.set("count", count);
        text.set("bytes", bytes);
        self.set_data(
            stats,
            stats_path.as_bstr(),
            Some(text.to_string().as_bytes()),
        );
    }

    fn tell_of_missing(&mut self, root: &BStr, stats_path: &BStr) {
        if self.quota_roots.tells_of(root) {
            tracing::warn!(
                path = %stats_path,
                "a quota's usage is not counted: this znode is missing; `setquota` makes it"
            );
        }
    }

    /// Znodes and bytes of data from `top` down.
    fn usage_below(&self, top: ZnodeId) -> (i64, i64) {
        let (mut count, mut bytes) = (0, 0);
        let mut pending = vec![top];
        while let Some(id) = pending.pop() {
            let node = self.slab.get(id);
            count += 1;
            bytes += node.data_length() as i64;
            pending.extend_from_slice(node.children());
        }
        (count, bytes)
    }
}

fn quota_path(root: &BStr, name: &str) -> BString {
    let mut path = BString::from(QUOTA);
    path.push_str(root);
    path.push(b'/');
    path.push_str(name);
    path
}

/// The text of a quota's znode (`StatsTrack`): `count=5,bytes=100=;byteHardLimit=200`.
#[derive(Default)]
struct QuotaText(BTreeMap<BString, i64>);

impl QuotaText {
    fn parse(text: Option<&[u8]>) -> QuotaText {
        let pairs = text.unwrap_or_default().split(|b| b",;".contains(b));
        QuotaText(pairs.filter_map(parse_pair).collect())
    }

    fn get(&self, key: &str) -> i64 {
        self.0.get(BStr::new(key)).copied().unwrap_or(-1)
    }

    fn set(&mut self, key: &str, value: i64) {
        self.0.insert(key.into(), value);
    }

    fn add(&mut self, key: &str, step: i64) {
        self.set(key, self.get(key).wrapping_add(step));
    }

    fn limits(&self) -> QuotaLimits {
        QuotaLimits {
            count: self.get("count"),
            bytes: self.get("bytes"),
            count_hard_limit: self.get("countHardLimit"),
            byte_hard_limit: self.get("byteHardLimit"),
        }
    }

    /// The text. The odd `=` keeps parsers of 3.4 from seeing what they do not know.
    fn to_string(&self) -> BString {
        let mut text = BString::from(format!(
            "count={},bytes={}",
            self.get("count"),
            self.get("bytes")
        ));
        let others = self
            .0
            .iter()
            .filter(|(key, _)| *key != "count" && *key != "bytes");
        for (place, (key, value)) in others.enumerate() {
            text.push_str(if place == 0 { "=;" } else { ";" });
            text.push_str(key);
            text.push_str(format!("={value}"));
        }
        text
    }
}

fn parse_pair(pair: &[u8]) -> Option<(BString, i64)> {
    let mut parts = pair.split(|&b| b == b'=');
    let (key, value) = (parts.next().filter(|key| !key.is_empty())?, parts.next()?);
    let value = if value.is_empty() {
        -1
    } else {
        value.to_str().ok()?.parse().ok()?
    };
    Some((key.into(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_text_is_read_and_written_as_java_does() {
        for (text, normal) in [
            ("count=5,bytes=100", "count=5,bytes=100"),
            (
                "count=5,bytes=100=;countHardLimit=6;byteHardLimit=200",
                "count=5,bytes=100=;byteHardLimit=200;countHardLimit=6",
            ),
            ("bytes=7", "count=-1,bytes=7"),
            ("", "count=-1,bytes=-1"),
            ("count=x,,;=,bytes", "count=-1,bytes=-1"),
            ("count=,bytes=3", "count=-1,bytes=3"),
        ] {
            assert_eq!(
                QuotaText::parse(Some(text.as_bytes())).to_string(),
                normal,
                "{text}"
            );
        }
        assert_eq!(QuotaText::parse(None).to_string(), "count=-1,bytes=-1");
    }

    #[test]
    fn statistics_that_are_missing_are_told_of_once_for_each_quota_and_not_without_end() {
        let mut roots = QuotaRoots::default();
        assert!(roots.tells_of(BStr::new("/a")));
        assert!(!roots.tells_of(BStr::new("/a")));
        roots.insert(BStr::new("/a"));
        roots.remove(BStr::new("/a"));
        assert!(!roots.tells_of(BStr::new("//a")));
        let others = (0..1_000).filter(|n| roots.tells_of(BStr::new(&format!("/{n}"))));
        assert_eq!(others.count(), TOLD_MAX - 1);
    }

    #[test]
    fn the_innermost_quota_is_found_by_whole_components() {
        let mut roots = QuotaRoots::default();
        for root in ["/a", "/a/b/c", "X", "", "/"] {
            roots.insert(BStr::new(root));
        }
        for (path, around) in [
            ("/a", Some("/a")),
            ("/a/b", Some("/a")),
            ("/ab", None),
            ("/a/b/c/d/e", Some("/a/b/c")),
            ("/X/y", Some("/X")),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(
                roots.around(BStr::new(path)),
                around.map(BStr::new),
                "{path}"
            );
        }
    }
}
