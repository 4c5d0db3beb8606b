//! This machine: may we open as many files as clients are allowed to connect, and write the one we are to write?

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use outpost::config::Config;
use rustix::process::{Resource, getrlimit};

use super::report::{Report, Subject};

/// Descriptors for everything but clients: the link, listeners, operators, the runtime.
const OTHER_FILES: u64 = 64;
/// Below this even a modest number of clients is too many.
const FILES_FEW: u64 = 4096;

/// Looks at what the system allows this process.
pub(super) fn check(config: &Config, report: &mut Report) {
    files(config, report);
    let audit = config.audit.as_ref();
    if let Some(file) = audit.and_then(|audit| audit.file.as_ref()) {
        audit_file(file, report);
    }
}

/// Nothing is made: the file would be owned by whoever checks.
fn audit_file(file: &Path, report: &mut Report) {
    let name = format!("outpost.auditFile={}", file.display());
    let opened = OpenOptions::new().append(true).open(file);
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    match opened {
        Ok(_) => report.ok(Subject::Host, &format!("{name} can be added to")),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let text = format!("{name} cannot be written by this user: {error}");
            report.fail(Subject::Host, &text);
        }
        Err(_) if dir.is_dir() => {
            let text = format!("{name} will be made; its user must be allowed to");
            report.ok(Subject::Host, &text);
        }
        Err(_) => {
            let dir = dir.display();
            let text = format!(
                "{name}: there is no directory {dir}; make it, for the user that Outpost runs as"
            );
            report.fail(Subject::Host, &text);
        }
    }
}

fn files(config: &Config, report: &mut Report) {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        report.ok(Subject::Host, "any number of files may be open");
        return;
    };
    let connections = config.clients.max_cnxns.map(u64::from);
    match connections {
        Some(max) if max + OTHER_FILES > limit => {
            let text = format!(
                "{limit} files may be open, but maxCnxns={max}: further clients would be turned away; raise the \
                 limit (`ulimit -n`, LimitNOFILE)"
            );
            report.warn(Subject::Host, &text);
        }
        None if limit < FILES_FEW => {
            let text = format!(
                "only {limit} files may be open, so no more clients than that can connect; raise the limit \
                 (`ulimit -n`, LimitNOFILE)"
            );
            report.warn(Subject::Host, &text);
        }
        _ => report.ok(Subject::Host, &format!("{limit} files may be open")),
    }
}
