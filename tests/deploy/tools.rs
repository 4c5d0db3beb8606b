//! Programs of others, and the files they are shown.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use outpost_tests::jars;
use outpost_tests::run_dir::{source_dir, target_dir};
use serde_json::Value;

/// A file below `deploy/`.
pub(crate) fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

/// A file of the repository, as text.
pub(crate) fn text(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs a tool that a machine must have, with something to read, and demands that it is content.
///
/// Returns what it said, both streams.
pub(crate) fn succeeds(command: &mut Command, input: &str) -> String {
    let output = run(command, input);
    let said = said(&output);
    assert!(output.status.success(), "{command:?} says:\n{said}");
    said
}

/// Runs a tool that a machine must have, with something to read.
pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.unwrap_or_else(|error| {
        panic!("{command:?} cannot be run ({error}); tests/README.md says what a machine needs")
    });
    let mut stdin = child.stdin.take().unwrap();
    // A tool that does not want all of it says so by its exit code.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// What a tool said.
pub(crate) fn said(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|s| String::from_utf8_lossy(s)).concat()
}

/// A program of the tools that come from PyPI, pinned in `requirements.txt`.
pub(crate) fn python_tool(name: &str) -> Command {
    let requirements = source_dir().join("deploy/requirements.txt");
    let venv = target_dir().join("clients").join("deploy");
    std::fs::create_dir_all(&venv).unwrap();
    // Its programs name it by its path, which must be good for whoever comes later.
    let venv = venv.canonicalize().unwrap();
    jars::once(&venv, std::slice::from_ref(&requirements), || {
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv), "");
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["install", "--quiet", "--requirement"]);
        succeeds(pip.arg(&requirements), "");
    });
    Command::new(venv.join("bin").join(name))
}

/// One of the scripts beside this file, which need those tools.
pub(crate) fn python_script(script: &str) -> Command {
    let mut python = python_tool("python");
    python.arg(source_dir().join("deploy").join(script));
    python
}

/// What stands in files of YAML below `deploy/`.
pub(crate) fn documents(paths: &[&str]) -> Vec<Value> {
    let mut reader = python_script("documents.py");
    let output = run(reader.args(paths.iter().map(|path| deploy(path))), "");
    assert!(output.status.success(), "{paths:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The real Kustomize, built once from its Go module; this version builds with every Go from 1.19 on.
pub(crate) fn kustomize() -> Command {
    let dir = target_dir().join("clients").join("kustomize");
    let version = source_dir().join("deploy/kustomize-version.txt");
    std::fs::create_dir_all(&dir).unwrap();
    jars::once(&dir, std::slice::from_ref(&version), || {
        let version = text("tests/deploy/kustomize-version.txt");
        let module = format!("sigs.k8s.io/kustomize/kustomize/v5@{}", version.trim());
        let mut go = Command::new("go");
        // It renders a page or two: what the compiler does for speed costs more than it gives.
        go.args(["install", "-gcflags=all=-N -l -dwarf=false"])
            .args(["-ldflags=-s -w", &module])
            .env("CGO_ENABLED", "0")
            .env("GOBIN", dir.canonicalize().unwrap());
        succeeds(&mut go, "");
    });
    Command::new(dir.join("kustomize"))
}

/// The definitions of the Prometheus operator's kinds, from its Go module.
pub(crate) fn prometheus_operator() -> Vec<PathBuf> {
    let dir = target_dir().join("clients").join("prometheus-operator");
    let version = source_dir().join("deploy/prometheus-operator-version.txt");
    std::fs::create_dir_all(&dir).unwrap();
    let files = ["servicemonitors", "prometheusrules"]
        .map(|kind| format!("monitoring.coreos.com_{kind}.yaml"));
    jars::once(&dir, std::slice::from_ref(&version), || {
        let version = text("tests/deploy/prometheus-operator-version.txt");
        let module = format!(
            "github.com/prometheus-operator/prometheus-operator@{}",
            version.trim()
        );
        let mut go = Command::new("go");
        // Of what the module itself needs nothing is fetched.
        let output = run(go.args(["mod", "download", "-json", &module]), "");
        assert!(output.status.success(), "{}", said(&output));
        let downloaded: Value = serde_json::from_slice(&output.stdout).unwrap();
        let module = Path::new(downloaded["Dir"].as_str().unwrap());
        for file in &files {
            let definition = module.join("example/prometheus-operator-crd").join(file);
            std::fs::copy(&definition, dir.join(file))
                .unwrap_or_else(|error| panic!("{}: {error}", definition.display()));
        }
    });
    files.iter().map(|file| dir.join(file)).collect()
}
