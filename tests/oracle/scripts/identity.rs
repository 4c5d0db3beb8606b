//! Who a client is.

use bstr::BStr;
use outpost_wire::proto::{AuthPacket, GetAclRequest, GetSaslRequest, SyncRequest};
use outpost_wire::{Acl, Id, OpCode, Perms, Record};

use crate::script::{Play, Script, Step, bstr};
use crate::scripts::writes::set_acl;

pub(crate) const SCRIPTS: &[Script] = &[
    Script::both("who_am_i_lists_every_identity", who_am_i),
    Script::both("auth_that_fails_ends_the_connection", auth_fails),
    Script::both("an_auth_packet_without_a_scheme_fails", null_scheme),
    Script::both(
        "a_sasl_step_that_cannot_be_read_ends_the_connection",
        odd_sasl,
    ),
    Script::both("text_is_handed_on_as_it_came", text),
    Script::both("every_permission_opens_what_it_names", permissions),
    Script::both("addresses_and_ranges_match_alike", addresses),
    Script::both("auth_echoes_any_number", auth_xid),
    Script::both("auth_in_pieces", auth_truncated),
    Script::both("sasl_is_answered_without_a_configuration", sasl),
    Script::both("super_may_do_everything", superuser),
];

const WHO_AM_I: i32 = 107;

fn who_am_i(p: &mut Play) {
    p.open(0);
    p.ask_body(0, WHO_AM_I, []);
    for (scheme, auth) in [
        ("digest", &b"alice:pw"[..]),
        ("digest", b"alice:pw"),
        ("digest", b"alice:other"),
        ("digest", b"nocolon"),
        ("digest", b":"),
        ("digest", b":onlypassword"),
        ("digest", b"a:b:c"),
        ("digest", b"\xc3\xa9\xe2\x82\xac:pw"),
        ("digest", b"\xff\xfe:pw"),
        ("digest", b""),
        ("ip", b"10.0.0.1"),
        ("ip", b""),
        ("digest", b"super:wrong"),
        ("digest", b"super:secret"),
    ] {
        p.auth(0, scheme, auth);
        p.ask_body(0, WHO_AM_I, []);
    }
    p.ask_body(0, WHO_AM_I, *b"with a body");
    p.close(0);
}

fn auth_fails(p: &mut Play) {
    for scheme in [
        "world", "auth", "super", "sasl", "x509", "ensemble", "", "Digest", "nonsense",
    ] {
        p.open(0);
        p.send(
            0,
            OpCode::Auth,
            &AuthPacket {
                kind: 0,
                scheme: bstr(scheme),
                auth: Some(b"a:b"),
            },
        );
        p.end(0);
    }
}

fn null_scheme(p: &mut Play) {
    p.open(0);
    let mut body = 0_i32.to_be_bytes().to_vec();
    body.extend([0xff; 4]);
    body.extend([0xff; 4]);
    p.send_body(0, OpCode::Auth.code(), body);
    p.end(0);
}

fn auth_xid(p: &mut Play) {
    p.open(0);
    let packet = AuthPacket {
        kind: 7,
        scheme: bstr("digest"),
        auth: Some(b"a:b"),
    };
    for xid in [5, 0, -1, -2, -8, i32::MIN] {
        p.send_as(0, xid, OpCode::Auth.code(), packet.encode());
        p.replies(0);
    }
    let mut body = packet.encode();
    body.extend_from_slice(b"more");
    p.ask_body(0, OpCode::Auth.code(), body);
    p.ping(0);
}

fn auth_truncated(p: &mut Play) {
    let packet = AuthPacket {
        kind: 0,
        scheme: bstr("digest"),
        auth: Some(b"a:b"),
    };
    let whole = packet.encode();
    for length in 0..whole.len() {
        p.open(0);
        p.send_body(0, OpCode::Auth.code(), &whole[..length]);
        p.end(0);
    }
    p.open(0);
    p.ask(
        0,
        OpCode::Auth,
        &AuthPacket {
            kind: 0,
            scheme: bstr("ip"),
            auth: None,
        },
    );
    p.step(Step::Hold(0));
    p.send(
        0,
        OpCode::Auth,
        &AuthPacket {
            kind: 0,
            scheme: bstr("digest"),
            auth: None,
        },
    );
    p.send_body(0, OpCode::Ping.code(), []);
    p.step(Step::Release(0));
    p.replies(0);
}

fn sasl(p: &mut Play) {
    p.open(0);
    for token in [&b""[..], b"token", b"another"] {
        p.ask(0, OpCode::Sasl, &GetSaslRequest { token: Some(token) });
    }
    p.ping(0);
}

fn odd_sasl(p: &mut Play) {
    let null = GetSaslRequest { token: None }.encode();
    let whole = GetSaslRequest {
        token: Some(b"token"),
    }
    .encode();
    for body in [&null[..], &whole[..0], &whole[..3], &whole[..6]] {
        p.open(0);
        p.step(Step::Hold(0));
        p.send_body(0, OpCode::Sasl.code(), body);
        p.send_body(0, OpCode::Ping.code(), []);
        p.step(Step::Release(0));
        p.replies(0);
    }
}

fn superuser(p: &mut Play) {
    p.open(0);
    p.open(1);
    let a = p.at("a");
    p.create(0, &a, b"");
    let nobody = [Acl {
        perms: Perms(0),
        id: Id::anyone(),
    }];
    p.protect(0, &a, &nobody);
    p.get_data(0, &a, false);
    p.set_data(0, &a, b"x");
    p.auth(1, "digest", b"super:secret");
    p.sync(1);
    p.get_data(1, &a, true);
    p.set_data(1, &a, b"x");
    p.protect(1, &a, &Acl::open());
    p.set_data(0, &a, b"y");
    p.close(1);
}

/// Java decodes and encodes again what it only hands on.
fn text(p: &mut Play) {
    p.open(0);
    for path in [
        &b"/\xf0\x9f\x98\x80"[..],
        b"/\xff",
        b"/\xc3",
        b"/\xed\xa0\x80\xed\xb0\x80",
        b"/\xc0\x80",
    ] {
        let path = BStr::new(path);
        p.ask(0, OpCode::Sync, &SyncRequest { path });
    }
    p.auth(0, "digest", b"\xf0\x9f\x98\x80:pw");
    p.ask_body(0, WHO_AM_I, []);
    let a = p.at("a");
    p.create(0, &a, b"");
    let acl = [
        Acl {
            perms: Perms::READ,
            id: Id::new("digest", "\u{1F600}:x"),
        },
        Acl {
            perms: Perms::ALL,
            id: Id::anyone(),
        },
    ];
    p.ask(0, OpCode::SetAcl, &set_acl(&a, &acl));
    p.ask(0, OpCode::GetAcl, &GetAclRequest { path: bstr(&a) });
}

fn permissions(p: &mut Play) {
    p.open(0);
    p.open(1);
    p.auth(0, "digest", b"super:secret");
    let (a, child) = (p.at("a"), p.at("a/child"));
    p.create(0, &a, b"");
    for perms in 0..32 {
        let acl = [Acl {
            perms: Perms(perms),
            id: Id::anyone(),
        }];
        p.protect(0, &a, &acl);
        p.sync(1);
        p.get_data(1, &a, true);
        p.exists(1, &a, false);
        p.get_children(1, &a, true);
        p.ask(1, OpCode::GetAcl, &GetAclRequest { path: bstr(&a) });
        p.set_data(1, &a, b"x");
        p.create(1, &child, b"");
        p.delete(1, &child);
        p.ask(1, OpCode::SetAcl, &set_acl(&a, &acl));
        p.delete(0, &child);
        p.sync(1);
    }
}

fn addresses(p: &mut Play) {
    p.open(0);
    p.open(1);
    p.auth(0, "digest", b"super:secret");
    let a = p.at("a");
    p.create(0, &a, b"");
    for id in [
        "127.0.0.1",
        "127.0.0.1/32",
        "127.0.0.1/31",
        "127.0.0.0/8",
        "127.255.255.255/8",
        "126.0.0.0/7",
        "128.0.0.0/8",
        "0.0.0.0/0",
        "255.255.255.255/0",
        "0.0.0.0/1",
        "127.0.0.2",
        "10.0.0.0/8",
        "127.0.0.01",
        "::1",
        "::/0",
        "::ffff:127.0.0.1",
        "0:0:0:0:0:0:0:1",
        "fe80::/10",
        "localhost",
        "127.1",
        "127.0.0.1/",
        "/8",
        "127.0.0.1/33",
        "127.0.0.1/-1",
        "127.0.0.1/8/8",
        " 127.0.0.1",
        "127.0.0.1/ 8",
        "127.0.0.1/+8",
    ] {
        let acl = [Acl {
            perms: Perms::READ,
            id: Id::new("ip", id),
        }];
        p.protect(0, &a, &acl);
        p.sync(1);
        p.get_data(1, &a, false);
        p.ask(0, OpCode::GetAcl, &GetAclRequest { path: bstr(&a) });
    }
    for (scheme, id) in [("world", "anyone"), ("digest", "bob:x"), ("digest", ":x")] {
        let acl = [Acl {
            perms: Perms::READ,
            id: Id::new(scheme, id),
        }];
        p.protect(0, &a, &acl);
        p.sync(1);
        p.get_data(1, &a, false);
    }
}
