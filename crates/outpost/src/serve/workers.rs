//! The worker threads: each has a runtime of its own and owns its connections from accept to close.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::limits::{HANDOVER_MAX, WORD_THREADS_MAX};
use crate::serve::Seat;
use crate::serve::connection::Connection;
use crate::serve::service::Service;

/// A connection on its way to a worker.
struct Handover {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    seat: Seat,
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
    pub async fn hand_over(&self, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
        // The socket is registered anew with the worker's own runtime.
        match stream.into_std() {
            Ok(stream) => {
                let handover = Handover { stream, peer, seat };
                if self.queues[index].send(handover).await.is_err() {
                    tracing::error!(worker = index, "a worker has ended");
                }
            }
            Err(error) => tracing::debug!(%peer, %error, "the connection is gone already"),
        }
    }
}

async fn own_connections(
    index: usize,
    mut handovers: mpsc::Receiver<Handover>,
    service: Arc<Service>,
) {
    let stats = service.stats.worker(index);
    while let Some(Handover { stream, peer, seat }) = handovers.recv().await {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%peer, %error, "a connection cannot be served");
                continue;
            }
        };
        let client = service.clients.admit(peer);
        let connection = Connection::new(stream, client, Arc::clone(&service), Arc::clone(&stats));
        tokio::task::spawn_local(async move {
            connection.run().await;
            drop(seat);
        });
    }
}
