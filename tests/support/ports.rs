//! Free TCP ports on the loopback address.
//!
//! A port that the kernel hands out for bind-to-0 may be taken by any outgoing connection before its server
//! binds it, and again while that server is down. So the ports come from below the ephemeral range, each one
//! tried by binding it, and are never handed out twice by one process.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::Mutex;

/// Below Linux's default ephemeral range, which starts at 32768.
const RANGE: Range<u16> = 12_000..32_000;

static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port on 127.0.0.1 that nobody listens on now and that this process has not handed out before.
///
/// # Panics
/// When there is none left.
pub fn free_port() -> u16 {
    let mut taken = TAKEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for _ in 0..RANGE.len() {
        let port = fastrand::u16(RANGE);
        if !taken.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            taken.insert(port);
            return port;
        }
    }
    panic!("no free port in {RANGE:?}");
}
