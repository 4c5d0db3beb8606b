//! What shells and `man` are given, tried with a real bash and a real groff.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{outpost, run, text};

/// What bash offers for the last of `words`.
fn offered(words: &[&str]) -> Vec<String> {
    let script = text(&run(&["completions", "bash"]).stdout);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let last = words.len() - 1;
    let before = words[last.saturating_sub(1)];
    let ask = format!(
        "{script}\nCOMP_WORDS=({})\nCOMP_CWORD={last}\n_outpost outpost '{}' '{before}'\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        quoted.join(" "),
        words[last]
    );
    let output = Command::new("bash").args(["--norc", "-c", &ask]).output();
    let output = output.expect("bash");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn bash_completes_commands_options_and_their_values() {
    for command in ["run", "check", "health", "demo", "completions", "man"] {
        assert!(
            offered(&["outpost", ""]).contains(&command.to_owned()),
            "{command}"
        );
    }
    assert_eq!(offered(&["outpost", "he"]), ["health", "help"]);
    assert_eq!(offered(&["outpost", "run", "--log-f"]), ["--log-format"]);
    assert_eq!(
        offered(&["outpost", "run", "--log-format", ""]),
        ["human", "json"]
    );
}

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        assert!(text(&output.stdout).contains("log-format"), "{shell}");
    }
}

#[test]
fn groff_sets_every_manual_page_without_a_warning() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("man1");
    std::fs::create_dir_all(&dir).expect("a directory");
    let output = run(&["man", dir.to_str().expect("a path")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for page in [
        "outpost",
        "outpost-run",
        "outpost-check",
        "outpost-health",
        "outpost-demo",
    ] {
        let page = dir.join(format!("{page}.1"));
        let mut groff = Command::new("groff");
        let set = groff
            .args(["-man", "-ww", "-Tascii"])
            .arg(&page)
            .output()
            .expect("groff");
        assert_eq!(text(&set.stderr), "", "{}", page.display());
        assert!(set.status.success());
    }
    let page = std::fs::read_to_string(dir.join("outpost-run.1")).expect("a page");
    assert!(page.contains("Exit codes: 0 drained"), "{page}");
    assert_eq!(run(&["man", "/nonexistent"]).status.code(), Some(1));
}

#[test]
fn a_reader_that_has_gone_away_is_no_mistake() {
    for arguments in [
        &["completions", "zsh"][..],
        &["man"],
        &["--help"],
        &["check", "/nonexistent"],
    ] {
        let mut child = outpost(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("ended");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        let code = if arguments[0] == "check" { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}
