//! Read-only mode (`readonlymode.enabled`): who is served when the hold is over and there is no link, and what is
//! refused to them.
//!
//! As by a Java server that has lost its quorum, clients that say that they can do with it are served from the tree
//! as it was left, and are told so. Unlike there, their sessions are of this process alone whether local sessions
//! are enabled or not: in Java 3.7 and later nobody can be served where they are not.

use std::sync::atomic::{AtomicBool, Ordering};

use outpost_forward::Attachment;
use outpost_wire::{OpCode, Zxid};

/// Who is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nobody: there is no tree, or none to be trusted, or read-only mode is off.
    Nobody,
    /// Clients that ask for it, read-only.
    ReadOnly,
    /// Everybody; requests may be submitted under this attachment.
    Everybody(Attachment),
}

/// Whether the mirror may be shown to clients while nothing keeps it fresh.
#[derive(Debug)]
pub struct ReadOnlyMode {
    enabled: bool,
    /// The mirror is, or was, a prefix of the leader's history for all that is known.
    trusted: AtomicBool,
}

impl ReadOnlyMode {
    /// On or off, as configured. A mirror is trusted until something is said against it.
    pub fn new(enabled: bool) -> ReadOnlyMode {
        ReadOnlyMode {
            enabled,
            trusted: AtomicBool::new(true),
        }
    }

    /// Whether it is on.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether a mirror that is at `zxid` may be shown. One that has never had a tree may not.
    pub fn serves(&self, zxid: impl FnOnce() -> Zxid) -> bool {
        self.enabled && self.trusted.load(Ordering::Acquire) && zxid() != Zxid::ZERO
    }

    /// The mirror is the leader's tree.
    pub fn trust(&self) {
        self.trusted.store(true, Ordering::Release);
    }

    /// The mirror is not to be shown until another tree is there.
    pub fn distrust(&self) {
        self.trusted.store(false, Ordering::Release);
    }
}

/// Whether an operation is one of those that a read-only server refuses (`ReadOnlyRequestProcessor`), undecoded.
pub fn refuses(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateTtl
            | OpCode::CreateContainer
            | OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Reconfig
            | OpCode::Multi
            | OpCode::Check
            | OpCode::Sync
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_shown_where_that_is_wanted_and_only_a_tree_that_is_there_and_to_be_trusted() {
        let zxid = || Zxid(0x1_0000_0000);
        assert!(!ReadOnlyMode::new(false).serves(zxid));
        let mode = ReadOnlyMode::new(true);
        assert!(!mode.serves(|| Zxid::ZERO));
        assert!(mode.serves(zxid));
        mode.distrust();
        assert!(!mode.serves(zxid));
        mode.trust();
        assert!(mode.serves(zxid));
    }
}
