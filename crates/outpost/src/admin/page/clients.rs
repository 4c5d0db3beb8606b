//! Who is served, how much, and who asks most.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use outpost_wire::SessionId;

use super::html::{Html, put};
use super::words;
use crate::admin::history::{Count, History};
use crate::report::{Report, java, process};
use crate::serve::client::Client;
use crate::serve::service::Service;

/// Rows of a table of those who ask most.
const ROWS_MAX: usize = 10;

/// The figures.
pub(super) fn figures(html: &mut Html, report: &Report<'_>) {
    let (server, tree) = (report.server(), report.tree());
    let latency = &server.latency;
    let watchers = report.watch_summary().watchers as u64;
    let process = process::process();
    let memory = process.resident_bytes.map(words::bytes);
    let mean = server.latency_mean();
    let figures = [
        (
            "Sessions",
            words::count(server.sessions),
            format!(
                "on {}",
                words::counted(server.connections as u64, "connection", "connections")
            ),
        ),
        (
            "Watches",
            words::count(tree.watches),
            format!(
                "data of {}",
                words::counted(watchers, "connection", "connections")
            ),
        ),
        (
            "Unanswered",
            words::count(server.outstanding),
            "requests in work".to_owned(),
        ),
        (
            "Latency",
            format!("{mean:.1} ms"),
            format!(
                "99% in {} ms, all in {} ms",
                latency.quantile(0.99),
                latency.max
            ),
        ),
        (
            "Znodes",
            words::count(tree.node_count),
            format!(
                "{}, {} ephemeral",
                words::bytes(tree.approximate_data_size),
                words::count(tree.ephemerals)
            ),
        ),
        (
            "Memory",
            memory.unwrap_or("unknown".to_owned()),
            format!("up for {}", words::duration(server.uptime)),
        ),
    ];
    put!(
        html,
        "<section id=\"clients\" aria-labelledby=\"clients-h\"><h2 id=\"clients-h\">Clients</h2>\n\
         <dl class=\"facts\">\n"
    );
    for (name, value, more) in figures {
        put!(
            html,
            "<div><dt>{}</dt><dd>{} <small>{}</small></dd></div>\n",
            name,
            value,
            more
        );
    }
    put!(html, "</dl>\n");
}

/// One who asks.
struct Talker {
    client: Arc<Client>,
    /// Since it came.
    all: Count,
    /// Lately.
    now: Count,
}

/// Those who ask most, by connection and by address, and the end of the section.
pub(super) fn talkers(html: &mut Html, service: &Service, history: &History) {
    let clients = service.clients.all();
    let earlier = history.earlier(clients.iter().map(|client| client.origin.0));
    let (time, earlier) = earlier.unwrap_or_else(|| {
        (
            service.stats.started.elapsed(),
            vec![Count::default(); clients.len()],
        )
    });
    let mut talkers: Vec<Talker> = clients
        .into_iter()
        .zip(earlier)
        .map(|(client, earlier)| {
            let all = Count::of(&client);
            Talker {
                client,
                all,
                now: all.since(earlier),
            }
        })
        .collect();
    if talkers.is_empty() {
        put!(html, "<p>Nobody is connected.</p></section>\n");
        return;
    }
    let totals = Totals::of(&talkers);
    by_address(html, &talkers, &totals, time);
    let part = |talker: &Talker| share(talker.now, talker.all, &totals);
    talkers.sort_by(|one, other| busier(part(one), part(other)));
    by_connection(html, &talkers, time);
    put!(html, "</section>\n");
}

/// How much of everything one does: the larger of the shares in requests and in bytes lately, then since it came.
fn share(now: Count, all: Count, of: &Totals) -> (f64, f64) {
    let part = |one: Count, whole: Count| {
        let part = |one: u64, whole: u64| one as f64 / whole.max(1) as f64;
        part(one.requests, whole.requests).max(part(one.bytes, whole.bytes))
    };
    (part(now, of.now), part(all, of.all))
}

/// What all do together.
struct Totals {
    all: Count,
    now: Count,
}

impl Totals {
    fn of(talkers: &[Talker]) -> Totals {
        let sum = |count: fn(&Talker) -> Count| {
            let counts = talkers.iter().map(count);
            counts.fold(Count::default(), Count::plus)
        };
        Totals {
            all: sum(|talker| talker.all),
            now: sum(|talker| talker.now),
        }
    }
}

/// The larger one first.
fn busier(one: (f64, f64), other: (f64, f64)) -> Ordering {
    let lately = other.0.total_cmp(&one.0);
    lately.then(other.1.total_cmp(&one.1))
}

fn head(html: &mut Html, id: &str, caption: &str) {
    put!(
        html,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{}\"><table>\
         <caption id=\"{}\">{}</caption><thead><tr>",
        id,
        id,
        caption
    );
}

fn rates(html: &mut Html, now: Count, all: Count, time: Duration) {
    put!(
        html,
        "<td class=\"n\">{}</td><td class=\"n\">{}/s</td><td class=\"n\">{}</td><td class=\"n\">{}</td>",
        words::rate_text(words::rate(now.requests, time)),
        words::bytes(words::rate(now.bytes, time).round() as u64),
        words::count(all.requests),
        words::bytes(all.bytes)
    );
}

const RATES: &str = "<th scope=\"col\" class=\"n\">Requests/s</th><th scope=\"col\" class=\"n\">Traffic</th>\
    <th scope=\"col\" class=\"n\">Requests</th><th scope=\"col\" class=\"n\">Bytes</th>";

fn by_address(html: &mut Html, talkers: &[Talker], totals: &Totals, time: Duration) {
    let mut addresses: HashMap<_, (u64, Count, Count)> = HashMap::new();
    for talker in talkers {
        let address = talker.client.peer.ip().to_canonical();
        let (connections, all, now) = addresses.entry(address).or_default();
        *connections += 1;
        *all = all.plus(talker.all);
        *now = now.plus(talker.now);
    }
    let mut addresses: Vec<_> = addresses.into_iter().collect();
    let part = |of: &(u64, Count, Count)| share(of.2, of.1, totals);
    addresses.sort_by(|one, other| busier(part(&one.1), part(&other.1)));
    let of = caption("Addresses", addresses.len(), time);
    head(html, "by-address", &of);
    put!(
        html,
        "<th scope=\"col\">Address</th><th scope=\"col\" class=\"n\">Connections</th>"
    );
    html.write(format_args!("{RATES}</tr></thead><tbody>\n"));
    for (address, (connections, all, now)) in addresses.into_iter().take(ROWS_MAX) {
        put!(
            html,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td>",
            address,
            words::count(connections)
        );
        rates(html, now, all, time);
        put!(html, "</tr>\n");
    }
    put!(html, "</tbody></table></div>\n");
}

fn by_connection(html: &mut Html, talkers: &[Talker], time: Duration) {
    let of = caption("Connections", talkers.len(), time);
    head(html, "by-connection", &of);
    put!(
        html,
        "<th scope=\"col\">Connection</th><th scope=\"col\">Session</th>"
    );
    html.write(format_args!(
        "{RATES}<th scope=\"col\" class=\"n\">Unanswered</th></tr></thead><tbody>\n"
    ));
    for talker in talkers.iter().take(ROWS_MAX) {
        let client = &talker.client;
        let session = match client.session() {
            SessionId::NONE => "none yet".to_owned(),
            session => session.to_string(),
        };
        put!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td>",
            java::socket_address(client.peer),
            session
        );
        rates(html, talker.now, talker.all, time);
        let unanswered = client.state().pipeline.len();
        put!(
            html,
            "<td class=\"n\">{}</td></tr>\n",
            words::count(unanswered)
        );
    }
    put!(html, "</tbody></table></div>\n");
}

fn caption(what: &str, number: usize, time: Duration) -> String {
    let which = match number > ROWS_MAX {
        true => format!("the {ROWS_MAX} busiest of {}", words::count(number)),
        false => "the busiest first".to_owned(),
    };
    format!(
        "{what}, {which}; rates over the last {}",
        words::duration(time)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_the_largest_part_of_requests_or_of_bytes_is_the_busiest() {
        let count = |requests, bytes| Count { requests, bytes };
        let of = Totals {
            all: count(1000, 100_000),
            now: count(100, 10_000),
        };
        let many = share(count(90, 100), count(100, 100), &of);
        let large = share(count(5, 9_500), count(5, 9_500), &of);
        let neither = share(count(5, 400), count(895, 90_400), &of);
        let quiet = share(count(0, 0), count(0, 0), &of);
        let mut all = [quiet, neither, many, large];
        all.sort_by(|one, other| busier(*one, *other));
        assert_eq!(all, [large, many, neither, quiet]);
    }
}
