//! What is served while there is no link: a plain value, asked by everything and changed in one place.

use std::time::{Duration, Instant};

/// One uninterrupted time of serving clients: it outlives a loss of the link if the link is back within the hold.
/// Requests carry the attachment they were made under, and are forwarded under no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attachment(pub u64);

/// Where the mirror stands towards the ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No tree yet, or given up: clients are not served.
    GivenUp,
    /// Following; everything is served.
    Attached(Attachment),
    /// The link is lost; reads are served until the hold time is over, everything else waits.
    Detached {
        /// What is resumed if the link comes back in time.
        attachment: Attachment,
        /// When the link was lost.
        since: Instant,
    },
}

/// What a reattachment means to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// Under which requests are forwarded from now on.
    pub attachment: Attachment,
    /// When UPTODATE came. Whatever is asked on this link is asked later.
    pub at: Instant,
    /// For how long clients were held; `None` if there were none to hold.
    pub held: Option<Duration>,
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

    /// The mirror has caught up with an UPTODATE of this moment. Whoever calls this has asked [`Hold::expired`] first.
    pub fn attached(&mut self, at: Instant) -> Attached {
        let (attachment, held) = match self.standing {
            Standing::Detached { attachment, since } => {
                (attachment, Some(at.saturating_duration_since(since)))
            }
            _ => {
                self.attachments += 1;
                (Attachment(self.attachments), None)
            }
        };
        self.standing = Standing::Attached(attachment);
        Attached {
            attachment,
            at,
            held,
        }
    }

    /// The link is gone. Returns until when clients are held, if there are any to hold.
    pub fn lost(&mut self, now: Instant) -> Option<Instant> {
        if let Standing::Attached(attachment) = self.standing {
            let since = now;
            self.standing = Standing::Detached { attachment, since };
        }
        match self.standing {
            Standing::Detached { since, .. } => Some(since + self.hold),
            _ => None,
        }
    }

    /// Whether the hold time is over; from then on clients are not served. True only once.
    pub fn expired(&mut self, now: Instant) -> bool {
        match self.standing {
            Standing::Detached { since, .. }
                if now.saturating_duration_since(since) >= self.hold =>
            {
                self.give_up()
            }
            _ => false,
        }
    }

    /// Clients are not served any more, whatever the hold. True if they were until now.
    pub fn give_up(&mut self) -> bool {
        let served = self.standing != Standing::GivenUp;
        self.standing = Standing::GivenUp;
        served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_of_zero_gives_up_at_the_moment_of_loss() {
        let now = Instant::now();
        let mut hold = Hold::new(Duration::ZERO);
        assert_eq!(hold.lost(now), None, "there was nothing to hold");
        assert!(!hold.expired(now), "there was nothing to give up");
        assert_eq!(hold.attached(now).attachment, Attachment(1));
        assert_eq!(hold.lost(now), Some(now));
        assert!(hold.expired(now));
        assert_eq!(hold.standing(), Standing::GivenUp);
        let again = hold.attached(now);
        assert_eq!((again.attachment, again.held), (Attachment(2), None));
    }

    #[test]
    fn p8_a_detached_mirror_serves_no_longer_than_the_hold() {
        let now = Instant::now();
        let mut hold = Hold::new(Duration::from_secs(10));
        hold.attached(now);
        assert_eq!(hold.lost(now), Some(now + Duration::from_secs(10)));
        assert!(!hold.expired(now + Duration::from_secs(9)));
        assert!(hold.expired(now + Duration::from_secs(10)));
        assert!(!hold.expired(now + Duration::from_secs(11)), "told once");
    }

    #[test]
    fn p8_failed_attempts_to_reattach_do_not_lengthen_the_hold() {
        let now = Instant::now();
        let mut hold = Hold::new(Duration::from_secs(10));
        hold.attached(now);
        let until = hold.lost(now);
        assert_eq!(hold.lost(now + Duration::from_secs(5)), until);
    }

    #[test]
    fn what_clients_asked_for_is_forwarded_after_a_loss_shorter_than_the_hold_and_not_after_a_longer_one()
     {
        let now = Instant::now();
        let mut hold = Hold::new(Duration::from_secs(10));
        let first = hold.attached(now).attachment;
        hold.lost(now);
        let second = hold.attached(now + Duration::from_secs(3));
        assert_eq!(second.attachment, first);
        assert_eq!(second.held, Some(Duration::from_secs(3)));
        hold.lost(now);
        assert!(hold.give_up());
        assert!(!hold.give_up(), "told once");
        assert_ne!(hold.attached(now).attachment, first);
    }
}
