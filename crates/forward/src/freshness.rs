//! How far behind its leader the mirror is, as a plain value: no clock, no socket.
//!
//! The mirror is *level* when it follows a leader and holds everything that this leader is known to have. Being
//! level with what has been heard is not enough right after a synchronisation: behind UPTODATE, the leader's own
//! queue for us may be as long as the snapshot took. Whoever drives the link therefore asks the leader something
//! of its own (a SYNC) with UPTODATE; the answer comes behind everything that was committed before the
//! question, and until then the mirror does not count as level (P8).

use std::time::{Duration, Instant};

use outpost_wire::Zxid;

/// How far behind its leader the mirror is. Time comes as an argument.
#[derive(Debug)]
pub struct Freshness {
    /// How long the mirror counts as level with a leader that says nothing, or leaves a question unanswered.
    silence_max: Duration,
    began: Instant,
    leader: Zxid,
    applied: Zxid,
    /// The link follows a leader.
    follows: bool,
    /// The first question of this life of the link is answered, or none was asked.
    proven: bool,
    /// Questions asked in this life of the link, and answers that have come.
    asked: u64,
    answered: u64,
    /// Of the questions without an answer, the one whose age is watched: its number, and when it was asked. Another
    /// is chosen when it is answered.
    question: Option<(u64, Instant)>,
    /// How long the last answer to a question that was watched took.
    round_trip: Option<Duration>,
    /// When the mirror was last known to be level.
    level: Option<Instant>,
}

impl Freshness {
    /// Never level so far.
    pub fn new(silence_max: Duration, now: Instant) -> Freshness {
        Freshness {
            silence_max,
            began: now,
            leader: Zxid::ZERO,
            applied: Zxid::ZERO,
            follows: false,
            proven: true,
            asked: 0,
            answered: 0,
            question: None,
            round_trip: None,
            level: None,
        }
    }

    /// The newest zxid that the leader is known to have.
    pub fn leader(&self) -> Zxid {
        self.leader
    }

    /// The zxid of the last applied transaction.
    pub fn applied(&self) -> Zxid {
        self.applied
    }

    /// The leader has told how far it is.
    pub fn leader_is_at(&mut self, zxid: Zxid, now: Instant) {
        self.leader = zxid;
        self.look(now);
    }

    /// The mirror has come so far.
    pub fn mirror_is_at(&mut self, zxid: Zxid, now: Instant) {
        self.applied = zxid;
        self.look(now);
    }

    /// The mirror follows a leader, from UPTODATE on.
    pub fn followed(&mut self, now: Instant) {
        self.follows = true;
        self.look(now);
    }

    /// There is no leader to follow any more: nothing that it was asked will be answered.
    pub fn parted(&mut self) {
        self.follows = false;
        self.proven = true;
        (self.asked, self.answered, self.question) = (0, 0, None);
    }

    /// The leader was asked something that it answers behind everything committed so far. Ask before
    /// [`Freshness::followed`], so that the mirror does not count as level in between.
    pub fn asked(&mut self, now: Instant) {
        if !self.follows {
            self.proven = false;
        }
        self.asked += 1;
        self.question.get_or_insert((self.asked, now));
    }

    /// The answer to the oldest question is here, and all that came before it is applied.
    pub fn answered(&mut self, now: Instant) {
        // What is left of a link that is gone was answered to nobody.
        if self.answered == self.asked {
            return;
        }
        self.answered += 1;
        self.proven = true;
        if let Some((_, asked)) = self
            .question
            .take_if(|(number, _)| *number <= self.answered)
        {
            self.round_trip = Some(now.saturating_duration_since(asked));
        }
        self.look(now);
    }

    /// How many transactions the mirror is known to be behind. Across epochs it counts those of the leader's
    /// epoch only.
    pub fn behind(&self) -> u64 {
        let (leader, applied) = (self.leader, self.applied);
        if leader.epoch() == applied.epoch() {
            u64::from(leader.counter().saturating_sub(applied.counter()))
        } else if leader > applied {
            u64::from(leader.counter())
        } else {
            0
        }
    }

    /// How long the leader took to answer a question lately, the way there and back and what was in its queue for us
    /// included; `None` before the first answer.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Whether the mirror was ever level.
    pub fn was_level(&self) -> bool {
        self.level.is_some()
    }

    /// How long ago the mirror was last known to be level; zero while it is. A mirror that never was counts
    /// from its beginning. While attached it grows too when the leader says nothing, or leaves a question
    /// unanswered, for longer than it should.
    pub fn lag(&self, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.level.unwrap_or(self.began));
        let is_level = self.level.is_some() && self.is_level() && age <= self.silence_max;
        let unanswered = self
            .question
            .map(|(_, asked)| now.saturating_duration_since(asked));
        let overdue = unanswered.filter(|age| *age > self.silence_max);
        match is_level {
            true => overdue.unwrap_or_default(),
            false => age.max(overdue.unwrap_or_default()),
        }
    }

    fn is_level(&self) -> bool {
        self.follows && self.proven && self.behind() == 0
    }

    fn look(&mut self, now: Instant) {
        if self.is_level() {
            self.level = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(5);

    fn z(counter: i64) -> Zxid {
        Zxid((5 << 32) + counter)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A mirror that was level at `start + 10 s`, with transaction 10, and the start.
    fn attached() -> (Freshness, Instant) {
        let start = Instant::now();
        let mut freshness = Freshness::new(SILENCE, start);
        let now = start + seconds(10);
        freshness.leader_is_at(z(10), now);
        freshness.mirror_is_at(z(10), now);
        freshness.followed(now);
        (freshness, start)
    }

    #[test]
    fn p8_a_mirror_that_was_never_attached_grows_older_from_the_beginning() {
        let start = Instant::now();
        let freshness = Freshness::new(SILENCE, start);
        assert_eq!(freshness.lag(start + seconds(3)), seconds(3));
        assert!(!freshness.was_level());
    }

    #[test]
    fn p8_a_mirror_that_is_attached_and_idle_is_level() {
        let (mut freshness, start) = attached();
        for second in 10..60 {
            let now = start + seconds(second);
            freshness.leader_is_at(z(10), now);
            assert_eq!((freshness.lag(now), freshness.behind()), (seconds(0), 0));
        }
    }

    #[test]
    fn p8_a_mirror_that_is_attached_and_behind_counts_from_when_it_was_level() {
        let (mut freshness, start) = attached();
        freshness.leader_is_at(z(17), start + seconds(11));
        assert_eq!(freshness.behind(), 7);
        assert_eq!(freshness.lag(start + seconds(12)), seconds(2));
        freshness.mirror_is_at(z(16), start + seconds(13));
        assert_eq!(
            (freshness.behind(), freshness.lag(start + seconds(13))),
            (1, seconds(3))
        );
        freshness.mirror_is_at(z(17), start + seconds(14));
        assert_eq!(freshness.lag(start + seconds(14)), seconds(0));
    }

    #[test]
    fn p8_a_leader_that_is_silent_makes_the_mirror_older() {
        let (freshness, start) = attached();
        assert_eq!(freshness.lag(start + seconds(15)), seconds(0));
        assert_eq!(freshness.lag(start + seconds(16)), seconds(6));
    }

    #[test]
    fn p8_a_mirror_without_a_leader_does_not_become_level_by_what_is_left_to_apply() {
        let (mut freshness, start) = attached();
        freshness.leader_is_at(z(12), start + seconds(11));
        freshness.parted();
        freshness.mirror_is_at(z(12), start + seconds(20));
        assert_eq!(freshness.lag(start + seconds(21)), seconds(11));
    }

    #[test]
    fn p8_a_diff_does_not_make_the_mirror_level_before_its_end() {
        let (mut freshness, start) = attached();
        freshness.parted();
        // The next master's first word is how far we are ourselves.
        freshness.leader_is_at(z(10), start + seconds(30));
        assert_eq!(freshness.lag(start + seconds(30)), seconds(20));
        freshness.leader_is_at(z(900), start + seconds(31));
        assert_eq!(freshness.behind(), 890);
        for counter in 11..=900 {
            freshness.mirror_is_at(z(counter), start + seconds(32));
        }
        assert_eq!(
            (freshness.behind(), freshness.lag(start + seconds(32))),
            (0, seconds(22))
        );
        freshness.followed(start + seconds(33));
        assert_eq!(freshness.lag(start + seconds(33)), seconds(0));
    }

    #[test]
    fn p8_uptodate_does_not_make_a_mirror_level_that_has_much_to_apply() {
        let start = Instant::now();
        let mut freshness = Freshness::new(SILENCE, start);
        freshness.mirror_is_at(z(10), start + seconds(1));
        freshness.leader_is_at(z(5_000), start + seconds(1));
        freshness.followed(start + seconds(1));
        assert!(!freshness.was_level());
        assert_eq!(freshness.lag(start + seconds(1)), seconds(1));
        freshness.mirror_is_at(z(4_999), start + seconds(2));
        assert!(!freshness.was_level());
        freshness.mirror_is_at(z(5_000), start + seconds(2));
        assert!(freshness.was_level());
    }

    #[test]
    fn p8_after_a_synchronisation_the_mirror_is_level_when_the_leader_has_answered_and_not_before()
    {
        let start = Instant::now();
        let mut freshness = Freshness::new(SILENCE, start);
        let at = |second| start + seconds(second);
        freshness.mirror_is_at(z(10), at(1));
        freshness.leader_is_at(z(10), at(1));
        freshness.asked(at(1));
        freshness.followed(at(1));
        // What the leader has queued for us meanwhile: all that is known of is applied, again and again.
        for counter in 11..40 {
            freshness.leader_is_at(z(counter), at(2));
            freshness.mirror_is_at(z(counter), at(2));
            assert!(!freshness.was_level());
        }
        assert_eq!(freshness.lag(at(4)), seconds(4));
        freshness.answered(at(4));
        assert_eq!(
            (freshness.was_level(), freshness.lag(at(4))),
            (true, seconds(0))
        );
    }

    #[test]
    fn p8_a_question_that_stays_unanswered_makes_the_mirror_older_although_transactions_come() {
        let (mut freshness, start) = attached();
        let at = |second| start + seconds(second);
        freshness.asked(at(11));
        freshness.asked(at(12));
        for second in 11..17 {
            freshness.leader_is_at(z(20), at(second));
            freshness.mirror_is_at(z(20), at(second));
        }
        assert_eq!(freshness.lag(at(16)), seconds(0));
        freshness.mirror_is_at(z(20), at(17));
        assert_eq!(freshness.lag(at(17)), seconds(6));
        freshness.answered(at(17));
        assert_eq!(freshness.lag(at(17)), seconds(0));
        freshness.asked(at(17));
        freshness.answered(at(18));
        assert_eq!(freshness.round_trip(), Some(seconds(6)), "of the first");
        freshness.mirror_is_at(z(20), at(22));
        assert_eq!(freshness.lag(at(22)), seconds(0));
        freshness.leader_is_at(z(20), at(23));
        assert_eq!(
            freshness.lag(at(23)),
            seconds(6),
            "the third was never answered"
        );
    }

    #[test]
    fn p8_what_was_asked_of_a_leader_that_is_gone_does_not_matter_to_the_next() {
        let (mut freshness, start) = attached();
        let at = |second| start + seconds(second);
        freshness.asked(at(11));
        freshness.parted();
        freshness.answered(at(19));
        assert_eq!(freshness.lag(at(20)), seconds(10));
        freshness.asked(at(21));
        freshness.followed(at(21));
        assert_eq!(freshness.lag(at(21)), seconds(11));
        freshness.answered(at(21));
        assert_eq!(freshness.lag(at(21)), seconds(0));
    }

    #[test]
    fn p8_a_new_epoch_without_a_transaction_is_nothing_to_wait_for() {
        let (mut freshness, start) = attached();
        let now = start + seconds(11);
        freshness.leader_is_at(Zxid(6 << 32), now);
        assert_eq!((freshness.behind(), freshness.lag(now)), (0, seconds(0)));
        freshness.leader_is_at(Zxid((6 << 32) + 3), now + seconds(1));
        assert_eq!(freshness.behind(), 3);
        assert_eq!(freshness.lag(now + seconds(1)), seconds(1));
    }
}
