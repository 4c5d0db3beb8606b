//! The admin and metrics ports while there is no ensemble to attach to.

use outpost::limits::{HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{NOBODY, Server, exchange, get, read_to_end};

#[tokio::test]
async fn p8_a_server_without_an_ensemble_is_alive_and_not_ready() {
    let server = Server::start(NOBODY).await;
    assert_eq!(server.get("/live").await, (200, "live\n".to_owned()));
    let (status, text) = server.get("/ready").await;
    assert_eq!(
        (status, &*text),
        (503, "not ready: not attached to the ensemble\n")
    );
    server.stop().await;
}

#[tokio::test]
async fn every_route_that_is_listed_is_served_and_no_other() {
    let server = Server::start(&format!("{NOBODY}admin.commandURL=/zk\n")).await;
    let (status, routes) = server.get("/").await;
    assert_eq!(status, 200);
    for route in routes.lines() {
        assert_ne!(server.get(route).await.0, 404, "{route}");
    }
    for stranger in ["/commands", "/zkx", "/metricsx", "/live/"] {
        assert_eq!(server.get(stranger).await.0, 404, "{stranger}");
    }
    let (status, links) = server.get("/zk/").await;
    assert_eq!(status, 200);
    for line in links.lines().filter(|line| line.starts_with("<a")) {
        let path = line.split('"').nth(1).unwrap();
        let (status, answer) = server.get(path).await;
        // 405: it is asked for with POST.
        assert!([200, 405].contains(&status), "{path}: {status}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(format!("/zk/{}", answer["command"].as_str().unwrap()), path);
        assert!(
            answer["error"].is_null() || answer["error"].is_string(),
            "{path}"
        );
    }
    assert_eq!(get(server.metrics, "/metrics").await.0, 200);
    assert_eq!(get(server.metrics, "/live").await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_command_says_what_is_wrong_in_its_error() {
    let server = Server::start(NOBODY).await;
    for (path, status, answer) in [
        (
            "nope",
            200,
            "{\n  \"command\" : \"nope\",\n  \"error\" : \"Unknown command: nope\"\n}",
        ),
        (
            "stat",
            200,
            "{\n  \"command\" : \"stat\",\n  \"error\" : \"This ZooKeeper instance is not currently serving requests\"\n}",
        ),
        (
            "set_trace_mask?traceMask=x",
            200,
            "{\n  \"command\" : \"set_trace_mask\",\n  \"error\" : \"setTraceMask requires long traceMask argument, got x\"\n}",
        ),
        (
            "gtmk",
            200,
            "{\n  \"tracemask\" : 306,\n  \"command\" : \"get_trace_mask\",\n  \"error\" : null\n}",
        ),
    ] {
        let got = server.get(&format!("/commands/{path}")).await;
        assert_eq!(got, (status, answer.to_owned()));
    }
    server.stop().await;
}

#[tokio::test]
async fn the_configuration_is_shown_without_its_secrets() {
    let secret = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=";
    let lines = format!("{NOBODY}DigestAuthenticationProvider.superDigest={secret}\n");
    let server = Server::start(&lines).await;
    let (status, text) = server.get("/commands/icfg").await;
    assert_eq!(status, 200);
    assert!(text.contains("tickTime=2000\\n"), "{text}");
    assert!(
        text.contains("superDigest=(hidden)") && !text.contains("xQJmx"),
        "{text}"
    );
    let (_, text) = server.get("/commands/system_properties").await;
    assert!(text.contains("\"outpost.workers\" : \"2\""), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn p6_requests_that_are_long_or_carry_something_are_refused() {
    let server = Server::start(NOBODY).await;
    let ask = async |request: String| {
        let answer = exchange(server.admin, request.as_bytes()).await;
        answer.lines().next().unwrap_or_default().to_owned()
    };
    let post = "POST /live HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(
        ask(post.to_owned()).await,
        "HTTP/1.1 405 Method Not Allowed"
    );
    let trace = "TRACE /live HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(
        ask(trace.to_owned()).await,
        "HTTP/1.1 405 Method Not Allowed"
    );
    let body = "GET /live HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(ask(body.to_owned()).await, "HTTP/1.1 413 Payload Too Large");
    let long = "x".repeat(HTTP_HEAD_BYTES_MAX);
    let long = format!("GET /live HTTP/1.1\r\nHost: h\r\nLong: {long}\r\n\r\n");
    let answer = ask(long).await;
    assert!(answer.is_empty() || answer.contains(" 431 "), "{answer}");
    let many = "A: b\r\n".repeat(1000);
    let answer = ask(format!("GET /live HTTP/1.1\r\n{many}\r\n")).await;
    assert!(answer.is_empty() || answer.contains(" 431 "), "{answer}");
    assert_eq!(server.get("/live").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn p6_silent_connections_take_all_seats_only_until_their_time_is_over() {
    let server = Server::start(&format!("{NOBODY}admin.idleTimeout=300\n")).await;
    let mut silent = Vec::new();
    for _ in 0..=HTTP_CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(server.admin).await.unwrap();
        stream.write_all(b"GET /li").await.unwrap();
        silent.push(stream);
    }
    assert_eq!(server.get("/live").await.0, 200);
    for stream in &mut silent {
        assert!(!read_to_end(stream).await.contains("200 OK"));
    }
    server.stop().await;
}

#[tokio::test]
async fn p6_a_peer_that_does_not_read_its_answer_does_not_keep_the_process_alive() {
    let server = Server::start(&format!("{NOBODY}admin.idleTimeout=300\n")).await;
    let mut lazy = TcpStream::connect(server.admin).await.unwrap();
    lazy.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    let _silent = TcpStream::connect(server.metrics).await.unwrap();
    // Waits until every HTTP connection has ended.
    server.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_server_only_where_metrics_were_asked_for() {
    let first = Server::start(NOBODY).await;
    let (admin, metrics) = (first.admin.port(), first.metrics.port());
    let build = async |lines: String| {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "taken-{}-{}.cfg",
            std::process::id(),
            lines.len()
        ));
        let text = format!("initLimit=10\nsyncLimit=5\ndataDir=/nonexistent\n{NOBODY}{lines}");
        std::fs::write(&path, text).unwrap();
        let id = Some(outpost_wire::ServerId(8));
        let config = outpost::config::Config::load(&path, id, std::iter::empty())
            .unwrap()
            .config;
        std::fs::remove_file(&path).unwrap();
        config
    };
    let off = "metricsProvider.className=NullMetricsProvider\n";
    let lines = format!("admin.serverAddress=127.0.0.1\nadmin.serverPort={admin}\n{off}");
    let config = build(lines).await;
    let without_admin = outpost::Outpost::build(config).await.unwrap();
    assert_eq!(without_admin.admin_address(), None);
    let lines = format!(
        "admin.enableServer=false\nmetricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort={metrics}\n"
    );
    let mut config = build(lines).await;
    let error = outpost::Outpost::build(config.clone()).await.err().unwrap();
    assert!(
        error.to_string().contains("metricsProvider.httpPort"),
        "{error}"
    );
    config.metrics_required = false;
    let without_metrics = outpost::Outpost::build(config).await.unwrap();
    assert_eq!(without_metrics.metrics_address(), None);
    for outpost in [without_admin, without_metrics] {
        outpost.run(async {}).await.unwrap();
    }
    first.stop().await;
}

#[tokio::test]
async fn a_heap_profile_is_made_once_somebody_asked_for_it_and_as_long_as_nobody_ends_it() {
    let server = Server::start(NOBODY).await;
    assert_eq!(server.get("/debug/heap").await.0, 409);
    assert_eq!(server.get("/debug/heap/start").await.0, 405);
    let post = async |path: &str| {
        let question = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        exchange(server.admin, question.as_bytes()).await
    };
    assert!(post("/debug/heap/start").await.starts_with("HTTP/1.1 200"));
    assert!(post("/debug/heap").await.starts_with("HTTP/1.1 405"));
    let mut stream = TcpStream::connect(server.admin).await.unwrap();
    let question = b"GET /debug/heap HTTP/1.1\r\nHost: here\r\n\r\n";
    stream.write_all(question).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let gzip = [0x1f, 0x8b];
    assert!(answer.windows(2).any(|bytes| bytes == gzip));
    assert!(post("/debug/heap/stop").await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.get("/debug/heap").await.0, 409);
    server.stop().await;
}
