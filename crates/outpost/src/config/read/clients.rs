//! Whom to serve, and within which limits.

use std::time::Duration;

use super::super::settings::{self, INT_MAX, Settings};
use super::super::{
    Clients, ConnectThrottle, ConnectWeights, Doors, LargeRequests, RequestThrottle, Ticks,
};
use crate::limits::OUTBOX_BYTES_PAUSE;

/// Session timeouts where none are set, in ticks, as in ZooKeeper.
const SESSION_TICKS_MIN: u32 = 2;
const SESSION_TICKS_MAX: u32 = 20;
/// Bytes a client may leave unread where nothing is set, unless frames are so large that it must be more. A
/// Java server keeps them without bound.
const OUTBOX_BYTES_MAX: usize = 64 << 20;
/// What stands around the largest znode in a reply.
const AROUND_DATA: usize = 1 << 10;
/// Paths one session may watch where nothing is set: ten times what the largest caches of client libraries watch.
const WATCHES_PER_SESSION_MAX: usize = 1_000_000;

pub(super) fn clients(
    settings: &mut Settings,
    doors: Doors,
    ticks: &Ticks,
    frame_bytes_max: usize,
) -> Clients {
    let (min_session_timeout, max_session_timeout) = session_timeouts(settings, ticks);
    let sessionless = settings.millis("nio.sessionlessCnxnTimeout", 1);
    let outbox_bytes_max = outbox_bytes_max(settings, frame_bytes_max);
    Clients {
        doors,
        backlog: settings.limit("clientPortListenBacklog", 0, "connections"),
        tcp_keep_alive: settings.flag("clientTcpKeepAlive", false),
        min_session_timeout,
        max_session_timeout,
        max_client_cnxns: settings.limit("maxClientCnxns", 60, "connections"),
        max_cnxns: settings.limit("maxCnxns", 0, "connections"),
        frame_bytes_max,
        outbox_bytes_max,
        outbox_bytes_total_max: outbox_bytes_total_max(settings, outbox_bytes_max),
        reply_bytes_max: reply_bytes_max(settings, frame_bytes_max, outbox_bytes_max),
        watches_per_session_max: settings
            .amount("outpost.watchesPerSession", "paths")
            .unwrap_or(WATCHES_PER_SESSION_MAX),
        watches_max: settings.amount("outpost.watches", "watches"),
        sessionless_timeout: sessionless.unwrap_or(Duration::from_secs(10)),
        global_outstanding_limit: settings.count("globalOutstandingLimit", 1, 1000, "requests"),
        large_requests: large_requests(settings),
        request_throttle: request_throttle(settings),
        connect_throttle: connect_throttle(settings),
    }
}

fn session_timeouts(settings: &mut Settings, ticks: &Ticks) -> (Duration, Duration) {
    let min = session_timeout(settings, "minSessionTimeout");
    let max = session_timeout(settings, "maxSessionTimeout");
    let min = min.unwrap_or(ticks.tick_time.saturating_mul(SESSION_TICKS_MIN));
    let max = max.unwrap_or(ticks.tick_time.saturating_mul(SESSION_TICKS_MAX));
    if min > max {
        let text = format!(
            "minSessionTimeout ({} ms) must not be larger than maxSessionTimeout ({} ms)",
            min.as_millis(),
            max.as_millis()
        );
        let setting = settings
            .get("minSessionTimeout")
            .or(settings.get("maxSessionTimeout"));
        match setting {
            Some(setting) => settings.complain(&setting, &text),
            None => settings.complain_of_file(&text),
        }
    }
    (min, max)
}

/// -1 stands for the default.
fn session_timeout(settings: &mut Settings, key: &'static str) -> Option<Duration> {
    match settings.get(key)?.value.as_str() {
        "-1" => None,
        _ => settings.millis(key, 1),
    }
}

/// One full-size znode always fits behind what a client may leave unread before it is told to wait.
fn outbox_bytes_max(settings: &mut Settings, frame_bytes_max: usize) -> usize {
    let min = frame_bytes_max.saturating_add(OUTBOX_BYTES_PAUSE);
    let bytes = settings.bytes("outpost.outboxBytes", 1);
    let bytes = bytes.unwrap_or(OUTBOX_BYTES_MAX.max(min.saturating_mul(2)));
    if bytes < min
        && let Some(setting) = settings.get("outpost.outboxBytes")
    {
        let text = format!(
            "must be at least {min} with jute.maxbuffer={frame_bytes_max}, or reading a large znode \
             could cut its own connection"
        );
        settings.complain(&setting, &text);
    }
    bytes
}

/// All together may leave at least as much as one alone.
fn outbox_bytes_total_max(settings: &mut Settings, outbox_bytes_max: usize) -> Option<usize> {
    let bytes = settings.amount("outpost.outboxBytesTotal", "bytes")?;
    if bytes < outbox_bytes_max
        && let Some(setting) = settings.get("outpost.outboxBytesTotal")
    {
        let text =
            format!("must be at least outpost.outboxBytes, which is {outbox_bytes_max} here");
        settings.complain(&setting, &text);
    }
    Some(bytes)
}

/// The largest znode fits, and the longest reply leaves room for what comes behind it.
fn reply_bytes_max(
    settings: &mut Settings,
    frame_bytes_max: usize,
    outbox_bytes_max: usize,
) -> usize {
    let min = frame_bytes_max.saturating_add(AROUND_DATA);
    let Some(bytes) = settings.amount("outpost.replyBytes", "bytes") else {
        return min.max(outbox_bytes_max / 2);
    };
    let max = outbox_bytes_max.saturating_sub(OUTBOX_BYTES_PAUSE).max(min);
    if !(min..=max).contains(&bytes)
        && let Some(setting) = settings.get("outpost.replyBytes")
    {
        let text = format!(
            "must be between {min}, so that the largest znode can be read (jute.maxbuffer={frame_bytes_max}), and \
             {max}, so that it can wait to be read (outpost.outboxBytes={outbox_bytes_max})"
        );
        settings.complain(&setting, &text);
    }
    bytes
}

fn large_requests(settings: &mut Settings) -> Option<LargeRequests> {
    let bytes_max = settings
        .bytes("largeRequestMaxBytes", 1)
        .unwrap_or(100 << 20);
    let threshold = settings.limit("largeRequestThreshold", 0, "bytes")?;
    Some(LargeRequests {
        threshold: usize::try_from(threshold).ok()?,
        bytes_max,
    })
}

fn request_throttle(settings: &mut Settings) -> Option<RequestThrottle> {
    let requests_max = settings.limit("request_throttle_max_requests", 0, "requests");
    let stall_time = settings.millis("request_throttle_stall_time", 1);
    let op_wait_max = settings.limit("throttled_op_wait_time", 0, "milliseconds");
    let rules = RequestThrottle {
        requests_max: requests_max.unwrap_or(0),
        stall_time: stall_time.unwrap_or(Duration::from_millis(100)),
        drop_stale: settings.flag("request_throttle_drop_stale", true),
        stale_connection_check: settings.flag("request_stale_connection_check", true),
        stale_latency_check: settings.flag("request_stale_latency_check", false),
        op_wait_max: op_wait_max.map(|ms| Duration::from_millis(ms.into())),
    };
    requests_max.map(|_| rules)
}

fn connect_throttle(settings: &mut Settings) -> Option<ConnectThrottle> {
    let tokens = settings.limit("connection_throttle_tokens", 0, "tokens");
    let fill_time = settings.millis("connection_throttle_fill_time", 1);
    let fill_count = settings.count("connection_throttle_fill_count", 0, 1, "tokens");
    let freeze_time = settings.whole(
        "connection_throttle_freeze_time",
        -1..=INT_MAX,
        "milliseconds",
    );
    let drop_increase = settings.fraction("connection_throttle_drop_increase", 0.02);
    let drop_decrease = settings.fraction("connection_throttle_drop_decrease", 0.002);
    let decrease_ratio = settings.fraction("connection_throttle_decrease_ratio", 0.0);
    let weights = connect_weights(settings);
    Some(ConnectThrottle {
        tokens: tokens?,
        fill_time: fill_time.unwrap_or(Duration::from_millis(1)),
        fill_count,
        freeze_time: freeze_time.and_then(settings::to_millis),
        drop_increase,
        drop_decrease,
        decrease_ratio,
        weights,
    })
}

fn connect_weights(settings: &mut Settings) -> Option<ConnectWeights> {
    let enabled = settings.flag("connection_throttle_weight_enabled", false);
    let local = settings.count("connection_throttle_local_session_weight", 1, 1, "tokens");
    let renew = settings.count("connection_throttle_renew_session_weight", 1, 2, "tokens");
    let global = settings.count("connection_throttle_global_session_weight", 1, 3, "tokens");
    enabled.then_some(ConnectWeights {
        global: global.max(local),
        renew: renew.max(local),
        local,
    })
}
