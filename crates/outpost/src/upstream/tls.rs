//! TLS on the way to a learner master.
//!
//! The same at a leader's quorum port and at an observer master. What goes wrong is logged here, in words that say
//! what to do, since to the link a server that refuses us looks like one that does not lead.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use outpost_forward::Network;
use outpost_forward::network::{Connecting, LinkStream};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::{ClientTls, Peer, explain, name_of};

/// How long the same failure of the same server is not logged again.
const QUIET: Duration = Duration::from_secs(60);
/// Servers whose failures are remembered; an ensemble has fewer.
const SERVERS_MAX: usize = 256;

/// TCP, and TLS over it.
pub struct TlsNetwork {
    tls: Arc<ClientTls>,
    log: Arc<Log>,
}

impl TlsNetwork {
    /// With what `tls` holds when a connection is made.
    pub fn new(tls: Arc<ClientTls>) -> TlsNetwork {
        TlsNetwork {
            tls,
            log: Arc::default(),
        }
    }
}

impl Network for TlsNetwork {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let tcp = TcpStream::connect((host, port)).await?;
            let server = format!("{host}:{port}");
            match enter(tcp, host, &self.tls).await {
                Ok(tls) => Ok(Box::new(Watched {
                    tls,
                    server,
                    log: Arc::clone(&self.log),
                }) as Box<dyn LinkStream>),
                Err(refused) => {
                    self.log.write(&server, &refused.0);
                    Err(refused.into())
                }
            }
        })
    }
}

/// Why TLS with a server does not come about, in words that say what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> io::Error {
        io::Error::other(refused)
    }
}

/// Speaks TLS on a connection that was made to `host`, a name or an address.
///
/// Where `host` is an address for which the certificate is not made out, and the name service may be asked, a second
/// connection is made with the name it says: the first one has failed by then.
///
/// # Errors
/// With what to do about it.
pub async fn enter(
    tcp: TcpStream,
    host: &str,
    tls: &ClientTls,
) -> Result<TlsStream<TcpStream>, Refused> {
    let address = tcp.peer_addr().map_err(|error| refused(&error))?;
    let peer = Peer {
        address: address.ip(),
        names: vec![host.to_owned()],
    };
    let failed = match shake_hands(tcp, peer, tls).await {
        Ok(stream) => return Ok(stream),
        Err(failed) => failed,
    };
    let may_ask = tls.settings().host_names.reverse_lookup && host.parse::<IpAddr>().is_ok();
    if !may_ask || !failed.other_host {
        return Err(failed.refused);
    }
    let Some(name) = name_of(address.ip()).await else {
        return Err(failed.refused);
    };
    let peer = Peer {
        address: address.ip(),
        names: vec![host.to_owned(), name],
    };
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|error| refused(&error))?;
    shake_hands(tcp, peer, tls)
        .await
        .map_err(|failed| failed.refused)
}

/// A handshake that has failed.
struct Failed {
    refused: Refused,
    /// Whether nothing but the host's name was wrong.
    other_host: bool,
}

async fn shake_hands(
    tcp: TcpStream,
    peer: Peer,
    tls: &ClientTls,
) -> Result<TlsStream<TcpStream>, Failed> {
    let named = peer.names.iter().rev();
    let mut names = named.filter_map(|name| ServerName::try_from(name.clone()).ok());
    let name = names.next().unwrap_or(ServerName::from(peer.address));
    let (config, shown) = tls.current().connecting_to(peer);
    let shaken = async {
        tcp.set_nodelay(true)?;
        TlsConnector::from(config).connect(name, tcp).await
    };
    shaken.await.map_err(|error| {
        let Refused(why) = refused(&error);
        Failed {
            other_host: explain::other_host(&error).is_some(),
            refused: Refused(match shown.describe() {
                Some(shown) => format!("{why} (it shows {shown})"),
                None => why,
            }),
        }
    })
}

fn refused(error: &io::Error) -> Refused {
    let hung_up = matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    );
    Refused(match explain::io(error) {
        Some(text) => text,
        None if hung_up => {
            "it hung up during the TLS handshake; does it speak TLS at this port (sslQuorum or \
            portUnification)?"
                .to_owned()
        }
        None => format!("the TLS handshake failed: {error}"),
    })
}

/// A connection whose failures are logged in words. With TLS 1.3 a server refuses our certificate only when we think
/// that the handshake is over.
struct Watched {
    tls: TlsStream<TcpStream>,
    server: String,
    log: Arc<Log>,
}

impl Watched {
    fn explained(&self, error: io::Error) -> io::Error {
        match explain::io(&error) {
            Some(text) => {
                self.log.write(&self.server, &text);
                Refused(text).into()
            }
            None => error,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.tls).poll_read(context, buffer);
        read.map_err(|error| self.explained(error))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(context)
    }
}

/// Says what fails, but not several times a second: the link tries again and again.
#[derive(Default)]
struct Log(Mutex<HashMap<String, (String, Instant)>>);

impl Log {
    fn write(&self, server: &str, text: &str) {
        let mut said = self.0.lock();
        let now = Instant::now();
        let known = said.get(server);
        if known.is_some_and(|(last, when)| last == text && now.duration_since(*when) < QUIET) {
            return;
        }
        if said.len() >= SERVERS_MAX {
            said.clear();
        }
        said.insert(server.to_owned(), (text.to_owned(), now));
        tracing::warn!(%server, "no TLS with this server: {text}");
    }
}
