//! TLS: key stores, trust stores and what may be negotiated (`X509Util` and its two heirs).
//!
//! Both families of keys have the same members. They are read in either case, so that mistakes show; they are
//! complained of only where their side speaks TLS at all.

use std::path::PathBuf;
use std::time::Duration;

use super::super::settings::{Setting, Settings};
use super::super::{
    ClientAuth, HostNames, Https, Password, Secret, Store, StoreKind, Tls, TlsSettings, TlsVersion,
};
use super::words;
use crate::tls::suites;

/// As in `X509Util`.
const DETECTION_TIMEOUT: Duration = Duration::from_millis(5000);

/// The names of one family's keys.
struct Family {
    key_store: StoreKeys,
    trust_store: StoreKeys,
    protocol: &'static str,
    enabled_protocols: &'static str,
    cipher_suites: &'static str,
    client_auth: &'static str,
    host_names: &'static str,
    client_host_names: &'static str,
    reverse_lookup: &'static str,
    revocation: [&'static str; 2],
    supplier: &'static str,
    detection_timeout: &'static str,
    reload: &'static str,
    /// Why its stores have no effect, where its side does not speak TLS.
    idle: &'static str,
    /// Whether those who connect are checked by name, and names are looked up, where nothing is set.
    strict: bool,
}

struct StoreKeys {
    location: &'static str,
    kind: &'static str,
    password: &'static str,
    password_path: &'static str,
}

macro_rules! store_keys {
    ($family:literal, $store:literal) => {
        StoreKeys {
            location: concat!($family, $store, ".location"),
            kind: concat!($family, $store, ".type"),
            password: concat!($family, $store, ".password"),
            password_path: concat!($family, $store, ".passwordPath"),
        }
    };
}

macro_rules! family {
    ($prefix:literal, $reload:literal, $idle:literal, $strict:literal) => {
        Family {
            key_store: store_keys!($prefix, "keyStore"),
            trust_store: store_keys!($prefix, "trustStore"),
            protocol: concat!($prefix, "protocol"),
            enabled_protocols: concat!($prefix, "enabledProtocols"),
            cipher_suites: concat!($prefix, "ciphersuites"),
            client_auth: concat!($prefix, "clientAuth"),
            host_names: concat!($prefix, "hostnameVerification"),
            client_host_names: concat!($prefix, "clientHostnameVerification"),
            reverse_lookup: concat!($prefix, "allowReverseDnsLookup"),
            revocation: [concat!($prefix, "crl"), concat!($prefix, "ocsp")],
            supplier: concat!($prefix, "context.supplier.class"),
            detection_timeout: concat!($prefix, "handshakeDetectionTimeoutMillis"),
            reload: $reload,
            idle: $idle,
            strict: $strict,
        }
    };
}

const CLIENTS: Family = family!(
    "ssl.",
    "client.certReload",
    "has no effect: neither secureClientPort nor client.portUnification is set",
    false
);
const QUORUM: Family = family!(
    "ssl.quorum.",
    "sslQuorumReloadCertFiles",
    "has no effect: sslQuorum is not true",
    true
);

/// Both sides, and what the admin server makes of the ensemble's; `clients`: whether TLS is spoken with clients anywhere.
pub(super) fn tls(
    settings: &mut Settings,
    clients: bool,
    (https, client_auth): (Https, ClientAuth),
) -> Tls {
    let quorum = settings.flag("sslQuorum", false);
    let (of_clients, of_quorum) = (read(settings, &CLIENTS), read(settings, &QUORUM));
    // As `JettyAdminServer`: the stores are the ensemble's, whether or not it is spoken to with them.
    let admin = TlsSettings {
        client_auth,
        ..of_quorum.clone()
    };
    if https != Https::Off {
        admin_needs(settings, &admin);
    } else if !quorum {
        warn_of_idle_stores(settings, &QUORUM);
    }
    if !clients {
        warn_of_idle_stores(settings, &CLIENTS);
    }
    Tls {
        clients: side(settings, &CLIENTS, of_clients, clients, clients_need),
        quorum: side(settings, &QUORUM, of_quorum, quorum, quorum_needs),
        admin: (https != Https::Off).then_some(admin),
    }
}

/// One side; nothing if it is not switched on.
fn side(
    settings: &mut Settings,
    family: &Family,
    tls: TlsSettings,
    enabled: bool,
    complete: fn(&mut Settings, &TlsSettings),
) -> Option<TlsSettings> {
    let promises = family.revocation.map(|key| revocation(settings, key));
    let promises = promises.into_iter().chain([supplier(settings, family)]);
    for (setting, text) in promises.flatten().collect::<Vec<_>>() {
        if enabled {
            settings.complain(&setting, text);
        }
    }
    if enabled {
        complete(settings, &tls);
    }
    enabled.then_some(tls)
}

/// Whoever serves operators needs a certificate, and must know whose to believe if it wants theirs.
fn admin_needs(settings: &mut Settings, tls: &TlsSettings) {
    let switch = ["admin.forceHttps", "admin.portUnification"];
    let switched = switch.map(|key| settings.get(key).filter(|setting| is_true(&setting.value)));
    let Some(setting) = switched.into_iter().flatten().next() else {
        return;
    };
    if tls.key_store.is_none() {
        let text = "needs ssl.quorum.keyStore.location: the certificate to show";
        settings.complain(&setting, text);
    }
    if tls.trust_store.is_none()
        && tls.client_auth == ClientAuth::Need
        && let Some(setting) = settings.get("admin.needClientAuth")
    {
        let text = "needs ssl.quorum.trustStore.location: which client certificates to believe";
        settings.complain(&setting, text);
    }
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

fn warn_of_idle_stores(settings: &mut Settings, family: &Family) {
    let locations = [family.key_store.location, family.trust_store.location];
    for setting in locations.map(|key| settings.get(key)).into_iter().flatten() {
        settings.warn(&setting, family.idle);
    }
}

fn read(settings: &mut Settings, family: &Family) -> TlsSettings {
    let servers = settings.flag(family.host_names, true);
    let clients = settings.flag(family.client_host_names, family.strict);
    let versions = versions(settings, family);
    TlsSettings {
        key_store: store(settings, &family.key_store),
        trust_store: store(settings, &family.trust_store),
        cipher_suites: cipher_suites(settings, family, &versions),
        versions,
        client_auth: client_auth(settings, family.client_auth),
        host_names: HostNames {
            servers,
            clients: servers && clients,
            reverse_lookup: settings.flag(family.reverse_lookup, family.strict),
        },
        detection_timeout: detection_timeout(settings, family.detection_timeout),
        reload: settings.flag(family.reload, true),
    }
}

/// Who connects to the ensemble must know whom to believe; a voter must mostly know us too.
fn quorum_needs(settings: &mut Settings, tls: &TlsSettings) {
    let place = settings.get("sslQuorum");
    let Some(setting) = place else { return };
    if tls.trust_store.is_none() {
        let text = "needs ssl.quorum.trustStore.location: which certificates to believe; a Java observer would \
            believe every authority that comes with its virtual machine";
        settings.complain(&setting, text);
    }
    if tls.key_store.is_none() {
        let text = "without ssl.quorum.keyStore.location Outpost has no certificate to show, and servers refuse it \
            unless their ssl.quorum.clientAuth is want or none";
        settings.warn(&setting, text);
    }
    if !tls.host_names.servers
        && let Some(setting) = settings.get("ssl.quorum.hostnameVerification")
    {
        let text =
            "whoever has a certificate that the trust store vouches for can pose as the leader";
        settings.warn(&setting, text);
    }
}

/// Who serves clients needs a certificate, and must know whose certificates to believe if it asks for any.
fn clients_need(settings: &mut Settings, tls: &TlsSettings) {
    if tls.key_store.is_none() {
        let text = "TLS towards clients needs ssl.keyStore.location: the certificate to show them";
        settings.complain_of_file(text);
    }
    if tls.trust_store.is_none() && tls.client_auth != ClientAuth::None {
        let text = "TLS towards clients needs ssl.trustStore.location: which client certificates to believe; or \
            set ssl.clientAuth=none to ask for none";
        settings.complain_of_file(text);
    }
}

fn store(settings: &mut Settings, keys: &StoreKeys) -> Option<Store> {
    let kind = settings.parse(keys.kind, kind_by_name).flatten();
    let text = settings.get(keys.password).map(|setting| setting.value);
    let file = settings.text(keys.password_path).map(PathBuf::from);
    let location = settings.get(keys.location)?;
    if location.value.is_empty() {
        return None;
    }
    // Where the type is set but wrong, its own complaint stands already.
    let kind = match (kind, settings.get(keys.kind)) {
        (Some(kind), _) => kind,
        (None, Some(setting)) if !setting.value.is_empty() => return None,
        (None, _) => kind_by_extension(settings, &location, keys)?,
    };
    Some(Store {
        location: PathBuf::from(&location.value),
        kind,
        password: match file {
            Some(file) => Password::File(file),
            None => Password::Text(Secret(text.unwrap_or_default())),
        },
    })
}

fn kind_by_name(name: &str) -> Result<Option<StoreKind>, String> {
    match name.to_ascii_uppercase().as_str() {
        "" => Ok(None),
        "PEM" => Ok(Some(StoreKind::Pem)),
        "JKS" | "PKCS12" => Ok(Some(StoreKind::Java)),
        "BCFKS" => Err(NO_BCFKS.to_owned()),
        _ => Err("must be PEM, PKCS12 or JKS".to_owned()),
    }
}

const NO_BCFKS: &str = "Outpost cannot read the format of Bouncy Castle; turn the store into PKCS12 (keytool \
    -importkeystore -deststoretype PKCS12) or PEM";

fn kind_by_extension(
    settings: &mut Settings,
    location: &Setting,
    keys: &StoreKeys,
) -> Option<StoreKind> {
    let extension = location.value.rsplit_once('.').map(|(_, end)| end);
    match extension {
        Some("pem") => Some(StoreKind::Pem),
        Some("jks" | "p12") => Some(StoreKind::Java),
        Some("bcfks") => {
            settings.complain(location, NO_BCFKS);
            None
        }
        _ => {
            let text = format!(
                "the name does not end in .pem, .p12 or .jks; say with {} which of the formats PEM, PKCS12 and JKS \
                 it has",
                keys.kind
            );
            settings.complain(location, &text);
            None
        }
    }
}

/// What is enabled, or else what the protocol stands for.
fn versions(settings: &mut Settings, family: &Family) -> Vec<TlsVersion> {
    let by_protocol = settings.parse(family.protocol, |name| match name {
        "TLS" | "TLSv1.3" => Ok(vec![TlsVersion::Tls12, TlsVersion::Tls13]),
        "TLSv1.2" => Ok(vec![TlsVersion::Tls12]),
        _ => Err("only TLSv1.3 and TLSv1.2 are supported".to_owned()),
    });
    let by_protocol = by_protocol.unwrap_or(vec![TlsVersion::Tls12, TlsVersion::Tls13]);
    let Some(setting) = settings.get(family.enabled_protocols) else {
        return by_protocol;
    };
    let mut versions = Vec::new();
    let mut others = Vec::new();
    for name in words(&setting.value) {
        match name.as_str() {
            "TLSv1.2" => versions.push(TlsVersion::Tls12),
            "TLSv1.3" => versions.push(TlsVersion::Tls13),
            _ => others.push(name),
        }
    }
    versions.sort_unstable();
    versions.dedup();
    if versions.is_empty() {
        settings.complain(
            &setting,
            "only TLSv1.3 and TLSv1.2 are supported; name one of them",
        );
        return by_protocol;
    }
    if !others.is_empty() {
        let text = format!("{} is not supported, and not used", others.join(", "));
        settings.warn(&setting, &text);
    }
    versions
}

/// Those of the named suites that exist here.
fn cipher_suites(settings: &mut Settings, family: &Family, versions: &[TlsVersion]) -> Vec<String> {
    let Some(setting) = settings.get(family.cipher_suites) else {
        return Vec::new();
    };
    let named = words(&setting.value);
    let (known, others): (Vec<_>, Vec<_>) = named
        .into_iter()
        .partition(|name| suites::find(name).is_some());
    let usable =
        |name: &String| suites::find(name).is_some_and(|suite| versions.contains(&suite.1));
    if !known.iter().any(usable) {
        let text = format!(
            "none of these is a cipher suite of Outpost's for the enabled protocols; there are {}",
            suites::names(versions).join(", ")
        );
        settings.complain(&setting, &text);
        return Vec::new();
    }
    if !others.is_empty() {
        let text = format!("not supported, and not used: {}", others.join(", "));
        settings.warn(&setting, &text);
    }
    known
}

fn client_auth(settings: &mut Settings, key: &'static str) -> ClientAuth {
    let auth = settings.parse(key, |value| match value.to_ascii_lowercase().as_str() {
        "none" => Ok(ClientAuth::None),
        "want" => Ok(ClientAuth::Want),
        "need" | "" => Ok(ClientAuth::Need),
        _ => Err("must be need, want or none".to_owned()),
    });
    auth.unwrap_or(ClientAuth::Need)
}

fn detection_timeout(settings: &mut Settings, key: &'static str) -> Duration {
    settings.millis(key, 1).unwrap_or(DETECTION_TIMEOUT)
}

/// Revocation lists and answers about revocation would have to be fetched over the network.
fn revocation(settings: &mut Settings, key: &'static str) -> Option<(Setting, &'static str)> {
    let on = settings.flag(key, false);
    let setting = settings.get(key).filter(|_| on)?;
    let text = "Outpost cannot ask whether a certificate was revoked; set it to false where short-lived certificates \
        or a narrow trust store do, or stay with a Java observer";
    Some((setting, text))
}

fn supplier(settings: &mut Settings, family: &Family) -> Option<(Setting, &'static str)> {
    let text = "Outpost cannot run this class; name the stores with keyStore.location and trustStore.location \
        instead";
    Some((settings.get(family.supplier)?, text))
}
