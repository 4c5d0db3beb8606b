//! The way from a Java observer to Outpost and back, with the commands that docs/deploying.md gives for it, and a client
//! that goes the way with them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use outpost_tests::jars;
use outpost_tests::observer::outpost_binary;
use outpost_tests::ports::free_port;
use outpost_tests::process::Process;
use outpost_tests::raw::RawClient;
use outpost_tests::run_dir::RunDir;
use outpost_tests::{
    Ensemble, Observer, ObserverKind, ObserverSettings, Settings, clients, four_letter, wait,
};

use crate::tools::{run, said, text};

const LIMIT: Duration = Duration::from_secs(120);
/// What the file of a Java observer's environment says in a style of its own.
const JAVA_ENV: &str = "# -Dzookeeper.4lw.commands.whitelist=none\nexport JVMFLAGS=\"-Xmx128m\"\n\
    export SERVER_JVMFLAGS=\"-Dzookeeper.admin.commandURL=/ops -Djute.maxbuffer=2097152 $SERVER_JVMFLAGS\"\n";

/// The commands of a step.
fn commands(step: u32) -> String {
    let page = text("docs/deploying.md");
    let (_, from_here) = page.split_once(&format!("\n**{step}. ")).unwrap();
    let (this, _) = from_here
        .split_once(&format!("\n**{}. ", step + 1))
        .unwrap();
    let (_, commands) = this.split_once("\n```sh\n").expect("commands");
    commands.split_once("\n```").unwrap().0.to_owned()
}

/// A machine with the Java observer's files where they usually are, and the programs that the commands want.
struct Machine {
    dir: RunDir,
}

impl Machine {
    fn new(java: &Observer) -> Machine {
        let machine = Machine {
            dir: RunDir::new("changeover"),
        };
        let (conf, bin) = (machine.path("conf"), machine.path("bin"));
        for dir in [&conf, &bin] {
            std::fs::create_dir(dir).unwrap();
        }
        let zoo_cfg = std::fs::read_to_string(java.config()).unwrap();
        let (rest, address) = zoo_cfg.trim_end().rsplit_once(';').expect("its own line");
        let (host, port) = address.split_once(':').expect("a host and a port");
        // As most files have it. Whoever writes by hand may leave the last line without its end.
        let zoo_cfg = format!("clientPort={port}\nclientPortAddress={host}\n{rest}");
        std::fs::write(conf.join("zoo.cfg"), zoo_cfg).unwrap();
        std::fs::write(conf.join("java.env"), JAVA_ENV).unwrap();
        symlink(outpost_binary(), bin.join("outpost")).unwrap();
        let class_path = jars::zookeeper("3.9.5");
        let shell = format!(
            "exec java -Xmx64m -cp '{class_path}' org.apache.zookeeper.ZooKeeperMain \"$@\""
        );
        program(&bin.join("zkCli.sh"), "/bin/sh", &shell);
        let netcat = "import socket, sys\nstream = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n\
            stream.sendall(sys.stdin.buffer.read())\nprint(stream.makefile().read())";
        program(&bin.join("nc"), "/usr/bin/env python3", netcat);
        machine
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the commands of a step, with what is different on this machine.
    fn follow(&self, step: u32, instead: &[(&str, &str)]) -> (String, Option<i32>) {
        let mut commands = commands(step);
        for (theirs, ours) in instead {
            assert!(commands.contains(theirs), "no {theirs} in step {step}");
            commands = commands.replace(theirs, ours);
        }
        let path = std::env::var("PATH").unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-eu", "-o", "pipefail", "-c", &commands])
            .current_dir(self.dir.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()));
        let output = run(&mut bash, "");
        (said(&output), output.status.code())
    }
}

fn program(path: &Path, interpreter: &str, text: &str) {
    std::fs::write(path, format!("#!{interpreter}\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the admin server answers.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Something happens to `/step` that the client's watch, left at the server before, has to tell of.
fn tell(ensemble: &Ensemble, client: &clients::Running, step: &str) {
    let leader = ensemble.server(ensemble.wait_for_leader());
    let mut writer = RawClient::connect(leader.client_address(), 30_000);
    writer
        .set_data("/step", step.as_bytes())
        .expect("it is there");
    writer.close().expect("the end of a session");
    client.wait_for_line(&format!("at {step}"));
}

#[test]
fn from_a_java_observer_to_outpost_and_back_clients_keep_what_they_have() {
    let settings = Settings {
        // Longer than a virtual machine takes to start here.
        lines: vec!["maxSessionTimeout=60000".to_owned()],
        ..Settings::default()
    };
    let ensemble = Ensemble::with(settings.super_secret());
    let admin = free_port();
    let lines = ObserverSettings::default()
        .line("admin.serverAddress=127.0.0.1")
        .line(format!("admin.serverPort={admin}"));
    let mut java = Observer::start(&ensemble, ObserverKind::Java, &lines);
    let machine = Machine::new(&java);
    let client = clients::java_changeover().start(&java.connect_string());
    client.wait_for_line("at first");

    let conf = machine.path("conf").display().to_string();
    let (said, code) = machine.follow(1, &[("/opt/zookeeper/conf", &conf)]);
    assert_eq!((said.as_str(), code), ("", Some(0)));

    let (said, _) = machine.follow(2, &[]);
    let failures: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("fail"))
        .collect();
    let taken = |line: &&str| line.contains("clientPort: ") || line.starts_with("fail  verdict");
    assert!(failures.iter().all(taken) && failures.len() == 2, "{said}");
    assert!(
        said.contains("a request has at most 2097152 bytes"),
        "{said}"
    );

    let ports = [free_port(), free_port(), free_port()].map(|port| port.to_string());
    let instead = [
        ("2191", &*ports[0]),
        ("8090", &ports[1]),
        ("7010", &ports[2]),
    ];
    let (said, code) = machine.follow(3, &instead);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "ready",
        "[mine, step, zookeeper]",
        "zk_server_state\tobserver",
    ] {
        assert!(said.contains(expected), "no {expected}: {said}");
    }

    java.terminate(LIMIT);
    let mut command = Command::new(outpost_binary());
    command.arg("run").arg(machine.path("new.cfg"));
    command.env("OUTPOST_ID", java.id.to_string());
    let log = machine.path("outpost.log");
    let outpost = Process::start("outpost", &command, &log);
    let serves = || four_letter::mode(java.client_address());
    wait::until("Outpost to serve in its place", LIMIT, || {
        (serves().as_deref() == Some("observer")).then_some(())
    });
    tell(&ensemble, &client, "at Outpost");
    let answer = get(admin, "/ops/ruok");
    assert!(answer.contains("\"error\" : null"), "{answer}");
    assert!(outpost.terminate(LIMIT).success());

    java.start_again();
    java.wait_until_it_serves();
    tell(&ensemble, &client, "at the Java observer");
    tell(&ensemble, &client, "end");
    client.finish();
}
