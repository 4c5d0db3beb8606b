//! The events that a connection is owed when one whole tree takes the place of another.
//!
//! A snapshot tells what the tree is and not how it came to be so: the events say what is different, not how often
//! it changed. For each path that a connection watches, in whichever way, that leaves few sequences of events that
//! are right:
//!
//! | before | after | told to whoever watches |
//! |---|---|---|
//! | not there | there | NodeCreated; then NodeChildrenChanged if it has got children since, to a watch of them that stays |
//! | there | not there | NodeDeleted, once for data and children together |
//! | there | another znode of that name | a watch that stays: NodeDeleted, and then as above. One that fires once: NodeDeleted, or the change that setWatches would report |
//! | there | the same znode, data set meanwhile | NodeDataChanged |
//! | there | the same znode, children changed meanwhile | NodeChildrenChanged |
//!
//! Nothing else, nothing twice, and nothing for a path that is as it was. Across paths: parents are created before
//! their children and deleted after them, so that who keeps a copy of a subtree can follow.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bstr::{BStr, BString, ByteSlice};
use outpost_wire::Zxid;
use outpost_wire::proto::EventType;

use super::model::{self, Model, Node};
use super::transcript::{Event, TakeOver};
use super::watcher::{Flags, Watcher};

use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};

/// What is owed, and what of it has come.
#[derive(Debug)]
pub(crate) struct Difference {
    from: Zxid,
    to: Zxid,
    /// Where the snapshot took over.
    pub(crate) record: usize,
    paths: BTreeMap<BString, AtPath>,
    /// Everything that has come, in its order.
    told: Vec<(EventType, BString)>,
}

/// One path.
#[derive(Debug)]
struct AtPath {
    /// Each of these is right.
    right: Vec<Vec<EventType>>,
    told: Vec<EventType>,
}

impl Difference {
    /// What `watcher` is owed, with every watch used up that fires once and has to.
    pub(crate) fn new(model: &Model, take_over: TakeOver, watcher: &mut Watcher) -> Difference {
        let TakeOver { from, to, moment } = take_over;
        let mut paths = BTreeMap::new();
        for path in candidates(model, take_over, watcher) {
            let before = model.node(path.as_bstr(), from);
            let after = model.node(path.as_bstr(), to);
            let flags = watcher.on(path.as_bstr());
            let ways = Ways {
                flags,
                covered: watcher.covers(path.as_bstr()),
            };
            let right = ways.right(before, after);
            if right.iter().all(Vec::is_empty) {
                continue;
            }
            watcher.remove(path.as_bstr(), used_up(&right));
            let unsure = [before, after]
                .into_iter()
                .flatten()
                .any(|node| model::everybody_reads(&node.acl) != Some(true));
            let right = if unsure { with_parts(right) } else { right };
            let told = Vec::new();
            paths.insert(path, AtPath { right, told });
        }
        Difference {
            from,
            to,
            record: moment.record,
            paths,
            told: Vec::new(),
        }
    }

    /// Whether this event is owed now.
    pub(crate) fn takes(&mut self, event: &Event<'_>) -> bool {
        if event.zxid <= self.from || event.zxid > self.to {
            return false;
        }
        let Some(at_path) = self.paths.get_mut(event.path) else {
            return false;
        };
        at_path.told.push(event.kind);
        let told = &at_path.told;
        if at_path.right.iter().any(|right| right.starts_with(told)) {
            self.told.push((event.kind, event.path.clone()));
            true
        } else {
            at_path.told.pop();
            false
        }
    }

    /// What is missing or came in the wrong order, if anything did.
    pub(crate) fn fault(&self) -> Option<String> {
        let incomplete = self
            .paths
            .iter()
            .find(|(_, at_path)| !at_path.right.contains(&at_path.told));
        if let Some((path, AtPath { right, told })) = incomplete {
            return Some(format!("{path} is told {told:?}, and owed {right:?}"));
        }
        self.disorder()
    }

    fn disorder(&self) -> Option<String> {
        let places: HashMap<(EventType, &BStr), usize> = self
            .told
            .iter()
            .enumerate()
            .map(|(place, (kind, path))| ((*kind, path.as_bstr()), place))
            .collect();
        for (place, (kind, path)) in self.told.iter().enumerate() {
            let mut above = path.clone();
            while above.len() > 1 {
                above = model::parent(above.as_bstr());
                let Some(&of_above) = places.get(&(*kind, above.as_bstr())) else {
                    continue;
                };
                let wrong = match kind {
                    NodeCreated => of_above > place,
                    NodeDeleted => of_above < place,
                    _ => false,
                };
                if wrong {
                    return Some(format!("{kind:?} of {above} and of {path} change places"));
                }
            }
        }
        None
    }
}

/// Paths that may be different and are watched.
fn candidates(model: &Model, take_over: TakeOver, watcher: &Watcher) -> BTreeSet<BString> {
    let mut paths: BTreeSet<BString> = watcher.paths().map(|(path, _)| path.clone()).collect();
    if watcher
        .paths()
        .any(|(_, flags)| flags.any(Flags::RECURSIVE))
    {
        let touched = model
            .steps_between(take_over.from, take_over.to)
            .iter()
            .flat_map(|step| &step.triggers)
            .map(|trigger| &trigger.path)
            .filter(|path| watcher.covers(path.as_bstr()));
        paths.extend(touched.cloned());
    }
    paths
}

/// The ways in which one path is watched.
#[derive(Debug, Clone, Copy)]
struct Ways {
    /// On the path itself.
    flags: Flags,
    /// By a recursive watch on it or above it.
    covered: bool,
}

impl Ways {
    fn data(self) -> bool {
        self.covered || self.flags.any(Flags::DATA)
    }

    fn child(self) -> bool {
        self.flags.any(Flags::CHILD)
    }

    fn stays(self) -> bool {
        self.covered || self.flags.any(Flags::DATA_ALWAYS)
    }

    fn children_stay(self) -> bool {
        self.flags.any(Flags::CHILD_ALWAYS)
    }

    /// Every sequence of events that is right.
    fn right(self, before: Option<&Node>, after: Option<&Node>) -> Vec<Vec<EventType>> {
        match (before, after) {
            (None, None) => vec![vec![]],
            (None, Some(after)) if self.data() => {
                vec![self.with_children(vec![NodeCreated], after)]
            }
            (None, Some(_)) => vec![vec![]],
            (Some(_), None) if self.data() || self.child() => vec![vec![NodeDeleted]],
            (Some(_), None) => vec![vec![]],
            (Some(before), Some(after)) if before.stat.czxid == after.stat.czxid => {
                let data = self.data() && before.stat.mzxid != after.stat.mzxid;
                let child = self.child() && before.stat.pzxid != after.stat.pzxid;
                either_order(data, child)
            }
            (Some(_), Some(after)) if self.stays() => {
                vec![self.with_children(vec![NodeDeleted, NodeCreated], after)]
            }
            (Some(_), Some(_)) if self.data() || self.child() => {
                let mut right = either_order(self.data(), self.child());
                right.push(vec![NodeDeleted]);
                right
            }
            (Some(_), Some(_)) => vec![vec![]],
        }
    }

    /// A znode begins without children: those that it has, or has had, came after it.
    fn with_children(self, mut told: Vec<EventType>, after: &Node) -> Vec<EventType> {
        let has_had = after.stat.pzxid != after.stat.czxid || !after.children.is_empty();
        if self.children_stay() && has_had {
            told.push(NodeChildrenChanged);
        }
        told
    }
}

fn either_order(data: bool, child: bool) -> Vec<Vec<EventType>> {
    match (data, child) {
        (false, false) => vec![vec![]],
        (true, false) => vec![vec![NodeDataChanged]],
        (false, true) => vec![vec![NodeChildrenChanged]],
        (true, true) => vec![
            vec![NodeDataChanged, NodeChildrenChanged],
            vec![NodeChildrenChanged, NodeDataChanged],
        ],
    }
}

/// Which watches that fire once have fired.
fn used_up(right: &[Vec<EventType>]) -> Flags {
    let mut used = Flags::default();
    for kind in right.iter().flatten() {
        used = used.or(match kind {
            NodeCreated | NodeDataChanged => Flags::DATA_ONCE,
            NodeChildrenChanged => Flags::CHILD_ONCE,
            NodeDeleted => Flags::DATA_ONCE.or(Flags::CHILD_ONCE),
        });
    }
    used
}

/// Who may not read a znode is not told; where that depends on who asks, each part may be left out.
fn with_parts(right: Vec<Vec<EventType>>) -> Vec<Vec<EventType>> {
    let mut parts = BTreeSet::new();
    let code = |kinds: &[EventType]| kinds.iter().map(|kind| kind.code()).collect::<Vec<_>>();
    let mut all = Vec::new();
    for sequence in right {
        for mask in 0..1_u32 << sequence.len() {
            let part: Vec<EventType> = sequence
                .iter()
                .enumerate()
                .filter(|(place, _)| mask & (1 << place) != 0)
                .map(|(_, kind)| *kind)
                .collect();
            if parts.insert(code(&part)) {
                all.push(part);
            }
        }
    }
    all
}
