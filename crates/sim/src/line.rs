//! One direction of one learner's connection: what travels it arrives later, in the order sent.
//!
//! Whatever is sent is stamped with the moment of its arrival, so that a distance costs time and not
//! throughput, and one task per direction is enough.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use outpost_wire::quorum::QuorumPacket;
use outpost_wire::{DecodeError, Writer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::leader::Output;
use crate::learner::LearnerKey;

/// Longest data of a packet, as a Java leader with default settings limits it.
const PACKET_BYTES_MAX: usize = 2_097_150;
/// How much is read from the socket at once.
const READ_BYTES: usize = 64 << 10;
/// Packets on their way to the leader; at the bound the socket is not read, so the learner waits.
const INWARD_PACKETS_MAX: usize = 4_096;
/// Their bytes, likewise.
const INWARD_BYTES_MAX: usize = 16 << 20;
/// What is written to the socket at once, when it is due at once.
const WRITE_BYTES: usize = 64 << 10;
/// How long a learner may leave its socket unread while something is due; then it is cut off.
const STALL_MAX: Duration = Duration::from_secs(30);
/// What a packet takes beside its data.
const PACKET_OVERHEAD_BYTES: usize = 20;

/// What comes from a learner.
#[derive(Debug)]
pub(crate) enum Inward {
    Packet(QuorumPacket),
    /// The connection is gone.
    Gone,
}

/// Reads a learner's packets and hands each on when it has travelled for `delay`.
pub(crate) async fn read_packets(
    key: LearnerKey,
    mut socket: impl AsyncRead + Unpin,
    delay: Duration,
    leader: mpsc::Sender<(LearnerKey, Inward)>,
) {
    let mut travelling = Travelling::new(delay);
    let mut input = BytesMut::new();
    loop {
        if let Some(packet) = travelling.arrived(Instant::now()) {
            if leader.send((key, Inward::Packet(packet))).await.is_err() {
                return;
            }
            continue;
        }
        let arrival = travelling.next_arrival();
        tokio::select! {
            biased;
            read = read_some(&mut socket, &mut input), if travelling.has_room() => {
                if let Err(error) = read.and_then(|()| travelling.take_all(&mut input)) {
                    tracing::debug!(?key, %error, "a learner's connection ends");
                    break;
                }
            }
            () = sleep_until_some(arrival) => {}
        }
    }
    let gone = Instant::now() + delay;
    while let Some((arrival, packet)) = travelling.packets.pop_front() {
        sleep_until(arrival).await;
        if leader.send((key, Inward::Packet(packet))).await.is_err() {
            return;
        }
    }
    sleep_until(gone).await;
    // Fails when the leader is gone too.
    let _ = leader.send((key, Inward::Gone)).await;
}

/// Packets on their way, with the moment of their arrival.
struct Travelling {
    packets: VecDeque<(Instant, QuorumPacket)>,
    bytes: usize,
    delay: Duration,
}

impl Travelling {
    fn new(delay: Duration) -> Travelling {
        Travelling {
            packets: VecDeque::new(),
            bytes: 0,
            delay,
        }
    }

    fn has_room(&self) -> bool {
        self.packets.len() < INWARD_PACKETS_MAX && self.bytes < INWARD_BYTES_MAX
    }

    fn next_arrival(&self) -> Option<Instant> {
        self.packets.front().map(|&(arrival, _)| arrival)
    }

    fn arrived(&mut self, now: Instant) -> Option<QuorumPacket> {
        if self.next_arrival()? > now {
            return None;
        }
        let (_, packet) = self.packets.pop_front()?;
        self.bytes -= size_of_packet(&packet);
        Some(packet)
    }

    fn take_all(&mut self, input: &mut BytesMut) -> io::Result<()> {
        let arrival = Instant::now() + self.delay;
        while let Some(packet) = QuorumPacket::take(input, PACKET_BYTES_MAX).map_err(malformed)? {
            self.bytes += size_of_packet(&packet);
            self.packets.push_back((arrival, packet));
        }
        Ok(())
    }
}

fn malformed(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn size_of_packet(packet: &QuorumPacket) -> usize {
    PACKET_OVERHEAD_BYTES + packet.data.as_ref().map_or(0, Bytes::len)
}

async fn read_some(socket: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> io::Result<()> {
    input.reserve(READ_BYTES);
    match socket.read_buf(input).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Waits for a moment, or for ever without one. Timers are as coarse as a millisecond, so what is due
/// is not waited for.
pub(crate) async fn sleep_until_some(moment: Option<Instant>) {
    match moment {
        Some(moment) if moment <= Instant::now() => {}
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The leader's end of the direction to the learner. When it is dropped, the connection ends once all
/// that is travelling has arrived.
pub(crate) struct Outward {
    queue: mpsc::Sender<(Instant, Output)>,
    queued_bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    delay: Duration,
}

/// The other end of [`Outward`], for [`write_outputs`].
pub(crate) struct OutwardQueue {
    queue: mpsc::Receiver<(Instant, Output)>,
    queued_bytes: Arc<AtomicUsize>,
}

/// More than its bound waits for the learner.
#[derive(Debug)]
pub(crate) struct Full;

impl Outward {
    /// A direction with a bound on what waits in it: packets in number and in bytes, and not counting
    /// the one snapshot that a connection sees at most.
    pub(crate) fn new(
        delay: Duration,
        packets_max: usize,
        bytes_max: usize,
    ) -> (Outward, OutwardQueue) {
        let (sender, receiver) = mpsc::channel(packets_max);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let outward = Outward {
            queue: sender,
            queued_bytes: queued_bytes.clone(),
            bytes_max,
            delay,
        };
        (
            outward,
            OutwardQueue {
                queue: receiver,
                queued_bytes,
            },
        )
    }

    /// Sends something on its way.
    ///
    /// # Errors
    /// [`Full`], or the other end is gone.
    pub(crate) fn send(&self, output: Output) -> Result<(), Full> {
        let bytes = size_of(&output);
        if self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max {
            return Err(Full);
        }
        self.queue
            .try_send((Instant::now() + self.delay, output))
            .map_err(|_| Full)
    }
}

fn size_of(output: &Output) -> usize {
    match output {
        Output::Packet(packet) => size_of_packet(packet),
        Output::Snapshot(_) | Output::Close => 0,
    }
}

/// Writes what the leader sends, each thing when it has travelled for long enough, until the leader
/// closes the connection or it fails.
pub(crate) async fn write_outputs(
    key: LearnerKey,
    mut socket: impl AsyncWrite + Unpin,
    mut outward: OutwardQueue,
    leader: mpsc::Sender<(LearnerKey, Inward)>,
) {
    let mut next = outward.queue.recv().await;
    while let Some((arrival, first)) = next.take() {
        sleep_until_some(Some(arrival)).await;
        let mut buffer = Vec::new();
        let mut queued_bytes = 0;
        let mut output = first;
        let closes = loop {
            queued_bytes += size_of(&output);
            match output {
                Output::Packet(packet) => packet.write(&mut Writer::new(&mut buffer)),
                Output::Snapshot(bytes) => buffer.extend_from_slice(&bytes),
                Output::Close => break true,
            }
            next = outward.queue.try_recv().ok();
            match next.take() {
                Some((arrival, follower))
                    if buffer.len() < WRITE_BYTES && arrival <= Instant::now() =>
                {
                    output = follower;
                }
                later => {
                    next = later;
                    break false;
                }
            }
        };
        let written = timeout(STALL_MAX, socket.write_all(&buffer)).await;
        outward
            .queued_bytes
            .fetch_sub(queued_bytes, Ordering::Relaxed);
        if closes || !matches!(written, Ok(Ok(()))) {
            break;
        }
        if next.is_none() {
            next = outward.queue.recv().await;
        }
    }
    // Fails when the leader is gone too.
    let _ = leader.send((key, Inward::Gone)).await;
}

#[cfg(test)]
mod tests {
    use outpost_wire::Zxid;
    use outpost_wire::quorum::PacketType;
    use tokio::io::duplex;

    use super::*;

    const KEY: LearnerKey = LearnerKey(1);
    const DELAY: Duration = Duration::from_millis(75);

    fn packet(zxid: i64) -> QuorumPacket {
        QuorumPacket::new(
            PacketType::Ping,
            Zxid(zxid),
            Some(Bytes::from_static(b"data")),
        )
    }

    fn bytes_of(packet: &QuorumPacket) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.write(&mut Writer::new(&mut bytes));
        bytes
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_learner_sends_arrives_in_order_and_each_after_the_delay() {
        let (mut learner, socket) = duplex(1 << 20);
        let (sender, mut leader) = mpsc::channel(1);
        let reading = tokio::spawn(read_packets(KEY, socket, DELAY, sender));
        let began = Instant::now();
        for zxid in 0..10 {
            learner
                .write_all(&bytes_of(&packet(zxid)))
                .await
                .expect("written");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(learner);
        for zxid in 0..10_u32 {
            let Some((KEY, Inward::Packet(arrived))) = leader.recv().await else {
                panic!("packet {zxid} was lost");
            };
            assert_eq!(arrived, packet(i64::from(zxid)));
            // The channel takes one at a time, so some were on time before they were looked at.
            assert!(began.elapsed() >= DELAY + Duration::from_millis(10) * zxid);
        }
        assert!(matches!(leader.recv().await, Some((KEY, Inward::Gone))));
        reading.await.expect("ended");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_leader_sends_arrives_in_order_and_costs_the_delay_once() {
        let (mut learner, socket) = duplex(1 << 10);
        let (sender, mut leader) = mpsc::channel(1);
        let (outward, queue) = Outward::new(DELAY, 2_000, 1 << 20);
        let began = Instant::now();
        let mut expected = Vec::new();
        for zxid in 0..1_000 {
            outward.send(Output::Packet(packet(zxid))).expect("room");
            expected.extend(bytes_of(&packet(zxid)));
        }
        outward
            .send(Output::Snapshot(b"tree".to_vec()))
            .expect("room");
        outward.send(Output::Close).expect("room");
        expected.extend(b"tree");
        let writing = tokio::spawn(write_outputs(KEY, socket, queue, sender));
        let mut arrived = Vec::new();
        learner.read_to_end(&mut arrived).await.expect("read");
        assert_eq!(arrived, expected);
        assert_eq!(began.elapsed(), DELAY);
        assert!(matches!(leader.recv().await, Some((KEY, Inward::Gone))));
        writing.await.expect("ended");
        assert_eq!(outward.queued_bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn p6_more_than_the_bound_is_refused_in_packets_and_in_bytes() {
        let (outward, _queue) = Outward::new(DELAY, 2, 1 << 20);
        assert!(outward.send(Output::Packet(packet(1))).is_ok());
        assert!(outward.send(Output::Packet(packet(2))).is_ok());
        assert!(outward.send(Output::Packet(packet(3))).is_err());

        let two = 2 * size_of_packet(&packet(1));
        let (outward, _queue) = Outward::new(DELAY, 100, two);
        assert!(outward.send(Output::Packet(packet(1))).is_ok());
        assert!(outward.send(Output::Snapshot(vec![0; 1 << 20])).is_ok());
        assert!(outward.send(Output::Packet(packet(2))).is_ok());
        assert!(outward.send(Output::Packet(packet(3))).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn p6_a_learner_that_stops_reading_is_given_up() {
        let (_learner, socket) = duplex(16);
        let (sender, mut leader) = mpsc::channel(1);
        let (outward, queue) = Outward::new(DELAY, 10, 1 << 20);
        outward.send(Output::Packet(packet(1))).expect("room");
        let began = Instant::now();
        tokio::spawn(write_outputs(KEY, socket, queue, sender));
        assert!(matches!(leader.recv().await, Some((KEY, Inward::Gone))));
        assert_eq!(began.elapsed(), DELAY + STALL_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_are_no_packet_end_the_connection() {
        let (mut learner, socket) = duplex(1 << 10);
        let (sender, mut leader) = mpsc::channel(1);
        learner.write_all(&[0x7f; 100]).await.expect("written");
        read_packets(KEY, socket, DELAY, sender).await;
        assert!(matches!(leader.recv().await, Some((KEY, Inward::Gone))));
    }
}
