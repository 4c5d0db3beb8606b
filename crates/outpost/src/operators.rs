//! The HTTP servers for operators, for as long as anything else runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::http::Answerer;
use crate::admin::{self, AdminServer};
use crate::config::{Admin, Config, Https};
use crate::serve::Service;

/// How long a connection to the metrics port may last where there is no admin server to say so.
const METRICS_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The HTTP servers for operators. They go last, so that the end can be watched.
pub(crate) struct Operators {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Operators {
    /// Serves from now on.
    pub(crate) fn start(
        config: &Config,
        service: &Arc<Service>,
        admin: Option<TcpListener>,
        metrics: Option<TcpListener>,
    ) -> Operators {
        let operators = Operators {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let settings = config.admin.as_ref();
        let idle = settings.map_or(METRICS_IDLE_TIMEOUT, |admin| admin.idle_timeout);
        if let (Some(listener), Some(settings)) = (admin, settings) {
            operators.serve_admin(listener, settings, service);
        }
        if let Some(listener) = metrics {
            operators.serve(listener, admin::metrics(Arc::clone(service)), None, idle);
        }
        operators.tasks.close();
        operators
    }

    fn serve_admin(&self, listener: TcpListener, settings: &Admin, service: &Arc<Service>) {
        let tls = service.tls.operators.clone().map(|tls| admin::http::Tls {
            config: Arc::new(move || tls.current()),
            plain: (settings.https == Https::Beside).then(|| Arc::clone(&service.stats)),
        });
        let server = Arc::new(AdminServer::new(Arc::clone(service), settings.clone()));
        let stopped = self.stop.clone().cancelled_owned();
        self.tasks.spawn(Arc::clone(&server).keep_history(stopped));
        self.serve(listener, server.answerer(), tls, settings.idle_timeout);
    }

    fn serve(
        &self,
        listener: TcpListener,
        answerer: Arc<Answerer>,
        tls: Option<admin::http::Tls>,
        idle: Duration,
    ) {
        let stopped = self.stop.clone().cancelled_owned();
        self.tasks
            .spawn(admin::http::serve(listener, answerer, tls, idle, stopped));
    }

    /// Answers nobody from now on.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}
