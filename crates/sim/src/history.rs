//! The transactions that were committed last, as a leader keeps them for learners that were away.

use std::collections::VecDeque;

use bytes::Bytes;
use outpost_wire::Zxid;

/// A committed transaction: header, record, and digest if there is one.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    pub(crate) zxid: Zxid,
    pub(crate) bytes: Bytes,
}

/// The last committed transactions, oldest first; the oldest make room for new ones.
#[derive(Debug)]
pub(crate) struct History {
    txns: VecDeque<Committed>,
    max: usize,
}

impl History {
    pub(crate) fn new(max: usize) -> History {
        History {
            txns: VecDeque::new(),
            max,
        }
    }

    pub(crate) fn push(&mut self, txn: Committed) {
        self.txns.push_back(txn);
        while self.txns.len() > self.max {
            self.txns.pop_front();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.txns.len()
    }

    pub(crate) fn first_zxid(&self) -> Option<Zxid> {
        self.txns.front().map(|txn| txn.zxid)
    }

    pub(crate) fn last_zxid(&self) -> Option<Zxid> {
        self.txns.back().map(|txn| txn.zxid)
    }

    /// The zxid of the transaction at this place, the oldest being at 0.
    pub(crate) fn zxid_at(&self, place: usize) -> Option<Zxid> {
        self.txns.get(place).map(|txn| txn.zxid)
    }

    /// The place of the first transaction that is newer than `zxid`; behind the last if none is.
    pub(crate) fn place_after(&self, zxid: Zxid) -> usize {
        self.txns.partition_point(|txn| txn.zxid <= zxid)
    }

    /// The transactions from this place on.
    pub(crate) fn iter_from(&self, place: usize) -> impl Iterator<Item = &Committed> {
        self.txns.iter().skip(place)
    }
}
