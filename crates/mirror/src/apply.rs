//! What a committed transaction does to the tree, and which watches it fires (`DataTree.processTxn`).
//!
//! Times, versions and final paths stand in the transaction: nothing is computed here that the leader
//! has decided. Where releases of ZooKeeper differ, the newest rule holds; on a complete tree they all
//! come to the same.

use bstr::{BStr, BString, ByteSlice};
use outpost_wire::data::{last_component, parent_path};
use outpost_wire::txn::{
    CreateKind, CreateTxn, DIGEST_VERSION, SubTxn, Txn, TxnDigest, TxnEntry, TxnHeader,
};
use outpost_wire::{Acl, ErrorCode, OpCode, StatPersisted};

use crate::applied::{Applied, DigestCheck, Divergence, SubResult, TxnResult, WatchEvent};
use crate::ephemerals::{CONTAINER_OWNER, ttl_owner};
use crate::tree::Tree;
use crate::watches::{Fired, Tables, WatcherId, Watches};
use crate::znode::{ROOT, ZnodeId};
use outpost_wire::proto::EventType;

impl Tree {
    /// Applies one committed transaction. Every fired watch is handed to `fire`, in order, each watcher
    /// once per trigger; no lock of [`Watches`] is held then.
    ///
    /// A transaction that is not newer than the last one changes nothing. Whatever else cannot be applied
    /// is left out, the zxid advances, and [`Applied::diverged`] says so.
    pub fn apply(
        &mut self,
        entry: &TxnEntry<'_>,
        watches: &Watches,
        fire: &mut dyn FnMut(WatcherId, &WatchEvent<'_>),
    ) -> Applied {
        let mut applied = self.process(entry, &mut Some(Firing { watches, fire }));
        if !matches!(applied.diverged, Some(Divergence::NotNewer { .. })) {
            applied.digest = self.check_digest(entry.digest);
            if self.options.compare_digests {
                self.digest_log.note(self.last_zxid, self.digest);
            }
        }
        applied
    }

    /// Applies one transaction to a tree that may contain parts of it already, as after a snapshot that
    /// was written while transactions went on. Fires nothing, compares no digest, finds nothing wrong.
    pub fn replay(&mut self, entry: &TxnEntry<'_>) -> Applied {
        let applied = self.process(entry, &mut None);
        if let Some(divergence) = &applied.diverged {
            tracing::debug!(zxid = %applied.zxid, %divergence, "contained in the snapshot already");
        }
        Applied {
            diverged: None,
            ..applied
        }
    }

    fn process(&mut self, entry: &TxnEntry<'_>, firing: &mut Option<Firing<'_>>) -> Applied {
        let header = &entry.header;
        let outcome = if header.zxid > self.last_zxid {
            let outcome = match &entry.txn {
                Txn::Multi(txns) => Applying {
                    tree: self,
                    header,
                    firing,
                }
                .multi(txns),
                txn => Applying {
                    tree: self,
                    header,
                    firing,
                }
                .txn(txn),
            };
            // Only now, with the last operation of a multi done.
            self.last_zxid = header.zxid;
            outcome
        } else {
            let (zxid, last) = (header.zxid, self.last_zxid);
            Outcome::diverged(Divergence::NotNewer { zxid, last })
        };
        Applied {
            zxid: header.zxid,
            kind: header.kind,
            error: outcome.error,
            result: outcome.result,
            digest: DigestCheck::NotSent,
            diverged: outcome.diverged,
        }
    }

    fn check_digest(&self, sent: Option<TxnDigest>) -> DigestCheck {
        match sent {
            Some(TxnDigest {
                version: DIGEST_VERSION,
                tree_digest,
            }) if self.options.compare_digests => {
                let (ours, theirs) = (self.digest, tree_digest as u64);
                match ours == theirs {
                    true => DigestCheck::Matches,
                    false => DigestCheck::Differs { ours, theirs },
                }
            }
            _ => DigestCheck::NotSent,
        }
    }
}

/// Whom to tell about changes.
struct Firing<'a> {
    watches: &'a Watches,
    fire: &'a mut dyn FnMut(WatcherId, &WatchEvent<'_>),
}

impl Firing<'_> {
    fn trigger(&mut self, tables: Tables, event: &WatchEvent<'_>) {
        let mut fired = Fired::new();
        self.watches.trigger(event.path, tables, &mut fired);
        for watcher in fired {
            (self.fire)(watcher, event);
        }
    }
}

/// What became of one transaction or one operation of a multi.
struct Outcome {
    error: ErrorCode,
    result: TxnResult,
    diverged: Option<Divergence>,
}

impl Outcome {
    fn done(result: TxnResult) -> Outcome {
        Outcome {
            error: ErrorCode::OK,
            result,
            diverged: None,
        }
    }

    fn diverged(divergence: Divergence) -> Outcome {
        Outcome {
            error: divergence.error(),
            result: TxnResult::None,
            diverged: Some(divergence),
        }
    }

    fn failed(error: ErrorCode) -> Outcome {
        Outcome {
            error,
            result: TxnResult::None,
            diverged: None,
        }
    }
}

/// One transaction under way. The operations of a multi share its header.
struct Applying<'a, 'f> {
    tree: &'a mut Tree,
    header: &'a TxnHeader,
    firing: &'a mut Option<Firing<'f>>,
}

impl Applying<'_, '_> {
    fn multi(&mut self, txns: &[SubTxn<'_>]) -> Outcome {
        if let Some(unexpected) = txns.iter().find(|sub| !belongs_in_multi(sub)) {
            return Outcome::diverged(Divergence::UnexpectedInMulti {
                kind: unexpected.kind,
            });
        }
        if txns.iter().any(|sub| matches!(sub.txn, Txn::Error { .. })) {
            return failed_multi(txns);
        }
        let mut outcome = Outcome::done(TxnResult::None);
        let mut results = Vec::with_capacity(txns.len());
        for sub in txns {
            let one = self.txn(&sub.txn);
            if outcome.error.is_ok() {
                outcome.error = one.error;
            }
            outcome.diverged = outcome.diverged.or(one.diverged);
            results.push(SubResult {
                kind: sub.kind,
                error: one.error,
                result: one.result,
            });
        }
        outcome.result = TxnResult::Multi(results);
        outcome
    }

    fn txn(&mut self, txn: &Txn<'_>) -> Outcome {
        match txn {
            Txn::Create(create) => self.create(create),
            Txn::Delete { path } => self.delete(path),
            Txn::SetData {
                path,
                data,
                version,
            } => self.set_data(path, *data, *version),
            Txn::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            Txn::Check { .. } => Outcome::done(TxnResult::Check),
            Txn::CreateSession { timeout_ms } => self.create_session(*timeout_ms),
            Txn::CloseSession { paths } => self.close_session(paths.as_deref()),
            Txn::Error { error } => Outcome::failed(*error),
            Txn::Multi(_) => Outcome::diverged(Divergence::UnexpectedInMulti {
                kind: OpCode::Multi.code(),
            }),
        }
    }

    fn create(&mut self, txn: &CreateTxn<'_>) -> Outcome {
        let path = txn.path;
        let Some(parent) = self.tree.find_parent(path) else {
            return Outcome::diverged(Divergence::MissingParent {
                path: path.to_owned(),
            });
        };
        let known = match path == "/" {
            true => Some(ROOT),
            false => self
                .tree
                .index
                .find(&self.tree.slab, parent, last_component(path)),
        };
        self.raise_parent(parent, path, txn.parent_cversion);
        if let Some(id) = known {
            // The znode of a fuzzy snapshot may be younger than its ACL (ZooKeeper 3.8.5 and later).
            self.tree.set_acl(id, &txn.acl);
            return Outcome::diverged(Divergence::NodeExists {
                path: path.to_owned(),
            });
        }
        let acl = self.tree.acls.intern(&txn.acl);
        let id = self
            .tree
            .insert(parent, path, txn.data, acl, &self.new_stat(txn.kind));
        let stat = self.tree.stat_of(self.tree.slab.get(id));
        self.tree
            .quota_after_create(path, txn.data.map_or(0, <[u8]>::len));

        self.fire(Tables::Data, EventType::NodeCreated, path, acl);
        self.fire_children_changed(parent, path);
        Outcome::done(TxnResult::Create {
            path: path.to_owned(),
            stat,
        })
    }

    fn new_stat(&self, kind: CreateKind) -> StatPersisted {
        let TxnHeader {
            session,
            zxid,
            time,
            ..
        } = *self.header;
        let ephemeral_owner = match kind {
            CreateKind::Persistent => 0,
            CreateKind::Ephemeral => session.0,
            CreateKind::Container => CONTAINER_OWNER,
            CreateKind::Ttl(ttl_ms) => ttl_owner(ttl_ms),
        };
        StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner,
            ..StatPersisted::default()
        }
    }

    /// Counts a created child. The leader tells the count, and one that is not larger than ours comes
    /// from a time that the tree has left behind already.
    fn raise_parent(&mut self, parent: ZnodeId, path: &BStr, parent_cversion: i32) {
        let zxid = self.header.zxid;
        let before = self.tree.slab.get(parent).cversion;
        let after = if parent_cversion == -1 {
            before.wrapping_add(1)
        } else {
            parent_cversion
        };
        if after > before {
            self.tree.change(parent, parent_path(path), |node| {
                node.cversion = after;
                node.pzxid = zxid;
            });
        }
    }

    fn delete(&mut self, path: &BStr) -> Outcome {
        let zxid = self.header.zxid;
        let Some(parent) = self.tree.find_parent(path) else {
            return Outcome::diverged(Divergence::MissingParent {
                path: path.to_owned(),
            });
        };
        // Even if the child is gone: a fuzzy snapshot may lack it and have its parent as it was before.
        if zxid > self.tree.slab.get(parent).pzxid {
            self.tree
                .change(parent, parent_path(path), |node| node.pzxid = zxid);
        }
        let Some(id) = self
            .tree
            .index
            .find(&self.tree.slab, parent, last_component(path))
        else {
            return Outcome::diverged(Divergence::MissingNode {
                path: path.to_owned(),
            });
        };
        let has_children = !self.tree.slab.get(id).children().is_empty();
        let acl = self.tree.remove(id, path);

        self.fire(Tables::Both, EventType::NodeDeleted, path, acl);
        self.tree.acls.release(acl);
        self.fire_children_changed(parent, path);
        let diverged = has_children.then(|| Divergence::HasChildren {
            path: path.to_owned(),
        });
        Outcome {
            diverged,
            ..Outcome::done(TxnResult::Delete)
        }
    }

    fn set_data(&mut self, path: &BStr, data: Option<&[u8]>, version: i32) -> Outcome {
        let TxnHeader { zxid, time, .. } = *self.header;
        let Some(id) = self.tree.find(path) else {
            return Outcome::diverged(Divergence::MissingNode {
                path: path.to_owned(),
            });
        };
        let bytes_before = self.tree.slab.get(id).data_length();
        self.tree.set_data(id, path, data);
        self.tree.change(id, path, |node| {
            node.version = version;
            node.mzxid = zxid;
            node.mtime = time;
        });
        let node = self.tree.slab.get(id);
        let (stat, acl, bytes_after) = (self.tree.stat_of(node), node.acl, node.data_length());
        self.tree.quota_after_set(path, bytes_before, bytes_after);

        self.fire(Tables::Data, EventType::NodeDataChanged, path, acl);
        Outcome::done(TxnResult::SetData(stat))
    }

    fn set_acl(&mut self, path: &BStr, acl: &[Acl], version: i32) -> Outcome {
        let Some(id) = self.tree.find(path) else {
            return Outcome::diverged(Divergence::MissingNode {
                path: path.to_owned(),
            });
        };
        self.tree.set_acl(id, acl);
        self.tree.change(id, path, |node| node.aversion = version);
        Outcome::done(TxnResult::SetAcl(self.tree.stat_of(self.tree.slab.get(id))))
    }

    fn create_session(&mut self, timeout_ms: i32) -> Outcome {
        let session = self.header.session;
        self.tree.sessions.insert(session, timeout_ms);
        Outcome::done(TxnResult::CreateSession {
            session,
            timeout_ms,
        })
    }

    /// The leader's list comes first and in its order, even where it names what this session does not
    /// own here; then whatever it has left out.
    fn close_session(&mut self, paths: Option<&[&BStr]>) -> Outcome {
        let session = self.header.session;
        for path in paths.unwrap_or_default() {
            if let Some(divergence) = self.delete(path).diverged {
                tracing::debug!(%session, zxid = %self.header.zxid, %divergence, "ephemeral");
            }
        }
        let left: Vec<ZnodeId> = self.tree.ephemerals.of(session).collect();
        let left: Vec<BString> = left.into_iter().map(|id| self.tree.path_of(id)).collect();
        if paths.is_some()
            && let Some(first) = left.first()
        {
            tracing::warn!(%session, count = left.len(), %first,
                "ephemerals of a session that has ended, which the leader did not list; deleted all the same");
        }
        for path in left {
            self.delete(path.as_bstr());
        }
        self.tree.sessions.remove(&session);
        Outcome::done(TxnResult::CloseSession { session })
    }

    fn fire_children_changed(&mut self, parent: ZnodeId, path: &BStr) {
        let acl = self.tree.slab.get(parent).acl;
        let parent_path = match parent {
            ROOT => BStr::new("/"),
            _ => parent_path(path),
        };
        self.fire(
            Tables::Child,
            EventType::NodeChildrenChanged,
            parent_path,
            acl,
        );
    }

    fn fire(&mut self, tables: Tables, kind: EventType, path: &BStr, acl: u32) {
        if let Some(firing) = self.firing {
            let (zxid, acl) = (self.header.zxid, self.tree.acls.get(acl));
            firing.trigger(
                tables,
                &WatchEvent {
                    kind,
                    path,
                    zxid,
                    acl,
                },
            );
        }
    }
}

/// What a leader puts into a multi. Java stops in the middle at anything else.
fn belongs_in_multi(sub: &SubTxn<'_>) -> bool {
    match &sub.txn {
        Txn::Create(_) | Txn::Delete { .. } | Txn::Check { .. } | Txn::Error { .. } => true,
        Txn::SetData { .. } => sub.kind == OpCode::SetData.code(),
        _ => false,
    }
}

/// A multi that failed changes nothing: OK for each operation before the one that failed, its error, and
/// "not tried" for those after it.
fn failed_multi(txns: &[SubTxn<'_>]) -> Outcome {
    let mut outcome = Outcome::failed(ErrorCode::OK);
    let mut failed = false;
    let mut one = |sub: &SubTxn<'_>| {
        let error = match sub.txn {
            Txn::Error { error } => error,
            _ if failed => ErrorCode::RUNTIME_INCONSISTENCY,
            _ => ErrorCode::OK,
        };
        failed = failed || matches!(sub.txn, Txn::Error { .. });
        if outcome.error.is_ok() {
            outcome.error = error;
        }
        SubResult {
            kind: OpCode::Error.code(),
            error,
            result: TxnResult::None,
        }
    };
    let results = txns.iter().map(&mut one).collect();
    outcome.result = TxnResult::Multi(results);
    outcome
}
