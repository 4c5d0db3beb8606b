//! What every connection needs: the mirror, the link, the other clients, and the rules.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use outpost_forward::{Link, clock};
use outpost_mirror::Mirror;
use outpost_wire::ServerId;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::audit::Audit;
use crate::jaas::JaasReloads;
use crate::liveness::{Liveness, Stuck};
use crate::readiness::Readiness;
use crate::report::Facts;
use crate::serve::auth::AuthRules;
use crate::serve::clients::Clients;
use crate::serve::local_sessions::LocalSessions;
use crate::serve::outstanding::Outstanding;
use crate::serve::request_throttle::Throttle;
use crate::serve::session_ids::RandomBytes;
use crate::serve::throttle::{TokenBucket, Wish};
use crate::serve::validate::Gate;
use crate::stats::Stats;
use crate::tls::TlsInUse;

/// How clients are served: plain values from the configuration.
#[derive(Clone)]
pub struct ServeSettings {
    /// Our id; its low byte stands on top of every session id made here.
    pub server_id: ServerId,
    /// Longest frame a client may send, in bytes (`jute.maxbuffer`).
    pub frame_bytes_max: usize,
    /// Shortest session timeout granted, ms.
    pub session_timeout_min_ms: i32,
    /// Longest session timeout granted, ms.
    pub session_timeout_max_ms: i32,
    /// How long a connection may stay without a session.
    pub sessionless_timeout: Duration,
    /// Connections one address may have; 0 for any number (`maxClientCnxns`).
    pub connections_per_address_max: usize,
    /// Connections altogether; 0 for any number (`maxCnxns`).
    pub connections_max: usize,
    /// The same, as far as file descriptors go; `None` for any number.
    pub connections_for_descriptors: Option<usize>,
    /// Whether the system probes silent connections (`clientTcpKeepAlive`).
    pub tcp_keep_alive: bool,
    /// Whether TLS is spoken with clients anywhere; connections without it are counted then.
    pub speaks_tls: bool,
    /// Who clients are.
    pub auth: AuthRules,
}

/// What every connection needs.
pub struct Service {
    /// How clients are served.
    pub settings: ServeSettings,
    /// The tree.
    pub mirror: Arc<Mirror>,
    /// The way to the leader.
    pub link: Link,
    /// All clients.
    pub clients: Arc<Clients>,
    /// Sessions that only this server knows.
    pub local_sessions: Arc<LocalSessions>,
    /// Requests in work.
    pub outstanding: Arc<Outstanding>,
    /// Where requests wait until fewer are in work, if they are throttled.
    pub throttle: Option<Throttle>,
    /// What connect requests draw from, if they are throttled.
    pub connect_tokens: Option<Mutex<TokenBucket>>,
    /// What session ids are made of.
    pub session_id_bytes: RandomBytes,
    /// What may be forwarded.
    pub gate: Gate,
    /// Figures.
    pub stats: Arc<Stats>,
    /// Who has changed what; `None` where that is not told.
    pub audit: Option<Arc<Audit>>,
    /// Keys and certificates in use.
    pub tls: TlsInUse,
    /// How often JAAS files were read again.
    pub jaas_reloads: Arc<JaasReloads>,
    /// What is told about this server.
    pub facts: Facts,
    /// Whether new clients are welcome.
    pub readiness: Readiness,
    /// Whether the threads move.
    pub liveness: Liveness,
    /// Listings that may be made at one time: they are long.
    pub listings: Semaphore,
    /// What the words `gtmk` and `stmk` ask for and set; nothing is traced by it.
    pub trace_mask: AtomicI64,
}

impl Service {
    /// Whether the process works.
    ///
    /// # Errors
    /// What does not.
    pub fn live(&self, now: Instant) -> Result<(), Stuck> {
        self.liveness.check(&self.link, now)
    }

    /// Whether a session may be asked for now.
    pub fn admits_session(&self, wish: Wish) -> bool {
        let Some(tokens) = &self.connect_tokens else {
            self.stats.token_deficit.note(0, 1);
            return true;
        };
        let mut tokens = tokens.lock();
        let admitted = tokens.draw(wish, clock::now(), fastrand::f64());
        self.stats.token_deficit.note(tokens.deficit(), 1);
        admitted
    }

    /// How many connections there may be; `None` for any number.
    pub fn connections_max(&self) -> Option<usize> {
        let configured = Some(self.settings.connections_max).filter(|max| *max > 0);
        let possible = self.settings.connections_for_descriptors;
        configured.into_iter().chain(possible).min()
    }

    /// The timeout granted to a client that wishes for `wanted_ms`.
    pub fn negotiate(&self, wanted_ms: i32) -> i32 {
        wanted_ms
            .max(self.settings.session_timeout_min_ms)
            .min(self.settings.session_timeout_max_ms)
    }
}
