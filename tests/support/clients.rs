//! Real clients in their own languages: each a program under `clients/`, set up once and run against a
//! connect string.
//!
//! A program checks a list of things and exits non-zero with a message at the first that is wrong. A tool
//! that is missing fails the test: nothing is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::certificates::TlsClient;
use crate::process::Process;
use crate::run_dir::{RunDir, source_dir, target_dir};
use crate::{jars, process, wait};

/// How long a set-up may take on a cold machine.
const SETUP_LIMIT: Duration = Duration::from_secs(600);
/// How long one program may take.
const RUN_LIMIT: Duration = Duration::from_secs(180);

/// A client program that is ready to run.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    command: Command,
}

impl Program {
    /// The same program, over TLS.
    pub fn over_tls(mut self, tls: &TlsClient) -> Self {
        self.command.envs(tls.environment());
        self
    }

    /// Runs the program against `connect_string` and returns what it printed. `missing` names what the
    /// servers are too old for; each program says at its top which words it knows.
    ///
    /// # Panics
    /// When it exits non-zero or takes longer than three minutes; the message holds its output.
    pub fn check_without(mut self, connect_string: &str, missing: &[&str]) -> String {
        self.command.arg(connect_string).args(missing);
        let dir = RunDir::new(self.name);
        process::run(
            self.name,
            &self.command,
            RUN_LIMIT,
            &dir.path().join("output.log"),
        )
    }

    /// Starts the program against `connect_string`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut self, connect_string: &str) -> Running {
        self.command.arg(connect_string);
        let dir = RunDir::new(self.name);
        let log = dir.path().join("output.log");
        Running {
            name: self.name,
            process: Process::start(self.name, &self.command, &log),
            _dir: dir,
        }
    }

    /// [`Self::check_without`] on servers that know everything.
    pub fn check(self, connect_string: &str) -> String {
        self.check_without(connect_string, &[])
    }
}

/// A client program that is running. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    process: Process,
    // Last, so that the files go after the process that writes them.
    _dir: RunDir,
}

impl Running {
    /// Waits until it has printed this line.
    ///
    /// # Panics
    /// When it ends before that, or takes longer than three minutes.
    pub fn wait_for_line(&self, line: &str) {
        wait::until(&format!("{} to print {line}", self.name), RUN_LIMIT, || {
            let output = self.process.log_tail(usize::MAX);
            let printed = output.lines().any(|printed| printed == line);
            let name = self.name;
            assert!(
                printed || self.process.ended().is_none(),
                "{name} ends without `{line}`:\n{output}"
            );
            printed.then_some(())
        });
    }

    /// Waits for its end and returns what it printed.
    ///
    /// # Panics
    /// As [`Program::check_without`].
    pub fn finish(self) -> String {
        process::output_of(self.name, &self.process, RUN_LIMIT)
    }
}

/// Python's kazoo, in a virtual environment of its own.
pub fn kazoo() -> Program {
    python("kazoo", "scenario.py")
}

/// kazoo at a server that becomes able to write while it runs: see `clients/python/read_only.py`.
pub fn kazoo_read_only() -> Program {
    python("kazoo-read-only", "read_only.py")
}

/// kazoo with users that log in: see `clients/python/sasl.py`.
pub fn kazoo_sasl() -> Program {
    python_with(
        "kazoo-sasl",
        "sasl.py",
        "requirements-sasl.txt",
        "python-sasl",
    )
}

fn python(name: &'static str, script: &str) -> Program {
    python_with(name, script, "requirements.txt", "python")
}

fn python_with(name: &'static str, script: &str, requirements: &str, venv: &str) -> Program {
    let requirements = program_file(&format!("python/{requirements}"));
    let venv = built_dir(venv);
    jars::once(&venv, std::slice::from_ref(&requirements), || {
        setup(
            "python3",
            &venv,
            Command::new("python3").args(["-m", "venv"]).arg(&venv),
        );
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["install", "--quiet", "--requirement"])
            .arg(&requirements);
        setup("pip", &venv, &pip);
    });
    let mut command = Command::new(venv.join("bin/python"));
    command
        .arg("-u")
        .arg(program_file(&format!("python/{script}")));
    Program { name, command }
}

/// ZooKeeper's own Java client, of the newest release.
pub fn java() -> Program {
    Program {
        name: "java",
        command: java_program("NativeClient"),
    }
}

/// The same at a server that becomes able to write while it runs: see `clients/java/ReadOnlyClient.java`.
pub fn java_read_only() -> Program {
    Program {
        name: "java-read-only",
        command: java_program("ReadOnlyClient"),
    }
}

/// The same while one server takes another's place: see `clients/java/ChangeoverClient.java`.
pub fn java_changeover() -> Program {
    Program {
        name: "java-changeover",
        command: java_program("ChangeoverClient"),
    }
}

/// The same with users that log in: see `clients/java-sasl/SaslClient.java`.
pub fn java_sasl() -> Program {
    let jars = java_jars();
    let sources = ["java-sasl/SaslClient.java", "java/Checks.java"].map(program_file);
    let classes = compiled_java("java-sasl", &sources, &jars);
    let mut command = quiet_java();
    command
        .arg("-cp")
        .arg(format!("{}:{jars}", classes.display()))
        .arg("SaslClient");
    Program {
        name: "java-sasl",
        command,
    }
}

/// Lets ZooKeeper's own classes read the configurations in the subdirectories of `cases`: see
/// `clients/java-config/ReadConfigs.java`.
///
/// # Panics
/// When that does not come to its end.
pub fn java_reads_configs(cases: &Path) {
    let jars = ["3.9.5", "3.9.5-prometheus"].map(jars::zookeeper).join(":");
    let sources = ["ReadConfigs", "OneConfig"];
    let sources = sources.map(|name| program_file(&format!("java-config/{name}.java")));
    let classes = compiled_java("java-config", &sources, &jars);
    let mut java = crate::ensemble::java(128);
    java.args([
        // Addresses of both families stand in configurations.
        "-Djava.net.preferIPv4Stack=false",
        "-Dslf4j.internal.verbosity=ERROR",
        "-cp",
    ]);
    java.arg(format!("{}:{jars}", classes.display()))
        .arg("ReadConfigs")
        .arg(cases);
    let dir = RunDir::new("java-config");
    process::run(
        "java-config",
        &java,
        SETUP_LIMIT,
        &dir.path().join("output.log"),
    );
}

/// Curator's recipes.
pub fn curator() -> Program {
    Program {
        name: "curator",
        command: java_program("CuratorClient"),
    }
}

/// The Java client of ZooKeeper 3.3, whose connect request is a byte shorter.
pub fn java_3_3() -> Program {
    let source = program_file("java-3.3/OldClient.java");
    let jars = jars::zookeeper("3.3.6");
    let classes = compiled_java("java-3.3", &[source], &jars);
    let mut command = quiet_java();
    command
        .arg("-cp")
        .arg(format!("{}:{jars}", classes.display()))
        .arg("OldClient");
    Program {
        name: "java-3.3",
        command,
    }
}

/// Go's go-zookeeper/zk.
pub fn go() -> Program {
    let sources = ["main.go", "go.mod", "go.sum"].map(|name| program_file(&format!("go/{name}")));
    let dir = built_dir("go");
    let binary = dir.join("client");
    jars::once(&dir, &sources, || {
        let mut go = Command::new("go");
        go.args(["build", "-o"])
            .arg(&binary)
            .arg(".")
            .current_dir(program_file("go"));
        setup("go", &dir, &go);
    });
    Program {
        name: "go",
        command: Command::new(binary),
    }
}

/// Node's node-zookeeper-client.
pub fn node() -> Program {
    Program {
        name: "node",
        command: node_program("node", "scenario.js"),
    }
}

/// A program for Node, with the modules it needs.
fn node_program(directory: &str, program: &str) -> Command {
    let sources = ["package.json", "package-lock.json", program];
    let dir = built_dir(directory);
    let inputs = sources.map(|name| program_file(&format!("{directory}/{name}")));
    jars::once(&dir, &inputs, || {
        // Modules are looked up beside the program, so the program is copied to its modules.
        for (name, input) in sources.iter().zip(&inputs) {
            std::fs::copy(input, dir.join(name)).expect("the target directory can be written");
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&dir);
        setup("npm", &dir, &npm);
    });
    let mut command = Command::new("node");
    command.arg(dir.join(program));
    command
}

/// A browser that looks at a status page and leaves its screenshots in `shots`: see `clients/browser/page.js`.
pub fn browser(shots: &Path) -> Program {
    let mut command = node_program("browser", "page.js");
    command.env("SCREENSHOTS", shots);
    Program {
        name: "browser",
        command,
    }
}

/// ZooKeeper's C client, as Debian packages it (`libzookeeper-mt-dev`).
pub fn c() -> Program {
    let source = program_file("c/scenario.c");
    let dir = built_dir("c");
    let binary = dir.join("client");
    jars::once(&dir, std::slice::from_ref(&source), || {
        let header = Path::new("/usr/include/zookeeper/zookeeper.h");
        assert!(
            header.is_file(),
            "the C client is missing: apt-get install libzookeeper-mt-dev"
        );
        let mut gcc = Command::new("gcc");
        gcc.args(["-Wall", "-Wextra", "-Werror", "-O1", "-DTHREADED", "-o"])
            .arg(&binary)
            .arg(&source);
        gcc.args(["-lzookeeper_mt", "-lpthread"]);
        setup("gcc", &dir, &gcc);
    });
    Program {
        name: "c",
        command: Command::new(binary),
    }
}

/// What ZooKeeper's command line prints, with everything that differs from run to run replaced.
#[derive(Debug, PartialEq, Eq)]
pub struct CommandLineOutput {
    /// Lines on standard output, without watch events.
    pub lines: Vec<String>,
    /// Watch events, in their order. They come at any time between the other lines.
    pub events: Vec<String>,
}

/// Runs `commands`, one a line, in one `ZooKeeperMain`.
///
/// # Panics
/// When it does not come to its end.
pub fn command_line(connect_string: &str, commands: &str) -> CommandLineOutput {
    command_line_in(connect_string, commands, &[])
}

/// The same over TLS.
///
/// # Panics
/// Likewise.
pub fn command_line_over_tls(
    connect_string: &str,
    commands: &str,
    tls: &TlsClient,
) -> CommandLineOutput {
    command_line_in(connect_string, commands, &tls.environment())
}

fn command_line_in(
    connect_string: &str,
    commands: &str,
    environment: &[(String, String)],
) -> CommandLineOutput {
    let dir = RunDir::new("command-line");
    let input = dir.path().join("commands");
    std::fs::write(&input, commands).expect("the run directory can be written");
    let mut java = quiet_java();
    java.envs(environment.iter().map(|(name, value)| (name, value)));
    java.arg("-cp")
        .arg(jars::zookeeper("3.9.5"))
        .arg("org.apache.zookeeper.ZooKeeperMain");
    java.args([
        "-waitforconnection",
        "-timeout",
        "10000",
        "-server",
        connect_string,
    ]);
    let log = dir.path().join("output.log");
    let output = process::run_with_input("zkCli", &java, &input, RUN_LIMIT, &log);
    let (events, lines) = output
        .lines()
        .filter(|line| {
            // The virtual machine tells of options that it takes from its environment.
            !line.starts_with("Picked up ")
                && !line.is_empty()
                && *line != "WATCHER::"
                && !line.starts_with("Connecting to")
        })
        .map(|line| without_the_run(line, connect_string))
        .partition(|line| line.starts_with("WatchedEvent"));
    let lines: Vec<String> = lines;
    let mut lines: Vec<String> = lines.iter().map(|line| with_sorted_list(line)).collect();
    // whoami and the configuration have no particular order.
    for unordered in lines.chunk_by_mut(|one, next| has_no_order(one) && has_no_order(next)) {
        unordered.sort();
    }
    CommandLineOutput { lines, events }
}

/// Lists have no particular order either.
fn with_sorted_list(line: &str) -> String {
    let Some(list) = line
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        return line.to_owned();
    };
    let mut names: Vec<&str> = list.split(", ").collect();
    names.sort_unstable();
    format!("[{}]", names.join(", "))
}

/// A line that `whoami` prints for one identity, or `config` for one server.
fn has_no_order(line: &str) -> bool {
    ["digest: ", "ip: ", "super: ", "x509: ", "server."]
        .iter()
        .any(|scheme| line.starts_with(scheme))
}

/// A line without zxids, times, session ids and ports.
fn without_the_run(line: &str, connect_string: &str) -> String {
    // In the prompt; in the configuration the same address stands for both servers.
    let line = line.replace(&format!("zk: {connect_string}"), "zk: SERVER");
    let fields = ["ctime = ", "mtime = ", "zxid: ", "version="];
    for field in fields {
        if let Some((before, _)) = line.split_once(field) {
            return format!("{before}{field}…");
        }
    }
    let mut kept = String::new();
    let mut rest = line.as_str();
    while let Some((before, after)) = rest.split_once("0x") {
        kept.push_str(before);
        kept.push_str("0x…");
        rest = after.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
    }
    kept + rest
}

fn java_jars() -> String {
    jars::class_path(&program_file("java/pom.xml"), &built_dir("java-jars"))
}

fn java_program(main: &str) -> Command {
    let jars = java_jars();
    let sources = [
        "Checks",
        "NativeClient",
        "CuratorClient",
        "ReadOnlyClient",
        "ChangeoverClient",
    ];
    let sources = sources.map(|name| program_file(&format!("java/{name}.java")));
    let classes = compiled_java("java", &sources, &jars);
    let mut command = quiet_java();
    command
        .arg("-cp")
        .arg(format!("{}:{jars}", classes.display()))
        .arg(main);
    command
}

fn compiled_java(name: &str, sources: &[PathBuf], jars: &str) -> PathBuf {
    let dir = built_dir(name);
    jars::once(&dir, sources, || {
        let mut javac = Command::new("javac");
        javac.arg("-d").arg(&dir).arg("-cp").arg(jars).args(sources);
        setup("javac", &dir, &javac);
    });
    dir
}

/// A JVM whose logging does not drown what the program prints.
fn quiet_java() -> Command {
    let mut java = crate::ensemble::java(256);
    let log = program_file("java/log4j.properties");
    java.arg(format!("-Dlog4j.configuration=file:{}", log.display()));
    java
}

fn setup(name: &str, dir: &Path, command: &Command) {
    process::run(name, command, SETUP_LIMIT, &dir.join(format!("{name}.log")));
}

fn program_file(name: &str) -> PathBuf {
    source_dir().join("clients").join(name)
}

fn built_dir(language: &str) -> PathBuf {
    let dir = target_dir().join("clients").join(language);
    std::fs::create_dir_all(&dir)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
    dir
}
