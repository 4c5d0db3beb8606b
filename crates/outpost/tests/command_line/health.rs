//! `outpost health`, asked by whatever watches a container.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use tokio::net::TcpSocket;

use crate::{outpost, run, text};

/// A server that answers one request, and then says what it was asked.
fn server(answer: &'static str) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("asked");
        let mut asked = Vec::new();
        let mut byte = [0];
        while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("read") == 1 {
            asked.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).expect("written");
        String::from_utf8(asked).expect("text")
    });
    (port, served)
}

#[test]
fn health_is_what_ready_says_and_the_exit_code_says_it_again() {
    let (port, served) = server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready\n");
    let output = run(&["health", &format!("http://127.0.0.1:{port}")]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "ready\n");
    assert!(
        served
            .join()
            .expect("served")
            .starts_with("GET /ready HTTP/1.1\r\n")
    );

    let (port, served) = server("HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: no link\n");
    let output = outpost(&["health"])
        .env("OUTPOST_ADMIN_SERVERPORT", port.to_string())
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "not ready: no link\n");
    assert!(served.join().is_ok());
}

#[test]
fn a_configuration_names_the_port_to_ask() {
    let (port, served) = server("HTTP/1.1 200 OK\r\n\r\nlive\n");
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("health-zoo.cfg");
    let zoo_cfg = format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/nonexistent\nclientPort=0\n\
         admin.serverAddress=127.0.0.1\nadmin.serverPort={port}\nserver.1=127.0.0.1:1:2\n"
    );
    std::fs::write(&file, zoo_cfg).expect("written");
    let file = file.to_str().expect("a path");
    let output = run(&["health", "--live", file, "--id", "9"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "live\n")
    );
    assert!(
        served
            .join()
            .expect("served")
            .starts_with("GET /live HTTP/1.1\r\n")
    );
    assert_eq!(
        run(&["health", "/nonexistent/zoo.cfg"]).status.code(),
        Some(2)
    );
}

#[test]
fn nobody_there_and_nobody_who_answers_in_time_are_no_health() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let silent = run(&["health", &url, "--timeout", "1"]);
    assert_eq!(silent.status.code(), Some(1));
    assert!(text(&silent.stderr).contains("did not come in time"));
    // Bound, so that nobody else comes to listen there, and not listening.
    let kept = TcpSocket::new_v4().expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    kept.bind(any).expect("bound");
    let url = format!("http://{}", kept.local_addr().expect("bound"));
    let nobody = run(&["health", &url]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).starts_with("outpost: no answer from 127.0.0.1:"));
}
