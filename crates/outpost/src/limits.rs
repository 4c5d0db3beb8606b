//! Every bound of the process, why it has that size, and how the bounds relate.
//!
//! A full queue has one of two answers: *wait*, and so push back on whoever fills it, or *cut* that
//! peer off and free what was held for it.

/// Unread bytes above which no further request of that client is served until it has read: waits.
pub const OUTBOX_BYTES_PAUSE: usize = 1 << 20;

/// Memory that the process may use where the system does not say, in bytes. What all clients may hold is a part of it.
pub const MEMORY_UNKNOWN: usize = 1 << 30;

/// Requests of one session that may stand in its pipeline, behind or as a forwarded write: waits.
pub const PIPELINE_REQUESTS_MAX: usize = 1_000;

/// Bytes of requests that may stand in one session's pipeline: waits.
pub const PIPELINE_BYTES_MAX: usize = 4 << 20;

/// Requests served for one connection before the tree is unlocked and others get their turn.
pub const REQUESTS_PER_TURN: usize = 64;

/// Bytes of answers made for one connection before the tree is unlocked and others get their turn; one answer may be longer.
pub const ANSWER_BYTES_PER_TURN: usize = 64 << 10;

/// File descriptors that clients do not get: they are for the link, for operators, for listening and for files.
pub const DESCRIPTORS_KEPT: usize = 192;

/// What one thread that serves takes beside that.
pub const DESCRIPTORS_PER_THREAD: usize = 4;

/// Connections handed to one worker and not yet taken by it: accepting waits.
pub const HANDOVER_MAX: usize = 128;

/// Connections at ports for TLS whose hands are not shaken yet, over all of those ports: further ones are cut, and can
/// try another server.
pub const HANDSHAKES_WAITING_MAX: usize = 16_384;

/// Tables of touches on their way to the leader that are remembered until they are proven, one for each of its
/// PINGs: later ones do not extend leases.
pub const UNPROVEN_TOUCHES_MAX: usize = 64;

/// Requests that may wait for the link thread: connections wait.
pub const REQUEST_QUEUE_MAX: usize = 4_096;

/// Transactions and answers of the leader that may wait to be applied, in number: the link waits for a
/// while, then is given up (P9).
pub const APPLY_QUEUE_MAX: usize = 65_536;

/// The same in bytes.
pub const APPLY_QUEUE_BYTES_MAX: usize = 256 << 20;

/// Identities one connection may add; a Java server has no bound, and sends all of them to the leader
/// with every write.
pub const IDS_PER_CONNECTION_MAX: usize = 64;

/// Bytes of all identities of one connection.
pub const ID_BYTES_PER_CONNECTION_MAX: usize = 64 << 10;

/// Read buffer of a connection that sends little.
pub const FIRST_READ_BYTES: usize = 4 << 10;

/// Read buffer of a connection that sends much.
pub const READ_BYTES: usize = 64 << 10;

/// Four-letter words with an answer as long as there are connections or watches that are being made or
/// written at one time: further ones wait.
pub const LISTINGS_MAX: usize = 4;

/// Threads of one worker that make the answers to four-letter words: further words wait for their turn.
pub const WORD_THREADS_MAX: usize = 4;

/// HTTP connections to the admin port, and as many to the metrics port: further ones wait to be accepted.
pub const HTTP_CONNECTIONS_MAX: usize = 32;

/// Bytes of the audit log that may wait to be written to its file; further lines are lost, and counted.
pub const AUDIT_BYTES_MAX: usize = 16 << 20;

/// Request line and headers of one HTTP request, in bytes: cut.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 << 10;

/// Headers of one HTTP request: cut.
pub const HTTP_HEADERS_MAX: usize = 64;

/// Body of one POST request that is read, in bytes, to be forgotten; what is longer is left unread.
pub const HTTP_BODY_BYTES_MAX: usize = 64 << 10;

// One frame of the largest default size always fits into the pipeline.
const _: () = assert!(outpost_wire::frame::FRAME_BYTES_MAX < PIPELINE_BYTES_MAX);
// All who may ask over HTTP at one time, at both ports, still leave most of what is kept to the link.
const _: () = assert!(2 * HTTP_CONNECTIONS_MAX < DESCRIPTORS_KEPT / 2);
// One transaction of the largest size any sane ensemble allows fits into the apply queue.
const _: () = assert!(APPLY_QUEUE_BYTES_MAX > 64 << 20);
