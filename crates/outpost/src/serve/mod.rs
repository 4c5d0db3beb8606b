//! Serving clients: accepting connections and handing them to the workers that own them.

pub mod auth;
pub mod client;
pub mod clients;
pub mod connection;
pub mod four_letter;
pub mod greeting;
pub mod handshake;
pub mod leases;
pub mod local_sessions;
pub mod outstanding;
pub mod pipeline;
pub mod read;
pub mod read_only;
mod reception;
pub mod reply;
pub mod sasl;
pub mod service;
pub mod session_ids;
pub mod throttle;
mod turn;
pub mod validate;
mod workers;
pub mod x509;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

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
    let addresses = Arc::new(Addresses::default());
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
                        tracing::debug!(%peer, why, "connection refused");
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Looks at the limits, and prepares the socket.
fn admit(
    service: &Service,
    addresses: &Arc<Addresses>,
    stream: &TcpStream,
    peer: SocketAddr,
) -> Result<Seat, &'static str> {
    let settings = &service.settings;
    // Those whose hands are being shaken count: all of them may become clients.
    let waiting = service.stats.handshakes.outstanding.load(Ordering::Relaxed);
    let connections = service.clients.len() + usize::try_from(waiting).unwrap_or(usize::MAX);
    if settings.connections_max > 0 && connections >= settings.connections_max {
        return Err("maxCnxns is reached");
    }
    let seat = addresses
        .take_seat(
            peer.ip().to_canonical(),
            settings.connections_per_address_max,
        )
        .ok_or("maxClientCnxns is reached for its address")?;
    prepare(stream, settings.tcp_keep_alive).map_err(|_| "the socket is gone already")?;
    Ok(seat)
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

/// How many connections each address has.
#[derive(Debug, Default)]
struct Addresses {
    seats: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    /// A seat for one more connection from `address`, if it has fewer than `max` (0: any number).
    fn take_seat(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<Seat> {
        let mut seats = self.seats.lock();
        let taken = seats.entry(address).or_default();
        if max > 0 && *taken >= max {
            return None;
        }
        *taken += 1;
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
        let addresses = Arc::new(Addresses::default());
        let here = IpAddr::from([10, 0, 0, 1]);
        let first = addresses.take_seat(here, 2).unwrap();
        let _second = addresses.take_seat(here, 2).unwrap();
        assert!(addresses.take_seat(here, 2).is_none());
        assert!(
            addresses
                .take_seat(IpAddr::from([10, 0, 0, 2]), 2)
                .is_some()
        );
        drop(first);
        assert!(addresses.take_seat(here, 2).is_some());
        assert_eq!(
            addresses.seats.lock().len(),
            1,
            "nothing is kept for those that are gone"
        );
    }
}
