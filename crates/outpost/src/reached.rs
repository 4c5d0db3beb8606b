//! Limits that were reached: each is counted whenever it is, and told of now and then, with the key that moves it.
//!
//! What happens at a limit is decided where the limit is; here stands only what it is called.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use outpost_forward::clock;

use crate::logs::Rarely;

/// A limit that clients can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Connections of one address.
    ConnectionsPerAddress,
    /// Connections altogether.
    Connections,
    /// File descriptors.
    Descriptors,
    /// Connect requests in a time.
    ConnectRate,
    /// Connections that wait for their TLS handshake.
    Handshakes,
    /// Length of a frame.
    FrameBytes,
    /// Bytes of large requests in work.
    LargeRequests,
    /// Requests in work, above which a client that has some of them waits.
    Outstanding,
    /// The same, above which every client waits.
    RequestThrottle,
    /// Bytes that one client leaves unread.
    Outbox,
    /// Bytes that all clients leave unread.
    OutboxTotal,
    /// Length of one reply.
    Reply,
    /// Paths that one session watches.
    WatchesPerSession,
    /// Watches altogether.
    Watches,
}

impl Limit {
    /// All of them.
    pub const ALL: [Limit; 14] = [
        Limit::ConnectionsPerAddress,
        Limit::Connections,
        Limit::Descriptors,
        Limit::ConnectRate,
        Limit::Handshakes,
        Limit::FrameBytes,
        Limit::LargeRequests,
        Limit::Outstanding,
        Limit::RequestThrottle,
        Limit::Outbox,
        Limit::OutboxTotal,
        Limit::Reply,
        Limit::WatchesPerSession,
        Limit::Watches,
    ];

    /// A short name for metrics and logs, one for each.
    pub fn label(self) -> &'static str {
        match self {
            Limit::ConnectionsPerAddress => "connections_per_address",
            Limit::Connections => "connections",
            Limit::Descriptors => "descriptors",
            Limit::ConnectRate => "connect_rate",
            Limit::Handshakes => "tls_handshakes",
            Limit::FrameBytes => "frame_bytes",
            Limit::LargeRequests => "large_requests",
            Limit::Outstanding => "outstanding_requests",
            Limit::RequestThrottle => "request_throttle",
            Limit::Outbox => "outbox",
            Limit::OutboxTotal => "outbox_total",
            Limit::Reply => "reply",
            Limit::WatchesPerSession => "watches_per_session",
            Limit::Watches => "watches",
        }
    }

    /// What has happened, and the key in question.
    fn story(self) -> &'static str {
        match self {
            Limit::ConnectionsPerAddress => {
                "a connection was refused: its address has maxClientCnxns of them"
            }
            Limit::Connections => "a connection was refused: there are maxCnxns of them",
            Limit::Descriptors => {
                "a connection was refused: what file descriptors are left is kept for the link and for operators; \
                 raise the limit (LimitNOFILE, ulimit -Hn)"
            }
            Limit::ConnectRate => {
                "a session was refused: too many are asked for in too short a time (connection_throttle_tokens)"
            }
            Limit::Handshakes => {
                "a connection was refused: too many wait for their TLS handshake; outpost.handshakeThreads makes it \
                 faster"
            }
            Limit::FrameBytes => {
                "a connection was closed: it announced a frame longer than jute.maxbuffer"
            }
            Limit::LargeRequests => {
                "a connection was closed: large requests in work have largeRequestMaxBytes"
            }
            Limit::Outstanding => {
                "a client waits: more than globalOutstandingLimit requests are in work"
            }
            Limit::RequestThrottle => {
                "a client waits: request_throttle_max_requests requests are in work"
            }
            Limit::Outbox => "a client was cut off: it left more than outpost.outboxBytes unread",
            Limit::OutboxTotal => {
                "a client was cut off: all together left more than outpost.outboxBytesTotal unread, and it left most"
            }
            Limit::Reply => {
                "a read was refused with -5: its answer is longer than outpost.replyBytes"
            }
            Limit::WatchesPerSession => {
                "a watch was refused with -8, or a client closed that brought too many along: one session may have \
                 outpost.watchesPerSession"
            }
            Limit::Watches => {
                "a watch was refused with -8, or a client closed that brought some along: there may be \
                 outpost.watches of all sessions"
            }
        }
    }
}

/// How often each limit was reached.
#[derive(Debug, Default)]
pub struct Reached {
    each: [One; Limit::ALL.len()],
}

#[derive(Debug, Default)]
struct One {
    count: AtomicU64,
    lines: Rarely,
}

impl Reached {
    /// `peer` has met a limit.
    pub fn note(&self, limit: Limit, peer: SocketAddr) {
        self.count(limit);
        if let Some(held_back) = self.each[limit as usize].lines.pass(clock::now()) {
            let label = limit.label();
            tracing::warn!(limit = label, %peer, held_back, "{}", limit.story());
        }
    }

    /// A limit was met, which is told of elsewhere.
    pub fn count(&self, limit: Limit) {
        self.each[limit as usize]
            .count
            .fetch_add(1, Ordering::Relaxed);
    }

    /// How often this one was.
    pub fn times(&self, limit: Limit) -> u64 {
        self.each[limit as usize].count.load(Ordering::Relaxed)
    }

    /// All of them, by their names.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = Limit::ALL.into_iter();
        all.map(|limit| (limit.label(), self.times(limit)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_limit_is_counted_by_itself_under_a_name_of_its_own() {
        let (reached, peer) = (Reached::default(), SocketAddr::from(([10, 0, 0, 1], 9)));
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index);
            (0..=index).for_each(|_| reached.note(limit, peer));
        }
        let counts = reached.all().map(|(_, count)| count);
        assert!(counts.eq(1..=Limit::ALL.len() as u64));
        let names: BTreeSet<_> = reached.all().map(|(name, _)| name).collect();
        assert_eq!(names.len(), Limit::ALL.len());
    }

    #[test]
    fn every_limit_stands_in_the_documentation_and_no_other_does() {
        let documentation = include_str!("../../../docs/operating.md");
        let (_, table) = documentation.split_once("\n| limit |").unwrap();
        let table = table.split("\n\n").next().unwrap();
        let documented: BTreeSet<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        assert_eq!(documented, BTreeSet::from(Limit::ALL.map(Limit::label)));
    }
}
