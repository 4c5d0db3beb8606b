//! Where things are kept: the build's target directory, and one directory per started thing below it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The repository, from which poms and client programs are taken.
pub fn source_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The profile's directory (`target/debug`), in which the test executable's siblings stand.
pub fn profile_dir() -> PathBuf {
    let executable = std::env::current_exe().expect("the test executable knows its own path");
    let deps = executable
        .parent()
        .expect("an executable stands in a directory");
    // Test executables stand in `deps`, binaries and examples beside or below it.
    if deps.ends_with("deps") {
        deps.parent().expect("`deps` has a parent").to_owned()
    } else {
        deps.to_owned()
    }
}

/// The target directory, in which caches outlive profiles.
pub fn target_dir() -> PathBuf {
    profile_dir()
        .parent()
        .expect("a profile stands in a target directory")
        .to_owned()
}

/// A fresh directory under `target/test-runs`, removed when dropped, unless the thread is panicking or
/// `OUTPOST_TESTS_KEEP` is set: then its path is printed.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the directory; `label` becomes part of its name.
    pub fn new(label: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = runs_dir().join(format!("{}-{number:02}-{label}", std::process::id()));
        fs::create_dir_all(&path)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self { path }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("OUTPOST_TESTS_KEEP").is_some() {
            eprintln!("logs are kept in {}", self.path.display());
        } else {
            // A file that is still open elsewhere is no reason to fail a test that has passed.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// `target/test-runs`, cleared once of what processes that are gone have left behind longer than a day ago.
fn runs_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = target_dir().join("test-runs");
        remove_old_runs(&dir);
        dir
    })
}

fn remove_old_runs(dir: &Path) {
    const KEEP: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let age = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > KEEP) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
