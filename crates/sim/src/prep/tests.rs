//! What becomes of requests: one line for each, with the transaction or the error.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use outpost_wire::membership::Membership;
use outpost_wire::proto::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteContainerRequest, DeleteRequest,
    MultiOp, MultiRequest, ReconfigRequest, SetAclRequest, SetDataRequest,
};
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::txn::{SubTxn, Txn, TxnEntry};
use outpost_wire::{Acl, Id, OpCode, Perms, Record, ServerId, SessionId, Xid};

use crate::leader::{Inheritance, Leader};
use crate::settings::LeaderSettings;

const HERE: ServerId = ServerId(1);
const ELSEWHERE: ServerId = ServerId(2);
const SESSION: SessionId = SessionId(0x0100_0000_0000_0007);
const NOW_MS: i64 = 1_000_000;

/// A request, by operation and encoded body.
struct Asked {
    shown: String,
    op: OpCode,
    body: Vec<u8>,
}

fn asked<'a>(shown: String, op: OpCode, record: &impl Record<'a>) -> Asked {
    Asked {
        shown,
        op,
        body: record.encode(),
    }
}

fn acl(perms: Perms, scheme: &str, id: &str) -> Vec<Acl> {
    vec![Acl {
        perms,
        id: Id::new(scheme, id),
    }]
}

fn create_request(path: &str, flags: i32) -> CreateRequest<'_> {
    CreateRequest {
        path: path.into(),
        data: Some(b"x"),
        acl: Some(Acl::open()),
        flags,
    }
}

fn create_as(op: OpCode, path: &str, flags: i32) -> Asked {
    asked(
        format!("{op:?} {path:?} {flags}"),
        op,
        &create_request(path, flags),
    )
}

fn create(path: &str, flags: i32) -> Asked {
    create_as(OpCode::Create, path, flags)
}

fn create_with(path: &str, acl: Option<Vec<Acl>>) -> Asked {
    let shown = format!(
        "Create {path:?} {}",
        shown_acl(acl.as_deref().unwrap_or_default())
    );
    asked(
        shown,
        OpCode::Create,
        &CreateRequest {
            acl,
            ..create_request(path, 0)
        },
    )
}

fn create_ttl(path: &str, flags: i32, ttl: i64) -> Asked {
    let CreateRequest {
        path,
        data,
        acl,
        flags,
    } = create_request(path, flags);
    let request = CreateTtlRequest {
        path,
        data,
        acl,
        flags,
        ttl,
    };
    asked(
        format!("CreateTtl {path:?} {flags} {ttl}"),
        OpCode::CreateTtl,
        &request,
    )
}

fn delete(path: &str, version: i32) -> Asked {
    let request = DeleteRequest {
        path: path.into(),
        version,
    };
    asked(
        format!("Delete {path:?} {version}"),
        OpCode::Delete,
        &request,
    )
}

fn delete_container(path: &str) -> Asked {
    let request = DeleteContainerRequest { path: path.into() };
    asked(
        format!("DeleteContainer {path:?}"),
        OpCode::DeleteContainer,
        &request,
    )
}

fn set_data(path: &str, version: i32) -> Asked {
    let request = SetDataRequest {
        path: path.into(),
        data: None,
        version,
    };
    asked(
        format!("SetData {path:?} {version}"),
        OpCode::SetData,
        &request,
    )
}

fn set_acl(path: &str, acl: Option<Vec<Acl>>, version: i32) -> Asked {
    let shown = shown_acl(acl.as_deref().unwrap_or_default());
    let request = SetAclRequest {
        path: path.into(),
        acl,
        version,
    };
    asked(
        format!("SetAcl {path:?} {shown} {version}"),
        OpCode::SetAcl,
        &request,
    )
}

fn multi<'a>(shown: &str, ops: Vec<MultiOp<'a>>) -> Asked {
    asked(
        format!("Multi {shown}"),
        OpCode::Multi,
        &MultiRequest { ops },
    )
}

fn shown_acl(acl: &[Acl]) -> String {
    let entries: Vec<String> = acl
        .iter()
        .map(|entry| format!("{}:{}:{}", entry.id.scheme, entry.id.id, entry.perms.0))
        .collect();
    entries.join(",")
}

/// A leader with a few znodes, and how requests are put to it.
struct Bench {
    leader: Leader,
    ids: Option<Vec<Id>>,
    through: ServerId,
    session: SessionId,
}

impl Bench {
    /// `/a` with a child, `/e` ephemeral, `/c` a container, `/t` with a time to live, `/r` for reading
    /// only, `/mine` for one user.
    fn new(extended_types: bool) -> Bench {
        let mut settings = LeaderSettings::default();
        settings.tree.extended_types = extended_types;
        let inherited = Inheritance::of_new_ensemble(&settings);
        let leader = Leader::new(NOW_MS, HERE, Membership::default(), settings, inherited);
        let ids = vec![Id::new("ip", "10.0.0.1"), Id::new("digest", "me:hash")];
        let mut bench = Bench {
            leader,
            ids: Some(ids),
            through: HERE,
            session: SESSION,
        };
        bench.put(&Asked {
            shown: String::new(),
            op: OpCode::CreateSession,
            body: 10_000_i32.to_be_bytes().to_vec(),
        });
        bench.put(&create("/a", 0));
        bench.put(&create("/a/b", 0));
        bench.put(&create("/e", 1));
        bench.put(&create_as(OpCode::CreateContainer, "/c", 4));
        bench.put(&create_with(
            "/r",
            Some(acl(Perms::READ, "world", "anyone")),
        ));
        bench.put(&create_with(
            "/mine",
            Some(acl(Perms::ALL, "digest", "me:hash")),
        ));
        if extended_types {
            bench.put(&create_ttl("/t", 5, 1_000));
        }
        bench
    }

    /// What a request comes to.
    fn put(&mut self, asked: &Asked) -> String {
        let before = self.leader.last_proposed();
        let forwarded = ForwardedRequest {
            session: self.session,
            cxid: Xid(1),
            op: asked.op.code(),
            body: &asked.body,
        };
        self.leader
            .submit(NOW_MS, self.through, forwarded, self.ids.as_deref());
        let after = self.leader.last_proposed();
        match self.leader.history().last() {
            Some((zxid, bytes)) if zxid > before => {
                assert_eq!(zxid.0, after.0, "a proposal that was not committed at once");
                assert_eq!(zxid.0, before.0 + 1, "a zxid was left out");
                let entry = TxnEntry::decode(bytes).expect("a transaction");
                shown_txn(entry.header.kind, &entry.txn)
            }
            _ => format!("nothing, {:?}", self.leader.harm()),
        }
    }
}

fn shown_txn(kind: i32, txn: &Txn<'_>) -> String {
    let op = OpCode::from_code(kind).expect("a known type");
    match txn {
        Txn::Create(txn) => {
            let (kind, count, acl) = (txn.kind, txn.parent_cversion, shown_acl(&txn.acl));
            format!("{op:?} {:?} {kind:?}, parent {count}, {acl}", txn.path)
        }
        Txn::Delete { path } => format!("{op:?} {path:?}"),
        Txn::SetData { path, version, .. } | Txn::Check { path, version } => {
            format!("{op:?} {path:?} {version}")
        }
        Txn::SetAcl { path, acl, version } => {
            format!("{op:?} {path:?} {} {version}", shown_acl(acl))
        }
        Txn::CreateSession { timeout_ms } => format!("{op:?} {timeout_ms}"),
        Txn::CloseSession { paths } => format!("{op:?} {paths:?}"),
        Txn::Error { error } => format!("{error:?}"),
        Txn::Multi(txns) => {
            let shown = |sub: &SubTxn<'_>| shown_txn(sub.kind, &sub.txn);
            format!(
                "[{}]",
                txns.iter().map(shown).collect::<Vec<_>>().join("; ")
            )
        }
    }
}

/// Each request against the same tree.
fn check_with(bench: impl Fn() -> Bench, requests: &[Asked], expected: &Expect) {
    let mut lines = String::new();
    for asked in requests {
        let outcome = bench().put(asked);
        writeln!(lines, "{} → {outcome}", asked.shown).expect("written");
    }
    expected.assert_eq(&lines);
}

fn check(requests: &[Asked], expected: &Expect) {
    check_with(|| Bench::new(false), requests, expected);
}

#[test]
fn creates_are_decided_as_by_a_java_leader() {
    check(
        &[
            create("/n", 0),
            create_as(OpCode::Create2, "/n", 0),
            create_as(OpCode::CreateContainer, "/n", 4),
            create("/n", 1),
            create("/n", 2),
            create("/a/n-", 3),
            create("/", 2),
            create("/n", 4),
            create("/n", 7),
            create("/n", 5),
            create("/a", 0),
            create("/", 0),
            create("/none/n", 0),
            create("/a/", 0),
            create("/none/", 0),
            create("/e/n", 0),
            create("/c/n", 0),
            create("n", 0),
            create("", 0),
            create("/a/./n", 0),
            create("/r/n", 0),
        ],
        &expect![[r#"
            Create "/n" 0 → Create "/n" Persistent, parent 6, world:anyone:31
            Create2 "/n" 0 → Create2 "/n" Persistent, parent 6, world:anyone:31
            CreateContainer "/n" 4 → CreateContainer "/n" Container, parent 6, world:anyone:31
            Create "/n" 1 → Create "/n" Ephemeral, parent 6, world:anyone:31
            Create "/n" 2 → Create "/n0000000005" Persistent, parent 6, world:anyone:31
            Create "/a/n-" 3 → Create "/a/n-0000000001" Ephemeral, parent 2, world:anyone:31
            Create "/" 2 → Create "/0000000005" Persistent, parent 6, world:anyone:31
            Create "/n" 4 → Create "/n" Persistent, parent 6, world:anyone:31
            Create "/n" 7 → BAD_ARGUMENTS(-8)
            Create "/n" 5 → UNIMPLEMENTED(-6)
            Create "/a" 0 → NODE_EXISTS(-110)
            Create "/" 0 → NODE_EXISTS(-110)
            Create "/none/n" 0 → NO_NODE(-101)
            Create "/a/" 0 → BAD_ARGUMENTS(-8)
            Create "/none/" 0 → NO_NODE(-101)
            Create "/e/n" 0 → NO_CHILDREN_FOR_EPHEMERALS(-108)
            Create "/c/n" 0 → Create "/c/n" Persistent, parent 1, world:anyone:31
            Create "n" 0 → BAD_ARGUMENTS(-8)
            Create "" 0 → BAD_ARGUMENTS(-8)
            Create "/a/./n" 0 → NO_NODE(-101)
            Create "/r/n" 0 → NO_AUTH(-102)
        "#]],
    );
}

#[test]
fn times_to_live_need_extended_types_and_must_be_in_range() {
    let requests = [
        create_ttl("/n", 5, 1),
        create_ttl("/n", 6, (1 << 40) - 1),
        create_ttl("/n", 5, 0),
        create_ttl("/n", 5, 1 << 40),
        create_ttl("/n", 0, 1),
        create_ttl("/n", 0, -1),
        create("/n", 5),
    ];
    check_with(
        || Bench::new(true),
        &requests,
        &expect![[r#"
        CreateTtl "/n" 5 1 → CreateTtl "/n" Ttl(1), parent 7, world:anyone:31
        CreateTtl "/n" 6 1099511627775 → CreateTtl "/n0000000006" Ttl(1099511627775), parent 7, world:anyone:31
        CreateTtl "/n" 5 0 → BAD_ARGUMENTS(-8)
        CreateTtl "/n" 5 1099511627776 → BAD_ARGUMENTS(-8)
        CreateTtl "/n" 0 1 → BAD_ARGUMENTS(-8)
        CreateTtl "/n" 0 -1 → BAD_ARGUMENTS(-8)
        Create "/n" 5 → BAD_ARGUMENTS(-8)
    "#]],
    );
    check(
        &requests,
        &expect![[r#"
        CreateTtl "/n" 5 1 → UNIMPLEMENTED(-6)
        CreateTtl "/n" 6 1099511627775 → UNIMPLEMENTED(-6)
        CreateTtl "/n" 5 0 → UNIMPLEMENTED(-6)
        CreateTtl "/n" 5 1099511627776 → UNIMPLEMENTED(-6)
        CreateTtl "/n" 0 1 → BAD_ARGUMENTS(-8)
        CreateTtl "/n" 0 -1 → BAD_ARGUMENTS(-8)
        Create "/n" 5 → UNIMPLEMENTED(-6)
    "#]],
    );
    check_with(
        || Bench::new(true),
        &[create("/t/n", 0)],
        &expect![[r#"
        Create "/t/n" 0 → Create "/t/n" Persistent, parent 1, world:anyone:31
    "#]],
    );
}

#[test]
fn acls_are_checked_and_expanded_as_by_a_java_leader() {
    let auth = || Some(acl(Perms::ALL, "auth", ""));
    check(
        &[
            create_with("/n", None),
            create_with("/n", Some(Vec::new())),
            create_with("/n", Some(acl(Perms::ALL, "world", "nobody"))),
            create_with("/n", auth()),
            create_with("/mine/n", auth()),
            set_acl("/a", auth(), -1),
            set_acl("/a", auth(), 0),
            set_acl("/a", auth(), 1),
            set_acl("/a", None, -1),
            set_acl("/none", auth(), -1),
            set_acl("/none", None, -1),
            set_acl("/r", auth(), -1),
            set_acl("a", auth(), -1),
        ],
        &expect![[r#"
            Create "/n"  → INVALID_ACL(-114)
            Create "/n"  → INVALID_ACL(-114)
            Create "/n" world:nobody:31 → INVALID_ACL(-114)
            Create "/n" auth::31 → Create "/n" Persistent, parent 6, digest:me:hash:31
            Create "/mine/n" auth::31 → Create "/mine/n" Persistent, parent 1, digest:me:hash:31
            SetAcl "/a" auth::31 -1 → SetAcl "/a" digest:me:hash:31 1
            SetAcl "/a" auth::31 0 → SetAcl "/a" digest:me:hash:31 1
            SetAcl "/a" auth::31 1 → BAD_VERSION(-103)
            SetAcl "/a"  -1 → INVALID_ACL(-114)
            SetAcl "/none" auth::31 -1 → NO_NODE(-101)
            SetAcl "/none"  -1 → INVALID_ACL(-114)
            SetAcl "/r" auth::31 -1 → NO_AUTH(-102)
            SetAcl "a" auth::31 -1 → BAD_ARGUMENTS(-8)
        "#]],
    );
    let as_nobody = || Bench {
        ids: Some(Vec::new()),
        ..Bench::new(false)
    };
    check_with(
        as_nobody,
        &[create_with("/n", auth()), create("/mine/n", 0)],
        &expect![[r#"
            Create "/n" auth::31 → INVALID_ACL(-114)
            Create "/mine/n" 0 → NO_AUTH(-102)
        "#]],
    );
    let without_ids = || Bench {
        ids: None,
        ..Bench::new(false)
    };
    check_with(
        without_ids,
        &[create("/n", 0), delete("/a/b", -1)],
        &expect![[r#"
            Create "/n" 0 → MARSHALLING_ERROR(-5)
            Delete "/a/b" -1 → MARSHALLING_ERROR(-5)
        "#]],
    );
}

#[test]
fn deletes_are_decided_as_by_a_java_leader() {
    check(
        &[
            delete("/a/b", -1),
            delete("/a/b", 0),
            delete("/a/b", 1),
            delete("/a", -1),
            delete("/none", -1),
            delete("/none/n", -1),
            delete("/r", -1),
            delete("/", -1),
            delete("/zookeeper", -1),
            delete("/zookeeper/quota", -1),
            delete("/zookeeper/config", -1),
            delete("a", -1),
            delete_container("/c"),
            delete_container("/a"),
            delete_container("/a/b"),
            delete_container("/e"),
        ],
        &expect![[r#"
            Delete "/a/b" -1 → Delete "/a/b"
            Delete "/a/b" 0 → Delete "/a/b"
            Delete "/a/b" 1 → BAD_VERSION(-103)
            Delete "/a" -1 → NOT_EMPTY(-111)
            Delete "/none" -1 → NO_NODE(-101)
            Delete "/none/n" -1 → NO_NODE(-101)
            Delete "/r" -1 → Delete "/r"
            Delete "/" -1 → BAD_ARGUMENTS(-8)
            Delete "/zookeeper" -1 → BAD_ARGUMENTS(-8)
            Delete "/zookeeper/quota" -1 → BAD_ARGUMENTS(-8)
            Delete "/zookeeper/config" -1 → BAD_ARGUMENTS(-8)
            Delete "a" -1 → BAD_ARGUMENTS(-8)
            DeleteContainer "/c" → DeleteContainer "/c"
            DeleteContainer "/a" → NOT_EMPTY(-111)
            DeleteContainer "/a/b" → DeleteContainer "/a/b"
            DeleteContainer "/e" → BAD_VERSION(-103)
        "#]],
    );
}

#[test]
fn data_is_set_as_by_a_java_leader() {
    check(
        &[
            set_data("/a", -1),
            set_data("/a", 0),
            set_data("/a", 1),
            set_data("/", -1),
            set_data("/none", -1),
            set_data("/a/", -1),
            set_data("a", -1),
            set_data("/r", -1),
            set_data("/zookeeper/config", -1),
        ],
        &expect![[r#"
            SetData "/a" -1 → SetData "/a" 1
            SetData "/a" 0 → SetData "/a" 1
            SetData "/a" 1 → BAD_VERSION(-103)
            SetData "/" -1 → SetData "/" 1
            SetData "/none" -1 → NO_NODE(-101)
            SetData "/a/" -1 → BAD_ARGUMENTS(-8)
            SetData "a" -1 → BAD_ARGUMENTS(-8)
            SetData "/r" -1 → NO_AUTH(-102)
            SetData "/zookeeper/config" -1 → NO_AUTH(-102)
        "#]],
    );
}

#[test]
fn p1_operations_of_a_multi_see_those_before_them_and_all_fail_with_one() {
    let set = |path: &'static str, version| {
        MultiOp::SetData(SetDataRequest {
            path: path.into(),
            data: None,
            version,
        })
    };
    let del = |path: &'static str| {
        MultiOp::Delete(DeleteRequest {
            path: path.into(),
            version: -1,
        })
    };
    let new = |path: &'static str, flags| MultiOp::Create2(create_request(path, flags));
    let is = |path: &'static str, version| {
        MultiOp::Check(CheckVersionRequest {
            path: path.into(),
            version,
        })
    };
    check(
        &[
            multi("of nothing", vec![]),
            multi(
                "that sets twice",
                vec![set("/a", 0), set("/a", 1), is("/a", 2)],
            ),
            multi(
                "that creates below",
                vec![new("/n", 0), new("/n/m", 0), del("/n/m"), del("/n")],
            ),
            multi("of sequences", vec![new("/a/s", 2), new("/a/s", 2)]),
            multi("that fails", vec![set("/a", 0), is("/a", 0), set("/a", 1)]),
            multi("that checks a missing znode", vec![is("/none", -1)]),
            multi(
                "that checks an existing znode",
                vec![is("/a", 0), is("/a", -1)],
            ),
            multi("that deletes a parent", vec![del("/a/b"), del("/a")]),
            multi("that deletes a parent first", vec![del("/a"), del("/a/b")]),
            Asked {
                shown: "Multi that cannot be read".into(),
                op: OpCode::Multi,
                body: vec![0],
            },
        ],
        &expect![[r#"
            Multi of nothing → []
            Multi that sets twice → [SetData "/a" 1; SetData "/a" 2; Check "/a" 3]
            Multi that creates below → [Create2 "/n" Persistent, parent 6, world:anyone:31; Create2 "/n/m" Persistent, parent 1, world:anyone:31; Delete "/n/m"; Delete "/n"]
            Multi of sequences → [Create2 "/a/s0000000001" Persistent, parent 2, world:anyone:31; Create2 "/a/s0000000002" Persistent, parent 3, world:anyone:31]
            Multi that fails → [SetData "/a" 1; BAD_VERSION(-103); RUNTIME_INCONSISTENCY(-2)]
            Multi that checks a missing znode → [NO_NODE(-101)]
            Multi that checks an existing znode → [Check "/a" 1; Check "/a" 1]
            Multi that deletes a parent → [Delete "/a/b"; Delete "/a"]
            Multi that deletes a parent first → [NOT_EMPTY(-111); RUNTIME_INCONSISTENCY(-2)]
            Multi that cannot be read → MARSHALLING_ERROR(-5)
        "#]],
    );
}

#[test]
fn sessions_are_created_closed_and_guarded_as_by_a_java_leader() {
    let close = || Asked {
        shown: "CloseSession".into(),
        op: OpCode::CloseSession,
        body: Vec::new(),
    };
    let open = |body: Vec<u8>| Asked {
        shown: format!("CreateSession {body:?}"),
        op: OpCode::CreateSession,
        body,
    };
    check(
        &[close(), open(vec![0, 0, 0x20, 0]), open(vec![0])],
        &expect![[r#"
            CloseSession → CloseSession Some(["/e"])
            CreateSession [0, 0, 32, 0] → CreateSession 8192
            CreateSession [0] → MARSHALLING_ERROR(-5)
        "#]],
    );
    let elsewhere = || Bench {
        through: ELSEWHERE,
        ..Bench::new(false)
    };
    check_with(
        elsewhere,
        &[create("/n", 0), set_data("/none", -1), close()],
        &expect![[r#"
            Create "/n" 0 → SESSION_MOVED(-118)
            SetData "/none" -1 → SESSION_MOVED(-118)
            CloseSession → CloseSession Some(["/e"])
        "#]],
    );
    let unknown = || Bench {
        session: SessionId(99),
        ..Bench::new(false)
    };
    check_with(
        unknown,
        &[create("/n", 0), delete("/none", -1), close()],
        &expect![[r#"
            Create "/n" 0 → SESSION_EXPIRED(-112)
            Delete "/none" -1 → SESSION_EXPIRED(-112)
            CloseSession → CloseSession Some([])
        "#]],
    );
    let closed = || {
        let mut bench = Bench::new(false);
        bench.put(&close());
        bench
    };
    check_with(
        closed,
        &[create("/n", 0), close()],
        &expect![[r#"
        Create "/n" 0 → SESSION_EXPIRED(-112)
        CloseSession → CloseSession Some([])
    "#]],
    );
}

#[test]
fn p9_requests_that_hurt_a_real_leader_stop_this_one() {
    let cut = |op| Asked {
        shown: format!("{op:?} cut off"),
        op,
        body: vec![0, 0],
    };
    let check_alone = CheckVersionRequest {
        path: "/a".into(),
        version: -1,
    };
    let reconfig = ReconfigRequest {
        joining_servers: None,
        leaving_servers: None,
        new_members: None,
        cur_config_id: -1,
    };
    check(
        &[
            cut(OpCode::Create),
            cut(OpCode::SetAcl),
            cut(OpCode::Reconfig),
            asked("Check alone".into(), OpCode::Check, &check_alone),
            asked("Reconfig".into(), OpCode::Reconfig, &reconfig),
            cut(OpCode::GetData),
        ],
        &expect![[r#"
            Create cut off → nothing, Some(UndecodableBody { op: 1, error: Truncated { what: "CreateRequest.path", missing: 2 } })
            SetAcl cut off → nothing, Some(UndecodableBody { op: 7, error: Truncated { what: "SetAclRequest.path", missing: 2 } })
            Reconfig cut off → nothing, Some(UndecodableBody { op: 16, error: Truncated { what: "ReconfigRequest.joining_servers", missing: 2 } })
            Check alone → nothing, Some(StandaloneCheck)
            Reconfig → RECONFIG_DISABLED(-123)
            GetData cut off → nothing, None
        "#]],
    );
    let mut bench = Bench::new(false);
    bench.put(&cut(OpCode::Delete));
    assert!(bench.put(&create("/n", 0)).starts_with("nothing"));
}
