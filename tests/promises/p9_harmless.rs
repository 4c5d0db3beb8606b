//! P9: nothing a client sends can hurt the ensemble, or anybody else who is served here.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bstr::BStr;
use outpost_tests::raw::RawClient;
use outpost_wire::proto::{
    CheckVersionRequest, CreateMode, CreateRequest, CreateTtlRequest, DeleteRequest, MultiOp,
    MultiRequest, ReconfigRequest, SetAclRequest, SetDataRequest, SyncRequest,
};
use outpost_wire::{Acl, OpCode, Record};

use crate::stage::{EndsOnDrop, LIMIT, Observer, Site, assert_closed, until};

#[test]
fn p9_bytes_that_are_no_request_end_their_own_connection_and_no_other() {
    let site = Site::new();
    let observer = site.observer();
    let mut bystander = observer.client();
    bystander
        .create("/a", b"", CreateMode::Persistent)
        .expect("created");
    let cases: [(&str, &[u8]); 7] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"),
        (
            "a TLS hello",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ),
        ("a negative length", &[0xff; 12]),
        ("a huge length", &[0x7f, 0xff, 0xff, 0xff, 0, 0]),
        ("a length just above the limit", &[0, 0x10, 0, 0, 0, 0]),
        ("an empty frame", &[0; 4]),
        ("a short connect request", &[0, 0, 0, 5, 1, 2, 3, 4, 5]),
    ];
    for (what, bytes) in cases {
        let mut client = RawClient::tcp(observer.address).expect("connected");
        client.send_bytes(bytes).expect("sent");
        assert_closed(&mut client, what);
        assert!(bystander.exists("/a", false).is_ok(), "{what} hurts others");
    }
    // The same in the place of a request.
    for (what, bytes) in cases {
        let mut client = observer.client();
        client.send_bytes(bytes).expect("sent");
        if what != "an empty frame" && what != "a short connect request" {
            assert_closed(&mut client, what);
        }
        assert!(bystander.exists("/a", false).is_ok(), "{what} hurts others");
    }
    site.assert_unharmed();
}

#[test]
fn p9_random_bytes_end_their_own_connection_and_no_other() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let site = Site::new();
    let observer = site.observer();
    let mut bystander = observer.client();
    for round in 0..200 {
        let mut client = match round % 2 {
            0 => RawClient::tcp(observer.address).expect("connected"),
            _ => observer.client(),
        };
        let mut bytes = vec![0; random.usize(1..200)];
        random.fill(&mut bytes);
        if random.bool() {
            // Frames that are whole, at least.
            let length = bytes.len() as u32;
            bytes.splice(0..0, length.to_be_bytes());
        }
        // Fails if the server was quicker.
        let _ = client.send_bytes(&bytes);
        assert!(bystander.exists("/", false).is_ok());
        client.abandon();
    }
    until("all of them to be gone", LIMIT, || {
        (observer.service.clients.len() == 1).then_some(())
    });
    site.assert_unharmed();
    bystander
        .create("/still", b"", CreateMode::Persistent)
        .expect("the leader commits");
}

/// One good request of every kind that is forwarded.
fn good_requests() -> Vec<(OpCode, Vec<u8>)> {
    let path = BStr::new("/a");
    let acl = || Some(Acl::open());
    let data = Some(&b"data"[..]);
    let create = || CreateRequest {
        path: BStr::new("/b"),
        data,
        acl: acl(),
        flags: 0,
    };
    let delete = DeleteRequest { path, version: -1 };
    let set = SetDataRequest {
        path,
        data,
        version: -1,
    };
    let ttl = CreateTtlRequest {
        path: BStr::new("/t"),
        data,
        acl: acl(),
        flags: CreateMode::PersistentWithTtl.code(),
        ttl: 1_000,
    };
    let set_acl = SetAclRequest {
        path,
        acl: acl(),
        version: -1,
    };
    let multi = MultiRequest {
        ops: vec![
            MultiOp::Create(create()),
            MultiOp::SetData(set),
            MultiOp::Check(CheckVersionRequest { path, version: -1 }),
            MultiOp::Delete(delete),
        ],
    };
    let reconfig = ReconfigRequest {
        joining_servers: Some(BStr::new("server.9=127.0.0.1:1:2;3")),
        leaving_servers: None,
        new_members: None,
        cur_config_id: -1,
    };
    vec![
        (OpCode::Create, create().encode()),
        (OpCode::Create2, create().encode()),
        (OpCode::CreateContainer, create().encode()),
        (OpCode::CreateTtl, ttl.encode()),
        (OpCode::Delete, delete.encode()),
        (OpCode::SetData, set.encode()),
        (OpCode::SetAcl, set_acl.encode()),
        (OpCode::Multi, multi.encode()),
        (OpCode::Reconfig, reconfig.encode()),
        (OpCode::Sync, SyncRequest { path }.encode()),
        (OpCode::CloseSession, Vec::new()),
    ]
}

/// Makes something bad of something good.
fn spoil(body: &mut Vec<u8>, random: &mut fastrand::Rng) {
    match random.u8(0..6) {
        0 => body.truncate(random.usize(0..=body.len())),
        1 => body.extend((0..random.usize(1..20)).map(|_| random.u8(..))),
        2 if body.len() >= 4 => {
            // Somewhere there may be a length.
            let at = random.usize(0..=body.len() - 4);
            let length = [-1, -2, 0, 1, i32::MAX, i32::MIN, 1_048_576][random.usize(0..7)];
            body[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        3 => body.clear(),
        _ => {
            for _ in 0..random.usize(1..4) {
                if let Some(byte) = random.choice(body.iter_mut()) {
                    *byte = random.u8(..);
                }
            }
        }
    }
}

/// Sends spoiled requests; when the connection ends another is made.
fn attack(observer: &Observer, mut random: fastrand::Rng, rounds: usize) {
    let good = good_requests();
    let mut client = observer.client();
    for _ in 0..rounds {
        let (op, body) = &good[random.usize(..good.len())];
        let mut body = body.clone();
        spoil(&mut body, &mut random);
        if client.try_request_body(*op, &body).is_err() {
            client = observer.client();
        }
    }
}

#[test]
fn p9_no_spoiled_write_reaches_the_leader_and_it_commits_on() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut options = outpost_sim::ServerOptions::default();
    options.leader.tree.extended_types = true;
    let site = Site::with(options);
    let observer = site.observer_with(&["extendedTypesEnabled=true", "reconfigEnabled=true"]);
    observer.wait_for(site.write("/a", b""));
    thread::scope(|scope| {
        for number in 0..3 {
            let random = fastrand::Rng::with_seed(seed + number);
            let observer = &observer;
            scope.spawn(move || attack(observer, random, 1_500));
        }
    });
    site.assert_unharmed();
    let refused = observer.service.stats.refused.load(Ordering::Relaxed);
    assert!(refused > 500, "only {refused} requests were refused");
    let forwarded = &observer.status().requests_forwarded;
    assert!(
        forwarded.load(Ordering::Relaxed) > 500,
        "hardly any was let through"
    );
    let mut client = observer.client();
    client
        .create("/still", b"", CreateMode::Persistent)
        .expect("the leader commits");
    client.sync();
}

#[test]
fn p9_what_is_no_write_of_clients_is_answered_here_under_every_number() {
    let site = Site::new();
    let observer = site.observer();
    observer.wait_for(site.write("/a", b""));
    let writes: Vec<i32> = good_requests().iter().map(|(op, _)| op.code()).collect();
    let mut client = observer.client();
    let path = [&[0, 0, 0, 2][..], b"/a", &[0xff; 4]].concat();
    let mut made = 1;
    for op in (-20..120).chain([i32::MIN, i32::MAX]) {
        if writes.contains(&op) {
            continue;
        }
        for body in [&b""[..], &path] {
            let mut frame = outpost_wire::proto::RequestHeader {
                xid: outpost_wire::Xid(made),
                op,
            }
            .encode();
            frame.extend(body);
            let answered = client.send_frame(&frame).and_then(|()| client.reply());
            // An operation that nobody knows ends the connection; a session in its place is another.
            if answered.is_err()
                || client.send_body(OpCode::Ping, &[]).is_err()
                || client.reply().is_err()
            {
                client = observer.client();
                made += 1;
            }
        }
    }
    site.assert_unharmed();
    // Sessions alone were forwarded, the one that writes for others not counted.
    let forwarded = observer.status().requests_forwarded.load(Ordering::Relaxed);
    let sessions = observer
        .service
        .stats
        .connect_requests
        .load(Ordering::Relaxed);
    assert_eq!(forwarded, sessions);
}

#[test]
fn p9_a_flood_of_new_sessions_and_writes_does_not_keep_others_from_reading() {
    let site = Site::with_commit_delay(5);
    let observer = site.observer_with(&["outpost.maxWritesInFlight=20"]);
    observer.wait_for(site.write("/a", b""));
    let mut reader = observer.client();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let ends = EndsOnDrop(&done);
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let mut client = observer.client();
                    let set = SetDataRequest {
                        path: BStr::new("/a"),
                        data: None,
                        version: -1,
                    };
                    for _ in 0..500 {
                        client.send(OpCode::SetData, &set).expect("sent");
                    }
                    client.reply().expect("answered");
                    client.abandon();
                }
            });
        }
        for _ in 0..2_000 {
            reader.exists("/a", false).expect("there");
        }
        drop(ends);
    });
    site.assert_unharmed();
}

#[test]
fn p9_the_link_is_drained_while_no_client_reads() {
    // A leader that would have to queue for this learner cuts it off.
    let options = outpost_sim::ServerOptions {
        link_bytes_max: 4 << 20,
        ..outpost_sim::ServerOptions::default()
    };
    let site = Site::with(options);
    let observer = site.observer();
    let data = vec![b'x'; 100_000];
    observer.wait_for(site.write("/a", &data));
    let mut deaf: Vec<RawClient> = (0..5).map(|_| observer.client()).collect();
    for client in &mut deaf {
        for _ in 0..200 {
            let get = outpost_wire::proto::GetDataRequest {
                path: BStr::new("/a"),
                watch: true,
            };
            client.send(OpCode::GetData, &get).expect("sent");
        }
    }
    for _ in 0..200 {
        observer.wait_for(site.write("/a", &data));
    }
    let losses = observer.status().losses.load(Ordering::Relaxed);
    assert_eq!(losses, 0, "{:?}", observer.status().last_loss());
}

#[test]
fn p9_our_acks_name_no_transaction_and_our_id_is_no_voters() {
    let site = Site::new();
    let observer = site.observer();
    for round in 0..3 {
        for number in 0..20 {
            observer.wait_for(site.write(&format!("/{round}-{number}"), b""));
        }
        site.elect();
        observer.wait_for(site.write("/elected", b""));
    }
    site.assert_unharmed();
    // A voter's id is refused before anything is sent.
    let dir = outpost_tests::run_dir::RunDir::new("promises");
    let file = dir.path().join("zoo.cfg");
    let text = format!(
        "dataDir={}\ninitLimit=5\nsyncLimit=5\nclientPort=0\nserver.1=127.0.0.1:1:2\n",
        dir.path().display()
    );
    std::fs::write(&file, text).expect("written");
    let id = Some(outpost_wire::ServerId(1));
    assert!(outpost::config::Config::load(&file, id, std::iter::empty()).is_err());
}

#[test]
fn p9_a_word_that_is_asked_for_in_the_midst_of_a_session_is_no_word() {
    let site = Site::new();
    let observer = site.observer();
    let mut stream = std::net::TcpStream::connect(observer.address).expect("connected");
    io::Write::write_all(&mut stream, b"ruok").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert_eq!(answer, "imok");
    let mut client = observer.client();
    client.send_bytes(b"ruok").expect("sent");
    assert_closed(&mut client, "a word in the place of a length");
}
