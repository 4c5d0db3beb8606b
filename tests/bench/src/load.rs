//! Clients that read as fast as they are answered, with a fixed number of requests outstanding.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bstr::BStr;
use outpost_tests::observer::Observer;
use outpost_wire::proto::{ConnectRequest, GetDataRequest, RequestHeader};
use outpost_wire::{OpCode, Record, SessionId, Writer, Xid, Zxid, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::populate::{DATA_BYTES, path};
use crate::process::cpu_seconds;

/// A load to put on an observer.
pub(crate) struct Load {
    /// Client connections.
    pub(crate) connections: usize,
    /// Requests that each connection keeps outstanding.
    pub(crate) outstanding: usize,
    /// Znodes to choose from.
    pub(crate) znodes: usize,
    /// How long.
    pub(crate) duration: Duration,
}

/// What one run has shown.
pub(crate) struct Measured {
    /// Reads answered per second.
    pub(crate) per_second: f64,
    /// Median latency, µs.
    pub(crate) p50_us: f64,
    /// 99th percentile of latency, µs.
    pub(crate) p99_us: f64,
    /// CPU time of the observer per read, µs.
    pub(crate) cpu_us: f64,
}

impl Load {
    /// Puts the load on `observer`.
    pub(crate) fn run(&self, observer: &Observer) -> Measured {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let cpu_before = cpu_seconds(observer.running());
        let began = Instant::now();
        let mut latencies = runtime.block_on(self.read_until(observer.client_address(), began));
        let seconds = began.elapsed().as_secs_f64();
        let cpu = cpu_seconds(observer.running()) - cpu_before;
        latencies.sort_unstable();
        let count = latencies.len();
        assert!(count > 0, "nothing was answered");
        let percentile = |share: f64| f64::from(latencies[(count as f64 * share) as usize]);
        Measured {
            per_second: count as f64 / seconds,
            p50_us: percentile(0.5),
            p99_us: percentile(0.99),
            cpu_us: cpu * 1e6 / count as f64,
        }
    }

    async fn read_until(&self, server: SocketAddr, began: Instant) -> Vec<u32> {
        let local = tokio::task::LocalSet::new();
        let until = began + self.duration;
        let clients: Vec<_> = (0..self.connections)
            .map(|number| {
                let (outstanding, znodes) = (self.outstanding, self.znodes);
                local.spawn_local(async move {
                    let mut client = Client::connect(server, number, znodes).await?;
                    client.read(outstanding, until).await
                })
            })
            .collect();
        local.await;
        let mut latencies = Vec::new();
        for client in clients {
            let of_one = client
                .await
                .expect("a client's task")
                .expect("a client's connection");
            latencies.extend(of_one);
        }
        latencies
    }
}

/// One connection. Only as much of a client as the load needs: requests are prepared in bytes, replies
/// are counted by their frames, and their errors checked.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    requests: Vec<Vec<u8>>,
    next: usize,
    asked: VecDeque<Instant>,
}

/// How many different requests a client goes through.
const REQUESTS: usize = 512;

impl Client {
    async fn connect(server: SocketAddr, number: usize, znodes: usize) -> io::Result<Client> {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            time_out: 30_000,
            session_id: SessionId::NONE,
            passwd: Some(&[0; 16]),
            read_only: Some(false),
        };
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).with_length(|writer| request.write(writer));
        stream.write_all(&bytes).await?;
        let requests = (0..REQUESTS)
            .map(|index| get_data(&path((number * 7_919 + index * 104_729) % znodes)))
            .collect();
        let mut client = Client {
            stream,
            input: Vec::new(),
            requests,
            next: 0,
            asked: VecDeque::new(),
        };
        // The answer to the connect request.
        client.take_frames(1, |_| {}).await?;
        Ok(client)
    }

    async fn read(&mut self, outstanding: usize, until: Instant) -> io::Result<Vec<u32>> {
        let mut latencies = Vec::with_capacity(1 << 20);
        self.ask(outstanding).await?;
        while !self.asked.is_empty() {
            let mut answered = Vec::new();
            self.take_frames(1, |frame| answered.push(is_ok(frame)))
                .await?;
            let now = Instant::now();
            for ok in &answered {
                assert!(ok, "a read failed");
                let asked = self
                    .asked
                    .pop_front()
                    .expect("a reply that was not asked for");
                let us = now.duration_since(asked).as_micros();
                latencies.push(u32::try_from(us).unwrap_or(u32::MAX));
            }
            if now < until {
                self.ask(answered.len()).await?;
            }
        }
        Ok(latencies)
    }

    async fn ask(&mut self, count: usize) -> io::Result<()> {
        let mut bytes = Vec::new();
        for _ in 0..count {
            bytes.extend_from_slice(&self.requests[self.next % REQUESTS]);
            self.next += 1;
        }
        let now = Instant::now();
        self.asked.extend(std::iter::repeat_n(now, count));
        self.stream.write_all(&bytes).await
    }

    /// Reads until at least `count` frames are there, and takes all that are whole.
    async fn take_frames(&mut self, count: usize, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut taken = 0;
        while taken < count {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut at = 0;
            while let Ok(Some(frame)) = frame::split(&self.input[at..], frame::FRAME_BYTES_MAX) {
                each(frame);
                at += 4 + frame.len();
                taken += 1;
            }
            self.input.drain(..at);
        }
        Ok(())
    }
}

fn get_data(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).with_length(|writer| {
        RequestHeader {
            xid: Xid(1),
            op: OpCode::GetData.code(),
        }
        .write(writer);
        GetDataRequest {
            path: BStr::new(path),
            watch: false,
        }
        .write(writer);
    });
    bytes
}

/// Whether a reply carries no error and the znode's data.
fn is_ok(frame: &[u8]) -> bool {
    frame.get(12..16) == Some(&[0; 4][..]) && frame.len() > 16 + DATA_BYTES
}
