//! The ensemble: every voter is visited at once, and what was found is put together.

use std::time::Instant;

use outpost::config::Config;
use outpost_forward::Candidates;
use outpost_wire::membership::{Endpoint, Member};
use tokio::task::JoinSet;

use super::report::{Report, Subject};
use super::server::{ClientPort, Found, Leading, visit_client_port, visit_master};
use super::tls::QuorumTls;
use super::visit::{Answer, DEADLINE, Door};

/// Everything that was found.
pub(super) struct Look {
    found: Vec<Found>,
    client_ports: Vec<ClientPort>,
}

/// Visits everybody side by side; takes [`DEADLINE`] at most.
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
    for member in ensemble.members.members.values() {
        if let Some(endpoint) = client_endpoint(member).filter(|_| member.id != config.id) {
            words.spawn(visit_client_port(member.id, endpoint, deadline));
        }
    }
    let mut found: Vec<(usize, Found)> = visits.join_all().await;
    found.sort_by_key(|(order, found)| (found.place.server, *order));
    let mut client_ports = words.join_all().await;
    client_ports.sort_by_key(|port| port.server);
    Look {
        found: found.into_iter().map(|(_, found)| found).collect(),
        client_ports,
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
