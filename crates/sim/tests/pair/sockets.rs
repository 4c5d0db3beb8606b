//! The ensemble on real sockets.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use outpost_forward::event::Event;
use outpost_forward::learner::{Forwarded, Learner, Settings};
use outpost_mirror::{Tree, TreeOptions, Watches};
use outpost_sim::{EnsembleServer, ServerOptions};
use outpost_wire::proto::CreateRequest;
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::txn::TxnEntry;
use outpost_wire::{Acl, Id, OpCode, Record, ServerId, SessionId, Xid, Zxid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::path;

/// An observer on a socket.
struct Observer {
    socket: TcpStream,
    learner: Learner,
    input: BytesMut,
    tree: Tree,
    watches: Watches,
}

impl Observer {
    async fn connect(server: &EnsembleServer, to: ServerId) -> std::io::Result<Observer> {
        let member = server.membership().get(to).expect("a member");
        let address = (
            member.addresses[0].host.as_str(),
            member.addresses[0].quorum_port,
        );
        let socket = TcpStream::connect(address).await?;
        let settings = Settings {
            server_id: ServerId(10),
            last_zxid: Zxid::ZERO,
            accepted_epoch: 0,
            master: Some(to),
            master_is_legacy: false,
            packet_bytes_max: 4 << 20,
            init_timeout: Duration::from_secs(60),
            silence_timeout: Duration::from_secs(60),
            tree: TreeOptions::default(),
        };
        let learner = Learner::new(settings, Instant::now());
        Ok(Observer {
            socket,
            learner,
            input: BytesMut::new(),
            tree: Tree::new(),
            watches: Watches::new(),
        })
    }

    /// Exchanges packets until `done`; false if the connection ended first.
    async fn run_until(&mut self, done: impl Fn(&Observer) -> bool) -> bool {
        while !done(self) {
            let mut output = Vec::new();
            self.learner.take_output(&mut output);
            if self.socket.write_all(&output).await.is_err() {
                return false;
            }
            match self.socket.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
            self.learner
                .handle_input(Instant::now(), &mut self.input, &|_| {})
                .expect("an ensemble that keeps to the protocol");
            while let Some(event) = self.learner.poll_event() {
                self.handle(event);
            }
        }
        true
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Snapshot(tree) => self.tree = *tree,
            Event::Committed { bytes, .. } => {
                let entry = TxnEntry::decode(&bytes).expect("a transaction");
                self.tree.apply(&entry, &self.watches, &mut |_, _| {});
            }
            _ => {}
        }
    }

    fn submit(&mut self, session: SessionId, cxid: i32, op: OpCode, body: &[u8]) {
        let ids = [Id::new("ip", "127.0.0.1")];
        let request = ForwardedRequest {
            session,
            cxid: Xid(cxid),
            op: op.code(),
            body,
        };
        self.learner.submit(&Forwarded {
            request,
            authinfo: Some(&ids),
        });
    }

    fn has(&self, at: &str) -> bool {
        self.tree.node(path(at)).is_some()
    }
}

#[tokio::test]
async fn an_observer_attaches_over_a_socket_and_writes() {
    let options = ServerOptions {
        wan_delay: Duration::from_millis(5),
        ..ServerOptions::default()
    };
    let server = EnsembleServer::start(options).await.expect("ports");
    let leader = server.leader().await.expect("a leader");
    let mut observer = Observer::connect(&server, leader).await.expect("connected");
    assert!(observer.run_until(|o| o.learner.is_following()).await);

    let session = SessionId(0x0a00_0000_0000_0001);
    observer.submit(session, 0, OpCode::CreateSession, &10_000_i32.to_be_bytes());
    for n in 0..100 {
        let at = format!("/n{n}");
        let request = CreateRequest {
            path: path(&at),
            data: None,
            acl: Some(Acl::open()),
            flags: 0,
        };
        observer.submit(session, n + 1, OpCode::Create, &request.encode());
    }
    assert!(observer.run_until(|o| o.has("/n99")).await);
    server
        .write_as_someone_else("/other", b"x")
        .await
        .expect("written");
    assert!(observer.run_until(|o| o.has("/other")).await);

    let digest = server
        .with(|e, _| e.leader().map(|l| l.tree().digest()))
        .await;
    assert_eq!(digest, Some(Some(observer.tree.digest())));
    server.stop().await;
    assert!(
        !observer.run_until(|_| false).await,
        "the connection outlived the ensemble"
    );
}

#[tokio::test]
async fn only_the_leader_listens_and_an_election_cuts_its_learners() {
    let options = ServerOptions {
        election: Duration::from_millis(1),
        ..ServerOptions::default()
    };
    let server = EnsembleServer::start(options).await.expect("ports");
    assert_eq!(server.leader().await, Some(ServerId(3)));
    let mut observer = Observer::connect(&server, ServerId(3))
        .await
        .expect("connected");
    assert!(observer.run_until(|o| o.learner.is_following()).await);
    for follower in [1, 2] {
        assert!(
            Observer::connect(&server, ServerId(follower))
                .await
                .is_err(),
            "{follower} listens"
        );
    }

    assert!(server.elect(Some(ServerId(1))).await);
    assert!(
        !observer.run_until(|_| false).await,
        "the old leader's link survived"
    );
    let mut observer = loop {
        match Observer::connect(&server, ServerId(1)).await {
            Ok(observer) => break observer,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert!(observer.run_until(|o| o.learner.is_following()).await);
    assert_eq!(observer.learner.epoch(), 2);
    for follower in [2, 3] {
        assert!(
            Observer::connect(&server, ServerId(follower))
                .await
                .is_err(),
            "{follower} listens"
        );
    }
}

#[tokio::test]
async fn p6_a_learner_that_does_not_drain_is_cut_off() {
    let options = ServerOptions {
        link_bytes_max: 1 << 20,
        ..ServerOptions::default()
    };
    let server = EnsembleServer::start(options).await.expect("ports");
    let mut observer = Observer::connect(&server, ServerId(3))
        .await
        .expect("connected");
    assert!(observer.run_until(|o| o.learner.is_following()).await);

    // More than a socket and the link's bound can hold together, and nothing is read.
    let data = vec![7; 500_000];
    for _ in 0..200 {
        server
            .write_as_someone_else("/big", &data)
            .await
            .expect("written");
    }
    let following = server
        .with(|e, _| e.leader().map(|l| l.following().count()))
        .await;
    assert_eq!(following, Some(Some(0)));
    assert!(!observer.run_until(|_| false).await);
}
