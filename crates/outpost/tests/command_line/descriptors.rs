//! File descriptors: raised at the start, and some of them kept from clients.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::server::Server;

/// Nothing here takes this long: a test that waits so long has failed.
const LIMIT: Duration = Duration::from_secs(30);

fn metric(server: &Server, name: &str) -> f64 {
    let (status, text) = server.ask("GET", "/metrics", "");
    assert_eq!(status, 200);
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.unwrap_or_else(|| panic!("{name} is no metric"));
    value.trim().parse().expect("a number")
}

#[test]
fn p6_a_crowd_of_connections_leaves_descriptors_for_operators_and_the_link() {
    const DESCRIPTORS: u32 = 300;
    const CROWD: usize = 250;
    let lines = "maxClientCnxns=0\nnio.sessionlessCnxnTimeout=600000\n";
    let server = Server::start_with_descriptors("descriptors", lines, DESCRIPTORS);
    assert_eq!(metric(&server, "process_max_fds "), f64::from(DESCRIPTORS));
    let most = metric(&server, "outpost_connections_max ");
    assert_eq!(
        most,
        f64::from(DESCRIPTORS) / 2.0,
        "at least half are for clients"
    );
    let _crowd: Vec<TcpStream> = (0..CROWD)
        .map(|_| TcpStream::connect(server.clients).expect("the system accepts it"))
        .collect();
    let begun = Instant::now();
    let refused = || {
        metric(
            &server,
            "outpost_limit_reached_total{limit=\"descriptors\"} ",
        )
    };
    while refused() < CROWD as f64 - most {
        assert!(begun.elapsed() < LIMIT, "{} are refused", refused());
        std::thread::yield_now();
    }
    assert_eq!(metric(&server, "num_alive_connections "), most);
    assert!(metric(&server, "process_open_fds ") < f64::from(DESCRIPTORS));
    assert!(server.stop().success());
}
