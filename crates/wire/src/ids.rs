//! The integers that name things, each with a type of its own so that none can take another's place.
//!
//! They print as ZooKeeper's logs print them: zxids and session ids in hexadecimal, the rest in decimal.

use std::fmt;

/// Id of a transaction: the leader's epoch in the high half, a counter in the low half.
///
/// Inside one epoch the zxids a leader proposes are gap-free and start at 1; the value with counter 0
/// names the epoch itself and belongs to no transaction. Zxids compare as signed numbers, as in ZooKeeper.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// The zxid of an empty tree; as a learner's last zxid it asks for a snapshot.
    pub const ZERO: Zxid = Zxid(0);

    /// The zxid that names `epoch` itself.
    pub const fn of_epoch(epoch: u32) -> Zxid {
        Zxid((epoch as i64) << 32)
    }

    /// The leader's epoch.
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The position inside the epoch; 0 in a zxid that names the epoch itself.
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// Whether a transaction with this zxid may come directly after `previous`: the next counter of the
    /// same epoch, or anything in a newer epoch.
    pub const fn follows(self, previous: Zxid) -> bool {
        if self.epoch() == previous.epoch() {
            self.0 == previous.0.wrapping_add(1)
        } else {
            self.0 > previous.0
        }
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Id of a session; 0 asks for a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

/// Mixed into the session id before the password is drawn from it; the same in every release.
const PASSWORD_SECRET: i64 = 0xB341_5C00;
/// Multiplier and increment of the 48-bit generator behind `java.util.Random`.
const LCG_MULTIPLIER: u64 = 0x5_DEEC_E66D;
const LCG_INCREMENT: u64 = 0xB;
const LCG_MASK: u64 = (1 << 48) - 1;

impl SessionId {
    /// What a client sends that wants a new session, and what a refused one is answered.
    pub const NONE: SessionId = SessionId(0);

    /// The password that belongs to this session, as every ZooKeeper server computes it.
    ///
    /// A checksum, not a secret: it lets a session move between servers. Sixteen bytes drawn from
    /// `java.util.Random` seeded with the id (`ZooKeeperServer.generatePasswd`).
    pub fn password(self) -> [u8; 16] {
        let mut state = ((self.0 ^ PASSWORD_SECRET) as u64 ^ LCG_MULTIPLIER) & LCG_MASK;
        let mut password = [0; 16];
        for word in password.chunks_exact_mut(4) {
            state = state
                .wrapping_mul(LCG_MULTIPLIER)
                .wrapping_add(LCG_INCREMENT)
                & LCG_MASK;
            word.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
        }
        password
    }

    /// Whether `password` belongs to this session. Never true for [`SessionId::NONE`].
    pub fn accepts_password(self, password: &[u8]) -> bool {
        self != SessionId::NONE && self.password() == password
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Number that a client gives to a request, and that comes back with its reply. In a transaction
/// header ZooKeeper calls the same number cxid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Xid(pub i32);

impl Xid {
    /// Stands in the header of a watch notification.
    pub const NOTIFICATION: Xid = Xid(-1);
    /// Ping, both ways.
    pub const PING: Xid = Xid(-2);
    /// Auth packet, as client libraries send it.
    pub const AUTH: Xid = Xid(-4);
    /// `setWatches` and `setWatches2`, as client libraries send them after a reconnect.
    pub const SET_WATCHES: Xid = Xid(-8);
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Id of a server of the ensemble (`myid`, the N of `server.N`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServerId(pub i64);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn session_password_equals_the_one_a_java_server_issues() {
        for (id, password) in [
            (0x0000000000000001, "054cc74a37327db215e702e20c73f005"),
            (0x0100001a41890000, "9d2d963e66ab3d92436a48ca1fb9b3d5"),
            (0x4da205d66c270000, "0baee96b3c2e96ad6163cc25e5be5d0a"),
            (0x0400001da4970000, "fbd347636cf501b0d152e54295515ab0"),
            (0x0400000673160000, "e821cc935511d692068b143126ded04d"),
        ] {
            assert_eq!(hex(&SessionId(id).password()), password, "session 0x{id:x}");
            assert!(SessionId(id).accepts_password(&SessionId(id).password()));
        }
        assert!(!SessionId::NONE.accepts_password(&SessionId::NONE.password()));
    }

    #[test]
    fn a_zxid_follows_the_next_counter_or_a_newer_epoch_only() {
        let z = Zxid(0x5_0000_0010);
        assert!(Zxid(0x5_0000_0011).follows(z));
        assert!(Zxid(0x6_0000_0001).follows(z));
        assert!(!Zxid(0x5_0000_0012).follows(z));
        assert!(!Zxid(0x5_0000_0010).follows(z));
        assert!(!Zxid(0x4_0000_0011).follows(z));
        assert_eq!((z.epoch(), z.counter()), (5, 0x10));
        assert_eq!(z.to_string(), "0x500000010");
    }
}
