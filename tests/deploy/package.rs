//! The Debian package: built, looked at by lintian, and taken through its life on a copy of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use outpost::config::Config;
use outpost_tests::ensemble::{Ensemble, Version};
use outpost_tests::ports::free_port;
use outpost_tests::process;
use outpost_tests::run_dir::{RunDir, source_dir};
use outpost_wire::ServerId;

use crate::tools::{root, succeeds, text};

/// Longest that packing, or the package's life, may take.
const LIMIT: Duration = Duration::from_secs(300);

/// What a machine that had the package may keep: the tables of the tools that were used.
const KEPT: [&str; 7] = [
    // Taken away by the test itself.
    "usr/sbin/policy-rc.d",
    "var/lib/dpkg/",
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/cache/man/",
    "var/cache/ldconfig/",
    "etc/.pwd.lock",
];

/// Builds the package from the program that the tests use, and puts it into a directory.
fn build(dir: &Path) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["xtask", "deb", "--profile", "dev"])
        .current_dir(root());
    process::run("cargo-xtask-deb", &cargo, LIMIT, &dir.join("deb.log"));
    let package = dir.join("outpost.deb");
    std::fs::copy(root().join("target/debian/outpost.deb"), &package).unwrap();
    package
}

#[test]
fn the_debian_package_installs_serves_and_leaves_nothing_behind() {
    let dir = RunDir::new("package");
    let package = build(dir.path());

    let lintian = Command::new("lintian")
        .args(["--fail-on", "error,warning", "--allow-root"])
        .arg(&package)
        .output()
        .expect("lintian can be run; tests/README.md says what a machine needs");
    let found = String::from_utf8_lossy(&lintian.stdout);
    assert!(lintian.status.success(), "lintian:\n{found}");

    let ensemble = Ensemble::start(Version::V3_9_5, 3);
    let mut servers = String::new();
    for server in ensemble.servers() {
        let (id, address) = (server.id, server.quorum_address());
        servers.push_str(&format!("server.{id}={address}:1\n"));
    }
    std::fs::write(dir.path().join("zoo.cfg.end"), servers).unwrap();
    let environment = [
        "OUTPOST_ID=77".to_owned(),
        format!("OUTPOST_CLIENTPORT={}", free_port()),
        format!("OUTPOST_ADMIN_SERVERPORT={}", free_port()),
        format!("OUTPOST_METRICSPROVIDER_HTTPPORT={}", free_port()),
        "OUTPOST_AUDIT_ENABLE=true".to_owned(),
        "OUTPOST_AUDITFILE=/var/log/outpost/audit.log".to_owned(),
    ];
    std::fs::write(
        dir.path().join("environment"),
        environment.join("\n") + "\n",
    )
    .unwrap();
    std::fs::copy(
        source_dir().join("deploy/package.sh"),
        dir.path().join("package.sh"),
    )
    .unwrap();

    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation=private"]);
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--map-root-user", "--map-auto"]);
    }
    unshare
        .arg("sh")
        .arg(source_dir().join("deploy/throwaway.sh"))
        .arg(dir.path())
        .args(["sh", "/run/shared/package.sh"]);
    let said = process::run("unshare", &unshare, LIMIT, &dir.path().join("life.log"));
    assert!(said.contains("== done"), "{said}");
    let left: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(what, _)| ["left", "gone"].contains(what))
        .map(|(_, path)| path)
        .filter(|path| !KEPT.iter().any(|kept| path.starts_with(kept)))
        .collect();
    // Compared there with what they were.
    let users = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];
    let stranger = |path: &&&str| {
        let name = path.strip_prefix("etc/").unwrap_or(path);
        !users.contains(&name.trim_end_matches('-'))
    };
    let left: Vec<_> = left.iter().filter(stranger).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_the_packaged_configuration_suggests_is_understood() {
    let dir = RunDir::new("packaged-config");
    let zoo_cfg = dir.path().join("zoo.cfg");
    let packaged = text("deploy/debian/zoo.cfg");
    let suggested: Vec<&str> = packaged
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(suggestion) if !suggestion.starts_with(' ') => suggestion,
            _ => line,
        })
        .collect();
    assert!(suggested.contains(&"outpost.hold=10000"));
    std::fs::write(&zoo_cfg, suggested.join("\n")).unwrap();
    let loaded = Config::load(&zoo_cfg, Some(ServerId(101)), std::iter::empty());
    let loaded = loaded.unwrap_or_else(|complaints| panic!("{complaints}"));
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    // As in a voter's file, a Java server would not see it there.
    let unexpected = warnings
        .iter()
        .filter(|warning| !warning.contains("jute.maxbuffer"));
    assert_eq!(unexpected.count(), 0, "{warnings:?}");
}

#[test]
fn the_package_names_the_files_that_its_scripts_speak_of() {
    for script in ["postinst", "prerm", "postrm"] {
        let path = format!("deploy/debian/{script}");
        let mut sh = Command::new("sh");
        succeeds(sh.arg("-n").arg(root().join(&path)), "");
        assert!(text(&path).contains("set -e"), "{path}");
    }
}
