//! What a process knows of one server: its connection, how it is, and who looks after it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::{Notify, Semaphore},
    task::AbortHandle,
    time::Instant,
};

use super::{
    refusal::Refusal,
    stdio::{Running, Use},
    wire::{Era, Link},
    words,
};
use crate::{store::mcp::McpServer, time::Timestamp};

/// How a server is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not connected: nobody has used it yet.
    #[default]
    Idle,
    Connecting,
    Ready,
    /// It does not answer; it is tried again.
    Down,
    /// A command that ended too often: a person has to restart it.
    Failed,
    /// It refused the credentials.
    AuthFailed,
    /// Switched off.
    Off,
}

impl State {
    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Connecting => "connecting",
            State::Ready => "ready",
            State::Down => "down",
            State::Failed => "failed",
            State::AuthFailed => "auth_failed",
            State::Off => "off",
        }
    }

    /// Whether its tools are not offered.
    pub fn is_unavailable(self) -> bool {
        matches!(self, State::Down | State::Failed | State::AuthFailed | State::Off)
    }
}

/// How a server is, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub state: State,
    /// Which generation of the protocol it speaks, once that is known.
    pub era: Option<Era>,
    /// Why it does not answer.
    pub error: Option<String>,
    /// Of a command that runs.
    pub pid: Option<u32>,
}

/// What a model reads of a server at an address where nobody is asked.
pub(super) const NOT_ALLOWED: &str = "This address is not allowed.";

/// Why a server cannot be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub state: State,
    /// For people.
    pub sentence: String,
    /// Where it is told to models as [`NOT_ALLOWED`] alone.
    pub is_forbidden: bool,
}

impl Failure {
    pub(super) fn down(sentence: String) -> Self {
        Failure { state: State::Down, sentence, is_forbidden: false }
    }

    pub(super) fn of(slug: &str, refusal: &Refusal) -> Self {
        let state = if let Refusal::Credentials(_) = refusal { State::AuthFailed } else { State::Down };
        let is_forbidden = matches!(refusal, Refusal::Forbidden(_));
        Failure { state, sentence: words::refusal(slug, refusal), is_forbidden }
    }

    /// What a model reads of it.
    pub(super) fn for_models(self) -> String {
        if self.is_forbidden { NOT_ALLOWED.into() } else { self.sentence }
    }
}

/// A connection and what it was opened for.
#[derive(Clone)]
pub(super) struct Linked {
    pub link: Arc<Link>,
    /// Of a command.
    pub running: Option<Running>,
    /// The row as it was then.
    pub of: Timestamp,
}

pub(super) struct Known {
    /// Calls that may run.
    pub calls: Semaphore,
    pub link: tokio::sync::Mutex<Option<Linked>>,
    /// Told when the server says that its list has changed.
    pub changed: Arc<Notify>,
    /// Told when it should be looked at.
    pub poked: Notify,
    keeper: Mutex<Option<AbortHandle>>,
    seen: Mutex<Seen>,
    /// The last failure, and when it was.
    failed: Mutex<Option<(Instant, Failure)>>,
}

impl Linked {
    pub(super) fn is_good(&self, row: &McpServer) -> bool {
        let has_ended = self.running.as_ref().is_some_and(Running::has_ended);
        self.of == row.updated_at && !self.link.is_closed() && !has_ended
    }

    /// Held while something of it is used.
    pub(super) fn in_use(&self) -> (Arc<Link>, Option<Use>) {
        (self.link.clone(), self.running.as_ref().map(Running::in_use))
    }

    /// Ends the connection: with its goodbye, unless somebody still uses it; and the command.
    pub(super) async fn close(self) {
        let Linked { link, running, .. } = self;
        let said = async {
            match Arc::try_unwrap(link) {
                Ok(link) => link.close().await,
                Err(used) => used.cancel(),
            }
        };
        let ended = async {
            if let Some(running) = running {
                running.stop().await;
            }
        };
        tokio::join!(said, ended);
    }
}

impl Known {
    pub(super) fn new(calls_at_once: usize) -> Self {
        Known {
            calls: Semaphore::new(calls_at_once),
            link: tokio::sync::Mutex::default(),
            changed: Arc::default(),
            poked: Notify::new(),
            keeper: Mutex::default(),
            seen: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    pub(super) fn seen(&self) -> Seen {
        locked(&self.seen).clone()
    }

    pub(super) fn see(&self, state: State, error: Option<String>) {
        let mut seen = locked(&self.seen);
        (seen.state, seen.error) = (state, error);
    }

    pub(super) fn see_ready(&self, linked: &Linked) {
        self.see(State::Ready, None);
        locked(&self.seen).era = Some(linked.link.told.era);
    }

    pub(super) fn see_failure(&self, failure: &Failure) {
        self.see(failure.state, Some(failure.sentence.clone()));
        *locked(&self.failed) = Some((Instant::now(), failure.clone()));
    }

    /// What went wrong since then.
    pub(super) fn failure_since(&self, then: Instant) -> Option<Failure> {
        locked(&self.failed).as_ref().filter(|(at, _)| *at > then).map(|(_, failure)| failure.clone())
    }

    /// Gives a connection up, if it is still the one in use.
    pub(super) async fn unlink(&self, linked: &Linked) {
        let mut slot = self.link.lock().await;
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(&current.link, &linked.link)) {
            *slot = None;
        }
        linked.link.cancel();
        if let Some(running) = &linked.running {
            running.stop().await;
        }
    }

    pub(super) async fn disconnect(&self) {
        let linked = self.link.lock().await.take();
        if let Some(linked) = linked {
            linked.close().await;
        }
        self.see(State::Idle, None);
    }

    /// Whoever looks after it, unless somebody does.
    pub(super) fn keep_by(&self, keeper: impl FnOnce() -> AbortHandle) {
        let mut slot = locked(&self.keeper);
        if slot.as_ref().is_none_or(AbortHandle::is_finished) {
            *slot = Some(keeper());
        }
    }

    /// Whether somebody looks after it.
    pub(super) fn is_kept(&self) -> bool {
        locked(&self.keeper).as_ref().is_some_and(|keeper| !keeper.is_finished())
    }

    pub(super) async fn end(&self) {
        if let Some(keeper) = locked(&self.keeper).take() {
            keeper.abort();
        }
        self.disconnect().await;
    }
}

/// The lock of what no panic leaves half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
