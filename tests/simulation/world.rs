//! The world of one run: an ensemble, an observer, and the network between them, on one thread and one clock.
//!
//! The observer is the real one, put together as the process puts itself together, but for its listeners and
//! threads: its link and its apply loop are tasks here, and clients' connections begin as ends of pipes. The
//! ensemble is the simulated one. Nothing else is simulated.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use outpost::config::Config;
use outpost::serve::Service;
use outpost::serve::connection::Connection;
use outpost::{Parts, Surroundings};
use outpost_mirror::Tree;
use outpost_sim::{
    Ensemble, EnsembleServer, Fabric, LeaderSettings, Line, PipeEnd, ServerOptions, pipe,
};
use outpost_tests::run_dir::RunDir;
use outpost_wire::{ServerId, Zxid};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, sleep};

use crate::history::{AtObserver, Conn, Recorder, Sight, What, Znode};
use crate::network::Wan;
use crate::overhear::Overhearing;
use crate::sabotage::{Sabotage, Saboteur};

/// When every run begins, ms since 1970.
const STARTED_MS: i64 = 1_700_000_000_000;
/// `tickTime` of ensemble and observer.
pub(crate) const TICK: Duration = Duration::from_millis(2_000);
/// `syncLimit` of both.
const SYNC_LIMIT: u32 = 5;
/// `initLimit` of both.
const INIT_LIMIT: u32 = 10;

/// What makes one world different from another.
#[derive(Debug, Clone)]
pub(crate) struct Nature {
    /// `outpost.hold`.
    pub(crate) hold: Duration,
    /// Transactions that the leader keeps for learners that were away; below that a DIFF is possible.
    pub(crate) history_max: usize,
    /// How long an election takes.
    pub(crate) election: Duration,
    /// How long commits take, ms.
    pub(crate) commit_delay_ms: i64,
    /// What is wrong with the observer, if it is to be caught.
    pub(crate) sabotage: Option<Sabotage>,
}

/// The world of one run.
pub(crate) struct World {
    pub(crate) recorder: Recorder,
    pub(crate) fabric: Fabric,
    pub(crate) ensemble: EnsembleServer,
    pub(crate) service: Arc<Service>,
    pub(crate) gate: Gate,
    overhearing: Arc<Overhearing>,
    conns: Cell<u32>,
    tasks: JoinSet<()>,
}

impl World {
    /// Builds it and starts everything. To be called on a runtime whose clock stands, inside a
    /// [`tokio::task::LocalSet`].
    pub(crate) fn new(nature: &Nature) -> World {
        let recorder = Recorder::new();
        let fabric = Fabric::new();
        let options = ServerOptions {
            started_ms: Some(STARTED_MS),
            election: nature.election,
            leader: LeaderSettings {
                tick_ms: millis(TICK),
                init_limit: INIT_LIMIT.into(),
                sync_limit: SYNC_LIMIT.into(),
                history_max: nature.history_max,
                commit_delay_ms: nature.commit_delay_ms,
                witness: recorder.witness(),
                ..LeaderSettings::default()
            },
            ..ServerOptions::default()
        };
        let ensemble = EnsembleServer::start_on(&fabric, options);
        let mut config = zoo_cfg().clone();
        config.ensemble.members = ensemble.membership().clone();
        config.hold = nature.hold;
        let surroundings = Surroundings {
            network: Arc::new(Wan(fabric.clone())),
            // Seeded by whoever runs the world.
            session_id_bytes: || fastrand::u64(..).to_be_bytes(),
            client_port: None,
            tls: outpost::tls::TlsInUse::default(),
            jaas_reloads: Arc::default(),
            audit: None,
            secure_client_port: None,
        };
        let mut overhearing = None;
        let mut saboteur: Option<Arc<Saboteur>> = None;
        let Parts {
            service,
            link,
            apply,
        } = outpost::assemble(&config, surroundings, |answers| {
            let answers = match nature.sabotage {
                None => answers,
                Some(sabotage) => saboteur
                    .insert(Arc::new(Saboteur::new(answers, sabotage)))
                    .clone(),
            };
            let front = Arc::new(Overhearing::new(answers, recorder.clone()));
            overhearing.insert(front).clone()
        });
        let overhearing = overhearing.expect("the parts are put together with somebody in front");
        overhearing.watch(Arc::clone(&service));
        if let Some(saboteur) = saboteur {
            saboteur.watch(Arc::clone(&service));
        }
        let gate = Gate::default();
        let mut tasks = JoinSet::new();
        tasks.spawn_local(link.run());
        // The apply loop is woken when the link is lost, so this is the moment.
        let looks_out = Arc::clone(&overhearing);
        let look_out = move || looks_out.note_losses();
        tasks.spawn_local(gate.clone().let_through(apply.run(), look_out));
        World {
            recorder,
            fabric,
            ensemble,
            service,
            gate,
            overhearing,
            conns: Cell::new(0),
            tasks,
        }
    }

    /// A number for a connection.
    pub(crate) fn next_conn(&self) -> Conn {
        let number = self.conns.get() + 1;
        self.conns.set(number);
        Conn(number)
    }

    /// Connects to the observer as a client does: the near end of a new connection, and its line.
    pub(crate) fn connect(&self, latency: Duration) -> (PipeEnd, Line) {
        let (here, there, line) = pipe(latency);
        let service = &self.service;
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let client = service.clients.admit(peer);
        let worker = service.stats.worker(0);
        spawn_local(Connection::new(there, client, Arc::clone(service), worker).run());
        (here, line)
    }

    /// Does something with the ensemble, at a time in ms since 1970.
    pub(crate) async fn ensemble<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Ensemble, i64) -> R + Send + 'static,
    ) -> R {
        let done = self.ensemble.with(act).await;
        done.expect("the ensemble lives as long as the world")
    }

    /// Writes down what has happened to the link meanwhile.
    pub(crate) fn look_out(&self) {
        self.overhearing.note_losses();
    }

    /// Looks into the mirror and writes down what is there.
    pub(crate) fn look(&self) {
        let sight = sight_of(&self.service.mirror.read());
        self.recorder.note(What::Observer(AtObserver::Seen(sight)));
    }

    /// Looks at every queue and table that a peer can fill, and writes down how full it is.
    pub(crate) fn gauge(&self) {
        for (name, value) in self.gauges() {
            self.recorder.note(What::Observer(AtObserver::Gauge {
                name: name.to_owned(),
                value,
                bound: u64::MAX,
                at_rest: 0,
            }));
        }
    }

    /// What is held for peers, by name; all zero when every peer has gone.
    pub(crate) fn gauges(&self) -> Vec<(&'static str, u64)> {
        let service = &self.service;
        let status = service.link.status();
        let queued = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("connections", service.clients.len() as u64),
            ("watches", service.mirror.read().watches().count() as u64),
            ("requests on their way", queued(&status.in_flight)),
            ("events to apply", queued(&status.apply_queue)),
            ("bytes to apply", queued(&status.apply_queue_bytes)),
            ("requests in work", service.outstanding.requests() as u64),
        ]
    }

    /// Waits until the mirror has everything that is committed. False if it has not within `limit`.
    pub(crate) async fn catches_up(&self, limit: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < limit {
            let leader = |ensemble: &mut Ensemble, _| {
                let leader = ensemble.leader()?;
                let last = leader.history().last().map_or(Zxid::ZERO, |(zxid, _)| zxid);
                Some((last, leader.tree().digest()))
            };
            if let Some((last, digest)) = self.ensemble(leader).await
                && self.service.clients.serving().is_some()
            {
                let mirror = self.service.mirror.read();
                // A leader's epoch begins with a zxid that is no transaction.
                if mirror.last_zxid() >= last && mirror.digest() == digest {
                    return true;
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Ends everything, and says what of the observer's did not end within `limit`.
    pub(crate) async fn end(mut self, limit: Duration) -> Result<(), String> {
        self.gate.open();
        self.service.link.stop();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        match tokio::time::timeout(limit, ended).await {
            Ok(()) => Ok(()),
            Err(_) => Err(format!("the link has not ended within {limit:?}")),
        }
    }
}

/// A gate before the apply loop: while it is shut nothing is applied, as if that thread got no time.
#[derive(Clone, Default)]
pub(crate) struct Gate(Rc<GateState>);

#[derive(Default)]
struct GateState {
    shut: Cell<bool>,
    waits: Cell<Option<Waker>>,
}

impl Gate {
    pub(crate) fn shut(&self) {
        self.0.shut.set(true);
    }

    pub(crate) fn open(&self) {
        self.0.shut.set(false);
        if let Some(waker) = self.0.waits.take() {
            waker.wake();
        }
    }

    /// Runs a task behind the gate, and `look_out` before it, whenever there is something to do.
    async fn let_through(self, task: impl Future<Output = ()>, look_out: impl Fn()) {
        let mut task = pin!(task);
        poll_fn(|cx| {
            look_out();
            if self.0.shut.get() {
                self.0.waits.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            task.as_mut().poll(cx)
        })
        .await;
    }
}

/// An ordinary configuration, read once; each world changes what it wants to have different.
fn zoo_cfg() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let dir = RunDir::new("simulation");
        let file = dir.path().join("zoo.cfg");
        std::fs::write(&file, zoo_cfg_text(dir.path())).expect("the configuration is written");
        let loaded = Config::load(&file, Some(ServerId(10)), std::iter::empty());
        loaded
            .unwrap_or_else(|complaints| panic!("{complaints}"))
            .config
    })
}

fn zoo_cfg_text(data_dir: &Path) -> String {
    let (data_dir, tick_ms) = (data_dir.display(), TICK.as_millis());
    format!(
        "dataDir={data_dir}\ntickTime={tick_ms}\ninitLimit={INIT_LIMIT}\nsyncLimit={SYNC_LIMIT}\n\
         clientPort=2181\nserver.1=voter-1:2888:3888\noutpost.workers=1\nadmin.enableServer=false\n"
    )
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("no such long time")
}

/// Everything about a tree that all servers agree on.
fn sight_of(tree: &Tree) -> Sight {
    let mut znodes = Vec::new();
    let walked: Result<(), Infallible> = tree.for_each_node(|path, data, _, _| {
        if !path.starts_with(b"/zookeeper")
            && let Some(node) = tree.node(path)
        {
            let path = if path.is_empty() { "/".into() } else { path };
            znodes.push(Znode {
                path: path.to_owned(),
                data: data.map(Bytes::copy_from_slice),
                acl: node.acl().to_vec(),
                stat: node.stat(),
            });
        }
        Ok(())
    });
    let Ok(()) = walked;
    znodes.sort_by(|one, other| one.path.cmp(&other.path));
    let mut sessions: Vec<_> = tree.sessions().iter().map(|(&id, &ms)| (id, ms)).collect();
    sessions.sort_unstable();
    Sight {
        zxid: tree.last_zxid(),
        znodes,
        sessions,
    }
}
