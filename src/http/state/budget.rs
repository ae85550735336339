//! What all requests together may keep in memory: so many bytes, of which one person has at most half.
//!
//! Rule: bytes are taken before they are kept, and given back when their [`Share`] is dropped. Whoever would take more than is
//! left is refused at once: waiting would keep what they have.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::error::{Error, Result};

/// How long a caller waits who was refused.
const RETRY: Duration = Duration::from_secs(2);

/// So many bytes for everybody.
pub struct Budget {
    bytes_max: usize,
    /// The refusal of a request that would take more.
    busy: &'static str,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    bytes: usize,
    by: HashMap<Arc<str>, usize>,
}

impl Budget {
    /// Of `bytes_max`.
    pub fn new(bytes_max: usize, busy: &'static str) -> Arc<Self> {
        Arc::new(Budget { bytes_max, busy, taken: Mutex::default() })
    }

    /// An empty share of somebody's; all that have no name share one half.
    pub fn share(self: &Arc<Self>, who: &str) -> Share {
        Share { budget: self.clone(), who: who.into(), bytes: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one request has of a budget.
pub struct Share {
    budget: Arc<Budget>,
    who: Arc<str>,
    bytes: usize,
}

impl Share {
    /// Takes more.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        let Budget { bytes_max, busy, .. } = *self.budget;
        let mut taken = self.budget.taken();
        let theirs = taken.by.get(&self.who).copied().unwrap_or(0);
        if taken.bytes + bytes > bytes_max || theirs + bytes > bytes_max / 2 {
            return Err(Error::Unavailable { message: busy.into(), retry_after: RETRY });
        }
        taken.bytes += bytes;
        *taken.by.entry(self.who.clone()).or_default() += bytes;
        drop(taken);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut taken = self.budget.taken();
        taken.bytes -= self.bytes;
        let theirs = taken.by.entry(self.who.clone()).or_default();
        *theirs -= self.bytes;
        if *theirs == 0 {
            taken.by.remove(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_has_half_and_all_together_have_the_whole() {
        for (bytes, fits) in [(49, true), (50, true), (51, false)] {
            let budget = Budget::new(100, "busy");
            assert_eq!(budget.share("a").grow(bytes).is_ok(), fits, "{bytes}");
        }
        let budget = Budget::new(100, "busy");
        let (mut a, mut b, mut c) = (budget.share("a"), budget.share("b"), budget.share("c"));
        a.grow(30).unwrap();
        a.grow(20).unwrap();
        b.grow(49).unwrap();
        assert!(c.grow(2).is_err() && a.grow(1).is_err() && budget.share("a").grow(1).is_err());
        c.grow(1).unwrap();
        assert!(b.grow(1).is_err());
        drop(a);
        b.grow(1).unwrap();
        c.grow(49).unwrap();
        drop((b, c));
        let left = budget.taken();
        assert_eq!((left.bytes, left.by.len()), (0, 0));
    }
}
