//! The streams that keys read, and people at a browser, so that they end when the key is revoked or the person removed.
//!
//! Deliberately absent: keys that expire. What they began may end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::store::Tenant;

/// The keys that read a stream now.
#[derive(Debug, Default)]
pub struct KeyReaders {
    keys: Mutex<HashMap<String, Readers>>,
}

#[derive(Debug)]
struct Readers {
    count: usize,
    revoked: watch::Sender<bool>,
}

/// One stream that a key reads.
#[derive(Debug)]
pub struct KeyReader {
    all: Arc<KeyReaders>,
    key_id: String,
    revoked: watch::Receiver<bool>,
}

/// What stands for a key where a person at a browser reads: no key has such an id.
pub fn of_person(tenant: &Tenant) -> String {
    format!("{}/{}", tenant.org_id, tenant.user_id)
}

/// Who that is.
pub fn person_of(reader_id: &str) -> Option<Tenant> {
    let (org_id, user_id) = reader_id.split_once('/')?;
    Some(Tenant { org_id: org_id.into(), user_id: user_id.into() })
}

impl KeyReaders {
    /// A stream that the key of that id reads from now on.
    pub fn open(self: &Arc<Self>, key_id: String) -> KeyReader {
        let mut keys = self.keys();
        let new = || Readers { count: 0, revoked: watch::Sender::new(false) };
        let readers = keys.entry(key_id.clone()).or_insert_with(new);
        readers.count += 1;
        KeyReader { all: self.clone(), key_id, revoked: readers.revoked.subscribe() }
    }

    /// The ids of keys that read.
    pub fn ids(&self) -> Vec<String> {
        self.keys().keys().cloned().collect()
    }

    /// Ends what a key reads.
    pub fn end(&self, key_id: &str) {
        if let Some(readers) = self.keys().get(key_id) {
            readers.revoked.send_replace(true);
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Readers>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyReader {
    /// Waits until its key is revoked.
    pub async fn revoked(&mut self) {
        // It cannot fail: the sender is there as long as one reads.
        let _ = self.revoked.wait_for(|revoked| *revoked).await;
    }
}

impl Drop for KeyReader {
    fn drop(&mut self) {
        let mut keys = self.all.keys();
        if let Some(readers) = keys.get_mut(&self.key_id) {
            readers.count -= 1;
            if readers.count == 0 {
                keys.remove(&self.key_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_no_key() {
        let tenant = Tenant { org_id: "o".into(), user_id: "u".into() };
        assert_eq!(person_of(&of_person(&tenant)), Some(tenant));
        assert_eq!(person_of(&crate::id::generate()), None);
    }

    #[tokio::test]
    async fn a_key_ends_its_own_readers_and_is_forgotten_with_the_last() {
        let all = Arc::new(KeyReaders::default());
        let (mut one, two, other) = (all.open("a".into()), all.open("a".into()), all.open("b".into()));
        drop(two);
        let mut ids = all.ids();
        ids.sort();
        assert_eq!(ids, ["a", "b"]);
        all.end("a");
        one.revoked().await;
        assert!(!*other.revoked.borrow());
        drop((one, other));
        assert!(all.ids().is_empty());
    }
}
