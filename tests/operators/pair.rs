//! A Java observer and an Outpost of one ensemble, with the same clients doing the same at both.

use std::net::SocketAddr;

use outpost_tests::ports::free_port;
use outpost_tests::raw::RawClient;
use outpost_tests::{
    Ensemble, Observer, ObserverKind, ObserverSettings, Settings, four_letter, wait,
};
use outpost_wire::proto::CreateMode;
use std::time::Duration;

pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Longer than any test here takes.
pub(crate) const SESSION_MS: i32 = 600_000;

/// One of the two.
pub(crate) struct Side {
    pub(crate) observer: Observer,
    pub(crate) admin: SocketAddr,
    /// Its clients, which stay.
    _clients: Vec<RawClient>,
}

impl Side {
    /// What it answers to a word.
    pub(crate) fn word(&self, word: &str) -> String {
        four_letter::ask(self.observer.client_address(), word)
            .unwrap_or_else(|error| panic!("{word}: {error}"))
    }
}

/// Both.
pub(crate) struct Pair {
    pub(crate) java: Side,
    pub(crate) outpost: Side,
    pub(crate) ensemble: Ensemble,
}

impl Pair {
    /// Starts everything; with the same further lines in both configurations.
    pub(crate) fn start(lines: &[&str]) -> Pair {
        Pair::of(Settings::default(), lines)
    }

    /// The same in another ensemble.
    pub(crate) fn of(settings: Settings, lines: &[&str]) -> Pair {
        let settings = at_rest(settings);
        let ensemble = Ensemble::with(settings.super_secret());
        let java = observer(&ensemble, ObserverKind::Java, lines);
        let outpost = observer(&ensemble, ObserverKind::Outpost, lines);
        // Both are there before anything happens, so that both have seen the same.
        let java = with_clients(java, "/java");
        let outpost = with_clients(outpost, "/outpost");
        let leader = ensemble.wait_for_leader();
        let leader = ensemble.server(leader).client_address();
        let mut writer = RawClient::connect(leader, SESSION_MS);
        // So many that every server has kept a digest or two.
        for number in 0..300 {
            let path = format!("/outpost/n{number}");
            writer
                .create(&path, b"data", CreateMode::Persistent)
                .expect("a new path");
        }
        let zxid = four_letter::zxid(leader).expect("it leads");
        for side in [&java, &outpost] {
            side.observer.wait_for_zxid(zxid);
        }
        writer.close().expect("the end of a session");
        let settled = || {
            let zxids =
                [&java, &outpost].map(|side| four_letter::zxid(side.observer.client_address()));
            (zxids[0] == zxids[1]).then_some(())
        };
        wait::until(
            "both observers to be at the same transaction",
            LIMIT,
            settled,
        );
        Pair {
            java,
            outpost,
            ensemble,
        }
    }
}

/// Nothing happens to clients that say nothing, however long it takes to compare what is told of them.
fn at_rest(mut settings: Settings) -> Settings {
    let lines = [
        format!("maxSessionTimeout={SESSION_MS}"),
        format!("nio.sessionlessCnxnTimeout={SESSION_MS}"),
    ];
    settings.lines.extend(lines);
    settings
}

fn observer(ensemble: &Ensemble, kind: ObserverKind, lines: &[&str]) -> (Observer, SocketAddr) {
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut settings = ObserverSettings::default()
        .line("admin.serverAddress=127.0.0.1")
        .line(format!("admin.serverPort={}", admin.port()));
    for line in lines {
        settings = settings.line(*line);
    }
    (Observer::start(ensemble, kind, &settings), admin)
}

/// What every client pattern has: a session with an ephemeral znode and watches of both kinds, one with a failed
/// read, and a connection that never asks for a session.
fn with_clients((observer, admin): (Observer, SocketAddr), root: &str) -> Side {
    let address = observer.client_address();
    let mut first = RawClient::connect(address, SESSION_MS);
    first
        .create(root, b"data", CreateMode::Persistent)
        .expect("a new path");
    let mine = format!("{root}/mine");
    first
        .create(&mine, b"", CreateMode::Ephemeral)
        .expect("a new path");
    first.get_data(root.as_bytes(), true).expect("it is there");
    first
        .get_children(root.as_bytes(), true)
        .expect("it is there");
    first.exists("/", true).expect("it is there");
    let mut second = RawClient::connect(address, SESSION_MS / 2);
    second
        .exists("/nowhere", true)
        .expect_err("it is not there");
    let silent = RawClient::tcp(address).expect("the server listens");
    Side {
        observer,
        admin,
        _clients: vec![first, second, silent],
    }
}
