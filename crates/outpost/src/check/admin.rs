//! What a server's admin server tells: who is attached, which properties it was started with, what time it is there.
//!
//! Nobody says where that is, so it is looked for at the port and path that ours has. What answers there counts only
//! if it says that it is the server that was meant.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use outpost::config::Config;
use outpost_wire::ServerId;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

/// The longest answer that is read: some thousand observers.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// An observer that is attached to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attached {
    pub(super) id: ServerId,
    /// Where it connects from.
    pub(super) from: Option<SocketAddr>,
}

/// What one admin server tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// Under the names that they have in a configuration file.
    pub(super) settings: BTreeMap<&'static str, i64>,
    /// From 3.6 on, if the server has learners.
    pub(super) observers: Option<Vec<Attached>>,
    /// What the server was started with, file included; from 3.6 on.
    pub(super) properties: Option<BTreeMap<String, String>>,
    /// By how many seconds its clock is ahead of ours, if that is more than what cannot be told.
    pub(super) ahead: Option<i64>,
    /// Our own address on the way there.
    pub(super) ours: IpAddr,
}

/// Asks the admin server of `server`, if there is one at `host`.
pub(super) async fn ask(
    server: ServerId,
    host: String,
    config: &Config,
    deadline: Instant,
) -> Option<Told> {
    let admin = config.admin.as_ref().filter(|admin| admin.addr.port != 0)?;
    let place = Place {
        host,
        port: admin.addr.port,
        commands: admin.command_url.clone(),
    };
    let who = place.get("configuration", deadline).await?;
    let same = who.body.get("server_id").and_then(Value::as_i64) == Some(server.0);
    if !same {
        return None;
    }
    let observers = place.get("observers", deadline).await;
    let properties = place.get("system_properties", deadline).await;
    Some(Told {
        settings: settings_in(&who.body),
        observers: observers.and_then(|answer| observers_in(&answer.body)),
        properties: properties.and_then(|answer| texts_in(&answer.body)),
        ahead: who.date.and_then(|date| ahead(date, who.began, who.ended)),
        ours: who.ours,
    })
}

struct Place {
    host: String,
    port: u16,
    commands: String,
}

/// One answer, and when it came.
struct Answer {
    body: Value,
    /// By the server's clock, in whole seconds.
    date: Option<SystemTime>,
    began: SystemTime,
    ended: SystemTime,
    ours: IpAddr,
}

impl Place {
    async fn get(&self, command: &str, deadline: Instant) -> Option<Answer> {
        let asked = timeout_at(deadline.into(), self.exchange(command)).await;
        let (text, began, ours) = asked.ok()?.ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let date = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("date").then_some(value.trim())
        });
        Some(Answer {
            body: serde_json::from_str(body).ok()?,
            date: date.and_then(|date| httpdate::parse_http_date(date).ok()),
            began,
            ended: SystemTime::now(),
            ours,
        })
    }

    /// HTTP/1.0, so that the answer ends with the connection.
    async fn exchange(&self, command: &str) -> std::io::Result<(String, SystemTime, IpAddr)> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let ours = stream.local_addr()?.ip();
        let began = SystemTime::now();
        let Place {
            host,
            port,
            commands,
        } = self;
        let request = format!("GET {commands}/{command} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        (&mut stream)
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .await?;
        Ok((String::from_utf8_lossy(&answer).into_owned(), began, ours))
    }
}

fn settings_in(body: &Value) -> BTreeMap<&'static str, i64> {
    let shared = [
        ("tickTime", "tick_time"),
        ("minSessionTimeout", "min_session_timeout"),
        ("maxSessionTimeout", "max_session_timeout"),
    ];
    let told = shared.into_iter().filter_map(|(key, name)| {
        let value = body.get(name)?.as_i64()?;
        Some((key, value))
    });
    told.collect()
}

fn observers_in(body: &Value) -> Option<Vec<Attached>> {
    let observers = body.get("observers")?.as_array()?.iter();
    let attached = observers.filter_map(|observer| {
        let from = observer
            .get("remote_socket_address")
            .and_then(Value::as_str);
        Some(Attached {
            id: ServerId(observer.get("sid")?.as_i64()?),
            from: from.and_then(address_in),
        })
    });
    Some(attached.collect())
}

/// Java writes the name in front of the slash, if it knows one.
fn address_in(text: &str) -> Option<SocketAddr> {
    text.rsplit('/').next()?.parse().ok()
}

fn texts_in(body: &Value) -> Option<BTreeMap<String, String>> {
    let members = body.as_object()?.iter();
    let texts =
        members.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    Some(texts.collect())
}

/// By how much a clock is ahead that said `date`, in whole seconds, at some moment between these two.
fn ahead(date: SystemTime, began: SystemTime, ended: SystemTime) -> Option<i64> {
    let seconds =
        |at: SystemTime| i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok();
    let (date, earliest, latest) = (seconds(date)?, seconds(began)?, seconds(ended)?);
    let ahead = match date {
        _ if date > latest => date - latest,
        _ if date < earliest => date - earliest,
        _ => 0,
    };
    Some(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_clock_is_ahead_or_behind_by_what_the_time_of_the_exchange_does_not_explain() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(ahead(at(1000), at(1000), at(1002)), Some(0));
        assert_eq!(ahead(at(1002), at(1000), at(1002)), Some(0));
        assert_eq!(ahead(at(1007), at(1000), at(1002)), Some(5));
        assert_eq!(ahead(at(990), at(1000), at(1002)), Some(-10));
    }

    #[test]
    fn observers_are_found_with_their_ids_and_addresses() {
        let body = serde_json::json!({ "synced_observers": 2, "observers": [
            { "remote_socket_address": "/10.0.0.5:4711", "sid": 42, "queued_packets": 0 },
            { "remote_socket_address": "host/[0:0:0:0:0:0:0:1]:4712", "sid": 43 },
            { "remote_socket_address": null },
        ] });
        let observers = observers_in(&body).expect("a list");
        let ids: Vec<i64> = observers.iter().map(|attached| attached.id.0).collect();
        assert_eq!(ids, [42, 43]);
        assert_eq!(observers[0].from, "10.0.0.5:4711".parse().ok());
        assert_eq!(observers[1].from, "[::1]:4712".parse().ok());
        assert_eq!(observers_in(&serde_json::json!({ "error": null })), None);
    }
}
