//! How often: so many a minute for each key, which may be an address or a person.
//!
//! Rule: what is counted is named by whoever counts. Deliberately absent: forwarded addresses. A header that anyone can
//! write decides nothing here.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use poem::{Addr, Request};

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

/// Where a request comes from: see [`network_of`].
pub fn client_network(request: &Request) -> IpAddr {
    let Addr::SocketAddr(address) = &request.remote_addr().0 else { return IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    network_of(address.ip())
}

/// What an address is counted as: itself, or a whole network for IPv6, where one host has 2^64 of them.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// What a connection is counted as: nothing on loopback, where everybody who comes through a proxy on this machine is.
pub fn share_of(peer: SocketAddr) -> Option<IpAddr> {
    (!peer.ip().to_canonical().is_loopback()).then(|| network_of(peer.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_as_itself_or_as_its_network() {
        let of = |address: &str| share_of(SocketAddr::new(address.parse().unwrap(), 1)).map(|ip| ip.to_string());
        for (address, counted) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("2001:db8::1:2", Some("2001:db8::")),
            ("127.0.0.9", None),
            ("::ffff:127.0.0.1", None),
            ("::1", None),
        ] {
            assert_eq!(of(address).as_deref(), counted, "{address}");
        }
    }

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
