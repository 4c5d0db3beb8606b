//! Who a client may be, and what is then allowed.

use super::super::settings::{Setting, Settings};
use super::super::{Auth, DigestAlgorithm, DigestAuth, SaslAuth, Secret, X509Auth};
use super::sasl::{self, Jaas};
use super::words;

/// `secured`: whether TLS is spoken with clients.
pub(super) fn auth(settings: &mut Settings, jaas: Option<&Jaas>, secured: bool) -> Auth {
    let digest = digest_auth(settings);
    let Providers { ensemble, sasl } = providers(settings);
    let sasl = sasl::clients(settings, jaas, sasl);
    let x509 = x509_auth(settings, secured);
    let mut schemes = vec!["ip"];
    schemes.extend(digest.as_ref().map(|_| "digest"));
    schemes.extend(sasl.provider.then_some("sasl"));
    schemes.extend(x509.as_ref().filter(|_| secured).map(|_| "x509"));
    Auth {
        enforced_schemes: enforced_schemes(settings, &schemes, &sasl),
        digest,
        ensemble,
        sasl,
        x509,
        eager_acl_check: settings.flag("enableEagerACLCheck", false),
        skip_acl: skip_acl(settings),
    }
}

fn digest_auth(settings: &mut Settings) -> Option<DigestAuth> {
    let enabled = settings.flag("DigestAuthenticationProvider.enabled", true);
    let algorithm = settings.parse(
        "DigestAuthenticationProvider.digestAlg",
        |value| match value.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA-1" | "SHA" => Ok(DigestAlgorithm::Sha1),
            "SHA-256" => Ok(DigestAlgorithm::Sha256),
            "SHA-384" => Ok(DigestAlgorithm::Sha384),
            "SHA-512" => Ok(DigestAlgorithm::Sha512),
            _ => Err(
                "only SHA1, SHA-256, SHA-384 and SHA-512 are supported; with another algorithm no password \
                 would fit"
                    .into(),
            ),
        },
    );
    let super_digest =
        settings.parse(
            "DigestAuthenticationProvider.superDigest",
            |value| match value.split_once(':') {
                Some((_, digest)) if !digest.is_empty() => Ok(Secret(value.to_owned())),
                _ => Err("not of the form name:digest".to_owned()),
            },
        );
    enabled.then_some(DigestAuth {
        algorithm: algorithm.unwrap_or(DigestAlgorithm::Sha1),
        super_digest,
    })
}

/// The authentication providers that are configured by class; digest and ip are there without being named.
struct Providers {
    ensemble: Option<Vec<String>>,
    sasl: bool,
}

fn providers(settings: &mut Settings) -> Providers {
    let (mut has_ensemble, mut sasl) = (false, false);
    for provider in settings.family("authProvider.*") {
        match provider.value.rsplit('.').next().unwrap_or_default() {
            "DigestAuthenticationProvider"
            | "IPAuthenticationProvider"
            | "X509AuthenticationProvider" => {}
            "EnsembleAuthenticationProvider" => has_ensemble = true,
            "SASLAuthenticationProvider" => sasl = true,
            _ => settings.complain(
                &provider,
                "Outpost cannot run this class, and without it other clients might read than you mean; \
                 remove the line only if no ACL needs it",
            ),
        }
    }
    let names = settings
        .get("ensembleAuthName")
        .map(|setting| words(&setting.value));
    Providers {
        ensemble: has_ensemble.then(|| names.unwrap_or_default()),
        sasl,
    }
}

/// There wherever clients can show a certificate, as in ZooKeeper, and where a line names it.
fn x509_auth(settings: &mut Settings, secured: bool) -> Option<X509Auth> {
    let providers = settings.family("authProvider.*");
    let x509: Vec<&Setting> = providers
        .iter()
        .filter(|provider| provider.value.ends_with("X509AuthenticationProvider"))
        .collect();
    let scheme = settings.get("ssl.authProvider");
    if let Some(setting) = scheme.filter(|setting| secured && setting.value != "x509") {
        let key = format!("authProvider.{}", setting.value);
        if !x509.iter().any(|provider| provider.key == key) {
            let text = format!(
                "needs {key}=org.apache.zookeeper.server.auth.X509AuthenticationProvider; or remove the line"
            );
            settings.complain(&setting, &text);
        }
    }
    let super_user = settings.text("X509AuthenticationProvider.superUser");
    let offered = secured || !x509.is_empty();
    offered.then_some(X509Auth { super_user })
}

/// The schemes of which every client needs an identity. `sessionRequireClientSASLAuth` goes before the others.
fn enforced_schemes(settings: &mut Settings, available: &[&str], sasl: &SaslAuth) -> Vec<String> {
    let requires_sasl = settings.flag("sessionRequireClientSASLAuth", false);
    let schemes = listed_schemes(settings, available);
    let schemes = match requires_sasl {
        true => vec!["sasl".to_owned()],
        false => schemes,
    };
    if requires_sasl && !sasl.provider {
        settings.complain_of_file(
            "sessionRequireClientSASLAuth=true needs an authProvider line with SASLAuthenticationProvider too",
        );
    }
    if schemes == ["sasl"] && sasl.users.is_none() {
        settings.complain_of_file(
            "clients must log in with SASL, but there are no users, so none could be served; name a JAAS file with \
             a section Server with java.security.auth.login.config",
        );
    }
    schemes
}

fn listed_schemes(settings: &mut Settings, available: &[&str]) -> Vec<String> {
    let enabled = settings.flag("enforce.auth.enabled", false);
    let schemes = settings.get("enforce.auth.schemes");
    if !enabled {
        return Vec::new();
    }
    let Some(setting) = schemes else {
        settings.complain_of_file("enforce.auth.enabled=true needs enforce.auth.schemes too");
        return Vec::new();
    };
    let schemes = words(&setting.value);
    if schemes.is_empty() {
        settings.complain(&setting, "names no scheme; no client could be served");
    }
    for scheme in schemes
        .iter()
        .filter(|scheme| !available.contains(&scheme.as_str()))
    {
        let text = format!(
            "no client can authenticate with {scheme} here; possible are {}",
            available.join(", ")
        );
        settings.complain(&setting, &text);
    }
    schemes
}

fn skip_acl(settings: &mut Settings) -> bool {
    let Some(setting) = settings.get("skipACL") else {
        return false;
    };
    let text = match setting.value.as_str() {
        "yes" => "EVERY CLIENT MAY READ EVERYTHING, whatever the ACLs say",
        "no" => return false,
        _ => "neither yes nor no; taken for no, as a Java server takes it",
    };
    settings.warn(&setting, text);
    setting.value == "yes"
}
