//! Where clients come in: the plain port, the one for TLS alone, and how many may shake hands at one time.

use std::num::NonZeroUsize;

use outpost_wire::ServerId;
use outpost_wire::membership::{Endpoint, Member, Role, WILDCARD_HOST};

use super::super::Doors;
use super::super::members::Members;
use super::super::settings::{Setting, Settings};

/// Handshakes at one time where nothing is set; the number that ZooKeeper's guide names.
const HANDSHAKES_MAX: u32 = 250;
/// One thread shakes hands with a thousand clients a second or more; a machine with many cores has work for more.
const CORES_PER_THREAD: usize = 4;
/// More threads than this greet nobody sooner.
const THREADS_MAX: i64 = 256;

/// One port: the keys that name it, and its part of a server line.
struct Port {
    port: &'static str,
    address: &'static str,
    in_words: &'static str,
    in_line: fn(&Member) -> Option<&Endpoint>,
}

const PLAIN: Port = Port {
    port: "clientPort",
    address: "clientPortAddress",
    in_words: "client port",
    in_line: |own| own.client.as_ref(),
};
const SECURE: Port = Port {
    port: "secureClientPort",
    address: "secureClientPortAddress",
    in_words: "secure client port",
    in_line: |own| own.secure_client.as_ref(),
};

/// Where clients come in.
pub(super) fn doors(settings: &mut Settings, id: Option<ServerId>, members: &Members) -> Doors {
    let own = id.and_then(|id| members.membership.get(id));
    let own = own.filter(|own| own.role == Role::Observer);
    let mut addr = |port: &Port| {
        let from_keys = addr_from_keys(settings, port);
        let from_line =
            own.and_then(|own| addr_from_line(settings, port, own, members, &from_keys));
        from_line.or(from_keys)
    };
    let (plain, secure) = (addr(&PLAIN), addr(&SECURE));
    if plain.is_none() && secure.is_none() {
        settings.warn_of_file("no clientPort is set, so no client can connect; set clientPort");
    }
    let unified = settings.flag("client.portUnification", false);
    if let (true, None, Some(setting)) = (unified, &plain, settings.get("client.portUnification")) {
        settings.warn(
            &setting,
            "has no effect without a clientPort to serve both on",
        );
    }
    let handshakes_max = settings.limit(
        "netty.server.outstandingHandshake.limit",
        HANDSHAKES_MAX,
        "handshakes",
    );
    Doors {
        unified: unified && plain.is_some(),
        plain,
        secure,
        handshakes_max,
        handshake_threads: handshake_threads(settings),
    }
}

fn handshake_threads(settings: &mut Settings) -> NonZeroUsize {
    let threads = settings.whole("outpost.handshakeThreads", 1..=THREADS_MAX, "threads");
    let threads = threads.and_then(|n| usize::try_from(n).ok());
    let by_default = || {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        cores.div_ceil(CORES_PER_THREAD)
    };
    NonZeroUsize::new(threads.unwrap_or_else(by_default)).unwrap_or(NonZeroUsize::MIN)
}

fn addr_from_keys(settings: &mut Settings, keys: &Port) -> Option<Endpoint> {
    let port_setting = settings.get(keys.port);
    let address_setting = settings.get(keys.address);
    let host = settings.host(keys.address);
    if let (None, Some(address)) = (&port_setting, &address_setting) {
        let text = format!("needs a port too; set {}", keys.port);
        settings.complain(address, &text);
    }
    let port = settings.port(keys.port)?;
    let host = host.unwrap_or(WILDCARD_HOST.to_owned());
    Some(Endpoint::new(host, port))
}

/// The part of our own server line, which goes before the keys but must not contradict them.
fn addr_from_line(
    settings: &mut Settings,
    keys: &Port,
    own: &Member,
    members: &Members,
    from_keys: &Option<Endpoint>,
) -> Option<Endpoint> {
    let line = members.setting(own.id)?;
    let in_line = (keys.in_line)(own)?.clone();
    if let Some(from_keys) = from_keys {
        compare(settings, keys, line, &in_line, from_keys);
    }
    Some(in_line)
}

fn compare(
    settings: &mut Settings,
    keys: &Port,
    line: &Setting,
    in_line: &Endpoint,
    from_keys: &Endpoint,
) {
    if from_keys.port != in_line.port {
        let text = format!(
            "this is our own line and names {} {}, but {}={}; make them agree",
            keys.in_words, in_line.port, keys.port, from_keys.port
        );
        settings.complain(line, &text);
    } else if !from_keys.is_wildcard() && from_keys.host != in_line.host {
        let text = format!(
            "this is our own line, so clients are served at {in_line}, not at {}={}",
            keys.address, from_keys.host
        );
        settings.warn(line, &text);
    }
}
