//! Metrics that a Java observer shows and that stay empty or zero here: most of them are so there too, since no
//! observer has what they count, others count what Outpost does without. They are shown because dashboards and rules made for
//! Java servers ask for them; each says why nothing comes.

use outpost_forward::latencies::LatencySummary;

use crate::metrics::table::{Detail, Kind, Metric, Summary, Value, metric};

/// The metrics.
pub(super) static METRICS: &[Metric] = &[
    // Leaders and followers alone have these.
    counter(
        "commit_count",
        "transactions",
        "Transactions committed by a leader. Leaders and followers alone have these.",
    ),
    counter(
        "proposal_count",
        "proposals",
        "Proposals made by a leader. Leaders and followers alone have these.",
    ),
    counter(
        "diff_count",
        "times",
        "Times a leader has sent a learner a DIFF. Leaders and followers alone have these.",
    ),
    counter(
        "snap_count",
        "times",
        "Times a leader has sent a learner a SNAP. Leaders and followers alone have these.",
    ),
    counter(
        "revalidate_count",
        "requests",
        "Requests of learners to a leader. Leaders and followers alone have these.",
    ),
    counter(
        "learner_proposal_received_count",
        "proposals",
        "Proposals received by a follower. Leaders and followers alone have these.",
    ),
    counter(
        "quit_leading_due_to_disloyal_voter",
        "times",
        "Times a leader has resigned. Leaders and followers alone have these.",
    ),
    counter(
        "prep_processor_request_queued",
        "requests",
        "Requests prepared by a leader. Leaders and followers alone have these.",
    ),
    counter(
        "outstanding_changes_queued",
        "changes",
        "Changes prepared by a leader. Leaders and followers alone have these.",
    ),
    counter(
        "outstanding_changes_removed",
        "changes",
        "Changes prepared by a leader and applied. Leaders and followers alone have these.",
    ),
    counter(
        "requests_not_forwarded_to_commit_processor",
        "requests",
        "Requests of learners at a leader. Leaders and followers alone have these.",
    ),
    counter(
        "skip_learner_request_to_next_processor_count",
        "requests",
        "Requests of learners at a follower. Leaders and followers alone have these.",
    ),
    basic_summary(
        "election_time",
        "ms",
        "Time that an election has taken a voter. Leaders and followers alone have these.",
    ),
    basic_summary(
        "leader_unavailable_time",
        "ms",
        "Time until a voter led again. Leaders and followers alone have these.",
    ),
    basic_summary(
        "follower_sync_time",
        "ms",
        "Time that a follower has taken to synchronise. Leaders and followers alone have these.",
    ),
    basic_summary(
        "inflight_snap_count",
        "snapshots",
        "Snapshots on their way from a leader. Leaders and followers alone have these.",
    ),
    basic_summary(
        "inflight_diff_count",
        "DIFFs",
        "DIFFs on their way from a leader. Leaders and followers alone have these.",
    ),
    basic_summary(
        "prep_processor_queue_size",
        "requests",
        "Requests waiting to be prepared by a leader. Leaders and followers alone have these.",
    ),
    basic_summary(
        "prep_process_time",
        "ms",
        "Time that a leader has taken to prepare a request. Leaders and followers alone have these.",
    ),
    basic_summary(
        "proposal_process_time",
        "ms",
        "Time that a leader has taken to propose a request. Leaders and followers alone have these.",
    ),
    advanced_summary(
        "prep_processor_queue_time_ms",
        "ms",
        "Time that requests have waited to be prepared by a leader. Leaders and followers alone have these.",
    ),
    advanced_summary(
        "close_session_prep_time",
        "ms",
        "Time that a leader has taken to prepare the end of a session. Leaders and followers alone have these.",
    ),
    advanced_summary(
        "proposal_latency",
        "ms",
        "Time between a proposal and its arrival at a follower. Leaders and followers alone have these.",
    ),
    advanced_summary(
        "proposal_ack_creation_latency",
        "ms",
        "Time between a proposal and its acknowledgement by a voter. Leaders and followers alone have these.",
    ),
    advanced_summary(
        "quorum_ack_latency",
        "ms",
        "Time between a proposal and its quorum. Leaders and followers alone have these.",
    ),
    set_of_summaries(
        "ack_latency",
        "ms",
        "Time between a proposal and its acknowledgement, by voter. Leaders and followers alone have these.",
    ),
    set_of_summaries(
        "learner_handler_qp_size",
        "packets",
        "Packets waiting for a learner, by learner. Leaders and followers alone have these.",
    ),
    set_of_summaries(
        "learner_handler_qp_time_ms",
        "ms",
        "Time that packets have waited for a learner, by learner. Leaders and followers alone have these.",
    ),
    set_of_counters(
        "quota_exceeded_error_per_namespace",
        "requests",
        "Requests refused by a leader because of a quota. Leaders and followers alone have these.",
    ),
    // Outpost is no learner master yet.
    advanced_summary(
        "om_proposal_process_time_ms",
        "ms",
        "Time that a follower has taken to hand a proposal to its observers. Outpost is no learner master yet.",
    ),
    advanced_summary(
        "om_commit_process_time_ms",
        "ms",
        "Time that a follower has taken to hand a commit to its observers. Outpost is no learner master yet.",
    ),
    // Outpost keeps nothing on a disk.
    counter(
        "sync_processor_request_queued",
        "transactions",
        "Transactions queued for the log. Outpost keeps nothing on a disk.",
    ),
    counter(
        "restore_error_count",
        "times",
        "Times the command `restore` has failed. Outpost keeps nothing on a disk.",
    ),
    counter(
        "restore_rate_limited_count",
        "times",
        "Times the command `restore` came too often. Outpost keeps nothing on a disk.",
    ),
    basic_summary(
        "fsynctime",
        "ms",
        "Time that the log has taken to reach the disk. Outpost keeps nothing on a disk.",
    ),
    basic_summary(
        "snapshottime",
        "ms",
        "Time that a snapshot has taken to be written. Outpost keeps nothing on a disk.",
    ),
    basic_summary(
        "restore_time",
        "ms",
        "Time that a snapshot has taken to be restored. Outpost keeps nothing on a disk.",
    ),
    basic_summary(
        "dbinittime",
        "ms",
        "Time that the tree has taken to be read from the disk. Outpost keeps nothing on a disk.",
    ),
    basic_summary(
        "startup_txns_loaded",
        "transactions",
        "Transactions read from the log at the start. Outpost keeps nothing on a disk.",
    ),
    basic_summary(
        "startup_txns_load_time",
        "ms",
        "Time that the log has taken to be read at the start. Outpost keeps nothing on a disk.",
    ),
    basic_summary(
        "startup_snap_load_time",
        "ms",
        "Time that the snapshot has taken to be read at the start. Outpost keeps nothing on a disk.",
    ),
    basic_summary(
        "sync_processor_queue_size",
        "transactions",
        "Transactions waiting for the log. Outpost keeps nothing on a disk.",
    ),
    basic_summary(
        "sync_processor_batch_size",
        "transactions",
        "Transactions written to the log at once. Outpost keeps nothing on a disk.",
    ),
    basic_summary(
        "sync_process_time",
        "ms",
        "Time that a transaction has taken to be logged. Outpost keeps nothing on a disk.",
    ),
    advanced_summary(
        "sync_processor_queue_time_ms",
        "ms",
        "Time that transactions have waited for the log. Outpost keeps nothing on a disk.",
    ),
    advanced_summary(
        "sync_processor_queue_flush_time_ms",
        "ms",
        "Time that the log has taken to be flushed. Outpost keeps nothing on a disk.",
    ),
    advanced_summary(
        "sync_processor_queue_and_flush_time_ms",
        "ms",
        "Both times together. Outpost keeps nothing on a disk.",
    ),
    // There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.
    basic_summary(
        "requests_in_session_queue",
        "requests",
        "Requests in the queue of a session. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "pending_session_queue_size",
        "sessions",
        "Sessions with a queue. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "reads_after_write_in_session_queue",
        "reads",
        "Reads behind a write in the queue of its session. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "reads_issued_from_session_queue",
        "reads",
        "Reads served from queues of sessions at once. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "session_queues_drained",
        "queues",
        "Queues of sessions emptied at once. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "time_waiting_empty_pool_in_commit_processor_read_ms",
        "ms",
        "Time that a write has waited for reads to end. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "write_batch_time_in_commit_processor",
        "ms",
        "Time that a batch of writes has taken. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "concurrent_request_processing_in_commit_processor",
        "requests",
        "Requests under way when a write was due. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "read_commit_proc_req_queued",
        "reads",
        "Reads queued in the commit processor. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "write_commit_proc_req_queued",
        "writes",
        "Writes queued in the commit processor. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "commit_commit_proc_req_queued",
        "commits",
        "Commits queued in the commit processor. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "read_commit_proc_issued",
        "reads",
        "Reads handed on by the commit processor at once. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "write_commit_proc_issued",
        "writes",
        "Writes handed on by the commit processor at once. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "commit_process_time",
        "ms",
        "Time that one round of the commit processor has taken. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    advanced_summary(
        "read_commitproc_time_ms",
        "ms",
        "Time that reads have waited in the commit processor. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    advanced_summary(
        "read_final_proc_time_ms",
        "ms",
        "Time that reads have waited for the final processor. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    advanced_summary(
        "write_final_proc_time_ms",
        "ms",
        "Time that writes have waited for the final processor. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    basic_summary(
        "netty_queued_buffer_capacity",
        "bytes",
        "Bytes queued for a connection that is not read on. There is no such queue: a read is answered where it is received, and a transaction is applied as it comes.",
    ),
    // Answers are made anew each time; there is no cache.
    counter(
        "response_packet_cache_hits",
        "answers",
        "Answers of `getData` from the cache. Answers are made anew each time; there is no cache.",
    ),
    counter(
        "response_packet_cache_misses",
        "answers",
        "Answers of `getData` not in the cache. Answers are made anew each time; there is no cache.",
    ),
    counter(
        "response_packet_get_children_cache_hits",
        "answers",
        "Answers of `getChildren2` from the cache. Answers are made anew each time; there is no cache.",
    ),
    counter(
        "response_packet_get_children_cache_misses",
        "answers",
        "Answers of `getChildren2` not in the cache. Answers are made anew each time; there is no cache.",
    ),
    // The watches of a connection end with it; none is left to be cleaned up.
    counter(
        "add_dead_watcher_stall_time",
        "ms",
        "Time spent waiting for the cleaner of watches. The watches of a connection end with it; none is left to be cleaned up.",
    ),
    counter(
        "dead_watchers_queued",
        "watchers",
        "Watchers waiting for the cleaner of watches. The watches of a connection end with it; none is left to be cleaned up.",
    ),
    counter(
        "dead_watchers_cleared",
        "watchers",
        "Watchers cleaned up. The watches of a connection end with it; none is left to be cleaned up.",
    ),
    advanced_summary(
        "dead_watchers_cleaner_latency",
        "ms",
        "Time that the cleaner of watches has taken. The watches of a connection end with it; none is left to be cleaned up.",
    ),
    // A thread that fails ends the process.
    counter(
        "unrecoverable_error_count",
        "errors",
        "Errors that a server has gone on with. A thread that fails ends the process.",
    ),
    // The socket of a lost link is closed at once, without waiting for it.
    basic_summary(
        "socket_closing_time",
        "ms",
        "Time that the socket to a learner master has taken to be closed. The socket of a lost link is closed at once, without waiting for it.",
    ),
    // There is no virtual machine.
    advanced_summary(
        "jvm_pause_time_ms",
        "ms",
        "Time that the virtual machine has paused. There is no virtual machine.",
    ),
];

const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    metric(Kind::Counter, name, unit, help, |_| Value::Whole(0))
}

const fn basic_summary(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    metric(Kind::Summary, name, unit, help, |_| nothing(Detail::Basic))
}

const fn advanced_summary(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    metric(Kind::Summary, name, unit, help, |_| {
        nothing(Detail::Advanced)
    })
}

/// Its label has no value yet.
const fn set_of_summaries(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    metric(Kind::Summary, name, unit, help, |_| {
        Value::Summaries("key", Vec::new())
    })
}

/// Its label has no value yet.
const fn set_of_counters(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    metric(Kind::Counter, name, unit, help, |_| {
        Value::Set("key", Vec::new())
    })
}

fn nothing(detail: Detail) -> Value {
    let values = LatencySummary::default();
    Value::Summary(Summary { values, detail })
}
