//! Which sources this program was built from, and how: what `build.rs` has found out.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, abbreviated; `unknown` where neither git nor the packager could tell.
pub const COMMIT: &str = env!("BUILT_FROM");

/// The profile: `debug`, `release`, `dist`.
pub const PROFILE: &str = env!("BUILT_AS");

/// When the sources were committed, as ZooKeeper writes the date of a build; equal sources make equal programs.
pub const BUILT_ON: &str = env!("BUILT_ON");

/// The ZooKeeper release whose protocol this server speaks and whose answers it gives. It stands first in
/// the version that is told, because scripts and clients take the numbers there for a ZooKeeper release.
pub const ZOOKEEPER_VERSION: &str = "3.9.5";

/// In one line, for people: `0.1.0 (commit 3b590e6d1a2f, release)`.
pub const SHORT: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("BUILT_FROM"),
    ", ",
    env!("BUILT_AS"),
    ")"
);

/// The version as the four-letter words and the admin server tell it:
/// `3.9.5-outpost-0.1.0-3b590e6d1a2f, built on 2026-11-23 00:00 UTC`. What stands behind the release is the commit, as
/// in a Java server's.
pub fn full_version() -> String {
    format!("{ZOOKEEPER_VERSION}-outpost-{VERSION}-{COMMIT}, built on {BUILT_ON}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_begins_as_a_zookeeper_release_does() {
        let version = full_version();
        let (number, rest) = version.split_once('-').unwrap();
        let parts: Vec<u32> = number.split('.').map(|n| n.parse().unwrap()).collect();
        assert_eq!(parts.len(), 3);
        assert!(rest.starts_with("outpost-") && rest.contains(", built on "));
    }

    #[test]
    fn the_commit_and_its_date_are_known_in_a_checkout_and_never_empty_elsewhere() {
        assert!(!COMMIT.is_empty() && !PROFILE.is_empty());
        assert!(
            BUILT_ON.ends_with(" UTC") && BUILT_ON.starts_with("20"),
            "{BUILT_ON}"
        );
        let in_git = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.git"));
        if in_git.exists() {
            assert_ne!(COMMIT, "unknown");
        }
    }
}
