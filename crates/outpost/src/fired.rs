//! How many watchers each change has told, by what had changed.
//!
//! The tree tells of one watcher after the other, in ascending order for each change; where the next begins,
//! is found here.

use bstr::BString;
use outpost_forward::latencies::Latencies;
use outpost_mirror::{WatchEvent, WatcherId};
use outpost_wire::proto::EventType;

/// Watchers told of a change, by what had changed: counted when the next change is told of, or at the end of a batch.
#[derive(Debug, Default)]
pub struct Fired {
    /// A znode was made.
    pub created: Latencies,
    /// A znode was deleted.
    pub deleted: Latencies,
    /// A znode's data were set.
    pub changed: Latencies,
    /// A list of children changed.
    pub children: Latencies,
    present: Option<Change>,
}

/// One change that is being told of.
#[derive(Debug)]
struct Change {
    kind: EventType,
    path: BString,
    last: WatcherId,
    told: u64,
}

impl Fired {
    /// A watcher is told.
    pub fn note(&mut self, watcher: WatcherId, event: &WatchEvent<'_>) {
        match &mut self.present {
            Some(change)
                if change.kind == event.kind
                    && change.path == event.path
                    && change.last < watcher =>
            {
                change.last = watcher;
                change.told += 1;
            }
            _ => {
                self.end();
                self.present = Some(Change {
                    kind: event.kind,
                    path: event.path.to_owned(),
                    last: watcher,
                    told: 1,
                });
            }
        }
    }

    /// All that were to be told are.
    pub fn end(&mut self) {
        let Some(change) = self.present.take() else {
            return;
        };
        let counted = match change.kind {
            EventType::NodeCreated => &self.created,
            EventType::NodeDeleted => &self.deleted,
            EventType::NodeDataChanged => &self.changed,
            EventType::NodeChildrenChanged => &self.children,
        };
        counted.note(change.told, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outpost_forward::latencies::LatencySummary;
    use outpost_wire::Zxid;

    #[test]
    fn watchers_of_one_change_are_counted_together_and_those_of_the_next_anew() {
        let mut fired = Fired::default();
        let event = |path: &'static str| WatchEvent {
            kind: EventType::NodeDataChanged,
            path: path.into(),
            zxid: Zxid(1),
            acl: &[],
        };
        for (path, watcher) in [("/a", 1), ("/a", 2), ("/a", 5), ("/b", 6), ("/b", 6)] {
            fired.note(WatcherId(watcher), &event(path));
        }
        fired.end();
        fired.end();
        let changed = LatencySummary::of([&fired.changed]);
        assert_eq!((changed.count, changed.sum, changed.max), (3, 5, 3));
        assert!(!fired.created.has_any() && !fired.children.has_any());
    }
}
