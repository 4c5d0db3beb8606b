//! The image: what can be said of its recipe without building it.

use std::path::Path;
use std::process::Command;

use outpost_tests::run_dir::RunDir;

use crate::tools::{deploy, python_tool, root, succeeds, text};

const DOCKERFILE: &str = "deploy/docker/Dockerfile";

/// What stands behind an instruction, each time that it is given.
pub(crate) fn instructions(name: &str) -> Vec<String> {
    let text = text(DOCKERFILE).replace("\\\n", " ");
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let of_name = lines.filter(|(instruction, _)| *instruction == name);
    of_name.map(|(_, rest)| rest.trim().to_owned()).collect()
}

#[test]
fn hadolint_has_no_complaint() {
    let mut hadolint = python_tool("hadolint");
    succeeds(hadolint.arg(deploy("docker/Dockerfile")), "");
}

#[test]
fn the_image_is_built_with_a_compiler_that_is_new_enough() {
    let manifest = text("Cargo.toml");
    let wanted = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap()
        .trim_matches('"');
    let image = instructions("FROM").remove(0);
    let version = image.strip_prefix("rust:").unwrap();
    let version = version.split('-').next().unwrap();
    let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
    assert!(minor(version) >= minor(wanted), "{version} < {wanted}");
}

#[test]
fn the_process_is_not_root_and_the_binary_itself_says_whether_it_serves() {
    let user = instructions("USER").pop().unwrap();
    // A number: Kubernetes cannot tell whether a name is root's.
    let (uid, gid) = user.split_once(':').unwrap();
    assert!(uid.parse::<u32>().unwrap() > 0 && gid.parse::<u32>().unwrap() > 0);
    let health = instructions("HEALTHCHECK").pop().unwrap();
    let (_, command) = health.split_once("CMD ").unwrap();
    let command: Vec<String> = serde_json::from_str(command).unwrap();
    assert_eq!(command[..2], ["outpost", "health"]);
    let entry: Vec<String> = serde_json::from_str(&instructions("ENTRYPOINT")[0]).unwrap();
    let arguments: Vec<String> = serde_json::from_str(&instructions("CMD")[0]).unwrap();
    assert_eq!(
        [entry, arguments].concat(),
        ["outpost", "run", command[2].as_str()]
    );
}

#[test]
fn the_context_of_the_build_has_the_whole_workspace_and_nothing_that_is_made() {
    let dir = RunDir::new("context");
    let ignored = text(".dockerignore");
    let mut rules = ignored
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(rules.next(), Some("*"), "only what is named is sent");
    for rule in rules {
        match rule.strip_prefix('!') {
            Some(sent) => copy(&root().join(sent), &dir.path().join(sent)),
            None if rule.contains("target") => {}
            None => std::fs::remove_dir_all(dir.path().join(rule)).unwrap(),
        }
    }
    // What the build will ask of cargo: the program, whatever it depends on, for the machine that builds.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--package", "outpost"]);
    let found = succeeds(cargo.current_dir(dir.path()), "");
    assert!(found.contains("outpost-mirror v"), "{found}");
    assert!(dir.path().join(".cargo/config.toml").is_file());
}

fn copy(from: &Path, to: &Path) {
    succeeds(Command::new("cp").arg("-r").arg(from).arg(to), "");
}
