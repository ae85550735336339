//! How often: so many a minute for each key, which may be an address or a person.
//!
//! Rule: what is counted is named by the caller.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{PoisonError, RwLock},
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::error::{Error, Result};

/// Keys that are remembered. Past it those at rest are forgotten, and if too few are, all: each then has its whole minute's worth
/// again, which costs less than a memory without a bound, or a look at all of them for each request.
const KEYS_MAX: usize = 16_384;

/// A limit of so many a minute, the whole minute's worth at once if need be.
pub struct RateLimit<K: Clone + Hash + Eq> {
    limiter: RwLock<DefaultKeyedRateLimiter<K>>,
    quota: Quota,
    clock: DefaultClock,
}

impl<K: Clone + Hash + Eq> RateLimit<K> {
    /// `per_minute` for each key.
    pub fn per_minute(per_minute: NonZeroU32) -> Self {
        let quota = Quota::per_minute(per_minute);
        RateLimit { limiter: RwLock::new(RateLimiter::keyed(quota)), quota, clock: DefaultClock::default() }
    }

    /// Counts one for `key`, or says how long to wait.
    pub fn count(&self, key: &K) -> Result<()> {
        let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
        let is_full = limiter.len() >= KEYS_MAX;
        let counted = limiter.check_key(key);
        drop(limiter);
        if is_full {
            self.forget();
        }
        counted.map_err(|not_yet| Error::TooManyRequests { retry_after: not_yet.wait_time_from(self.clock.now()) })
    }

    fn forget(&self) {
        let mut limiter = self.limiter.write().unwrap_or_else(PoisonError::into_inner);
        if limiter.len() < KEYS_MAX {
            return;
        }
        limiter.retain_recent();
        if limiter.len() > KEYS_MAX / 2 {
            *limiter = RateLimiter::keyed(self.quota);
        }
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
            (0..known).for_each(|key| limit.limiter.read().unwrap().check_key(&key).unwrap());
            limit.count(&usize::MAX).unwrap();
            assert_eq!(limit.limiter.read().unwrap().len() > known, kept, "{known}");
        }
    }

    #[test]
    fn so_many_keys_that_are_all_busy_are_forgotten_rather_than_kept_or_looked_through_each_time() {
        let limit = RateLimit::per_minute(NonZeroU32::MIN);
        let mut most = 0;
        for key in 0..KEYS_MAX * 3 {
            limit.count(&key).unwrap();
            most = most.max(limit.limiter.read().unwrap().len());
        }
        assert_eq!(most, KEYS_MAX);
        assert!(limit.count(&(KEYS_MAX * 3 - 1)).is_err(), "the last ones are remembered");
    }
}
