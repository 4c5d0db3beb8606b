//! What is served while there is no link: a plain value, asked by everything and changed in one place.

use std::time::{Duration, Instant};

/// One life of the link, as far as clients can tell: requests carry the attachment they were made
/// under, and are forwarded under no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attachment(pub u64);

/// Where the mirror stands towards the ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No tree yet, or given up: clients are not served.
    GivenUp,
    /// Following; everything is served.
    Attached(Attachment),
    /// The link was lost at this moment; reads are served until the hold time is over.
    Detached(Instant),
}

/// Decides whether clients are served. Detached for longer than `hold` means no more (P8); with a
/// hold of zero every loss of the link gives up at once, as a Java observer does.
#[derive(Debug)]
pub struct Hold {
    hold: Duration,
    standing: Standing,
    attachments: u64,
}

impl Hold {
    /// Starts without a link.
    pub fn new(hold: Duration) -> Hold {
        Hold {
            hold,
            standing: Standing::GivenUp,
            attachments: 0,
        }
    }

    /// Where we stand.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The mirror has caught up.
    pub fn attached(&mut self) -> Attachment {
        self.attachments += 1;
        let attachment = Attachment(self.attachments);
        self.standing = Standing::Attached(attachment);
        attachment
    }

    /// The link is gone. True if clients must be closed now.
    pub fn lost(&mut self, now: Instant) -> bool {
        if let Standing::Attached(_) = self.standing {
            self.standing = Standing::Detached(now);
        }
        self.expired(now)
    }

    /// Whether the hold time is over; from then on clients are not served. True only once.
    pub fn expired(&mut self, now: Instant) -> bool {
        match self.standing {
            Standing::Detached(since) if now.saturating_duration_since(since) >= self.hold => {
                self.standing = Standing::GivenUp;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_of_zero_gives_up_at_the_moment_of_loss() {
        let now = Instant::now();
        let mut hold = Hold::new(Duration::ZERO);
        assert!(!hold.lost(now), "there was nothing to give up");
        assert_eq!(hold.attached(), Attachment(1));
        assert!(hold.lost(now));
        assert_eq!(hold.standing(), Standing::GivenUp);
        assert_eq!(hold.attached(), Attachment(2));
    }

    #[test]
    fn p8_a_detached_mirror_serves_no_longer_than_the_hold() {
        let now = Instant::now();
        let mut hold = Hold::new(Duration::from_secs(10));
        hold.attached();
        assert!(!hold.lost(now));
        assert_eq!(hold.standing(), Standing::Detached(now));
        assert!(!hold.expired(now + Duration::from_secs(9)));
        assert!(hold.expired(now + Duration::from_secs(10)));
        assert!(!hold.expired(now + Duration::from_secs(11)), "told once");
    }
}
