//! One turn of a connection: every complete frame in its read buffer, handled under one guard of the tree.
//!
//! Plain code without an await. What the answers come to stands in the outbox afterwards; who writes it
//! to the socket, and when the next turn is, is [`connection`](crate::serve::connection)'s.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outpost_forward::{Attachment, Forward, Pending, Permit, Request, View, clock};
use outpost_wire::proto::{AuthPacket, GetSaslRequest, RequestHeader};
use outpost_wire::{DecodeError, ErrorCode, Id, OpCode, Reader, Record, Xid, Zxid, frame};

use crate::audit::{Asked, Who};
use crate::limits::{ANSWER_BYTES_PER_TURN, OUTBOX_BYTES_PAUSE, REQUESTS_PER_TURN};
use crate::reached::Limit;
use crate::serve::auth::AuthFailed;
use crate::serve::client::{Client, ClientState, Phase};
use crate::serve::connection::Ended;
use crate::serve::handshake;
use crate::serve::outstanding::{LargeTicket, Ticket, TooLarge};
use crate::serve::pipeline::{Forwarded, Local};
use crate::serve::read::{Reading, TooManyWatches, is_read, sync_path};
use crate::serve::read_only;
use crate::serve::reply;
use crate::serve::request_throttle::{Asking, Entry};
use crate::serve::sasl::{Answer, Failure};
use crate::serve::service::Service;
use crate::serve::validate::{Checked, Gate, Refusal};
use crate::sizes::Answered;
use crate::stats::WorkerStats;

/// What a turn has used up, and what to do after it.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Bytes of input that were handled.
    pub(crate) consumed: usize,
    /// Frames are left that could be served now.
    pub(crate) more: bool,
    /// The next frame waits for room in the link's queue.
    pub(crate) wants_link: bool,
    /// The next frame waits until fewer requests are in work.
    pub(crate) wants_place: bool,
    /// Further input may be read.
    pub(crate) reads: bool,
    /// The connection ends when everything is written.
    pub(crate) ends: bool,
}

/// What handling one frame came to.
enum Handled {
    Done,
    /// The frame stays in the buffer until there is room in the link's queue.
    NoRoom,
    /// The same until the throttle has a place for it.
    NoPlace,
}

/// Handles what is in `input`, and moves what is in the outbox to `unsent` if that is empty.
///
/// # Errors
/// When the connection must end at once.
pub(crate) fn take(
    service: &Service,
    client: &Arc<Client>,
    worker: &WorkerStats,
    input: &[u8],
    unsent: &mut Vec<u8>,
) -> Result<Turn, Ended> {
    let began = clock::now();
    let mut turn = Turn::default();
    let mut done = Done::default();
    let unread = {
        let guard = service.mirror.read();
        // Under the guard: whoever is cut before another tree takes the place of this one never sees the other, and
        // the guard may have been waited for.
        may_be_served(service, client)?;
        let view = View {
            tree: &guard,
            watches: guard.watches(),
        };
        let mut state = client.state();
        let served = Served {
            service,
            client,
            worker,
            view,
            began,
            unsent: unsent.len(),
        };
        client.note_unsent(unsent.len());
        // What waited behind a write whose answer has come in the meantime.
        while state.phase == Phase::Open
            && served.may_answer(&state)
            && service.clients.serve_next(client, &mut state, view)
        {}
        served.frames(input, &mut state, &mut turn, &mut done)?;
        turn.ends = state.phase == Phase::Ending || served.drained(&state, &turn);
        turn.reads = !turn.ends
            && !turn.more
            && !turn.wants_link
            && !turn.wants_place
            && !client.is_draining()
            && served.takes_requests(&state);
        served.note_waiting(&mut state);
        if unsent.is_empty() && !state.out.is_empty() {
            std::mem::swap(unsent, &mut state.out);
            client.note_unsent(unsent.len());
            state.figures.bytes_sent += unsent.len() as u64;
        }
        done.note(&mut state, began, view.tree.last_zxid());
        unsent.len() + state.out.len()
    };
    service.clients.note_unread(client, unread);
    turn.consumed = done.bytes;
    let ms = u64::try_from(clock::now().saturating_duration_since(began).as_millis())
        .unwrap_or(u64::MAX);
    worker.note_turn(done.received, done.sent, done.reads, ms);
    worker.sizes.note(done.sizes, service.stats.started, began);
    Ok(turn)
}

fn may_be_served(service: &Service, client: &Client) -> Result<(), Ended> {
    let now = clock::now();
    if client.is_cut() {
        return Err(Ended::Cut);
    }
    if client.lease_ends().is_some_and(|ends| ends <= now) {
        return Err(Ended::LeaseOver);
    }
    if service.clients.is_hold_over(now) {
        return Err(Ended::HoldOver);
    }
    Ok(())
}

/// What was done in a turn.
#[derive(Debug, Default)]
struct Done {
    /// Bytes of input used up.
    bytes: usize,
    received: u64,
    sent: u64,
    reads: u64,
    sizes: Answered,
    last: Option<RequestHeader>,
}

impl Done {
    fn note(&self, state: &mut ClientState, began: Instant, zxid: Zxid) {
        let figures = &mut state.figures;
        figures.received += self.received;
        figures.bytes_received += self.bytes as u64;
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

/// How many requests have come whole.
pub(crate) fn complete_frames(service: &Service, mut input: &[u8]) -> u64 {
    let mut count = 0;
    while let Ok(Some(frame)) = frame::split(input, service.settings.frame_bytes_max) {
        input = &input[4 + frame.len()..];
        count += 1;
    }
    count
}

/// What handling a frame needs, during one turn.
struct Served<'a> {
    service: &'a Service,
    client: &'a Arc<Client>,
    worker: &'a WorkerStats,
    view: View<'a>,
    began: Instant,
    /// Bytes on their way into the socket when the turn began.
    unsent: usize,
}

impl Served<'_> {
    /// Whether the client has taken enough of what it was sent to be sent more.
    fn may_answer(&self, state: &ClientState) -> bool {
        self.unsent + state.out.len() < OUTBOX_BYTES_PAUSE
    }

    /// Whether a connection that is to drain has answered everything it has received.
    fn drained(&self, state: &ClientState, turn: &Turn) -> bool {
        self.client.is_draining()
            && state.pipeline.is_empty()
            && !matches!(state.phase, Phase::Waiting { .. })
            && !turn.more
            && !turn.wants_link
            && !turn.wants_place
    }

    /// Whether a further request may be handled. If not, the connection is woken when that has changed: by
    /// its client's reading, or by the answer to a request of its own.
    fn takes_requests(&self, state: &ClientState) -> bool {
        matches!(state.phase, Phase::Connecting | Phase::Open)
            && !state.pipeline.is_full()
            && self.may_answer(state)
            && self.service.outstanding.lets_read(state.pipeline.len())
    }

    /// Counts it when the client begins to wait for what all clients have in work.
    fn note_waiting(&self, state: &mut ClientState) {
        let waits = !self.service.outstanding.lets_read(state.pipeline.len());
        if waits && !state.waits {
            let reached = &self.service.stats.reached;
            reached.note(Limit::Outstanding, self.client.peer);
        }
        state.waits = waits;
    }

    /// Handles the complete frames at the front of `input`, up to a limit.
    fn frames(
        &self,
        input: &[u8],
        state: &mut ClientState,
        turn: &mut Turn,
        done: &mut Done,
    ) -> Result<(), Ended> {
        let limit = self.service.settings.frame_bytes_max;
        while self.takes_requests(state) {
            let rest = &input[done.bytes..];
            let frame = match frame::split(rest, limit) {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    state.throttle.note_idle();
                    return Ok(self.service.outstanding.expect(announced(rest))?);
                }
                Err(DecodeError::Length { length, .. }) => {
                    return Err(Ended::FrameLength(length));
                }
                Err(_) => return Err(Ended::Malformed("the frame")),
            };
            if done.received as usize == REQUESTS_PER_TURN
                || state.out.len() >= ANSWER_BYTES_PER_TURN
            {
                turn.more = true;
                return Ok(());
            }
            match self.frame(frame, rest, state, done)? {
                Handled::Done => {
                    let length = 4 + frame.len();
                    done.bytes += length;
                    done.received += 1;
                    let left = rest.len() - length;
                    state.throttle.note_input(length, left, self.client.heard());
                }
                Handled::NoRoom => {
                    turn.wants_link = true;
                    return Ok(());
                }
                Handled::NoPlace => {
                    turn.wants_place = true;
                    return Ok(());
                }
            }
        }
        // Nobody else is to wait for a client that does not read.
        state.throttle.give_up();
        // Paused with requests left: they are looked at again when the client has read.
        turn.more = state.phase == Phase::Open && !self.may_answer(state);
        Ok(())
    }

    /// Handles one frame, which stands at the front of `input`.
    fn frame(
        &self,
        frame: &[u8],
        input: &[u8],
        state: &mut ClientState,
        done: &mut Done,
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
        self.client.touch();
        match self.enter(header, state, input.len())? {
            Entry::Enters => {}
            Entry::Waits | Entry::BeginsToWait | Entry::Stale => return Ok(Handled::NoPlace),
            Entry::Refused => {
                let large = self.service.outstanding.take_on(frame.len())?;
                let (xid, error) = (header.xid, ErrorCode::THROTTLED_OP);
                let close = false;
                self.in_order(Local::Refuse { xid, error, close }, state, large);
                done.last = Some(header);
                return Ok(Handled::Done);
            }
        }
        let large = self.service.outstanding.take_on(frame.len())?;
        let handled = self.request(header, reader.rest(), state, done, large)?;
        if let Handled::Done = handled {
            done.last = Some(header);
        }
        Ok(handled)
    }

    /// Finds a request the place that it needs where requests are throttled.
    fn enter(
        &self,
        header: RequestHeader,
        state: &mut ClientState,
        bytes: usize,
    ) -> Result<Entry, Ended> {
        let Some(throttle) = &self.service.throttle else {
            return Ok(Entry::Enters);
        };
        let op = header.op_code();
        let is_free = match op {
            Some(OpCode::Ping | OpCode::Auth | OpCode::Sasl) => true,
            Some(op) => is_read(op) && state.pipeline.is_empty(),
            None => false,
        };
        if is_free {
            state.throttle.give_up();
            return Ok(Entry::Enters);
        }
        let timeout_ms = u64::try_from(self.client.timeout_ms()).unwrap_or(0);
        let asking = Asking {
            session_timeout: Duration::from_millis(timeout_ms),
            may_be_refused: op != Some(OpCode::CloseSession),
            bytes,
        };
        let stats = &self.service.stats;
        let entry = state
            .throttle
            .enter(throttle, &stats.throttle, asking, self.began);
        match entry {
            Entry::BeginsToWait => stats.reached.note(Limit::RequestThrottle, self.client.peer),
            Entry::Stale => return Err(Ended::Stale),
            _ => {}
        }
        Ok(entry)
    }

    fn request(
        &self,
        header: RequestHeader,
        body: &[u8],
        state: &mut ClientState,
        done: &mut Done,
        large: LargeTicket,
    ) -> Result<Handled, Ended> {
        let op = header.op_code();
        match op {
            Some(OpCode::Auth) => return self.authenticate(header.xid, body, state, done),
            Some(OpCode::Sasl) => return self.log_in(header.xid, body, state, done),
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
                self.read(header, op, body, state, done, large);
                Ok(Handled::Done)
            }
            Some(OpCode::CloseSession) if self.client.is_local() => {
                self.in_order(Local::CloseLocalSession { xid: header.xid }, state, large);
                Ok(Handled::Done)
            }
            _ if self.client.is_read_only() => {
                self.in_order(refused_read_only(header), state, large);
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
        done: &mut Done,
        large: LargeTicket,
    ) {
        if !state.pipeline.is_empty() && !self.is_sign_of_life(op) {
            let (body, ids) = (Box::from(body), Arc::clone(&state.ids));
            let ticket = self.count(state, large);
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
            namespaces: &self.worker.namespaces,
            limits: self.service.clients.read_limits(),
            reached: &self.service.stats.reached,
            peer: self.client.peer,
        };
        let before = state.out.len();
        if let Err(TooManyWatches) = reading.answer(op, header.xid, body, &mut state.out) {
            state.phase = Phase::Ending;
            return;
        }
        done.sizes.note(state.out.len() - before);
        done.reads += 1;
        done.sent += 1;
    }

    /// Whether a request is a PING while writes wait for the link. Its answer has no place in the order of answers,
    /// and a client that does not get it takes this server for dead.
    fn is_sign_of_life(&self, op: OpCode) -> bool {
        op == OpCode::Ping && self.service.clients.are_held()
    }

    /// Counts a request that is in work from now on.
    fn count(&self, state: &mut ClientState, large: LargeTicket) -> Ticket {
        let place = state.throttle.take();
        self.service.outstanding.count(large, place)
    }

    /// Puts a request that is answered here into the line, and answers it at once if the line is empty.
    fn in_order(&self, local: Local, state: &mut ClientState, large: LargeTicket) {
        let at_once = state.pipeline.is_empty();
        let ticket = self.count(state, large);
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
                self.audit_refusal(header.op_code(), body, state);
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
        let ticket = self.count(state, large);
        state.pipeline.forward(request, ticket);
        let pending = Pending {
            origin: self.client.origin,
            session: self.client.session(),
            cxid: xid,
            op: checked.op,
        };
        if let Some(audit) = &self.service.audit
            && let Some(asked) = Asked::read(checked.op, &body)
        {
            audit.forwards(&pending, attachment, self.who(state), asked);
        }
        permit.submit(Request::Forward(Forward {
            attachment,
            pending,
            body: body.into(),
            authinfo: Some(Arc::clone(&state.ids)),
            timeout_ms: self.client.timeout_ms(),
        }));
        Ok(Handled::Done)
    }

    fn audit_refusal(&self, op: Option<OpCode>, body: &[u8], state: &ClientState) {
        if let Some(audit) = &self.service.audit
            && let Some(asked) = op.and_then(|op| Asked::read(op, body))
        {
            audit.refused(self.who(state), asked);
        }
    }

    fn who(&self, state: &ClientState) -> Who {
        Who {
            session: self.client.session(),
            ids: Arc::clone(&state.ids),
            address: self.client.peer.ip(),
        }
    }

    /// Makes a local session known to the whole ensemble, ahead of the request that needs it.
    fn upgrade(&self, attachment: Attachment, permit: Permit<'_>) {
        self.service.local_sessions.close(self.client.session());
        self.client.note_asked(self.began);
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
        done: &mut Done,
    ) -> Result<Handled, Ended> {
        done.sent += 1;
        let address = self.client.peer.ip();
        let auth = &self.service.settings.auth;
        let authenticated = match AuthPacket::read(&mut Reader::new(body)) {
            Ok(packet) => {
                let authenticated = auth.authenticate(&state.ids, address, &packet);
                self.count_ensemble(&packet, &authenticated);
                authenticated
            }
            // No scheme is a scheme that nobody knows.
            Err(DecodeError::Null { .. }) => Err(AuthFailed::Refused),
            Err(_) => return Err(Ended::Malformed("an auth packet")),
        };
        match authenticated {
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

    /// One step of a login with SASL. A step without a token is not answered at all.
    fn log_in(
        &self,
        xid: Xid,
        body: &[u8],
        state: &mut ClientState,
        done: &mut Done,
    ) -> Result<Handled, Ended> {
        const MALFORMED: Ended = Ended::Malformed("a SASL token");
        let request = GetSaslRequest::read(&mut Reader::new(body)).map_err(|_| MALFORMED)?;
        let token = request.token.ok_or(MALFORMED)?;
        done.sent += 1;
        let auth = &self.service.settings.auth;
        let (error, token) = match auth.log_in(&mut state.login, &state.ids, token) {
            Answer::Token(token, None) => (ErrorCode::OK, token),
            Answer::Token(token, Some((user, ids))) => {
                let (session, peer) = (self.client.session(), self.client.peer);
                tracing::debug!(%session, %peer, user, "logged in with SASL");
                state.ids = ids;
                (ErrorCode::OK, token)
            }
            Answer::Kept(failure) => {
                self.note_failed_login(&failure, "it goes on as nobody");
                (ErrorCode::OK, None)
            }
            Answer::Ended(error, failure) => {
                self.note_failed_login(&failure, "its connection ends");
                state.phase = Phase::Ending;
                (error, None)
            }
            Answer::Cut(failure) => {
                self.note_failed_login(&failure, "its connection ends");
                return Err(MALFORMED);
            }
        };
        reply::write_token(&mut state.out, xid, error, token.as_deref());
        Ok(Handled::Done)
    }

    fn note_failed_login(&self, failure: &Failure, outcome: &str) {
        let stats = &self.service.stats;
        stats.auth_failed.fetch_add(1, Ordering::Relaxed);
        let (session, peer) = (self.client.session(), self.client.peer);
        if let Some(held_back) = stats.failed_logins.pass(clock::now()) {
            tracing::warn!(
                %session, %peer, why = %failure, held_back,
                "a client has failed to log in with SASL: {outcome}"
            );
        }
    }
}

impl Served<'_> {
    /// Counts who names an ensemble.
    fn count_ensemble(&self, packet: &AuthPacket<'_>, outcome: &Result<Arc<[Id]>, AuthFailed>) {
        let (stats, names) = (&self.service.stats, &self.service.settings.auth.ensemble);
        let Some(names) = names.as_ref().filter(|_| packet.scheme == "ensemble") else {
            return;
        };
        let says_nothing = packet.auth.is_none_or(<[u8]>::is_empty) || names.is_empty();
        let counter = match outcome {
            Err(_) => &stats.ensemble_other,
            Ok(_) if says_nothing => &stats.ensemble_skipped,
            Ok(_) => &stats.ensemble_named,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// How a request that is no read is answered in read-only mode.
fn refused_read_only(header: RequestHeader) -> Local {
    let known = header.op_code().is_some_and(read_only::refuses);
    let (error, close) = match known {
        true => (ErrorCode::NOT_READ_ONLY, false),
        false => (ErrorCode::UNIMPLEMENTED, true),
    };
    let xid = header.xid;
    Local::Refuse { xid, error, close }
}
