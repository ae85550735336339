//! A running turn, as its readers and those who may stop it see it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::sync::watch;

use super::{chunk::Chunk, journal::Journal, listener::Listener, reader::Reader, wire::Wire};
use crate::error::Error;

/// Why a turn is to end before its reply does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Someone asked for it.
    Requested,
    /// The server is going away.
    Draining,
}

/// A turn that runs.
pub struct RunningTurn {
    journal: Arc<Journal>,
    stop: watch::Sender<Option<Stop>>,
    told: Mutex<Told>,
}

/// What is told of it beside its stream.
#[derive(Default)]
struct Told {
    /// What was left out of its request.
    ignored: Vec<String>,
    /// Why it failed.
    failure: Option<Error>,
}

/// Stops a turn when it is dropped: that of a reply which nobody else will ever read.
pub struct Life(Arc<RunningTurn>);

impl Life {
    /// That of a turn.
    pub fn of(turn: &Arc<RunningTurn>) -> Self {
        Life(turn.clone())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.stop(Stop::Requested);
    }
}

impl RunningTurn {
    /// One that has streamed nothing yet.
    pub fn new() -> Arc<Self> {
        RunningTurn::with(Journal::default())
    }

    /// The same, of a reply that is read in that wire.
    pub fn in_wire(wire: Box<dyn Wire>) -> Arc<Self> {
        RunningTurn::with(Journal::in_wire(wire))
    }

    fn with(journal: Journal) -> Arc<Self> {
        Arc::new(RunningTurn { journal: Arc::new(journal), stop: watch::channel(None).0, told: Mutex::default() })
    }

    /// One that is over, with all that it streamed.
    pub(super) fn over(chunks: &[Chunk]) -> Arc<Self> {
        let turn = RunningTurn::new();
        turn.journal.end(chunks);
        turn
    }

    /// What it has streamed.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Asks it to end. Repeating it changes nothing.
    pub fn stop(&self, why: Stop) {
        self.stop.send_if_modified(|stop| stop.is_none() && stop.replace(why).is_none());
    }

    /// Waits until someone asks it to end.
    pub async fn stopped(&self) -> Stop {
        let mut stop = self.stop.subscribe();
        loop {
            let why = *stop.borrow_and_update();
            match why {
                Some(why) => return why,
                // It cannot fail: the sender is ours.
                None => drop(stop.changed().await),
            }
        }
    }

    /// Says in its journal, again and again, that it is still there.
    pub async fn beat(&self, interval: Duration) -> Infallible {
        loop {
            tokio::time::sleep(interval).await;
            self.journal.beat();
        }
    }

    /// Notes what its model was not sent, or not offered: `logit_bias`, `agent.create_ticket`.
    pub(super) fn ignore(&self, what: impl IntoIterator<Item = String>) {
        let mut told = self.told();
        for what in what {
            if !told.ignored.contains(&what) {
                told.ignored.push(what);
            }
        }
    }

    /// What its model was not sent, or not offered, so far.
    pub fn ignored(&self) -> Vec<String> {
        self.told().ignored.clone()
    }

    pub(super) fn fail(&self, error: Error) {
        self.told().failure = Some(error);
    }

    /// Why it failed, once it is over; for whoever asks first.
    pub fn take_failure(&self) -> Option<Error> {
        self.told().failure.take()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is over.
    pub async fn ended(&self) {
        let mut reader = Reader::new(self.journal.clone(), self.journal.from_here());
        while reader.next().await.is_some() {}
    }

    /// A reader from the first chunk on.
    pub fn reader(&self) -> Reader {
        Reader::new(self.journal.clone(), self.journal.from_start())
    }

    /// A reader of chunks, from the first one on.
    pub fn listener(&self) -> Listener {
        Listener::new(self.journal.clone())
    }

    /// A reader whose events are numbered from 1, and which begins after the event `last`; 0 is the beginning. A number
    /// that no event has yet is from another stream, and begins there as well.
    ///
    /// The AI SDK passes over the numbers; `EventSource` and plain readers resume by them after they were cut off.
    pub fn numbered_reader(&self, last: usize) -> Reader {
        Reader::new(self.journal.clone(), self.journal.after_event(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_to_stop_is_kept() {
        let turn = RunningTurn::new();
        turn.stop(Stop::Draining);
        turn.stop(Stop::Requested);
        assert_eq!(turn.stopped().await, Stop::Draining);
    }
}
