//! Sessions that only this server knows (`localSessionsEnabled`): made without the leader, expired here.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use outpost_wire::SessionId;

use crate::serve::clients::Clients;

/// Whether sessions start out as local ones, and what becomes of one that needs the ensemble.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalSessionRules {
    /// `localSessionsEnabled`.
    pub enabled: bool,
    /// `localSessionsUpgradingEnabled`: a local session becomes a global one when it creates an ephemeral.
    pub upgrading: bool,
}

/// The local sessions of this server.
#[derive(Debug)]
pub struct LocalSessions {
    /// What the operator wants.
    pub rules: LocalSessionRules,
    sessions: DashMap<SessionId, LocalSession>,
}

#[derive(Debug, Clone, Copy)]
struct LocalSession {
    timeout: Duration,
    expires: Instant,
}

impl LocalSessions {
    /// None yet.
    pub fn new(rules: LocalSessionRules) -> LocalSessions {
        LocalSessions {
            rules,
            sessions: DashMap::new(),
        }
    }

    /// A new session, or one that came back with another timeout.
    pub fn track(&self, session: SessionId, timeout_ms: i32, now: Instant) {
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        self.sessions.insert(
            session,
            LocalSession {
                timeout,
                expires: now + timeout,
            },
        );
    }

    /// Whether this server knows the session.
    pub fn knows(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Forgets a session: it was closed, or becomes global. False if it was not known.
    pub fn close(&self, session: SessionId) -> bool {
        self.sessions.remove(&session).is_some()
    }

    /// Number of local sessions.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// All local sessions with their timeouts.
    pub fn all(&self) -> Vec<(SessionId, Duration)> {
        self.sessions
            .iter()
            .map(|entry| (*entry.key(), entry.timeout))
            .collect()
    }

    /// All local sessions and when each expires unless its client shows itself.
    pub fn expiries(&self) -> Vec<(SessionId, Instant)> {
        self.sessions
            .iter()
            .map(|entry| (*entry.key(), entry.expires))
            .collect()
    }

    /// Extends the sessions whose clients have shown themselves and ends those that have not for
    /// longer than their timeout. To be called once a tick.
    pub fn sweep(&self, clients: &Clients, now: Instant) {
        self.sessions.retain(|session, local| {
            let client = clients.of_session(*session);
            if client.as_ref().is_some_and(|client| client.take_touched()) {
                local.expires = now + local.timeout;
            }
            let lives = now < local.expires;
            if !lives && let Some(client) = client {
                client.cut("its local session has expired");
            }
            lives
        });
    }
}
