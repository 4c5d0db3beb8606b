//! The link to the ensemble: find a learner master, synchronise, follow, forward writes, keep
//! sessions alive, detach and reattach.
//!
//! [`Link::start`] gives life to two threads. The *link* thread owns the socket and drives one
//! [`learner::Learner`] after another; the *apply* thread changes the tree. What they have to say to
//! the sessions served here leaves through one trait, [`Answers`], so this crate never learns what a
//! client connection is.

pub mod answers;
mod apply;
pub mod backoff;
mod body;
pub mod candidates;
pub mod clock;
mod complaints;
mod driver;
pub mod event;
pub mod freshness;
mod ghosts;
pub mod histogram;
pub mod hold;
pub mod latencies;
pub mod learner;
mod link;
pub mod losses;
pub mod lost;
pub mod namespaces;
pub mod network;
mod owners;
pub mod progress;
pub mod pulse;
pub mod recorder;
pub mod status;
mod suspicion;
mod sync;
pub mod tally;
pub mod writes;

pub use answers::{Answers, GaveUp, View};
pub use body::Body;
pub use candidates::{Candidate, Candidates};
pub use hold::{Attached, Attachment};
pub use link::{ApplyLife, Forward, Link, LinkLife, LinkSettings, Permit, Request};
pub use lost::Lost;
pub use network::Network;
pub use progress::Arriving;
pub use pulse::Pulse;
pub use status::LinkStatus;
pub use tally::Tally;
pub use writes::{Origin, Pending};
