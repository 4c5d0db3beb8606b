//! What may be forwarded to a leader (P9). In the making.

use outpost_mirror::Tree;
use outpost_mirror::acl::AclRules;
use outpost_wire::{ErrorCode, Id, OpCode, SessionId};

/// What the gate needs to know beyond the bytes.
pub struct Gate {}

/// A request that may go.
pub struct Checked {
    /// The operation.
    pub op: OpCode,
    /// Whether it creates an ephemeral.
    pub creates_ephemeral: bool,
}

/// What is to be done with a request.
pub enum Verdict {
    /// Forward it.
    Forward(Checked),
    /// Answer it here.
    Refuse(ErrorCode),
    /// Answer it here, and close.
    RefuseAndClose(ErrorCode),
}

impl Gate {
    /// A gate.
    pub fn new(_frame_bytes_max: usize, _extended_types: bool) -> Gate {
        Gate {}
    }

    /// Looks at a request.
    pub fn examine(
        &self,
        op: i32,
        _body: &[u8],
        _ids: &[Id],
        _tree: &Tree,
        _session: SessionId,
        _rules: &AclRules,
    ) -> Verdict {
        match OpCode::from_code(op) {
            Some(op) => Verdict::Forward(Checked {
                op,
                creates_ephemeral: false,
            }),
            None => Verdict::RefuseAndClose(ErrorCode::UNIMPLEMENTED),
        }
    }
}
