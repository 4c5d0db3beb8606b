//! The language of the scripts: what a script is, its steps, and the builder that writes them down.
//!
//! A script is a value. Whoever plays it can look at all of it before the first byte is sent, which is how
//! [`crate::hazard`] keeps from a real leader what would hurt it. Steps name connections by number and hold no
//! ids, zxids or passwords of a run: where one is needed, the step says whose.

use bstr::{BStr, ByteSlice};
use outpost_wire::proto::{
    AuthPacket, CreateRequest, DeleteRequest, ExistsRequest, GetChildren2Request, GetDataRequest,
    SetAclRequest, SetDataRequest, SyncRequest,
};
use outpost_wire::{Acl, ErrorCode, OpCode, Record};

use crate::transcript::op_name;

/// A connection of a script.
pub(crate) type Connection = usize;

/// One scripted exchange.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    /// What would be false if it failed.
    pub(crate) name: &'static str,
    /// Its steps, below a znode of its own.
    pub(crate) write: fn(&mut Play),
    /// Who plays it, and what is expected.
    pub(crate) cast: Cast,
}

/// Who plays a script.
#[derive(Clone, Copy)]
pub(crate) enum Cast {
    /// Java and Outpost side by side, with equal answers.
    Both,
    /// The same, and nothing else meanwhile: the script looks at the root of the tree.
    BothAlone,
    /// Outpost alone, because the request would hurt the leader behind a Java observer. What it must answer,
    /// stands among the steps.
    Outpost,
}

impl Script {
    /// A script for both servers.
    pub(crate) const fn both(name: &'static str, write: fn(&mut Play)) -> Self {
        Self {
            name,
            write,
            cast: Cast::Both,
        }
    }

    /// A script for both servers, while no other is played.
    pub(crate) const fn alone(name: &'static str, write: fn(&mut Play)) -> Self {
        Self {
            name,
            write,
            cast: Cast::BothAlone,
        }
    }

    /// A script for Outpost alone.
    pub(crate) const fn outpost(name: &'static str, write: fn(&mut Play)) -> Self {
        Self {
            name,
            write,
            cast: Cast::Outpost,
        }
    }

    /// The steps, with every path below `root`.
    pub(crate) fn steps(&self, root: &str) -> Vec<Step> {
        let mut play = Play {
            root: root.to_owned(),
            steps: Vec::new(),
            xids: Vec::new(),
        };
        (self.write)(&mut play);
        play.steps
    }
}

/// Which server a connection goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The server under test.
    Here,
    /// The other observer: Outpost when Java is under test, and the other way round.
    There,
    /// A voter.
    Voter,
}

/// What a connect request says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hello {
    /// Wanted timeout, ms.
    pub(crate) timeout: i32,
    /// Which session.
    pub(crate) session: Whose,
    /// Which password.
    pub(crate) password: Password,
    /// The last zxid it claims to have seen.
    pub(crate) seen: Seen,
    /// The last byte, if there is one.
    pub(crate) read_only: Option<bool>,
    /// The first number.
    pub(crate) version: i32,
    /// Bytes in the frame behind the request.
    pub(crate) trailing: &'static [u8],
}

impl Hello {
    /// As a current client asks for a new session.
    pub(crate) const NEW: Hello = Hello {
        timeout: 30_000,
        session: Whose::Nobodys,
        password: Password::Zeros,
        seen: Seen::Nothing,
        read_only: Some(false),
        version: 0,
        trailing: b"",
    };

    /// As a current client comes back with the session of `connection`.
    pub(crate) const fn again(connection: Connection) -> Hello {
        Hello {
            session: Whose::Of(connection),
            password: Password::Of(connection),
            seen: Seen::By(connection),
            ..Hello::NEW
        }
    }
}

/// Which session a connect request names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose {
    /// None: a new one is wanted.
    Nobodys,
    /// The one of a connection of this script.
    Of(Connection),
    /// One that nobody has.
    Unknown(i64),
}

/// Which password a connect request carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Password {
    /// Sixteen zeros.
    Zeros,
    /// None at all.
    Null,
    /// No bytes.
    Empty,
    /// The one that a connection was given.
    Of(Connection),
    /// The same without its last byte.
    Short(Connection),
    /// The one that belongs to the session id.
    Computed(i64),
}

/// What a client claims to have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing.
    Nothing,
    /// What a connection has seen so far.
    By(Connection),
    /// Far more than there is.
    Future,
    /// A number below zero.
    Negative,
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Opens a TCP connection.
    Dial(Connection, At),
    /// Sends a connect request.
    Hello(Connection, Hello),
    /// Reads the answer to it.
    Welcome(Connection),
    /// Sends a request.
    Send(Connection, Request),
    /// Sends a `setWatches` or `setWatches2` with what a connection has seen in front.
    SetWatches(Connection, OpCode, Seen, Vec<u8>),
    /// Keeps back what is sent from now on.
    Hold(Connection),
    /// Sends what was kept back, in one piece: whoever closes the connection in the middle of it has read it all, so
    /// that the end is an ordinary one.
    Release(Connection),
    /// Sends bytes as they are.
    Raw(Connection, Vec<u8>),
    /// Reads until every request of the connection is answered.
    Replies(Connection),
    /// Notes that a request went out as raw bytes: its reply is awaited like others.
    Sent(Connection, Request),
    /// What the last lines of the transcript must be.
    Said(Vec<String>),
    /// Reads one frame, which should be a watch event.
    Event(Connection),
    /// Reads until the server ends the connection.
    End(Connection),
    /// Calls the second connection by the first one's number.
    Swap(Connection, Connection),
    /// Drops the connection without a word.
    Drop(Connection),
    /// Waits until a voter does not have the znode any more.
    Gone(String),
    /// Waits until every voter has applied what the connection has seen.
    Applied(Connection),
}

/// A request with a header.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its number.
    pub(crate) xid: i32,
    /// What it asks for.
    pub(crate) op: i32,
    /// Its record.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The frame without its length.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut bytes = self.xid.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.op.to_be_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        framed(&self.payload())
    }
}

/// Bytes with their length in front.
pub(crate) fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a script's frames are short");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// A script being written down.
pub(crate) struct Play {
    root: String,
    steps: Vec<Step>,
    xids: Vec<i32>,
}

impl Play {
    /// The path of a znode below the script's own; the own one for an empty name.
    pub(crate) fn at(&self, name: &str) -> String {
        if name.is_empty() {
            self.root.clone()
        } else {
            format!("{}/{name}", self.root)
        }
    }

    /// Adds a step.
    pub(crate) fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Opens a connection with a new session at the server under test.
    pub(crate) fn open(&mut self, c: Connection) {
        self.open_as(c, At::Here, Hello::NEW);
    }

    /// Opens a connection.
    pub(crate) fn open_as(&mut self, c: Connection, at: At, hello: Hello) {
        self.step(Step::Dial(c, at));
        self.step(Step::Hello(c, hello));
        self.step(Step::Welcome(c));
    }

    /// Sends a request and does not read.
    pub(crate) fn send<'r>(&mut self, c: Connection, op: OpCode, record: &impl Record<'r>) {
        self.send_body(c, op.code(), record.encode());
    }

    /// As [`Self::send`], of bytes and by number.
    pub(crate) fn send_body(&mut self, c: Connection, op: i32, body: impl Into<Vec<u8>>) {
        let xid = match op {
            11 => -2,
            100 => -4,
            101 | 105 => -8,
            _ => self.next_xid(c),
        };
        self.send_as(c, xid, op, body);
    }

    /// As [`Self::send_body`], with a number of one's own.
    pub(crate) fn send_as(&mut self, c: Connection, xid: i32, op: i32, body: impl Into<Vec<u8>>) {
        self.step(Step::Send(
            c,
            Request {
                xid,
                op,
                body: body.into(),
            },
        ));
    }

    /// Sends in one piece whatever `write` sends on connection `c`, and reads the replies behind it.
    pub(crate) fn together(&mut self, c: Connection, write: impl FnOnce(&mut Self)) {
        self.step(Step::Hold(c));
        let start = self.steps.len();
        write(self);
        let written = self.steps.split_off(start);
        let is_read = |step: &Step| matches!(step, Step::Replies(_));
        self.steps
            .extend(written.into_iter().filter(|step| !is_read(step)));
        self.step(Step::Release(c));
        self.replies(c);
    }

    /// The number of the next request.
    pub(crate) fn next_xid(&mut self, c: Connection) -> i32 {
        if self.xids.len() <= c {
            self.xids.resize(c + 1, 0);
        }
        self.xids[c] += 1;
        self.xids[c]
    }

    /// The number of the last request.
    pub(crate) fn last_xid(&self, c: Connection) -> i32 {
        self.xids.get(c).copied().unwrap_or_default()
    }

    /// Reads until everything is answered.
    pub(crate) fn replies(&mut self, c: Connection) {
        self.step(Step::Replies(c));
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask<'r>(&mut self, c: Connection, op: OpCode, record: &impl Record<'r>) {
        self.send(c, op, record);
        self.replies(c);
    }

    /// As [`Self::ask`], of bytes and by number.
    pub(crate) fn ask_body(&mut self, c: Connection, op: i32, body: impl Into<Vec<u8>>) {
        self.send_body(c, op, body);
        self.replies(c);
    }

    /// Shows that the connection lives, and what had come by then: a ping is answered behind everything before it.
    pub(crate) fn ping(&mut self, c: Connection) {
        self.ask_body(c, OpCode::Ping.code(), []);
    }

    /// Reads until the server ends the connection.
    pub(crate) fn end(&mut self, c: Connection) {
        self.step(Step::End(c));
    }

    /// Closes the session and sees the connection end.
    pub(crate) fn close(&mut self, c: Connection) {
        self.send_body(c, OpCode::CloseSession.code(), []);
        self.end(c);
    }

    /// Sends a request that must be refused here, in its turn, and reads the refusal.
    pub(crate) fn refused(
        &mut self,
        c: Connection,
        op: OpCode,
        body: impl Into<Vec<u8>>,
        code: ErrorCode,
    ) {
        self.ask_body(c, op.code(), body);
        let xid = self.xids[c];
        self.said(format!("{c}: {op:?} {xid}: z {code}"));
    }

    /// As [`Self::refused`], with the end of the connection behind the refusal.
    pub(crate) fn refused_for_good(&mut self, c: Connection, op: i32, body: impl Into<Vec<u8>>) {
        self.ask_body(c, op, body);
        let (xid, name) = (self.xids[c], op_name(op));
        self.said(format!("{c}: {name} {xid}: -1 UNIMPLEMENTED(-6)"));
        self.end(c);
        self.said(format!("{c}: closed by the server (EOF)"));
    }

    /// What the last line must be.
    pub(crate) fn said(&mut self, line: impl Into<String>) {
        self.step(Step::Said(vec![line.into()]));
    }

    /// What the last lines must be.
    pub(crate) fn said_all(&mut self, lines: &[&str]) {
        self.step(Step::Said(
            lines.iter().map(|line| (*line).to_owned()).collect(),
        ));
    }

    /// Waits until this server has what the others have.
    pub(crate) fn sync(&mut self, c: Connection) {
        let path = self.at("");
        self.ask(c, OpCode::Sync, &SyncRequest { path: bstr(&path) });
    }

    /// Creates a znode that everybody may do everything with.
    pub(crate) fn create(&mut self, c: Connection, path: &str, data: &[u8]) {
        self.create_as(c, OpCode::Create, path, Some(data), 0);
    }

    /// Creates a znode.
    pub(crate) fn create_as(
        &mut self,
        c: Connection,
        op: OpCode,
        path: &str,
        data: Option<&[u8]>,
        flags: i32,
    ) {
        let request = CreateRequest {
            path: bstr(path),
            data,
            acl: Some(Acl::open()),
            flags,
        };
        self.ask(c, op, &request);
    }

    /// Deletes a znode of any version.
    pub(crate) fn delete(&mut self, c: Connection, path: &str) {
        self.ask(
            c,
            OpCode::Delete,
            &DeleteRequest {
                path: bstr(path),
                version: -1,
            },
        );
    }

    /// Sets a znode's data, whatever its version.
    pub(crate) fn set_data(&mut self, c: Connection, path: &str, data: &[u8]) {
        let request = SetDataRequest {
            path: bstr(path),
            data: Some(data),
            version: -1,
        };
        self.ask(c, OpCode::SetData, &request);
    }

    /// Reads a znode.
    pub(crate) fn get_data(&mut self, c: Connection, path: &str, watch: bool) {
        self.ask(
            c,
            OpCode::GetData,
            &GetDataRequest {
                path: bstr(path),
                watch,
            },
        );
    }

    /// Asks for a znode's Stat.
    pub(crate) fn exists(&mut self, c: Connection, path: &str, watch: bool) {
        self.ask(
            c,
            OpCode::Exists,
            &ExistsRequest {
                path: bstr(path),
                watch,
            },
        );
    }

    /// Lists a znode's children.
    pub(crate) fn get_children(&mut self, c: Connection, path: &str, watch: bool) {
        self.ask(
            c,
            OpCode::GetChildren2,
            &GetChildren2Request {
                path: bstr(path),
                watch,
            },
        );
    }

    /// Replaces a znode's ACL and waits until the leader goes by the new one. It does so only once it has applied
    /// the change itself, later than it lets observers know: its records of outstanding changes keep the old ACL
    /// (`PrepRequestProcessor`).
    pub(crate) fn protect(&mut self, c: Connection, path: &str, acl: &[Acl]) {
        let request = SetAclRequest {
            path: bstr(path),
            acl: Some(acl.to_vec()),
            version: -1,
        };
        self.ask(c, OpCode::SetAcl, &request);
        self.step(Step::Applied(c));
    }

    /// Adds an identity.
    pub(crate) fn auth(&mut self, c: Connection, scheme: &str, auth: &[u8]) {
        let packet = AuthPacket {
            kind: 0,
            scheme: bstr(scheme),
            auth: Some(auth),
        };
        self.ask(c, OpCode::Auth, &packet);
    }
}

/// Text as a path or name.
pub(crate) fn bstr(text: &str) -> &BStr {
    text.as_bytes().as_bstr()
}
