//! Well-behaved clients: each asks at a steady pace, reads mostly, and measures how long it waits. Whoever loses its
//! connection comes back with its session, as client libraries do.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bstr::BStr;
use outpost_wire::OpCode;
use outpost_wire::proto::{GetDataRequest, SetDataRequest};
use tokio::task::LocalSet;
use tokio::time::{sleep, sleep_until, timeout};

use crate::line::{Line, Opened, Session, Way, bare_request, request};
use crate::populate::path;
use crate::report::median_of_sorted;

/// Of so many requests one is a write.
const WRITE_EVERY: usize = 10;
/// Where they come from: nobody else does.
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Who is there.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) way: Way,
    pub(crate) clients: usize,
    /// Between two requests of one client.
    pub(crate) pace: Duration,
    pub(crate) session_timeout_ms: i32,
    /// Znodes to read; each client writes one of its own.
    pub(crate) znodes: usize,
}

/// One request that was answered in the end, if need be on another connection, or never.
#[derive(Clone, Copy)]
struct Sample {
    wanted: Instant,
    waited: Duration,
    write: bool,
}

/// What one client has felt.
#[derive(Default)]
struct Felt {
    samples: Vec<Sample>,
    lost: usize,
    expired: usize,
}

/// Clients at work.
pub(crate) struct Paced {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Felt>>,
}

/// What all of them have felt.
pub(crate) struct AllFelt {
    samples: Vec<Sample>,
    /// Connections that were lost.
    pub(crate) lost: usize,
    /// Sessions that were lost.
    pub(crate) expired: usize,
    /// Clients that lost neither.
    pub(crate) untouched: usize,
}

/// Waits of a time, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) longest: f64,
}

impl Paced {
    /// Starts the clients, and returns when each has its session.
    pub(crate) fn start(plan: Plan) -> Paced {
        let stop = Arc::new(AtomicBool::new(false));
        let there = Arc::new(AtomicUsize::new(0));
        let clients = plan.clients;
        let thread = std::thread::spawn({
            let (stop, there) = (Arc::clone(&stop), Arc::clone(&there));
            move || live_all(&plan, &stop, &there)
        });
        while there.load(Ordering::Relaxed) < clients {
            assert!(!thread.is_finished(), "the clients have ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        Paced { stop, thread }
    }

    pub(crate) fn stop(self) -> AllFelt {
        self.stop.store(true, Ordering::Relaxed);
        let felt = self.thread.join().expect("the clients end");
        AllFelt {
            lost: felt.iter().map(|felt| felt.lost).sum(),
            expired: felt.iter().map(|felt| felt.expired).sum(),
            untouched: felt.iter().filter(|felt| felt.lost == 0).count(),
            samples: felt.into_iter().flat_map(|felt| felt.samples).collect(),
        }
    }
}

impl AllFelt {
    /// How long those waited who wanted something in this time.
    pub(crate) fn waits(&self, from: Instant, until: Instant, writes: bool) -> Waits {
        let within = |sample: &&Sample| {
            sample.write == writes && sample.wanted >= from && sample.wanted < until
        };
        let samples = self.samples.iter().filter(within);
        let mut ms: Vec<f64> = samples
            .map(|sample| sample.waited.as_secs_f64() * 1e3)
            .collect();
        ms.sort_by(f64::total_cmp);
        let at = |share: f64| ms.get((ms.len() as f64 * share) as usize).copied();
        Waits {
            p50: median_of_sorted(&ms),
            p99: at(0.99).unwrap_or(f64::NAN),
            longest: ms.last().copied().unwrap_or(f64::NAN),
        }
    }
}

fn live_all(plan: &Plan, stop: &Arc<AtomicBool>, there: &Arc<AtomicUsize>) -> Vec<Felt> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let local = LocalSet::new();
    let clients: Vec<_> = (0..plan.clients)
        .map(|number| {
            let client = Client::new(plan.clone(), number, Arc::clone(stop), Arc::clone(there));
            local.spawn_local(client.live())
        })
        .collect();
    runtime.block_on(local);
    runtime.block_on(async {
        let mut all = Vec::new();
        for client in clients {
            all.push(client.await.expect("a client's task"));
        }
        all
    })
}

struct Client {
    plan: Plan,
    number: usize,
    stop: Arc<AtomicBool>,
    there: Arc<AtomicUsize>,
    session: Session,
    felt: Felt,
    asked: usize,
    due: Instant,
    /// What is not answered yet, and since when that is wanted.
    wanted: Option<Instant>,
}

impl Client {
    fn new(plan: Plan, number: usize, stop: Arc<AtomicBool>, there: Arc<AtomicUsize>) -> Client {
        Client {
            session: Session::new(plan.session_timeout_ms),
            number,
            stop,
            there,
            felt: Felt::default(),
            asked: number,
            due: Instant::now() + plan.pace.mul_f64(fastrand::f64()),
            wanted: None,
            plan,
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// As long as a library waits for a server before it tries another one.
    fn patience(&self) -> Duration {
        Duration::from_millis(2 * u64::from(self.plan.session_timeout_ms.unsigned_abs()) / 3)
    }

    async fn live(mut self) -> Felt {
        let mut was_there = false;
        while !self.is_over() {
            match timeout(self.patience(), self.open()).await {
                Ok(Ok(Opened::Line(mut line))) => {
                    if !was_there {
                        was_there = true;
                        self.there.fetch_add(1, Ordering::Relaxed);
                        self.due = Instant::now() + self.plan.pace.mul_f64(fastrand::f64());
                    }
                    if self.ask_on(&mut line).await.is_err() {
                        self.felt.lost += 1;
                    }
                }
                Ok(Ok(Opened::Expired)) => {
                    self.felt.expired += 1;
                    self.session = Session::new(self.plan.session_timeout_ms);
                }
                Ok(Err(_)) | Err(_) => {
                    sleep(Duration::from_millis(fastrand::u64(1..100))).await;
                }
            }
        }
        if let Some(wanted) = self.wanted.take() {
            // It is still waiting.
            self.note(wanted);
        }
        self.felt
    }

    async fn open(&mut self) -> io::Result<Opened> {
        let stream = self.plan.way.connect(HOME).await?;
        Line::open(stream, &mut self.session).await
    }

    /// Asks until it is over.
    async fn ask_on(&mut self, line: &mut Line) -> io::Result<()> {
        while !self.is_over() {
            if self.wanted.is_none() {
                let was_late = self.due <= Instant::now();
                sleep_until(self.due.into()).await;
                // Who could not ask in time has waited since then; but a timer that is late is nobody's fault.
                self.wanted = Some(if was_late { self.due } else { Instant::now() });
                self.due += self.plan.pace;
            }
            line.send(&self.question()).await?;
            let answer = timeout(self.patience(), line.frame()).await;
            let answer = answer.map_err(|_| io::ErrorKind::TimedOut)??;
            assert!(answer.get(12..16) == Some(&[0; 4]), "a request failed");
            if let Some(wanted) = self.wanted.take() {
                self.note(wanted);
            }
            self.asked += 1;
        }
        line.send(&bare_request(OpCode::CloseSession)).await?;
        timeout(self.patience(), line.frame()).await??;
        Ok(())
    }

    fn is_write(&self) -> bool {
        self.asked.is_multiple_of(WRITE_EVERY)
    }

    fn note(&mut self, wanted: Instant) {
        let write = self.is_write();
        self.felt.samples.push(Sample {
            wanted,
            waited: wanted.elapsed(),
            write,
        });
    }

    fn question(&self) -> Vec<u8> {
        if self.is_write() {
            let own = path(self.number % self.plan.znodes);
            let record = SetDataRequest {
                path: BStr::new(&own),
                data: Some(&[b'y'; 100]),
                version: -1,
            };
            return request(OpCode::SetData, &record);
        }
        let any = path((self.number * 7_919 + self.asked * 104_729) % self.plan.znodes);
        let path = BStr::new(&any);
        request(OpCode::GetData, &GetDataRequest { path, watch: false })
    }
}
