//! The ensemble: every voter is visited at once, and what was found is put together.

use std::time::{Duration, Instant};

use outpost::config::Config;
use outpost_forward::{Candidate, Candidates};
use outpost_wire::ServerId;
use outpost_wire::membership::{Endpoint, Member};
use tokio::task::JoinSet;

use super::report::{Report, Subject};
use super::srvr::{self, Srvr};
use super::visit::{self, Answer, DEADLINE, Door, Name};

/// What was found at one port of one server.
struct Found {
    place: Candidate,
    name: Name,
    door: Door,
    answer: Option<Answer>,
}

/// What was found at the client port of one server.
struct ClientPort {
    server: ServerId,
    endpoint: Endpoint,
    door: Door,
    srvr: Option<Srvr>,
}

/// Everything that was found.
pub(super) struct Look {
    found: Vec<Found>,
    client_ports: Vec<ClientPort>,
}

/// Visits everybody side by side; takes [`DEADLINE`] at most.
pub(super) async fn look(config: &Config) -> Look {
    let deadline = Instant::now() + DEADLINE;
    let ensemble = &config.ensemble;
    let candidates = Candidates::new(
        ensemble.members.clone(),
        ensemble.observer_master_port,
        ensemble.reconfig_enabled,
    );
    let mut visits = JoinSet::new();
    for (order, place) in candidates.list().into_iter().enumerate() {
        let config = config.clone();
        visits.spawn(async move { (order, visit_master(place, &config, deadline).await) });
    }
    let mut words = JoinSet::new();
    for member in ensemble.members.members.values() {
        if let Some(endpoint) = client_endpoint(member).filter(|_| member.id != config.id) {
            words.spawn(visit_client_port(member.id, endpoint, deadline));
        }
    }
    // None of the visits can panic; one that did would only be missing.
    let mut found: Vec<(usize, Found)> = visits.join_all().await;
    found.sort_by_key(|(order, found)| (found.place.server, *order));
    let mut client_ports = words.join_all().await;
    client_ports.sort_by_key(|port| port.server);
    Look {
        found: found.into_iter().map(|(_, found)| found).collect(),
        client_ports,
    }
}

async fn visit_master(place: Candidate, config: &Config, deadline: Instant) -> Found {
    let knock = visit::knock(&place.host, place.port, deadline).await;
    let answer = match knock.stream {
        // One handshake is enough, and it is the leader's.
        Some(stream) if !place.observer_master => {
            Some(visit::introduce(stream, &place, config, deadline).await)
        }
        _ => None,
    };
    Found {
        place,
        name: knock.name,
        door: knock.door,
        answer,
    }
}

async fn visit_client_port(server: ServerId, endpoint: Endpoint, deadline: Instant) -> ClientPort {
    let knock = visit::knock(&endpoint.host, endpoint.port, deadline).await;
    let srvr = match knock.stream {
        Some(stream) => srvr::ask(stream, deadline).await,
        None => None,
    };
    ClientPort {
        server,
        endpoint,
        door: knock.door,
        srvr,
    }
}

/// Where a member serves clients, as seen from here.
fn client_endpoint(member: &Member) -> Option<Endpoint> {
    let client = member.client.clone()?;
    match client.is_wildcard() {
        true => Some(Endpoint::new(
            member.addresses.first()?.host.clone(),
            client.port,
        )),
        false => Some(client),
    }
}

/// Whoever answered as a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leading {
    server: ServerId,
    epoch: u32,
}

impl Look {
    /// Reports everything; says to whom Outpost would attach.
    pub(super) fn report(&self, report: &mut Report) -> Option<String> {
        let leader = self.leader();
        for found in &self.found {
            if found.place.observer_master {
                found.report_observer_master(leader, report);
            } else {
                found.report_name(report);
                found.report_quorum_port(leader, report);
            }
        }
        for port in &self.client_ports {
            port.report(leader, report);
        }
        self.report_leader(leader, report);
        self.master(leader)
    }

    /// The leader of the newest epoch.
    fn leader(&self) -> Option<Leading> {
        self.leading().max_by_key(|leading| leading.epoch)
    }

    fn leading(&self) -> impl Iterator<Item = Leading> {
        self.found.iter().filter_map(|found| match found.answer {
            Some(Answer::Leads { epoch, .. }) => Some(Leading {
                server: found.place.server,
                epoch,
            }),
            _ => None,
        })
    }

    fn report_leader(&self, leader: Option<Leading>, report: &mut Report) {
        let Some(Leading { server, epoch }) = leader else {
            report.fail(Subject::Leader, self.why_nobody());
            return;
        };
        for other in self.leading().filter(|other| other.server != server) {
            let text = format!(
                "server.{} answers as leader too, of epoch {}; an election may be under way",
                other.server, other.epoch
            );
            report.warn(Subject::Leader, &text);
        }
        report.ok(
            Subject::Leader,
            &format!("server.{server} leads, in epoch {epoch}"),
        );
    }

    fn why_nobody(&self) -> &'static str {
        let mut doors = self
            .found
            .iter()
            .filter(|found| !found.place.observer_master);
        match doors.all(|found| matches!(found.door, Door::Refused(_))) {
            true => {
                "nobody leads: every voter refuses at its quorum port; is the ensemble up, with a quorum, and are \
                 these its quorum ports?"
            }
            false => "nobody answers as leader; what is said of the servers above may tell why",
        }
    }

    /// To whom Outpost would attach: an observer master, if one is open, else the leader.
    fn master(&self, leader: Option<Leading>) -> Option<String> {
        let leader = leader?;
        let masters = self
            .found
            .iter()
            .filter(|found| found.place.observer_master);
        let open = masters
            .filter(|found| matches!(found.door, Door::Open(_)))
            .map(|found| format!("server.{}", found.place.server));
        let open: Vec<String> = open.collect();
        Some(match open.as_slice() {
            [] => format!("server.{}, the leader,", leader.server),
            [master] => format!("{master}, an observer master,"),
            masters => format!("an observer master of {}", masters.join(", ")),
        })
    }
}

impl Found {
    fn subject(&self) -> Subject {
        Subject::Server(self.place.server)
    }

    fn address(&self) -> Endpoint {
        Endpoint::new(self.place.host.clone(), self.place.port)
    }

    fn report_name(&self, report: &mut Report) {
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

    fn report_quorum_port(&self, leader: Option<Leading>, report: &mut Report) {
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
            None => {}
        }
    }

    fn report_observer_master(&self, leader: Option<Leading>, report: &mut Report) {
        let address = self.address();
        let leads = leader.is_some_and(|leader| leader.server == self.place.server);
        let text = match &self.door {
            Door::Nowhere => return,
            Door::Open(after) => {
                let text = format!("observer master {address} connects in {}", millis(*after));
                report.ok(self.subject(), &text);
                return;
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
    fn report(&self, leader: Option<Leading>, report: &mut Report) {
        let subject = Subject::Server(self.server);
        let port = format!("client port {}", self.endpoint);
        let Some(srvr) = &self.srvr else {
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

/// Milliseconds with one digit behind the point.
fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
