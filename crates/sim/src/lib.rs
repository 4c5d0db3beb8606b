//! A simulated ensemble that speaks the learner protocol to real learners.
//!
//! For the demo and for tests: an observer cannot tell it from a ZooKeeper ensemble, but it is one
//! plain value with one tree. [`Leader`] is the protocol: it knows no socket, no clock and no chance, so
//! the same calls always have the same outcome. [`Ensemble`] puts servers around it, of which one leads,
//! and lets the leadership pass. [`EnsembleServer`] gives it ports on the loopback and a distance, or a place on
//! a network in memory ([`Fabric`]) whose weather can be made.
//!
//! What it does not do: hold elections among real servers, keep anything on disk, serve clients, vote.
//!
//! How a request is decided stands in `prep.rs`, how a learner is brought up to date in `sync.rs`, and
//! when sessions end in `sessions.rs`.

mod acl;
mod changes;
mod deed;
mod ensemble;
mod fabric;
mod history;
mod leader;
mod learner;
mod line;
mod net;
mod path;
mod pipe;
mod ports;
mod prep;
mod reaper;
mod sessions;
mod settings;
mod snapshot;
mod sync;

pub use deed::{Deed, Witness};
pub use ensemble::{Ensemble, EnsembleSettings, Uncommitted};
pub use fabric::{Fabric, Weather};
pub use leader::{Harm, Inheritance, Leader, Outcome, Output};
pub use learner::LearnerKey;
pub use net::{EnsembleServer, ServerOptions};
pub use pipe::{Line, PipeEnd, Way, pipe};
pub use settings::LeaderSettings;
