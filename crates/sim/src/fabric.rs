//! A network in memory: servers that listen, whoever connects to them, and the weather between.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use crate::pipe::{Line, PipeEnd, Way, pipe};

/// Connections that may wait to be accepted; those above are refused.
const BACKLOG: usize = 128;

/// A network in memory; all clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Fabric(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The weather has changed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    weather: Weather,
    listening: BTreeMap<(String, u16), mpsc::Sender<PipeEnd>>,
    lines: Vec<Line>,
}

/// What the network does to those who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    /// How long bytes travel to servers.
    pub latency_out: Duration,
    /// How long they travel back.
    pub latency_back: Duration,
    /// Nothing arrives at servers, attempts to connect included.
    pub held_out: bool,
    /// Nothing arrives from servers.
    pub held_back: bool,
}

impl Fabric {
    /// A network without distances.
    pub fn new() -> Fabric {
        Fabric::default()
    }

    /// The weather as it is.
    pub fn weather(&self) -> Weather {
        self.state().weather
    }

    /// Changes the weather, for connections that are there as well as for those to come.
    pub fn set_weather(&self, weather: Weather) {
        let mut state = self.state();
        state.weather = weather;
        state.lines.retain(|line| !line.is_over());
        for line in &state.lines {
            weather.apply_to(line);
        }
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Every connection that has both its ends, oldest first.
    pub fn lines(&self) -> Vec<Line> {
        let mut state = self.state();
        state.lines.retain(|line| !line.is_over());
        state.lines.clone()
    }

    /// Connects to a server.
    ///
    /// # Errors
    /// When nobody listens there. While the line is held this waits; how long that may take is the caller's to
    /// bound.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<PipeEnd> {
        let weather = self.when_let_through().await;
        let round_trip = weather.latency_out + weather.latency_back;
        if !round_trip.is_zero() {
            sleep(round_trip).await;
            self.when_let_through().await;
        }
        let mut state = self.state();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listener = state
            .listening
            .get(&(host.to_owned(), port))
            .ok_or_else(refused)?;
        let (here, there, line) = pipe(Duration::ZERO);
        state.weather.apply_to(&line);
        listener.try_send(there).map_err(|_| refused())?;
        state.lines.retain(|line| !line.is_over());
        state.lines.push(line);
        Ok(here)
    }

    async fn when_let_through(&self) -> Weather {
        loop {
            let changed = self.0.changed.notified();
            let weather = self.weather();
            if !weather.held_out && !weather.held_back {
                return weather;
            }
            changed.await;
        }
    }

    /// Listens at an address until the listener is dropped.
    pub(crate) fn listen(&self, host: &str, port: u16) -> FabricListener {
        let (sender, accepted) = mpsc::channel(BACKLOG);
        let address = (host.to_owned(), port);
        self.state().listening.insert(address.clone(), sender);
        FabricListener {
            fabric: self.clone(),
            address,
            accepted,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nobody panics while holding it.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weather {
    fn apply_to(self, line: &Line) {
        line.set_latency(Way::Out, self.latency_out);
        line.set_latency(Way::Back, self.latency_back);
        line.hold(Way::Out, self.held_out);
        line.hold(Way::Back, self.held_back);
    }
}

/// Whoever listens at an address of a [`Fabric`].
#[derive(Debug)]
pub(crate) struct FabricListener {
    fabric: Fabric,
    address: (String, u16),
    accepted: mpsc::Receiver<PipeEnd>,
}

impl FabricListener {
    pub(crate) async fn accept(&mut self) -> Option<PipeEnd> {
        self.accepted.recv().await
    }
}

impl Drop for FabricListener {
    fn drop(&mut self) {
        self.fabric.state().listening.remove(&self.address);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_where_somebody_listens_can_anybody_connect() {
        let fabric = Fabric::new();
        let refused = fabric.connect("a", 1).await.expect_err("nobody is there");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let mut listener = fabric.listen("a", 1);
        let mut here = fabric.connect("a", 1).await.expect("listens");
        let mut there = listener.accept().await.expect("came");
        here.write_all(b"hello").await.expect("sent");
        let mut bytes = [0; 5];
        there.read_exact(&mut bytes).await.expect("arrives");
        assert_eq!(&bytes, b"hello");
        assert_eq!(fabric.lines().len(), 1);
        drop((here, there));
        assert!(fabric.lines().is_empty());
        drop(listener);
        assert!(fabric.connect("a", 1).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_weather_is_that_of_old_and_new_connections() {
        let fabric = Fabric::new();
        let mut listener = fabric.listen("a", 1);
        let mut here = fabric.connect("a", 1).await.expect("listens");
        let mut there = listener.accept().await.expect("came");
        let second = Duration::from_secs(1);
        let stormy = Weather {
            latency_out: second,
            latency_back: second,
            held_out: true,
            held_back: false,
        };
        fabric.set_weather(stormy);
        here.write_all(b"x").await.expect("sent");
        assert!(timeout(second * 60, there.read_u8()).await.is_err());
        let connecting = fabric.connect("a", 1);
        assert!(timeout(second * 60, connecting).await.is_err());
        fabric.set_weather(Weather {
            held_out: false,
            ..stormy
        });
        assert_eq!(there.read_u8().await.expect("arrives"), b'x');
        let began = Instant::now();
        fabric.connect("a", 1).await.expect("listens");
        assert_eq!(began.elapsed(), second * 2);
    }
}
