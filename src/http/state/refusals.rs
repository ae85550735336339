//! How many refused requests of an organization the log lists: a client that asks in a loop is not to fill it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::time::Timestamp;

/// Refusals of one organization that get a row of their own in one second. The next row counts the rest.
const REFUSALS_PER_SECOND_MAX: u32 = 10;

/// The refusals of the second that runs, by organization.
#[derive(Default)]
pub struct Refusals {
    orgs: Mutex<HashMap<String, Second>>,
}

#[derive(Default)]
struct Second {
    number: i64,
    listed: u32,
    unlisted: i64,
}

impl Refusals {
    /// Whether a refusal at that moment gets a row, which then counts so many that got none before it.
    pub fn list(&self, org_id: &str, at: Timestamp) -> Option<i64> {
        let mut orgs = self.orgs.lock().unwrap_or_else(PoisonError::into_inner);
        let second = orgs.entry(org_id.to_owned()).or_default();
        let number = at.as_millis() / 1_000;
        if second.number != number {
            (second.number, second.listed) = (number, 0);
        }
        if second.listed == REFUSALS_PER_SECOND_MAX {
            second.unlisted += 1;
            return None;
        }
        second.listed += 1;
        Some(std::mem::take(&mut second.unlisted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_refusals_a_second_are_listed_and_the_rest_is_counted() {
        let refusals = Refusals::default();
        let at = |millis: i64| Timestamp::from_millis(1_760_000_000_000 + millis);
        for n in 0..REFUSALS_PER_SECOND_MAX {
            assert_eq!(refusals.list("a", at(0)), Some(0), "{n}");
        }
        assert_eq!([refusals.list("a", at(1)), refusals.list("a", at(999))], [None; 2]);
        assert_eq!(refusals.list("b", at(999)), Some(0), "another organization's are its own");
        assert_eq!([refusals.list("a", at(1_000)), refusals.list("a", at(1_000))], [Some(2), Some(0)]);
    }
}
