//! P6 under attack: whoever never reads, never speaks or talks nonsense is closed at a limit and freed, and nobody else
//! notices.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

use bstr::BStr;
use outpost_tests::certificates::Authority;
use outpost_tests::offenders::{
    Deaf, Garbage, address, connect_deaf, connect_from, connect_request, half_a_word, is_gone,
    request,
};
use outpost_tests::raw::RawClient;
use outpost_tests::wait;
use outpost_wire::OpCode;
use outpost_wire::proto::GetDataRequest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::siege::{SIEGE_LIMIT, Siege};
use crate::stage::TIMEOUT_MS;

/// What an attack may cost in memory while it stands: far less than the attackers ask for.
const GROWTH_BYTES_MAX: u64 = 256 << 20;
/// Addresses that attacks come from.
const ADDRESSES: usize = 50;
const HALF_OPEN: usize = 10_000;

/// Sends what `number` says before it falls silent.
fn fall_silent(number: usize, server: SocketAddr) -> TcpStream {
    let mut stream =
        connect_from(address(number % ADDRESSES), server).expect("the server takes connections");
    // One that the server has closed already says nothing, and is counted as closed.
    let _ = stream.write_all(&half_a_word(number));
    stream
}

/// Whether the server has closed this connection, as far as is known without waiting.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("set");
    match (&*stream).read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(count) => panic!("{count} bytes for somebody who has asked for nothing"),
        Err(error) => is_gone(&error),
    }
}

fn wait_until_closed(what: &str, mut streams: Vec<TcpStream>) {
    wait::until(what, SIEGE_LIMIT, || {
        streams.retain(|stream| !is_closed(stream));
        streams.is_empty().then_some(())
    });
}

fn assert_small_growth(siege: &Siege, before: u64) {
    let growth = siege.resident_bytes().saturating_sub(before);
    assert!(
        growth < GROWTH_BYTES_MAX,
        "Outpost has grown by {growth} bytes"
    );
}

#[test]
fn p6_ten_thousand_half_open_sockets_disturb_nobody_and_are_closed() {
    let siege = Siege::with(|_| vec!["nio.sessionlessCnxnTimeout=30000".into()]);
    let before = siege.resident_bytes();
    let silent: Vec<TcpStream> = (0..HALF_OPEN)
        .map(|number| fall_silent(number, siege.address))
        .collect();
    wait::until("all of them to be there at one time", SIEGE_LIMIT, || {
        (siege.strangers() == HALF_OPEN as u64).then_some(())
    });
    siege.everybody_goes_on();
    let late = RawClient::connect(siege.address, TIMEOUT_MS);
    late.close().expect("who comes later is served as ever");
    assert_small_growth(&siege, before);
    wait_until_closed("every silent socket to be closed", silent);
    siege.wait_until_strangers_are_gone();
    let expired = siege.metrics().sum("sessionless_connections_expired");
    assert_eq!(expired, HALF_OPEN as f64);
    siege.end();
}

#[test]
fn p6_one_address_fills_its_own_seats_and_leaves_everybody_elses() {
    let siege = Siege::with(|_| {
        vec![
            "maxClientCnxns=60".into(),
            "nio.sessionlessCnxnTimeout=60000".into(),
        ]
    });
    let crowd: Vec<TcpStream> = (0..1_000)
        .map(|number| fall_silent(ADDRESSES * number, siege.address))
        .collect();
    wait::until("all but sixty to be turned away", SIEGE_LIMIT, || {
        let refused = siege.metrics().sum("connection_rejected");
        (refused == 940.0).then_some(())
    });
    // Those are with the workers soon, if they are not yet.
    wait::until("sixty to be there", SIEGE_LIMIT, || {
        (siege.strangers() == 60).then_some(())
    });
    siege.everybody_goes_on();
    let other = RawClient::connect(siege.address, TIMEOUT_MS);
    other.close().expect("another address is served as ever");
    // A seat that comes free is there for the next one of that address.
    drop(crowd);
    siege.wait_until_strangers_are_gone();
    let mut same = connect_from(address(0), siege.address).expect("connected");
    same.write_all(&connect_request(TIMEOUT_MS)).expect("sent");
    same.read_exact(&mut [0; 4]).expect("answered");
    drop(same);
    siege.end();
}

#[test]
fn p6_garbage_from_fifty_addresses_is_cut_and_disturbs_nobody() {
    const EACH: usize = 90;
    let siege = Siege::new();
    let before = siege.resident_bytes();
    let seed = fastrand::u64(..);
    println!("OUTPOST_TESTS_SEED={seed}");
    std::thread::scope(|scope| {
        for offender in 0..ADDRESSES {
            let (from, server) = (address(offender), siege.address);
            let mut random = fastrand::Rng::with_seed(seed ^ offender as u64);
            scope.spawn(move || {
                for number in 0..EACH {
                    let garbage = Garbage::new(offender + number, &mut random);
                    let sent = garbage.send(from, server);
                    sent.unwrap_or_else(|error| panic!("{} is not cut: {error}", garbage.kind));
                }
            });
        }
        siege.everybody_goes_on();
    });
    siege.wait_until_strangers_are_gone();
    assert_small_growth(&siege, before);
    let cut = siege
        .metrics()
        .sum("outpost_connections_cut_total{cause=\"malformed\"}");
    assert!(cut >= (EACH * ADDRESSES / 2) as f64, "{cut} were cut");
    siege.end();
}

/// A question whose answer is large.
fn ask_for_large(siege: &Siege) -> Vec<u8> {
    siege.site.write("/large", &vec![b'x'; 500_000]);
    wait::until("the large znode", SIEGE_LIMIT, || {
        let mut client = RawClient::connect(siege.address, TIMEOUT_MS);
        let there = client.exists("/large", false).is_ok();
        client.close().expect("closed");
        there.then_some(())
    });
    let path = BStr::new("/large");
    request(OpCode::GetData, &GetDataRequest { path, watch: false })
}

#[test]
fn p6_clients_that_never_read_cost_little_and_end_with_their_sessions() {
    let siege = Siege::new();
    let before = siege.resident_bytes();
    let question = ask_for_large(&siege);
    let deaf: Vec<Deaf> = (0..40)
        .map(|number| {
            let mut deaf = Deaf::connect(address(number), siege.address, 4_000).expect("a session");
            // Ten gigabytes in all.
            deaf.ask(&question, 500).expect("it takes some questions");
            deaf
        })
        .collect();
    siege.everybody_goes_on();
    assert_small_growth(&siege, before);
    // Nobody touches the sessions of clients that are not read: the leader lets them expire.
    siege.wait_until_strangers_are_gone();
    for client in deaf {
        let heard = client.hear().expect("the server has ended it");
        // What both kernels have room for, and what was being written.
        assert!(heard < 40 << 20, "{heard} bytes were kept for it");
    }
    siege.end();
}

/// The lines that open a port for TLS.
fn secure_lines(authority: &Authority, port: u16) -> Vec<String> {
    let mut lines = authority.lines(&authority.vouch("server"));
    lines.push(format!("secureClientPort={port}"));
    lines.push("secureClientPortAddress=127.0.0.1".into());
    lines.push("ssl.clientAuth=none".into());
    lines
}

#[test]
fn p6_half_open_handshakes_and_garbage_at_the_port_for_tls_disturb_nobody() {
    const HALF: usize = 3_000;
    let authority = Authority::new();
    let siege = Siege::with(|port| secure_lines(&authority, port));
    let before = siege.resident_bytes();
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1];
    let silent: Vec<TcpStream> = (0..HALF)
        .map(|number| {
            let from = address(number % ADDRESSES);
            let mut stream = connect_from(from, siege.secure).expect("connected");
            let said = &hello[..number % (hello.len() + 1)];
            // As above: it may be closed already.
            let _ = stream.write_all(said);
            stream
        })
        .collect();
    siege.everybody_goes_on();
    assert_small_growth(&siege, before);
    // Some leave with an alert behind them, so that bytes are no sign of being served.
    wait::until("every handshake to be given up", SIEGE_LIMIT, || {
        (siege.metrics().sum("outstanding_tls_handshake") == 0.0).then_some(())
    });
    drop(silent);
    let mut random = fastrand::Rng::new();
    for number in 0..200 {
        let garbage = Garbage::new(number, &mut random);
        let sent = garbage.send(address(number % ADDRESSES), siege.secure);
        sent.unwrap_or_else(|error| panic!("{} is not cut: {error}", garbage.kind));
    }
    siege.wait_until_strangers_are_gone();
    siege.end();
}

/// A client over TLS.
type Secured = StreamOwned<ClientConnection, TcpStream>;

fn connect_over_tls(authority: &Authority, from: IpAddr, server: SocketAddr) -> Secured {
    let mut roots = RootCertStore::empty();
    let trust = CertificateDer::from_pem_file(authority.trust_store()).expect("a certificate");
    roots.add(trust).expect("it can be trusted");
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    StreamOwned::new(connection, connect_deaf(from, server).expect("connected"))
}

#[test]
fn p6_clients_that_never_read_over_tls_leave_nothing_behind_either() {
    let authority = Authority::new();
    let siege = Siege::with(|port| secure_lines(&authority, port));
    let before = siege.resident_bytes();
    let question = ask_for_large(&siege);
    let deaf: Vec<Secured> = (0..20)
        .map(|number| {
            let mut client = connect_over_tls(&authority, address(number), siege.secure);
            client.write_all(&connect_request(4_000)).expect("sent");
            client.read_exact(&mut [0; 4]).expect("answered");
            for _ in 0..100 {
                client
                    .write_all(&question)
                    .expect("it takes some questions");
            }
            client
        })
        .collect();
    siege.everybody_goes_on();
    assert_small_growth(&siege, before);
    siege.wait_until_strangers_are_gone();
    drop(deaf);
    siege.end();
}
