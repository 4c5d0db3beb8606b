//! Who a client may be, and what is then allowed.

use super::super::settings::Settings;
use super::super::{Auth, DigestAlgorithm, DigestAuth, SaslAuth, Secret};
use super::sasl::{self, Jaas};
use super::words;

pub(super) fn auth(settings: &mut Settings, jaas: Option<&Jaas>) -> Auth {
    let digest = digest_auth(settings);
    let Providers { ensemble, sasl } = providers(settings);
    let sasl = sasl::clients(settings, jaas, sasl);
    let mut schemes = vec!["ip"];
    schemes.extend(digest.as_ref().map(|_| "digest"));
    schemes.extend(sasl.provider.then_some("sasl"));
    Auth {
        enforced_schemes: enforced_schemes(settings, &schemes, &sasl),
        digest,
        ensemble,
        sasl,
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
            "DigestAuthenticationProvider" | "IPAuthenticationProvider" => {}
            "EnsembleAuthenticationProvider" => has_ensemble = true,
            "SASLAuthenticationProvider" => sasl = true,
            "X509AuthenticationProvider" => settings.complain(&provider, &unsupported("X.509")),
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

fn unsupported(scheme: &str) -> String {
    format!(
        "{scheme} authentication of clients is not supported yet; remove the line only if no client needs it"
    )
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
    let skip = settings.parse("skipACL", |value| match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("must be yes or no".to_owned()),
    });
    if let (Some(true), Some(setting)) = (skip, settings.get("skipACL")) {
        settings.warn(
            &setting,
            "EVERY CLIENT MAY READ EVERYTHING, whatever the ACLs say",
        );
    }
    skip.unwrap_or(false)
}
