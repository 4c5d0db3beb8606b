//! What the tree will be once everything that was proposed is committed.
//!
//! A request is decided on that, not on the tree: the proposals before it may still be under way, and
//! inside a multi an operation sees those before it (`PrepRequestProcessor.outstandingChanges`).

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString};
use outpost_mirror::Tree;
use outpost_wire::{Acl, ErrorCode, SessionId, Zxid};

/// As much of a znode as requests are decided on.
#[derive(Debug, Clone)]
pub(crate) struct ZnodeRecord {
    pub(crate) version: i32,
    /// Counts creations only, unlike what clients see.
    pub(crate) cversion: i32,
    pub(crate) aversion: i32,
    /// 0, a session, or the mark of a container or TTL znode.
    pub(crate) ephemeral_owner: i64,
    pub(crate) child_count: usize,
    pub(crate) acl: Vec<Acl>,
}

/// What became of a znode; `None` is its end.
type Fate = Option<ZnodeRecord>;

/// Changes that are proposed and not yet committed.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    by_path: BTreeMap<BString, (Zxid, Fate)>,
}

impl Outstanding {
    /// Adds the changes of one proposal.
    pub(crate) fn add(&mut self, zxid: Zxid, changes: Changes) {
        let dated = changes
            .by_path
            .into_iter()
            .map(|(path, fate)| (path, (zxid, fate)));
        self.by_path.extend(dated);
    }

    /// Everything up to `zxid` is in the tree now.
    pub(crate) fn committed(&mut self, zxid: Zxid) {
        self.by_path.retain(|_, (changed, _)| *changed > zxid);
    }
}

/// The changes that one request makes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    by_path: BTreeMap<BString, Fate>,
}

/// The tree, the outstanding changes and those of the request that is being decided, as one.
pub(crate) struct Draft<'a> {
    tree: &'a Tree,
    outstanding: &'a Outstanding,
    own: Changes,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(tree: &'a Tree, outstanding: &'a Outstanding) -> Draft<'a> {
        Draft {
            tree,
            outstanding,
            own: Changes::default(),
        }
    }

    /// The znode at `path`.
    ///
    /// # Errors
    /// [`ErrorCode::NO_NODE`].
    pub(crate) fn get(&self, path: &BStr) -> Result<ZnodeRecord, ErrorCode> {
        let path = canonical(path);
        let fate = match self.changed(path) {
            Some(fate) => fate.clone(),
            None => self.committed(path),
        };
        fate.ok_or(ErrorCode::NO_NODE)
    }

    /// The znode is this from now on.
    pub(crate) fn put(&mut self, path: &BStr, record: ZnodeRecord) {
        self.own
            .by_path
            .insert(canonical(path).to_owned(), Some(record));
    }

    /// The znode is gone.
    pub(crate) fn remove(&mut self, path: &BStr) {
        self.own.by_path.insert(canonical(path).to_owned(), None);
    }

    /// The ephemeral znodes of a session, sorted.
    pub(crate) fn ephemerals_of(&self, session: SessionId) -> BTreeSet<BString> {
        let mut paths: BTreeSet<BString> = self.tree.ephemerals_of(session).collect();
        let outstanding = self
            .outstanding
            .by_path
            .iter()
            .map(|(path, (_, fate))| (path, fate));
        for (path, fate) in outstanding.chain(&self.own.by_path) {
            match fate {
                Some(record) if record.ephemeral_owner == session.0 => paths.insert(path.clone()),
                // Whatever else is there now, this session's is gone.
                Some(_) | None => paths.remove(path),
            };
        }
        paths
    }

    /// Drops what this request has changed so far.
    pub(crate) fn roll_back(&mut self) {
        self.own = Changes::default();
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.own
    }

    fn changed(&self, path: &BStr) -> Option<&Fate> {
        let outstanding = || self.outstanding.by_path.get(path).map(|(_, fate)| fate);
        self.own.by_path.get(path).or_else(outstanding)
    }

    fn committed(&self, path: &BStr) -> Fate {
        let node = self.tree.node(path)?;
        let stat = node.persisted();
        Some(ZnodeRecord {
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            ephemeral_owner: stat.ephemeral_owner,
            child_count: node.children().len(),
            acl: node.acl().to_vec(),
        })
    }
}

/// The root has two names.
fn canonical(path: &BStr) -> &BStr {
    if path == "/" { BStr::new("") } else { path }
}
