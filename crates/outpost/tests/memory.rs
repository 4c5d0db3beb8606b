//! Whose memory is it? What grows is found again by its name: in `/commands/memory`, and in a heap profile.
//!
//! The real binary, because only there the allocator is the one that is asked.
#![allow(clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use outpost_sim::{EnsembleServer, ServerOptions};
use outpost_wire::proto::{ConnectRequest, ExistsRequest, SetDataRequest};
use outpost_wire::{OpCode, SessionId, Writer, Zxid};
use serde_json::Value;

/// Nothing here takes this long: a test that waits so long has failed.
const LIMIT: Duration = Duration::from_secs(30);
/// Watches that are left and never fire, each on a path of its own.
const WATCHES: usize = 20_000;
/// Length of each path.
const PATH_BYTES: usize = 1_000;
const LEAK: u64 = (WATCHES * PATH_BYTES) as u64;

/// An observer of its own process, ended at the latest with its test.
struct Observer {
    child: Child,
    dir: PathBuf,
    clients: SocketAddr,
    admin: SocketAddr,
}

impl Observer {
    fn start(name: &str, servers: &str) -> Observer {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("memory-{name}"));
        // Left behind by an earlier run, perhaps.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        let file = dir.join("zoo.cfg");
        let text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort=0\n\
             clientPortAddress=127.0.0.1\nadmin.serverAddress=127.0.0.1\nadmin.serverPort=0\n\
             metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=0\noutpost.workers=1\n\
             maxClientCnxns=0\n{servers}\n",
            dir.display()
        );
        std::fs::write(&file, text).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_outpost"))
            .arg("run")
            .arg(&file)
            .args(["--id", "9", "--log-format", "json"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut address = |what: &str| loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).expect("text"), 0, "{what}");
            let event: Value = serde_json::from_str(&line).expect("JSON");
            if event["message"]
                .as_str()
                .is_some_and(|said| said.starts_with(what))
            {
                break event["address"]
                    .as_str()
                    .expect("an address")
                    .parse()
                    .expect("one");
            }
        };
        let clients = address("listening for clients");
        let admin = address("listening for operators");
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let observer = Observer {
            child,
            dir,
            clients,
            admin,
        };
        while observer.ask("GET", "/ready").0 != 200 {
            std::thread::yield_now();
        }
        observer
    }

    /// What the admin server answers.
    fn ask(&self, method: &str, path: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.admin).expect("it listens");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: outpost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answered");
        let head = answer
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .expect("a head");
        let status = std::str::from_utf8(&answer[9..12])
            .expect("text")
            .parse()
            .expect("a status");
        (status, answer.split_off(head + 4))
    }

    fn memory(&self) -> Value {
        let (status, body) = self.ask("GET", "/commands/memory");
        assert_eq!(status, 200);
        serde_json::from_slice(&body).expect("JSON")
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A client that leaves watches.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let mut client = Client(TcpStream::connect(address).expect("it listens"));
        client.send(|writer| {
            let request = ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: Zxid::ZERO,
                time_out: 40_000,
                session_id: SessionId::NONE,
                passwd: Some(&[0; 16]),
                read_only: Some(false),
            };
            outpost_wire::Record::write(&request, writer);
        });
        client.receive();
        client
    }

    fn send(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let mut frame = vec![0; 4];
        write(&mut Writer::new(&mut frame));
        let length = u32::try_from(frame.len() - 4).expect("short");
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.0.write_all(&frame).expect("written");
    }

    fn receive(&mut self) {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).expect("an answer");
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut frame).expect("all of it");
    }

    /// Watches for a znode that is never created.
    fn watch_for(&mut self, path: &str, xid: i32) {
        self.send(|writer| {
            writer.int(xid);
            writer.int(OpCode::Exists.code());
            outpost_wire::Record::write(
                &ExistsRequest {
                    path: path.into(),
                    watch: true,
                },
                writer,
            );
        });
        self.receive();
    }
}

fn server_lines(ensemble: &EnsembleServer) -> String {
    let text = ensemble.membership_text();
    let lines = text.lines().filter(|line| line.starts_with("server."));
    lines.collect::<Vec<_>>().join("\n")
}

/// How much each holder has grown, and what is in nobody's name, in bytes.
fn growth(before: &Value, after: &Value) -> (Vec<(String, i64)>, i64) {
    let difference = |name: &str, before: &Value, after: &Value| {
        let of = |value: &Value| value[name].as_i64().expect("a number");
        of(after) - of(before)
    };
    let holders = after["holders"].as_object().expect("holders");
    let mut grown: Vec<(String, i64)> = holders
        .keys()
        .map(|name| {
            (
                name.clone(),
                difference(name, &before["holders"], &after["holders"]),
            )
        })
        .collect();
    grown.sort_by_key(|(_, bytes)| -bytes);
    (grown, difference("unaccounted", before, after))
}

/// The stacks of a profile, each with its megabytes, as the manual says how to get them.
fn stacks(observer: &Observer, profile: &[u8]) -> Vec<(f64, String)> {
    let file = observer.dir.join("heap.pb.gz");
    std::fs::write(&file, profile).expect("written");
    let output = Command::new("sh")
        .args(["-c", &recipe()])
        .current_dir(&observer.dir)
        .env("BINARY", env!("CARGO_BIN_EXE_outpost"))
        .env("PPROF_TMPDIR", &observer.dir)
        .output()
        .expect("a shell");
    let complaints = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{complaints}");
    let (_, stacks) = text.split_once("-----------+").expect("stacks");
    let stacks = stacks.split("-----------+").filter_map(|stack| {
        let (_, stack) = stack.split_once('\n')?;
        let megabytes = stack.split_whitespace().next()?.strip_suffix("MB")?;
        Some((megabytes.parse().ok()?, stack.to_owned()))
    });
    stacks.collect()
}

/// The manual's recipe, but for the place of the binary.
fn recipe() -> String {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/memory.md");
    let manual = std::fs::read_to_string(manual).expect("the manual");
    let begin = manual.find("go tool pprof -symbolize").expect("the recipe");
    let (recipe, _) = manual[begin..].split_once("\n```").expect("its end");
    recipe.to_owned()
}

#[tokio::test]
async fn watches_that_a_client_forgets_are_found_by_name_as_a_holder_and_in_a_profile() {
    let ensemble = EnsembleServer::start(ServerOptions::default())
        .await
        .expect("ports");
    let servers = server_lines(&ensemble);
    let looked = tokio::task::spawn_blocking(move || {
        let observer = Observer::start("watches", &servers);
        let mut client = Client::connect(observer.clients);
        let before = observer.memory();
        assert_eq!(before["sampling"], false);
        assert_eq!(observer.ask("POST", "/debug/heap/start").0, 200);

        for n in 0..WATCHES {
            let path = format!("/{n:0width$}", width = PATH_BYTES - 1);
            client.watch_for(&path, i32::try_from(n).expect("few"));
        }

        let after = observer.memory();
        assert_eq!(after["sampling"], true);
        let (grown, unaccounted) = growth(&before, &after);
        let leak = i64::try_from(LEAK).expect("small");
        assert_eq!(grown[0].0, "watches", "{grown:?}");
        assert!(grown[0].1 >= leak, "{grown:?}");
        assert!(grown[1].1 < leak / 10, "{grown:?}");
        assert!(
            unaccounted.abs() < leak / 4,
            "{unaccounted}: {before:#} {after:#}"
        );

        let (status, profile) = observer.ask("GET", "/debug/heap");
        assert_eq!(status, 200);
        let stacks = stacks(&observer, &profile);
        let of_watches = stacks
            .iter()
            .filter(|(_, stack)| stack.contains("outpost_mirror::watches::Watches::"));
        let found: f64 = of_watches.map(|(megabytes, _)| megabytes).sum();
        let all: f64 = stacks.iter().map(|(megabytes, _)| megabytes).sum();
        // Samples are few.
        assert!(
            found > LEAK as f64 / 2e6 && found > all * 0.8,
            "{stacks:#?}"
        );

        // What was forgotten goes with the client.
        drop(client);
        let deadline = Instant::now() + LIMIT;
        while growth(&before, &observer.memory()).0[0].1 > leak / 10 {
            assert!(Instant::now() < deadline, "{:#}", observer.memory());
            std::thread::yield_now();
        }
    });
    looked.await.expect("found");
}

#[tokio::test]
async fn requests_that_wait_for_the_ensemble_are_in_a_holders_name() {
    const WRITES: usize = 20;
    const DATA_BYTES: usize = 100_000;
    const READS: usize = 900;
    let ensemble = EnsembleServer::start(ServerOptions::default())
        .await
        .expect("ports");
    // Nobody is closed while this test runs.
    let servers = format!("{}\noutpost.hold=600000", server_lines(&ensemble));
    let connected = tokio::task::spawn_blocking(move || {
        let observer = Observer::start("requests", &servers);
        let client = Client::connect(observer.clients);
        (observer, client)
    });
    let (observer, mut client) = connected.await.expect("connected");
    ensemble.stop().await;
    let looked = tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + LIMIT;
        let wait_until = |done: &dyn Fn() -> bool| {
            while !done() {
                assert!(Instant::now() < deadline, "{:#}", observer.memory());
                std::thread::yield_now();
            }
        };
        wait_until(&|| {
            let (_, losses) = observer.ask("GET", "/commands/link_losses");
            let losses: Value = serde_json::from_slice(&losses).expect("JSON");
            losses["losses"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        });
        let before = observer.memory();
        let path = format!("/{:0width$}", 0, width = 4 * PATH_BYTES - 1);
        for xid in 0..WRITES + READS {
            let is_write = xid < WRITES;
            client.send(|writer| {
                writer.int(i32::try_from(xid).expect("few"));
                if is_write {
                    writer.int(OpCode::SetData.code());
                    let request = SetDataRequest {
                        path: "/".into(),
                        data: Some(&[b'x'; DATA_BYTES]),
                        version: -1,
                    };
                    return outpost_wire::Record::write(&request, writer);
                }
                writer.int(OpCode::Exists.code());
                let request = ExistsRequest {
                    path: path.as_str().into(),
                    watch: false,
                };
                outpost_wire::Record::write(&request, writer);
            });
        }
        let writes = i64::try_from(WRITES * DATA_BYTES).expect("small");
        let all = writes + i64::try_from(READS * path.len()).expect("small");
        let grown = || growth(&before, &observer.memory());
        wait_until(&|| grown().0[0].1 >= all);
        let (grown_now, unaccounted) = grown();
        assert_eq!(grown_now[0].0, "requests", "{grown_now:?}");
        // Their places in line are counted too.
        assert!(grown_now[0].1 < all + all / 10, "{grown_now:?}");
        // The allocator hands out a little more than it is asked for.
        assert!(unaccounted.abs() < all / 4, "{unaccounted} {grown_now:?}");

        // What it has asked of the leader waits on; nobody reads for it any more.
        drop(client);
        wait_until(&|| grown().0[0].1 < writes + writes / 10);
    });
    looked.await.expect("found");
}

#[tokio::test]
async fn what_idle_connections_take_is_in_a_holders_name() {
    const CLIENTS: usize = 400;
    let ensemble = EnsembleServer::start(ServerOptions::default())
        .await
        .expect("ports");
    let servers = server_lines(&ensemble);
    let looked = tokio::task::spawn_blocking(move || {
        let observer = Observer::start("connections", &servers);
        // What the first of all brings with it.
        let _first = Client::connect(observer.clients);
        let before = observer.memory();
        let clients: Vec<Client> = (0..CLIENTS)
            .map(|_| Client::connect(observer.clients))
            .collect();
        let after = observer.memory();
        let (grown, unaccounted) = growth(&before, &after);
        let held: i64 = grown.iter().map(|(_, bytes)| bytes).sum();
        // Estimates are within a quarter of what is allocated.
        assert!(unaccounted.abs() < held / 4, "{unaccounted} {grown:?}");
        drop(clients);
    });
    looked.await.expect("found");
}
