//! What turns did since the process began, for its metrics.
//!
//! Rule: no names: what is counted is of bounded variety. The log has a line for each call, without anything that a person or a
//! model wrote.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    model::Usage,
    store::{
        tool_calls::{CallStatus, EndedCall, Origin},
        turns::Outcome,
    },
};

/// How a call of a tool came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// It gave an output.
    Done,
    /// It was made and failed.
    Failed,
    /// It may have taken effect.
    Unknown,
    /// A person said no.
    Denied,
    /// Nobody answered: the conversation went on.
    Withdrawn,
    /// It was not made: its input, its number, its balance or its tool was not right.
    Refused,
}

/// A call that is over.
#[derive(Debug)]
pub(super) struct OverCall<'a> {
    /// The turn's id.
    pub turn: &'a str,
    /// The tool's name.
    pub tool: &'a str,
    pub origin: Origin,
    pub outcome: CallOutcome,
    pub took: Duration,
    pub output_bytes: usize,
}

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Stats {
    /// By outcome.
    ended: [AtomicU64; Outcome::ALL.len()],
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
    /// Calls of tools, by origin and how they ended.
    calls: [[AtomicU64; CallOutcome::ALL.len()]; Origin::ALL.len()],
    /// How long they took, by origin.
    call_micros: [AtomicU64; Origin::ALL.len()],
    outputs_cut: AtomicU64,
}

impl CallOutcome {
    /// All of them.
    pub const ALL: [CallOutcome; 6] = [
        CallOutcome::Done,
        CallOutcome::Failed,
        CallOutcome::Unknown,
        CallOutcome::Denied,
        CallOutcome::Withdrawn,
        CallOutcome::Refused,
    ];

    /// Its word in a label.
    pub fn as_str(self) -> &'static str {
        match self {
            CallOutcome::Done => "done",
            CallOutcome::Failed => "failed",
            CallOutcome::Unknown => "unknown",
            CallOutcome::Denied => "denied",
            CallOutcome::Withdrawn => "withdrawn",
            CallOutcome::Refused => "refused",
        }
    }

    /// That of a row that says so; none as long as it is open.
    pub fn of(status: CallStatus, was_made: bool) -> Option<Self> {
        Some(match status {
            CallStatus::Done => CallOutcome::Done,
            CallStatus::Failed if was_made => CallOutcome::Failed,
            CallStatus::Failed => CallOutcome::Refused,
            CallStatus::Unknown => CallOutcome::Unknown,
            CallStatus::Denied => CallOutcome::Denied,
            CallStatus::Withdrawn => CallOutcome::Withdrawn,
            CallStatus::Waiting | CallStatus::Approved | CallStatus::Called => return None,
        })
    }
}

impl<'a> OverCall<'a> {
    /// One that has ended so; none if it is still open.
    pub fn of(turn: &'a str, tool: &'a str, origin: Origin, ended: &EndedCall, took: Duration) -> Option<Self> {
        let outcome = CallOutcome::of(ended.status, ended.was_made)?;
        Some(OverCall { turn, tool, origin, outcome, took, output_bytes: ended.output_bytes })
    }

    /// One that was not made.
    pub fn refused(turn: &'a str, tool: &'a str, origin: Origin) -> Self {
        OverCall { turn, tool, origin, outcome: CallOutcome::Refused, took: Duration::ZERO, output_bytes: 0 }
    }
}

impl Stats {
    /// Counts a turn that ended.
    pub(super) fn count(&self, outcome: Outcome, usage: &Usage) {
        self.ended[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.input_tokens.fetch_add(usage.input_tokens, Ordering::Relaxed);
        self.output_tokens.fetch_add(usage.output_tokens, Ordering::Relaxed);
    }

    /// Counts a call of a tool that is over, and writes its line of the log.
    pub(super) fn note_call(&self, call: &OverCall<'_>) {
        self.count_calls(call.origin, call.outcome, 1);
        self.call_micros[call.origin as usize].fetch_add(call.took.as_micros() as u64, Ordering::Relaxed);
        tracing::info!(
            turn = call.turn,
            tool = call.tool,
            origin = call.origin.as_str(),
            outcome = call.outcome.as_str(),
            ms = call.took.as_millis() as u64,
            bytes = call.output_bytes,
            "a tool was called"
        );
    }

    /// Counts calls of tools that ended so.
    pub(super) fn count_calls(&self, origin: Origin, outcome: CallOutcome, calls: u64) {
        self.calls[origin as usize][outcome as usize].fetch_add(calls, Ordering::Relaxed);
    }

    /// Counts an output that is too long for a prompt.
    pub(super) fn count_cut(&self) {
        self.outputs_cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls of tools by origin and how they ended, as far as there are any.
    pub fn tool_calls(&self) -> impl Iterator<Item = (Origin, CallOutcome, u64)> + '_ {
        let pairs = Origin::ALL.into_iter().flat_map(|origin| CallOutcome::ALL.map(|outcome| (origin, outcome)));
        let count = |origin, outcome| self.calls[origin as usize][outcome as usize].load(Ordering::Relaxed);
        pairs.map(move |(origin, outcome)| (origin, outcome, count(origin, outcome))).filter(|(.., count)| *count > 0)
    }

    /// Seconds that calls took, by origin, as far as there are any.
    pub fn tool_seconds(&self) -> impl Iterator<Item = (Origin, f64)> + '_ {
        let seconds = |origin| self.call_micros[origin as usize].load(Ordering::Relaxed) as f64 / 1e6;
        Origin::ALL.into_iter().map(move |origin| (origin, seconds(origin))).filter(|(_, seconds)| *seconds > 0.0)
    }

    /// Outputs that were too long for a prompt.
    pub fn outputs_cut(&self) -> u64 {
        self.outputs_cut.load(Ordering::Relaxed)
    }

    /// Turns by how they ended.
    pub fn ended(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self.ended[outcome as usize].load(Ordering::Relaxed)))
    }

    /// Tokens of prompts, and of replies.
    pub fn tokens(&self) -> (u64, u64) {
        (self.input_tokens.load(Ordering::Relaxed), self.output_tokens.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_once_where_it_belongs() {
        let stats = Stats::default();
        let ended = EndedCall::made("i".into(), CallStatus::Unknown, "why".into());
        for millis in [1_500, 500] {
            let took = Duration::from_millis(millis);
            stats.note_call(&OverCall::of("t", "n", Origin::Mcp, &ended, took).unwrap());
        }
        stats.note_call(&OverCall::refused("t", "n", Origin::Http));
        stats.count_cut();
        let counted: Vec<_> = stats.tool_calls().collect();
        assert_eq!(counted, [(Origin::Http, CallOutcome::Refused, 1), (Origin::Mcp, CallOutcome::Unknown, 2)]);
        assert_eq!(stats.tool_seconds().collect::<Vec<_>>(), [(Origin::Mcp, 2.0)]);
        assert_eq!(stats.outputs_cut(), 1);
    }

    #[test]
    fn what_was_not_made_did_not_fail() {
        assert_eq!(CallOutcome::of(CallStatus::Failed, true), Some(CallOutcome::Failed));
        assert_eq!(CallOutcome::of(CallStatus::Failed, false), Some(CallOutcome::Refused));
        for open in [CallStatus::Waiting, CallStatus::Approved, CallStatus::Called] {
            assert_eq!(CallOutcome::of(open, true), None);
        }
    }
}
