//! A model whose process is our child.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::watch, time::Instant};

use super::{
    core::{Core, Found, LEAVING, Look},
    life::Life,
    queue::Queue,
    said::Said,
    settings::Settings,
    status::Status,
};
use crate::{
    child::Children,
    error::{Error, Result},
    model::{
        gguf,
        known::Known,
        openai::Dialect,
        upstream::{Endpoint, Upstreams},
    },
    outbound::{Sockets, Whose, child_host},
};

/// What a process needs around it.
#[derive(Clone)]
pub struct Around {
    /// The data folder.
    pub folder: PathBuf,
    /// What starts processes.
    pub children: Arc<Children>,
    /// Where it is noted how they are reached.
    pub sockets: Sockets,
    /// What asks them.
    pub upstreams: Arc<Upstreams>,
}

impl Around {
    /// Where sockets and marks lie.
    pub(super) fn run(&self) -> PathBuf {
        self.folder.join("run")
    }
}

/// A local model. It is started by its keeper, and asked by whoever has a [`Ticket`].
pub struct LocalModel {
    pub(super) settings: Settings,
    pub(super) around: Around,
    known: Known,
    core: Mutex<Core>,
    changed: watch::Sender<()>,
}

impl LocalModel {
    /// Refuses what an operator has to mend first.
    pub(super) fn new(settings: Settings, around: Around) -> Result<Self> {
        around.children.may_start().map_err(Error::failed)?;
        let header = read(&settings)?;
        let (now, slots) = (Instant::now(), settings.slots.unwrap_or(1));
        let core = Core {
            life: Life::new(now),
            queue: Queue::new(slots as usize, now),
            said: Said::default(),
            process: None,
            header: Arc::new(header),
            found: Found { slots, ..Found::default() },
            window: None,
            tools: None,
            tokens_per_second: None,
        };
        Ok(LocalModel {
            settings,
            around,
            known: Known::default(),
            core: Mutex::new(core),
            changed: watch::Sender::new(()),
        })
    }

    /// What it is called, without `local/`.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// How it is now.
    pub fn status(&self) -> Status {
        let (status, process) = self.look_at(|core| (core.status(self.name()), core.process.clone()));
        Status { resident_bytes: process.and_then(|process| process.resident_bytes()), ..status }
    }

    /// What its process said at last, oldest first.
    pub fn last_lines(&self) -> Vec<String> {
        self.look_at(|core| core.said.lines())
    }

    /// What is known of it: its window, and whether it calls tools.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Where it answers, to whoever has a ticket.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            name: "local".into(),
            base_url: format!("http://{}/v1", child_host(self.name())),
            api_key: None,
            headers: Vec::new(),
            dialect: Dialect::default(),
            whose: Whose::Ours,
            heard: Default::default(),
        }
    }

    /// Starts it if it rests or has failed.
    pub fn start(&self) {
        self.change(|core| core.life.start(Instant::now()));
    }

    /// Ends its process; the next who asks starts it again. Those who wait are refused.
    pub fn stop(&self) {
        self.change(|core| {
            core.life.stop("the local model was stopped: ask again to start it");
            core.queue.refuse_all(Instant::now());
        });
    }

    /// Ends its process and starts another. Those who wait go on waiting.
    pub fn restart(&self) {
        self.change(|core| core.life.restart("the local model is starting again", Instant::now()));
    }

    /// Ends its process for good.
    pub(super) fn leave(&self) {
        self.change(|core| core.life.leave(LEAVING));
    }

    /// Kills its process at once: nobody is left who would wait for its end.
    pub(super) fn kill(&self) {
        self.change(|core| {
            core.life.leave(LEAVING);
            core.process = None;
        });
    }

    /// Keeps a line that its process said.
    pub(super) fn keep_line(&self, line: &[u8]) -> String {
        self.core().said.push(line)
    }

    /// Tells whenever something has changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let changed = change(&mut self.core());
        self.changed.send_replace(());
        changed
    }

    pub(super) fn look_at<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.core())
    }

    /// What becomes of somebody who waits.
    pub(super) fn look(&self, id: u64) -> Result<Look> {
        let mut core = self.core();
        let state = core.life.state();
        let look = core.look(id, Instant::now());
        // The others move up, or a model that rested is waked. To tell of any look would wake all who wait by each other.
        let is_news = matches!(look, Ok(Look::In(_))) || core.life.state() != state;
        drop(core);
        if is_news {
            self.changed.send_replace(());
        }
        look
    }

    /// Waits until that is so.
    pub(super) async fn until(&self, is: impl Fn(&Core) -> bool) {
        let mut changed = self.changed.subscribe();
        while !self.look_at(&is) {
            // It cannot fail: the sender is ours.
            drop(changed.changed().await);
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The header of a model's file, which can answer.
pub(super) fn read(settings: &Settings) -> Result<gguf::Header> {
    let header = gguf::open(&settings.file)?;
    header.vet(&settings.file, settings.template.is_some())?;
    if let Some(template) = &settings.template {
        readable(template)?;
    }
    Ok(header)
}

fn readable(file: &Path) -> Result<()> {
    match std::fs::File::open(file).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(Error::failed(format!("{} is a folder", file.display()))),
        Err(error) => Err(Error::failed(format!("{}: {error}", file.display()))),
    }
}
