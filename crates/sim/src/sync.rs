//! How a learner is brought up to date: DIFF, TRUNC or SNAP (`LearnerHandler.syncFollower`).
//!
//! Reduced to what a leader decides without transaction logs on disk.

use outpost_wire::Zxid;

use crate::history::History;

/// What a learner is sent before NEWLEADER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Keep your state; the history from this place on follows.
    Diff { zxid: Zxid, from: usize },
    /// Go back to `zxid`; the history from this place on follows.
    Trunc { zxid: Zxid, from: usize },
    /// Take this tree, labelled `zxid`; the history from this place on follows.
    Snap { zxid: Zxid, from: usize },
}

/// Decides for a learner whose last transaction is `peer`, where `last` is the leader's own.
pub(crate) fn plan(peer: Zxid, last: Zxid, history: &History) -> Plan {
    let end = history.len();
    let (min, max) = match (history.first_zxid(), history.last_zxid()) {
        (Some(min), Some(max)) => (min, max),
        _ => (last, last),
    };
    if peer == last {
        Plan::Diff {
            zxid: peer,
            from: end,
        }
    } else if peer > max && peer.counter() != 0 {
        Plan::Trunc {
            zxid: max,
            from: end,
        }
    } else if (min..=max).contains(&peer) {
        walk(peer, max, history).unwrap_or(exact_snap(last, history))
    } else {
        exact_snap(last, history)
    }
}

/// Decides by what stands next to `peer` in the history, which begins before it and ends behind it.
fn walk(peer: Zxid, max: Zxid, history: &History) -> Option<Plan> {
    let from = history.place_after(peer);
    let before = history.zxid_at(from.checked_sub(1)?)?;
    if before == peer || peer.counter() == 0 {
        return Some(Plan::Diff { zxid: max, from });
    }
    // The learner has a transaction that never was. Going back must not cross an epoch.
    let next = history.zxid_at(from)?;
    (next.epoch() == peer.epoch()).then_some(Plan::Trunc { zxid: before, from })
}

/// A snapshot with nothing behind it.
pub(crate) fn exact_snap(last: Zxid, history: &History) -> Plan {
    Plan::Snap {
        zxid: last,
        from: history.len(),
    }
}

/// A snapshot that looks as if it had been begun `txns` transactions ago; fewer where the history does
/// not reach back so far.
pub(crate) fn fuzzy_snap(txns: usize, last: Zxid, history: &History) -> Plan {
    let from = history.len() - txns.min(history.len().saturating_sub(1));
    match from.checked_sub(1).and_then(|place| history.zxid_at(place)) {
        Some(zxid) if from < history.len() => Plan::Snap { zxid, from },
        _ => exact_snap(last, history),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::history::Committed;

    fn history(zxids: &[i64]) -> History {
        let mut history = History::new(10);
        for &zxid in zxids {
            history.push(Committed {
                zxid: Zxid(zxid),
                bytes: Bytes::new(),
            });
        }
        history
    }

    #[test]
    fn a_learner_gets_what_a_java_leader_of_3_9_gives_it() {
        let history = history(&[0x1_0000_0001, 0x1_0000_0002, 0x2_0000_0001]);
        let last = Zxid(0x2_0000_0001);
        for (peer, expected) in [
            (
                0,
                Plan::Snap {
                    zxid: last,
                    from: 3,
                },
            ),
            (
                0x1_0000_0000,
                Plan::Snap {
                    zxid: last,
                    from: 3,
                },
            ),
            (
                0x1_0000_0001,
                Plan::Diff {
                    zxid: last,
                    from: 1,
                },
            ),
            (
                0x1_0000_0005,
                Plan::Snap {
                    zxid: last,
                    from: 3,
                },
            ),
            (
                0x2_0000_0000,
                Plan::Diff {
                    zxid: last,
                    from: 2,
                },
            ),
            (
                0x2_0000_0001,
                Plan::Diff {
                    zxid: last,
                    from: 3,
                },
            ),
            (
                0x2_0000_0007,
                Plan::Trunc {
                    zxid: last,
                    from: 3,
                },
            ),
            (
                0x3_0000_0000,
                Plan::Snap {
                    zxid: last,
                    from: 3,
                },
            ),
        ] {
            assert_eq!(plan(Zxid(peer), last, &history), expected, "peer {peer:#x}");
        }
    }

    #[test]
    fn a_transaction_that_the_history_skips_is_truncated_within_its_epoch() {
        let history = history(&[0x1_0000_0001, 0x1_0000_0003]);
        let expected = Plan::Trunc {
            zxid: Zxid(0x1_0000_0001),
            from: 1,
        };
        assert_eq!(
            plan(Zxid(0x1_0000_0002), Zxid(0x1_0000_0003), &history),
            expected
        );
    }

    #[test]
    fn a_leader_without_history_sends_a_snapshot_unless_nothing_is_missing() {
        let (history, last) = (history(&[]), Zxid(0x1_0000_0000));
        assert_eq!(
            plan(last, last, &history),
            Plan::Diff {
                zxid: last,
                from: 0
            }
        );
        assert_eq!(
            plan(Zxid(5), last, &history),
            Plan::Snap {
                zxid: last,
                from: 0
            }
        );
    }

    #[test]
    fn a_fuzzy_snapshot_is_older_than_its_tree_by_as_many_transactions_as_there_are() {
        let (history, last) = (history(&[1, 2, 3]), Zxid(3));
        assert_eq!(
            fuzzy_snap(1, last, &history),
            Plan::Snap {
                zxid: Zxid(2),
                from: 2
            }
        );
        assert_eq!(
            fuzzy_snap(9, last, &history),
            Plan::Snap {
                zxid: Zxid(1),
                from: 1
            }
        );
        assert_eq!(
            fuzzy_snap(0, last, &history),
            Plan::Snap {
                zxid: Zxid(3),
                from: 3
            }
        );
    }
}
