//! Tells the program which sources it is built from: commit, its date, and the profile.
//!
//! Asked in this order: `OUTPOST_COMMIT` and `OUTPOST_BUILD_DATE` in the environment, for packagers; the file
//! `COMMIT` beside this one, which `git archive` fills in; git. Without any of them the commit is `unknown`, and
//! the build goes on.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `git archive` puts into the place of this is the commit and its date.
const NOT_ARCHIVED: &str = "$Format:";
/// Where nobody knows the date of the commit: the day on which the version's number was chosen.
const OTHERWISE: &str = "2026-11-23 00:00 UTC";

struct Sources {
    commit: String,
    date: String,
}

fn main() {
    println!("cargo::rerun-if-env-changed=OUTPOST_COMMIT");
    println!("cargo::rerun-if-env-changed=OUTPOST_BUILD_DATE");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=COMMIT");
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let sources = archived(&here).or_else(|| in_git(&here));
    let (commit, date) = match sources {
        Some(Sources { commit, date }) => (commit, date),
        None => ("unknown".to_owned(), OTHERWISE.to_owned()),
    };
    let commit = variable("OUTPOST_COMMIT").unwrap_or(commit);
    let date = variable("OUTPOST_BUILD_DATE").unwrap_or(date);
    println!("cargo::rustc-env=BUILT_FROM={commit}");
    println!("cargo::rustc-env=BUILT_ON={date}");
    println!("cargo::rustc-env=BUILT_AS={}", profile());
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// `debug`, `release` or whatever the profile is called: the directory that everything is built in.
fn profile() -> String {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let mut above = out.ancestors();
    let found = above.find(|dir| dir.file_name().is_some_and(|name| name == "build"));
    let profile = found.and_then(|dir| dir.parent()?.file_name()?.to_str());
    profile.map_or_else(|| variable("PROFILE").unwrap_or_default(), str::to_owned)
}

fn archived(here: &Path) -> Option<Sources> {
    let text = std::fs::read_to_string(here.join("COMMIT")).ok()?;
    let mut lines = text.lines();
    let (commit, date) = (lines.next()?, lines.next().unwrap_or_default());
    (!commit.starts_with(NOT_ARCHIVED) && !commit.is_empty()).then(|| Sources {
        commit: commit.to_owned(),
        date: match date {
            "" => OTHERWISE.to_owned(),
            day => format!("{day} 00:00 UTC"),
        },
    })
}

/// Only of a repository whose root is the root of this workspace: a tarball may be unpacked inside another one.
fn in_git(here: &Path) -> Option<Sources> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(here).args(arguments).env("TZ", "UTC");
        let output = command.output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let root = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?)
        .canonicalize()
        .ok()?;
    if root != here.parent()?.parent()?.canonicalize().ok()? {
        return None;
    }
    // Whatever changes when another commit is checked out.
    let head = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(head.as_deref()) {
        if let Some(path) = git(&["rev-parse", "--git-path", name]) {
            let path = here.join(path);
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
    Some(Sources {
        commit: git(&["rev-parse", "--short=12", "HEAD"])?,
        date: git(&[
            "show",
            "-s",
            "--format=%cd",
            "--date=format-local:%Y-%m-%d %H:%M UTC",
            "HEAD",
        ])?,
    })
}
