//! A connection in memory: bytes travel it for a while, stand still when the line is held, and end in the middle
//! of whatever they belong to when it is cut.
//!
//! Holds no chance: who wants a line that trembles changes its latency as it goes. All time is the runtime's, so
//! that a test which stops that clock stops the bytes too.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that may be on their way in one direction; whoever writes more waits, as before a full socket.
const BYTES_MAX: usize = 256 << 10;

/// One of the two directions of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the end that connected to the one that accepted.
    Out,
    /// From the end that accepted to the one that connected.
    Back,
}

impl Way {
    fn other(self) -> Way {
        match self {
            Way::Out => Way::Back,
            Way::Back => Way::Out,
        }
    }
}

/// Makes a connection: the end that connects, the end that accepts, and the line between them.
pub fn pipe(latency: Duration) -> (PipeEnd, PipeEnd, Line) {
    let line = Line(Arc::new(Mutex::new(Both {
        out: Lane::new(latency),
        back: Lane::new(latency),
        cut: false,
    })));
    let end = |sends| PipeEnd {
        line: line.clone(),
        sends,
        timer: None,
    };
    (end(Way::Out), end(Way::Back), line)
}

/// The line between two ends, for those who make its weather.
#[derive(Debug, Clone)]
pub struct Line(Arc<Mutex<Both>>);

impl Line {
    /// How long bytes travel that are sent from now on. They never overtake those before them.
    pub fn set_latency(&self, way: Way, latency: Duration) {
        self.both().lane(way).latency = latency;
    }

    /// While a direction is held nothing arrives at its end, not even word that the other end has gone; what is
    /// sent is kept up to a bound, and arrives when the direction is let go.
    pub fn hold(&self, way: Way, held: bool) {
        let mut both = self.both();
        let lane = both.lane(way);
        lane.held = held;
        wake(&mut lane.reader);
    }

    /// Resets the connection at both ends; what travels is lost.
    pub fn cut(&self) {
        self.both().cut();
    }

    /// Cuts the connection when so many more bytes have arrived in one direction.
    pub fn cut_after(&self, way: Way, bytes: usize) {
        let mut both = self.both();
        match bytes {
            0 => both.cut(),
            _ => both.lane(way).left = Some(bytes),
        }
    }

    /// Whether one of the ends has gone, or the line was cut.
    pub fn is_over(&self) -> bool {
        let both = self.both();
        both.cut || both.out.reader_gone || both.back.reader_gone
    }

    /// Bytes on their way in one direction.
    pub fn travelling(&self, way: Way) -> usize {
        self.both().lane(way).bytes
    }

    fn both(&self) -> MutexGuard<'_, Both> {
        // Nobody panics while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Both {
    out: Lane,
    back: Lane,
    cut: bool,
}

impl Both {
    fn lane(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::Out => &mut self.out,
            Way::Back => &mut self.back,
        }
    }

    fn cut(&mut self) {
        self.cut = true;
        for lane in [&mut self.out, &mut self.back] {
            lane.travelling.clear();
            lane.bytes = 0;
            wake(&mut lane.reader);
            wake(&mut lane.writer);
        }
    }
}

/// One direction.
#[derive(Debug)]
struct Lane {
    latency: Duration,
    /// With the moment of arrival, which never decreases.
    travelling: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// When the last of them arrives.
    last_arrival: Option<Instant>,
    /// When word arrives that nothing more comes.
    ends: Option<Instant>,
    held: bool,
    /// Bytes to arrive before the connection is cut.
    left: Option<usize>,
    /// Nobody takes what arrives.
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Lane {
    fn new(latency: Duration) -> Lane {
        Lane {
            latency,
            travelling: VecDeque::new(),
            bytes: 0,
            last_arrival: None,
            ends: None,
            held: false,
            left: None,
            reader_gone: false,
            reader: None,
            writer: None,
        }
    }

    /// When something arrives that is sent now.
    fn arrival(&mut self) -> Instant {
        let arrival = Instant::now() + self.latency;
        let arrival = self.last_arrival.map_or(arrival, |last| last.max(arrival));
        self.last_arrival = Some(arrival);
        arrival
    }

    fn send(&mut self, bytes: &[u8]) {
        if self.reader_gone {
            return;
        }
        let arrival = self.arrival();
        self.bytes += bytes.len();
        self.travelling
            .push_back((arrival, Bytes::copy_from_slice(bytes)));
        wake(&mut self.reader);
    }

    fn end(&mut self) {
        if self.ends.is_none() {
            self.ends = Some(self.arrival());
            wake(&mut self.reader);
        }
    }

    /// What comes next, and when: bytes, or the end.
    fn next_arrival(&self) -> Option<Instant> {
        let bytes = self.travelling.front().map(|(arrival, _)| *arrival);
        bytes.or(self.ends)
    }

    /// Moves what has arrived into `buffer`.
    fn take(&mut self, now: Instant, buffer: &mut ReadBuf<'_>) {
        while let Some((arrival, bytes)) = self.travelling.front_mut() {
            let room = buffer.remaining().min(self.left.unwrap_or(usize::MAX));
            if *arrival > now || room == 0 {
                break;
            }
            let taken = bytes.len().min(room);
            buffer.put_slice(&bytes[..taken]);
            bytes.advance(taken);
            self.bytes -= taken;
            if let Some(left) = &mut self.left {
                *left -= taken;
            }
            if bytes.is_empty() {
                self.travelling.pop_front();
            }
        }
        wake(&mut self.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// One end of a connection. When it is dropped, what it has sent still arrives, and then the word that it has
/// gone.
#[derive(Debug)]
pub struct PipeEnd {
    line: Line,
    sends: Way,
    timer: Option<Pin<Box<Sleep>>>,
}

impl PipeEnd {
    /// Waits for the moment, or for something to change.
    fn poll_timer(&mut self, cx: &mut Context<'_>, moment: Instant) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(moment)));
        if timer.deadline() != moment {
            timer.as_mut().reset(moment);
        }
        timer.as_mut().poll(cx)
    }
}

impl AsyncRead for PipeEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let now = Instant::now();
            let line = self.line.clone();
            let mut both = line.both();
            if both.cut {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let lane = both.lane(self.sends.other());
            let next = match lane.held {
                true => None,
                false => lane.next_arrival(),
            };
            match next {
                Some(arrival) if arrival <= now => {
                    lane.take(now, buffer);
                    if lane.left == Some(0) {
                        both.cut();
                    }
                    return Poll::Ready(Ok(()));
                }
                _ => lane.reader = Some(cx.waker().clone()),
            }
            drop(both);
            match next {
                Some(arrival) if self.poll_timer(cx, arrival).is_ready() => {}
                _ => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for PipeEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut both = self.line.both();
        if both.cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let back = both.lane(self.sends.other());
        let knows_of_end = !back.held && back.ends.is_some_and(|ends| ends <= Instant::now());
        let lane = both.lane(self.sends);
        if lane.ends.is_some() || (lane.reader_gone && knows_of_end) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = BYTES_MAX - lane.bytes.min(BYTES_MAX);
        if room == 0 {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.len().min(room);
        lane.send(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.both().lane(self.sends).end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut both = self.line.both();
        both.lane(self.sends).end();
        let taken = both.lane(self.sends.other());
        taken.reader_gone = true;
        taken.travelling.clear();
        taken.bytes = 0;
        wake(&mut taken.writer);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const LATENCY: Duration = Duration::from_millis(75);
    const LONG: Duration = Duration::from_secs(3_600);

    async fn read(end: &mut PipeEnd) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        end.read_buf(&mut bytes).await?;
        Ok(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_arrive_after_the_latency_and_never_overtake() {
        let (mut here, mut there, line) = pipe(LATENCY);
        let began = Instant::now();
        here.write_all(b"slow ").await.expect("sent");
        line.set_latency(Way::Out, Duration::ZERO);
        here.write_all(b"fast").await.expect("sent");
        assert_eq!(read(&mut there).await.expect("arrives"), b"slow fast");
        assert_eq!(began.elapsed(), LATENCY);
        there.write_all(b"back").await.expect("sent");
        assert_eq!(read(&mut here).await.expect("arrives"), b"back");
        assert_eq!(began.elapsed(), LATENCY * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_still_arrives_when_its_sender_has_gone() {
        let (mut here, mut there, _line) = pipe(LATENCY);
        here.write_all(b"last words").await.expect("sent");
        drop(here);
        assert!(there.write_all(b"not known yet").await.is_ok());
        assert_eq!(read(&mut there).await.expect("arrives"), b"last words");
        assert_eq!(read(&mut there).await.expect("the end"), b"");
        let refused = there.write_all(b"known").await.expect_err("gone");
        assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_line_is_silent_and_keeps_what_it_was_given_up_to_a_bound() {
        let (mut here, mut there, line) = pipe(LATENCY);
        line.hold(Way::Out, true);
        here.write_all(&[7; BYTES_MAX]).await.expect("kept");
        assert!(timeout(LONG, here.write_all(b"x")).await.is_err(), "full");
        assert!(timeout(LONG, read(&mut there)).await.is_err(), "silent");
        line.hold(Way::Out, false);
        let mut bytes = vec![0; BYTES_MAX];
        there.read_exact(&mut bytes).await.expect("arrives");
        assert_eq!(line.travelling(Way::Out), 0);
        here.write_all(b"x").await.expect("room again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_can_be_cut_in_the_middle_of_anything() {
        let (mut here, mut there, line) = pipe(LATENCY);
        line.cut_after(Way::Out, 6);
        here.write_all(b"whole half").await.expect("sent");
        assert_eq!(read(&mut there).await.expect("arrives"), b"whole ");
        for end in [&mut here, &mut there] {
            let reset = read(end).await.expect_err("cut");
            assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
        }
        assert!(line.is_over());
    }
}
