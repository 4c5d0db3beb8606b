//! Many clients on one thread, each with a script, and a history of all that happened to it.
//!
//! They behave as client libraries do: they ping, they leave a server that has fallen silent, they come back with
//! the same session and set the watches again that have not fired. What they do not do is judge: see [`judge`].

mod client;
pub mod history;
pub mod judge;
pub mod script;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

pub use history::{Disconnect, Entry, History, Loss, Op, Path, Shown, What};
pub use script::Script;

use crate::wait;
use client::Client;

/// One client of a crowd.
pub struct Plan {
    /// What it is called in a failure's message.
    pub name: String,
    /// Where it connects, in turn.
    pub servers: Vec<SocketAddr>,
    /// The session timeout it asks for, in milliseconds.
    pub timeout_ms: i32,
    /// Between two requests.
    pub pace: Duration,
    /// Requests that it leaves unanswered before it sends another; pings do not count.
    pub outstanding_max: usize,
    /// A lost connection is tried again after a random time of at most this, as libraries do.
    pub comes_back_within: Duration,
    /// Whether the servers know persistent watches, and the request that sets them again.
    pub set_watches_2: bool,
    /// What it asks for.
    pub script: Script,
}

/// How far a client has got.
#[derive(Debug, Default)]
pub struct Tally {
    pub(crate) answered: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) losses: AtomicU64,
}

/// What a [`Tally`] said at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Replies, those to pings not counted.
    pub answered: u64,
    /// Of these, to writes.
    pub written: u64,
    /// Watch events.
    pub events: u64,
    /// Connections that ended without the client's doing.
    pub losses: u64,
}

impl Tally {
    fn count(&self) -> Count {
        Count {
            answered: self.answered.load(Ordering::Acquire),
            written: self.written.load(Ordering::Acquire),
            events: self.events.load(Ordering::Acquire),
            losses: self.losses.load(Ordering::Acquire),
        }
    }
}

/// A running crowd. Dropped, its clients leave without closing their sessions.
#[derive(Debug)]
pub struct Crowd {
    names: Vec<String>,
    tallies: Vec<Arc<Tally>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<Vec<History>>>,
}

impl Crowd {
    /// Starts all clients.
    ///
    /// # Panics
    /// When there is no thread or no runtime to be had.
    pub fn start(plans: Vec<Plan>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let names = plans.iter().map(|plan| plan.name.clone()).collect();
        let tallies: Vec<Arc<Tally>> = plans.iter().map(|_| Arc::default()).collect();
        let clients: Vec<Client> = plans
            .into_iter()
            .zip(&tallies)
            .map(|(plan, tally)| Client::new(plan, Arc::clone(tally), stopped.clone()))
            .collect();
        let thread = std::thread::Builder::new()
            .name("crowd".to_owned())
            .spawn(move || live(clients))
            .expect("a thread can be started");
        Self {
            names,
            tallies,
            stop,
            thread: Some(thread),
        }
    }

    /// How far everybody has got, in the order of the plans.
    pub fn counts(&self) -> Vec<Count> {
        self.tallies.iter().map(|tally| tally.count()).collect()
    }

    /// Waits until `question` holds for everybody's counts then and now.
    ///
    /// # Panics
    /// After `limit`, with the names of those for whom it does not hold, or when the crowd's thread has panicked.
    pub fn wait_for_everybody(
        &self,
        what: &str,
        limit: Duration,
        question: impl Fn(&str, Count, Count) -> bool,
    ) {
        let before = self.counts();
        let mut late: Vec<&str> = Vec::new();
        let waited = wait::within(limit, || {
            let thread = self.thread.as_ref();
            assert!(
                thread.is_some_and(|thread| !thread.is_finished()),
                "a client of the crowd has panicked, see above"
            );
            let now = self.counts();
            let all = self.names.iter().zip(before.iter().zip(&now));
            late = all
                .filter(|(name, (before, now))| !question(name, **before, **now))
                .map(|(name, _)| name.as_str())
                .collect();
            late.is_empty().then_some(())
        });
        assert!(
            waited.is_some(),
            "waited {limit:?} in vain for {what} of {late:?}"
        );
    }

    /// Lets every client end its work, with all its requests answered and everything committed seen, and returns
    /// what happened to it.
    ///
    /// # Panics
    /// When a client of the crowd has panicked.
    pub fn stop(mut self) -> Vec<History> {
        self.stop.send_replace(true);
        let thread = self.thread.take().expect("a crowd is stopped once");
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Runs the clients to their end.
fn live(clients: Vec<Client>) -> Vec<History> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let clients: Vec<_> = clients
            .into_iter()
            .map(|client| tokio::task::spawn_local(client.live()))
            .collect();
        let mut histories = Vec::new();
        for client in clients {
            match client.await {
                Ok(history) => histories.push(history),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        histories
    })
}
