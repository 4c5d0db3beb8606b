//! The Debian package: what goes into it stands in `crates/outpost/Cargo.toml`, its scripts in `deploy/debian/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::cargo;

/// Where the package is put, below the root of the workspace.
const PACKAGE: &str = "target/debian/outpost.deb";
/// What the program itself writes for the package, beside the program.
const MADE: &str = "package";
/// Completion scripts, by shell, under the names by which the shells find them.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "outpost.bash"),
    ("zsh", "_outpost"),
    ("fish", "outpost.fish"),
];

/// Builds it. True if that worked.
pub(crate) fn build(profile: &str) -> bool {
    let arguments = ["build", "-p", "outpost", "--profile", profile];
    if !cargo(&arguments) || !make_documents(&built(profile)) {
        return false;
    }
    let packed = cargo(&[
        "deb",
        "--package",
        "outpost",
        "--profile",
        profile,
        "--no-build",
        "--compress-system",
        "--output",
        PACKAGE,
    ]);
    if packed {
        println!("{PACKAGE}");
    }
    packed
}

/// Where a profile's programs are.
fn built(profile: &str) -> PathBuf {
    // The one profile whose directory has another name.
    let dir = if profile == "dev" { "debug" } else { profile };
    Path::new("target").join(dir)
}

/// Has the program write its manual pages and completions.
fn make_documents(built: &Path) -> bool {
    let (binary, made) = (built.join("outpost"), built.join(MADE));
    let man = made.join("man");
    // A page of a command that is gone is not to stay.
    let _ = fs::remove_dir_all(&made);
    fs::create_dir_all(&man).expect("target can be written");
    let mut fine = succeeds(Command::new(&binary).arg("man").arg(&man));
    fs::copy("CHANGELOG.md", made.join("changelog")).expect("target can be written");
    // The time of the files would make every package another one.
    let mut gzip = Command::new("gzip");
    gzip.args(["-9n", "-r"])
        .arg(&man)
        .arg(made.join("changelog"));
    fine &= succeeds(&mut gzip);
    for (shell, file) in COMPLETIONS {
        let script = File::create(made.join(file)).expect("target can be written");
        fine &= succeeds(
            Command::new(&binary)
                .args(["completions", shell])
                .stdout(script),
        );
    }
    fine
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
