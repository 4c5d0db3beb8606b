//! The link as its users see it, and the thread that keeps it alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use outpost_mirror::{Mirror, TreeOptions};
use outpost_wire::{Id, ServerId, SessionId, Zxid};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::answers::Answers;
use crate::apply::{Apply, BATCH_MAX};
use crate::backoff::Backoff;
use crate::candidates::Candidates;
use crate::clock;
use crate::driver::{ApplyQueue, Queued, Wire, seek};
use crate::event::Event;
use crate::hold::Attachment;
use crate::learner::Settings;
use crate::lost::Lost;
use crate::network::{Network, Tcp};
use crate::status::{LinkState, LinkStatus};
use crate::suspicion::Suspicion;
use crate::writes::{Origin, Pending, Writes};

/// What the link is told at its start. All bounds are the caller's to choose.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Our id; must not belong to a voter.
    pub server_id: ServerId,
    /// How long a master may be silent before it says UPTODATE (initLimit × tickTime).
    pub init_timeout: Duration,
    /// How long a master may be silent afterwards (syncLimit × tickTime).
    pub sync_timeout: Duration,
    /// How long one TCP connection may take to come about (connectToLearnerMasterLimit × tickTime).
    pub connect_timeout: Duration,
    /// How long clients are served after the link was lost; zero closes them at once.
    pub hold: Duration,
    /// Longest data of a packet, in bytes; at least the ensemble's `jute.maxbuffer`.
    pub packet_bytes_max: usize,
    /// First and longest wait between two attempts at one candidate.
    pub retry_first: Duration,
    /// See `retry_first`.
    pub retry_longest: Duration,
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
    Forward {
        /// The attachment under which it was made; it is forwarded under no other.
        attachment: Attachment,
        /// How its answer is recognised.
        pending: Pending,
        /// The request record as the client sent it.
        body: Bytes,
        /// The identities under which the leader checks it.
        authinfo: Option<Arc<[Id]>>,
    },
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

impl Request {
    pub(crate) fn attachment(&self) -> Attachment {
        match self {
            Request::Forward { attachment, .. } | Request::Revalidate { attachment, .. } => {
                *attachment
            }
        }
    }
}

/// Room for one request: what is submitted with it will not wait.
pub struct Permit<'a>(mpsc::Permit<'a, Request>);

impl Permit<'_> {
    /// Hands the request to the link thread.
    pub fn submit(self, request: Request) {
        self.0.send(request);
    }
}

/// What the two threads and the users of the link share.
pub(crate) struct Shared {
    pub(crate) status: LinkStatus,
    pub(crate) writes: Writes,
    /// The current attachment, 0 while there is none.
    attachment: AtomicU64,
    pub(crate) give_up: Notify,
    /// Requests may have come back, so that others can be sent.
    pub(crate) came_back: Notify,
    diverged: AtomicBool,
    /// What the digests of late have shown.
    pub(crate) suspicion: Mutex<Suspicion>,
    pub(crate) in_flight_max: usize,
    pub(crate) apply_queue_bytes_max: usize,
    /// How long the apply queue may stay full.
    pub(crate) overrun_patience: Duration,
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
    }

    /// Ends this life of the link because the mirror differs from the leader's tree.
    pub(crate) fn diverge(&self) {
        self.diverged.store(true, Ordering::Release);
        self.give_up.notify_one();
    }

    pub(crate) fn give_up_reason(&self) -> Lost {
        match self.diverged.swap(false, Ordering::AcqRel) {
            true => Lost::Diverged,
            false => Lost::Stopped,
        }
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
            status: LinkStatus::new(settings.sync_timeout / 2),
            writes: Writes::default(),
            attachment: AtomicU64::new(0),
            give_up: Notify::new(),
            came_back: Notify::new(),
            diverged: AtomicBool::new(false),
            suspicion: Mutex::new(Suspicion::default()),
            in_flight_max: settings.in_flight_max,
            apply_queue_bytes_max: settings.apply_queue_bytes_max,
            overrun_patience: settings.sync_timeout / 2,
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
            mirror,
            answers,
            shared: Arc::clone(&shared),
            requests: request_queue,
            apply: ApplyQueue { sender, room },
        };
        let link = Link { requests, shared };
        (link, life, ApplyLife { apply, queue })
    }

    /// Room for a request, if there is some now.
    pub fn try_reserve(&self) -> Option<Permit<'_>> {
        self.requests.try_reserve().ok().map(Permit)
    }

    /// Waits until there is room for a request. `None` when the link has ended for good.
    pub async fn reserve(&self) -> Option<Permit<'_>> {
        self.requests.reserve().await.ok().map(Permit)
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

    /// Detaches from the leader for good.
    pub fn stop(&self) {
        self.shared.give_up.notify_one();
    }
}

/// What the apply thread does: see [`ApplyLife::run_blocking`].
pub struct ApplyLife {
    apply: Apply,
    queue: mpsc::Receiver<Queued>,
}

impl ApplyLife {
    /// Applies what comes down the link, on a thread of its own, until the link's life is over.
    pub fn run_blocking(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.queue.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            self.apply.apply_batch(&mut batch, self.queue.len());
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
    mirror: Arc<Mirror>,
    answers: Arc<dyn Answers>,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    apply: ApplyQueue,
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
            runtime.block_on(self.run());
            // The queue's sender went with the life, so this thread comes to its end.
            if apply_thread.join().is_err() {
                tracing::error!("the apply thread ended in a panic");
            }
        })
    }

    /// Finds a master, follows it, loses it, and begins again, until [`Link::stop`] or until every [`Link`] is
    /// dropped.
    pub async fn run(mut self) {
        let mut accepted_epoch = 0;
        let mut legacy = false;
        let mut start_over = false;
        // Attempts wait on their own; this one is for links that come to life and die at once.
        let mut backoff = Backoff::new(self.settings.retry_first, self.settings.retry_longest);
        loop {
            if let Some(text) = self.shared.announced.lock().take() {
                self.candidates.learn(&text);
            }
            let last_zxid = match start_over {
                true => Zxid::ZERO,
                false => self.mirror.read().last_zxid(),
            };
            accepted_epoch = accepted_epoch.max(last_zxid.epoch());
            let settings = self.learner_settings(last_zxid, accepted_epoch, legacy);
            let Some(wire) = self.seek(&settings).await else {
                return;
            };
            accepted_epoch = wire.learner().epoch();
            legacy = wire.learner().master_is_legacy();
            tracing::info!(master = %wire.candidate, epoch = accepted_epoch, ours = %last_zxid,
                "a learner master answers");
            let began = clock::now();
            let snapshots = self.shared.status.snapshots();
            let lost = wire
                .drive(
                    &self.shared,
                    &*self.answers,
                    &mut self.requests,
                    &self.apply,
                )
                .await;
            if matches!(lost, Lost::Truncated { .. }) {
                // A leader whose history ends before ours may also be of an older epoch.
                accepted_epoch = 0;
            }
            let stopped = matches!(lost, Lost::Stopped);
            let starts_over = lost.starts_over();
            self.mourn(lost).await;
            // A mirror that must not be continued stays so until a snapshot has taken its place.
            let replaced = self.shared.status.snapshots() > snapshots;
            start_over = starts_over || (start_over && !replaced);
            if stopped {
                return;
            }
            if clock::now().saturating_duration_since(began) > self.settings.retry_longest * 2 {
                backoff.reset();
            }
            tokio::time::sleep(backoff.delay() + self.reconnect_delay()).await;
        }
    }

    fn learner_settings(&self, last_zxid: Zxid, accepted_epoch: u32, legacy: bool) -> Settings {
        Settings {
            server_id: self.settings.server_id,
            last_zxid,
            accepted_epoch,
            master: None,
            master_is_legacy: legacy,
            packet_bytes_max: self.settings.packet_bytes_max,
            init_timeout: self.settings.init_timeout,
            sync_timeout: self.settings.sync_timeout,
            tree: self.settings.tree,
        }
    }

    /// Finds a master; `None` when the process is shutting down.
    async fn seek(&mut self, settings: &Settings) -> Option<Wire> {
        self.shared.status.set_state(LinkState::Seeking);
        let candidates = self.candidates.list();
        let named: Vec<String> = candidates.iter().map(ToString::to_string).collect();
        tracing::info!(
            candidates = named.join(", "),
            "looking for a learner master"
        );
        let seeking = seek(candidates, settings, &self.settings, &self.network);
        tokio::pin!(seeking);
        loop {
            tokio::select! {
                wire = &mut seeking => return wire,
                () = self.shared.give_up.notified() => match self.shared.give_up_reason() {
                    Lost::Stopped => return None,
                    // Meant for the link that is gone already.
                    _ => continue,
                },
                // Nobody is attached, so whatever comes was made under a link that is gone.
                request = self.requests.recv() => drop(request?),
            }
        }
    }

    /// Tells the apply thread that the link is gone and waits until everything before that has been
    /// applied: only then is the mirror's last zxid the one to continue from.
    async fn mourn(&self, lost: Lost) {
        self.shared.status.set_state(LinkState::Seeking);
        self.shared.status.set_master(None);
        self.shared.status.note_loss(lost.to_string());
        match lost {
            Lost::Stopped => tracing::info!("detached from the ensemble"),
            ref lost => tracing::warn!(reason = %lost, "the link to the ensemble is lost"),
        }
        let (done, applied) = oneshot::channel();
        let queued = Queued {
            event: Event::Lost { reason: lost, done },
            bytes: 0,
        };
        if self.apply.push(queued).await.is_ok() {
            // An error means that the apply thread is gone, and with it everything to wait for.
            let _ = applied.await;
        }
    }

    fn reconnect_delay(&self) -> Duration {
        self.settings.reconnect_delay.mul_f64(fastrand::f64())
    }
}
