//! A TCP relay that can be cut, stalled, delayed and throttled: the WAN between an observer and a voter.
//!
//! One accepting thread, and two threads per direction of each connection: one reads, one writes when its
//! bytes are due. Between the two stands a bounded queue, so that a stalled link pushes back like a full
//! socket does, and the relay itself holds at most 64 chunks per direction.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 << 10;
/// Into how many pieces a throttled link cuts a second, so that it is slow and not silent.
const PIECES_PER_SECOND: u64 = 10;
/// What the kernel keeps for the reader of a throttled connection: what a link does not carry shall wait with its
/// sender, not here.
const THROTTLED_BUFFER_BYTES: usize = 32 << 10;
/// Chunks on their way in one direction of one connection.
const QUEUE_CHUNKS: usize = 64;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// From whoever connected to the relay to the relay's target.
    Target,
    /// Back.
    Connector,
}

/// What the link does to the bytes that cross it.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    cut: bool,
    /// By [`Towards`].
    stalled: [bool; 2],
    closed: bool,
    delay: Duration,
    bytes_per_second: Option<u64>,
}

impl Weather {
    /// Bytes that are read at once.
    fn chunk_bytes(self) -> usize {
        let piece = self.bytes_per_second.map(|rate| rate / PIECES_PER_SECOND);
        let piece = piece.and_then(|bytes| usize::try_from(bytes).ok());
        piece.unwrap_or(CHUNK_BYTES).clamp(1, CHUNK_BYTES)
    }
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    weather: Mutex<Weather>,
    changed: Condvar,
    open: Mutex<Vec<TcpStream>>,
}

impl Shared {
    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.weather());
        self.changed.notify_all();
    }

    fn close_connections(&self) {
        for stream in self.open().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits while the link is stalled; says whether bytes may still cross it.
    fn wait_for_fair_weather(&self, towards: Towards) -> bool {
        let weather = self.weather();
        let weather = self
            .changed
            .wait_while(weather, |weather| {
                weather.stalled[towards as usize] && !weather.cut && !weather.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        !weather.cut && !weather.closed
    }
}

/// A relay to one address. Dropped, it closes everything.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Relay {
    /// Listens on a free port and relays every connection to `target`.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn start(target: SocketAddr) -> Self {
        let port = crate::ports::free_port();
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], port)), target)
    }

    /// As [`Self::start`], at an address of the caller's choice.
    ///
    /// # Panics
    /// When it cannot be bound.
    pub fn start_at(address: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(address)
            .unwrap_or_else(|error| panic!("{address} cannot be bound: {error}"));
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            weather: Mutex::default(),
            changed: Condvar::new(),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { shared, address }
    }

    /// One relay per voter, before its quorum port.
    pub fn before_all(ensemble: &crate::Ensemble) -> Vec<(u64, Self)> {
        let servers = ensemble.servers().iter();
        servers
            .map(|server| (server.id, Self::start(server.quorum_address())))
            .collect()
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to another target from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        let old = self.shared.target.lock();
        *old.unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Closes all connections, and every new one at once, until [`Self::heal`].
    pub fn cut(&self) {
        self.shared.change(|weather| weather.cut = true);
        self.shared.close_connections();
    }

    /// Closes the connections that are open now; new ones pass.
    pub fn flap(&self) {
        self.shared.close_connections();
    }

    /// Keeps sockets open and delivers nothing, in both directions, until [`Self::heal`].
    pub fn stall(&self) {
        self.shared.change(|weather| weather.stalled = [true; 2]);
    }

    /// As [`Self::stall`], in one direction only.
    pub fn stall_towards(&self, towards: Towards) {
        self.shared
            .change(|weather| weather.stalled[towards as usize] = true);
    }

    /// Delivers every byte this much later. Zero ends it.
    pub fn delay(&self, delay: Duration) {
        self.shared.change(|weather| weather.delay = delay);
    }

    /// Delivers at most this many bytes a second and direction. None ends it.
    pub fn throttle(&self, bytes_per_second: Option<u64>) {
        if bytes_per_second.is_some() {
            self.shared.open().iter().for_each(narrow);
        }
        self.shared
            .change(|weather| weather.bytes_per_second = bytes_per_second);
    }

    /// Ends a cut and a stall; bytes that waited are delivered.
    pub fn heal(&self) {
        self.shared.change(|weather| {
            weather.cut = false;
            weather.stalled = [false; 2];
        });
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.shared.open().len() / 2
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.change(|weather| weather.closed = true);
        self.shared.close_connections();
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let weather = *shared.weather();
        if weather.closed {
            return;
        }
        let Ok(client) = client else { continue };
        if weather.cut {
            continue;
        }
        // Nobody listens there: the client sees its connection closed, as through any relay.
        let target = *shared.target.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(server) = TcpStream::connect(target) else {
            continue;
        };
        if weather.bytes_per_second.is_some() {
            narrow(&client);
            narrow(&server);
        }
        connect(&client, &server, Towards::Target, shared);
        connect(&server, &client, Towards::Connector, shared);
        let mut open = shared.open();
        open.retain(|stream| stream.peer_addr().is_ok());
        open.push(client);
        open.push(server);
    }
}

/// Takes most of its receive buffer from a socket.
fn narrow(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(stream, THROTTLED_BUFFER_BYTES);
}

/// Starts the two threads that carry bytes from `from` to `to`.
fn connect(from: &TcpStream, to: &TcpStream, towards: Towards, shared: &Arc<Shared>) {
    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else {
        return;
    };
    let _ = to.set_nodelay(true);
    let (sender, receiver) = sync_channel(QUEUE_CHUNKS);
    let reading = Arc::clone(shared);
    let writing = Arc::clone(shared);
    std::thread::spawn(move || read(from, &sender, &reading));
    std::thread::spawn(move || write(to, &receiver, towards, &writing));
}

fn read(mut from: TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>, shared: &Shared) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let chunk = shared.weather().chunk_bytes();
        let Ok(count @ 1..) = from.read(&mut buffer[..chunk]) else {
            break;
        };
        let due = Instant::now() + shared.weather().delay;
        if sender.send((due, buffer[..count].to_vec())).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Read);
}

fn write(
    mut to: TcpStream,
    receiver: &Receiver<(Instant, Vec<u8>)>,
    towards: Towards,
    shared: &Shared,
) {
    while let Ok((due, bytes)) = receiver.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if !shared.wait_for_fair_weather(towards) || to.write_all(&bytes).is_err() {
            break;
        }
        if let Some(rate) = shared.weather().bytes_per_second {
            std::thread::sleep(Duration::from_secs_f64(bytes.len() as f64 / rate as f64));
        }
    }
    // Either the sender has closed, or nothing can cross any more: the other side must learn of it.
    let _ = to.shutdown(Shutdown::Both);
}
