//! Voters' names get new addresses while the observer runs.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outpost_tests::ensemble::Server;
use outpost_tests::run_dir::RunDir;
use outpost_tests::{Ensemble, Observer, ObserverKind, ObserverSettings, Settings, wait};

/// Until something that must happen counts as not happening.
const LIMIT: Duration = Duration::from_secs(60);
/// Where no voter is.
const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 88);

/// Somebody at a voter's old address, who hangs up.
struct Former {
    server: u64,
    asked: Arc<AtomicU64>,
}

impl Former {
    fn of(server: &Server) -> Former {
        let listener = TcpListener::bind((OLD, server.ports.quorum)).expect("a loopback address");
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        // Ends with the process.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                drop(connection);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let server = server.id;
        Former { server, asked }
    }

    fn wait_to_be_asked(&self) {
        let before = self.asked.load(Ordering::Relaxed);
        let what = format!("server.{} to be looked for where it was", self.server);
        wait::until(&what, LIMIT, || {
            (self.asked.load(Ordering::Relaxed) > before).then_some(())
        });
    }
}

fn name(server: u64) -> String {
    format!("voter-{server}.test")
}

/// Gives every voter's name its address: the real one to those `moved`.
fn write_hosts(hosts: &Path, ensemble: &Ensemble, moved: impl Fn(u64) -> bool) {
    let mut text = String::new();
    for server in ensemble.servers() {
        let address = if moved(server.id) {
            Ipv4Addr::LOCALHOST
        } else {
            OLD
        };
        let _ = writeln!(text, "{address} {}", name(server.id));
    }
    fs::write(hosts, text).expect("the run directory can be written");
}

#[test]
fn a_name_is_looked_up_anew_at_every_attempt() {
    let ensemble = Ensemble::with(Settings::default());
    let dir = RunDir::new("names");
    let hosts = dir.path().join("hosts");
    write_hosts(&hosts, &ensemble, |_| false);
    let former: Vec<Former> = ensemble.servers().iter().map(Former::of).collect();
    let mut settings = ObserverSettings {
        hosts: Some(hosts.clone()),
        ..ObserverSettings::default()
    };
    for server in ensemble.servers() {
        let ports = server.ports;
        let line = format!("{}:{}:{}", name(server.id), ports.quorum, ports.election);
        let variable = format!("OUTPOST_SERVER_{}", server.id);
        settings.environment.push((variable, line));
    }
    let observer = Observer::start_without_waiting(&ensemble, ObserverKind::Outpost, &settings);
    former.iter().for_each(Former::wait_to_be_asked);
    assert!(!observer.serves(), "at an address where no voter is");

    // The leader's name gets its new address, and nobody tells the observer.
    let leader = ensemble.wait_for_leader();
    write_hosts(&hosts, &ensemble, |server| server == leader);
    observer.wait_until_it_serves();

    // The next leader's name still has the old one when the link is lost.
    ensemble.kill(leader);
    let next = wait::until("another leader", LIMIT, || {
        ensemble.leader().filter(|next| *next != leader)
    });
    let at_its_old_address = former.iter().find(|former| former.server == next);
    at_its_old_address.expect("a voter").wait_to_be_asked();
    assert_eq!(observer.metrics().get("outpost_link_attached"), Some(0.0));
    write_hosts(&hosts, &ensemble, |_| true);
    wait::until("the observer to attach again", LIMIT, || {
        let attached = observer.metrics().get("outpost_link_attached");
        (attached == Some(1.0)).then_some(())
    });
}
