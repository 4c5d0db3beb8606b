//! What a lost link has cost clients: why connections were closed, and how many there are.

/// Why a client that could not be kept was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Cause {
    /// The leader could have expired its session by then (P7).
    Lease = 0,
    /// The hold was over (P8).
    Hold = 1,
    /// The fate of a request of its cannot be known (P5).
    UnknownFate = 2,
    /// Its session has ended meanwhile, or the leader does not know it any more.
    Expired = 3,
    /// Its session has moved to another server.
    Moved = 4,
    /// The mirror must not be continued: it differs from the ensemble's history, or is ahead of it (P1, P4).
    BackInTime = 5,
}

/// Number of causes.
const CAUSES: usize = Cause::ALL.len();

/// Numbers of closed clients, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByCause([u64; CAUSES]);

/// Clients at one moment: those that are connected, and all that were closed since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that have a session.
    pub connected: u64,
    /// Connections closed because of a link that was lost.
    pub closed: ByCause,
}

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Cause; 6] = [
        Cause::Lease,
        Cause::Hold,
        Cause::UnknownFate,
        Cause::Expired,
        Cause::Moved,
        Cause::BackInTime,
    ];

    /// Its name in metrics, in the log and in the history of losses.
    pub fn label(self) -> &'static str {
        match self {
            Cause::Lease => "lease",
            Cause::Hold => "hold",
            Cause::UnknownFate => "unknown_fate",
            Cause::Expired => "expired",
            Cause::Moved => "moved",
            Cause::BackInTime => "back_in_time",
        }
    }
}

impl ByCause {
    /// Made of one number for each cause.
    pub fn of(count: impl Fn(Cause) -> u64) -> ByCause {
        ByCause(Cause::ALL.map(count))
    }

    /// The number of one cause.
    pub fn get(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    /// Each cause with its number.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.0)
    }

    /// All causes together.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What came on top of `earlier`.
    pub fn since(&self, earlier: &ByCause) -> ByCause {
        ByCause::of(|cause| self.get(cause).saturating_sub(earlier.get(cause)))
    }
}

/// The causes that have occurred: `3 hold, 1 moved`, or `none`.
impl std::fmt::Display for ByCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut before = "";
        for (cause, count) in self.iter().filter(|(_, count)| *count > 0) {
            write!(f, "{before}{count} {}", cause.label())?;
            before = ", ";
        }
        match before {
            "" => f.write_str("none"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_causes_are_read_under_the_cause_they_were_counted_for() {
        let counts = ByCause::of(|cause| match cause {
            Cause::Hold => 3,
            Cause::BackInTime => 1,
            _ => 0,
        });
        assert_eq!((counts.get(Cause::Hold), counts.get(Cause::Lease)), (3, 0));
        assert_eq!(counts.to_string(), "3 hold, 1 back_in_time");
        assert_eq!(ByCause::default().to_string(), "none");
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place);
        }
    }

    #[test]
    fn what_was_closed_since_does_not_count_what_was_closed_before() {
        let before = ByCause::of(|_| 2);
        let after = ByCause::of(|cause| if cause == Cause::Moved { 5 } else { 2 });
        let since = after.since(&before);
        assert_eq!((since.sum(), since.get(Cause::Moved)), (3, 3));
    }
}
