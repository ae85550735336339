//! How many listen to what happens in an organization.
//!
//! Rule: one person's tabs and programs leave room for the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    error::{Error, Result},
    store::Tenant,
};

/// Streams of events that one person has in an organization.
const STREAMS_OF_PERSON_MAX: usize = 16;
/// Streams of events that an organization has.
const STREAMS_OF_ORG_MAX: usize = 256;
/// How long one waits who finds no room.
const RETRY: Duration = Duration::from_secs(5);

/// Those who listen now, by organization and person.
#[derive(Debug, Default)]
pub struct Audience {
    orgs: Mutex<HashMap<String, HashMap<String, usize>>>,
}

/// One stream's place.
#[derive(Debug)]
pub struct Seat {
    all: Arc<Audience>,
    tenant: Tenant,
}

impl Audience {
    /// A place, until it is dropped.
    pub fn join(self: &Arc<Self>, tenant: &Tenant) -> Result<Seat> {
        let mut orgs = self.lock();
        let org = orgs.get(&tenant.org_id);
        let theirs = org.and_then(|people| people.get(&tenant.user_id)).copied().unwrap_or(0);
        let all = org.map_or(0, |people| people.values().sum());
        let message = match (theirs, all) {
            (STREAMS_OF_PERSON_MAX.., _) => "too many streams of events of yours are open: close one",
            (_, STREAMS_OF_ORG_MAX..) => "too many streams of events are open in your organization: close one",
            _ => {
                let people = orgs.entry(tenant.org_id.clone()).or_default();
                *people.entry(tenant.user_id.clone()).or_default() += 1;
                return Ok(Seat { all: self.clone(), tenant: tenant.clone() });
            }
        };
        Err(Error::Unavailable { message: message.into(), retry_after: RETRY })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<String, usize>>> {
        self.orgs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Tenant { org_id, user_id } = &self.tenant;
        let mut orgs = self.all.lock();
        let Some(people) = orgs.get_mut(org_id) else { return };
        if let Some(count) = people.get_mut(user_id) {
            *count -= 1;
            people.retain(|_, count| *count > 0);
        }
        if people.is_empty() {
            orgs.remove(org_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(org: &str, user: usize) -> Tenant {
        Tenant { org_id: org.into(), user_id: user.to_string() }
    }

    /// How many of so many find room.
    fn seated(count: usize, who: impl Fn(usize) -> Tenant) -> usize {
        let all = Arc::new(Audience::default());
        let seats: Vec<_> = (0..count).filter_map(|n| all.join(&who(n)).ok()).collect();
        let elsewhere = all.join(&tenant("other", 0));
        assert!(elsewhere.is_ok(), "another organization has its own room");
        let seated = seats.len();
        drop((seats, elsewhere));
        assert!(all.lock().is_empty());
        seated
    }

    #[test]
    fn a_person_and_an_organization_have_so_many_streams() {
        for (most, each) in [(STREAMS_OF_PERSON_MAX, usize::MAX), (STREAMS_OF_ORG_MAX, STREAMS_OF_PERSON_MAX)] {
            for (count, there) in [(most - 1, most - 1), (most, most), (most + 1, most)] {
                assert_eq!(seated(count, |n| tenant("o", n / each)), there);
            }
        }
    }

    #[test]
    fn who_leaves_makes_room() {
        let all = Arc::new(Audience::default());
        let mut seats: Vec<_> = (0..STREAMS_OF_PERSON_MAX).map(|_| all.join(&tenant("o", 0)).unwrap()).collect();
        assert!(all.join(&tenant("o", 0)).is_err());
        seats.pop();
        all.join(&tenant("o", 0)).unwrap();
    }
}
