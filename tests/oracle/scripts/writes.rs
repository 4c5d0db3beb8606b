//! Writes, good ones and those that the leader refuses in the ordinary way.

use outpost_wire::proto::{
    CreateRequest, CreateTtlRequest, DeleteRequest, ReconfigRequest, SetAclRequest, SetDataRequest,
};
use outpost_wire::{Acl, Id, OpCode, Perms};

use crate::hazard::LIMITS;
use crate::script::{Play, Script, bstr};

pub(crate) const SCRIPTS: &[Script] = &[
    Script::both(
        "every_create_mode_of_every_create_is_answered_alike",
        create_modes,
    ),
    Script::both(
        "a_create_that_the_leader_refuses_is_refused_alike",
        refused_creates,
    ),
    Script::both("sequential_names_count_on", sequential),
    Script::both("delete_set_data_and_set_acl_mind_versions", versions),
    Script::both("odd_paths_of_writes_are_refused_alike", odd_paths),
    Script::both("acls_that_cannot_be_are_refused_alike", invalid_acls),
    Script::both(
        "acls_are_stored_as_the_leader_rewrites_them",
        rewritten_acls,
    ),
    Script::both("ephemerals_have_an_owner_and_no_children", ephemerals),
    Script::both("the_system_znodes_resist", system_znodes),
    Script::both("what_a_quota_counts_is_the_same", quota),
    Script::both("reconfig_is_refused_while_it_is_disabled", reconfig),
];

/// A setACL of any version.
pub(crate) fn set_acl<'a>(path: &'a str, acl: &[Acl]) -> SetAclRequest<'a> {
    SetAclRequest {
        path: bstr(path),
        acl: Some(acl.to_vec()),
        version: -1,
    }
}

fn ttl(path: &str, flags: i32, ttl: i64) -> CreateTtlRequest<'_> {
    CreateTtlRequest {
        path: bstr(path),
        data: Some(b"t"),
        acl: Some(Acl::open()),
        flags,
        ttl,
    }
}

fn create_modes(p: &mut Play) {
    p.open(0);
    for op in [OpCode::Create, OpCode::Create2] {
        for flags in 0..=3 {
            let path = p.at(&format!("{op:?}-{flags}-"));
            p.create_as(0, op, &path, Some(b"data"), flags);
            p.create_as(0, op, &path, None, flags);
        }
    }
    let container = p.at("container");
    p.create_as(0, OpCode::CreateContainer, &container, Some(b"c"), 4);
    p.create(0, &format!("{container}/child"), b"");
    p.exists(0, &container, false);
    for flags in [5, 6] {
        let path = p.at(&format!("ttl-{flags}-"));
        p.ask(0, OpCode::CreateTtl, &ttl(&path, flags, 3_600_000));
        p.exists(0, &path, false);
    }
    let path = p.at("ttl-longest");
    p.ask(0, OpCode::CreateTtl, &ttl(&path, 5, 0xff_ffff_ffff));
    p.get_children(0, &p.at(""), false);
    p.close(0);
}

fn refused_creates(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.create(0, &a, b"");
    for op in [OpCode::Create, OpCode::Create2] {
        p.create_as(0, op, &a, Some(b""), 0);
        p.create_as(0, op, &p.at("no/parent"), Some(b""), 0);
        for flags in [5, 6, 7, -1, 100, i32::MAX, i32::MIN] {
            p.create_as(0, op, &p.at("x"), Some(b""), flags);
        }
        for acl in [None, Some(Vec::new())] {
            let path = p.at("x");
            let request = CreateRequest {
                path: bstr(&path),
                data: None,
                acl,
                flags: 0,
            };
            p.ask(0, op, &request);
        }
    }
    p.create_as(0, OpCode::CreateContainer, &a, Some(b""), 4);
    for (flags, millis) in [
        (5, 0),
        (5, -1),
        (6, 0),
        (5, 0x100_0000_0000),
        (6, i64::MAX),
        (5, i64::MIN),
    ] {
        p.ask(0, OpCode::CreateTtl, &ttl(&p.at("x"), flags, millis));
    }
    p.ask(0, OpCode::CreateTtl, &ttl(&a, 5, 1000));
    p.get_children(0, &p.at(""), false);
}

fn sequential(p: &mut Play) {
    p.open(0);
    let top = p.at("");
    for name in ["s-", "", "s-", "other"] {
        let path = format!("{top}/{name}");
        p.create_as(0, OpCode::Create, &path, Some(b""), 2);
    }
    p.delete(0, &p.at("s-0000000000"));
    p.create_as(0, OpCode::Create2, &p.at("s-"), Some(b""), 3);
    p.get_children(0, &top, false);
    p.close(0);
}

fn versions(p: &mut Play) {
    p.open(0);
    let (a, missing) = (p.at("a"), p.at("missing"));
    p.create(0, &a, b"");
    for path in [&a, &missing] {
        for version in [0, 0, 1, 7, -1, -2, i32::MIN] {
            let request = SetDataRequest {
                path: bstr(path),
                data: Some(b"d"),
                version,
            };
            p.ask(0, OpCode::SetData, &request);
            let request = SetDataRequest {
                path: bstr(path),
                data: None,
                version,
            };
            p.ask(0, OpCode::SetData, &request);
            let request = SetAclRequest {
                path: bstr(path),
                acl: Some(Acl::open()),
                version,
            };
            p.ask(0, OpCode::SetAcl, &request);
        }
    }
    p.create(0, &format!("{a}/child"), b"");
    for path in [&a, &format!("{a}/child"), &a, &missing] {
        for version in [99, -2, -1] {
            p.ask(
                0,
                OpCode::Delete,
                &DeleteRequest {
                    path: bstr(path),
                    version,
                },
            );
        }
    }
    p.get_children(0, &p.at(""), false);
}

fn odd_paths(p: &mut Play) {
    p.open(0);
    let top = p.at("");
    p.create(0, &p.at("a"), b"");
    for path in [
        "",
        "relative",
        ".",
        "//",
        &format!("{top}/a/"),
        &format!("{top}//b"),
        &format!("{top}/./b"),
        &format!("{top}/../b"),
        &format!("{top}/b\0"),
        &format!("{top}/\u{1}"),
        &format!("{top}/\u{7f}"),
        &format!("{top}/\u{e9}"),
        &format!("{top}/\u{1F600}"),
        &format!("{top}/\u{fff0}"),
        &format!("{top}/ b "),
    ] {
        for op in [OpCode::Create, OpCode::Create2] {
            p.create_as(0, op, path, Some(b""), 0);
        }
        p.create_as(0, OpCode::CreateContainer, path, Some(b""), 4);
        p.ask(0, OpCode::CreateTtl, &ttl(path, 5, 1_000_000));
        p.set_data(0, path, b"d");
        p.ask(0, OpCode::SetAcl, &set_acl(path, &Acl::open()));
        p.delete(0, path);
    }
    // Not UTF-8.
    let mut path = top.clone().into_bytes();
    path.extend_from_slice(b"/\xff\xfe");
    let path = bstr::BStr::new(&path);
    let request = CreateRequest {
        path,
        data: None,
        acl: Some(Acl::open()),
        flags: 0,
    };
    p.ask(0, OpCode::Create, &request);
    p.ask(
        0,
        OpCode::SetData,
        &SetDataRequest {
            path,
            data: None,
            version: -1,
        },
    );
    p.ask(0, OpCode::Delete, &DeleteRequest { path, version: -1 });
    p.get_children(0, &top, false);
}

fn entry(perms: i32, scheme: &str, id: &str) -> Acl {
    Acl {
        perms: Perms(perms),
        id: Id::new(scheme, id),
    }
}

fn invalid_acls(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.create(0, &a, b"");
    for (scheme, id) in [
        ("world", ""),
        ("world", "somebody"),
        ("auth", ""),
        ("digest", "a"),
        ("digest", "a:"),
        ("digest", "a:b:c"),
        ("ip", "not an address"),
        ("ip", "1.2.3.4/33"),
        ("ip", "1.2.3.4/-1"),
        ("super", ""),
        ("sasl", "user"),
        ("x509", "CN=x"),
        ("", ""),
        ("nonsense", "x"),
    ] {
        p.ask(0, OpCode::SetAcl, &set_acl(&a, &[entry(31, scheme, id)]));
        let (path, acl) = (p.at("x"), Some(vec![entry(31, scheme, id)]));
        p.ask(
            0,
            OpCode::Create,
            &CreateRequest {
                path: bstr(&path),
                data: None,
                acl,
                flags: 0,
            },
        );
        // One that is good does not save it.
        p.ask(
            0,
            OpCode::SetAcl,
            &set_acl(&a, &[entry(31, "world", "anyone"), entry(1, scheme, id)]),
        );
    }
    for acl in [None, Some(Vec::new())] {
        p.ask(
            0,
            OpCode::SetAcl,
            &SetAclRequest {
                path: bstr(&a),
                acl,
                version: -1,
            },
        );
    }
    p.get_children(0, &p.at(""), false);
}

fn rewritten_acls(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.create(0, &a, b"");
    // One only: the leader puts several in any order.
    p.auth(0, "digest", b"alice:pw");
    for acl in [
        vec![entry(31, "auth", "")],
        vec![entry(31, "auth", "ignored"), entry(1, "world", "anyone")],
        vec![
            entry(1, "world", "anyone"),
            entry(1, "world", "anyone"),
            entry(3, "world", "anyone"),
        ],
        vec![entry(0, "world", "anyone")],
        vec![entry(-1, "world", "anyone")],
        vec![entry(64, "ip", "::1"), entry(31, "ip", "127.0.0.0/8")],
        vec![entry(31, "digest", "\u{e9}:\u{20ac}")],
    ] {
        p.protect(0, &a, &acl);
        p.ask(
            0,
            OpCode::GetAcl,
            &outpost_wire::proto::GetAclRequest { path: bstr(&a) },
        );
    }
}

fn ephemerals(p: &mut Play) {
    p.open(0);
    p.open(1);
    let e = p.at("e");
    p.create_as(0, OpCode::Create2, &e, Some(b""), 1);
    p.create(0, &format!("{e}/child"), b"");
    p.create_as(1, OpCode::Create, &e, Some(b""), 1);
    p.set_data(1, &e, b"by another");
    p.exists(0, &e, false);
    p.close(0);
    p.sync(1);
    p.exists(1, &e, false);
    p.close(1);
}

fn system_znodes(p: &mut Play) {
    p.open(0);
    for path in [
        "/",
        "",
        "/zookeeper",
        "/zookeeper/quota",
        "/zookeeper/config",
    ] {
        p.delete(0, path);
    }
    p.create(0, "/", b"");
    p.create(0, "/zookeeper", b"");
    p.set_data(0, "/zookeeper/config", b"mine");
    p.ask(
        0,
        OpCode::SetAcl,
        &set_acl("/zookeeper/config", &Acl::open()),
    );
    p.create(0, "/zookeeper/config/child", b"");
}

fn reconfig(p: &mut Play) {
    p.open(0);
    for text in [
        None,
        Some(""),
        Some("server.9=localhost:1:2:participant;3"),
        Some("nonsense"),
    ] {
        for joining in [true, false] {
            let (joining_servers, new_members) = match joining {
                true => (text.map(bstr), None),
                false => (None, text.map(bstr)),
            };
            let request = ReconfigRequest {
                joining_servers,
                leaving_servers: None,
                new_members,
                cur_config_id: -1,
            };
            p.ask(0, OpCode::Reconfig, &request);
        }
    }
    p.auth(0, "digest", b"super:secret");
    let request = ReconfigRequest {
        joining_servers: None,
        leaving_servers: Some(bstr("3")),
        new_members: None,
        cur_config_id: -1,
    };
    p.ask(0, OpCode::Reconfig, &request);
}

/// All servers count for themselves: the text is no transaction's.
fn quota(p: &mut Play) {
    p.open(0);
    let top = p.at("");
    let quota = format!("/zookeeper/quota{top}");
    let limits = format!("{quota}/zookeeper_limits");
    let stats = format!("{quota}/zookeeper_stats");
    p.create(0, &p.at("before"), b"12345");
    p.create(0, &quota, b"");
    p.create(0, &limits, LIMITS);
    p.create(0, &stats, LIMITS);
    p.get_data(0, &stats, true);
    let a = p.at("a");
    p.create(0, &a, b"123");
    p.get_data(0, &stats, true);
    p.set_data(0, &a, b"1234567");
    p.get_data(0, &stats, false);
    p.create(0, &format!("{a}/b"), b"x");
    p.delete(0, &format!("{a}/b"));
    p.create_as(0, OpCode::Create, &p.at("null"), None, 0);
    p.create_as(0, OpCode::Create, &p.at("e"), Some(b"gone soon"), 1);
    p.get_data(0, &stats, false);
    p.set_data(0, &limits, LIMITS);
    p.get_data(0, &limits, false);
    p.close(0);
    p.open(1);
    p.get_data(1, &stats, false);
    p.delete(1, &limits);
    p.create(1, &p.at("after"), b"1");
    p.get_data(1, &stats, false);
    p.delete(1, &stats);
    p.delete(1, &quota);
}
