//! A place in a local model's process.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::{core::Look, local_model::LocalModel};
use crate::{
    error::{Error, Result},
    model::waiting::OnWaiting,
};

/// How often whoever waits is told so.
const TELL_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// A place, first in the queue and then in the process. Dropping it gives it back; if its reply did not end by itself, whoever
/// comes next is watched until the process responds.
pub struct Ticket {
    model: Arc<LocalModel>,
    id: u64,
    person: String,
    /// The process that it was let in to.
    epoch: u64,
    spoke_at: Option<Instant>,
    is_whole: bool,
}

impl LocalModel {
    /// Waits until its process is ready and a slot is free. Dropping the wait gives the place back.
    pub async fn enter(self: &Arc<Self>, person: &str, waiting: OnWaiting<'_>) -> Result<Ticket> {
        let id = self.change(|core| core.join(person, Instant::now()))?;
        Ticket::new(self.clone(), id, person).let_in(waiting).await
    }
}

impl Ticket {
    /// One that waits.
    pub(super) fn new(model: Arc<LocalModel>, id: u64, person: &str) -> Self {
        Ticket { model, id, person: person.to_owned(), epoch: 0, spoke_at: None, is_whole: false }
    }

    /// Waits until it is let in.
    pub(super) async fn let_in(mut self, waiting: OnWaiting<'_>) -> Result<Self> {
        let mut changed = self.model.changes();
        loop {
            changed.borrow_and_update();
            match self.model.look(self.id)? {
                Look::In(epoch) => {
                    self.epoch = epoch;
                    return Ok(self);
                }
                Look::Waits(what) => waiting(what),
            }
            // Told or not, it looks again.
            drop(timeout(TELL_INTERVAL, changed.changed()).await);
        }
    }

    /// The process responds: its head has come.
    pub fn heard(&self) {
        self.model.change(|core| core.queue.heard(self.id));
    }

    /// The first delta has come.
    pub fn spoke(&mut self) {
        self.spoke_at.get_or_insert_with(Instant::now);
    }

    /// The reply has ended by itself, after so many tokens.
    pub fn done(&mut self, output_tokens: Option<u64>) {
        self.is_whole = true;
        if let (Some(tokens @ 1..), Some(spoke_at)) = (output_tokens, self.spoke_at) {
            let seconds = spoke_at.elapsed().as_secs_f64();
            // The first token is not part of that time.
            let speed = (tokens - 1) as f64 / seconds;
            if speed.is_finite() {
                self.model.change(|core| core.tokens_per_second = Some(speed));
            }
        }
    }

    /// Waits until its process is gone or told to go, which ends its reply; why.
    pub fn lost(&self) -> impl Future<Output = Error> + Send + use<> {
        let (model, epoch) = (self.model.clone(), self.epoch);
        async move {
            model.until(|core| core.life.answers() != Some(epoch)).await;
            model.look_at(|core| core.farewell())
        }
    }

    /// A place in the next process, before all who wait: this one's has ended without a word.
    pub async fn again(self, waiting: OnWaiting<'_>) -> Result<Self> {
        let id = self.model.change(|core| core.queue.join_again(&self.person));
        let next = Ticket::new(self.model.clone(), id, &self.person);
        drop(self);
        next.let_in(waiting).await
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.model.change(|core| core.queue.leave(self.id, self.is_whole, Instant::now()));
    }
}
