//! TLS, towards clients and towards the ensemble.

use super::{Key, NO, NONE, ignored, refused};

const NO_TLS: &str = "TLS is not supported yet, so this has nothing to act on";
const NEED_CLIENT_TLS: &str = "TLS towards clients is not supported yet; remove the line to serve clients \
    without TLS, or stay with a Java observer";
const NEED_QUORUM_TLS: &str = "TLS towards the ensemble is not supported yet; set it to false where the \
    voters accept plain connections too, or stay with a Java observer";

/// The keys of this group.
pub(super) const KEYS: &[Key] = &[
    ignored("X509AuthenticationProvider.superUser", NONE, NO_TLS),
    refused("secureClientPort", NONE, NEED_CLIENT_TLS),
    ignored("secureClientPortAddress", NONE, NO_TLS),
    refused("client.portUnification", NO, NEED_CLIENT_TLS),
    ignored("client.certReload", NO, NO_TLS),
    refused("sslQuorum", NO, NEED_QUORUM_TLS),
    ignored("portUnification", NO, "Outpost opens no quorum port"),
    ignored("sslQuorumReloadCertFiles", NO, NO_TLS),
    ignored("ssl.quorum.*", NONE, NO_TLS),
    ignored("ssl.*", NONE, NO_TLS),
];
