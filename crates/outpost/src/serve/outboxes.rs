//! What all clients together leave unread, in steps large enough that whoever reads what it is sent costs nothing here.
//!
//! Counts only. Who is cut off when it is too much is decided by [`Clients`](crate::serve::clients::Clients).

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

/// Smaller changes are not counted.
const STEP: usize = 64 << 10;

/// The sum over all clients.
#[derive(Debug)]
pub struct Outboxes {
    /// May be below zero for a moment, while two threads count the same client.
    bytes: Arc<AtomicIsize>,
    max: usize,
}

/// One client's part of it; given back when dropped, so that nothing stays for a client that is gone, whoever counts
/// last.
#[derive(Debug, Default)]
pub struct Share {
    bytes: AtomicUsize,
    /// The sum that it is a part of.
    of: Arc<AtomicIsize>,
}

impl Share {
    /// Bytes, in whole steps.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of
            .fetch_sub(signed(*self.bytes.get_mut()), Ordering::Relaxed);
    }
}

impl Outboxes {
    /// Nothing yet; more than `max` bytes is too much.
    pub fn new(max: usize) -> Outboxes {
        Outboxes {
            bytes: Arc::default(),
            max,
        }
    }

    /// A further client's part.
    pub fn share(&self) -> Share {
        Share {
            bytes: AtomicUsize::new(0),
            of: Arc::clone(&self.bytes),
        }
    }

    /// Bytes of all clients, in whole steps of each.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Whether it is too much.
    pub fn are_over(&self) -> bool {
        self.bytes() > self.max
    }

    /// A client leaves so many bytes unread now. True if that brings the sum above what it may be.
    pub fn note(&self, share: &Share, bytes: usize) -> bool {
        let now = bytes - bytes % STEP;
        if share.bytes() == now {
            return false;
        }
        // Whoever takes a value out of a share takes it out of the sum: the two agree in any order of events.
        let before = share.bytes.swap(now, Ordering::Relaxed);
        let change = signed(now) - signed(before);
        share.of.fetch_add(change, Ordering::Relaxed);
        now > before && self.are_over()
    }

    /// A client leaves nothing unread any more.
    pub fn release(&self, share: &Share) {
        self.note(share, 0);
    }
}

/// No client leaves more unread than there are addresses for.
fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p6_the_sum_follows_every_client_in_steps_and_says_when_it_grows_above_the_bound() {
        let all = Outboxes::new(4 * STEP);
        let (one, other) = (all.share(), all.share());
        assert!(!all.note(&one, STEP - 1));
        assert_eq!(all.bytes(), 0);
        assert!(!all.note(&one, 3 * STEP + 1) && !all.note(&other, STEP));
        assert_eq!((all.bytes(), all.are_over()), (4 * STEP, false));
        assert!(all.note(&other, 2 * STEP));
        assert!(!all.note(&other, 2 * STEP + 1), "no step further");
        assert!(!all.note(&one, 2 * STEP) && !all.are_over());
        all.release(&one);
        all.release(&one);
        assert_eq!((all.bytes(), one.bytes()), (2 * STEP, 0));
        drop(other);
        assert_eq!(all.bytes(), 0);
    }

    #[test]
    fn p6_nothing_is_left_in_the_sum_of_clients_that_several_threads_have_counted() {
        let all = Outboxes::new(usize::MAX);
        let share = all.share();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (all, share) = (&all, &share);
                scope.spawn(move || {
                    (0..1000).for_each(|turn| _ = all.note(share, (turn * 7 + thread) % 64 * STEP));
                });
            }
        });
        assert_eq!(all.bytes(), share.bytes());
        all.release(&share);
        assert_eq!(all.bytes(), 0);
    }
}
