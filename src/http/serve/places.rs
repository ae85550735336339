//! Who has a place on the server, and who makes room when places run short.
//!
//! Rule: no address takes more than a quarter of the places, but for those through which many people come.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{life::Life, limits::Limits};

/// What an address is counted as; `None` where it may take every place.
pub type Sharing = Arc<dyn Fn(SocketAddr) -> Option<IpAddr> + Send + Sync>;

/// The places of one server.
pub(super) struct Places {
    free: Arc<Semaphore>,
    limits: Limits,
    sharing: Sharing,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    lives: HashMap<u64, Arc<Life>>,
    shares: HashMap<IpAddr, Share>,
}

#[derive(Default)]
struct Share {
    places: usize,
    /// Whether it was said that it takes no more.
    said: bool,
}

/// A connection's place. It is free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    counted: Option<IpAddr>,
    pub(super) life: Arc<Life>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(limits: Limits, sharing: Sharing) -> Self {
        let free = Arc::new(Semaphore::new(limits.connections_max));
        Places { free, limits, sharing, taken: Mutex::default() }
    }

    /// Waits for a free place.
    pub(super) async fn free(&self) -> OwnedSemaphorePermit {
        if self.free.available_permits() == 0 {
            tracing::warn!("every connection is taken: the next ones wait");
        }
        self.free.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Gives the place to a client from there, unless that address has its share.
    pub(super) fn give(self: &Arc<Self>, permit: OwnedSemaphorePermit, peer: SocketAddr) -> Option<Place> {
        let counted = (self.sharing)(peer);
        let mut taken = self.taken();
        if let Some(address) = counted {
            let share = taken.shares.entry(address).or_default();
            if share.places >= self.limits.share() {
                if !std::mem::replace(&mut share.said, true) {
                    tracing::warn!(%address, "this address has a quarter of all connections: more are closed");
                }
                return None;
            }
            share.places += 1;
        }
        let (number, life) = (taken.next, Arc::new(Life::new()));
        taken.next += 1;
        taken.lives.insert(number, life.clone());
        drop(taken);
        Some(Place { places: self.clone(), number, counted, life, _permit: permit })
    }

    /// Tells idle connections to end while too few places are free, the longest idle first.
    pub(super) fn relieve(&self, now: Instant) {
        let taken = self.taken();
        let leaving = taken.lives.values().filter(|life| life.is_told()).count();
        let staying = taken.lives.len() - leaving;
        let Some(surplus) = (staying + 1).checked_sub(self.limits.pressed_from()).filter(|surplus| *surplus > 0) else {
            return;
        };
        let long = |since: &Instant| now.duration_since(*since) >= self.limits.idle_pressed_max;
        let mut idle: Vec<_> =
            taken.lives.values().filter_map(|life| Some((life.idle_since().filter(long)?, life))).collect();
        idle.sort_by_key(|(since, _)| *since);
        idle.into_iter().take(surplus).for_each(|(_, life)| life.tell());
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.lives.remove(&self.number);
        let Some(address) = self.counted else { return };
        if let Some(share) = taken.shares.get_mut(&address) {
            share.places -= 1;
            if share.places == 0 {
                taken.shares.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::limits, *};

    fn places(connections_max: usize) -> Arc<Places> {
        let limits = Limits { connections_max, ..Limits::default() };
        let everybody: Sharing = Arc::new(|peer| (!peer.ip().is_loopback()).then(|| peer.ip()));
        Arc::new(Places::new(limits, everybody))
    }

    async fn from(places: &Arc<Places>, address: &str) -> Option<Place> {
        places.give(places.free().await, SocketAddr::new(address.parse().unwrap(), 1))
    }

    #[tokio::test]
    async fn an_address_gets_a_quarter_of_the_places_and_loopback_all() {
        let places = places(8);
        let mut held = vec![from(&places, "10.0.0.1").await.unwrap(), from(&places, "10.0.0.1").await.unwrap()];
        assert!(from(&places, "10.0.0.1").await.is_none());
        held.push(from(&places, "10.0.0.2").await.unwrap());
        held.remove(0);
        held.push(from(&places, "10.0.0.1").await.expect("a place that was given back"));
        for _ in held.len()..8 {
            held.push(from(&places, "127.0.0.1").await.unwrap());
        }
        assert_eq!(places.free.available_permits(), 0);
        drop(held);
        assert_eq!((places.free.available_permits(), places.taken().shares.len()), (8, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_make_room_once_three_quarters_are_taken() {
        let places = places(8);
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(from(&places, "127.0.0.1").await.unwrap());
        }
        let told = |held: &[Place]| held.iter().map(|place| place.life.is_told()).collect::<Vec<_>>();
        // The first is at work; the others become idle one second after another.
        held.iter().for_each(|place| place.life.begin(false));
        for place in held[1..].iter().rev() {
            tokio::time::advance(Duration::from_secs(1)).await;
            place.life.end(true);
        }
        tokio::time::advance(Duration::from_secs(4)).await;
        places.relieve(Instant::now());
        // Idle for ten seconds: only the last.
        assert_eq!(told(&held), [false, false, false, false, false, false, false, true]);
        tokio::time::advance(Duration::from_secs(60)).await;
        places.relieve(Instant::now());
        assert_eq!(
            told(&held),
            [false, false, false, false, false, true, true, true],
            "five stay: under three quarters"
        );
        places.relieve(Instant::now());
        assert_eq!(told(&held).iter().filter(|told| **told).count(), 3, "who leaves is not counted again");
    }

    #[tokio::test(start_paused = true)]
    async fn where_places_run_short_a_connection_may_be_idle_for_so_long() {
        let places = places(1);
        let held = from(&places, "127.0.0.1").await.unwrap();
        held.life.begin(false);
        held.life.end(true);
        let (since, ms) = (held.life.idle_since().unwrap(), Duration::from_millis(1));
        for (idle, is_told) in [
            (limits::IDLE_PRESSED_MAX - ms, false),
            (limits::IDLE_PRESSED_MAX, true),
            (limits::IDLE_PRESSED_MAX + ms, true),
        ] {
            places.relieve(since + idle);
            assert_eq!(held.life.is_told(), is_told, "{idle:?}");
        }
    }
}
