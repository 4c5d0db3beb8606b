//! What Outpost answers otherwise on purpose, and what never reaches a leader because that would not survive it:
//! sent to Outpost alone, with the answers that `docs/forwarding.md` promises.

use bstr::{BStr, ByteSlice};
use outpost_wire::proto::{
    CreateRequest, CreateTtlRequest, DeleteRequest, ExistsRequest, MultiHeader, MultiOp,
    MultiRequest, ReconfigRequest, SetAclRequest, SetDataRequest,
};
use outpost_wire::{Acl, ErrorCode, Id, OpCode, Perms, Record};

use crate::script::{Play, Request, Script, Step, bstr, framed};
use crate::scripts::writes::set_acl;

pub(crate) const SCRIPTS: &[Script] = &[
    Script::outpost("p9_writes_cut_off_anywhere_are_refused_here", truncated),
    Script::outpost("p9_lengths_that_cannot_be_are_refused_here", lengths),
    Script::outpost("p9_nulls_are_refused_here", nulls),
    Script::outpost("p9_flags_that_leaders_trip_over_are_refused_here", flags),
    Script::outpost(
        "p9_operations_that_are_no_clients_are_refused_here",
        operations,
    ),
    Script::outpost(
        "p9_names_of_quotas_are_refused_where_they_would_poison",
        quotas,
    ),
    Script::outpost(
        "p9_what_grows_beyond_the_leaders_limits_is_refused_here",
        too_much,
    ),
    Script::outpost(
        "p9_ephemerals_that_no_closing_transaction_could_hold_are_refused",
        ephemerals,
    ),
    Script::outpost(
        "p6_a_connection_has_a_bounded_number_of_identities",
        identities,
    ),
    Script::outpost(
        "p2_an_unknown_operation_is_answered_in_its_turn",
        unknown_in_turn,
    ),
    Script::outpost("p2_refusals_keep_their_turn", in_turn),
    Script::both("delete_container_is_not_for_clients", delete_container),
    Script::both("create_session_is_not_for_clients", create_session),
];

fn create(path: &BStr, flags: i32) -> CreateRequest<'_> {
    CreateRequest {
        path,
        data: Some(b"data"),
        acl: Some(Acl::open()),
        flags,
    }
}

fn create_ttl(path: &BStr, flags: i32, ttl: i64) -> CreateTtlRequest<'_> {
    CreateTtlRequest {
        path,
        data: None,
        acl: Some(Acl::open()),
        flags,
        ttl,
    }
}

const BROKEN: ErrorCode = ErrorCode::MARSHALLING_ERROR;
const BAD: ErrorCode = ErrorCode::BAD_ARGUMENTS;
const INVALID_ACL: ErrorCode = ErrorCode::INVALID_ACL;

/// Every write with its whole record.
fn writes(path: &BStr) -> Vec<(OpCode, Vec<u8>)> {
    let reconfig = ReconfigRequest {
        joining_servers: Some(BStr::new("server.9=127.0.0.1:1:2")),
        leaving_servers: None,
        new_members: None,
        cur_config_id: -1,
    };
    let multi = MultiRequest {
        ops: vec![MultiOp::Create(create(path, 0))],
    };
    let version = -1;
    vec![
        (OpCode::Create, create(path, 0).encode()),
        (OpCode::Create2, create(path, 0).encode()),
        (OpCode::CreateContainer, create(path, 4).encode()),
        (OpCode::CreateTtl, create_ttl(path, 5, 1000).encode()),
        (OpCode::Delete, DeleteRequest { path, version }.encode()),
        (
            OpCode::SetData,
            SetDataRequest {
                path,
                data: Some(b"data"),
                version,
            }
            .encode(),
        ),
        (
            OpCode::SetAcl,
            SetAclRequest {
                path,
                acl: Some(Acl::open()),
                version,
            }
            .encode(),
        ),
        (OpCode::Reconfig, reconfig.encode()),
        (OpCode::Multi, multi.encode()),
    ]
}

fn truncated(p: &mut Play) {
    p.open(0);
    let path = p.at("a");
    for (op, whole) in writes(bstr(&path)) {
        for length in 0..whole.len() {
            p.refused(0, op, &whole[..length], BROKEN);
        }
    }
    still_commits(p, 0);
}

/// The same connection goes on, and its writes are committed.
fn still_commits(p: &mut Play, c: usize) {
    let path = p.at("commits");
    p.create(c, &path, b"");
    let xid = p.last_xid(c);
    p.said(format!("{c}: Create {xid}: #0 \"$/commits\""));
    p.delete(c, &path);
    p.ping(c);
}

fn lengths(p: &mut Play) {
    p.open(0);
    let path = p.at("a");
    let rest = [&[0; 4][..], &[0; 4], &[0; 4]].concat();
    for length in [-2, i32::MIN, i32::MAX, 0x0020_0000] {
        for op in [
            OpCode::Create,
            OpCode::Delete,
            OpCode::SetData,
            OpCode::SetAcl,
        ] {
            // Of the path.
            let body = [&length.to_be_bytes()[..], path.as_bytes(), &rest].concat();
            p.refused(0, op, body, BROKEN);
        }
        // Of the data.
        let data = [&length.to_be_bytes()[..], &rest].concat();
        p.refused(
            0,
            OpCode::SetData,
            [framed(path.as_bytes()), data.clone()].concat(),
            BROKEN,
        );
        p.refused(
            0,
            OpCode::Create,
            [framed(path.as_bytes()), data].concat(),
            BROKEN,
        );
    }
    // More entries than there are bytes.
    for count in [1, 1000, i32::MAX] {
        let mut body = framed(path.as_bytes());
        body.extend(count.to_be_bytes());
        body.extend([0; 4]);
        p.refused(0, OpCode::SetAcl, body, BROKEN);
    }
    still_commits(p, 0);
}

fn nulls(p: &mut Play) {
    p.open(0);
    let path = p.at("a");
    let null = [0xff; 4];
    for (op, whole) in writes(bstr(&path)) {
        let code = match op {
            OpCode::SetData | OpCode::SetAcl => BAD,
            OpCode::Reconfig | OpCode::Multi => continue,
            _ => BROKEN,
        };
        let behind_the_path = &whole[4 + path.len()..];
        p.refused(0, op, [&null, behind_the_path].concat(), code);
        // The same in a multi.
        if matches!(op, OpCode::SetAcl) {
            continue;
        }
        let body = [
            MultiHeader::of_operation(op).encode(),
            null.to_vec(),
            behind_the_path.to_vec(),
            MultiHeader::END.encode(),
        ];
        p.refused(0, OpCode::Multi, body.concat(), BROKEN);
    }
    for acl in [None, Some(Vec::new())] {
        let mut request = create(bstr(&path), 0);
        request.acl.clone_from(&acl);
        if acl.is_none() {
            p.refused(0, OpCode::Create, request.encode(), INVALID_ACL);
            for op in [
                MultiOp::Create(request.clone()),
                MultiOp::Create2(request.clone()),
            ] {
                p.refused(
                    0,
                    OpCode::Multi,
                    MultiRequest { ops: vec![op] }.encode(),
                    BROKEN,
                );
            }
            let mut container = request.clone();
            container.flags = 4;
            let ops = vec![MultiOp::CreateContainer(container)];
            p.refused(0, OpCode::Multi, MultiRequest { ops }.encode(), BROKEN);
        }
    }
    // An entry without a scheme, without an id.
    let text = |text: Option<&[u8]>| text.map_or(null.to_vec(), framed);
    for (scheme, id, code) in [
        (None, Some(&b"anyone"[..]), INVALID_ACL),
        (Some(&b"world"[..]), None, BROKEN),
        (None, None, INVALID_ACL),
    ] {
        let body = [
            framed(path.as_bytes()),
            vec![0, 0, 0, 1, 0, 0, 0, 31],
            text(scheme),
            text(id),
            vec![0xff; 4],
        ];
        p.refused(0, OpCode::SetAcl, body.concat(), code);
    }
    still_commits(p, 0);
}

fn flags(p: &mut Play) {
    p.open(0);
    let path = p.at("a");
    let path = bstr(&path);
    for flags in 0..=4 {
        for ttl in [-1, i64::MIN] {
            p.refused(
                0,
                OpCode::CreateTtl,
                create_ttl(path, flags, ttl).encode(),
                BAD,
            );
        }
    }
    for op in [OpCode::Create, OpCode::Create2] {
        p.refused(0, op, create(path, 4).encode(), BAD);
    }
    for flags in 0..=3 {
        p.refused(
            0,
            OpCode::CreateContainer,
            create(path, flags).encode(),
            BAD,
        );
    }
    still_commits(p, 0);
}

fn operations(p: &mut Play) {
    let path = p.at("");
    // A check of what is there would be committed as a transaction that no server can read.
    let check = [framed(path.as_bytes()), vec![0xff; 4]].concat();
    for (op, body) in [
        (13, check),
        (13, Vec::new()),
        (-10, Vec::new()),
        (-1, Vec::new()),
        (0, Vec::new()),
    ] {
        p.open(0);
        p.refused_for_good(0, op, body);
    }
    p.open(0);
    p.refused(0, OpCode::DeleteContainer, [], ErrorCode::UNIMPLEMENTED);
    p.refused(
        0,
        OpCode::DeleteContainer,
        framed(path.as_bytes()),
        ErrorCode::UNIMPLEMENTED,
    );
    p.refused(
        0,
        OpCode::DeleteContainer,
        [0xff; 4],
        ErrorCode::UNIMPLEMENTED,
    );
    still_commits(p, 0);
}

fn quotas(p: &mut Play) {
    p.open(0);
    let below = format!("/zookeeper/quota{}/zookeeper_limits", p.at(""));
    for path in [
        "/zookeeper/quota/zookeeper_limits",
        "/zookeeper/zookeeper_limits",
        "/zookeeper1/zookeeper_limits",
        "/zookeeper/quotaX/zookeeper_limits",
        "/zookeeper/quota/ /zookeeper_limits",
        "/zookeeper/quota/zookeeper_limitsX/zookeeper_limits",
        "/zookeeper/quota/zookeeper_stats",
    ] {
        for op in [OpCode::Create, OpCode::Create2] {
            let mut request = create(bstr(path), 0);
            request.data = Some(b"count=1,bytes=1");
            p.refused(0, op, request.encode(), BAD);
            let ops = vec![MultiOp::Create(request)];
            p.refused(0, OpCode::Multi, MultiRequest { ops }.encode(), BAD);
        }
    }
    for data in [
        None,
        Some(&b""[..]),
        Some(b"nonsense"),
        Some(b"count=1"),
        Some(b"count=x,bytes=1"),
    ] {
        let mut request = create(bstr(&below), 0);
        request.data = data;
        p.refused(0, OpCode::Create, request.encode(), BAD);
        for name in [&below, &below.replace("_limits", "_stats")] {
            let set = SetDataRequest {
                path: bstr(name),
                data,
                version: -1,
            };
            p.refused(0, OpCode::SetData, set.encode(), BAD);
        }
    }
    for flags in [1, 4] {
        let mut request = create(bstr(&below), flags);
        request.data = Some(b"count=1,bytes=1");
        p.refused(
            0,
            if flags == 4 {
                OpCode::CreateContainer
            } else {
                OpCode::Create
            },
            request.encode(),
            BAD,
        );
    }
    let delete = DeleteRequest {
        path: bstr("/zookeeper/quota/zookeeper_limits"),
        version: -1,
    };
    p.refused(0, OpCode::Delete, delete.encode(), BAD);
    still_commits(p, 0);
}

fn too_much(p: &mut Play) {
    p.open(0);
    let path = p.at("a");
    let entry = |id: &[u8]| Acl {
        perms: Perms::READ,
        id: Id::new("digest", id),
    };
    // Compared each with each.
    let many: Vec<Acl> = (0..1001)
        .map(|number| entry(format!("u{number}:x").as_bytes()))
        .collect();
    p.refused(
        0,
        OpCode::SetAcl,
        set_acl(&path, &many).encode(),
        INVALID_ACL,
    );
    // Every byte becomes three.
    let long = [entry(&[0xff; 400_000])];
    p.refused(0, OpCode::SetAcl, set_acl(&path, &long).encode(), BROKEN);
    // Walked by recursion.
    let deep = format!("{path}{}", "/d".repeat(1001));
    p.refused(
        0,
        OpCode::Create,
        create(deep.as_bytes().as_bstr(), 0).encode(),
        BAD,
    );
    still_commits(p, 0);
}

/// Seventeen names of 60 000 bytes fit the transaction that will delete them, eighteen do not.
fn ephemerals(p: &mut Play) {
    p.open(0);
    p.open(1);
    for number in 0..18 {
        let path = p.at(&format!("{number:02}{}", "e".repeat(60_000)));
        let request = create(bstr(&path), 1);
        match number {
            17 => p.refused(0, OpCode::Create, request.encode(), BAD),
            _ => p.ask(0, OpCode::Create, &request),
        }
    }
    p.close(0);
    p.sync(1);
    let path = p.at("");
    p.exists(1, &path, false);
    p.create(1, &p.at("commits"), b"");
}

fn identities(p: &mut Play) {
    p.open(0);
    // The address is the first of 64.
    for number in 1..64 {
        p.auth(0, "digest", format!("user{number}:pw").as_bytes());
        p.said("0: Auth -4: 0 ");
    }
    p.auth(0, "digest", b"one:more");
    p.said("0: Auth -4: 0 AUTH_FAILED(-115)");
    p.end(0);
}

fn unknown_in_turn(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    let exists = ExistsRequest {
        path: bstr(&a),
        watch: false,
    };
    p.step(Step::Hold(0));
    p.send(0, OpCode::Create, &create(bstr(&a), 0));
    p.send(0, OpCode::Exists, &exists);
    p.send_body(0, 55, []);
    p.send(0, OpCode::Exists, &exists);
    p.step(Step::Release(0));
    p.end(0);
    p.said_all(&[
        "0: Create 1: #0 \"$/a\"",
        "0: Exists 2: z c#0 m#0 p#0 v0 cv0 av0 len4 n0",
        "0: op 55 3: -1 UNIMPLEMENTED(-6)",
        "0: closed by the server (EOF)",
    ]);
}

fn in_turn(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.send(0, OpCode::Create, &create(bstr(&a), 0));
    p.send_body(0, OpCode::Delete.code(), []);
    p.send(
        0,
        OpCode::Exists,
        &ExistsRequest {
            path: bstr(&a),
            watch: false,
        },
    );
    p.send_body(0, OpCode::Multi.code(), []);
    p.send(
        0,
        OpCode::Delete,
        &DeleteRequest {
            path: bstr(&a),
            version: -1,
        },
    );
    p.send_body(0, OpCode::CreateContainer.code(), [1, 2, 3]);
    p.send_body(0, OpCode::Ping.code(), []);
    p.replies(0);
    p.said_all(&[
        "0: Create 1: #0 \"$/a\"",
        "0: Delete 2: z MARSHALLING_ERROR(-5)",
        "0: Exists 3: z c#0 m#0 p#0 v0 cv0 av0 len4 n0",
        "0: Multi 4: z MARSHALLING_ERROR(-5)",
        "0: Delete 5: #1 ",
        "0: CreateContainer 6: z MARSHALLING_ERROR(-5)",
        "0: Ping -2: z ",
    ]);
}

fn delete_container(p: &mut Play) {
    p.open(0);
    let (a, missing) = (p.at("a"), p.at("missing"));
    p.create_as(0, OpCode::CreateContainer, &a, Some(b""), 4);
    p.ask_body(
        0,
        OpCode::DeleteContainer.code(),
        framed(missing.as_bytes()),
    );
    p.ask_body(0, OpCode::DeleteContainer.code(), framed(a.as_bytes()));
    p.ping(0);
}

fn create_session(p: &mut Play) {
    p.open(0);
    let request = Request {
        xid: 1,
        op: OpCode::CreateSession.code(),
        body: 10_000_i32.to_be_bytes().to_vec(),
    };
    let ping = Request {
        xid: -2,
        op: OpCode::Ping.code(),
        body: Vec::new(),
    };
    p.step(Step::Sent(0, ping.clone()));
    p.step(Step::Raw(0, [request.frame(), ping.frame()].concat()));
    p.step(Step::Welcome(0));
    p.replies(0);
}
