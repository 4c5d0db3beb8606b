//! Many requests at once: answered in the order in which they were sent.

use outpost_wire::OpCode;
use outpost_wire::proto::{
    AuthPacket, CreateRequest, DeleteRequest, ExistsRequest, GetChildren2Request, GetDataRequest,
    MultiOp, MultiRequest, SetDataRequest, SyncRequest,
};

use crate::script::{Play, Script, bstr};

pub(crate) const SCRIPTS: &[Script] = &[
    Script::both(
        "p2_writes_and_reads_by_turns_are_answered_in_order",
        by_turns,
    ),
    Script::both(
        "p2_five_hundred_requests_at_once_are_answered_in_order",
        five_hundred,
    ),
    Script::both(
        "p2_pings_wait_behind_writes_and_auth_does_not_hurt_the_order",
        with_ping_and_auth,
    ),
    Script::both(
        "p3_own_events_come_in_their_place_among_pipelined_replies",
        with_watches,
    ),
    Script::both(
        "identities_count_from_the_request_behind_them",
        identity_in_the_middle,
    ),
];

fn create(path: &str) -> CreateRequest<'_> {
    CreateRequest {
        path: bstr(path),
        data: Some(b"0"),
        acl: Some(outpost_wire::Acl::open()),
        flags: 0,
    }
}

fn set<'a>(path: &'a str, data: &'a [u8]) -> SetDataRequest<'a> {
    SetDataRequest {
        path: bstr(path),
        data: Some(data),
        version: -1,
    }
}

fn by_turns(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.send(
        0,
        OpCode::GetData,
        &GetDataRequest {
            path: bstr(&a),
            watch: false,
        },
    );
    p.send(0, OpCode::Create, &create(&a));
    p.send(
        0,
        OpCode::GetData,
        &GetDataRequest {
            path: bstr(&a),
            watch: false,
        },
    );
    p.send(0, OpCode::SetData, &set(&a, b"1"));
    p.send(
        0,
        OpCode::GetData,
        &GetDataRequest {
            path: bstr(&a),
            watch: false,
        },
    );
    p.send(
        0,
        OpCode::SetData,
        &SetDataRequest {
            path: bstr(&a),
            data: None,
            version: 99,
        },
    );
    p.send(0, OpCode::Sync, &SyncRequest { path: bstr("/") });
    p.send(
        0,
        OpCode::Exists,
        &ExistsRequest {
            path: bstr(&a),
            watch: false,
        },
    );
    let ops = vec![
        MultiOp::SetData(set(&a, b"2")),
        MultiOp::SetData(set(&a, b"3")),
    ];
    p.send(0, OpCode::Multi, &MultiRequest { ops });
    p.send(
        0,
        OpCode::GetData,
        &GetDataRequest {
            path: bstr(&a),
            watch: false,
        },
    );
    p.send(0, OpCode::Create, &create(&format!("{a}/b")));
    p.send(
        0,
        OpCode::GetChildren2,
        &GetChildren2Request {
            path: bstr(&a),
            watch: false,
        },
    );
    p.send(
        0,
        OpCode::Delete,
        &DeleteRequest {
            path: bstr(&format!("{a}/b")),
            version: -1,
        },
    );
    p.send(
        0,
        OpCode::Delete,
        &DeleteRequest {
            path: bstr(&a),
            version: -1,
        },
    );
    p.send(
        0,
        OpCode::Exists,
        &ExistsRequest {
            path: bstr(&a),
            watch: false,
        },
    );
    p.send_body(0, OpCode::CloseSession.code(), []);
    p.end(0);
}

fn five_hundred(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.send(0, OpCode::Create, &create(&a));
    for number in 0..500_u32 {
        let data = number.to_string();
        match number % 5 {
            0 => p.send(0, OpCode::SetData, &set(&a, data.as_bytes())),
            1 | 2 => p.send(
                0,
                OpCode::GetData,
                &GetDataRequest {
                    path: bstr(&a),
                    watch: false,
                },
            ),
            3 => p.send_body(0, OpCode::Ping.code(), []),
            _ => p.send(
                0,
                OpCode::Exists,
                &ExistsRequest {
                    path: bstr("/missing"),
                    watch: false,
                },
            ),
        }
    }
    p.replies(0);
    p.close(0);
}

fn with_ping_and_auth(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    for number in 0..20 {
        let path = format!("{a}{number}");
        p.send(0, OpCode::Create, &create(&path));
        p.send_body(0, OpCode::Ping.code(), []);
        let auth = format!("user{number}:pw");
        let packet = AuthPacket {
            kind: 0,
            scheme: bstr("digest"),
            auth: Some(auth.as_bytes()),
        };
        p.send(0, OpCode::Auth, &packet);
        p.send(
            0,
            OpCode::Exists,
            &ExistsRequest {
                path: bstr(&path),
                watch: false,
            },
        );
    }
    p.replies(0);
    p.close(0);
}

fn with_watches(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.send(
        0,
        OpCode::Exists,
        &ExistsRequest {
            path: bstr(&a),
            watch: true,
        },
    );
    p.send(0, OpCode::Create, &create(&a));
    for number in 0..20 {
        p.send(
            0,
            OpCode::GetData,
            &GetDataRequest {
                path: bstr(&a),
                watch: true,
            },
        );
        p.send(
            0,
            OpCode::GetChildren2,
            &GetChildren2Request {
                path: bstr(&a),
                watch: true,
            },
        );
        p.send(0, OpCode::SetData, &set(&a, b"x"));
        p.send(0, OpCode::Create, &create(&format!("{a}/{number}")));
    }
    p.replies(0);
    p.close(0);
}

/// The id is needed by a request on either side of it.
fn identity_in_the_middle(p: &mut Play) {
    use outpost_wire::{Acl, Id, Perms};
    p.open(0);
    p.open(1);
    let a = p.at("a");
    p.create(0, &a, b"");
    p.auth(0, "digest", b"alice:pw");
    let acl = [Acl {
        perms: Perms::ALL,
        id: Id::new("auth", ""),
    }];
    p.protect(0, &a, &acl);
    p.sync(1);
    for _ in 0..2 {
        p.send(1, OpCode::SetData, &set(&a, b"1"));
        p.send(
            1,
            OpCode::GetData,
            &GetDataRequest {
                path: bstr(&a),
                watch: false,
            },
        );
        let packet = AuthPacket {
            kind: 0,
            scheme: bstr("digest"),
            auth: Some(b"alice:pw"),
        };
        p.send(1, OpCode::Auth, &packet);
        p.send(
            1,
            OpCode::GetData,
            &GetDataRequest {
                path: bstr(&a),
                watch: false,
            },
        );
        p.send(1, OpCode::SetData, &set(&a, b"2"));
        p.replies(1);
    }
}
