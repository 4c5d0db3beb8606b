//! Where an ensemble is reached: quorum ports on the loopback, or on a network in memory.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use outpost_wire::ServerId;
use outpost_wire::membership::{Address, Member, Membership, Role};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::fabric::{Fabric, FabricListener};
use crate::pipe::PipeEnd;

/// How long nobody is accepted after that has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;
/// Quorum and election ports on a network in memory, where every server has a host of its own.
const FABRIC_PORTS: (u16, u16) = (2888, 3888);

/// The servers' quorum ports, of which the leader's alone listens.
pub(crate) trait Ports: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Who listens.
    fn listening(&self) -> Option<ServerId>;

    /// Listens at the port of `leader` and nowhere else.
    fn listen(&mut self, leader: Option<ServerId>) -> io::Result<()>;

    /// The next connection; waits for ever while nobody listens. May be dropped at any time.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Ports on the loopback.
pub(crate) struct TcpPorts {
    ports: BTreeMap<ServerId, Port>,
    listening: Option<(ServerId, TcpListener)>,
}

impl TcpPorts {
    /// Takes ports for so many servers.
    pub(crate) fn reserve(voters: u16) -> io::Result<(TcpPorts, Membership)> {
        let mut ports = BTreeMap::new();
        let mut membership = Membership::default();
        for id in (1..=i64::from(voters)).map(ServerId) {
            let port = Port::reserve()?;
            membership.members.insert(id, port.member(id));
            ports.insert(id, port);
        }
        let listening = None;
        Ok((TcpPorts { ports, listening }, membership))
    }
}

impl Ports for TcpPorts {
    type Stream = TcpStream;

    fn listening(&self) -> Option<ServerId> {
        self.listening.as_ref().map(|(server, _)| *server)
    }

    fn listen(&mut self, leader: Option<ServerId>) -> io::Result<()> {
        if leader == self.listening() {
            return Ok(());
        }
        if let Some((server, listener)) = self.listening.take() {
            drop(listener);
            if let Some(port) = self.ports.get_mut(&server) {
                port.fall_silent();
            }
        }
        if let Some(leader) = leader
            && let Some(port) = self.ports.get_mut(&leader)
        {
            self.listening = Some((leader, port.listen()?));
        }
        Ok(())
    }

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let Some((_, listener)) = &self.listening else {
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((socket, _)) => {
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::debug!(%error, "a learner's socket cannot be set up");
                }
                Ok(socket)
            }
            Err(error) => {
                // Out of file descriptors, most likely, and so it stays for a while.
                sleep(ACCEPT_PAUSE).await;
                Err(error)
            }
        }
    }
}

/// A server's quorum port: its own, whether or not it listens there.
struct Port {
    address: SocketAddr,
    /// Bound and silent, so that connecting is refused; `None` while the server listens.
    silent: Option<TcpSocket>,
    /// Keeps the election port from being given to anybody else.
    election: TcpSocket,
}

impl Port {
    fn reserve() -> io::Result<Port> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let silent = bind(any)?;
        let address = silent.local_addr()?;
        Ok(Port {
            address,
            silent: Some(silent),
            election: bind(any)?,
        })
    }

    fn member(&self, id: ServerId) -> Member {
        let address = Address {
            host: self.address.ip().to_string(),
            quorum_port: self.address.port(),
            election_port: self
                .election
                .local_addr()
                .map_or(0, |address| address.port()),
        };
        voter(id, address)
    }

    fn listen(&mut self) -> io::Result<TcpListener> {
        let socket = match self.silent.take() {
            Some(socket) => socket,
            None => bind(self.address)?,
        };
        socket.listen(BACKLOG)
    }

    /// To be called once the listener is gone. If it fails, [`Port::listen`] binds anew.
    fn fall_silent(&mut self) {
        self.silent = bind(self.address).ok();
    }
}

fn voter(id: ServerId, address: Address) -> Member {
    Member {
        id,
        addresses: vec![address],
        role: Role::Participant,
        client: None,
        secure_client: None,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the last leadership may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Ports on a network in memory.
pub(crate) struct FabricPorts {
    fabric: Fabric,
    listening: Option<(ServerId, FabricListener)>,
}

impl FabricPorts {
    pub(crate) fn new(voters: u16, fabric: Fabric) -> (FabricPorts, Membership) {
        let mut membership = Membership::default();
        for id in (1..=i64::from(voters)).map(ServerId) {
            let (quorum_port, election_port) = FABRIC_PORTS;
            let address = Address {
                host: host(id),
                quorum_port,
                election_port,
            };
            membership.members.insert(id, voter(id, address));
        }
        let listening = None;
        (FabricPorts { fabric, listening }, membership)
    }
}

fn host(id: ServerId) -> String {
    format!("voter-{id}")
}

impl Ports for FabricPorts {
    type Stream = PipeEnd;

    fn listening(&self) -> Option<ServerId> {
        self.listening.as_ref().map(|(server, _)| *server)
    }

    fn listen(&mut self, leader: Option<ServerId>) -> io::Result<()> {
        if leader != self.listening() {
            self.listening = None;
            let listen = |leader| (leader, self.fabric.listen(&host(leader), FABRIC_PORTS.0));
            self.listening = leader.map(listen);
        }
        Ok(())
    }

    async fn accept(&mut self) -> io::Result<PipeEnd> {
        let accepted = match &mut self.listening {
            Some((_, listener)) => listener.accept().await,
            None => None,
        };
        match accepted {
            Some(end) => Ok(end),
            None => std::future::pending().await,
        }
    }
}
