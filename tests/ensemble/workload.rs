//! Thousands of random operations through several servers at once, and then the server under test shows the
//! very tree that a voter shows.
//!
//! Each worker is one client. It knows its own watches and holds every reply against them: a reply that
//! shows a change whose event has not come is a failure (P3), as is an event that no watch explains, or a
//! watch that has slept through a change.

use std::net::SocketAddr;

use fastrand::Rng;
use outpost_tests::raw::{RawClient, Refusal};
use outpost_tests::tree_dump::assert_same_tree;
use outpost_tests::{Ensemble, Observer, ObserverSettings, Settings, Version, wait};

use crate::stage::Stage;

mod random_op;
mod watch_book;

use random_op::{Op, RandomOps};
use watch_book::WatchBook;

/// Sessions time out after this long; the servers of these tests allow ten seconds.
const SESSION_TIMEOUT_MS: i32 = 10_000;
/// Requests sent in one go without reading.
const BURST_MAX: usize = 20;

/// The seed of this run: `OUTPOST_TESTS_SEED`, else a fresh one. Printed, because a failing test shows it.
fn seed() -> u64 {
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
    let seed = seed();
    let root = format!("/workload-{seed:x}");
    let observed = observer.client_address();
    let mut setup = RawClient::connect(observed, SESSION_TIMEOUT_MS);
    setup
        .create(&root, b"", outpost_wire::proto::CreateMode::Persistent)
        .expect("the root is new");

    let version = ensemble.settings().version;
    let mut all = vec![observed];
    let voters = ensemble
        .servers()
        .iter()
        .map(outpost_tests::ensemble::Server::client_address);
    // Before 3.4.6 two voters that began to serve in the same millisecond hand out the same session ids.
    all.extend(voters.take(if version < Version::V3_4_14 {
        1
    } else {
        usize::MAX
    }));
    std::thread::scope(|scope| {
        for number in 0..5 {
            let home = if number < 3 {
                observed
            } else {
                all[1 + number % (all.len() - 1)]
            };
            let mut rng = Rng::with_seed(seed.wrapping_add(number as u64));
            let ops = RandomOps::new(&root, version, rng.fork());
            let mut worker = Worker::new(home, all.clone(), rng, ops);
            scope.spawn(move || worker.work(operations));
        }
    });
    setup
        .close()
        .expect("the observer still serves its first session");
    let leader = ensemble.wait_for_leader();
    assert_same_tree(observed, ensemble.server(leader).client_address());
}

/// One client and all it may expect.
struct Worker {
    home: SocketAddr,
    servers: Vec<SocketAddr>,
    rng: Rng,
    ops: RandomOps,
    client: RawClient,
    watches: WatchBook,
}

impl Worker {
    fn new(home: SocketAddr, servers: Vec<SocketAddr>, rng: Rng, ops: RandomOps) -> Self {
        let client = new_session(home);
        Self {
            home,
            servers,
            rng,
            ops,
            client,
            watches: WatchBook::default(),
        }
    }

    fn work(&mut self, operations: usize) {
        let mut left = operations;
        while left > 0 {
            let count = match self.rng.u32(..100) {
                0 => self.move_session(),
                1 => self.start_anew(true),
                2 => self.start_anew(false),
                3..10 => self.burst(),
                _ => self.perform(1),
            };
            left = left.saturating_sub(count);
        }
        self.no_watch_has_slept();
    }

    fn burst(&mut self) -> usize {
        let count = self.rng.usize(2..=BURST_MAX);
        self.perform(count)
    }

    /// Sends `count` requests, then reads their replies.
    fn perform(&mut self, count: usize) -> usize {
        let mut sent = Vec::new();
        for _ in 0..count {
            let op = self.ops.next_op();
            let xid = self
                .client
                .send_body(op.code, &op.body)
                .unwrap_or_else(|error| self.lost(&error));
            sent.push((op, xid));
        }
        for (op, xid) in sent {
            let reply = self
                .client
                .reply()
                .unwrap_or_else(|error| self.lost(&error));
            assert_eq!(
                reply.header.xid, xid,
                "P2: another reply than that to {op:?}"
            );
            for event in self.client.take_events() {
                self.watches.fired(&event);
            }
            op.check(&reply, &mut self.watches);
        }
        count
    }

    /// The connection dies and the session goes on at a random server, with or without its watches.
    fn move_session(&mut self) -> usize {
        let to = self.servers[self.rng.usize(..self.servers.len())];
        let keep_watches = self.rng.bool();
        let (session, last_zxid) = self.take_client().abandon();
        // A server that is behind closes the connection; it catches up soon.
        self.client = wait::until(
            "a session to be taken over",
            std::time::Duration::from_secs(20),
            || match RawClient::reopen(to, &session, last_zxid) {
                Ok(client) => Some(client),
                Err(Refusal::Closed(_)) => None,
                Err(Refusal::Expired) => panic!("session {} has expired while in use", session.id),
            },
        );
        assert_eq!(
            self.client.session().id,
            session.id,
            "a session that was opened again has another id"
        );
        self.client.authenticate("super:secret");
        if keep_watches {
            self.watches.set_again(&mut self.client);
        } else {
            self.watches.forget();
        }
        1
    }

    /// A new session; the old one is closed, or left to expire.
    fn start_anew(&mut self, close: bool) -> usize {
        let home = self.home;
        let old = std::mem::replace(&mut self.client, new_session(home));
        if close {
            let id = old.session().id;
            old.close()
                .unwrap_or_else(|error| panic!("session {id} cannot be closed: {error}"));
        } else {
            old.abandon();
        }
        self.watches.forget();
        1
    }

    /// After a sync, whatever is watched must still be as it was when the watch was left.
    fn no_watch_has_slept(&mut self) {
        self.client.sync();
        for event in self.client.take_events() {
            self.watches.fired(&event);
        }
        for path in self.watches.paths() {
            let op = Op::look_at(&path);
            let reply = self
                .client
                .try_request_body(op.code, &op.body)
                .unwrap_or_else(|error| self.lost(&error));
            for event in self.client.take_events() {
                self.watches.fired(&event);
            }
            op.check(&reply, &mut self.watches);
        }
    }

    fn take_client(&mut self) -> RawClient {
        // The placeholder never speaks: whoever takes the client puts another in its place.
        let placeholder = RawClient::tcp(self.home).unwrap_or_else(|error| self.lost(&error));
        std::mem::replace(&mut self.client, placeholder)
    }

    fn lost(&self, error: &std::io::Error) -> ! {
        panic!(
            "session {} has lost its connection: {error}",
            self.client.session().id
        )
    }
}

fn new_session(server: SocketAddr) -> RawClient {
    let mut client = RawClient::connect(server, SESSION_TIMEOUT_MS);
    client.authenticate("super:secret");
    client
}

/// What a release knows, for the operations that came later than 3.3.
fn knows(version: Version, since: Version) -> bool {
    version >= since
}
