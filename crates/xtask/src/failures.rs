//! What the tests that failed said, told once more when all suites have run.
//!
//! Whoever shows a run of CI may keep its end only, and the suites that ran behind the one that failed print much.
//! What a test writes past its runner (the standard error of its threads and of the processes it starts) is not
//! kept: it stands where it was written.

use std::fmt::Write as _;
use std::path::Path;

/// Lines of one failed test that are told again.
const TEST_LINES_MAX: usize = 60;
/// However many fail, a test has at least this many: what it asked for, and what it got.
const TEST_LINES_MIN: usize = 6;
/// Lines that are told again in all.
const LINES_MAX: usize = 400;
/// Longest line: a comparison of two large values is one line.
const LINE_CHARS_MAX: usize = 600;

/// How an executable's name is told to whoever reads the output: see [`announce`].
const ANNOUNCEMENT: &str = "test executable: ";
/// Between these two lines a runner tells what the failed tests said, and behind another [`BEGIN`] their names.
const BEGIN: &str = "failures:";
const END: &str = "test result: ";

/// One test that failed, or an executable that died.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    executable: String,
    test: String,
    said: Vec<String>,
}

/// The line that tells which executable prints what follows. Cargo tells it too, on another stream.
pub(crate) fn announce(executable: &Path) -> String {
    let name = executable.file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    // Cargo appends a hash.
    let name = name.rsplit_once('-').map_or(&*name, |(name, _)| name);
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    format!("{ANNOUNCEMENT}{name} of {package}")
}

/// Reads what test executables print, one behind the other. The runners may be libtest or libtest-mimic.
#[derive(Default)]
pub(crate) struct Reading {
    executable: String,
    /// The executable has not said how its tests went.
    unfinished: bool,
    /// What came since [`BEGIN`].
    section: Option<Vec<String>>,
    failed: Vec<Failed>,
}

impl Reading {
    pub(crate) fn read_line(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix(ANNOUNCEMENT) {
            self.end_executable();
            name.clone_into(&mut self.executable);
            self.unfinished = true;
        } else if line.starts_with(END) {
            let section = self.section.take().unwrap_or_default();
            self.failed.extend(failed_tests(&self.executable, &section));
            self.unfinished = false;
        } else if let Some(section) = &mut self.section {
            section.push(line.to_owned());
        } else if line == BEGIN {
            self.section = Some(Vec::new());
        } else if is_start(line) {
            // An executable may run more than one list of tests.
            self.unfinished = true;
        }
    }

    /// All that failed, once the output has ended.
    pub(crate) fn finish(mut self) -> Vec<Failed> {
        self.end_executable();
        self.failed
    }

    /// An executable that crashed, or was killed, leaves no summary behind.
    fn end_executable(&mut self) {
        if std::mem::take(&mut self.unfinished) {
            self.failed.push(Failed {
                executable: self.executable.clone(),
                test: "no summary".to_owned(),
                said: vec!["it ended before it said how its tests went; see above".to_owned()],
            });
        }
        self.section = None;
    }
}

/// Whether this is `running 1 test` or the like.
fn is_start(line: &str) -> bool {
    line.strip_prefix("running ")
        .is_some_and(|rest| rest.ends_with(" tests") || rest.ends_with(" test"))
}

/// The tests of a section, each with what stands behind its heading.
fn failed_tests(executable: &str, section: &[String]) -> Vec<Failed> {
    let Some(end) = section.iter().rposition(|line| line == BEGIN) else {
        return Vec::new();
    };
    let (told, names) = section.split_at(end);
    let names = names[1..]
        .iter()
        .filter_map(|line| line.strip_prefix("    "));
    let mut failed: Vec<Failed> = names
        .map(|name| Failed {
            // Those in the documentation have no executable to be announced, and names with file and line.
            executable: if name.contains(".rs - ") {
                "documentation"
            } else {
                executable
            }
            .to_owned(),
            test: name.to_owned(),
            said: Vec::new(),
        })
        .collect();
    let mut speaker = None;
    for line in told {
        // What a test said may look like a heading: only those of tests that failed are.
        let heading = heading(line).and_then(|test| failed.iter().position(|it| it.test == test));
        if heading.is_some() {
            speaker = heading;
        } else if let Some(speaker) = speaker {
            failed[speaker].said.push(line.clone());
        }
    }
    for test in &mut failed {
        while test.said.last().is_some_and(String::is_empty) {
            test.said.pop();
        }
    }
    failed
}

/// The test's name in `---- name ----`, or in libtest's `---- name stdout ----`.
fn heading(line: &str) -> Option<&str> {
    let name = line.strip_prefix("---- ")?.strip_suffix(" ----")?;
    Some(name.strip_suffix(" stdout").unwrap_or(name))
}

/// What they said, to be printed; nothing if none failed.
pub(crate) fn retell(failed: &[Failed]) -> String {
    let mut text = String::new();
    if failed.is_empty() {
        return text;
    }
    let share = (LINES_MAX / failed.len()).clamp(TEST_LINES_MIN, TEST_LINES_MAX);
    let mut lines = Vec::new();
    let mut executable = "";
    for test in failed {
        if test.executable != executable {
            executable = &test.executable;
            lines.push(format!("==== {executable} ===="));
        }
        lines.push(format!("---- {} ----", test.test));
        lines.extend(cut(&without_frames(&test.said), share));
    }
    text.push_str("\nwhat the failed tests said, once more:\n");
    for line in cut(&lines, LINES_MAX) {
        let _ = writeln!(text, "{}", cut_line(&line));
    }
    text
}

/// Without the frames of backtraces: they would push out what a panic said.
fn without_frames(said: &[String]) -> Vec<String> {
    let mut in_backtrace = false;
    let is_kept = |line: &&String| {
        in_backtrace = *line == "stack backtrace:" || in_backtrace && line.starts_with(' ');
        !(in_backtrace && line.starts_with(' '))
    };
    said.iter().filter(is_kept).cloned().collect()
}

/// So many lines at most; what is too much is missing from the middle, and a line says so.
fn cut(lines: &[String], max: usize) -> Vec<String> {
    if lines.len() <= max {
        return lines.to_vec();
    }
    let (head, tail) = (max / 2, max - max / 2 - 1);
    let left_out = lines.len() - head - tail;
    let note = format!("[... {left_out} lines left out; they stand above ...]");
    [&lines[..head], &[note], &lines[lines.len() - tail..]].concat()
}

fn cut_line(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let Some(left_out) = chars.len().checked_sub(LINE_CHARS_MAX).filter(|n| *n > 0) else {
        return line.to_owned();
    };
    let (head, tail) = chars.split_at(LINE_CHARS_MAX / 2);
    let (head, tail) = (
        String::from_iter(head),
        String::from_iter(&tail[left_out..]),
    );
    format!("{head}[... {left_out} characters ...]{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Vec<Failed> {
        let mut reading = Reading::default();
        output.lines().for_each(|line| reading.read_line(line));
        reading.finish()
    }

    fn failed(executable: &str, test: &str, said: &[&str]) -> Failed {
        Failed {
            executable: executable.to_owned(),
            test: test.to_owned(),
            said: said.iter().map(ToString::to_string).collect(),
        }
    }

    /// As libtest prints it; the second test that failed printed a heading, and what looks like a list, itself.
    const LIBTEST: &str = "
test executable: wire of outpost-wire

running 3 tests
test a::fine ... ok
test a::one ... FAILED
test a::two ... FAILED

failures:

---- a::one stdout ----
on the way

thread 'a::one' (7) panicked at crates/wire/src/a.rs:9:5:
assertion `left == right` failed
  left: 1
 right: 2
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

---- a::two stdout ----
---- a::fine stdout ----
failures:
Error: \"no\"


failures:
    a::one
    a::two

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    /// As libtest-mimic prints it; its first test failed without a word.
    const MIMIC: &str = "
test executable: oracle of outpost-tests

running 3 tests
test script 1 ... FAILED
test script 2 ... FAILED
test script 3 ... ok

failures:

---- script 1 ----

---- script 2 ----
answers differ
-ok
+no node


failures:
    script 1
    script 2

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s
";

    #[test]
    fn what_failed_tests_of_libtest_said_is_kept_and_no_more() {
        let expected = [
            failed(
                "wire of outpost-wire",
                "a::one",
                &[
                    "on the way",
                    "",
                    "thread 'a::one' (7) panicked at crates/wire/src/a.rs:9:5:",
                    "assertion `left == right` failed",
                    "  left: 1",
                    " right: 2",
                    "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
                ],
            ),
            failed(
                "wire of outpost-wire",
                "a::two",
                &["---- a::fine stdout ----", "failures:", "Error: \"no\""],
            ),
        ];
        assert_eq!(read(LIBTEST), expected);
    }

    #[test]
    fn what_failed_tests_of_libtest_mimic_said_is_kept_and_no_more() {
        let oracle = "oracle of outpost-tests";
        let expected = [
            failed(oracle, "script 1", &[]),
            failed(oracle, "script 2", &["answers differ", "-ok", "+no node"]),
        ];
        assert_eq!(read(MIMIC), expected);
    }

    #[test]
    fn each_executable_heads_its_own_failures() {
        let fine =
            "test executable: fine of p\n\nrunning 0 tests\n\ntest result: ok. 0 passed; 0 failed;";
        let text = retell(&read(&[LIBTEST, fine, MIMIC].concat()));
        let headings: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("==== ") || heading(line).is_some())
            .collect();
        let expected = [
            "==== wire of outpost-wire ====",
            "---- a::one ----",
            "---- a::two ----",
            // Said by a::two.
            "---- a::fine stdout ----",
            "==== oracle of outpost-tests ====",
            "---- script 1 ----",
            "---- script 2 ----",
        ];
        assert_eq!(headings, expected);
    }

    #[test]
    fn an_executable_that_dies_is_named() {
        let died = "test executable: dead of p\n\nrunning 2 tests\ntest a ... ok\n";
        let kept = read(&[died, MIMIC, died].concat());
        let names: Vec<(&str, &str)> = kept
            .iter()
            .map(|it| (it.executable.as_str(), it.test.as_str()))
            .collect();
        let expected = [
            ("dead of p", "no summary"),
            ("oracle of outpost-tests", "script 1"),
            ("oracle of outpost-tests", "script 2"),
            ("dead of p", "no summary"),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_second_list_of_an_executable_is_its_own_as_well() {
        let (_, again) = MIMIC.split_at(MIMIC.find("running").unwrap_or_default());
        let died = "running 2 tests\n";
        let kept = read(&[MIMIC, again, died].concat());
        assert!(
            kept.iter()
                .all(|it| it.executable == "oracle of outpost-tests")
        );
        let names: Vec<&str> = kept.iter().map(|it| it.test.as_str()).collect();
        let expected = ["script 1", "script 2", "script 1", "script 2", "no summary"];
        assert_eq!(names, expected);
    }

    #[test]
    fn tests_in_the_documentation_are_not_the_last_executable_s() {
        let name = "crates/sim/src/a.rs - a (line 15)";
        let kept = read(&MIMIC.replace("script 2", name));
        let owners: Vec<&str> = kept.iter().map(|it| it.executable.as_str()).collect();
        assert_eq!(owners, ["oracle of outpost-tests", "documentation"]);
    }

    #[test]
    fn nothing_is_said_where_nothing_failed() {
        assert_eq!(retell(&[]), "");
    }

    #[test]
    fn a_test_that_says_much_is_cut_in_the_middle() {
        let many: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let text = retell(&[failed("e", "t", &many), failed("e", "u", &["short"])]);
        let lines: Vec<&str> = text.lines().collect();
        // An empty line, the introduction, the executable and two tests.
        assert_eq!(lines.len(), 5 + TEST_LINES_MAX + 1);
        assert_eq!(lines[4], "line 0");
        assert!(
            text.contains("line 29\n[... 941 lines left out; they stand above ...]\nline 971\n")
        );
        assert!(text.ends_with("line 999\n---- u ----\nshort\n"));
    }

    #[test]
    fn frames_of_a_backtrace_are_left_out() {
        let said = [
            "  indented",
            "at last",
            "stack backtrace:",
            "   0: rust_begin_unwind",
            "             at /rustc/panicking.rs:689:5",
            "note: Some details are omitted",
            "  indented",
        ];
        let text = retell(&[failed("e", "t", &said)]);
        let expected = "---- t ----\n  indented\nat last\nstack backtrace:\nnote: Some details are omitted\n  indented\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn many_tests_share_the_lines_there_are() {
        let said = ["said"; 100];
        for tests in [7, 20, 66, 1000] {
            let many: Vec<Failed> = (0..tests)
                .map(|n| failed("e", &format!("t{n}"), &said))
                .collect();
            let text = retell(&many);
            assert!(text.lines().count() <= LINES_MAX + 2, "{tests} tests");
            assert!(text.contains("---- t0 ----"), "{tests} tests");
            assert!(
                text.contains(&format!("---- t{} ----", tests - 1)),
                "{tests} tests"
            );
        }
    }

    #[test]
    fn a_long_line_is_cut_in_the_middle() {
        let long = format!("left: {}: left", "ä".repeat(5000));
        let text = retell(&[failed("e", "t", &[&long])]);
        let line = text.lines().last().unwrap_or_default();
        assert!(line.starts_with("left: ä") && line.ends_with("ä: left"));
        assert!(line.contains("[... 4412 characters ...]"), "{line}");
    }

    #[test]
    fn an_announced_executable_is_named_without_its_hash() {
        let line = announce(Path::new("/target/debug/deps/oracle-0123456789abcdef"));
        assert!(line.starts_with("test executable: oracle of "), "{line}");
    }
}
