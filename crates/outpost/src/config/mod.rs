//! The configuration: an ordinary `zoo.cfg` and a few environment variables, read into one [`Config`].
//!
//! Keys keep the names, units and defaults they have for a Java observer. All mistakes are
//! reported at once, each with its place and what to do; keys that mean nothing here are warned of; keys whose
//! promise Outpost cannot keep are refused. Nothing is resolved, bound or logged here.
//!
//! A setting is looked for on the command line first (`-D key=value`), then in the environment (`OUTPOST_KEY`: upper case, `_` for every other sign;
//! `OUTPOST_TICKTIME`, `OUTPOST_JUTE_MAXBUFFER`, for Outpost's own keys without the second
//! `OUTPOST`), then in the file, as `key` or as `zookeeper.key`.
//!
//! Read on in `keys` (what is done about every key), `settings` (values by type), `read` (what each honoured
//! key means), `members` and `identity` (the ensemble, and who we are in it).

mod findings;
mod identity;
mod jaas;
mod jvm_flags;
mod keys;
mod members;
mod properties;
mod read;
mod settings;
mod stated;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outpost_wire::ServerId;
use outpost_wire::membership::{Endpoint, Membership};

pub use self::tls::{
    ClientAuth, HostNames, Password, Store, StoreKind, Tls, TlsSettings, TlsVersion,
};
pub use findings::{Complaints, Finding, Place};
use settings::Settings;
pub use stated::Stated;

/// How a file is read; tests have files of their own.
type ReadFile<'a> = dyn Fn(&Path) -> std::io::Result<Vec<u8>> + 'a;

/// Everything that can be configured, checked and with its defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// The text of that file, with the values of secrets hidden.
    pub file_text: FileText,
    /// What was set, and where.
    pub stated: Vec<Stated>,
    /// Who we are. Not a voter's id; not necessarily listed in the ensemble's configuration.
    pub id: ServerId,
    /// `dataDir`: where `myid` is; need not exist when the id comes from elsewhere.
    pub data_dir: PathBuf,
    /// `dataLogDir`, or `dataDir`. Only shown; nothing is written there.
    pub data_log_dir: PathBuf,
    /// The unit of time that the ensemble shares.
    pub ticks: Ticks,
    /// Whom to attach to, and how.
    pub ensemble: Ensemble,
    /// Settings that must be the voters' own, or answers would differ.
    pub agreed: Agreed,
    /// Whom to serve, and within which limits.
    pub clients: Clients,
    /// Who a client may be, and what is then allowed.
    pub auth: Auth,
    /// `readonlymode.enabled`: whether clients that ask for it are served read-only when the hold is over. Also
    /// allows the word `isro`.
    pub read_only_mode: bool,
    /// `4lw.commands.whitelist`.
    pub four_letter_words: FourLetterWords,
    /// The admin server; `None` if it is switched off.
    pub admin: Option<Admin>,
    /// `audit.enable`: where it is told who changes what; `None` if it is not told.
    pub audit: Option<AuditLog>,
    /// Where Prometheus finds the metrics; `None` if another provider is configured.
    pub metrics: Option<Endpoint>,
    /// Whether `metricsProvider.className` names Prometheus' provider, so that `mntr` shows its samples.
    pub monitor_as_prometheus: bool,
    /// Whether the configuration names the provider or its port, so that a port that is taken is a mistake.
    pub metrics_required: bool,
    /// `ssl.*` and `ssl.quorum.*`: TLS towards clients and towards the ensemble.
    pub tls: Tls,
    /// How metrics are told.
    pub metrics_style: MetricsStyle,
    /// `outpost.workers`: threads that serve clients; by default one per core.
    pub workers: NonZeroUsize,
    /// `outpost.hold`: how long clients are held while there is no link to the ensemble; zero closes them at once,
    /// as a Java observer does. By default as long as a Java observer waits for a leader that is silent.
    pub hold: Duration,
    /// `outpost.linkTimeout`: how long a leader may be silent before the link to it is given up.
    pub link_timeout: Duration,
    /// `outpost.maxWritesInFlight`: requests that may wait for the leader's answer at one time.
    pub writes_in_flight_max: usize,
    /// `outpost.drainTimeout`: how long a shutdown waits for connections to finish.
    pub drain_timeout: Duration,
}

/// Where the audit log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLog {
    /// `outpost.auditFile`; without it lines go to the process's log.
    pub file: Option<PathBuf>,
}

/// Ticks, and limits counted in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticks {
    /// `tickTime`; not zero.
    pub tick_time: Duration,
    /// `initLimit`: ticks to attach and synchronise in; not zero.
    pub init_limit: u32,
    /// `syncLimit`: ticks of silence after which a link is dead; not zero.
    pub sync_limit: u32,
    /// `connectToLearnerMasterLimit`: ticks to connect in; `initLimit` unless set; not zero.
    pub connect_limit: u32,
}

impl Ticks {
    /// `initLimit` as a time.
    pub fn init_timeout(&self) -> Duration {
        self.tick_time.saturating_mul(self.init_limit)
    }

    /// `syncLimit` as a time.
    pub fn sync_timeout(&self) -> Duration {
        self.tick_time.saturating_mul(self.sync_limit)
    }

    /// `connectToLearnerMasterLimit` as a time.
    pub fn connect_timeout(&self) -> Duration {
        self.tick_time.saturating_mul(self.connect_limit)
    }
}

/// Whom to attach to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensemble {
    /// The servers of the ensemble; at least one of them a voter.
    pub members: Membership,
    /// `reconfigEnabled`: whether members learned from the ensemble replace these.
    pub reconfig_enabled: bool,
    /// `observerMasterPort`: the port at which followers serve observers; `None` if only the leader does.
    pub observer_master_port: Option<u16>,
    /// `observer.reconnectDelayMs`: a random time up to this passes before each new attempt to attach.
    pub reconnect_delay_max: Duration,
    /// Longest record the ensemble may send: `jute.maxbuffer` plus `jute.maxbuffer.extrasize`.
    pub record_bytes_max: usize,
    /// `quorum.auth.learnerRequireSasl`: as whom to log in at a learner master; `None` if that is not wanted.
    pub sasl: Option<QuorumLogin>,
}

/// As whom a learner logs in (section `QuorumLearner` of a JAAS file).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumLogin {
    /// `username`.
    pub user: String,
    /// `password`.
    pub password: Secret,
    /// Where both stand.
    pub place: Place,
    /// The JAAS file.
    pub file: PathBuf,
    /// The section of that file.
    pub section: String,
}

impl QuorumLogin {
    /// The login as the file has it now. Blocks while it reads.
    ///
    /// # Errors
    /// What is wrong with the file, in sentences.
    pub fn read_again(&self) -> Result<QuorumLogin, String> {
        read::login_again(self)
    }
}

/// Settings that must be the voters' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// `localSessionsEnabled`: new sessions are known to this observer alone.
    pub local_sessions: bool,
    /// `localSessionsUpgradingEnabled`: a local session becomes global with its first ephemeral znode.
    pub local_sessions_upgrading: bool,
    /// `extendedTypesEnabled`: there may be TTL znodes.
    pub extended_types: bool,
    /// `digest.enabled`: the tree's digest is kept and compared with the leader's.
    pub digest: bool,
}

/// Whom to serve, and within which limits. Where ZooKeeper has 0 or -1 for "no limit", here stands `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Clients {
    /// Where to listen.
    pub doors: Doors,
    /// `clientPortListenBacklog`; `None` leaves it to the system.
    pub backlog: Option<u32>,
    /// `clientTcpKeepAlive`: whether the system probes silent connections.
    pub tcp_keep_alive: bool,
    /// `minSessionTimeout`; by default two ticks.
    pub min_session_timeout: Duration,
    /// `maxSessionTimeout`; by default twenty ticks. Not less than the minimum.
    pub max_session_timeout: Duration,
    /// `maxClientCnxns`: connections from one address.
    pub max_client_cnxns: Option<u32>,
    /// `maxCnxns`: connections altogether.
    pub max_cnxns: Option<u32>,
    /// `jute.maxbuffer`: longest frame a client may send, in bytes.
    pub frame_bytes_max: usize,
    /// `outpost.outboxBytes`: bytes a client may leave unread before it is cut off. More than a frame.
    pub outbox_bytes_max: usize,
    /// `outpost.outboxBytesTotal`: bytes all clients may leave unread before the one that leaves most is cut off;
    /// `None`: a quarter of the memory there is.
    pub outbox_bytes_total_max: Option<usize>,
    /// `outpost.replyBytes`: bytes of one reply; a read with a longer one is refused. Fits what may be left unread.
    pub reply_bytes_max: usize,
    /// `outpost.watchesPerSession`: paths that one session may watch.
    pub watches_per_session_max: usize,
    /// `outpost.watches`: watches of all sessions; `None`: one for every 512 bytes of the memory there is.
    pub watches_max: Option<usize>,
    /// `nio.sessionlessCnxnTimeout`: how long a connection may stay without asking for a session.
    pub sessionless_timeout: Duration,
    /// `globalOutstandingLimit`: requests in work, over all clients, above which connections that have some
    /// of them are not read on.
    pub global_outstanding_limit: u32,
    /// `largeRequestThreshold` and `largeRequestMaxBytes`.
    pub large_requests: Option<LargeRequests>,
    /// `request_throttle_*`; `None` without `request_throttle_max_requests`.
    pub request_throttle: Option<RequestThrottle>,
    /// `connection_throttle_*`.
    pub connect_throttle: Option<ConnectThrottle>,
}

/// Where clients come in. With a wildcard host ([`Endpoint::is_wildcard`]) a Java server listens on both families.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doors {
    /// `clientPort` and `clientPortAddress`, or what our own observer line says. `None`: nowhere.
    pub plain: Option<Endpoint>,
    /// `secureClientPort` and `secureClientPortAddress`, or the same line: where TLS alone is spoken.
    pub secure: Option<Endpoint>,
    /// `client.portUnification`: whether TLS is spoken at the plain port too. Only with such a port.
    pub unified: bool,
    /// `netty.server.outstandingHandshake.limit`: handshakes of TLS in work at one time.
    pub handshakes_max: Option<u32>,
    /// `outpost.handshakeThreads`: threads that shake hands; by default one for every four cores.
    pub handshake_threads: NonZeroUsize,
}

impl Doors {
    /// Whether TLS is spoken anywhere.
    pub fn speak_tls(&self) -> bool {
        self.secure.is_some() || self.unified
    }
}

/// Bounds on the sum of large requests in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeRequests {
    /// Requests longer than this are summed up, in bytes.
    pub threshold: usize,
    /// A request that brings the sum above this ends its connection, in bytes.
    pub bytes_max: usize,
}

/// When requests wait for those of others, and what becomes of them then (`RequestThrottler`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestThrottle {
    /// `request_throttle_max_requests`: requests in work; not zero.
    pub requests_max: u32,
    /// `request_throttle_stall_time`: how long a wait is that counts once; not zero.
    pub stall_time: Duration,
    /// `request_throttle_drop_stale`: whether stale requests are dropped.
    pub drop_stale: bool,
    /// `request_stale_connection_check`: whether those are stale whose client has left.
    pub stale_connection_check: bool,
    /// `request_stale_latency_check`: whether those are that have waited for longer than their session's timeout.
    pub stale_latency_check: bool,
    /// `throttled_op_wait_time`: those that have waited for longer are answered with an error.
    pub op_wait_max: Option<Duration>,
}

/// The token bucket that new and returning sessions draw from (`BlueThrottle`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConnectThrottle {
    /// `…_tokens`: what the bucket holds.
    pub tokens: u32,
    /// `…_fill_time`: how often it is filled; not zero.
    pub fill_time: Duration,
    /// `…_fill_count`: how many tokens each filling adds.
    pub fill_count: u32,
    /// `…_freeze_time`: how often the probability to refuse is adapted; `None` never refuses by chance.
    pub freeze_time: Option<Duration>,
    /// `…_drop_increase`: what an empty bucket adds to that probability.
    pub drop_increase: f64,
    /// `…_drop_decrease`: what a bucket that is full enough takes from it.
    pub drop_decrease: f64,
    /// `…_decrease_ratio`: used tokens against all, up to which the bucket is full enough.
    pub decrease_ratio: f64,
    /// `…_weight_enabled` and the weights; `None` draws one token for each.
    pub weights: Option<ConnectWeights>,
}

/// How many tokens a connect request draws, by what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectWeights {
    /// A new global session. Not less than `local`.
    pub global: u32,
    /// A session to go on with. Not less than `local`.
    pub renew: u32,
    /// A new local session. Not zero.
    pub local: u32,
}

/// Who a client may be, and what is then allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Scheme `digest`; `None` if `DigestAuthenticationProvider.enabled=false`.
    pub digest: Option<DigestAuth>,
    /// Scheme `ensemble`, where an `authProvider` line brings it in: the names that are accepted; an empty list
    /// accepts every name.
    pub ensemble: Option<Vec<String>>,
    /// Scheme `sasl`.
    pub sasl: SaslAuth,
    /// Scheme `x509`, where clients can show certificates or an `authProvider` line brings it in.
    pub x509: Option<X509Auth>,
    /// `enableEagerACLCheck`: writes are held against the mirror's ACLs before they are forwarded.
    pub eager_acl_check: bool,
    /// `skipACL=yes`: every read is allowed.
    pub skip_acl: bool,
    /// `enforce.auth.schemes`: a request is served only to a client with an id of one of these schemes. Empty
    /// unless `enforce.auth.enabled=true`.
    pub enforced_schemes: Vec<String>,
}

/// Scheme `sasl`: users that log in with DIGEST-MD5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslAuth {
    /// Whether an `authProvider` line brings the scheme in; without one no ACL entry of it means anybody, although
    /// clients may log in.
    pub provider: bool,
    /// Who may log in; `None` without a section for clients in a JAAS file, and then nobody is asked to.
    pub users: Option<SaslUsers>,
    /// `superUser` and `superUser.*`: users who may do everything.
    pub super_users: Vec<String>,
    /// `letAnySaslUserDoX`: ACL entries for this user mean every user.
    pub any_user: Option<String>,
    /// `allowSaslFailedClients`: whether a client that has not proven who it is may go on as nobody.
    pub keeps_failed: bool,
}

/// The users of one section of a JAAS file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslUsers {
    /// `java.security.auth.login.config`.
    pub file: PathBuf,
    /// `Server`, or `sasl.serverconfig`.
    pub section: String,
    /// `user_NAME="PASSWORD"`, by name.
    pub passwords: BTreeMap<String, Secret>,
    /// `SASLAuthenticationProvider.superPassword`, which goes before the file's for user `super`.
    pub super_password: Option<Secret>,
}

impl SaslUsers {
    /// The passwords as the file has them now. Blocks while it reads.
    ///
    /// # Errors
    /// What is wrong with the file, in sentences.
    pub fn read_again(&self) -> Result<BTreeMap<String, Secret>, String> {
        read::users_again(self)
    }
}

/// Scheme `x509`: the subject of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct X509Auth {
    /// `X509AuthenticationProvider.superUser`: the subject, as Java writes it, of a super user.
    pub super_user: Option<String>,
}

/// Scheme `digest`: user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestAuth {
    /// How a password becomes the second half of an id.
    pub algorithm: DigestAlgorithm,
    /// `superDigest`: the id, `name:digest`, whose owner is a super user.
    pub super_digest: Option<Secret>,
}

/// The hash that stands in digest ids. The voters must use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// `SHA1`, ZooKeeper's default.
    Sha1,
    /// `SHA-256`.
    Sha256,
    /// `SHA-384`.
    Sha384,
    /// `SHA-512`.
    Sha512,
}

/// A text that never shows in logs and debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text from now on.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself; never to be logged.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The text of a configuration file, without secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct FileText(pub String);

impl fmt::Debug for FileText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// Which four-letter words are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FourLetterWords {
    /// `*` stands in the list.
    All,
    /// These; `srvr` is always among them, and `isro` where read-only mode is on.
    Only(BTreeSet<String>),
}

impl FourLetterWords {
    /// Whether `word` is answered.
    pub fn allow(&self, word: &str) -> bool {
        match self {
            FourLetterWords::All => true,
            FourLetterWords::Only(words) => words.contains(word),
        }
    }
}

/// How metrics are told to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsStyle {
    /// `outpost.metricsNames`: whose names they have.
    pub names: MetricNames,
    /// `metricsProvider.exportJvmInfo`: whether what is asked of a Java virtual machine is told of this process.
    pub java_machine: bool,
}

/// Whose names metrics have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricNames {
    /// Those of the exporter of ZooKeeper 3.6 to 3.9.
    V3_9,
    /// Those of the exporter of ZooKeeper 3.10: counters end in `_total`, summaries have the quantile 0.95 in the
    /// place of 0.9.
    V3_10,
}

/// The admin server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// `admin.serverAddress` and `admin.serverPort`.
    pub addr: Endpoint,
    /// `admin.commandURL`: the path under which the commands are; begins with a slash and ends without.
    pub command_url: String,
    /// `admin.idleTimeout`: how long a connection may be silent.
    pub idle_timeout: Duration,
    /// `admin.forceHttps` and `admin.portUnification`.
    pub https: Https,
    /// `admin.snapshot.enabled`: whether those who may are given the whole tree.
    pub snapshot_enabled: bool,
    /// `admin.restore.enabled`. Only the reason why nobody can restore depends on it.
    pub restore_enabled: bool,
    /// `admin.rateLimiterIntervalInMS`: how often a snapshot is made.
    pub rate_limit: Duration,
    /// `IPAuthenticationProvider.usexforwardedfor`: whether a proxy's word is taken for where a question comes from.
    pub forwarded_for: bool,
}

/// How the admin server speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Https {
    /// Not at all.
    Off,
    /// With those who begin with a handshake; plain HTTP with the others.
    Beside,
    /// With everybody.
    Only,
}

/// A configuration, and what its owner should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What was asked for.
    pub config: Config,
    /// To be logged once logging runs; in the order of their places.
    pub warnings: Vec<Finding>,
}

impl Config {
    /// Reads the file at `path`, the files it names, and the variables of `env` that begin with `OUTPOST_`.
    ///
    /// `id_override` goes before every other id.
    ///
    /// # Errors
    /// [`Complaints`] with everything that is wrong.
    pub fn load(
        path: &Path,
        id_override: Option<ServerId>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, Complaints> {
        Config::load_defined(path, id_override, &[], env)
    }

    /// As [`Config::load`], with settings from the command line, each `key=value`. They go before everything else.
    ///
    /// # Errors
    /// [`Complaints`] with everything that is wrong.
    pub fn load_defined(
        path: &Path,
        id_override: Option<ServerId>,
        definitions: &[String],
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, Complaints> {
        let read_file = |path: &Path| std::fs::read(path);
        load_with(path, id_override, definitions, env, &read_file)
    }
}

fn load_with(
    path: &Path,
    id_override: Option<ServerId>,
    definitions: &[String],
    env: impl Iterator<Item = (String, String)>,
    read_file: &ReadFile<'_>,
) -> Result<Loaded, Complaints> {
    let mut settings = Settings::new(path);
    let file_text = match read_file(path) {
        Ok(bytes) => add_file(&mut settings, path, &bytes),
        Err(error) => {
            settings.complain_of_file(&format!("cannot be read: {error}"));
            return Err(Complaints(settings.complaints));
        }
    };
    let env: Vec<(String, String)> = env.collect();
    for (name, value) in &env {
        settings.add_variable(name, value);
    }
    for definition in definitions {
        settings.add_definition(definition);
    }
    jvm_flags::warn(&mut settings, &env, path, read_file);
    settings.judge();
    let config = read::config(&mut settings, read_file, id_override, path, file_text);
    conclude(config, settings)
}

fn conclude(config: Option<Config>, mut settings: Settings) -> Result<Loaded, Complaints> {
    settings.warnings.sort();
    settings.complaints.sort();
    match config {
        Some(config) if settings.complaints.is_empty() => Ok(Loaded {
            config,
            warnings: settings.warnings,
        }),
        _ => Err(Complaints(settings.complaints)),
    }
}

/// Takes in the file's settings; the result is its text without secrets.
fn add_file(settings: &mut Settings, path: &Path, bytes: &[u8]) -> FileText {
    let text = properties::decode(bytes);
    let (found, errors) = properties::parse(&text);
    for error in errors {
        let place = Place::Line(path.to_owned(), error.line);
        settings.complain_at(place, &error.text);
    }
    for property in &found {
        settings.add_line(&property.key, &property.value, property.line);
    }
    FileText(without_secrets(&text, &found))
}

fn without_secrets(text: &str, found: &[properties::Property]) -> String {
    let secrets = || {
        found
            .iter()
            .filter(|property| keys::is_secret(&property.key))
    };
    let mut shown = String::with_capacity(text.len());
    for (n, line) in text.split_inclusive('\n').enumerate() {
        let is_inside =
            |secret: &&properties::Property| (secret.line..=secret.last_line).contains(&(n + 1));
        match secrets().find(is_inside) {
            Some(secret) if secret.line == n + 1 => {
                shown.push_str(&secret.key);
                shown.push_str("=(hidden)\n");
            }
            Some(_) => {}
            None => shown.push_str(line),
        }
    }
    shown
}
