//! This machine: may we open as many files as clients are allowed to connect?

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
