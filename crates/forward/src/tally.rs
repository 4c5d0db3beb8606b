//! The clients at one moment, as this crate may know them: in numbers.

/// How many clients there are, and how many were closed since the process started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that have a session.
    pub connected: u64,
    /// Connections that were closed from this side, by the name of the cause; the same names in the same order
    /// every time.
    pub closed: Closed,
}

/// Numbers of closed clients, by the name of the cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closed(pub Vec<(&'static str, u64)>);

impl Closed {
    /// What came on top of `earlier`.
    pub fn since(&self, earlier: &Closed) -> Closed {
        let before = |cause: &'static str| {
            let known = earlier.0.iter().find(|(known, _)| *known == cause);
            known.map_or(0, |(_, count)| *count)
        };
        let counts = self.0.iter();
        Closed(
            counts
                .map(|(cause, count)| (*cause, count.saturating_sub(before(cause))))
                .collect(),
        )
    }
}

/// The causes that have occurred: `3 hold, 1 moved`, or `none`.
impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut before = "";
        for (cause, count) in self.0.iter().filter(|(_, count)| *count > 0) {
            write!(f, "{before}{count} {cause}")?;
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
    fn what_was_closed_since_does_not_count_what_was_closed_before() {
        let before = Closed(vec![("hold", 2), ("moved", 2)]);
        let after = Closed(vec![("hold", 2), ("lease", 1), ("moved", 5)]);
        assert_eq!(after.since(&before).to_string(), "1 lease, 3 moved");
        assert_eq!(after.since(&after).to_string(), "none");
        assert_eq!(after.since(&Closed::default()), after);
    }
}
