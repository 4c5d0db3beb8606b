//! Requests that wait until fewer are in work, whosever they are (`request_throttle_*`, Java's `RequestThrottler`).
//!
//! In Java every request passes through one queue. Here those wait that would be in work: what is forwarded to the
//! leader, and what stands behind it. A read with nothing of its session ahead of it is answered at once, as ever.
//! Each request in work has a place; who finds none stands in line for the next one, and is not read on meanwhile. A
//! place is given back however its request ends.
//!
//! A client's part of it, [`Standing`], is a plain value: the time comes as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outpost_forward::latencies::Latencies;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::RequestThrottle;

/// The places, and what becomes of those that wait for one.
#[derive(Debug)]
pub struct Throttle {
    rules: RequestThrottle,
    places: Arc<Semaphore>,
}

/// One request in work.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    /// No request has been judged that is to have it.
    is_new: bool,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit) -> Place {
        Place {
            _permit: permit,
            is_new: true,
        }
    }
}

/// Figures of the throttle, under ZooKeeper's names.
#[derive(Debug, Default)]
pub struct ThrottleStats {
    /// How often somebody has waited, and once more for each `request_throttle_stall_time` that it took.
    pub waits: AtomicU64,
    /// Requests that had become stale and were let in all the same.
    pub stale: AtomicU64,
    /// Stale requests that were dropped.
    pub stale_dropped: AtomicU64,
    /// Requests that were refused because they had waited for too long.
    pub throttled: AtomicU64,
    /// How long each request has waited, ms.
    pub queue_times: Latencies,
}

impl Throttle {
    /// As many places as requests may be in work.
    pub fn new(rules: RequestThrottle) -> Throttle {
        let places = (rules.requests_max as usize).min(Semaphore::MAX_PERMITS);
        Throttle {
            places: Arc::new(Semaphore::new(places)),
            rules,
        }
    }

    /// The next place that comes free, for those who wait in the order in which they came. Whoever stops waiting leaves
    /// the line.
    pub fn enter(&self) -> impl Future<Output = Option<Place>> + 'static {
        let places = Arc::clone(&self.places);
        async move { places.acquire_owned().await.ok().map(Place::new) }
    }

    /// Whether a client that waits is listened to, so that nothing is asked of the leader for one that has left.
    pub fn notices_leaving(&self) -> bool {
        self.rules.drop_stale && self.rules.stale_connection_check
    }

    fn try_enter(&self) -> Option<Place> {
        // Nobody overtakes those who wait: while there are any, there is no free place.
        let permit = Arc::clone(&self.places).try_acquire_owned();
        permit.ok().map(Place::new)
    }
}

/// A request that needs a place.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    /// Its session's timeout.
    pub session_timeout: Duration,
    /// Whether it may be refused: closing a session may not.
    pub may_be_refused: bool,
    /// Bytes of input from its first one on.
    pub bytes: usize,
}

/// What becomes of a request that needs a place.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// It has one.
    Enters,
    /// There is none, which its client has just found out.
    BeginsToWait,
    /// There is still none.
    Waits,
    /// It has waited for so long that it is answered with an error.
    Refused,
    /// It has waited for longer than its session's timeout: its connection is to end.
    Stale,
}

/// How one client stands towards the throttle.
#[derive(Debug, Default)]
pub struct Standing {
    place: Option<Place>,
    stall: Option<Stall>,
}

/// Input has been waiting for a place.
#[derive(Debug)]
struct Stall {
    since: Instant,
    /// How much has: what came later is not older than the last time that something came.
    bytes: usize,
}

impl Standing {
    /// Finds the next request a place.
    pub fn enter(
        &mut self,
        throttle: &Throttle,
        stats: &ThrottleStats,
        asking: Asking,
        now: Instant,
    ) -> Entry {
        if self.place.is_none() {
            self.place = throttle.try_enter();
        }
        let Some(place) = &mut self.place else {
            return self.wait(stats, asking, now);
        };
        if !std::mem::take(&mut place.is_new) {
            return Entry::Enters;
        }
        let since = self.stall.as_ref().map_or(now, |stall| stall.since);
        let waited = now.saturating_duration_since(since);
        self.judge(throttle.rules, stats, asking, waited)
    }

    fn wait(&mut self, stats: &ThrottleStats, asking: Asking, now: Instant) -> Entry {
        if self.stall.is_some() {
            return Entry::Waits;
        }
        let bytes = asking.bytes;
        self.stall = Some(Stall { since: now, bytes });
        stats.waits.fetch_add(1, Ordering::Relaxed);
        Entry::BeginsToWait
    }

    fn judge(
        &mut self,
        rules: RequestThrottle,
        stats: &ThrottleStats,
        asking: Asking,
        waited: Duration,
    ) -> Entry {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let stalls = ms(waited) / ms(rules.stall_time).max(1);
        stats.waits.fetch_add(stalls, Ordering::Relaxed);
        let is_stale =
            rules.stale_latency_check && asking.may_be_refused && waited > asking.session_timeout;
        if is_stale && rules.drop_stale {
            stats.stale_dropped.fetch_add(1, Ordering::Relaxed);
            self.give_up();
            return Entry::Stale;
        }
        stats.stale.fetch_add(is_stale.into(), Ordering::Relaxed);
        stats.queue_times.note(ms(waited), 1);
        let too_long = rules.op_wait_max.is_some_and(|max| waited > max);
        if too_long && asking.may_be_refused {
            stats.throttled.fetch_add(1, Ordering::Relaxed);
            return Entry::Refused;
        }
        Entry::Enters
    }

    /// A place has come that was waited for.
    pub fn give(&mut self, place: Option<Place>) {
        self.place = place;
    }

    /// The place of the request that is taken on now.
    pub fn take(&mut self) -> Option<Place> {
        self.place.take()
    }

    /// There is no use for a place now: somebody else gets it.
    pub fn give_up(&mut self) {
        self.place = None;
    }

    /// No request is left that has come whole.
    pub fn note_idle(&mut self) {
        self.stall = None;
    }

    /// Whether input is waiting.
    pub fn waits(&self) -> bool {
        self.stall.is_some()
    }

    /// So many bytes of input are done with, and so many are left; something came last at `heard`.
    pub fn note_input(&mut self, done: usize, left: usize, heard: Instant) {
        let Some(stall) = &mut self.stall else {
            return;
        };
        stall.bytes = stall.bytes.saturating_sub(done);
        if left == 0 {
            self.stall = None;
        } else if stall.bytes == 0 {
            stall.since = stall.since.max(heard);
            stall.bytes = left;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn rules() -> RequestThrottle {
        RequestThrottle {
            requests_max: 2,
            stall_time: Duration::from_millis(100),
            drop_stale: true,
            stale_connection_check: true,
            stale_latency_check: false,
            op_wait_max: None,
        }
    }

    fn asking() -> Asking {
        Asking {
            session_timeout: Duration::from_secs(1),
            may_be_refused: true,
            bytes: 10,
        }
    }

    /// Two in work, one that has waited for so long, and what becomes of it.
    fn after(rules: RequestThrottle, asking: Asking, ms: u64) -> (Entry, ThrottleStats) {
        let (throttle, stats) = (Throttle::new(rules), ThrottleStats::default());
        let in_work = (throttle.try_enter(), throttle.try_enter());
        let (mut client, start) = (Standing::default(), Instant::now());
        let entry = client.enter(&throttle, &stats, asking, start);
        assert_eq!(entry, Entry::BeginsToWait);
        drop(in_work);
        let later = start + Duration::from_millis(ms);
        (client.enter(&throttle, &stats, asking, later), stats)
    }

    fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }

    fn load(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    #[test]
    fn p6_as_many_are_in_work_as_may_be_and_a_place_comes_back_however_it_is_left() {
        let (throttle, stats) = (Throttle::new(rules()), ThrottleStats::default());
        let (mut client, now) = (Standing::default(), Instant::now());
        let enter = |client: &mut Standing| client.enter(&throttle, &stats, asking(), now);
        assert_eq!(enter(&mut client), Entry::Enters);
        let first = client.take();
        assert_eq!(enter(&mut client), Entry::Enters);
        assert_eq!(enter(&mut client), Entry::Enters, "it has one already");
        let mut other = Standing::default();
        assert_eq!(enter(&mut other), Entry::BeginsToWait);
        assert_eq!(enter(&mut other), Entry::Waits);
        drop(first);
        assert_eq!(enter(&mut other), Entry::Enters);
        client.give_up();
        drop(other);
        assert_eq!(throttle.places.available_permits(), 2);
        assert_eq!(load(&stats.waits), 1);
    }

    #[test]
    fn those_who_wait_get_places_in_the_order_in_which_they_came_and_nobody_overtakes_them() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let throttle = Throttle::new(rules());
            let in_work = (throttle.try_enter(), throttle.try_enter());
            let mut line: Vec<_> = (0..3).map(|_| Box::pin(throttle.enter())).collect();
            assert!(line.iter_mut().all(|one| poll(one).is_pending()));
            drop(in_work.0);
            assert!(throttle.try_enter().is_none());
            assert!(poll(&mut line[2]).is_pending() && poll(&mut line[1]).is_pending());
            // The first leaves without it, so the second has it.
            drop(line.remove(0));
            assert!(poll(&mut line[1]).is_pending());
            assert!(poll(&mut line[0]).is_ready());
        });
    }

    #[test]
    fn a_wait_counts_once_and_once_more_for_each_stall_time() {
        let (entry, stats) = after(rules(), asking(), 350);
        assert_eq!((entry, load(&stats.waits)), (Entry::Enters, 1 + 3));
        assert_eq!(load(&stats.throttled) + load(&stats.stale), 0);
    }

    #[test]
    fn who_has_waited_for_too_long_is_refused_unless_it_may_not_be() {
        let rules = RequestThrottle {
            op_wait_max: Some(Duration::from_millis(300)),
            ..rules()
        };
        assert_eq!(after(rules, asking(), 300).0, Entry::Enters);
        let (entry, stats) = after(rules, asking(), 301);
        assert_eq!((entry, load(&stats.throttled)), (Entry::Refused, 1));
        let closing = Asking {
            may_be_refused: false,
            ..asking()
        };
        assert_eq!(after(rules, closing, 301).0, Entry::Enters);
    }

    #[test]
    fn what_is_older_than_its_session_s_timeout_is_dropped_where_that_is_looked_at() {
        assert_eq!(after(rules(), asking(), 5000).0, Entry::Enters);
        let checked = RequestThrottle {
            stale_latency_check: true,
            ..rules()
        };
        assert_eq!(after(checked, asking(), 1000).0, Entry::Enters);
        let (entry, stats) = after(checked, asking(), 1001);
        assert_eq!((entry, load(&stats.stale_dropped)), (Entry::Stale, 1));
        let kept = RequestThrottle {
            drop_stale: false,
            ..checked
        };
        let (entry, stats) = after(kept, asking(), 1001);
        assert_eq!((entry, load(&stats.stale)), (Entry::Enters, 1));
        assert_eq!(load(&stats.stale_dropped), 0);
    }

    #[test]
    fn what_has_come_later_has_not_waited_for_longer_than_it_is_here() {
        let (throttle, stats) = (Throttle::new(rules()), ThrottleStats::default());
        let in_work = (throttle.try_enter(), throttle.try_enter());
        let (mut client, start) = (Standing::default(), Instant::now());
        client.enter(&throttle, &stats, asking(), start);
        let heard = start + Duration::from_millis(500);
        client.note_input(4, 26, heard);
        assert_eq!(client.stall.as_ref().map(|stall| stall.since), Some(start));
        client.note_input(6, 20, heard);
        assert_eq!(client.stall.as_ref().map(|stall| stall.since), Some(heard));
        client.note_input(20, 0, heard);
        assert!(!client.waits());
        drop(in_work);
    }
}
