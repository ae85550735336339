//! Guessing passwords: after a few wrong ones in a row the next has to wait, and each further one longer.
//!
//! Rule: a try counts as wrong from its beginning until it proves right, or a hundred at once would all be the first.
//! Rule: who is signed in waits for their own wrong ones alone: strangers who guess at an account lock nobody out who is in.
//! Rule: who was right is forgiven: the account all of it, the address this one try, else whoever has an account could guess at
//! others for ever from the same place. Deliberately absent: memory beyond the process.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    id,
};

/// Wrong ones in a row before the first wait.
const FREE_TRIES: u32 = 5;
/// The first wait; each further wrong one doubles it.
const WAIT_FIRST: Duration = Duration::from_secs(10);
/// The longest wait: an owner who is being guessed at gets in again the same hour.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// How long after the last try it is as if there had been none.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);
/// Accounts and addresses that are remembered; past it the one that has been quiet for longest is forgotten.
const REMEMBERED_MAX: usize = 16_384;

/// What guesses are counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Target {
    /// By its e-mail address, whether anybody has it or not.
    Account(String),
    /// Where they come from.
    Network(IpAddr),
    /// By its id. Whoever is signed in does not wait for strangers who guess at the account, or from the same address.
    SignIn(String),
}

#[derive(Debug, Clone, Copy)]
struct Tries {
    wrong: u32,
    last: Instant,
}

impl Tries {
    /// How long after the last one the next may come.
    fn wait(self) -> Duration {
        match self.wrong.checked_sub(FREE_TRIES) {
            None => Duration::ZERO,
            Some(doubled) => WAIT_FIRST.saturating_mul(1 << doubled.min(16)).min(WAIT_MAX),
        }
    }

    fn is_forgotten(self, now: Instant) -> bool {
        now.duration_since(self.last) >= FORGOTTEN_AFTER
    }
}

/// The wrong tries so far.
#[derive(Debug, Default)]
pub struct Throttle {
    tries: Mutex<HashMap<Target, Tries>>,
}

/// A try that has begun. Dropped, it was wrong.
#[must_use]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    /// What is forgiven whole: the account, or the sign-in.
    own: Option<Target>,
    network: Option<Target>,
}

impl Throttle {
    /// Begins a try from `network` at the account of that e-mail address, or at none; says how long to wait if it comes too early.
    pub fn begin(&self, network: IpAddr, email: Option<&str>, now: Instant) -> Result<Attempt<'_>> {
        let own = email.map(|email| Target::Account(id::plain_email(email).to_lowercase()));
        self.begin_at(own, Some(Target::Network(network)), now)
    }

    /// Begins a try by somebody who is signed in already.
    pub fn begin_signed_in(&self, sign_in_id: &str, now: Instant) -> Result<Attempt<'_>> {
        self.begin_at(Some(Target::SignIn(sign_in_id.to_owned())), None, now)
    }

    fn begin_at(&self, own: Option<Target>, network: Option<Target>, now: Instant) -> Result<Attempt<'_>> {
        let mut tries = self.lock();
        let targets = || own.iter().chain(&network);
        let wait = targets().filter_map(|target| remaining(&tries, target, now)).max();
        if let Some(retry_after) = wait {
            return Err(Error::TooManyRequests { retry_after });
        }
        targets().for_each(|target| count(&mut tries, target.clone(), now));
        drop(tries);
        Ok(Attempt { throttle: self, own, network })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Tries>> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// It was right.
    pub fn succeeded(self) {
        let mut tries = self.throttle.lock();
        self.own.as_ref().map(|own| tries.remove(own));
        if let Some(known) = self.network.as_ref().and_then(|network| tries.get_mut(network)) {
            known.wrong = known.wrong.saturating_sub(1);
        }
    }
}

/// What is left of a target's wait, if anything.
fn remaining(tries: &HashMap<Target, Tries>, target: &Target, now: Instant) -> Option<Duration> {
    let known = tries.get(target).filter(|known| !known.is_forgotten(now))?;
    let rest = known.wait().saturating_sub(now.duration_since(known.last));
    (!rest.is_zero()).then_some(rest)
}

fn count(tries: &mut HashMap<Target, Tries>, target: Target, now: Instant) {
    if tries.len() >= REMEMBERED_MAX && !tries.contains_key(&target) {
        tries.retain(|_, known| !known.is_forgotten(now));
        if tries.len() >= REMEMBERED_MAX {
            let quietest = tries.iter().min_by_key(|(_, known)| known.last).map(|(target, _)| target.clone());
            quietest.map(|target| tries.remove(&target));
        }
    }
    let known = tries.entry(target).or_insert(Tries { wrong: 0, last: now });
    let wrong = if known.is_forgotten(now) { 0 } else { known.wrong };
    *known = Tries { wrong: wrong.saturating_add(1), last: now };
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn from(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n).into()
    }

    /// How long the next try has to wait; one that need not is made, and is wrong.
    fn wrong(throttle: &Throttle, network: u32, email: &str, now: Instant) -> Duration {
        match throttle.begin(from(network), Some(email), now) {
            Ok(_wrong) => Duration::ZERO,
            Err(Error::TooManyRequests { retry_after }) => retry_after,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn after_five_in_a_row_each_wrong_one_waits_longer_than_the_one_before() {
        let (throttle, mut now) = (Throttle::default(), Instant::now());
        (0..5).for_each(|_| assert_eq!(wrong(&throttle, 1, "a@b.c", now), Duration::ZERO));
        let longest = WAIT_MAX.as_secs();
        for seconds in [10, 20, 40, 80, 160, 320, 640, longest, longest] {
            assert_eq!(wrong(&throttle, 1, "a@b.c", now), Duration::from_secs(seconds));
            now += Duration::from_secs(seconds);
            assert_eq!(wrong(&throttle, 1, "a@b.c", now), Duration::ZERO);
        }
        now += FORGOTTEN_AFTER - Duration::from_secs(1);
        assert_eq!(wrong(&throttle, 1, "a@b.c", now), Duration::ZERO);
        assert_eq!(wrong(&throttle, 1, "a@b.c", now), WAIT_MAX, "it is not forgotten yet");
        now += FORGOTTEN_AFTER;
        (0..5).for_each(|_| assert_eq!(wrong(&throttle, 1, "a@b.c", now), Duration::ZERO));
        assert_eq!(wrong(&throttle, 1, "a@b.c", now), WAIT_FIRST, "it begins anew");
    }

    #[test]
    fn an_account_waits_for_every_address_and_an_address_for_every_account() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        (0..5).for_each(|n| assert_eq!(wrong(&throttle, n, "a@b.c", now), Duration::ZERO));
        assert_eq!(wrong(&throttle, 9, "A@B.C", now), WAIT_FIRST);
        (0..5).for_each(|n| assert_eq!(wrong(&throttle, 7, &n.to_string(), now), Duration::ZERO));
        assert_eq!(wrong(&throttle, 7, "new@b.c", now), WAIT_FIRST);
        assert_eq!(wrong(&throttle, 8, "new@b.c", now), Duration::ZERO);
    }

    #[test]
    fn who_is_signed_in_waits_for_their_own_alone() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        (0..9).for_each(|_| _ = wrong(&throttle, 1, "mine", now));
        let own = |id: &str| throttle.begin_signed_in(id, now);
        for _ in 0..FREE_TRIES - 1 {
            drop(own("a").unwrap());
        }
        own("a").unwrap().succeeded();
        for _ in 0..FREE_TRIES {
            drop(own("a").unwrap());
        }
        assert!(matches!(own("a"), Err(Error::TooManyRequests { retry_after: WAIT_FIRST })));
        own("b").unwrap().succeeded();
        assert_eq!(wrong(&throttle, 2, "other", now), Duration::ZERO);
    }

    #[test]
    fn a_right_one_clears_the_account_and_its_own_try_of_the_address() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        (0..4).for_each(|_| assert_eq!(wrong(&throttle, 1, "mine", now), Duration::ZERO));
        throttle.begin(from(1), Some("mine"), now).unwrap().succeeded();
        assert_eq!(wrong(&throttle, 1, "other", now), Duration::ZERO);
        assert_eq!(wrong(&throttle, 1, "mine", now), WAIT_FIRST, "the address had five wrong ones");
        assert_eq!(wrong(&throttle, 2, "mine", now), Duration::ZERO, "the account had none");
    }

    #[test]
    fn tries_at_once_are_counted_before_they_are_known_to_be_wrong() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let running: Vec<_> = (0..5).map(|_| throttle.begin(from(1), Some("a"), now).unwrap()).collect();
        assert_eq!(wrong(&throttle, 1, "a", now), WAIT_FIRST);
        drop(running);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let (throttle, mut now) = (Throttle::default(), Instant::now());
        for n in 0..REMEMBERED_MAX - 1 {
            count(&mut throttle.lock(), Target::Account(n.to_string()), now);
        }
        for remembered in [REMEMBERED_MAX - 1, REMEMBERED_MAX, REMEMBERED_MAX] {
            assert_eq!(throttle.lock().len(), remembered);
            now += Duration::from_secs(1);
            count(&mut throttle.lock(), Target::Account(format!("new {now:?}")), now);
        }
        // Of those that there is no room for, the newest stay.
        now += Duration::from_secs(1);
        (0..4).for_each(|_| count(&mut throttle.lock(), Target::Account("guessed".into()), now));
        assert_eq!(throttle.lock().len(), REMEMBERED_MAX);
        assert_eq!(wrong(&throttle, 1, "guessed", now), Duration::ZERO);
        assert_eq!(wrong(&throttle, 1, "guessed", now), WAIT_FIRST);
    }
}
