//! A scripted client: connect request, frames out, frames in, one blocking socket.
//!
//! It knows the records (from `outpost-wire`) and keeps what a client library would have to keep: its
//! session, the next xid, the highest zxid it has seen, and the watch events that came in between. It never
//! reconnects, never pings by itself and never hides an error.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bstr::{BStr, BString, ByteSlice};
use outpost_wire::proto::{
    AddWatchRequest, AuthPacket, ConnectRequest, ConnectResponse, Create2Response, CreateMode,
    CreateRequest, CreateResponse, CreateTtlRequest, DeleteRequest, ExistsRequest, ExistsResponse,
    GetAclRequest, GetAclResponse, GetChildren2Request, GetChildren2Response, GetDataRequest,
    GetDataResponse, ReplyHeader, RequestHeader, SetDataRequest, SetDataResponse, SyncRequest,
    WatcherEvent,
};
use outpost_wire::{Acl, ErrorCode, OpCode, Reader, Record, SessionId, Stat, Xid, Zxid};

/// How long an answer may take before the server counts as silent.
const LIMIT: Duration = Duration::from_secs(30);

/// What identifies a session when it is opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Its password.
    pub password: Vec<u8>,
    /// The negotiated timeout in milliseconds.
    pub timeout_ms: i32,
}

/// Why a server did not open a session.
#[derive(Debug)]
pub enum Refusal {
    /// It closed the connection, or never answered: another server may be asked.
    Closed(io::Error),
    /// It says that the session is gone for good.
    Expired,
}

/// A watch event as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `EventType`, by number.
    pub kind: i32,
    /// The znode.
    pub path: BString,
    /// The zxid in its header.
    pub zxid: Zxid,
}

/// A reply: its header, and the bytes behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The header.
    pub header: ReplyHeader,
    /// The rest of the frame.
    pub body: Vec<u8>,
}

impl Reply {
    /// The record of a reply without an error.
    ///
    /// # Panics
    /// When the reply is an error or not such a record; the message has its bytes.
    pub fn record<'a, R: Record<'a>>(&'a self) -> R {
        assert!(
            self.header.err.is_ok(),
            "the reply is an error: {:?}",
            self.header
        );
        R::decode("reply", &self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?} {}", self.header, hex(&self.body)))
    }

    /// The error code.
    pub fn err(&self) -> ErrorCode {
        self.header.err
    }

    /// This reply if it is no error, else its code.
    ///
    /// # Errors
    /// The reply's own.
    pub fn ok(self) -> Result<Self, ErrorCode> {
        if self.header.err.is_ok() {
            Ok(self)
        } else {
            Err(self.header.err)
        }
    }
}

/// One connection to a server.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    session: Session,
    next_xid: i32,
    last_zxid: Zxid,
    events: VecDeque<Event>,
    read_only: Option<bool>,
}

/// A session id of nobody, as a connect request for a new session carries it.
const NO_SESSION: SessionId = SessionId(0);

impl RawClient {
    /// Opens the TCP connection and sends nothing.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn tcp(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        let session = Session {
            id: NO_SESSION,
            password: vec![0; 16],
            timeout_ms: 0,
        };
        Ok(Self {
            stream,
            session,
            next_xid: 1,
            last_zxid: Zxid(0),
            events: VecDeque::new(),
            read_only: None,
        })
    }

    /// Opens a new session.
    ///
    /// # Panics
    /// When the server does not grant one.
    pub fn connect(server: SocketAddr, timeout_ms: i32) -> Self {
        Self::try_connect(server, timeout_ms)
            .unwrap_or_else(|refusal| panic!("{server} opens no session: {refusal:?}"))
    }

    /// Opens a new session.
    ///
    /// # Errors
    /// When the server does not grant one.
    pub fn try_connect(server: SocketAddr, timeout_ms: i32) -> Result<Self, Refusal> {
        let session = Session {
            id: NO_SESSION,
            password: vec![0; 16],
            timeout_ms,
        };
        Self::reopen(server, &session, Zxid(0))
    }

    /// Opens `session` again, on this or another server, as a client that has seen `last_zxid`.
    ///
    /// # Errors
    /// When the server does not grant it.
    pub fn reopen(server: SocketAddr, session: &Session, last_zxid: Zxid) -> Result<Self, Refusal> {
        Self::reopen_saying(server, session, last_zxid, Some(false))
    }

    /// Opens a new session, or `session` again, as a client that can do with a server that is read-only.
    ///
    /// # Errors
    /// When the server does not grant it.
    pub fn read_only(
        server: SocketAddr,
        session: Option<&Session>,
        last_zxid: Zxid,
    ) -> Result<Self, Refusal> {
        let new = Session {
            id: NO_SESSION,
            password: vec![0; 16],
            timeout_ms: 10_000,
        };
        Self::reopen_saying(server, session.unwrap_or(&new), last_zxid, Some(true))
    }

    /// As [`Self::reopen`], with another last byte, or none.
    ///
    /// # Errors
    /// When the server does not grant it.
    pub fn reopen_saying(
        server: SocketAddr,
        session: &Session,
        last_zxid: Zxid,
        read_only: Option<bool>,
    ) -> Result<Self, Refusal> {
        let mut client = Self::tcp(server).map_err(Refusal::Closed)?;
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: last_zxid,
            time_out: session.timeout_ms,
            session_id: session.id,
            passwd: Some(&session.password),
            read_only,
        };
        client.last_zxid = last_zxid;
        client.handshake(&request)?;
        Ok(client)
    }

    /// Sends a connect request and takes the session from its answer.
    ///
    /// # Errors
    /// When the server closes the connection or says that the session is gone.
    pub fn handshake(&mut self, request: &ConnectRequest<'_>) -> Result<(), Refusal> {
        self.send_frame(&request.encode())
            .map_err(Refusal::Closed)?;
        let frame = self.read_frame().map_err(Refusal::Closed)?;
        let response = ConnectResponse::decode("ConnectResponse", &frame)
            .unwrap_or_else(|error| panic!("{error} in a connect response {}", hex(&frame)));
        self.read_only = response.read_only;
        if response.time_out <= 0 {
            return Err(Refusal::Expired);
        }
        self.session = Session {
            id: response.session_id,
            password: response.passwd.unwrap_or_default().to_vec(),
            timeout_ms: response.time_out,
        };
        Ok(())
    }

    /// What the server said about itself when it granted the session; none if it was not asked.
    pub fn is_read_only(&self) -> Option<bool> {
        self.read_only
    }

    /// The session of this connection.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The highest zxid that a reply has shown.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// The watch events that have been read and not yet taken.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// From now on a request that the server does not take within `limit` is an error.
    pub fn give_up_writing_after(&mut self, limit: Duration) {
        let set = self.stream.set_write_timeout(Some(limit));
        set.unwrap_or_else(|error| panic!("a socket takes a timeout: {error}"));
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes with their length in front.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn send_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = i32::try_from(frame.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(frame.len() + 4);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(frame);
        self.send_bytes(&bytes)
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// When the connection is lost or the server silent for 30 seconds.
    pub fn read_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
        assert!(
            length <= 64 << 20,
            "the server announces a frame of {length} bytes"
        );
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Sends a request without waiting for its reply, and returns its xid.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn send<'r>(&mut self, op: OpCode, record: &impl Record<'r>) -> io::Result<Xid> {
        self.send_body(op, &record.encode())
    }

    /// As [`Self::send`], for a request whose record is already bytes, or has none.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn send_body(&mut self, op: OpCode, body: &[u8]) -> io::Result<Xid> {
        let xid = match op {
            OpCode::Auth => Xid::AUTH,
            OpCode::Ping => Xid::PING,
            OpCode::SetWatches | OpCode::SetWatches2 => Xid::SET_WATCHES,
            _ => {
                self.next_xid += 1;
                Xid(self.next_xid - 1)
            }
        };
        let mut frame = RequestHeader { xid, op: op.code() }.encode();
        frame.extend_from_slice(body);
        self.send_frame(&frame)?;
        Ok(xid)
    }

    /// Reads frames until one is a reply; events on the way are kept for [`Self::take_events`].
    ///
    /// # Errors
    /// When the connection is lost or the server silent for 30 seconds.
    pub fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let frame = self.read_frame()?;
            if let Some(reply) = self.keep_event_or_return(&frame) {
                return Ok(reply);
            }
        }
    }

    /// Reads one frame, which must be a watch event.
    ///
    /// # Errors
    /// When the connection is lost or the server silent for 30 seconds.
    pub fn event(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let frame = self.read_frame()?;
            if let Some(reply) = self.keep_event_or_return(&frame) {
                panic!("a reply instead of an event: {reply:?}");
            }
        }
    }

    /// Sends a request and reads its reply.
    ///
    /// # Errors
    /// When the connection is lost or the server silent for 30 seconds.
    ///
    /// # Panics
    /// When the reply has another xid: replies come in the order of requests.
    pub fn try_request<'r>(&mut self, op: OpCode, record: &impl Record<'r>) -> io::Result<Reply> {
        self.try_request_body(op, &record.encode())
    }

    /// As [`Self::try_request`], for a request whose record is already bytes, or has none.
    ///
    /// # Errors
    /// As [`Self::try_request`].
    pub fn try_request_body(&mut self, op: OpCode, body: &[u8]) -> io::Result<Reply> {
        let xid = self.send_body(op, body)?;
        let reply = self.reply()?;
        assert_eq!(
            reply.header.xid,
            xid,
            "the reply to {op:?} {} is another's",
            hex(body)
        );
        Ok(reply)
    }

    /// As [`Self::try_request`], on a connection that must not be lost.
    ///
    /// # Panics
    /// When it is.
    pub fn request<'r>(&mut self, op: OpCode, record: &impl Record<'r>) -> Reply {
        let session = self.session.id;
        self.try_request(op, record).unwrap_or_else(|error| {
            panic!("session {session} lost its connection in {op:?}: {error}")
        })
    }

    /// Closes the session and waits until the server has closed the connection.
    ///
    /// # Errors
    /// When the connection is lost before the reply.
    pub fn close(mut self) -> io::Result<()> {
        let reply = self.try_request_body(OpCode::CloseSession, &[])?;
        assert!(
            reply.header.err.is_ok(),
            "closing a session fails: {:?}",
            reply.header
        );
        // Java releases now and then send a last watch event behind the reply.
        loop {
            match self.read_frame() {
                Ok(frame) => match self.keep_event_or_return(&frame) {
                    None => continue,
                    Some(reply) => panic!("a reply behind that to closeSession: {reply:?}"),
                },
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Drops the connection without closing the session, as a client that dies.
    pub fn abandon(self) -> (Session, Zxid) {
        let _ = self.stream.shutdown(Shutdown::Both);
        (self.session.clone(), self.last_zxid)
    }

    fn keep_event_or_return(&mut self, frame: &[u8]) -> Option<Reply> {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::read(&mut reader)
            .unwrap_or_else(|error| panic!("{error} in a reply {}", hex(frame)));
        if header.xid != Xid::NOTIFICATION {
            self.remember(&header, frame);
            return Some(Reply {
                header,
                body: reader.rest().to_vec(),
            });
        }
        let event = WatcherEvent::decode("WatcherEvent", reader.rest())
            .unwrap_or_else(|error| panic!("{error} in a notification {}", hex(frame)));
        assert_eq!(
            event.state,
            3,
            "servers send no state but SyncConnected: {}",
            hex(frame)
        );
        let path = event.path.to_owned();
        self.events.push_back(Event {
            kind: event.kind,
            path,
            zxid: header.zxid,
        });
        None
    }

    /// P4: the zxids that one session is shown never decrease.
    fn remember(&mut self, header: &ReplyHeader, frame: &[u8]) {
        // Auth replies carry 0 and refusals of unknown operations -1.
        if header.zxid.0 > 0 {
            assert!(
                header.zxid >= self.last_zxid,
                "session {} is taken back in time, from {} to {}: {}",
                self.session.id,
                self.last_zxid,
                header.zxid,
                hex(frame)
            );
            self.last_zxid = header.zxid;
        }
    }
}

/// The operations that most tests need. All panic when the connection is lost.
impl RawClient {
    /// Creates a znode that everybody may do everything with; the path it got.
    ///
    /// # Errors
    /// The server's.
    pub fn create(
        &mut self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
    ) -> Result<String, ErrorCode> {
        let request = CreateRequest {
            path: path.as_bytes().as_bstr(),
            data: Some(data),
            acl: Some(Acl::open()),
            flags: mode.code(),
        };
        let reply = self.request(OpCode::Create, &request).ok()?;
        Ok(reply.record::<CreateResponse<'_>>().path.to_string())
    }

    /// Creates a znode with a time to live, with create2's answer.
    ///
    /// # Errors
    /// The server's.
    pub fn create_ttl(&mut self, path: &str, ttl_ms: i64) -> Result<Stat, ErrorCode> {
        let request = CreateTtlRequest {
            path: path.as_bytes().as_bstr(),
            data: None,
            acl: Some(Acl::open()),
            flags: CreateMode::PersistentWithTtl.code(),
            ttl: ttl_ms,
        };
        let reply = self.request(OpCode::CreateTtl, &request).ok()?;
        Ok(reply.record::<Create2Response<'_>>().stat)
    }

    /// Deletes a znode of any version.
    ///
    /// # Errors
    /// The server's.
    pub fn delete(&mut self, path: &str) -> Result<(), ErrorCode> {
        let request = DeleteRequest {
            path: path.as_bytes().as_bstr(),
            version: -1,
        };
        self.request(OpCode::Delete, &request).ok().map(|_| ())
    }

    /// Sets a znode's data, whatever its version.
    ///
    /// # Errors
    /// The server's.
    pub fn set_data(&mut self, path: &str, data: &[u8]) -> Result<Stat, ErrorCode> {
        let request = SetDataRequest {
            path: path.as_bytes().as_bstr(),
            data: Some(data),
            version: -1,
        };
        let reply = self.request(OpCode::SetData, &request).ok()?;
        Ok(reply.record::<SetDataResponse>().stat)
    }

    /// Sets the data of all `paths` in one pipeline and reads all replies.
    ///
    /// # Panics
    /// When one fails.
    pub fn set_data_at_once(&mut self, paths: &[String], data: &[u8]) {
        for path in paths {
            let request = SetDataRequest {
                path: path.as_bytes().as_bstr(),
                data: Some(data),
                version: -1,
            };
            self.send(OpCode::SetData, &request)
                .unwrap_or_else(|error| panic!("a request is not taken: {error}"));
        }
        for _ in paths {
            let reply = self
                .reply()
                .unwrap_or_else(|error| panic!("setData: {error}"));
            assert!(reply.header.err.is_ok(), "setData: {:?}", reply.header);
        }
    }

    /// Reads a znode, with or without leaving a watch; null data stays null.
    ///
    /// # Errors
    /// The server's.
    pub fn get_data(
        &mut self,
        path: &[u8],
        watch: bool,
    ) -> Result<(Option<Vec<u8>>, Stat), ErrorCode> {
        let request = GetDataRequest {
            path: BStr::new(path),
            watch,
        };
        let reply = self.request(OpCode::GetData, &request).ok()?;
        let response = reply.record::<GetDataResponse<'_>>();
        Ok((response.data.map(<[u8]>::to_vec), response.stat))
    }

    /// Asks for a znode's Stat, with or without leaving a watch.
    ///
    /// # Errors
    /// The server's.
    pub fn exists(&mut self, path: &str, watch: bool) -> Result<Stat, ErrorCode> {
        let request = ExistsRequest {
            path: path.as_bytes().as_bstr(),
            watch,
        };
        let reply = self.request(OpCode::Exists, &request).ok()?;
        Ok(reply.record::<ExistsResponse>().stat)
    }

    /// The names of a znode's children, sorted, and its Stat.
    ///
    /// # Errors
    /// The server's.
    pub fn get_children(
        &mut self,
        path: &[u8],
        watch: bool,
    ) -> Result<(Vec<BString>, Stat), ErrorCode> {
        let request = GetChildren2Request {
            path: BStr::new(path),
            watch,
        };
        let reply = self.request(OpCode::GetChildren2, &request).ok()?;
        let response = reply.record::<GetChildren2Response<'_>>();
        let mut names: Vec<BString> = response
            .children
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        names.sort();
        Ok((names, response.stat))
    }

    /// A znode's ACL and Stat.
    ///
    /// # Errors
    /// The server's.
    pub fn get_acl(&mut self, path: &[u8]) -> Result<(Vec<Acl>, Stat), ErrorCode> {
        let reply = self
            .request(
                OpCode::GetAcl,
                &GetAclRequest {
                    path: BStr::new(path),
                },
            )
            .ok()?;
        let response = reply.record::<GetAclResponse>();
        Ok((response.acl, response.stat))
    }

    /// Leaves a watch that stays.
    ///
    /// # Errors
    /// The server's.
    pub fn add_watch(&mut self, path: &str, mode: i32) -> Result<(), ErrorCode> {
        let request = AddWatchRequest {
            path: path.as_bytes().as_bstr(),
            mode,
        };
        self.request(OpCode::AddWatch, &request).ok().map(|_| ())
    }

    /// Waits until this server has applied what the leader had committed.
    ///
    /// # Panics
    /// When it fails.
    pub fn sync(&mut self) {
        let reply = self.request(
            OpCode::Sync,
            &SyncRequest {
                path: BStr::new("/"),
            },
        );
        assert!(reply.header.err.is_ok(), "sync fails: {:?}", reply.header);
    }

    /// Pings; the zxid that the server has applied.
    ///
    /// # Panics
    /// When the connection is lost.
    pub fn ping(&mut self) -> Zxid {
        let session = self.session.id;
        let reply = self.try_request_body(OpCode::Ping, &[]);
        reply
            .unwrap_or_else(|error| panic!("session {session} lost its connection: {error}"))
            .header
            .zxid
    }

    /// Adds an identity of scheme `digest` to the connection.
    ///
    /// # Panics
    /// When it is refused.
    pub fn authenticate(&mut self, user_and_password: &str) {
        self.try_authenticate(user_and_password)
            .unwrap_or_else(|error| {
                panic!("session {} lost its connection: {error}", self.session.id)
            });
    }

    /// As [`Self::authenticate`].
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn try_authenticate(&mut self, user_and_password: &str) -> io::Result<()> {
        let auth = Some(user_and_password.as_bytes());
        let packet = AuthPacket {
            kind: 0,
            scheme: BStr::new("digest"),
            auth,
        };
        let reply = self.try_request(OpCode::Auth, &packet)?;
        assert!(
            reply.header.err.is_ok(),
            "{user_and_password} is refused: {:?}",
            reply.header
        );
        Ok(())
    }
}

/// Bytes in hexadecimal, the first 200 of them.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in bytes.iter().take(200) {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > 200 {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}
