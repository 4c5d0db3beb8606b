//! Until when each client may be served (P7).
//!
//! The leader cannot expire a session before its timeout has passed since the last touch that has reached it. So a
//! session's lease runs from the *sending* of the last touch whose arrival is proven, and a client is closed when
//! its lease ends: when the link is lost, and also when it has merely fallen silent. A touch is proven when
//! something that was sent after it has come back from the leader; what was not proven when a link was lost does
//! not count, and is sent again on the next one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::limits::UNPROVEN_TOUCHES_MAX;
use crate::serve::client::Client;

/// Touches on their way to the leader.
#[derive(Default)]
pub struct Leases {
    /// Oldest first: when they were taken, and whose they are.
    unproven: Mutex<VecDeque<(Instant, Vec<Arc<Client>>)>>,
}

impl Leases {
    /// These clients' touches are being sent. Where too many are on their way already, they do not count towards
    /// a lease; later ones will.
    pub fn sent(&self, taken: Instant, clients: Vec<Arc<Client>>) {
        let mut unproven = self.unproven.lock();
        if !clients.is_empty() && unproven.len() < UNPROVEN_TOUCHES_MAX {
            unproven.push_back((taken, clients));
        }
    }

    /// All touches taken up to this moment have reached the leader.
    pub fn proven(&self, taken: Instant) {
        let mut unproven = self.unproven.lock();
        let arrived = unproven.partition_point(|(at, _)| *at <= taken);
        for (at, clients) in unproven.drain(..arrived) {
            for client in clients {
                client.extend_lease(at);
            }
        }
    }

    /// The link is gone: what it has not proven is to be sent again.
    pub fn lost(&self) {
        let unproven = std::mem::take(&mut *self.unproven.lock());
        for (_, clients) in unproven {
            for client in clients {
                client.touch();
            }
        }
    }

    /// Tables of touches that are not proven.
    pub fn unproven(&self) -> usize {
        self.unproven.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use outpost_forward::Origin;
    use outpost_wire::SessionId;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1);

    fn client() -> Arc<Client> {
        let client = Client::new(Origin(1), SocketAddr::from(([127, 0, 0, 1], 9)));
        client.set_session(SessionId(7), 1000, false);
        Arc::new(client)
    }

    fn ends(client: &Client) -> Option<Duration> {
        let ends = client.lease_ends()?;
        Some(ends.saturating_duration_since(client.accepted()))
    }

    #[test]
    fn p7_a_lease_runs_from_the_last_touch_that_is_proven_and_not_from_one_that_is_merely_sent() {
        let (leases, client) = (Leases::default(), client());
        let at = |ms| client.accepted() + Duration::from_millis(ms);
        assert_eq!(ends(&client), None, "the leader does not know it yet");
        client.extend_lease(at(0));
        assert_eq!(ends(&client), Some(TIMEOUT));
        leases.sent(at(100), vec![Arc::clone(&client)]);
        leases.sent(at(200), vec![Arc::clone(&client)]);
        assert_eq!(ends(&client), Some(TIMEOUT));
        leases.proven(at(100));
        assert_eq!(ends(&client), Some(TIMEOUT + Duration::from_millis(100)));
        leases.proven(at(250));
        assert_eq!(ends(&client), Some(TIMEOUT + Duration::from_millis(200)));
    }

    #[test]
    fn p7_a_touch_whose_link_is_lost_before_it_was_proven_does_not_count_and_is_sent_again() {
        let (leases, client) = (Leases::default(), client());
        let at = |ms| client.accepted() + Duration::from_millis(ms);
        client.extend_lease(at(0));
        leases.sent(at(100), vec![Arc::clone(&client)]);
        assert!(!client.take_touched());
        leases.lost();
        assert!(client.take_touched());
        leases.proven(at(500));
        assert_eq!(ends(&client), Some(TIMEOUT));
    }

    #[test]
    fn p6_a_leader_that_proves_nothing_does_not_make_us_keep_all_touches() {
        let (leases, client) = (Leases::default(), client());
        for _ in 0..UNPROVEN_TOUCHES_MAX * 2 {
            leases.sent(Instant::now(), vec![Arc::clone(&client)]);
        }
        assert_eq!(leases.unproven(), UNPROVEN_TOUCHES_MAX);
    }
}
