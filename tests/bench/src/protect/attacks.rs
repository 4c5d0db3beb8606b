//! The attackers, in a process of their own and at the lowest priority: in life they have machines of their own.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bstr::BStr;
use clap::ValueEnum;
use outpost_tests::offenders::{Deaf, Garbage, address, half_a_word, request};
use outpost_wire::OpCode;
use outpost_wire::proto::GetDataRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, sleep_until, timeout};

use crate::part::{is_over, say};

/// Addresses that attacks come from.
const ADDRESSES: usize = 50;
/// The znode that deaf clients ask for.
pub(super) const LARGE: &str = "/bench/large";
pub(super) const LARGE_BYTES: usize = 500_000;
/// How long an attacker waits for its connection to be made, or to be cut.
const PATIENCE: Duration = Duration::from_secs(5);
/// Attackers that come at one time.
const AT_ONCE: usize = 200;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Clients with sessions ask for half a megabyte 500 times each, and read nothing.
    Deaf,
    /// Sockets that say nothing, or half a word. Those that are closed come again.
    HalfOpen,
    /// Bytes that no server takes, on a new connection each time.
    Garbage,
}

/// What a part that attacks is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[arg(value_enum)]
    pub(super) attack: Attack,
    pub(super) server: SocketAddr,
    /// Clients that never read.
    #[arg(long, default_value_t = 100)]
    pub(super) deaf: usize,
    /// Half-open sockets.
    #[arg(long, default_value_t = 10_000)]
    pub(super) half_open: usize,
    /// Connections with garbage in a second.
    #[arg(long, default_value_t = 1_000)]
    pub(super) garbage_per_second: u32,
}

impl Arguments {
    /// The same in words, for a process to be started with.
    pub(super) fn words(&self) -> Vec<String> {
        let attack = self.attack.to_possible_value().expect("a name");
        vec![
            "attack".into(),
            attack.get_name().into(),
            self.server.to_string(),
            format!("--deaf={}", self.deaf),
            format!("--half-open={}", self.half_open),
            format!("--garbage-per-second={}", self.garbage_per_second),
        ]
    }
}

/// Takes no more of the machine than others leave.
fn be_nice() {
    // A process may always be nicer.
    let _ = rustix::process::nice(19);
}

/// Works until it is over.
pub(crate) fn run_until_over(work: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async {
        tokio::select! {
            () = work() => {}
            () = is_over() => {}
        }
    }));
}

/// Attacks until it is told to end, and says then what has come of it.
pub(crate) fn run(arguments: &Arguments) {
    be_nice();
    match arguments.attack {
        // Blocking sockets, of which there are few.
        Attack::Deaf => be_deaf(arguments),
        Attack::HalfOpen => run_until_over(async || be_half_open(arguments).await),
        Attack::Garbage => run_until_over(async || send_garbage(arguments).await),
    }
}

fn be_deaf(arguments: &Arguments) {
    let path = BStr::new(LARGE);
    let question = request(OpCode::GetData, &GetDataRequest { path, watch: false });
    let mut crowd: Vec<Deaf> = Vec::new();
    for number in 0..arguments.deaf {
        let deaf = Deaf::connect(address(number % ADDRESSES), arguments.server, 30_000);
        crowd.extend(deaf.ok());
    }
    say("deaf clients", crowd.len() as f64);
    let asked = crowd.iter_mut().map(|deaf| deaf.ask(&question, 500));
    let refused = asked.filter(Result::is_err).count();
    say("refused", refused as f64);
    say("ready", 1.0);
    run_until_over(async || std::future::pending().await);
}

async fn connect(number: usize, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(address(number % ADDRESSES), 0))?;
    let stream = timeout(PATIENCE, socket.connect(server)).await;
    stream.map_err(|_| io::ErrorKind::TimedOut)?
}

/// What an attack comes to, as it goes.
#[derive(Default)]
struct Tally {
    open: Cell<usize>,
    connections: Cell<usize>,
    failed: Cell<usize>,
}

impl Tally {
    async fn tell(&self) {
        let mut most = 0;
        loop {
            most = most.max(self.open.get());
            say("open at one time, at most", most as f64);
            say("connections", self.connections.get() as f64);
            say("connections that failed", self.failed.get() as f64);
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn one_more(count: &Cell<usize>) {
    count.set(count.get() + 1);
}

async fn be_half_open(arguments: &Arguments) {
    let (count, server) = (arguments.half_open, arguments.server);
    let tally = Rc::new(Tally::default());
    for number in 0..count {
        spawn_local(stay_half_open(number, server, Rc::clone(&tally)));
    }
    let ready = async {
        while tally.open.get() * 100 < count * 99 {
            sleep(Duration::from_millis(20)).await;
        }
        say("ready", 1.0);
    };
    tokio::join!(ready, tally.tell());
}

async fn stay_half_open(number: usize, server: SocketAddr, tally: Rc<Tally>) {
    // So that they do not all come in one moment.
    sleep(Duration::from_millis((number / AT_ONCE * 40) as u64)).await;
    loop {
        let Ok(mut stream) = connect(number, server).await else {
            one_more(&tally.failed);
            sleep(Duration::from_millis(fastrand::u64(100..1_000))).await;
            continue;
        };
        one_more(&tally.connections);
        one_more(&tally.open);
        // It may be closed already.
        let _ = stream.write_all(&half_a_word(number)).await;
        let _ = stream.read(&mut [0; 16]).await;
        tally.open.set(tally.open.get() - 1);
        sleep(Duration::from_millis(fastrand::u64(1..200))).await;
    }
}

async fn send_garbage(arguments: &Arguments) {
    let server = arguments.server;
    let tally = Rc::new(Tally::default());
    spawn_local({
        let tally = Rc::clone(&tally);
        async move { tally.tell().await }
    });
    say("ready", 1.0);
    let mut random = fastrand::Rng::new();
    let mut due = Instant::now();
    for number in 0.. {
        due += Duration::from_secs(1) / arguments.garbage_per_second.max(1);
        sleep_until(due.into()).await;
        if tally.open.get() >= AT_ONCE {
            continue;
        }
        let garbage = Garbage::harmless_to_leaders(number, &mut random);
        let tally = Rc::clone(&tally);
        one_more(&tally.open);
        spawn_local(async move {
            match timeout(PATIENCE, send(number, server, &garbage.bytes)).await {
                Ok(Ok(())) => one_more(&tally.connections),
                _ => one_more(&tally.failed),
            }
            tally.open.set(tally.open.get() - 1);
        });
    }
}

/// Until the server has cut the connection.
async fn send(number: usize, server: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let mut stream = connect(number, server).await?;
    // It may be cut in the middle.
    let _ = stream.write_all(bytes).await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
    Ok(())
}

/// A server that does nothing: what clients of another one feel while it is attacked is the machine's doing.
pub(crate) fn be_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        say("port", f64::from(port));
        let serve = async {
            while let Ok((stream, _)) = listener.accept().await {
                spawn_local(be_nobody_to(stream));
            }
        };
        tokio::select! {
            () = serve => {}
            () = is_over() => {}
        }
    }));
}

async fn be_nobody_to(mut stream: TcpStream) {
    let mut input = [0; 4 << 10];
    let Ok(count) = stream.read(&mut input).await else {
        return;
    };
    match count {
        // The very request that clients open a session with.
        49 => {
            let answer = [&[0, 0, 0, 37][..], &[0; 37]].concat();
            let _ = stream.write_all(&answer).await;
            let _ = stream.write_all(&vec![0; LARGE_BYTES]).await;
        }
        // Half a word, or none.
        0..30 => _ = stream.read(&mut input).await,
        _ => {}
    }
}
