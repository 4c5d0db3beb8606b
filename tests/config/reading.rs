//! A configuration as one of the two understands it, field by field.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use outpost::config::{
    Clients, Config, DigestAlgorithm, FourLetterWords, Https, Store, StoreKind, TlsSettings,
};
use outpost_wire::membership::{Endpoint, Membership, Role};

use crate::corpus::Case;

/// The four-letter words of ZooKeeper 3.9.
const WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst",
    "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
];

/// What was understood.
pub(crate) enum Reading {
    /// Nothing; and why.
    Refused(String),
    /// Each field in words that are the same for both.
    Understood(BTreeMap<String, String>),
}

impl Reading {
    /// What `OneConfig.java` has written.
    pub(crate) fn of_java(text: &str) -> Reading {
        let fields = text.lines().filter_map(|line| line.split_once('='));
        let fields: BTreeMap<String, String> = fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        match fields.get("refused") {
            Some(why) => Reading::Refused(why.clone()),
            None => Reading::Understood(fields),
        }
    }

    /// What Outpost understands of the case in `place`.
    pub(crate) fn of_outpost(case: &Case, place: &Path) -> Reading {
        let definitions = case.definitions(place);
        let file = place.join("zoo.cfg");
        match Config::load_defined(&file, None, &definitions, std::iter::empty()) {
            Ok(loaded) => Reading::Understood(Fields::of(&loaded.config)),
            Err(complaints) => Reading::Refused(complaints.to_string()),
        }
    }
}

struct Fields(BTreeMap<String, String>);

impl Fields {
    fn of(config: &Config) -> BTreeMap<String, String> {
        let mut fields = Fields(BTreeMap::new());
        fields.identity(config);
        fields.ensemble(config);
        fields.clients(&config.clients);
        fields.auth(config);
        fields.operators(config);
        if let Some(tls) = config
            .tls
            .clients
            .as_ref()
            .filter(|_| config.clients.doors.secure.is_some())
        {
            fields.tls("clients", tls);
        }
        if let Some(tls) = &config.tls.quorum {
            fields.tls("quorum", tls);
        }
        fields.0
    }

    fn put(&mut self, name: &str, value: impl Display) {
        self.0.insert(name.to_owned(), value.to_string());
    }

    fn identity(&mut self, config: &Config) {
        self.put("id", config.id);
        self.put("peerType", Role::Observer);
        self.put("dataDir", config.data_dir.display());
        self.put("dataLogDir", config.data_log_dir.display());
        self.put("tickTime", config.ticks.tick_time.as_millis());
        self.put("initLimit", config.ticks.init_limit);
        self.put("syncLimit", config.ticks.sync_limit);
        self.put("connectLimit", config.ticks.connect_limit);
    }

    fn ensemble(&mut self, config: &Config) {
        let ensemble = &config.ensemble;
        self.put("members", members(&ensemble.members));
        self.put("reconfig", ensemble.reconfig_enabled);
        self.put("observerMasterPort", limit(ensemble.observer_master_port));
        self.put("quorumSasl", ensemble.sasl.is_some());
        self.put("reconnectDelay", ensemble.reconnect_delay_max.as_millis());
        self.put("recordBytesMax", ensemble.record_bytes_max);
        self.put("sslQuorum", config.tls.quorum.is_some());
        self.put("localSessions", config.agreed.local_sessions);
        self.put(
            "localSessionsUpgrading",
            config.agreed.local_sessions_upgrading,
        );
        self.put("extendedTypes", config.agreed.extended_types);
        self.put("digest", config.agreed.digest);
    }

    fn clients(&mut self, clients: &Clients) {
        self.put("clientPort", endpoint(clients.doors.plain.as_ref()));
        self.put("secureClientPort", endpoint(clients.doors.secure.as_ref()));
        self.put("minSessionTimeout", clients.min_session_timeout.as_millis());
        self.put("maxSessionTimeout", clients.max_session_timeout.as_millis());
        self.put("maxClientCnxns", limit(clients.max_client_cnxns));
        self.put("maxCnxns", limit(clients.max_cnxns));
        self.put("backlog", limit(clients.backlog));
        self.put("juteMaxBuffer", clients.frame_bytes_max);
        self.put("globalOutstandingLimit", clients.global_outstanding_limit);
        let large = clients.large_requests;
        self.put(
            "largeRequestThreshold",
            limit(large.map(|large| large.threshold)),
        );
        if let Some(large) = large {
            self.put("largeRequestMaxBytes", large.bytes_max);
        }
        self.throttle(clients);
    }

    fn throttle(&mut self, clients: &Clients) {
        let Some(throttle) = clients.connect_throttle else {
            self.put("throttleTokens", "none");
            return;
        };
        // In Java the bucket holds so many times the heaviest draw.
        let weight = throttle.weights.map_or(1, |weights| weights.global);
        self.put("throttleTokens", throttle.tokens * weight);
        self.put("throttleFillTime", throttle.fill_time.as_millis());
        self.put("throttleFillCount", throttle.fill_count * weight);
        let freeze = throttle.freeze_time.map_or(-1, millis);
        self.put("throttleFreezeTime", freeze);
        self.put("throttleDropIncrease", decimal(throttle.drop_increase));
        self.put("throttleDropDecrease", decimal(throttle.drop_decrease));
        self.put("throttleDecreaseRatio", decimal(throttle.decrease_ratio));
    }

    fn auth(&mut self, config: &Config) {
        let auth = &config.auth;
        self.put("skipAcl", auth.skip_acl);
        self.put("eagerAclCheck", auth.eager_acl_check);
        self.put("digestScheme", auth.digest.is_some());
        if let Some(digest) = &auth.digest {
            self.put(
                "digestAlgorithm",
                match digest.algorithm {
                    DigestAlgorithm::Sha1 => "SHA1",
                    DigestAlgorithm::Sha256 => "SHA-256",
                    DigestAlgorithm::Sha384 => "SHA-384",
                    DigestAlgorithm::Sha512 => "SHA-512",
                },
            );
        }
    }

    fn operators(&mut self, config: &Config) {
        let words = match &config.four_letter_words {
            FourLetterWords::All => WORDS.to_vec(),
            FourLetterWords::Only(words) => WORDS
                .iter()
                .copied()
                .filter(|word| words.contains(*word))
                .collect(),
        };
        self.put("words", words.join(" "));
        match &config.admin {
            None => self.put("admin", "none"),
            Some(admin) => {
                assert_eq!(admin.https, Https::Off, "Java would load stores");
                self.put("admin", endpoint(Some(&admin.addr)));
                self.put("adminIdleTimeout", admin.idle_timeout.as_millis());
                self.put("adminCommands", &admin.command_url);
            }
        }
        if config.monitor_as_prometheus {
            self.put("metrics", endpoint(config.metrics.as_ref()));
            self.put("metricsOfJvm", config.metrics_style.java_machine);
        }
    }

    fn tls(&mut self, side: &str, tls: &TlsSettings) {
        let mut put = |name: &str, value: String| self.put(&format!("{side}.{name}"), value);
        put("keyStore", store(tls.key_store.as_ref()));
        put("trustStore", store(tls.trust_store.as_ref()));
        put(
            "clientAuth",
            format!("{:?}", tls.client_auth).to_uppercase(),
        );
        put("serverNames", tls.host_names.servers.to_string());
        put("clientNames", tls.host_names.clients.to_string());
        put("reverseLookup", tls.host_names.reverse_lookup.to_string());
    }
}

fn members(members: &Membership) -> String {
    let text = members.to_text();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join(" ")
}

fn endpoint(endpoint: Option<&Endpoint>) -> String {
    match endpoint {
        None => "none".to_owned(),
        Some(endpoint) if endpoint.is_wildcard() => format!("0.0.0.0:{}", endpoint.port),
        Some(endpoint) => endpoint.to_string(),
    }
}

fn store(store: Option<&Store>) -> String {
    let Some(store) = store else {
        return "none".to_owned();
    };
    let kind = match store.kind {
        StoreKind::Pem => "pem",
        StoreKind::Java => "java",
    };
    format!("{kind} {}", store.location.display())
}

fn limit(limit: Option<impl Display>) -> String {
    limit.map_or("none".to_owned(), |limit| limit.to_string())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}

/// As Java prints it.
fn decimal(number: f64) -> String {
    format!("{number:?}")
}
