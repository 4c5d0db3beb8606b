//! One server: what a visit to one of its ports finds, and what is to be said of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use outpost::config::Config;
use outpost_forward::Candidate;
use outpost_wire::ServerId;
use outpost_wire::membership::Endpoint;

use super::conf::{self, Conf};
use super::report::{Report, Subject};
use super::round_trip::RoundTrips;
use super::srvr::{self, Srvr};
use super::tls::QuorumTls;
use super::visit::{self, ANSWER_DEADLINE, Answer, DEADLINE, Door, Name};
use super::word;

/// Whoever answered as a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leading {
    pub(super) server: ServerId,
    pub(super) epoch: u32,
}

/// What was found at one port of one server.
pub(super) struct Found {
    pub(super) place: Candidate,
    pub(super) name: Name,
    pub(super) door: Door,
    /// At each address of the name.
    tried: Vec<(SocketAddr, Door)>,
    pub(super) answer: Option<Answer>,
    pub(super) round_trips: Option<RoundTrips>,
    /// What the way in has shown.
    learned: Vec<String>,
}

/// What was found at the client port of one server.
pub(super) struct ClientPort {
    pub(super) server: ServerId,
    endpoint: Endpoint,
    /// Whether its line names no port, so that ours was tried.
    guessed: bool,
    door: Door,
    srvr: Option<Srvr>,
    pub(super) conf: Option<Conf>,
    pub(super) round_trips: Option<RoundTrips>,
}

/// Visits a quorum port, or an observer master. One OBSERVERINFO is enough, and it is the leader's.
pub(super) async fn visit_master(
    place: Candidate,
    config: &Config,
    tls: &QuorumTls,
    deadline: Instant,
) -> Found {
    let knock = visit::knock(&place.host, place.port, deadline).await;
    // A leader's log shows every connection; who refuses does not notice.
    let again = knock
        .tried
        .iter()
        .find(|(_, door)| matches!(door, Door::Refused(_)));
    let round_trips = match (&knock.door, again) {
        (Door::Refused(_), Some((address, door))) => RoundTrips::of(*address, door, deadline).await,
        _ => RoundTrips::once(&knock.door),
    };
    let deadline = Instant::now() + ANSWER_DEADLINE;
    let (learned, answer) = match (knock.stream, tls) {
        (Some(stream), _) if !place.observer_master => {
            let (learned, answer) = visit::introduce(stream, &place, config, tls, deadline).await;
            (learned, Some(answer))
        }
        (Some(stream), QuorumTls::On(tls)) => visit::secure(stream, &place, tls, deadline).await,
        _ => (Vec::new(), None),
    };
    Found {
        place,
        name: knock.name,
        door: knock.door,
        tried: knock.tried,
        answer,
        round_trips,
        learned,
    }
}

/// Visits a client port; `guessed` if nothing says that it is one.
pub(super) async fn visit_client_port(
    server: ServerId,
    endpoint: Endpoint,
    guessed: bool,
    deadline: Instant,
) -> ClientPort {
    let knock = visit::knock(&endpoint.host, endpoint.port, deadline).await;
    let srvr = match knock.stream {
        Some(stream) => word::ask(stream, "srvr", deadline).await,
        None => None,
    };
    let srvr = srvr.map(|answer| srvr::parse(&answer));
    let open = knock
        .tried
        .iter()
        .find(|(_, door)| matches!(door, Door::Open(_)));
    let (mut conf, mut round_trips) = (None, None);
    if let (Some((address, door)), Some(_)) = (open, &srvr) {
        round_trips = RoundTrips::of(*address, door, deadline).await;
        if let (_, Some(stream)) = visit::knock_at(*address, deadline).await {
            conf = word::ask(stream, "conf", deadline).await;
        }
    }
    ClientPort {
        server,
        endpoint,
        guessed,
        door: knock.door,
        srvr,
        conf: conf.and_then(|answer| conf::parse(&answer)),
        round_trips,
    }
}

impl Found {
    fn subject(&self) -> Subject {
        Subject::Server(self.place.server)
    }

    fn address(&self) -> Endpoint {
        Endpoint::new(self.place.host.clone(), self.place.port)
    }

    pub(super) fn report_name(&self, report: &mut Report) {
        let host = &self.place.host;
        match &self.name {
            Name::Address => {}
            Name::Resolved(addresses) => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                let text = format!("{host} is {}", addresses.join(", "));
                report.ok(self.subject(), &text);
            }
            Name::Unknown(why) => {
                report.fail(self.subject(), &format!("{host} cannot be resolved: {why}"));
            }
        }
    }

    /// Of a name with several addresses what was found at each, where that is not what was found altogether.
    pub(super) fn report_addresses(&self, report: &mut Report) {
        let differ = |(_, door): &&(SocketAddr, Door)| {
            std::mem::discriminant(door) != std::mem::discriminant(&self.door)
        };
        for (address, door) in self.tried.iter().filter(differ) {
            let host = &self.place.host;
            match door {
                Door::Refused(_) => {
                    report.ok(self.subject(), &format!("{host} refuses at {address}"));
                }
                Door::Unreachable(why) => {
                    let text = format!("{host} cannot be reached at {address}: {why}");
                    report.warn(self.subject(), &text);
                }
                Door::Silent => {
                    let text = format!(
                        "{host} is silent at {address}, and an attempt to attach may lose its time there"
                    );
                    report.warn(self.subject(), &text);
                }
                Door::Nowhere | Door::Open(_) => {}
            }
        }
    }

    pub(super) fn report_quorum_port(&self, leader: Option<Leading>, report: &mut Report) {
        let address = self.address();
        match &self.door {
            Door::Nowhere => {}
            Door::Refused(after) => {
                let text = format!(
                    "quorum port {address} refuses, after {}: only a leader listens there",
                    millis(*after)
                );
                report.ok(self.subject(), &text);
            }
            Door::Unreachable(why) => {
                let text = format!(
                    "quorum port {address} cannot be reached: {why}; Outpost could not attach when this server leads"
                );
                report.fail(self.subject(), &text);
            }
            Door::Silent => {
                let text = format!(
                    "quorum port {address} is silent for {} s: a firewall, or the host is down; Outpost could \
                     not attach when this server leads",
                    DEADLINE.as_secs()
                );
                report.fail(self.subject(), &text);
            }
            Door::Open(after) => {
                let text = format!("quorum port {address} connects in {}", millis(*after));
                report.ok(self.subject(), &text);
                for learned in &self.learned {
                    report.ok(self.subject(), &format!("quorum port {address} {learned}"));
                }
                self.report_answer(leader, report);
            }
        }
    }

    fn report_answer(&self, leader: Option<Leading>, report: &mut Report) {
        match &self.answer {
            Some(Answer::Leads {
                epoch,
                after,
                legacy,
            }) => {
                let release = match legacy {
                    true => "; it is of release 3.3",
                    false => "",
                };
                let text = format!(
                    "answers as leader of epoch {epoch}, {} after OBSERVERINFO{release}",
                    millis(*after)
                );
                report.ok(self.subject(), &text);
            }
            Some(Answer::Mute(why)) => {
                let address = self.address();
                let text = format!(
                    "who listens at {address} does not answer as a leader: {why}; does it want TLS or SASL, or is \
                     this another port than the quorum port?"
                );
                match leader {
                    Some(_) => report.warn(self.subject(), &text),
                    None => report.fail(self.subject(), &text),
                }
            }
            Some(Answer::Closed(why)) => {
                let text = format!("quorum port {} lets us not in: {why}", self.address());
                report.fail(self.subject(), &text);
            }
            None => {}
        }
    }

    pub(super) fn report_observer_master(&self, leader: Option<Leading>, report: &mut Report) {
        let address = self.address();
        let leads = leader.is_some_and(|leader| leader.server == self.place.server);
        let text = match &self.door {
            Door::Nowhere => return,
            Door::Open(after) => {
                let text = format!("observer master {address} connects in {}", millis(*after));
                report.ok(self.subject(), &text);
                for learned in &self.learned {
                    report.ok(
                        self.subject(),
                        &format!("observer master {address} {learned}"),
                    );
                }
                let Some(Answer::Closed(why)) = &self.answer else {
                    return;
                };
                format!("lets us not in: {why}")
            }
            Door::Refused(_) if leads => {
                let text = format!("observer master {address} refuses: a leader runs none");
                report.ok(self.subject(), &text);
                return;
            }
            Door::Refused(_) => "refuses; is observerMasterPort set on this voter?".to_owned(),
            Door::Unreachable(why) => format!("cannot be reached: {why}"),
            Door::Silent => format!("is silent for {} s", DEADLINE.as_secs()),
        };
        report.warn(self.subject(), &format!("observer master {address} {text}"));
    }
}

impl ClientPort {
    pub(super) fn report(&self, leader: Option<Leading>, report: &mut Report) {
        let subject = Subject::Server(self.server);
        let port = format!("client port {}", self.endpoint);
        let Some(srvr) = &self.srvr else {
            if self.guessed {
                let text = format!(
                    "its line names no client port, and no ZooKeeper answers at ours, {}",
                    self.endpoint
                );
                report.ok(subject, &text);
                return;
            }
            let why = match &self.door {
                Door::Open(_) => "does not answer `srvr`".to_owned(),
                Door::Refused(_) => "refuses, so the server may be down".to_owned(),
                Door::Unreachable(why) => format!("cannot be reached: {why}"),
                Door::Nowhere | Door::Silent => "cannot be reached".to_owned(),
            };
            report.warn(subject, &format!("{port} {why}; Outpost does without it"));
            return;
        };
        if let Some(refusal) = &srvr.refusal {
            let text = format!("{port} answers: {refusal}");
            // What a server says that may not answer, unlike one that cannot.
            match refusal.contains("whitelist") {
                true => report.ok(subject, &text),
                false => report.warn(subject, &text),
            }
            return;
        }
        let version = srvr.version.as_deref().unwrap_or("of an unknown release");
        let mode = srvr.mode.as_deref().unwrap_or("in an unknown mode");
        let text = format!("{port}: ZooKeeper {version}, {mode}");
        let leads = leader.is_some_and(|leader| leader.server == self.server);
        match mode {
            "standalone" => {
                let text = format!(
                    "{text}: it runs alone and has no quorum port; start it with standaloneEnabled=false"
                );
                report.fail(subject, &text);
            }
            "leader" if !leads => {
                let text = format!("{text}, but it has not answered as leader at its quorum port");
                report.fail(subject, &text);
            }
            _ => report.ok(subject, &text),
        }
    }
}

/// Milliseconds with one digit behind the point, or two where there is none before it.
pub(super) fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    match millis < 1.0 {
        true => format!("{millis:.2} ms"),
        false => format!("{millis:.1} ms"),
    }
}
