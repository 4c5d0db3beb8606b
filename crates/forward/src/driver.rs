//! Socket and timers around a [`Learner`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use outpost_wire::quorum::ForwardedRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use crate::answers::Answers;
use crate::backoff::Backoff;
use crate::candidates::Candidate;
use crate::clock;
use crate::event::Event;
use crate::learner::{Forwarded, Learner, Settings};
use crate::link::{LinkSettings, Request, Shared};
use crate::lost::Lost;
use crate::network::{LinkStream, Network};
use crate::status::{LinkState, Master};

/// How much is read from the socket at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes to the master that may wait for its socket; above this no request is taken.
const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Bytes to the master that may wait for its socket at all, answers to its PINGs included; above this
/// the link is given up (P6).
const OUTPUT_BYTES_LIMIT: usize = 16 << 20;
/// Requests taken from the queue before the socket is looked at again.
const REQUESTS_AT_ONCE: usize = 256;
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
}

/// One entry of the queue to the apply thread, with the share of the queue's bytes that it holds.
pub(crate) struct Queued {
    pub(crate) event: Event,
    pub(crate) bytes: u32,
}

/// The queue to the apply thread: bounded in entries by the channel, in bytes by the semaphore.
#[derive(Clone)]
pub(crate) struct ApplyQueue {
    pub(crate) sender: mpsc::Sender<Queued>,
    pub(crate) room: Arc<Semaphore>,
}

/// Asks all candidates side by side, again and again, until one answers OBSERVERINFO; the others
/// are dropped at that moment.
pub(crate) async fn seek(
    candidates: Vec<Candidate>,
    settings: &Settings,
    link: &LinkSettings,
    network: &Arc<dyn Network>,
) -> Option<Wire> {
    let mut attempts = JoinSet::new();
    for candidate in candidates {
        let backoff = Backoff::new(link.retry_first, link.retry_longest);
        let patience = link.connect_timeout;
        let network = Arc::clone(network);
        attempts.spawn(pursue(
            network,
            candidate,
            settings.clone(),
            patience,
            backoff,
        ));
    }
    attempts.join_next().await?.ok()
}

/// Asks one candidate until it answers.
async fn pursue(
    network: Arc<dyn Network>,
    candidate: Candidate,
    settings: Settings,
    connect_timeout: Duration,
    mut backoff: Backoff,
) -> Wire {
    sleep(PREFERENCE_STEP * candidate.preference).await;
    loop {
        match Wire::register(
            &*network,
            candidate.clone(),
            settings.clone(),
            connect_timeout,
        )
        .await
        {
            Ok(wire) => return wire,
            Err(lost) => tracing::debug!(%candidate, %lost, "no learner master here"),
        }
        sleep(backoff.delay()).await;
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
    /// link goes with the `Wire`.
    pub(crate) async fn drive(
        mut self,
        shared: &Shared,
        answers: &dyn Answers,
        requests: &mut mpsc::Receiver<Request>,
        apply: &ApplyQueue,
    ) -> Lost {
        let began = clock::now();
        shared.status.set_state(LinkState::Synchronizing);
        shared.status.set_master(Some(Master {
            candidate: self.candidate.clone(),
            epoch: self.learner.epoch(),
            since: began,
        }));
        match self.exchange(began, shared, answers, requests, apply).await {
            Ok(()) => Lost::Stopped,
            Err(lost) => lost,
        }
    }

    async fn exchange(
        &mut self,
        began: Instant,
        shared: &Shared,
        answers: &dyn Answers,
        requests: &mut mpsc::Receiver<Request>,
        apply: &ApplyQueue,
    ) -> Result<(), Lost> {
        // What came together with the answer to OBSERVERINFO.
        self.take_events(shared, apply).await?;
        let mut written = 0;
        let mut progress = Progress::new(began);
        loop {
            if written == self.output.len() {
                self.output.clear();
                written = 0;
                self.learner.take_output(&mut self.output);
            }
            if self.learner.output_len() > OUTPUT_BYTES_LIMIT {
                return Err(Lost::Misbehaved("it does not read what it is sent".into()));
            }
            let has_room = self.learner.is_following()
                && self.learner.output_len() < OUTPUT_BYTES_MAX
                && shared.writes.len() < shared.in_flight_max;
            let deadline = self.learner.deadline();
            tokio::select! {
                biased;
                () = shared.give_up.notified() => return Err(shared.give_up_reason()),
                read = read_some(&mut self.reader, &mut self.input) => {
                    let read = read?;
                    shared.status.bytes_received.fetch_add(read as u64, Ordering::Relaxed);
                    let outcome = self.learner.handle_input(
                        clock::now(),
                        &mut self.input,
                        &|table| answers.take_touched(table),
                    );
                    // What came before the error is as good as ever.
                    self.take_events(shared, apply).await?;
                    outcome?;
                    // The master's PINGs bring us here often enough.
                    if shared.suspicion.lock().must_heal(clock::now()) {
                        return Err(Lost::Diverged);
                    }
                    progress.show(self, shared);
                }
                wrote = self.writer.write(&self.output[written..]), if written < self.output.len() => {
                    let wrote = wrote?;
                    shared.status.bytes_sent.fetch_add(wrote as u64, Ordering::Relaxed);
                    written += wrote;
                }
                request = requests.recv(), if has_room => match request {
                    Some(request) => self.submit_with_followers(request, shared, requests),
                    None => return Ok(()),
                },
                // What came back was counted as in flight until the apply thread had it.
                () = shared.came_back.notified(), if !has_room => {}
                () = sleep_until(deadline.into()) => return Err(self.learner.silence()),
            }
        }
    }

    /// Submits a request and those that wait right behind it.
    fn submit_with_followers(
        &mut self,
        first: Request,
        shared: &Shared,
        requests: &mut mpsc::Receiver<Request>,
    ) {
        self.submit(first, shared);
        for _ in 1..REQUESTS_AT_ONCE {
            match requests.try_recv() {
                Ok(request) => self.submit(request, shared),
                Err(_) => break,
            }
        }
    }

    /// Registers before sending: the answer may come before the next instruction is executed.
    fn submit(&mut self, request: Request, shared: &Shared) {
        if !shared.is_current(request.attachment()) {
            return;
        }
        shared
            .status
            .requests_forwarded
            .fetch_add(1, Ordering::Relaxed);
        match request {
            Request::Forward {
                pending,
                body,
                authinfo,
                ..
            } => {
                shared.writes.register(pending);
                self.learner.submit(&Forwarded {
                    request: ForwardedRequest {
                        session: pending.session,
                        cxid: pending.cxid,
                        op: pending.op.code(),
                        body: &body,
                    },
                    authinfo: authinfo.as_deref(),
                });
            }
            Request::Revalidate {
                origin,
                session,
                timeout_ms,
                ..
            } => {
                shared.writes.register_revalidation(session, origin);
                self.learner.revalidate(session, timeout_ms);
            }
        }
    }

    /// Hands what the learner found to the apply thread. When that thread's queue stays full for
    /// longer than the patience, the link is given up, so that the leader need not queue for us (P9).
    async fn take_events(&mut self, shared: &Shared, apply: &ApplyQueue) -> Result<(), Lost> {
        shared.status.note_leader_zxid(self.learner.leader_zxid());
        while let Some(event) = self.learner.poll_event() {
            let queued = apply.weigh(event, shared);
            match timeout(shared.overrun_patience, apply.push(queued)).await {
                Ok(pushed) => pushed?,
                Err(_) => return Err(Lost::Overrun(shared.overrun_patience)),
            }
        }
        Ok(())
    }
}

impl ApplyQueue {
    fn weigh(&self, event: Event, shared: &Shared) -> Queued {
        let length = match &event {
            Event::Committed { bytes, .. } => bytes.len(),
            _ => 0,
        };
        // One transaction always fits: it takes the whole queue at most.
        let bytes = u32::try_from(length.min(shared.apply_queue_bytes_max)).unwrap_or(u32::MAX);
        Queued { event, bytes }
    }

    /// Waits for room, then queues. Fails only when the apply thread is gone.
    pub(crate) async fn push(&self, queued: Queued) -> Result<(), Lost> {
        if queued.bytes > 0 {
            match self.room.acquire_many(queued.bytes).await {
                // Given back by the apply thread.
                Ok(room) => room.forget(),
                Err(_) => return Err(Lost::Stopped),
            }
        }
        self.sender.send(queued).await.map_err(|_| Lost::Stopped)
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

/// Says how a long snapshot is getting on, every few seconds.
struct Progress {
    began: Instant,
    shown: Instant,
    following: bool,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(5);

    fn new(began: Instant) -> Progress {
        Progress {
            began,
            shown: began,
            following: false,
        }
    }

    fn show(&mut self, wire: &Wire, shared: &Shared) {
        if self.following {
            return;
        }
        let nodes = wire.learner.snapshot_progress().unwrap_or(0);
        shared
            .status
            .snapshot_nodes
            .store(nodes as u64, Ordering::Relaxed);
        if nodes > 0 && clock::now().saturating_duration_since(self.shown) >= Self::EVERY {
            self.shown = clock::now();
            let seconds = clock::now().saturating_duration_since(self.began).as_secs();
            tracing::info!(znodes = nodes, seconds, "the snapshot is arriving");
        }
        if wire.learner.is_following() {
            self.following = true;
            let took = u64::try_from(
                clock::now()
                    .saturating_duration_since(self.began)
                    .as_millis(),
            )
            .unwrap_or(u64::MAX);
            shared.status.last_sync_ms.store(took, Ordering::Relaxed);
            shared.status.synchronizations.note(took, 1);
            shared.status.set_state(LinkState::Attached);
        }
    }
}
