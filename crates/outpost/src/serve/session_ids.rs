//! Ids for new sessions: the server's low byte on top, as ZooKeeper has it, the rest unpredictable.
//!
//! ZooKeeper counts up from a clock. Two observers whose ids share a low byte would then hand out the
//! same sessions sooner or later; random ids that are checked against the known sessions do not.

use outpost_wire::{ServerId, SessionId};

/// Owner that marks a container znode, so no session may have it.
const CONTAINER_MARK: i64 = i64::MIN;

/// Where the unpredictable bytes of session ids come from.
pub type RandomBytes = fn() -> [u8; 8];

/// Unpredictable bytes from the system.
pub fn system_bytes() -> [u8; 8] {
    let mut bytes = [0; 8];
    // Fails only where the system has no source of randomness at all; ids are then merely checked
    // against the known ones.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = fastrand::u64(..).to_be_bytes();
    }
    bytes
}

/// Makes an id of which `is_known` knows nothing. `random` hands out eight random bytes.
pub fn new_session_id(
    server: ServerId,
    mut random: impl FnMut() -> [u8; 8],
    is_known: impl Fn(SessionId) -> bool,
) -> SessionId {
    loop {
        let mut bytes = random();
        bytes[0] = server.0.to_be_bytes()[7];
        let id = i64::from_be_bytes(bytes);
        // Java takes low numbers for no session at all.
        let reserved = id == 0 || id == CONTAINER_MARK;
        if !reserved && !is_known(SessionId(id)) {
            return SessionId(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_servers_low_byte_on_top_and_is_neither_known_nor_reserved() {
        let mut draws = [[9; 8], [0; 8], [7; 8]].into_iter();
        let id = new_session_id(
            ServerId(0x180),
            || draws.next().unwrap(),
            |id| id == SessionId(0x8009_0909_0909_0909_u64.cast_signed()),
        );
        assert_eq!(id, SessionId(0x8007_0707_0707_0707_u64.cast_signed()));
    }
}
