//! The command `snapshot`: the mirror as a snapshot file of ZooKeeper 3.9, for backups and for `restore` of a Java
//! server. Nothing is written to a disk here.
//!
//! A small tree is encoded at once and is exactly the tree at its zxid. A large one goes out in pieces while
//! transactions go on, and is fuzzy, as a Java server's snapshots are: whoever loads it and has the transaction log
//! replays what came after `last_zxid`. A stream that cannot become a whole snapshot is broken off.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bstr::BStr;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use outpost_mirror::{Tree, TreeWalk, Walked};
use outpost_wire::StatPersisted;
use outpost_wire::files::SNAPSHOT_NODE_BYTES;
use outpost_wire::files::snapshot_file::{SnapshotDigest, SnapshotFileEncoder, SnapshotTrailer};
use outpost_wire::txn::DIGEST_VERSION;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::AdminServer;
use super::commands::Refusal;
use super::http::{Answer, Asked, Content};
use crate::serve::service::Service;
use crate::stats::Stats;

/// Bytes that are encoded under one lock of the tree, and so belong to one moment.
const FIRST_PIECE_BYTES: usize = 8 << 20;
/// The same for the later pieces of a large tree.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait for a slow client.
const PIECES_MAX: usize = 4;
/// Znodes encoded before their bytes are counted.
const STEP_ZNODES: usize = 16;

const LAST_ZXID: HeaderName = HeaderName::from_static("last_zxid");
const SNAPSHOT_SIZE: HeaderName = HeaderName::from_static("snapshot_size");

/// How often snapshots are made.
pub(super) struct Snapshots {
    interval: Duration,
    last: Mutex<Option<Instant>>,
}

impl Snapshots {
    /// One in each `interval`.
    pub(super) fn new(interval: Duration) -> Snapshots {
        Snapshots {
            interval,
            last: Mutex::new(None),
        }
    }

    fn admit(&self) -> Result<(), Refusal> {
        let mut last = self.last.lock();
        let left = last.map_or(Duration::ZERO, |last| {
            self.interval.saturating_sub(last.elapsed())
        });
        if left.is_zero() {
            *last = Some(Instant::now());
            return Ok(());
        }
        let text = format!(
            "one snapshot is made in {} ms (admin.rateLimiterIntervalInMS); the next in {} ms",
            self.interval.as_millis(),
            left.as_millis()
        );
        Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, &text))
    }

    /// The last one came to nothing: another may be asked for at once.
    fn forget(&self, stats: &Stats) {
        *self.last.lock() = None;
        stats.snapshots_failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Answers `snapshot`, for somebody who may have it.
pub(super) fn snapshot(server: &AdminServer, asked: Asked<'_>) -> Result<Answer, Refusal> {
    if !server.settings.snapshot_enabled {
        let text = "switched off with admin.snapshot.enabled";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    // As `Boolean.parseBoolean`.
    let streaming = asked.parameter("streaming");
    if streaming.is_some_and(|value| !value.eq_ignore_ascii_case("true")) {
        return Err(Refusal::not_offered(
            "it writes no snapshot to a disk of its own; take the stream",
        ));
    }
    let stats = &server.service.stats;
    server.snapshots.admit().inspect_err(|_| {
        stats.snapshots_limited.fetch_add(1, Ordering::Relaxed);
    })?;
    let mirror = &server.service.mirror;
    let (zxid, first) = {
        let tree = mirror.read();
        let zxid = format!("{}", tree.last_zxid());
        (zxid, Making::start(&tree).piece(&tree, FIRST_PIECE_BYTES))
    };
    let answer = match first {
        Ok((bytes, None)) => {
            let size = HeaderValue::from(bytes.len());
            whole(Content::Whole(bytes)).with(SNAPSHOT_SIZE, size)
        }
        Ok((bytes, Some(making))) => {
            let (service, snapshots) = (Arc::clone(&server.service), Arc::clone(&server.snapshots));
            whole(Content::Pieces(stream(service, snapshots, bytes, making)))
        }
        Err(broken) => {
            server.snapshots.forget(&server.service.stats);
            let text = broken.to_string();
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, &text));
        }
    };
    let zxid = HeaderValue::try_from(zxid).unwrap_or(HeaderValue::from_static(""));
    Ok(answer.with(LAST_ZXID, zxid))
}

fn whole(content: Content) -> Answer {
    Answer::new(StatusCode::OK, "application/octet-stream", content)
}

/// Sends the rest behind `first`, as fast as the client takes it.
fn stream(
    service: Arc<Service>,
    snapshots: Arc<Snapshots>,
    first: Bytes,
    making: Making,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let mut next = Ok((first, Some(making)));
        loop {
            let (sent, rest) = match next {
                Ok((bytes, rest)) => (Ok(bytes), rest),
                Err(broken) => {
                    tracing::warn!("a snapshot for an operator is broken off: {broken}");
                    snapshots.forget(&service.stats);
                    (Err(io::Error::other(broken)), None)
                }
            };
            let (Ok(()), Some(making)) = (sender.blocking_send(sent), rest) else {
                // Everything is said, or nobody listens any more.
                return;
            };
            next = making.piece(&service.mirror.read(), PIECE_BYTES);
        }
    });
    receiver
}

/// Why a snapshot cannot be finished.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("another tree has taken the mirror's place, ask again")]
    Replaced,
    #[error("an ACL came up that was not there when the snapshot began, ask again")]
    NewAcl,
}

/// A snapshot that is being made.
struct Making {
    walk: TreeWalk,
    encoder: SnapshotFileEncoder,
    /// What znodes may name.
    acls: HashSet<i64>,
}

impl Making {
    /// With everything that stands before the znodes.
    fn start(tree: &Tree) -> Making {
        let mut encoder = SnapshotFileEncoder::new();
        let sessions = tree.sessions().iter().map(|(id, ms)| (*id, *ms));
        encoder.body().sessions(sessions);
        encoder.body().acls(tree.acls());
        // -1 is the open one, which needs no telling.
        let acls = tree.acls().map(|(id, _)| id).chain([-1]).collect();
        Making {
            walk: TreeWalk::start(tree),
            encoder,
            acls,
        }
    }

    /// The next piece of about so many bytes; what is left to be said comes after it.
    fn piece(mut self, tree: &Tree, bytes_max: usize) -> Result<(Bytes, Option<Making>), Broken> {
        let mut bytes = 0;
        while bytes < bytes_max {
            let (walked, more) = self.step(tree)?;
            bytes += more;
            if walked == Walked::Wholly {
                let end = self.encoder.finish(&trailer(tree));
                return Ok((end.into(), None));
            }
        }
        Ok((self.encoder.take().into(), Some(self)))
    }

    fn step(&mut self, tree: &Tree) -> Result<(Walked, usize), Broken> {
        let (acls, mut unknown, mut bytes) = (&self.acls, false, 0);
        let mut body = self.encoder.body();
        let visit = |path: &BStr, data: Option<&[u8]>, acl: i64, stat: &StatPersisted| {
            unknown |= !acls.contains(&acl);
            bytes += SNAPSHOT_NODE_BYTES + path.len() + data.map_or(0, <[u8]>::len);
            body.node(path, data, acl, stat);
        };
        let walked = self.walk.step(tree, STEP_ZNODES, visit);
        match walked.map_err(|_| Broken::Replaced)? {
            _ if unknown => Err(Broken::NewAcl),
            walked => Ok((walked, bytes)),
        }
    }
}

fn trailer(tree: &Tree) -> SnapshotTrailer {
    let zxid = tree.last_zxid();
    let digest = SnapshotDigest {
        zxid,
        version: DIGEST_VERSION,
        tree_digest: tree.digest().cast_signed(),
    };
    SnapshotTrailer {
        digest: tree.options().compare_digests.then_some(digest),
        last_zxid: Some(zxid),
    }
}
