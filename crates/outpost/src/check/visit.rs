//! One look at one door of one server: is it open, and who is behind it?
//!
//! The only thing ever said to a quorum port is the OBSERVERINFO with which the link begins too. It gets one
//! answer, then the connection is closed: nothing is synchronised, and the leader counts no learner.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use outpost::config::Config;
use outpost::tls::{ClientTls, explain};
use outpost_forward::Candidate;
use outpost_forward::learner::{Learner, Settings};
use outpost_mirror::TreeOptions;
use outpost_wire::Zxid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::entry::{self, Entered, Stream};
use super::tls::QuorumTls;

/// How long it may take until there is a connection, name included; and until a client port has answered.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// How long whoever leads may take to answer; a login alone waits for four seconds before it has something to tell.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(8);
/// Longest data of a packet worth waiting for: LEADERINFO has four bytes.
const PACKET_BYTES_MAX: usize = 4 << 10;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// It is an address.
    Address,
    /// It was looked up.
    Resolved(Vec<IpAddr>),
    /// It has no address, or nobody says.
    Unknown(String),
}

/// What was found at a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Door {
    /// There is no address to go to.
    Nowhere,
    /// The host says that nobody listens.
    Refused(Duration),
    /// The host cannot be reached.
    Unreachable(String),
    /// Nothing came back at all.
    Silent,
    /// Connected.
    Open(Duration),
}

impl Door {
    /// From the best that can be found to the worst.
    fn rank(&self) -> u8 {
        match self {
            Door::Open(_) => 0,
            Door::Refused(_) => 1,
            Door::Unreachable(_) => 2,
            Door::Silent => 3,
            Door::Nowhere => 4,
        }
    }
}

/// What came of knocking: the connection, if there is one, is for the visitor to use and close.
pub(super) struct Knock {
    pub(super) name: Name,
    /// What was found at each address of the name, in their order.
    pub(super) tried: Vec<(SocketAddr, Door)>,
    /// The best of these, the first of equals.
    pub(super) door: Door,
    pub(super) stream: Option<TcpStream>,
}

/// What came of an OBSERVERINFO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It leads, in this epoch.
    Leads {
        /// The epoch it offers.
        epoch: u32,
        /// From OBSERVERINFO to the answer.
        after: Duration,
        /// Whether it is of 3.3.
        legacy: bool,
    },
    /// It listens, but has not answered as a leader; and why.
    Mute(String),
    /// It listens, but what must come before the first packet (TLS, SASL) has failed; and why.
    Closed(String),
}

/// Looks a host up and tries all its addresses side by side. The link tries them in order, until one connects.
pub(super) async fn knock(host: &str, port: u16, deadline: Instant) -> Knock {
    let (name, addresses) = resolve(host, port, deadline).await;
    let mut knocks = JoinSet::new();
    for (order, address) in addresses.into_iter().enumerate() {
        knocks.spawn(async move { (order, address, knock_at(address, deadline).await) });
    }
    let mut found = knocks.join_all().await;
    found.sort_by_key(|(order, _, (door, _))| (door.rank(), *order));
    let stream = found
        .first_mut()
        .and_then(|(_, _, (_, stream))| stream.take());
    let door = found.first().map(|(_, _, (door, _))| door.clone());
    found.sort_by_key(|(order, _, _)| *order);
    let tried = found
        .into_iter()
        .map(|(_, address, (door, _))| (address, door));
    Knock {
        name,
        tried: tried.collect(),
        door: door.unwrap_or(Door::Nowhere),
        stream,
    }
}

/// Knocks at one address.
pub(super) async fn knock_at(address: SocketAddr, deadline: Instant) -> (Door, Option<TcpStream>) {
    let began = Instant::now();
    match timeout_at(deadline.into(), TcpStream::connect(address)).await {
        Ok(Ok(stream)) => (Door::Open(began.elapsed()), Some(stream)),
        Ok(Err(error)) => (closed(&error, began.elapsed()), None),
        Err(_) => (Door::Silent, None),
    }
}

fn closed(error: &io::Error, after: Duration) -> Door {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Door::Refused(after),
        _ => Door::Unreachable(error.to_string()),
    }
}

async fn resolve(host: &str, port: u16, deadline: Instant) -> (Name, Vec<SocketAddr>) {
    if let Ok(address) = host.parse::<IpAddr>() {
        return (Name::Address, vec![SocketAddr::new(address, port)]);
    }
    let addresses: Vec<SocketAddr> =
        match timeout_at(deadline.into(), lookup_host((host, port))).await {
            Ok(Ok(found)) => without_doubles(found),
            Ok(Err(error)) => return (Name::Unknown(error.to_string()), Vec::new()),
            Err(_) => {
                let text = "the name service does not answer in time".to_owned();
                return (Name::Unknown(text), Vec::new());
            }
        };
    if addresses.is_empty() {
        return (Name::Unknown("it has no address".to_owned()), addresses);
    }
    let found = addresses.iter().map(SocketAddr::ip).collect();
    (Name::Resolved(found), addresses)
}

/// A name service may name an address once for each kind of socket.
fn without_doubles(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// TLS with an observer master, then closes; says what it has shown, or why it lets us not in.
pub(super) async fn secure(
    stream: TcpStream,
    candidate: &Candidate,
    tls: &ClientTls,
    deadline: Instant,
) -> (Vec<String>, Option<Answer>) {
    match in_time(deadline, entry::secure(stream, candidate, tls)).await {
        Ok(mut entered) => {
            let _ = entered.stream.shutdown().await;
            (entered.learned, None)
        }
        Err(why) => (Vec::new(), Some(Answer::Closed(why))),
    }
}

async fn in_time(
    deadline: Instant,
    entering: impl Future<Output = Result<Entered, String>>,
) -> Result<Entered, String> {
    let entered = timeout_at(deadline.into(), entering).await;
    entered.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
}

/// Says OBSERVERINFO and waits for LEADERINFO, then closes. The first value is what the way in has shown.
pub(super) async fn introduce(
    stream: TcpStream,
    candidate: &Candidate,
    config: &Config,
    tls: &QuorumTls,
    deadline: Instant,
) -> (Vec<String>, Answer) {
    let entering = entry::quorum_port(stream, candidate, config, tls);
    let Entered {
        mut stream,
        learned,
    } = match in_time(deadline, entering).await {
        Ok(entered) => entered,
        Err(why) => return (Vec::new(), Answer::Closed(why)),
    };
    let exchange = exchange(&mut stream, candidate, config);
    let answer = match timeout_at(deadline.into(), exchange).await {
        Ok(answer) => answer,
        Err(_) => {
            Answer::Mute("it does not answer in time: an election may be under way".to_owned())
        }
    };
    // The other end has said what it had to say; whether the goodbye arrives does not matter.
    let _ = stream.shutdown().await;
    (learned, answer)
}

async fn exchange(stream: &mut Box<dyn Stream>, candidate: &Candidate, config: &Config) -> Answer {
    let began = Instant::now();
    let mut learner = Learner::new(settings(candidate, config), began);
    let mut output = Vec::new();
    learner.take_output(&mut output);
    if let Err(error) = stream.write_all(&output).await {
        return failed(&error);
    }
    let mut input = BytesMut::new();
    loop {
        match stream.read_buf(&mut input).await {
            Ok(0) => return Answer::Mute("it closes the connection without LEADERINFO".to_owned()),
            Ok(_) => {}
            Err(error) => return failed(&error),
        }
        let handled = learner.handle_input(Instant::now(), &mut input, &|_| {});
        // Whatever follows the first answer is not for us.
        if learner.is_registered() {
            return Answer::Leads {
                epoch: learner.epoch(),
                after: began.elapsed(),
                legacy: learner.master_is_legacy(),
            };
        }
        if let Err(lost) = handled {
            return Answer::Mute(format!("it is no leader of a ZooKeeper ensemble: {lost}"));
        }
    }
}

/// With TLS 1.3 a server refuses our certificate only when we think that the handshake is over.
fn failed(error: &io::Error) -> Answer {
    match explain::io(error) {
        Some(why) => Answer::Closed(why),
        None => Answer::Mute(format!("the connection fails: {error}")),
    }
}

fn settings(candidate: &Candidate, config: &Config) -> Settings {
    Settings {
        server_id: config.id,
        last_zxid: Zxid::ZERO,
        accepted_epoch: 0,
        master: Some(candidate.server),
        master_is_legacy: false,
        packet_bytes_max: PACKET_BYTES_MAX,
        init_timeout: config.ticks.init_timeout(),
        silence_timeout: config.link_timeout,
        tree: TreeOptions::default(),
    }
}
