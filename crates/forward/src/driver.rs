//! Socket and timers around a [`Learner`].

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use outpost_mirror::Mirror;
use outpost_wire::quorum::ForwardedRequest;
use outpost_wire::{OpCode, SessionId, Xid};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use crate::answers::Answers;
use crate::backoff::Backoff;
use crate::candidates::Candidate;
use crate::clock;
use crate::complaints::Complaints;
use crate::event::Event;
use crate::learner::{Forwarded, Learner, Settings};
use crate::link::{Forward, Request, Requests, Shared};
use crate::lost::Lost;
use crate::network::{LinkStream, Network};
use crate::owners::Owners;
use crate::progress::{Arriving, Progress, Received, Told};
use crate::status::{LinkState, LinkStatus, Master};
use crate::writes::{Owner, Pending, Revalidation};

/// How much is read from the socket at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes to the master that may wait for its socket; above this no request is taken.
const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Bytes to the master that may wait for its socket at all, answers to its PINGs included; above this
/// the link is given up (P6).
const OUTPUT_BYTES_LIMIT: usize = 16 << 20;
/// Requests taken from the queue before the socket is looked at again.
const REQUESTS_AT_ONCE: usize = 256;
/// REVALIDATEs that may be on their way: a leader is not to be flooded when the sessions of a whole region wake up.
const REVALIDATIONS_MAX: usize = 256;
/// How long the socket is given to show what it has when the master seems to have fallen silent.
const LAST_LOOK: Duration = Duration::from_millis(1);
/// PINGs after which touches that were told to a follower have been told to the leader.
const TOUCH_ROUNDS_OF_FOLLOWERS: u64 = 2;
/// The body of a sync: the path `/`.
const SYNC_BODY: &[u8] = &[0, 0, 0, 1, b'/'];
/// How much later the candidates of the next preference are asked.
const PREFERENCE_STEP: Duration = Duration::from_millis(250);

/// A socket with a learner at our end of it.
pub(crate) struct Wire {
    pub(crate) candidate: Candidate,
    reader: ReadHalf<Box<dyn LinkStream>>,
    writer: WriteHalf<Box<dyn LinkStream>>,
    input: BytesMut,
    output: Vec<u8>,
    learner: Learner,
    owners: Owners,
    /// Sessions whose REVALIDATEs were sent and have no fence behind them yet.
    unfenced: Vec<SessionId>,
    /// Syncs taken from the queue that will share one SYNC.
    syncs: Vec<Pending>,
    touches: Touches,
    /// When SYNCs were sent that have not come back, oldest first; no more than requests that may be on their way,
    /// and one for each PING.
    asked: VecDeque<Instant>,
}

/// One entry of the queue to the apply thread, with the share of the queue's bytes that it holds.
pub(crate) struct Queued {
    pub(crate) event: Event,
    pub(crate) bytes: u32,
    /// When it came.
    pub(crate) at: Instant,
}

impl Queued {
    /// An event that takes no share of the bytes.
    pub(crate) fn new(event: Event) -> Queued {
        Queued {
            event,
            bytes: 0,
            at: clock::now(),
        }
    }
}

/// The queue to the apply thread: bounded in entries by the channel, in bytes by the semaphore.
#[derive(Clone)]
pub(crate) struct ApplyQueue {
    pub(crate) sender: mpsc::Sender<Queued>,
    pub(crate) room: Arc<Semaphore>,
}

/// How often a candidate is asked.
#[derive(Debug, Clone)]
pub(crate) struct Rhythm {
    pub(crate) backoff: Backoff,
    /// While clients are held nobody waits longer than this for the next attempt.
    pub(crate) longest_held: Duration,
    /// Until when clients are held.
    pub(crate) held_until: Option<Instant>,
    pub(crate) connect_timeout: Duration,
}

impl Rhythm {
    fn delay(&mut self) -> Duration {
        let held = self.held_until.is_some_and(|until| clock::now() < until);
        match held {
            true => self.backoff.delay_up_to(self.longest_held),
            false => self.backoff.delay(),
        }
    }
}

/// Asks all candidates side by side, again and again, until one answers OBSERVERINFO; the others
/// are dropped at that moment.
pub(crate) async fn seek(
    network: &Arc<dyn Network>,
    candidates: Vec<Candidate>,
    settings: &Settings,
    rhythm: &Rhythm,
) -> Option<Wire> {
    let mut attempts = JoinSet::new();
    for candidate in candidates {
        let network = Arc::clone(network);
        attempts.spawn(pursue(network, candidate, settings.clone(), rhythm.clone()));
    }
    attempts.join_next().await?.ok()
}

/// Asks one candidate until it answers.
async fn pursue(
    network: Arc<dyn Network>,
    candidate: Candidate,
    settings: Settings,
    mut rhythm: Rhythm,
) -> Wire {
    sleep(PREFERENCE_STEP * candidate.preference).await;
    let patience = rhythm.connect_timeout;
    let mut complaints = Complaints::new(clock::now());
    loop {
        match Wire::register(&*network, candidate.clone(), settings.clone(), patience).await {
            Ok(wire) => return wire,
            Err(lost) => complaints.complain(&candidate, &lost, clock::now()),
        }
        sleep(rhythm.delay()).await;
    }
}

impl Wire {
    pub(crate) fn learner(&self) -> &Learner {
        &self.learner
    }

    /// Connects and waits for the answer to OBSERVERINFO.
    async fn register(
        network: &dyn Network,
        candidate: Candidate,
        settings: Settings,
        connect_timeout: Duration,
    ) -> Result<Wire, Lost> {
        let connecting = network.connect(&candidate.host, candidate.port);
        let stream = timeout(connect_timeout, connecting)
            .await
            .map_err(|_| Lost::Silent(connect_timeout))??;
        let (reader, writer) = tokio::io::split(stream);
        let settings = Settings {
            master: candidate.leader(),
            ..settings
        };
        let learner = Learner::new(settings, clock::now());
        let mut wire = Wire {
            candidate,
            reader,
            writer,
            input: BytesMut::new(),
            output: Vec::new(),
            learner,
            owners: Owners::default(),
            unfenced: Vec::new(),
            syncs: Vec::new(),
            touches: Touches::default(),
            asked: VecDeque::new(),
        };
        while !wire.learner.is_registered() {
            wire.write_all().await?;
            let deadline = wire.learner.deadline();
            tokio::select! {
                read = read_some(&mut wire.reader, &mut wire.input) => { read?; }
                () = sleep_until(deadline.into()) => return Err(wire.learner.silence()),
            }
            wire.learner
                .handle_input(clock::now(), &mut wire.input, &|_| {})?;
        }
        Ok(wire)
    }

    async fn write_all(&mut self) -> Result<(), Lost> {
        self.learner.take_output(&mut self.output);
        self.writer.write_all(&self.output).await?;
        self.output.clear();
        Ok(())
    }

    /// Follows the master until the link is lost. Every buffer, timer and queue of this life of the
    /// link goes with the `Wire`. `known_epoch` is the one under which the leader may know us as owner of sessions.
    pub(crate) async fn drive(
        mut self,
        known_epoch: u32,
        upward: &Upward,
        requests: &mut Requests,
    ) -> Lost {
        let began = clock::now();
        let status = &upward.shared.status;
        status.set_state(LinkState::Synchronizing);
        status.set_master(Some(Master {
            candidate: self.candidate.clone(),
            epoch: self.learner.epoch(),
            since: began,
        }));
        self.owners.must_claim = self.learner.epoch() == known_epoch;
        let ended = self.exchange(began, upward, requests).await;
        status.set_arriving(None);
        status.buffers.store(0, Ordering::Relaxed);
        self.leave_waiting(upward, requests);
        status.keep_recording(self.learner.recording());
        match ended {
            Ok(()) => Lost::Stopped,
            Err(lost) => lost,
        }
    }

    async fn exchange(
        &mut self,
        began: Instant,
        upward: &Upward,
        requests: &mut Requests,
    ) -> Result<(), Lost> {
        let shared = &*upward.shared;
        let attachments = shared.status.attachments();
        // What came together with the answer to OBSERVERINFO: all of the synchronisation, from a master of 3.3.
        self.take_events(upward).await?;
        let mut written = 0;
        let mut progress = Progress::new(&upward.mirror.read());
        let mut synchronized = false;
        let mut looked = false;
        loop {
            let told = progress.note(clock::now(), self.learner.snapshot_received());
            show(told, progress.arriving(), &shared.status);
            shared
                .status
                .buffers
                .store(self.buffers(), Ordering::Relaxed);
            if !synchronized && self.learner.is_following() {
                synchronized = true;
                let took = clock::now().saturating_duration_since(began);
                shared.status.note_synchronized(took);
                self.resume(upward);
            }
            if written == self.output.len() {
                self.output.clear();
                written = 0;
                self.learner.take_output(&mut self.output);
            }
            if self.learner.output_len() > OUTPUT_BYTES_LIMIT {
                return Err(Lost::Misbehaved("it does not read what it is sent".into()));
            }
            // What waits may be of a session of which a lost link has left something: what has become of that is known
            // when the apply thread is through with the history. Nothing is to overtake what was lost (P2).
            let has_room = self.learner.is_following()
                && shared.status.attachments() != attachments
                && self.learner.output_len() < OUTPUT_BYTES_MAX
                && shared.writes.len() + self.owners.waiting() < shared.in_flight_max
                && shared.writes.revalidations() < REVALIDATIONS_MAX;
            let deadline = self.learner.deadline();
            let due = progress.due();
            let congested = self.asked.front().map(|asked| *asked + shared.sync_timeout);
            tokio::select! {
                biased;
                () = shared.give_up.notified() => if let Some(lost) = shared.must_give_up() {
                    return Err(lost);
                },
                // Ahead of reading: a master that always has something to say is answered nevertheless.
                wrote = self.writer.write(&self.output[written..]), if written < self.output.len() => {
                    let wrote = wrote?;
                    shared.status.bytes_sent.fetch_add(wrote as u64, Ordering::Relaxed);
                    written += wrote;
                }
                read = read_some(&mut self.reader, &mut self.input) => {
                    let read = read?;
                    looked = false;
                    shared.status.bytes_received.fetch_add(read as u64, Ordering::Relaxed);
                    let outcome = self.handle_input(upward);
                    // What came before the error is as good as ever.
                    self.take_events(upward).await?;
                    outcome?;
                    // The master's PINGs bring us here often enough.
                    if shared.suspicion.lock().must_heal(clock::now()) {
                        return Err(Lost::Diverged);
                    }
                    // Requests have their turn however much there is to read.
                    if has_room && let Some(request) = requests.try_recv() {
                        self.submit_with_followers(request, upward, requests);
                    }
                }
                request = requests.recv(), if has_room => match request {
                    Some(request) => self.submit_with_followers(request, upward, requests),
                    None => return Ok(()),
                },
                // What came back was counted as in flight until the apply thread had it, and this life was not caught
                // up before that.
                () = shared.came_back.notified(), if !has_room => {}
                // A process that was stopped for a while finds its timers over before its sockets have been looked at.
                () = sleep_until(deadline.into()), if !looked => {
                    sleep(LAST_LOOK).await;
                    looked = true;
                }
                () = sleep_until(deadline.into()), if looked => return Err(self.learner.silence()),
                // A snapshot of which nothing comes is told of too.
                () = sleep_until(due.unwrap_or(deadline).into()), if due.is_some() => {}
                () = sleep_until(congested.unwrap_or(deadline).into()), if congested.is_some() => {
                    return Err(Lost::Congested(shared.sync_timeout));
                }
            }
        }
    }

    /// Bytes of the buffers around the socket.
    fn buffers(&self) -> u64 {
        (self.input.capacity() + self.output.capacity() + self.learner.kept_bytes()) as u64
    }

    fn handle_input(&mut self, upward: &Upward) -> Result<(), Lost> {
        let now = clock::now();
        let (pings, touched) = (Cell::new(0), Cell::new(None));
        let outcome = self
            .learner
            .handle_input(now, &mut self.input, &|table: &mut Vec<u8>| {
                upward.answers.take_touched(now, table);
                pings.set(pings.get() + 1);
                touched.set(touched.get().or(first_session(table)));
            });
        if pings.get() > 0 {
            self.prove_touches(now, pings.get(), touched.get(), upward);
        }
        outcome
    }

    /// Asks for a sign that touches have reached the leader: a SYNC that was sent after them and comes back. A
    /// follower that is our master hands touches on with its own next PING only, so there the sign is asked for two
    /// PINGs later.
    fn prove_touches(
        &mut self,
        now: Instant,
        pings: u64,
        touched: Option<SessionId>,
        upward: &Upward,
    ) {
        let touches = &mut self.touches;
        touches.pings += pings;
        touches.session = touched.or(touches.session);
        if touched.is_some() {
            touches.unproven.push_back((touches.pings, now));
        }
        let rounds = match self.candidate.observer_master {
            true => TOUCH_ROUNDS_OF_FOLLOWERS,
            false => 0,
        };
        let told = touches.pings - rounds.min(touches.pings);
        let done = touches.unproven.partition_point(|(ping, _)| *ping <= told);
        let newest = touches.unproven.drain(..done).next_back();
        if let (Some((_, taken)), Some(session)) = (newest, touches.session) {
            upward.shared.writes.register_proof(taken);
            self.send_sync(session, Xid(0), upward);
        } else if self.asked.is_empty() && !upward.shared.status.leader_is_before_3_5() {
            // Only to see whether it comes back in time. Old leaders write a line in their log for each of these.
            upward.shared.writes.register_syncs([]);
            self.send_sync(SessionId::NONE, Xid(0), upward);
        }
    }

    /// UPTODATE is here: what waited for it goes first.
    fn resume(&mut self, upward: &Upward) {
        let now = clock::now();
        self.learner.tell_time(now);
        // Comes back behind everything that the leader has in its queue for us (P8). It is nobody's, and must not
        // be: the leader would take this link for the owner of its session.
        upward.shared.writes.register_syncs([]);
        self.send_sync(SessionId::NONE, Xid(0), upward);
        upward.shared.status.set_state(LinkState::Attached);
        let mut table = Vec::new();
        upward.answers.take_touched(now, &mut table);
        let first = first_session(&table);
        if first.is_some() {
            self.learner.send_touches(table);
            self.prove_touches(now, 1, first, upward);
        }
        for revalidation in upward.shared.writes.take_unsent_revalidations() {
            self.revalidate(revalidation, upward);
        }
        self.flush_fences(upward);
        if let Some(sync) = upward.shared.writes.register_lost_syncs() {
            self.send_sync(sync.session, sync.cxid, upward);
        }
    }

    /// Submits a request and those that wait right behind it.
    fn submit_with_followers(&mut self, first: Request, upward: &Upward, requests: &mut Requests) {
        self.learner.tell_time(clock::now());
        let waiting = requests.len() as u64;
        upward.shared.status.requests_waiting.note(waiting, 1);
        self.submit(first, upward);
        for _ in 1..REQUESTS_AT_ONCE {
            if upward.shared.writes.revalidations() >= REVALIDATIONS_MAX {
                break;
            }
            match requests.try_recv() {
                Some(request) => self.submit(request, upward),
                None => break,
            }
        }
        self.flush_fences(upward);
        self.flush_syncs(upward);
    }

    fn submit(&mut self, request: Request, upward: &Upward) {
        if !upward.shared.is_current(request.attachment()) {
            return;
        }
        match request {
            Request::Forward(forward) => self.forward(forward, upward),
            Request::Revalidate {
                origin,
                session,
                timeout_ms,
                ..
            } => {
                let origin = Some(origin);
                self.revalidate(
                    Revalidation {
                        session,
                        timeout_ms,
                        origin,
                    },
                    upward,
                );
            }
        }
    }

    fn forward(&mut self, forward: Forward, upward: &Upward) {
        let Pending { session, op, .. } = forward.pending;
        // Behind what its session has asked before.
        let Some(forward) = self.owners.park(forward) else {
            return;
        };
        if op == OpCode::Sync {
            return self.syncs.push(forward.pending);
        }
        // A sync that its session sent before must be answered before.
        if self.syncs.iter().any(|sync| sync.session == session) {
            self.flush_syncs(upward);
        }
        match self.ownership(&forward.pending, upward) {
            Ownership::Ours => self.send(&forward, upward),
            Ownership::Another => {
                let revalidation = Revalidation {
                    session,
                    timeout_ms: forward.timeout_ms,
                    origin: None,
                };
                self.owners.claim(forward);
                self.send_revalidation(revalidation, upward);
            }
            Ownership::Left => {
                let pending = &forward.pending;
                upward.answers.not_forwarded(pending.origin, Some(pending));
            }
        }
    }

    /// Registers before sending: the answer may come before the next instruction is executed.
    fn send(&mut self, forward: &Forward, upward: &Upward) {
        let pending = forward.pending;
        upward.shared.status.note_forwarded();
        upward.shared.writes.register(pending);
        self.learner.submit(&Forwarded {
            request: ForwardedRequest {
                session: pending.session,
                cxid: pending.cxid,
                op: pending.op.code(),
                body: &forward.body,
            },
            authinfo: forward.authinfo.as_deref(),
        });
    }

    /// Whom the leader takes for the owner of the request's session.
    ///
    /// A request that has waited for this link may be one of a client that has left us meanwhile. Where it has
    /// taken its session to, it has perhaps written since, and a request of ours that arrived later would overtake
    /// that (P2). So the first of each session is forwarded only for a client that is still here.
    ///
    /// A leader under which another link of ours has been takes that link, which is gone, for the owner of the
    /// session, and refuses what comes from this one. REVALIDATE makes this link the owner. The request waits for its
    /// answer: sent together, the two could lie for long on a path that has gone dead, and arrive when the client
    /// has long been elsewhere. A leader that has just come into office knows no owners, and the first to send
    /// something becomes it.
    fn ownership(&mut self, pending: &Pending, upward: &Upward) -> Ownership {
        let session = pending.session;
        if self.owners.are_we(session) {
            return Ownership::Ours;
        }
        if pending.op == OpCode::CreateSession {
            self.owners.note_ours(session);
            return Ownership::Ours;
        }
        if !upward.answers.is_there(pending.origin) {
            return Ownership::Left;
        }
        // One that the mirror does not know is local to this server: nobody can own it, and nobody says when it ends.
        if !upward.mirror.read().sessions().contains_key(&session) {
            return Ownership::Ours;
        }
        // Anybody may close any session.
        if self.owners.must_claim && pending.op != OpCode::CloseSession {
            return Ownership::Another;
        }
        self.owners.note_ours(session);
        Ownership::Ours
    }

    /// The leader has said whether a session is ours: what has waited for that goes on its way, for clients that are
    /// still here.
    fn decided(&mut self, session: SessionId, ours: bool, upward: &Upward) {
        for forward in self.owners.decided(session, ours) {
            let origin = forward.pending.origin;
            match ours && upward.answers.is_there(origin) {
                true => self.submit(Request::Forward(forward), upward),
                false => {
                    let pending = &forward.pending;
                    upward.answers.not_forwarded(origin, Some(pending));
                }
            }
        }
        self.flush_syncs(upward);
    }

    /// Leaves to the next link what has waited in vain for the leader's word, for clients that are still here. One
    /// that came back meanwhile on another connection asks for its session ahead of that, so the next link could
    /// not tell the two apart.
    fn leave_waiting(&mut self, upward: &Upward, requests: &mut Requests) {
        for forward in self.owners.take_waiting() {
            let pending = &forward.pending;
            match upward.answers.is_there(pending.origin) {
                true => requests.give_back(forward),
                false => upward.answers.not_forwarded(pending.origin, Some(pending)),
            }
        }
    }

    /// Asks on behalf of a client that wants its session here, if it still does.
    fn revalidate(&mut self, revalidation: Revalidation, upward: &Upward) {
        let Revalidation {
            session, origin, ..
        } = revalidation;
        if let Some(origin) = origin
            && !upward.answers.is_there(origin)
        {
            return upward.answers.not_forwarded(origin, None);
        }
        upward.shared.status.note_forwarded();
        self.send_revalidation(revalidation, upward);
        self.owners.note_ours(session);
    }

    /// Sends a REVALIDATE. [`Wire::flush_fences`] is to follow before anything of that session is sent.
    fn send_revalidation(&mut self, revalidation: Revalidation, upward: &Upward) {
        let Revalidation {
            session,
            timeout_ms,
            ..
        } = revalidation;
        upward.shared.writes.register_revalidation(revalidation);
        self.learner.revalidate(session, timeout_ms);
        self.unfenced.push(session);
    }

    /// Sends one SYNC behind all REVALIDATEs: when that is back, whatever the leader had taken in for their sessions
    /// before has come, from other servers too, and an old request can have no effect any more, since it has not
    /// come from the owner. A follower's learners all have one owner, the follower; there only time makes sure that it
    /// has forgotten an old connection of ours.
    fn flush_fences(&mut self, upward: &Upward) {
        let Some(first) = self.unfenced.first().copied() else {
            return;
        };
        let shared = &*upward.shared;
        let sessions = std::mem::take(&mut self.unfenced);
        let owner = match self.candidate.observer_master {
            false => Owner::ThisLink,
            true => {
                if let Some(moment) = clock::now().checked_sub(shared.sync_timeout * 2) {
                    shared.writes.fence_older(&sessions, moment);
                }
                Owner::Follower
            }
        };
        shared.writes.register_fence(sessions, owner);
        self.send_sync(first, Xid(0), upward);
    }

    /// Sends one SYNC for all syncs that are waiting.
    fn flush_syncs(&mut self, upward: &Upward) {
        let Some(first) = self.syncs.first().copied() else {
            return;
        };
        upward
            .shared
            .writes
            .register_syncs(std::mem::take(&mut self.syncs));
        upward.shared.status.note_forwarded();
        self.send_sync(first.session, first.cxid, upward);
    }

    /// The leader looks neither at the path nor at the session's rights. It would take this link for the owner of a
    /// session that has none, which the session's client may have taken elsewhere: so the question is nobody's, but for
    /// old leaders, which write a line in their log for each that is.
    fn send_sync(&mut self, session: SessionId, cxid: Xid, upward: &Upward) {
        let session = match upward.shared.status.leader_is_before_3_5() {
            true => session,
            false => SessionId::NONE,
        };
        upward.shared.status.note_asked();
        self.asked.push_back(clock::now());
        self.learner.submit(&Forwarded {
            request: ForwardedRequest {
                session,
                cxid,
                op: OpCode::Sync.code(),
                body: SYNC_BODY,
            },
            authinfo: Some(&[]),
        });
    }

    /// Hands what the learner found to the apply thread. When that thread's queue stays full for
    /// longer than the patience, the link is given up, so that the leader need not queue for us (P9).
    async fn take_events(&mut self, upward: &Upward) -> Result<(), Lost> {
        let shared = &*upward.shared;
        shared.status.note_leader_zxid(self.learner.leader_zxid());
        while let Some(event) = self.learner.poll_event() {
            let mut decided = None;
            match &event {
                Event::Committed {
                    closes: Some(session),
                    ..
                } => self.owners.forget(*session),
                Event::Revalidated { session, valid } => decided = Some((*session, *valid)),
                Event::Synced => _ = self.asked.pop_front(),
                _ => {}
            }
            if let Event::Committed { time, .. } = &event
                && self.learner.is_following()
            {
                shared.status.note_commit(*time);
            }
            let queued = upward.apply.weigh(event, shared);
            match timeout(shared.sync_timeout / 2, upward.apply.push(queued)).await {
                Ok(pushed) => pushed?,
                Err(_) => return Err(Lost::Overrun(shared.sync_timeout / 2)),
            }
            if let Some((session, ours)) = decided {
                self.decided(session, ours, upward);
            }
        }
        Ok(())
    }
}

/// Whom a leader takes for the owner of a session.
enum Ownership {
    /// This link, now or as soon as it sends something.
    Ours,
    /// Perhaps another link.
    Another,
    /// Its client may have taken it elsewhere.
    Left,
}

/// Touches that were sent, and whose arrival is not yet being asked for.
#[derive(Debug, Default)]
struct Touches {
    /// PINGs answered.
    pings: u64,
    /// With the PING that they answered, and when that was.
    unproven: VecDeque<(u64, Instant)>,
    /// Some session among them: a SYNC has to be somebody's.
    session: Option<SessionId>,
}

/// The first session in a table of touches.
fn first_session(table: &[u8]) -> Option<SessionId> {
    let first = table.first_chunk().copied()?;
    Some(SessionId(i64::from_be_bytes(first)))
}

/// Everything above the wire that it speaks to.
pub(crate) struct Upward {
    pub(crate) shared: Arc<Shared>,
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) answers: Arc<dyn Answers>,
    pub(crate) apply: ApplyQueue,
}

impl ApplyQueue {
    fn weigh(&self, event: Event, shared: &Shared) -> Queued {
        let length = match &event {
            Event::Committed { bytes, .. } => bytes.len(),
            _ => 0,
        };
        // One transaction always fits: it takes the whole queue at most.
        let bytes = u32::try_from(length.min(shared.apply_queue_bytes_max)).unwrap_or(u32::MAX);
        Queued {
            event,
            bytes,
            at: clock::now(),
        }
    }

    /// Waits for room, then queues. Fails only when the apply thread is gone.
    pub(crate) async fn push(&self, queued: Queued) -> Result<(), Lost> {
        if queued.bytes == 0 {
            return self.sender.send(queued).await.map_err(|_| Lost::Stopped);
        }
        let room = self.room.acquire_many(queued.bytes).await;
        let room = room.map_err(|_| Lost::Stopped)?;
        // Whoever stops waiting here gives the room back.
        let sent = self.sender.send(queued).await;
        // The apply thread does, from now on.
        room.forget();
        sent.map_err(|_| Lost::Stopped)
    }
}

/// Reads what is there, at least one byte.
async fn read_some<R>(reader: &mut R, input: &mut BytesMut) -> Result<usize, Lost>
where
    R: tokio::io::AsyncRead + Unpin,
{
    input.reserve(READ_BYTES);
    match reader.read_buf(input).await? {
        0 => Err(Lost::Closed),
        read => Ok(read),
    }
}

/// Shows how far a snapshot has come, in the log and in the status.
fn show(told: Option<Told>, arriving: Option<Arriving>, status: &LinkStatus) {
    status.set_arriving(arriving);
    let Some(told) = told else {
        return;
    };
    let Received {
        bytes,
        znodes,
        whole,
        ..
    } = told.received;
    tracing::info!(
        bytes,
        znodes,
        bytes_per_s = told.bytes_per_second,
        bytes_expected = arriving.and_then(|arriving| arriving.bytes_expected),
        seconds = told.after.as_secs(),
        "{}",
        match whole {
            true => "the snapshot is here",
            false => "the snapshot is arriving",
        }
    );
}
