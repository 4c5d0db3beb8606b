//! The ports an observer listens on, all bound before anything is served.

use std::io;
use std::net::SocketAddr;

use outpost_wire::membership::Endpoint;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use crate::StartError;
use crate::config::Config;

/// Length of the accept queue where the configuration leaves it to the system.
const BACKLOG: u32 = 1024;

/// Every port that is listened on.
pub(crate) struct Sockets {
    pub(crate) clients: ClientSockets,
    pub(crate) admin: Option<TcpListener>,
    pub(crate) metrics: Option<TcpListener>,
}

/// Where clients connect, if anywhere.
pub(crate) struct ClientSockets {
    /// `clientPort`.
    pub(crate) plain: Option<TcpListener>,
    /// `secureClientPort`.
    pub(crate) secure: Option<TcpListener>,
}

impl Sockets {
    /// Binds what the configuration names.
    pub(crate) async fn bind(config: &Config) -> Result<Sockets, StartError> {
        let doors = &config.clients.doors;
        Ok(Sockets {
            clients: ClientSockets {
                plain: bind_clients("clientPort", &doors.plain, config).await?,
                secure: bind_clients("secureClientPort", &doors.secure, config).await?,
            },
            admin: bind_admin(config).await,
            metrics: bind_metrics(config).await?,
        })
    }

    pub(crate) fn client_address(&self) -> Option<SocketAddr> {
        self.clients.plain.as_ref()?.local_addr().ok()
    }

    pub(crate) fn secure_client_address(&self) -> Option<SocketAddr> {
        self.clients.secure.as_ref()?.local_addr().ok()
    }

    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }
}

/// Listens for operators. A port that is taken is no reason not to serve clients, as for a Java server.
async fn bind_admin(config: &Config) -> Option<TcpListener> {
    let addr = &config.admin.as_ref()?.addr;
    let bound = bind("admin.serverPort", addr, None).await;
    bound
        .inspect_err(|error| tracing::warn!("{error}; going on without the admin server"))
        .ok()
}

/// Listens for Prometheus. Only a port that was asked for must be there.
async fn bind_metrics(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let Some(addr) = &config.metrics else {
        return Ok(None);
    };
    match bind("metricsProvider.httpPort", addr, None).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.metrics_required => Err(error),
        Err(error) => {
            tracing::warn!("{error}; going on without the port for Prometheus");
            Ok(None)
        }
    }
}

/// Listens for clients, if anywhere.
async fn bind_clients(
    what: &'static str,
    endpoint: &Option<Endpoint>,
    config: &Config,
) -> Result<Option<TcpListener>, StartError> {
    match endpoint {
        Some(endpoint) => Ok(Some(bind(what, endpoint, config.clients.backlog).await?)),
        None => Ok(None),
    }
}

/// Listens on an endpoint. A wildcard host means both families, as for a Java server.
async fn bind(
    what: &'static str,
    endpoint: &Endpoint,
    backlog: Option<u32>,
) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Bind {
        what,
        address: endpoint.to_string(),
        source,
    };
    let addresses: Vec<SocketAddr> = if endpoint.is_wildcard() {
        let port = endpoint.port;
        vec![
            SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port),
            SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), port),
        ]
    } else {
        lookup_host((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(failed)?
            .collect()
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match listen(address, backlog.unwrap_or(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    // A restarted observer takes its port back while old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}
