//! What several tests of this executable share: one ensemble of the newest release with one observer.

use std::sync::{Arc, Mutex, Weak};

use outpost_tests::{Ensemble, Observer, ObserverKind, ObserverSettings, Settings};

/// An ensemble and the server under test.
pub(crate) struct Stage {
    // First, so that it goes before the ensemble that it observes.
    pub(crate) observer: Observer,
    pub(crate) ensemble: Ensemble,
}

impl Stage {
    /// The stage that tests use side by side; each works under a root znode of its own.
    ///
    /// It lives as long as any of them holds it: tests that run after all the others have ended build it anew.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Stage>> = Mutex::new(Weak::new());
        // Poisoned by a stage that could not be built: trying again would only take its time again.
        let mut shared = SHARED
            .lock()
            .expect("the shared stage could not be built, see the first failure");
        if let Some(stage) = shared.upgrade() {
            return stage;
        }
        let settings = Settings {
            extended_types: true,
            reconfig: true,
            listed_observers: 2,
            ..Settings::default()
        };
        let stage = Arc::new(Self::with(
            settings.super_secret(),
            &ObserverSettings::default(),
        ));
        *shared = Arc::downgrade(&stage);
        stage
    }

    /// A stage of one's own.
    pub(crate) fn with(settings: Settings, observer: &ObserverSettings) -> Self {
        let ensemble = Ensemble::with(settings);
        let observer = Observer::start(&ensemble, ObserverKind::from_env(), observer);
        Self { observer, ensemble }
    }
}
