//! The link's way to the ensemble, over a network in memory.

use outpost_forward::network::{Connecting, LinkStream, Network};
use outpost_sim::Fabric;

/// A network in memory as the link sees it.
pub(crate) struct Wan(pub(crate) Fabric);

impl Network for Wan {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let end = self.0.connect(host, port).await?;
            Ok(Box::new(end) as Box<dyn LinkStream>)
        })
    }
}
