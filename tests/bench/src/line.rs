//! One client's connection, over TLS or not: as much of a client library as the benchmarks need.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use outpost_wire::proto::{ConnectRequest, ConnectResponse, RequestHeader};
use outpost_wire::{OpCode, Record, SessionId, Writer, Xid, Zxid, frame};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

/// What carries the bytes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// How to get to a server.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) server: SocketAddr,
    pub(crate) tls: Option<TlsConnector>,
}

impl Way {
    /// Without TLS.
    pub(crate) fn plain(server: SocketAddr) -> Way {
        Way { server, tls: None }
    }

    /// Over TLS, believing the certificate in the file `trust`. Every handshake is a full one, as those of clients that
    /// have just been started.
    pub(crate) fn secure(server: SocketAddr, trust: &Path) -> Way {
        let mut roots = RootCertStore::empty();
        let trust = CertificateDer::from_pem_file(trust).expect("a certificate");
        roots.add(trust).expect("it can be trusted");
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let tls = Some(TlsConnector::from(Arc::new(config)));
        Way { server, tls }
    }

    /// Goes there, as somebody at `from` on this machine.
    pub(crate) async fn connect(&self, from: IpAddr) -> io::Result<Box<dyn Stream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = socket.connect(self.server).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => {
                let name = ServerName::try_from("localhost").expect("a name");
                Ok(Box::new(tls.connect(name, stream).await?))
            }
        }
    }
}

/// A session, or the wish for one.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    id: SessionId,
    password: Vec<u8>,
    timeout_ms: i32,
}

impl Session {
    /// A new one.
    pub(crate) fn new(timeout_ms: i32) -> Session {
        Session {
            id: SessionId::NONE,
            password: vec![0; 16],
            timeout_ms,
        }
    }
}

/// What became of the wish for a session.
pub(crate) enum Opened {
    Line(Line),
    Expired,
}

/// A connection with a session.
pub(crate) struct Line {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
}

impl Line {
    /// Opens `session`, which is known in full afterwards.
    pub(crate) async fn open(stream: Box<dyn Stream>, session: &mut Session) -> io::Result<Opened> {
        let mut line = Line {
            stream,
            input: Vec::new(),
        };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            time_out: session.timeout_ms,
            session_id: session.id,
            passwd: Some(&session.password),
            read_only: Some(false),
        };
        line.send(&framed(|writer| request.write(writer))).await?;
        let answer = line.frame().await?;
        let granted = ConnectResponse::decode("ConnectResponse", &answer);
        let granted = granted.map_err(io::Error::other)?;
        if granted.time_out <= 0 {
            return Ok(Opened::Expired);
        }
        session.id = granted.session_id;
        session.password = granted.passwd.unwrap_or_default().to_vec();
        session.timeout_ms = granted.time_out;
        Ok(Opened::Line(line))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next frame. Nothing is lost when this is dropped before it is ready.
    pub(crate) async fn frame(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let whole = frame::split(&self.input, frame::FRAME_BYTES_MAX);
            if let Some(whole) = whole.map_err(io::Error::other)? {
                let whole = whole.to_vec();
                self.input.drain(..4 + whole.len());
                return Ok(whole);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// A request as a frame.
pub(crate) fn request<'r>(op: OpCode, record: &impl Record<'r>) -> Vec<u8> {
    framed(|writer| {
        header(op).write(writer);
        record.write(writer);
    })
}

/// A request without a record.
pub(crate) fn bare_request(op: OpCode) -> Vec<u8> {
    framed(|writer| header(op).write(writer))
}

fn header(op: OpCode) -> RequestHeader {
    let xid = if op == OpCode::Ping {
        Xid::PING
    } else {
        Xid(1)
    };
    RequestHeader { xid, op: op.code() }
}

fn framed(body: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).with_length(body);
    bytes
}
