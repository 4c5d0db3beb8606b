//! What tests of the link share: an ensemble behind links that can be cut, and its observer.

use std::net::SocketAddr;
use std::time::Duration;

use outpost_tests::raw::RawClient;
use outpost_tests::{
    Ensemble, Observer, ObserverKind, ObserverSettings, Relay, Settings, four_letter, wait,
};

/// Longer than a session of these tests has to do without its servers: an election among virtual machines that have
/// to share a processor may take ten seconds. Servers that are [`patient`] grant it.
pub(crate) const SESSION_TIMEOUT_MS: i32 = 60_000;
/// Until something that must happen counts as not happening.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// Gives up a leader that falls silent as soon as Outpost does by default, for tests in which one does.
pub(crate) const IMPATIENT: &str = "outpost.linkTimeout=1000";

/// Servers that grant sessions of [`SESSION_TIMEOUT_MS`].
pub(crate) fn patient(mut settings: Settings) -> Settings {
    let line = format!("maxSessionTimeout={SESSION_TIMEOUT_MS}");
    settings.lines.push(line);
    settings
}

/// An ensemble, a relay before each voter, and an observer that reaches the voters through them.
pub(crate) struct Region {
    pub(crate) observer: Observer,
    pub(crate) relays: Vec<(u64, Relay)>,
    pub(crate) ensemble: Ensemble,
}

impl Region {
    pub(crate) fn start(hold: Duration) -> Self {
        Self::with(Settings::default(), hold)
    }

    pub(crate) fn with(settings: Settings, hold: Duration) -> Self {
        let settings = Settings {
            extended_types: true,
            ..patient(settings)
        };
        let ensemble = Ensemble::with(settings.super_secret());
        let relays = Relay::before_all(&ensemble);
        Self::behind(relays, ensemble, hold, ObserverSettings::default())
    }

    /// An observer that reaches the voters of `ensemble` through these relays only.
    pub(crate) fn behind(
        relays: Vec<(u64, Relay)>,
        ensemble: Ensemble,
        hold: Duration,
        settings: ObserverSettings,
    ) -> Self {
        let settings = settings
            .line(format!("outpost.hold={}", hold.as_millis()))
            .through(&relays);
        let observer = Observer::start(&ensemble, ObserverKind::from_env(), &settings);
        Self {
            observer,
            relays,
            ensemble,
        }
    }

    pub(crate) fn every_relay(&self, act: impl Fn(&Relay)) {
        self.relays.iter().for_each(|(_, relay)| act(relay));
    }

    /// The relay before a voter.
    pub(crate) fn relay(&self, id: u64) -> &Relay {
        let relay = self.relays.iter().find(|(voter, _)| *voter == id);
        relay.map_or_else(|| panic!("no relay before voter {id}"), |(_, relay)| relay)
    }

    /// The voter that the observer is attached to.
    pub(crate) fn learner_master(&self) -> Option<u64> {
        four_letter::learner_master(self.observer.client_address())
    }

    /// Whether clients are kept over a lost link: a Java observer closes them at once.
    pub(crate) fn holds_clients(&self) -> bool {
        self.observer.kind() == ObserverKind::Outpost
    }

    /// Cuts every link and returns once the observer knows.
    pub(crate) fn cut_and_wait_until_detached(&self) {
        self.every_relay(Relay::cut);
        wait::until("the observer to notice the cut", LIMIT, || {
            self.learner_master().is_none().then_some(())
        });
    }

    pub(crate) fn local(&self) -> RawClient {
        RawClient::connect(self.observer.client_address(), SESSION_TIMEOUT_MS)
    }

    pub(crate) fn voter_address(&self) -> SocketAddr {
        let leader = self.ensemble.wait_for_leader();
        self.ensemble.server(leader).client_address()
    }

    pub(crate) fn voter(&self) -> RawClient {
        RawClient::connect(self.voter_address(), SESSION_TIMEOUT_MS)
    }
}
