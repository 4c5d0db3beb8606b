//! What is in use now: made from the stores, and made anew when a file of theirs changes.
//!
//! Files are looked at every few seconds rather than watched: that also notices a directory that is swapped as a
//! whole, as Kubernetes does with secrets. A file that cannot be used changes nothing but a counter and a log line.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::Ticketer;
use rustls::{ClientConfig, ServerConfig};

use super::explain;
use super::store::{self, StoreError};
use super::suites;
use super::trust::{Peer, Shown, Trust, Vouched};
use crate::config::{ClientAuth, Password, Store, Tls, TlsSettings};

/// How often files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(3);

/// TLS for those who connect to us.
pub type ServerTls = InUse<ServerConfig>;

/// TLS towards those we connect to.
pub type ClientTls = InUse<TowardsServers>;

/// Something made from stores, as it is now.
pub struct InUse<T> {
    /// `ssl` or `ssl.quorum`, as in the keys of the configuration; `admin` for the admin server's.
    family: &'static str,
    settings: TlsSettings,
    make: fn(&TlsSettings) -> Result<Made<T>, StoreError>,
    state: RwLock<State<T>>,
    loaded: AtomicU64,
    failed: AtomicU64,
}

/// Hides what it is made of: keys are secrets.
impl<T> fmt::Debug for InUse<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InUse")
            .field("family", &self.family)
            .finish()
    }
}

struct State<T> {
    current: Arc<T>,
    expires: Option<i64>,
    /// The files as they were before they were read.
    seen: Vec<Seen>,
}

struct Made<T> {
    value: T,
    expires: Option<i64>,
}

/// How often stores were read again, and when what we show ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreReport {
    /// `ssl`, `ssl.quorum` or `admin`.
    pub family: &'static str,
    /// Changed files that are now in use.
    pub loaded: u64,
    /// Changed files that could not be used.
    pub failed: u64,
    /// When the first certificate of our own chain expires, in seconds since 1970; `None` without a key store.
    pub expires: Option<i64>,
}

/// TLS of every side, where it is switched on.
#[derive(Debug, Clone, Default)]
pub struct TlsInUse {
    /// For those who connect to us.
    pub clients: Option<Arc<ServerTls>>,
    /// Towards the ensemble.
    pub quorum: Option<Arc<ClientTls>>,
    /// For operators, at the admin server.
    pub operators: Option<Arc<ServerTls>>,
}

impl TlsInUse {
    /// Reads all stores.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(settings: &Tls) -> Result<TlsInUse, StoreError> {
        let clients = settings.clients.as_ref().map(ServerTls::for_clients);
        let quorum = settings.quorum.as_ref().map(ClientTls::for_quorum);
        let operators = settings.admin.as_ref().map(ServerTls::for_operators);
        Ok(TlsInUse {
            clients: clients.transpose()?.map(Arc::new),
            quorum: quorum.transpose()?.map(Arc::new),
            operators: operators.transpose()?.map(Arc::new),
        })
    }

    /// What must be looked after, see [`watch`].
    pub fn parts(&self) -> Vec<Arc<dyn Reload>> {
        let clients = self.clients.clone().map(|part| part as Arc<dyn Reload>);
        let quorum = self.quorum.clone().map(|part| part as Arc<dyn Reload>);
        let operators = self.operators.clone().map(|part| part as Arc<dyn Reload>);
        [clients, quorum, operators].into_iter().flatten().collect()
    }

    /// For metrics.
    pub fn reports(&self) -> Vec<StoreReport> {
        self.parts().iter().map(|part| part.report()).collect()
    }
}

/// A part that may have to be made anew.
pub trait Reload: Send + Sync {
    /// Reads the stores again if a file of theirs has changed. Blocks while it reads.
    fn look(&self);
    /// For metrics.
    fn report(&self) -> StoreReport;
}

impl<T> InUse<T> {
    fn start(
        family: &'static str,
        settings: &TlsSettings,
        make: fn(&TlsSettings) -> Result<Made<T>, StoreError>,
    ) -> Result<InUse<T>, StoreError> {
        let seen = look_at(settings);
        let Made { value, expires } = make(settings)?;
        Ok(InUse {
            family,
            settings: settings.clone(),
            make,
            state: RwLock::new(State {
                current: Arc::new(value),
                expires,
                seen,
            }),
            loaded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// What new connections are to use.
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.state.read().current)
    }

    /// What it was made from.
    pub fn settings(&self) -> &TlsSettings {
        &self.settings
    }
}

impl<T: Send + Sync> Reload for InUse<T> {
    fn look(&self) {
        let seen = look_at(&self.settings);
        if !self.settings.reload || seen == self.state.read().seen {
            return;
        }
        let made = (self.make)(&self.settings);
        let mut state = self.state.write();
        // Also if it cannot be used: it is read again when it changes again.
        state.seen = seen;
        match made {
            Ok(Made { value, expires }) => {
                state.current = Arc::new(value);
                state.expires = expires;
                self.loaded.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    keys = self.family,
                    "new certificates are in use from now on"
                );
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    keys = self.family,
                    "a changed store cannot be used, going on with what it held before: {error}"
                );
            }
        }
    }

    fn report(&self) -> StoreReport {
        StoreReport {
            family: self.family,
            loaded: self.loaded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            expires: self.state.read().expires,
        }
    }
}

/// Looks at the files of all parts until it is stopped.
pub async fn watch(parts: Vec<Arc<dyn Reload>>, stopped: impl Future<Output = ()>) {
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        for part in &parts {
            let part = Arc::clone(part);
            if tokio::task::spawn_blocking(move || part.look())
                .await
                .is_err()
            {
                tracing::error!("reading a store ended in a panic");
            }
        }
    }
}

/// What tells one state of a file from another. A swapped link shows as another inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    inode: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn look_at(settings: &TlsSettings) -> Vec<Seen> {
    let stores = [&settings.key_store, &settings.trust_store];
    let files = stores.into_iter().flatten().flat_map(files_of);
    files.map(|file| seen(&file)).collect()
}

fn files_of(store: &Store) -> Vec<PathBuf> {
    let password = match &store.password {
        Password::File(file) => Some(file.clone()),
        Password::Text(_) => None,
    };
    [store.location.clone()]
        .into_iter()
        .chain(password)
        .collect()
}

/// A file that is not there looks like none that is.
pub(crate) fn seen(file: &Path) -> Seen {
    let found = std::fs::metadata(file);
    let or_zero =
        |of: fn(&std::fs::Metadata) -> (i64, i64)| found.as_ref().map(of).unwrap_or_default();
    Seen {
        inode: found
            .as_ref()
            .map(|found| (found.dev(), found.ino()))
            .unwrap_or_default(),
        bytes: found.as_ref().map(MetadataExt::size).unwrap_or_default(),
        modified: or_zero(|found| (found.mtime(), found.mtime_nsec())),
        changed: or_zero(|found| (found.ctime(), found.ctime_nsec())),
    }
}

impl ServerTls {
    /// Reads the stores of `ssl.*`.
    ///
    /// # Errors
    /// When a store cannot be used, or is missing.
    pub fn for_clients(settings: &TlsSettings) -> Result<ServerTls, StoreError> {
        InUse::start("ssl", settings, |settings| serving(settings, "ssl"))
    }

    /// Reads the stores of `ssl.quorum.*` for the admin server.
    ///
    /// # Errors
    /// When a store cannot be used, or is missing.
    pub fn for_operators(settings: &TlsSettings) -> Result<ServerTls, StoreError> {
        InUse::start("admin", settings, |settings| {
            serving(settings, "ssl.quorum")
        })
    }
}

fn serving(settings: &TlsSettings, family: &str) -> Result<Made<ServerConfig>, StoreError> {
    let missing = |what| {
        let key = format!("{family}.{what}.location");
        StoreError::new(Path::new(&key), "is not set")
    };
    let key_store = settings.key_store.as_ref();
    let key_store = key_store.ok_or_else(|| missing("keyStore"))?;
    let own = store::load_key(key_store)?;
    let expires = store::expiry(&own.chain);
    let unusable = |error: rustls::Error| unusable(key_store, &error);
    let provider = Arc::new(suites::provider(settings));
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&suites::versions(settings))
        .map_err(unusable)?;
    let builder = match (settings.client_auth, &settings.trust_store) {
        (ClientAuth::None, _) => builder.with_no_client_auth(),
        (_, None) => return Err(missing("trustStore")),
        (auth, Some(store)) => {
            let required = auth == ClientAuth::Need;
            let trust = trust(store, &provider)?;
            let verifier = trust.of_clients(&provider, required);
            let verifier =
                verifier.map_err(|error| StoreError::new(&store.location, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut value = builder
        .with_single_cert(own.chain, own.key)
        .map_err(unusable)?;
    // Clients that come back in a storm need no full handshake, and nothing is kept for those that do not. With new
    // certificates comes a new key to the tickets, so nobody resumes what the old trust store allowed.
    value.ticketer = Ticketer::new().map_err(unusable)?;
    value.send_tls13_tickets = 1;
    Ok(Made { value, expires })
}

/// What connections to servers are made with; how to verify one server is added for each.
pub struct TowardsServers {
    config: ClientConfig,
    trust: Arc<Trust>,
    host_names: bool,
}

impl TowardsServers {
    /// For one connection to `peer`, whose certificate must be made out for it unless that is switched off.
    /// Connections share nothing: no session is resumed that another verifier has begun.
    ///
    /// The second value remembers which certificate the server shows.
    pub fn connecting_to(&self, peer: Peer) -> (Arc<ClientConfig>, Arc<Shown>) {
        let shown = Arc::new(Shown::default());
        let mut config = self.config.clone();
        let judge = Vouched {
            trust: Arc::clone(&self.trust),
            peer: self.host_names.then_some(peer),
            shown: Arc::clone(&shown),
        };
        config
            .dangerous()
            .set_certificate_verifier(judge.verifier());
        (Arc::new(config), shown)
    }
}

impl ClientTls {
    /// Reads the stores of `ssl.quorum.*`.
    ///
    /// # Errors
    /// When a store cannot be used, or the trust store is missing.
    pub fn for_quorum(settings: &TlsSettings) -> Result<ClientTls, StoreError> {
        InUse::start("ssl.quorum", settings, towards_servers)
    }
}

fn towards_servers(settings: &TlsSettings) -> Result<Made<TowardsServers>, StoreError> {
    let Some(trust_store) = &settings.trust_store else {
        let key = Path::new("ssl.quorum.trustStore.location");
        return Err(StoreError::new(key, "is not set"));
    };
    let provider = Arc::new(suites::provider(settings));
    let trust = Arc::new(trust(trust_store, &provider)?);
    let judge = Vouched {
        trust: Arc::clone(&trust),
        peer: None,
        shown: Arc::default(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&suites::versions(settings))
        .map_err(|error| unusable(trust_store, &error))?
        .dangerous()
        .with_custom_certificate_verifier(judge.verifier());
    let (mut config, expires) = match &settings.key_store {
        None => (builder.with_no_client_auth(), None),
        Some(store) => {
            let own = store::load_key(store)?;
            let expires = store::expiry(&own.chain);
            let config = builder.with_client_auth_cert(own.chain, own.key);
            (config.map_err(|error| unusable(store, &error))?, expires)
        }
    };
    config.resumption = Resumption::disabled();
    let value = TowardsServers {
        config,
        trust,
        host_names: settings.host_names.servers,
    };
    Ok(Made { value, expires })
}

fn trust(store: &Store, provider: &CryptoProvider) -> Result<Trust, StoreError> {
    let trusted = store::load_trusted(store)?;
    let count = trusted.len();
    let (trust, ignored) = Trust::new(trusted, provider);
    if ignored == count {
        let text = "none of its certificates can be understood; look at them with keytool -list -v";
        return Err(StoreError::new(&store.location, text));
    }
    if ignored > 0 {
        let file = store.location.display();
        tracing::warn!(%file, ignored, "certificates to believe that cannot be understood are left out");
    }
    Ok(trust)
}

fn unusable(store: &Store, error: &rustls::Error) -> StoreError {
    StoreError::new(&store.location, explain::own(error))
}

#[cfg(test)]
pub(super) mod tests;
