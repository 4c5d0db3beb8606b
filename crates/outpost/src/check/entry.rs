//! What comes between a connection to a server and the first packet: TLS, then SASL, where they are configured.
//!
//! Exactly what the link does in that place, so that a check tells what a link would meet.

use outpost::config::Config;
use outpost::tls::{ClientTls, explain};
use outpost::upstream;
use outpost_forward::Candidate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls::QuorumTls;

/// A connection on which the first packet may be said.
pub(super) struct Entered {
    pub(super) stream: Box<dyn Stream>,
    /// What the way in has shown, in sentences about "it".
    pub(super) learned: Vec<String>,
}

/// What both plain and encrypted connections can do.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Makes a connection to a quorum port ready for OBSERVERINFO; or says why that fails, in a sentence about "it".
pub(super) async fn quorum_port(
    stream: TcpStream,
    place: &Candidate,
    config: &Config,
    tls: &QuorumTls,
) -> Result<Entered, String> {
    let mut entered = match tls {
        QuorumTls::Off => Entered {
            stream: Box::new(stream),
            learned: Vec::new(),
        },
        QuorumTls::Broken => {
            return Err("it wants TLS, and our own stores cannot be used".to_owned());
        }
        QuorumTls::On(tls) => secure(stream, place, tls).await?,
    };
    if let Some(login) = &config.ensemble.sasl {
        let logged_in = upstream::sasl::log_in(&mut entered.stream, login).await;
        logged_in.map_err(|error| error.to_string())?;
    }
    Ok(entered)
}

/// TLS alone.
pub(super) async fn secure(
    stream: TcpStream,
    place: &Candidate,
    tls: &ClientTls,
) -> Result<Entered, String> {
    let entered = upstream::tls::enter(stream, &place.host, tls).await;
    let stream = entered.map_err(|refused| refused.0)?;
    let (_, session) = stream.get_ref();
    let version = session
        .protocol_version()
        .and_then(|version| version.as_str().map(str::to_owned));
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let shown = shown.map(explain::describe).unwrap_or_default();
    let version = version.unwrap_or_default().replace("TLSv1_", "TLS 1.");
    Ok(Entered {
        learned: vec![format!("speaks {version} and shows {shown}")],
        stream: Box::new(stream),
    })
}
