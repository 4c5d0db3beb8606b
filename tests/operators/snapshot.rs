//! The command `snapshot`, beside a Java observer's, and Java servers that take what it gives.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use outpost_tests::ports::free_port;
use outpost_tests::raw::RawClient;
use outpost_tests::tree_dump::TreeDump;
use outpost_tests::{Ensemble, Settings, four_letter, wait};
use outpost_wire::files::snapshot::SnapshotItem;
use outpost_wire::files::snapshot_file::{SnapshotFileDecoder, SnapshotFileEncoder};
use outpost_wire::proto::{CreateMode, CreateRequest, SetAclRequest};
use outpost_wire::{Acl, Id, OpCode, Perms};

use crate::http::{self, Answer};
use crate::pair::{Pair, SESSION_MS, Side};

const SUPER: (&str, &str) = ("Authorization", "digest super:secret");
const LIMIT: Duration = Duration::from_secs(60);
/// No snapshot in the test is near it.
const RECORD_BYTES_MAX: usize = 64 << 20;

fn snapshot(side: &Side, headers: &[(&str, &str)]) -> Answer {
    http::get(side.admin, "/commands/snapshot", headers)
}

pub(crate) fn acl(scheme: &str, id: &str, perms: Perms) -> Acl {
    Acl {
        perms,
        id: Id::new(scheme, id),
    }
}

/// Everything a snapshot has to hold beside plain znodes.
fn furnish(client: &mut RawClient) {
    client.authenticate("super:secret");
    for (path, acl) in [
        (
            "/locked",
            acl("digest", "alice:V55/p2T0OpjQ+low3NVAH4aLvm0=", Perms::ALL),
        ),
        ("/near", acl("ip", "127.0.0.1", Perms::READ)),
    ] {
        let create = CreateRequest {
            path: path.into(),
            data: Some(b"\0\xff"),
            acl: Some(vec![acl]),
            flags: CreateMode::Persistent as i32,
        };
        client
            .request(OpCode::Create, &create)
            .ok()
            .expect("a new path");
    }
    let container = CreateRequest {
        path: "/box".into(),
        data: None,
        acl: Some(Acl::open()),
        flags: CreateMode::Container as i32,
    };
    let made = client.request(OpCode::CreateContainer, &container);
    made.ok().expect("a new path");
    client
        .create("/box/inner", b"", CreateMode::Persistent)
        .expect("a new path");
}

/// Only these may do anything to the root.
pub(crate) fn set_root_acl(client: &mut RawClient, acl: Vec<Acl>) {
    let set = SetAclRequest {
        path: "/".into(),
        acl: Some(acl),
        version: -1,
    };
    client
        .request(OpCode::SetAcl, &set)
        .ok()
        .expect("super may");
}

#[test]
fn who_may_have_a_snapshot_is_decided_as_a_java_observer_decides_it() {
    let pair = Pair::start(&[
        "admin.rateLimiterIntervalInMS=0",
        "IPAuthenticationProvider.usexforwardedfor=true",
    ]);
    let mut client = RawClient::connect(pair.outpost.observer.client_address(), SESSION_MS);
    client.authenticate("super:secret");
    let open = acl("world", "anyone", Perms::ALL);
    let alone = acl("ip", "10.9.8.7", Perms::ALL);
    let weak = acl("ip", "10.9.8.7", Perms(Perms::ALL.0 & !Perms::DELETE.0));
    let near = ("X-Forwarded-For", "10.9.8.7, 127.0.0.1");
    for (root, headers, status) in [
        (&open, &[][..], 401),
        (&open, &[("Authorization", "digest nobody:knows")][..], 200),
        (&open, &[("Authorization", "digest a b c")][..], 401),
        (&open, &[("Authorization", "nosuch scheme")][..], 401),
        (&open, &[("Authorization", "x509")][..], 401),
        (&open, &[("Authorization", "ip")][..], 200),
        (&alone, &[("Authorization", "digest nobody:knows")][..], 403),
        (&alone, &[SUPER][..], 200),
        (&alone, &[("Authorization", "ip")][..], 403),
        (&alone, &[("Authorization", "ip"), near][..], 200),
        (&weak, &[("Authorization", "ip"), near][..], 403),
    ] {
        set_root_acl(&mut client, vec![root.clone()]);
        let zxid = four_letter::zxid(pair.outpost.observer.client_address()).expect("it serves");
        pair.java.observer.wait_for_zxid(zxid);
        for side in [&pair.java, &pair.outpost] {
            // A Java server gives one in each millisecond.
            let answer = wait::until("a snapshot that is not limited", LIMIT, || {
                Some(snapshot(side, headers)).filter(|answer| answer.status != 429)
            });
            let who = side.observer.kind();
            assert_eq!(
                answer.status,
                status,
                "{who:?} {headers:?}: {}",
                answer.text()
            );
            let kind = match status {
                200 => "application/octet-stream",
                _ => "application/json",
            };
            assert_eq!(answer.header("Content-Type"), Some(kind), "{who:?}");
            assert_eq!(
                answer.header("last_zxid").is_some(),
                status == 200,
                "{who:?}"
            );
            if status == 200 {
                let size = answer.body.len().to_string();
                assert_eq!(answer.header("snapshot_size"), Some(&*size), "{who:?}");
            }
        }
        let [java, outpost] = [&pair.java, &pair.outpost].map(|side| snapshot(side, headers));
        if status != 200 {
            assert_eq!(java.text(), outpost.text(), "{headers:?}");
        }
    }
    // What only a Java server does is refused to those who may, and nobody else is told that.
    let outpost = pair.outpost.admin;
    let restore = |headers| http::ask(outpost, "POST", "/commands/restore", headers, b"x");
    assert_eq!(restore(&[]).status, 401);
    let refused = restore(&[SUPER]);
    assert_eq!(refused.status, 501);
    assert!(
        refused.text().contains("restore the voters"),
        "{}",
        refused.text()
    );
    let kept = http::get(outpost, "/commands/snapshot?streaming=false", &[SUPER]);
    assert_eq!(kept.status, 501, "{}", kept.text());
    assert_eq!(
        http::ask(outpost, "POST", "/commands/snapshot", &[SUPER], b"").status,
        405
    );
}

#[test]
fn a_java_server_starts_from_outposts_snapshot_and_another_restores_it() {
    let pair = Pair::start(&[]);
    let mut client = RawClient::connect(pair.outpost.observer.client_address(), SESSION_MS);
    furnish(&mut client);
    let told = snapshot(&pair.outpost, &[SUPER]);
    assert_eq!(told.status, 200, "{}", told.text());
    let zxid = told
        .header("last_zxid")
        .and_then(|zxid| zxid.strip_prefix("0x"));
    let zxid = u64::from_str_radix(zxid.expect("a zxid"), 16).expect("a zxid");
    let wanted = TreeDump::of(&mut client);
    let soon = snapshot(&pair.outpost, &[SUPER]);
    assert_eq!(soon.status, 429, "one in five minutes: {}", soon.text());

    // One ensemble at a time: its turn is given back before another is asked for.
    drop((client, pair));
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let alone = Ensemble::with(Settings {
        voters: 1,
        lines: vec![
            "admin.serverAddress=127.0.0.1".into(),
            format!("admin.serverPort={}", admin.port()),
        ],
        ..Settings::default().super_secret()
    });
    let address = alone.server(1).client_address();
    let restored = http::ask(admin, "POST", "/commands/restore", &[SUPER], &told.body);
    assert_eq!(restored.status, 200, "{}", restored.text());
    assert!(
        restored.text().contains(&zxid.to_string()),
        "{}",
        restored.text()
    );
    same_tree(&wanted, address);

    // The same file in a data directory, and one whose digest is wrong: the server compares it.
    for (file, mismatches) in [(told.body.clone(), 0), (with_wrong_digest(&told.body), 1)] {
        alone.restart_all(|server| server.begin_with_snapshot(zxid, &file));
        same_tree(&wanted, address);
        let found = four_letter::gauge(address, "zk_digest_mismatches_count");
        assert_eq!(found, Some(mismatches));
    }
}

fn same_tree(wanted: &TreeDump, server: SocketAddr) {
    let mut client = RawClient::connect(server, 10_000);
    client.authenticate("super:secret");
    let differences = wanted.differences(&TreeDump::of(&mut client));
    assert!(differences.is_empty(), "{differences:#?}");
}

fn with_wrong_digest(file: &[u8]) -> Vec<u8> {
    let file = Bytes::copy_from_slice(file);
    let mut decoder = SnapshotFileDecoder::new(file, RECORD_BYTES_MAX).expect("a snapshot");
    let mut encoder = SnapshotFileEncoder::new();
    let (mut sessions, mut acls, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match decoder.next().expect("a snapshot") {
            SnapshotItem::Session { id, timeout_ms } => sessions.push((id, timeout_ms)),
            SnapshotItem::Acl { id, acl } => acls.push((id, acl)),
            SnapshotItem::Node {
                path,
                data,
                acl_id,
                stat,
            } => nodes.push((path, data, acl_id, stat)),
            SnapshotItem::End => break,
        }
    }
    encoder.body().sessions(sessions.into_iter());
    encoder
        .body()
        .acls(acls.iter().map(|(id, acl)| (*id, &acl[..])));
    for (path, data, acl_id, stat) in &nodes {
        encoder.body().node(path, data.as_deref(), *acl_id, stat);
    }
    let mut trailer = decoder.trailer().expect("a whole snapshot");
    trailer.digest.as_mut().expect("a digest").tree_digest += 1;
    encoder.finish(&trailer)
}
