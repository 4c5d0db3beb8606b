//! Several operations in one request.

use outpost_wire::proto::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, GetChildrenRequest,
    GetDataRequest, MultiHeader, MultiOp, MultiRequest, SetDataRequest,
};
use outpost_wire::{Acl, Id, OpCode, Perms, Record};

use crate::script::{Play, Script, bstr};

pub(crate) const SCRIPTS: &[Script] = &[
    Script::both("a_multi_answers_operation_by_operation", every_operation),
    Script::both("a_failed_multi_says_which_operation_failed", failed),
    Script::both("an_empty_multi_is_answered", empty),
    Script::both("a_check_inside_a_multi_compares_versions", check),
    Script::both("a_multi_that_cannot_be_is_refused_whole", impossible),
    Script::both("a_multi_read_fails_one_by_one", multi_read),
    Script::both("a_multi_read_of_nothing_or_of_writes", odd_multi_read),
];

fn create<'a>(path: &'a str, flags: i32) -> CreateRequest<'a> {
    CreateRequest {
        path: bstr(path),
        data: Some(b"m"),
        acl: Some(Acl::open()),
        flags,
    }
}

fn create_ttl(path: &str, flags: i32, ttl: i64) -> MultiOp<'_> {
    let (path, data, acl) = (bstr(path), None, Some(Acl::open()));
    MultiOp::CreateTtl(CreateTtlRequest {
        path,
        data,
        acl,
        flags,
        ttl,
    })
}

fn set(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::SetData(SetDataRequest {
        path: bstr(path),
        data: Some(b"set"),
        version,
    })
}

fn delete(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::Delete(DeleteRequest {
        path: bstr(path),
        version,
    })
}

fn check_op(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::Check(CheckVersionRequest {
        path: bstr(path),
        version,
    })
}

fn get(path: &str, watch: bool) -> MultiOp<'_> {
    MultiOp::GetData(GetDataRequest {
        path: bstr(path),
        watch,
    })
}

fn list(path: &str, watch: bool) -> MultiOp<'_> {
    MultiOp::GetChildren(GetChildrenRequest {
        path: bstr(path),
        watch,
    })
}

fn multi(p: &mut Play, c: usize, ops: Vec<MultiOp<'_>>) {
    p.ask(c, OpCode::Multi, &MultiRequest { ops });
}

fn every_operation(p: &mut Play) {
    p.open(0);
    let [a, b, c, t, s, e] = ["a", "b", "c", "t", "s-", "e"].map(|name| p.at(name));
    multi(
        p,
        0,
        vec![
            MultiOp::Create(create(&a, 0)),
            MultiOp::Create2(create(&b, 0)),
            MultiOp::CreateContainer(create(&c, 4)),
            create_ttl(&t, 5, 1_000_000),
            create_ttl(&s, 6, 1_000_000),
            MultiOp::Create(create(&s, 2)),
            MultiOp::Create2(create(&s, 3)),
            MultiOp::Create(create(&e, 1)),
            set(&a, 0),
            set(&a, 1),
            check_op(&a, 2),
            delete(&b, 0),
            MultiOp::Create2(create(&b, 0)),
        ],
    );
    for path in [&a, &b, &c, &t, &e] {
        p.get_data(0, path, false);
    }
    p.get_children(0, &p.at(""), false);
    // A create with the flags of a container becomes one.
    let c4 = p.at("c4");
    multi(
        p,
        0,
        vec![
            MultiOp::Create(create(&c4, 4)),
            MultiOp::Create2(create(&format!("{c4}/x"), 0)),
        ],
    );
    p.exists(0, &c4, false);
    p.close(0);
}

fn failed(p: &mut Play) {
    p.open(0);
    let [a, b, missing] = ["a", "b", "missing"].map(|name| p.at(name));
    p.create(0, &a, b"");
    multi(
        p,
        0,
        vec![
            MultiOp::Create(create(&b, 0)),
            set(&a, 5),
            delete(&b, -1),
            delete(&a, -1),
        ],
    );
    multi(p, 0, vec![MultiOp::Create(create(&a, 0))]);
    multi(
        p,
        0,
        vec![delete(&missing, -1), MultiOp::Create2(create(&b, 0))],
    );
    multi(p, 0, vec![set(&a, -1), check_op(&missing, -1)]);
    multi(
        p,
        0,
        vec![MultiOp::Create(create("relative", 0)), set(&a, -1)],
    );
    multi(p, 0, vec![set(&a, -1), create_ttl(&b, 5, 0)]);
    multi(p, 0, vec![set("/zookeeper/config", -1)]);
    multi(
        p,
        0,
        vec![
            MultiOp::Create(create(&b, 1)),
            MultiOp::Create(create(&format!("{b}/x"), 0)),
        ],
    );
    p.get_data(0, &a, false);
    p.exists(0, &b, false);
    p.get_children(0, &p.at(""), false);
    p.close(0);
}

fn empty(p: &mut Play) {
    p.open(0);
    multi(p, 0, Vec::new());
    p.ping(0);
    p.close(0);
}

fn check(p: &mut Play) {
    p.open(0);
    let (a, missing) = (p.at("a"), p.at("missing"));
    p.create(0, &a, b"");
    for version in [0, -1, 1, -2] {
        multi(p, 0, vec![check_op(&a, version)]);
        multi(p, 0, vec![check_op(&missing, version)]);
        multi(p, 0, vec![check_op(&a, version), set(&a, -1)]);
    }
    p.auth(0, "digest", b"alice:pw");
    let acl = [Acl {
        perms: Perms::ALL,
        id: Id::new("auth", ""),
    }];
    p.protect(0, &a, &acl);
    p.open(1);
    p.sync(1);
    multi(p, 1, vec![check_op(&a, -1)]);
    multi(p, 1, vec![set(&a, -1)]);
    p.close(1);
}

/// Those that the leader reads with an error of its own, and survives.
fn impossible(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    multi(p, 0, vec![get(&a, false)]);
    multi(p, 0, vec![MultiOp::Create(create(&a, 0)), get(&a, false)]);
    multi(p, 0, vec![get(&a, false), MultiOp::Create(create(&a, 0))]);
    for flags in [5, 6, 7, -1, 1000] {
        multi(p, 0, vec![MultiOp::Create(create(&a, flags))]);
        multi(p, 0, vec![MultiOp::Create2(create(&a, flags))]);
    }
    for kind in [0, 3, 6, 7, 9, 11, 12, 14, 16, 20, 22, 100, 1000, -11, -1] {
        let mut body = MultiHeader {
            kind,
            done: false,
            err: -1,
        }
        .encode();
        body.extend(create(&a, 0).encode());
        body.extend(MultiHeader::END.encode());
        p.ask_body(0, OpCode::Multi.code(), body);
    }
    // Never done.
    p.ask_body(0, OpCode::Multi.code(), []);
    let whole = MultiRequest {
        ops: vec![MultiOp::Create(create(&a, 0))],
    }
    .encode();
    for length in 0..whole.len() {
        p.ask_body(0, OpCode::Multi.code(), &whole[..length]);
    }
    p.exists(0, &a, false);
    p.close(0);
}

fn multi_read(p: &mut Play) {
    p.open(0);
    p.open(1);
    let [a, b, missing, secret] = ["a", "b", "missing", "secret"].map(|name| p.at(name));
    p.create(0, &a, b"data of a");
    p.create_as(0, OpCode::Create, &b, None, 0);
    p.create(0, &format!("{a}/x"), b"");
    p.create(0, &format!("{a}/y"), b"");
    p.create(1, &secret, b"s");
    p.auth(1, "digest", b"alice:pw");
    let acl = [Acl {
        perms: Perms::ALL,
        id: Id::new("auth", ""),
    }];
    p.protect(1, &secret, &acl);
    p.sync(0);
    for c in [0, 1] {
        let ops = vec![
            get(&a, true),
            list(&a, true),
            get(&b, false),
            get(&missing, true),
            list(&missing, true),
            get(&secret, true),
            list(&secret, true),
            get("relative", false),
            get("", false),
            list(&b, false),
        ];
        p.ask(c, OpCode::MultiRead, &MultiRequest { ops });
    }
    // None of them has left a watch.
    p.set_data(1, &a, b"new");
    p.set_data(1, &secret, b"new");
    p.create(1, &missing, b"");
    for c in [0, 1] {
        p.sync(c);
        p.close(c);
    }
}

fn odd_multi_read(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.ask(0, OpCode::MultiRead, &MultiRequest { ops: Vec::new() });
    p.ask(
        0,
        OpCode::MultiRead,
        &MultiRequest {
            ops: vec![MultiOp::Create(create(&a, 0))],
        },
    );
    p.ask(
        0,
        OpCode::MultiRead,
        &MultiRequest {
            ops: vec![check_op(&a, 0)],
        },
    );
    p.ask(
        0,
        OpCode::MultiRead,
        &MultiRequest {
            ops: vec![get(&a, false), set(&a, 0)],
        },
    );
    let whole = MultiRequest {
        ops: vec![get(&a, true), list(&a, false)],
    }
    .encode();
    for length in 0..whole.len() {
        p.ask_body(0, OpCode::MultiRead.code(), &whole[..length]);
    }
    p.ping(0);
    p.exists(0, &a, false);
}
