//! Clients that all come at one time over TLS, in a process of their own. Each opens a session, and keeps it alive with
//! pings as libraries do; who is not let in tries again.
//!
//! They have the priority of everybody: a client without time for its part of a handshake would be its server's failure.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use outpost_tests::offenders::address;
use outpost_wire::OpCode;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::line::{Line, Opened, Session, Way, bare_request};
use crate::part::say;
use crate::protect::attacks::run_until_over;

/// Clients of one address.
const PER_ADDRESS: usize = 100;
/// A client that was not let in, or was lost, comes again after a random time up to this, as Java's does.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(1);

/// What a part of the storm is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    pub(super) server: SocketAddr,
    /// The certificate that is believed.
    pub(super) trust: PathBuf,
    /// Clients of this part.
    #[arg(long)]
    pub(super) clients: usize,
    /// The number of the first one.
    #[arg(long)]
    pub(super) first: usize,
    /// Who has this number, or a higher one, closes its session as soon as it has it.
    #[arg(long)]
    pub(super) stay: usize,
    /// The timeout of their sessions, in milliseconds.
    #[arg(long)]
    pub(super) timeout_ms: i32,
}

impl Arguments {
    /// The same in words, for a process to be started with.
    pub(super) fn words(&self) -> Vec<String> {
        vec![
            "storm".into(),
            self.server.to_string(),
            self.trust.display().to_string(),
            format!("--clients={}", self.clients),
            format!("--first={}", self.first),
            format!("--stay={}", self.stay),
            format!("--timeout-ms={}", self.timeout_ms),
        ]
    }
}

/// How far the storm has come.
#[derive(Default)]
struct Tally {
    came: RefCell<Vec<Duration>>,
    open: Cell<usize>,
    tries: Cell<usize>,
    lost: Cell<usize>,
    expired: Cell<usize>,
}

fn add(count: &Cell<usize>, what: isize) {
    count.set(count.get().saturating_add_signed(what));
}

/// Comes, and stays until it is told to end.
pub(crate) fn run(arguments: &Arguments) {
    run_until_over(async || come(arguments).await);
}

async fn come(arguments: &Arguments) {
    let tally = Rc::new(Tally::default());
    let way = Way::secure(arguments.server, &arguments.trust);
    let began = Instant::now();
    for number in arguments.first..arguments.first + arguments.clients {
        let client = Client {
            way: way.clone(),
            number,
            session: Session::new(arguments.timeout_ms),
            timeout: Duration::from_millis(u64::from(arguments.timeout_ms.unsigned_abs())),
            stays: number < arguments.stay,
            began,
            is_in: false,
            tally: Rc::clone(&tally),
        };
        spawn_local(client.live());
    }
    loop {
        {
            let came = tally.came.borrow();
            say("in", came.len() as f64);
            let last = came.last().map_or(f64::NAN, Duration::as_secs_f64);
            say("last in after, s", last);
            say("open", tally.open.get() as f64);
            say("tries", tally.tries.get() as f64);
            say("lost", tally.lost.get() as f64);
            say("expired", tally.expired.get() as f64);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

struct Client {
    way: Way,
    number: usize,
    session: Session,
    timeout: Duration,
    stays: bool,
    began: Instant,
    is_in: bool,
    tally: Rc<Tally>,
}

impl Client {
    async fn live(mut self) {
        loop {
            add(&self.tally.tries, 1);
            match timeout(self.timeout, self.open()).await {
                Ok(Ok(Opened::Line(mut line))) => {
                    if !self.is_in {
                        self.is_in = true;
                        self.tally.came.borrow_mut().push(self.began.elapsed());
                    }
                    if !self.stays {
                        let _ = line.send(&bare_request(OpCode::CloseSession)).await;
                        let _ = timeout(self.timeout, line.frame()).await;
                        return;
                    }
                    add(&self.tally.open, 1);
                    let _ = self.stay(line).await;
                    add(&self.tally.open, -1);
                    add(&self.tally.lost, 1);
                }
                Ok(Ok(Opened::Expired)) => {
                    add(&self.tally.expired, 1);
                    self.session = Session::new(10_000);
                }
                Ok(Err(_)) | Err(_) => {}
            }
            sleep(COMES_BACK_WITHIN.mul_f64(fastrand::f64())).await;
        }
    }

    async fn open(&mut self) -> io::Result<Opened> {
        let from = address(self.number / PER_ADDRESS);
        let stream = self.way.connect(from).await?;
        Line::open(stream, &mut self.session).await
    }

    /// Pings until the connection is lost.
    async fn stay(&self, mut line: Line) -> io::Result<()> {
        let ping = bare_request(OpCode::Ping);
        loop {
            sleep(self.timeout / 3).await;
            line.send(&ping).await?;
            timeout(self.timeout * 2 / 3, line.frame()).await??;
        }
    }
}
