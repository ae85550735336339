//! Who reads a stream, so that it ends when the key is revoked or the person removed.
//!
//! Deliberately absent: keys that expire. What they began may end.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::store::Tenant;

/// Whoever may read a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// A key, by its id.
    Key(String),
    /// A person at a browser.
    Person(Tenant),
}

/// Those who read a stream now.
#[derive(Debug, Default)]
pub struct Readers {
    open: Mutex<HashMap<Who, Streams>>,
}

#[derive(Debug)]
struct Streams {
    count: usize,
    ended: watch::Sender<bool>,
}

/// One stream that someone reads.
#[derive(Debug)]
pub struct Reader {
    all: Arc<Readers>,
    who: Who,
    ended: watch::Receiver<bool>,
}

impl Readers {
    /// A stream that is read from now on.
    pub fn open(self: &Arc<Self>, who: Who) -> Reader {
        let mut open = self.lock();
        let new = || Streams { count: 0, ended: watch::Sender::new(false) };
        let streams = open.entry(who.clone()).or_insert_with(new);
        streams.count += 1;
        Reader { all: self.clone(), who, ended: streams.ended.subscribe() }
    }

    /// All who read.
    pub fn all(&self) -> HashSet<Who> {
        self.lock().keys().cloned().collect()
    }

    /// Ends what someone reads.
    pub fn end(&self, who: &Who) {
        if let Some(streams) = self.lock().get(who) {
            streams.ended.send_replace(true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Streams>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Waits until whoever reads may no more.
    pub async fn ended(&mut self) {
        // It cannot fail: the sender is there as long as one reads.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut open = self.all.lock();
        if let Some(streams) = open.get_mut(&self.who) {
            streams.count -= 1;
            if streams.count == 0 {
                open.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_may_read_no_more_is_ended_alone_and_forgotten_with_the_last_stream() {
        let all = Arc::new(Readers::default());
        let (a, b) = (Who::Key("a".into()), Who::Person(Tenant { org_id: "o".into(), user_id: "a".into() }));
        let (mut one, two, other) = (all.open(a.clone()), all.open(a.clone()), all.open(b.clone()));
        drop(two);
        assert_eq!(all.all(), HashSet::from([a.clone(), b]));
        all.end(&a);
        one.ended().await;
        assert!(!*other.ended.borrow());
        drop((one, other));
        assert!(all.all().is_empty());
    }
}
