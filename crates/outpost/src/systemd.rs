//! What systemd is told, where it started us (`Type=notify`): that we serve, how we do, that our threads move, and that we stop.
//!
//! We are up when the ports are bound. Whether there is an ensemble is not ours to decide, so a start never waits
//! for it: the status line says how the link does, and `/ready` whether clients should come. There is nothing to
//! reload by signal: what may change while we run, such as certificates, is noticed when it changes.

use std::sync::Arc;
use std::time::Duration;

use outpost_forward::clock;
use outpost_forward::status::LinkState;
use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::liveness::Stuck;
use crate::serve::Service;

/// How often we look at ourselves.
const LOOK: Duration = Duration::from_secs(1);
/// What a drain may take beyond its time: threads are joined.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);

/// Looks at the process until its end, and tells systemd and the log.
pub(crate) struct Supervisor {
    stopping: CancellationToken,
    stopped: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// To be called when every port is bound. `drain_timeout` is how long stopping may take.
    pub(crate) fn start(service: Arc<Service>, drain_timeout: Duration) -> Supervisor {
        let (stopping, stopped) = (CancellationToken::new(), CancellationToken::new());
        let watchdog = sd_notify::watchdog_enabled();
        let look = watchdog.map_or(LOOK, |within| LOOK.min(within / 3));
        let mut watch = Watch {
            service,
            drain_timeout,
            watchdog: watchdog.is_some(),
            said: String::new(),
            stuck: None,
        };
        let ends = (stopping.clone(), stopped.clone());
        let task = tokio::spawn(async move {
            tell(vec![NotifyState::Ready.to_string()]).await;
            watch.until(&ends.0, look).await;
            tell(watch.farewell()).await;
            watch.until(&ends.1, look).await;
        });
        Supervisor {
            stopping,
            stopped,
            task,
        }
    }

    /// The process begins to drain.
    pub(crate) fn stopping(&self) {
        self.stopping.cancel();
    }

    /// There is nothing left to look at.
    pub(crate) async fn end(self) {
        self.stopping.cancel();
        self.stopped.cancel();
        if self.task.await.is_err() {
            tracing::error!("looking after the process ended in a panic");
        }
    }
}

/// What is looked at, and what was seen last.
struct Watch {
    service: Arc<Service>,
    drain_timeout: Duration,
    /// Whether systemd wants to hear that we work.
    watchdog: bool,
    /// The status line that systemd has.
    said: String,
    /// The thread that does not move.
    stuck: Option<String>,
}

impl Watch {
    async fn until(&mut self, end: &CancellationToken, look: Duration) {
        loop {
            tell(self.look()).await;
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(look) => {}
            }
        }
    }

    /// What there is to tell now.
    fn look(&mut self) -> Vec<String> {
        let live = self.service.live(clock::now());
        self.log(live.as_ref().err());
        let status = match &live {
            Ok(()) => self.status(),
            Err(stuck) => stuck.to_string(),
        };
        let mut news = Vec::new();
        if self.watchdog && live.is_ok() {
            news.push(NotifyState::Watchdog.to_string());
        }
        if self.said != status {
            news.push(NotifyState::Status(&status).to_string());
            self.said = status;
        }
        news
    }

    /// Once for each thread and each time: this is the last line before a restart.
    fn log(&mut self, stuck: Option<&Stuck>) {
        let name = stuck.map(|stuck| stuck.thread.clone());
        if self.stuck == name {
            return;
        }
        match stuck {
            Some(stuck) => tracing::error!("{stuck}"),
            None => tracing::info!("every thread moves again"),
        }
        self.stuck = name;
    }

    fn status(&self) -> String {
        let link = self.service.link.status();
        let master = link.master().map(|master| master.candidate.to_string());
        let clients = self.service.clients.len();
        if self.service.readiness.is_stopping() {
            return format!("draining, clients left: {clients}");
        }
        let standing = match (link.state(), master) {
            (LinkState::Attached, Some(master)) => format!("attached to {master}"),
            (LinkState::Synchronizing, Some(master)) => format!("synchronizing with {master}"),
            _ => "not attached to the ensemble".to_owned(),
        };
        format!("{standing}, clients: {clients}")
    }

    /// The drain may take longer than the unit allows; asking for time is better than to be killed.
    fn farewell(&self) -> Vec<String> {
        let time = (self.drain_timeout + DRAIN_MARGIN).as_micros();
        let time = u32::try_from(time).unwrap_or(u32::MAX);
        vec![
            NotifyState::Stopping.to_string(),
            NotifyState::ExtendTimeoutUsec(time).to_string(),
        ]
    }
}

/// One message to systemd, if it is there. Waits where systemd does not read, and so never on the thread that
/// accepts clients.
async fn tell(news: Vec<String>) {
    if news.is_empty() {
        return;
    }
    let told = tokio::task::spawn_blocking(move || {
        let states: Vec<_> = news.iter().map(|line| NotifyState::Custom(line)).collect();
        sd_notify::notify(&states)
    });
    match told.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "systemd cannot be told"),
        Err(error) => tracing::debug!(%error, "systemd cannot be told"),
    }
}
