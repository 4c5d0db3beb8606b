use outpost_mirror::{Tree, Watches};
use outpost_wire::proto::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteContainerRequest, DeleteRequest,
    GetDataRequest, MultiHeader, MultiOp, MultiRequest, ReconfigRequest, RequestBody,
    SetAclRequest, SetDataRequest, SyncRequest,
};
use outpost_wire::txn::{CreateKind, CreateTxn, Txn, TxnEntry, TxnHeader};
use outpost_wire::{Acl, Record, Writer, Xid, Zxid};
use proptest::prelude::*;

use super::*;

const SESSION: SessionId = SessionId(0x0100_0000_0000_0001);
/// What becomes of a request, without the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Forward(Checked),
    Refuse(ErrorCode),
    RefuseAndClose(ErrorCode),
}

impl From<Result<Checked, Refusal>> for Verdict {
    fn from(checked: Result<Checked, Refusal>) -> Verdict {
        match checked {
            Ok(checked) => Verdict::Forward(checked),
            Err(refusal) if refusal.closes => Verdict::RefuseAndClose(refusal.code),
            Err(refusal) => Verdict::Refuse(refusal.code),
        }
    }
}

const BAD: Verdict = Verdict::Refuse(ErrorCode::MARSHALLING_ERROR);
const ARGUMENTS: Verdict = Verdict::Refuse(ErrorCode::BAD_ARGUMENTS);
const INVALID_ACL: Verdict = Verdict::Refuse(ErrorCode::INVALID_ACL);
const NO_AUTH: Verdict = Verdict::Refuse(ErrorCode::NO_AUTH);

/// A gate, a tree behind it and a client before it.
struct Stage {
    gate: Gate,
    ids: Vec<Id>,
    tree: Tree,
    session: SessionId,
    rules: AclRules,
}

impl Default for Stage {
    fn default() -> Stage {
        Stage {
            gate: Gate::default(),
            ids: vec![Id::new("ip", "127.0.0.1")],
            tree: Tree::new(),
            session: SESSION,
            rules: AclRules::default(),
        }
    }
}

impl Stage {
    fn verdict(&self, op: OpCode, body: &[u8]) -> Verdict {
        self.verdict_of_code(op.code(), body)
    }

    fn verdict_of_code(&self, op: i32, body: &[u8]) -> Verdict {
        let (ids, tree, rules) = (&self.ids, &self.tree, &self.rules);
        self.gate
            .check(op, body, ids, tree, self.session, rules)
            .into()
    }

    fn checked(&self, op: OpCode, body: &[u8]) -> Checked {
        match self.verdict(op, body) {
            Verdict::Forward(checked) => checked,
            other => panic!("not forwarded: {other:?}"),
        }
    }

    fn forwards(&self, op: OpCode, body: &[u8]) -> bool {
        matches!(self.verdict(op, body), Verdict::Forward(_))
    }

    fn apply(&mut self, kind: OpCode, txn: Txn<'_>) {
        let zxid = Zxid(self.tree.last_zxid().0 + 1);
        let header = TxnHeader {
            session: self.session,
            cxid: Xid(1),
            zxid,
            time: 1,
            kind: kind.code(),
        };
        let entry = TxnEntry {
            header,
            txn,
            digest: None,
        };
        let applied = self.tree.apply(&entry, &Watches::new(), &mut |_, _| {});
        assert_eq!(applied.diverged, None);
    }

    fn has_node(&mut self, path: &str, acl: Vec<Acl>, kind: CreateKind) {
        let create = CreateTxn {
            path: path.into(),
            data: None,
            acl,
            kind,
            parent_cversion: 1,
        };
        self.apply(OpCode::Create, Txn::Create(create));
    }
}

fn stage() -> Stage {
    Stage::default()
}

fn acl(perms: Perms, scheme: &str, id: &str) -> Acl {
    Acl {
        perms,
        id: Id::new(scheme, id),
    }
}

fn create(path: &str, flags: i32) -> CreateRequest<'_> {
    CreateRequest {
        path: path.into(),
        data: Some(b"data"),
        acl: Some(Acl::open()),
        flags,
    }
}

fn create_ttl(path: &str, flags: i32, ttl: i64) -> CreateTtlRequest<'_> {
    let CreateRequest {
        path,
        data,
        acl,
        flags,
    } = create(path, flags);
    CreateTtlRequest {
        path,
        data,
        acl,
        flags,
        ttl,
    }
}

fn delete(path: &str) -> DeleteRequest<'_> {
    DeleteRequest {
        path: path.into(),
        version: -1,
    }
}

fn set_data<'a>(path: &'a str, data: Option<&'a [u8]>) -> SetDataRequest<'a> {
    SetDataRequest {
        path: path.into(),
        data,
        version: -1,
    }
}

fn set_acl(path: &str, acl: Option<Vec<Acl>>) -> SetAclRequest<'_> {
    SetAclRequest {
        path: path.into(),
        acl,
        version: -1,
    }
}

fn multi(ops: Vec<MultiOp<'_>>) -> Vec<u8> {
    MultiRequest { ops }.encode()
}

fn reconfig() -> Vec<u8> {
    let joining_servers = Some("server.4=db4:2888:3888;2181".into());
    ReconfigRequest {
        joining_servers,
        leaving_servers: None,
        new_members: None,
        cur_config_id: -1,
    }
    .encode()
}

/// What no record of ours can say: null where a value belongs.
fn raw(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Writer::new(&mut bytes));
    bytes
}

/// A create of `/a` with one ACL entry of these parts.
fn create_with_entry(scheme: Option<&str>, id: Option<&str>) -> Vec<u8> {
    raw(|w| {
        w.ustring(b"/a");
        w.buffer(None);
        w.int(1);
        w.int(31);
        w.buffer(scheme.map(str::as_bytes));
        w.buffer(id.map(str::as_bytes));
        w.int(0);
    })
}

fn in_multi(op: OpCode, record: &[u8]) -> Vec<u8> {
    raw(|w| {
        MultiHeader::of_operation(op).write(w);
        w.raw(record);
        MultiHeader::END.write(w);
    })
}

const WRITES: [OpCode; 9] = [
    OpCode::Create,
    OpCode::Create2,
    OpCode::CreateContainer,
    OpCode::CreateTtl,
    OpCode::Delete,
    OpCode::SetData,
    OpCode::SetAcl,
    OpCode::Multi,
    OpCode::Sync,
];

#[test]
fn p9_a_body_that_ends_too_early_is_answered_here_with_minus_five() {
    for op in WRITES.into_iter().chain([OpCode::Reconfig]) {
        assert_eq!(stage().verdict(op, b""), BAD, "{op:?}");
        assert_eq!(stage().verdict(op, &[0, 0, 0, 9, b'/']), BAD, "{op:?}");
    }
}

#[test]
fn p9_a_length_below_null_is_answered_here_with_minus_five() {
    for op in WRITES.into_iter().filter(|op| *op != OpCode::Multi) {
        let body = raw(|w| {
            w.int(-2);
            w.raw(&[0; 100]);
        });
        assert_eq!(stage().verdict(op, &body), BAD, "{op:?}");
    }
}

#[test]
fn p9_a_count_of_acl_entries_that_are_not_there_is_answered_here_with_minus_five() {
    let body = raw(|w| {
        w.ustring(b"/a");
        w.buffer(None);
        w.int(i32::MAX);
        w.raw(&[0; 400]);
    });
    assert_eq!(stage().verdict(OpCode::Create, &body), BAD);
}

#[test]
fn p9_a_null_path_never_reaches_a_leader() {
    let path_and = |rest: &dyn Fn(&mut Writer<'_>)| {
        raw(|w| {
            w.buffer(None);
            rest(w);
        })
    };
    let create = path_and(&|w| {
        w.buffer(None);
        Acl::write_list(&Acl::open(), w);
        w.int(0);
    });
    let versioned = path_and(&|w| w.int(-1));
    let set_data = path_and(&|w| {
        w.buffer(None);
        w.int(-1);
    });
    let set_acl = path_and(&|w| {
        Acl::write_list(&Acl::open(), w);
        w.int(-1);
    });
    assert_eq!(stage().verdict(OpCode::Create, &create), BAD);
    assert_eq!(stage().verdict(OpCode::Delete, &versioned), BAD);
    assert_eq!(stage().verdict(OpCode::SetData, &set_data), ARGUMENTS);
    assert_eq!(stage().verdict(OpCode::SetAcl, &set_acl), ARGUMENTS);
    for (op, record) in [
        (OpCode::Create, &create),
        (OpCode::Delete, &versioned),
        (OpCode::SetData, &set_data),
        (OpCode::Check, &versioned),
    ] {
        assert_eq!(
            stage().verdict(OpCode::Multi, &in_multi(op, record)),
            BAD,
            "{op:?}"
        );
    }
}

#[test]
fn p9_a_sync_of_a_null_path_is_legal() {
    let body = raw(|w| w.buffer(None));
    assert_eq!(stage().checked(OpCode::Sync, &body).body_bytes, 4);
}

#[test]
fn p9_bytes_behind_a_request_stay_here() {
    for (op, mut body) in normal_forms() {
        let length = body.len();
        body.extend_from_slice(b"more than was asked for");
        let expected = if op == OpCode::CloseSession {
            0
        } else {
            length
        };
        assert_eq!(
            privileged().checked(op, &body).body_bytes,
            expected,
            "{op:?}"
        );
    }
}

#[test]
fn p9_close_session_is_forwarded_without_a_body() {
    let checked = stage().checked(OpCode::CloseSession, b"anything");
    assert_eq!((checked.op, checked.body_bytes), (OpCode::CloseSession, 0));
}

#[test]
fn p9_check_alone_and_whatever_is_no_write_are_refused_and_the_connection_closes() {
    let unimplemented = Verdict::RefuseAndClose(ErrorCode::UNIMPLEMENTED);
    let check = CheckVersionRequest {
        path: "/a".into(),
        version: 0,
    }
    .encode();
    assert_eq!(stage().verdict(OpCode::Check, &check), unimplemented);
    let stage = stage();
    for op in [
        -10, -1, 0, 3, 4, 6, 8, 11, 12, 17, 18, 22, 55, 100, 101, 102, 103, 107, 1_000,
    ] {
        assert_eq!(stage.verdict_of_code(op, &check), unimplemented, "{op}");
    }
}

#[test]
fn p9_delete_container_is_refused_and_the_connection_stays() {
    let body = DeleteContainerRequest { path: "/a".into() }.encode();
    let refused = Verdict::Refuse(ErrorCode::UNIMPLEMENTED);
    assert_eq!(stage().verdict(OpCode::DeleteContainer, &body), refused);
}

#[test]
fn p9_create_ttl_of_a_mode_without_ttl_and_a_negative_ttl_poisons_no_log() {
    for flags in 0..=4 {
        for ttl in [-1, i64::MIN] {
            let body = create_ttl("/a", flags, ttl).encode();
            assert_eq!(
                stage().verdict(OpCode::CreateTtl, &body),
                ARGUMENTS,
                "{flags} {ttl}"
            );
        }
    }
}

#[test]
fn p9_what_a_leader_refuses_in_the_ordinary_way_is_left_to_it() {
    let ttl = |flags, ttl| (OpCode::CreateTtl, create_ttl("/a", flags, ttl).encode());
    let create = |path, flags| (OpCode::Create, create(path, flags).encode());
    let acl = |acl| {
        let request = CreateRequest {
            acl: Some(acl),
            ..self::create("/a", 0)
        };
        (OpCode::Create, request.encode())
    };
    for (op, body) in [
        ttl(0, 0),
        ttl(1, 5),
        ttl(5, 0),
        ttl(5, -1),
        ttl(6, i64::MAX),
        ttl(7, -1),
        create("/a", 5),
        create("/a", 6),
        create("/a", 7),
        create("/a", -1),
        create("", 0),
        create("/", 0),
        create("a", 0),
        create("/a/", 0),
        create("/a//b", 0),
        create("/a/../b", 0),
        create("/zookeeper", 0),
        create("/zookeeper/quota/a", 0),
        create("/a\0b", 0),
        create("/😀", 0),
        (OpCode::CreateContainer, self::create("/a", 5).encode()),
        (OpCode::Delete, delete("").encode()),
        (OpCode::Delete, delete("/zookeeper").encode()),
        (OpCode::SetData, set_data("", None).encode()),
        (OpCode::SetAcl, set_acl("/a", Some(Vec::new())).encode()),
        acl(Vec::new()),
        acl(vec![self::acl(Perms::ALL, "world", "nobody")]),
        acl(vec![self::acl(Perms::ALL, "auth", "")]),
        acl(vec![self::acl(Perms::ALL, "digest", "no colon")]),
        acl(vec![self::acl(Perms::ALL, "unheard", "of")]),
        (OpCode::Multi, multi(Vec::new())),
        (
            OpCode::Multi,
            multi(vec![MultiOp::CreateTtl(create_ttl("/a", 7, -1))]),
        ),
        (
            OpCode::Multi,
            multi(vec![MultiOp::CreateTtl(create_ttl("/a", 0, -1))]),
        ),
    ] {
        assert!(stage().forwards(op, &body), "{op:?} {body:?}");
    }
}

#[test]
fn p9_a_container_is_created_by_create_container_and_nothing_else_is() {
    for op in [OpCode::Create, OpCode::Create2] {
        assert_eq!(
            stage().verdict(op, &create("/a", 4).encode()),
            ARGUMENTS,
            "{op:?}"
        );
    }
    assert!(stage().forwards(OpCode::CreateContainer, &create("/a", 4).encode()));
    for flags in 0..=3 {
        let request = create("/a", flags);
        assert_eq!(
            stage().verdict(OpCode::CreateContainer, &request.encode()),
            ARGUMENTS
        );
        let body = multi(vec![MultiOp::CreateContainer(request)]);
        assert_eq!(stage().verdict(OpCode::Multi, &body), ARGUMENTS);
    }
    for op in [MultiOp::Create, MultiOp::Create2, MultiOp::CreateContainer] {
        assert!(stage().forwards(OpCode::Multi, &multi(vec![op(create("/a", 4))])));
    }
}

#[test]
fn p9_flags_that_make_a_multi_unreadable_are_answered_here_with_minus_five() {
    for flags in [-1, 5, 6, 7] {
        for op in [MultiOp::Create, MultiOp::Create2, MultiOp::CreateContainer] {
            let body = multi(vec![MultiOp::Delete(delete("/b")), op(create("/a", flags))]);
            assert_eq!(stage().verdict(OpCode::Multi, &body), BAD, "{flags}");
        }
    }
}

#[test]
fn p9_a_null_acl_is_answered_here() {
    let request = CreateRequest {
        acl: None,
        ..create("/a", 0)
    };
    let ttl = CreateTtlRequest {
        acl: None,
        ..create_ttl("/a", 5, 1)
    };
    for op in [OpCode::Create, OpCode::Create2] {
        assert_eq!(stage().verdict(op, &request.encode()), INVALID_ACL);
    }
    assert_eq!(
        stage().verdict(OpCode::CreateTtl, &ttl.encode()),
        INVALID_ACL
    );
    assert_eq!(
        stage().verdict(OpCode::SetAcl, &set_acl("/a", None).encode()),
        INVALID_ACL
    );
    let container = CreateRequest {
        flags: 4,
        ..request.clone()
    };
    for op in [
        MultiOp::Create(request.clone()),
        MultiOp::Create2(request),
        MultiOp::CreateContainer(container),
        MultiOp::CreateTtl(ttl),
    ] {
        assert_eq!(stage().verdict(OpCode::Multi, &multi(vec![op])), BAD);
    }
}

#[test]
fn p9_a_negative_count_that_is_not_null_reads_as_an_empty_acl() {
    let body = raw(|w| {
        w.ustring(b"/a");
        w.buffer(None);
        w.int(-2);
        w.int(0);
    });
    assert!(stage().forwards(OpCode::Create, &body));
    assert!(stage().forwards(OpCode::Multi, &in_multi(OpCode::Create, &body)));
}

#[test]
fn p9_an_acl_entry_with_a_null_part_is_answered_here() {
    let no_scheme = create_with_entry(None, Some("anyone"));
    let no_id = create_with_entry(Some("world"), None);
    assert_eq!(stage().verdict(OpCode::Create, &no_scheme), INVALID_ACL);
    assert_eq!(stage().verdict(OpCode::Create, &no_id), BAD);
    for record in [no_scheme, no_id] {
        assert_eq!(
            stage().verdict(OpCode::Multi, &in_multi(OpCode::Create, &record)),
            BAD
        );
    }
}

#[test]
fn p9_an_acl_has_at_most_a_thousand_entries() {
    let list = |entries: usize| Some(vec![acl(Perms::READ, "ip", "10.0.0.1"); entries]);
    assert!(stage().forwards(
        OpCode::SetAcl,
        &set_acl("/a", list(ACL_ENTRIES_MAX)).encode()
    ));
    let body = set_acl("/a", list(ACL_ENTRIES_MAX + 1)).encode();
    assert_eq!(stage().verdict(OpCode::SetAcl, &body), INVALID_ACL);
}

#[test]
fn p9_many_large_acls_in_one_multi_count_together() {
    let with = |entries: usize| {
        let acl = vec![acl(Perms::READ, "ip", "10.0.0.1"); entries];
        MultiOp::Create(CreateRequest {
            acl: Some(acl),
            ..create("/a", 0)
        })
    };
    assert!(stage().forwards(OpCode::Multi, &multi(vec![with(500); 4])));
    assert_eq!(
        stage().verdict(OpCode::Multi, &multi(vec![with(500); 5])),
        INVALID_ACL
    );
    assert!(stage().forwards(OpCode::Multi, &multi(vec![with(1); 10_000])));
}

#[test]
fn p9_reads_have_no_place_in_a_multi() {
    let read = MultiOp::GetData(GetDataRequest {
        path: "/a".into(),
        watch: false,
    });
    assert_eq!(
        stage().verdict(OpCode::Multi, &multi(vec![read.clone()])),
        BAD
    );
    let mixed = multi(vec![MultiOp::Delete(delete("/a")), read]);
    assert_eq!(stage().verdict(OpCode::Multi, &mixed), BAD);
}

#[test]
fn p9_an_operation_that_no_multi_knows_is_answered_here_with_minus_five() {
    let record = set_acl("/a", Some(Acl::open())).encode();
    for op in [
        OpCode::SetAcl,
        OpCode::Multi,
        OpCode::Reconfig,
        OpCode::Sync,
        OpCode::Error,
    ] {
        assert_eq!(
            stage().verdict(OpCode::Multi, &in_multi(op, &record)),
            BAD,
            "{op:?}"
        );
    }
}

#[test]
fn p9_what_cannot_be_decoded_is_named_before_what_is_refused() {
    let mut body = multi(vec![
        MultiOp::CreateContainer(create("/a", 0)),
        MultiOp::Delete(delete("/b")),
    ]);
    assert_eq!(stage().verdict(OpCode::Multi, &body), ARGUMENTS);
    body.pop();
    assert_eq!(stage().verdict(OpCode::Multi, &body), BAD);
}

#[test]
fn p9_a_multi_has_a_bounded_number_of_operations() {
    let mut stage = stage();
    stage.gate.multi_ops_max = 3;
    let deletes = |count: usize| multi(vec![MultiOp::Delete(delete("/a")); count]);
    assert!(stage.forwards(OpCode::Multi, &deletes(3)));
    assert_eq!(stage.verdict(OpCode::Multi, &deletes(4)), ARGUMENTS);
}

#[test]
fn p9_a_path_has_at_most_a_thousand_components() {
    let deep = |components: usize| "/a".repeat(components);
    assert!(stage().forwards(OpCode::Create, &create(&deep(1_000), 0).encode()));
    let path = deep(1_001);
    assert_eq!(
        stage().verdict(OpCode::Create, &create(&path, 0).encode()),
        ARGUMENTS
    );
    let body = multi(vec![MultiOp::Create2(create(&path, 0))]);
    assert_eq!(stage().verdict(OpCode::Multi, &body), ARGUMENTS);
    let long = format!("/{}", "a".repeat(10_000));
    assert!(stage().forwards(OpCode::Create, &create(&long, 0).encode()));
}

/// Every flavour of creating `path`, alone and in a multi.
fn creates<'a>(path: &'a str, data: Option<&'a [u8]>) -> Vec<(OpCode, Vec<u8>)> {
    let create = CreateRequest {
        data,
        ..create(path, 0)
    };
    let container = CreateRequest {
        flags: 4,
        ..create.clone()
    };
    let ttl = CreateTtlRequest {
        data,
        ..create_ttl(path, 5, 1_000)
    };
    vec![
        (OpCode::Create, create.encode()),
        (OpCode::Create2, create.encode()),
        (OpCode::CreateContainer, container.encode()),
        (OpCode::CreateTtl, ttl.encode()),
        (OpCode::Multi, multi(vec![MultiOp::Create(create.clone())])),
        (OpCode::Multi, multi(vec![MultiOp::Create2(create)])),
        (
            OpCode::Multi,
            multi(vec![MultiOp::CreateContainer(container)]),
        ),
        (OpCode::Multi, multi(vec![MultiOp::CreateTtl(ttl)])),
    ]
}

#[test]
fn p9_a_quota_is_created_only_where_every_server_can_take_its_path_apart() {
    let text = Some(&b"count=1,bytes=-1"[..]);
    for path in [
        "/zookeeper/zookeeper_limits",
        "/zookeeper/ab/zookeeper_limits",
        "/zookeeper/quota/zookeeper_limits",
        "/zookeeper/quotas/zookeeper_limits",
        "/zookeeper/quota/ /zookeeper_limits",
        "/zookeeper/quota/ /  /zookeeper_limits",
        "/zookeeper1/zookeeper_limits",
        "/zookeeper/quota/zookeeper_limits/zookeeper_limits",
        "/zookeeper/quota/zookeeper_limits_too/zookeeper_limits",
        "/zookeeper/quota/a/zookeeper_limitsX/b/zookeeper_limits",
        "/zookeeper/quota/zookeeper_stats",
        "/zookeeper/quotas/zookeeper_stats",
    ] {
        for (op, body) in creates(path, text) {
            assert_eq!(stage().verdict(op, &body), ARGUMENTS, "{op:?} {path}");
        }
    }
}

#[test]
fn p9_a_znode_that_is_only_named_like_a_quota_is_no_concern_here() {
    for path in [
        "/zookeeper_limits",
        "/a/zookeeper_limits",
        "/a/zookeeper_stats",
        "/zookeeper1/zookeeper_stats",
        "/zookeeper/quota/a/zookeeper_limits2",
        "/zookeeper/quota/a/not_zookeeper_limits",
        "/zookeeper/quota/a/zookeeper_limits/below",
    ] {
        for (op, body) in creates(path, None) {
            assert!(stage().forwards(op, &body), "{op:?} {path}");
        }
        let body = set_data(path, Some(b"any data")).encode();
        assert!(stage().forwards(OpCode::SetData, &body), "{path}");
        assert!(
            stage().forwards(OpCode::Delete, &delete(path).encode()),
            "{path}"
        );
    }
    // The leader puts a number behind the name.
    let body = create("/zookeeper/quota/zookeeper_limits", 2).encode();
    assert!(stage().forwards(OpCode::Create, &body));
}

#[test]
fn p9_a_quota_is_a_persistent_znode() {
    for name in ["zookeeper_limits", "zookeeper_stats"] {
        let path = format!("/zookeeper/quota/a/{name}");
        let text = Some(&b"count=1,bytes=-1"[..]);
        for (op, body) in creates(&path, text) {
            let persistent = [&creates(&path, text)[..2], &creates(&path, text)[4..6]].concat();
            let expected = persistent.contains(&(op, body.clone()));
            assert_eq!(stage().forwards(op, &body), expected, "{op:?} {path}");
        }
        let ephemeral = CreateRequest {
            data: text,
            ..create(&path, 1)
        };
        assert_eq!(
            stage().verdict(OpCode::Create, &ephemeral.encode()),
            ARGUMENTS
        );
    }
}

#[test]
fn p9_the_data_of_a_quota_is_text_that_every_server_can_parse() {
    let bad = [
        None,
        Some(&b""[..]),
        Some(b"hello"),
        Some(b"count=x,bytes=1"),
        Some(b"\xff"),
    ];
    let limits = "/zookeeper/quota/a/zookeeper_limits";
    let stats = "/zookeeper/quota/a/zookeeper_stats";
    for data in bad {
        let create = CreateRequest {
            data,
            ..create(limits, 0)
        };
        assert_eq!(stage().verdict(OpCode::Create, &create.encode()), ARGUMENTS);
        assert_eq!(
            stage().verdict(OpCode::Multi, &multi(vec![MultiOp::Create(create)])),
            ARGUMENTS
        );
        for path in [limits, stats] {
            let set = set_data(path, data);
            assert_eq!(stage().verdict(OpCode::SetData, &set.encode()), ARGUMENTS);
            let body = multi(vec![MultiOp::SetData(set)]);
            assert_eq!(stage().verdict(OpCode::Multi, &body), ARGUMENTS);
        }
        // Every server counts afresh when this one is created, whatever its data.
        let create = CreateRequest {
            data,
            ..self::create(stats, 0)
        };
        assert!(stage().forwards(OpCode::Create, &create.encode()));
    }
    let good = Some(&b"count=-1,bytes=7=;byteHardLimit=9"[..]);
    for path in [limits, stats] {
        let create = CreateRequest {
            data: good,
            ..create(path, 0)
        };
        assert!(stage().forwards(OpCode::Create, &create.encode()));
        assert!(stage().forwards(OpCode::SetData, &set_data(path, good).encode()));
    }
}

#[test]
fn p9_limits_that_no_server_could_forget_again_are_not_deleted() {
    for path in [
        "/zookeeper/zookeeper_limits",
        "/zookeeper/quota/zookeeper_limits",
        "/zookeeper/quota/ /zookeeper_limits",
        "/zookeeper/quotas/zookeeper_limits",
        "/zookeeper1/zookeeper_limits",
    ] {
        assert_eq!(
            stage().verdict(OpCode::Delete, &delete(path).encode()),
            ARGUMENTS,
            "{path}"
        );
        let body = multi(vec![MultiOp::Delete(delete(path))]);
        assert_eq!(stage().verdict(OpCode::Multi, &body), ARGUMENTS, "{path}");
    }
    for path in [
        "/zookeeper/quota/a/zookeeper_limits",
        "/zookeeper/quota/a/zookeeper_stats",
        "/zookeeper/quota/zookeeper_stats",
        // Deleting it is what makes snapshots loadable again.
        "/zookeeper/quota/zookeeper_limits_too/zookeeper_limits",
    ] {
        assert!(
            stage().forwards(OpCode::Delete, &delete(path).encode()),
            "{path}"
        );
    }
}

#[test]
fn p9_a_transaction_that_grows_beyond_what_servers_read_back_is_not_asked_for() {
    let mut stage = stage();
    stage.gate.frame_bytes_max = 10_000;
    // Each of these bytes is stored as three.
    let id = vec![0xff; 4_000];
    let acl = vec![Acl {
        perms: Perms::ALL,
        id: Id::new("digest", id),
    }];
    let body = set_acl("/a", Some(acl)).encode();
    assert!(body.len() < 10_000);
    assert_eq!(stage.verdict(OpCode::SetAcl, &body), BAD);
    let acl = vec![acl_of_length(4_000)];
    assert!(stage.forwards(OpCode::SetAcl, &set_acl("/a", Some(acl)).encode()));
}

fn acl_of_length(bytes: usize) -> Acl {
    acl(Perms::ALL, "digest", &"x".repeat(bytes))
}

#[test]
fn p9_each_auth_entry_counts_as_all_ids_of_the_client() {
    let mut stage = stage();
    stage
        .ids
        .extend((0..50).map(|n| Id::new("digest", format!("user{n}:{}", "h".repeat(1_000)))));
    let body = |entries: i32| {
        let entry = |perms| acl(Perms(perms), "auth", "");
        set_acl("/a", Some((0..entries).map(entry).collect())).encode()
    };
    assert!(stage.forwards(OpCode::SetAcl, &body(20)));
    assert_eq!(stage.verdict(OpCode::SetAcl, &body(21)), BAD);
    stage.ids.truncate(1);
    assert!(
        stage.forwards(OpCode::SetAcl, &body(21)),
        "addresses do not count"
    );
}

#[test]
fn p9_the_numbers_of_sequential_znodes_count_into_a_multi() {
    let mut stage = stage();
    let ops = |flags| vec![MultiOp::Create(create("/s-", flags)); 400];
    let (plain, sequential) = (multi(ops(0)), multi(ops(2)));
    assert_eq!(plain.len(), sequential.len());
    stage.gate.frame_bytes_max = plain.len();
    assert!(stage.forwards(OpCode::Multi, &plain));
    assert_eq!(stage.verdict(OpCode::Multi, &sequential), BAD);
}

#[test]
fn p9_every_request_that_fits_a_frame_and_does_not_grow_is_forwarded() {
    let mut stage = stage();
    let data = vec![b'x'; 9_000];
    let requests = [
        (OpCode::SetData, set_data("/a", Some(&data)).encode()),
        (
            OpCode::Create,
            CreateRequest {
                data: Some(&data),
                ..create("/a", 2)
            }
            .encode(),
        ),
        (
            OpCode::SetAcl,
            set_acl("/a", Some(vec![acl_of_length(9_000)])).encode(),
        ),
        (
            OpCode::Multi,
            multi(vec![
                MultiOp::SetData(set_data("/a", Some(&data[..9])));
                200
            ]),
        ),
    ];
    for (op, body) in requests {
        stage.gate.frame_bytes_max = body.len();
        assert!(stage.forwards(op, &body), "{op:?}");
    }
}

#[test]
fn p9_ephemerals_are_reported_with_their_bytes_at_worst() {
    let of = |op, body: &[u8]| {
        let checked = stage().checked(op, body);
        (checked.creates_ephemeral, checked.ephemeral_bytes)
    };
    assert_eq!(of(OpCode::Create, &create("/eph", 0).encode()), (false, 0));
    assert_eq!(of(OpCode::Create, &create("/eph", 1).encode()), (true, 8));
    assert_eq!(of(OpCode::Create2, &create("/eph", 3).encode()), (true, 19));
    let body = multi(vec![
        MultiOp::Create(create("/eph", 1)),
        MultiOp::Create2(create("/eph", 3)),
        MultiOp::Create(create("/eph", 0)),
        // A multi makes an ordinary ephemeral of this.
        MultiOp::CreateTtl(create_ttl("/eph", 1, 5)),
    ]);
    assert_eq!(of(OpCode::Multi, &body), (true, 8 + 19 + 8));
    // Alone it is refused by the leader.
    assert_eq!(
        of(OpCode::CreateTtl, &create_ttl("/eph", 1, 5).encode()),
        (false, 0)
    );
}

#[test]
fn p9_a_session_whose_id_marks_another_kind_of_znode_creates_no_ephemerals() {
    let mut stage = stage();
    let body = create("/eph", 1).encode();
    let in_multi = multi(vec![MultiOp::Create(create("/eph", 3))]);
    let ttl_mark = 0xff00_0100_0000_0001_u64 as i64;
    for (session, extended_types, forwards) in [
        (0, false, false),
        (i64::MIN, false, false),
        (ttl_mark, false, true),
        (ttl_mark, true, false),
        (-2 << 56, true, true),
    ] {
        stage.session = SessionId(session);
        stage.gate.extended_types = extended_types;
        assert_eq!(
            stage.forwards(OpCode::Create, &body),
            forwards,
            "{session:x}"
        );
        assert_eq!(
            stage.forwards(OpCode::Multi, &in_multi),
            forwards,
            "{session:x}"
        );
        assert!(stage.forwards(OpCode::Create, &create("/lasting", 0).encode()));
    }
}

#[test]
fn p9_the_ephemerals_of_a_session_stay_below_what_closing_it_can_carry() {
    let mut stage = stage();
    let mut budget = EphemeralBudget::default();
    stage.has_node("/first", Acl::open(), CreateKind::Ephemeral);
    assert_eq!(ephemeral_bytes_of(SESSION, &stage.tree), 10);
    let admit =
        |budget: &mut EphemeralBudget, bytes, tree: &Tree| budget.admit(bytes, 40, SESSION, tree);
    assert!(admit(&mut budget, 20, &stage.tree));
    assert!(
        !admit(&mut budget, 11, &stage.tree),
        "what is asked for counts"
    );
    assert!(admit(&mut budget, 10, &stage.tree));
    budget.settle(20);
    assert!(
        !admit(&mut budget, 1, &stage.tree),
        "what was answered counts"
    );
    assert!(admit(&mut budget, 0, &stage.tree), "anything else is free");
    // Neither of the two came to anything, and the first one goes.
    budget.settle(10);
    stage.apply(
        OpCode::Delete,
        Txn::Delete {
            path: "/first".into(),
        },
    );
    assert!(
        admit(&mut budget, 40, &stage.tree),
        "what is gone is found gone"
    );
    assert!(!admit(&mut budget, 1, &stage.tree));
}

#[test]
fn p9_the_bound_for_ephemerals_leaves_room_for_the_rest_of_the_transaction() {
    let gate = Gate::new(1_000, false);
    let paths = vec!["/some-ephemeral".into(); gate.ephemeral_bytes_max() / 19];
    let header = TxnHeader {
        session: SESSION,
        cxid: Xid(1),
        zxid: Zxid(1),
        time: 0,
        kind: OpCode::CloseSession.code(),
    };
    let txn = Txn::CloseSession { paths: Some(paths) };
    let entry = TxnEntry {
        header,
        txn,
        digest: None,
    };
    assert!(entry.encode().len() + 12 <= 1_000);
}

#[test]
fn p9_a_reconfig_needs_permission_before_a_leader_looks_up_its_host_names() {
    let mut stage = stage();
    let refused = Verdict::Refuse(ErrorCode::RECONFIG_DISABLED);
    assert_eq!(stage.verdict(OpCode::Reconfig, &reconfig()), refused);
    stage.gate.reconfig_enabled = true;
    assert_eq!(stage.verdict(OpCode::Reconfig, &reconfig()), NO_AUTH);
    stage.ids.push(Id::new("super", ""));
    assert!(stage.forwards(OpCode::Reconfig, &reconfig()));
    stage.ids.pop();
    let acl = vec![acl(Perms::WRITE, "ip", "127.0.0.0/8")];
    let path = "/zookeeper/config".into();
    stage.apply(
        OpCode::SetAcl,
        Txn::SetAcl {
            path,
            acl,
            version: 1,
        },
    );
    assert!(stage.forwards(OpCode::Reconfig, &reconfig()));
}

#[test]
fn p9_a_leader_before_3_5_is_not_asked_what_it_would_not_answer() {
    let mut stage = privileged();
    stage.gate.leader_before_3_5 = true;
    let new = [
        OpCode::Create2,
        OpCode::CreateContainer,
        OpCode::CreateTtl,
        OpCode::Reconfig,
    ];
    for (op, body) in normal_forms() {
        if new.contains(&op) {
            let refused = Verdict::Refuse(ErrorCode::UNIMPLEMENTED);
            assert_eq!(stage.verdict(op, &body), refused, "{op:?}");
        } else if op != OpCode::Multi {
            assert!(stage.forwards(op, &body), "{op:?}");
        }
    }
    let old = multi(vec![MultiOp::Create(create("/a", 0))]);
    assert!(stage.forwards(OpCode::Multi, &old));
    let new = multi(vec![MultiOp::Create2(create("/a", 0))]);
    assert_eq!(stage.verdict(OpCode::Multi, &new), BAD);
}

/// A stage with the eager check on and a parent that only its owner may touch.
fn eager() -> Stage {
    let mut stage = stage();
    stage.gate.eager_acl_check = true;
    stage.has_node(
        "/mine",
        vec![acl(Perms::ALL, "digest", "me:h")],
        CreateKind::Persistent,
    );
    stage
}

#[test]
fn p9_with_the_eager_check_a_write_without_permission_is_answered_here() {
    let mut stage = eager();
    let requests = [
        (OpCode::Create, create("/mine/a", 0).encode()),
        (OpCode::Create2, create("/mine/a", 0).encode()),
        (OpCode::Delete, delete("/mine/a").encode()),
        (OpCode::SetData, set_data("/mine", None).encode()),
        (OpCode::SetAcl, set_acl("/mine", Some(Acl::open())).encode()),
    ];
    for (op, body) in &requests {
        assert_eq!(stage.verdict(*op, body), NO_AUTH, "{op:?}");
    }
    stage.ids.push(Id::new("digest", "me:h"));
    for (op, body) in &requests {
        assert!(stage.forwards(*op, body), "{op:?}");
    }
}

#[test]
fn p9_with_the_eager_check_a_znode_that_is_not_there_is_the_leaders_affair() {
    let stage = eager();
    assert!(stage.forwards(OpCode::Create, &create("/missing/a", 0).encode()));
    assert!(stage.forwards(OpCode::Create, &create("no slash", 0).encode()));
    assert!(stage.forwards(OpCode::Delete, &delete("/missing/a").encode()));
    assert!(stage.forwards(OpCode::SetData, &set_data("/missing", None).encode()));
}

#[test]
fn p9_with_the_eager_check_an_acl_that_is_not_surely_valid_is_answered_here() {
    let mut stage = eager();
    stage.rules.sasl = true;
    let verdict = |stage: &Stage, scheme, id| {
        let request = CreateRequest {
            acl: Some(vec![acl(Perms::ALL, scheme, id)]),
            ..create("/a", 0)
        };
        stage.verdict(OpCode::Create, &request.encode())
    };
    for (scheme, id) in [
        ("world", "nobody"),
        ("auth", ""),
        ("digest", "no colon"),
        ("digest", "nothing behind it:"),
        ("digest", "one:two:three"),
        ("digest", ":::"),
        ("ip", "10.0.0"),
        ("ip", "10.0.0.0.1"),
        ("ip", "10.0.0.x"),
        ("ip", "10.0.0.256"),
        ("ip", "10.0.0.1/33"),
        ("ip", "10.0.0.1/x"),
        ("ip", "10.0.0.1/"),
        ("ip", "::1"),
        ("sasl", "a@b@c"),
        ("sasl", "a/b/c@d"),
        ("x509", "CN=not configured"),
        ("super", ""),
        ("unheard", "of"),
    ] {
        assert_eq!(verdict(&stage, scheme, id), INVALID_ACL, "{scheme}:{id}");
    }
    for (scheme, id) in [
        ("world", "anyone"),
        ("digest", "user:hash"),
        ("digest", ":hash"),
        ("ip", "10.0.0.1"),
        ("ip", "10.0.0.0/0"),
        ("sasl", "user"),
        ("sasl", "user/host@REALM"),
    ] {
        assert!(
            matches!(verdict(&stage, scheme, id), Verdict::Forward(_)),
            "{scheme}:{id}"
        );
    }
    stage.ids.push(Id::new("digest", "u:h"));
    assert!(matches!(verdict(&stage, "auth", ""), Verdict::Forward(_)));
    let empty = set_acl("/", Some(Vec::new())).encode();
    assert_eq!(stage.verdict(OpCode::SetAcl, &empty), INVALID_ACL);
}

/// Somebody who may reconfigure, too.
fn privileged() -> Stage {
    Stage {
        ids: vec![Id::new("super", "")],
        ..stage()
    }
}

/// One or more requests of every kind that a client library sends.
fn normal_forms() -> Vec<(OpCode, Vec<u8>)> {
    let mut forms = Vec::new();
    for flags in 0..=3 {
        forms.push((OpCode::Create, create("/a", flags).encode()));
        forms.push((OpCode::Create2, create("/a", flags).encode()));
    }
    forms.push((OpCode::CreateContainer, create("/a", 4).encode()));
    for flags in 5..=6 {
        for ttl in [1, 0xff_ffff_ffff] {
            forms.push((OpCode::CreateTtl, create_ttl("/a", flags, ttl).encode()));
        }
    }
    for data in [None, Some(&b""[..]), Some(b"data")] {
        forms.push((OpCode::SetData, set_data("/a", data).encode()));
    }
    forms.push((OpCode::Delete, delete("/a").encode()));
    forms.push((OpCode::SetAcl, set_acl("/a", Some(Acl::open())).encode()));
    forms.push((OpCode::Sync, SyncRequest { path: "/a".into() }.encode()));
    forms.push((OpCode::Reconfig, reconfig()));
    forms.push((OpCode::CloseSession, Vec::new()));
    let mut ops = vec![
        MultiOp::Delete(delete("/a")),
        MultiOp::SetData(set_data("/a", None)),
        MultiOp::Check(CheckVersionRequest {
            path: "/a".into(),
            version: 3,
        }),
        MultiOp::CreateContainer(create("/a", 4)),
        MultiOp::CreateTtl(create_ttl("/a", 5, 1)),
        MultiOp::CreateTtl(create_ttl("/a", 6, 1)),
    ];
    ops.extend((0..=4).map(|flags| MultiOp::Create(create("/a", flags))));
    ops.extend((0..=4).map(|flags| MultiOp::Create2(create("/a", flags))));
    forms.push((OpCode::Multi, multi(ops)));
    forms.push((OpCode::Multi, multi(Vec::new())));
    forms
}

#[test]
fn p9_every_request_in_normal_form_is_forwarded_as_it_is() {
    for (op, body) in normal_forms() {
        let checked = privileged().checked(op, &body);
        assert_eq!((checked.op, checked.body_bytes), (op, body.len()));
    }
}

#[test]
fn p9_no_request_is_forwarded_when_any_part_of_it_is_missing() {
    for (op, body) in normal_forms() {
        for length in 0..body.len() {
            assert_eq!(
                privileged().verdict(op, &body[..length]),
                BAD,
                "{op:?} {length}"
            );
        }
    }
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![
        "(/[a-zäöü€0-9._-]{1,8}){1,5}",
        Just("/".to_owned()),
        "/zookeeper/quota(/[a-z]{1,4}){1,3}",
    ]
}

fn any_data() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..64))
}

fn any_acl() -> impl Strategy<Value = Vec<Acl>> {
    let entry = (any::<i32>(), "[a-z]{1,6}", any::<String>())
        .prop_map(|(perms, scheme, id)| acl(Perms(perms), &scheme, &id));
    proptest::collection::vec(entry, 0..4)
}

/// What one operation is made of.
type Parts = (OpCode, String, Option<Vec<u8>>, Vec<Acl>, i32, i64);

fn any_parts() -> impl Strategy<Value = Parts> {
    let ops = vec![
        OpCode::Create,
        OpCode::Create2,
        OpCode::CreateContainer,
        OpCode::CreateTtl,
        OpCode::Delete,
        OpCode::SetData,
        OpCode::SetAcl,
        OpCode::Check,
        OpCode::Sync,
    ];
    let number = 0..=3_i32;
    (
        proptest::sample::select(ops),
        any_path(),
        any_data(),
        any_acl(),
        number,
        1..=0xff_ffff_ffff_i64,
    )
}

/// The request of these parts alone; `None` where that is illegal.
fn alone((op, path, data, acl, number, ttl): &Parts) -> Option<(OpCode, Vec<u8>)> {
    let (path, data, acl) = (path.as_str().into(), data.as_deref(), Some(acl.clone()));
    let body = match op {
        OpCode::CreateContainer => CreateRequest {
            path,
            data,
            acl,
            flags: 4,
        }
        .encode(),
        OpCode::CreateTtl => CreateTtlRequest {
            path,
            data,
            acl,
            flags: 5 + number % 2,
            ttl: *ttl,
        }
        .encode(),
        OpCode::Delete => DeleteRequest {
            path,
            version: *number,
        }
        .encode(),
        OpCode::SetData => SetDataRequest {
            path,
            data,
            version: *number,
        }
        .encode(),
        OpCode::SetAcl => SetAclRequest {
            path,
            acl,
            version: *number,
        }
        .encode(),
        OpCode::Sync => SyncRequest { path }.encode(),
        OpCode::Check => return None,
        _ => CreateRequest {
            path,
            data,
            acl,
            flags: *number,
        }
        .encode(),
    };
    Some((*op, body))
}

/// The same as an operation of a multi; `None` where that is illegal.
fn inside((op, path, data, acl, number, ttl): &Parts) -> Option<MultiOp<'_>> {
    let (path, data, acl) = (path.as_str().into(), data.as_deref(), Some(acl.clone()));
    Some(match op {
        OpCode::Create => MultiOp::Create(CreateRequest {
            path,
            data,
            acl,
            flags: *number,
        }),
        OpCode::Create2 => MultiOp::Create2(CreateRequest {
            path,
            data,
            acl,
            flags: *number,
        }),
        OpCode::CreateContainer => MultiOp::CreateContainer(CreateRequest {
            path,
            data,
            acl,
            flags: 4,
        }),
        OpCode::CreateTtl => {
            let flags = 5 + number % 2;
            MultiOp::CreateTtl(CreateTtlRequest {
                path,
                data,
                acl,
                flags,
                ttl: *ttl,
            })
        }
        OpCode::Delete => MultiOp::Delete(DeleteRequest {
            path,
            version: *number,
        }),
        OpCode::SetData => MultiOp::SetData(SetDataRequest {
            path,
            data,
            version: *number,
        }),
        OpCode::Check => MultiOp::Check(CheckVersionRequest {
            path,
            version: *number,
        }),
        _ => return None,
    })
}

proptest! {
    #[test]
    fn p9_no_bytes_make_the_gate_panic(
        op in prop_oneof![-12..30_i32, 95..110_i32, any::<i32>()],
        body in proptest::collection::vec(any::<u8>(), 0..300),
        eager_acl_check: bool,
    ) {
        let stage = Stage { gate: Gate { eager_acl_check, ..Gate::default() }, ..stage() };
        stage.verdict_of_code(op, &body);
    }

    #[test]
    fn p9_whatever_our_own_encoder_makes_is_forwarded(
        parts in proptest::collection::vec(any_parts(), 0..6),
    ) {
        let stage = stage();
        for (op, body) in parts.iter().filter_map(alone) {
            prop_assert!(stage.forwards(op, &body), "{op:?} {body:?}");
        }
        let body = multi(parts.iter().filter_map(inside).collect());
        prop_assert!(stage.forwards(OpCode::Multi, &body), "{body:?}");
    }

    #[test]
    fn p9_what_is_forwarded_can_be_decoded_whole(
        parts in proptest::collection::vec(any_parts(), 1..4),
        as_multi: bool,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let one = parts.first().and_then(alone).filter(|_| !as_multi);
        let (op, mut body) = one.unwrap_or_else(|| {
            (OpCode::Multi, multi(parts.iter().filter_map(inside).collect()))
        });
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        if let Verdict::Forward(checked) = stage().verdict(op, &body) {
            prop_assert_eq!(checked.op, op);
            let mut reader = Reader::new(&body);
            let is_null_sync = op == OpCode::Sync && body.starts_with(&[0xff; 4]);
            if !is_null_sync {
                prop_assert!(RequestBody::read(op, &mut reader).is_ok(), "{:?} {:?}", op, body);
                prop_assert_eq!(checked.body_bytes, reader.position());
            }
        }
    }
}
