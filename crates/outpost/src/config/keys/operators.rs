//! What operators see: admin server, metrics, logs.

use super::{Key, NO, NO_JVM, NONE, honoured, ignored};

const LOGGING: &str = "Outpost logs to standard error; choose what with OUTPOST_LOG";

/// The keys of this group.
pub(super) const KEYS: &[Key] = &[
    // Operations.
    honoured("4lw.commands.whitelist"),
    honoured("admin.enableServer"),
    honoured("admin.serverAddress"),
    honoured("admin.serverPort"),
    honoured("admin.commandURL"),
    honoured("admin.idleTimeout"),
    honoured("admin.forceHttps"),
    honoured("admin.needClientAuth"),
    honoured("admin.portUnification"),
    ignored(
        "admin.httpVersion",
        &["11"],
        "the admin server speaks HTTP/1.1",
    ),
    honoured("admin.rateLimiterIntervalInMS"),
    honoured("admin.snapshot.enabled"),
    honoured("admin.restore.enabled"),
    honoured("metricsProvider.className"),
    honoured("metricsProvider.httpHost"),
    honoured("metricsProvider.httpPort"),
    honoured("metricsProvider.exportJvmInfo"),
    ignored(
        "metricsProvider.*",
        NONE,
        "the metrics exporter here has no such setting",
    ),
    ignored("jvm.pause.*", NO, NO_JVM),
    ignored("jmx.*", NONE, NO_JVM),
    ignored("com.sun.management.*", NONE, NO_JVM),
    honoured("audit.enable"),
    honoured("audit.impl.class"),
    ignored("log.*", NONE, LOGGING),
    ignored("log4j.*", NONE, LOGGING),
    ignored("logback.*", NONE, LOGGING),
    ignored("root.logger", NONE, LOGGING),
    ignored("console.threshold", NONE, LOGGING),
    ignored("pathStats.*", NONE, "Outpost keeps no statistics by path"),
    ignored(
        "messageTracker.*",
        NONE,
        "Outpost keeps no messages for later inspection",
    ),
];
