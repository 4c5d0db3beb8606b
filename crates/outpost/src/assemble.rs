//! The parts of an observer, made from its configuration and wired together. No sockets and no threads.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use outpost_forward::{
    Answers, ApplyLife, Candidates, Link, LinkLife, LinkSettings, Network, clock,
};
use outpost_mirror::acl::AclRules;
use outpost_mirror::{Mirror, TreeOptions};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::audit::Audit;
use crate::config::{Config, SaslAuth, X509Auth};
use crate::descriptors;
use crate::jaas::JaasReloads;
use crate::limits;
use crate::liveness::Liveness;
use crate::readiness::Readiness;
use crate::report::{Facts, process};
use crate::serve::auth::AuthRules;
use crate::serve::clients::{ClientLimits, Clients};
use crate::serve::local_sessions::{LocalSessionRules, LocalSessions};
use crate::serve::outstanding::Outstanding;
use crate::serve::read::ReadLimits;
use crate::serve::read_only::ReadOnlyMode;
use crate::serve::request_throttle::Throttle;
use crate::serve::sasl::SaslRules;
use crate::serve::session_ids::RandomBytes;
use crate::serve::throttle::TokenBucket;
use crate::serve::users::Users;
use crate::serve::validate::Gate;
use crate::serve::x509::X509Rules;
use crate::serve::{ServeSettings, Service};
use crate::stats::Stats;
use crate::tls::TlsInUse;

/// First wait between two attempts at one learner master; later ones are longer.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between two attempts at one learner master.
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// The same while clients are held: nobody is to wait noticeably for a leader that is there.
const RETRY_LONGEST_HELD: Duration = Duration::from_millis(250);
/// Longest wait for one TCP connection, however patient the configuration: a fresh attempt finds a network that
/// has come back sooner than an old one whose packets go out ever more rarely.
const CONNECT_LONGEST: Duration = Duration::from_secs(5);
/// For how many bytes of memory there may be one watch: with a path of its own it takes between a quarter and a half
/// of that.
const MEMORY_PER_WATCH: usize = 512;
/// The trace mask of a Java server that was not told another (`ZooTrace`).
const TRACE_MASK: i64 = 306;

/// What an observer finds around it.
pub struct Surroundings {
    /// The way to learner masters.
    pub network: Arc<dyn Network>,
    /// Keys and certificates, of which the metrics tell.
    pub tls: TlsInUse,
    /// Counts how often JAAS files were read again.
    pub jaas_reloads: Arc<JaasReloads>,
    /// Who has changed what; `None` where that is not told.
    pub audit: Option<Arc<Audit>>,
    /// What session ids are made of.
    pub session_id_bytes: RandomBytes,
    /// Where clients connect, to be shown.
    pub client_port: Option<u16>,
    /// Where clients connect that speak TLS alone, likewise.
    pub secure_client_port: Option<u16>,
}

/// An observer without its sockets and threads: all parts, wired together and at rest.
pub struct Parts {
    /// What every connection uses.
    pub service: Arc<Service>,
    /// To be run, as long as the observer is to live.
    pub link: LinkLife,
    /// Likewise.
    pub apply: ApplyLife,
}

/// Wires the parts of an observer together. `front` is handed whoever takes what the ensemble says to clients,
/// and may put another in front of it.
pub fn assemble(
    config: &Config,
    surroundings: Surroundings,
    front: impl FnOnce(Arc<dyn Answers>) -> Arc<dyn Answers>,
) -> Parts {
    let tree = TreeOptions {
        extended_types: config.agreed.extended_types,
        compare_digests: config.agreed.digest,
    };
    let mirror = Arc::new(Mirror::with_options(tree));
    let stats = Arc::new(Stats::new(config.workers.get()));
    let local_sessions = Arc::new(LocalSessions::new(LocalSessionRules {
        enabled: config.agreed.local_sessions,
        upgrading: config.agreed.local_sessions_upgrading,
    }));
    let clients = Clients::new(
        acl_rules(config),
        client_limits(config),
        Arc::clone(&local_sessions),
        Arc::clone(&stats),
        ReadOnlyMode::new(config.read_only_mode),
    );
    let clients = Arc::new(clients.with_audit(surroundings.audit.clone()));
    let (link, link_life, apply) = Link::assemble(
        link_settings(config, tree),
        candidates(config),
        Arc::clone(&mirror),
        front(Arc::clone(&clients) as Arc<_>),
        surroundings.network,
    );
    let service = Arc::new(Service {
        settings: serve_settings(config, &surroundings.jaas_reloads),
        session_id_bytes: surroundings.session_id_bytes,
        gate: gate(config),
        mirror,
        link,
        clients,
        local_sessions,
        outstanding: Arc::new(outstanding(config)),
        throttle: config.clients.request_throttle.map(Throttle::new),
        connect_tokens: connect_tokens(config),
        stats,
        audit: surroundings.audit,
        tls: surroundings.tls,
        jaas_reloads: surroundings.jaas_reloads,
        facts: Facts::new(
            config,
            surroundings.client_port,
            surroundings.secure_client_port,
        ),
        readiness: Readiness::default(),
        liveness: Liveness::new(config.workers.get()),
        listings: Semaphore::new(limits::LISTINGS_MAX),
        trace_mask: AtomicI64::new(TRACE_MASK),
    });
    Parts {
        service,
        link: link_life,
        apply,
    }
}

/// What is not configured depends on the memory that the process may use.
fn client_limits(config: &Config) -> ClientLimits {
    let clients = &config.clients;
    let memory = process::memory_limit().and_then(|bytes| usize::try_from(bytes).ok());
    let memory = memory.unwrap_or(limits::MEMORY_UNKNOWN);
    ClientLimits {
        outbox_bytes_max: clients.outbox_bytes_max,
        outbox_bytes_total_max: clients
            .outbox_bytes_total_max
            .unwrap_or((memory / 4).max(clients.outbox_bytes_max)),
        reads: ReadLimits {
            reply_bytes_max: clients.reply_bytes_max,
            watches_per_session_max: clients.watches_per_session_max,
            watches_max: clients.watches_max.unwrap_or(memory / MEMORY_PER_WATCH),
        },
    }
}

fn acl_rules(config: &Config) -> AclRules {
    AclRules {
        skip_acl: config.auth.skip_acl,
        digest: config.auth.digest.is_some(),
        sasl: config.auth.sasl.provider,
        let_any_sasl_user_do_x: config.auth.sasl.any_user.as_deref().map(Into::into),
        x509: config.auth.x509.is_some(),
        x509_super_user: config
            .auth
            .x509
            .as_ref()
            .and_then(|x509| x509_rules(x509).super_user),
    }
}

fn x509_rules(auth: &X509Auth) -> X509Rules {
    X509Rules {
        super_user: auth.super_user.as_deref().map(Into::into),
    }
}

fn candidates(config: &Config) -> Candidates {
    Candidates::new(
        config.ensemble.members.clone(),
        config.ensemble.observer_master_port,
        config.ensemble.reconfig_enabled,
    )
}

fn link_settings(config: &Config, tree: TreeOptions) -> LinkSettings {
    LinkSettings {
        server_id: config.id,
        init_timeout: config.ticks.init_timeout(),
        sync_timeout: config.ticks.sync_timeout(),
        connect_timeout: config.ticks.connect_timeout().min(CONNECT_LONGEST),
        silence_timeout: config.link_timeout,
        hold: config.hold,
        packet_bytes_max: config.ensemble.record_bytes_max,
        retry_first: RETRY_FIRST,
        retry_longest: RETRY_LONGEST,
        retry_longest_held: RETRY_LONGEST_HELD,
        reconnect_delay: config.ensemble.reconnect_delay_max,
        request_queue_max: limits::REQUEST_QUEUE_MAX,
        in_flight_max: config.writes_in_flight_max,
        apply_queue_max: limits::APPLY_QUEUE_MAX,
        apply_queue_bytes_max: limits::APPLY_QUEUE_BYTES_MAX,
        tree,
    }
}

fn serve_settings(config: &Config, reloads: &Arc<JaasReloads>) -> ServeSettings {
    let clients = &config.clients;
    let per_address = clients.max_client_cnxns.map_or(0, |max| max as usize);
    ServeSettings {
        server_id: config.id,
        frame_bytes_max: clients.frame_bytes_max,
        session_timeout_min_ms: milliseconds(clients.min_session_timeout),
        session_timeout_max_ms: milliseconds(clients.max_session_timeout),
        sessionless_timeout: clients.sessionless_timeout,
        connections_per_address_max: per_address,
        connections_max: clients.max_cnxns.map_or(0, |max| max as usize),
        connections_for_descriptors: descriptors::for_clients(serving_threads(config)),
        tcp_keep_alive: clients.tcp_keep_alive,
        speaks_tls: clients.doors.speak_tls(),
        auth: AuthRules {
            digest: config.auth.digest.as_ref().map(|digest| digest.algorithm),
            super_digest: config
                .auth
                .digest
                .as_ref()
                .and_then(|digest| digest.super_digest.as_ref())
                .map(|secret| secret.reveal().into()),
            ensemble: config.auth.ensemble.clone(),
            sasl: sasl_rules(&config.auth.sasl, reloads),
            x509: config.auth.x509.as_ref().map(x509_rules),
            enforced: config.auth.enforced_schemes.clone(),
        },
    }
}

/// Threads that serve clients.
pub(crate) fn serving_threads(config: &Config) -> usize {
    config.workers.get() + config.clients.doors.handshake_threads.get()
}

fn sasl_rules(sasl: &SaslAuth, reloads: &Arc<JaasReloads>) -> SaslRules {
    let users = sasl.users.clone();
    let users = users.map(|users| Users::new(users, Arc::clone(reloads)));
    SaslRules {
        users: users.map(Arc::new),
        super_users: sasl.super_users.clone(),
        keeps_failed: sasl.keeps_failed,
    }
}

fn outstanding(config: &Config) -> Outstanding {
    let limit = config.clients.global_outstanding_limit;
    Outstanding::new(limit as usize, config.clients.large_requests)
}

fn connect_tokens(config: &Config) -> Option<Mutex<TokenBucket>> {
    let rules = config.clients.connect_throttle?;
    Some(Mutex::new(TokenBucket::new(rules, clock::now())))
}

fn gate(config: &Config) -> Gate {
    Gate {
        reconfig_enabled: config.ensemble.reconfig_enabled,
        // A follower that is our learner master may have this setting, and would stop.
        eager_acl_check: config.auth.eager_acl_check
            || config.ensemble.observer_master_port.is_some(),
        ..Gate::new(config.clients.frame_bytes_max, config.agreed.extended_types)
    }
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
