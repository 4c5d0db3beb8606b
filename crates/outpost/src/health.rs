//! `outpost health`: asks a running observer whether it serves, and says so with the exit code.
//!
//! A container image needs no curl for its health check then. One request, one answer, nothing kept; whatever goes
//! wrong within the timeout is an answer too: no.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueHint;
use outpost::config::{Config, Https};
use outpost::tls::explain;
use outpost::tls::own::towards_ourselves;
use outpost_wire::ServerId;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::terminal::{Terminal, complain};
use crate::{EXIT_CONFIG, EXIT_FAILED};

/// What `--help` says.
pub(crate) const ABOUT: &str = "\
Ask a running observer whether it serves; for container health checks.

Asks its admin server over HTTP for /ready, or with --live for /live, prints the answer, and exits with 0 if it \
is yes. /ready says yes while clients are served: not before the first snapshot is loaded, and not once a \
shutdown has begun. /live says yes while the process works at all.";

/// What `--help` says at its end.
pub(crate) const MORE: &str = "\
Examples:
  outpost health                            the one at port 8080 of this machine
  outpost health --live --timeout 1
  outpost health http://10.1.2.3:8080/ready
  outpost health /etc/outpost/zoo.cfg       at the port that its configuration names, over TLS if need be

In a Dockerfile: HEALTHCHECK CMD [\"outpost\", \"health\"]

OUTPOST_ADMIN_SERVERPORT and OUTPOST_ADMIN_SERVERADDRESS count here as they do for the observer.

Exit codes: 0 yes, 1 no or no answer, 2 the command line or the configuration cannot be used.";

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
const ADMIN_PORT: u16 = 8080;

/// Whom to ask, and what.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The observer: http://HOST:PORT, with a path or without, or its configuration file.
    #[arg(value_name = "URL|ZOO_CFG", value_hint = ValueHint::FilePath)]
    target: Option<String>,
    /// The observer's id, if the configuration file needs one.
    #[arg(long, value_name = "N")]
    id: Option<i64>,
    /// Ask whether the process works, instead of whether it serves.
    #[arg(long)]
    live: bool,
    /// Seconds to wait for the answer.
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

/// One question to one server.
#[derive(Debug, Clone)]
struct Question {
    host: String,
    port: u16,
    path: String,
    /// What to speak TLS with, where the server speaks nothing else.
    tls: Option<Arc<ClientConfig>>,
}

/// Asks, prints the answer, and says it with the exit code.
pub(crate) fn run(options: &Options, env: &dyn Fn(&str) -> Option<String>) -> ExitCode {
    let path = if options.live { "/live" } else { "/ready" };
    let question = match question(options, path, env) {
        Ok(question) => question,
        Err(why) => {
            complain(&why);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match ask(&question, Duration::from_secs(options.timeout)) {
        Ok((status, body)) => {
            Terminal::plain().line(body.trim_end());
            match status {
                200..=299 => ExitCode::SUCCESS,
                _ => ExitCode::from(EXIT_FAILED),
            }
        }
        Err(error) => {
            let Question { host, port, .. } = &question;
            complain(&format!("no answer from {host}:{port}: {error}"));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn question(
    options: &Options,
    path: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Question, String> {
    match options.target.as_deref() {
        Some(url) if url.starts_with("http://") => of_url(url, path),
        Some(url) if url.contains("://") => Err(format!(
            "{url}: only http:// is spoken here; over https:// ask with the observer's configuration file"
        )),
        Some(file) => of_file(Path::new(file), options.id.map(ServerId), path),
        None => of_environment(path, env),
    }
}

/// The path of a URL that has one counts.
fn of_url(url: &str, path: &str) -> Result<Question, String> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (place, asked) = match rest.find('/') {
        Some(at) if rest.len() > at + 1 => (&rest[..at], &rest[at..]),
        Some(at) => (&rest[..at], path),
        None => (rest, path),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse()),
        _ => (place, Ok(ADMIN_PORT)),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match port {
        Ok(port) if !host.is_empty() && !asked.contains(char::is_whitespace) => Ok(Question {
            host: host.to_owned(),
            port,
            path: asked.to_owned(),
            tls: None,
        }),
        _ => Err(format!("{url}: not of the form http://HOST:PORT/PATH")),
    }
}

fn of_file(file: &Path, id: Option<ServerId>, path: &str) -> Result<Question, String> {
    let loaded =
        Config::load(file, id, crate::env()).map_err(|complaints| complaints.to_string())?;
    let Some(admin) = loaded.config.admin else {
        return Err(format!(
            "{}: the admin server is switched off",
            file.display()
        ));
    };
    let forced = loaded
        .config
        .tls
        .admin
        .filter(|_| admin.https == Https::Only);
    let tls = forced.as_ref().map(towards_ourselves).transpose();
    let wildcard = admin.addr.is_wildcard();
    Ok(Question {
        host: if wildcard {
            loopback()
        } else {
            admin.addr.host.clone()
        },
        port: admin.addr.port,
        path: path.to_owned(),
        tls: tls.map_err(|error| error.to_string())?,
    })
}

fn of_environment(path: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Question, String> {
    let port = match env("OUTPOST_ADMIN_SERVERPORT") {
        Some(port) => port
            .trim()
            .parse()
            .map_err(|_| format!("OUTPOST_ADMIN_SERVERPORT={port}: not a TCP port"))?,
        None => ADMIN_PORT,
    };
    let host = env("OUTPOST_ADMIN_SERVERADDRESS");
    let host = host.filter(|host| !matches!(host.as_str(), "0.0.0.0" | "::" | "[::]"));
    Ok(Question {
        host: host.unwrap_or_else(loopback),
        port,
        path: path.to_owned(),
        tls: None,
    })
}

/// Both families' loopback addresses are tried.
fn loopback() -> String {
    "localhost".to_owned()
}

/// The status and the body of the answer.
fn ask(question: &Question, patience: Duration) -> io::Result<(u16, String)> {
    let deadline = Instant::now() + patience;
    let mut stream = connect(question, deadline)?;
    let Question {
        host, port, path, ..
    } = question;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: outpost-health\r\nConnection: close\r\n\r\n"
    );
    // Also for the answers of a handshake.
    stream.socket().set_read_timeout(Some(left(deadline)?))?;
    stream.socket().set_write_timeout(Some(left(deadline)?))?;
    stream
        .write_all(request.as_bytes())
        .map_err(|error| explained(&error))?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while (answer.len() as u64) < ANSWER_BYTES_MAX {
        stream.socket().set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            Err(error) => return Err(explained(&error)),
        }
    }
    parse(&String::from_utf8_lossy(&answer))
}

/// Why TLS did not come about, where that is the reason.
fn explained(error: &io::Error) -> io::Error {
    let text = explain::io(error).unwrap_or_else(|| error.to_string());
    io::Error::new(error.kind(), text)
}

/// A connection to the admin server.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(into),
            Stream::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

fn connect(question: &Question, deadline: Instant) -> io::Result<Stream> {
    let socket = connect_socket(question, deadline)?;
    let Some(tls) = &question.tls else {
        return Ok(Stream::Plain(socket));
    };
    // Whose certificate it is decides, not its name.
    let name = ServerName::from(socket.peer_addr()?.ip());
    let connection = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
    Ok(Stream::Tls(Box::new(StreamOwned::new(connection, socket))))
}

fn connect_socket(question: &Question, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (question.host.as_str(), question.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(late()),
        false => Ok(left),
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it did not come in time")
}

fn parse(answer: &str) -> io::Result<(u16, String)> {
    let status = answer
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.get(..3)?.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    match (status, body) {
        (Some(status), Some(body)) => Ok((status, body.to_owned())),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "what came is no HTTP answer",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Plain = (String, u16, String);

    fn question(host: &str, port: u16, path: &str) -> Plain {
        (host.to_owned(), port, path.to_owned())
    }

    fn plain(question: Result<Question, String>) -> Result<Plain, String> {
        let question = question?;
        assert!(question.tls.is_none());
        Ok((question.host, question.port, question.path))
    }

    #[test]
    fn a_url_may_leave_out_its_port_and_its_path() {
        for (url, expected) in [
            ("http://zk9", question("zk9", 8080, "/ready")),
            ("http://zk9:81/", question("zk9", 81, "/ready")),
            ("http://zk9:81/live", question("zk9", 81, "/live")),
            ("http://[::1]:81", question("::1", 81, "/ready")),
            ("http://[::1]/live", question("::1", 8080, "/live")),
        ] {
            assert_eq!(plain(of_url(url, "/ready")), Ok(expected), "{url}");
        }
        for url in ["http://", "http://:81", "http://zk9:high", "http://zk9/a b"] {
            assert!(of_url(url, "/ready").is_err(), "{url}");
        }
    }

    #[test]
    fn without_a_target_the_environment_of_the_observer_counts() {
        let env = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                let found = pairs.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            }
        };
        assert_eq!(
            plain(of_environment("/ready", &env(&[]))),
            Ok(question("localhost", 8080, "/ready"))
        );
        let set = &[
            ("OUTPOST_ADMIN_SERVERPORT", "81"),
            ("OUTPOST_ADMIN_SERVERADDRESS", "10.0.0.7"),
        ];
        assert_eq!(
            plain(of_environment("/live", &env(set))),
            Ok(question("10.0.0.7", 81, "/live"))
        );
        assert!(of_environment("/live", &env(&[("OUTPOST_ADMIN_SERVERPORT", "x")])).is_err());
    }

    #[test]
    fn an_answer_that_is_no_http_is_no_answer() {
        assert!(parse("ready\n").is_err());
        assert!(parse("HTTP/1.1 2").is_err());
        let answer = "HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nnot ready: why\n";
        let (status, body) = parse(answer).unwrap();
        assert_eq!((status, body.as_str()), (503, "not ready: why\n"));
    }
}
