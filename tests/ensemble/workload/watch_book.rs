//! What one client may expect of its watches: which it has left, and what each path looked like then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::io;

use bstr::{BStr, BString, ByteSlice};
use outpost_tests::Version;
use outpost_tests::raw::{Event, RawClient};
use outpost_wire::proto::SetWatches;
use outpost_wire::{OpCode, Stat, Zxid};

/// How many of a path's last happenings a failure shows.
const HISTORY_SHOWN: usize = 20;

/// The one-shot watches of one client that have not fired.
#[derive(Debug, Default)]
pub(super) struct WatchBook {
    /// Data watches: the mzxid that was seen, or none when the znode was not there.
    data: BTreeMap<BString, Option<Zxid>>,
    /// Child watches: the pzxid that was seen.
    children: BTreeMap<BString, Zxid>,
    /// Paths that had both watches when they were set again: setWatches tells of a deletion once for each.
    deleted_twice: BTreeSet<BString>,
    /// Whether creations and changes are told apart; 3.4 and older confuse them when watches are set again.
    confuses_created_and_changed: bool,
    /// What happened to which path, for a failure's message.
    history: Vec<(BString, String)>,
}

impl WatchBook {
    /// Forgets all watches: a new connection has none.
    pub(super) fn forget(&mut self) {
        let history = std::mem::take(&mut self.history);
        *self = Self {
            history,
            ..Self::default()
        };
        self.note(BStr::new(""), || {
            "a new connection without watches".to_owned()
        });
    }

    /// Keeps a line about a path.
    pub(super) fn note(&mut self, path: &BStr, line: impl FnOnce() -> String) {
        self.history.push((path.to_owned(), line()));
    }

    /// A data watch was left on what looked like this.
    pub(super) fn left_data(&mut self, path: &BStr, stat: Option<&Stat>) {
        self.data
            .insert(path.to_owned(), stat.map(|stat| stat.mzxid));
    }

    /// A child watch was left on what looked like this.
    pub(super) fn left_children(&mut self, path: &BStr, stat: &Stat) {
        self.children.insert(path.to_owned(), stat.pzxid);
    }

    /// Whether there is a data watch.
    pub(super) fn has_data(&self, path: &BStr) -> bool {
        self.data.contains_key(path)
    }

    /// Whether there is a child watch.
    pub(super) fn has_children(&self, path: &BStr) -> bool {
        self.children.contains_key(path)
    }

    /// A data watch was taken away.
    pub(super) fn removed_data(&mut self, path: &BStr) {
        self.data.remove(path);
    }

    /// A child watch was taken away.
    pub(super) fn removed_children(&mut self, path: &BStr) {
        self.children.remove(path);
    }

    /// Every path with a watch.
    pub(super) fn paths(&self) -> Vec<BString> {
        self.data
            .keys()
            .chain(self.children.keys())
            .cloned()
            .collect()
    }

    /// An event came: a watch must explain it, and is gone.
    pub(super) fn fired(&mut self, event: &Event) {
        let path: &BStr = event.path.as_bstr();
        self.note(path, || format!("{event:?}"));
        let explained = match event.kind {
            1 | 3 if self.confuses_created_and_changed => self.data.remove(path).is_some(),
            1 => self.data.remove(path) == Some(None),
            2 => {
                let data = matches!(self.data.remove(path), Some(Some(_)));
                let children = self.children.remove(path).is_some();
                data || children || self.deleted_twice.remove(path)
            }
            3 => matches!(self.data.remove(path), Some(Some(_))),
            4 => self.children.remove(path).is_some(),
            _ => false,
        };
        if !explained {
            self.fail(path, "P3: no watch explains", event);
        }
    }

    /// A reply showed the znode (or that there is none): every watch on it must still fit.
    pub(super) fn shown(&self, path: &BStr, stat: Option<&Stat>, by: &dyn Debug) {
        let mzxid = stat.map(|stat| stat.mzxid);
        if self.data.get(path).is_some_and(|known| *known != mzxid) {
            self.fail(
                path,
                "P3: the event of a data watch has not come, yet a reply shows a change:",
                by,
            );
        }
        let pzxid = stat.map(|stat| stat.pzxid);
        if self
            .children
            .get(path)
            .is_some_and(|known| Some(*known) != pzxid)
        {
            self.fail(
                path,
                "P3: the event of a child watch has not come, yet a reply shows a change:",
                by,
            );
        }
    }

    /// A reply said that the znode is there, without showing it.
    pub(super) fn shown_to_exist(&self, path: &BStr, by: &dyn Debug) {
        if self.data.get(path) == Some(&None) {
            self.fail(
                path,
                "P3: a watch waits for the creation, yet a reply shows that it is there:",
                by,
            );
        }
    }

    /// Leaves the same watches at another server, as client libraries do after they have reconnected.
    ///
    /// # Errors
    /// When the connection is lost meanwhile; the watches are then still to be set.
    pub(super) fn set_again(&mut self, client: &mut RawClient, version: Version) -> io::Result<()> {
        self.note(BStr::new(""), || {
            format!("watches are set again from {}", client.last_zxid())
        });
        let present = |wanted: bool| {
            let matching = self
                .data
                .iter()
                .filter(move |(_, known)| known.is_some() == wanted);
            matching.map(|(path, _)| path.as_bstr()).collect()
        };
        let request = SetWatches {
            relative_zxid: client.last_zxid(),
            data_watches: present(true),
            exist_watches: present(false),
            child_watches: self.children.keys().map(|path| path.as_bstr()).collect(),
        };
        let reply = client.try_request(OpCode::SetWatches, &request);
        let both = self
            .data
            .keys()
            .filter(|path| self.children.contains_key(*path))
            .cloned()
            .collect();
        self.deleted_twice = both;
        self.confuses_created_and_changed = version < Version::V3_5_10;
        for event in client.take_events() {
            self.fired(&event);
        }
        self.confuses_created_and_changed = false;
        self.deleted_twice.clear();
        let reply = reply?;
        assert!(
            reply.header.err.is_ok(),
            "setWatches fails: {:?}",
            reply.header
        );
        Ok(())
    }

    /// Fails with all that this client knows about the path.
    pub(super) fn fail(&self, path: &BStr, what: &str, by: &dyn Debug) -> ! {
        let mut message = format!("{what} {by:?}");
        let _ = write!(message, "\n  data watch: {:?}", self.data.get(path));
        let _ = write!(
            message,
            "\n  child watch: {:?}\n  what happened to it:",
            self.children.get(path)
        );
        let about = self
            .history
            .iter()
            .filter(|(noted, _)| noted.is_empty() || noted == path);
        let lines: Vec<&String> = about.map(|(_, line)| line).collect();
        for line in &lines[lines.len().saturating_sub(HISTORY_SHOWN)..] {
            let _ = write!(message, "\n    {line}");
        }
        panic!("{message}");
    }
}
