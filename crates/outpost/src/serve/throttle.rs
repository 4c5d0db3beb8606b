//! How many sessions may be asked for in a time: a bucket of tokens, and, where it runs dry again and again,
//! refusals by chance before it is empty (`BlueThrottle`).
//!
//! A plain value: the time and the chance come as arguments. What becomes of a refused client is decided
//! elsewhere.

use std::time::{Duration, Instant};

use crate::config::ConnectThrottle;

/// What a connect request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// A new session that the whole ensemble will know.
    Global,
    /// A new session that only this server will know.
    Local,
    /// To go on with a session.
    Renew,
}

/// The bucket that connect requests draw from.
#[derive(Debug)]
pub struct TokenBucket {
    rules: ConnectThrottle,
    capacity: u64,
    /// Tokens that come back in one `fill_time`.
    fill_count: u64,
    tokens: u64,
    /// Up to when the tokens that came back are in the bucket.
    filled: Instant,
    /// How likely a request is refused by chance, from 0 to 1.
    drop_chance: f64,
    /// When that was last looked at.
    adapted: Instant,
}

impl TokenBucket {
    /// A full bucket. With weights it holds, and gets back, as many tokens as that number of global sessions
    /// needs: the configuration counts in those.
    pub fn new(rules: ConnectThrottle, now: Instant) -> TokenBucket {
        let unit = rules.weights.map_or(1, |weights| u64::from(weights.global));
        let capacity = u64::from(rules.tokens) * unit;
        TokenBucket {
            capacity,
            fill_count: u64::from(rules.fill_count) * unit,
            tokens: capacity,
            filled: now,
            drop_chance: 0.0,
            adapted: now,
            rules,
        }
    }

    /// Takes what `wish` costs out of the bucket; false if the request is to be refused. `chance` is a random
    /// number from 0 to below 1.
    pub fn draw(&mut self, wish: Wish, now: Instant, chance: f64) -> bool {
        self.fill(now);
        if let Some(freeze_time) = self.rules.freeze_time {
            self.adapt(freeze_time, now);
            if chance < self.drop_chance {
                return false;
            }
        }
        let cost = self.cost(wish);
        if self.tokens < cost {
            return false;
        }
        self.tokens -= cost;
        true
    }

    /// How likely a request is refused by chance, from 0 to 1.
    pub fn drop_chance(&self) -> f64 {
        self.drop_chance
    }

    /// How many tokens are missing.
    pub fn deficit(&self) -> u64 {
        self.capacity - self.tokens
    }

    fn cost(&self, wish: Wish) -> u64 {
        let weight = self.rules.weights.map_or(1, |weights| match wish {
            Wish::Global => weights.global,
            Wish::Local => weights.local,
            Wish::Renew => weights.renew,
        });
        u64::from(weight)
    }

    /// Puts back what has come back since the last time. As in ZooKeeper nothing does before a whole `fill_time`
    /// has passed; what a part of a token took is not lost, though.
    fn fill(&mut self, now: Instant) {
        let fill_time = self.rules.fill_time.as_nanos().max(1);
        let elapsed = now.saturating_duration_since(self.filled).as_nanos();
        if elapsed < fill_time {
            return;
        }
        let count = u128::from(self.fill_count);
        let due = elapsed * count / fill_time;
        let tokens = u128::from(self.tokens) + due;
        if count == 0 || tokens >= u128::from(self.capacity) {
            // A full bucket saves nothing up.
            self.filled = now;
        } else {
            let spent = (due * fill_time).div_ceil(count);
            self.filled += Duration::from_nanos(u64::try_from(spent).unwrap_or(u64::MAX));
        }
        self.tokens = u64::try_from(tokens).map_or(self.capacity, |n| n.min(self.capacity));
    }

    /// Looks, once in a `freeze_time`, whether more or fewer must be refused by chance.
    fn adapt(&mut self, freeze_time: Duration, now: Instant) {
        if now.saturating_duration_since(self.adapted) <= freeze_time {
            return;
        }
        self.adapted = now;
        let gone = self.capacity - self.tokens;
        let few = (self.capacity as f64 * self.rules.decrease_ratio).round();
        if self.tokens == 0 {
            self.drop_chance = (self.drop_chance + self.rules.drop_increase).min(1.0);
        } else if gone as f64 <= few {
            self.drop_chance = (self.drop_chance - self.rules.drop_decrease).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConnectWeights;

    /// Never refused by chance.
    const LUCKY: f64 = 0.999;

    fn rules() -> ConnectThrottle {
        ConnectThrottle {
            tokens: 3,
            fill_time: Duration::from_millis(100),
            fill_count: 1,
            freeze_time: None,
            drop_increase: 0.25,
            drop_decrease: 0.125,
            decrease_ratio: 0.5,
            weights: None,
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// How many sessions in a row are granted.
    fn granted(bucket: &mut TokenBucket, wish: Wish, now: Instant) -> usize {
        (0..100)
            .take_while(|_| bucket.draw(wish, now, LUCKY))
            .count()
    }

    #[test]
    fn p6_no_more_sessions_are_granted_at_once_than_there_are_tokens() {
        let now = Instant::now();
        for wish in [Wish::Global, Wish::Local, Wish::Renew] {
            let mut bucket = TokenBucket::new(rules(), now);
            assert_eq!(granted(&mut bucket, wish, now), 3);
        }
    }

    #[test]
    fn tokens_come_back_with_time_and_never_more_than_the_bucket_holds() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(rules(), start);
        assert_eq!(granted(&mut bucket, Wish::Global, start), 3);
        assert_eq!(granted(&mut bucket, Wish::Global, start + ms(99)), 0);
        assert_eq!(granted(&mut bucket, Wish::Global, start + ms(100)), 1);
        assert_eq!(granted(&mut bucket, Wish::Global, start + ms(350)), 2);
        // The 50 ms left over count towards the next.
        assert_eq!(granted(&mut bucket, Wish::Global, start + ms(399)), 0);
        assert_eq!(granted(&mut bucket, Wish::Global, start + ms(400)), 1);
        assert_eq!(granted(&mut bucket, Wish::Global, start + ms(1_000_000)), 3);
    }

    #[test]
    fn a_clock_that_seems_to_go_back_gives_nothing_and_breaks_nothing() {
        let start = Instant::now() + ms(1000);
        let mut bucket = TokenBucket::new(rules(), start);
        assert_eq!(granted(&mut bucket, Wish::Global, start), 3);
        assert_eq!(granted(&mut bucket, Wish::Global, start - ms(1000)), 0);
    }

    #[test]
    fn a_bucket_that_is_never_filled_stays_empty() {
        let start = Instant::now();
        let fill_count = 0;
        let mut bucket = TokenBucket::new(
            ConnectThrottle {
                fill_count,
                ..rules()
            },
            start,
        );
        assert_eq!(granted(&mut bucket, Wish::Global, start), 3);
        assert_eq!(granted(&mut bucket, Wish::Global, start + ms(1_000_000)), 0);
    }

    #[test]
    fn with_weights_sessions_cost_what_they_weigh_and_tokens_count_global_ones() {
        let weights = Some(ConnectWeights {
            global: 3,
            renew: 2,
            local: 1,
        });
        let now = Instant::now();
        for (wish, count) in [(Wish::Global, 3), (Wish::Renew, 4), (Wish::Local, 9)] {
            let mut bucket = TokenBucket::new(ConnectThrottle { weights, ..rules() }, now);
            assert_eq!(granted(&mut bucket, wish, now), count, "{wish:?}");
            let later = now + ms(200);
            granted(&mut bucket, Wish::Local, now);
            assert_eq!(granted(&mut bucket, Wish::Global, later), 2, "{wish:?}");
        }
    }

    #[test]
    fn an_empty_bucket_raises_the_chance_to_be_refused_once_in_a_freeze_time() {
        let start = Instant::now();
        // Nothing comes back, so that only the chance is looked at.
        let mut bucket = TokenBucket::new(
            ConnectThrottle {
                fill_count: 0,
                freeze_time: Some(ms(10)),
                ..rules()
            },
            start,
        );
        assert_eq!(granted(&mut bucket, Wish::Global, start), 3);
        let mut chances = Vec::new();
        for at in [5, 10, 11, 12, 22, 33, 44, 55] {
            bucket.draw(Wish::Global, start + ms(at), LUCKY);
            chances.push(bucket.drop_chance());
        }
        assert_eq!(chances, [0.0, 0.0, 0.25, 0.25, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn a_bucket_that_is_full_enough_lowers_it_again_and_a_middling_one_leaves_it() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(
            ConnectThrottle {
                tokens: 4,
                freeze_time: Some(ms(10)),
                ..rules()
            },
            start,
        );
        assert_eq!(granted(&mut bucket, Wish::Global, start), 4);
        assert!(!bucket.draw(Wish::Global, start + ms(11), LUCKY));
        assert_eq!(bucket.drop_chance(), 0.25);
        // The unlucky are refused although there is a token, and take none.
        assert!(!bucket.draw(Wish::Global, start + ms(100), 0.2));
        assert!(bucket.draw(Wish::Global, start + ms(101), 0.25));
        // Three of four are gone.
        assert!(!bucket.draw(Wish::Global, start + ms(205), 0.2));
        assert_eq!(bucket.drop_chance(), 0.25);
        // Two of four: full enough.
        assert!(!bucket.draw(Wish::Global, start + ms(305), 0.1));
        assert_eq!(bucket.drop_chance(), 0.125);
        assert!(bucket.draw(Wish::Global, start + ms(405), 0.0));
        assert_eq!(bucket.drop_chance(), 0.0);
    }
}
