//! ZooKeeper's formats: the client protocol, the learner protocol, transactions, snapshots and logs.
//!
//! Bytes go in, values come out, and back. This crate knows no socket, no clock and no task. All
//! integers are big-endian; text is kept as bytes, because ZooKeeper promises UTF-8 nowhere that
//! matters (paths and ids are compared and relayed byte by byte).
//!
//! Every record is read with one [`jute::Reader`] and written with one [`jute::Writer`]; those two
//! are the only code that touches offsets. A length taken from the input is checked against the
//! bytes that are really there before anything is allocated for it.

pub mod data;
pub mod error_code;
pub mod files;
pub mod frame;
pub mod ids;
pub mod jute;
pub mod membership;
pub mod op_code;
pub mod proto;
pub mod quorum;
pub mod quorum_auth;
pub mod txn;

pub use data::{Acl, Id, Perms, Stat, StatPersisted};
pub use error_code::ErrorCode;
pub use ids::{ServerId, SessionId, Xid, Zxid};
pub use jute::{DecodeError, Reader, Record, Writer};
pub use op_code::OpCode;
