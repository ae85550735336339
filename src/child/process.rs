//! A child that runs: told to end, and waited for.
//!
//! Rule: its group is told only while the child is not reaped, so its id is nobody else's. A thread waits for it, so none
//! becomes a zombie whatever happens to the runtime, and no signal handler is needed.

use std::{
    fmt, fs, io,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid},
};
use tokio::sync::watch;

use super::system;

/// How long a child may take to end once nothing more comes.
const CLOSED_WAIT: Duration = Duration::from_secs(2);
/// How long it may take to end when it is asked.
const TERM_WAIT: Duration = Duration::from_secs(2);
/// How long a killed one may take to be gone; only a disk that hangs makes it longer.
const KILL_WAIT: Duration = Duration::from_millis(500);
/// How long what a child has started may outlive it.
const ORPHANS_WAIT: Duration = Duration::from_millis(500);
/// Between two looks at them.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Stack of a thread that waits.
const WAIT_STACK_BYTES: usize = 64 << 10;

/// A child. With its last clone it is killed, and so is all that is in its session.
#[derive(Clone)]
pub struct Process(Arc<Held>);

struct Held {
    shared: Arc<Shared>,
    ended: watch::Receiver<Option<Exit>>,
}

/// What the thread that waits has as well.
struct Shared {
    pid: Pid,
    is_reaped: Mutex<bool>,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Somebody else was told.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::Unknown => f.write_str("exit unknown"),
        }
    }
}

impl Process {
    /// Watches a child. The file with its mark goes with it.
    pub(super) fn watch(mut child: Child, pid_file: PathBuf) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("it has no process id"))?;
        let shared = Arc::new(Shared { pid, is_reaped: Mutex::new(false) });
        let (tell, ended) = watch::channel(None);
        let waiting = shared.clone();
        let wait = move || {
            let exit = waiting.wait(&mut child);
            drop(fs::remove_file(pid_file));
            tell.send_replace(Some(exit));
        };
        let process = Process(Arc::new(Held { shared, ended }));
        thread::Builder::new().name("alm-child".into()).stack_size(WAIT_STACK_BYTES).spawn(wait)?;
        Ok(process)
    }

    /// Its id, and that of its session.
    pub fn pid(&self) -> u32 {
        self.0.shared.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        *self.0.ended.borrow()
    }

    /// Waits until it has ended.
    pub fn ended(&self) -> impl Future<Output = Exit> + Send + use<> {
        // It holds nothing that would keep the child alive.
        let mut ended = self.0.ended.clone();
        async move { ended.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or(Exit::Unknown) }
    }

    /// Ends it, once its stdin is closed: it may go by itself, then it is asked to, then it is killed. Within 5 seconds.
    pub async fn stop(&self) {
        self.end(&[(None, CLOSED_WAIT), (Some(Signal::TERM), TERM_WAIT), (Some(Signal::KILL), KILL_WAIT)]).await;
    }

    /// Asks it to end, and kills it after that long.
    pub async fn terminate(&self, patience: Duration) {
        self.end(&[(Some(Signal::TERM), patience), (Some(Signal::KILL), KILL_WAIT)]).await;
    }

    /// Kills it.
    pub async fn kill(&self) {
        self.end(&[(Some(Signal::KILL), KILL_WAIT)]).await;
    }

    /// The memory that it holds, as far as the system says.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.exit().is_none().then(|| system::resident_bytes(self.0.shared.pid))?
    }

    async fn end(&self, steps: &[(Option<Signal>, Duration)]) {
        for (signal, wait) in steps.iter().copied() {
            if let Some(signal) = signal {
                self.0.shared.tell(signal);
            }
            if tokio::time::timeout(wait, self.ended()).await.is_ok() {
                return;
            }
        }
        tracing::warn!(pid = self.pid(), "a killed command has not ended");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.tell(Signal::KILL);
    }
}

impl Shared {
    /// Sends a signal to its group, as long as that is its own. A group that has just ended is told nothing.
    fn tell(&self, signal: Signal) {
        let is_reaped = self.is_reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_reaped {
            // Before it has a session, there is no such group.
            if kill_process_group(self.pid, signal).is_err() {
                let _ = kill_process(self.pid, signal);
            }
        }
    }

    /// Waits for its end, ends what it leaves, and only then lets go of its id.
    fn wait(&self, child: &mut Child) -> Exit {
        while let Err(Errno::INTR) = waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
        self.end_orphans();
        let mut is_reaped = self.is_reaped.lock().unwrap_or_else(PoisonError::into_inner);
        *is_reaped = true;
        child.wait().map_or(Exit::Unknown, Exit::of)
    }

    /// What it has started is asked to go, then killed: a program may be writing when the one that started it has gone.
    fn end_orphans(&self) {
        if system::in_session(self.pid).is_empty() {
            return;
        }
        self.tell(Signal::TERM);
        let deadline = Instant::now() + ORPHANS_WAIT;
        while !system::in_session(self.pid).is_empty() {
            if Instant::now() > deadline {
                return system::kill_session(self.pid);
            }
            thread::park_timeout(LOOK_INTERVAL);
        }
    }
}

impl Exit {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        }
    }
}
