//! Which name an address has, as far as the name service can be believed.

use std::net::IpAddr;

use tokio::net::lookup_host;

/// The name that belongs to an address, if the name service agrees in both directions, as Java asks it.
///
/// Takes as long as the system's resolver does, on a thread of its own: whoever calls it bounds how many ask at one
/// time.
pub async fn name_of(address: IpAddr) -> Option<String> {
    let looking = tokio::task::spawn_blocking(move || dns_lookup::lookup_addr(&address));
    let name = looking.await.ok()?.ok()?;
    let agrees = lookup_host((name.as_str(), 0))
        .await
        .ok()?
        .any(|found| found.ip().to_canonical() == address.to_canonical());
    agrees.then_some(name)
}
