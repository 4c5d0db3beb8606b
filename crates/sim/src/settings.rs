//! What a simulated leader is told at its start.

use outpost_mirror::{AclRules, TreeOptions};

use crate::deed::Witness;

/// How a simulated leader behaves. The defaults are ZooKeeper's, with commits that take no time.
#[derive(Debug, Clone)]
pub struct LeaderSettings {
    /// `tickTime`, ms: sessions expire in steps of it, learners are pinged twice in it.
    pub tick_ms: i64,
    /// `initLimit`, ticks: how long a learner may be silent before it has synchronised.
    pub init_limit: i64,
    /// `syncLimit`, ticks: how long it may be silent afterwards.
    pub sync_limit: i64,
    /// Transactions kept for learners that were away (`zookeeper.commitLogCount`).
    pub history_max: usize,
    /// Every learner gets a snapshot, even one that lacks nothing (`zookeeper.forceSnapshotSync`).
    pub force_snapshot: bool,
    /// A snapshot is labelled as if it had been begun this many transactions ago, and they follow it:
    /// as when a leader goes on applying while it writes. 0 makes exact snapshots.
    pub fuzzy_txns: usize,
    /// Whether transactions carry the digest of the tree (`zookeeper.digest.enabled`).
    pub digests: bool,
    /// How long a quorum takes to accept a proposal, ms.
    pub commit_delay_ms: i64,
    /// How often containers and TTL znodes are looked through (`znode.container.checkIntervalMs`), ms.
    pub reap_interval_ms: i64,
    /// Who is told what happens.
    pub witness: Witness,
    /// How ACLs are read, and which schemes may stand in them.
    pub acl: AclRules,
    /// How the tree behaves; `extended_types` allows TTL znodes.
    pub tree: TreeOptions,
}

impl LeaderSettings {
    /// How long a learner may be silent, ms.
    pub(crate) fn patience_ms(&self, following: bool) -> i64 {
        let ticks = match following {
            true => self.sync_limit,
            false => self.init_limit,
        };
        self.tick_ms * ticks
    }

    /// How often learners are pinged, ms.
    pub(crate) fn ping_interval_ms(&self) -> i64 {
        (self.tick_ms / 2).max(1)
    }
}

impl Default for LeaderSettings {
    fn default() -> LeaderSettings {
        LeaderSettings {
            tick_ms: 2_000,
            init_limit: 10,
            sync_limit: 5,
            history_max: 500,
            force_snapshot: false,
            fuzzy_txns: 0,
            digests: true,
            commit_delay_ms: 0,
            reap_interval_ms: 60_000,
            witness: Witness::default(),
            acl: AclRules::default(),
            tree: TreeOptions::default(),
        }
    }
}
