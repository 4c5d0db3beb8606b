//! What the clients do while they are measured: most read, some write, each one request after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::DemoError;
use super::client::{Client, ClientError};
use super::latencies::Latencies;
use super::screen::{Screen, count};
use super::stage::{REGISTRY_ZNODES, registry_path};

/// How often the figures are shown.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// What writers write.
const WRITE_BYTES: usize = 100;

/// What a client does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Reads znodes of the registry, here and there.
    Reader,
    /// Writes to a znode of its own.
    Writer(String),
}

/// A client and its part.
pub(super) struct Player {
    pub(super) client: Client,
    pub(super) part: Part,
}

impl Player {
    /// One request of its part.
    pub(super) async fn act(&mut self) -> Result<(), ClientError> {
        match &self.part {
            Part::Reader => {
                let path = registry_path(fastrand::u32(..REGISTRY_ZNODES));
                self.client.get_data(&path, false).await
            }
            Part::Writer(path) => self.client.set_data(path, &[b'x'; WRITE_BYTES]).await,
        }
    }

    pub(super) fn reads(&self) -> bool {
        self.part == Part::Reader
    }
}

/// What was measured.
pub(super) struct Measured {
    pub(super) reads: Latencies,
    pub(super) writes: Latencies,
    pub(super) time: Duration,
}

/// Opens a session for every client, side by side.
pub(super) async fn gather(
    address: SocketAddr,
    readers: u32,
    writers: u32,
) -> Result<Vec<Player>, DemoError> {
    let mut entering = JoinSet::new();
    for _ in 0..readers {
        entering.spawn(enter(address, Part::Reader));
    }
    for n in 0..writers {
        entering.spawn(enter(address, Part::Writer(format!("/writer-{n}"))));
    }
    let players: Result<Vec<Player>, ClientError> = entering.join_all().await.into_iter().collect();
    Ok(players?)
}

async fn enter(address: SocketAddr, part: Part) -> Result<Player, ClientError> {
    let mut client = Client::connect(address).await?;
    if let Part::Writer(path) = &part {
        client.create(path).await?;
    }
    Ok(Player { client, part })
}

/// Answers so far.
#[derive(Debug, Default)]
struct Meter {
    reads: AtomicU64,
    writes: AtomicU64,
}

/// Lets all clients work for `time` and measures every request.
pub(super) async fn measure(
    players: Vec<Player>,
    time: Duration,
    screen: Screen,
) -> Result<(Vec<Player>, Measured), DemoError> {
    let began = Instant::now();
    let ends = began + time;
    let meter = Arc::new(Meter::default());
    let mut working = JoinSet::new();
    for player in players {
        working.spawn(work(player, ends, Arc::clone(&meter)));
    }
    show(&meter, began, ends, screen).await;
    let (mut reads, mut writes) = (Latencies::new(), Latencies::new());
    let mut players = Vec::new();
    for worked in working.join_all().await {
        let (player, latencies) = worked?;
        match player.reads() {
            true => reads.join(&latencies),
            false => writes.join(&latencies),
        }
        players.push(player);
    }
    let measured = Measured {
        reads,
        writes,
        time: began.elapsed(),
    };
    Ok((players, measured))
}

async fn work(
    mut player: Player,
    ends: Instant,
    meter: Arc<Meter>,
) -> Result<(Player, Latencies), ClientError> {
    let mut latencies = Latencies::new();
    let mut began = Instant::now();
    while began < ends {
        player.act().await?;
        let ended = Instant::now();
        latencies.add(ended - began);
        began = ended;
        let answers = match player.reads() {
            true => &meter.reads,
            false => &meter.writes,
        };
        answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok((player, latencies))
}

/// Shows how it is going, until it is over.
async fn show(meter: &Meter, began: Instant, ends: Instant, screen: Screen) {
    let (mut reads_before, mut writes_before) = (0, 0);
    let mut next = began + SHOW_EVERY;
    screen.columns(&["reads/s", "writes/s"]);
    while next <= ends {
        tokio::time::sleep_until(next.into()).await;
        let (reads, writes) = (
            meter.reads.load(Ordering::Relaxed),
            meter.writes.load(Ordering::Relaxed),
        );
        let second = format!("second {}", (next - began).as_secs());
        let figures = [count(reads - reads_before), count(writes - writes_before)];
        screen.numbers(&second, &[&figures[0], &figures[1]], "");
        (reads_before, writes_before) = (reads, writes);
        next += SHOW_EVERY;
    }
}
