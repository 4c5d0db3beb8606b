//! The way to a learner master, layer by layer: TCP, then TLS and then SASL where the ensemble asks for them.
//!
//! What runs over it is the link's affair; whom to ask and how often as well, except that a master that has refused
//! our password is left alone for a while.

pub mod sasl;
pub mod tls;

use std::sync::Arc;

use outpost_forward::Network;
use outpost_forward::network::Tcp;

use crate::config::Config;
use crate::jaas::JaasReloads;
use crate::tls::ClientTls;

/// The way that the configuration asks for, with what `tls` holds if that is TLS. `reloads` counts how often the JAAS
/// file was read again for it.
pub fn network(
    config: &Config,
    tls: Option<Arc<ClientTls>>,
    reloads: &Arc<JaasReloads>,
) -> Arc<dyn Network> {
    let network: Arc<dyn Network> = match tls {
        Some(tls) => Arc::new(tls::TlsNetwork::new(tls)),
        None => Arc::new(Tcp),
    };
    match &config.ensemble.sasl {
        Some(login) => Arc::new(sasl::SaslNetwork::new(
            network,
            login.clone(),
            Arc::clone(reloads),
        )),
        None => network,
    }
}
