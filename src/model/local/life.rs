//! What a local model's process does, and what is to be done about it.
//!
//! Rule: plain values and the hours that are handed in. The keeper does what [`Life::step`] says and tells what came of it.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use super::{ended::Ended, status::State};
use crate::time::Timestamp;

/// How often in a row it may end before it was ready. Then it waits for a person.
pub const START_TRIES_MAX: u32 = 3;
/// The longest pause before it is started again; the first is none, the second a second, each further one twice as long.
pub const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// After so long a life the pauses begin anew.
const CALM: Duration = Duration::from_secs(10 * 60);

/// What its keeper is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing until somebody asks.
    Rest,
    /// Nothing until then.
    Pause(Instant),
    /// Look whether it can run.
    Check,
    /// Start the process.
    Start,
    /// Wait until it answers.
    Load,
    /// Wait until it ends, or nobody uses it.
    Run,
    /// Ask the process to end.
    Stop,
    /// Kill it.
    Kill,
    /// Nothing any more.
    Leave,
}

/// What comes after the end of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Idle,
    Again,
    Leave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Paused(Instant),
    Checking,
    Starting,
    Loading,
    Ready,
    Idle,
    Failed,
    Stopping { kill: bool, then: Then },
    Left,
}

/// The life of a local model.
#[derive(Debug)]
pub(super) struct Life {
    phase: Phase,
    since: Timestamp,
    /// When it was last not to be had because of its own doing.
    wanted_since: Instant,
    ready_at: Option<Instant>,
    reason: Option<String>,
    /// Starts in a row that did not get ready.
    tries: u32,
    /// Ends in a row without a calm life in between.
    ends: u32,
    restarts: u64,
    /// Which process this is.
    epoch: u64,
    /// Why the last one is gone.
    farewell: String,
}

impl Life {
    /// One that begins with a look whether it can run.
    pub(super) fn new(now: Instant) -> Self {
        Life {
            phase: Phase::Checking,
            since: Timestamp::now(),
            wanted_since: now,
            ready_at: None,
            reason: None,
            tries: 0,
            ends: 0,
            restarts: 0,
            epoch: 0,
            farewell: String::new(),
        }
    }

    pub(super) fn state(&self) -> State {
        match self.phase {
            Phase::Checking => State::Checking,
            Phase::Paused(_) | Phase::Starting => State::Starting,
            Phase::Loading => State::Loading,
            Phase::Ready => State::Ready,
            Phase::Idle | Phase::Left => State::Idle,
            Phase::Failed => State::Failed,
            Phase::Stopping { .. } => State::Stopping,
        }
    }

    pub(super) fn step(&self, now: Instant) -> Step {
        match self.phase {
            Phase::Paused(until) if now < until => Step::Pause(until),
            Phase::Paused(_) | Phase::Checking => Step::Check,
            Phase::Starting => Step::Start,
            Phase::Loading => Step::Load,
            Phase::Ready => Step::Run,
            Phase::Idle | Phase::Failed => Step::Rest,
            Phase::Stopping { kill: false, .. } => Step::Stop,
            Phase::Stopping { kill: true, .. } => Step::Kill,
            Phase::Left => Step::Leave,
        }
    }

    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    pub(super) fn ready_at(&self) -> Option<Instant> {
        self.ready_at.filter(|_| self.phase == Phase::Ready)
    }

    /// How long it has been on its way to be ready.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.wanted_since)
    }

    /// Which process answers, if one does.
    pub(super) fn answers(&self) -> Option<u64> {
        (self.phase == Phase::Ready).then_some(self.epoch)
    }

    /// Why it does not start, if it does not.
    pub(super) fn failed(&self) -> Option<&str> {
        self.reason.as_deref().filter(|_| self.phase == Phase::Failed)
    }

    /// Whether there is no process, and none to come until somebody asks.
    pub(super) fn rests(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Stopping { then: Then::Idle, .. })
    }

    /// Whether it is over for good.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Left | Phase::Stopping { then: Then::Leave, .. })
    }

    /// Why the last process is gone.
    pub(super) fn farewell(&self) -> &str {
        &self.farewell
    }

    fn enter(&mut self, phase: Phase) {
        let before = self.state();
        self.phase = phase;
        if self.state() != before {
            self.since = Timestamp::now();
        }
    }
}

/// What the keeper tells.
impl Life {
    /// It was seen whether it can run.
    pub(super) fn checked(&mut self, can: Result<(), String>) {
        if !matches!(self.phase, Phase::Checking | Phase::Paused(_)) {
            return;
        }
        match can {
            Ok(()) => self.enter(Phase::Starting),
            Err(reason) => self.fail(reason),
        }
    }

    /// The process runs.
    pub(super) fn started(&mut self) {
        self.epoch += 1;
        if self.phase == Phase::Starting {
            self.enter(Phase::Loading);
        }
    }

    /// It answers.
    pub(super) fn loaded(&mut self, now: Instant) {
        if self.phase == Phase::Loading {
            (self.tries, self.reason, self.ready_at) = (0, None, Some(now));
            self.enter(Phase::Ready);
        }
    }

    /// The process ended by itself, or did not start.
    pub(super) fn ended(&mut self, ended: Ended, now: Instant) {
        let was_ready = match self.phase {
            Phase::Ready => true,
            Phase::Starting | Phase::Loading => false,
            Phase::Stopping { .. } => return self.stopped(now),
            _ => return,
        };
        self.farewell.clone_from(&ended.reason);
        if !was_ready {
            self.tries += 1;
            if ended.is_for_good || self.tries >= START_TRIES_MAX {
                return self.fail(ended.reason);
            }
        }
        if self.ready_at.take().is_some_and(|ready_at| now.saturating_duration_since(ready_at) >= CALM) {
            self.ends = 0;
        }
        if was_ready {
            self.wanted_since = now;
        }
        let pause = pause(self.ends);
        self.ends = self.ends.saturating_add(1);
        self.restarts += 1;
        self.reason = Some(ended.reason);
        self.enter(Phase::Paused(now + pause));
    }

    /// The process has ended as it was told.
    pub(super) fn stopped(&mut self, now: Instant) {
        let Phase::Stopping { then, .. } = self.phase else { return };
        self.ready_at = None;
        match then {
            Then::Idle => self.enter(Phase::Idle),
            Then::Leave => self.enter(Phase::Left),
            Then::Again => {
                self.wanted_since = now;
                self.enter(Phase::Checking);
            }
        }
    }

    fn fail(&mut self, reason: String) {
        self.farewell.clone_from(&reason);
        self.reason = Some(reason);
        self.enter(Phase::Failed);
    }
}

/// What others want.
impl Life {
    /// Somebody asks it.
    pub(super) fn want(&mut self, now: Instant) {
        if self.phase == Phase::Idle {
            self.begin(now);
        }
    }

    /// A person wants it to run, whatever has been.
    pub(super) fn start(&mut self, now: Instant) {
        match self.phase {
            Phase::Idle | Phase::Failed | Phase::Paused(_) => self.begin(now),
            Phase::Stopping { kill, then: Then::Idle } => self.enter(Phase::Stopping { kill, then: Then::Again }),
            _ => {}
        }
    }

    /// Its process is to end; the next who asks starts another.
    pub(super) fn stop(&mut self, farewell: &str) {
        self.end(farewell, false, Then::Idle);
    }

    /// Its process is to end, and another one to start.
    pub(super) fn restart(&mut self, farewell: &str, now: Instant) {
        match self.phase {
            Phase::Idle | Phase::Failed | Phase::Paused(_) => self.begin(now),
            _ => {
                (self.tries, self.ends) = (0, 0);
                self.end(farewell, false, Then::Again);
            }
        }
    }

    /// It does not give up an answer that nobody wants any more.
    pub(super) fn stuck(&mut self, farewell: &str) {
        if self.phase == Phase::Ready {
            self.restarts += 1;
            self.end(farewell, true, Then::Again);
        }
    }

    /// The server ends.
    pub(super) fn leave(&mut self, farewell: &str) {
        match self.phase {
            Phase::Idle | Phase::Failed => self.enter(Phase::Left),
            _ => self.end(farewell, false, Then::Leave),
        }
    }

    fn begin(&mut self, now: Instant) {
        (self.tries, self.ends, self.reason, self.wanted_since) = (0, 0, None, now);
        self.enter(Phase::Checking);
    }

    fn end(&mut self, farewell: &str, kill: bool, then: Then) {
        match self.phase {
            Phase::Idle | Phase::Failed | Phase::Left | Phase::Stopping { then: Then::Leave, .. } => {}
            _ => {
                farewell.clone_into(&mut self.farewell);
                self.reason = None;
                self.enter(Phase::Stopping { kill, then });
            }
        }
    }
}

/// How long it waits after an end, of which there were so many before.
fn pause(ends: u32) -> Duration {
    match ends.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(RESTART_PAUSE_MAX),
    }
}
