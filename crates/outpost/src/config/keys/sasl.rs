//! SASL, towards clients and towards the ensemble.

use super::{Key, NO, NONE, honoured, ignored};

const KERBEROS: &str = "it concerns Kerberos, which Outpost does not speak; users of DIGEST-MD5 keep their \
    names as they are";
const NO_LEARNERS: &str = "Outpost does not serve downstream learners yet, so nobody logs in there";

/// The keys of this group.
pub(super) const KEYS: &[Key] = &[
    honoured("java.security.auth.login.config"),
    honoured("sasl.serverconfig"),
    honoured("sessionRequireClientSASLAuth"),
    honoured("allowSaslFailedClients"),
    honoured("superUser"),
    honoured("superUser.*"),
    honoured("letAnySaslUserDoX"),
    honoured("SASLAuthenticationProvider.superPassword"),
    ignored("requireKerberosConfig", NO, KERBEROS),
    ignored("kerberos.*", NONE, KERBEROS),
    ignored("security.auth_to_local", NONE, KERBEROS),
    honoured("fips-mode"),
    honoured("quorum.auth.enableSasl"),
    honoured("quorum.auth.learnerRequireSasl"),
    honoured("quorum.auth.serverRequireSasl"),
    honoured("quorum.auth.learner.saslLoginContext"),
    ignored("quorum.auth.kerberos.servicePrincipal", NONE, KERBEROS),
    ignored("quorum.auth.server.saslLoginContext", NONE, NO_LEARNERS),
];
