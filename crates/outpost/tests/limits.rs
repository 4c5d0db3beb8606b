//! The limits that `zoo.cfg` sets, held against a server that follows a simulated ensemble, over sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a scenario that cannot go on fails its test"
)]

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bstr::BStr;
use outpost::config::Config;
use outpost::serve::Service;
use outpost::{Outpost, StartError};
use outpost_sim::{Ensemble, EnsembleServer, ServerOptions};
use outpost_wire::proto::{
    AuthPacket, ConnectRequest, ConnectResponse, CreateRequest, GetDataRequest, ReplyHeader,
    RequestHeader, SetDataRequest,
};
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::{
    Acl, ErrorCode, Id, OpCode, Perms, Reader, Record, ServerId, SessionId, Xid, Zxid,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing here takes this long: a test that waits so long has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// A simulated ensemble and a server that follows it.
struct Stage {
    ensemble: Arc<EnsembleServer>,
    clients: SocketAddr,
    service: Arc<Service>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), StartError>>,
}

impl Stage {
    /// Starts both, the server with `lines` in its configuration, and waits until it serves.
    async fn with(lines: &str) -> Stage {
        let ensemble = EnsembleServer::start(ServerOptions::default())
            .await
            .unwrap();
        let membership = ensemble.membership_text();
        let voters = membership
            .lines()
            .filter(|line| line.starts_with("server."));
        let voters: Vec<&str> = voters.collect();
        let outpost = Outpost::build(configuration(&voters.join("\n"), lines))
            .await
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let stage = Stage {
            ensemble: Arc::new(ensemble),
            clients: outpost.client_address().unwrap(),
            service: Arc::clone(outpost.service()),
            stop,
            running: tokio::spawn(outpost.run(async {
                let _ = stopped.await;
            })),
        };
        until(|| stage.service.clients.serving().is_some()).await;
        stage
    }

    /// Keeps the ensemble from doing anything until the returned sender is dropped.
    async fn hold(&self) -> mpsc::SyncSender<()> {
        let (release, released) = mpsc::sync_channel::<()>(1);
        let (held, holds) = oneshot::channel();
        let ensemble = Arc::clone(&self.ensemble);
        tokio::spawn(async move {
            let hold = move |_: &mut Ensemble, _| {
                let _ = held.send(());
                let _ = released.recv();
            };
            ensemble.with(hold).await
        });
        holds.await.unwrap();
        release
    }

    /// The ensemble goes on talking to its learners, but commits nothing until the next election.
    async fn stop_committing(&self) {
        let hurt = |ensemble: &mut Ensemble, now_ms| {
            let broken = ForwardedRequest {
                session: SessionId(1),
                cxid: Xid(1),
                op: OpCode::Create.code(),
                body: b"",
            };
            let leader = ensemble.leader_mut().unwrap();
            leader.submit(now_ms, leader.id(), broken, None);
            assert!(leader.harm().is_some());
        };
        self.ensemble.with(hurt).await.unwrap();
    }

    fn in_work(&self) -> (usize, usize) {
        let outstanding = &self.service.outstanding;
        (outstanding.requests(), outstanding.large_bytes())
    }

    async fn client(&self) -> Client {
        Client::connect(self.clients).await.unwrap()
    }

    async fn end(self) {
        let _ = self.stop.send(());
        let ended = timeout(LIMIT, self.running).await.unwrap();
        ended.unwrap().unwrap();
    }
}

fn configuration(voters: &str, lines: &str) -> Config {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("limits-{}-{number}", std::process::id());
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let text = format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=10\ndataDir={}\nclientPort=0\n\
         clientPortAddress=127.0.0.1\nadmin.enableServer=false\noutpost.workers=2\n\
         metricsProvider.className=NullMetricsProvider\n{voters}\n{lines}\n",
        dir.display()
    );
    let path = dir.join("zoo.cfg");
    std::fs::write(&path, text).unwrap();
    let loaded = Config::load(&path, Some(ServerId(9)), std::iter::empty());
    std::fs::remove_dir_all(&dir).unwrap();
    loaded.unwrap().config
}

/// Waits until it holds.
async fn until(holds: impl Fn() -> bool) {
    let polling = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, polling).await.unwrap();
}

/// A client with a session.
struct Client {
    stream: TcpStream,
    origin: SocketAddr,
}

impl Client {
    async fn connect(server: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(server).await?;
        let origin = stream.local_addr()?;
        let mut client = Client { stream, origin };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            time_out: 30_000,
            session_id: SessionId::NONE,
            passwd: Some(&[0; 16]),
            read_only: Some(false),
        };
        client.stream.write_all(&framed(&request.encode())).await?;
        let answer = client.frame().await?;
        let answer = ConnectResponse::decode("ConnectResponse", &answer).unwrap();
        assert_ne!(answer.session_id, SessionId::NONE);
        Ok(client)
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn frame(&mut self) -> io::Result<Vec<u8>> {
        let length = timeout(LIMIT, self.stream.read_i32()).await??;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await?;
        Ok(frame)
    }

    /// The next reply: its xid and its error.
    async fn reply(&mut self) -> (i32, ErrorCode) {
        let frame = self.frame().await.unwrap();
        let header = ReplyHeader::read(&mut Reader::new(&frame)).unwrap();
        (header.xid.0, header.err)
    }

    /// Sends a request and takes its reply, which must not be an error.
    async fn ask(&mut self, request: Vec<u8>) {
        self.send(&request).await;
        assert_eq!(self.reply().await.1, ErrorCode::OK);
    }

    /// Waits for the end of the connection, with nothing before it.
    async fn ends(mut self) {
        let frame = self.frame().await;
        frame.expect_err("the server must say nothing and end the connection");
    }

    /// How many of its requests are in work.
    fn in_work(&self, stage: &Stage) -> usize {
        let clients = stage.service.clients.all();
        let own = clients.iter().find(|client| client.peer == self.origin);
        own.unwrap().state().pipeline.len()
    }
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(payload);
    frame
}

fn request<'a>(xid: i32, op: OpCode, record: &impl Record<'a>) -> Vec<u8> {
    let xid = Xid(xid);
    let mut payload = RequestHeader { xid, op: op.code() }.encode();
    payload.extend_from_slice(&record.encode());
    framed(&payload)
}

fn create(xid: i32, path: &str, acl: Vec<Acl>) -> Vec<u8> {
    let record = CreateRequest {
        path: BStr::new(path),
        data: Some(b"data"),
        acl: Some(acl),
        flags: 0,
    };
    request(xid, OpCode::Create, &record)
}

fn set(xid: i32, path: &str, bytes: usize) -> Vec<u8> {
    let record = SetDataRequest {
        path: BStr::new(path),
        data: Some(&vec![b'x'; bytes]),
        version: -1,
    };
    request(xid, OpCode::SetData, &record)
}

fn get(xid: i32, path: &str) -> Vec<u8> {
    let path = BStr::new(path);
    request(xid, OpCode::GetData, &GetDataRequest { path, watch: false })
}

fn auth(xid: i32, scheme: &str, auth: &[u8]) -> Vec<u8> {
    let record = AuthPacket {
        kind: 0,
        scheme: BStr::new(scheme),
        auth: Some(auth),
    };
    request(xid, OpCode::Auth, &record)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn p6_a_client_with_requests_in_work_is_not_read_on_while_all_clients_have_too_many() {
    let stage = Stage::with("globalOutstandingLimit=2").await;
    let (mut eager, mut other) = (stage.client().await, stage.client().await);
    eager.ask(create(1, "/a", Acl::open())).await;

    let hold = stage.hold().await;
    // In one piece, so that they are looked at together.
    let five: Vec<u8> = (2..7).flat_map(|xid| set(xid, "/a", 1)).collect();
    eager.send(&five).await;
    until(|| eager.in_work(&stage) > 0).await;
    assert_eq!(eager.in_work(&stage), 3, "the third is one too many");
    // Who has nothing in work is served, and may write.
    other.ask(get(1, "/a")).await;
    other.send(&set(2, "/a", 1)).await;
    until(|| other.in_work(&stage) == 1).await;
    assert_eq!((eager.in_work(&stage), stage.in_work().0), (3, 4));

    drop(hold);
    for xid in 2..7 {
        assert_eq!(eager.reply().await, (xid, ErrorCode::OK));
    }
    assert_eq!(other.reply().await, (2, ErrorCode::OK));
    assert_eq!(stage.in_work(), (0, 0));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn p6_a_request_that_brings_the_large_ones_above_their_bound_ends_its_connection() {
    let lines = "largeRequestThreshold=1000\nlargeRequestMaxBytes=5000";
    let stage = Stage::with(lines).await;
    let mut first = stage.client().await;
    first.ask(create(1, "/a", Acl::open())).await;

    let (mut second, mut third) = (stage.client().await, stage.client().await);

    let hold = stage.hold().await;
    let large = set(2, "/a", 3000);
    first.send(&large).await;
    until(|| stage.in_work().1 > 0).await;
    assert_eq!(stage.in_work(), (1, large.len() - 4));
    // Small ones are not summed up.
    second.send(&set(2, "/a", 900)).await;
    until(|| stage.in_work().0 == 2).await;
    assert_eq!(stage.in_work().1, large.len() - 4);
    second.send(&set(3, "/a", 3000)).await;
    // To be told how long it will be is enough.
    third.send(&set(2, "/a", 3000)[..8]).await;
    second.ends().await;
    third.ends().await;
    until(|| stage.in_work().0 == 1).await;
    let rejected = &stage.service.stats.large_rejected;
    assert_eq!(rejected.load(Ordering::Relaxed), 2);

    drop(hold);
    assert_eq!(first.reply().await, (2, ErrorCode::OK));
    assert_eq!(stage.in_work(), (0, 0));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn p6_nothing_stays_in_work_of_a_connection_that_ended_or_a_link_that_was_lost() {
    let stage = Stage::with("largeRequestThreshold=1000").await;
    let (mut leaving, mut staying) = (stage.client().await, stage.client().await);
    leaving.ask(create(1, "/a", Acl::open())).await;
    stage.stop_committing().await;

    leaving.send(&set(2, "/a", 3000)).await;
    until(|| stage.in_work().1 > 0).await;
    drop(leaving);
    until(|| stage.in_work() == (0, 0)).await;

    staying.send(&set(2, "/a", 3000)).await;
    staying.send(&get(3, "/a")).await;
    until(|| stage.in_work().0 == 2).await;
    assert!(stage.ensemble.elect(None).await);
    staying.ends().await;
    until(|| stage.in_work() == (0, 0)).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn p6_a_connect_request_without_a_token_is_closed_without_an_answer_and_counted() {
    let lines = "connection_throttle_tokens=2\nconnection_throttle_fill_count=0";
    let stage = Stage::with(lines).await;
    let _granted = (stage.client().await, stage.client().await);
    let refused = Client::connect(stage.clients).await;
    let refused = refused.map(|client| client.origin).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::UnexpectedEof);
    let stats = &stage.service.stats;
    let counts = (&stats.rejected, &stats.connect_requests);
    let counts = (
        counts.0.load(Ordering::Relaxed),
        counts.1.load(Ordering::Relaxed),
    );
    assert_eq!(counts, (1, 2));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_client_that_means_another_ensemble_is_closed_without_an_answer() {
    let class = "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider";
    let lines = format!("authProvider.1={class}\nensembleAuthName=here, there");
    let stage = Stage::with(&lines).await;
    let (mut ours, mut lost) = (stage.client().await, stage.client().await);
    ours.ask(auth(-4, "ensemble", b"there")).await;
    lost.send(&auth(-4, "ensemble", b"elsewhere")).await;
    lost.ends().await;
    ours.ask(create(1, "/a", Acl::open())).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn with_the_eager_check_a_forbidden_write_is_answered_without_the_ensemble() {
    let stage = Stage::with("enableEagerACLCheck=true").await;
    let mut client = stage.client().await;
    let acl = vec![Acl {
        perms: Perms::READ,
        id: Id::anyone(),
    }];
    client.ask(create(1, "/readable", acl)).await;
    let hold = stage.hold().await;
    client.send(&set(2, "/readable", 1)).await;
    assert_eq!(client.reply().await, (2, ErrorCode::NO_AUTH));
    drop(hold);
    stage.end().await;
}
