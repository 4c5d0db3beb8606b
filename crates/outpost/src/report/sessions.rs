//! What is said about sessions, their ephemeral znodes and their watches.

use std::time::{Instant, SystemTime};

use outpost_forward::Origin;
use outpost_mirror::WatcherId;
use outpost_wire::SessionId;

use super::Report;

/// What `dump` tells.
#[derive(Debug, Clone)]
pub struct SessionsReport {
    /// Sessions that only this server knows, and when each expires; `None` where there are none and cannot be any.
    pub local: Option<Vec<(SessionId, SystemTime)>>,
    /// Sessions that the whole ensemble knows, with their timeouts in ms; in the order of their ids.
    pub global: Vec<(SessionId, i32)>,
    /// Paths of ephemeral znodes by session, both in order.
    pub ephemerals: Vec<(SessionId, Vec<String>)>,
}

impl Report<'_> {
    /// All sessions and ephemeral znodes.
    pub fn sessions(&self) -> SessionsReport {
        let local_sessions = &self.service.local_sessions;
        let local = (local_sessions.rules.enabled || !local_sessions.is_empty()).then(|| {
            let (now, now_by_clock) = (Instant::now(), SystemTime::now());
            let mut local = local_sessions.expiries();
            local.sort_unstable();
            let expires = |when: Instant| now_by_clock + when.saturating_duration_since(now);
            local
                .into_iter()
                .map(|(id, when)| (id, expires(when)))
                .collect()
        });
        let tree = self.service.mirror.read();
        let global = tree.sessions().iter().map(|(id, ms)| (*id, *ms)).collect();
        let paths = |id| {
            let mut paths: Vec<String> = tree
                .ephemerals_of(id)
                .map(|path| path.to_string())
                .collect();
            paths.sort_unstable();
            paths
        };
        let ephemerals = tree.ephemeral_owners().map(|id| (id, paths(id))).collect();
        SessionsReport {
            local,
            global,
            ephemerals,
        }
    }

    /// Watched paths by session: connections in the order in which they came, paths in order. The data table
    /// alone, as for a Java server.
    pub fn watches_by_session(&self) -> Vec<(SessionId, Vec<String>)> {
        let by_watcher = self.service.mirror.read().watches().by_watcher();
        let text = |paths: Vec<_>| paths.iter().map(ToString::to_string).collect();
        by_watcher
            .into_iter()
            .map(|(watcher, paths)| (self.session_of(watcher), text(paths)))
            .collect()
    }

    /// Watching sessions by path, in the order of the paths. The data table alone.
    pub fn watches_by_path(&self) -> Vec<(String, Vec<SessionId>)> {
        let by_path = self.service.mirror.read().watches().by_path();
        let sessions =
            |watchers: Vec<_>| watchers.into_iter().map(|w| self.session_of(w)).collect();
        by_path
            .into_iter()
            .map(|(path, watchers)| (path.to_string(), sessions(watchers)))
            .collect()
    }

    /// A watcher is a connection. One that has gone meanwhile has no session any more.
    fn session_of(&self, watcher: WatcherId) -> SessionId {
        let client = self.service.clients.of_origin(Origin(watcher.0));
        client.map_or(SessionId::NONE, |client| client.session())
    }
}
