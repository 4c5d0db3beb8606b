//! The jars of each ZooKeeper version, fetched once with Maven into `target/zookeeper/<version>`.
//!
//! One small pom per version pins them. A marker file is written last, so that a fetch that was interrupted
//! is repeated; a file lock keeps two test executables from fetching at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process;
use crate::run_dir::{source_dir, target_dir};

/// The plugin that copies a pom's dependencies, pinned like them.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// How long Maven may take on a cold machine.
const LIMIT: Duration = Duration::from_secs(600);

/// The class path of one ZooKeeper version (`3.9.5`): its jar and everything it needs to run on JDK 17.
///
/// # Panics
/// When Maven is missing or fails; its output is in the message.
pub fn zookeeper(version: &str) -> String {
    let pom = source_dir().join("servers").join(version).join("pom.xml");
    class_path(&pom, &target_dir().join("zookeeper").join(version))
}

/// The jars that `pom` names, copied to `dir` unless they are there already, as a class path.
pub fn class_path(pom: &Path, dir: &Path) -> String {
    fs::create_dir_all(dir)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
    once(dir, &[pom.to_owned()], || {
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "-f"]).arg(pom).arg(COPY);
        maven
            .arg(format!("-DoutputDirectory={}", dir.display()))
            .arg("-DincludeScope=runtime");
        process::run("mvn", &maven, LIMIT, &dir.join("mvn.log"));
    });
    let mut jars: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", dir.display()))
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jar"))
        .collect();
    assert!(!jars.is_empty(), "{} names no jar", pom.display());
    jars.sort();
    jars.iter()
        .map(|jar| jar.display().to_string())
        .collect::<Vec<_>>()
        .join(":")
}

/// Does `work` for `dir` unless it was once done to its end with the same `inputs`.
///
/// The marker in `dir` holds the inputs' contents: a changed pom or program is built again, from an empty
/// directory.
pub fn once(dir: &Path, inputs: &[PathBuf], work: impl FnOnce()) {
    let lock_path = dir.with_extension("lock");
    let lock =
        File::create(&lock_path).unwrap_or_else(|error| panic!("{}: {error}", lock_path.display()));
    lock.lock()
        .unwrap_or_else(|error| panic!("cannot lock {}: {error}", lock_path.display()));
    let marker = dir.join(".complete");
    let mut wanted = Vec::new();
    for input in inputs {
        let text = fs::read(input)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", input.display()));
        wanted.extend_from_slice(&text);
    }
    if fs::read(&marker).is_ok_and(|done| done == wanted) {
        return;
    }
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
    work();
    fs::write(&marker, wanted)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", marker.display()));
}
