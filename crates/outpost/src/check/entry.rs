//! What comes between a connection to a server and the first packet: TLS, then SASL, where they are configured.
//!
//! Exactly what the link does in that place, so that a check tells what a link would meet.

use outpost::config::Config;
use outpost::upstream;
use outpost_forward::Candidate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection on which the first packet may be said.
pub(super) type Entered = Box<dyn Stream>;

/// What both plain and encrypted connections can do.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Makes a connection to a quorum port ready for OBSERVERINFO; or says why that fails, in a sentence about "it".
pub(super) async fn quorum_port(
    stream: TcpStream,
    _place: &Candidate,
    config: &Config,
) -> Result<Entered, String> {
    let mut stream: Entered = Box::new(stream);
    if let Some(login) = &config.ensemble.sasl {
        let logged_in = upstream::sasl::log_in(&mut stream, login).await;
        logged_in.map_err(|error| error.to_string())?;
    }
    Ok(stream)
}
