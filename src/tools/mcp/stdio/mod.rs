//! MCP servers that are commands: started when they are used, kept, ended, and started again.
//!
//! Rule: a command that ends by itself again and again waits for a person. What it says besides messages is its log, in
//! memory and in a file for `alm mcp logs`, without the secrets that it was given; no model reads it.
//! Deliberately absent: the protocol. Whoever starts a command speaks it.

mod ending; // whose doing an end was
mod lines; // what it answers
mod restarts; // when it may start again
mod running; // one that runs
mod shown; // its log, for who asks beside the server

use std::{
    collections::HashMap,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    io::AsyncReadExt,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};

use self::{ending::Ending, restarts::Restarts, running::Watched};
pub use self::{
    lines::Lines,
    restarts::RESTARTS_MAX,
    running::{Input, Process, Running, Use},
};
use crate::{
    child::{self, ChildStderr, Children, Command, Exit, HandedOn, Ring},
    secret::Secret,
};

/// Commands that run at once.
pub const PROCESSES_MAX: usize = 32;
/// What is kept of a command's log.
pub const STDERR_BYTES_MAX: usize = 64 << 10;
/// How long the last of it may take to be read once the command has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What is read of it at once.
const READ_BYTES: usize = 8 << 10;
/// Where marks of running commands lie in the data folder.
const MARKS: &str = "run/mcp";
/// Where the folders of commands lie in it.
const FOLDERS: &str = "mcp";

/// What to start, with its secrets opened.
pub struct Program {
    /// The server's row, which names its folder, its log and its ends.
    pub server_id: String,
    pub command: String,
    pub args: Vec<String>,
    /// Its own variables.
    pub env: Vec<(String, Secret)>,
    /// Where it runs, instead of the folder that it is given.
    pub folder: Option<PathBuf>,
    /// How long nobody has to use it until it is stopped.
    pub idle_max: Option<Duration>,
}

/// Why a command does not run, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// Not now, or not this one.
    #[error("{0}")]
    Refused(String),
    /// Not until a person has restarted it.
    #[error("{0}")]
    Failed(String),
}

/// The commands of a server. With it they end.
pub struct Commands {
    children: Arc<Children>,
    data: PathBuf,
    /// The process that starts them beside the server, so that each has a mark of its own.
    beside: Option<u32>,
    slots: Arc<Semaphore>,
    lives: Mutex<HashMap<String, Arc<Life>>>,
    restarts: AtomicU64,
    is_draining: AtomicBool,
    has_warned: AtomicBool,
}

/// What is known of a command besides its row.
#[derive(Default)]
struct Life {
    /// Held by whoever starts it.
    starting: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    log: Option<Arc<Ring>>,
    restarts: Restarts,
    last_end: Option<Exit>,
}

/// Ends what a killed server with that data folder has left.
pub fn end_leftovers(data: &Path) {
    let ended = child::end_leftovers(&data.join(MARKS));
    if ended > 0 {
        tracing::warn!(ended, "commands of a server that was killed were still running");
    }
}

impl Commands {
    /// The commands of a server with that data folder.
    pub fn new(data: PathBuf, children: Arc<Children>) -> Self {
        Commands {
            children,
            // A command runs elsewhere.
            data: std::path::absolute(&data).unwrap_or(data),
            beside: None,
            slots: Arc::new(Semaphore::new(PROCESSES_MAX)),
            lives: Mutex::default(),
            restarts: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Those of a command line beside a server, or without one.
    pub fn beside(data: PathBuf, children: Arc<Children>) -> Self {
        Commands { beside: Some(std::process::id()), ..Commands::new(data, children) }
    }

    /// Starts a command; if it runs, that one ends first. After an end by itself it waits for a while before.
    pub async fn start(&self, program: Program) -> Result<Process, NotStarted> {
        self.children.may_start().map_err(NotStarted::Refused)?;
        let life = self.life(&program.server_id);
        let _starting = life.starting.lock().await;
        let running = life.state().running.clone();
        if let Some(running) = running {
            running.stop().await;
            // Until then its end is not noted.
            running.ended().await;
        }
        self.wait_out(&life).await?;
        let slot = self.slots.clone().try_acquire_owned();
        let slot = slot.map_err(|_| NotStarted::Refused(format!("{PROCESSES_MAX} commands run already: stop one")))?;
        self.warn_as_init();
        let command = self.command(&program).map_err(NotStarted::Refused)?;
        let child = self.children.start(&command).await.map_err(NotStarted::Refused)?;
        let log = life.new_log(&program.env);
        let (cuts, cut) = watch::channel(0);
        let ending = Ending::default();
        let stdout = Lines::new(child.stdout, log.clone(), cuts, ending.clone());
        let (running, stdin) = Running::new(child.process, child.stdin, ending, cut);
        life.state().running = Some(running.clone());
        if self.beside.is_none() {
            tokio::spawn(shown::show(Arc::downgrade(&log), self.log_file(&program.server_id)));
        }
        tokio::spawn(watch(Arc::downgrade(&life), running.watched(), child.stderr, log, slot));
        if let Some(idle_max) = program.idle_max {
            tokio::spawn(running.stop_when_idle(idle_max));
        }
        // It may have come too late to be seen by the one who stops them all.
        if self.is_draining.load(Ordering::SeqCst) {
            running.stop().await;
            return Err(draining());
        }
        Ok(Process { stdin, stdout, running })
    }

    /// The log of a command that has run since the server started.
    pub fn log(&self, server_id: &str) -> String {
        self.known(server_id).and_then(|life| life.state().log.clone()).map(|log| log.text()).unwrap_or_default()
    }

    /// The process of a command that runs.
    pub fn pid(&self, server_id: &str) -> Option<u32> {
        let running = self.known(server_id)?.state().running.clone()?;
        Some(running.pid())
    }

    /// Why a command waits for a person, if it does.
    pub fn failed(&self, server_id: &str) -> Option<String> {
        self.known(server_id)?.state().failed()
    }

    /// A person wants it to be started again.
    pub fn forget_ends(&self, server_id: &str) {
        if let Some(life) = self.known(server_id) {
            life.state().restarts = Restarts::default();
        }
    }

    /// How often commands that had ended by themselves were started again.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Stops a command, if it runs.
    pub async fn stop(&self, server_id: &str) {
        let running = self.known(server_id).and_then(|life| life.state().running.clone());
        if let Some(running) = running {
            running.stop().await;
        }
    }

    /// Stops a command that is no longer there, and removes its folder.
    pub async fn remove(&self, server_id: &str) {
        self.stop(server_id).await;
        self.lives().remove(server_id);
        let (folder, log) = (self.data.join(FOLDERS).join(server_id), self.log_file(server_id));
        let removed = tokio::task::spawn_blocking(move || {
            // It may have said nothing.
            fs::remove_file(log).ok();
            fs::remove_dir_all(folder)
        })
        .await;
        if let Ok(Err(error)) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the folder of a command stays");
        }
    }

    /// Stops all of them, and starts none any more.
    pub async fn stop_all(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
        let running: Vec<_> = self.lives().values().filter_map(|life| life.state().running.clone()).collect();
        join_all(running.iter().map(Running::stop)).await;
    }

    /// Where `alm mcp logs` reads what a command of this server said.
    fn log_file(&self, server_id: &str) -> PathBuf {
        self.data.join(MARKS).join(format!("{server_id}.log"))
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<String, Arc<Life>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn life(&self, server_id: &str) -> Arc<Life> {
        self.lives().entry(server_id.to_owned()).or_default().clone()
    }

    fn known(&self, server_id: &str) -> Option<Arc<Life>> {
        self.lives().get(server_id).cloned()
    }

    /// Waits until it may start again.
    async fn wait_out(&self, life: &Life) -> Result<(), NotStarted> {
        let (failed, not_before) = {
            let state = life.state();
            (state.failed(), state.restarts.not_before())
        };
        if let Some(why) = failed {
            return Err(NotStarted::Failed(why));
        }
        if self.is_draining.load(Ordering::SeqCst) {
            return Err(draining());
        }
        if let Some(not_before) = not_before {
            tokio::time::sleep_until(not_before).await;
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What is started, in a folder that is there.
    fn command(&self, program: &Program) -> Result<Command, String> {
        let Program { server_id, command, args, env, folder, .. } = program;
        let made = |folder: PathBuf| match make_folder(&folder) {
            Ok(()) => Ok(folder),
            Err(error) => Err(format!("the folder {} cannot be made: {error}", folder.display())),
        };
        let mark = self.beside.map_or_else(|| format!("{server_id}.pid"), |own| format!("{server_id}.{own}.pid"));
        let folder = match folder {
            Some(folder) => folder.clone(),
            None => made(self.data.join(FOLDERS).join(server_id))?,
        };
        Ok(Command {
            program: command.clone(),
            args: args.clone(),
            handed_on: HandedOn::USUAL,
            nice: None,
            env: env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
            folder,
            pid_file: made(self.data.join(MARKS))?.join(mark),
        })
    }

    /// Process 1 of a container inherits what commands leave, and does not reap it.
    fn warn_as_init(&self) {
        if std::process::id() == 1 && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "alm is process 1 and starts commands: run the container with --init, or what they leave stays"
            );
        }
    }
}

impl Life {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A log that goes on with the old one, and shows none of these secrets.
    fn new_log(&self, env: &[(String, Secret)]) -> Arc<Ring> {
        let mut state = self.state();
        let log = Arc::new(Ring::new(STDERR_BYTES_MAX, env.iter().flat_map(|(_, value)| as_printed(value))));
        log.push(state.log.take().map(|old| old.text()).unwrap_or_default().as_bytes());
        state.log = Some(log.clone());
        log
    }

    /// Notes how one of its processes has ended.
    fn ended(&self, pid: u32, exit: Exit, was_told: bool, started: Instant) {
        let mut state = self.state();
        state.running.take_if(|running| running.pid() == pid);
        if !was_told {
            state.restarts.ended(started, Instant::now());
            state.last_end = Some(exit);
        }
    }
}

impl State {
    fn failed(&self) -> Option<String> {
        let exit = self.last_end.filter(|_| self.restarts.has_failed())?;
        Some(format!(
            "it ended {RESTARTS_MAX} times within a minute of its start ({exit}): read its log, then restart it"
        ))
    }
}

/// A secret as a program may print it: as it is, or within JSON.
fn as_printed(secret: &Secret) -> Vec<Secret> {
    let json = serde_json::Value::from(secret.expose()).to_string();
    let inner = Secret::new(&json[1..json.len() - 1]);
    if inner == *secret { vec![inner] } else { vec![secret.clone(), inner] }
}

/// Keeps what a command says on its standard error, until it has ended. Holds nothing that would keep it alive.
async fn watch(life: Weak<Life>, watched: Watched, stderr: ChildStderr, log: Arc<Ring>, slot: OwnedSemaphorePermit) {
    let started = Instant::now();
    let mut words = pin!(keep(stderr, &log));
    let mut end = pin!(watched.end);
    let mut has_said_all = false;
    let exit = loop {
        tokio::select! {
            exit = &mut end => break exit,
            () = &mut words, if !has_said_all => has_said_all = true,
        }
    };
    if !has_said_all {
        // What has left its session may hold the pipe for ever.
        drop(tokio::time::timeout(LAST_WORDS, words).await);
    }
    log.push(format!("alm: it ended ({exit})\n").as_bytes());
    if let Some(life) = life.upgrade() {
        life.ended(watched.pid, exit, watched.ending.was_told(), started);
    }
    drop(slot);
    watched.over.send_replace(Some(exit));
}

async fn keep(mut stderr: ChildStderr, log: &Ring) {
    let mut piece = [0; READ_BYTES];
    while let Ok(bytes @ 1..) = stderr.read(&mut piece).await {
        log.push(&piece[..bytes]);
    }
}

fn draining() -> NotStarted {
    NotStarted::Refused("the server is going down".into())
}

/// Only the server's user may look inside.
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
