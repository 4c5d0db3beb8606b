//! From the connect request to the end of the session.

use outpost_wire::proto::{
    AuthPacket, CreateRequest, DeleteRequest, GetAclRequest, GetDataRequest, MultiOp, MultiRequest,
};
use outpost_wire::{Acl, Id, OpCode, Perms};

use crate::script::{At, Hello, Password, Play, Request, Script, Seen, Step, Whose, bstr};

pub(crate) const SCRIPTS: &[Script] = &[
    Script::both(
        "connect_answers_with_or_without_the_read_only_byte",
        read_only_byte,
    ),
    Script::both("timeouts_are_negotiated_alike", timeouts),
    Script::both(
        "version_password_and_bytes_behind_do_not_matter_to_a_new_session",
        ignored,
    ),
    Script::both("who_has_seen_more_than_there_is_is_turned_away", ahead),
    Script::both("a_session_comes_back_with_its_password_only", passwords),
    Script::both(
        "a_wrong_password_does_not_harm_the_sessions_connection",
        wrong_password,
    ),
    Script::both("nobody_takes_a_session_that_is_not_there", unknown),
    Script::both("a_closed_session_does_not_come_back", closed),
    Script::both("an_expired_session_does_not_come_back", expired),
    Script::both("a_silent_client_is_closed_when_its_session_expires", silent),
    Script::both("one_session_has_one_connection", second_connection),
    Script::both(
        "a_session_moves_to_the_other_observer_and_back",
        moved_there,
    ),
    Script::both("a_session_moves_from_a_voter_and_to_it", moved_voter),
    Script::both(
        "a_write_after_the_session_has_moved_ends_the_connection",
        write_after_move,
    ),
    Script::both(
        "closing_a_session_elsewhere_ends_its_connections",
        closed_elsewhere,
    ),
    Script::both(
        "what_is_asked_after_the_session_has_moved_is_answered_alike",
        asked_after_move,
    ),
    Script::both(
        "requests_behind_a_connect_request_in_vain_are_not_served",
        pipelined_in_vain,
    ),
    Script::both(
        "an_identity_behind_the_connect_request_counts",
        pipelined_auth,
    ),
    Script::both(
        "a_session_is_closed_once_however_often_it_is_asked_for",
        close_twice,
    ),
    Script::both("close_session_has_no_body_that_matters", close_with_body),
    Script::both(
        "ephemerals_outlive_the_connection_and_not_the_session",
        ephemerals,
    ),
    Script::both("a_reopened_session_renegotiates", renegotiated),
    Script::both("requests_behind_the_connect_request_are_served", pipelined),
];

fn read_only_byte(p: &mut Play) {
    for (c, read_only) in [None, Some(false), Some(true)].into_iter().enumerate() {
        p.open_as(
            c,
            At::Here,
            Hello {
                read_only,
                ..Hello::NEW
            },
        );
        p.ping(c);
        // The same when refused.
        let hello = Hello {
            session: Whose::Of(c),
            password: Password::Zeros,
            read_only,
            ..Hello::NEW
        };
        p.open_as(c + 10, At::Here, hello);
        p.end(c + 10);
        p.open_as(
            c + 20,
            At::Here,
            Hello {
                read_only,
                ..Hello::again(c)
            },
        );
        p.ping(c + 20);
        p.end(c);
    }
}

fn timeouts(p: &mut Play) {
    // The tick is 500 ms, so from 1000 to 10000 is granted.
    for timeout in [
        0,
        -1,
        i32::MIN,
        1,
        999,
        1000,
        1001,
        4321,
        10_000,
        10_001,
        i32::MAX,
    ] {
        p.open_as(
            0,
            At::Here,
            Hello {
                timeout,
                ..Hello::NEW
            },
        );
        p.close(0);
    }
}

fn ignored(p: &mut Play) {
    for hello in [
        Hello {
            version: 7,
            ..Hello::NEW
        },
        Hello {
            version: -1,
            ..Hello::NEW
        },
        Hello {
            password: Password::Null,
            ..Hello::NEW
        },
        Hello {
            password: Password::Empty,
            ..Hello::NEW
        },
        Hello {
            password: Password::Computed(5),
            ..Hello::NEW
        },
        Hello {
            trailing: b"and more",
            ..Hello::NEW
        },
        Hello {
            seen: Seen::Negative,
            ..Hello::NEW
        },
    ] {
        p.open_as(0, At::Here, hello);
        p.ping(0);
        p.close(0);
    }
}

fn ahead(p: &mut Play) {
    p.open(0);
    for hello in [Hello::NEW, Hello::again(0)] {
        p.open_as(
            1,
            At::Here,
            Hello {
                seen: Seen::Future,
                ..hello
            },
        );
        p.end(1);
    }
    p.ping(0);
}

fn passwords(p: &mut Play) {
    p.open(0);
    p.step(Step::Drop(0));
    p.open(9);
    // The connection is gone, so nobody stands in the way of those who guess.
    for (c, password) in [
        Password::Zeros,
        Password::Null,
        Password::Empty,
        Password::Of(9),
        Password::Computed(1),
        Password::Short(0),
    ]
    .into_iter()
    .enumerate()
    {
        let hello = Hello {
            session: Whose::Of(0),
            password,
            ..Hello::NEW
        };
        p.open_as(c + 1, At::Here, hello);
        p.end(c + 1);
    }
    p.open_as(10, At::Here, Hello::again(0));
    p.ping(10);
}

fn wrong_password(p: &mut Play) {
    p.open(0);
    let hello = Hello {
        session: Whose::Of(0),
        password: Password::Computed(1),
        ..Hello::NEW
    };
    p.open_as(1, At::Here, hello);
    p.end(1);
    p.ping(0);
}

fn unknown(p: &mut Play) {
    for id in [1, -1, i64::MIN, i64::MAX, 0x0400_0006_7316_0000] {
        for password in [
            Password::Computed(id),
            Password::Zeros,
            Password::Null,
            Password::Empty,
        ] {
            let hello = Hello {
                session: Whose::Unknown(id),
                password,
                ..Hello::NEW
            };
            p.open_as(0, At::Here, hello);
            p.end(0);
        }
    }
}

fn closed(p: &mut Play) {
    p.open(0);
    p.close(0);
    refused_everywhere(p);
}

fn expired(p: &mut Play) {
    p.open_as(
        0,
        At::Here,
        Hello {
            timeout: 4000,
            ..Hello::NEW
        },
    );
    let e = p.at("e");
    p.create_as(0, OpCode::Create, &e, Some(b""), 1);
    p.step(Step::Drop(0));
    p.step(Step::Gone(e.clone()));
    p.open(2);
    p.sync(2);
    p.exists(2, &e, false);
    refused_everywhere(p);
}

/// The session of the first connection is gone, and every server knows.
fn refused_everywhere(p: &mut Play) {
    for at in [At::Here, At::There, At::Voter] {
        p.open_as(9, at, Hello::NEW);
        p.sync(9);
        p.open_as(1, at, Hello::again(0));
        p.end(1);
    }
}

fn silent(p: &mut Play) {
    p.open_as(
        0,
        At::Here,
        Hello {
            timeout: 4000,
            ..Hello::NEW
        },
    );
    p.open(1);
    let e = p.at("e");
    p.create_as(0, OpCode::Create, &e, Some(b""), 1);
    p.get_data(1, &e, true);
    p.end(0);
    p.step(Step::Event(1));
    p.open_as(2, At::Here, Hello::again(0));
    p.end(2);
}

fn second_connection(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.create(0, &a, b"");
    p.get_data(0, &a, true);
    p.open_as(1, At::Here, Hello::again(0));
    p.end(0);
    p.set_data(1, &a, b"x");
    p.open_as(2, At::Here, Hello::again(1));
    p.end(1);
    p.set_data(2, &a, b"y");
    p.close(2);
}

fn moved_there(p: &mut Play) {
    moves(p, At::There);
}

fn moved_voter(p: &mut Play) {
    moves(p, At::Voter);
}

fn moves(p: &mut Play, other: At) {
    p.open(0);
    let (a, e) = (p.at("a"), p.at("e"));
    p.create(0, &a, b"");
    p.create_as(0, OpCode::Create, &e, Some(b""), 1);
    p.step(Step::Drop(0));
    hears_of_it(p, other);
    p.open_as(
        1,
        other,
        Hello {
            seen: Seen::Nothing,
            ..Hello::again(0)
        },
    );
    p.set_data(1, &a, b"there");
    p.exists(1, &e, false);
    p.step(Step::Drop(1));
    p.open_as(
        2,
        At::Here,
        Hello {
            seen: Seen::Nothing,
            ..Hello::again(1)
        },
    );
    p.sync(2);
    p.get_data(2, &a, false);
    p.set_data(2, &a, b"here again");
    p.close(2);
    // A server that has not seen the end of the session yet would close the next connection instead.
    p.open_as(9, other, Hello::NEW);
    p.sync(9);
    p.open_as(
        3,
        other,
        Hello {
            seen: Seen::Nothing,
            ..Hello::again(2)
        },
    );
    p.end(3);
    // And the other way: made there, closed here.
    p.open_as(4, other, Hello::NEW);
    p.create_as(4, OpCode::Create, &e, Some(b""), 1);
    p.step(Step::Drop(4));
    hears_of_it(p, At::Here);
    p.open_as(
        5,
        At::Here,
        Hello {
            seen: Seen::Nothing,
            ..Hello::again(4)
        },
    );
    p.sync(5);
    p.exists(5, &e, false);
    p.delete(5, &e);
    p.close(5);
}

/// Waits until the server has heard of the session that is to move to it. One in Java that has not closes the
/// connection without a word, if sessions are local until they have ephemerals.
fn hears_of_it(p: &mut Play, at: At) {
    p.open_as(8, at, Hello::NEW);
    p.sync(8);
    p.step(Step::Drop(8));
}

fn write_after_move(p: &mut Play) {
    let a = p.at("a");
    for (c, other) in [(0, At::There), (10, At::Voter)] {
        p.open(c);
        p.create(c, &a, b"");
        p.open_as(
            c + 1,
            other,
            Hello {
                seen: Seen::Nothing,
                ..Hello::again(c)
            },
        );
        // Reads go on, a write does not.
        p.get_data(c, &a, true);
        p.send(
            c,
            OpCode::Create,
            &CreateRequest {
                path: bstr(&a),
                data: None,
                acl: Some(Acl::open()),
                flags: 0,
            },
        );
        p.end(c);
        p.delete(c + 1, &a);
        p.close(c + 1);
    }
}

/// The connection that the session has left is ended by the transaction that closes it.
fn closed_elsewhere(p: &mut Play) {
    for (c, other) in [(0, At::There), (10, At::Voter)] {
        p.open(c);
        p.open_as(
            c + 1,
            other,
            Hello {
                seen: Seen::Nothing,
                ..Hello::again(c)
            },
        );
        p.ping(c);
        p.close(c + 1);
        p.end(c);
    }
}

fn asked_after_move(p: &mut Play) {
    let a = p.at("a");
    p.open(0);
    p.create(0, &a, b"");
    p.open_as(
        1,
        At::There,
        Hello {
            seen: Seen::Nothing,
            ..Hello::again(0)
        },
    );
    p.sync(0);
    p.get_data(0, &a, true);
    p.set_data(1, &a, b"moved");
    p.step(Step::Event(0));
    p.get_data(0, &a, false);
    // A multi ends the connection too.
    let ops = vec![MultiOp::Delete(DeleteRequest {
        path: bstr(&a),
        version: -1,
    })];
    p.send(0, OpCode::Multi, &MultiRequest { ops });
    p.end(0);
    p.exists(1, &a, false);
    // And back: it is the other one now that has to go.
    p.open_as(
        2,
        At::Here,
        Hello {
            seen: Seen::Nothing,
            ..Hello::again(1)
        },
    );
    p.set_data(2, &a, b"back");
    p.send_body(1, OpCode::CloseSession.code(), []);
    p.end(2);
}

fn pipelined_in_vain(p: &mut Play) {
    for hello in [
        Hello {
            session: Whose::Unknown(7),
            password: Password::Computed(7),
            ..Hello::NEW
        },
        Hello {
            session: Whose::Unknown(7),
            ..Hello::NEW
        },
        Hello {
            seen: Seen::Future,
            ..Hello::NEW
        },
    ] {
        p.step(Step::Dial(0, At::Here));
        p.step(Step::Hold(0));
        p.step(Step::Hello(0, hello));
        p.send_body(0, OpCode::WhoAmI.code(), []);
        p.step(Step::Release(0));
        p.step(Step::Welcome(0));
        p.end(0);
    }
}

fn pipelined_auth(p: &mut Play) {
    let a = p.at("a");
    p.step(Step::Dial(0, At::Here));
    p.step(Step::Hello(0, Hello::NEW));
    let packet = AuthPacket {
        kind: 0,
        scheme: bstr("digest"),
        auth: Some(b"alice:pw"),
    };
    p.send(0, OpCode::Auth, &packet);
    let acl = Some(vec![Acl {
        perms: Perms::ALL,
        id: Id::new("auth", ""),
    }]);
    let create = CreateRequest {
        path: bstr(&a),
        data: None,
        acl,
        flags: 0,
    };
    p.send(0, OpCode::Create, &create);
    p.send_body(0, OpCode::WhoAmI.code(), []);
    p.step(Step::Welcome(0));
    p.replies(0);
    p.open(1);
    p.sync(1);
    p.get_data(1, &a, false);
    p.ask(0, OpCode::GetAcl, &GetAclRequest { path: bstr(&a) });
}

fn close_twice(p: &mut Play) {
    p.open(0);
    p.step(Step::Hold(0));
    p.send_body(0, OpCode::CloseSession.code(), []);
    p.send_body(0, OpCode::CloseSession.code(), []);
    p.send_body(0, OpCode::Ping.code(), []);
    p.step(Step::Release(0));
    p.end(0);
}

fn close_with_body(p: &mut Play) {
    p.open(0);
    p.send_body(0, OpCode::CloseSession.code(), *b"with a body");
    p.end(0);
}

fn ephemerals(p: &mut Play) {
    p.open(0);
    p.open(1);
    let e = p.at("e");
    p.create_as(0, OpCode::Create, &e, Some(b""), 1);
    p.step(Step::Drop(0));
    p.sync(1);
    p.exists(1, &e, true);
    p.open_as(
        2,
        At::Here,
        Hello {
            seen: Seen::Nothing,
            ..Hello::again(0)
        },
    );
    p.exists(2, &e, false);
    p.close(2);
    p.sync(1);
}

fn renegotiated(p: &mut Play) {
    p.open_as(
        0,
        At::Here,
        Hello {
            timeout: 8000,
            ..Hello::NEW
        },
    );
    for (c, timeout) in [(1, 3000), (2, -5), (3, 60_000)] {
        p.open_as(
            c,
            At::Here,
            Hello {
                timeout,
                ..Hello::again(c - 1)
            },
        );
        p.ping(c);
    }
}

fn pipelined(p: &mut Play) {
    let a = p.at("a");
    p.step(Step::Dial(0, At::Here));
    p.step(Step::Hello(0, Hello::NEW));
    let create = CreateRequest {
        path: bstr(&a),
        data: Some(b"x"),
        acl: Some(Acl::open()),
        flags: 0,
    };
    p.send(0, OpCode::Create, &create);
    p.send(
        0,
        OpCode::GetData,
        &GetDataRequest {
            path: bstr(&a),
            watch: true,
        },
    );
    p.send_body(0, OpCode::Ping.code(), []);
    p.send_body(0, OpCode::CloseSession.code(), []);
    p.step(Step::Welcome(0));
    p.end(0);
    // In one piece, with a piece of the next.
    p.step(Step::Dial(1, At::Here));
    p.step(Step::Hello(1, Hello::NEW));
    let whole = Request {
        xid: 5,
        op: OpCode::Ping.code(),
        body: Vec::new(),
    };
    p.step(Step::Sent(1, whole.clone()));
    let whole = whole.frame();
    p.step(Step::Raw(1, whole[..3].to_vec()));
    p.step(Step::Welcome(1));
    p.step(Step::Raw(1, whole[3..].to_vec()));
    p.ping(1);
}
