//! From a connect request to a session: made, taken back, waited for, or refused.
//!
//! The order of the checks is `ZooKeeperServer.processConnectRequest`'s, but for one: the password is
//! looked at before another connection of the same session is ended, so a stranger who guesses a
//! session id cannot disconnect its owner. What is done in read-only mode, when there is no leader to ask, stands
//! in [`read_only`](crate::serve::read_only).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use outpost_forward::{Attachment, Forward, Pending, Permit, Request, View, clock};
use outpost_wire::proto::ConnectRequest;
use outpost_wire::{OpCode, Reader, Record, SessionId, Xid};

use crate::serve::client::{Client, ClientState, Phase};
use crate::serve::connection::Ended;
use crate::serve::read_only::Mode;
use crate::serve::reply;
use crate::serve::service::Service;
use crate::serve::session_ids::new_session_id;
use crate::serve::throttle::Wish;

/// Handles the first frame of a connection.
///
/// # Errors
/// When the connection must end without an answer. In doubt it does: clients try another server then,
/// while a refusal would end their session for good.
pub fn connect(
    service: &Service,
    client: &Arc<Client>,
    state: &mut ClientState,
    view: View<'_>,
    frame: &[u8],
    permit: Permit<'_>,
) -> Result<(), Ended> {
    let request = ConnectRequest::read(&mut Reader::new(frame))
        .map_err(|_| Ended::Malformed("the connect request"))?;
    let attachment = match service.clients.mode(|| view.tree.last_zxid()) {
        Mode::Nobody => return Err(Ended::NotServing),
        Mode::ReadOnly if request.read_only != Some(true) => return Err(Ended::ReadOnly),
        Mode::ReadOnly => None,
        Mode::Everybody(attachment) => Some(attachment),
    };
    if !service.admits_session(wish_of(service, &request, attachment)) {
        return Err(Ended::Throttled);
    }
    service
        .stats
        .connect_requests
        .fetch_add(1, Ordering::Relaxed);
    if request.last_zxid_seen > view.tree.last_zxid() {
        return Err(Ended::ClientAhead(request.last_zxid_seen));
    }
    let opening = Opening {
        service,
        client,
        view,
        timeout_ms: service.negotiate(request.time_out),
        read_only: request.read_only.map(|_| attachment.is_none()),
    };
    match attachment {
        None => opening.open_read_only(state, &request)?,
        Some(attachment) if request.session_id == SessionId::NONE => {
            opening.create(state, attachment, permit);
        }
        Some(attachment) => opening.take_back(state, &request, attachment, permit),
    }
    if !matches!(state.phase, Phase::Waiting { .. }) {
        state.figures.sent += 1;
        service.stats.pushed.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn wish_of(
    service: &Service,
    request: &ConnectRequest<'_>,
    attachment: Option<Attachment>,
) -> Wish {
    let local = service.local_sessions.rules.enabled || attachment.is_none();
    match (request.session_id, local) {
        (SessionId::NONE, true) => Wish::Local,
        (SessionId::NONE, false) => Wish::Global,
        _ => Wish::Renew,
    }
}

struct Opening<'a> {
    service: &'a Service,
    client: &'a Arc<Client>,
    view: View<'a>,
    /// As negotiated.
    timeout_ms: i32,
    /// What the response says, if the request had that byte.
    read_only: Option<bool>,
}

impl Opening<'_> {
    fn create(self, state: &mut ClientState, attachment: Attachment, permit: Permit<'_>) {
        let session = self.new_session_id();
        if self.service.local_sessions.rules.enabled {
            self.open_local(state, session);
            return;
        }
        self.ask(state, session);
        permit.submit(create_session(self.client, attachment));
    }

    fn take_back(
        self,
        state: &mut ClientState,
        request: &ConnectRequest<'_>,
        attachment: Attachment,
        permit: Permit<'_>,
    ) {
        let session = request.session_id;
        if !self.knows_password(state, request) {
            return;
        }
        if self.service.local_sessions.knows(session) {
            self.open_local(state, session);
            return;
        }
        self.ask(state, session);
        permit.submit(Request::Revalidate {
            attachment,
            origin: self.client.origin,
            session,
            timeout_ms: self.timeout_ms,
        });
    }

    /// A session of this process alone, new or taken back. Of any other it cannot be known whether it has expired.
    fn open_read_only(
        self,
        state: &mut ClientState,
        request: &ConnectRequest<'_>,
    ) -> Result<(), Ended> {
        let session = match request.session_id {
            SessionId::NONE => self.new_session_id(),
            session if !self.service.local_sessions.knows(session) => return Err(Ended::NotOurs),
            session if self.knows_password(state, request) => session,
            _ => return Ok(()),
        };
        self.client.make_read_only();
        self.open_local(state, session);
        Ok(())
    }

    fn new_session_id(&self) -> SessionId {
        let clients = &self.service.clients;
        let sessions = self.view.tree.sessions();
        let (server, random) = (
            self.service.settings.server_id,
            self.service.session_id_bytes,
        );
        new_session_id(server, random, |id| {
            sessions.contains_key(&id) || clients.has_session(id)
        })
    }

    /// Whether a client that comes back is the one that it says it is; if not, it is told that its session is gone.
    fn knows_password(&self, state: &mut ClientState, request: &ConnectRequest<'_>) -> bool {
        let revalidations = &self.service.stats.revalidations;
        revalidations.fetch_add(1, Ordering::Relaxed);
        let password = request.passwd.unwrap_or_default();
        let knows = request.session_id.accepts_password(password);
        if !knows {
            state.phase = Phase::Ending;
            reply::write_refused(&mut state.out, self.read_only);
        }
        knows
    }

    /// A session that only this server knows is open at once.
    fn open_local(&self, state: &mut ClientState, session: SessionId) {
        let (local, now) = (&self.service.local_sessions, clock::now());
        self.client.set_session(session, self.timeout_ms, true);
        self.service.clients.claim_session(self.client);
        match self.client.is_read_only() {
            true => local.track_read_only(session, self.timeout_ms, now),
            false => local.track(session, self.timeout_ms, now),
        }
        state.phase = Phase::Open;
        reply::write_connected(&mut state.out, session, self.timeout_ms, self.read_only);
    }

    /// What becomes of any other is for the leader to say.
    fn ask(&self, state: &mut ClientState, session: SessionId) {
        self.client.set_session(session, self.timeout_ms, false);
        self.service.clients.claim_session(self.client);
        state.phase = Phase::Waiting {
            read_only: self.read_only,
        };
        self.client.note_asked(clock::now());
    }
}

/// The request that makes a client's session known to the whole ensemble.
pub fn create_session(client: &Client, attachment: Attachment) -> Request {
    Request::Forward(Forward {
        attachment,
        pending: Pending {
            origin: client.origin,
            session: client.session(),
            cxid: Xid(0),
            op: OpCode::CreateSession,
        },
        body: Bytes::copy_from_slice(&client.timeout_ms().to_be_bytes()).into(),
        authinfo: None,
        timeout_ms: client.timeout_ms(),
    })
}
