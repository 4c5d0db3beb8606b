//! What operators see of a server that follows a simulated ensemble and serves a client.

use std::net::SocketAddr;

use outpost_sim::{EnsembleServer, ServerOptions, Uncommitted};
use outpost_wire::files::snapshot::SnapshotItem;
use outpost_wire::files::snapshot_file::SnapshotFileDecoder;
use outpost_wire::proto::{ConnectRequest, ConnectResponse, CreateRequest};
use outpost_wire::{Acl, OpCode, Reader, Record, SessionId, Writer, Zxid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::exposition::Exposition;
use crate::server::{LIMIT, Server, get};

pub(crate) async fn attached(lines: &str) -> (EnsembleServer, Server) {
    let ensemble = EnsembleServer::start(ServerOptions::default())
        .await
        .unwrap();
    let text = ensemble.membership_text();
    let voters: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("server."))
        .collect();
    let server = Server::start(&format!("{}\n{lines}", voters.join("\n"))).await;
    let until_ready = async {
        while server.get("/ready").await.0 != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, until_ready).await.unwrap();
    (ensemble, server)
}

/// A client with a session.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    session: SessionId,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            time_out: 30_000,
            session_id: SessionId::NONE,
            passwd: Some(&[0; 16]),
            read_only: Some(false),
        };
        send(&mut stream, |writer| request.write(writer)).await;
        let frame = receive(&mut stream).await;
        let response = ConnectResponse::read(&mut Reader::new(&frame)).unwrap();
        let session = response.session_id;
        Client { stream, session }
    }

    async fn ask(&mut self, xid: i32, op: OpCode, body: impl FnOnce(&mut Writer<'_>)) {
        send(&mut self.stream, |writer| {
            writer.int(xid);
            writer.int(op.code());
            body(writer);
        })
        .await;
        let reply = receive(&mut self.stream).await;
        assert_eq!(reply[..4], xid.to_be_bytes());
        assert_eq!(reply[12..16], [0; 4], "no error");
    }
}

pub(crate) async fn send(stream: &mut TcpStream, write: impl FnOnce(&mut Writer<'_>)) {
    let mut frame = vec![0; 4];
    write(&mut Writer::new(&mut frame));
    let length = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&frame).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let length = timeout(LIMIT, stream.read_u32()).await.unwrap().unwrap();
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await.unwrap();
    frame
}

/// A text with everything that differs from run to run replaced.
fn without_chance(text: &str, session: SessionId) -> String {
    let commit = format!("-{},", outpost::build_info::COMMIT);
    let text = text.replace(&commit, "-COMMIT,");
    let text = text.replace(&session.to_string(), "SESSION");
    let mut shown = String::new();
    for line in text.lines() {
        let line = line.split("-outpost-").next().unwrap();
        let mut parts: Vec<String> = line.split(',').map(ToOwned::to_owned).collect();
        for part in &mut parts {
            for moment in ["est=", "lresp=", "llat=", "maxlat=", "avglat=", "minlat="] {
                if part.starts_with(moment) {
                    *part = format!("{}*", moment.trim_end_matches(')'));
                }
            }
            if let Some((before, after)) = part.split_once("127.0.0.1:") {
                let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
                *part = format!("{before}127.0.0.1:*{rest}");
            }
        }
        let line = parts.join(",");
        let line = match line.split_once(" expire at ") {
            Some((count, _)) => format!("{count} expire at *:"),
            None => line,
        };
        let line = match line.split_once("Latency min/avg/max: ") {
            Some((before, _)) => format!("{before}Latency min/avg/max: *"),
            None => line,
        };
        shown.push_str(&line);
        shown.push('\n');
    }
    shown
}

#[tokio::test]
async fn words_tell_of_a_client_its_session_its_ephemerals_and_its_watches() {
    let (ensemble, server) = attached("4lw.commands.whitelist=*\n").await;
    let mut client = Client::connect(server.clients).await;
    client
        .ask(1, OpCode::Create, |writer| {
            writer.buffer(Some(b"/mine"));
            writer.buffer(Some(b""));
            writer.int(1);
            writer.int(31);
            writer.buffer(Some(b"world"));
            writer.buffer(Some(b"anyone"));
            writer.int(1);
        })
        .await;
    client
        .ask(2, OpCode::GetData, |writer| {
            writer.buffer(Some(b"/mine"));
            writer.boolean(true);
        })
        .await;
    client
        .ask(3, OpCode::GetChildren, |writer| {
            writer.buffer(Some(b"/"));
            writer.boolean(true);
        })
        .await;
    let mut told = String::new();
    for word in [
        "isro", "cons", "dump", "stat", "wchs", "wchc", "wchp", "crst", "srst", "cons", "srvr",
    ] {
        let text = server.word(word).await;
        told.push_str(&format!(
            "== {word}\n{}",
            without_chance(&text, client.session)
        ));
    }
    let zxid = server.service.mirror.read().last_zxid();
    let told = told.replace(&zxid.to_string(), "ZXID");
    expect_test::expect_file!["../snapshots/words.txt"].assert_eq(&told);

    let (_, text) = get(server.metrics, "/metrics").await;
    let read = Exposition::parse(&text);
    for (series, value) in [
        ("outpost_serving", 1.0),
        ("outpost_ready", 1.0),
        ("outpost_link_attached", 1.0),
        ("outpost_link_state", 2.0),
        ("outpost_lag_transactions", 0.0),
        ("outpost_client_sessions", 1.0),
        ("outpost_attachments_total", 1.0),
        ("num_alive_connections", 1.0),
        ("global_sessions", 1.0),
        ("ephemerals_count", 1.0),
        ("watch_count", 2.0),
        ("znode_count", 6.0),
        ("digest_mismatches_count", 0.0),
        ("quorum_size", 3.0),
    ] {
        assert_eq!(read.value(series), value, "{series}");
    }
    server.stop().await;
    ensemble.stop().await;
}

#[tokio::test]
async fn words_admin_commands_and_metrics_tell_the_same() {
    let (ensemble, server) = attached("4lw.commands.whitelist=*\n").await;
    let _client = Client::connect(server.clients).await;
    let words = server.word("mntr").await;
    let (_, commands) = server.get("/commands/monitor").await;
    let (_, metrics) = get(server.metrics, "/metrics").await;
    let metrics = Exposition::parse(&metrics);
    let commands: serde_json::Value = serde_json::from_str(&commands).unwrap();
    let commands = commands.as_object().unwrap();
    let mut compared = 0;
    for line in words.lines() {
        let (key, word) = line.split_once('\t').unwrap();
        let key = key.strip_prefix("zk_").unwrap();
        let command = commands
            .get(key)
            .unwrap_or_else(|| panic!("monitor has no {key}"));
        // Whatever asking changes by itself.
        let moves = [
            "packets",
            "uptime",
            "descriptor",
            "bytes",
            "lag",
            "age",
            "round_trip",
            "memory",
            "connections",
            "sent",
            "received",
        ];
        if moves.iter().any(|part| key.contains(part)) {
            continue;
        }
        match command.as_str() {
            Some(text) => assert_eq!(text, word, "{key}"),
            None => assert_eq!(command.as_f64(), word.parse().ok(), "{key}"),
        }
        if let Some(value) = metrics.samples.get(key) {
            assert_eq!(word.parse(), Ok(*value), "{key}");
            compared += 1;
        }
    }
    assert_eq!(
        words.lines().count(),
        commands.len() - 2,
        "but for command and error"
    );
    assert!(compared > 20, "{compared}");
    server.stop().await;
    ensemble.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_is_not_ready_and_answers_its_operators_to_the_end() {
    let (ensemble, server) = attached("").await;
    assert_eq!(server.get("/ready").await.0, 200);
    let (status, text) = server.get("/commands/link").await;
    assert_eq!(status, 200);
    assert!(
        text.contains("\"peer_state\" : \"observing - broadcast\""),
        "{text}"
    );
    server.service.readiness.stop();
    let (status, text) = server.get("/ready").await;
    assert_eq!(
        (status, &*text),
        (503, "not ready: the server is shutting down\n")
    );
    server.stop().await;
    ensemble.stop().await;
}

/// What a command answers, once `holds` says that it is what the test waits for.
async fn command(
    server: &Server,
    name: &str,
    holds: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    let asking = async {
        loop {
            let (status, text) = server.get(&format!("/commands/{name}")).await;
            assert_eq!(status, 200);
            let answer = serde_json::from_str(&text).unwrap();
            if holds(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, asking).await.unwrap()
}

#[tokio::test]
async fn a_lost_link_can_be_read_from_its_last_packets_and_from_what_became_of_the_clients() {
    let (ensemble, server) = attached("outpost.hold=30000\n").await;
    let mut client = Client::connect(server.clients).await;
    client
        .ask(1, OpCode::Create, |writer| {
            let create = CreateRequest {
                path: "/secret".into(),
                data: Some(b"secret"),
                acl: Some(Acl::open()),
                flags: 0,
            };
            create.write(writer);
        })
        .await;
    let before = command(&server, "link", |_| true).await;
    assert_eq!(before["state"], "attached");
    assert!(before["detached_ms"].is_null() && before["last_loss"].is_null());
    assert_eq!(
        (&before["hold_ms"], &before["clients"]),
        (&30_000.into(), &1.into())
    );

    ensemble
        .with(|ensemble, now_ms| ensemble.elect(now_ms, None, Uncommitted::Committed))
        .await
        .unwrap();
    let over = |answer: &serde_json::Value| answer["losses"][0]["reattached_after_ms"].is_u64();
    let after = command(&server, "link", over).await;
    assert_eq!(after["losses"].as_array().unwrap().len(), 1);
    assert_eq!(after["last_loss"]["reason"], after["losses"][0]["reason"]);

    let answer = command(&server, "link_losses", over).await;
    let loss = &answer["losses"][0];
    assert_eq!((&loss["number"], &loss["clients"]), (&1.into(), &1.into()));
    assert_eq!(loss["clients_kept"], 1, "{loss}");
    assert!(loss["followed_ms"].as_u64().unwrap() <= loss["lasted_ms"].as_u64().unwrap());
    assert!(loss["given_up_after_ms"].is_null(), "{loss}");
    let packets = loss["packets"].as_array().unwrap();
    let told: Vec<String> = packets
        .iter()
        .map(|packet| {
            let part = |name: &str| packet[name].as_str().unwrap_or_default();
            let (way, kind, op) = (part("direction"), part("packet"), part("operation"));
            format!("{way} {kind} {op}")
        })
        .collect();
    let place = |line: &str| told.iter().position(|one| one == line);
    let sent = place("sent REQUEST create").unwrap();
    let came = place("received INFORM create").unwrap();
    assert!(
        place("received UPTODATE ").unwrap() < sent && sent < came,
        "{told:?}"
    );
    let session = client.session.to_string();
    for packet in [&packets[sent], &packets[came]] {
        assert_eq!(
            (&packet["session"], &packet["cxid"]),
            (&session.clone().into(), &1.into())
        );
    }
    assert!(!answer.to_string().contains("secret"));

    let (_, metrics) = get(server.metrics, "/metrics").await;
    let metrics = Exposition::parse(&metrics);
    let label = loss["label"].as_str().unwrap();
    let series = format!("outpost_link_losses_total{{reason=\"{label}\"}}");
    assert_eq!(metrics.value(&series), 1.0);
    assert_eq!(metrics.value("outpost_link_reattach_seconds_count"), 1.0);
    assert_eq!(metrics.value("outpost_clients_kept_total"), 1.0);
    assert!(metrics.value("outpost_link_round_trip_seconds") > 0.0);
    server.stop().await;
    ensemble.stop().await;
}

/// Asks for a snapshot and reads the answer to its end: head and body, the chunks put together.
async fn snapshot(server: &Server) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(server.admin).await.unwrap();
    let request = "GET /commands/snapshot HTTP/1.1\r\nHost: h\r\nAuthorization: digest a:b\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    timeout(LIMIT, reading).await.unwrap().unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let (head, mut rest) = (
        String::from_utf8(answer[..end].to_vec()).unwrap(),
        &answer[end + 4..],
    );
    if !head.contains("Transfer-Encoding: chunked") {
        return (head, rest.to_vec());
    }
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = std::str::from_utf8(&rest[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        body.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 2 + length + 2..];
        if length == 0 {
            return (head, body);
        }
    }
}

#[tokio::test]
async fn a_tree_of_any_size_is_given_as_a_snapshot_of_every_znode() {
    let (ensemble, server) =
        attached("admin.rateLimiterIntervalInMS=0\nadmin.idleTimeout=2000\n").await;
    let mut client = Client::connect(server.clients).await;
    let data = vec![7; 900_000];
    // The first is one piece, with its size; the second is more than is encoded at once.
    for (number, pieces) in [(0, false), (1, true)] {
        for one in 0..if pieces { 12 } else { 1 } {
            let path = format!("/{number}-{one}");
            client
                .ask(100 * number + one + 1, OpCode::Create, |writer| {
                    let create = CreateRequest {
                        path: path.as_str().into(),
                        data: Some(&data),
                        acl: Some(Acl::open()),
                        flags: 0,
                    };
                    create.write(writer);
                })
                .await;
        }
        let (head, body) = snapshot(&server).await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert_eq!(
            head.contains("Transfer-Encoding: chunked"),
            pieces,
            "{head}"
        );
        let head = head.to_lowercase();
        assert_eq!(head.contains("snapshot_size: "), !pieces, "{head}");

        let mut decoder = SnapshotFileDecoder::new(body.into(), 1 << 20).unwrap();
        let mut znodes = 0;
        loop {
            match decoder.next().unwrap() {
                SnapshotItem::End => break,
                SnapshotItem::Node { .. } => znodes += 1,
                _ => {}
            }
        }
        let (zxid, count, digest) = {
            let tree = server.service.mirror.read();
            (tree.last_zxid(), tree.node_count(), tree.digest())
        };
        // ZooKeeper counts the root twice.
        assert_eq!(znodes + 1, count);
        let trailer = decoder.trailer().unwrap();
        assert_eq!(trailer.last_zxid, Some(zxid));
        assert_eq!(trailer.digest.unwrap().tree_digest, digest.cast_signed());
        let told = head
            .lines()
            .find_map(|line| line.strip_prefix("last_zxid: "));
        assert_eq!(told, Some(&*zxid.to_string()), "{head}");
    }
    // Whoever asks and does not read is cut off, and does not keep the process alive (P6).
    let mut lazy = TcpStream::connect(server.admin).await.unwrap();
    let request = "GET /commands/snapshot HTTP/1.1\r\nHost: h\r\nAuthorization: digest a:b\r\n\r\n";
    lazy.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    lazy.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    server.stop().await;
    ensemble.stop().await;
}

#[tokio::test]
async fn mntr_shows_what_prometheus_scrapes_where_its_provider_is_configured() {
    let class = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
    let lines = format!("4lw.commands.whitelist=mntr\nmetricsProvider.className={class}\n");
    let (ensemble, server) = attached(&lines).await;
    let words = server.word("mntr").await;
    let names: Vec<&str> = words
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    let first = [
        "zk_version",
        "zk_server_state",
        "zk_peer_state",
        "zk_observer_master_id",
    ];
    assert_eq!(names[..4], first);
    assert!(words.contains("\nzk_znode_count\t5.0\n"), "{words}");
    let (_, text) = get(server.metrics, "/metrics").await;
    let scraped = Exposition::parse(&text);
    let samples: Vec<&str> = names[4..]
        .iter()
        .map(|name| name.strip_prefix("zk_").unwrap())
        .collect();
    let wanted: Vec<&String> = scraped.samples.keys().collect();
    let mut sorted = samples.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, wanted);
    let (_, command) = server.get("/commands/monitor").await;
    let command: serde_json::Value = serde_json::from_str(&command).unwrap();
    assert_eq!(command["znode_count"], 5.0);
    server.stop().await;
    ensemble.stop().await;
}
