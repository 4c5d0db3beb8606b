//! Who a client may be, and what is then allowed.

use super::super::settings::Settings;
use super::super::{Auth, DigestAlgorithm, DigestAuth, Secret};
use super::words;

pub(super) fn auth(settings: &mut Settings) -> Auth {
    let digest = digest_auth(settings);
    let ensemble = ensemble_auth(settings);
    let mut schemes = vec!["ip"];
    schemes.extend(digest.as_ref().map(|_| "digest"));
    Auth {
        enforced_schemes: enforced_schemes(settings, &schemes),
        digest,
        ensemble,
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
fn ensemble_auth(settings: &mut Settings) -> Option<Vec<String>> {
    let mut has_ensemble = false;
    for provider in settings.family("authProvider.*") {
        match provider.value.rsplit('.').next().unwrap_or_default() {
            "DigestAuthenticationProvider" | "IPAuthenticationProvider" => {}
            "EnsembleAuthenticationProvider" => has_ensemble = true,
            "SASLAuthenticationProvider" => settings.complain(&provider, &unsupported("SASL")),
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
    has_ensemble.then(|| names.unwrap_or_default())
}

fn unsupported(scheme: &str) -> String {
    format!(
        "{scheme} authentication of clients is not supported yet; remove the line only if no client needs it"
    )
}

fn enforced_schemes(settings: &mut Settings, available: &[&str]) -> Vec<String> {
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
