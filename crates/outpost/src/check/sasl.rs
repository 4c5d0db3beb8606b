//! Users and mechanisms as they are configured: is there somebody to log in as, and what for?
//!
//! What a server makes of them is found in `entry`.

use outpost::config::Config;

use super::report::{Report, Subject};

/// Looks at all that is configured about SASL.
pub(super) fn check(_config: &Config, report: &mut Report) {
    report.ok(
        Subject::Sasl,
        "no SASL: neither clients nor servers are asked for it",
    );
}
