//! What the clients see of an election: how long they had no answer, and whether they lost their connection.
//!
//! The clients go on with their parts, more slowly, and come back when they are disconnected. Nothing is presumed of
//! how the observer treats them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::client::{Client, ClientError};
use super::workload::Player;

/// Pause between two reads of one client; writes need none.
const BETWEEN_READS: Duration = Duration::from_millis(5);
/// How soon a client that was disconnected tries again. Real client libraries wait up to a second.
pub(super) const TRY_AGAIN: Duration = Duration::from_millis(20);

/// How far the election is. Before all of these the old leader leads, or nobody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Scene {
    /// The new leader is in office.
    Elected = 1,
    /// All writers have been answered by the new leader.
    Writing = 2,
    /// That was all.
    Over = 3,
}

/// What the clients and their director share.
#[derive(Debug, Default)]
pub(super) struct Progress {
    scene: AtomicU8,
    /// Writers that were answered by the new leader.
    pub(super) writers_back: AtomicUsize,
    /// Readers that were answered while the observer followed the new leader.
    pub(super) readers_back: AtomicUsize,
}

impl Progress {
    pub(super) fn set(&self, scene: Scene) {
        self.scene.store(scene as u8, Ordering::Release);
    }

    fn has_come_to(&self, scene: Scene) -> bool {
        self.scene.load(Ordering::Acquire) >= scene as u8
    }
}

/// What one client saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// How often it was disconnected.
    pub(super) disconnects: u32,
    /// How often its session was gone when it came back.
    pub(super) expiries: u32,
    /// The longest time between two answers.
    pub(super) longest_gap: Duration,
}

/// Plays on until the election is over.
pub(super) async fn endure(
    mut player: Player,
    address: SocketAddr,
    progress: Arc<Progress>,
) -> Result<(Player, Seen), ClientError> {
    let mut seen = Seen::default();
    let mut is_back = false;
    let mut answered = Instant::now();
    while !progress.has_come_to(Scene::Over) {
        let (counts_from, counter) = match player.reads() {
            true => (Scene::Writing, &progress.readers_back),
            false => (Scene::Elected, &progress.writers_back),
        };
        let counts = progress.has_come_to(counts_from);
        match player.act().await {
            Ok(()) => {
                seen.longest_gap = seen.longest_gap.max(answered.elapsed());
                answered = Instant::now();
                if counts && !is_back {
                    is_back = true;
                    counter.fetch_add(1, Ordering::AcqRel);
                }
            }
            Err(error) if error.is_disconnect() => {
                seen.disconnects += 1;
                come_back(&mut player, address, &progress, &mut seen).await?;
                continue;
            }
            Err(error) => return Err(error),
        }
        if player.reads() {
            tokio::time::sleep(BETWEEN_READS).await;
        }
    }
    Ok((player, seen))
}

/// Tries until it is connected again, or the election is over.
async fn come_back(
    player: &mut Player,
    address: SocketAddr,
    progress: &Progress,
    seen: &mut Seen,
) -> Result<(), ClientError> {
    let mut session = Some(player.client.session());
    while !progress.has_come_to(Scene::Over) {
        let connected = match &session {
            Some(session) => Client::resume(address, session.clone()).await,
            None => Client::connect(address).await,
        };
        match connected {
            Ok(client) => {
                player.client = client;
                return Ok(());
            }
            Err(ClientError::Expired) => {
                seen.expiries += 1;
                session = None;
            }
            Err(error) if error.is_disconnect() => tokio::time::sleep(TRY_AGAIN).await,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
