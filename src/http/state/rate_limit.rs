//! How often: so many a minute for each key, which may be an address or a person.
//!
//! Rule: what is counted is named by whoever counts.

use std::{hash::Hash, num::NonZeroU32};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::error::{Error, Result};

/// Keys that are remembered before those at rest are forgotten.
const KEYS_MAX: usize = 16_384;

/// A limit of so many a minute, the whole minute's worth at once if need be.
pub struct RateLimit<K: Clone + Hash + Eq> {
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
}

impl<K: Clone + Hash + Eq> RateLimit<K> {
    /// `per_minute` for each key.
    pub fn per_minute(per_minute: NonZeroU32) -> Self {
        RateLimit { limiter: RateLimiter::keyed(Quota::per_minute(per_minute)), clock: DefaultClock::default() }
    }

    /// Counts one for `key`, or says how long to wait.
    pub fn count(&self, key: &K) -> Result<()> {
        if self.limiter.len() >= KEYS_MAX {
            self.limiter.retain_recent();
        }
        self.limiter
            .check_key(key)
            .map_err(|not_yet| Error::TooManyRequests { retry_after: not_yet.wait_time_from(self.clock.now()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_past_its_limit_waits_and_another_does_not() {
        let limit = RateLimit::per_minute(NonZeroU32::new(2).unwrap());
        assert!(limit.count(&"a").is_ok() && limit.count(&"a").is_ok());
        assert!(matches!(limit.count(&"a"), Err(Error::TooManyRequests { retry_after }) if !retry_after.is_zero()));
        limit.count(&"b").unwrap();
    }

    #[test]
    fn keys_at_rest_are_forgotten_when_there_are_too_many() {
        for (known, kept) in [(KEYS_MAX - 1, true), (KEYS_MAX, false), (KEYS_MAX + 1, false)] {
            // So many a minute that every key is at rest again at once.
            let limit = RateLimit::per_minute(NonZeroU32::MAX);
            (0..known).for_each(|key| limit.limiter.check_key(&key).unwrap());
            limit.count(&usize::MAX).unwrap();
            assert_eq!(limit.limiter.len() > known, kept, "{known}");
        }
    }
}
