//! Requests in work, over all clients: how many, and how many bytes the large ones among them have
//! (`globalOutstandingLimit`, `largeRequestThreshold`, `largeRequestMaxBytes`).
//!
//! A request is counted by its [`Ticket`], for as long as that lives. Whoever keeps the request keeps the
//! ticket, so no way in which a request can end leaves anything behind: answered, its connection ended, the
//! link lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::LargeRequests;
use crate::serve::request_throttle::Place;

/// Requests in work, over all clients.
#[derive(Debug)]
pub struct Outstanding {
    requests: AtomicUsize,
    large_bytes: AtomicUsize,
    requests_limit: usize,
    large: Option<LargeRequests>,
}

/// The large requests in work would have too many bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Outstanding {
    /// None yet. Above `requests_limit` requests clients that have some of them are to wait.
    pub fn new(requests_limit: usize, large: Option<LargeRequests>) -> Outstanding {
        Outstanding {
            requests: AtomicUsize::new(0),
            large_bytes: AtomicUsize::new(0),
            requests_limit,
            large,
        }
    }

    /// Requests in work.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of the large requests in work.
    pub fn large_bytes(&self) -> usize {
        self.large_bytes.load(Ordering::Relaxed)
    }

    /// Whether a client with `own` requests in work may send another one. One without any always may, so
    /// that nobody waits for others alone.
    pub fn lets_read(&self, own: usize) -> bool {
        own == 0 || self.requests() <= self.requests_limit
    }

    /// Whether a request of `length` bytes that begins to arrive could be taken on: better to know before
    /// all of it has come.
    ///
    /// # Errors
    /// When it is large and there is too much of that in work.
    pub fn expect(&self, length: usize) -> Result<(), TooLarge> {
        match self.bytes_max_for(length) {
            Some(max) if self.large_bytes().saturating_add(length) > max => Err(TooLarge),
            _ => Ok(()),
        }
    }

    /// Takes on a request of `length` bytes if it is large; what is not needs no permission.
    ///
    /// # Errors
    /// When there is too much of that in work.
    pub fn take_on(self: &Arc<Self>, length: usize) -> Result<LargeTicket, TooLarge> {
        let Some(max) = self.bytes_max_for(length) else {
            return Ok(LargeTicket(None));
        };
        let fits = |bytes: usize| bytes.checked_add(length).filter(|bytes| *bytes <= max);
        self.large_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| TooLarge)?;
        Ok(LargeTicket(Some((Arc::clone(self), length))))
    }

    /// Counts a request that has to wait for something, together with what it was taken on as, and its place where
    /// requests are throttled.
    pub fn count(self: &Arc<Self>, large: LargeTicket, place: Option<Place>) -> Ticket {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ticket {
            outstanding: Arc::clone(self),
            _large: large,
            _place: place,
        }
    }

    /// The bound on the sum that a request of this length counts towards, if it does.
    fn bytes_max_for(&self, length: usize) -> Option<usize> {
        let large = self.large?;
        (length > large.threshold).then_some(large.bytes_max)
    }
}

/// A request's share of the bytes of large requests in work: none unless it is one. Given back when dropped.
#[derive(Debug)]
pub struct LargeTicket(Option<(Arc<Outstanding>, usize)>);

impl Drop for LargeTicket {
    fn drop(&mut self) {
        if let Some((outstanding, length)) = &self.0 {
            outstanding
                .large_bytes
                .fetch_sub(*length, Ordering::Relaxed);
        }
    }
}

/// A request in work; no longer when dropped.
#[derive(Debug)]
pub struct Ticket {
    outstanding: Arc<Outstanding>,
    _large: LargeTicket,
    _place: Option<Place>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.outstanding.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outstanding() -> Arc<Outstanding> {
        let large = LargeRequests {
            threshold: 100,
            bytes_max: 500,
        };
        Arc::new(Outstanding::new(2, Some(large)))
    }

    #[test]
    fn above_the_limit_only_those_wait_that_have_requests_in_work() {
        let all = outstanding();
        let take = || all.count(all.take_on(1).unwrap(), None);
        let _two = (take(), take());
        assert!(all.lets_read(0) && all.lets_read(2));
        let third = take();
        assert!(all.lets_read(0) && !all.lets_read(1));
        drop(third);
        assert!(all.lets_read(1));
    }

    #[test]
    fn p6_large_requests_are_summed_up_to_the_bound_and_small_ones_are_not() {
        let all = outstanding();
        let _small: Vec<_> = (0..100).map(|_| all.take_on(100).unwrap()).collect();
        assert_eq!(all.large_bytes(), 0);
        let first = all.take_on(300).unwrap();
        let _second = all.take_on(200).unwrap();
        assert_eq!(
            (all.expect(101), all.take_on(101).err()),
            (Err(TooLarge), Some(TooLarge))
        );
        assert_eq!(all.expect(100), Ok(()));
        drop(first);
        assert_eq!((all.large_bytes(), all.expect(300)), (200, Ok(())));
        assert_eq!(all.take_on(usize::MAX).err(), Some(TooLarge));
    }

    #[test]
    fn p6_nothing_is_left_of_requests_that_are_gone_counted_or_not() {
        let all = outstanding();
        let counted = all.count(all.take_on(250).unwrap(), None);
        let uncounted = all.take_on(250).unwrap();
        assert_eq!((all.requests(), all.large_bytes()), (1, 500));
        drop((counted, uncounted));
        assert_eq!((all.requests(), all.large_bytes()), (0, 0));
    }

    #[test]
    fn without_a_threshold_no_request_is_large() {
        let all = Arc::new(Outstanding::new(1000, None));
        let _large = all.take_on(usize::MAX).unwrap();
        assert_eq!((all.large_bytes(), all.expect(usize::MAX)), (0, Ok(())));
    }
}
