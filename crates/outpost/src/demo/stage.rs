//! The stage: a simulated ensemble, an observer attached to it, and a directory for its configuration.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use outpost::Outpost;
use outpost::config::Config;
use outpost_forward::status::LinkState;
use outpost_sim::{EnsembleServer, ServerOptions};
use outpost_wire::ServerId;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::screen::{Screen, count, millis};
use super::{DemoError, Options};

/// The observer's id; the voters have 1 to 3.
const OBSERVER_ID: u32 = 10;
/// Servers of the ensemble.
const VOTERS: u16 = 3;
/// Znodes that are there before the observer comes: enough that a snapshot takes a moment.
pub(super) const REGISTRY_ZNODES: u32 = 1_000;
/// What is in each of them.
const REGISTRY_BYTES: usize = 256;
/// How long the observer may take to attach: a slow machine with a long WAN needs a fraction of it.
const ATTACH_LIMIT: Duration = Duration::from_secs(15);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Everything that runs behind the clients.
pub(super) struct Stage {
    pub(super) ensemble: EnsembleServer,
    /// Where the observer serves clients.
    pub(super) address: SocketAddr,
    /// Where the observer shows how it is doing: a label and a URL.
    pub(super) urls: Vec<(&'static str, String)>,
    stop: oneshot::Sender<()>,
    outpost: JoinHandle<Result<(), outpost::StartError>>,
    /// Last, so that the files go when nobody reads them any more.
    _dir: Dir,
}

impl Stage {
    /// Starts everything, and waits until the observer follows the leader.
    pub(super) async fn set(options: &Options, screen: Screen) -> Result<Stage, DemoError> {
        screen.heading("The stage");
        let ensemble = EnsembleServer::start(ServerOptions {
            voters: VOTERS,
            wan_delay: options.round_trip() / 2,
            ..ServerOptions::default()
        })
        .await?;
        fill(&ensemble).await?;
        let leader = ensemble.leader().await.ok_or(DemoError::Ensemble)?;
        screen.row(
            "ensemble",
            &format!("{VOTERS} simulated servers; server.{leader} leads"),
        );
        let distance = options.wan_delay_ms;
        screen.row("WAN", &format!("{distance} ms there and back, simulated"));

        let dir = Dir::new()?;
        let zoo_cfg = write_zoo_cfg(&dir.0, &ensemble)?;
        // The environment is for real observers.
        let loaded = Config::load(&zoo_cfg, None, std::iter::empty())?;
        let began = Instant::now();
        let outpost = Outpost::build(loaded.config).await?;
        let address = outpost.client_address().ok_or(DemoError::Ensemble)?;
        let urls = urls(&outpost);
        let service = outpost.service().clone();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(outpost.run(async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        }));
        let status = service.link.status();
        let attached =
            || status.state() == LinkState::Attached && service.clients.serving().is_some();
        until("the observer to attach", ATTACH_LIMIT, attached).await?;
        let took = millis(began.elapsed());
        let znodes = service.mirror.read().node_count();
        let text = format!(
            "attached after {took}, {} znodes in memory",
            count(znodes as u64)
        );
        screen.row("observer", &text);
        screen.row("client port", &address.to_string());
        for (label, url) in &urls {
            screen.row(label, url);
        }
        Ok(Stage {
            ensemble,
            address,
            urls,
            stop,
            outpost: running,
            _dir: dir,
        })
    }

    /// Who leads, and in which epoch.
    pub(super) async fn leader(&self) -> Option<(ServerId, u32)> {
        let leader = self.ensemble.with(|ensemble, _| {
            ensemble
                .leader()
                .map(|leader| (leader.id(), leader.epoch()))
        });
        leader.await?
    }

    /// Ends everything in order: the observer drains, then the ensemble goes, then the files.
    pub(super) async fn clear(self) -> Result<(), DemoError> {
        // Fails if the observer has ended by itself; then its result says why.
        let _ = self.stop.send(());
        if let Ok(ended) = self.outpost.await {
            ended?;
        }
        self.ensemble.stop().await;
        Ok(())
    }
}

/// Polls until it holds.
pub(super) async fn until(
    what: &'static str,
    limit: Duration,
    holds: impl Fn() -> bool,
) -> Result<(), DemoError> {
    let deadline = Instant::now() + limit;
    while !holds() {
        if Instant::now() > deadline {
            return Err(DemoError::Late { what, limit });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// A registry of services, as others have left it.
async fn fill(ensemble: &EnsembleServer) -> Result<(), DemoError> {
    let filled = ensemble.with(|ensemble, now_ms| {
        let data = [b'.'; REGISTRY_BYTES];
        let mut write = |path: &str| {
            let path = bstr::BStr::new(path);
            ensemble
                .write_as_someone_else(now_ms, path, Some(&data))
                .is_ok()
        };
        write("/registry") && (0..REGISTRY_ZNODES).all(|n| write(&registry_path(n)))
    });
    match filled.await {
        Some(true) => Ok(()),
        _ => Err(DemoError::Ensemble),
    }
}

/// One of the znodes that are there from the start.
pub(super) fn registry_path(n: u32) -> String {
    format!("/registry/service-{n:04}")
}

/// An ordinary configuration: what an operator would write, but for the ports, which the system chooses.
fn write_zoo_cfg(dir: &Path, ensemble: &EnsembleServer) -> std::io::Result<PathBuf> {
    let membership = ensemble.membership_text();
    // A version stands only in dynamic files.
    let servers: Vec<&str> = membership
        .lines()
        .filter(|line| line.starts_with("server."))
        .collect();
    let text = format!(
        "tickTime=2000\n\
         initLimit=10\n\
         syncLimit=5\n\
         dataDir={}\n\
         clientPortAddress=127.0.0.1\n\
         clientPort=0\n\
         maxClientCnxns=0\n\
         admin.serverAddress=127.0.0.1\n\
         admin.serverPort=0\n\
         metricsProvider.httpHost=127.0.0.1\n\
         metricsProvider.httpPort=0\n\
         peerType=observer\n\
         {}\n",
        dir.display(),
        servers.join("\n")
    );
    fs::write(dir.join("myid"), OBSERVER_ID.to_string())?;
    let zoo_cfg = dir.join("zoo.cfg");
    fs::write(&zoo_cfg, text)?;
    Ok(zoo_cfg)
}

fn urls(outpost: &Outpost) -> Vec<(&'static str, String)> {
    let metrics = outpost.metrics_address();
    let metrics = metrics.map(|address| ("metrics", format!("http://{address}/metrics")));
    let commands = outpost.admin_address();
    let page = commands.map(|address| ("status page", format!("http://{address}/")));
    let commands = commands.map(|address| ("commands", format!("http://{address}/commands")));
    page.into_iter().chain(metrics).chain(commands).collect()
}

/// A directory that goes with its owner.
struct Dir(PathBuf);

impl Dir {
    fn new() -> std::io::Result<Dir> {
        let name = format!(
            "outpost-demo-{}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Dir(path))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("outpost: {} is left behind: {error}", self.0.display());
        }
    }
}
