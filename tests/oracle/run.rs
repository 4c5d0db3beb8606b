//! Plays a script against one server and writes down what comes back.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use outpost_tests::raw::RawClient;
use outpost_tests::{ObserverKind, wait};
use outpost_wire::proto::{ConnectRequest, ConnectResponse, ReplyHeader, WatcherEvent};
use outpost_wire::{ErrorCode, OpCode, Reader, Record, SessionId, Xid, Zxid};

use crate::script::{At, Connection, Hello, Password, Seen, Step, Whose, framed};
use crate::stage::Stage;
use crate::transcript::{self, Transcript, op_name};

/// How long a server may be silent where something is expected: well above the longest timeout of a session, whose
/// end several scripts wait for. Only a server that is wrong is waited for so long.
const SILENCE: Duration = Duration::from_secs(25);

/// Plays `steps` with `kind` under test.
pub(crate) fn play(
    stage: &Stage,
    kind: ObserverKind,
    steps: &[Step],
    root: &str,
    first_zxid: i64,
) -> Vec<String> {
    let mut run = Run {
        stage,
        kind,
        lines: BTreeMap::new(),
        transcript: Transcript::new(root, first_zxid),
    };
    for step in steps {
        run.step(step);
    }
    run.transcript.lines()
}

struct Run<'s> {
    stage: &'s Stage,
    kind: ObserverKind,
    lines: BTreeMap<Connection, Line>,
    transcript: Transcript,
}

/// One TCP connection.
struct Line {
    stream: TcpStream,
    input: Vec<u8>,
    pending: VecDeque<Asked>,
    session: SessionId,
    password: Vec<u8>,
    last_zxid: i64,
    held: Option<Vec<u8>>,
    ended: bool,
}

/// A request that awaits its reply.
struct Asked {
    xid: i32,
    op: i32,
    path: Vec<u8>,
}

/// What reading a frame came to.
enum Came {
    Frame(Vec<u8>),
    End(&'static str),
    Silence,
}

impl Run<'_> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Dial(c, at) => self.dial(*c, *at),
            Step::Hello(c, hello) => self.hello(*c, hello),
            Step::Welcome(c) => self.welcome(*c),
            Step::Send(c, request) => {
                let path = Reader::new(&request.body).ustring_or_null("path");
                let path = path.ok().flatten().unwrap_or_default().to_vec();
                self.sent(*c, request.xid, request.op, path);
                self.write(*c, &request.frame());
            }
            Step::SetWatches(c, op, seen, lists) => {
                let (xid, op) = (Xid::SET_WATCHES.0, op.code());
                let mut payload = [xid.to_be_bytes(), op.to_be_bytes()].concat();
                payload.extend_from_slice(&self.seen(*seen).to_be_bytes());
                payload.extend_from_slice(lists);
                self.sent(*c, xid, op, Vec::new());
                self.write(*c, &framed(&payload));
            }
            Step::Hold(c) => self.line(*c).held = Some(Vec::new()),
            Step::Release(c) => {
                let held = self.line(*c).held.take().unwrap_or_default();
                self.write(*c, &held);
            }
            Step::Sent(c, request) => self.sent(*c, request.xid, request.op, Vec::new()),
            Step::Said(lines) => self.transcript.expect(lines),
            Step::Raw(c, bytes) => self.write(*c, bytes),
            Step::Replies(c) => self.replies(*c),
            Step::Event(c) => {
                if let Some(frame) = self.read(*c) {
                    self.frame(*c, &frame);
                }
            }
            Step::End(c) => {
                while let Some(frame) = self.read(*c) {
                    self.frame(*c, &frame);
                }
            }
            Step::Swap(c, with) => {
                if let Some(line) = self.lines.remove(with) {
                    self.lines.insert(*c, line);
                }
            }
            Step::Drop(c) => {
                let line = self.line(*c);
                let _ = line.stream.shutdown(Shutdown::Both);
                line.ended = true;
            }
            Step::Gone(path) => self.gone(path),
            Step::Applied(c) => {
                let seen = self.line(*c).last_zxid;
                self.stage.wait_for_voters(seen);
            }
        }
    }

    fn line(&mut self, c: Connection) -> &mut Line {
        self.lines
            .get_mut(&c)
            .unwrap_or_else(|| panic!("the script has no connection {c}"))
    }

    fn dial(&mut self, c: Connection, at: At) {
        let address = self.stage.address(self.kind, at);
        let stream = TcpStream::connect(address).expect("the server listens");
        stream
            .set_nodelay(true)
            .expect("a fresh socket takes options");
        stream
            .set_read_timeout(Some(SILENCE))
            .expect("a fresh socket takes options");
        stream
            .set_write_timeout(Some(SILENCE))
            .expect("a fresh socket takes options");
        let line = Line {
            stream,
            input: Vec::new(),
            pending: VecDeque::new(),
            session: SessionId::NONE,
            password: vec![0; 16],
            last_zxid: 0,
            held: None,
            ended: false,
        };
        self.lines.insert(c, line);
    }

    fn seen(&mut self, seen: Seen) -> i64 {
        match seen {
            Seen::Nothing => 0,
            Seen::By(c) => self.line(c).last_zxid,
            Seen::Future => i64::MAX,
            Seen::Negative => -1,
        }
    }

    fn hello(&mut self, c: Connection, hello: &Hello) {
        let session_id = match hello.session {
            Whose::Nobodys => SessionId::NONE,
            Whose::Of(other) => self.line(other).session,
            Whose::Unknown(id) => SessionId(id),
        };
        let passwd = match hello.password {
            Password::Zeros => Some(vec![0; 16]),
            Password::Null => None,
            Password::Empty => Some(Vec::new()),
            Password::Of(other) => Some(self.line(other).password.clone()),
            Password::Short(other) => Some(self.line(other).password[..15].to_vec()),
            Password::Computed(id) => Some(SessionId(id).password().to_vec()),
        };
        let request = ConnectRequest {
            protocol_version: hello.version,
            last_zxid_seen: Zxid(self.seen(hello.seen)),
            time_out: hello.timeout,
            session_id,
            passwd: passwd.as_deref(),
            read_only: hello.read_only,
        };
        let mut payload = request.encode();
        payload.extend_from_slice(hello.trailing);
        self.write(c, &framed(&payload));
    }

    fn welcome(&mut self, c: Connection) {
        let Some(frame) = self.read(c) else {
            return;
        };
        let length = frame.len();
        let response = match ConnectResponse::decode("ConnectResponse", &frame) {
            Ok(response) => response,
            Err(error) => {
                return self.note(c, &format!("{error}: {}", transcript::text(&frame)));
            }
        };
        let password = response.passwd.unwrap_or_default();
        let session = response.session_id;
        let verdict = match password {
            zeros if zeros == [0; 16] => "zeros",
            right if session.accepts_password(right) => "right",
            _ => "wrong",
        };
        if session != SessionId::NONE {
            self.transcript.name_session(session, c);
        }
        self.note(
            c,
            &format!(
                "connected: {length} bytes, version {}, timeout {}, {}, password {verdict}, read-only {:?}",
                response.protocol_version,
                response.time_out,
                transcript::session(session.0),
                response.read_only
            ),
        );
        let password = password.to_vec();
        let line = self.line(c);
        line.session = session;
        line.password = password;
    }

    fn sent(&mut self, c: Connection, xid: i32, op: i32, path: Vec<u8>) {
        self.line(c).pending.push_back(Asked { xid, op, path });
    }

    /// A server that has ended the connection may refuse the bytes; reading then tells.
    fn write(&mut self, c: Connection, bytes: &[u8]) {
        let line = self.line(c);
        match &mut line.held {
            Some(held) => held.extend_from_slice(bytes),
            None => _ = line.stream.write_all(bytes),
        }
    }

    /// Reads until nothing is pending. Replies to auth packets may overtake others and come last here.
    fn replies(&mut self, c: Connection) {
        let mut aside = Vec::new();
        while self.line(c).pending.len() > aside.len() {
            let Some(frame) = self.read(c) else {
                break;
            };
            if self.answers_auth(c, &frame) {
                aside.push(frame);
            } else {
                self.frame(c, &frame);
            }
        }
        for frame in aside {
            self.frame(c, &frame);
        }
    }

    fn answers_auth(&mut self, c: Connection, frame: &[u8]) -> bool {
        let Ok(header) = ReplyHeader::read(&mut Reader::new(frame)) else {
            return false;
        };
        let mut pending = self.line(c).pending.iter();
        let asked = pending.find(|asked| asked.xid == header.xid.0);
        asked.is_some_and(|asked| asked.op == OpCode::Auth.code())
    }

    /// Notes one frame.
    fn frame(&mut self, c: Connection, frame: &[u8]) {
        let mut reader = Reader::new(frame);
        let Ok(header) = ReplyHeader::read(&mut reader) else {
            return self.note(c, &format!("no header in {}", transcript::text(frame)));
        };
        let rest = reader.rest();
        if header.xid == Xid::NOTIFICATION {
            return self.event(c, header, rest);
        }
        let auth = OpCode::Auth.code();
        let pending = &mut self.line(c).pending;
        let place = pending.iter().position(|asked| asked.xid == header.xid.0);
        let overtaken = pending
            .iter()
            .take(place.unwrap_or(0))
            .any(|asked| asked.op != auth);
        // Servers answer any ping with the number of pings.
        let place = place.or_else(|| {
            let ping = |asked: &Asked| asked.op == OpCode::Ping.code() && header.xid == Xid::PING;
            pending.iter().position(ping)
        });
        let Some(asked) = place.and_then(|place| pending.remove(place)) else {
            let rest = transcript::text(rest);
            return self.note(c, &format!("reply to nothing: {header:?} {rest}"));
        };
        let order = if overtaken && asked.op != auth {
            " out of order"
        } else {
            ""
        };
        let shown_zxid = self.header_zxid(c, &asked, &header);
        let name = op_name(asked.op);
        let xid = match asked.xid == header.xid.0 {
            true => asked.xid.to_string(),
            false => format!("{} as {}", asked.xid, header.xid),
        };
        if header.err.is_ok() {
            let body = transcript::body(asked.op, &asked.path, rest);
            self.note(c, &format!("{name} {xid}{order}: {shown_zxid} {body}"));
        } else {
            let more = match rest {
                [] => String::new(),
                more => format!(" with {}", transcript::text(more)),
            };
            self.note(
                c,
                &format!("{name} {xid}{order}: {shown_zxid} {}{more}", header.err),
            );
        }
    }

    fn event(&mut self, c: Connection, header: ReplyHeader, rest: &[u8]) {
        let zxid = transcript::zxid(header.zxid.0);
        let error = if header.err == ErrorCode::OK {
            String::new()
        } else {
            format!(" {}", header.err)
        };
        let line = match WatcherEvent::decode("WatcherEvent", rest) {
            Ok(event) => {
                let kind = match event.kind {
                    1 => "Created".to_owned(),
                    2 => "Deleted".to_owned(),
                    3 => "DataChanged".to_owned(),
                    4 => "ChildrenChanged".to_owned(),
                    other => format!("type {other}"),
                };
                let path = transcript::text(event.path);
                format!("event {kind} {path} state {} {zxid}{error}", event.state)
            }
            Err(problem) => format!("event {zxid}{error} ({problem}) {}", transcript::text(rest)),
        };
        self.note(c, &line);
    }

    /// The zxid of a header: that of the write's own transaction, or of whatever was the last one. A refusal may
    /// come from either, which no client can tell.
    fn header_zxid(&mut self, c: Connection, asked: &Asked, header: &ReplyHeader) -> String {
        let zxid = header.zxid.0;
        if zxid <= 0 {
            return zxid.to_string();
        }
        let is_close = asked.op == OpCode::CloseSession.code();
        let commits =
            makes_transaction(asked.op) && (!is_close || self.stage.closing_is_a_transaction());
        let line = self.line(c);
        let back = zxid < line.last_zxid;
        line.last_zxid = line.last_zxid.max(zxid);
        let shown = match header.err.is_ok() && commits {
            true => transcript::zxid(zxid),
            false => "z".to_owned(),
        };
        if back {
            format!("{shown} (back in time)")
        } else {
            shown
        }
    }

    fn gone(&mut self, path: &str) {
        let address = self.stage.address(self.kind, At::Voter);
        let mut client = RawClient::connect(address, 30_000);
        wait::until(&format!("{path} to go"), Duration::from_secs(30), || {
            // What has only been made may not have come so far.
            client.sync();
            client.exists(path, false).is_err().then_some(())
        });
        self.note_line(format!("{path} is gone"));
    }

    fn note(&mut self, c: Connection, line: &str) {
        self.note_line(format!("{c}: {line}"));
    }

    fn note_line(&mut self, line: String) {
        self.transcript.note(line);
    }

    /// The next frame; none when there is none to come, which is noted.
    fn read(&mut self, c: Connection) -> Option<Vec<u8>> {
        if self.line(c).ended {
            return None;
        }
        match self.line(c).read_frame() {
            Came::Frame(frame) => return Some(frame),
            Came::End(how) => {
                self.line(c).ended = true;
                self.note(c, &format!("closed by the server ({how})"));
            }
            Came::Silence => {
                self.line(c).ended = true;
                self.note(c, "silence");
            }
        }
        None
    }
}

impl Line {
    fn read_frame(&mut self) -> Came {
        let since = Instant::now();
        loop {
            if let Some(length) = self.input.first_chunk::<4>() {
                let length = i32::from_be_bytes(*length);
                let Ok(length) = usize::try_from(length) else {
                    return Came::End("with a negative length");
                };
                if self.input.len() >= 4 + length {
                    let frame = self.input[4..4 + length].to_vec();
                    self.input.drain(..4 + length);
                    return Came::Frame(frame);
                }
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) if self.input.is_empty() => return Came::End("EOF"),
                Ok(0) => return Came::End("EOF inside a frame"),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Came::Silence,
                Err(_) => return Came::End("RST"),
            }
            if since.elapsed() > SILENCE {
                return Came::Silence;
            }
        }
    }
}

/// Whether a request becomes a transaction, whose zxid its reply carries.
fn makes_transaction(op: i32) -> bool {
    use OpCode::{
        CloseSession, Create, Create2, CreateContainer, CreateTtl, Delete, DeleteContainer, Multi,
        Reconfig, SetAcl, SetData,
    };
    let ops = [
        Create,
        Create2,
        CreateContainer,
        CreateTtl,
        Delete,
        DeleteContainer,
        Multi,
        Reconfig,
        SetAcl,
        SetData,
        CloseSession,
    ];
    ops.iter().any(|candidate| candidate.code() == op)
}
