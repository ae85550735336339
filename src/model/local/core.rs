//! What is kept of a local model while the server runs, behind one lock.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    life::Life,
    queue::Queue,
    said::Said,
    status::{State, Status},
};
use crate::{
    child::Process,
    error::{Error, Result},
    model::{gguf::Header, upstream::LOAD_WAIT_MAX, waiting::Waiting},
};

/// When somebody may ask again whom a server that ends has refused.
const LEAVING_RETRY: Duration = Duration::from_secs(5);
/// What those read whom the end of the server concerns.
pub(super) const LEAVING: &str = "the server is shutting down: try again in a few seconds";

/// All that changes.
pub(super) struct Core {
    pub life: Life,
    pub queue: Queue,
    pub said: Said,
    pub process: Option<Process>,
    /// What the file was when it was last looked at.
    pub header: Arc<Header>,
    /// What the last look at program and memory has found.
    pub found: Found,
    /// What the process itself says, once it is ready.
    pub window: Option<u32>,
    pub tools: Option<bool>,
    pub tokens_per_second: Option<f64>,
}

/// What was found before a start.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub build: Option<u32>,
    pub gpu: bool,
    pub slots: u32,
    /// What is less than it was to be.
    pub note: Option<String>,
}

/// What becomes of somebody who waits.
#[derive(Debug)]
pub(super) enum Look {
    /// It is let in, to that process.
    In(u64),
    Waits(Waiting),
}

impl Core {
    /// Gives somebody a place, and wakes the model if it rests.
    pub(super) fn join(&mut self, person: &str, now: Instant) -> Result<u64> {
        self.life.want(now);
        self.refusal(now)?;
        let full = |full: super::queue::Full| Error::Unavailable {
            message: full.message.into(),
            retry_after: full.retry_after,
        };
        self.queue.join(person).map_err(full)
    }

    /// What becomes of that one now.
    pub(super) fn look(&mut self, id: u64, now: Instant) -> Result<Look> {
        self.refusal(now)?;
        let Some(position) = self.queue.position(id) else { return Err(self.farewell()) };
        self.life.want(now);
        match self.life.answers() {
            Some(epoch) if self.queue.let_in(id, now) => Ok(Look::In(epoch)),
            Some(_) => Ok(Look::Waits(Waiting::Queued { position })),
            None => Ok(Look::Waits(Waiting::Loading { since: self.life.waited(now) })),
        }
    }

    /// Why a process is gone, for whom it answered.
    pub(super) fn farewell(&self) -> Error {
        if self.life.is_leaving() { leaving() } else { Error::ModelUnavailable(self.life.farewell().to_owned()) }
    }

    fn refusal(&self, now: Instant) -> Result<()> {
        if self.life.is_leaving() {
            return Err(leaving());
        }
        if let Some(reason) = self.life.failed() {
            return Err(Error::ModelUnavailable(reason.to_owned()));
        }
        if self.life.answers().is_none() && self.life.state() != State::Idle && self.life.waited(now) >= LOAD_WAIT_MAX {
            let minutes = LOAD_WAIT_MAX.as_secs() / 60;
            return Err(Error::ModelUnavailable(format!("the local model is still loading after {minutes} minutes")));
        }
        Ok(())
    }

    /// All of it, but what the system says of the process.
    pub(super) fn status(&self, name: &str) -> Status {
        let header = &self.header;
        Status {
            name: name.to_owned(),
            state: self.life.state(),
            since: self.life.since(),
            reason: self.life.reason().map(str::to_owned).or_else(|| self.found.note.clone()),
            window: self.window,
            trained_window: header.window,
            slots: self.found.slots,
            bytes: header.bytes,
            architecture: header.architecture.clone(),
            quantisation: header.quantisation.clone(),
            parameters: header.parameters,
            licence: header.licence.clone(),
            tools: self.tools.unwrap_or_else(|| header.may_use_tools()),
            build: self.found.build,
            gpu: self.found.gpu,
            queue: self.queue.waiting(),
            answering: self.queue.answering(),
            restarts: self.life.restarts(),
            resident_bytes: None,
            tokens_per_second: self.tokens_per_second,
        }
    }
}

fn leaving() -> Error {
    Error::Unavailable { message: LEAVING.into(), retry_after: LEAVING_RETRY }
}
