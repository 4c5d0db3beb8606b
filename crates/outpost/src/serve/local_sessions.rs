//! Sessions that only this server knows: made without the leader (`localSessionsEnabled`) or while there was none
//! (`readonlymode.enabled`), expired here.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use outpost_wire::SessionId;

use crate::serve::client::Cause;
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
    /// Made in read-only mode, with which it ends.
    read_only: bool,
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
        self.put(session, timeout_ms, now, false);
    }

    /// A session that is new, or came back, in read-only mode. A new one ends with that mode.
    pub fn track_read_only(&self, session: SessionId, timeout_ms: i32, now: Instant) {
        self.put(session, timeout_ms, now, true);
    }

    fn put(&self, session: SessionId, timeout_ms: i32, now: Instant, read_only: bool) {
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        let made = LocalSession {
            timeout,
            expires: now + timeout,
            read_only,
        };
        let mut local = self.sessions.entry(session).or_insert(made);
        (local.timeout, local.expires) = (made.timeout, made.expires);
    }

    /// Read-only mode is over, and with it the sessions made in it.
    pub fn end_read_only(&self) {
        self.sessions.retain(|_, local| !local.read_only);
    }

    /// The connection of a session has ended, and was heard last at this time: from then on its timeout runs.
    pub fn left(&self, session: SessionId, heard: Instant) {
        if let Some(mut local) = self.sessions.get_mut(&session) {
            local.expires = local.expires.max(heard + local.timeout);
        }
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
                client.cut(Cause::Expired);
            }
            lives
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use outpost_mirror::acl::AclRules;

    use super::*;
    use crate::serve::client::Client;
    use crate::serve::clients::ClientLimits;
    use crate::serve::read::ReadLimits;
    use crate::serve::read_only::ReadOnlyMode;
    use crate::stats::Stats;

    const ID: SessionId = SessionId(7);

    struct Scene {
        sessions: Arc<LocalSessions>,
        clients: Clients,
        start: Instant,
    }

    impl Scene {
        fn new() -> Scene {
            let sessions = Arc::new(LocalSessions::new(LocalSessionRules::default()));
            let stats = Arc::new(Stats::new(1));
            let clients = Clients::new(
                AclRules::default(),
                ClientLimits {
                    outbox_bytes_max: 1 << 20,
                    outbox_bytes_total_max: 1 << 30,
                    reads: ReadLimits::NONE,
                },
                Arc::clone(&sessions),
                stats,
                ReadOnlyMode::new(false),
            );
            Scene {
                sessions,
                clients,
                start: Instant::now(),
            }
        }

        fn connect(&self) -> Arc<Client> {
            let client = self.clients.admit(SocketAddr::from(([127, 0, 0, 1], 9)));
            client.set_session(ID, 1000, true);
            self.clients.claim_session(&client);
            client
        }

        /// Whether the session is still there after a sweep at this time.
        fn lives_at(&self, ms: u64) -> bool {
            self.sessions.sweep(&self.clients, self.at(ms));
            self.sessions.knows(ID)
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }
    }

    #[test]
    fn a_session_without_a_client_lives_for_its_timeout() {
        let scene = Scene::new();
        scene.sessions.track(ID, 1000, scene.start);
        assert!(scene.lives_at(999));
        assert!(!scene.lives_at(1000));
    }

    #[test]
    fn a_client_that_shows_itself_keeps_its_session_and_a_silent_one_is_cut() {
        let scene = Scene::new();
        scene.sessions.track(ID, 1000, scene.start);
        let client = scene.connect();
        client.touch();
        assert!(scene.lives_at(900) && scene.lives_at(1899));
        assert!(!client.is_cut());
        assert!(!scene.lives_at(1900));
        assert!(client.is_cut());
    }

    #[test]
    fn a_session_that_was_left_lives_for_its_timeout_from_the_last_word_of_its_client() {
        let scene = Scene::new();
        scene.sessions.track(ID, 1000, scene.start);
        let client = scene.connect();
        assert!(scene.lives_at(500));
        // Its last word came between two sweeps.
        client.touch();
        scene.clients.forget(&client);
        scene.sessions.left(ID, scene.at(700));
        assert!(scene.lives_at(1699));
        assert!(!scene.lives_at(1700));
    }

    #[test]
    fn a_session_made_in_read_only_mode_ends_with_it_and_one_that_was_there_before_does_not() {
        let scene = Scene::new();
        scene.sessions.track(ID, 1000, scene.start);
        scene.sessions.track_read_only(ID, 2000, scene.start);
        scene
            .sessions
            .track_read_only(SessionId(8), 1000, scene.start);
        scene.sessions.end_read_only();
        assert!(scene.lives_at(1999), "it came back with this timeout");
        assert!(!scene.sessions.knows(SessionId(8)));
    }

    #[test]
    fn a_session_that_was_closed_is_known_no_more_and_leaving_it_does_not_bring_it_back() {
        let scene = Scene::new();
        scene.sessions.track(ID, 1000, scene.start);
        assert!(scene.sessions.close(ID));
        assert!(!scene.sessions.close(ID));
        scene.sessions.left(ID, scene.start);
        assert!(!scene.sessions.knows(ID) && scene.sessions.is_empty());
    }
}
