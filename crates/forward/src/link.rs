//! The link as its users see it, and the thread that keeps it alive.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use outpost_mirror::{Mirror, TreeOptions};
use outpost_wire::{Id, ServerId, SessionId, Zxid};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::answers::Answers;
use crate::apply::{Apply, BATCH_MAX};
use crate::backoff::Backoff;
use crate::body::Body;
use crate::candidates::{Candidate, Candidates};
use crate::clock;
use crate::driver::{ApplyQueue, Queued, Rhythm, Upward, Wire, seek};
use crate::event::Event;
use crate::hold::Attachment;
use crate::learner::Settings;
use crate::lost::Lost;
use crate::network::{Network, Tcp};
use crate::pulse::Pulse;
use crate::status::{LinkState, LinkStatus};
use crate::suspicion::Suspicion;
use crate::writes::{Origin, Pending, Writes};

/// A link that was followed for less than this counts as one that came to life and died at once.
const FLAP: Duration = Duration::from_secs(1);
/// Longest pause after such a link while clients are held.
const RELIFE_LONGEST_HELD: Duration = Duration::from_secs(1);
/// How much later than others a master is asked that could not help the last time, in steps of preference.
const AVOIDED_PREFERENCE: u32 = 4;

/// What the link is told at its start. All bounds are the caller's to choose.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Our id; must not belong to a voter.
    pub server_id: ServerId,
    /// How long a master may be silent before it says UPTODATE (initLimit × tickTime).
    pub init_timeout: Duration,
    /// How long a leader bears with a learner, and a learner of Java with its leader (syncLimit × tickTime).
    pub sync_timeout: Duration,
    /// How long a master may be silent after UPTODATE. It sends a PING every half tick.
    pub silence_timeout: Duration,
    /// How long one TCP connection may take to come about (connectToLearnerMasterLimit × tickTime).
    pub connect_timeout: Duration,
    /// How long clients are held after the link was lost; zero closes them at once.
    pub hold: Duration,
    /// Longest data of a packet, in bytes; at least the ensemble's `jute.maxbuffer`.
    pub packet_bytes_max: usize,
    /// First and longest wait between two attempts at one candidate.
    pub retry_first: Duration,
    /// See `retry_first`.
    pub retry_longest: Duration,
    /// The longest wait while clients are held.
    pub retry_longest_held: Duration,
    /// Upper end of a random wait before every synchronisation (`observer.reconnectDelayMs`).
    pub reconnect_delay: Duration,
    /// Requests from sessions that may wait to be sent; full means that their connections wait.
    pub request_queue_max: usize,
    /// Requests that may be on their way to the leader; full means that the queue waits.
    pub in_flight_max: usize,
    /// Events that may wait to be applied, in number; full means waiting, then leaving (P9).
    pub apply_queue_max: usize,
    /// Events that may wait to be applied, in bytes.
    pub apply_queue_bytes_max: usize,
    /// How trees behave.
    pub tree: TreeOptions,
}

/// Something for the leader.
#[derive(Debug)]
pub enum Request {
    /// A write, a sync, or a session to create or close.
    Forward(Forward),
    /// May this session attach here?
    Revalidate {
        /// The attachment under which it was made.
        attachment: Attachment,
        /// Who gets the answer.
        origin: Origin,
        /// The session.
        session: SessionId,
        /// Its timeout, as negotiated here.
        timeout_ms: i32,
    },
}

/// A request of a client, to be carried out by the leader.
#[derive(Debug)]
pub struct Forward {
    /// The attachment under which it was made; it is forwarded under no other.
    pub attachment: Attachment,
    /// How its answer is recognised.
    pub pending: Pending,
    /// The request record as the client sent it.
    pub body: Body,
    /// The identities under which the leader checks it.
    pub authinfo: Option<Arc<[Id]>>,
    /// The session's timeout, as negotiated here.
    pub timeout_ms: i32,
}

impl Request {
    pub(crate) fn attachment(&self) -> Attachment {
        match self {
            Request::Forward(Forward { attachment, .. })
            | Request::Revalidate { attachment, .. } => *attachment,
        }
    }
}

/// The end of the queue that the link thread has: what a lost link had taken out and not sent comes first.
#[derive(Debug)]
pub(crate) struct Requests {
    queue: mpsc::Receiver<Request>,
    given_back: VecDeque<Request>,
}

impl Requests {
    /// The next one; `None` when there will be no more. Nothing is lost when this is dropped before it is ready.
    pub(crate) async fn recv(&mut self) -> Option<Request> {
        match self.given_back.pop_front() {
            Some(request) => Some(request),
            None => self.queue.recv().await,
        }
    }

    /// The next one, if there is one now.
    pub(crate) fn try_recv(&mut self) -> Option<Request> {
        match self.given_back.pop_front() {
            Some(request) => Some(request),
            None => self.queue.try_recv().ok(),
        }
    }

    /// How many there are now.
    pub(crate) fn len(&self) -> usize {
        self.given_back.len() + self.queue.len()
    }

    /// Takes one that was not sent, for the next link. No more than may be on their way at one time.
    pub(crate) fn give_back(&mut self, forward: Forward) {
        self.given_back.push_back(Request::Forward(forward));
    }
}

/// Room for one request: what is submitted with it will not wait.
pub struct Permit<'a> {
    room: mpsc::Permit<'a, Request>,
    waiting_bytes: &'a Arc<AtomicU64>,
}

impl Permit<'_> {
    /// Hands the request to the link thread.
    pub fn submit(self, mut request: Request) {
        if let Request::Forward(forward) = &mut request {
            forward.body.count_in(self.waiting_bytes);
        }
        self.room.send(request);
    }
}

/// What the two threads and the users of the link share.
pub(crate) struct Shared {
    pub(crate) status: LinkStatus,
    link_pulse: Pulse,
    apply_pulse: Pulse,
    pub(crate) writes: Writes,
    /// The current attachment, 0 while nobody is served. Requests made under it are forwarded, or wait for the link.
    attachment: AtomicU64,
    /// The attachment has ended: what was made under it is to be dropped.
    pub(crate) released: Notify,
    /// There may be a reason to give up this life of the link: see [`Shared::must_give_up`].
    pub(crate) give_up: Notify,
    /// Requests may have come back, so that others can be sent.
    pub(crate) came_back: Notify,
    /// This process is shutting down.
    stopped: AtomicBool,
    /// The mirror differs from the leader's tree, and nobody has drawn the conclusion yet.
    diverged: AtomicBool,
    /// What the digests of late have shown.
    pub(crate) suspicion: Mutex<Suspicion>,
    pub(crate) in_flight_max: usize,
    pub(crate) apply_queue_bytes_max: usize,
    /// How long a SYNC may be on its way; the apply queue may stay full for half of that.
    pub(crate) sync_timeout: Duration,
    /// A membership that came with a transaction, to be looked at before the next attempt.
    pub(crate) announced: Mutex<Option<Bytes>>,
}

impl Shared {
    pub(crate) fn is_current(&self, attachment: Attachment) -> bool {
        self.attachment.load(Ordering::Acquire) == attachment.0
    }

    pub(crate) fn set_attachment(&self, attachment: Option<Attachment>) {
        self.attachment
            .store(attachment.map_or(0, |a| a.0), Ordering::Release);
        if attachment.is_none() {
            self.released.notify_one();
        }
    }

    /// Whether clients are served, attached or held.
    fn serves(&self) -> bool {
        self.attachment.load(Ordering::Acquire) != 0
    }

    /// Ends this life of the link because the mirror differs from the leader's tree. If it has ended already, the
    /// next one starts over all the same.
    pub(crate) fn diverge(&self) {
        self.diverged.store(true, Ordering::Release);
        self.give_up.notify_one();
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.give_up.notify_one();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Waits until this process is shutting down.
    async fn stopped(&self) {
        while !self.is_stopped() {
            self.give_up.notified().await;
        }
    }

    /// Why this life of the link must end, if it must.
    pub(crate) fn must_give_up(&self) -> Option<Lost> {
        if self.is_stopped() {
            return Some(Lost::Stopped);
        }
        let diverged = self.diverged.load(Ordering::Acquire);
        diverged.then_some(Lost::Diverged)
    }
}

/// The link to the ensemble, as the sessions served here use it.
#[derive(Clone)]
pub struct Link {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

impl Link {
    /// Starts the link and apply threads. They end when every clone of the returned link is dropped,
    /// or after [`Link::stop`]; the handle is there to wait for them.
    ///
    /// # Errors
    /// When the threads or their runtime cannot be made.
    pub fn start(
        settings: LinkSettings,
        candidates: Candidates,
        mirror: Arc<Mirror>,
        answers: Arc<dyn Answers>,
    ) -> std::io::Result<(Link, JoinHandle<()>)> {
        let network = Arc::new(Tcp);
        let (link, life, apply) = Link::assemble(settings, candidates, mirror, answers, network);
        Ok((link, life.start(apply)?))
    }

    /// Wires a link together and starts nothing: its two lives are the caller's to run, on threads of
    /// their own or, where everything is to happen in one known order, on one runtime.
    pub fn assemble(
        settings: LinkSettings,
        candidates: Candidates,
        mirror: Arc<Mirror>,
        answers: Arc<dyn Answers>,
        network: Arc<dyn Network>,
    ) -> (Link, LinkLife, ApplyLife) {
        let shared = Arc::new(Shared {
            status: LinkStatus::new(settings.silence_timeout / 2),
            link_pulse: Pulse::default(),
            apply_pulse: Pulse::default(),
            writes: Writes::default(),
            attachment: AtomicU64::new(0),
            released: Notify::new(),
            give_up: Notify::new(),
            came_back: Notify::new(),
            stopped: AtomicBool::new(false),
            diverged: AtomicBool::new(false),
            suspicion: Mutex::new(Suspicion::default()),
            in_flight_max: settings.in_flight_max,
            apply_queue_bytes_max: settings.apply_queue_bytes_max,
            sync_timeout: settings.sync_timeout,
            announced: Mutex::new(None),
        });
        let (requests, request_queue) = mpsc::channel(settings.request_queue_max);
        let (sender, queue) = mpsc::channel(settings.apply_queue_max);
        let room = Arc::new(Semaphore::new(settings.apply_queue_bytes_max));
        let apply = Apply::new(
            Arc::clone(&mirror),
            Arc::clone(&answers),
            Arc::clone(&shared),
            Arc::clone(&room),
            settings.hold,
        );
        let life = LinkLife {
            settings,
            candidates,
            network,
            upward: Upward {
                shared: Arc::clone(&shared),
                mirror,
                answers,
                apply: ApplyQueue { sender, room },
            },
            requests: Requests {
                queue: request_queue,
                given_back: VecDeque::new(),
            },
            hold_timer: JoinSet::new(),
        };
        let apply = ApplyLife {
            apply,
            shared: Arc::clone(&shared),
            queue,
        };
        (Link { requests, shared }, life, apply)
    }

    /// Room for a request, if there is some now.
    pub fn try_reserve(&self) -> Option<Permit<'_>> {
        Some(self.permit(self.requests.try_reserve().ok()?))
    }

    /// Waits until there is room for a request. `None` when the link has ended for good.
    pub async fn reserve(&self) -> Option<Permit<'_>> {
        Some(self.permit(self.requests.reserve().await.ok()?))
    }

    fn permit<'a>(&'a self, room: mpsc::Permit<'a, Request>) -> Permit<'a> {
        Permit {
            room,
            waiting_bytes: &self.shared.status.waiting_bytes,
        }
    }

    /// Whether the leader is older than 3.5, and answers what came later with silence.
    pub fn leader_is_before_3_5(&self) -> bool {
        self.shared.status.leader_is_before_3_5()
    }

    /// How the link is doing.
    pub fn status(&self) -> &LinkStatus {
        self.shared
            .status
            .in_flight
            .store(self.shared.writes.len() as u64, Ordering::Relaxed);
        &self.shared.status
    }

    /// Whether the threads of the link move, by name. Only threads of [`LinkLife::start`] show it.
    pub fn pulses(&self) -> [(&'static str, &Pulse); 2] {
        let shared = &self.shared;
        [("link", &shared.link_pulse), ("apply", &shared.apply_pulse)]
    }

    /// Detaches from the leader for good.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

/// What the apply thread does: see [`ApplyLife::run_blocking`].
pub struct ApplyLife {
    apply: Apply,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Queued>,
}

impl ApplyLife {
    /// Applies what comes down the link, on a thread of its own, until the link's life is over.
    pub fn run_blocking(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.queue.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            shared.apply_pulse.beat();
            self.apply.apply_batch(&mut batch, self.queue.len());
            shared.apply_pulse.rest();
        }
    }

    /// The same as a task.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            self.apply.apply_batch(&mut batch, self.queue.len());
        }
    }
}

/// The link thread's life: one synchronisation after another.
pub struct LinkLife {
    settings: LinkSettings,
    candidates: Candidates,
    network: Arc<dyn Network>,
    upward: Upward,
    requests: Requests,
    /// Tells the apply thread when the hold is over; at most one task.
    hold_timer: JoinSet<()>,
}

/// What one life of the link leaves to the next.
#[derive(Debug, Default)]
struct Heritage {
    /// Newest epoch that a master has offered.
    accepted_epoch: u32,
    /// Epoch of the last link that was followed.
    known_epoch: u32,
    /// The master was of 3.3.
    legacy: bool,
    /// The mirror must not be continued.
    start_over: bool,
    /// Until when clients are held.
    held_until: Option<Instant>,
    /// A master that could not help and is asked last.
    avoid: Option<Candidate>,
}

impl LinkLife {
    /// Runs this life and that of the apply thread on threads of their own; the first ends after the second.
    ///
    /// # Errors
    /// When the threads or their runtime cannot be made.
    pub fn start(self, apply: ApplyLife) -> std::io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let apply_thread = thread::Builder::new()
            .name("apply".into())
            .spawn(move || apply.run_blocking())?;
        thread::Builder::new().name("link".into()).spawn(move || {
            let shared = Arc::clone(&self.upward.shared);
            runtime.block_on(shared.link_pulse.beating(self.run()));
            // The queue's senders go with the life and with the tasks it has left, so this thread comes to its end.
            // A name that is being resolved is not waited for.
            runtime.shutdown_background();
            if apply_thread.join().is_err() {
                tracing::error!("the apply thread ended in a panic");
            }
        })
    }

    /// Finds a master, follows it, loses it, and begins again, until [`Link::stop`] or until every [`Link`] is
    /// dropped.
    pub async fn run(mut self) {
        let mut heritage = Heritage::default();
        // Attempts wait on their own; this one is for links that come to life and die at once.
        let mut backoff = self.backoff();
        while let Some(lived) = self.live(&mut heritage).await {
            if lived > FLAP {
                backoff.reset();
            }
            let pause = match heritage.held_until {
                Some(_) => backoff.delay_up_to(RELIFE_LONGEST_HELD),
                None => backoff.delay(),
            };
            tokio::select! {
                () = tokio::time::sleep(pause + self.reconnect_delay()) => {}
                () = self.upward.shared.stopped() => break,
            }
        }
        // Whoever is held is let go.
        self.tell_lost(Lost::Stopped, clock::now()).await;
    }

    /// One life of the link: how long it lasted, zero if that is no reason to come back at once, or `None` if there is to be no other.
    async fn live(&mut self, heritage: &mut Heritage) -> Option<Duration> {
        let shared = Arc::clone(&self.upward.shared);
        if let Some(text) = shared.announced.lock().take() {
            self.candidates.learn(&text);
        }
        let last_zxid = match heritage.start_over {
            true => Zxid::ZERO,
            false => self.upward.mirror.read().last_zxid(),
        };
        heritage.accepted_epoch = heritage.accepted_epoch.max(last_zxid.epoch());
        let wire = self.seek(last_zxid, heritage).await?;
        let (candidate, epoch) = (wire.candidate.clone(), wire.learner().epoch());
        heritage.accepted_epoch = epoch;
        heritage.legacy = wire.learner().master_is_legacy();
        tracing::info!(master = %candidate, epoch, ours = %last_zxid, "a learner master answers");
        let (snapshots, attachments) = (shared.status.snapshots(), shared.status.attachments());
        let began = clock::now();
        let lost = wire
            .drive(heritage.known_epoch, &self.upward, &mut self.requests)
            .await;
        if matches!(lost, Lost::Truncated { .. }) {
            // A leader whose history ends before ours may also be of an older epoch.
            heritage.accepted_epoch = 0;
        }
        // Coming back at once would only fill the leader's queue for us once more.
        let congested = matches!(lost, Lost::Congested(_));
        heritage.avoid =
            matches!(lost, Lost::Behind { .. } | Lost::Hole { .. }).then_some(candidate);
        let (stopped, starts_over) = (matches!(lost, Lost::Stopped), lost.starts_over());
        heritage.held_until = self.mourn(lost).await;
        // Also where that was only found when the link was gone already.
        let starts_over = shared.diverged.swap(false, Ordering::AcqRel) || starts_over;
        // A mirror that must not be continued stays so until a snapshot has taken its place.
        let replaced = shared.status.snapshots() > snapshots;
        heritage.start_over = starts_over || (heritage.start_over && !replaced);
        if stopped {
            return None;
        }
        if shared.status.attachments() == attachments {
            return Some(Duration::ZERO);
        }
        heritage.known_epoch = epoch;
        match congested {
            true => Some(Duration::ZERO),
            false => Some(clock::now().saturating_duration_since(began)),
        }
    }

    fn learner_settings(&self, last_zxid: Zxid, heritage: &Heritage) -> Settings {
        Settings {
            server_id: self.settings.server_id,
            last_zxid,
            accepted_epoch: heritage.accepted_epoch,
            master: None,
            master_is_legacy: heritage.legacy,
            packet_bytes_max: self.settings.packet_bytes_max,
            init_timeout: self.settings.init_timeout,
            silence_timeout: self.settings.silence_timeout,
            tree: self.settings.tree,
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.settings.retry_first, self.settings.retry_longest)
    }

    /// Whom to ask, the one to be avoided last.
    fn masters(&self, avoid: Option<&Candidate>) -> Vec<Candidate> {
        let mut candidates = self.candidates.list();
        for candidate in &mut candidates {
            if avoid.is_some_and(|avoid| avoid.is_at(candidate)) {
                candidate.preference += AVOIDED_PREFERENCE;
            }
        }
        candidates
    }

    /// Finds a master; `None` when the process is shutting down.
    async fn seek(&mut self, last_zxid: Zxid, heritage: &Heritage) -> Option<Wire> {
        let shared = Arc::clone(&self.upward.shared);
        shared.status.set_state(LinkState::Seeking);
        let candidates = self.masters(heritage.avoid.as_ref());
        let named: Vec<String> = candidates.iter().map(ToString::to_string).collect();
        tracing::info!(
            candidates = named.join(", "),
            "looking for a learner master"
        );
        let rhythm = Rhythm {
            backoff: self.backoff(),
            longest_held: self.settings.retry_longest_held,
            held_until: heritage.held_until,
            connect_timeout: self.settings.connect_timeout,
        };
        let settings = self.learner_settings(last_zxid, heritage);
        let seeking = seek(&self.network, candidates, &settings, &rhythm);
        tokio::pin!(seeking);
        loop {
            let serves = shared.serves();
            tokio::select! {
                wire = &mut seeking => return wire,
                () = shared.stopped() => return None,
                // While clients are held their requests wait. Otherwise whatever comes was made under a link that
                // is gone for good.
                request = self.requests.recv(), if !serves => drop(request?),
                () = shared.released.notified(), if serves => {}
            }
        }
    }

    /// Tells the apply thread that the link is gone and waits until everything before that has been
    /// applied: only then is the mirror's last zxid the one to continue from. Returns until when clients are held.
    async fn mourn(&mut self, lost: Lost) -> Option<Instant> {
        let status = &self.upward.shared.status;
        let clients = self.upward.answers.tally();
        let connected = clients.connected;
        let followed = status.note_loss(&lost, clients);
        // Behind it: whoever sees that there is no link is also told how it was lost.
        status.set_state(LinkState::Seeking);
        status.set_master(None);
        match (&lost, followed) {
            (Lost::Stopped, _) => tracing::info!("detached from the ensemble"),
            (lost, Some(followed)) => tracing::warn!(reason = %lost, label = lost.label(),
                followed_ms = followed.as_millis(), clients = connected,
                "the link to the ensemble is lost"),
            (lost, None) => tracing::warn!(reason = %lost, label = lost.label(),
                "the link to the ensemble is lost before the mirror had caught up"),
        }
        let at = clock::now();
        // With the process everything ends.
        if followed.is_some() && !matches!(lost, Lost::Stopped) {
            // That of an earlier loss goes with its set.
            self.hold_timer = JoinSet::new();
            self.watch_the_hold(at + self.settings.hold);
        }
        let held_until = self.tell_lost(lost, at).await?;
        if self.hold_timer.is_empty() {
            // It had been followed too shortly for clients to be served when it was lost.
            self.watch_the_hold(held_until);
        }
        let left = held_until.saturating_duration_since(clock::now());
        tracing::info!(
            clients = connected,
            for_ms = left.as_millis(),
            "clients are held: reads and watches go on, what is meant for the leader waits"
        );
        Some(held_until)
    }

    /// Waits until the apply thread has taken notice, behind everything that came before.
    async fn tell_lost(&self, reason: Lost, at: Instant) -> Option<Instant> {
        let (done, applied) = oneshot::channel();
        let queued = Queued::new(Event::Lost { reason, at, done });
        self.upward.apply.push(queued).await.ok()?;
        // An error means that the apply thread is gone, and with it everything to wait for.
        applied.await.ok()?
    }

    /// Ends the hold in time (P8). The apply thread does it; where that is busy, connections are told the limit.
    fn watch_the_hold(&mut self, until: Instant) {
        if !self.upward.shared.serves() {
            return;
        }
        self.upward.answers.held(until);
        if self.settings.hold.is_zero() {
            return self.upward.answers.hold_over();
        }
        let (answers, apply) = (Arc::clone(&self.upward.answers), self.upward.apply.clone());
        self.hold_timer.spawn(async move {
            tokio::time::sleep_until(until.into()).await;
            answers.hold_over();
            // Fails when the apply thread is gone.
            let _ = apply.push(Queued::new(Event::HoldOver)).await;
        });
    }

    fn reconnect_delay(&self) -> Duration {
        self.settings.reconnect_delay.mul_f64(fastrand::f64())
    }
}
