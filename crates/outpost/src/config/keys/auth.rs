//! Who a client is, and what it may do.

use super::{Key, honoured};

/// The keys of this group.
pub(super) const KEYS: &[Key] = &[
    honoured("skipACL"),
    honoured("DigestAuthenticationProvider.enabled"),
    honoured("DigestAuthenticationProvider.digestAlg"),
    honoured("DigestAuthenticationProvider.superDigest"),
    honoured("authProvider.*"),
    honoured("ensembleAuthName"),
    honoured("enforce.auth.enabled"),
    honoured("enforce.auth.schemes"),
    honoured("IPAuthenticationProvider.usexforwardedfor"),
];
