//! A small ZooKeeper client: one socket, one request at a time.
//!
//! Enough to measure with, and no more: it does not reconnect, ping or choose among servers by itself.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bstr::BStr;
use bytes::{Buf, BytesMut};
use outpost_wire::proto::{
    ConnectRequest, ConnectResponse, CreateRequest, GetDataRequest, ReplyHeader, RequestHeader,
    SetDataRequest, WatcherEvent,
};
use outpost_wire::{Acl, ErrorCode, OpCode, Reader, Record, SessionId, Writer, Xid, Zxid, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Session timeout that is asked for, ms: longer than any pause between two acts.
const SESSION_TIMEOUT_MS: i32 = 30_000;

/// Why a client has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// The server closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// The server refuses the session, for good.
    #[error("the session has expired")]
    Expired,
    /// The request failed.
    #[error("the answer is {0:?}")]
    Failed(ErrorCode),
    /// The server sent something else.
    #[error("the answer cannot be read: {0}")]
    Malformed(#[from] outpost_wire::DecodeError),
    /// An answer to something else came.
    #[error("an answer to request {0}, which is not the last one")]
    OutOfOrder(Xid),
}

impl ClientError {
    /// Whether the session may go on over another connection.
    pub(super) fn is_disconnect(&self) -> bool {
        matches!(self, ClientError::Io(_) | ClientError::Closed)
    }
}

/// What a client keeps when its connection ends.
#[derive(Debug, Clone)]
pub(super) struct Session {
    id: SessionId,
    password: Vec<u8>,
    last_zxid_seen: Zxid,
}

impl Session {
    const NONE: Session = Session {
        id: SessionId::NONE,
        password: Vec::new(),
        last_zxid_seen: Zxid::ZERO,
    };
}

/// One client.
pub(super) struct Client {
    stream: TcpStream,
    input: BytesMut,
    session: Session,
    xid: i32,
    /// Paths of watches that fired, not yet asked for.
    fired: VecDeque<String>,
}

impl Client {
    /// Connects with a new session.
    pub(super) async fn connect(address: SocketAddr) -> Result<Client, ClientError> {
        Client::resume(address, Session::NONE).await
    }

    /// Connects again with the session of an earlier connection.
    pub(super) async fn resume(
        address: SocketAddr,
        session: Session,
    ) -> Result<Client, ClientError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut client = Client {
            stream,
            input: BytesMut::new(),
            session,
            xid: 0,
            fired: VecDeque::new(),
        };
        client.shake_hands().await?;
        Ok(client)
    }

    /// What to [`Client::resume`] with.
    pub(super) fn session(&self) -> Session {
        self.session.clone()
    }

    async fn shake_hands(&mut self) -> Result<(), ClientError> {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.session.last_zxid_seen,
            time_out: SESSION_TIMEOUT_MS,
            session_id: self.session.id,
            passwd: Some(&self.session.password),
            read_only: Some(false),
        };
        self.send(&request.encode()).await?;
        let frame = self.receive().await?;
        let response = ConnectResponse::decode("ConnectResponse", &frame)?;
        if response.time_out <= 0 {
            return Err(ClientError::Expired);
        }
        self.session.id = response.session_id;
        self.session.password = response.passwd.unwrap_or_default().to_vec();
        Ok(())
    }

    /// Reads a znode, and leaves a watch if asked to.
    pub(super) async fn get_data(&mut self, path: &str, watch: bool) -> Result<(), ClientError> {
        let path = BStr::new(path);
        self.call(OpCode::GetData, &GetDataRequest { path, watch })
            .await
    }

    /// Replaces a znode's data.
    pub(super) async fn set_data(&mut self, path: &str, data: &[u8]) -> Result<(), ClientError> {
        let request = SetDataRequest {
            path: BStr::new(path),
            data: Some(data),
            version: -1,
        };
        self.call(OpCode::SetData, &request).await
    }

    /// Creates a znode.
    pub(super) async fn create(&mut self, path: &str) -> Result<(), ClientError> {
        let request = CreateRequest {
            path: BStr::new(path),
            data: None,
            acl: Some(Acl::open()),
            flags: 0,
        };
        self.call(OpCode::Create, &request).await
    }

    /// The path of the next watch that fires.
    pub(super) async fn fired(&mut self) -> Result<String, ClientError> {
        loop {
            if let Some(path) = self.fired.pop_front() {
                return Ok(path);
            }
            let frame = self.receive().await?;
            if let Some(header) = self.take_in(&frame)? {
                return Err(ClientError::OutOfOrder(header.xid));
            }
        }
    }

    /// Asks, and waits for the answer; what is in it does not matter here.
    async fn call<'a>(&mut self, op: OpCode, request: &impl Record<'a>) -> Result<(), ClientError> {
        self.xid += 1;
        let xid = Xid(self.xid);
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        RequestHeader { xid, op: op.code() }.write(&mut writer);
        request.write(&mut writer);
        self.send(&bytes).await?;
        loop {
            let frame = self.receive().await?;
            match self.take_in(&frame)? {
                None => {}
                Some(header) if header.xid != xid => {
                    return Err(ClientError::OutOfOrder(header.xid));
                }
                Some(header) if !header.err.is_ok() => return Err(ClientError::Failed(header.err)),
                Some(_) => return Ok(()),
            }
        }
    }

    /// Takes in a frame. A notification is kept; the header of anything else is returned.
    fn take_in(&mut self, frame: &[u8]) -> Result<Option<ReplyHeader>, ClientError> {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::read(&mut reader)?;
        if header.xid == Xid::NOTIFICATION {
            let event = WatcherEvent::read(&mut reader)?;
            self.fired.push_back(event.path.to_string());
            return Ok(None);
        }
        self.session.last_zxid_seen = self.session.last_zxid_seen.max(header.zxid);
        Ok(Some(header))
    }

    async fn send(&mut self, body: &[u8]) -> Result<(), ClientError> {
        let mut framed = Vec::with_capacity(4 + body.len());
        Writer::new(&mut framed).buffer(Some(body));
        self.stream.write_all(&framed).await?;
        Ok(())
    }

    async fn receive(&mut self) -> Result<BytesMut, ClientError> {
        loop {
            let whole = frame::split(&self.input, frame::FRAME_BYTES_MAX)?.map(<[u8]>::len);
            if let Some(length) = whole {
                self.input.advance(4);
                return Ok(self.input.split_to(length));
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(ClientError::Closed);
            }
        }
    }
}
