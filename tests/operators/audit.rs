//! The audit log: the same clients do the same at both observers, and are told of in the same lines.
//!
//! A Java observer writes it with ZooKeeper's own logback, in the form of its `logback.xml`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bstr::BStr;
use outpost_tests::raw::RawClient;
use outpost_tests::run_dir::RunDir;
use outpost_tests::{Ensemble, Observer, ObserverKind, ObserverSettings, Settings, wait};
use outpost_wire::proto::{
    CheckVersionRequest, CreateMode, CreateRequest, CreateTtlRequest, DeleteRequest, MultiOp,
    MultiRequest, ReconfigRequest, SetAclRequest, SetDataRequest,
};
use outpost_wire::{Acl, Id, OpCode, Perms};

use crate::pair::LIMIT;

const JAVA: &str = "/java";
const OUTPOST: &str = "/outpost";

/// Two observers of one ensemble, each with an audit log in a file.
struct Audited {
    java: Observer,
    outpost: Observer,
    dir: RunDir,
    _ensemble: Ensemble,
}

impl Audited {
    fn start() -> Audited {
        let settings = Settings {
            extended_types: true,
            ..Settings::default()
        };
        let ensemble = Ensemble::with(settings.super_secret());
        let dir = RunDir::new("audit");
        let file = dir.path().join("audit.log");
        let settings = ObserverSettings::default().line("audit.enable=true");
        let java = Observer::start(&ensemble, ObserverKind::Java, &settings);
        let settings = settings.line(format!("outpost.auditFile={}", file.display()));
        let outpost = Observer::start(&ensemble, ObserverKind::Outpost, &settings);
        Audited {
            java,
            outpost,
            dir,
            _ensemble: ensemble,
        }
    }

    fn file(&self, kind: ObserverKind) -> PathBuf {
        match kind {
            ObserverKind::Java => self.java.config().with_file_name("audit.log"),
            ObserverKind::Outpost => self.dir.path().join("audit.log"),
        }
    }

    fn lines(&self, kind: ObserverKind) -> Vec<Line> {
        let text = fs::read_to_string(self.file(kind)).unwrap_or_default();
        // The last one may be in writing.
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        text[..end].lines().map(Line::read).collect()
    }

    /// All lines, once there is one that is the last.
    fn lines_up_to(&self, kind: ObserverKind, is_last: impl Fn(&Line) -> bool) -> Vec<Line> {
        wait::until("the last line of the audit log", LIMIT, || {
            let lines = self.lines(kind);
            lines.iter().any(&is_last).then_some(lines)
        })
    }
}

/// A line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    level: String,
    logger: String,
    fields: Vec<(String, String)>,
}

impl Line {
    /// `2026-11-23 12:00:00,000 INFO logger: key=value<tab>key=value`
    fn read(text: &str) -> Line {
        let (head, fields) = text.split_once(": ").unwrap_or_else(|| panic!("{text:?}"));
        let words: Vec<&str> = head.split(' ').collect();
        let [day, time, level, logger] = words[..] else {
            panic!("{text:?}");
        };
        let form = |text: &str| text.replace(|char: char| char.is_ascii_digit(), "0");
        assert_eq!(form(day), "0000-00-00", "{text:?}");
        assert_eq!(form(time), "00:00:00,000", "{text:?}");
        let field = |field: &str| {
            let (key, value) = field.split_once('=').unwrap_or_else(|| panic!("{text:?}"));
            (key.to_owned(), value.to_owned())
        };
        Line {
            level: level.to_owned(),
            logger: logger.to_owned(),
            fields: fields.split('\t').map(field).collect(),
        }
    }

    fn get(&self, key: &str) -> &str {
        let field = self.fields.iter().find(|(known, _)| known == key);
        field.map_or("", |(_, value)| value)
    }

    /// Without what differs between two servers: whose session it is, in which order a client's names stand, and below
    /// which root it works.
    fn common(&self, root: &str) -> String {
        let fields = self.fields.iter().map(|(key, value)| {
            let value = match key.as_str() {
                "session" => {
                    assert!(value.starts_with("0x"), "{value}");
                    "0x…".to_owned()
                }
                "user" => {
                    let names: BTreeSet<&str> = value.split(',').collect();
                    names.into_iter().collect::<Vec<_>>().join(",")
                }
                _ => value.replacen(root, "/root", 1),
            };
            format!("{key}={value}")
        });
        let fields: Vec<String> = fields.collect();
        format!("{} {}: {}", self.level, self.logger, fields.join(" "))
    }
}

fn of_session(lines: &[Line], session: &str, root: &str) -> Vec<String> {
    let lines = lines.iter().filter(|line| line.get("session") == session);
    lines.map(|line| line.common(root)).collect()
}

/// Does everything that the audit log tells of, and some things that it does not. Returns the session.
fn everything(server: &Observer, root: &str) -> String {
    let address = server.client_address();
    let mut client = RawClient::connect(address, 10_000);
    let session = client.session().id.to_string();
    let at = |name: &str| format!("{root}/{name}");

    // create, in all its forms.
    client
        .create(root, b"", CreateMode::Persistent)
        .expect("a new path");
    client
        .create(root, b"", CreateMode::Persistent)
        .expect_err("it is there");
    client
        .create(&at("no/parent"), b"", CreateMode::Persistent)
        .expect_err("no parent");
    client
        .create("", b"", CreateMode::Persistent)
        .expect_err("no path");
    client
        .create("nowhere", b"", CreateMode::Ephemeral)
        .expect_err("no path");
    for (name, mode) in [
        ("stays", CreateMode::Persistent),
        ("goes", CreateMode::Ephemeral),
        ("goes-too", CreateMode::Ephemeral),
        ("n-", CreateMode::PersistentSequential),
        ("e-", CreateMode::EphemeralSequential),
        ("ttl-by-create", CreateMode::PersistentWithTtl),
    ] {
        _ = client.create(&at(name), b"data", mode);
    }
    let (path, data) = (at("second form"), Some(&b"x"[..]));
    let mut request = CreateRequest {
        path: BStr::new(&path),
        data,
        acl: Some(Acl::open()),
        flags: 0,
    };
    client.request(OpCode::Create2, &request);
    let path = at("box");
    request.path = BStr::new(&path);
    request.flags = CreateMode::Container.code();
    client.request(OpCode::CreateContainer, &request);
    client
        .create_ttl(&at("ttl"), 3_600_000)
        .expect("a new path");
    client
        .create_ttl(&at("ttl"), 3_600_000)
        .expect_err("it is there");
    let path = at("without-acl");
    request.path = BStr::new(&path);
    request.acl = Some(Vec::new());
    client.request(OpCode::Create, &request);

    // setData and delete.
    client.set_data(root, b"more").expect("it is there");
    client
        .set_data(&at("nowhere"), b"")
        .expect_err("it is not there");
    let wrong = SetDataRequest {
        path: BStr::new(root),
        data: None,
        version: 77,
    };
    client.request(OpCode::SetData, &wrong);
    client.delete(root).expect_err("it has children");
    client.delete("/").expect_err("nobody may");
    client.delete(&at("nowhere")).expect_err("it is not there");
    client.delete(&at("stays")).expect("it is there");

    // Somebody with a name, and setACL.
    client.authenticate("alice:secret");
    client.authenticate("bob:secret");
    client.authenticate("nameless");
    client.set_data(root, b"of alice").expect("it is there");
    let digest = Id::new("digest", "alice:V55/p2T0OpjQ+low3NVAH4aLvm0=");
    let entry = |perms, id| Acl { perms, id };
    for (path, acl) in [
        (root.to_owned(), Acl::open()),
        (
            root.to_owned(),
            vec![
                entry(Perms::ALL, Id::anyone()),
                entry(Perms::READ, digest),
                entry(Perms(0x0a), Id::new("ip", "127.0.0.1")),
            ],
        ),
        (at("nowhere"), Acl::open()),
        (
            root.to_owned(),
            vec![entry(Perms::ALL, Id::new("nobody", "x"))],
        ),
        (root.to_owned(), Vec::new()),
    ] {
        let request = SetAclRequest {
            path: BStr::new(&path),
            acl: Some(acl),
            version: -1,
        };
        client.request(OpCode::SetAcl, &request);
    }

    // Several at once.
    multis(&mut client, root);

    // What only an administrator may do.
    let request = ReconfigRequest {
        joining_servers: None,
        leaving_servers: Some(BStr::new("1")),
        new_members: None,
        cur_config_id: -1,
    };
    client.request(OpCode::Reconfig, &request);

    // Nobody is told who has only looked.
    client
        .get_data(root.as_bytes(), false)
        .expect("it is there");
    client
        .exists(&at("nowhere"), false)
        .expect_err("it is not there");
    client.sync();
    client.close().expect("the end of a session");
    session
}

fn created(path: &str, mode: CreateMode) -> CreateRequest<'_> {
    CreateRequest {
        path: BStr::new(path),
        data: None,
        acl: Some(Acl::open()),
        flags: mode.code(),
    }
}

fn deleted(path: &str) -> MultiOp<'_> {
    MultiOp::Delete(DeleteRequest {
        path: BStr::new(path),
        version: -1,
    })
}

fn set(path: &str) -> MultiOp<'_> {
    MultiOp::SetData(SetDataRequest {
        path: BStr::new(path),
        data: None,
        version: -1,
    })
}

fn checked(path: &str) -> MultiOp<'_> {
    MultiOp::Check(CheckVersionRequest {
        path: BStr::new(path),
        version: -1,
    })
}

fn multis(client: &mut RawClient, root: &str) {
    let at = |name: &str| format!("{root}/{name}");
    let (m, n, ttl, nowhere) = (at("m"), at("m-"), at("m-ttl"), at("m-nowhere"));
    let (twice, both) = (at("twice"), at("m-box"));
    let with_ttl = CreateTtlRequest {
        path: BStr::new(&ttl),
        data: None,
        acl: Some(Acl::open()),
        flags: CreateMode::PersistentWithTtl.code(),
        ttl: 3_600_000,
    };
    let succeeds = vec![
        MultiOp::Create(created(&m, CreateMode::Ephemeral)),
        MultiOp::Create2(created(&n, CreateMode::PersistentSequential)),
        MultiOp::CreateTtl(with_ttl),
        MultiOp::CreateContainer(created(&both, CreateMode::Container)),
        checked(&m),
        set(&m),
        // The type of both is that of the second: Java looks it up by the path.
        MultiOp::Create(created(&twice, CreateMode::Persistent)),
        deleted(&twice),
        MultiOp::Create(created(&twice, CreateMode::Ephemeral)),
        deleted(&m),
    ];
    let fails = vec![
        MultiOp::Create(created(&m, CreateMode::Persistent)),
        deleted(&nowhere),
        set(root),
    ];
    for ops in [
        succeeds,
        fails,
        vec![checked(root)],
        vec![checked(&nowhere)],
        Vec::new(),
    ] {
        client.request(OpCode::Multi, &MultiRequest { ops });
    }
}

#[test]
fn every_write_is_told_of_in_the_line_of_a_java_observer() {
    let audited = Audited::start();
    let sides = [
        (ObserverKind::Java, &audited.java, JAVA),
        (ObserverKind::Outpost, &audited.outpost, OUTPOST),
    ];
    let [java, outpost] = sides.map(|(kind, observer, root)| {
        let session = everything(observer, root);
        let ended = format!("{root}/twice");
        let lines = audited.lines_up_to(kind, |line| {
            line.get("operation").starts_with("ephemeral") && line.get("znode") == ended
        });
        // Which ephemeral goes first is nobody's to say.
        let mut lines = of_session(&lines, &session, root);
        let first = lines
            .iter()
            .position(|line| line.contains("operation=ephemeral"));
        lines[first.expect("it had ephemerals")..].sort();
        lines.join("\n")
    });
    assert!(java.lines().count() > 40, "{java}");
    assert_eq!(outpost, java, "left: Outpost, right: Java");
}
