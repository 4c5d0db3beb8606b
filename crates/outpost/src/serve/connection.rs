//! One client's connection, from accept to close.
//!
//! The task reads what is there, serves it in turns (see [`turn`]) and writes once. What carries the bytes
//! is all the same to it: a socket, TLS over one, or a simulated network.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use outpost_forward::clock;
use outpost_wire::Zxid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Sleep, sleep_until};

use crate::limits::{ANSWER_BYTES_PER_TURN, FIRST_READ_BYTES, READ_BYTES};
use crate::reached::Limit;
use crate::serve::client::{Cause, Client, ClientState};
use crate::serve::four_letter;
use crate::serve::request_throttle::{Place, Standing, Throttle};
use crate::serve::service::Service;
use crate::serve::turn::{self, Turn};
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
    /// Its request has waited for longer than its session's timeout.
    #[error("its request has waited for longer than its session's timeout")]
    Stale,
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
    /// The mirror is not attached, and the client wants more than to read.
    #[error("only read-only clients are served: no link to the ensemble")]
    ReadOnly,
    /// The mirror is not attached, and the session is not one that ends with this process.
    #[error("its session cannot be asked after: no link to the ensemble")]
    NotOurs,
    /// The link was lost, or has been silent, for so long that the leader could have expired the session.
    #[error("its lease is over")]
    LeaseOver,
    /// The link was lost for longer than the hold time.
    #[error("the hold is over")]
    HoldOver,
    /// Somebody else ended it.
    #[error("cut off")]
    Cut,
}

/// One client's connection.
pub struct Connection<S> {
    channel: Channel<S>,
    client: Arc<Client>,
    service: Arc<Service>,
    worker: Arc<WorkerStats>,
    /// The first four bytes have been looked at.
    recognized: bool,
    /// Its place in the line of those who wait until fewer requests are in work.
    line: Option<Pin<Box<dyn Future<Output = Option<Place>>>>>,
    /// Its last turn made as much as one turn may.
    has_much_to_say: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection that was just accepted.
    pub fn new(
        stream: S,
        client: Arc<Client>,
        service: Arc<Service>,
        worker: Arc<WorkerStats>,
    ) -> Connection<S> {
        // The first thing it does is to make room for what it reads.
        client.note_input(FIRST_READ_BYTES);
        Connection {
            channel: Channel::new(stream),
            client,
            service,
            worker,
            recognized: false,
            line: None,
            has_much_to_say: false,
        }
    }

    /// Serves the client until the connection ends, then frees everything held for it.
    pub async fn run(mut self) {
        let ended = match self.serve().await {
            Ok(()) => Ended::Done,
            Err(ended) => ended,
        };
        self.bury(&ended);
        // Ahead of closing: a client that has sent more meanwhile sees an end and not a reset. An error
        // means that it is gone already. Nothing is waited for: over TLS there is something to write, and one that
        // never reads would keep its socket and its seat for ever.
        let stream = &mut self.channel.stream;
        let once = |cx: &mut Context<'_>| Poll::Ready(Pin::new(&mut *stream).poll_shutdown(cx));
        let _ = poll_fn(once).await;
    }

    async fn serve(&mut self) -> Result<(), Ended> {
        let worker = Arc::clone(&self.worker);
        let alarm = sleep_until(self.next_deadline(true).into());
        tokio::pin!(alarm);
        loop {
            if !self.recognized && self.channel.input.len() >= 4 {
                self.recognized = true;
                if let Some(word) = four_letter::recognize(&self.channel.input) {
                    return self.answer_word(word).await;
                }
            }
            let lane = match self.has_much_to_say {
                true => Some(worker.lane.enter().await),
                false => None,
            };
            let turn = self.turn()?;
            self.has_much_to_say = self.channel.unsent.len() >= ANSWER_BYTES_PER_TURN;
            self.channel.write_now(&self.worker).await?;
            self.note_written();
            if let Some(lane) = lane {
                lane.leave().await;
            }
            if turn.ends && self.channel.is_drained() {
                return Ok(());
            }
            if turn.more && self.channel.is_drained() {
                tokio::task::yield_now().await;
                continue;
            }
            // A session's timeout can be shorter than the time a connection has to get one.
            let deadline = self.next_deadline(turn.reads).into();
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            self.wait(&turn, alarm.as_mut()).await?;
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self, turn: &Turn, mut alarm: Pin<&mut Sleep>) -> Result<(), Ended> {
        let reads = turn.reads || self.listens(turn);
        self.stand_in_line(turn.wants_place);
        tokio::select! {
            biased;
            () = self.client.woken() => {}
            exchanged = self.channel.exchange(reads, &self.client, &self.worker) => {
                if let Exchanged::Read = exchanged? {
                    self.client.note_input(self.channel.input_bytes);
                    self.client.note_heard(clock::now());
                    // What it says now may stand behind what waits; it has shown itself all the same.
                    if turn.wants_place {
                        self.client.touch();
                    }
                }
            }
            place = place_in(&mut self.line) => {
                self.line = None;
                self.client.state().throttle.give(place);
            }
            permit = self.service.link.reserve(), if turn.wants_link => {
                if permit.is_none() {
                    return Err(Ended::NotServing);
                }
            }
            () = &mut alarm => {
                // Whoever is not being read cannot be blamed for silence. The lease is the next turn's to look at.
                if turn.reads && self.silence_ends() <= clock::now() {
                    return Err(self.silent());
                }
                alarm.reset(self.next_deadline(turn.reads).into());
            }
        }
        Ok(())
    }

    /// Whether a client that waits for others is listened to, to notice when it leaves.
    fn listens(&self, turn: &Turn) -> bool {
        let throttle = self.service.throttle.as_ref();
        turn.wants_place
            && self.channel.input.len() < READ_BYTES
            && throttle.is_some_and(Throttle::notices_leaving)
    }

    /// Takes its place in the line, keeps it, or leaves it.
    fn stand_in_line(&mut self, wants_place: bool) {
        match &self.service.throttle {
            Some(throttle) if wants_place => {
                if self.line.is_none() {
                    self.line = Some(Box::pin(throttle.enter()));
                }
            }
            _ => self.line = None,
        }
    }

    /// The stream has taken some of what was on its way.
    fn note_written(&self) {
        let client = &self.client;
        client.note_unsent(self.channel.unsent.len());
        if client.share.bytes() > 0 {
            let unread = client.unsent() + client.state().out.len();
            self.service.clients.note_unread(client, unread);
        }
    }

    /// Serves what is in the read buffer and takes what is in the outbox.
    fn turn(&mut self) -> Result<Turn, Ended> {
        let turn = turn::take(
            &self.service,
            &self.client,
            &self.worker,
            &self.channel.input,
            &mut self.channel.unsent,
        )?;
        self.channel.input.advance(turn.consumed);
        Ok(turn)
    }

    async fn answer_word(&mut self, word: four_letter::Word) -> Result<(), Ended> {
        let (stream, input) = (&mut self.channel.stream, &self.channel.input);
        let (service, client) = (&self.service, &self.client);
        four_letter::serve(service, client, &self.worker, word, stream, input).await
    }

    /// When the connection counts as dead unless something comes. ZooKeeper counts output as a sign
    /// of life too; here only the client's own word counts, as for the leader.
    fn silence_ends(&self) -> Instant {
        self.client.heard() + self.patience()
    }

    /// When to look again whether the connection may go on.
    fn next_deadline(&self, reads: bool) -> Instant {
        let silence_ends = match reads {
            true => self.silence_ends(),
            false => clock::now() + self.patience(),
        };
        let lease_ends = self.client.lease_ends();
        lease_ends.map_or(silence_ends, |ends| ends.min(silence_ends))
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

    /// Counts the requests of a client that has left while they waited for others.
    fn note_dropped(&self, state: &ClientState, ended: &Ended) {
        if state.throttle.waits() && matches!(ended, Ended::Closed | Ended::Io(_)) {
            let dropped = &self.service.stats.throttle.stale_dropped;
            let frames = turn::complete_frames(&self.service, &self.channel.input);
            dropped.fetch_add(frames, Ordering::Relaxed);
        }
    }

    /// Frees everything held for the connection. Its session stays, for the client to take elsewhere.
    fn bury(&mut self, ended: &Ended) {
        let stats = &self.service.stats;
        let (session, peer) = (self.client.session(), self.client.peer);
        if matches!(ended, Ended::Closed | Ended::Io(_)) {
            stats.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(ended, Ended::Malformed(_) | Ended::FrameLength(_)) {
            stats.malformed.fetch_add(1, Ordering::Relaxed);
        }
        match ended {
            Ended::TooLarge => {
                stats.large_rejected.fetch_add(1, Ordering::Relaxed);
                stats.reached.note(Limit::LargeRequests, peer);
            }
            Ended::Throttled => {
                stats.rejected.fetch_add(1, Ordering::Relaxed);
                stats.reached.note(Limit::ConnectRate, peer);
            }
            Ended::FrameLength(_) => stats.reached.note(Limit::FrameBytes, peer),
            Ended::NotServing => _ = stats.closed_not_serving.fetch_add(1, Ordering::Relaxed),
            Ended::LeaseOver => stats.note_closed(Cause::Lease),
            Ended::HoldOver => stats.note_closed(Cause::Hold),
            _ => {}
        }
        if let (Ended::Cut, Some(cause)) = (ended, self.client.cut_cause()) {
            stats.note_closed(cause);
        }
        tracing::debug!(%session, %peer, why = %ended, "connection ended");
        self.service.clients.forget(&self.client);
        if self.client.is_local() {
            self.service
                .local_sessions
                .left(session, self.client.heard());
        }
        self.line = None;
        {
            let mut state = self.client.state();
            self.note_dropped(&state, ended);
            state.throttle = Standing::default();
            state.pipeline.clear();
            state.out = Vec::new();
        }
        // Under the tree's guard, so that no watch of this turn is left behind it.
        let guard = self.service.mirror.read();
        guard.watches().remove_watcher(self.client.watcher());
    }
}

/// The place that was stood in line for; never without a line.
async fn place_in(
    line: &mut Option<Pin<Box<dyn Future<Output = Option<Place>>>>>,
) -> Option<Place> {
    match line {
        Some(line) => line.await,
        None => pending().await,
    }
}

/// The stream with what was read from it and what is on its way into it.
struct Channel<S> {
    stream: S,
    input: BytesMut,
    /// Memory that `input` takes: its capacity when there was made room last.
    input_bytes: usize,
    /// Taken out of the outbox, being written.
    unsent: Vec<u8>,
    sent: usize,
    /// The stream has taken everything, and may not have passed it on: TLS keeps some, a socket nothing.
    unflushed: bool,
}

/// What [`Channel::exchange`] came to.
enum Exchanged {
    /// There is more input.
    Read,
    /// All output is written.
    Wrote,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    fn new(stream: S) -> Channel<S> {
        Channel {
            stream,
            input: BytesMut::new(),
            input_bytes: 0,
            unsent: Vec::new(),
            sent: 0,
            unflushed: false,
        }
    }

    fn is_drained(&self) -> bool {
        self.unsent.is_empty() && !self.unflushed
    }

    /// Writes as much as the stream takes now, without waiting.
    async fn write_now(&mut self, worker: &WorkerStats) -> io::Result<()> {
        let once = |cx: &mut Context<'_>| match self.poll_write(cx, worker) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        };
        poll_fn(once).await
    }

    /// Writes what there is to write, and reads, if that is wanted, whichever can be done first. Whoever leaves too much
    /// unread is not read; what it takes is then its sign of life, because its PINGs are not seen. Nothing is lost
    /// when this is dropped before it is ready.
    async fn exchange(
        &mut self,
        reads: bool,
        client: &Client,
        worker: &WorkerStats,
    ) -> Result<Exchanged, Ended> {
        poll_fn(|cx| {
            if !self.is_drained() {
                let before = self.sent;
                if let Poll::Ready(written) = self.poll_write(cx, worker) {
                    written?;
                    return Poll::Ready(Ok(Exchanged::Wrote));
                }
                if !reads && self.sent > before {
                    client.touch();
                    client.note_heard(clock::now());
                }
            }
            if !reads {
                return Poll::Pending;
            }
            let read = ready!(self.poll_read(cx))?;
            worker
                .bytes_received
                .fetch_add(read as u64, Ordering::Relaxed);
            Poll::Ready(Ok(Exchanged::Read))
        })
        .await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, worker: &WorkerStats) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            let rest = &self.unsent[self.sent..];
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
            self.unflushed = true;
            worker
                .bytes_sent
                .fetch_add(written as u64, Ordering::Relaxed);
        }
        self.sent = 0;
        if self.unsent.capacity() > READ_BYTES {
            self.unsent = Vec::new();
        }
        self.unsent.clear();
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what is there, at least one byte.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Ended>> {
        let input = &mut self.input;
        if input.capacity() - input.len() < FIRST_READ_BYTES {
            // A client that filled the buffer gets a larger one; an idle one keeps little.
            input.reserve(if input.is_empty() {
                FIRST_READ_BYTES
            } else {
                READ_BYTES
            });
            self.input_bytes = input.capacity();
        }
        match ready!(pin!(self.stream.read_buf(input)).poll(cx))? {
            0 => Poll::Ready(Err(Ended::Closed)),
            read => Poll::Ready(Ok(read)),
        }
    }
}
