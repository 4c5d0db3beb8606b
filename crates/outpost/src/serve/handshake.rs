//! From a connect request to a session: made, taken back, waited for, or refused.
//!
//! The order of the checks is `ZooKeeperServer.processConnectRequest`'s, but for one: the password is
//! looked at before another connection of the same session is ended, so a stranger who guesses a
//! session id cannot disconnect its owner.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use outpost_forward::{Attachment, Pending, Permit, Request, View, clock};
use outpost_wire::proto::ConnectRequest;
use outpost_wire::{OpCode, Reader, Record, SessionId, Xid};

use crate::serve::client::{Client, ClientState, Phase};
use crate::serve::connection::Ended;
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
    let Some(attachment) = service.clients.serving() else {
        return Err(Ended::NotServing);
    };
    if !service.admits_session(wish_of(service, &request)) {
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
        attachment,
        permit,
    };
    let timeout_ms = service.negotiate(request.time_out);
    if request.session_id == SessionId::NONE {
        opening.create(state, timeout_ms, request.read_only);
    } else {
        opening.take_back(state, &request, timeout_ms);
    }
    if !matches!(state.phase, Phase::Waiting { .. }) {
        state.figures.sent += 1;
        service.stats.pushed.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn wish_of(service: &Service, request: &ConnectRequest<'_>) -> Wish {
    match (request.session_id, service.local_sessions.rules.enabled) {
        (SessionId::NONE, true) => Wish::Local,
        (SessionId::NONE, false) => Wish::Global,
        _ => Wish::Renew,
    }
}

struct Opening<'a> {
    service: &'a Service,
    client: &'a Arc<Client>,
    view: View<'a>,
    attachment: Attachment,
    permit: Permit<'a>,
}

impl Opening<'_> {
    fn create(self, state: &mut ClientState, timeout_ms: i32, read_only: Option<bool>) {
        let clients = &self.service.clients;
        let sessions = self.view.tree.sessions();
        let local = self.service.local_sessions.rules.enabled;
        let (server, random) = (
            self.service.settings.server_id,
            self.service.session_id_bytes,
        );
        let session = new_session_id(server, random, |id| {
            sessions.contains_key(&id) || clients.has_session(id)
        });
        self.client.set_session(session, timeout_ms, local);
        clients.claim_session(self.client);
        if local {
            self.service
                .local_sessions
                .track(session, timeout_ms, clock::now());
            open_now(self.client, state, read_only);
            return;
        }
        state.phase = Phase::Waiting { read_only };
        self.client.note_asked(clock::now());
        self.permit
            .submit(create_session(self.client, self.attachment));
    }

    fn take_back(self, state: &mut ClientState, request: &ConnectRequest<'_>, timeout_ms: i32) {
        let session = request.session_id;
        self.service
            .stats
            .revalidations
            .fetch_add(1, Ordering::Relaxed);
        if !session.accepts_password(request.passwd.unwrap_or_default()) {
            state.phase = Phase::Ending;
            reply::write_refused(&mut state.out, request.read_only);
            return;
        }
        let local = self.service.local_sessions.knows(session);
        self.client.set_session(session, timeout_ms, local);
        self.service.clients.claim_session(self.client);
        if local {
            self.service
                .local_sessions
                .track(session, timeout_ms, clock::now());
            open_now(self.client, state, request.read_only);
            return;
        }
        state.phase = Phase::Waiting {
            read_only: request.read_only,
        };
        self.client.note_asked(clock::now());
        self.permit.submit(Request::Revalidate {
            attachment: self.attachment,
            origin: self.client.origin,
            session,
            timeout_ms,
        });
    }
}

fn open_now(client: &Client, state: &mut ClientState, read_only: Option<bool>) {
    state.phase = Phase::Open;
    let (session, timeout_ms) = (client.session(), client.timeout_ms());
    reply::write_connected(&mut state.out, session, timeout_ms, read_only);
}

/// The request that makes a client's session known to the whole ensemble.
pub fn create_session(client: &Client, attachment: Attachment) -> Request {
    Request::Forward {
        attachment,
        pending: Pending {
            origin: client.origin,
            session: client.session(),
            cxid: Xid(0),
            op: OpCode::CreateSession,
        },
        body: Bytes::copy_from_slice(&client.timeout_ms().to_be_bytes()),
        authinfo: None,
    }
}
