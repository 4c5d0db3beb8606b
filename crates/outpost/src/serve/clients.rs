//! All clients served here, and the way results take to them: this is where `forward` hands up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bstr::BString;
use dashmap::DashMap;
use outpost_forward::{Answers, Attached, Attachment, GaveUp, Origin, Pending, Tally, View, clock};
use outpost_mirror::acl::{AclRules, allows};
use outpost_mirror::{Applied, Tree, WatchEvent, WatcherId};
use outpost_wire::{ErrorCode, Id, OpCode, Perms, SessionId, Writer, Xid, Zxid};
use parking_lot::Mutex;

use crate::audit::Audit;
use crate::reached::Limit;
use crate::serve::client::{Cause, Client, ClientState, Phase, Port};
use crate::serve::leases::Leases;
use crate::serve::local_sessions::LocalSessions;
use crate::serve::outboxes::Outboxes;
use crate::serve::pipeline::Local;
use crate::serve::read::{ReadLimits, Reading, TooManyWatches, write_synced};
use crate::serve::read_only::{Mode, ReadOnlyMode};
use crate::serve::reply;
use crate::sizes::Answered;
use crate::stats::Stats;

/// All clients served here.
pub struct Clients {
    by_origin: DashMap<Origin, Arc<Client>>,
    by_session: DashMap<SessionId, Arc<Client>>,
    next_origin: AtomicU64,
    /// The attachment under which requests may be submitted; 0 while clients are not served.
    attachment: AtomicU64,
    /// When these clients began to be kept; times below are milliseconds after it, and one more.
    began: Instant,
    /// The link is lost, and clients are served until then; 0 while it is there, or nobody is served.
    held_until: AtomicU64,
    /// When the link said UPTODATE last: what was asked through it was sent later.
    attached: Mutex<Option<Instant>>,
    leases: Leases,
    /// Given something in the present batch.
    given: Mutex<Vec<Arc<Client>>>,
    rules: AclRules,
    outbox_bytes_max: usize,
    outboxes: Outboxes,
    read_limits: ReadLimits,
    local: Arc<LocalSessions>,
    stats: Arc<Stats>,
    read_only: ReadOnlyMode,
    audit: Option<Arc<Audit>>,
}

/// What a client may hold here.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Bytes it may leave unread; above that it is cut off.
    pub outbox_bytes_max: usize,
    /// Bytes all clients together may leave unread; above that whoever leaves most is cut off.
    pub outbox_bytes_total_max: usize,
    /// What its reads may take and leave behind.
    pub reads: ReadLimits,
}

impl Clients {
    /// Nobody yet.
    pub fn new(
        rules: AclRules,
        limits: ClientLimits,
        local: Arc<LocalSessions>,
        stats: Arc<Stats>,
        read_only: ReadOnlyMode,
    ) -> Clients {
        Clients {
            by_origin: DashMap::new(),
            by_session: DashMap::new(),
            next_origin: AtomicU64::new(1),
            attachment: AtomicU64::new(0),
            began: clock::now(),
            held_until: AtomicU64::new(0),
            attached: Mutex::new(None),
            leases: Leases::default(),
            given: Mutex::new(Vec::new()),
            rules,
            outbox_bytes_max: limits.outbox_bytes_max,
            outboxes: Outboxes::new(limits.outbox_bytes_total_max),
            read_limits: limits.reads,
            local,
            stats,
            read_only,
            audit: None,
        }
    }

    /// The same, with what is told of who changes what.
    pub fn with_audit(mut self, audit: Option<Arc<Audit>>) -> Clients {
        self.audit = audit;
        self
    }

    /// Takes in a connection that was just accepted.
    pub fn admit(&self, peer: SocketAddr) -> Arc<Client> {
        self.admit_known(peer, Port::Plain, Vec::new())
    }

    /// The same for one that came in at either port, and is known by `ids` too.
    pub fn admit_known(&self, peer: SocketAddr, port: Port, ids: Vec<Id>) -> Arc<Client> {
        let origin = Origin(self.next_origin.fetch_add(1, Ordering::Relaxed));
        let client = Client::new(origin, peer);
        let client = Arc::new(client.known_as(port, ids).with_share(self.outboxes.share()));
        self.by_origin.insert(origin, Arc::clone(&client));
        client
    }

    /// Forgets a connection that has ended. Its session lives on.
    pub fn forget(&self, client: &Client) {
        self.outboxes.release(&client.share);
        self.by_origin.remove(&client.origin);
        self.by_session
            .remove_if(&client.session(), |_, other| other.origin == client.origin);
    }

    /// Makes `client` the connection of its session. Another connection of the same session ends.
    pub fn claim_session(&self, client: &Arc<Client>) {
        let before = self.by_session.insert(client.session(), Arc::clone(client));
        if let Some(before) = before
            && before.origin != client.origin
        {
            before.cut(Cause::Replaced);
        }
    }

    /// Whether a connection here has this session.
    pub fn has_session(&self, session: SessionId) -> bool {
        self.by_session.contains_key(&session)
    }

    /// The connection of a session.
    pub fn of_session(&self, session: SessionId) -> Option<Arc<Client>> {
        self.by_session
            .get(&session)
            .map(|entry| Arc::clone(&entry))
    }

    /// The connection with this number.
    pub fn of_origin(&self, origin: Origin) -> Option<Arc<Client>> {
        self.by_origin.get(&origin).map(|entry| Arc::clone(&entry))
    }

    /// All connections, at some moment, in the order in which they came.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let clients = self.by_origin.iter();
        let mut all: Vec<_> = clients.map(|entry| Arc::clone(entry.value())).collect();
        all.sort_unstable_by_key(|client| client.origin.0);
        all
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.by_origin.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.by_origin.is_empty()
    }

    /// The attachment under which requests may be submitted, while clients are served.
    pub fn serving(&self) -> Option<Attachment> {
        match self.attachment.load(Ordering::Acquire) {
            0 => None,
            number => Some(Attachment(number)),
        }
    }

    /// Who is served: the one place where that is decided. `zxid` is the mirror's; under its guard the answer lasts
    /// as long as the guard.
    pub fn mode(&self, zxid: impl FnOnce() -> Zxid) -> Mode {
        match self.serving() {
            // Until the apply thread has ended the hold.
            Some(_) if self.is_hold_over(clock::now()) => Mode::Nobody,
            Some(attachment) => Mode::Everybody(attachment),
            None if self.read_only.serves(zxid) => Mode::ReadOnly,
            None => Mode::Nobody,
        }
    }

    /// Ends the connections of all who are served read-only.
    fn cut_read_only(&self) {
        for client in self.all() {
            if client.is_read_only() {
                client.cut(Cause::ReadWrite);
            }
        }
    }

    /// Whether clients are served although the link is lost.
    pub fn are_held(&self) -> bool {
        self.held_until.load(Ordering::Acquire) != 0
    }

    /// Whether clients are held and should not be any longer: the apply thread, which ends the hold, is late.
    pub fn is_hold_over(&self, now: Instant) -> bool {
        let until = self.held_until.load(Ordering::Acquire);
        until != 0 && self.mark(now) >= until
    }

    fn mark(&self, when: Instant) -> u64 {
        let since = when.saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).map_or(u64::MAX, |ms| ms + 1)
    }

    /// Touches on their way to the leader.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// What reads may take and leave behind.
    pub fn read_limits(&self) -> ReadLimits {
        self.read_limits
    }

    /// How ACLs are read here.
    pub fn rules(&self) -> &AclRules {
        &self.rules
    }

    /// Gives one client something, under its lock, and remembers to wake it after the batch.
    fn give(&self, client: &Arc<Client>, what: impl FnOnce(&mut ClientState)) {
        if client.is_cut() {
            return;
        }
        let unread = {
            let mut state = client.state();
            what(&mut state);
            if self.is_over(client, &state) {
                state.out = Vec::new();
                drop(state);
                self.stats.outbox_overflows.fetch_add(1, Ordering::Relaxed);
                self.stats.reached.note(Limit::Outbox, client.peer);
                client.cut(Cause::Unread);
                0
            } else {
                client.unsent() + state.out.len()
            }
        };
        self.note_unread(client, unread);
        if client.note_given() {
            self.given.lock().push(Arc::clone(client));
        }
    }

    /// A client leaves so many bytes unread now. Not to be called with anybody's state locked.
    pub fn note_unread(&self, client: &Client, bytes: usize) {
        let bytes = if client.is_cut() { 0 } else { bytes };
        if self.outboxes.note(&client.share, bytes) {
            self.cut_the_largest();
        }
    }

    /// Cuts off whoever leaves most unread, until the sum over all clients is no longer too much.
    fn cut_the_largest(&self) {
        while self.outboxes.are_over() {
            let held = self.by_origin.iter().map(|entry| Arc::clone(&entry));
            let held = held.filter(|client| client.share.bytes() > 0);
            let Some(largest) = held.max_by_key(|client| client.share.bytes()) else {
                return;
            };
            // What it holds is as good as free: its own thread sees to that at once.
            self.outboxes.release(&largest.share);
            self.stats.reached.note(Limit::OutboxTotal, largest.peer);
            largest.cut(Cause::UnreadMost);
        }
    }

    /// Whether a client has left more unread than it may.
    fn is_over(&self, client: &Client, state: &ClientState) -> bool {
        client.unsent() + state.out.len() > self.outbox_bytes_max
    }

    /// The answer to a session that was asked for or came back.
    fn open(&self, client: &Arc<Client>, granted: bool) {
        self.give(client, |state| {
            let Phase::Waiting { read_only } = state.phase else {
                return;
            };
            state.figures.sent += 1;
            self.stats.pushed.fetch_add(1, Ordering::Relaxed);
            if granted {
                client.begin_lease(*self.attached.lock());
                state.phase = Phase::Open;
                let (session, timeout_ms) = (client.session(), client.timeout_ms());
                reply::write_connected(&mut state.out, session, timeout_ms, read_only);
            } else {
                state.phase = Phase::Ending;
                reply::write_refused(&mut state.out, read_only);
            }
        });
    }

    /// Puts the reply to a forwarded request into the outbox, and runs what waited behind it.
    fn answer(
        &self,
        client: &Arc<Client>,
        pending: &Pending,
        view: View<'_>,
        write_reply: impl FnOnce(&mut ClientState, Option<Box<[u8]>>, Option<ErrorCode>),
    ) {
        self.give(client, |state| {
            let Ok(request) = state.pipeline.answered(pending.cxid, pending.op) else {
                client.cut(Cause::OutOfOrder);
                return;
            };
            let ms = u64::try_from(
                clock::now()
                    .saturating_duration_since(request.since)
                    .as_millis(),
            )
            .unwrap_or(u64::MAX);
            state.ephemerals.settle(request.ephemeral_bytes);
            state.figures.note_answer(view.tree.last_zxid(), ms);
            self.stats.note_write(ms);
            let before = state.out.len();
            write_reply(state, request.path, request.error_instead);
            let answered = Answered::one(state.out.len() - before);
            let stats = &self.stats;
            stats
                .pushed_sizes
                .note(answered, stats.started, clock::now());
            // Reads between two writes must not see the second, so they are served here and now.
            // Behind the last write the connection's own task serves them.
            while state.pipeline.forwarded() > 0
                && !self.is_over(client, state)
                && self.serve_next(client, state, view)
            {}
        });
    }

    /// Serves the request at the head of the line, if it is one to be served here.
    pub fn serve_next(&self, client: &Client, state: &mut ClientState, view: View<'_>) -> bool {
        let Some(local) = state.pipeline.next_local() else {
            return false;
        };
        let zxid = view.tree.last_zxid();
        match local {
            Local::Serve { header, body, ids } => {
                let reading = Reading {
                    view,
                    ids: &ids,
                    watcher: client.watcher(),
                    session: client.session(),
                    rules: &self.rules,
                    namespaces: &self.stats.late_reads,
                    limits: self.read_limits,
                    reached: &self.stats.reached,
                    peer: client.peer,
                };
                let op = header.op_code().unwrap_or(OpCode::Error);
                let answered = reading.answer(op, header.xid, &body, &mut state.out);
                if let Err(TooManyWatches) = answered {
                    state.phase = Phase::Ending;
                }
            }
            Local::Refuse { xid, error, close } => {
                refuse(state, xid, error, close, zxid);
            }
            Local::CloseLocalSession { xid } => {
                self.local.close(client.session());
                reply::write_error(&mut state.out, xid, zxid, ErrorCode::OK);
                state.phase = Phase::Ending;
            }
        }
        state.figures.sent += 1;
        self.stats.pushed.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// Appends a refusal. Whatever an unknown operation is answered carries no zxid.
fn refuse(state: &mut ClientState, xid: Xid, error: ErrorCode, close: bool, zxid: Zxid) {
    let zxid = if close { Zxid(-1) } else { zxid };
    reply::write_error(&mut state.out, xid, zxid, error);
    if close {
        state.phase = Phase::Ending;
    }
}

impl Answers for Clients {
    fn attached(&self, attached: Attached) {
        if let Some(audit) = &self.audit {
            audit.attached(attached.attachment);
        }
        *self.attached.lock() = Some(attached.at);
        self.held_until.store(0, Ordering::Release);
        self.attachment
            .store(attached.attachment.0, Ordering::Release);
        self.read_only.trust();
        if attached.held.is_none() {
            self.cut_read_only();
            self.local.end_read_only();
        }
    }

    fn held(&self, until: Instant) {
        self.held_until.store(self.mark(until), Ordering::Release);
        self.leases.lost();
    }

    fn hold_over(&self) {
        if self.is_hold_over(clock::now()) {
            for client in self.all() {
                client.cut(Cause::Hold);
            }
        }
    }

    fn gave_up(&self, why: GaveUp) {
        self.attachment.store(0, Ordering::Release);
        self.held_until.store(0, Ordering::Release);
        self.leases.lost();
        if why != GaveUp::HoldOver {
            self.read_only.distrust();
        }
        let cause = match why {
            GaveUp::HoldOver => Cause::Hold,
            GaveUp::BackInTime => Cause::BackInTime,
            GaveUp::Diverged => Cause::Diverged,
            GaveUp::Stopped => Cause::ShuttingDown,
        };
        let clients = self.all();
        if !clients.is_empty() {
            tracing::warn!(clients = clients.len(), %cause, "closing all clients");
        }
        for client in clients {
            client.cut(cause);
        }
        if why == GaveUp::HoldOver && self.read_only.is_enabled() {
            tracing::warn!("clients that ask for it are served read-only");
        }
    }

    fn replaced(&self, tree: &Tree) {
        self.read_only.trust();
        // Nobody has looked for what those who watch read-only would have to be told.
        self.cut_read_only();
        for client in self.all() {
            // What the leader has not been told of yet cannot be in its tree.
            let known = client.lease_ends().is_some();
            if known && !tree.sessions().contains_key(&client.session()) {
                client.cut(Cause::Expired);
            }
        }
    }

    fn fired(&self, watcher: WatcherId, event: &WatchEvent<'_>) {
        self.stats.fired.lock().note(watcher, event);
        let Some(client) = self.of_origin(Origin(watcher.0)) else {
            return;
        };
        self.give(&client, |state| {
            // A watch on a znode that the client may not read is used up in silence.
            if allows(event.acl, Perms::READ, &state.ids, &self.rules) {
                let before = state.out.len();
                reply::write_notification(&mut state.out, event.zxid, event.kind, event.path);
                state.figures.sent += 1;
                self.stats.note_notification(state.out.len() - before);
            }
        });
    }

    fn committed(&self, pending: &Pending, applied: &Applied, view: View<'_>) {
        // Also of those whose connection is gone.
        if let Some(audit) = &self.audit {
            audit.answered(pending, applied);
        }
        let Some(client) = self.of_origin(pending.origin) else {
            self.stats.stale_replies.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if pending.op == OpCode::CreateSession {
            // Without a connection that waits for it this was the upgrade of a local session.
            if applied.error.is_ok() {
                client.touch();
                client.begin_lease(*self.attached.lock());
                let zxid = view.tree.last_zxid();
                client.state().figures.note_session_made(zxid);
                self.stats.note_session_made(client.waited(clock::now()));
                self.open(&client, true);
            } else {
                client.cut(Cause::Refused);
            }
            return;
        }
        if reply::session_moved(applied) {
            client.cut(Cause::Moved);
            return;
        }
        let config = match pending.op {
            OpCode::Reconfig => view
                .tree
                .node("/zookeeper/config".into())
                .and_then(|n| n.data()),
            _ => None,
        };
        self.answer(&client, pending, view, |state, _, error_instead| {
            let out = &mut state.out;
            reply::write_applied(
                out,
                pending.cxid,
                pending.op,
                applied,
                config,
                error_instead,
            );
            if pending.op == OpCode::CloseSession {
                state.phase = Phase::Ending;
            }
        });
    }

    fn synced(&self, pending: &Pending, view: View<'_>) {
        let Some(client) = self.of_origin(pending.origin) else {
            self.stats.stale_replies.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let zxid = view.tree.last_zxid();
        self.answer(&client, pending, view, |state, path, _| {
            write_synced(&mut state.out, pending.cxid, zxid, path.as_deref());
        });
    }

    fn revalidated(&self, origin: Origin, session: SessionId, valid: bool, _view: View<'_>) {
        let Some(client) = self.of_origin(origin) else {
            return;
        };
        if client.session() == session {
            client.touch();
            self.open(&client, valid);
        }
    }

    fn wants_ephemerals(&self) -> bool {
        self.audit.is_some()
    }

    fn ephemerals_deleted(&self, session: SessionId, paths: Vec<(BString, bool)>) {
        if let Some(audit) = &self.audit {
            audit.ephemerals_deleted(session, paths);
        }
    }

    fn session_closed(&self, session: SessionId) {
        let Some(client) = self.of_session(session) else {
            return;
        };
        // A client that asked for it gets its answer first; its phase says so.
        if client.state().phase != Phase::Ending {
            client.cut(Cause::Expired);
        }
    }

    fn fate_unknown(&self, pending: &Pending) {
        if let Some(audit) = &self.audit {
            audit.unknown(pending);
        }
        if let Some(client) = self.of_origin(pending.origin) {
            client.cut(Cause::UnknownFate);
        }
    }

    fn batch_done(&self) {
        self.stats.fired.lock().end();
        let given = std::mem::take(&mut *self.given.lock());
        for client in given {
            client.wake();
        }
        if let Some(audit) = &self.audit {
            audit.batch_done();
        }
    }

    fn touches_proven(&self, taken: Instant) {
        self.leases.proven(taken);
    }

    fn take_touched(&self, now: Instant, table: &mut Vec<u8>) {
        let mut touched = Vec::new();
        for entry in &self.by_origin {
            let client = entry.value();
            let has_session = client.session() != SessionId::NONE;
            if has_session && !client.is_local() && client.take_touched() {
                touched.push(Arc::clone(client));
            }
        }
        // The same clients in the same order always: what is sent does not depend on how a table is hashed.
        touched.sort_unstable_by_key(|client| client.origin.0);
        let mut writer = Writer::new(table);
        for client in &touched {
            writer.long(client.session().0);
            writer.int(client.timeout_ms());
        }
        self.leases.sent(now, touched);
    }

    fn is_there(&self, origin: Origin) -> bool {
        let Some(client) = self.of_origin(origin) else {
            return false;
        };
        // A client library shows itself every third of the timeout, and gives up on a server that it has not heard
        // from for two thirds.
        let third = Duration::from_millis(u64::try_from(client.timeout_ms()).unwrap_or(0) / 3);
        let silent = clock::now().saturating_duration_since(client.heard());
        !client.is_cut() && silent < third
    }

    fn tally(&self) -> Tally {
        let there = self.by_session.iter().filter(|client| !client.is_cut());
        Tally {
            connected: there.count() as u64,
            closed: self.stats.closed(),
        }
    }

    fn not_forwarded(&self, origin: Origin, request: Option<&Pending>) {
        if let (Some(audit), Some(request)) = (&self.audit, request) {
            audit.not_forwarded(request);
        }
        if let Some(client) = self.of_origin(origin) {
            client.cut(Cause::Left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::local_sessions::LocalSessionRules;

    fn clients() -> Clients {
        let local = Arc::new(LocalSessions::new(LocalSessionRules::default()));
        let stats = Arc::new(Stats::new(1));
        let read_only = ReadOnlyMode::new(true);
        let limits = ClientLimits {
            outbox_bytes_max: 1 << 20,
            outbox_bytes_total_max: 3 << 20,
            reads: ReadLimits::NONE,
        };
        Clients::new(AclRules::default(), limits, local, stats, read_only)
    }

    fn mode(clients: &Clients) -> Mode {
        clients.mode(|| Zxid(0x1_0000_0001))
    }

    #[test]
    fn a_tree_that_is_there_before_the_first_link_is_served_read_only() {
        let clients = clients();
        assert_eq!(clients.mode(|| Zxid::ZERO), Mode::Nobody);
        assert_eq!(mode(&clients), Mode::ReadOnly);
    }

    #[test]
    fn p8_nobody_is_said_to_be_served_when_the_hold_is_over_however_late_the_apply_thread_is() {
        let (clients, attachment) = (clients(), Attachment(1));
        let attach = |held| {
            clients.attached(Attached {
                attachment,
                at: clock::now(),
                held,
            });
        };
        attach(None);
        clients.held(clock::now() + Duration::from_secs(3600));
        assert_eq!(mode(&clients), Mode::Everybody(attachment));
        clients.held(clock::now());
        assert_eq!(mode(&clients), Mode::Nobody);
        attach(Some(Duration::ZERO));
        assert_eq!(mode(&clients), Mode::Everybody(attachment));
    }

    #[test]
    fn p4_a_mirror_that_is_not_to_be_trusted_is_served_to_nobody_until_another_tree_is_there() {
        let clients = clients();
        for why in [GaveUp::Diverged, GaveUp::BackInTime] {
            let attachment = Attachment(1);
            clients.attached(Attached {
                attachment,
                at: clock::now(),
                held: None,
            });
            assert_eq!(mode(&clients), Mode::Everybody(attachment));
            clients.gave_up(GaveUp::HoldOver);
            assert_eq!(mode(&clients), Mode::ReadOnly);
            let reader = clients.admit(SocketAddr::from(([127, 0, 0, 1], 9)));
            reader.make_read_only();
            clients.gave_up(why);
            assert_eq!(mode(&clients), Mode::Nobody, "{why:?}");
            assert!(reader.is_cut());
            clients.replaced(&Tree::default());
            assert_eq!(mode(&clients), Mode::ReadOnly, "{why:?}");
            clients.forget(&reader);
        }
    }

    #[test]
    fn p6_when_all_leave_too_much_unread_those_are_cut_who_leave_most_and_nothing_is_kept_of_them()
    {
        let clients = clients();
        let several: Vec<_> = (0..5u16)
            .map(|port| clients.admit(SocketAddr::from(([127, 0, 0, 1], port))))
            .collect();
        let is_cut = |index: usize| several[index].is_cut();
        for (client, bytes) in several.iter().zip([900 << 10, 1000 << 10, 800 << 10, 100]) {
            clients.give(client, |state| state.out.resize(bytes, 0));
        }
        assert!((0..5).all(|index| !is_cut(index)), "it is not too much yet");
        clients.give(&several[4], |state| state.out.resize(700 << 10, 0));
        let cut: Vec<usize> = (0..5).filter(|index| is_cut(*index)).collect();
        assert_eq!(cut, [1], "the largest, and no other");
        assert_eq!(several[1].cut_cause(), Some(Cause::UnreadMost));
        // Whoever is cut counts no longer, whatever it was on the way to be given.
        clients.give(&several[1], |state| state.out.resize(1, 0));
        clients.note_unread(&several[1], 1000 << 10);
        assert!(!clients.outboxes.are_over());
        several.iter().for_each(|client| clients.forget(client));
        assert_eq!(clients.outboxes.bytes(), 0);
        assert_eq!(clients.stats.reached.times(Limit::OutboxTotal), 1);
    }
}
