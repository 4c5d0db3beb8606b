//! Watches of all kinds, and the events that come of them.

use outpost_wire::proto::{
    AddWatchRequest, CreateTtlRequest, DeleteRequest, ExistsRequest, GetDataRequest, MultiOp,
    MultiRequest, SetDataRequest,
};
use outpost_wire::{Acl, Id, OpCode, Perms, Writer};

use crate::script::{At, Connection, Hello, Play, Script, Seen, Step, bstr};
use crate::scripts::writes::set_acl;

pub(crate) const SCRIPTS: &[Script] = &[
    Script::both(
        "every_kind_of_watch_sees_its_events_of_another_client",
        by_another,
    ),
    Script::both(
        "every_kind_of_watch_sees_its_events_of_a_write_elsewhere",
        by_elsewhere,
    ),
    Script::both("a_client_sees_its_own_events_before_its_replies", by_itself),
    Script::both("a_multi_fires_operation_by_operation", of_multi),
    Script::both("an_ephemeral_that_goes_fires", of_ephemerals),
    Script::both("events_of_what_may_not_be_read_are_swallowed", filtered),
    Script::both("a_failed_write_fires_nothing", of_failures),
    Script::both("set_watches_catches_up_row_by_row", set_watches),
    Script::both("set_watches2_catches_up_row_by_row", set_watches2),
    Script::both("set_watches_takes_odd_lists", odd_set_watches),
    Script::both("watches_end_with_their_connection", end_with_connection),
];

fn add_watch(p: &mut Play, c: Connection, path: &str, mode: i32) {
    p.ask(
        c,
        OpCode::AddWatch,
        &AddWatchRequest {
            path: bstr(path),
            mode,
        },
    );
}

/// One connection for each kind of watch, on the same znode; the last has all.
const WATCHERS: std::ops::RangeInclusive<Connection> = 1..=7;

fn leave(p: &mut Play, c: Connection, path: &str) {
    if matches!(c, 1 | 6 | 7) {
        p.get_data(c, path, true);
    }
    if matches!(c, 2 | 6 | 7) {
        p.exists(c, path, true);
    }
    if matches!(c, 3 | 6 | 7) {
        p.get_children(c, path, true);
    }
    if matches!(c, 4 | 7) {
        add_watch(p, c, path, 0);
    }
    if matches!(c, 5 | 7) {
        add_watch(p, c, path, 1);
    }
}

/// Everything that can happen to a znode and what is below it, one after the other, with all watches anew each time.
fn changes(p: &mut Play, writer: Connection) {
    let (a, child, grandchild) = (p.at("a"), p.at("a/b"), p.at("a/b/c"));
    for c in WATCHERS {
        p.open(c);
    }
    for change in 0..9 {
        for c in WATCHERS {
            leave(p, c, &a);
        }
        match change {
            0 => p.create(writer, &a, b""),
            1 => p.set_data(writer, &a, b"data"),
            2 => p.create_as(writer, OpCode::Create2, &child, Some(b""), 0),
            3 => p.set_data(writer, &child, b"data"),
            4 => p.create(writer, &grandchild, b""),
            5 => p.ask(writer, OpCode::SetAcl, &set_acl(&a, &Acl::open())),
            6 => p.delete(writer, &grandchild),
            7 => p.delete(writer, &child),
            _ => p.delete(writer, &a),
        }
        for c in WATCHERS {
            p.sync(c);
        }
    }
    // What was left of it.
    p.create_as(writer, OpCode::CreateContainer, &a, Some(b""), 4);
    let request = CreateTtlRequest {
        path: bstr(&child),
        data: None,
        acl: Some(Acl::open()),
        flags: 5,
        ttl: 1_000_000,
    };
    p.ask(writer, OpCode::CreateTtl, &request);
    p.set_data(writer, &a, b"last");
    for c in WATCHERS {
        p.sync(c);
    }
}

fn by_another(p: &mut Play) {
    p.open(0);
    changes(p, 0);
}

fn by_elsewhere(p: &mut Play) {
    p.open_as(0, At::Voter, Hello::NEW);
    changes(p, 0);
}

fn by_itself(p: &mut Play) {
    let a = p.at("a");
    for c in WATCHERS {
        p.open(c);
        leave(p, c, &a);
        p.create(c, &a, b"");
        leave(p, c, &a);
        p.set_data(c, &a, b"x");
        leave(p, c, &a);
        p.create(c, &format!("{a}/b"), b"");
        leave(p, c, &a);
        p.delete(c, &format!("{a}/b"));
        leave(p, c, &a);
        p.delete(c, &a);
        p.create(c, &a, b"");
        p.delete(c, &a);
        p.close(c);
    }
}

fn of_multi(p: &mut Play) {
    p.open(0);
    let (a, b) = (p.at("a"), p.at("a/b"));
    p.create(0, &a, b"");
    for c in WATCHERS {
        p.open(c);
        leave(p, c, &a);
    }
    let create = |path| {
        let acl = Some(Acl::open());
        MultiOp::Create(outpost_wire::proto::CreateRequest {
            path: bstr(path),
            data: None,
            acl,
            flags: 0,
        })
    };
    let set = |path| {
        MultiOp::SetData(SetDataRequest {
            path: bstr(path),
            data: None,
            version: -1,
        })
    };
    let delete = |path| {
        MultiOp::Delete(DeleteRequest {
            path: bstr(path),
            version: -1,
        })
    };
    let ops = vec![
        set(&a),
        create(&b),
        set(&b),
        delete(&b),
        set(&a),
        delete(&a),
        create(&a),
    ];
    p.ask(0, OpCode::Multi, &MultiRequest { ops });
    for c in WATCHERS {
        p.sync(c);
    }
    let ops = vec![set(&a), set("/missing")];
    p.ask(0, OpCode::Multi, &MultiRequest { ops });
    for c in WATCHERS {
        p.sync(c);
    }
}

fn of_ephemerals(p: &mut Play) {
    let e = p.at("e");
    for c in WATCHERS {
        p.open(0);
        p.create_as(0, OpCode::Create, &e, Some(b""), 1);
        p.open(c);
        leave(p, c, &e);
        p.get_children(c, &p.at(""), true);
        leave(p, 0, &e);
        p.get_data(0, &e, true);
        p.close(0);
        p.sync(c);
        p.close(c);
    }
}

fn filtered(p: &mut Play) {
    p.open(0);
    p.open(2);
    p.auth(0, "digest", b"alice:pw");
    p.auth(2, "digest", b"alice:pw");
    let (a, b) = (p.at("a"), p.at("a/b"));
    let own = [Acl {
        perms: Perms::ALL,
        id: Id::new("auth", ""),
    }];
    for step in 0..6 {
        p.create(0, &a, b"");
        p.open(1);
        for c in [1, 2] {
            p.sync(c);
            leave(p, c, &a);
            p.get_data(c, &a, true);
            p.get_children(c, &a, true);
            add_watch(p, c, &a, 0);
            add_watch(p, c, &p.at(""), 1);
        }
        p.protect(0, &a, &own);
        match step {
            0 => p.set_data(0, &a, b"x"),
            1 => p.create(0, &b, b""),
            2 => {
                let acl = Some(own.to_vec());
                let request = outpost_wire::proto::CreateRequest {
                    path: bstr(&b),
                    data: None,
                    acl,
                    flags: 0,
                };
                p.ask(0, OpCode::Create, &request);
            }
            3 => {
                p.protect(0, &a, &Acl::open());
                p.set_data(0, &a, b"x");
            }
            4 => {
                // The identity comes after the watch.
                p.sync(1);
                p.auth(1, "digest", b"alice:pw");
                p.set_data(0, &a, b"x");
            }
            _ => p.ping(0),
        }
        for c in [1, 2] {
            p.sync(c);
        }
        if matches!(step, 1 | 2) {
            p.delete(0, &b);
        }
        p.delete(0, &a);
        for c in [1, 2] {
            p.sync(c);
        }
        // Whether the one-shot watches are used up.
        p.create(0, &a, b"");
        p.set_data(0, &a, b"");
        p.delete(0, &a);
        p.sync(1);
        p.close(1);
    }
}

fn of_failures(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.create(0, &a, b"");
    for c in WATCHERS {
        p.open(c);
        leave(p, c, &a);
    }
    p.create(0, &a, b"");
    let request = SetDataRequest {
        path: bstr(&a),
        data: None,
        version: 9,
    };
    p.ask(0, OpCode::SetData, &request);
    p.ask(
        0,
        OpCode::Delete,
        &DeleteRequest {
            path: bstr(&a),
            version: 9,
        },
    );
    p.create(0, &format!("{a}/b/c"), b"");
    for c in WATCHERS {
        p.sync(c);
    }
}

fn lists(lists: &[Vec<String>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    for list in lists {
        writer.vector(list, |writer, path| writer.ustring(path.as_bytes()));
    }
    bytes
}

/// Every row of the table: what changed before the client's last zxid, after it, and what is not there.
fn catch_up(p: &mut Play, op: OpCode, count: usize) {
    p.open(0);
    for name in [
        "unchanged",
        "set",
        "child-made",
        "child-gone",
        "gone",
        "again",
    ] {
        p.create(0, &p.at(name), b"");
    }
    p.create(0, &p.at("child-gone/x"), b"");
    p.open(1);
    p.sync(1);
    p.set_data(0, &p.at("set"), b"new");
    p.create(0, &p.at("child-made/x"), b"");
    p.delete(0, &p.at("child-gone/x"));
    p.delete(0, &p.at("gone"));
    p.delete(0, &p.at("again"));
    p.create(0, &p.at("again"), b"");
    p.create(0, &p.at("made"), b"");
    let all = [
        "unchanged",
        "set",
        "child-made",
        "child-gone",
        "gone",
        "again",
        "made",
        "never",
    ];
    let all: Vec<String> = all.iter().map(|name| p.at(name)).collect();
    for which in 0..count {
        for seen in [
            Seen::By(1),
            Seen::Nothing,
            Seen::By(0),
            Seen::Future,
            Seen::Negative,
        ] {
            p.open(2);
            p.sync(2);
            let mut each = vec![Vec::new(); count];
            each[which].clone_from(&all);
            p.step(Step::SetWatches(2, op, seen, lists(&each)));
            p.replies(2);
            for path in &all {
                for kind in 1..=5 {
                    let request = outpost_wire::proto::CheckWatchesRequest {
                        path: bstr(path),
                        kind,
                    };
                    p.ask(2, OpCode::CheckWatches, &request);
                }
            }
            p.close(2);
        }
    }
    // All lists at once, then what is left fires.
    p.open(2);
    p.sync(2);
    p.step(Step::SetWatches(
        2,
        op,
        Seen::By(1),
        lists(&vec![all.clone(); count]),
    ));
    p.replies(2);
    for path in &all {
        p.set_data(0, path, b"later");
        p.create(0, &format!("{path}/later"), b"");
    }
    p.create(0, &p.at("never"), b"");
    p.sync(2);
    p.close(2);
}

fn set_watches(p: &mut Play) {
    catch_up(p, OpCode::SetWatches, 3);
}

fn set_watches2(p: &mut Play) {
    catch_up(p, OpCode::SetWatches2, 5);
}

fn odd_set_watches(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.create(0, &a, b"");
    for (op, count) in [(OpCode::SetWatches, 3), (OpCode::SetWatches2, 5)] {
        let whole = lists(&vec![
            vec![a.clone(), String::new(), "relative".to_owned()];
            count
        ]);
        for length in (0..whole.len()).step_by(3) {
            p.step(Step::SetWatches(
                0,
                op,
                Seen::Nothing,
                whole[..length].to_vec(),
            ));
            p.replies(0);
        }
        p.step(Step::SetWatches(0, op, Seen::Nothing, whole));
        p.replies(0);
        // The number of the request is the client's.
        let mut body = vec![0; 8];
        body.extend(lists(&vec![Vec::new(); count]));
        p.send_as(0, 77, op.code(), body.clone());
        p.replies(0);
        body.extend_from_slice(b"more");
        p.ask_body(0, op.code(), body);
    }
    p.ping(0);
    p.set_data(0, &a, b"");
    p.ping(0);
}

fn end_with_connection(p: &mut Play) {
    p.open(0);
    p.open(1);
    let a = p.at("a");
    p.create(0, &a, b"");
    for c in WATCHERS.skip(1) {
        p.open(c);
        leave(p, c, &a);
        p.open_as(c + 10, At::Here, Hello::again(c));
        p.end(c);
        p.set_data(0, &a, b"");
        p.sync(c + 10);
    }
    p.send(
        1,
        OpCode::Exists,
        &ExistsRequest {
            path: bstr(&a),
            watch: true,
        },
    );
    p.send(
        1,
        OpCode::GetData,
        &GetDataRequest {
            path: bstr(&a),
            watch: true,
        },
    );
    p.replies(1);
    p.step(Step::Drop(1));
    p.set_data(0, &a, b"");
    p.ping(0);
}
