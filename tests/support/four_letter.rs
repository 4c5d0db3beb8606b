//! The four-letter words: one connection, four bytes, text until the server closes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may take for one answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Sends `word` and returns everything the server prints.
///
/// # Errors
/// When the server does not listen, or does not close within five seconds.
pub fn ask(server: SocketAddr, word: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(word.as_bytes())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The value behind `Mode: ` in the answer to `srvr`: leader, follower, observer, standalone or read-only;
/// none while the server does not serve.
pub fn mode(server: SocketAddr) -> Option<String> {
    field(&ask(server, "srvr").ok()?, "Mode: ")
}

/// The last zxid the server has applied, from `srvr`.
pub fn zxid(server: SocketAddr) -> Option<u64> {
    let text = field(&ask(server, "srvr").ok()?, "Zxid: ")?;
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

/// Requests received and not yet answered, from `srvr`.
pub fn outstanding(server: SocketAddr) -> Option<u64> {
    field(&ask(server, "srvr").ok()?, "Outstanding: ")?
        .parse()
        .ok()
}

/// The id of the learner master that an observer is attached to, from `mntr`; none while it has none.
pub fn learner_master(server: SocketAddr) -> Option<u64> {
    field(&ask(server, "mntr").ok()?, "zk_observer_master_id\t")?
        .parse()
        .ok()
}

/// A whole number from `mntr`, by its full name (`zk_watch_count`).
pub fn gauge(server: SocketAddr, name: &str) -> Option<u64> {
    field(&ask(server, "mntr").ok()?, &format!("{name}\t"))?
        .parse()
        .ok()
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::to_owned)
}
