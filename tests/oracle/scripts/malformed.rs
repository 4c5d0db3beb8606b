//! Frames and bodies that are no good requests, as far as a Java observer and its leader survive them.

use outpost_wire::proto::{
    AddWatchRequest, CheckWatchesRequest, ConnectRequest, GetAclRequest, GetDataRequest,
    SyncRequest,
};
use outpost_wire::{OpCode, Record, SessionId, Zxid};

use crate::script::{At, Hello, Play, Request, Script, Seen, Step, bstr, framed};

pub(crate) const SCRIPTS: &[Script] = &[
    Script::both(
        "reads_cut_off_anywhere_are_refused_and_the_connection_lives",
        truncated_reads,
    ),
    Script::both(
        "syncs_cut_off_anywhere_are_refused_and_the_connection_lives",
        truncated_sync,
    ),
    Script::both("null_paths_are_refused", null_paths),
    Script::both("a_watch_needs_a_path", null_watches),
    Script::both("set_watches_without_lists_sets_none", null_lists),
    Script::both("lengths_that_cannot_be_are_refused", lengths),
    Script::both("text_that_is_no_utf8_is_looked_up_alike", invalid_utf8),
    Script::both("bytes_behind_a_record_are_ignored", trailing),
    Script::both("booleans_are_true_when_they_are_not_zero", booleans),
    Script::both(
        "unknown_operations_are_refused_and_end_the_connection",
        unknown_operations,
    ),
    Script::both("any_number_comes_back_with_a_reply", xids),
    Script::both("a_header_cut_off_ends_the_connection", truncated_header),
    Script::both(
        "a_connect_request_cut_off_ends_the_connection",
        truncated_connect,
    ),
    Script::both(
        "a_first_frame_of_an_odd_length_ends_the_connection",
        first_frame,
    ),
    Script::both(
        "a_later_frame_of_an_odd_length_ends_the_connection",
        later_frame,
    ),
    Script::both(
        "the_longest_frame_is_served_and_a_longer_one_is_not",
        longest_frame,
    ),
    Script::both("what_is_no_zookeeper_client_is_closed", strangers),
    Script::both("a_second_connect_request_is_no_request", connect_twice),
    Script::both("a_frame_in_pieces_is_one_frame", pieces),
];

/// Reads with a path in front, by number and with what follows the path.
const READS: &[(OpCode, &[u8])] = &[
    (OpCode::Exists, &[0]),
    (OpCode::GetData, &[0]),
    (OpCode::GetChildren, &[0]),
    (OpCode::GetChildren2, &[0]),
    (OpCode::GetAcl, &[]),
    (OpCode::GetAllChildrenNumber, &[]),
    (OpCode::GetEphemerals, &[]),
    (OpCode::AddWatch, &[0, 0, 0, 0]),
    (OpCode::CheckWatches, &[0, 0, 0, 3]),
    (OpCode::RemoveWatches, &[0, 0, 0, 3]),
];

fn body(path: &[u8], rest: &[u8]) -> Vec<u8> {
    // The record's bytes without its length's four are what follows a frame's length.
    [framed(path), rest.to_vec()].concat()
}

fn truncated_reads(p: &mut Play) {
    p.open(0);
    for (op, rest) in READS {
        let whole = body(b"/zookeeper", rest);
        for length in 0..=whole.len() {
            p.ask_body(0, op.code(), &whole[..length]);
        }
    }
    p.ping(0);
}

fn truncated_sync(p: &mut Play) {
    p.open(0);
    let whole = SyncRequest { path: bstr("/a") }.encode();
    for length in 0..whole.len() {
        p.ask_body(0, OpCode::Sync.code(), &whole[..length]);
    }
    p.ping(0);
}

fn null_paths(p: &mut Play) {
    p.open(0);
    for (op, rest) in READS {
        if is_about_watches(*op) {
            continue;
        }
        for watch in [0, 1] {
            let mut bytes = [&[0xff; 4][..], rest].concat();
            if rest.len() == 1 {
                bytes[4] = watch;
            }
            p.ask_body(0, op.code(), bytes);
        }
    }
    // In the first list of several.
    for op in [OpCode::SetWatches, OpCode::SetWatches2] {
        let mut bytes = vec![0; 8];
        bytes.extend([0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([0; 16]);
        p.ask_body(0, op.code(), bytes);
    }
    p.ping(0);
}

fn is_about_watches(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::AddWatch | OpCode::CheckWatches | OpCode::RemoveWatches
    )
}

fn null_watches(p: &mut Play) {
    p.open(0);
    for (op, rest) in READS {
        if is_about_watches(*op) {
            p.ask_body(0, op.code(), [&[0xff; 4][..], rest].concat());
        }
    }
    p.ping(0);
}

fn null_lists(p: &mut Play) {
    p.open(0);
    for op in [OpCode::SetWatches, OpCode::SetWatches2] {
        let mut bytes = vec![0; 8];
        bytes.extend([0xff; 20]);
        p.ask_body(0, op.code(), bytes);
    }
    p.ping(0);
}

fn lengths(p: &mut Play) {
    p.open(0);
    for (op, rest) in READS {
        for length in [-2, i32::MIN, i32::MAX, 11, 2_097_151] {
            let mut bytes = length.to_be_bytes().to_vec();
            bytes.extend_from_slice(b"/zookeeper");
            bytes.extend_from_slice(rest);
            p.ask_body(0, op.code(), bytes);
        }
    }
    for count in [-2, i32::MIN, 1, i32::MAX] {
        let mut bytes = vec![0; 8];
        bytes.extend(count.to_be_bytes());
        bytes.extend([0; 8]);
        p.ask_body(0, OpCode::SetWatches.code(), bytes);
    }
    p.ping(0);
}

fn invalid_utf8(p: &mut Play) {
    p.open(0);
    let root = p.at("");
    for odd in [
        &b"\xff"[..],
        b"\xc3",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf0\x9f\x98\x80",
        b"\xc0\x80",
        b"\0",
    ] {
        let path = [root.as_bytes(), b"/", odd].concat();
        for (op, rest) in READS {
            p.ask_body(0, op.code(), body(&path, rest));
        }
    }
}

fn trailing(p: &mut Play) {
    p.open(0);
    for (op, rest) in READS {
        let whole = [&body(b"/zookeeper", rest)[..], b"and more"].concat();
        p.ask_body(0, op.code(), whole);
    }
    for op in [OpCode::Sync, OpCode::Ping, OpCode::WhoAmI] {
        p.ask_body(
            0,
            op.code(),
            [&body(b"/zookeeper", b"")[..], b"and more"].concat(),
        );
    }
    let path = p.at("a");
    let create = outpost_wire::proto::CreateRequest {
        path: bstr(&path),
        data: None,
        acl: Some(outpost_wire::Acl::open()),
        flags: 0,
    };
    p.ask_body(
        0,
        OpCode::Create.code(),
        [create.encode(), b"and more".to_vec()].concat(),
    );
    p.exists(0, &path, false);
    p.close(0);
}

fn booleans(p: &mut Play) {
    p.open(0);
    let a = p.at("a");
    p.create(0, &a, b"");
    for watch in [0, 1, 2, 0x80, 0xff] {
        p.ask_body(0, OpCode::GetData.code(), body(a.as_bytes(), &[watch]));
        p.ask(
            0,
            OpCode::CheckWatches,
            &CheckWatchesRequest {
                path: bstr(&a),
                kind: 2,
            },
        );
        p.set_data(0, &a, b"x");
    }
}

fn unknown_operations(p: &mut Play) {
    for op in [
        0,
        -1,
        10,
        23,
        55,
        99,
        108,
        1000,
        -2,
        -11_000,
        i32::MAX,
        i32::MIN,
    ] {
        p.open(0);
        p.send_body(0, op, [0; 40]);
        p.end(0);
        p.open(0);
        p.send_body(0, op, []);
        p.end(0);
    }
}

fn xids(p: &mut Play) {
    p.open(0);
    let get = GetDataRequest {
        path: bstr("/zookeeper"),
        watch: false,
    }
    .encode();
    for xid in [0, 5, 5, -2, -4, -8, -3, i32::MIN, i32::MAX] {
        for (op, body) in [(4, get.clone()), (11, Vec::new()), (107, Vec::new())] {
            p.send_as(0, xid, op, body);
            p.replies(0);
        }
    }
    let path = p.at("a");
    for xid in [0, -5, i32::MAX] {
        let create = outpost_wire::proto::CreateRequest {
            path: bstr(&path),
            data: None,
            acl: Some(outpost_wire::Acl::open()),
            flags: 0,
        };
        p.send_as(0, xid, 1, create.encode());
        p.replies(0);
        p.send_as(0, xid, 9, SyncRequest { path: bstr("/") }.encode());
        p.replies(0);
    }
}

fn truncated_header(p: &mut Play) {
    for length in 0..8 {
        p.open(0);
        p.step(Step::Raw(0, framed(&[0, 0, 0, 1, 0, 0, 0, 11][..length])));
        p.end(0);
    }
}

fn connect_bytes(read_only: Option<bool>) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        time_out: 5000,
        session_id: SessionId(0),
        passwd: Some(&[0; 16]),
        read_only,
    };
    request.encode()
}

fn truncated_connect(p: &mut Play) {
    let whole = connect_bytes(None);
    for length in 1..whole.len() {
        p.step(Step::Dial(0, At::Here));
        p.step(Step::Raw(0, framed(&whole[..length])));
        p.step(Step::Welcome(0));
        p.end(0);
    }
    // A password of an odd length.
    for length in [-2, -1, 15, 17, i32::MAX, i32::MIN] {
        let mut bytes = whole.clone();
        bytes[24..28].copy_from_slice(&length.to_be_bytes());
        p.step(Step::Dial(0, At::Here));
        p.step(Step::Raw(0, framed(&bytes)));
        p.step(Step::Welcome(0));
    }
}

fn first_frame(p: &mut Play) {
    for length in [0, -1, i32::MIN, i32::MAX, 1_048_576] {
        for more in [&b""[..], b"more"] {
            p.step(Step::Dial(0, At::Here));
            p.step(Step::Raw(0, [&length.to_be_bytes()[..], more].concat()));
            p.end(0);
        }
    }
}

fn later_frame(p: &mut Play) {
    for length in [0, -1, i32::MIN, i32::MAX, 1_048_576] {
        p.open(0);
        p.step(Step::Raw(0, length.to_be_bytes().to_vec()));
        p.end(0);
        // What came before is answered.
        p.open(0);
        p.send_body(0, OpCode::Ping.code(), []);
        p.replies(0);
        p.step(Step::Raw(0, length.to_be_bytes().to_vec()));
        p.end(0);
    }
}

fn longest_frame(p: &mut Play) {
    p.open(0);
    // The header has 8 bytes, the length of the path 4, the watch 1.
    let path = vec![b'a'; 1_048_575 - 13];
    p.ask_body(0, OpCode::Exists.code(), body(&path, &[0]));
    p.ping(0);
    // As a write: a path, data and a version behind the header.
    let path = p.at("");
    let data = vec![b'd'; 1_048_575 - 8 - 4 - path.len() - 4 - 4];
    p.set_data(0, &path, &data);
    p.get_data(0, &path, false);
    p.set_data(0, &path, b"");
    let path = vec![b'a'; 1_048_576 - 13];
    let frame = Request {
        xid: 9,
        op: OpCode::Exists.code(),
        body: body(&path, &[0]),
    }
    .frame();
    p.step(Step::Raw(0, frame[..4].to_vec()));
    p.end(0);
}

fn strangers(p: &mut Play) {
    for greeting in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"POST",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\n\n\n\n",
    ] {
        p.step(Step::Dial(0, At::Here));
        p.step(Step::Raw(0, greeting.to_vec()));
        p.end(0);
    }
}

fn connect_twice(p: &mut Play) {
    p.open(0);
    // Read as a header it is xid 0 and operation 0.
    p.step(Step::Raw(0, framed(&connect_bytes(Some(false)))));
    p.end(0);
}

fn pieces(p: &mut Play) {
    p.step(Step::Dial(0, At::Here));
    for byte in framed(&connect_bytes(Some(false))) {
        p.step(Step::Raw(0, vec![byte]));
    }
    p.step(Step::Welcome(0));
    let xid = p.next_xid(0);
    let get = GetDataRequest {
        path: bstr("/zookeeper"),
        watch: false,
    }
    .encode();
    p.send_as(0, xid, OpCode::GetData.code(), get.clone());
    for length in [1, 2, 3, 4, 5, 11, 12] {
        let request = Request {
            xid: 50,
            op: OpCode::GetData.code(),
            body: get.clone(),
        };
        p.step(Step::Sent(0, request.clone()));
        let frame = request.frame();
        p.step(Step::Raw(0, frame[..length].to_vec()));
        p.step(Step::Raw(0, frame[length..].to_vec()));
        p.ping(0);
    }
    p.ask(
        0,
        OpCode::AddWatch,
        &AddWatchRequest {
            path: bstr("/zookeeper"),
            mode: 0,
        },
    );
    p.ask(
        0,
        OpCode::GetAcl,
        &GetAclRequest {
            path: bstr("/zookeeper"),
        },
    );
    p.step(Step::SetWatches(
        0,
        OpCode::SetWatches,
        Seen::Nothing,
        vec![0; 12],
    ));
    p.replies(0);
    p.open_as(1, At::Here, Hello::again(0));
    p.end(0);
}
