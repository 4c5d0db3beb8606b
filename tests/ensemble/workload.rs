//! Thousands of random operations through several servers at once, and then the server under test shows the
//! very tree that a voter shows.
//!
//! Each worker is one client. It knows its own watches and holds every reply against them: a reply that
//! shows a change whose event has not come is a failure (P3), as is an event that no watch explains, or a
//! watch that has slept through a change.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use fastrand::Rng;
use outpost_tests::raw::{RawClient, Refusal};
use outpost_tests::tree_dump::assert_same_tree_but;
use outpost_tests::{Ensemble, Observer, ObserverSettings, Settings, Version, wait};
use outpost_wire::proto::CreateMode;
use outpost_wire::{Xid, Zxid};

use crate::stage::Stage;

mod random_op;
mod watch_book;

use random_op::{Op, RandomOps};
use watch_book::WatchBook;

/// Sessions time out after this long; the servers of these tests allow ten seconds.
const SESSION_TIMEOUT_MS: i32 = 10_000;
/// Until a server that must serve counts as gone.
const LIMIT: Duration = Duration::from_secs(60);
/// Requests sent in one go without reading.
const BURST_MAX: usize = 20;

/// The seed of this run: `OUTPOST_TESTS_SEED`, else a fresh one. Printed, because a failing test shows it.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("OUTPOST_TESTS_SEED") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("OUTPOST_TESTS_SEED={text} is no number")),
        Err(_) => fastrand::u64(..),
    };
    println!("OUTPOST_TESTS_SEED={seed}");
    seed
}

#[test]
fn p1_after_thousands_of_random_operations_the_trees_are_equal_field_by_field() {
    let settings = Settings {
        extended_types: true,
        ..Settings::default()
    };
    let stage = Stage::with(settings.super_secret(), &ObserverSettings::default());
    run(&stage.ensemble, &stage.observer, 1_500);
}

/// Runs five workers, three of them on the observer, each with `operations` operations, and compares the
/// trees.
pub(crate) fn run(ensemble: &Ensemble, observer: &Observer, operations: usize) {
    let crowd = Crowd::new(ensemble, observer, OnLoss::Fail);
    std::thread::scope(|scope| {
        for mut worker in crowd.workers(3, 2) {
            scope.spawn(move || worker.work(operations));
        }
    });
    let leader = ensemble.wait_for_leader();
    let leader = ensemble.server(leader).client_address();
    assert_same_tree_but(observer.client_address(), leader, |stat| {
        // 3.3 keeps cversion as clients see it, later releases keep half of it and compute the rest.
        if crowd.version < Version::V3_4_5 {
            stat.cversion = 0;
        }
        // A multi that fails makes leaders before 3.6 count a parent's changes anew; their servers then take over
        // what they are told, later ones and this one only what is higher (docs/differences.md).
        if crowd.version < Version::V3_6_4 {
            stat.pzxid = Zxid::ZERO;
        }
    });
}

/// Runs four workers on the observer that come back whenever they lose their connection, while `storm`
/// blows; it is handed a question that turns true when they are done.
pub(crate) fn run_in_a_storm(
    ensemble: &Ensemble,
    observer: &Observer,
    storm: impl FnOnce(&dyn Fn() -> bool) + Send,
) {
    /// Each worker goes on for this many operations, most of which are answered at once.
    const OPERATIONS: usize = 3_000;
    let crowd = Crowd::new(ensemble, observer, OnLoss::ComeBack);
    let marks = std::thread::scope(|scope| {
        let workers = crowd.workers(4, 0).into_iter();
        let running: Vec<_> = workers
            .map(|mut worker| {
                scope.spawn(move || {
                    worker.work(OPERATIONS);
                    worker.marks
                })
            })
            .collect();
        storm(&|| {
            running
                .iter()
                .all(std::thread::ScopedJoinHandle::is_finished)
        });
        let marks = running
            .into_iter()
            .map(|worker| worker.join().expect("no worker has panicked"));
        marks.flatten().collect::<Vec<_>>()
    });
    let leader = ensemble.wait_for_leader();
    let mut voter =
        RawClient::connect(ensemble.server(leader).client_address(), SESSION_TIMEOUT_MS);
    assert!(!marks.is_empty(), "no worker has left a mark");
    for (path, czxid) in marks {
        let (_, stat) = voter.get_data(&path, false).unwrap_or_else(|error| {
            panic!("P5: {path} was acknowledged and is not there: {error}")
        });
        assert_eq!(
            stat.czxid, czxid,
            "P5: {path} was created by another txn than was acknowledged"
        );
    }
}

/// What a worker does when its connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnLoss {
    /// Nothing may cost it its connection.
    Fail,
    /// It opens its session again, as client libraries do.
    ComeBack,
}

/// What all workers of one run share.
struct Crowd {
    seed: u64,
    root: String,
    version: Version,
    observed: SocketAddr,
    voters: Vec<SocketAddr>,
    on_loss: OnLoss,
}

impl Crowd {
    fn new(ensemble: &Ensemble, observer: &Observer, on_loss: OnLoss) -> Self {
        let seed = seed();
        let root = format!("/workload-{seed:x}");
        let version = ensemble.settings().version;
        let observed = observer.client_address();
        let mut setup = RawClient::connect(observed, SESSION_TIMEOUT_MS);
        setup
            .create(&root, b"", CreateMode::Persistent)
            .expect("the root is new");
        setup
            .create(&marks_of(&root), b"", CreateMode::Persistent)
            .expect("the root is new");
        setup
            .close()
            .expect("nothing costs a client its connection yet");
        let voters = ensemble
            .servers()
            .iter()
            .map(outpost_tests::ensemble::Server::client_address);
        // Before 3.4.6 two voters that began to serve in the same millisecond hand out the same session ids.
        let voters = voters
            .take(if version < Version::V3_4_14 {
                1
            } else {
                usize::MAX
            })
            .collect();
        Self {
            seed,
            root,
            version,
            observed,
            voters,
            on_loss,
        }
    }

    /// So many workers at home on the observer, and so many on voters.
    fn workers(&self, on_observer: usize, on_voters: usize) -> Vec<Worker> {
        let voters = self.voters.iter().cycle().take(on_voters);
        let homes = std::iter::repeat_n(&self.observed, on_observer).chain(voters);
        homes
            .enumerate()
            .map(|(number, home)| self.worker(number, *home))
            .collect()
    }

    fn worker(&self, number: usize, home: SocketAddr) -> Worker {
        let mut rng = Rng::with_seed(self.seed.wrapping_add(number as u64));
        let ops = RandomOps::new(&self.root, self.version, rng.fork());
        let mut servers = vec![self.observed];
        if self.on_loss == OnLoss::Fail {
            servers.extend(&self.voters);
        }
        let client = new_session(home);
        let watches = WatchBook::default();
        Worker {
            home,
            servers,
            version: self.version,
            on_loss: self.on_loss,
            rng,
            ops,
            client,
            watches,
            marks_of: format!("{}/{number}", marks_of(&self.root)),
            marks: Vec::new(),
        }
    }
}

/// One client and all it may expect.
struct Worker {
    home: SocketAddr,
    servers: Vec<SocketAddr>,
    version: Version,
    on_loss: OnLoss,
    rng: Rng,
    ops: RandomOps,
    client: RawClient,
    watches: WatchBook,
    /// Where its marks stand; see [`Op::mark`].
    marks_of: String,
    /// The marks that were acknowledged, and by which txn.
    marks: Vec<(BString, Zxid)>,
}

impl Worker {
    fn work(&mut self, operations: usize) {
        let mut left = operations;
        while left > 0 {
            let count = match self.rng.u32(..100) {
                0 => self.move_session(),
                1 => self.start_anew(true),
                2 => self.start_anew(false),
                3..10 => self.burst(),
                10..14 if self.on_loss == OnLoss::ComeBack => self.leave_a_mark(),
                _ => self.perform(1),
            };
            left = left.saturating_sub(count);
        }
        while let Err(error) = self.no_watch_has_slept() {
            self.lost(&error);
        }
    }

    fn burst(&mut self) -> usize {
        let count = self.rng.usize(2..=BURST_MAX);
        self.perform(count)
    }

    fn leave_a_mark(&mut self) -> usize {
        // Random, so that a mark whose answer was lost is not tried again.
        let path = format!("{}-{:x}", self.marks_of, self.rng.u64(..));
        if let Err(error) = self.send_and_check(vec![Op::mark(path.as_bytes().as_bstr())]) {
            self.lost(&error);
        }
        1
    }

    fn perform(&mut self, count: usize) -> usize {
        let ops = (0..count).map(|_| self.ops.next_op()).collect();
        if let Err(error) = self.send_and_check(ops) {
            self.lost(&error);
        }
        count
    }

    /// Sends all requests, then reads their replies.
    fn send_and_check(&mut self, ops: Vec<Op>) -> io::Result<()> {
        let mut sent = Vec::new();
        for op in ops {
            let xid = self.client.send_body(op.code, &op.body)?;
            sent.push((op, xid));
        }
        while !sent.is_empty() {
            let reply = self.client.reply();
            for event in self.client.take_events() {
                self.watches.fired(&event);
            }
            let reply = reply?;
            // The answer to a PING has no place in the order of answers; the others have.
            let is_ping = |xid: Xid| xid == Xid::PING;
            let expected = sent
                .iter()
                .position(|(_, xid)| is_ping(*xid) == is_ping(reply.header.xid));
            let (op, xid) = sent.remove(expected.expect("somebody waits for a reply"));
            assert_eq!(
                reply.header.xid, xid,
                "P2: another reply than that to {op:?}"
            );
            op.check(&reply, &mut self.watches);
            if op.path().starts_with(self.marks_of.as_bytes()) {
                self.marks.extend(op.created(&reply));
            }
        }
        Ok(())
    }

    /// The connection dies and the session goes on at a random server, with or without its watches.
    fn move_session(&mut self) -> usize {
        let to = self.servers[self.rng.usize(..self.servers.len())];
        self.come_back_to(to);
        1
    }

    /// A new session; the old one is closed, or left to expire.
    fn start_anew(&mut self, close: bool) -> usize {
        let old = self.take_client();
        let id = old.session().id;
        if close {
            if let Err(error) = old.close() {
                assert!(
                    self.on_loss == OnLoss::ComeBack,
                    "session {id} cannot be closed: {error}"
                );
            }
        } else {
            old.abandon();
        }
        self.client = new_session(self.home);
        self.watches.forget();
        1
    }

    fn come_back_to(&mut self, server: SocketAddr) {
        let keep_watches = self.rng.bool();
        let (session, last_zxid) = self.take_client().abandon();
        // A server that is behind, or without a leader, closes the connection.
        let reopened = wait::until(
            "a session to be taken over",
            LIMIT,
            || match RawClient::reopen(server, &session, last_zxid) {
                Ok(client) => Some(Some(client)),
                Err(Refusal::Closed(_)) => None,
                Err(Refusal::Expired) => Some(None),
            },
        );
        let Some(client) = reopened else {
            assert!(
                self.on_loss == OnLoss::ComeBack,
                "session {} has expired while in use",
                session.id
            );
            self.client = new_session(self.home);
            self.watches.forget();
            return;
        };
        assert_eq!(
            client.session().id,
            session.id,
            "a session that was opened again has another id"
        );
        self.client = client;
        if let Err(error) = self.resume(keep_watches) {
            self.lost(&error);
        }
    }

    fn resume(&mut self, keep_watches: bool) -> io::Result<()> {
        self.client.try_authenticate("super:secret")?;
        if !keep_watches {
            self.watches.forget();
            return Ok(());
        }
        self.watches.set_again(&mut self.client, self.version)
    }

    /// After a sync, whatever is watched must still be as it was when the watch was left.
    fn no_watch_has_slept(&mut self) -> io::Result<()> {
        self.send_and_check(vec![Op::sync()])?;
        for path in self.watches.paths() {
            self.send_and_check(vec![Op::look_at(&path)])?;
        }
        Ok(())
    }

    fn take_client(&mut self) -> RawClient {
        // The placeholder never speaks: whoever takes the client puts another in its place.
        let placeholder = wait::until("a TCP connection", LIMIT, || RawClient::tcp(self.home).ok());
        std::mem::replace(&mut self.client, placeholder)
    }

    /// The connection is lost: fails, or comes back with the same session.
    fn lost(&mut self, error: &io::Error) {
        let session = self.client.session().id;
        assert!(
            self.on_loss == OnLoss::ComeBack,
            "session {session} has lost its connection: {error}"
        );
        let silent = matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        );
        assert!(
            !silent,
            "P5: session {session} is neither answered nor cut off"
        );
        self.come_back_to(self.home);
    }
}

fn new_session(server: SocketAddr) -> RawClient {
    wait::until("a new session", LIMIT, || {
        let mut client = RawClient::try_connect(server, SESSION_TIMEOUT_MS).ok()?;
        client.try_authenticate("super:secret").ok()?;
        Some(client)
    })
}

/// Beside the workload's root: no random operation reaches it.
fn marks_of(root: &str) -> String {
    format!("{root}-marks")
}

/// What a release knows, for the operations that came later than 3.3.
fn knows(version: Version, since: Version) -> bool {
    version >= since
}
