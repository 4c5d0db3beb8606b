//! What shells and `man` want to know: completion scripts and manual pages, made from the command line's own tree.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use outpost::build_info;

use crate::EXIT_FAILED;
use crate::arguments::Arguments;
use crate::terminal::complain;

/// What `--help` says.
pub(crate) const COMPLETIONS_ABOUT: &str = "\
Print a completion script for a shell.

It completes commands, options, their values and file names.";

/// What `--help` says at its end.
pub(crate) const COMPLETIONS_MORE: &str = "\
For one session:
  bash: source <(outpost completions bash)
  zsh:  source <(outpost completions zsh)
  fish: outpost completions fish | source

For good:
  bash: outpost completions bash > /etc/bash_completion.d/outpost
  zsh:  outpost completions zsh > \"${fpath[1]}/_outpost\"
  fish: outpost completions fish > ~/.config/fish/completions/outpost.fish";

/// What `--help` says.
pub(crate) const MAN_ABOUT: &str = "\
Print the manual page, or write all of them into a directory.

`outpost man | man -l -` shows the page of the whole; `outpost man /usr/local/share/man/man1` installs that page \
and one for each command, so that `man outpost-run` finds it.";

/// Prints the script.
pub(crate) fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, "outpost", &mut script);
    print(&script)
}

/// Prints the page of the whole, or writes all pages.
pub(crate) fn man(dir: Option<&Path>) -> ExitCode {
    let pages = match pages() {
        Ok(pages) => pages,
        Err(error) => return fail(&format!("cannot make the manual pages: {error}")),
    };
    let Some(dir) = dir else {
        return print(pages.first().map_or(&[], |(_, page)| page));
    };
    for (name, page) in &pages {
        let path = dir.join(name);
        if let Err(error) = fs::write(&path, page) {
            return fail(&format!("{}: {error}", path.display()));
        }
    }
    ExitCode::SUCCESS
}

fn fail(why: &str) -> ExitCode {
    complain(why);
    ExitCode::from(EXIT_FAILED)
}

fn print(bytes: &[u8]) -> ExitCode {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            fail(&format!("cannot write: {error}"))
        }
        // Whoever has closed the pipe has read enough.
        _ => ExitCode::SUCCESS,
    }
}

/// File name and text of every page, that of the whole first.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![page(&command)?];
    for command in command.get_subcommands() {
        pages.push(page(command)?);
    }
    Ok(pages)
}

fn page(command: &clap::Command) -> io::Result<(String, Vec<u8>)> {
    let man = Man::new(command.clone())
        .date(&build_info::BUILT_ON[..10])
        .source(format!("Outpost {}", build_info::VERSION))
        .manual("Outpost");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let after = command.get_after_long_help().or(command.get_after_help());
    if let Some(after) = after {
        notes(&after.to_string()).to_writer(&mut text)?;
    }
    Ok((man.get_filename(), text))
}

/// What stands at the end of `--help`: paragraphs are filled, indented lines stay as they are.
fn notes(text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    for paragraph in text.split("\n\n") {
        roff.control("PP", []);
        for line in paragraph.lines() {
            roff.text([roman(line.trim_end())]);
            roff.control("br", []);
        }
    }
    roff
}
