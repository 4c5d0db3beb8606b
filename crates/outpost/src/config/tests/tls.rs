//! Every key of `ssl.*` and `ssl.quorum.*`: what it changes, and what is said of a value that cannot be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::keys::{self, Verdict};
use super::super::{
    ClientAuth, HostNames, Password, Secret, Store, StoreKind, Tls, TlsSettings, TlsVersion,
};
use super::Setup;

/// One family of keys.
struct Family {
    prefix: &'static str,
    /// What switches its side on.
    on: &'static str,
    reload: &'static str,
    of: fn(Tls) -> Option<TlsSettings>,
    /// Whether those who connect are checked by name, and names are looked up, where nothing is set.
    strict: bool,
}

const CLIENTS: Family = Family {
    prefix: "ssl.",
    on: "secureClientPort=2281",
    reload: "client.certReload",
    of: |tls| tls.clients,
    strict: false,
};
const QUORUM: Family = Family {
    prefix: "ssl.quorum.",
    on: "sslQuorum=true",
    reload: "sslQuorumReloadCertFiles",
    of: |tls| tls.quorum,
    strict: true,
};

impl Family {
    /// With both stores, and this.
    fn with(&self, lines: &str) -> Setup {
        let Family { prefix, on, .. } = self;
        Setup::least_and(&format!(
            "{on}\n{prefix}keyStore.location=/own.pem\n{prefix}trustStore.location=/trust.p12\n{lines}\n"
        ))
    }

    fn settings(&self, lines: &str) -> TlsSettings {
        let tls = self.with(lines).loaded().config.tls;
        (self.of)(tls).unwrap()
    }

    /// The key in full.
    fn key(&self, short: &str) -> String {
        match short {
            "(reload)" => self.reload.to_owned(),
            _ => format!("{}{short}", self.prefix),
        }
    }
}

type Changed = fn(&TlsSettings) -> bool;

fn key_store(tls: &TlsSettings) -> &Store {
    tls.key_store.as_ref().unwrap()
}

fn trust_store(tls: &TlsSettings) -> &Store {
    tls.trust_store.as_ref().unwrap()
}

fn text(secret: &str) -> Password {
    Password::Text(Secret::from(secret.to_owned()))
}

/// A key, a value that is not its default, and how that shows.
#[rustfmt::skip]
const CHANGES: [(&str, &str, Changed); 17] = [
    ("keyStore.location", "/other.pem", |tls| key_store(tls).location == Path::new("/other.pem")),
    ("keyStore.type", "jks", |tls| key_store(tls).kind == StoreKind::Java),
    ("keyStore.password", "sesame", |tls| key_store(tls).password == text("sesame")),
    ("keyStore.passwordPath", "/pw", |tls| key_store(tls).password == Password::File("/pw".into())),
    ("trustStore.location", "/other.p12", |tls| trust_store(tls).location == Path::new("/other.p12")),
    ("trustStore.type", "PEM", |tls| trust_store(tls).kind == StoreKind::Pem),
    ("trustStore.password", "sesame", |tls| trust_store(tls).password == text("sesame")),
    ("trustStore.passwordPath", "/pw", |tls| trust_store(tls).password == Password::File("/pw".into())),
    ("protocol", "TLSv1.2", |tls| tls.versions == [TlsVersion::Tls12]),
    ("enabledProtocols", "TLSv1.3", |tls| tls.versions == [TlsVersion::Tls13]),
    ("ciphersuites", "TLS_AES_128_GCM_SHA256", |tls| tls.cipher_suites == ["TLS_AES_128_GCM_SHA256"]),
    ("clientAuth", "want", |tls| tls.client_auth == ClientAuth::Want),
    ("clientAuth", "NONE", |tls| tls.client_auth == ClientAuth::None),
    ("hostnameVerification", "false", |tls| !tls.host_names.servers && !tls.host_names.clients),
    ("handshakeDetectionTimeoutMillis", "70", |tls| tls.detection_timeout == Duration::from_millis(70)),
    ("(reload)", "false", |tls| !tls.reload),
    // Nothing but `keyStore.type` says what this is.
    ("keyStore.location", "/other.p12", |tls| key_store(tls).kind == StoreKind::Java),
];

/// A key, a value that cannot be, and what is said of it.
const COMPLAINTS: [(&str, &str, &str); 16] = [
    ("keyStore.location", "/own.key", "does not end in .pem"),
    ("keyStore.location", "/own.bcfks", "Bouncy Castle"),
    ("keyStore.type", "BCFKS", "turn the store into PKCS12"),
    ("keyStore.type", "DER", "must be PEM, PKCS12 or JKS"),
    ("trustStore.location", "/trust", "say with"),
    ("trustStore.type", "BCFKS", "turn the store into PKCS12"),
    (
        "protocol",
        "TLSv1.1",
        "only TLSv1.3 and TLSv1.2 are supported",
    ),
    ("enabledProtocols", "TLSv1,SSLv3", "name one of them"),
    (
        "ciphersuites",
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "there are TLS_AES_256_GCM_SHA384",
    ),
    ("clientAuth", "maybe", "must be need, want or none"),
    (
        "crl",
        "true",
        "cannot ask whether a certificate was revoked",
    ),
    (
        "ocsp",
        "true",
        "cannot ask whether a certificate was revoked",
    ),
    (
        "context.supplier.class",
        "org.example.Mine",
        "cannot run this class",
    ),
    (
        "handshakeDetectionTimeoutMillis",
        "0",
        "must be between 1 and",
    ),
    (
        "handshakeDetectionTimeoutMillis",
        "soon",
        "not a whole number",
    ),
    ("trustStore.type", "PKCS7", "must be PEM, PKCS12 or JKS"),
];

#[test]
fn every_key_of_tls_has_an_effect_or_is_complained_of() {
    for family in [CLIENTS, QUORUM] {
        let default = family.settings("");
        for (key, value, changed) in CHANGES {
            let line = format!("{}={value}", family.key(key));
            assert!(!changed(&default), "{line} is the default");
            assert!(changed(&family.settings(&line)), "{line}");
        }
        for (key, value, complaint) in COMPLAINTS {
            let line = format!("{}={value}", family.key(key));
            let complaints = family.with(&line).complaints();
            let place = format!("zoo.cfg:9: {line}: ");
            assert!(
                complaints.contains(&place) && complaints.contains(complaint),
                "{line}: {complaints}"
            );
        }
    }
    // No key is missing above; what depends on the family has tests of its own.
    let tried = CHANGES.map(|(key, ..)| key).into_iter();
    let tried = tried.chain(COMPLAINTS.map(|(key, ..)| key));
    let tried = tried.chain(["clientHostnameVerification", "allowReverseDnsLookup"]);
    let tried: BTreeSet<&str> = tried.collect();
    let tried: BTreeSet<String> = [CLIENTS, QUORUM]
        .iter()
        .flat_map(|family| tried.iter().map(|key| family.key(key)))
        .collect();
    let honoured = keys::all().filter(|key| matches!(key.verdict, Verdict::Honoured));
    let missing: Vec<&str> = honoured
        .map(|key| key.name)
        .filter(|name| name.starts_with("ssl.") && !tried.contains(*name))
        .collect();
    assert_eq!(missing, ["ssl.authProvider"]);
}

#[test]
fn those_who_connect_are_checked_by_name_where_the_family_is_strict_or_it_is_said() {
    for family in [CLIENTS, QUORUM] {
        let Family { prefix, strict, .. } = family;
        let names = |lines: &str| family.settings(lines).host_names;
        let both = HostNames {
            servers: true,
            clients: strict,
            reverse_lookup: strict,
        };
        assert_eq!(names(""), both);
        for asked in [true, false] {
            let clients = HostNames {
                clients: asked,
                ..both
            };
            let line = format!("{prefix}clientHostnameVerification={asked}");
            assert_eq!(names(&line), clients);
            let reverse_lookup = HostNames {
                reverse_lookup: asked,
                ..both
            };
            let line = format!("{prefix}allowReverseDnsLookup={asked}");
            assert_eq!(names(&line), reverse_lookup);
        }
        // As in Java, the one switches the other off.
        let off =
            format!("{prefix}hostnameVerification=false\n{prefix}clientHostnameVerification=true");
        assert!(!names(&off).clients);
    }
}

#[test]
fn what_is_not_supported_beside_what_is_is_warned_of_and_left_out() {
    for family in [CLIENTS, QUORUM] {
        let prefix = family.prefix;
        let lines = format!(
            "{prefix}enabledProtocols=TLSv1.1,TLSv1.2\n\
             {prefix}ciphersuites=TLS_RSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
        );
        let settings = family.settings(&lines);
        assert_eq!(settings.versions, [TlsVersion::Tls12]);
        assert_eq!(
            settings.cipher_suites,
            ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
        );
        let warnings = family.with(&lines).warnings();
        for text in [
            "TLSv1.1 is not supported, and not used",
            "not supported, and not used: TLS_RSA_WITH_AES_128_CBC_SHA",
        ] {
            assert!(warnings.contains(text), "{warnings}");
        }
        // Each exists, but not together.
        let apart = format!(
            "{prefix}enabledProtocols=TLSv1.2\n{prefix}ciphersuites=TLS_AES_128_GCM_SHA256"
        );
        let complaints = family.with(&apart).complaints();
        assert!(
            complaints.contains("none of these is a cipher suite of Outpost's"),
            "{complaints}"
        );
    }
}

#[test]
fn each_side_says_which_store_it_cannot_do_without() {
    for (lines, complaint) in [
        ("secureClientPort=2281", "needs ssl.keyStore.location"),
        (
            "secureClientPort=2281\nssl.keyStore.location=/own.pem",
            "needs ssl.trustStore.location",
        ),
        ("sslQuorum=true", "needs ssl.quorum.trustStore.location"),
    ] {
        let complaints = Setup::least_and(lines).complaints();
        assert!(complaints.contains(complaint), "{lines}: {complaints}");
    }
    let nameless = "secureClientPort=2281\nssl.keyStore.location=/own.pem\nssl.clientAuth=none";
    assert_eq!(Setup::least_and(nameless).complaints(), "");
    for (lines, warning) in [
        (
            "sslQuorum=true\nssl.quorum.trustStore.location=/trust.pem",
            "has no certificate to show",
        ),
        (
            "sslQuorum=true\nssl.quorum.trustStore.location=/trust.pem\nssl.quorum.hostnameVerification=false",
            "can pose as the leader",
        ),
        (
            "ssl.keyStore.location=/own.pem",
            "has no effect: neither secureClientPort nor client.portUnification is set",
        ),
        (
            "ssl.quorum.trustStore.location=/trust.pem",
            "has no effect: sslQuorum is not true",
        ),
        ("ssl.sslProvider=OPENSSL", "rustls"),
        ("ssl.quorum.cipher=x", "there is no such setting of TLS"),
    ] {
        let warnings = Setup::least_and(lines).warnings();
        assert!(warnings.contains(warning), "{lines}: {warnings}");
    }
}

#[test]
fn what_cannot_be_kept_is_only_complained_of_where_tls_is_spoken() {
    for prefix in ["ssl.", "ssl.quorum."] {
        let promises = format!(
            "{prefix}crl=true\n{prefix}ocsp=true\n{prefix}context.supplier.class=org.example.Mine"
        );
        assert_eq!(Setup::least_and(&promises).complaints(), "");
        // A value that is none shows nevertheless.
        let wrong = format!("{prefix}clientAuth=maybe");
        assert!(Setup::least_and(&wrong).complaints().contains("must be"));
    }
}

#[test]
fn a_store_whose_location_is_empty_is_none_and_its_password_s_file_goes_before_the_password() {
    let lines = "ssl.quorum.keyStore.location=\nssl.quorum.trustStore.password=one\n\
        ssl.quorum.trustStore.passwordPath=/two";
    let settings = QUORUM.settings(lines);
    assert_eq!(settings.key_store, None);
    let file = Password::File(PathBuf::from("/two"));
    assert_eq!(trust_store(&settings).password, file);
    let shown = format!(
        "{:?}",
        QUORUM.settings("ssl.quorum.keyStore.password=sesame")
    );
    assert!(!shown.contains("sesame"), "{shown}");
}
