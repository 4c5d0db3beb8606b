//! The reception: the threads that greet and serve, and the ports where newcomers come in.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::greeting::{Door, Greeters, GreetingSettings};
use super::{Entrance, Service, Workers, accept};
use crate::config::Doors;
use crate::sockets::ClientSockets;
use crate::{StartError, join};

/// Where clients come in and who sees to them.
pub(crate) struct Reception {
    stop: CancellationToken,
    accepting: TaskTracker,
    greeters: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl Reception {
    /// Starts `workers` threads and those that greet, and lets clients in.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub(crate) fn open(
        doors: &Doors,
        service: &Arc<Service>,
        workers: NonZeroUsize,
        sockets: ClientSockets,
    ) -> Result<Reception, StartError> {
        let (workers, worker_threads) = Workers::start(workers.get(), service)?;
        let workers = Arc::new(workers);
        let (greeters, greeter_threads) = match greeting(doors, service) {
            Some(settings) => {
                let (greeters, threads) = Greeters::start(&settings, service, &workers)?;
                (Some(Arc::new(greeters)), threads)
            }
            None => (None, Vec::new()),
        };
        let reception = Reception {
            stop: CancellationToken::new(),
            accepting: TaskTracker::new(),
            greeters: greeter_threads,
            workers: worker_threads,
        };
        let greeted = |door| Some(Entrance::Greeted(door, greeters.clone()?));
        let plain = match doors.unified {
            true => greeted(Door::Either),
            false => Some(Entrance::Plain(workers)),
        };
        reception.accept(sockets.plain, plain, service);
        reception.accept(sockets.secure, greeted(Door::Secure), service);
        reception.accepting.close();
        Ok(reception)
    }

    fn accept(
        &self,
        listener: Option<TcpListener>,
        entrance: Option<Entrance>,
        service: &Arc<Service>,
    ) {
        let (Some(listener), Some(entrance)) = (listener, entrance) else {
            return;
        };
        let stopped = self.stop.clone().cancelled_owned();
        let service = Arc::clone(service);
        self.accepting
            .spawn(accept(listener, service, entrance, stopped));
    }

    /// Lets nobody in any more. What is left are the workers' threads: each ends with its last connection.
    pub(crate) async fn close(self) -> Vec<JoinHandle<()>> {
        self.stop.cancel();
        self.accepting.wait().await;
        join("greeter", self.greeters).await;
        self.workers
    }
}

/// How connections that may speak TLS are greeted, if any may.
fn greeting(doors: &Doors, service: &Service) -> Option<GreetingSettings> {
    let limit = doors.handshakes_max.unwrap_or(u32::MAX);
    Some(GreetingSettings {
        tls: service.tls.clients.clone()?,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        threads: doors.handshake_threads,
    })
}
