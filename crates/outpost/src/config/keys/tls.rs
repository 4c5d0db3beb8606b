//! TLS, towards clients and towards the ensemble.

use super::{Key, NO, NONE, honoured, ignored, refused};

const NO_TLS: &str = "TLS is not supported yet, so this has nothing to act on";
const NEED_CLIENT_TLS: &str = "TLS towards clients is not supported yet; remove the line to serve clients \
    without TLS, or stay with a Java observer";
const NO_SUCH_TLS: &str = "there is no such setting of TLS";

/// The keys of this group.
pub(super) const KEYS: &[Key] = &[
    ignored("X509AuthenticationProvider.superUser", NONE, NO_TLS),
    refused("secureClientPort", NONE, NEED_CLIENT_TLS),
    ignored("secureClientPortAddress", NONE, NO_TLS),
    refused("client.portUnification", NO, NEED_CLIENT_TLS),
    honoured("client.certReload"),
    honoured("sslQuorum"),
    ignored("portUnification", NO, "Outpost opens no quorum port"),
    honoured("sslQuorumReloadCertFiles"),
    honoured("ssl.quorum.keyStore.location"),
    honoured("ssl.quorum.keyStore.password"),
    honoured("ssl.quorum.keyStore.passwordPath"),
    honoured("ssl.quorum.keyStore.type"),
    honoured("ssl.quorum.trustStore.location"),
    honoured("ssl.quorum.trustStore.password"),
    honoured("ssl.quorum.trustStore.passwordPath"),
    honoured("ssl.quorum.trustStore.type"),
    honoured("ssl.quorum.protocol"),
    honoured("ssl.quorum.enabledProtocols"),
    honoured("ssl.quorum.ciphersuites"),
    honoured("ssl.quorum.clientAuth"),
    honoured("ssl.quorum.hostnameVerification"),
    honoured("ssl.quorum.clientHostnameVerification"),
    honoured("ssl.quorum.allowReverseDnsLookup"),
    honoured("ssl.quorum.crl"),
    honoured("ssl.quorum.ocsp"),
    honoured("ssl.quorum.context.supplier.class"),
    honoured("ssl.quorum.handshakeDetectionTimeoutMillis"),
    honoured("ssl.keyStore.location"),
    honoured("ssl.keyStore.password"),
    honoured("ssl.keyStore.passwordPath"),
    honoured("ssl.keyStore.type"),
    honoured("ssl.trustStore.location"),
    honoured("ssl.trustStore.password"),
    honoured("ssl.trustStore.passwordPath"),
    honoured("ssl.trustStore.type"),
    honoured("ssl.protocol"),
    honoured("ssl.enabledProtocols"),
    honoured("ssl.ciphersuites"),
    honoured("ssl.clientAuth"),
    honoured("ssl.hostnameVerification"),
    honoured("ssl.clientHostnameVerification"),
    honoured("ssl.allowReverseDnsLookup"),
    honoured("ssl.crl"),
    honoured("ssl.ocsp"),
    honoured("ssl.context.supplier.class"),
    honoured("ssl.handshakeDetectionTimeoutMillis"),
    ignored(
        "ssl.sslProvider",
        NONE,
        "Outpost's TLS is rustls, whatever a Java server would choose",
    ),
    ignored("ssl.quorum.*", NONE, NO_SUCH_TLS),
    ignored("ssl.*", NONE, NO_SUCH_TLS),
];
