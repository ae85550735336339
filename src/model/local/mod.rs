//! Models whose processes are our children: llama.cpp's `llama-server`, one for each file, over a socket of its own.
//!
//! Rule: what decides is plain: [`Life`](life::Life), [`Queue`](queue::Queue), and what is told from words and numbers. One keeper
//! for each model does what they say.
//! Rule: only files that an operator named, no port, no secret, no network. A process's words reach its operator and owners, and no
//! client of the API.

mod arguments; // what the program is told
mod asked; // how it is asked
mod cgroup; // memory that is free
mod core; // what changes, behind one lock
mod ended; // why a process ended
mod keeper; // what starts and ends it
mod life; // its states
mod local_model; // one of them
mod look; // what is looked at before a start
mod memory; // how large a context fits
mod program; // llama-server
mod queue; // who waits
#[cfg(test)]
pub(crate) mod resting; // what tests want of them
mod said; // its last lines
mod settings; // what an operator wants
mod socket; // where it is reached
mod status; // what can be said of it
mod ticket; // a place in it

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

pub use self::{
    asked::LocalReply,
    keeper::CHILD_TERM_WAIT,
    life::{RESTART_PAUSE_MAX, START_TRIES_MAX},
    local_model::{Around, LocalModel},
    look::Tried,
    program::{LLAMA_BUILD_MIN, NO_PROGRAM},
    queue::{CANCEL_WAIT, LOCAL_QUEUE_MAX},
    said::CHILD_LOG_LINES,
    settings::{LOCAL_MODELS_MAX, Settings},
    status::{State, Status},
    ticket::Ticket,
};
use crate::{child, error::Result};

/// The local models of a server. With it their processes end.
#[derive(Default)]
pub struct LocalModels {
    models: Vec<Arc<LocalModel>>,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

impl LocalModels {
    /// Reads the files, and ends what a killed server has left. Refuses what an operator has to mend first.
    pub fn new(settings: Vec<Settings>, around: Around) -> Result<Self> {
        settings::check(&settings)?;
        let folder = std::path::absolute(&around.folder).unwrap_or_else(|_| around.folder.clone());
        let around = Around { folder, ..around };
        let ended = child::end_leftovers(&around.run());
        if ended > 0 {
            tracing::warn!(ended, "local models of a server that was killed were still running");
        }
        let models = settings.into_iter().map(|settings| Ok(Arc::new(LocalModel::new(settings, around.clone())?)));
        Ok(LocalModels { models: models.collect::<Result<_>>()?, keepers: Mutex::default() })
    }

    /// Starts all of them. Needs a tokio runtime.
    pub fn start(&self) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        if keepers.is_empty() {
            keepers.extend(self.models.iter().map(|model| tokio::spawn(keeper::keep(model.clone()))));
        }
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<Arc<LocalModel>> {
        self.models.iter().find(|model| model.name() == name).cloned()
    }

    /// All of them, in the order in which they were named.
    pub fn all(&self) -> &[Arc<LocalModel>] {
        &self.models
    }

    /// Ends their processes, and starts none any more.
    pub async fn end(&self) {
        self.models.iter().for_each(|model| model.leave());
        let keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        for keeper in keepers {
            // It fails only if it panicked; the process is then killed with its model.
            drop(keeper.await);
        }
    }
}

impl Drop for LocalModels {
    fn drop(&mut self) {
        for keeper in self.keepers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            keeper.abort();
        }
        self.models.iter().for_each(|model| model.kill());
    }
}
