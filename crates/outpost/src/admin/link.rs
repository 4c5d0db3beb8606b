//! The two commands about the link to the ensemble, which no Java server has: `link`, where it stands, and
//! `link_losses`, how it was lost, with the last packets before each loss.

use std::sync::atomic::Ordering;
use std::time::Instant;

use outpost_forward::losses::{LossReport, Outcome};
use outpost_forward::recorder::{Direction, Packet};
use outpost_wire::membership::Endpoint;
use serde_json::{Map, Value, json};

use super::commands::{Members, members};
use crate::report::{Report, java};

/// Where the link stands, and a line or two about each of the last losses, newest first.
pub(super) fn link(report: &Report<'_>) -> Members {
    let link = report.link();
    let master = link.master.as_ref().map(|master| {
        json!({
            "server_id": master.server.0,
            "address": Endpoint::new(master.host.clone(), master.port).to_string(),
            "is_leader": master.leads,
            "epoch": master.epoch,
            "for_seconds": master.age.as_secs(),
        })
    });
    let last_loss = link
        .last_loss
        .as_ref()
        .map(|(reason, ago)| json!({ "reason": reason, "seconds_ago": ago.as_secs() }));
    let losses: Vec<Value> = report
        .losses()
        .iter()
        .map(|loss| brief(loss).into())
        .collect();
    members(json!({
        "serving": report.is_serving(),
        "holding": report.is_holding(),
        "read_only": report.is_read_only(),
        "ready": report.ready().is_ok(),
        "state": link.name(),
        "peer_state": link.peer_state(),
        "learner_master": master,
        "detached_ms": link.detached_for.map(java::millis),
        "hold_ms": java::millis(report.facts().hold),
        "applied_zxid": report.tree().last_zxid.to_string(),
        "leader_zxid": link.leader_zxid.to_string(),
        "lag_transactions": link.lag_zxids,
        "lag_ms": java::millis(link.lag),
        "round_trip_ms": link.round_trip.map(java::millis),
        "clients": report.tally().connected,
        "requests_in_flight": report.status().in_flight.load(Ordering::Relaxed),
        "last_loss": last_loss,
        "losses": losses,
    }))
}

/// Everything that is known about the last losses, newest first.
pub(super) fn losses(report: &Report<'_>) -> Members {
    let losses = report.losses();
    let shown: Vec<Value> = losses.iter().map(|loss| whole(loss).into()).collect();
    members(json!({ "losses": shown }))
}

fn brief(report: &LossReport) -> Members {
    let loss = &report.loss;
    let (reattached, kept, caught_up) = match &loss.outcome {
        Outcome::Open => (None, None, None),
        Outcome::Reattached { after, kept, by } => (Some(*after), *kept, Some(by.to_string())),
    };
    let closed: Map<String, Value> = report
        .closed
        .0
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(cause, count)| ((*cause).to_owned(), (*count).into()))
        .collect();
    let followed = loss.followed.map(|since| millis_between(since, loss.at));
    members(json!({
        "number": loss.number,
        "at": java::instant(loss.wall_clock),
        "label": loss.label,
        "reason": loss.reason,
        "learner_master": Endpoint::new(loss.master.host.clone(), loss.master.port).to_string(),
        "lasted_ms": millis_between(loss.began, loss.at),
        "followed_ms": followed,
        "reattached_after_ms": reattached.map(java::millis),
        "caught_up_by": caught_up,
        "given_up_after_ms": report.given_up_after.map(java::millis),
        "clients": loss.clients.connected,
        "clients_kept": kept,
        "clients_closed": closed,
    }))
}

fn whole(report: &LossReport) -> Members {
    let loss = &report.loss;
    let packets = loss.recording.packets.iter();
    let packets: Vec<Value> = packets.map(|one| packet(one, loss.at).into()).collect();
    let mut shown = brief(report);
    shown.extend(members(json!({
        "server_id": loss.master.server.0,
        "is_leader": !loss.master.observer_master,
        "epoch": loss.epoch,
        "applied_zxid": loss.applied.to_string(),
        "leader_zxid": loss.leader.to_string(),
        "earlier_packets": loss.recording.forgotten,
        "packets": packets,
    })));
    shown
}

/// What is not known of a packet is left out, so that one is a short line.
fn packet(packet: &Packet, end: Instant) -> Members {
    let mut shown = members(json!({
        "ms_before": java::millis(packet.before(end)),
        "direction": match packet.direction {
            Direction::Received => "received",
            Direction::Sent => "sent",
        },
        "packet": packet.name(),
        "zxid": packet.zxid.to_string(),
        "length": packet.length,
    }));
    if let Some(subject) = &packet.subject {
        if let Some(op) = subject.op_name() {
            shown.insert("operation".to_owned(), op.into());
        }
        shown.insert("session".to_owned(), subject.session.to_string().into());
        if subject.op.is_some() {
            shown.insert("cxid".to_owned(), subject.cxid.0.into());
        }
    }
    shown
}

fn millis_between(from: Instant, to: Instant) -> u64 {
    java::millis(to.saturating_duration_since(from))
}
