//! Certificates and keys as they lie on disk: can they be read, do they fit, how long do they last?
//!
//! What a server makes of them is found in `entry`.

use outpost::config::Config;

use super::report::{Report, Subject};

/// Looks at all stores of the configuration.
pub(super) fn check(_config: &Config, report: &mut Report) {
    report.ok(
        Subject::Tls,
        "no TLS: clients and servers are spoken to in plain text",
    );
}
