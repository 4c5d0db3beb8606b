//! Clients that mean no good, or know no better: they never read, never speak, break off in the middle of a word, or
//! send what nobody understands. From loopback addresses of their own, so that limits by address tell them apart.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use outpost_wire::proto::{ConnectRequest, RequestHeader};
use outpost_wire::{OpCode, Record, SessionId, Writer, Xid, Zxid};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long an offender waits for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// The address of offender `number`: 250 different ones in each of 127.0.1.0/24, 127.0.2.0/24 …
pub fn address(number: usize) -> IpAddr {
    let [net, host] = [1 + number / 250 % 250, 1 + number % 250];
    let octet = |value: usize| u8::try_from(value).unwrap_or(u8::MAX);
    IpAddr::from([127, 0, octet(net), octet(host)])
}

/// Connects to `server` as somebody at `from`, on this machine.
///
/// # Errors
/// When nobody listens, or `from` has no port left.
pub fn connect_from(from: IpAddr, server: SocketAddr) -> io::Result<TcpStream> {
    connect_with(from, server, None)
}

/// The same with hardly any room in this side's kernel for what is not read.
///
/// # Errors
/// As [`connect_from`].
pub fn connect_deaf(from: IpAddr, server: SocketAddr) -> io::Result<TcpStream> {
    connect_with(from, server, Some(4 << 10))
}

fn connect_with(from: IpAddr, server: SocketAddr, room: Option<usize>) -> io::Result<TcpStream> {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if let Some(room) = room {
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, room)?;
    }
    bind(&socket, &SocketAddr::new(from, 0))?;
    connect(&socket, &server)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Lets this process and those that it starts have as many open files as the system allows it, which must be
/// `needed` at least.
///
/// # Panics
/// When it does not allow so many.
pub fn allow_open_files(needed: u64) {
    let most = getrlimit(Resource::Nofile).maximum;
    assert!(
        most.is_none_or(|most| most >= needed),
        "this needs {needed} open files, and the system allows {most:?} (ulimit -Hn)"
    );
    let all = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, all).expect("everybody may raise the soft limit");
}

/// A connect request for a new session, as a frame.
pub fn connect_request(timeout_ms: i32) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        time_out: timeout_ms,
        session_id: SessionId(0),
        passwd: Some(&[0; 16]),
        read_only: Some(false),
    };
    framed(|writer| request.write(writer))
}

/// A request as a frame.
pub fn request<'r>(op: OpCode, record: &impl Record<'r>) -> Vec<u8> {
    framed(|writer| {
        let header = RequestHeader {
            xid: Xid(1),
            op: op.code(),
        };
        header.write(writer);
        record.write(writer);
    })
}

fn framed(body: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).with_length(body);
    bytes
}

/// What somebody says who then says no more: nothing, part of a length, or part of a connect request whose rest
/// never comes. In turn, by `number`.
pub fn half_a_word(number: usize) -> Vec<u8> {
    let whole = connect_request(10_000);
    let said = match number % 4 {
        0 | 1 => 0,
        2 => 2,
        _ => whole.len() / 2,
    };
    whole[..said].to_vec()
}

/// One connection's worth of what no server should take.
#[derive(Debug)]
pub struct Garbage {
    /// Sent as they are.
    pub bytes: Vec<u8>,
    /// What kind it is, for a failure's message.
    pub kind: &'static str,
}

type Kind = (&'static str, fn(&mut fastrand::Rng) -> Vec<u8>);

/// Nothing of it leaves a server the choice to go on with the connection. The last one is more than its server's
/// trouble: a Java observer hands it on, and its leader commits nothing any more.
const KINDS: [Kind; 9] = [
    ("noise", |random| {
        // A length that no server takes, whatever it is.
        let mut bytes = vec![0xff; 4];
        bytes.extend(noise(random, 2_000));
        bytes
    }),
    ("a length of two gigabytes", |random| {
        let mut bytes = i32::MAX.to_be_bytes().to_vec();
        bytes.extend(noise(random, 100));
        bytes
    }),
    ("a request for a page", |_| {
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec()
    }),
    ("the hello of TLS", |random| {
        let mut bytes = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
        bytes.extend(noise(random, 506));
        bytes
    }),
    ("a connect request of noise", |random| {
        let mut bytes = 40_i32.to_be_bytes().to_vec();
        // The password is longer than the frame.
        bytes.extend([0x7f; 40]);
        bytes.extend(noise(random, 10));
        bytes
    }),
    ("an empty frame", |_| vec![0; 4]),
    ("a request that does not exist", |random| {
        let mut bytes = connect_request(10_000);
        bytes.extend(12_i32.to_be_bytes());
        bytes.extend(1_i32.to_be_bytes());
        bytes.extend(i32::from(random.u16(..)).wrapping_add(30_000).to_be_bytes());
        bytes.extend(noise(random, 4));
        // Where such a request is answered, this ends the connection.
        bytes.extend([0xff; 4]);
        bytes
    }),
    ("a header that is cut short", |_| {
        let mut bytes = connect_request(10_000);
        bytes.extend(2_i32.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend([0xff; 4]);
        bytes
    }),
    ("a write of noise", |random| {
        let mut bytes = connect_request(10_000);
        let body = [&[0x7f; 4][..], &noise(random, 60)].concat();
        let length = 8 + i32::try_from(body.len()).unwrap_or(0);
        bytes.extend(length.to_be_bytes());
        bytes.extend(1_i32.to_be_bytes());
        bytes.extend(OpCode::Create.code().to_be_bytes());
        bytes.extend(body);
        bytes.extend([0xff; 4]);
        bytes
    }),
];

fn noise(random: &mut fastrand::Rng, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

impl Garbage {
    /// The kinds in turn, by `number`, with chance in them.
    pub fn new(number: usize, random: &mut fastrand::Rng) -> Garbage {
        Garbage::of(&KINDS, number, random)
    }

    /// The same without the one that stops the leader behind a Java observer.
    pub fn harmless_to_leaders(number: usize, random: &mut fastrand::Rng) -> Garbage {
        Garbage::of(&KINDS[..KINDS.len() - 1], number, random)
    }

    fn of(kinds: &[Kind], number: usize, random: &mut fastrand::Rng) -> Garbage {
        let (kind, make) = kinds[number % kinds.len()];
        Garbage {
            bytes: make(random),
            kind,
        }
    }

    /// Sends it from `from`, and reads until the server has closed the connection.
    ///
    /// # Errors
    /// When nobody listens, or the server keeps the connection.
    pub fn send(&self, from: IpAddr, server: SocketAddr) -> io::Result<()> {
        let mut stream = connect_from(from, server)?;
        // A server that closes early resets the connection; either way it is over.
        let _ = stream.write_all(&self.bytes);
        match stream.read_to_end(&mut Vec::new()) {
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether this error says that the other side has ended the connection.
pub fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// A client that asks and never reads.
#[derive(Debug)]
pub struct Deaf {
    stream: TcpStream,
}

impl Deaf {
    /// Opens a session, the answer to which is the last thing it reads.
    ///
    /// # Errors
    /// When the server opens none.
    pub fn connect(from: IpAddr, server: SocketAddr, timeout_ms: i32) -> io::Result<Deaf> {
        let mut stream = connect_deaf(from, server)?;
        stream.write_all(&connect_request(timeout_ms))?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        // A connect response is short.
        let length = u32::from_be_bytes(length).min(1_000);
        let mut answer = vec![0; usize::try_from(length).unwrap_or(0)];
        stream.read_exact(&mut answer)?;
        Ok(Deaf { stream })
    }

    /// Asks `times` times, as long as the server takes questions.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn ask(&mut self, question: &[u8], times: usize) -> io::Result<()> {
        self.stream.set_nonblocking(true)?;
        for _ in 0..times {
            match self.stream.write_all(question) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.stream.set_nonblocking(false)
    }

    /// Reads at last, and says how many bytes there were until the server's end of the connection.
    ///
    /// # Errors
    /// When the server has not ended it.
    pub fn hear(mut self) -> io::Result<u64> {
        let mut heard = 0;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(heard),
                Ok(count) => heard += count as u64,
                Err(error) if is_gone(&error) => return Ok(heard),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn fifty_offenders_have_fifty_addresses_and_none_is_everybodys() {
        let addresses: std::collections::BTreeSet<_> = (0..1_000).map(address).collect();
        assert_eq!(addresses.len(), 1_000);
        assert!(!addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(addresses.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn half_a_word_is_never_a_whole_one() {
        let whole = connect_request(10_000).len();
        assert!((0..8).all(|number| half_a_word(number).len() < whole));
        assert!((0..8).any(|number| half_a_word(number).len() > 4));
    }
}
