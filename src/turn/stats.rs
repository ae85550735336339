//! What turns did since the process began, for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    model::Usage,
    store::{
        tool_calls::{CallStatus, Origin},
        turns::Outcome,
    },
};

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Stats {
    /// By outcome.
    ended: [AtomicU64; Outcome::ALL.len()],
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
    /// Calls of tools, by origin and how they ended.
    calls: [[AtomicU64; CallStatus::ALL.len()]; Origin::ALL.len()],
}

impl Stats {
    /// Counts a turn that ended.
    pub(super) fn count(&self, outcome: Outcome, usage: &Usage) {
        self.ended[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.input_tokens.fetch_add(usage.input_tokens, Ordering::Relaxed);
        self.output_tokens.fetch_add(usage.output_tokens, Ordering::Relaxed);
    }

    /// Counts a call of a tool that ended.
    pub(super) fn count_call(&self, origin: Origin, status: CallStatus) {
        self.calls[origin as usize][status as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Calls of tools that ended so.
    pub fn calls(&self, origin: Origin, status: CallStatus) -> u64 {
        self.calls[origin as usize][status as usize].load(Ordering::Relaxed)
    }

    /// Calls of tools by origin and how they ended, as far as there are any.
    pub fn tool_calls(&self) -> impl Iterator<Item = (Origin, CallStatus, u64)> + '_ {
        let pairs = Origin::ALL.into_iter().flat_map(|origin| CallStatus::ALL.map(|status| (origin, status)));
        pairs.map(|(origin, status)| (origin, status, self.calls(origin, status))).filter(|(_, _, count)| *count > 0)
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
