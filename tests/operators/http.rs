//! Just enough of an HTTP client to ask an admin server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing here takes this long.
const LIMIT: Duration = Duration::from_secs(30);

/// What a server answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header by its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks for a path with HTTP/1.0, so that the answer ends with the connection.
pub(crate) fn get(server: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(server, "GET", path, headers, &[])
}

/// The same with any method and a body.
pub(crate) fn ask(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect_timeout(&server, LIMIT).expect("the server listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {server}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).expect("it listens on");
    stream.write_all(body).expect("it listens on");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    parse(&answer).expect("an answer")
}

/// The answer to a plain question, if there is one.
pub(crate) fn try_get(server: SocketAddr, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    parse(&answer)
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        body: answer[end + 4..].to_vec(),
        head,
    })
}
