//! Every key that a ZooKeeper configuration may hold, and what Outpost does about it.
//!
//! The table is the only place that says so; `docs/operating.md` repeats it for operators, and a test
//! holds the two together. What a honoured key means stands where it is read. The table stands in
//! parts, one file for each kind of key; their variables and their misspellings have a file each.

mod auth;
mod clients;
mod ensemble;
mod inside;
mod operators;
mod own;
mod sasl;
mod spelling;
mod tls;
mod variables;

use spelling::distance;
pub(super) use spelling::{nearest, nearest_of};
pub(super) use variables::{is_other_variable, of_variable, variable};

/// The parts of the table.
const PARTS: [&[Key]; 8] = [
    ensemble::KEYS,
    clients::KEYS,
    auth::KEYS,
    sasl::KEYS,
    tls::KEYS,
    operators::KEYS,
    inside::KEYS,
    own::KEYS,
];

/// What is done about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It means here what it means to a Java observer.
    Honoured,
    /// It changes nothing here, and a warning says why, unless the value is one that asks for nothing.
    Ignored {
        /// Values that need no warning, in lower case.
        quiet: &'static [&'static str],
        /// Why nothing is lost, or what is.
        why: &'static str,
    },
    /// Going on without it would break what it promises, so its values are complaints.
    Refused {
        /// Values that promise nothing and are accepted, in lower case.
        unless: &'static [&'static str],
        /// What is missing, and what to do.
        why: &'static str,
    },
}

/// A key, or a family of keys: names that end in `.*` or `.N` stand for whatever follows the dot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// As it is written in `zoo.cfg`, without the prefix `zookeeper.`.
    pub(super) name: &'static str,
    /// What is done about it.
    pub(super) verdict: Verdict,
}

impl Key {
    /// What the names of a family begin with, dot included.
    fn family(&self) -> Option<&'static str> {
        let stem = self.name.strip_suffix('*');
        stem.or_else(|| {
            self.name
                .strip_suffix(".N")
                .map(|_| &self.name[..self.name.len() - 1])
        })
    }
}

const fn honoured(name: &'static str) -> Key {
    Key {
        name,
        verdict: Verdict::Honoured,
    }
}

const fn ignored(name: &'static str, quiet: &'static [&'static str], why: &'static str) -> Key {
    Key {
        name,
        verdict: Verdict::Ignored { quiet, why },
    }
}

const fn refused(name: &'static str, unless: &'static [&'static str], why: &'static str) -> Key {
    Key {
        name,
        verdict: Verdict::Refused { unless, why },
    }
}

const NO: &[&str] = &["false", "no"];
const NONE: &[&str] = &[];
const NO_JVM: &str = "there is no Java virtual machine here";
const NO_VOTER: &str = "it concerns voters; an observer has no use for it";
const NO_ELECTION: &str = "Outpost takes no part in elections and opens no election port";

/// Keys that a Java server reads only from its command line, where they have no prefix `zookeeper.`, and that
/// are honoured here in the file too.
const COMMAND_LINE_ONLY: &[&str] = &[
    "java.security.auth.login.config",
    "jute.maxbuffer",
    "readonlymode.enabled",
];

/// Flags that a Java server reads strictly: anything but `true` and `false` keeps it from starting. Ours are like that.
const STRICT_FLAGS: &[&str] = &[
    "localSessionsEnabled",
    "localSessionsUpgradingEnabled",
    "multiAddress.enabled",
    "reconfigEnabled",
    "sslQuorum",
    "standaloneEnabled",
];

/// Numbers that a Java server reads strictly: in decimal digits, and what is none keeps it from starting. Ours are like
/// that. The others are system properties, which may be hexadecimal or octal, and count as not set otherwise.
const STRICT_NUMBERS: &[&str] = &[
    "clientPort",
    "clientPortListenBacklog",
    "connectToLearnerMasterLimit",
    "initLimit",
    "maxClientCnxns",
    "maxSessionTimeout",
    "metricsProvider.httpPort",
    "minSessionTimeout",
    "observerMasterPort",
    "secureClientPort",
    "ssl.handshakeDetectionTimeoutMillis",
    "ssl.quorum.handshakeDetectionTimeoutMillis",
    "syncLimit",
    "tickTime",
];

/// The one flag that anything but `false` switches on; anything but `true` switches the others off.
const ON_UNLESS_FALSE: &str = "admin.enableServer";

/// Words in the names of keys that hold secrets, in lower case.
const SECRETS: &[&str] = &["password", "passwd", "secret", "credential", "superdigest"];

/// The key without the prefix that it has as a property of a Java server.
pub(super) fn canonical(key: &str) -> &str {
    key.strip_prefix("zookeeper.").unwrap_or(key)
}

/// Every known key.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    PARTS.iter().copied().flatten()
}

/// What the table says about a key in its canonical form.
pub(super) fn find(key: &str) -> Option<&'static Key> {
    let exact = all().find(|known| known.name == key);
    exact.or_else(|| {
        let in_family = |known: &&Key| known.family().is_some_and(|stem| key.starts_with(stem));
        let families = all().filter(in_family);
        families.max_by_key(|known| known.name.len())
    })
}

/// Whether a Java server would read over this key in a file without a word.
pub(super) fn is_command_line_only(key: &str) -> bool {
    COMMAND_LINE_ONLY.contains(&key)
}

/// What a Java server takes a value of this flag for that is neither `true` nor `false`; `None` if it does not start.
pub(super) fn strange_flag(key: &str) -> Option<bool> {
    let is_strict = STRICT_FLAGS.contains(&key)
        || key.starts_with("outpost.")
        || key.starts_with("quorum.auth.");
    (!is_strict).then_some(key == ON_UNLESS_FALSE)
}

/// Whether a Java server does not start when the value of this key is no decimal number.
pub(super) fn is_strict_number(key: &str) -> bool {
    STRICT_NUMBERS.contains(&key) || key.starts_with("outpost.")
}

/// Whether the value must never be shown. Broad on purpose: a misspelled key may hold a secret too.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let last = key.rsplit('.').next().unwrap_or_default();
    let sounds_like = |word: &&str| key.contains(*word) || distance(last, word) <= 2;
    SECRETS.iter().any(sounds_like) && !last.starts_with("passwordpath")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_key_stands_twice_in_the_table_nor_shares_its_variable() {
        let names: BTreeSet<_> = all().map(|key| key.name).collect();
        let variables: BTreeSet<_> = all().map(|key| variable(key.name)).collect();
        assert_eq!(
            (names.len(), variables.len()),
            (all().count(), all().count())
        );
        for key in all() {
            assert_eq!(of_variable(&variable(key.name)).as_deref(), Some(key.name));
            assert!(!is_other_variable(&variable(key.name), "1"), "{}", key.name);
        }
    }

    #[test]
    fn a_key_is_found_by_its_name_or_the_longest_family_it_belongs_to() {
        let name = |key| find(key).map(|known| known.name);
        assert_eq!(name("tickTime"), Some("tickTime"));
        assert_eq!(name("server.12"), Some("server.N"));
        assert_eq!(
            name("ssl.quorum.keyStore.location"),
            Some("ssl.quorum.keyStore.location")
        );
        assert_eq!(name("ssl.quorum.cipherSuites"), Some("ssl.quorum.*"));
        assert_eq!(name("ssl.cipherSuites"), Some("ssl.*"));
        assert_eq!(
            name("metricsProvider.httpPort"),
            Some("metricsProvider.httpPort")
        );
        assert_eq!(name("ticktime"), None);
        assert_eq!(name("server"), None);
    }

    #[test]
    fn a_variable_leads_to_its_key() {
        for (variable, key) in [
            ("OUTPOST_CLIENTPORT", Some("clientPort")),
            ("OUTPOST_JUTE_MAXBUFFER", Some("jute.maxbuffer")),
            (
                "OUTPOST_4LW_COMMANDS_WHITELIST",
                Some("4lw.commands.whitelist"),
            ),
            ("OUTPOST_FIPS_MODE", Some("fips-mode")),
            ("OUTPOST_SERVER_12", Some("server.12")),
            ("OUTPOST_AUTHPROVIDER_SASL", Some("authProvider.sasl")),
            ("OUTPOST_ID", Some("outpost.id")),
            ("OUTPOST_HOLD", Some("outpost.hold")),
            ("OUTPOST_CLIENT_PORT", None),
            ("OUTPOST_SERVER_", None),
        ] {
            assert_eq!(of_variable(variable).as_deref(), key, "{variable}");
        }
    }

    #[test]
    fn what_kubernetes_says_about_a_service_named_outpost_is_no_setting() {
        for (name, value) in [
            ("OUTPOST_SERVICE_HOST", "10.0.0.7"),
            ("OUTPOST_SERVICE_PORT", "2181"),
            ("OUTPOST_SERVICE_PORT_CLIENT", "2181"),
            ("OUTPOST_CLIENTS_SERVICE_PORT", "2181"),
            ("OUTPOST_PORT", "tcp://10.0.0.7:2181"),
            ("OUTPOST_PORT_2181_TCP", "tcp://10.0.0.7:2181"),
            ("OUTPOST_PORT_2181_TCP_PROTO", "tcp"),
            ("OUTPOST_ADMIN_PORT_8080_TCP_ADDR", "10.0.0.7"),
            ("OUTPOST_LOG", "debug"),
            ("OUTPOST_LOG_FORMAT", "json"),
        ] {
            assert!(is_other_variable(name, value), "{name}");
        }
        assert!(!is_other_variable("OUTPOST_PORT_UNIFICATION", "true"));
    }

    #[test]
    fn a_near_miss_is_recognised_and_a_stranger_is_not() {
        for (key, meant) in [
            ("ticktime", Some("tickTime")),
            ("clientport", Some("clientPort")),
            ("autopurge.purgeInteval", Some("autopurge.purgeInterval")),
            ("sever.3", Some("server.N")),
            ("servers.3", Some("server.N")),
            ("maxClientCnxn", Some("maxClientCnxns")),
            ("4lw.commands.whitelists", Some("4lw.commands.whitelist")),
            ("outpost.holds", Some("outpost.hold")),
            ("my.own.setting", None),
            ("heap", None),
            ("", None),
        ] {
            assert_eq!(nearest(key), meant, "{key}");
        }
    }

    #[test]
    fn values_of_keys_that_sound_like_secrets_are_secret() {
        for key in [
            "DigestAuthenticationProvider.superDigest",
            "ssl.keyStore.password",
            "ssl.quorum.trustStore.password",
            "SASLAuthenticationProvider.superPassword",
            "ssl.keystore.passwrd",
            "ssl.keystore.pasword",
            "DigestAuthenticationProvider.superDigst",
        ] {
            assert!(is_secret(key), "{key}");
        }
        assert!(!is_secret("ssl.keyStore.passwordPath"));
        assert!(!is_secret("digest.enabled"));
    }
}
