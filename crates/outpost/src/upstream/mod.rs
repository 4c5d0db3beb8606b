//! The way to a learner master, layer by layer: TCP, then SASL where we are to log in.
//!
//! What runs over it is the link's affair; whom to ask and how often as well, except that a master that has refused
//! our password is left alone for a while.

pub mod sasl;

use std::sync::Arc;

use outpost_forward::Network;
use outpost_forward::network::Tcp;

use crate::config::Config;

/// The way that the configuration asks for.
pub fn network(config: &Config) -> Arc<dyn Network> {
    let network: Arc<dyn Network> = Arc::new(Tcp);
    match &config.ensemble.sasl {
        Some(login) => Arc::new(sasl::SaslNetwork::new(network, login.clone())),
        None => network,
    }
}
