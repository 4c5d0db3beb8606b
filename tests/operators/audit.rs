//! The audit log: the same clients do the same at both observers, and are told of in the same lines.
//!
//! A Java observer writes it with ZooKeeper's own logback, in the form of its `logback.xml`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bstr::BStr;
use outpost_tests::clients;
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
    ensemble: Ensemble,
}

impl Audited {
    fn start() -> Audited {
        let settings = Settings {
            extended_types: true,
            ..Settings::default()
        };
        Audited::with(settings, |_, _| Vec::new())
    }

    /// With this further environment of each, which may name files in the directory.
    fn with(
        settings: Settings,
        environment: impl Fn(ObserverKind, &Path) -> Vec<(String, String)>,
    ) -> Audited {
        let ensemble = Ensemble::with(settings.super_secret());
        let dir = RunDir::new("audit");
        let file = dir.path().join("audit.log");
        let start = |kind, line: String| {
            let mut settings = ObserverSettings::default().line("audit.enable=true");
            settings.environment = environment(kind, dir.path());
            Observer::start(&ensemble, kind, &settings.line(line))
        };
        let java = start(ObserverKind::Java, String::new());
        let line = format!("outpost.auditFile={}", file.display());
        let outpost = start(ObserverKind::Outpost, line);
        Audited {
            java,
            outpost,
            dir,
            ensemble,
        }
    }

    fn sides(&self) -> [(ObserverKind, &Observer, &'static str); 2] {
        [
            (ObserverKind::Java, &self.java, JAVA),
            (ObserverKind::Outpost, &self.outpost, OUTPOST),
        ]
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

    /// The lines of everything that `act` has clients do, in no order.
    fn lines_of(&self, side: (ObserverKind, &Observer, &str), act: impl FnOnce()) -> String {
        let (kind, observer, root) = side;
        let before = self.lines(kind).len();
        act();
        let lines = self.lines_so_far(kind, observer);
        let lines = lines[before..].iter();
        let mut lines: Vec<String> = lines.map(|line| line.common(root)).collect();
        lines.sort();
        lines.join("\n")
    }

    /// All lines of what was committed before now: those up to a mark, which is left out.
    fn lines_so_far(&self, kind: ObserverKind, observer: &Observer) -> Vec<Line> {
        static MARKS: AtomicU32 = AtomicU32::new(0);
        let mark = format!("/mark-{}", MARKS.fetch_add(1, Ordering::Relaxed));
        let mut client = RawClient::connect(observer.client_address(), 10_000);
        client
            .create(&mark, b"", CreateMode::Persistent)
            .expect("a new path");
        client.close().expect("the end of a session");
        let is_mark = |line: &Line| line.get("znode") == mark;
        let mut lines = self.lines_up_to(kind, is_mark);
        lines.retain(|line| !is_mark(line));
        lines
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
                _ => without_numbers(&value.replacen(root, "/root", 1)),
            };
            format!("{key}={value}")
        });
        let fields: Vec<String> = fields.collect();
        format!("{} {}: {}", self.level, self.logger, fields.join(" "))
    }
}

/// Client libraries make names of random numbers, in hexadecimal.
fn without_numbers(value: &str) -> String {
    let (mut text, mut digits) = (String::new(), String::new());
    for char in value.chars().chain([' ']) {
        if char.is_ascii_hexdigit() {
            digits.push(char);
            continue;
        }
        match digits.len() {
            0..32 => text.push_str(&digits),
            _ => text.push('#'),
        }
        digits.clear();
        text.push(char);
    }
    text.pop();
    text
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
    let [java, outpost] = audited.sides().map(|(kind, observer, root)| {
        let session = everything(observer, root);
        let lines = audited.lines_so_far(kind, observer);
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

#[test]
fn what_java_s_command_line_and_kazoo_do_is_told_of_as_by_a_java_observer() {
    let audited = Audited::start();
    let commands = |root: &str| {
        format!(
            "addauth digest carol:secret\ncreate {root} data\ncreate -e {root}/e x\ncreate -s {root}/s x\n\
             create -c {root}/box\ncreate -t 3600000 {root}/ttl x\nset {root} more\nset -v 9 {root} x\n\
             setAcl {root} auth::cdrwa\nsetAcl -R {root} world:anyone:cdrwa\nsetquota -n 50 {root}\n\
             delquota -n {root}\ndelete {root}\ndelete {root}/e\ndeleteall {root}\ndelete {root}/none\n\
             reconfig -remove 1\nls /\nquit\n"
        )
    };
    let [java, outpost] = audited.sides().map(|side| {
        let (_, observer, root) = side;
        audited.lines_of(side, || {
            clients::command_line(&observer.connect_string(), &commands(root));
        })
    });
    assert!(java.lines().count() > 15, "{java}");
    assert_eq!(outpost, java, "left: Outpost, right: Java");

    let [java, outpost] = audited.sides().map(|side| {
        audited.lines_of(side, || {
            clients::kazoo().check(&side.1.connect_string());
        })
    });
    assert!(java.lines().count() > 15, "{java}");
    assert_eq!(outpost, java, "left: Outpost, right: Java");
}

#[test]
fn the_life_of_the_server_and_sessions_of_other_servers_are_told_of_as_by_a_java_observer() {
    let mut audited = Audited::start();
    let leader = audited.ensemble.server(audited.ensemble.wait_for_leader());
    let mut client = RawClient::connect(leader.client_address(), 10_000);
    let session = client.session().id.to_string();
    for path in ["/elsewhere", "/elsewhere-too"] {
        client
            .create(path, b"", CreateMode::Ephemeral)
            .expect("a new path");
    }
    client.close().expect("the end of a session");
    let own = |kind| {
        let of_session = |line: &&Line| line.get("session") == session;
        let lines = audited.lines_up_to(kind, |_| {
            audited
                .lines(kind)
                .iter()
                .filter(|line| of_session(line))
                .count()
                == 2
        });
        let mut told: Vec<String> = lines
            .iter()
            .filter(of_session)
            .map(|line| line.common(JAVA))
            .collect();
        told.sort();
        told.insert(0, lines[0].common(JAVA));
        told.join("\n")
    };
    let [java, outpost] = [ObserverKind::Java, ObserverKind::Outpost].map(own);
    assert_eq!(java.lines().count(), 3, "{java}");
    assert!(
        java.contains("operation=serverStart result=success"),
        "{java}"
    );
    assert_eq!(outpost, java, "left: Outpost, right: Java");

    audited.java.terminate(LIMIT);
    audited.outpost.terminate(LIMIT);
    let last = |kind| audited.lines(kind).last().map(|line| line.common(JAVA));
    let [java, outpost] = [ObserverKind::Java, ObserverKind::Outpost].map(last);
    assert!(
        java.as_ref()
            .is_some_and(|line| line.contains("operation=serverStop")),
        "{java:?}"
    );
    assert_eq!(outpost, java, "left: Outpost, right: Java");
}

#[test]
fn what_a_java_observer_leaves_out_or_lets_be_forged_is_told_of_all_the_same() {
    let audited = Audited::start();
    let forged =
        "/x\n2026-11-23 12:00:00,000 INFO o.a.z.a.Slf4jAuditLogger: session=0x1\tresult=success";
    let told = audited.sides().map(|(kind, observer, root)| {
        let mut client = RawClient::connect(observer.client_address(), 10_000);
        let request = CreateRequest {
            flags: 99,
            ..created("/flags", CreateMode::Persistent)
        };
        client.request(OpCode::Create, &request);
        client
            .create(forged, b"", CreateMode::Persistent)
            .expect_err("no path");
        // Nothing is committed while it is told to.
        let voters = audited.ensemble.servers();
        voters
            .iter()
            .for_each(|voter| audited.ensemble.pause(voter.id));
        client
            .send(OpCode::Create, &created(root, CreateMode::Persistent))
            .expect("sent");
        client.abandon();
        wait::until("the client to be gone", LIMIT, || {
            let connected =
                outpost_tests::four_letter::ask(observer.client_address(), "cons").ok()?;
            (connected
                .lines()
                .filter(|line| !line.trim().is_empty())
                .count()
                == 1)
                .then_some(())
        });
        voters
            .iter()
            .for_each(|voter| audited.ensemble.resume(voter.id));
        wait::until("the write to be told of", LIMIT, || {
            let text = fs::read_to_string(audited.file(kind)).ok()?;
            text.contains(&format!("znode={root}\t")).then_some(text)
        })
    });
    let [java, outpost] = told;
    let line = |text: &str, part: &str| {
        let found = text.lines().find(|line| line.contains(part));
        found.map(|line| {
            line.split_once("session=")
                .map_or(line, |(_, line)| line)
                .to_owned()
        })
    };
    // Java's has a line of its own for what the client has made up.
    assert!(java.lines().any(|line| {
        line.ends_with(": session=0x1\tresult=success\tznode_type=persistent\tresult=failure")
    }));
    assert!(outpost.contains("\tznode=/x\\u000a2026-11-23"));
    assert_eq!(line(&java, "znode=/flags"), None);
    assert!(
        line(&outpost, "znode=/flags")
            .is_some_and(|line| line.ends_with("znode=/flags\tresult=failure"))
    );
    assert!(line(&java, "znode=/java").is_some_and(|line| line.contains("\tip=\toperation")));
    assert!(
        line(&outpost, "znode=/outpost")
            .is_some_and(|line| line.contains("\tip=127.0.0.1\toperation"))
    );
}

#[test]
fn users_who_log_in_with_sasl_are_named_as_by_a_java_observer() {
    let settings = Settings {
        lines: [
            "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
            "letAnySaslUserDoX=anybody",
            "superUser.1=root",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Settings::default()
    };
    let audited = Audited::with(settings, |kind, dir| {
        let file = dir.join("jaas.conf");
        let users = ["bob", "eve", "root"].map(|name| format!("user_{name}=\"{name}-secret\""));
        let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
        let text = format!("Server {{ {module} {}; }};\n", users.join(" "));
        fs::write(&file, text).expect("the run directory can be written");
        let file = file.display();
        vec![match kind {
            ObserverKind::Java => (
                "JAVA_TOOL_OPTIONS".to_owned(),
                format!("-Djava.security.auth.login.config={file}"),
            ),
            ObserverKind::Outpost => (
                "OUTPOST_JAVA_SECURITY_AUTH_LOGIN_CONFIG".to_owned(),
                file.to_string(),
            ),
        }]
    });
    let [java, outpost] = audited.sides().map(|side| {
        audited.lines_of(side, || {
            clients::kazoo_sasl().check(&side.1.connect_string());
        })
    });
    assert!(java.contains("user=127.0.0.1,bob "), "{java}");
    assert_eq!(outpost, java, "left: Outpost, right: Java");
}
