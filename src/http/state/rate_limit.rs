//! How often: so many a minute for each key, which may be an address or a person.
//!
//! Rule: what is counted is named by the caller.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use poem::http::{HeaderName, HeaderValue};

use crate::error::{Error, Result};

/// Keys that are remembered. Past it those at rest are forgotten, and if too few are, all: each then has its whole minute's worth
/// again, which costs less than a memory without a bound, or a look at all of them for each request.
const KEYS_MAX: usize = 16_384;

/// What is left of a key's minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub limit: u32,
    pub remaining: u32,
    /// When nothing of it will be used any more.
    pub whole_in: Duration,
}

impl Allowance {
    /// As an answer says it.
    pub fn headers(self) -> [(HeaderName, HeaderValue); 3] {
        let whole_in = self.whole_in.as_millis().div_ceil(1000) as u64;
        let reset = match (whole_in / 60, whole_in % 60) {
            (0, seconds) => format!("{seconds}s"),
            (minutes, seconds) => format!("{minutes}m{seconds}s"),
        };
        [
            (HeaderName::from_static("x-ratelimit-limit-requests"), self.limit.into()),
            (HeaderName::from_static("x-ratelimit-remaining-requests"), self.remaining.into()),
            (
                HeaderName::from_static("x-ratelimit-reset-requests"),
                HeaderValue::try_from(reset).expect("digits and letters are visible"),
            ),
        ]
    }
}

/// What a request was found to have left, for those around the layer that counts it.
#[derive(Clone, Default)]
pub struct Left(Arc<OnceLock<Allowance>>);

impl Left {
    /// Says it.
    pub fn tell(&self, allowance: Allowance) {
        self.0.get_or_init(|| allowance);
    }

    /// What was said; nothing of a request that was not counted.
    pub fn told(&self) -> Option<Allowance> {
        self.0.get().copied()
    }
}

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// A limit of so many a minute, the whole minute's worth at once if need be.
pub struct RateLimit<K: Clone + Hash + Eq> {
    limiter: RwLock<Limiter<K>>,
    quota: Quota,
    clock: DefaultClock,
}

impl<K: Clone + Hash + Eq> RateLimit<K> {
    /// `per_minute` for each key.
    pub fn per_minute(per_minute: NonZeroU32) -> Self {
        let quota = Quota::per_minute(per_minute);
        RateLimit { limiter: RwLock::new(limiter(quota)), quota, clock: DefaultClock::default() }
    }

    /// Counts one for `key`, or says how long to wait.
    pub fn count(&self, key: &K) -> Result<()> {
        self.take(key).1
    }

    /// The same, with what is left of the key's minute.
    pub fn take(&self, key: &K) -> (Allowance, Result<()>) {
        let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
        let is_full = limiter.len() >= KEYS_MAX;
        let counted = limiter.check_key(key);
        drop(limiter);
        if is_full {
            self.forget();
        }
        let (remaining, wait) = match counted {
            Ok(snapshot) => (snapshot.remaining_burst_capacity(), None),
            Err(not_yet) => (0, Some(not_yet.wait_time_from(self.clock.now()))),
        };
        let limit = self.quota.burst_size().get();
        // One is there again after the wait; each of the others takes as long as one does.
        let missing = (limit - remaining).saturating_sub(u32::from(wait.is_some()));
        let whole_in = self.quota.replenish_interval().saturating_mul(missing) + wait.unwrap_or_default();
        let counted = wait.map_or(Ok(()), |retry_after| Err(Error::TooManyRequests { retry_after }));
        (Allowance { limit, remaining, whole_in }, counted)
    }

    fn forget(&self) {
        let mut limiter = self.limiter.write().unwrap_or_else(PoisonError::into_inner);
        if limiter.len() < KEYS_MAX {
            return;
        }
        limiter.retain_recent();
        if limiter.len() > KEYS_MAX / 2 {
            *limiter = self::limiter(self.quota);
        }
    }
}

fn limiter<K: Clone + Hash + Eq>(quota: Quota) -> Limiter<K> {
    RateLimiter::keyed(quota).with_middleware()
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
    fn what_is_left_falls_by_one_and_says_when_it_is_whole_again() {
        let limit = RateLimit::per_minute(NonZeroU32::new(3).unwrap());
        for remaining in [2, 1, 0] {
            let (left, counted) = limit.take(&"a");
            assert_eq!(
                (left.limit, left.remaining, left.whole_in.as_secs()),
                (3, remaining, 20 * u64::from(3 - remaining))
            );
            counted.unwrap();
        }
        let (left, counted) = limit.take(&"a");
        let Err(Error::TooManyRequests { retry_after }) = counted else { panic!("not refused") };
        assert_eq!((left.remaining, left.whole_in), (0, retry_after + Duration::from_secs(40)));
    }

    #[test]
    fn keys_at_rest_are_forgotten_when_there_are_too_many() {
        for (known, kept) in [(KEYS_MAX - 1, true), (KEYS_MAX, false), (KEYS_MAX + 1, false)] {
            // So many a minute that every key is at rest again at once.
            let limit = RateLimit::per_minute(NonZeroU32::MAX);
            assert!((0..known).all(|key| limit.limiter.read().unwrap().check_key(&key).is_ok()));
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

    #[test]
    fn a_wait_is_told_in_minutes_and_seconds() {
        let reset = |ms| {
            let left = Allowance { limit: 600, remaining: 599, whole_in: Duration::from_millis(ms) };
            let [limit, remaining, (_, reset)] = left.headers();
            assert_eq!((limit.1, remaining.1), ("600".parse().unwrap(), "599".parse().unwrap()));
            reset.to_str().unwrap().to_owned()
        };
        assert_eq!([reset(100), reset(1_000), reset(59_001), reset(123_000)], ["1s", "1s", "1m0s", "2m3s"]);
    }
}
