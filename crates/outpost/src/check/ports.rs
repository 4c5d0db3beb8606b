//! Our own ports: could `outpost run` listen on them?
//!
//! Each is bound for a moment and never listened on, so nobody can connect.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use outpost::config::Config;
use outpost_wire::membership::Endpoint;
use tokio::net::{TcpSocket, lookup_host};

use super::report::{Report, Subject};
use super::understood::place;

/// A port that the configuration asks for.
struct Wanted<'a> {
    key: &'static str,
    endpoint: &'a Endpoint,
    /// Whether `outpost run` does not start without it.
    required: bool,
}

impl Wanted<'_> {
    /// Whether both want one port.
    fn clashes_with(&self, other: &Wanted<'_>) -> bool {
        let (one, other) = (self.endpoint, other.endpoint);
        let same_host = one.host == other.host || one.is_wildcard() || other.is_wildcard();
        one.port != 0 && one.port == other.port && same_host
    }
}

/// Tries all ports.
pub(super) async fn check(config: &Config, report: &mut Report) {
    let wanted = wanted(config);
    for (n, port) in wanted.iter().enumerate() {
        let clash = wanted[..n].iter().find(|other| port.clashes_with(other));
        let found = match clash {
            Some(other) => Err(format!("{} is the same", other.key)),
            None => bind(port.endpoint).await.map_err(|error| why(&error)),
        };
        let (key, place) = (port.key, place(port.endpoint));
        match found {
            Ok(()) => report.ok(Subject::Ports, &format!("{key}: {place}: free")),
            Err(why) if port.required => {
                report.fail(Subject::Ports, &format!("{key}: {place}: {why}"));
            }
            Err(why) => {
                let text = format!("{key}: {place}: {why}; Outpost would go on without it");
                report.warn(Subject::Ports, &text);
            }
        }
    }
}

fn wanted(config: &Config) -> Vec<Wanted<'_>> {
    let doors = &config.clients.doors;
    let admin = config.admin.as_ref().map(|admin| &admin.addr);
    let metrics = config.metrics.as_ref();
    [
        ("clientPort", doors.plain.as_ref(), true),
        ("secureClientPort", doors.secure.as_ref(), true),
        ("admin.serverPort", admin, false),
        ("metricsProvider.httpPort", metrics, config.metrics_required),
    ]
    .into_iter()
    .filter_map(|(key, endpoint, required)| {
        let endpoint = endpoint?;
        Some(Wanted {
            key,
            endpoint,
            required,
        })
    })
    .collect()
}

/// Binds as `outpost run` does: of several addresses the first that can be had.
async fn bind(endpoint: &Endpoint) -> io::Result<()> {
    let addresses: Vec<SocketAddr> = if endpoint.is_wildcard() {
        vec![
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, endpoint.port)),
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, endpoint.port)),
        ]
    } else {
        let found = lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
        found.collect()
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match bind_at(address) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_at(address: SocketAddr) -> io::Result<()> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As for the real thing: connections that linger from an earlier life are no obstacle.
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "taken; is a server running here already?".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege".to_owned(),
        _ => error.to_string(),
    }
}
