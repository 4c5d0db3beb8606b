//! Each rule finds the history that breaks it, and leaves the one alone that does not.

use std::time::Instant;

use bstr::BStr;
use outpost_wire::txn::{CreateKind, CreateTxn, Txn, TxnEntry, TxnHeader};
use outpost_wire::{Acl, OpCode, Stat};

use super::*;

const SESSION: SessionId = SessionId(0x77);
const OTHER: SessionId = SessionId(0x88);

/// Znode `/a` is created at 1 and set at 2 (by request 1 of our session), 4 and 6; `/b` comes at 3 and goes at 5.
fn committed() -> Committed {
    let mut committed = Committed::default();
    let (a, b) = (BStr::new("/a"), BStr::new("/b"));
    let set = |version| Txn::SetData {
        path: a,
        data: None,
        version,
    };
    let txns = [
        (OTHER, 1, OpCode::Create, created(a)),
        (SESSION, 1, OpCode::SetData, set(1)),
        (OTHER, 2, OpCode::Create, created(b)),
        (OTHER, 3, OpCode::SetData, set(2)),
        (OTHER, 4, OpCode::Delete, Txn::Delete { path: b }),
        (OTHER, 5, OpCode::SetData, set(3)),
    ];
    for (index, (session, cxid, op, txn)) in txns.into_iter().enumerate() {
        let header = TxnHeader {
            session,
            cxid: Xid(cxid),
            zxid: Zxid(index as i64 + 1),
            time: 0,
            kind: op.code(),
        };
        committed.apply(&TxnEntry {
            header,
            txn,
            digest: None,
        });
    }
    committed
}

fn created(path: &BStr) -> Txn<'_> {
    Txn::Create(CreateTxn {
        path,
        data: None,
        acl: Acl::open().to_vec(),
        kind: CreateKind::Persistent,
        parent_cversion: 1,
    })
}

/// Znode `/a` as of `zxid`.
fn a_at(zxid: i64) -> Shown {
    let (mzxid, version) = match zxid {
        ..2 => (1, 0),
        2..4 => (2, 1),
        4..6 => (4, 2),
        _ => (6, 3),
    };
    Shown::from(Stat {
        czxid: Zxid(1),
        mzxid: Zxid(mzxid),
        pzxid: Zxid(1),
        version,
        ..Stat::default()
    })
}

#[derive(Default)]
struct Tale(Vec<What>);

impl Tale {
    fn begin() -> Self {
        let session = SESSION;
        let again = false;
        Self(vec![What::Opened { session, again }])
    }

    fn asks(mut self, xid: i32, op: Op) -> Self {
        self.0.push(What::Asked { xid: Xid(xid), op });
        self
    }

    fn hears(mut self, xid: i32, zxid: i64, err: ErrorCode, shown: Shown) -> Self {
        let (xid, zxid) = (Xid(xid), Zxid(zxid));
        self.0.push(What::Answered {
            xid,
            zxid,
            err,
            shown,
        });
        self
    }

    /// Reads `/a` and is answered at `zxid`.
    fn reads(self, xid: i32, zxid: i64, watch: bool) -> Self {
        let path = "/a".into();
        self.asks(xid, Op::GetData { path, watch })
            .hears(xid, zxid, ErrorCode::OK, a_at(zxid))
    }

    fn pinged(self, zxid: i64) -> Self {
        self.asks(-2, Op::Ping)
            .hears(-2, zxid, ErrorCode::OK, Shown::default())
    }

    fn told(mut self, kind: EventType, path: &str, zxid: i64) -> Self {
        self.0.push(What::Fired {
            kind: kind.code(),
            path: path.into(),
            zxid: Some(Zxid(zxid)),
        });
        self
    }

    fn ends(mut self) -> Self {
        self.0.push(What::Lost(Loss::Closed));
        self
    }

    fn comes_back(mut self, zxid: i64) -> Self {
        self.0.push(What::Lost(Loss::Closed));
        let (session, again) = (SESSION, true);
        self.0.push(What::Opened { session, again });
        self.asks(-8, Op::SetWatches)
            .hears(-8, zxid, ErrorCode::OK, Shown::default())
    }

    fn judged(self, gaps: Gaps) -> Vec<String> {
        let at = Instant::now();
        let entries = self.0.into_iter().map(|what| Entry { at, what }).collect();
        let client = "client".to_owned();
        let violations = judge(&History { client, entries }, &committed(), gaps);
        violations.into_iter().map(|one| one.text).collect()
    }

    fn holds(self) {
        let violations = self.judged(Gaps::FilledByTransactions);
        assert!(violations.is_empty(), "{violations:#?}");
    }

    fn breaks(self, promise: &str) {
        let violations = self.judged(Gaps::FilledByTransactions);
        assert_eq!(violations.len(), 1, "{violations:#?}");
        assert!(violations[0].starts_with(promise), "{violations:#?}");
    }
}

use EventType::{NodeCreated, NodeDataChanged, NodeDeleted};

#[test]
fn reads_that_show_the_tree_of_their_zxid_are_fine_and_others_are_not() {
    Tale::begin().reads(2, 3, false).reads(3, 6, false).holds();
    let path: Path = "/a".into();
    let read = Op::GetData { path, watch: false };
    let at_4 = |shown| {
        let tale = Tale::begin().asks(2, read.clone());
        tale.hears(2, 4, ErrorCode::OK, shown)
    };
    at_4(a_at(4)).holds();
    at_4(a_at(2)).breaks("P1");
    let tale = Tale::begin().asks(2, read.clone());
    tale.hears(2, 4, ErrorCode::NO_NODE, Shown::default())
        .breaks("P1");
    Tale::begin().reads(2, 7, false).breaks("P1");
}

#[test]
fn a_session_that_goes_back_in_time_is_found() {
    Tale::begin()
        .reads(2, 4, false)
        .reads(3, 3, false)
        .breaks("P4");
}

#[test]
fn answers_out_of_order_are_found_and_pings_may_overtake() {
    let [one, other] = [2, 3].map(|xid| {
        let path = "/a".into();
        (xid, Op::GetData { path, watch: false })
    });
    let asked = || {
        Tale::begin()
            .asks(one.0, one.1.clone())
            .asks(other.0, other.1.clone())
    };
    let ok = ErrorCode::OK;
    asked()
        .hears(2, 3, ok, a_at(3))
        .hears(3, 3, ok, a_at(3))
        .holds();
    asked()
        .hears(3, 3, ok, a_at(3))
        .hears(2, 3, ok, a_at(3))
        .breaks("P2");
    asked()
        .pinged(3)
        .hears(2, 3, ok, a_at(3))
        .hears(3, 3, ok, a_at(3))
        .holds();
}

#[test]
fn a_write_must_be_answered_with_its_own_transaction() {
    let write = || {
        let path = "/a".into();
        Tale::begin().asks(1, Op::SetData { path, data: 0 })
    };
    let ok = ErrorCode::OK;
    write().hears(1, 2, ok, a_at(2)).holds();
    // Another's transaction, an error in place of success, and a Stat of later.
    write().hears(1, 4, ok, a_at(4)).breaks("P5");
    write()
        .hears(1, 2, ErrorCode::NO_NODE, Shown::default())
        .breaks("P5");
    write().hears(1, 2, ok, a_at(4)).breaks("P1");
    // A request that was never committed.
    let path = "/a".into();
    let never = Tale::begin().asks(9, Op::SetData { path, data: 0 });
    never.hears(9, 2, ok, a_at(2)).breaks("P5");
}

#[test]
fn of_the_writes_that_a_loss_leaves_unanswered_the_first_ones_are_committed() {
    let write = |tale: Tale, xid| {
        let path = "/a".into();
        tale.asks(xid, Op::SetData { path, data: 0 })
    };
    // Request 1 was committed, 8 and 9 never.
    write(write(Tale::begin(), 1), 8).ends().holds();
    write(write(Tale::begin(), 8), 9).ends().holds();
    write(write(Tale::begin(), 9), 1).ends().breaks("P2");
}

#[test]
fn a_watch_is_told_once_and_before_a_reply_that_shows_the_change() {
    Tale::begin()
        .reads(2, 3, true)
        .told(NodeDataChanged, "/a", 4)
        .reads(3, 4, false)
        .holds();
    Tale::begin()
        .reads(2, 3, true)
        .reads(3, 4, false)
        .breaks("P3");
    Tale::begin().reads(2, 3, true).pinged(5).breaks("P3");
    let told = || {
        Tale::begin()
            .reads(2, 3, true)
            .told(NodeDataChanged, "/a", 4)
    };
    told().told(NodeDataChanged, "/a", 6).breaks("P3");
    told()
        .reads(3, 4, true)
        .told(NodeDataChanged, "/a", 6)
        .pinged(6)
        .holds();
    // Of the wrong change, or of the wrong kind.
    Tale::begin()
        .reads(2, 3, true)
        .told(NodeDataChanged, "/a", 6)
        .breaks("P3");
    Tale::begin()
        .reads(2, 3, true)
        .told(NodeDeleted, "/a", 4)
        .breaks("P3");
}

#[test]
fn a_znode_that_came_and_went_is_told_unless_a_snapshot_has_hidden_it() {
    let absent = || {
        let path = "/b".into();
        let exists = Op::Exists { path, watch: true };
        Tale::begin()
            .asks(2, exists)
            .hears(2, 2, ErrorCode::NO_NODE, Shown::default())
    };
    absent().told(NodeCreated, "/b", 3).pinged(5).holds();
    absent().pinged(5).breaks("P3");
    assert!(
        absent()
            .pinged(5)
            .judged(Gaps::PerhapsBySnapshots)
            .is_empty()
    );
    assert!(
        !absent()
            .pinged(3)
            .judged(Gaps::PerhapsBySnapshots)
            .is_empty()
    );
    // Set again after a reconnect: only the difference counts.
    absent().comes_back(5).holds();
}

#[test]
fn a_watch_that_was_set_again_is_told_of_what_was_missed() {
    let back = || {
        let mut tale = Tale::begin().reads(2, 3, true);
        tale.0.push(What::Lost(Loss::Closed));
        let (session, again) = (SESSION, true);
        tale.0.push(What::Opened { session, again });
        tale.asks(-8, Op::SetWatches)
    };
    let (ok, none) = (ErrorCode::OK, Shown::default());
    back()
        .told(NodeDataChanged, "/a", 5)
        .hears(-8, 5, ok, none.clone())
        .holds();
    back().hears(-8, 5, ok, none).breaks("P3");
}

#[test]
fn a_lasting_watch_is_told_of_every_change_in_its_order() {
    let watching = || {
        let (path, mode) = ("/a".into(), AddWatchMode::PersistentRecursive);
        let tale = Tale::begin().asks(2, Op::AddWatch { path, mode });
        tale.hears(2, 3, ErrorCode::OK, Shown::default())
    };
    let all = || {
        watching()
            .told(NodeDataChanged, "/a", 4)
            .told(NodeDataChanged, "/a", 6)
    };
    all().pinged(6).holds();
    all().told(NodeDataChanged, "/a", 6).breaks("P3");
    watching()
        .told(NodeDataChanged, "/a", 4)
        .pinged(6)
        .breaks("P3");
    watching().told(NodeDataChanged, "/a", 6).breaks("P3");
    // What has been told early counts.
    watching()
        .told(NodeDataChanged, "/a", 4)
        .pinged(3)
        .pinged(4)
        .told(NodeDataChanged, "/a", 6)
        .pinged(6)
        .holds();
}

#[test]
fn paths_are_told_apart_from_those_they_begin_like() {
    let committed = committed();
    assert_eq!(committed.changes_below("/", Zxid(0)).count(), 6);
    assert_eq!(committed.changes_below("/a", Zxid(0)).count(), 4);
}
