//! The worker threads: each has a runtime of its own and owns its connections from accept to close.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use outpost_forward::clock;
use outpost_wire::Id;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::limits::{HANDOVER_MAX, WORD_THREADS_MAX};
use crate::logs::Rarely;
use crate::serve::Seat;
use crate::serve::client::Port;
use crate::serve::connection::Connection;
use crate::serve::greeting::Secured;
use crate::serve::service::Service;

/// What is known of a connection that no worker owns yet.
pub struct Newcomer {
    /// The other end.
    pub peer: SocketAddr,
    /// Where it came in.
    pub port: Port,
    /// Who it is beside its address.
    pub ids: Vec<Id>,
    /// Its place among those of its address.
    pub seat: Seat,
}

impl Newcomer {
    /// The same, of whom more is known.
    pub fn known_as(self, ids: Vec<Id>) -> Newcomer {
        Newcomer { ids, ..self }
    }
}

/// A connection on its way to a worker. Its socket is outside of `secured`, for that worker to register.
struct Handover {
    stream: std::net::TcpStream,
    secured: Option<Box<Secured>>,
    newcomer: Newcomer,
}

/// All workers.
pub struct Workers {
    queues: Vec<mpsc::Sender<Handover>>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts `count` workers. Each ends when these `Workers` are dropped and its last connection has
    /// ended.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(
        count: usize,
        service: &Arc<Service>,
    ) -> io::Result<(Workers, Vec<JoinHandle<()>>)> {
        let mut queues = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for index in 0..count {
            let (queue, handovers) = mpsc::channel(HANDOVER_MAX);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(WORD_THREADS_MAX)
                .build()?;
            let service = Arc::clone(service);
            let pulse = service.liveness.worker(index);
            let work = move || {
                let local = LocalSet::new();
                let taking = local.run_until(own_connections(index, handovers, service));
                runtime.block_on(pulse.beating(taking));
                runtime.block_on(pulse.beating(local));
            };
            queues.push(queue);
            threads.push(
                thread::Builder::new()
                    .name(format!("worker-{index}"))
                    .spawn(work)?,
            );
        }
        Ok((
            Workers {
                queues,
                next: AtomicUsize::new(0),
            },
            threads,
        ))
    }

    /// Gives a connection to the next worker; waits while that worker is behind with taking.
    pub async fn hand_over(&self, stream: TcpStream, newcomer: Newcomer) {
        // The socket is registered anew with the worker's own runtime.
        self.send(stream.into_std(), None, newcomer).await;
    }

    /// The same for a connection over TLS, when hands have been shaken.
    pub async fn hand_over_secured(&self, mut secured: Box<Secured>, newcomer: Newcomer) {
        let stream = secured.get_mut().0.take();
        self.send(stream, Some(secured), newcomer).await;
    }

    async fn send(
        &self,
        stream: io::Result<std::net::TcpStream>,
        secured: Option<Box<Secured>>,
        newcomer: Newcomer,
    ) {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(peer = %newcomer.peer, %error, "the connection is gone already");
                return;
            }
        };
        let handover = Handover {
            stream,
            secured,
            newcomer,
        };
        if self.queues[index].send(handover).await.is_err() {
            tracing::error!(worker = index, "a worker has ended");
        }
    }
}

async fn own_connections(
    index: usize,
    mut handovers: mpsc::Receiver<Handover>,
    service: Arc<Service>,
) {
    let stats = service.stats.worker(index);
    let unserved = Rarely::default();
    while let Some(handover) = handovers.recv().await {
        let Handover {
            stream,
            secured,
            newcomer,
        } = handover;
        let Newcomer {
            peer,
            port,
            ids,
            seat,
        } = newcomer;
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                if let Some(held_back) = unserved.pass(clock::now()) {
                    tracing::warn!(%peer, %error, held_back, "a connection cannot be served");
                }
                continue;
            }
        };
        let client = service.clients.admit_known(peer, port, ids);
        let (service, stats) = (Arc::clone(&service), Arc::clone(&stats));
        // Each kind has a path of its own, so that the plain one pays nothing for the other.
        match secured {
            None => spawn(Connection::new(stream, client, service, stats), seat),
            Some(mut secured) => {
                secured.get_mut().0.put(stream);
                client.note_tls();
                spawn(Connection::new(secured, client, service, stats), seat);
            }
        }
    }
}

fn spawn<S: AsyncRead + AsyncWrite + Unpin + 'static>(connection: Connection<S>, seat: Seat) {
    tokio::task::spawn_local(async move {
        connection.run().await;
        drop(seat);
    });
}
