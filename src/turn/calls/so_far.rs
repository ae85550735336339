//! What a turn's calls have come to: what its limits count, and which of them run.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use super::shown::is_foreign;
use crate::store::{
    tool_calls::{OpenCall, Origin},
    turn_calls::NewCall,
};

/// Calls of one step.
pub const CALLS_PER_STEP_MAX: usize = 32;
/// Calls of one turn.
pub const CALLS_PER_TURN_MAX: usize = 200;
/// How often one call may fail with the same input in a turn.
pub const FAILURES_MAX: u32 = 3;

/// The calls of a turn, so far.
#[derive(Debug, Default)]
pub struct CallsSoFar {
    made: usize,
    /// How often a tool has failed with an input, by name and the input's hash.
    failed: HashMap<(String, [u8; 32]), u32>,
    /// Tools of which a call may have taken effect.
    unknown: HashSet<String>,
    /// Those that are being written down: none of them was made, and nobody was asked.
    pub unwritten: Vec<UnwrittenCall>,
    /// Those that run.
    pub running: Vec<RunningCall>,
    /// Those that ended, by their rows' ids.
    over: HashSet<String>,
}

/// A call that is being written down.
#[derive(Debug, Clone, PartialEq)]
pub struct UnwrittenCall {
    /// Its row's.
    pub id: String,
    pub call_id: String,
    /// Whether it is to wait for a person.
    pub waits: bool,
    pub dynamic: bool,
}

/// A call that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningCall {
    /// Its row's.
    pub id: String,
    pub call_id: String,
    pub is_idempotent: bool,
    pub is_read_only: bool,
    pub tool: String,
    pub origin: Origin,
    pub began: Instant,
}

impl From<&NewCall> for UnwrittenCall {
    fn from(call: &NewCall) -> Self {
        let (id, call_id, dynamic) = (call.id.clone(), call.call_id.clone(), is_foreign(call.origin));
        UnwrittenCall { id, call_id, waits: call.waits, dynamic }
    }
}

impl From<&OpenCall> for UnwrittenCall {
    fn from(call: &OpenCall) -> Self {
        let (id, call_id, dynamic) = (call.id.clone(), call.call_id.clone(), is_foreign(call.origin));
        UnwrittenCall { id, call_id, waits: false, dynamic }
    }
}

impl CallsSoFar {
    /// Counts a call, the `nth` of its step from 0; a refusal is a sentence for the model.
    pub fn count(&mut self, nth: usize) -> Result<(), String> {
        if nth >= CALLS_PER_STEP_MAX {
            return Err(format!("A step may make {CALLS_PER_STEP_MAX} calls: this one was not run."));
        }
        if self.made >= CALLS_PER_TURN_MAX {
            return Err(format!("A reply may make {CALLS_PER_TURN_MAX} calls: this one was not run."));
        }
        self.made += 1;
        Ok(())
    }

    /// Whether a call has failed too often with that input.
    pub fn has_failed(&self, tool: &str, input: &[u8; 32]) -> bool {
        self.failed.get(&(tool.to_owned(), *input)).is_some_and(|times| *times >= FAILURES_MAX)
    }

    /// Notes that a call failed.
    pub fn note_failed(&mut self, tool: &str, input: &[u8; 32]) {
        *self.failed.entry((tool.to_owned(), *input)).or_default() += 1;
    }

    /// Whether a call of that tool may have taken effect in this turn, and nobody knows.
    pub fn is_unknown(&self, tool: &str) -> bool {
        self.unknown.contains(tool)
    }

    /// Notes that one may have.
    pub fn note_unknown(&mut self, tool: &str) {
        self.unknown.insert(tool.to_owned());
    }

    /// Notes that a call ended, or never runs.
    pub fn ended(&mut self, id: &str) {
        self.running.retain(|call| call.id != id);
        self.over.insert(id.to_owned());
    }

    /// Whether the turn has come to a call of its message.
    pub fn knows(&self, id: &str) -> bool {
        let mut known = self.unwritten.iter().map(|call| &call.id).chain(self.running.iter().map(|call| &call.id));
        self.over.contains(id) || known.any(|known| known == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_and_a_turn_make_so_many_calls() {
        let mut calls = CallsSoFar::default();
        for (nth, taken) in
            [(CALLS_PER_STEP_MAX - 1, true), (CALLS_PER_STEP_MAX, false), (CALLS_PER_STEP_MAX + 1, false)]
        {
            assert_eq!(calls.count(nth).is_ok(), taken, "{nth}");
        }
        let mut calls = CallsSoFar::default();
        let made = (0..CALLS_PER_TURN_MAX + 2).filter(|n| calls.count(n % CALLS_PER_STEP_MAX).is_ok()).count();
        assert_eq!(made, CALLS_PER_TURN_MAX);
    }

    #[test]
    fn a_call_fails_so_often_with_the_same_input_and_then_is_not_made() {
        let mut calls = CallsSoFar::default();
        for times in 0..=FAILURES_MAX {
            assert_eq!(calls.has_failed("a", &[1; 32]), times == FAILURES_MAX, "{times}");
            calls.note_failed("a", &[1; 32]);
        }
        assert!(!calls.has_failed("a", &[2; 32]) && !calls.has_failed("b", &[1; 32]));
    }
}
