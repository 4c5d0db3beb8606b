//! Certificates and keys as they lie on disk: can they be read, do they fit, how long do they last?
//!
//! What a server makes of them is found in `entry`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outpost::config::{Config, Store, TlsSettings};
use outpost::tls::{ClientTls, ServerTls, explain, store};

use super::report::{Report, Subject};

/// A certificate that ends sooner than this is worth a word.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// TLS towards the ensemble, as the visits use it.
#[derive(Clone)]
pub(super) enum QuorumTls {
    /// Not asked for.
    Off,
    /// Its stores can be used.
    On(Arc<ClientTls>),
    /// They cannot.
    Broken,
}

/// Looks at all stores of the configuration.
pub(super) fn check(config: &Config, report: &mut Report) -> QuorumTls {
    if let Some(settings) = &config.tls.clients {
        match ServerTls::for_clients(settings) {
            Ok(_) => describe("ssl", settings, report),
            Err(error) => report.fail(Subject::Tls, &format!("towards clients: {error}")),
        }
    }
    if let Some(settings) = &config.tls.admin {
        match ServerTls::for_operators(settings) {
            // The same stores as towards the ensemble, where that has TLS too.
            Ok(_) if config.tls.quorum.is_some() => {
                report.ok(
                    Subject::Tls,
                    "the admin server shows the same certificate as to the ensemble",
                );
            }
            Ok(_) => describe("ssl.quorum (admin server)", settings, report),
            Err(error) => report.fail(Subject::Tls, &format!("the admin server: {error}")),
        }
    }
    let Some(settings) = &config.tls.quorum else {
        if config.tls.clients.is_none() {
            let text = "no TLS: clients and servers are spoken to in plain text";
            report.ok(Subject::Tls, text);
        }
        return QuorumTls::Off;
    };
    match ClientTls::for_quorum(settings) {
        Ok(tls) => {
            describe("ssl.quorum", settings, report);
            QuorumTls::On(Arc::new(tls))
        }
        Err(error) => {
            report.fail(Subject::Tls, &format!("towards the ensemble: {error}"));
            QuorumTls::Broken
        }
    }
}

fn describe(family: &str, settings: &TlsSettings, report: &mut Report) {
    if let Some(store) = &settings.key_store {
        describe_key(family, store, report);
    }
    let trusted = settings.trust_store.as_ref().and_then(|store| {
        let certificates = store::load_trusted(store).ok()?;
        Some((store.location.display(), certificates.len()))
    });
    match trusted {
        Some((file, 1)) => {
            let text =
                format!("{family}: believes the certificate in {file} and whoever it vouches for");
            report.ok(Subject::Tls, &text);
        }
        Some((file, count)) => {
            let text = format!(
                "{family}: believes {count} certificates in {file} and whoever they vouch for"
            );
            report.ok(Subject::Tls, &text);
        }
        None => {}
    }
}

fn describe_key(family: &str, store: &Store, report: &mut Report) {
    let Some(own) = store::load_key(store).ok().map(|key| key.chain) else {
        return;
    };
    let Some(leaf) = own.first() else { return };
    let text = format!("{family}: shows {}", explain::describe(leaf));
    let Some(expiry) = store::expiry(&own) else {
        return;
    };
    let left = i128::from(expiry) - i128::from(now());
    match left {
        ..0 => report.fail(
            Subject::Tls,
            &format!("{text}: it or what vouches for it has expired; renew it"),
        ),
        _ if left < i128::from(SOON.as_secs()) => {
            let text = format!(
                "{text}: it or what vouches for it ends in {} days; renew it",
                left / 86_400
            );
            report.warn(Subject::Tls, &text);
        }
        _ => report.ok(Subject::Tls, &text),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
