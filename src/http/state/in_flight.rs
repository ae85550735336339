//! The requests with an `Idempotency-Key` that this process is answering.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use poem::{
    Body,
    http::{HeaderMap, StatusCode},
};

use crate::{
    error::{Error, Result},
    store::idempotency::{Claim, Done},
    turn::running::RunningTurn,
};

/// SHA-256 of what names a request: who, where, and their key.
pub type Name = [u8; 32];

/// The first requests of their names that this process is answering.
#[derive(Default)]
pub struct InFlight {
    entries: Mutex<HashMap<Name, Entry>>,
}

struct Entry {
    body_hash: [u8; 32],
    /// The reply that is being written, and the head it was begun with.
    running: Option<(Live, Head)>,
}

pub type Head = (StatusCode, HeaderMap);

/// What became of the first request of a name.
pub enum Lookup {
    /// There was none: the one who asks is the first now.
    Nothing,
    Running(Live, Head),
    Done(Done),
}

/// A reply that is being written, for those who join it.
#[derive(Clone)]
pub struct Live {
    pub turn: Arc<RunningTurn>,
    read: Arc<dyn Fn(&RunningTurn) -> Body + Send + Sync>,
}

impl Live {
    /// One that is read as it is written.
    pub fn of(turn: Arc<RunningTurn>) -> Self {
        Live::read_by(turn, |turn| Body::from_bytes_stream(turn.reader()))
    }

    /// One that `read` writes anew for each of its readers, from its start.
    pub fn read_by(turn: Arc<RunningTurn>, read: impl Fn(&RunningTurn) -> Body + Send + Sync + 'static) -> Self {
        Live { turn, read: Arc::new(read) }
    }

    /// All of it, for one reader.
    pub fn body(&self) -> Body {
        (self.read)(&self.turn)
    }
}

impl InFlight {
    /// Looks a request up. `done` looks into the file, under the lock: else one that ends meanwhile is in neither place.
    pub fn begin(&self, claim: &Claim, done: impl FnOnce() -> Result<Option<Done>>) -> Result<Lookup> {
        let same = |body_hash| if body_hash == claim.body_hash { Ok(()) } else { Err(other_body()) };
        let mut entries = self.entries();
        if let Some(entry) = entries.get(&claim.name) {
            same(entry.body_hash)?;
            let running = entry.running.clone();
            let not_yet = || Error::Conflict("the first request with this Idempotency-Key is still running".into());
            return running.map(|(live, head)| Lookup::Running(live, head)).ok_or_else(not_yet);
        }
        if let Some(done) = done()? {
            same(done.body_hash)?;
            return Ok(Lookup::Done(done));
        }
        entries.insert(claim.name, Entry { body_hash: claim.body_hash, running: None });
        Ok(Lookup::Nothing)
    }

    /// Lets others join a reply that is being written.
    pub fn join(&self, name: &Name, running: (Live, Head)) {
        if let Some(entry) = self.entries().get_mut(name) {
            entry.running = Some(running);
        }
    }

    pub fn end(&self, name: &Name) {
        self.entries().remove(name);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Name, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with a key that names another request already.
pub const OTHER_BODY: &str = "was used with a different body: choose a new key";

fn other_body() -> Error {
    Error::invalid("Idempotency-Key", OTHER_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_of_a_name_is_answered_at_a_time_and_its_reply_is_joined() {
        let in_flight = InFlight::default();
        let claim = |body| Claim { org_id: String::new(), name: [1; 32], body_hash: [body; 32] };
        let begin = |body| in_flight.begin(&claim(body), || Ok(None));
        assert!(matches!(begin(0), Ok(Lookup::Nothing)));
        assert!(matches!(begin(0), Err(Error::Conflict(_))));
        assert!(matches!(begin(1), Err(Error::Invalid(_))));
        in_flight.join(&[1; 32], (Live::of(RunningTurn::new()), (StatusCode::OK, HeaderMap::new())));
        assert!(matches!(begin(0), Ok(Lookup::Running(..))));
        in_flight.end(&[1; 32]);
        assert!(matches!(begin(1), Ok(Lookup::Nothing)));
    }
}
