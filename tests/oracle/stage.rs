//! One ensemble, a Java observer and an Outpost of it, for all scripts.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use outpost_tests::raw::RawClient;
use outpost_tests::{
    Ensemble, Observer, ObserverKind, ObserverSettings, Settings, four_letter, wait,
};

use outpost_wire::proto::CreateMode;

use crate::script::At;

/// How long an observer may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a voter may lag behind an observer.
const APPLY_LIMIT: Duration = Duration::from_secs(30);

/// The servers.
pub(crate) struct Stage {
    // First, so that they go before the ensemble that they observe.
    java: Observer,
    outpost: Observer,
    ensemble: Ensemble,
    next_root: AtomicU32,
    sessions: Sessions,
}

/// Who knows the sessions that begin at the observers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// Everybody.
    Global,
    /// The observer alone, until an ephemeral znode is made (`localSessionsUpgradingEnabled`).
    Local,
}

impl Sessions {
    /// What stands in the configuration of all servers.
    fn lines(self) -> Vec<String> {
        let keys = ["localSessionsEnabled", "localSessionsUpgradingEnabled"];
        match self {
            Sessions::Global => Vec::new(),
            Sessions::Local => keys.map(|key| format!("{key}=true")).to_vec(),
        }
    }
}

impl Stage {
    /// Starts them and waits until all serve.
    pub(crate) fn build(sessions: Sessions) -> Self {
        let settings = Settings {
            lines: sessions.lines(),
            extended_types: true,
            // So that both have the same membership to show.
            listed_observers: 2,
            ..Settings::default()
        };
        let ensemble = Ensemble::with(settings.super_secret());
        let start =
            |kind| Observer::start_without_waiting(&ensemble, kind, &ObserverSettings::default());
        let (java, outpost) = (start(ObserverKind::Java), start(ObserverKind::Outpost));
        for observer in [&java, &outpost] {
            let what = format!("observer {} to open a session", observer.id);
            wait::until(&what, START_LIMIT, || {
                RawClient::try_connect(observer.client_address(), 30_000)
                    .ok()?
                    .close()
                    .ok()
            });
        }
        Self {
            java,
            outpost,
            ensemble,
            next_root: AtomicU32::new(1),
            sessions,
        }
    }

    /// Whether the end of a session is a transaction, whichever session it is.
    pub(crate) fn closing_is_a_transaction(&self) -> bool {
        self.sessions == Sessions::Global
    }

    /// Where the logs of all servers are.
    pub(crate) fn dirs(&self) -> String {
        let config_dir = |observer: &Observer| {
            let dir = observer.config().parent().map(Path::to_owned);
            dir.unwrap_or_default().display().to_string()
        };
        let ensemble = self.ensemble.dir().display();
        format!(
            "{ensemble}, {} (Java) and {} (Outpost)",
            config_dir(&self.java),
            config_dir(&self.outpost)
        )
    }

    /// The server that `at` means when `kind` is under test.
    pub(crate) fn address(&self, kind: ObserverKind, at: At) -> SocketAddr {
        match (at, kind) {
            (At::Here, ObserverKind::Java) | (At::There, ObserverKind::Outpost) => {
                self.java.client_address()
            }
            (At::Here, ObserverKind::Outpost) | (At::There, ObserverKind::Java) => {
                self.outpost.client_address()
            }
            (At::Voter, _) => self.ensemble.servers()[0].client_address(),
        }
    }

    /// Waits until every voter, whoever leads, has applied the transaction `zxid`.
    pub(crate) fn wait_for_voters(&self, zxid: i64) {
        for voter in self.ensemble.servers() {
            wait::until("a voter to apply what is committed", APPLY_LIMIT, || {
                let applied = four_letter::zxid(voter.client_address())?;
                (applied.cast_signed() >= zxid).then_some(())
            });
        }
    }

    /// Makes a znode for one run of one script: its path, and the zxid of its creation. `kind` has it.
    pub(crate) fn new_root(&self, kind: ObserverKind) -> (String, i64) {
        let number = self.next_root.fetch_add(1, Ordering::Relaxed);
        // Of one length for all, because lengths show.
        let path = format!("/run{number:05}");
        let mut client = RawClient::connect(self.address(kind, At::Here), 30_000);
        let made = client.create(&path, b"root", CreateMode::Persistent);
        made.unwrap_or_else(|error| panic!("{path} cannot be created: {error}"));
        let stat = client
            .exists(&path, false)
            .expect("what was just created is there");
        client.close().expect("a session can be closed");
        (path, stat.czxid.0)
    }

    /// Removes what a run has made.
    pub(crate) fn remove(&self, path: &str) {
        let mut client = RawClient::connect(self.address(ObserverKind::Java, At::Voter), 30_000);
        client.sync();
        client.authenticate("super:secret");
        remove_below(&mut client, path);
        client.close().expect("a session can be closed");
    }

    /// Commits something through a voter: a leader that was hurt does not come to that.
    pub(crate) fn commits(&self) -> bool {
        let mut client = RawClient::connect(self.address(ObserverKind::Java, At::Voter), 30_000);
        // Scripts end side by side, and each asks with a znode of its own.
        let path = format!("/commits{}", self.next_root.fetch_add(1, Ordering::Relaxed));
        let made = client.create(&path, b"", CreateMode::Persistent);
        made.is_ok() && client.delete(&path).is_ok() && client.close().is_ok()
    }
}

fn remove_below(client: &mut RawClient, path: &str) {
    let Ok((names, _)) = client.get_children(path.as_bytes(), false) else {
        return;
    };
    for name in names {
        remove_below(client, &format!("{path}/{name}"));
    }
    // An ephemeral may have gone by itself meanwhile.
    let _ = client.delete(path);
}
