//! The ensemble: every voter is visited at once, and what was found is put together.

use std::collections::BTreeMap;
use std::time::Instant;

use outpost::config::Config;
use outpost_forward::Candidates;
use outpost_wire::ServerId;
use outpost_wire::membership::{Endpoint, Member, Role};
use tokio::task::JoinSet;

use super::admin::{self, Told};
use super::agreement::{self, Voter};
use super::id;
use super::report::{Report, Subject};
use super::round_trip::RoundTrips;
use super::server::{ClientPort, Found, Leading, visit_client_port, visit_master};
use super::tls::QuorumTls;
use super::visit::{Answer, DEADLINE, Door};

/// Everything that was found.
pub(super) struct Look {
    found: Vec<Found>,
    client_ports: Vec<ClientPort>,
    /// What each admin server tells that was found.
    told: BTreeMap<ServerId, Told>,
}

/// Visits everybody side by side; takes [`DEADLINE`] at most, and where somebody leads but does not answer, longer.
pub(super) async fn look(config: &Config, tls: &QuorumTls) -> Look {
    let deadline = Instant::now() + DEADLINE;
    let ensemble = &config.ensemble;
    let candidates = Candidates::new(
        ensemble.members.clone(),
        ensemble.observer_master_port,
        ensemble.reconfig_enabled,
    );
    let mut visits = JoinSet::new();
    for (order, place) in candidates.list().into_iter().enumerate() {
        let (config, tls) = (config.clone(), tls.clone());
        visits.spawn(async move { (order, visit_master(place, &config, &tls, deadline).await) });
    }
    let mut words = JoinSet::new();
    let mut admins = JoinSet::new();
    for member in ensemble
        .members
        .members
        .values()
        .filter(|it| it.id != config.id)
    {
        if let Some((endpoint, guessed)) = client_endpoint(member, config) {
            words.spawn(visit_client_port(member.id, endpoint, guessed, deadline));
        }
        if let (Some(address), Role::Participant) = (member.addresses.first(), member.role) {
            let (id, host, config) = (member.id, address.host.clone(), config.clone());
            admins.spawn(async move { (id, admin::ask(id, host, &config, deadline).await) });
        }
    }
    let mut found: Vec<(usize, Found)> = visits.join_all().await;
    found.sort_by_key(|(order, found)| (found.place.server, *order));
    let mut client_ports = words.join_all().await;
    client_ports.sort_by_key(|port| port.server);
    let told = admins.join_all().await.into_iter();
    Look {
        found: found.into_iter().map(|(_, found)| found).collect(),
        client_ports,
        told: told.filter_map(|(id, told)| Some((id, told?))).collect(),
    }
}

/// Where a member serves clients, as seen from here; and whether that is only a guess.
///
/// A voter whose line does not say mostly has the port that we have too.
fn client_endpoint(member: &Member, config: &Config) -> Option<(Endpoint, bool)> {
    let host = || Some(member.addresses.first()?.host.clone());
    match &member.client {
        Some(client) if client.is_wildcard() => Some((Endpoint::new(host()?, client.port), false)),
        Some(client) => Some((client.clone(), false)),
        None => {
            let ours = config.clients.doors.plain.as_ref()?;
            let guess = Endpoint::new(host()?, ours.port);
            (ours.port != 0 && member.role == Role::Participant).then_some((guess, true))
        }
    }
}

impl Look {
    /// Reports everything; says to whom Outpost would attach.
    pub(super) fn report(&self, config: &Config, report: &mut Report) -> Option<String> {
        let leader = self.leader();
        for found in &self.found {
            if found.place.observer_master {
                found.report_observer_master(leader, report);
            } else {
                found.report_name(report);
                found.report_addresses(report);
                found.report_quorum_port(leader, report);
            }
        }
        for port in &self.client_ports {
            port.report(leader, report);
        }
        self.report_round_trips(config, report);
        self.report_leader(leader, report);
        let voters = self.voters(config);
        agreement::check(config, &voters, report);
        id::check(config, leader.map(|leader| leader.server), &voters, report);
        self.master(leader)
    }

    fn report_round_trips(&self, config: &Config, report: &mut Report) {
        for voter in config.ensemble.members.participants() {
            let at_quorum_port = self
                .found
                .iter()
                .filter(|found| found.place.server == voter.id);
            let at_client_port = self
                .client_ports
                .iter()
                .filter(|port| port.server == voter.id);
            let measured = at_quorum_port
                .filter_map(|found| found.round_trips.as_ref())
                .chain(at_client_port.filter_map(|port| port.round_trips.as_ref()));
            if let Some(best) = measured.max_by_key(|round_trips: &&RoundTrips| round_trips.count())
            {
                report.ok(
                    Subject::Server(voter.id),
                    &format!("a round trip takes {best}"),
                );
            }
        }
    }

    /// What each voter says of itself.
    fn voters(&self, config: &Config) -> Vec<Voter<'_>> {
        let participants = config.ensemble.members.participants();
        let voter = |member: &Member| Voter {
            id: member.id,
            conf: self
                .client_ports
                .iter()
                .find(|port| port.server == member.id)
                .and_then(|port| port.conf.as_ref()),
            told: self.told.get(&member.id),
        };
        participants.map(voter).collect()
    }

    /// Whether somebody answers as a leader.
    pub(super) fn has_leader(&self) -> bool {
        self.leading().next().is_some()
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
