//! The promises, held in one process (under a siege in two): a whole `Outpost`, attached over real sockets to a simulated ensemble,
//! and clients that are plain sockets.
//!
//! Nothing here waits a while and hopes: every test asks until a fact holds, with a deadline, or counts frames
//! in the order in which they come. Read on in `stage` (what stands around each test), and `siege` (the same for attacks).
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod p1_digests;
mod p1_prefix;
mod p2_order;
mod p3_watches;
mod p4_time;
mod p5_answers;
mod p5_audit;
mod p6_audit;
mod p6_bounds;
mod p6_limits;
mod p6_siege;
mod p7_leases;
mod p8_read_only;
mod p8_staleness;
mod p9_harmless;
mod siege;
mod stage;
