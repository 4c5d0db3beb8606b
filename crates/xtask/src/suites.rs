//! Which suites there are, and in which order they run.

use crate::failures;
use crate::run::{Tally, cargo, cargo_output, cargo_test, cargo_test_with};

/// Crates that must know no runtime: bytes and the tree are plain values.
const SANS_IO: [&str; 2] = ["outpost-wire", "outpost-mirror"];

/// Formatting, lints, documentation and boundaries.
pub(crate) fn checks() -> bool {
    cargo(&["fmt", "--all", "--check"])
        && cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
        && cargo(&["doc", "--workspace", "--no-deps", "--quiet"])
        && SANS_IO.into_iter().all(is_sans_io)
}

fn is_sans_io(package: &str) -> bool {
    let (_, tree) = cargo_output(&["tree", "-p", package, "-e", "normal", "-i", "tokio"]);
    if tree.contains("tokio") {
        println!("{package} depends on tokio:\n{tree}");
        return false;
    }
    true
}

/// Every test there is. At the end stands what those that failed said; the last line says how many passed and failed.
pub(crate) fn test() -> bool {
    // The suites against real ensembles start this binary.
    let mut fine = cargo(&["build", "-p", "outpost"]);
    let mut all = Tally::default();
    let mut failed = Vec::new();
    let suites: [&[&str]; 3] = [
        &["--workspace", "--exclude", "outpost-tests"],
        &[
            "--manifest-path",
            "tests/fuzz/Cargo.toml",
            "--target-dir",
            "target/fuzz",
        ],
        // Each test holds several JVMs; the harness bounds how many run at a time.
        &["-p", "outpost-tests"],
    ];
    for suite in suites {
        let suite = [suite, &["--no-fail-fast"]].concat();
        let tested = cargo_test(&suite);
        fine &= tested.fine;
        all.add(tested.tally);
        failed.extend(tested.failed);
    }
    print!("{}", failures::retell(&failed));
    if all.ignored > 0 {
        println!("{} tests were ignored; none may be", all.ignored);
        fine = false;
    }
    if all.passed == 0 {
        println!("no test ran");
        fine = false;
    }
    if !fine && all.failed == 0 {
        println!("something besides the tests failed; see above");
    }
    println!("\n{} passed, {} failed", all.passed, all.failed);
    fine
}

/// What an observer leaves in a leader's memory, the long way: more than a thousand losses for each release.
pub(crate) fn abuse() -> bool {
    if !cargo(&["build", "-p", "outpost"]) {
        return false;
    }
    let long = [("OUTPOST_TESTS_ABUSE", "long")];
    let suite = ["-p", "outpost-tests", "--test", "ensemble"];
    // One leader at a time has the machine; what they hold is printed on the way.
    let filter = ["leader_memory::", "--", "--nocapture", "--test-threads=1"];
    let tested = cargo_test_with(&long, &[&suite[..], &filter[..]].concat());
    tested.fine && tested.tally.passed > 0
}

/// The benchmark.
pub(crate) fn bench(arguments: &[String]) -> bool {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    cargo(&["build", "--release", "-p", "outpost", "-p", "outpost-bench"])
        && cargo(
            &[
                &["run", "--release", "--quiet", "-p", "outpost-bench", "--"],
                &arguments[..],
            ]
            .concat(),
        )
}
