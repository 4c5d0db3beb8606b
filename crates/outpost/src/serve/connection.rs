//! One client's connection, from accept to close.
//!
//! The task reads what is there, serves it in *turns* and writes once. A turn is plain code without an
//! await: it locks the tree for reading, then what it shares with the apply thread, and handles every
//! complete frame in the read buffer, up to a limit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use outpost_forward::{Attachment, Pending, Permit, Request, View};
use outpost_wire::proto::{AuthPacket, RequestHeader};
use outpost_wire::{ErrorCode, OpCode, Reader, Record, Xid, Zxid, frame};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

use crate::limits::{FIRST_READ_BYTES, OUTBOX_BYTES_PAUSE, READ_BYTES, REQUESTS_PER_TURN};
use crate::serve::auth::AuthFailed;
use crate::serve::client::{Client, ClientState, Phase};
use crate::serve::four_letter;
use crate::serve::handshake;
use crate::serve::outstanding::{LargeTicket, TooLarge};
use crate::serve::pipeline::{Forwarded, Local};
use crate::serve::read::{Reading, is_read, sync_path};
use crate::serve::reply;
use crate::serve::service::Service;
use crate::serve::validate::{Checked, Gate, Refusal};
use crate::stats::WorkerStats;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// All that was to be said is said.
    #[error("done")]
    Done,
    /// The client went away.
    #[error("the client closed the connection")]
    Closed,
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// What came is no request.
    #[error("{0} cannot be decoded")]
    Malformed(&'static str),
    /// The frame is longer than allowed, or its length negative.
    #[error("a frame of {0} bytes, more than jute.maxbuffer allows")]
    FrameLength(i64),
    /// Too much is in work already for a request this large.
    #[error("large requests in work have too many bytes already")]
    TooLarge,
    /// Too many sessions are asked for in too short a time.
    #[error("too many connect requests")]
    Throttled,
    /// The client looks for another ensemble. It is told nothing: an error would be final for it.
    #[error("the client means another ensemble")]
    OtherEnsemble,
    /// Nothing came for too long.
    #[error("silent for {} ms", .0.as_millis())]
    Silent(Duration),
    /// The client has seen more than this mirror; it must ask another server.
    #[error("the client has seen zxid {0}, which is ahead of this mirror")]
    ClientAhead(Zxid),
    /// The mirror is not attached.
    #[error("not serving: no link to the ensemble")]
    NotServing,
    /// Somebody else ended it.
    #[error("cut off")]
    Cut,
}

/// One client's connection.
pub struct Connection {
    stream: TcpStream,
    client: Arc<Client>,
    service: Arc<Service>,
    worker: Arc<WorkerStats>,
    input: BytesMut,
    /// Taken out of the outbox, being written.
    unsent: Vec<u8>,
    sent: usize,
    heard: Instant,
    /// The first four bytes have been looked at.
    recognized: bool,
}

/// What to do after a turn.
#[derive(Debug, Default)]
struct Turn {
    /// Frames are left that could be served now.
    more: bool,
    /// The next frame waits for room in the link's queue.
    wants_link: bool,
    /// Further input may be read.
    reads: bool,
    /// The connection ends when everything is written.
    ends: bool,
}

/// What handling one frame came to.
enum Handled {
    Done,
    /// The frame stays in the buffer until there is room in the link's queue.
    NoRoom,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(
        stream: TcpStream,
        client: Arc<Client>,
        service: Arc<Service>,
        worker: Arc<WorkerStats>,
    ) -> Connection {
        Connection {
            stream,
            client,
            service,
            worker,
            input: BytesMut::new(),
            unsent: Vec::new(),
            sent: 0,
            heard: Instant::now(),
            recognized: false,
        }
    }

    /// Serves the client until the connection ends, then frees everything held for it.
    pub async fn run(mut self) {
        let ended = match self.serve().await {
            Ok(()) => Ended::Done,
            Err(ended) => ended,
        };
        self.bury(&ended);
    }

    async fn serve(&mut self) -> Result<(), Ended> {
        let alarm = sleep_until(self.silence_ends().into());
        tokio::pin!(alarm);
        loop {
            if !self.recognized && self.input.len() >= 4 {
                self.recognized = true;
                if let Some(word) = four_letter::recognize(&self.input) {
                    return self.answer_word(word).await;
                }
            }
            let turn = self.turn()?;
            self.write_some()?;
            if turn.ends && self.unsent.is_empty() {
                return Ok(());
            }
            if turn.more && self.unsent.is_empty() {
                tokio::task::yield_now().await;
                continue;
            }
            // A session's timeout can be shorter than the time a connection has to get one.
            let silence_ends = self.silence_ends().into();
            if silence_ends < alarm.deadline() {
                alarm.as_mut().reset(silence_ends);
            }
            self.wait(&turn, alarm.as_mut()).await?;
        }
    }

    /// Waits until there is something to do.
    async fn wait(
        &mut self,
        turn: &Turn,
        mut alarm: std::pin::Pin<&mut Sleep>,
    ) -> Result<(), Ended> {
        let reads = turn.reads && self.unsent.is_empty();
        let (mut reader, writer) = self.stream.split();
        tokio::select! {
            biased;
            () = self.client.woken() => {}
            read = read_some(&mut reader, &mut self.input), if reads => {
                let read = read?;
                self.worker.bytes_received.fetch_add(read as u64, Ordering::Relaxed);
                self.heard = Instant::now();
            }
            writable = writer.writable(), if !self.unsent.is_empty() => writable?,
            permit = self.service.link.reserve(), if turn.wants_link => {
                if permit.is_none() {
                    return Err(Ended::NotServing);
                }
            }
            () = &mut alarm => {
                let ends = self.silence_ends();
                if ends <= Instant::now() {
                    return Err(self.silent());
                }
                alarm.reset(ends.into());
            }
        }
        Ok(())
    }

    /// Serves what is in the read buffer and takes what is in the outbox.
    fn turn(&mut self) -> Result<Turn, Ended> {
        if self.client.is_cut() {
            return Err(Ended::Cut);
        }
        let began = Instant::now();
        let mut turn = Turn::default();
        let mut frames = Frames::default();
        {
            let guard = self.service.mirror.read();
            let view = View {
                tree: &guard,
                watches: guard.watches(),
            };
            let mut state = self.client.state();
            let served = Served {
                service: &self.service,
                client: &self.client,
                view,
                began,
            };
            while state.phase == Phase::Open
                && self
                    .service
                    .clients
                    .serve_next(&self.client, &mut state, view)
            {}
            served.frames(&self.input, &mut state, &mut turn, &mut frames)?;
            turn.ends = state.phase == Phase::Ending || self.drained(&state, &turn);
            turn.reads = !turn.ends
                && !turn.more
                && !turn.wants_link
                && !self.client.is_draining()
                && served.takes_requests(&state);
            if self.unsent.is_empty() && !state.out.is_empty() {
                std::mem::swap(&mut self.unsent, &mut state.out);
            }
            frames.note(&mut state, began, served.view.tree.last_zxid());
        }
        self.input.advance(frames.bytes);
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.worker
            .note_turn(frames.received, frames.sent, frames.reads, ms);
        Ok(turn)
    }

    /// Whether a connection that is to drain has answered everything it has received.
    fn drained(&self, state: &ClientState, turn: &Turn) -> bool {
        self.client.is_draining()
            && state.pipeline.is_empty()
            && !matches!(state.phase, Phase::Waiting { .. })
            && !turn.more
            && !turn.wants_link
    }

    /// Writes as much as the socket takes now.
    fn write_some(&mut self) -> Result<(), Ended> {
        while self.sent < self.unsent.len() {
            match self.stream.try_write(&self.unsent[self.sent..]) {
                Ok(written) => {
                    self.sent += written;
                    self.worker
                        .bytes_sent
                        .fetch_add(written as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.sent = 0;
        if self.unsent.capacity() > READ_BYTES {
            self.unsent = Vec::new();
        }
        self.unsent.clear();
        Ok(())
    }

    async fn answer_word(&mut self, word: four_letter::Word) -> Result<(), Ended> {
        let (stream, input) = (&mut self.stream, &self.input);
        let (service, client) = (&self.service, &self.client);
        four_letter::serve(service, client, &self.worker, word, stream, input).await
    }

    /// When the connection counts as dead unless something comes. ZooKeeper counts output as a sign
    /// of life too; here only the client's own word counts, as for the leader.
    fn silence_ends(&self) -> Instant {
        self.heard + self.patience()
    }

    fn patience(&self) -> Duration {
        match self.client.timeout_ms() {
            0 => self.service.settings.sessionless_timeout,
            ms => Duration::from_millis(u64::try_from(ms).unwrap_or(0)),
        }
    }

    fn silent(&self) -> Ended {
        let stats = &self.service.stats;
        let counter = match self.client.timeout_ms() {
            0 => &stats.sessionless_expired,
            _ => &stats.stale_expired,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ended::Silent(self.patience())
    }

    /// Frees everything held for the connection. Its session stays, for the client to take elsewhere.
    fn bury(&self, ended: &Ended) {
        let stats = &self.service.stats;
        if matches!(ended, Ended::Closed | Ended::Io(_)) {
            stats.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(ended, Ended::Malformed(_) | Ended::FrameLength(_)) {
            stats.malformed.fetch_add(1, Ordering::Relaxed);
        }
        match ended {
            Ended::TooLarge => _ = stats.large_rejected.fetch_add(1, Ordering::Relaxed),
            Ended::Throttled => _ = stats.rejected.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
        let (session, peer) = (self.client.session(), self.client.peer);
        tracing::debug!(%session, %peer, why = %ended, "connection ended");
        self.service.clients.forget(&self.client);
        self.client.state().pipeline.clear();
        // Under the tree's guard, so that no watch of this turn is left behind it.
        let guard = self.service.mirror.read();
        guard.watches().remove_watcher(self.client.watcher());
    }
}

/// What a turn has done.
#[derive(Debug, Default)]
struct Frames {
    bytes: usize,
    received: u64,
    sent: u64,
    reads: u64,
    last: Option<RequestHeader>,
}

impl Frames {
    fn note(&self, state: &mut ClientState, began: Instant, zxid: Zxid) {
        let figures = &mut state.figures;
        figures.received += self.received;
        figures.sent += self.sent;
        if self.reads > 0 {
            figures.latency.note(0, self.reads);
            figures.last_zxid = zxid;
            figures.last_response = Some(began);
        }
        if let Some(header) = self.last {
            figures.last_op = header.op_code();
            if header.xid.0 > 0 {
                figures.last_cxid = Some(header.xid);
            }
        }
    }
}

impl From<TooLarge> for Ended {
    fn from(_: TooLarge) -> Ended {
        Ended::TooLarge
    }
}

/// How long a frame says it is of which only the beginning has come.
fn announced(beginning: &[u8]) -> usize {
    let length = beginning.first_chunk().copied().map(u32::from_be_bytes);
    length.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

/// What handling a frame needs, during one turn.
struct Served<'a> {
    service: &'a Service,
    client: &'a Arc<Client>,
    view: View<'a>,
    began: Instant,
}

impl Served<'_> {
    /// Whether a further request may be handled. If not, the connection is woken when that has changed: by
    /// its client's reading, or by the answer to a request of its own.
    fn takes_requests(&self, state: &ClientState) -> bool {
        matches!(state.phase, Phase::Connecting | Phase::Open)
            && !state.pipeline.is_full()
            && state.out.len() < OUTBOX_BYTES_PAUSE
            && self.service.outstanding.lets_read(state.pipeline.len())
    }

    /// Handles the complete frames at the front of `input`, up to a limit.
    fn frames(
        &self,
        input: &[u8],
        state: &mut ClientState,
        turn: &mut Turn,
        frames: &mut Frames,
    ) -> Result<(), Ended> {
        let limit = self.service.settings.frame_bytes_max;
        while self.takes_requests(state) {
            let rest = &input[frames.bytes..];
            let frame = match frame::split(rest, limit) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(self.service.outstanding.expect(announced(rest))?),
                Err(outpost_wire::DecodeError::Length { length, .. }) => {
                    return Err(Ended::FrameLength(length));
                }
                Err(_) => return Err(Ended::Malformed("the frame")),
            };
            if frames.received as usize == REQUESTS_PER_TURN {
                turn.more = true;
                return Ok(());
            }
            match self.frame(frame, state, frames)? {
                Handled::Done => {
                    frames.bytes += 4 + frame.len();
                    frames.received += 1;
                }
                Handled::NoRoom => {
                    turn.wants_link = true;
                    return Ok(());
                }
            }
        }
        // Paused with requests left: they are looked at again when the client has read.
        turn.more = state.phase == Phase::Open && state.out.len() >= OUTBOX_BYTES_PAUSE;
        Ok(())
    }

    fn frame(
        &self,
        frame: &[u8],
        state: &mut ClientState,
        frames: &mut Frames,
    ) -> Result<Handled, Ended> {
        if state.phase == Phase::Connecting {
            let Some(permit) = self.service.link.try_reserve() else {
                return Ok(Handled::NoRoom);
            };
            handshake::connect(self.service, self.client, state, self.view, frame, permit)?;
            return Ok(Handled::Done);
        }
        let mut reader = Reader::new(frame);
        let header = RequestHeader::read(&mut reader)
            .map_err(|_| Ended::Malformed("the header of a request"))?;
        let large = self.service.outstanding.take_on(frame.len())?;
        self.client.touch();
        let handled = self.request(header, reader.rest(), state, frames, large)?;
        if let Handled::Done = handled {
            frames.last = Some(header);
        }
        Ok(handled)
    }

    fn request(
        &self,
        header: RequestHeader,
        body: &[u8],
        state: &mut ClientState,
        frames: &mut Frames,
        large: LargeTicket,
    ) -> Result<Handled, Ended> {
        let op = header.op_code();
        match op {
            Some(OpCode::Auth) => return self.authenticate(header.xid, body, state, frames),
            Some(OpCode::Sasl) => {
                frames.sent += 1;
                no_sasl(header.xid, state);
                return Ok(Handled::Done);
            }
            _ => {}
        }
        if !self.service.settings.auth.admits(&state.ids) {
            let error = ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH;
            reply::write_error(&mut state.out, header.xid, Zxid::ZERO, error);
            state.phase = Phase::Ending;
            return Ok(Handled::Done);
        }
        match op {
            Some(op) if is_read(op) => {
                self.read(header, op, body, state, frames, large);
                Ok(Handled::Done)
            }
            Some(OpCode::CloseSession) if self.client.is_local() => {
                self.in_order(Local::CloseLocalSession { xid: header.xid }, state, large);
                Ok(Handled::Done)
            }
            _ => self.write(header, body, state, large),
        }
    }

    /// The hot path: nothing of this session is ahead, so the answer goes straight into the outbox.
    fn read(
        &self,
        header: RequestHeader,
        op: OpCode,
        body: &[u8],
        state: &mut ClientState,
        frames: &mut Frames,
        large: LargeTicket,
    ) {
        if !state.pipeline.is_empty() {
            let (body, ids) = (Box::from(body), Arc::clone(&state.ids));
            let ticket = self.service.outstanding.count(large);
            state
                .pipeline
                .wait(Local::Serve { header, body, ids }, ticket);
            return;
        }
        let ids = Arc::clone(&state.ids);
        let reading = Reading {
            view: self.view,
            ids: &ids,
            watcher: self.client.watcher(),
            session: self.client.session(),
            rules: self.service.clients.rules(),
        };
        reading.answer(op, header.xid, body, &mut state.out);
        frames.reads += 1;
        frames.sent += 1;
    }

    /// Puts a request that is answered here into the line, and answers it at once if the line is empty.
    fn in_order(&self, local: Local, state: &mut ClientState, large: LargeTicket) {
        let at_once = state.pipeline.is_empty();
        let ticket = self.service.outstanding.count(large);
        state.pipeline.wait(local, ticket);
        if at_once {
            self.service
                .clients
                .serve_next(self.client, state, self.view);
        }
    }

    fn write(
        &self,
        header: RequestHeader,
        body: &[u8],
        state: &mut ClientState,
        large: LargeTicket,
    ) -> Result<Handled, Ended> {
        let xid = header.xid;
        let Some(attachment) = self.service.clients.serving() else {
            return Err(Ended::NotServing);
        };
        // One for the request, one in case a local session must become a global one before it.
        let (Some(permit), Some(upgrade_permit)) = (
            self.service.link.try_reserve(),
            self.service.link.try_reserve(),
        ) else {
            return Ok(Handled::NoRoom);
        };
        let checked = match self.check(header.op, body, state) {
            Ok(checked) => checked,
            Err(refusal) => {
                self.service.stats.refused.fetch_add(1, Ordering::Relaxed);
                let (session, op, why) = (self.client.session(), header.op, refusal.why);
                tracing::debug!(%session, op, why, "request refused here, not forwarded");
                let Refusal {
                    code: error,
                    closes: close,
                    ..
                } = refusal;
                self.in_order(Local::Refuse { xid, error, close }, state, large);
                return Ok(Handled::Done);
            }
        };
        let mut error_instead = None;
        if self.client.is_local() && checked.creates_ephemeral {
            if self.service.local_sessions.rules.upgrading {
                self.upgrade(attachment, upgrade_permit);
            } else {
                error_instead = Some(ErrorCode::EPHEMERAL_ON_LOCAL_SESSION);
            }
        }
        let path = match checked.op {
            OpCode::Sync => sync_path(body)
                .ok()
                .flatten()
                .map(|path| Box::from(path.as_ref())),
            _ => None,
        };
        let body = Bytes::copy_from_slice(&body[..checked.body_bytes]);
        let ephemeral_bytes = checked.ephemeral_bytes;
        let since = self.began;
        // Noted before it is sent: the answer may come before the next instruction is executed.
        let request = Forwarded {
            xid,
            op: checked.op,
            path,
            error_instead,
            ephemeral_bytes,
            since,
        };
        let ticket = self.service.outstanding.count(large);
        state.pipeline.forward(request, ticket);
        permit.submit(Request::Forward {
            attachment,
            pending: Pending {
                origin: self.client.origin,
                session: self.client.session(),
                cxid: xid,
                op: checked.op,
            },
            body,
            authinfo: Some(Arc::clone(&state.ids)),
        });
        Ok(Handled::Done)
    }

    /// Makes a local session known to the whole ensemble, ahead of the request that needs it.
    fn upgrade(&self, attachment: Attachment, permit: Permit<'_>) {
        self.service.local_sessions.close(self.client.session());
        self.client.make_global();
        permit.submit(handshake::create_session(self.client, attachment));
    }

    /// Whether the request may be forwarded (P9).
    fn check(&self, op: i32, body: &[u8], state: &mut ClientState) -> Result<Checked, Refusal> {
        let (tree, rules) = (self.view.tree, self.service.clients.rules());
        let session = self.client.session();
        let gate = Gate {
            leader_before_3_5: self.service.link.leader_is_before_3_5(),
            ..self.service.gate
        };
        let checked = gate.check(op, body, &state.ids, tree, session, rules)?;
        let (bytes, max) = (checked.ephemeral_bytes, gate.ephemeral_bytes_max());
        if state.ephemerals.admit(bytes, max, session, tree) {
            Ok(checked)
        } else {
            Err(Refusal {
                code: ErrorCode::BAD_ARGUMENTS,
                closes: false,
                why: "the session has more ephemerals than one transaction can close",
            })
        }
    }

    /// Answered at once, ahead of whatever waits; requests received from now on carry the new ids.
    fn authenticate(
        &self,
        xid: Xid,
        body: &[u8],
        state: &mut ClientState,
        frames: &mut Frames,
    ) -> Result<Handled, Ended> {
        let packet = AuthPacket::read(&mut Reader::new(body))
            .map_err(|_| Ended::Malformed("an auth packet"))?;
        frames.sent += 1;
        let address = self.client.peer.ip();
        match self
            .service
            .settings
            .auth
            .authenticate(&state.ids, address, &packet)
        {
            Ok(ids) => {
                state.ids = ids;
                reply::write_error(&mut state.out, xid, Zxid::ZERO, ErrorCode::OK);
            }
            Err(failed) => {
                let stats = &self.service.stats;
                stats.auth_failed.fetch_add(1, Ordering::Relaxed);
                if failed == AuthFailed::OtherEnsemble {
                    return Err(Ended::OtherEnsemble);
                }
                reply::write_error(&mut state.out, xid, Zxid::ZERO, ErrorCode::AUTH_FAILED);
                state.phase = Phase::Ending;
            }
        }
        Ok(Handled::Done)
    }
}

/// As a Java server without a JAAS section for servers answers: with no token.
fn no_sasl(xid: Xid, state: &mut ClientState) {
    reply::write(&mut state.out, xid, Zxid::ZERO, |writer| {
        writer.buffer(None);
        Ok(())
    });
}

/// Reads what is there, at least one byte.
async fn read_some(
    reader: &mut tokio::net::tcp::ReadHalf<'_>,
    input: &mut BytesMut,
) -> Result<usize, Ended> {
    if input.capacity() - input.len() < FIRST_READ_BYTES {
        // A client that filled the buffer gets a larger one; an idle one keeps little.
        input.reserve(if input.is_empty() {
            FIRST_READ_BYTES
        } else {
            READ_BYTES
        });
    }
    match reader.read_buf(input).await? {
        0 => Err(Ended::Closed),
        read => Ok(read),
    }
}
