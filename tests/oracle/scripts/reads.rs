//! Good requests that are answered from the tree.

use outpost_wire::proto::{
    AddWatchRequest, CheckWatchesRequest, GetAclRequest, GetAllChildrenNumberRequest,
    GetChildrenRequest, GetEphemeralsRequest, RemoveWatchesRequest, SyncRequest,
};
use outpost_wire::{Acl, Id, OpCode, Perms};

use crate::script::{Play, Script, bstr};

pub(crate) const SCRIPTS: &[Script] = &[
    Script::both(
        "exists_get_data_and_children_answer_alike",
        data_and_children,
    ),
    Script::both("null_and_empty_data_stay_apart", null_and_empty),
    Script::both("a_missing_znode_is_missing_to_every_read", missing),
    Script::both(
        "get_acl_shows_digests_only_to_those_who_administrate",
        get_acl,
    ),
    Script::both(
        "a_znode_that_may_not_be_read_is_refused_by_every_read",
        forbidden,
    ),
    Script::both("ephemerals_are_listed_by_prefix_of_their_text", ephemerals),
    Script::alone(
        "all_descendants_are_counted_at_the_root_too",
        all_children_number,
    ),
    Script::alone("the_root_has_two_names", root),
    Script::both("the_znodes_of_the_server_itself_read_alike", system_znodes),
    Script::both("odd_paths_are_just_names_to_reads", odd_paths),
    Script::both("sync_echoes_any_path", sync),
    Script::both("check_and_remove_watches_know_all_types", check_and_remove),
    Script::alone("add_watch_takes_its_two_modes", add_watch),
    Script::both("large_data_comes_back_whole", large),
];

fn data_and_children(p: &mut Play) {
    p.open(0);
    let (top, a) = (p.at(""), p.at("a"));
    p.create(0, &a, b"one");
    for path in [&top, &a] {
        p.exists(0, path, false);
        p.get_data(0, path, false);
        p.get_children(0, path, false);
        p.ask(
            0,
            OpCode::GetChildren,
            &GetChildrenRequest {
                path: bstr(path),
                watch: false,
            },
        );
        p.ask(0, OpCode::GetAcl, &GetAclRequest { path: bstr(path) });
        p.ask(
            0,
            OpCode::GetAllChildrenNumber,
            &GetAllChildrenNumberRequest { path: bstr(path) },
        );
    }
    for name in ["b", "c", "a/x", "a/y"] {
        let path = p.at(name);
        p.create(0, &path, name.as_bytes());
    }
    p.set_data(0, &a, b"two, longer");
    p.delete(0, &p.at("a/x"));
    p.get_children(0, &top, false);
    p.get_children(0, &a, false);
    p.get_data(0, &a, false);
    p.ask(
        0,
        OpCode::GetAllChildrenNumber,
        &GetAllChildrenNumberRequest { path: bstr(&top) },
    );
    p.close(0);
}

fn null_and_empty(p: &mut Play) {
    p.open(0);
    let (null, empty) = (p.at("null"), p.at("empty"));
    p.create_as(0, OpCode::Create, &null, None, 0);
    p.create_as(0, OpCode::Create, &empty, Some(b""), 0);
    p.get_data(0, &null, false);
    p.get_data(0, &empty, false);
    p.exists(0, &null, false);
    p.close(0);
}

fn missing(p: &mut Play) {
    p.open(0);
    every_read(p, &p.at("missing"));
    p.ping(0);
    p.close(0);
}

fn every_read(p: &mut Play, path: &str) {
    for watch in [false, true] {
        p.exists(0, path, watch);
        p.get_data(0, path, watch);
        p.get_children(0, path, watch);
        p.ask(
            0,
            OpCode::GetChildren,
            &GetChildrenRequest {
                path: bstr(path),
                watch,
            },
        );
    }
    p.ask(0, OpCode::GetAcl, &GetAclRequest { path: bstr(path) });
    p.ask(
        0,
        OpCode::GetAllChildrenNumber,
        &GetAllChildrenNumberRequest { path: bstr(path) },
    );
    for kind in 1..=5 {
        p.ask(
            0,
            OpCode::CheckWatches,
            &CheckWatchesRequest {
                path: bstr(path),
                kind,
            },
        );
    }
}

fn entry(perms: Perms, scheme: &str, id: &str) -> Acl {
    Acl {
        perms,
        id: Id::new(scheme, id),
    }
}

fn get_acl(p: &mut Play) {
    p.open(0);
    p.open(1);
    let a = p.at("a");
    p.create(0, &a, b"");
    p.auth(0, "digest", b"alice:pw");
    let acl = vec![
        entry(Perms::ALL, "digest", "alice:V55/p2T0OpjQ+low3NVAH4aLvm0="),
        entry(Perms::READ, "digest", "bob:b:b"),
        entry(Perms::READ, "world", "anyone"),
        entry(Perms::WRITE, "ip", "127.0.0.1"),
        entry(Perms::WRITE, "ip", "10.0.0.0/8"),
    ];
    p.protect(0, &a, &acl);
    let acl: Vec<Acl> = acl
        .into_iter()
        .filter(|entry| entry.id.id != "bob:b:b")
        .collect();
    p.protect(0, &a, &acl);
    p.sync(1);
    for c in [0, 1] {
        p.ask(c, OpCode::GetAcl, &GetAclRequest { path: bstr(&a) });
    }
    // Neither reader nor administrator; then administrator alone; then reader by address.
    for acl in [
        entry(Perms::ALL, "digest", "alice:V55/p2T0OpjQ+low3NVAH4aLvm0="),
        entry(Perms::ADMIN, "world", "anyone"),
        entry(Perms::READ.or(Perms::ADMIN), "ip", "127.0.0.1"),
        entry(Perms::WRITE, "world", "anyone"),
    ] {
        p.protect(0, &a, &[acl]);
        p.sync(1);
        for c in [0, 1] {
            p.ask(c, OpCode::GetAcl, &GetAclRequest { path: bstr(&a) });
            p.exists(c, &a, false);
        }
    }
    p.auth(1, "digest", b"super:secret");
    p.ask(1, OpCode::GetAcl, &GetAclRequest { path: bstr(&a) });
    p.get_data(1, &a, false);
}

fn forbidden(p: &mut Play) {
    p.open(0);
    p.open(1);
    let a = p.at("a");
    p.create(1, &a, b"secret");
    p.auth(1, "digest", b"alice:pw");
    let acl = [entry(Perms::ALL, "auth", "")];
    p.protect(1, &a, &acl);
    p.sync(0);
    every_read(p, &a);
    // The watches were not left.
    p.set_data(1, &a, b"more");
    p.sync(0);
    p.ping(0);
    p.set_data(0, &a, b"mine");
    p.delete(0, &a);
    let acl = Acl::open();
    p.protect(0, &a, &acl);
    p.create(0, &format!("{a}/child"), b"");
    p.auth(0, "digest", b"alice:pw");
    every_read(p, &a);
}

fn ephemerals(p: &mut Play) {
    p.open(0);
    p.open(1);
    for name in ["e1", "e2", "other"] {
        let path = p.at(name);
        p.create_as(0, OpCode::Create, &path, Some(b""), 1);
    }
    let path = p.at("of1");
    p.create_as(1, OpCode::Create2, &path, Some(b""), 1);
    p.sync(0);
    let (top, e, slash) = (p.at(""), p.at("e"), format!("{}/", p.at("")));
    let blank = format!("  {e} ");
    let nothing = p.at("nothing");
    for prefix in [
        "", "/", " ", "  / ", "\t\n", &top, &slash, &e, &blank, &nothing, "e",
    ] {
        let prefix_path = Some(bstr(prefix));
        p.ask(
            0,
            OpCode::GetEphemerals,
            &GetEphemeralsRequest { prefix_path },
        );
        p.ask(
            1,
            OpCode::GetEphemerals,
            &GetEphemeralsRequest { prefix_path },
        );
    }
    p.ask(
        0,
        OpCode::GetEphemerals,
        &GetEphemeralsRequest { prefix_path: None },
    );
    p.close(0);
    p.sync(1);
    p.get_children(1, &top, false);
}

fn all_children_number(p: &mut Play) {
    p.open(0);
    for name in ["a", "a/b", "a/b/c", "ab", "a-"] {
        let path = p.at(name);
        p.create(0, &path, b"");
    }
    for path in [
        "/",
        "",
        &p.at(""),
        &p.at("a"),
        &p.at("a/b/c"),
        "/zookeeper",
        "/zookeeper/",
    ] {
        p.ask(
            0,
            OpCode::GetAllChildrenNumber,
            &GetAllChildrenNumberRequest { path: bstr(path) },
        );
    }
}

fn root(p: &mut Play) {
    p.open(0);
    for path in ["/", ""] {
        p.get_data(0, path, false);
        p.exists(0, path, false);
        p.ask(0, OpCode::GetAcl, &GetAclRequest { path: bstr(path) });
        p.get_data(0, path, true);
        p.get_children(0, path, true);
        for kind in 1..=5 {
            p.ask(
                0,
                OpCode::CheckWatches,
                &CheckWatchesRequest {
                    path: bstr(path),
                    kind,
                },
            );
        }
    }
    p.set_data(0, "/", b"");
    p.ping(0);
}

fn system_znodes(p: &mut Play) {
    p.open(0);
    for path in ["/zookeeper", "/zookeeper/config", "/zookeeper/quota"] {
        p.exists(0, path, false);
        p.get_children(0, path, false);
        p.ask(0, OpCode::GetAcl, &GetAclRequest { path: bstr(path) });
    }
    p.get_data(0, "/zookeeper", false);
    p.get_data(0, "/zookeeper/config", false);
}

fn odd_paths(p: &mut Play) {
    p.open(0);
    let top = p.at("");
    p.create(0, &p.at("a"), b"");
    for path in [
        "",
        "//",
        ".",
        "relative",
        "/./",
        &format!("{top}/"),
        &format!("{top}/a/"),
        &format!("{top}//a"),
        &format!("{top}/../a"),
        &format!("{top}/\u{1F600}"),
        &format!("{top}/\0"),
        &format!("{top}/a\0"),
    ] {
        p.exists(0, path, false);
        if !path.is_empty() {
            p.get_data(0, path, false);
            p.get_children(0, path, false);
            p.ask(0, OpCode::GetAcl, &GetAclRequest { path: bstr(path) });
            p.ask(
                0,
                OpCode::GetAllChildrenNumber,
                &GetAllChildrenNumberRequest { path: bstr(path) },
            );
        }
    }
    p.ping(0);
}

fn sync(p: &mut Play) {
    p.open(0);
    for path in [
        "/",
        "",
        "relative",
        "/missing",
        "//",
        "/a/",
        "/\0",
        "/\u{20ac}",
    ] {
        p.ask(0, OpCode::Sync, &SyncRequest { path: bstr(path) });
    }
    p.ask_body(0, OpCode::Sync.code(), [0xff; 4]);
    p.close(0);
}

/// Watches of every kind at paths of their own, checked with every type, then removed with every type.
fn check_and_remove(p: &mut Play) {
    const TYPES: [i32; 9] = [1, 2, 3, 4, 5, 0, 6, -1, i32::MAX];
    for kind in TYPES {
        p.open(0);
        for name in ["data", "child", "exist", "persistent", "recursive", "all"] {
            let path = p.at(name);
            if name != "exist" {
                p.create(0, &path, b"");
            }
            if matches!(name, "data" | "all") {
                p.get_data(0, &path, true);
            }
            if matches!(name, "child" | "all") {
                p.get_children(0, &path, true);
            }
            if matches!(name, "exist" | "all") {
                p.exists(0, &path, true);
            }
            if matches!(name, "persistent" | "all") {
                p.ask(
                    0,
                    OpCode::AddWatch,
                    &AddWatchRequest {
                        path: bstr(&path),
                        mode: 0,
                    },
                );
            }
            if matches!(name, "recursive" | "all") {
                p.ask(
                    0,
                    OpCode::AddWatch,
                    &AddWatchRequest {
                        path: bstr(&path),
                        mode: 1,
                    },
                );
            }
            for kind in TYPES {
                p.ask(
                    0,
                    OpCode::CheckWatches,
                    &CheckWatchesRequest {
                        path: bstr(&path),
                        kind,
                    },
                );
            }
            let below = format!("{path}/below");
            p.ask(
                0,
                OpCode::CheckWatches,
                &CheckWatchesRequest {
                    path: bstr(&below),
                    kind,
                },
            );
            p.ask(
                0,
                OpCode::RemoveWatches,
                &RemoveWatchesRequest {
                    path: bstr(&below),
                    kind,
                },
            );
            p.ask(
                0,
                OpCode::RemoveWatches,
                &RemoveWatchesRequest {
                    path: bstr(&path),
                    kind,
                },
            );
            p.ask(
                0,
                OpCode::RemoveWatches,
                &RemoveWatchesRequest {
                    path: bstr(&path),
                    kind,
                },
            );
            for kind in 1..=5 {
                p.ask(
                    0,
                    OpCode::CheckWatches,
                    &CheckWatchesRequest {
                        path: bstr(&path),
                        kind,
                    },
                );
            }
            // Only what is left fires.
            match name {
                "exist" => p.create(0, &path, b""),
                _ => p.create(0, &below, b""),
            }
            p.set_data(0, &path, b"x");
        }
        p.close(0);
        p.open(1);
        for name in ["data", "child", "exist", "persistent", "recursive", "all"] {
            let path = p.at(name);
            p.delete(1, &format!("{path}/below"));
            p.delete(1, &path);
        }
        p.close(1);
    }
}

fn add_watch(p: &mut Play) {
    p.open(0);
    let (a, missing) = (p.at("a"), p.at("missing"));
    p.create(0, &a, b"");
    for mode in [0, 1, 2, -1, 5, i32::MIN] {
        for path in [
            a.as_str(),
            &missing,
            "",
            "relative",
            "/",
            "/x/",
            "/\0",
            "/\u{1F600}",
        ] {
            p.ask(
                0,
                OpCode::AddWatch,
                &AddWatchRequest {
                    path: bstr(path),
                    mode,
                },
            );
        }
    }
    for kind in 1..=5 {
        p.ask(
            0,
            OpCode::CheckWatches,
            &CheckWatchesRequest {
                path: bstr(&missing),
                kind,
            },
        );
    }
}

fn large(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    let data: Vec<u8> = (0..1_000_000_u32)
        .map(|byte| byte.to_be_bytes()[3])
        .collect();
    p.create(0, &a, &data);
    p.get_data(0, &a, false);
    p.exists(0, &a, false);
    p.set_data(0, &a, b"");
    p.close(0);
}
