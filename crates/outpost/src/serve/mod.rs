//! Serving clients: accepting connections and handing them to the workers that own them.

pub mod auth;
pub mod client;
pub mod clients;
pub mod connection;
pub mod four_letter;
pub mod greeting;
pub mod handshake;
pub mod lane;
pub mod leases;
pub mod local_sessions;
pub mod outboxes;
pub mod outstanding;
pub mod pipeline;
pub mod read;
pub mod read_only;
mod reception;
pub mod reply;
pub mod request_throttle;
pub mod sasl;
pub mod service;
pub mod session_ids;
pub mod throttle;
mod turn;
pub mod users;
pub mod validate;
mod workers;
pub mod x509;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outpost_forward::clock;
use parking_lot::Mutex;
use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use crate::logs::Rarely;
use crate::reached::Limit;
use client::Port;
use greeting::{Door, Greeters};
pub(crate) use reception::Reception;
pub use service::{ServeSettings, Service};
pub use workers::{Newcomer, Workers};

/// How long to wait after accepting has failed, for instance because there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where connections come in, and who sees to them.
pub enum Entrance {
    /// The workers have them at once.
    Plain(Arc<Workers>),
    /// They are greeted first.
    Greeted(Door, Arc<Greeters>),
}

impl Entrance {
    async fn hand_over(&self, stream: TcpStream, newcomer: Newcomer) {
        match self {
            Entrance::Plain(workers) => workers.hand_over(stream, newcomer).await,
            Entrance::Greeted(door, greeters) => greeters.greet(stream, *door, newcomer).await,
        }
    }

    fn port(&self) -> Port {
        match self {
            Entrance::Greeted(Door::Secure, _) => Port::Secure,
            _ => Port::Plain,
        }
    }
}

/// Accepts connections until `shutdown` is ready, and hands each to a worker, or has it greeted first.
pub async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    entrance: Entrance,
    shutdown: impl Future<Output = ()>,
) {
    let addresses = Arc::new(Addresses::new(Arc::clone(&service.stats.open)));
    let failures = Rarely::default();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // On a socket for both families IPv4 peers show as mapped addresses.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                service.stats.accepted.fetch_add(1, Ordering::Relaxed);
                match admit(&service, &addresses, &stream, peer) {
                    Ok(seat) => {
                        note_plain(&service, entrance.port(), peer);
                        let newcomer = Newcomer {
                            peer,
                            port: entrance.port(),
                            ids: Vec::new(),
                            seat,
                        };
                        entrance.hand_over(stream, newcomer).await;
                    }
                    Err(why) => {
                        service.stats.rejected.fetch_add(1, Ordering::Relaxed);
                        match why {
                            Refused::Limit(limit) => service.stats.reached.note(limit, peer),
                            Refused::Gone => tracing::debug!(%peer, "it is gone already"),
                        }
                    }
                }
            }
            Err(error) => {
                if is_out_of_descriptors(&error) {
                    service.stats.reached.count(Limit::Descriptors);
                }
                if let Some(held_back) = failures.pass(clock::now()) {
                    tracing::warn!(%error, held_back, "accepting a connection failed");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Why a connection is not let in.
enum Refused {
    Limit(Limit),
    Gone,
}

/// Looks at the limits, and prepares the socket.
fn admit(
    service: &Service,
    addresses: &Arc<Addresses>,
    stream: &TcpStream,
    peer: SocketAddr,
) -> Result<Seat, Refused> {
    let settings = &service.settings;
    let open = service.stats.open.load(Ordering::Relaxed);
    if settings.connections_max > 0 && open >= settings.connections_max {
        return Err(Refused::Limit(Limit::Connections));
    }
    if settings
        .connections_for_descriptors
        .is_some_and(|max| open >= max)
    {
        return Err(Refused::Limit(Limit::Descriptors));
    }
    let seat = addresses
        .take_seat(
            peer.ip().to_canonical(),
            settings.connections_per_address_max,
        )
        .ok_or(Refused::Limit(Limit::ConnectionsPerAddress))?;
    prepare(stream, settings.tcp_keep_alive).map_err(|_| Refused::Gone)?;
    Ok(seat)
}

/// Whether the process, or the whole system, has as many files open as it may.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let full = [Errno::MFILE, Errno::NFILE];
    Errno::from_io_error(error).is_some_and(|error| full.contains(&error))
}

/// Counts connections that need no certificate, as `NettyServerCnxnFactory` does: also those that speak TLS then.
fn note_plain(service: &Service, port: Port, peer: SocketAddr) {
    let stats = &service.stats;
    match (service.settings.speaks_tls, port) {
        (true, Port::Plain) if peer.ip().is_loopback() => {
            stats.plain_local.fetch_add(1, Ordering::Relaxed);
        }
        (true, Port::Plain) => _ = stats.plain_remote.fetch_add(1, Ordering::Relaxed),
        _ => {}
    }
}

fn prepare(stream: &TcpStream, keep_alive: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_keepalive(keep_alive)
}

/// How many connections each address has at one port, and how many there are at all ports.
#[derive(Debug)]
struct Addresses {
    seats: Mutex<HashMap<IpAddr, usize>>,
    open: Arc<AtomicUsize>,
}

impl Addresses {
    /// Nobody is here yet; `open` counts the connections of all ports.
    fn new(open: Arc<AtomicUsize>) -> Addresses {
        Addresses {
            seats: Mutex::default(),
            open,
        }
    }

    /// A seat for one more connection from `address`, if it has fewer than `max` (0: any number).
    fn take_seat(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<Seat> {
        let mut seats = self.seats.lock();
        let taken = seats.entry(address).or_default();
        if max > 0 && *taken >= max {
            return None;
        }
        *taken += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Seat {
            addresses: Arc::clone(self),
            address,
        })
    }
}

/// One connection's place among those of its address; free again when dropped.
#[derive(Debug)]
pub struct Seat {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.addresses.open.fetch_sub(1, Ordering::Relaxed);
        let mut seats = self.addresses.seats.lock();
        if let Some(taken) = seats.get_mut(&self.address) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_answer_at_once_and_are_probed_only_where_it_is_asked_for() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        for keep_alive in [true, false] {
            let stream = TcpStream::connect(address).await.unwrap();
            prepare(&stream, keep_alive).unwrap();
            assert!(stream.nodelay().unwrap());
            assert_eq!(SockRef::from(&stream).keepalive().unwrap(), keep_alive);
        }
    }

    #[test]
    fn p6_an_address_gets_its_number_of_connections_and_a_seat_comes_free_again() {
        let open = Arc::new(AtomicUsize::new(0));
        let addresses = Arc::new(Addresses::new(Arc::clone(&open)));
        let here = IpAddr::from([10, 0, 0, 1]);
        let first = addresses.take_seat(here, 2).unwrap();
        let _second = addresses.take_seat(here, 2).unwrap();
        assert!(addresses.take_seat(here, 2).is_none());
        assert!(
            addresses
                .take_seat(IpAddr::from([10, 0, 0, 2]), 2)
                .is_some()
        );
        assert_eq!(open.load(Ordering::Relaxed), 2);
        drop(first);
        assert!(addresses.take_seat(here, 2).is_some());
        assert_eq!(open.load(Ordering::Relaxed), 1);
        assert_eq!(
            addresses.seats.lock().len(),
            1,
            "nothing is kept for those that are gone"
        );
    }
}
