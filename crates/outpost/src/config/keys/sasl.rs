//! SASL, towards clients and towards the ensemble.

use super::{Key, NO, NONE, ignored, refused};

const NO_SASL: &str = "SASL is not supported yet, so this has nothing to act on";
const NEED_QUORUM_SASL: &str = "SASL towards the ensemble is not supported yet; set it to false where the \
    voters do not require it, or stay with a Java observer";
const NEED_SASL: &str = "SASL towards clients is not supported yet, so no client could be served; remove \
    the line, or stay with a Java observer";

/// The keys of this group.
pub(super) const KEYS: &[Key] = &[
    refused("sessionRequireClientSASLAuth", NO, NEED_SASL),
    ignored("allowSaslFailedClients", NO, NO_SASL),
    ignored("superUser", NONE, NO_SASL),
    ignored("superUser.*", NONE, NO_SASL),
    ignored("letAnySaslUserDoX", NONE, NO_SASL),
    ignored("SASLAuthenticationProvider.superPassword", NONE, NO_SASL),
    ignored("sasl.serverconfig", NONE, NO_SASL),
    ignored("java.security.auth.login.config", NONE, NO_SASL),
    ignored("requireKerberosConfig", NO, NO_SASL),
    ignored("kerberos.*", NONE, NO_SASL),
    ignored("security.auth_to_local", NONE, NO_SASL),
    ignored(
        "fips-mode",
        NO,
        "Outpost's cryptography is not certified after FIPS 140; what is asked of certificates and host names \
            is the same in either mode",
    ),
    refused("quorum.auth.enableSasl", NO, NEED_QUORUM_SASL),
    refused("quorum.auth.learnerRequireSasl", NO, NEED_QUORUM_SASL),
    refused("quorum.auth.serverRequireSasl", NO, NEED_QUORUM_SASL),
    ignored("quorum.auth.kerberos.servicePrincipal", NONE, NO_SASL),
    ignored("quorum.auth.learner.saslLoginContext", NONE, NO_SASL),
    ignored("quorum.auth.server.saslLoginContext", NONE, NO_SASL),
];
