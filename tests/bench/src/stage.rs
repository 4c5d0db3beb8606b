//! What every benchmark sets up: an ensemble, a tree in it, observers with a JVM as an operator would run it.

use outpost_tests::ensemble::{Ensemble, Settings};
use outpost_tests::observer::ObserverSettings;

use crate::populate::{DATA_BYTES, populate};

/// The JVM as an operator would run it, in place of the small one of the tests.
const JVM_OPTIONS: &str = "-XX:TieredStopAtLevel=4 -XX:-UseSerialGC -XX:+UseG1GC";

/// Voters that have elected a leader.
pub(crate) fn ensemble(settings: Settings) -> Ensemble {
    println!(
        "starting {} voters of ZooKeeper {}",
        settings.voters,
        settings.version.number()
    );
    Ensemble::with(settings)
}

/// The same with so many znodes to read.
pub(crate) fn ensemble_with_tree(settings: Settings, znodes: usize) -> Ensemble {
    let ensemble = ensemble(settings);
    println!("creating {znodes} znodes of {DATA_BYTES} bytes");
    populate(ensemble.server(1).client_address(), znodes);
    ensemble
}

/// An observer with the defaults of an operator; if it is a Java observer, with a heap of so many MB at most.
pub(crate) fn observer(java_heap_mb: u32) -> ObserverSettings {
    let options = format!("{JVM_OPTIONS} -Xmx{java_heap_mb}m");
    let mut settings = ObserverSettings {
        default_patience: true,
        ..ObserverSettings::default()
    };
    settings.environment.push(("_JAVA_OPTIONS".into(), options));
    settings
}
